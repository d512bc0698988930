// As numbers.h, for bfloat16: the numbers of two rows that follow each other enter a product together.
#pragma once
#include "product_bf16.h"

namespace chainrule::CHAINRULE_ISA {

// Sums that are put down in a matrix of float32, or added to what is there.
struct SumsTo {
  float* data;
  int64_t stride;
  inline void operator()(Vector sums, int64_t i, int64_t j, int64_t count, bool first) const {
    float* at = data + i * stride + j;
    if (!first) sums += load_some(at, count);
    store_some(at, sums, count);
  }
};

struct Bfloat16 {
  using Number = Half;
  using Word = uint32_t;
  using Sum = __m512;
  using Operand = Right<Half>;
  static constexpr int TOGETHER = 2;
  static constexpr bool ROUNDS = true;

  static inline Vector read(const Half* from, int64_t count) { return load_halves(from, count); }
  static inline void write(Half* to, Vector vector, int64_t count) { store_halves(to, vector, count); }

  static constexpr int64_t words(int64_t depth) { return (depth + 1) / 2; }

  static inline void pack_row(const Half* first, const Half* second, int64_t count, uint32_t* to) {
    _mm512_storeu_si512(to, paired(first, second, count));
  }

  template <int VECTORS>
  static inline void pack_columns(const Operand& b, int64_t depth, int64_t j, int64_t width, uint32_t* to) {
    pack_panel<VECTORS>(b, 0, depth, j, width, to);
  }

  static inline void join(const Vector (&rows)[2], uint32_t* to) {
    alignas(32) Half halves[2][LANES];
    for (int row = 0; row < 2; ++row) store_halves(halves[row], rows[row], LANES);
    _mm512_storeu_si512(to, paired(halves[0], halves[1], LANES));
  }

  template <int ROWS, int VECTORS>
  static inline __attribute__((always_inline)) void multiply(const Half* a, int64_t row, int64_t column,
                                                             const uint32_t* packed, int64_t depth,
                                                             __m512 (&sums)[ROWS][VECTORS]) {
    multiply_tile<ROWS, VECTORS>(Pairs{a, row, column}, packed, depth, true, sums);
  }

  static void multiply_turned(Pool& pool, const Half* a, int64_t m, const Half* b, int64_t stride_of_b, int64_t n,
                              int64_t rows, float* c, int64_t stride) {
    CHAINRULE_ISA::multiply(pool, {a, 1, m}, Right<Half>{b, stride_of_b, 1}, m, n, rows, SumsTo{c, stride});
  }
};

}  // namespace chainrule::CHAINRULE_ISA
