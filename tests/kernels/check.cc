// Runs every kernel on random shapes, in arrays of exactly their size, on one thread and on several: built with the
// address, undefined and thread sanitizers, it finds what reads or writes outside its arrays or races. The bytes must be
// the same whatever the number of threads. The right values are held in the Python tests.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <type_traits>
#include <vector>

#include "amx.h"
#include "order.h"
#include "table.h"
#include "table_bf16.h"
#include "work.h"

extern "C" const char* chainrule_instruction_set(int index);
extern "C" bool chainrule_use_instruction_set(int index);
extern "C" bool chainrule_use_instruction_set_bf16(int index);

#ifdef CHAINRULE_AMX
namespace chainrule {
namespace amx { extern const TableBf16 table_bf16; }
namespace amx_emulated { extern const TableBf16 table_bf16; }
}  // namespace chainrule
void stand_in_for_amx();  // in trap.cc
#endif

namespace {

using namespace chainrule;

// Threads of its own for each call: slow, and as unlike a real pool's order as can be.
class Threads final : public Pool {
 public:
  explicit Threads(int64_t count) : count_(count) {}
  int64_t threads() const override { return count_; }
  void run(int64_t tasks, void (*task)(void*, int64_t), void* context) override {
    std::vector<std::thread> started;
    share(tasks, task, context, count_ - 1, [&](auto helper) { started.emplace_back(helper); });
    for (auto& thread : started) thread.join();
  }
  void wait(const int64_t& counter, int64_t value) const override {
    wait_until([&] { return __atomic_load_n(&counter, __ATOMIC_ACQUIRE) >= value; });
  }

 private:
  int64_t count_;
};

std::mt19937 generator(0);

// A number from `least` to `most`, small ones more often.
int64_t draw(int64_t least, int64_t most) {
  double share = std::uniform_real_distribution<double>(0, 1)(generator);
  return least + int64_t(double(most - least + 1) * share * share * share);
}

// An array of exactly that size on the heap, filled with normal numbers.
using Array = std::unique_ptr<float[]>;
Array make(int64_t size) {
  Array array(new float[size]);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < size; ++i) array[i] = normal(generator);
  return array;
}

// The bits of bfloat16, likewise.
using Halves = std::unique_ptr<uint16_t[]>;
Halves make_halves(int64_t size) {  // numbers from 0.5 to 2 and their negatives
  Halves array(new uint16_t[size]);
  for (int64_t i = 0; i < size; ++i) array[i] = uint16_t(0x3F00 + generator() % 0x100 + (generator() % 2 << 15));
  return array;
}

template <class Number>
std::unique_ptr<Number[]> make_of(int64_t size) {
  if constexpr (std::is_same_v<Number, float>) return make(size);
  else return make_halves(size);
}

// How many floats hold so many numbers, in arrays that `compare` makes.
template <class Number>
int64_t floats_for(int64_t count) { return (count * int64_t(sizeof(Number)) + 3) / 4; }

template <class Number>
Number* as(float* array) { return reinterpret_cast<Number*>(array); }

// Calls `run(pool, results)` on one thread and on three; the results must be the same bytes.
void compare(const char* name, const std::vector<int64_t>& sizes,
             const std::function<void(Pool&, std::vector<float*>)>& run) {
  std::vector<std::vector<Array>> found(2);
  int64_t threads[] = {1, 3};
  for (int turn = 0; turn < 2; ++turn) {
    std::vector<float*> results;
    for (int64_t size : sizes) {
      found[turn].push_back(Array(new float[size]()));
      results.push_back(found[turn].back().get());
    }
    Threads pool(threads[turn]);
    run(pool, results);
  }
  for (size_t i = 0; i < sizes.size(); ++i)
    if (std::memcmp(found[0][i].get(), found[1][i].get(), sizes[i] * sizeof(float))) {
      std::printf("%s: result %zu depends on the number of threads\n", name, i);
      std::exit(1);
    }
}

