// The gradient of a convolution's kernel and bias: products of what the windows see with what comes back, over all pixels.
#include "convolution.h"

#include "product.h"
#include "window.h"

namespace chainrule::CHAINRULE_ISA {
namespace {

constexpr int TILE_ENTRIES = LANES == 16 ? 14 : 6;  // of the kernel, times two vectors of filters
constexpr int64_t BLOCK_PIXELS = 128;               // whose gradients are packed into the fastest cache

// Some rows of some images, or a part of one row.
struct Block {
  Range images, rows, columns;
  int64_t pixels() const {
    return (images.end - images.begin) * (rows.end - rows.begin) * (columns.end - columns.begin);
  }
};

// How a batch is cut into blocks of at most BLOCK_PIXELS.
struct Blocks {
  int64_t images, rows, columns, image_parts, row_parts, column_parts;

  explicit Blocks(const ConvolutionShape& shape) : images(shape.images), rows(shape.rows), columns(shape.columns) {
    int64_t pixels = rows * columns;
    int64_t together = pixels < BLOCK_PIXELS ? BLOCK_PIXELS / pixels : 1;
    image_parts = (images + together - 1) / together;
    int64_t high = columns < BLOCK_PIXELS ? BLOCK_PIXELS / columns : 1;
    row_parts = (rows + high - 1) / high;
    column_parts = (columns + BLOCK_PIXELS - 1) / BLOCK_PIXELS;
  }
  int64_t count() const { return image_parts * row_parts * column_parts; }
  Block at(int64_t index) const {
    return {part(images, image_parts, index / (row_parts * column_parts)),
            part(rows, row_parts, index / column_parts % row_parts), part(columns, column_parts, index % column_parts)};
  }
};

// The pixels of a block whose windows see something at one tap, and where that and the packed gradients lie.
struct Pixels {
  int64_t images, rows, columns;
  const float* x;
  int64_t image_step, row_step, column_step;
  const float* packed;
  int64_t image_packed, row_packed;
};

template <int ENTRIES, int VECTORS>
__attribute__((noinline)) void add_tile(const Pixels& pixels, float* to, int64_t stride, int64_t filters) {
  Vector sums[ENTRIES][VECTORS];
#pragma GCC unroll 16
  for (int i = 0; i < ENTRIES; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) {
      int64_t left = filters - v * LANES;
      float* place = to + i * stride + v * LANES;
      sums[i][v] = left >= LANES ? load(place) : left > 0 ? load_part(place, left) : Vector{};
    }
  for (int64_t image = 0; image < pixels.images; ++image)
    for (int64_t row = 0; row < pixels.rows; ++row)
      multiply_tile<ENTRIES, VECTORS>(pixels.x + image * pixels.image_step + row * pixels.row_step, 1,
                                      pixels.column_step,
                                      pixels.packed + image * pixels.image_packed + row * pixels.row_packed,
                                      pixels.columns, sums);
#pragma GCC unroll 16
  for (int i = 0; i < ENTRIES; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) {
      int64_t left = filters - v * LANES;
      float* place = to + i * stride + v * LANES;
      if (left >= LANES) store(place, sums[i][v]);
      else if (left > 0) store_part(place, sums[i][v], left);
    }
}

template <int ENTRIES>
inline void add_tile_of(int64_t entries, const Pixels& pixels, float* to, int64_t stride, int64_t filters) {
  if (entries == ENTRIES) {
    if (filters > LANES) add_tile<ENTRIES, 2>(pixels, to, stride, filters);
    else add_tile<ENTRIES, 1>(pixels, to, stride, filters);
  } else if constexpr (ENTRIES > 1) {
    add_tile_of<ENTRIES - 1>(entries, pixels, to, stride, filters);
  }
}

// One panel of filters, of one group.
struct Panel {
  int64_t group, filter, filters;
};

class Weights {
 public:
  explicit Weights(const ConvolutionWeights& call)
      : call_(call), shape_(flattened(call.shape)), blocks_(shape_), inputs_(shape_.channels / shape_.groups),
        rows_(forward_axis(shape_.rows, shape_.height, shape_.window[0], shape_.strides[0], shape_.dilation[0],
                           shape_.padding[0])),
        columns_(forward_axis(shape_.columns, shape_.width, shape_.window[1], shape_.strides[1], shape_.dilation[1],
                              shape_.padding[1])),
        entries_(shape_.window[0] * shape_.window[1] * inputs_) {}

