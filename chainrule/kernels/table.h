// The kernels of one instruction set, by name; and the set that this machine runs.
#pragma once
#include "convolution.h"
#include "dense.h"
#include "normalisation.h"
#include "optimizer.h"
#include "pooling.h"
#include "recurrence.h"

namespace chainrule {

struct Table {
  const char* name;
  void (*dense_forward)(Pool&, const DenseForward&);
  void (*dense_backward)(Pool&, const DenseBackward&);
  const ConvolutionKernels<float>* convolution;
  const RecurrenceKernels<float>* recurrence;
  void (*max_pool_forward)(Pool&, const MaxPoolForward&);
  void (*max_pool_backward)(Pool&, const MaxPoolBackward&);
  void (*average_pool_forward)(Pool&, const AveragePoolForward&);
  void (*average_pool_backward)(Pool&, const AveragePoolBackward&);
  void (*normalisation_forward)(Pool&, const NormalisationForward&);
  void (*normalisation_backward)(Pool&, const NormalisationBackward&);
  void (*optimizer_step)(Pool&, const OptimizerStep&);
};

// The table of the widest instruction set that this machine has, or of one that a test has chosen.
const Table& kernels();

}  // namespace chainrule
