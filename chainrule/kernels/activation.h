// Activation functions of a vector, and their derivatives, told from the function's value alone.
#pragma once
#include <cstdint>

namespace chainrule {

// In the order of `ACTIVATIONS` in chainrule/kernels/dense.py.
enum class Activation : int64_t { linear, relu, tanh, sigmoid, elu, count };

}  // namespace chainrule

#ifdef CHAINRULE_ISA
#include "vector.h"

namespace chainrule::CHAINRULE_ISA {

template <Activation kind>
static inline Vector activate(Vector x) {
  if constexpr (kind == Activation::relu) return x < 0.0f ? Vector{} : x;  // NaN stays NaN
  if constexpr (kind == Activation::tanh) return hyperbolic_tangent(x);
  if constexpr (kind == Activation::sigmoid) return logistic(x);
  if constexpr (kind == Activation::elu) {
    Vector below = x > 0.0f ? Vector{} : x;
    Vector near = broadcast(1.0f / 5040);  // the Taylor series of exp(x) - 1, which loses digits as a difference
    near = near * below + 1.0f / 720;
    near = near * below + 1.0f / 120;
    near = near * below + 1.0f / 24;
    near = near * below + 1.0f / 6;
    near = near * below + 0.5f;
    near = (near * below + 1.0f) * below;
    return x > 0.0f ? x : (below > -0.25f ? near : exponential(below) - 1.0f);
  }
  return x;
}

// dy / dx, from y.
template <Activation kind>
static inline Vector slope(Vector y) {
  if constexpr (kind == Activation::relu) return y > 0.0f ? broadcast(1.0f) : Vector{};
  if constexpr (kind == Activation::tanh) return 1.0f - y * y;
  if constexpr (kind == Activation::sigmoid) return y * (1.0f - y);
  if constexpr (kind == Activation::elu) return y > 0.0f ? broadcast(1.0f) : y + 1.0f;
  return broadcast(1.0f);
}

template <Activation kind>
struct ActivationConstant {
  static constexpr Activation value = kind;
};

// Calls `body(constant)` with the activation as a constant of its own type.
template <class Body>
static inline void with_activation(Activation kind, Body&& body) {
  switch (kind) {
    case Activation::relu: return body(ActivationConstant<Activation::relu>{});
    case Activation::tanh: return body(ActivationConstant<Activation::tanh>{});
    case Activation::sigmoid: return body(ActivationConstant<Activation::sigmoid>{});
    case Activation::elu: return body(ActivationConstant<Activation::elu>{});
    default: return body(ActivationConstant<Activation::linear>{});
  }
}

}  // namespace chainrule::CHAINRULE_ISA
#endif