  void run(Pool& pool) {
    int64_t filters = shape_.filters / shape_.groups, panels = (filters + TILE_COLUMNS - 1) / TILE_COLUMNS;
    bool shared = operations_of(shape_) >= FEWEST_SHARED_OPERATIONS;
    int64_t all_panels = panels * shape_.groups;
    run_tasks(pool, call_.parts * all_panels, shared, [&](int64_t index) {
      int64_t panel = index % all_panels, first = panel % panels * TILE_COLUMNS;
      int64_t some = filters - first < TILE_COLUMNS ? filters - first : TILE_COLUMNS;
      add_panel({panel / panels, panel / panels * filters + first, some}, index / all_panels);
    });
    add_parts(pool, call_, entries_ * shape_.filters);
  }

 private:
  // One part of all pixels.
  void add_panel(const Panel& panel, int64_t index) const {
    int64_t numbers = entries_ * shape_.filters;
    bool alone = call_.parts == 1;
    float* to = (alone ? call_.dkernel : call_.scratch + index * numbers) + panel.filter;
    for (int64_t entry = 0; entry < entries_; ++entry)
      for (int64_t f = 0; f < panel.filters; ++f) to[entry * shape_.filters + f] = 0;
    float bias[TILE_COLUMNS]{};
    alignas(64) float packed[BLOCK_PIXELS * TILE_COLUMNS];
    Range some = part(blocks_.count(), call_.parts, index);
    for (int64_t number = some.begin; number < some.end; ++number) {
      Block block = blocks_.at(number);
      with_activation(call_.activation, [&](auto constant) {
        if (panel.filters > LANES) pack<2, decltype(constant)::value>(block, panel, packed, bias);
        else pack<1, decltype(constant)::value>(block, panel, packed, bias);
      });
      add_block(block, panel, packed, to);
    }
    if (!call_.dbias) return;
    float* bias_to = alone ? call_.dbias : call_.scratch + call_.parts * numbers + index * shape_.filters;
    for (int64_t f = 0; f < panel.filters; ++f) bias_to[panel.filter + f] = bias[f];
  }

  // The gradients of what enters the activation, for the pixels of a block.
  template <int VECTORS, Activation kind>
  void pack(const Block& block, const Panel& panel, float* to, float* bias) const {
    Vector totals[VECTORS];
    for (int v = 0; v < VECTORS; ++v) totals[v] = load(bias + v * LANES);
    for (int64_t image = block.images.begin; image < block.images.end; ++image)
      for (int64_t row = block.rows.begin; row < block.rows.end; ++row) {
        int64_t place = ((image * shape_.rows + row) * shape_.columns + block.columns.begin) * shape_.filters;
        place += panel.filter;
        for (int64_t column = block.columns.begin; column < block.columns.end; ++column, place += shape_.filters)
#pragma GCC unroll 2
          for (int v = 0; v < VECTORS; ++v, to += LANES) {
            int64_t left = panel.filters - v * LANES, at = place + v * LANES;
            Vector dz{};
            if (left >= LANES) {
              dz = load(call_.dy + at);
              if constexpr (kind != Activation::linear) dz *= slope<kind>(load(call_.y + at));
              if (call_.dz) store(call_.dz + at, dz);
            } else if (left > 0) {
              dz = load_part(call_.dy + at, left);
              if constexpr (kind != Activation::linear) dz *= slope<kind>(load_part(call_.y + at, left));
              if (call_.dz) store_part(call_.dz + at, dz, left);
            }
            totals[v] += dz;
            store(to, dz);
          }
      }
    for (int v = 0; v < VECTORS; ++v) store(bias + v * LANES, totals[v]);
  }