void check_dense() {
  int64_t rows = draw(0, 400), inputs = draw(0, 300), units = draw(0, 300);
  if (draw(0, 9) == 0) inputs = 512;
  Activation activation = Activation(draw(0, int64_t(Activation::count) - 1));
  bool linear = activation == Activation::linear, with_bias = draw(0, 1), with_input = draw(0, 1);
  Array x = make(rows * inputs), kernel = make(inputs * units), bias = make(units), y = make(rows * units),
        dy = make(rows * units);
  compare("dense_forward", {rows * units}, [&](Pool& pool, std::vector<float*> results) {
    kernels().dense_forward(pool, {x.get(), kernel.get(), with_bias ? bias.get() : nullptr, results[0], rows, inputs,
                                   units, activation});
  });
  compare("dense_backward", {linear ? 0 : rows * units, inputs * units, units, rows * inputs},
          [&](Pool& pool, std::vector<float*> results) {
            kernels().dense_backward(pool, {x.get(), kernel.get(), y.get(), dy.get(), results[0], results[1],
                                            with_bias ? results[2] : nullptr, with_input ? results[3] : nullptr, rows,
                                            inputs, units, activation});
          });
}

int64_t rounded_up(int64_t number, int64_t multiple) { return (number + multiple - 1) / multiple * multiple; }

// Windows of a convolution or of pooling along one axis of `size` places: how many there are.
int64_t count_windows(int64_t size, int64_t reach, int64_t stride, int64_t padding) {
  int64_t left = size + padding - reach;
  return left < 0 ? 0 : left / stride + 1;
}

template <class Number>
void check_convolution_of(const ConvolutionKernels<Number>& kernels) {
  ConvolutionShape shape{};
  shape.images = draw(0, 6), shape.height = draw(1, 20), shape.width = draw(1, 20);
  int64_t ends[2];
  for (int axis = 0; axis < 2; ++axis) {
    shape.window[axis] = draw(1, 5), shape.strides[axis] = draw(1, 4), shape.dilation[axis] = draw(1, 3);
    shape.padding[axis] = draw(0, 4) - 1, ends[axis] = draw(0, 4) - 1;
  }
  bool depthwise = draw(0, 3) == 0;
  shape.groups = depthwise ? draw(1, 40) : draw(1, 3);
  shape.channels = depthwise ? shape.groups : shape.groups * draw(1, 20);
  shape.filters = depthwise ? shape.groups : shape.groups * draw(1, 70);
  int64_t reach[2] = {(shape.window[0] - 1) * shape.dilation[0] + 1, (shape.window[1] - 1) * shape.dilation[1] + 1};
  shape.rows = count_windows(shape.height, reach[0], shape.strides[0], shape.padding[0] + ends[0]);
  shape.columns = count_windows(shape.width, reach[1], shape.strides[1], shape.padding[1] + ends[1]);
  Activation activation = Activation(draw(0, int64_t(Activation::count) - 1));
  bool linear = activation == Activation::linear, with_bias = draw(0, 1), with_entered = !linear && draw(0, 1);
  int64_t inside = shape.images * shape.height * shape.width * shape.channels;
  int64_t outside = shape.images * shape.rows * shape.columns * shape.filters;
  int64_t taps = shape.window[0] * shape.window[1], entries = taps * shape.channels / shape.groups * shape.filters;
  auto x = make_of<Number>(inside), kernel = make_of<Number>(entries), y = make_of<Number>(outside),
       dy = make_of<Number>(outside);
  Array bias = make(shape.filters), channel_bias = make(shape.channels);
  compare("convolution_forward", {floats_for<Number>(outside)}, [&](Pool& pool, std::vector<float*> results) {
    Array scratch(new float[rounded_up(taps * shape.channels * rounded_up(shape.filters / shape.groups, 32), 16)]);
    kernels.forward(pool, {shape, x.get(), kernel.get(), with_bias ? bias.get() : nullptr, as<Number>(results[0]),
                                         scratch.get(), activation});
  });
  compare("convolution_input", {floats_for<Number>(inside)}, [&](Pool& pool, std::vector<float*> results) {
    Array scratch(new float[rounded_up(taps * shape.filters * rounded_up(shape.channels / shape.groups, 32), 16)]);
    kernels.input(pool, {shape, dy.get(), kernel.get(), with_bias ? channel_bias.get() : nullptr,
                                       as<Number>(results[0]), scratch.get(), activation});
  });
  int64_t parts = draw(1, 9);
  compare("convolution_weights", {entries, shape.filters, floats_for<Number>(outside)}, [&](Pool& pool, std::vector<float*> results) {
    Array scratch(new float[rounded_up(parts > 1 ? parts * (entries + shape.filters) : 0, 16)]);
    kernels.weights(
        pool, {shape, x.get(), linear ? nullptr : y.get(), dy.get(), with_entered ? as<Number>(results[2]) : nullptr, results[0],
               with_bias ? results[1] : nullptr, scratch.get(), parts, activation});
  });
}

