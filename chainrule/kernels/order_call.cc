#include <utility>
#include <vector>

#include "call.h"

namespace chainrule {

// The places of some numbers in rising order, equal ones as they come: sorted by one byte after another, the last first.
// Each entry is a number with its place behind it.
static void sort_places(const uint32_t* numbers, int64_t count, int32_t* places) {
  constexpr int BYTES = 4, VALUES = 256;
  std::vector<uint64_t> entries(count), sorted(count);
  int64_t starts[BYTES][VALUES] = {};
  for (int64_t i = 0; i < count; ++i) {
    entries[i] = uint64_t(numbers[i]) << 32 | uint32_t(i);
    for (int byte = 0; byte < BYTES; ++byte) ++starts[byte][numbers[i] >> (8 * byte) & 255];
  }
  for (int byte = 0; byte < BYTES; ++byte) {
    int64_t before = 0;
    for (int64_t& start : starts[byte]) before += std::exchange(start, before);
    for (uint64_t entry : entries) sorted[starts[byte][entry >> (32 + 8 * byte) & 255]++] = entry;
    entries.swap(sorted);
  }
  for (int64_t i = 0; i < count; ++i) places[i] = int32_t(uint32_t(entries[i]));
}

static ffi::Error order(ffi::ThreadPool threads, ffi::Buffer<ffi::U32> numbers,
                        ffi::Result<ffi::Buffer<ffi::S32>> places) {
  int64_t count = from_last(numbers, 0);
  Shapes shapes;
  auto numbers_of = shapes.array("numbers", numbers, {count});
  auto places_of = shapes.result("places", places, {count});
  shapes.require(count < (int64_t{1} << 31), "there are too many numbers");
  if (shapes.failed()) return shapes.error();
  return for_members(shapes, threads, [&](Pool&, int64_t member) {
    sort_places(numbers_of.at(member), count, places_of.at(member));
  });
}

}  // namespace chainrule

XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_order, chainrule::order,
                              chainrule::ffi::Ffi::Bind()
                                  .Ctx<chainrule::ffi::ThreadPool>()
                                  .Arg<chainrule::ffi::Buffer<chainrule::ffi::U32>>()
                                  .Ret<chainrule::ffi::Buffer<chainrule::ffi::S32>>());