  void add_block(const Block& block, const Panel& panel, const float* packed, float* to) const {
    // The taps of a row lie side by side, and are taken together where the same ones see something; unless there are
    // borders, and channels enough to fill a tile with one tap.
    Run run = run_from(columns_, block.columns.begin, block.columns.end);
    bool whole = run.windows.end == block.columns.end && run.taps.end - run.taps.begin == columns_.taps;
    bool joined = shape_.dilation[1] == 1 && shape_.groups == 1 && (whole || inputs_ < TILE_ENTRIES);
    for (int64_t a = 0; a < shape_.window[0]; ++a) {
      Range rows = rows_.seen_by(a, block.rows);
      if (rows.begin >= rows.end) continue;
      if (joined) {
        for (int64_t u = block.columns.begin; u < block.columns.end; u = run.windows.end) {
          run = run_from(columns_, u, block.columns.end);
          int64_t entries = (run.taps.end - run.taps.begin) * inputs_;
          add_span(block, panel, rows, run.windows, a, run.taps.begin, entries, packed, to);
        }
      } else {
        for (int64_t b = 0; b < shape_.window[1]; ++b)
          add_span(block, panel, rows, columns_.seen_by(b, block.columns), a, b, inputs_, packed, to);
      }
    }
  }

  // Some entries of the kernel from tap (a, b) on, over some pixels of all images of the block.
  void add_span(const Block& block, const Panel& panel, Range rows, Range columns, int64_t a, int64_t b,
                int64_t entries, const float* packed, float* to) const {
    if (columns.begin >= columns.end || entries == 0) return;
    int64_t width = panel.filters > LANES ? 2 * LANES : LANES, row_length = shape_.width * shape_.channels;
    int64_t row_packed = (block.columns.end - block.columns.begin) * width;
    int64_t row = rows.begin * rows_.step + rows_.first + a * rows_.spacing;
    int64_t column = columns.begin * columns_.step + columns_.first + b * columns_.spacing;
    int64_t image_size = shape_.height * row_length;
    const float* x = call_.x + block.images.begin * image_size + row * row_length + column * shape_.channels;
    Pixels pixels{block.images.end - block.images.begin, rows.end - rows.begin, columns.end - columns.begin,
                  x + panel.group * inputs_, image_size, rows_.step * row_length, columns_.step * shape_.channels,
                  packed + (rows.begin - block.rows.begin) * row_packed + (columns.begin - block.columns.begin) * width,
                  (block.rows.end - block.rows.begin) * row_packed, row_packed};
    int64_t tiles = (entries + TILE_ENTRIES - 1) / TILE_ENTRIES, first = (a * shape_.window[1] + b) * inputs_;
    const float* start = pixels.x;
    int64_t least = entries / tiles, longer = entries % tiles;
    for (int64_t index = 0, begin = 0; index < tiles; ++index) {
      int64_t some = least + (index < longer);
      pixels.x = start + begin;
      add_tile_of<TILE_ENTRIES>(some, pixels, to + (first + begin) * shape_.filters, shape_.filters, panel.filters);
      begin += some;
    }
  }

  const ConvolutionWeights& call_;
  const ConvolutionShape shape_;
  const Blocks blocks_;
  const int64_t inputs_;
  const Axis rows_, columns_;
  const int64_t entries_;
};

}  // namespace

void convolution_weights(Pool& pool, const ConvolutionWeights& call) {
  const ConvolutionShape& shape = call.shape;
  if (shape.images * shape.rows * shape.columns == 0) {
    int64_t numbers = shape.window[0] * shape.window[1] * (shape.channels / shape.groups) * shape.filters;
    for (int64_t i = 0; i < numbers; ++i) call.dkernel[i] = 0;
    for (int64_t i = 0; call.dbias && i < shape.filters; ++i) call.dbias[i] = 0;
    return;
  }
  if (is_depthwise(shape)) return depthwise_weights(pool, call);
  Weights(call).run(pool);
}

}  // namespace chainrule::CHAINRULE_ISA
