// The kernels that compute in bfloat16. They need instructions of their own, and machines without those have none.
#pragma once
#include "dense_bf16.h"

namespace chainrule {

struct TableBf16 {
  void (*dense_forward)(Pool&, const DenseForwardBf16&);
  void (*dense_backward)(Pool&, const DenseBackwardBf16&);
};

// Those of the fastest instructions that this machine has, or of others that were asked for; null where it has none.
const TableBf16* kernels_bf16();

}  // namespace chainrule
