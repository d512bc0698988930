#include "dense.h"

#include "product.h"

namespace chainrule::CHAINRULE_ISA {

void dense_forward(Pool& pool, const DenseForward& call) {
  with_activation(call.activation, [&](auto constant) {
    constexpr Activation kind = decltype(constant)::value;
    auto finish = [bias = call.bias](Vector sums, int64_t, int64_t j, int64_t count) {
      if (bias) sums += count == LANES ? load(bias + j) : load_part(bias + j, count);
      return activate<kind>(sums);
    };
    multiply(pool, {call.x, call.inputs, 1}, {call.kernel, call.units, 1}, call.y, call.units, call.rows, call.units,
             call.inputs, finish);
  });
}

// dz = dy * slope(y) in some columns, and its sum over the rows.
template <Activation kind>
static void enter_activation(const DenseBackward& call, Range columns) {
  for (int64_t j = columns.begin; j < columns.end; j += LANES) {
    int64_t count = columns.end - j < LANES ? columns.end - j : LANES;
    Vector total{};
    for (int64_t row = 0; row < call.rows; ++row) {
      int64_t place = row * call.units + j;
      Vector dz = load_part(call.dy + place, count);
      if constexpr (kind != Activation::linear) {
        dz *= slope<kind>(load_part(call.y + place, count));
        store_part(call.dz + place, dz, count);
      }
      total += dz;
    }
    if (call.dbias) store_part(call.dbias + j, total, count);
  }
}

void dense_backward(Pool& pool, const DenseBackward& call) {
  bool linear = call.activation == Activation::linear;
  if (!linear || call.dbias) {
    with_activation(call.activation, [&](auto constant) {
      constexpr int64_t WIDTH = 4 * LANES;
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