void check_convolution() { check_convolution_of(*kernels().convolution); }

void check_convolution_bf16() {
  if (kernels_bf16()) check_convolution_of(*kernels_bf16()->convolution);
}

void check_pooling() {
  Pooling shape{};
  shape.images = draw(0, 6), shape.channels = draw(1, 90);
  for (PoolingAxis* axis : {&shape.down, &shape.right}) {
    axis->size = draw(1, 20), axis->window = draw(1, axis->size), axis->stride = draw(1, 5);
    bool same = draw(0, 1);
    axis->count = same ? (axis->size + axis->stride - 1) / axis->stride : (axis->size - axis->window) / axis->stride + 1;
    int64_t missing = (axis->count - 1) * axis->stride + axis->window - axis->size;
    axis->before = same && missing > 0 ? missing / 2 : 0;
  }
  int64_t inside = shape.images * shape.down.size * shape.right.size * shape.channels;
  int64_t outside = shape.images * shape.down.count * shape.right.count * shape.channels;
  Array x = make(inside), dy = make(outside);
  std::unique_ptr<int32_t[]> places(new int32_t[outside]());
  compare("max_pool_forward", {outside}, [&](Pool& pool, std::vector<float*> results) {
    kernels().max_pool_forward(pool, {x.get(), results[0], places.get(), shape});
  });
  compare("max_pool_backward", {inside}, [&](Pool& pool, std::vector<float*> results) {
    kernels().max_pool_backward(pool, {places.get(), dy.get(), results[0], shape});
  });
  compare("average_pool_forward", {outside}, [&](Pool& pool, std::vector<float*> results) {
    kernels().average_pool_forward(pool, {x.get(), results[0], shape});
  });
  compare("average_pool_backward", {inside}, [&](Pool& pool, std::vector<float*> results) {
    kernels().average_pool_backward(pool, {dy.get(), results[0], shape});
  });
}

