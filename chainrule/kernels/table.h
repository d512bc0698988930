// The kernels of one instruction set, by name; and the set that this machine runs.
#pragma once
#include "dense.h"

namespace chainrule {

struct Table {
  const char* name;
  void (*dense_forward)(Pool&, const DenseForward&);
  void (*dense_backward)(Pool&, const DenseBackward&);
};

// The table of the widest instruction set that this machine has, or of one that a test has chosen.
const Table& kernels();

}  // namespace chainrule
