// The eight tiles of AMX, a thread's own, each of up to 16 rows of 64 bytes, and what is done with them: by the processor,
// or by plain code that does what Intel documents (Software Developer's Manual, volume 2, TDPBF16PS). The plain code is for
// machines that have no AMX, to hold everything built on tiles to what it should compute; it is never fast.
//
// The number of a tile is always a literal, for the compiler's own functions are macros that paste it into the instruction.
#pragma once
#include <cstdint>
#if defined(__AMX_BF16__)
#include <immintrin.h>
#endif

namespace chainrule::CHAINRULE_ISA {

// What LDTILECFG reads.
struct alignas(64) TileShapes {
  uint8_t palette, first_row, reserved[14];
  uint16_t bytes[16];  // of a row; of the first eight only
  uint8_t rows[16];
};

// All tiles whole.
constexpr TileShapes WHOLE_TILES = {1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

#if defined(__AMX_BF16__)

// GCC's functions do not tell it that they read memory, or tell it of 8 bytes: what was written has to be there before.
static inline void tile_begin(const TileShapes& shapes) {
  const TileShapes* from = &shapes;
  __asm__ volatile("" : "+r"(from) : : "memory");
  _tile_loadconfig(from);
}
#define tile_load(tile, from, stride)    \
  do {                                   \
    __asm__ volatile("" : : : "memory"); \
    _tile_loadd(tile, from, stride);     \
  } while (false)
#define tile_store(tile, to, stride) _tile_stored(tile, to, stride)
#define tile_zero(tile) _tile_zero(tile)
#define tile_multiply(sums, left, right) _tile_dpbf16ps(sums, left, right)
#define tile_end() _tile_release()

#else

struct Tiles {
  TileShapes shapes;
  uint8_t bytes[8][16][64];
};
static thread_local Tiles emulated;

// What the processor refuses is refused: with the signal of an unknown instruction, as there.
static inline void tile_require(bool condition) {
  if (!condition) __builtin_trap();
}

static inline void tile_begin(const TileShapes& shapes) {
  tile_require(shapes.palette == 1);
  for (int tile = 0; tile < 8; ++tile) tile_require(shapes.rows[tile] <= 16 && shapes.bytes[tile] <= 64);
  emulated = {shapes, {}};
}

static inline void tile_zero(int tile) {
  tile_require(emulated.shapes.rows[tile] && emulated.shapes.bytes[tile]);
  __builtin_memset(emulated.bytes[tile], 0, sizeof emulated.bytes[tile]);
}

// `stride` bytes lie between the rows in memory. What the tile has no shape for becomes 0.
static inline void tile_load(int tile, const void* from, int64_t stride) {
  tile_zero(tile);
  for (int row = 0; row < emulated.shapes.rows[tile]; ++row)
    __builtin_memcpy(emulated.bytes[tile][row], (const uint8_t*)from + row * stride, emulated.shapes.bytes[tile]);
}

static inline void tile_store(int tile, void* to, int64_t stride) {
  tile_require(emulated.shapes.rows[tile] && emulated.shapes.bytes[tile]);
  for (int row = 0; row < emulated.shapes.rows[tile]; ++row)
    __builtin_memcpy((uint8_t*)to + row * stride, emulated.bytes[tile][row], emulated.shapes.bytes[tile]);
}

// Numbers below the normal ones are 0, before each operation and after it.
static inline float flushed(float number) {
  return __builtin_fabsf(number) < 0x1p-126f ? __builtin_copysignf(0, number) : number;
}

static inline float widened(uint32_t pair, int half) {
  uint32_t bits = half ? pair & 0xFFFF0000 : pair << 16;
  float number;
  __builtin_memcpy(&number, &bits, 4);
  return flushed(number);
}

// sums += left * right, where `left` holds rows of pairs and `right` pairs of rows. The first numbers of all pairs are summed
// on their own, one fused operation after another, and so are the second; then the two sums meet, and then what was there.
static inline void tile_multiply(int sums, int left, int right) {
  const TileShapes& shapes = emulated.shapes;
  int rows = shapes.rows[sums], pairs = shapes.bytes[left] / 4, columns = shapes.bytes[sums] / 4;
  tile_require(sums != left && left != right && right != sums && rows && pairs && columns);
  tile_require(shapes.bytes[sums] % 4 == 0 && shapes.bytes[left] % 4 == 0 && shapes.rows[left] == rows &&
               shapes.rows[right] == pairs && shapes.bytes[right] == shapes.bytes[sums]);
  uint32_t b[16][16];
  __builtin_memcpy(b, emulated.bytes[right], sizeof b);
  for (int row = 0; row < rows; ++row) {
    uint32_t a[16];
    float found[16], totals[2][16] = {};
    __builtin_memcpy(a, emulated.bytes[left][row], sizeof a);
    __builtin_memcpy(found, emulated.bytes[sums][row], sizeof found);
    for (int half = 0; half < 2; ++half)
      for (int pair = 0; pair < pairs; ++pair)
        for (int column = 0; column < 16; ++column)
          totals[half][column] = flushed(
              __builtin_fmaf(widened(a[pair], half), widened(b[pair][column], half), totals[half][column]));
    for (int column = 0; column < columns; ++column)
      found[column] = flushed(flushed(found[column]) + flushed(totals[0][column] + totals[1][column]));
    __builtin_memcpy(emulated.bytes[sums][row], found, sizeof found);
  }
}

static inline void tile_end() { emulated = {}; }

#endif

}  // namespace chainrule::CHAINRULE_ISA
