// Batch normalisation: each channel at mean 0 and variance 1 over the rows that count, scaled and shifted.
//
//     y[i, c] = (x[i, c] - mean[c]) / sqrt(variance[c] + epsilon) * gamma[c] + beta[c]
//
// Mean and variance are those of the rows with a weight of 1; of rows with a weight of 0 there is a y all the same.
#pragma once
#include "pool.h"

namespace chainrule {

struct NormalisationForward {
  const float* x;       // (rows, channels)
  const float* weight;  // (rows), 1 or 0, or null where all count
  const float* gamma;   // (channels)
  const float* beta;    // (channels)
  const float* epsilon;  // one number
  float* y;              // (rows, channels)
  float* mean;           // (channels)
  float* variance;       // (channels)
  float* scratch;        // normalisation_parts() * channels
  int64_t rows, channels;
};

struct NormalisationBackward {
  const float* x;
  const float* weight;
  const float* gamma;
  const float* epsilon;
  const float* mean;
  const float* variance;
  const float* dy;         // (rows, channels)
  const float* dmean;      // (channels)
  const float* dvariance;  // (channels)
  float* dx;               // (rows, channels)
  float* dgamma;           // (channels)
  float* dbeta;            // (channels)
  float* scratch;          // 2 * normalisation_parts() * channels
  int64_t rows, channels;
};

// Into how many sums the rows are divided; the result depends on it, and it on the shape alone.
static inline int64_t normalisation_parts(int64_t rows) {
  int64_t parts = rows / 512;
  return parts < 1 ? 1 : parts > 16 ? 16 : parts;
}

}  // namespace chainrule

#ifdef CHAINRULE_ISA
namespace chainrule::CHAINRULE_ISA {
void normalisation_forward(Pool& pool, const NormalisationForward& call);
void normalisation_backward(Pool& pool, const NormalisationBackward& call);
}  // namespace chainrule::CHAINRULE_ISA
#endif
