// Vectors of floats, as wide as the instruction set has them, and the functions of one number on them.
//
// Everything here lies in a namespace named after the instruction set that the file is compiled for, so that no function
// compiled for one is ever linked into the code of another. For the same reason nothing here includes a C++ header.
#pragma once
#include <cstdint>
#if defined(__AVX512F__)
#include <immintrin.h>  // every function in it is forced to be inline
#endif

namespace chainrule::CHAINRULE_ISA {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Vector __attribute__((vector_size(LANES * 4)));
typedef int32_t Integers __attribute__((vector_size(LANES * 4)));

static inline Vector load(const float* from) {
  Vector vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}

static inline void store(float* to, Vector vector) { __builtin_memcpy(to, &vector, sizeof vector); }

static inline Vector broadcast(float number) { return number - Vector{}; }  // minus 0: for -0 too, and no operation

// The first `count` numbers, the rest 0; and back. Nothing beyond them is touched.
static inline Vector load_part(const float* from, int64_t count) {
#if defined(__AVX512F__)
  return (Vector)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), from);
#else
  Vector vector{};
  __builtin_memcpy(&vector, from, count * sizeof(float));
  return vector;
#endif
}

static inline void store_part(float* to, Vector vector, int64_t count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), (__m512)vector);
#else
  __builtin_memcpy(to, &vector, count * sizeof(float));
#endif
}

// As many as there are, up to a whole vector.
static inline Vector load_some(const float* from, int64_t count) {
  return count == LANES ? load(from) : load_part(from, count);
}

static inline void store_some(float* to, Vector vector, int64_t count) {
  if (count == LANES) store(to, vector);
  else store_part(to, vector, count);
}

static inline float sum(Vector vector) {
  float total = 0;  // in a fixed order, the same for every instruction set of one width
  for (int lane = 0; lane < LANES; ++lane) total += vector[lane];
  return total;
}

static inline Vector square_root(Vector x) {
  Vector root;
  for (int lane = 0; lane < LANES; ++lane) root[lane] = __builtin_sqrtf(x[lane]);
  return root;
}

// e ** x near 0: its Taylor polynomial of degree 7.
static inline Vector power_of_e(Vector x) {
  Vector power = broadcast(1.98412698e-4f);
  power = power * x + 1.38888889e-3f;
  power = power * x + 8.33333333e-3f;
  power = power * x + 4.16666667e-2f;
  power = power * x + 1.66666667e-1f;
  power = power * x + 0.5f;
  power = power * x + 1.0f;
  power = power * x + 1.0f;
  return power;
}

// e ** x = 2 ** n * e ** r with |r| <= ln(2) / 2: within 2 units in the last place. Where the result is below the normal numbers it is 0; NaN stays NaN.
static inline Vector exponential(Vector x) {
  const Vector highest = broadcast(88.72283f), lowest = broadcast(-87.33654f);
  Vector bounded = x > highest ? highest : (x < lowest ? lowest : x);
  const Vector shift = broadcast(12582912.0f);  // 1.5 * 2 ** 23: adding it rounds to a whole number
  Vector turns = (bounded * 1.44269504f + shift) - shift;
  Vector rest = bounded - turns * 0.693145752f;
  rest = rest - turns * 1.42860677e-6f;
  Vector power = power_of_e(rest);
  // In two factors, so that 2 ** 128 does not overflow before it is multiplied.
  Integers exponent = __builtin_convertvector(turns, Integers);
  Integers half = exponent >> 1;
  Vector low = (Vector)((half + 127) << 23), high = (Vector)((exponent - half + 127) << 23);
  Vector result = power * low * high;
  result = x > highest ? broadcast(__builtin_inff()) : result;
  result = x < lowest ? Vector{} : result;
  return x != x ? x : result;
}

// 1 / (1 + e ** -x), as `exponential` but with one factor 2 ** n: from 88 on the result is as small as it gets.
static inline Vector logistic(Vector x) {
  const Vector highest = broadcast(87.0f), lowest = broadcast(-88.0f);
  Vector bounded = x > highest ? highest : (x < lowest ? lowest : x);  // NaN stays NaN
  const Vector shift = broadcast(12582912.0f);
  Vector turns = (bounded * -1.44269504f + shift) - shift;
  Vector rest = turns * -0.693145752f - bounded;
  rest = rest - turns * 1.42860677e-6f;
  Vector power = power_of_e(rest);
  Vector scale = (Vector)((__builtin_convertvector(turns, Integers) + 127) << 23);
  return 1.0f / (1.0f + power * scale);
}

// A ratio of polynomials, that of Eigen and XLA, up to where the result is 1: within 5 units in the last place.
static inline Vector hyperbolic_tangent(Vector x) {
  const Vector highest = broadcast(7.90531111f);
  Vector bounded = x > highest ? highest : (x < -highest ? -highest : x);  // NaN stays NaN
  Vector square = bounded * bounded;
  Vector above = broadcast(-2.76076847742355e-16f);
  above = above * square + 2.00018790482477e-13f;
  above = above * square - 8.60467152213735e-11f;
  above = above * square + 5.12229709037114e-08f;
  above = above * square + 1.48572235717979e-05f;
  above = above * square + 6.37261928875436e-04f;
  above = above * square + 4.89352455891786e-03f;
  Vector below = broadcast(1.19825839466702e-06f);
  below = below * square + 1.18534705686654e-04f;
  below = below * square + 2.26843463243900e-03f;
  below = below * square + 4.89352518554385e-03f;
  Vector ratio = bounded * above / below;
  Vector size = x < 0.0f ? -x : x;
  return size < 0.0004f ? x : ratio;
}

}  // namespace chainrule::CHAINRULE_ISA
