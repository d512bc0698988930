// The product of two matrices of bfloat16 numbers, summed in float32, in tiles that stay in registers.
//
//     c[i, j] = finish(sum over p of a[i, p] * b[p, j])
//
// The instruction takes pairs: two numbers of `a` that follow each other along p, times the two of `b`, are added to one
// sum. So a panel of `b` is packed with its rows in pairs, (pairs, columns, 2), and `a` is read 32 bits at a time where its
// rows lie along p; where they do not, it is packed in pairs first. Otherwise as product.h, whose rules hold here too. The
// instruction takes numbers below 2 ** -126 for 0. Where there are tiles (AMX), `multiply` is that of product_tiles.h.
#pragma once
#include "parallel.h"
#include "vector.h"

namespace chainrule::CHAINRULE_ISA {

typedef uint16_t Half;  // the bits of a bfloat16: the upper half of a float32

constexpr int TILE_ROWS = 12;
constexpr int TILE_COLUMNS = 2 * LANES;
constexpr int64_t BLOCK_PAIRS = 512;                // of one packed panel of `b`: 64 KiB
constexpr int64_t MOST_ROWS = 192;                  // of `a` that meet one panel
constexpr int64_t PACKED_WORDS_OF_A = 64 * 1024;    // 256 KiB: it stays in the second-level cache
constexpr int64_t MOST_PACKED_PAIRS = PACKED_WORDS_OF_A / (2 * TILE_ROWS);

static inline __mmask16 first_lanes(int64_t count) { return (__mmask16)(count >= 16 ? 0xFFFF : (1u << count) - 1); }

static inline Vector load_halves(const Half* from, int64_t count) {
  __m256i halves = count >= LANES ? _mm256_loadu_si256((const __m256i*)from)
                                  : _mm256_maskz_loadu_epi16(first_lanes(count), from);
  return (Vector)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
}

static inline void store_halves(Half* to, Vector vector, int64_t count) {
  __m256i halves = (__m256i)_mm512_cvtneps_pbh((__m512)vector);
  if (count >= LANES) _mm256_storeu_si256((__m256i*)to, halves);
  else _mm256_mask_storeu_epi16(to, first_lanes(count), halves);
}

// The first `count` numbers of a row in bfloat16, one in the lower half of each word.
static inline __m512i lower_words(const Half* from, int64_t count) {
  if (count >= LANES) return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from));
  return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(count), from));
}

static inline __m512i lower_words(const float* from, int64_t count) {
  __m512 wide = count >= LANES ? _mm512_loadu_ps(from) : _mm512_maskz_loadu_ps(first_lanes(count), from);
  return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(wide));
}

// Two rows as one of pairs; a missing second row is 0.
template <class Number>
static inline __m512i paired(const Number* first, const Number* second, int64_t count) {
  if (count <= 0) return _mm512_setzero_si512();
  __m512i low = lower_words(first, count);
  return second ? _mm512_or_si512(low, _mm512_slli_epi32(lower_words(second, count), 16)) : low;
}

// The first `count` numbers of one row, pairs of neighbours.
static inline __m512i neighbours(const Half* from, int64_t count) {
  return _mm512_maskz_loadu_epi16((__mmask32)(count >= 32 ? 0xFFFFFFFF : (1u << count) - 1), from);
}

static inline __m512i neighbours(const float* from, int64_t count) {
  __m512 low = _mm512_maskz_loadu_ps(first_lanes(count), from);
  __m512 high = count > LANES ? _mm512_maskz_loadu_ps(first_lanes(count - LANES), from + LANES) : _mm512_setzero_ps();
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

// 16 x 16 words, rows for columns.
static inline void turn(__m512i (&rows)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // now columns 4 k + i, quarter by quarter, in rows 4 q + i
    __m512i a = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x44), b = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xEE);
    __m512i c = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x44);
    __m512i d = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xEE);
    t[i] = _mm512_shuffle_i32x4(a, c, 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(a, c, 0xDD);
    t[i + 8] = _mm512_shuffle_i32x4(b, d, 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(b, d, 0xDD);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) rows[i] = t[i];
}

