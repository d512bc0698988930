// A dense layer: y = activation(x * kernel + bias), and its gradients. All arrays are row by row.
#pragma once
#include "activation.h"
#include "pool.h"

namespace chainrule {

struct DenseForward {
  const float* x;       // (rows, inputs)
  const float* kernel;  // (inputs, units)
  const float* bias;    // (units), or null
  float* y;             // (rows, units)
  int64_t rows, inputs, units;
  Activation activation;
};

struct DenseBackward {
  const float* x;       // (rows, inputs)
  const float* kernel;  // (inputs, units)
  const float* y;       // (rows, units)
  const float* dy;      // (rows, units)
  float* dz;            // (rows, units): room for the gradient of what enters the activation
  float* dkernel;       // (inputs, units)
  float* dbias;         // (units), or null
  float* dx;            // (rows, inputs), or null
  int64_t rows, inputs, units;
  Activation activation;
};

}  // namespace chainrule

#ifdef CHAINRULE_ISA
namespace chainrule::CHAINRULE_ISA {
void dense_forward(Pool& pool, const DenseForward& call);
void dense_backward(Pool& pool, const DenseBackward& call);
}  // namespace chainrule::CHAINRULE_ISA
#endif
