// The order of whole numbers. It has no use for wide instructions, and is compiled once.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

namespace chainrule {

// The places of some numbers in rising order, equal ones as they come: sorted by one byte after another, the last first.
// Each entry is a number with its place behind it.
inline void sort_places(const uint32_t* numbers, int64_t count, int32_t* places) {
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

}  // namespace chainrule
