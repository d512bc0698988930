// Pooling of images, channels last: the largest or the mean entry of each window, and the gradients of both.
#pragma once
#include "pool.h"

namespace chainrule {

// One axis of places: window `o` of `count` reaches from `o * stride - before` over `window` places, of which those that
// lie on the axis count. Each window has at least one.
struct PoolingAxis {
  int64_t size, count, window, stride, before;
};

struct Pooling {
  int64_t images, channels;
  PoolingAxis down, right;
};

struct MaxPoolForward {
  const float* x;   // (images, down.size, right.size, channels)
  float* y;         // (images, down.count, right.count, channels)
  int32_t* places;  // the same: which entry of its window won, rows first
  Pooling shape;
};

struct MaxPoolBackward {
  const int32_t* places;  // (images, down.count, right.count, channels)
  const float* dy;        // the same
  float* dx;              // (images, down.size, right.size, channels)
  Pooling shape;
};

struct AveragePoolForward {
  const float* x;  // (images, down.size, right.size, channels)
  float* y;        // (images, down.count, right.count, channels)
  Pooling shape;
};

struct AveragePoolBackward {
  const float* dy;  // (images, down.count, right.count, channels)
  float* dx;        // (images, down.size, right.size, channels)
  Pooling shape;
};

}  // namespace chainrule

#ifdef CHAINRULE_ISA
namespace chainrule::CHAINRULE_ISA {
void max_pool_forward(Pool& pool, const MaxPoolForward& call);
void max_pool_backward(Pool& pool, const MaxPoolBackward& call);
void average_pool_forward(Pool& pool, const AveragePoolForward& call);
void average_pool_backward(Pool& pool, const AveragePoolBackward& call);
}  // namespace chainrule::CHAINRULE_ISA
#endif
