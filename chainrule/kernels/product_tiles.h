// `multiply` of product_bf16.h in the tiles of AMX. Included by that file, which has what both have in common.
//
// One instruction adds 16 x 32 numbers of `a` times 32 x 16 of `b` to 16 x 16 sums, in 16 cycles, and has them 52 cycles
// later; loading a tile is 16 lines of the cache, 8 cycles. So 2 x 2 tiles of sums are held, with 2 of `a` and 2 of `b`,
// which are all there are. That is 4 loads for 4 products, 32 cycles within 64, where one tile of sums alone would need 16
// within 16; and 4 sums in turn hide the 52 cycles. In 64 cycles the second-level cache gives the 2 KiB of `a` with room to
// spare, so `a` is read where it lies, and only the panel of `b`, which each row of tiles meets, is kept in the first.
//
// Tiles are always whole: what has fewer rows or pairs is packed with zeros beyond, on both sides, so that nothing outside
// an array is read and no other shape of a tile is needed. These figures are Intel's; they were not measured by us.
#pragma once
#include "tile.h"

namespace chainrule::CHAINRULE_ISA {

constexpr int64_t TILE = 16;             // the rows of a tile, and its columns of pairs or of sums
constexpr int64_t TILE_WORDS = TILE * TILE;
constexpr int64_t TILE_DEPTH = 2 * TILE;  // how many numbers one product sums
constexpr int64_t BLOCK_TILES = 16;       // along the sums: of a panel of `b` 32 KiB, two thirds of the first-level cache
constexpr int64_t BLOCK_DEPTH = BLOCK_TILES * TILE_DEPTH;
constexpr int64_t GROUP_COLUMNS = 256;    // whose sums are kept from one block to the next: 192 KiB, as of packed `a`

// 16 x 32 numbers of `a` as a tile; zeros beyond the rows and `depth`.
static inline void pack_tile(const Left& a, Range rows, int64_t p, int64_t depth, uint32_t* to) {
  __m512i block[16];
  int64_t count = rows.end - rows.begin;
  for (int64_t i = 0; i < TILE; ++i) {
    const Half* from = a.column == 1 ? a.data + (rows.begin + i) * a.row + p : a.data + rows.begin + (p + 2 * i) * a.column;
    if (a.column == 1) block[i] = i < count ? neighbours(from, depth) : _mm512_setzero_si512();
    else block[i] = paired(from, 2 * i + 1 < depth ? from + a.column : nullptr, 2 * i < depth ? count : 0);
  }
  if (a.column != 1) turn(block);
  for (int64_t i = 0; i < TILE; ++i) _mm512_store_si512(to + i * TILE, block[i]);
}

// Where a tile of `a` lies, and how many bytes apart its rows.
struct Place {
  const void* from;
  int64_t stride;
};

// DOWN x ACROSS tiles of sums: added to those at `sums`, or put there. `left(i, step)` is the place of a tile of `a`.
template <int DOWN, int ACROSS, class Places>
static inline void multiply_tiles(const Places& left, const uint32_t* panel, int64_t steps, bool first, float* sums) {
  constexpr int64_t SUMS_STRIDE = TILE_COLUMNS * 4, PANEL_STRIDE = ACROSS * TILE * 4;
  float* lower = sums + TILE * TILE_COLUMNS;
  if (first) {
    tile_zero(0);
    if constexpr (ACROSS == 2) tile_zero(1);
    if constexpr (DOWN == 2) tile_zero(2);
    if constexpr (DOWN == 2 && ACROSS == 2) tile_zero(3);
  } else {
    tile_load(0, sums, SUMS_STRIDE);
    if constexpr (ACROSS == 2) tile_load(1, sums + TILE, SUMS_STRIDE);
    if constexpr (DOWN == 2) tile_load(2, lower, SUMS_STRIDE);
    if constexpr (DOWN == 2 && ACROSS == 2) tile_load(3, lower + TILE, SUMS_STRIDE);
  }
  for (int64_t step = 0; step < steps; ++step, panel += ACROSS * TILE_WORDS) {
    Place upper = left(0, step);
    tile_load(4, upper.from, upper.stride);
    tile_load(6, panel, PANEL_STRIDE);
    tile_multiply(0, 4, 6);
    if constexpr (ACROSS == 2) {
      tile_load(7, panel + TILE, PANEL_STRIDE);
      tile_multiply(1, 4, 7);
    }
    if constexpr (DOWN == 2) {
      Place below = left(1, step);
      tile_load(5, below.from, below.stride);
      tile_multiply(2, 5, 6);
    }
    if constexpr (DOWN == 2 && ACROSS == 2) tile_multiply(3, 5, 7);
  }
  tile_store(0, sums, SUMS_STRIDE);
  if constexpr (ACROSS == 2) tile_store(1, sums + TILE, SUMS_STRIDE);
  if constexpr (DOWN == 2) tile_store(2, lower, SUMS_STRIDE);
  if constexpr (DOWN == 2 && ACROSS == 2) tile_store(3, lower + TILE, SUMS_STRIDE);
}

// The product for the rows `rows` and the columns `columns` of `c`.
template <class Number, class Store>
static inline void multiply_block(const Left& a, const Right<Number>& b, Range rows, Range columns, int64_t depth,
                                  Store&& store_sums) {
  alignas(64) uint32_t panel[BLOCK_TILES * TILE * TILE_COLUMNS];
  alignas(64) uint32_t packed[MOST_ROWS / TILE * BLOCK_TILES * TILE_WORDS];
  alignas(64) float sums[GROUP_COLUMNS * MOST_ROWS];  // of each panel row by row
  int64_t count = rows.end - rows.begin, tiles = (count + TILE - 1) / TILE;
  tile_begin(WHOLE_TILES);  // in each task, on whatever thread: XLA's threads serve others too
  for (int64_t group = columns.begin; group < columns.end; group += GROUP_COLUMNS) {
    int64_t group_end = columns.end - group < GROUP_COLUMNS ? columns.end : group + GROUP_COLUMNS;
    for (int64_t p = 0; p < depth || p == 0; p += BLOCK_DEPTH) {
      int64_t block = depth - p < BLOCK_DEPTH ? depth - p : BLOCK_DEPTH, steps = (block + TILE_DEPTH - 1) / TILE_DEPTH;
      bool first = p == 0, last = p + block >= depth;
      auto lies_whole = [&](int64_t tile, int64_t step) {
        return a.column == 1 && (tile + 1) * TILE <= count && (step + 1) * TILE_DEPTH <= block;
      };
      auto packed_at = [&](int64_t tile, int64_t step) { return packed + (tile * BLOCK_TILES + step) * TILE_WORDS; };
      if (group == columns.begin || depth > BLOCK_DEPTH)
        for (int64_t tile = 0; tile < tiles; ++tile)
          for (int64_t step = 0; step < steps; ++step)
            if (!lies_whole(tile, step)) {
              int64_t begin = rows.begin + tile * TILE;
              pack_tile(a, {begin, rows.end - begin < TILE ? rows.end : begin + TILE}, p + step * TILE_DEPTH,
                        block - step * TILE_DEPTH, packed_at(tile, step));
            }
      for (int64_t j = group; j < group_end; j += TILE_COLUMNS) {
        int64_t width = group_end - j < TILE_COLUMNS ? group_end - j : TILE_COLUMNS;
        float* found = sums + (j - group) * MOST_ROWS;
        auto run = [&](auto vectors) {
          constexpr int ACROSS = decltype(vectors)::value;
          pack_panel<ACROSS>(b, p, block, j, width, panel);
          for (int64_t pair = (block + 1) / 2; pair < steps * TILE; ++pair)
            __builtin_memset(panel + pair * ACROSS * LANES, 0, ACROSS * LANES * 4);
          for (int64_t tile = 0; tile < tiles; tile += 2) {
            auto left = [&](int64_t i, int64_t step) {
              if (!lies_whole(tile + i, step)) return Place{packed_at(tile + i, step), TILE * 4};
              return Place{a.data + (rows.begin + (tile + i) * TILE) * a.row + p + step * TILE_DEPTH, a.row * 2};
            };
            if (tile + 1 < tiles) multiply_tiles<2, ACROSS>(left, panel, steps, first, found + tile * TILE * TILE_COLUMNS);
            else multiply_tiles<1, ACROSS>(left, panel, steps, first, found + tile * TILE * TILE_COLUMNS);
          }
        };
        if (width > LANES) run(Constant<2>{});
        else run(Constant<1>{});
        if (!last) continue;
        for (int64_t i = 0; i < count; ++i)
          for (int64_t v = 0; v < width; v += LANES)
            store_sums(load(found + i * TILE_COLUMNS + v), rows.begin + i, j + v, width - v < LANES ? width - v : LANES, true);
      }
    }
  }
  tile_end();
}

// As that of product_bf16.h; but all sums are put down at once, the first and only ones for their place.
template <class Number, class Store>
static inline void multiply(Pool& pool, const Left& a, const Right<Number>& b, int64_t m, int64_t n, int64_t depth,
                            Store&& store_sums) {
  if (m == 0 || n == 0) return;
  divide(pool, m, n, depth, MOST_ROWS, 2 * TILE, [&](Range rows, Range columns) {
    multiply_block(a, b, rows, columns, depth, store_sums);
  });
}

}  // namespace chainrule::CHAINRULE_ISA
