// Convolution and its gradient by the images, as the correlation of images with a kernel, for one type of numbers that
// enter products: `Numbers` of numbers.h.
#pragma once
#include "convolution.h"
#include "window.h"

namespace chainrule::CHAINRULE_ISA {

// Pixels in a row of the result that one tile computes: rows of images are mostly multiples of 7, and 14 fill the
// registers.
constexpr int TILE_PIXELS = LANES == 16 ? 14 : 6;

// The part of a window that sees anything, as spans of numbers that lie one behind another in the image: the taps of a
// row, where they are neighbours, or each by itself.
struct Spans {
  int64_t rows, row_step, row_packed;  // steps in the image, and in the packed kernel
  int64_t taps, tap_step, tap_packed;
  int64_t depth;
};

// What is done to the sums: a bias is added, and whatever is below a floor is raised to it, for relu.
struct Finish {
  const float* bias;
  float floor;
};

constexpr int PANEL_FILTERS = 2 * LANES;

// Some neighbouring pixels of one panel of filters.
template <class Numbers>
struct Tile {
  const typename Numbers::Number* from;  // the first pixel's window
  int64_t from_step;                     // from one pixel's window to the next
  const typename Numbers::Word* packed;
  typename Numbers::Number* to;
  int64_t to_step;
  int64_t filters;
};

template <int PIXELS, int VECTORS, class Numbers>
static __attribute__((noinline)) void compute_tile(const Tile<Numbers>& tile, const Spans& spans, const Finish& finish) {
  typename Numbers::Sum sums[PIXELS][VECTORS]{};
  for (int64_t row = 0; row < spans.rows; ++row)
    for (int64_t tap = 0; tap < spans.taps; ++tap)
      Numbers::template multiply<PIXELS, VECTORS>(tile.from + row * spans.row_step + tap * spans.tap_step, tile.from_step,
                                                  Numbers::TOGETHER,
                                                  tile.packed + row * spans.row_packed + tap * spans.tap_packed,
                                                  spans.depth, sums);
  Vector floor = broadcast(finish.floor);
#pragma GCC unroll 4
  for (int v = 0; v < VECTORS; ++v) {
    int64_t left = tile.filters - v * LANES;
    if (left <= 0) break;
    Vector bias{};
    if (finish.bias) bias = load_some(finish.bias + v * LANES, left < LANES ? left : LANES);
#pragma GCC unroll 16
    for (int i = 0; i < PIXELS; ++i) {
      Vector result = (Vector)sums[i][v] + bias;
      result = result < floor ? floor : result;  // NaN stays NaN
      Numbers::write(tile.to + i * tile.to_step + v * LANES, result, left < LANES ? left : LANES);
    }
  }
}

template <int PIXELS, class Numbers>
static inline void compute_tile_of(int64_t pixels, const Tile<Numbers>& tile, const Spans& spans, const Finish& finish) {
  if (pixels == PIXELS) {
    if (tile.filters > LANES) compute_tile<PIXELS, 2>(tile, spans, finish);
    else compute_tile<PIXELS, 1>(tile, spans, finish);
  } else if constexpr (PIXELS > 1) {
    compute_tile_of<PIXELS - 1>(pixels, tile, spans, finish);
  }
}

// One image correlated with a kernel: windows along two axes, of numbers `depth` deep at each place.
struct Correlation {
  Axis rows, columns;
  int64_t width, channels;  // of the image
  int64_t depth;            // how many channels one group of filters sees
  int64_t to_width, filters;
  int64_t packed_first;     // where its part of the packed kernel begins, for one filter
};

static inline int64_t panels_of(int64_t filters) { return (filters + PANEL_FILTERS - 1) / PANEL_FILTERS; }

// Some windows of one image with one panel of filters. `from` is the image's first place, channels of the group;
// `to` the result's, filters of the panel.
template <class Numbers>
static void correlate(const Correlation& all, Range rows, Range columns, const typename Numbers::Number* from,
                      const typename Numbers::Word* packed, typename Numbers::Number* to, int64_t filters,
                      const Finish& finish) {
  int64_t width = filters > LANES ? 2 * LANES : LANES;
  int64_t row_length = all.width * all.channels, to_length = all.to_width * all.filters;
  int64_t tap_size = Numbers::words(all.depth) * width;
  bool joined = all.columns.spacing == 1 && all.depth == all.channels && all.depth % Numbers::TOGETHER == 0;
  for (int64_t t = rows.begin; t < rows.end;) {
    Run row_run = run_from(all.rows, t, rows.end);
    for (int64_t u = columns.begin; u < columns.end;) {
      Run run = run_from(all.columns, u, columns.end);
      int64_t taps = run.taps.end - run.taps.begin;
      Spans spans{row_run.taps.end - row_run.taps.begin, all.rows.spacing * row_length,
                  all.columns.taps * tap_size, taps, all.columns.spacing * all.channels, tap_size, all.depth};
      if (joined) {
        spans.depth *= taps;
        spans.taps = 1;
      }
      if (taps == 0) spans.rows = 0;
      // Tiles go along the longer side: a border is one pixel wide.
      int64_t high = row_run.windows.end - row_run.windows.begin, wide = run.windows.end - run.windows.begin;
      bool along_row = wide >= high || wide >= TILE_PIXELS / 2;
      int64_t lines = along_row ? high : wide, length = along_row ? wide : high;
      int64_t tiles = (length + TILE_PIXELS - 1) / TILE_PIXELS, least = length / tiles, longer = length % tiles;
      for (int64_t line = 0; line < lines; ++line)
        for (int64_t index = 0, begin = 0; index < tiles; ++index) {
          int64_t pixels = least + (index < longer);
          int64_t i = t + (along_row ? line : begin), j = u + (along_row ? begin : line);
          int64_t row = i * all.rows.step + all.rows.first + row_run.taps.begin * all.rows.spacing;
          int64_t column = j * all.columns.step + all.columns.first + run.taps.begin * all.columns.spacing;
          // Nothing is read where no tap sees anything: there the place may lie outside.
          Tile<Numbers> tile{
                    spans.rows ? from + row * row_length + column * all.channels : from,
                    along_row ? all.columns.step * all.channels : all.rows.step * row_length,
                    packed + (row_run.taps.begin * all.columns.taps + run.taps.begin) * tap_size,
                    to + (all.rows.to_first + i * all.rows.to_step) * to_length +
                        (all.columns.to_first + j * all.columns.to_step) * all.filters,
                    along_row ? all.columns.to_step * all.filters : all.rows.to_step * to_length, filters};
          compute_tile_of<TILE_PIXELS>(pixels, tile, spans, finish);
          begin += pixels;
        }
      u = run.windows.end;
    }
    t = row_run.windows.end;
  }
}

// The kernel's taps in the order in which the windows meet them, one panel of filters. `tap_of(a, b)` is one tap, a matrix
// (channels, filters) from the panel's first filter on.
template <class Numbers, class TapOf>
static void pack_kernel(const Correlation& all, int64_t filters, TapOf&& tap_of, typename Numbers::Word* to) {
  int64_t width = filters > LANES ? 2 * LANES : LANES;
  for (int64_t a = 0; a < all.rows.taps; ++a)
    for (int64_t b = 0; b < all.columns.taps; ++b, to += Numbers::words(all.depth) * width) {
      typename Numbers::Operand tap = tap_of(all.rows.tap_first + a * all.rows.tap_step, all.columns.tap_first + b * all.columns.tap_step);
      if (width == LANES) Numbers::template pack_columns<1>(tap, all.depth, 0, filters, to);
      else Numbers::template pack_columns<2>(tap, all.depth, 0, filters, to);
    }
}

// How the windows of a batch are divided among tasks: some images, or a part of one, and some of the panels.
struct Division {
  int64_t images, panels, rows, columns;  // the number of parts
  int64_t tasks() const { return images * panels * rows * columns; }
};

static Division divide(const Pool& pool, int64_t images, int64_t panels, int64_t rows, int64_t columns,
                       int64_t operations) {
  if (pool.threads() == 1 || operations < FEWEST_SHARED_OPERATIONS) return {1, 1, 1, 1};
  int64_t wanted = 8 * pool.threads(), most = operations / (FEWEST_SHARED_OPERATIONS / 4) + 1;
  wanted = wanted < most ? wanted : most;
  Division division{images < wanted ? (images ? images : 1) : wanted, 1, 1, 1};
  auto still = [&] { return (wanted + division.tasks() - 1) / division.tasks(); };
  division.panels = bounded(still(), 1, panels);
  division.rows = bounded(still(), 1, rows);
  division.columns = bounded(still(), 1, columns / TILE_PIXELS + 1);
  return division;
}

// A batch of images, correlated in one or several phases: `phase_count` correlations that fill the result together.
template <class Numbers>
struct Batch {
  int64_t images, groups;
  const typename Numbers::Number* from;  // images of `from_size` numbers
  int64_t from_size;
  typename Numbers::Number* to;
  int64_t to_size;
  const float* bias;
  typename Numbers::Word* packed;        // `group_size` words for each group
  int64_t group_size;
  Activation activation;
  int64_t operations;
};

template <class Numbers, class PhaseAt, class TapOf>
static void correlate_batch(Pool& pool, const Batch<Numbers>& batch, int64_t phases, const PhaseAt& phase_at,
                            const TapOf& tap_of) {
  Correlation first = phase_at(0);
  int64_t filters = first.filters / batch.groups, panels = panels_of(filters), all_panels = panels * batch.groups;
  auto filters_of = [&](int64_t panel) {
    int64_t left = filters - panel * PANEL_FILTERS;
    return left < PANEL_FILTERS ? left : int64_t(PANEL_FILTERS);
  };
  auto packed_at = [&](int64_t group, int64_t panel, const Correlation& phase) {
    return batch.packed + group * batch.group_size + PANEL_FILTERS * (phase.packed_first * panels +
           panel * phase.rows.taps * phase.columns.taps * Numbers::words(phase.depth));
  };
  bool shared = batch.operations >= FEWEST_SHARED_OPERATIONS;
  auto pack = [&](int64_t index) {
    int64_t group = index / panels, panel = index % panels;
    for (int64_t number = 0; number < phases; ++number) {
      Correlation phase = phase_at(number);
      pack_kernel<Numbers>(phase, filters_of(panel),
                           [&](int64_t a, int64_t b) { return tap_of(group, panel * PANEL_FILTERS, a, b); },
                           packed_at(group, panel, phase));
    }
  };
  run_tasks(pool, all_panels, shared, pack);

  bool is_relu = batch.activation == Activation::relu;
  float floor = is_relu ? 0.0f : -__builtin_inff();
  Division division = divide(pool, batch.images, all_panels, first.rows.count, first.columns.count, batch.operations);
  run_tasks(pool, division.tasks(), shared, [&](int64_t index) {
    Range images = part(batch.images, division.images, index / (division.panels * division.rows * division.columns));
    Range some = part(all_panels, division.panels, index / (division.rows * division.columns) % division.panels);
    int64_t row_part = index / division.columns % division.rows, column_part = index % division.columns;
    for (int64_t image = images.begin; image < images.end; ++image)
      for (int64_t number = 0; number < phases; ++number) {
        Correlation phase = phase_at(number);
        Range rows = part(phase.rows.count, division.rows, row_part);
        Range columns = part(phase.columns.count, division.columns, column_part);
        auto* to = batch.to + image * batch.to_size;
        for (int64_t index = some.begin; index < some.end; ++index) {
          int64_t group = index / panels, panel = index % panels, filter = group * filters + panel * PANEL_FILTERS;
          Finish finish{batch.bias ? batch.bias + filter : nullptr, floor};
          correlate<Numbers>(phase, rows, columns, batch.from + image * batch.from_size + group * phase.depth,
                    packed_at(group, panel, phase), to + filter, filters_of(panel), finish);
        }
        if (batch.activation == Activation::linear || is_relu || some.begin == some.end) continue;
        // Other functions are applied to what was stored, which is still in the cache.
        int64_t begin = some.begin / panels * filters + some.begin % panels * PANEL_FILTERS;
        int64_t last = some.end - 1;
        int64_t end = last / panels * filters + last % panels * PANEL_FILTERS + filters_of(last % panels);
        with_activation(batch.activation, [&](auto constant) {
          for (int64_t i = rows.begin; i < rows.end; ++i)
            for (int64_t j = columns.begin; j < columns.end; ++j) {
              auto* pixel = to + (phase.rows.to_first + i * phase.rows.to_step) * phase.to_width * phase.filters +
                             (phase.columns.to_first + j * phase.columns.to_step) * phase.filters;
              for (int64_t f = begin; f < end; f += LANES) {
                int64_t count = end - f < LANES ? end - f : LANES;
                Numbers::write(pixel + f, activate<decltype(constant)::value>(Numbers::read(pixel + f, count)), count);
              }
            }
        });
      }
  });
}

template <class Numbers>
static void forward_by(Pool& pool, const ConvolutionForward<typename Numbers::Number>& call) {
  ConvolutionShape shape = flattened(call.shape);
  if (shape.images * shape.rows * shape.columns * shape.filters == 0) return;
  if constexpr (!Numbers::ROUNDS)
    if (is_depthwise(shape)) return depthwise_forward(pool, call);
  int64_t inputs = shape.channels / shape.groups, filters = shape.filters / shape.groups;
  int64_t depth = shape.window[0] * shape.window[1] * Numbers::words(inputs);
  Correlation phase{forward_axis(shape.rows, shape.height, shape.window[0], shape.strides[0], shape.dilation[0],
                                 shape.padding[0]),
                    forward_axis(shape.columns, shape.width, shape.window[1], shape.strides[1], shape.dilation[1],
                                 shape.padding[1]),
                    shape.width, shape.channels, inputs, shape.columns, shape.filters, 0};
  Batch<Numbers> batch{
              shape.images, shape.groups, call.x, shape.height * shape.width * shape.channels, call.y,
              shape.rows * shape.columns * shape.filters, call.bias,
              static_cast<typename Numbers::Word*>(call.scratch), panels_of(filters) * PANEL_FILTERS * depth, call.activation, operations_of(shape)};
  correlate_batch(pool, batch, 1, [&](int64_t) { return phase; }, [&](int64_t group, int64_t filter, int64_t a, int64_t b) {
    auto* tap = call.kernel + (a * shape.window[1] + b) * inputs * shape.filters + group * filters + filter;
    return typename Numbers::Operand{tap, shape.filters, 1};
  });
}

template <class Numbers>
static void input_by(Pool& pool, const ConvolutionInput<typename Numbers::Number>& call) {
  ConvolutionShape shape = flattened(call.shape);
  if (shape.images * shape.height * shape.width * shape.channels == 0) return;
  if constexpr (!Numbers::ROUNDS)
    if (is_depthwise(shape)) return depthwise_input(pool, call);
  int64_t inputs = shape.channels / shape.groups, filters = shape.filters / shape.groups;
  // Phases beyond the last place have none.
  int64_t down = shape.strides[0] < shape.height ? shape.strides[0] : shape.height;
  int64_t across = shape.strides[1] < shape.width ? shape.strides[1] : shape.width;
  auto phase_at = [&](int64_t number) {
    auto axis = [&](int axis, int64_t phase) {
      return transposed_axis(phase, axis ? shape.columns : shape.rows, axis ? shape.width : shape.height,
                             shape.window[axis], shape.strides[axis], shape.dilation[axis], shape.padding[axis]);
    };
    int64_t row = number / across, column = number % across, taps = 0;
    Axis rows = axis(0, row), columns = axis(1, column);
    for (int64_t before = 0; before < row; ++before) taps += axis(0, before).taps * shape.window[1];
    for (int64_t before = 0; before < column; ++before) taps += axis(1, before).taps * rows.taps;
    return Correlation{rows, columns, shape.columns, shape.filters, filters, shape.width, shape.channels,
                       taps * Numbers::words(filters)};
  };
  Batch<Numbers> batch{
              shape.images, shape.groups, call.dy, shape.rows * shape.columns * shape.filters, call.dx,
              shape.height * shape.width * shape.channels, call.bias,
              static_cast<typename Numbers::Word*>(call.scratch),
              panels_of(inputs) * PANEL_FILTERS * shape.window[0] * shape.window[1] * Numbers::words(filters),
              call.activation,
              operations_of(shape)};
  correlate_batch(pool, batch, down * across, phase_at,
                  [&](int64_t group, int64_t channel, int64_t a, int64_t b) {
    auto* tap = call.kernel + ((a * shape.window[1] + b) * inputs + channel) * shape.filters + group * filters;
    return typename Numbers::Operand{tap, 1, shape.filters};
  });
}

}  // namespace chainrule::CHAINRULE_ISA
