// The product of two matrices of floats, in tiles that stay in registers.
//
//     c[i, j] = finish(sum over p of a[i, p] * b[p, j])
//
// A panel of `b`, as wide as one tile, is packed into the fastest cache, some hundred rows at a time; all rows of `a` are
// then multiplied by it, read where they lie. After Goto and van de Geijn, Anatomy of High-Performance Matrix
// Multiplication (2008).
#pragma once
#include "parallel.h"
#include "vector.h"

namespace chainrule::CHAINRULE_ISA {

// A tile is TILE_ROWS rows by two vectors: with the two vectors of `b` and one of `a` it fills the registers.
constexpr int TILE_ROWS = LANES == 16 ? 12 : 6;
constexpr int TILE_COLUMNS = 2 * LANES;
constexpr int64_t PACKED_ROWS = 256;  // of `b`: with 32 columns 32 KiB
constexpr int64_t MOST_PACKED_ROWS_OF_A = 192;
constexpr int64_t CACHED_BYTES = 512 * 1024;  // of `a`, beside a panel of `b`, in the second-level cache
constexpr int64_t PREFETCHED_ROWS = 16;       // of what is packed: they lie too far apart for the processor to guess


// A matrix anywhere in memory: the element (i, j) lies at `data[i * row + j * column]`.
struct Matrix {
  const float* data;
  int64_t row, column;
};

// A packed panel: `columns` of `width` columns hold something, the rest are 0.
template <int VECTORS>
static inline void pack_panel(const Matrix& b, int64_t row, int64_t rows, int64_t column, int64_t columns, float* to) {
  constexpr int WIDTH = VECTORS * LANES;
  const float* from = b.data + row * b.row + column * b.column;
  if (b.column == 1) {
    if (columns == WIDTH) {
      for (int64_t p = 0; p < rows; ++p, from += b.row, to += WIDTH)
        for (int v = 0; v < VECTORS; ++v) {
          __builtin_prefetch(from + PREFETCHED_ROWS * b.row + v * LANES);
          store(to + v * LANES, load(from + v * LANES));
        }
    } else {
      for (int64_t p = 0; p < rows; ++p, from += b.row, to += WIDTH)
        for (int v = 0; v < VECTORS; ++v) {
          int64_t left = columns - v * LANES;
          Vector part = left >= LANES ? load(from + v * LANES) : left > 0 ? load_part(from + v * LANES, left) : Vector{};
          store(to + v * LANES, part);
        }
    }
    return;
  }
  // Rows lie side by side: a few columns at a time are turned, so that both sides stay within a few cache lines.
  for (int64_t p = 0; p < rows; p += LANES) {
    int64_t some = rows - p < LANES ? rows - p : LANES;
    for (int64_t j = 0; j < WIDTH; ++j) {
      if (j < columns) {
        const float* source = from + p * b.row + j * b.column;
        for (int64_t q = 0; q < some; ++q) to[(p + q) * WIDTH + j] = source[q * b.row];
      } else {
        for (int64_t q = 0; q < some; ++q) to[(p + q) * WIDTH + j] = 0;
      }
    }
  }
}

// The sums of ROWS x VECTORS entries over `depth` products, added to `tile`.
template <int ROWS, int VECTORS>
static inline __attribute__((always_inline)) void multiply_tile(const float* a, int64_t row, int64_t column,
                                                                const float* packed, int64_t depth,
                                                                Vector (&tile)[ROWS][VECTORS]) {
  // A pointer for every third row: the two after it are reached by the address arithmetic of the load itself.
  constexpr int POINTERS = (ROWS + 2) / 3;
  const float* rows[POINTERS];
#pragma GCC unroll 8
  for (int t = 0; t < POINTERS; ++t) rows[t] = a + 3 * t * row;
#pragma GCC unroll 4
  for (int64_t p = 0; p < depth; ++p, packed += VECTORS * LANES) {
    Vector right[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) right[v] = load(packed + v * LANES);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; ++i) {
      Vector left = broadcast(rows[i / 3][(i % 3) * row]);
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; ++v) tile[i][v] += left * right[v];
    }
#pragma GCC unroll 8
    for (int t = 0; t < POINTERS; ++t) rows[t] += column;
  }
}

// One tile from its first product to its last row: `begin` makes the sums start, `finish(vector, i, j)` ends them.
template <int ROWS, int VECTORS, class Finish>
static inline __attribute__((always_inline)) void run_tile(const Matrix& a, int64_t i, const float* packed,
                                                           int64_t depth, float* c, int64_t stride, int64_t j,
                                                           int64_t columns, bool first, bool last, Finish&& finish) {
  Vector tile[ROWS][VECTORS];
  float* to = c + i * stride + j;
  bool whole = columns == VECTORS * LANES;
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) {
      int64_t left = columns - v * LANES;
      if (first) tile[r][v] = Vector{};
      else if (whole || left >= LANES) tile[r][v] = load(to + r * stride + v * LANES);
      else tile[r][v] = left > 0 ? load_part(to + r * stride + v * LANES, left) : Vector{};
    }
  multiply_tile<ROWS, VECTORS>(a.data + i * a.row, a.row, a.column, packed, depth, tile);
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) {
      int64_t left = columns - v * LANES;
      if (left <= 0) continue;
      Vector result = last ? finish(tile[r][v], i + r, j + v * LANES, left < LANES ? left : LANES) : tile[r][v];
      if (whole || left >= LANES) store(to + r * stride + v * LANES, result);
      else store_part(to + r * stride + v * LANES, result, left);
    }
}

