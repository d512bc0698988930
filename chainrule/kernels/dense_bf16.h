// A dense layer that computes in bfloat16: y = activation(x * kernel + bias), and its gradients. The weights and their
// gradients are float32; they are rounded as they are read. Sums are taken in float32. All arrays are row by row.
#pragma once
#include "activation.h"
#include "pool.h"

namespace chainrule {

struct DenseForwardBf16 {
  const uint16_t* x;    // (rows, inputs)
  const float* kernel;  // (inputs, units)
  const float* bias;    // (units), or null
  uint16_t* y;          // (rows, units)
  int64_t rows, inputs, units;
  Activation activation;
};

struct DenseBackwardBf16 {
  const uint16_t* x;    // (rows, inputs)
  const float* kernel;  // (inputs, units)
  const uint16_t* y;    // (rows, units)
  const uint16_t* dy;   // (rows, units)
  uint16_t* dz;         // (rows, units): room for the gradient of what enters the activation
  float* dkernel;       // (inputs, units)
  float* dbias;         // (units), or null
  uint16_t* dx;         // (rows, inputs), or null
  int64_t rows, inputs, units;
  Activation activation;
};

}  // namespace chainrule

#ifdef CHAINRULE_ISA
namespace chainrule::CHAINRULE_ISA {
void dense_forward_bf16(Pool& pool, const DenseForwardBf16& call);
void dense_backward_bf16(Pool& pool, const DenseBackwardBf16& call);
}  // namespace chainrule::CHAINRULE_ISA
#endif
