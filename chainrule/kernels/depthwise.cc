// Convolution of each channel by itself: vectors of channels, a few pixels of a row at a time.
#include "convolution.h"

#include "vector.h"
#include "window.h"

namespace chainrule::CHAINRULE_ISA {
namespace {

constexpr int PIXELS = 6;             // of one tile
constexpr int64_t LONGEST_ROW = 128;  // of gradients, kept in the fastest cache

// Neighbouring windows of one row, correlated with their taps. Steps are from one row or column of windows, or of taps,
// to the next.
struct Row {
  const float* from;
  int64_t from_step, row_taps, row_step, column_taps, column_step;
  const float* kernel;
  int64_t kernel_row, kernel_column;
  float* to;
  int64_t to_step;
};

template <int COUNT, class Finish>
inline __attribute__((always_inline)) void compute_pixels(const Row& row, int64_t i, int64_t channels,
                                                          const Finish& finish) {
  Vector sums[COUNT]{};
  const float* from = row.from + i * row.from_step;
  for (int64_t a = 0; a < row.row_taps; ++a)
    for (int64_t b = 0; b < row.column_taps; ++b) {
      const float* place = from + a * row.row_step + b * row.column_step;
      const float* weight = row.kernel + a * row.kernel_row + b * row.kernel_column;
      if (channels == LANES) {
        Vector right = load(weight);
#pragma GCC unroll 8
        for (int p = 0; p < COUNT; ++p) sums[p] += load(place + p * row.from_step) * right;
      } else {
        Vector right = load_part(weight, channels);
#pragma GCC unroll 8
        for (int p = 0; p < COUNT; ++p) sums[p] += load_part(place + p * row.from_step, channels) * right;
      }
    }
  float* to = row.to + i * row.to_step;
#pragma GCC unroll 8
  for (int p = 0; p < COUNT; ++p) {
    if (channels == LANES) store(to + p * row.to_step, finish(sums[p]));
    else store_part(to + p * row.to_step, finish(sums[p]), channels);
  }
}

// One image: windows along two axes, and the sizes of what is read and written.
struct Plan {
  Axis rows, columns;
  int64_t width, to_width, channels, kernel_width;
};

template <class Finish>
void compute_row(const Plan& plan, int64_t t, const float* from, const float* kernel, float* to, int64_t channels,
                 const Finish& finish) {
  Range taps = plan.rows.seeing(t);
  int64_t length = plan.width * plan.channels, row = t * plan.rows.step + plan.rows.first + taps.begin * plan.rows.spacing;
  float* to_row = to + (plan.rows.to_first + t * plan.rows.to_step) * plan.to_width * plan.channels;
  for (int64_t u = 0; u < plan.columns.count;) {
    Run run = run_from(plan.columns, u, plan.columns.count);
    int64_t column = u * plan.columns.step + plan.columns.first + run.taps.begin * plan.columns.spacing;
    bool sees = taps.begin < taps.end && run.taps.begin < run.taps.end;
    Row some{sees ? from + row * length + column * plan.channels : from, plan.columns.step * plan.channels,
             sees ? taps.end - taps.begin : 0, plan.rows.spacing * length, run.taps.end - run.taps.begin,
             plan.columns.spacing * plan.channels,
             kernel + ((plan.rows.tap_first + taps.begin * plan.rows.tap_step) * plan.kernel_width +
                       plan.columns.tap_first + run.taps.begin * plan.columns.tap_step) * plan.channels,
             plan.rows.tap_step * plan.kernel_width * plan.channels, plan.columns.tap_step * plan.channels,
             to_row + (plan.columns.to_first + u * plan.columns.to_step) * plan.channels,
             plan.columns.to_step * plan.channels};
    int64_t count = run.windows.end - u, i = 0;
    for (; i + PIXELS <= count; i += PIXELS) compute_pixels<PIXELS>(some, i, channels, finish);
    for (; i < count; ++i) compute_pixels<1>(some, i, channels, finish);
    u = run.windows.end;
  }
}

// All phases of all images, some rows of one image at a time.
template <class PlanAt>
void compute(Pool& pool, int64_t images, int64_t phases, const PlanAt& plan_at, const float* from, int64_t from_size,
             const float* kernel, const float* bias, float* to, int64_t to_size, Activation activation,
             bool shared) {
  Plan first = plan_at(0);
  int64_t bands = images < 32 ? bounded(32 / images, 1, first.rows.count ? first.rows.count : 1) : 1;
  with_activation(activation, [&](auto constant) {
    run_tasks(pool, images * bands, shared, [&](int64_t index) {
      int64_t image = index / bands;
      for (int64_t phase = 0; phase < phases; ++phase) {
        Plan plan = plan_at(phase);
        Range rows = part(plan.rows.count, bands, index % bands);
        for (int64_t t = rows.begin; t < rows.end; ++t)
          for (int64_t c = 0; c < plan.channels; c += LANES) {
            int64_t channels = plan.channels - c < LANES ? plan.channels - c : LANES;
            Vector shift = bias ? load_part(bias + c, channels) : Vector{};
            auto finish = [shift](Vector sums) { return activate<decltype(constant)::value>(sums + shift); };
            compute_row(plan, t, from + image * from_size + c, kernel + c, to + image * to_size + c, channels, finish);
          }
      }
    });
  });
}

// Gradients of the kernel for one vector of channels.
class Sums {
 public:
  Sums(const ConvolutionWeights<float>& call, const Plan& plan) : call_(call), plan_(plan) {}

