// Convolution of images, channels last, and its gradients. All arrays are row by row.
//
//     y[n, i, j, f] = activation(bias[f] + sum over a, b, c of
//         x[n, i * strides[0] + a * dilation[0] - padding[0], j * strides[1] + b * dilation[1] - padding[1], c]
//         * kernel[a, b, c, f])
//
// Whatever lies outside the image is 0. Filters of one group see the channels of one group. `Number` is what enters
// products: float32, or the bits of a bfloat16.
#pragma once
#include "activation.h"
#include "pool.h"

namespace chainrule {

struct ConvolutionShape {
  int64_t images, height, width, channels;  // of x
  int64_t rows, columns, filters;           // of y
  int64_t window[2], strides[2], dilation[2], padding[2];
  int64_t groups;
};

// Whether each channel is convolved by itself, with one filter.
static inline bool is_depthwise(const ConvolutionShape& shape) {
  return shape.groups == shape.channels && shape.filters == shape.channels;
}

template <class Number>
struct ConvolutionForward {
  ConvolutionShape shape;
  const Number* x;       // (images, height, width, channels)
  const Number* kernel;  // (window[0], window[1], channels / groups, filters)
  const float* bias;     // (filters,), or null
  Number* y;             // (images, rows, columns, filters)
  void* scratch;         // window[0] * window[1] * channels numbers for each filter, filters of a group rounded up to 32
  Activation activation;
};

// dx for a given dy; also the forward pass of a transposed convolution.
template <class Number>
struct ConvolutionInput {
  ConvolutionShape shape;
  const Number* dy;  // (images, rows, columns, filters)
  const Number* kernel;
  const float* bias;  // (channels,), or null
  Number* dx;         // (images, height, width, channels)
  void* scratch;      // window[0] * window[1] * filters numbers for each channel, likewise
  Activation activation;
};

template <class Number>
struct ConvolutionWeights {
  ConvolutionShape shape;
  const Number* x;
  const Number* y;  // null where the activation is linear
  const Number* dy;
  Number* dz;  // the gradient of what enters the activation, or null
  float* dkernel;
  float* dbias;    // (filters,), or null
  float* scratch;  // `parts` times the room of dkernel and dbias
  int64_t parts;   // into how many sums the pixels are divided; the result depends on it
  Activation activation;
};

// What there is for one type of numbers.
template <class Number>
struct ConvolutionKernels {
  void (*forward)(Pool&, const ConvolutionForward<Number>&);
  void (*input)(Pool&, const ConvolutionInput<Number>&);
  void (*weights)(Pool&, const ConvolutionWeights<Number>&);
};

}  // namespace chainrule

#ifdef CHAINRULE_ISA
namespace chainrule::CHAINRULE_ISA {
extern const ConvolutionKernels<float> convolution;
extern const ConvolutionKernels<uint16_t> convolution_bf16;

// The same where each channel is convolved by itself, with one filter.
void depthwise_forward(Pool& pool, const ConvolutionForward<float>& call);
void depthwise_input(Pool& pool, const ConvolutionInput<float>& call);
void depthwise_weights(Pool& pool, const ConvolutionWeights<float>& call);
}  // namespace chainrule::CHAINRULE_ISA
#endif