// The rows of `a` from `rows.begin` on, tile by tile, each with its columns one behind another.
static inline void pack_rows(const Matrix& a, Range rows, int64_t p, int64_t depth, float* to) {
  for (int64_t i = rows.begin; i < rows.end;) {
    int64_t left = rows.end - i;
    int64_t height = left >= TILE_ROWS ? TILE_ROWS : TILE_ROWS > 8 && left >= 8 ? 8 : left >= 4 ? 4 : 1;
    const float* from = a.data + i * a.row + p * a.column;
    if (a.row == 1 && height <= LANES) {
      for (int64_t q = 0; q < depth; ++q) {
        __builtin_prefetch(from + (q + PREFETCHED_ROWS) * a.column);
        store_part(to + q * height, load_part(from + q * a.column, height), height);
      }
    } else {
      for (int64_t r = 0; r < height; ++r)
        for (int64_t q = 0; q < depth; ++q) to[q * height + r] = from[r * a.row + q * a.column];
    }
    to += height * depth;
    i += height;
  }
}

// A cache of 32 KiB in 64 sets finds room for few lines whose addresses are a multiple of 2 KiB apart: for 16, fewer than
// a tile has rows. Where the rows of a tile lie side by side, each line of up to 256 is used by two tiles, one after the
// other, and has to stay from one to the next: then 512 bytes apart is too much.
static inline bool lines_collide(const Matrix& a) {
  return a.row == 1 ? a.column * sizeof(float) % 512 == 0 : a.row * sizeof(float) % 2048 == 0;
}

// The rows `rows` and the columns `columns` of the product. They should be few enough for their part of `a` to stay in
// the second-level cache while one panel of `b` after another meets it.
template <class Finish>
static inline void multiply_block(const Matrix& a, const Matrix& b, float* c, int64_t stride, Range rows, Range columns,
                                  int64_t depth, Finish&& finish) {
  alignas(64) float packed[PACKED_ROWS * TILE_COLUMNS];
  alignas(64) float packed_rows[MOST_PACKED_ROWS_OF_A * PACKED_ROWS];
  int64_t count = rows.end - rows.begin;
  bool packs = lines_collide(a) && count <= MOST_PACKED_ROWS_OF_A && columns.end - columns.begin > 2 * TILE_COLUMNS;
  // Of equal depth: a thin last one would read and write all of `c` for little.
  int64_t blocks = depth > 0 ? (depth + PACKED_ROWS - 1) / PACKED_ROWS : 1, height = (depth + blocks - 1) / blocks;
  for (int64_t block = 0, p = 0; block < blocks; ++block, p += height) {
    int64_t some = depth - p < height ? depth - p : height;
    bool first = p == 0, last = p + some >= depth;
    if (packs) pack_rows(a, rows, p, some, packed_rows);
    for (int64_t j = columns.begin; j < columns.end; j += TILE_COLUMNS) {
      int64_t width = columns.end - j < TILE_COLUMNS ? columns.end - j : TILE_COLUMNS;
      auto run = [&](auto vectors) {
        constexpr int VECTORS = decltype(vectors)::value;
        pack_panel<VECTORS>(b, p, some, j, width, packed);
        int64_t i = rows.begin;
        const float* from = packed_rows;
        auto tiles = [&](auto height) {
          constexpr int ROWS = decltype(height)::value;
          for (; rows.end - i >= ROWS; i += ROWS, from += ROWS * some) {
            // A packed tile starts at its own first entry, whatever its place in `a`.
            Matrix tile = packs ? Matrix{from - i, 1, ROWS} : Matrix{a.data + p * a.column, a.row, a.column};
            run_tile<ROWS, VECTORS>(tile, i, packed, some, c, stride, j, width, first, last, finish);
          }
        };
        tiles(Constant<TILE_ROWS>{});
        if constexpr (TILE_ROWS > 8) tiles(Constant<8>{});
        tiles(Constant<4>{});
        tiles(Constant<1>{});
      };
      if (width > LANES) run(Constant<2>{});
      else run(Constant<1>{});
    }
  }
}