template <class Number>
void check_recurrence_of(const RecurrenceKernels<Number>& kernels) {
  RecurrenceSizes sizes{draw(0, 40), draw(0, 12), draw(0, 90), Cell(draw(0, int64_t(Cell::count) - 1)), draw(0, 1) == 1};
  if (draw(0, 9) == 0) sizes.batch = draw(1, 4), sizes.units = draw(300, 500);  // a large kernel for few rows
  bool lstm = sizes.cell == Cell::lstm, gru = sizes.cell == Cell::gru, gated = sizes.cell != Cell::simple;
  int64_t steps = sizes.batch * sizes.time, state = sizes.batch * sizes.units;
  int64_t columns = (lstm ? 4 : gru ? 3 : 1) * sizes.units;
  bool with_bias = draw(0, 1), with_mask = draw(0, 1), with_scale = draw(0, 1), saving = draw(0, 1);
  auto entering = make_of<Number>(steps * columns), kernel = make_of<Number>(sizes.units * columns);
  Array h0 = make(state), c0 = make(state), bias = make(columns), real = make(steps), scale = make(state);
  for (int64_t i = 0; i < steps; ++i) real[i] = real[i] > 0;
  auto if_given = [](bool given, auto* array) { return given ? array : nullptr; };
  auto numbers = [](float* array) { return as<Number>(array); };
  auto floats = [](int64_t count) { return floats_for<Number>(count); };
  int64_t every = steps * sizes.units;
  compare("recurrence_forward", {floats(every), state, floats(steps * columns), every, floats(every)},
          [&](Pool& pool, std::vector<float*> results) {
            std::unique_ptr<char[]> room(new char[kernels.forward_room(sizes)]);
            kernels.forward(
                pool, {sizes, entering.get(), kernel.get(), h0.get(), if_given(lstm, c0.get()),
                       if_given(with_bias, bias.get()), if_given(with_mask, real.get()),
                       if_given(with_scale, scale.get()), numbers(results[0]), if_given(lstm, results[1]),
                       if_given(saving && gated, numbers(results[2])), if_given(saving && gated, results[3]),
                       if_given(saving, numbers(results[4])), room.get()});
          });
  auto gates = make_of<Number>(steps * columns), before = make_of<Number>(every), factors = make_of<Number>(every),
       d_every = make_of<Number>(every);
  Array memory = make(every), d_last = make(state);
  compare("recurrence_backward", {floats(steps * columns), floats(every), sizes.units * columns, state, state, columns},
          [&](Pool& pool, std::vector<float*> results) {
            std::unique_ptr<char[]> room(new char[kernels.backward_room(sizes)]);
            kernels.backward(
                pool, {sizes, gates.get(), kernel.get(), if_given(gated, memory.get()), if_given(lstm, c0.get()),
                       if_given(gru, before.get()), factors.get(), d_every.get(), if_given(lstm, d_last.get()),
                       if_given(with_mask, real.get()), if_given(with_scale, scale.get()), numbers(results[0]),
                       if_given(gru, numbers(results[1])), results[2], results[3], if_given(lstm, results[4]),
                       if_given(with_bias, results[5]), room.get()});
          });
}

void check_recurrence() { check_recurrence_of(*kernels().recurrence); }

void check_recurrence_bf16() {
  if (kernels_bf16()) check_recurrence_of(*kernels_bf16()->recurrence);
}

void check_optimizer() {
  Rule rule = Rule(draw(0, int64_t(Rule::count) - 1));
  const int64_t* slots = SLOTS[int(rule)];
  int64_t count = draw(0, 5), given = slots[0] + draw(0, slots[1] - slots[0]);
  Array scalars(new float[MOST_SCALARS]);
  for (int64_t i = 0; i < MOST_SCALARS; ++i) scalars[i] = 0.1f + 0.1f * float(i);
  std::vector<Array> gradients, weights, old_slots;
  std::vector<int64_t> sizes, result_sizes;
  for (int64_t i = 0; i < count; ++i) {
    sizes.push_back(draw(0, 60000));
    gradients.push_back(make(sizes[i]));
    weights.push_back(make(sizes[i]));
    for (int64_t slot = 0; slot < MOST_SLOTS; ++slot) {
      old_slots.push_back(make(sizes[i]));
      for (int64_t j = 0; j < sizes[i]; ++j) old_slots.back()[j] *= old_slots.back()[j];
    }
    for (int64_t result = 0; result < 1 + MOST_SLOTS; ++result) result_sizes.push_back(sizes[i]);
  }
  bool nesterov = draw(0, 1);
  compare("optimizer_step", result_sizes, [&](Pool& pool, std::vector<float*> results) {
    std::vector<Parameter> parameters(count);
    for (int64_t i = 0; i < count; ++i) {
      parameters[i] = {gradients[i].get(), weights[i].get(), {}, results[i * (1 + MOST_SLOTS)], {}, scalars.get(),
                       sizes[i], i % 2 == 0};
      for (int64_t slot = 0; slot < given; ++slot) {
        parameters[i].slots[slot] = old_slots[i * MOST_SLOTS + slot].get();
        parameters[i].new_slots[slot] = results[i * (1 + MOST_SLOTS) + 1 + slot];
      }
    }
    kernels().optimizer_step(pool, {rule, nesterov, parameters.data(), count});
  });
}

