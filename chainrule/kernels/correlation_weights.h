// The gradient of a convolution's kernel and bias: products of what the windows see with what comes back, over all pixels.
#pragma once
#include "correlation.h"

namespace chainrule::CHAINRULE_ISA {

constexpr int TILE_ENTRIES = LANES == 16 ? 14 : 6;  // of the kernel, times two vectors of filters
constexpr int64_t BLOCK_PIXELS = 128;               // whose gradients are packed into the fastest cache
constexpr int64_t MOST_GATHERED = 7 * LANES;        // entries of each, where they have to be packed too

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
template <class Numbers>
struct Pixels {
  int64_t images, rows, columns;
  const typename Numbers::Number* x;
  int64_t image_step, row_step, column_step;  // of pixels that enter a product together, the last
  int64_t entry_step;
  const typename Numbers::Word* packed;
  int64_t image_packed, row_packed;
};

template <int ENTRIES, int VECTORS, class Numbers>
static __attribute__((noinline)) void add_tile(const Pixels<Numbers>& pixels, float* to, int64_t stride,
                                               int64_t filters) {
  typename Numbers::Sum sums[ENTRIES][VECTORS];
#pragma GCC unroll 16
  for (int i = 0; i < ENTRIES; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) {
      int64_t left = filters - v * LANES;
      float* place = to + i * stride + v * LANES;
      Vector so_far = left >= LANES ? load(place) : left > 0 ? load_part(place, left) : Vector{};
      sums[i][v] = (typename Numbers::Sum)so_far;
    }
  for (int64_t image = 0; image < pixels.images; ++image)
    for (int64_t row = 0; row < pixels.rows; ++row)
      Numbers::template multiply<ENTRIES, VECTORS>(
          pixels.x + image * pixels.image_step + row * pixels.row_step, pixels.entry_step, pixels.column_step,
          pixels.packed + image * pixels.image_packed + row * pixels.row_packed, pixels.columns, sums);
#pragma GCC unroll 16
  for (int i = 0; i < ENTRIES; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) {
      int64_t left = filters - v * LANES;
      float* place = to + i * stride + v * LANES;
      if (left >= LANES) store(place, (Vector)sums[i][v]);
      else if (left > 0) store_part(place, (Vector)sums[i][v], left);
    }
}

template <int ENTRIES, class Numbers>
static inline void add_tile_of(int64_t entries, const Pixels<Numbers>& pixels, float* to, int64_t stride, int64_t filters) {
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

template <class Numbers>
class Weights {
  using Number = typename Numbers::Number;
  using Word = typename Numbers::Word;

 public:
  explicit Weights(const ConvolutionWeights<Number>& call)
      : call_(call), shape_(flattened(call.shape)), blocks_(shape_), inputs_(shape_.channels / shape_.groups),
        rows_(forward_axis(shape_.rows, shape_.height, shape_.window[0], shape_.strides[0], shape_.dilation[0],
                           shape_.padding[0])),
        columns_(forward_axis(shape_.columns, shape_.width, shape_.window[1], shape_.strides[1], shape_.dilation[1],
                              shape_.padding[1])),
        entries_(shape_.window[0] * shape_.window[1] * inputs_) {}

  void run(Pool& pool) {
    int64_t filters = shape_.filters / shape_.groups, panels = (filters + PANEL_FILTERS - 1) / PANEL_FILTERS;
    bool shared = operations_of(shape_) >= FEWEST_SHARED_OPERATIONS;
    int64_t all_panels = panels * shape_.groups;
    run_tasks(pool, call_.parts * all_panels, shared, [&](int64_t index) {
      int64_t panel = index % all_panels, first = panel % panels * PANEL_FILTERS;
      int64_t some = filters - first < PANEL_FILTERS ? filters - first : PANEL_FILTERS;
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
    float bias[PANEL_FILTERS]{};
    alignas(64) Word packed[BLOCK_PIXELS * PANEL_FILTERS];
    Range some = part(blocks_.count(), call_.parts, index);
    for (int64_t number = some.begin; number < some.end; ++number) {
      Block block = blocks_.at(number);
      with_activation(call_.activation, [&](auto constant) {
        if (panel.filters > LANES) this->template pack<2, decltype(constant)::value>(block, panel, packed, bias);
        else this->template pack<1, decltype(constant)::value>(block, panel, packed, bias);
      });
      add_block(block, panel, packed, to);
    }
    if (!call_.dbias) return;
    float* bias_to = alone ? call_.dbias : call_.scratch + call_.parts * numbers + index * shape_.filters;
    for (int64_t f = 0; f < panel.filters; ++f) bias_to[panel.filter + f] = bias[f];
  }

  // The gradients of what enters the activation, for the pixels of a block.
  template <int VECTORS, Activation kind>
  void pack(const Block& block, const Panel& panel, Word* to, float* bias) const {
    constexpr int TOGETHER = Numbers::TOGETHER;
    Vector totals[VECTORS];
    for (int v = 0; v < VECTORS; ++v) totals[v] = load(bias + v * LANES);
    for (int64_t image = block.images.begin; image < block.images.end; ++image)
      for (int64_t row = block.rows.begin; row < block.rows.end; ++row) {
        int64_t place = ((image * shape_.rows + row) * shape_.columns + block.columns.begin) * shape_.filters;
        place += panel.filter;
        for (int64_t column = block.columns.begin; column < block.columns.end; column += TOGETHER)
#pragma GCC unroll 2
          for (int v = 0; v < VECTORS; ++v, to += LANES) {
            int64_t left = panel.filters - v * LANES, count = left < LANES ? left : LANES;
            Vector dz[TOGETHER]{};
            for (int t = 0; t < TOGETHER && column + t < block.columns.end && left > 0; ++t) {
              int64_t at = place + (column - block.columns.begin + t) * shape_.filters + v * LANES;
              dz[t] = Numbers::read(call_.dy + at, count);
              if constexpr (kind != Activation::linear) dz[t] *= slope<kind>(Numbers::read(call_.y + at, count));
              if (call_.dz) Numbers::write(call_.dz + at, dz[t], count);
              totals[v] += dz[t];
            }
            Numbers::join(dz, to);
          }
      }
    for (int v = 0; v < VECTORS; ++v) store(bias + v * LANES, totals[v]);
  }

  // The products of a block, for all taps of the kernel.
  void add_block(const Block& block, const Panel& panel, const Word* packed, float* to) const {
    // The taps of a row lie side by side, and are taken together where the same ones see something; unless there are
    // borders, and channels enough to fill a tile with one tap.
    Run run = run_from(columns_, block.columns.begin, block.columns.end);
    bool whole = run.windows.end == block.columns.end && run.taps.end - run.taps.begin == columns_.taps;
    bool joined = shape_.dilation[1] == 1 && shape_.groups == 1 && (whole || inputs_ < TILE_ENTRIES);
    for (int64_t a = 0; a < shape_.window[0]; ++a) {
      Range rows = rows_.seen_by(a, block.rows);
      if (rows.begin >= rows.end) continue;
      if constexpr (Numbers::TOGETHER > 1) {
        // Pixels that enter together are gathered; what lies outside is 0 there.
        bool together = shape_.dilation[1] == 1 && shape_.groups == 1;
        for (int64_t b = 0; b < (together ? 1 : shape_.window[1]); ++b)
          add_gathered(block, panel, rows, a, b, together ? shape_.window[1] : 1, packed, to);
      } else if (joined) {
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
                int64_t entries, const Word* packed, float* to) const {
    if (columns.begin >= columns.end || entries == 0) return;
    int64_t width = width_of(panel), row_length = shape_.width * shape_.channels;
    int64_t row_packed = (block.columns.end - block.columns.begin) * width;
    int64_t row = rows.begin * rows_.step + rows_.first + a * rows_.spacing;
    int64_t column = columns.begin * columns_.step + columns_.first + b * columns_.spacing;
    int64_t image_size = shape_.height * row_length;
    const Number* x = call_.x + block.images.begin * image_size + row * row_length + column * shape_.channels;
    Pixels<Numbers> pixels{
                  block.images.end - block.images.begin, rows.end - rows.begin, columns.end - columns.begin,
                  x + panel.group * inputs_, image_size, rows_.step * row_length, columns_.step * shape_.channels, 1,
                  packed + (rows.begin - block.rows.begin) * row_packed + (columns.begin - block.columns.begin) * width,
                  (block.rows.end - block.rows.begin) * row_packed, row_packed};
    add_tiles(pixels, entries, (a * shape_.window[1] + b) * inputs_, panel, to);
  }

  // Some entries of the kernel, from one on.
  void add_tiles(Pixels<Numbers> pixels, int64_t entries, int64_t first, const Panel& panel, float* to) const {
    int64_t tiles = (entries + TILE_ENTRIES - 1) / TILE_ENTRIES, least = entries / tiles, longer = entries % tiles;
    const Number* start = pixels.x;
    for (int64_t index = 0, begin = 0; index < tiles; ++index) {
      int64_t some = least + (index < longer);
      pixels.x = start + begin * pixels.entry_step;
      add_tile_of<TILE_ENTRIES>(some, pixels, to + (first + begin) * shape_.filters, shape_.filters, panel.filters);
      begin += some;
    }
  }

  static int64_t width_of(const Panel& panel) { return panel.filters > LANES ? 2 * LANES : LANES; }

  // As `add_span` for the entries of `taps` taps from (a, b) on and all columns of a block, for numbers of which those of
  // neighbouring pixels enter a product together.
  void add_gathered(const Block& block, const Panel& panel, Range rows, int64_t a, int64_t b, int64_t taps,
                    const Word* packed, float* to) const {
    alignas(64) Word seen[BLOCK_PIXELS * MOST_GATHERED];
    int64_t images = block.images.end - block.images.begin, high = rows.end - rows.begin;
    int64_t wide = block.columns.end - block.columns.begin, width = width_of(panel), entries = taps * inputs_;
    int64_t row_packed = Numbers::words(wide) * width;
    for (int64_t begin = 0; begin < entries; begin += MOST_GATHERED) {
      Range some{begin, entries - begin < MOST_GATHERED ? entries : begin + MOST_GATHERED};
      int64_t count = some.end - some.begin, stride = (count + LANES - 1) / LANES * LANES;
      Word* at = seen;
      for (int64_t image = block.images.begin; image < block.images.end; ++image)
        for (int64_t row = rows.begin; row < rows.end; ++row, at += Numbers::words(wide) * stride)
          gather(block, image, row * rows_.step + rows_.first + a * rows_.spacing, b, taps, panel.group, some, stride, at);
      int64_t row_step = Numbers::words(wide) * stride * Numbers::TOGETHER;
      Pixels<Numbers> pixels{images, high, wide, reinterpret_cast<const Number*>(seen), high * row_step, row_step,
                             stride * Numbers::TOGETHER, Numbers::TOGETHER,
                             packed + (rows.begin - block.rows.begin) * row_packed,
                             (block.rows.end - block.rows.begin) * row_packed, row_packed};
      add_tiles(pixels, count, (a * shape_.window[1] + b) * inputs_ + begin, panel, to);
    }
  }

  // Some of the entries that the windows of one row see, from tap `b` on: a row of words for pixels that enter together.
  void gather(const Block& block, int64_t image, int64_t row, int64_t b, int64_t taps, int64_t group, Range some,
              int64_t stride, Word* to) const {
    const Number* line = call_.x + (image * shape_.height + row) * shape_.width * shape_.channels + group * inputs_;
    int64_t count = some.end - some.begin;
    for (int64_t column = block.columns.begin; column < block.columns.end; column += Numbers::TOGETHER, to += stride) {
      alignas(64) Number edges[Numbers::TOGETHER][MOST_GATHERED];
      const Number* entries[2]{};
      for (int t = 0; t < Numbers::TOGETHER && column + t < block.columns.end; ++t) {
        int64_t place = (column + t) * columns_.step + columns_.first + b * columns_.spacing;
        int64_t begin = place < 0 ? -place * inputs_ : 0;
        int64_t end = (shape_.width - place < taps ? shape_.width - place : taps) * inputs_;
        if (begin <= some.begin && end >= some.end) {
          entries[t] = line + place * shape_.channels + some.begin;
          continue;
        }
        for (int64_t i = some.begin; i < some.end; ++i)  // some lie outside
          edges[t][i - some.begin] = i >= begin && i < end ? line[place * shape_.channels + i] : Number{};
        entries[t] = edges[t];
      }
      for (int64_t i = 0; i < count; i += LANES)
        Numbers::pack_row(entries[0] + i, entries[1] ? entries[1] + i : nullptr, count - i, to + i);
    }
  }

  const ConvolutionWeights<Number>& call_;
  const ConvolutionShape shape_;
  const Blocks blocks_;
  const int64_t inputs_;
  const Axis rows_, columns_;
  const int64_t entries_;
};

template <class Numbers>
static void weights_by(Pool& pool, const ConvolutionWeights<typename Numbers::Number>& call) {
  const ConvolutionShape& shape = call.shape;
  if (shape.images * shape.rows * shape.columns == 0) {
    int64_t numbers = shape.window[0] * shape.window[1] * (shape.channels / shape.groups) * shape.filters;
    for (int64_t i = 0; i < numbers; ++i) call.dkernel[i] = 0;
    for (int64_t i = 0; call.dbias && i < shape.filters; ++i) call.dbias[i] = 0;
    return;
  }
  if constexpr (!Numbers::ROUNDS)
    if (is_depthwise(shape)) return depthwise_weights(pool, call);
  Weights<Numbers>(call).run(pool);
}

}  // namespace chainrule::CHAINRULE_ISA