// The right-hand matrix, of bfloat16 or of float32 that is rounded while it is packed: the element (p, j) lies at
// `data[p * row + j * column]`, one of the two being 1.
template <class Number>
struct Right {
  const Number* data;
  int64_t row, column;
};

// `depth` rows from `p` on, `width` columns from `j` on, as pairs; beyond them zeros.
template <int VECTORS, class Number>
static inline void pack_panel(const Right<Number>& b, int64_t p, int64_t depth, int64_t j, int64_t width, uint32_t* to) {
  constexpr int WIDTH = VECTORS * LANES;
  int64_t pairs = (depth + 1) / 2;
  if (b.column == 1) {
    const Number* from = b.data + p * b.row + j;
    for (int64_t q = 0; q < pairs; ++q, from += 2 * b.row, to += WIDTH)
      for (int v = 0; v < VECTORS; ++v) {
        const Number* first = from + v * LANES;
        const Number* second = 2 * q + 1 < depth ? first + b.row : nullptr;
        _mm512_storeu_si512(to + v * LANES, paired(first, second, width - v * LANES));
      }
    return;
  }
  for (int64_t q = 0; q < pairs; q += 16)
    for (int v = 0; v < VECTORS; ++v) {
      __m512i block[16];
      for (int i = 0; i < 16; ++i) {
        int64_t column = v * LANES + i;
        block[i] = column < width ? neighbours(b.data + (j + column) * b.column + p + 2 * q, depth - 2 * q)
                                  : _mm512_setzero_si512();
      }
      turn(block);
      for (int i = 0; i < 16 && q + i < pairs; ++i) _mm512_storeu_si512(to + (q + i) * WIDTH + v * LANES, block[i]);
    }
}

// The left-hand matrix: the element (i, p) lies at `data[i * row + p * column]`, one of the two being 1.
struct Left {
  const Half* data;
  int64_t row, column;
};

// Rows of `a` as pairs, (pairs, rows, 2): one behind another for each pair.
static inline void pack_rows(const Left& a, Range rows, int64_t p, int64_t depth, uint32_t* to) {
  int64_t pairs = (depth + 1) / 2, count = rows.end - rows.begin;
  if (a.row == 1) {
    const Half* from = a.data + rows.begin + p * a.column;
    for (int64_t q = 0; q < pairs; ++q, from += 2 * a.column, to += count)
      for (int64_t i = 0; i < count; i += LANES) {
        const Half* second = 2 * q + 1 < depth ? from + a.column + i : nullptr;
        _mm512_mask_storeu_epi32(to + i, first_lanes(count - i), paired(from + i, second, count - i));
      }
    return;
  }
  for (int64_t i = 0; i < count; i += LANES)
    for (int64_t q = 0; q < pairs; q += 16) {
      __m512i block[16];
      for (int r = 0; r < 16; ++r)
        block[r] = i + r < count ? neighbours(a.data + (rows.begin + i + r) * a.row + p + 2 * q, depth - 2 * q)
                                 : _mm512_setzero_si512();
      turn(block);
      for (int r = 0; r < 16 && q + r < pairs; ++r)
        _mm512_mask_storeu_epi32(to + (q + r) * count + i, first_lanes(count - i), block[r]);
    }
}

// Where the pairs of a tile lie: the one of row i and pair q at `data + i * row + q * column`, counted in bfloat16.
struct Pairs {
  const Half* data;
  int64_t row, column;
};

template <int ROWS, int VECTORS>
static inline __attribute__((always_inline)) void multiply_pair(const Half* const* rows, int64_t row, const uint32_t* packed,
                                                                bool whole, __m512 (&tile)[ROWS][VECTORS]) {
  __m512bh right[VECTORS];
#pragma GCC unroll 4
  for (int v = 0; v < VECTORS; ++v) right[v] = (__m512bh)_mm512_loadu_si512(packed + v * LANES);
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; ++i) {
    const Half* at = rows[i / 3] + (i % 3) * row;
    int32_t pair = 0;
    if (whole) __builtin_memcpy(&pair, at, 4);
    else __builtin_memcpy(&pair, at, 2);  // the last one of an odd number: nothing beyond it is read
    __m512bh left = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) tile[i][v] = _mm512_dpbf16_ps(tile[i][v], left, right[v]);
  }
}