void check_order() {
  int64_t count = draw(0, 3000);
  std::vector<uint32_t> numbers(count);
  for (auto& number : numbers) number = draw(0, 1) ? generator() : uint32_t(draw(0, 40));  // many of them equal
  std::vector<int32_t> found(count), expected(count);
  for (int64_t i = 0; i < count; ++i) expected[i] = int32_t(i);
  std::stable_sort(expected.begin(), expected.end(), [&](int32_t a, int32_t b) { return numbers[a] < numbers[b]; });
  sort_places(numbers.data(), count, found.data());
  if (found == expected) return;
  std::printf("order: not what a stable sort gives\n");
  std::exit(1);
}

void check_normalisation() {
  int64_t rows = draw(0, 9000), channels = draw(1, 150);
  bool weighted = draw(0, 1);
  Array x = make(rows * channels), weight = make(rows), gamma = make(channels), beta = make(channels),
        epsilon = make(1), mean = make(channels), variance = make(channels), dy = make(rows * channels);
  for (int64_t i = 0; i < rows; ++i) weight[i] = weight[i] > 0;
  for (int64_t c = 0; c < channels; ++c) variance[c] *= variance[c];
  epsilon[0] = 1e-3f;
  const float* weights = weighted ? weight.get() : nullptr;
  int64_t room = normalisation_parts(rows) * channels;
  compare("normalisation_forward", {rows * channels, channels, channels}, [&](Pool& pool, std::vector<float*> results) {
    Array scratch(new float[room]);
    kernels().normalisation_forward(pool, {x.get(), weights, gamma.get(), beta.get(), epsilon.get(), results[0],
                                           results[1], results[2], scratch.get(), rows, channels});
  });
  compare("normalisation_backward", {rows * channels, channels, channels}, [&](Pool& pool, std::vector<float*> results) {
    Array scratch(new float[2 * room]);
    kernels().normalisation_backward(
        pool, {x.get(), weights, gamma.get(), epsilon.get(), mean.get(), variance.get(), dy.get(), beta.get(),
               beta.get(), results[0], results[1], results[2], scratch.get(), rows, channels});
  });
}

// With the first table on one thread, with the second on several: the bytes must be the same.
void check_dense_bf16(const TableBf16& alone, const TableBf16& together) {
  int64_t rows = draw(0, 300), inputs = draw(0, 200), units = draw(0, 200);
  if (draw(0, 4) == 0) rows = draw(1, 40), inputs = draw(500, 1200), units = draw(250, 600);  // many blocks
  Activation activation = Activation(draw(0, int64_t(Activation::count) - 1));
  bool linear = activation == Activation::linear, with_bias = draw(0, 1), with_input = draw(0, 1);
  Halves x = make_halves(rows * inputs), y = make_halves(rows * units), dy = make_halves(rows * units);
  Array kernel = make(inputs * units), bias = make(units);
  Halves found_y(new uint16_t[rows * units]), dz(new uint16_t[linear ? 0 : rows * units]),
      dx(new uint16_t[rows * inputs]);
  auto table = [&](Pool& pool) { return pool.threads() == 1 ? alone : together; };
  compare("dense_forward_bf16", {rows * units}, [&](Pool& pool, std::vector<float*> results) {
    table(pool).dense_forward(pool, {x.get(), kernel.get(), with_bias ? bias.get() : nullptr, found_y.get(), rows,
                                     inputs, units, activation});
    std::copy_n(found_y.get(), rows * units, results[0]);
  });
  compare("dense_backward_bf16", {inputs * units, units, with_input ? rows * inputs : 0},
          [&](Pool& pool, std::vector<float*> results) {
            table(pool).dense_backward(pool, {x.get(), kernel.get(), y.get(), dy.get(), dz.get(), results[0],
                                              with_bias ? results[1] : nullptr, with_input ? dx.get() : nullptr, rows,
                                              inputs, units, activation});
            if (with_input) std::copy_n(dx.get(), rows * inputs, results[2]);
          });
}

