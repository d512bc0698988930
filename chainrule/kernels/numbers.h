// The numbers that enter products, float32 here and bfloat16 in numbers_bf16.h, as code that is written for both asks for
// them: how they are read and written, packed, and multiplied.
#pragma once
#include "product.h"

namespace chainrule::CHAINRULE_ISA {

struct Float32 {
  using Number = float;
  using Word = float;  // of a packed panel: what TOGETHER numbers of one column become
  using Sum = Vector;
  using Operand = Matrix;  // on the right of a product
  static constexpr int TOGETHER = 1;
  static constexpr bool ROUNDS = false;  // whether a float32 that is written loses digits

  static inline Vector read(const float* from, int64_t count) { return load_some(from, count); }
  static inline void write(float* to, Vector vector, int64_t count) { store_some(to, vector, count); }

  static constexpr int64_t words(int64_t depth) { return depth; }  // of one column of that many numbers

  // One row of words, of rows that lie one behind another: the first, and the next where there is one.
  static inline void pack_row(const float* first, const float*, int64_t count, float* to) {
    store(to, count > 0 ? load_some(first, count < LANES ? count : LANES) : Vector{});
  }

  // Some columns of a matrix, in words, all rows.
  template <int VECTORS>
  static inline void pack_columns(const Operand& b, int64_t depth, int64_t j, int64_t width, float* to) {
    pack_panel<VECTORS>(b, 0, depth, j, width, to);
  }

  // One row of words, of numbers that were just computed.
  static inline void join(const Vector (&rows)[1], float* to) { store(to, rows[0]); }

  // The sums over `depth` products of some rows, `row` apart, and a panel. Numbers that enter together lie side by side, and
  // `column` apart from the next such.
  template <int ROWS, int VECTORS>
  static inline __attribute__((always_inline)) void multiply(const float* a, int64_t row, int64_t column,
                                                             const float* packed, int64_t depth,
                                                             Vector (&sums)[ROWS][VECTORS]) {
    multiply_tile<ROWS, VECTORS>(a, row, column, packed, depth, sums);
  }

  // The product of `a`, turned over, and `b`, both with `rows` rows: `m` and `n` of their columns.
  static void multiply_turned(Pool& pool, const float* a, int64_t m, const float* b, int64_t stride_of_b, int64_t n,
                              int64_t rows, float* c, int64_t stride) {
    CHAINRULE_ISA::multiply(pool, {a, 1, m}, {b, stride_of_b, 1}, c, stride, m, n, rows, AsItIs{});
  }
};

}  // namespace chainrule::CHAINRULE_ISA
