// Windows along one axis of an image: which places of the image the taps of a window see, and which lie outside.
#pragma once
#include "convolution.h"
#include "parallel.h"
#include "vector.h"

namespace chainrule::CHAINRULE_ISA {

static inline int64_t floor_divided(int64_t a, int64_t b) { return a / b - (a % b < 0); }
static inline int64_t ceil_divided(int64_t a, int64_t b) { return floor_divided(a + b - 1, b); }
static inline int64_t bounded(int64_t value, int64_t low, int64_t high) {
  return value < low ? low : value > high ? high : value;
}

// Tap j of window t sees the place t * step + first + j * spacing, where that is one of the `size` places there are.
struct Axis {
  int64_t count, step;            // of the windows
  int64_t first, spacing, taps;
  int64_t size;                   // of what is seen
  int64_t to_first, to_step;      // where the results go: window t to place to_first + t * to_step
  int64_t tap_first, tap_step;    // which tap of the kernel tap j is

  // The taps of window t that see anything.
  Range seeing(int64_t t) const {
    int64_t start = t * step + first;
    int64_t begin = bounded(ceil_divided(-start, spacing), 0, taps);
    int64_t end = bounded(floor_divided(size - 1 - start, spacing) + 1, begin, taps);
    return {begin, end};
  }

  // The windows, among some, in which tap j sees anything.
  Range seen_by(int64_t j, Range windows) const {
    int64_t offset = first + j * spacing;
    int64_t begin = bounded(ceil_divided(-offset, step), windows.begin, windows.end);
    int64_t end = bounded(floor_divided(size - 1 - offset, step) + 1, begin, windows.end);
    return {begin, end};
  }
};

// Neighbouring windows of which the same taps see anything.
struct Run {
  Range windows, taps;
};

static inline Run run_from(const Axis& axis, int64_t t, int64_t end) {
  Range taps = axis.seeing(t);
  int64_t next = end;
  if (taps.begin > 0) {  // the tap before them comes to see something
    int64_t change = ceil_divided(-axis.first - (taps.begin - 1) * axis.spacing, axis.step);
    if (change < next) next = change;
  }
  if (taps.begin < taps.end) {  // the last of them ceases to
    int64_t change = floor_divided(axis.size - 1 - axis.first - (taps.end - 1) * axis.spacing, axis.step) + 1;
    if (change < next) next = change;
  } else if (taps.end < axis.taps) {  // between two taps, or past the end
    next = t + 1;
  }
  return {{t, next > t ? next : t + 1}, taps};
}

// The windows of a convolution along one axis.
static inline Axis forward_axis(int64_t count, int64_t size, int64_t taps, int64_t stride, int64_t dilation,
                                int64_t padding) {
  return {count, stride, -padding, dilation, taps, size, 0, 1, 0, 1};
}

template <class Body>
static inline void run_tasks(Pool& pool, int64_t tasks, bool shared, const Body& body) {
  if (shared && pool.threads() > 1 && tasks > 1) return parallel(pool, tasks, body);
  for (int64_t index = 0; index < tasks; ++index) body(index);
}

// The gradients of a kernel of so many entries and of the bias: the sums of those of all parts, one after another.
template <class Number>
static inline void add_parts(Pool& pool, const ConvolutionWeights<Number>& call, int64_t entries) {
  if (call.parts == 1) return;
  auto add = [&](const float* parts, int64_t numbers, Range some, float* to) {
    for (int64_t i = some.begin; i < some.end; i += LANES) {
      int64_t count = some.end - i < LANES ? some.end - i : LANES;
      Vector total = load_part(parts + i, count);
      for (int64_t index = 1; index < call.parts; ++index) total += load_part(parts + index * numbers + i, count);
      store_part(to + i, total, count);
    }
  };
  int64_t chunks = entries / 16384 + 1, filters = call.shape.filters;
  run_tasks(pool, chunks, entries * call.parts > 100'000, [&](int64_t index) {
    add(call.scratch, entries, part(entries, chunks, index, LANES), call.dkernel);
  });
  if (call.dbias) add(call.scratch + call.parts * entries, filters, {0, filters}, call.dbias);
}

static inline int64_t greatest_divisor(int64_t a, int64_t b) { return b ? greatest_divisor(b, a % b) : a; }

// The same for its transpose, which takes `count` places to `size`: those places of the result that follow `phase` at
// the distance of the stride. Only every so many-th tap leads there. They are taken from the last to the first, so that
// they see one place after another.
static inline Axis transposed_axis(int64_t phase, int64_t count, int64_t size, int64_t taps, int64_t stride,
                                   int64_t dilation, int64_t padding) {
  int64_t divisor = greatest_divisor(stride, dilation), every = stride / divisor, spacing = dilation / divisor;
  int64_t first = 0;  // the first tap that leads from a window to this phase
  while (first < every && floor_divided(phase + padding - first * dilation, stride) * stride !=
                              phase + padding - first * dilation) ++first;
  int64_t some = first < every && first < taps ? (taps - 1 - first) / every + 1 : 0;
  int64_t last = first + (some - 1) * every;
  int64_t offset = some ? floor_divided(phase + padding - last * dilation, stride) : 0;
  int64_t places = phase < size ? (size - 1 - phase) / stride + 1 : 0;
  return {places, 1, offset, spacing, some, count, phase, stride, last, -every};
}

// Where windows are single pixels, a batch is one long row of them.
static inline ConvolutionShape flattened(ConvolutionShape shape) {
  bool pointwise = shape.window[0] == 1 && shape.window[1] == 1 && shape.strides[0] == 1 && shape.strides[1] == 1 &&
                   shape.padding[0] == 0 && shape.padding[1] == 0 && shape.rows == shape.height &&
                   shape.columns == shape.width;
  if (pointwise) {
    shape.width = shape.columns = shape.images * shape.height * shape.width;
    shape.images = shape.height = shape.rows = 1;
  }
  return shape;
}

static inline int64_t operations_of(const ConvolutionShape& shape) {
  return 2 * shape.images * shape.rows * shape.columns * shape.filters * shape.window[0] * shape.window[1] *
         (shape.channels / shape.groups);
}

}  // namespace chainrule::CHAINRULE_ISA
