// Runs every kernel on random shapes, in arrays of exactly their size, on one thread and on several: built with the
// address, undefined and thread sanitizers, it finds what reads or writes outside its arrays or races. The bytes must be
// the same whatever the number of threads. The right values are held in the Python tests.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "table.h"
#include "work.h"

extern "C" const char* chainrule_instruction_set(int index);
extern "C" bool chainrule_use_instruction_set(int index);

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

}  // namespace

int main(int count, char** arguments) {
  int64_t rounds = count > 1 ? std::atoll(arguments[1]) : 100;
  int sets = 0;
  for (; chainrule_use_instruction_set(sets); ++sets)
    for (int64_t round = 0; round < rounds; ++round) check_dense();
  std::printf("%lld rounds of every kernel in %d instruction sets, %s first: nothing found\n", (long long)rounds, sets,
              chainrule_instruction_set(0));
}
