#include "correlation_weights.h"

#include "numbers_bf16.h"

namespace chainrule::CHAINRULE_ISA {

const ConvolutionKernels<uint16_t> convolution_bf16 = {forward_by<Bfloat16>, input_by<Bfloat16>, weights_by<Bfloat16>};

}  // namespace chainrule::CHAINRULE_ISA
