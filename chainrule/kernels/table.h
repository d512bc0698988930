// The kernels of one instruction set, by name; and the set that this machine runs.
#pragma once
#include "dense.h"
#include "optimizer.h"
#include "pooling.h"

namespace chainrule {

struct Table {
  const char* name;
  void (*dense_forward)(Pool&, const DenseForward&);
  void (*dense_backward)(Pool&, const DenseBackward&);
  void (*max_pool_forward)(Pool&, const MaxPoolForward&);
  void (*max_pool_backward)(Pool&, const MaxPoolBackward&);
  void (*average_pool_forward)(Pool&, const AveragePoolForward&);
  void (*average_pool_backward)(Pool&, const AveragePoolBackward&);
  void (*optimizer_step)(Pool&, const OptimizerStep&);
};

// The table of the widest instruction set that this machine has, or of one that a test has chosen.
const Table& kernels();

}  // namespace chainrule