void require(bool condition, const char* text) {
  if (condition) return;
  std::printf("%s\n", text);
  std::exit(1);
}

// Numbers below the normal ones are 0, where they enter a sum and where they leave it. XLA's threads are set to that for all
// that they compute; these instructions do it by themselves.
void check_small_numbers(const TableBf16& table) {
  uint16_t x[2] = {0x1C80, 0x0040}, dy[2] = {0x1C80, 0x7180};  // 2 ** -70, 2 ** -127; 2 ** -70, 2 ** 100
  float kernel[4] = {}, found[4];
  Threads alone(1);
  table.dense_backward(alone, {x, kernel, dy, dy, nullptr, found, nullptr, nullptr, 1, 2, 2, Activation::linear});
  require(found[0] == 0 && found[1] == 0x1p30f && found[2] == 0 && found[3] == 0, "a sum takes in what is below normal");
}

// AMX itself, or the code made for it where the machine has none, beside its emulation; and the check that the choice makes.
void check_amx(int64_t rounds) {
#ifdef CHAINRULE_AMX
  require(has_amx() || refused_amx(), "AMX is permitted where there is none");
  if (!kernels_bf16() || (has_amx() && refused_amx())) return;
  if (!has_amx()) stand_in_for_amx();
  for (int64_t round = 0; round < rounds; ++round) {
    check_dense_bf16(amx::table_bf16, amx_emulated::table_bf16);
    check_dense_bf16(amx_emulated::table_bf16, amx::table_bf16);
  }
  require(sums_are_right(amx::table_bf16), "what makes the choice finds AMX wrong");
  for (bool forward : {true, false}) {
    TableBf16 wrong = amx_emulated::table_bf16;
    if (forward) wrong.dense_forward = [](Pool&, const DenseForwardBf16&) {};
    else wrong.dense_backward = [](Pool&, const DenseBackwardBf16&) {};
    require(!sums_are_right(wrong), "what makes the choice does not see wrong sums");
  }
#else
  (void)rounds;
#endif
}

}  // namespace

int main(int count, char** arguments) {
  int64_t rounds = count > 1 ? std::atoll(arguments[1]) : 100;
  int sets = 0;
  for (; chainrule_use_instruction_set(sets); ++sets)
    for (int64_t round = 0; round < rounds; ++round)
      for (auto check : {check_dense, check_convolution, check_pooling, check_recurrence, check_normalisation,
                         check_optimizer, check_order}) check();
  int sets_bf16 = 0;
  for (; chainrule_use_instruction_set_bf16(sets_bf16); ++sets_bf16) {
    check_small_numbers(*kernels_bf16());
    for (int64_t round = 0; round < rounds; ++round) {
      check_dense_bf16(*kernels_bf16(), *kernels_bf16());
      check_convolution_bf16();
      check_recurrence_bf16();
    }
  }
  check_amx(rounds);
  std::printf("%lld rounds of every kernel in %d instruction sets, %s first, and %d for bfloat16: nothing found\n",
              (long long)rounds, sets, chainrule_instruction_set(0), sets_bf16);
}
