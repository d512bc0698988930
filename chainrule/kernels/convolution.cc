#include "correlation_weights.h"

#include "numbers.h"

namespace chainrule::CHAINRULE_ISA {

const ConvolutionKernels<float> convolution = {forward_by<Float32>, input_by<Float32>, weights_by<Float32>};

}  // namespace chainrule::CHAINRULE_ISA