  void add(int64_t image, int64_t t, Range columns, int64_t channel, int64_t channels, float* to, Vector& bias) const {
    const ConvolutionShape& shape = call_.shape;
    alignas(64) float dz[LONGEST_ROW * LANES];
    int64_t place = ((image * shape.rows + t) * shape.columns + columns.begin) * shape.channels + channel;
    with_activation(call_.activation, [&](auto constant) {
      enter<decltype(constant)::value>(place, columns.end - columns.begin, channels, dz, bias);
    });
    Range taps = plan_.rows.seeing(t);
    for (int64_t a = taps.begin; a < taps.end; ++a)
      for (int64_t b = 0; b < plan_.columns.taps; ++b) {
        Range own = plan_.columns.seen_by(b, columns);
        int64_t row = t * plan_.rows.step + plan_.rows.first + a * plan_.rows.spacing;
        int64_t column = own.begin * plan_.columns.step + plan_.columns.first + b * plan_.columns.spacing;
        if (own.begin >= own.end) continue;
        const float* x = call_.x + ((image * shape.height + row) * shape.width + column) * shape.channels + channel;
        float* sum = to + (a * plan_.kernel_width + b) * shape.channels;
        const float* gradient = dz + (own.begin - columns.begin) * LANES;
        if (channels == LANES) store(sum, load(sum) + product<true>(x, gradient, own.end - own.begin, channels));
        else store_part(sum, load_part(sum, channels) + product<false>(x, gradient, own.end - own.begin, channels), channels);
      }
  }

 private:
  template <Activation kind>
  void enter(int64_t place, int64_t count, int64_t channels, float* dz, Vector& bias) const {
    for (int64_t u = 0; u < count; ++u, place += call_.shape.channels) {
      Vector gradient = load_part(call_.dy + place, channels);
      if constexpr (kind != Activation::linear) gradient *= slope<kind>(load_part(call_.y + place, channels));
      if (call_.dz) store_part(call_.dz + place, gradient, channels);
      store(dz + u * LANES, gradient);
      bias += gradient;
    }
  }

  // In four sums, which are added up in the end: one alone would wait for itself.
  template <bool WHOLE>
  Vector product(const float* x, const float* dz, int64_t count, int64_t channels) const {
    Vector sums[4]{};
    int64_t step = plan_.columns.step * plan_.channels, u = 0;
    auto at = [&](int64_t u) { return WHOLE ? load(x + u * step) : load_part(x + u * step, channels); };
    for (; u + 4 <= count; u += 4)
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) sums[k] += at(u + k) * load(dz + (u + k) * LANES);
    for (; u < count; ++u) sums[0] += at(u) * load(dz + u * LANES);
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }

  const ConvolutionWeights<float>& call_;
  const Plan& plan_;
};

Plan forward_plan(const ConvolutionShape& shape) {
  return {forward_axis(shape.rows, shape.height, shape.window[0], shape.strides[0], shape.dilation[0], shape.padding[0]),
          forward_axis(shape.columns, shape.width, shape.window[1], shape.strides[1], shape.dilation[1],
                       shape.padding[1]),
          shape.width, shape.columns, shape.channels, shape.window[1]};
}

}  // namespace

void depthwise_forward(Pool& pool, const ConvolutionForward<float>& call) {
  const ConvolutionShape& shape = call.shape;
  Plan plan = forward_plan(shape);
  compute(pool, shape.images, 1, [&](int64_t) { return plan; }, call.x, shape.height * shape.width * shape.channels,
          call.kernel, call.bias, call.y, shape.rows * shape.columns * shape.channels, call.activation,
          operations_of(shape) >= FEWEST_SHARED_OPERATIONS / 4);
}

void depthwise_input(Pool& pool, const ConvolutionInput<float>& call) {
  const ConvolutionShape& shape = call.shape;
  int64_t down = shape.strides[0] < shape.height ? shape.strides[0] : shape.height;
  int64_t across = shape.strides[1] < shape.width ? shape.strides[1] : shape.width;
  auto plan_at = [&](int64_t phase) {
    return Plan{transposed_axis(phase / across, shape.rows, shape.height, shape.window[0], shape.strides[0],
                                shape.dilation[0], shape.padding[0]),
                transposed_axis(phase % across, shape.columns, shape.width, shape.window[1], shape.strides[1],
                                shape.dilation[1], shape.padding[1]),
                shape.columns, shape.width, shape.channels, shape.window[1]};
  };
  compute(pool, shape.images, down * across, plan_at, call.dy, shape.rows * shape.columns * shape.channels, call.kernel,
          call.bias, call.dx, shape.height * shape.width * shape.channels, call.activation,
          operations_of(shape) >= FEWEST_SHARED_OPERATIONS / 4);
}

void depthwise_weights(Pool& pool, const ConvolutionWeights<float>& call) {
  const ConvolutionShape& shape = call.shape;
  Plan plan = forward_plan(shape);
  Sums sums(call, plan);
  int64_t numbers = shape.window[0] * shape.window[1] * shape.channels;
  int64_t vectors = (shape.channels + LANES - 1) / LANES;
  run_tasks(pool, call.parts * vectors, operations_of(shape) >= FEWEST_SHARED_OPERATIONS / 4, [&](int64_t index) {
    int64_t c = index % vectors * LANES, number = index / vectors;
    int64_t channels = shape.channels - c < LANES ? shape.channels - c : LANES;
    float* to = (call.parts == 1 ? call.dkernel : call.scratch + number * numbers) + c;
    for (int64_t entry = 0; entry < shape.window[0] * shape.window[1]; ++entry)
      store_part(to + entry * shape.channels, Vector{}, channels);
    Vector bias{};
    Range rows = part(shape.images * shape.rows, call.parts, number);
    for (int64_t row = rows.begin; row < rows.end; ++row)
      for (int64_t column = 0; column < shape.columns; column += LONGEST_ROW) {
        int64_t end = column + LONGEST_ROW < shape.columns ? column + LONGEST_ROW : shape.columns;
        sums.add(row / shape.rows, row % shape.rows, {column, end}, c, channels, to, bias);
      }
    if (!call.dbias) return;
    float* bias_to = call.parts == 1 ? call.dbias
                                     : call.scratch + call.parts * numbers + number * shape.channels;
    store_part(bias_to + c, bias, channels);
  });
  add_parts(pool, call, numbers);
}

}  // namespace chainrule::CHAINRULE_ISA
