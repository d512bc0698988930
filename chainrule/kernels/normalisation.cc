#include "normalisation.h"

#include "parallel.h"
#include "vector.h"

namespace chainrule::CHAINRULE_ISA {
namespace {

struct Place {
  Range rows, channels;
  int64_t part;
};

// Calls `body(place)` for every part of the rows and every band of channels.
template <class Body>
void over_places(Pool& pool, int64_t rows, int64_t channels, const Body& body) {
  constexpr int64_t FEWEST_SHARED_ENTRIES = 100'000;
  int64_t parts = normalisation_parts(rows), bands = (channels + 8 * LANES - 1) / (8 * LANES);
  auto task = [&](int64_t index) {
    int64_t p = index / bands;
    body(Place{part(rows, parts, p), part(channels, bands, index % bands, LANES), p});
  };
  if (rows * channels >= FEWEST_SHARED_ENTRIES) return parallel(pool, parts * bands, task);
  for (int64_t index = 0; index < parts * bands; ++index) task(index);
}

// Calls `body(vectors, channel, count)` for up to four vectors of channels at a time, `count` of the last one's lanes
// being there: sums of four stay in registers while the rows go by.
template <class Body>
void over_channels(Range channels, const Body& body) {
  int64_t c = channels.begin;
  for (; channels.end - c >= 4 * LANES; c += 4 * LANES) body(Constant<4>{}, c, int64_t{LANES});
  for (; channels.end > c; c += LANES) body(Constant<1>{}, c, channels.end - c < LANES ? channels.end - c : LANES);
}

inline Vector inverse_root(Vector variance, float epsilon) { return 1.0f / square_root(variance + epsilon); }

// SUMS numbers for each channel, summed over the rows: first of each part, then of all. `entry(i, at, count, c, sums)`
// adds those of the entries that begin at `at`, in row i and from channel c on. The totals go to `end(c, count, totals)`.
template <int SUMS, class Entry, class End>
void sum_rows(Pool& pool, int64_t rows, int64_t channels, float* scratch, const Entry& entry, const End& end) {
  int64_t parts = normalisation_parts(rows);
  over_places(pool, rows, channels, [&](Place place) {
    over_channels(place.channels, [&](auto vectors, int64_t c, int64_t count) {
      constexpr int VECTORS = decltype(vectors)::value;
      Vector sums[VECTORS][SUMS] = {};
      for (int64_t i = place.rows.begin; i < place.rows.end; ++i)
        for (int v = 0; v < VECTORS; ++v) entry(i, i * channels + c + v * LANES, count, c + v * LANES, sums[v]);
      for (int v = 0; v < VECTORS; ++v)
        for (int s = 0; s < SUMS; ++s)
          store_some(scratch + (s * parts + place.part) * channels + c + v * LANES, sums[v][s], count);
    });
  });
  for (int64_t c = 0; c < channels; c += LANES) {
    int64_t count = channels - c < LANES ? channels - c : LANES;
    Vector totals[SUMS] = {};
    for (int s = 0; s < SUMS; ++s)
      for (int64_t p = 0; p < parts; ++p) totals[s] += load_some(scratch + (s * parts + p) * channels + c, count);
    end(c, count, totals);
  }
}

// One over the number of rows that count, of which there is at least one.
float inverse_count(const float* weight, int64_t rows) {
  double total = rows;
  if (weight) {
    total = 0;
    for (int64_t i = 0; i < rows; ++i) total += weight[i];
  }
  return float(1.0 / (total < 1 ? 1 : total));
}

}  // namespace

void normalisation_forward(Pool& pool, const NormalisationForward& call) {
  float share = inverse_count(call.weight, call.rows);
  int64_t channels = call.channels;
  sum_rows<1>(pool, call.rows, channels, call.scratch,
              [&](int64_t i, int64_t at, int64_t count, int64_t, Vector* sums) {
                Vector x = load_some(call.x + at, count);
                sums[0] += call.weight ? x * call.weight[i] : x;
              },
              [&](int64_t c, int64_t count, Vector* totals) { store_some(call.mean + c, totals[0] * share, count); });
  sum_rows<1>(pool, call.rows, channels, call.scratch,
              [&](int64_t i, int64_t at, int64_t count, int64_t c, Vector* sums) {
                Vector centred = load_some(call.x + at, count) - load_some(call.mean + c, count);
                if (call.weight) centred *= call.weight[i];
                sums[0] += centred * centred;
              },
              [&](int64_t c, int64_t count, Vector* totals) { store_some(call.variance + c, totals[0] * share, count); });
  over_places(pool, call.rows, channels, [&](Place place) {
    over_channels(place.channels, [&](auto vectors, int64_t first, int64_t count) {
      constexpr int VECTORS = decltype(vectors)::value;
      Vector mean[VECTORS], factor[VECTORS], beta[VECTORS];
      for (int v = 0; v < VECTORS; ++v) {
        int64_t c = first + v * LANES;
        mean[v] = load_some(call.mean + c, count);
        factor[v] = inverse_root(load_some(call.variance + c, count), *call.epsilon) * load_some(call.gamma + c, count);
        beta[v] = load_some(call.beta + c, count);
      }
      for (int64_t i = place.rows.begin; i < place.rows.end; ++i)
        for (int v = 0; v < VECTORS; ++v) {
          int64_t at = i * channels + first + v * LANES;
          store_some(call.y + at, (load_some(call.x + at, count) - mean[v]) * factor[v] + beta[v], count);
        }
    });
  });
}

// With r = 1 / sqrt(variance + epsilon) and the weight w of a row:
//     dx = dy * gamma * r + w / rows * (dm + 2 * (x - mean) * dv)
//     dm = dmean - gamma * r * sum(dy),   dv = dvariance - gamma * r ** 3 / 2 * sum(dy * (x - mean))
void normalisation_backward(Pool& pool, const NormalisationBackward& call) {
  float share = inverse_count(call.weight, call.rows), epsilon = *call.epsilon;
  int64_t channels = call.channels;
  sum_rows<2>(pool, call.rows, channels, call.scratch,
              [&](int64_t, int64_t at, int64_t count, int64_t c, Vector* sums) {
                Vector dy = load_some(call.dy + at, count);
                sums[0] += dy;
                sums[1] += dy * (load_some(call.x + at, count) - load_some(call.mean + c, count));
              },
              [&](int64_t c, int64_t count, Vector* totals) {
                store_some(call.dbeta + c, totals[0], count);
                store_some(call.dgamma + c, totals[1] * inverse_root(load_some(call.variance + c, count), epsilon), count);
              });
  over_places(pool, call.rows, channels, [&](Place place) {
    over_channels(place.channels, [&](auto vectors, int64_t first, int64_t count) {
      constexpr int VECTORS = decltype(vectors)::value;
      Vector mean[VECTORS], factor[VECTORS], by_mean[VECTORS], by_variance[VECTORS];
      for (int v = 0; v < VECTORS; ++v) {
        int64_t c = first + v * LANES;
        Vector root = inverse_root(load_some(call.variance + c, count), epsilon);
        mean[v] = load_some(call.mean + c, count);
        factor[v] = root * load_some(call.gamma + c, count);
        by_mean[v] = (load_some(call.dmean + c, count) - factor[v] * load_some(call.dbeta + c, count)) * share;
        by_variance[v] = (2.0f * load_some(call.dvariance + c, count) - factor[v] * root * load_some(call.dgamma + c, count)) * share;
      }
      for (int64_t i = place.rows.begin; i < place.rows.end; ++i) {
        float weight = call.weight ? call.weight[i] : 1.0f;
        for (int v = 0; v < VECTORS; ++v) {
          int64_t at = i * channels + first + v * LANES;
          Vector through = by_mean[v] + (load_some(call.x + at, count) - mean[v]) * by_variance[v];
          store_some(call.dx + at, load_some(call.dy + at, count) * factor[v] + through * weight, count);
        }
      }
    });
  });
}

}  // namespace chainrule::CHAINRULE_ISA