// The sums of ROWS x VECTORS vectors over `depth` products, added to `tile`.
template <int ROWS, int VECTORS>
static inline __attribute__((always_inline)) void multiply_tile(const Pairs& a, const uint32_t* packed, int64_t depth,
                                                                bool split, __m512 (&tile)[ROWS][VECTORS]) {
  constexpr int POINTERS = (ROWS + 2) / 3;
  const Half* rows[POINTERS];
#pragma GCC unroll 8
  for (int t = 0; t < POINTERS; ++t) rows[t] = a.data + 3 * t * a.row;
  int64_t pairs = split ? depth / 2 : (depth + 1) / 2;
#pragma GCC unroll 4
  for (int64_t q = 0; q < pairs; ++q, packed += VECTORS * LANES) {
    multiply_pair<ROWS, VECTORS>(rows, a.row, packed, true, tile);
#pragma GCC unroll 8
    for (int t = 0; t < POINTERS; ++t) rows[t] += a.column;
  }
  if (split && depth % 2) multiply_pair<ROWS, VECTORS>(rows, a.row, packed, false, tile);
}

// Calls `body(rows, columns)` for all parts of a product of `m` rows and `n` columns: of `height` rows at most, a multiple of
// `grain`. The work is divided by columns and rows alone, so that the result does not depend on the number of threads.
template <class Body>
static inline void divide(Pool& pool, int64_t m, int64_t n, int64_t depth, int64_t height, int64_t grain, const Body& body) {
  int64_t panels = (n + TILE_COLUMNS - 1) / TILE_COLUMNS;
  bool shared = pool.threads() > 1 && m * n * depth >= FEWEST_SHARED_OPERATIONS;
  int64_t tiles = (m + grain - 1) / grain, most_tiles = height / grain;
  int64_t bands = (tiles + most_tiles - 1) / most_tiles;  // each of `most_tiles` at most
  int64_t pieces = shared ? 8 * pool.threads() : 1;  // so that no thread waits long for the last one
  if (bands < pieces && bands * panels < pieces) {
    int64_t most = m / (4 * grain) + 1, wanted = (pieces + panels - 1) / panels;
    wanted = wanted < most ? wanted : most;
    bands = wanted > bands ? wanted : bands;
  }
  int64_t parts = bands >= pieces ? 1 : (pieces + bands - 1) / bands;
  parts = parts < panels ? parts : panels;
  auto task = [&](int64_t index) {
    Range rows = part(m, bands, index / parts, grain), columns = part(n, parts, index % parts, TILE_COLUMNS);
    if (rows.begin < rows.end && columns.begin < columns.end) body(rows, columns);
  };
  if (shared) parallel(pool, parts * bands, task);
  else for (int64_t index = 0; index < parts * bands; ++index) task(index);
}

}  // namespace chainrule::CHAINRULE_ISA

#if defined(CHAINRULE_TILES)
#include "product_tiles.h"
#else