// Few rows: each column of `b` is used so seldom that packing it costs more than it saves.
template <int ROWS, class Finish>
static inline void multiply_few_rows(const Matrix& a, const Matrix& b, float* c, int64_t stride, Range columns,
                                     int64_t depth, Finish&& finish) {
  int64_t j = columns.begin;
  auto run = [&](auto vectors, int64_t count) {
    constexpr int VECTORS = decltype(vectors)::value;
    Vector sums[ROWS][VECTORS] = {};
    const float* right = b.data + j;
    for (int64_t p = 0; p < depth; ++p, right += b.row)
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; ++v) {
        Vector entries = VECTORS > 1 || count == LANES ? load(right + v * LANES) : load_part(right, count);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; ++r) sums[r][v] += broadcast(a.data[r * a.row + p * a.column]) * entries;
      }
    for (int r = 0; r < ROWS; ++r)
      for (int v = 0; v < VECTORS; ++v) {
        float* to = c + r * stride + j + v * LANES;
        Vector result = finish(sums[r][v], r, j + v * LANES, count);
        if (VECTORS > 1 || count == LANES) store(to, result);
        else store_part(to, result, count);
      }
  };
  for (; columns.end - j >= 4 * LANES; j += 4 * LANES) run(Constant<4>{}, LANES);
  for (; columns.end > j; j += LANES) run(Constant<1>{}, columns.end - j < LANES ? columns.end - j : LANES);
}

// One column: a sum for each row.
template <class Finish>
static inline void multiply_one_column(const Matrix& a, const Matrix& b, float* c, int64_t stride, int64_t m,
                                       int64_t depth, Finish&& finish) {
  for (int64_t i = 0; i < m; ++i) {
    const float* row = a.data + i * a.row;
    Vector sums{};
    int64_t p = 0;
    for (; depth - p >= LANES; p += LANES) sums += load(row + p) * load(b.data + p);
    if (p < depth) sums += load_part(row + p, depth - p) * load_part(b.data + p, depth - p);
    store_part(c + i * stride, finish(broadcast(sum(sums)), i, 0, 1), 1);
  }
}

struct AsItIs {
  static constexpr bool only_sums = true;
  inline Vector operator()(Vector sums, int64_t, int64_t, int64_t) const { return sums; }
};

// The whole product, `c` of `m` rows, `stride` apart, and `n` columns. `finish(sums, i, j, count)` takes `count` sums of
// row i from column j on, and returns what is stored. The work is divided by columns and rows of `c` alone, so that the
// result does not depend on the number of threads.
template <class Finish>
static inline void multiply(Pool& pool, const Matrix& a, const Matrix& b, float* c, int64_t stride, int64_t m, int64_t n,
                            int64_t depth, const Finish& finish) {
  if (m == 0 || n == 0) return;
  if constexpr (Finish::only_sums)  // a column is a row of the transposed product
    if (n == 1 && m > 1 && a.row == 1 && stride == 1)
      return multiply(pool, {b.data, b.column, b.row}, {a.data, a.column, a.row}, c, m, 1, m, depth, finish);
  if (n == 1 && a.column == 1 && b.row == 1) return multiply_one_column(a, b, c, stride, m, depth, finish);
  if (m <= 2 && b.column == 1) {
    // Bound by reading `b` once: from about a megabyte on, two threads read faster than one.
    constexpr int64_t WIDTH = 4 * LANES, FEWEST_SHARED_ENTRIES = 250'000;
    int64_t tasks = pool.threads() > 1 && n * depth >= FEWEST_SHARED_ENTRIES ? 2 * pool.threads() : 1;
    return parallel(pool, tasks, [&](int64_t task) {
      Range columns = part(n, tasks, task, WIDTH);
      if (m == 1) multiply_few_rows<1>(a, b, c, stride, columns, depth, finish);
      if (m == 2) multiply_few_rows<2>(a, b, c, stride, columns, depth, finish);
    });
  }
  int64_t panels = (n + TILE_COLUMNS - 1) / TILE_COLUMNS;
  bool shared = pool.threads() > 1 && 2 * m * n * depth >= FEWEST_SHARED_OPERATIONS;
  // Bands of rows: few enough to stay in the cache, enough for all threads where the panels are few.
  int64_t height = CACHED_BYTES / (depth * int64_t(sizeof(float)) + 1);
  height = height < MOST_PACKED_ROWS_OF_A ? MOST_PACKED_ROWS_OF_A : height;
  int64_t bands = (m + height - 1) / height;
  // So that no thread waits long for the last one, and yet wide ones: a piece reads its part of `a` once for all its panels.
  int64_t pieces = shared ? 4 * pool.threads() : 1;
  if (bands < pieces && bands * panels < pieces) {
    bands = (pieces + panels - 1) / panels;
    int64_t most = m / (4 * TILE_ROWS) + 1;
    bands = bands < most ? bands : most;
  }
  // Of a band, all columns in one task where there are bands enough; else one panel.
  int64_t parts = bands >= pieces ? 1 : (pieces + bands - 1) / bands;
  parts = parts < panels ? parts : panels;
  auto task = [&](int64_t index) {
    Range rows = part(m, bands, index / parts, TILE_ROWS), columns = part(n, parts, index % parts, TILE_COLUMNS);
    if (rows.begin < rows.end && columns.begin < columns.end)
      multiply_block(a, b, c, stride, rows, columns, depth, finish);
  };
  if (shared) parallel(pool, parts * bands, task);
  else for (int64_t index = 0; index < parts * bands; ++index) task(index);
}

}  // namespace chainrule::CHAINRULE_ISA
