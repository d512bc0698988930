#include "amx.h"

#include <cstring>
#include <vector>

#include "work.h"
#if defined(CHAINRULE_X86) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace chainrule {

#if defined(CHAINRULE_X86) && defined(__linux__)

bool has_amx() {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned AMX_BF16 = 1u << 22, AMX_TILE = 1u << 24;
  return (d & AMX_BF16) && (d & AMX_TILE);
}

const char* refused_amx() {
  unsigned a, b, c, d, low = 0, high = 0;
  constexpr unsigned OSXSAVE = 1u << 27, TILE_STATES = 3u << 17;  // of XCR0: shapes, and contents
  if (__get_cpuid(1, &a, &b, &c, &d) && (c & OSXSAVE)) __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & TILE_STATES) != TILE_STATES) return "the operating system does not keep its tiles";
  constexpr long REQUEST_PERMISSION = 0x1023, TILE_CONTENTS = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  if (syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_CONTENTS)) return "Linux does not permit it to this process";
  return nullptr;
}

#else

bool has_amx() { return false; }
const char* refused_amx() { return "it is used on Linux alone"; }

#endif

namespace {

uint16_t rounded(float number) {
  uint32_t bits;
  std::memcpy(&bits, &number, 4);
  return uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// Whole numbers from -3 to 3, in no order that a product could leave unchanged.
std::vector<float> whole_numbers(int64_t size, unsigned seed) {
  std::vector<float> numbers(size);
  for (float& number : numbers) number = float(int((seed = seed * 1664525 + 1013904223) >> 16) % 7 - 3);
  return numbers;
}

std::vector<uint16_t> all_rounded(const std::vector<float>& numbers) {
  std::vector<uint16_t> halves;
  for (float number : numbers) halves.push_back(rounded(number));
  return halves;
}

// A dense layer without bias: its output and both gradients.
bool layer_is_right(const TableBf16& table, int64_t rows, int64_t inputs, int64_t units) {
  std::vector<float> x = whole_numbers(rows * inputs, 1), kernel = whole_numbers(inputs * units, 2),
                     dy = whole_numbers(rows * units, 3);
  std::vector<float> y(rows * units), dkernel(inputs * units), dx(rows * inputs);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < inputs; ++i)
      for (int64_t j = 0; j < units; ++j) {
        y[row * units + j] += x[row * inputs + i] * kernel[i * units + j];
        dkernel[i * units + j] += x[row * inputs + i] * dy[row * units + j];
        dx[row * inputs + i] += dy[row * units + j] * kernel[i * units + j];
      }
  std::vector<uint16_t> half_x = all_rounded(x), half_dy = all_rounded(dy), found_y(y.size()), found_dx(dx.size());
  std::vector<float> found_dkernel(dkernel.size());
  Alone alone;
  table.dense_forward(alone, {half_x.data(), kernel.data(), nullptr, found_y.data(), rows, inputs, units,
                              Activation::linear});
  table.dense_backward(alone, {half_x.data(), kernel.data(), found_y.data(), half_dy.data(), nullptr, found_dkernel.data(),
                               nullptr, found_dx.data(), rows, inputs, units, Activation::linear});
  return found_y == all_rounded(y) && found_dkernel == dkernel && found_dx == all_rounded(dx);
}

}  // namespace

bool sums_are_right(const TableBf16& table) {
  return layer_is_right(table, 32, 64, 32) && layer_is_right(table, 1, 1, 1) && layer_is_right(table, 50, 19, 37) &&
         layer_is_right(table, 17, 550, 9);
}

}  // namespace chainrule