namespace chainrule::CHAINRULE_ISA {

// The product for the rows `rows` and the columns `columns` of `c`. `store_sums(sums, i, j, count)` takes `count` sums of row i
// from column j on.
template <class Number, class Store>
static inline void multiply_block(const Left& a, const Right<Number>& b, Range rows, Range columns, int64_t begin,
                                  int64_t end, bool packs, Store&& store_sums) {
  alignas(64) uint32_t panel[BLOCK_PAIRS * TILE_COLUMNS];
  alignas(64) uint32_t packed_rows[PACKED_WORDS_OF_A];
  alignas(64) float sums[MOST_ROWS * TILE_COLUMNS];  // between one block of `b` and the next
  int64_t count = rows.end - rows.begin;
  if (packs) pack_rows(a, rows, begin, end - begin, packed_rows);
  for (int64_t j = columns.begin; j < columns.end; j += TILE_COLUMNS) {
    int64_t width = columns.end - j < TILE_COLUMNS ? columns.end - j : TILE_COLUMNS;
    auto run = [&](auto vectors) {
      constexpr int VECTORS = decltype(vectors)::value;
      for (int64_t p = begin; p < end || p == begin; p += 2 * BLOCK_PAIRS) {
        int64_t depth = end - p < 2 * BLOCK_PAIRS ? end - p : 2 * BLOCK_PAIRS;
        bool first = p == begin, last = p + depth >= end;
        pack_panel<VECTORS>(b, p, depth, j, width, panel);
        int64_t i = 0;
        auto tiles = [&](auto height) {
          constexpr int ROWS = decltype(height)::value;
          for (; count - i >= ROWS; i += ROWS) {
            Pairs left{a.data + (rows.begin + i) * a.row + p, a.row, 2};
            if (packs) left = {(const Half*)(packed_rows + (p - begin) / 2 * count + i), 2, 2 * count};
            __m512 tile[ROWS][VECTORS];
#pragma GCC unroll 16
            for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
              for (int v = 0; v < VECTORS; ++v)
                tile[r][v] = first ? _mm512_setzero_ps() : _mm512_load_ps(sums + (i + r) * TILE_COLUMNS + v * LANES);
            multiply_tile<ROWS, VECTORS>(left, panel, depth, !packs, tile);
#pragma GCC unroll 16
            for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
              for (int v = 0; v < VECTORS; ++v) {
                int64_t left_over = width - v * LANES;
                if (!last) _mm512_store_ps(sums + (i + r) * TILE_COLUMNS + v * LANES, tile[r][v]);
                else if (left_over > 0)
                  store_sums((Vector)tile[r][v], rows.begin + i + r, j + v * LANES, left_over < LANES ? left_over : LANES);
              }
          }
        };
        tiles(Constant<TILE_ROWS>{});
        tiles(Constant<8>{});
        tiles(Constant<4>{});
        tiles(Constant<1>{});
      }
    };
    if (width > LANES) run(Constant<2>{});
    else run(Constant<1>{});
  }
}

// The whole product, of `m` rows and `n` columns. `store_sums(sums, i, j, count, first)` puts down sums, or adds them to what is
// there where they are not the first for this place.
template <class Number, class Store>
static inline void multiply(Pool& pool, const Left& a, const Right<Number>& b, int64_t m, int64_t n, int64_t depth,
                            Store&& store_sums) {
  if (m == 0 || n == 0) return;
  bool turned = a.column != 1;
  // Rows whose addresses are a multiple of 2 KiB apart find no room beside each other in the first-level cache.
  bool packs = turned || (a.row * 2 % 2048 == 0 && n > 2 * TILE_COLUMNS && (depth + 1) / 2 <= MOST_PACKED_PAIRS);
  int64_t chunk = turned ? 2 * MOST_PACKED_PAIRS : depth + 1;
  int64_t height = MOST_ROWS;
  if (packs) {
    int64_t pairs = ((depth < chunk ? depth : chunk) + 1) / 2;
    int64_t fitting = PACKED_WORDS_OF_A / (pairs ? pairs : 1) / TILE_ROWS * TILE_ROWS;
    height = fitting < height ? fitting : height;
  }
  divide(pool, m, n, depth, height, TILE_ROWS, [&](Range rows, Range columns) {
    for (int64_t begin = 0; begin < depth || begin == 0; begin += chunk) {
      int64_t end = depth - begin < chunk ? depth : begin + chunk;
      multiply_block(a, b, rows, columns, begin, end, packs, [&](Vector sums, int64_t i, int64_t j, int64_t count) {
        store_sums(sums, i, j, count, begin == 0);
      });
    }
  });
}

}  // namespace chainrule::CHAINRULE_ISA
#endif
