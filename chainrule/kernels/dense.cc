#include "dense.h"

#include "product.h"

namespace chainrule::CHAINRULE_ISA {

template <Activation kind>
struct BiasAndActivation {
  static constexpr bool only_sums = false;
  const float* bias;
  inline Vector operator()(Vector sums, int64_t, int64_t j, int64_t count) const {
    if (bias) sums += load_some(bias + j, count);
    return activate<kind>(sums);
  }
};

void dense_forward(Pool& pool, const DenseForward& call) {
  with_activation(call.activation, [&](auto constant) {
    constexpr Activation kind = decltype(constant)::value;
    multiply(pool, {call.x, call.inputs, 1}, {call.kernel, call.units, 1}, call.y, call.units, call.rows, call.units,
             call.inputs, BiasAndActivation<kind>{call.bias});
  });
}

// dz = dy * slope(y) in some columns, and its sum over the rows: as many columns at a time as there are sums in registers.
template <Activation kind, int VECTORS>
static inline void enter_columns(const DenseBackward& call, int64_t j, int64_t count) {
  Vector totals[VECTORS] = {};
  for (int64_t row = 0; row < call.rows; ++row)
    for (int v = 0; v < VECTORS; ++v) {
      int64_t place = row * call.units + j + v * LANES;
      Vector dz = load_some(call.dy + place, count);
      if constexpr (kind != Activation::linear) {
        dz *= slope<kind>(load_some(call.y + place, count));
        store_some(call.dz + place, dz, count);
      }
      totals[v] += dz;
    }
  if (!call.dbias) return;
  for (int v = 0; v < VECTORS; ++v) store_some(call.dbias + j + v * LANES, totals[v], count);
}

template <Activation kind>
static void enter_activation(const DenseBackward& call, Range columns) {
  int64_t j = columns.begin;
  for (; columns.end - j >= 8 * LANES; j += 8 * LANES) enter_columns<kind, 8>(call, j, LANES);
  for (; columns.end - j >= 2 * LANES; j += 2 * LANES) enter_columns<kind, 2>(call, j, LANES);
  for (; columns.end > j; j += LANES) enter_columns<kind, 1>(call, j, columns.end - j < LANES ? columns.end - j : LANES);
}

void dense_backward(Pool& pool, const DenseBackward& call) {
  bool linear = call.activation == Activation::linear;
  if (!linear || call.dbias) {
    with_activation(call.activation, [&](auto constant) {
      constexpr int64_t WIDTH = 8 * LANES;
      bool shared = call.rows * call.units > 100'000;
      int64_t tasks = shared ? (call.units + WIDTH - 1) / WIDTH : 1;
      parallel(pool, tasks, [&](int64_t task) {
        enter_activation<decltype(constant)::value>(call, part(call.units, tasks, task, LANES));
      });
    });
  }
  const float* dz = linear ? call.dy : call.dz;
  multiply(pool, {call.x, 1, call.inputs}, {dz, call.units, 1}, call.dkernel, call.units, call.inputs, call.units,
           call.rows, AsItIs{});
  if (call.dx)
    multiply(pool, {dz, call.units, 1}, {call.kernel, 1, call.units}, call.dx, call.inputs, call.rows, call.inputs,
             call.units, AsItIs{});
}

}  // namespace chainrule::CHAINRULE_ISA
