#include "dense_bf16.h"

#include "numbers_bf16.h"

namespace chainrule::CHAINRULE_ISA {

void dense_forward_bf16(Pool& pool, const DenseForwardBf16& call) {
  with_activation(call.activation, [&](auto constant) {
    constexpr Activation kind = decltype(constant)::value;
    // `first` is always true: rows that lie along the sums are never summed in parts.
    auto finish = [bias = call.bias, y = call.y, units = call.units](Vector sums, int64_t i, int64_t j, int64_t count, bool) {
      if (bias) sums += load_some(bias + j, count);
      store_halves(y + i * units + j, activate<kind>(sums), count);
    };
    multiply(pool, {call.x, call.inputs, 1}, Right<float>{call.kernel, call.units, 1}, call.rows, call.units, call.inputs,
             finish);
  });
}

// dz = dy * slope(y) in some columns, and its sum over the rows: as many columns at a time as there are sums in registers.
template <Activation kind, int VECTORS>
static inline void enter_columns(const DenseBackwardBf16& call, int64_t j, int64_t count) {
  Vector totals[VECTORS] = {};
  for (int64_t row = 0; row < call.rows; ++row)
    for (int v = 0; v < VECTORS; ++v) {
      int64_t place = row * call.units + j + v * LANES;
      Vector dz = load_halves(call.dy + place, count);
      if constexpr (kind != Activation::linear) {
        dz *= slope<kind>(load_halves(call.y + place, count));
        store_halves(call.dz + place, dz, count);
      }
      totals[v] += dz;
    }
  if (!call.dbias) return;
  for (int v = 0; v < VECTORS; ++v) store_some(call.dbias + j + v * LANES, totals[v], count);
}

template <Activation kind>
static void enter_activation(const DenseBackwardBf16& call, Range columns) {
  int64_t j = columns.begin;
  for (; columns.end - j >= 4 * LANES; j += 4 * LANES) enter_columns<kind, 4>(call, j, LANES);
  for (; columns.end > j; j += LANES) enter_columns<kind, 1>(call, j, columns.end - j < LANES ? columns.end - j : LANES);
}

void dense_backward_bf16(Pool& pool, const DenseBackwardBf16& call) {
  bool linear = call.activation == Activation::linear;
  if (!linear || call.dbias) {
    with_activation(call.activation, [&](auto constant) {
      constexpr int64_t WIDTH = 8 * LANES;
      int64_t tasks = call.rows * call.units > 100'000 ? (call.units + WIDTH - 1) / WIDTH : 1;
      parallel(pool, tasks, [&](int64_t task) {
        enter_activation<decltype(constant)::value>(call, part(call.units, tasks, task, LANES));
      });
    });
  }
  const uint16_t* dz = linear ? call.dy : call.dz;
  multiply(pool, {call.x, 1, call.inputs}, Right<Half>{dz, call.units, 1}, call.inputs, call.units, call.rows,
           SumsTo{call.dkernel, call.units});
  if (call.dx)
    multiply(pool, {dz, call.units, 1}, Right<float>{call.kernel, 1, call.units}, call.rows, call.inputs, call.units,
             [to = call.dx, inputs = call.inputs](Vector sums, int64_t i, int64_t j, int64_t count, bool) {
               store_halves(to + i * inputs + j, sums, count);
             });
}

}  // namespace chainrule::CHAINRULE_ISA
