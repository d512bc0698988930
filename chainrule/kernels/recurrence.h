// A recurrence along whole sequences, from what enters each step, and its gradients. All arrays are row by row.
//
// A step `s` of the walk stands at the place `s` of the outputs, and at `time - 1 - s` of the arrays that lie as the
// inputs do where the walk is reversed. Gates lie side by side, each `units` wide: `columns = gates * units`.
#pragma once
#include "pool.h"

namespace chainrule {

// In the order of `KINDS` in chainrule/kernels/recurrence.py.
enum class Cell : int64_t { simple, lstm, gru, count };

struct RecurrenceSizes {
  int64_t batch, time, units;
  Cell cell;
  bool reverse;
};

struct RecurrenceForward {
  RecurrenceSizes sizes;
  const float* entering;  // (batch, time, columns)
  const float* kernel;    // (units, columns)
  const float* h0;        // (batch, units)
  const float* c0;        // (batch, units), LSTM only
  const float* bias;      // (columns), added to the product with the state, or null
  const float* real;      // (batch, time), 0 where a step keeps the state, or null
  const float* scale;     // (batch, units), factors of the state in the product, or null
  float* every;           // (batch, time, units), the outputs
  float* last_c;          // (batch, units), LSTM only
  // What the gradients need, or null: `gates` after their activations (none for the simple cell), `memory` (c after the
  // step, or for the GRU what r is multiplied by), and the state that met the kernel, `factors`.
  float* gates;    // (batch, time, columns)
  float* memory;   // (batch, time, units)
  float* factors;  // (batch, time, units)
  float* room;     // recurrence_forward_room() floats
};

struct RecurrenceBackward {
  RecurrenceSizes sizes;
  const float* gates;    // (batch, time, columns); for the simple cell its outputs, in the order of the inputs
  const float* kernel;   // (units, columns)
  const float* memory;   // (batch, time, units), not for the simple cell
  const float* before;   // LSTM: c before the first step, (batch, units); GRU: h before each, (batch, time, units)
  const float* factors;  // (batch, time, units)
  const float* d_every;  // (batch, time, units)
  const float* d_last_c;  // (batch, units), LSTM only
  const float* real;      // as above
  const float* scale;     // as above
  float* d_entering;  // (batch, time, columns); may be `gates`
  float* d_product;   // (batch, time, units): GRU only, the gradient by what r is multiplied by
  float* d_kernel;    // (units, columns)
  float* d_h0;        // (batch, units)
  float* d_c0;        // (batch, units), LSTM only
  float* d_bias;      // (columns), or null
  float* room;        // recurrence_backward_room() floats
};

}  // namespace chainrule

#ifdef CHAINRULE_ISA
namespace chainrule::CHAINRULE_ISA {
int64_t recurrence_forward_room(const RecurrenceSizes& sizes);
int64_t recurrence_backward_room(const RecurrenceSizes& sizes);
void recurrence_forward(Pool& pool, const RecurrenceForward& call);
void recurrence_backward(Pool& pool, const RecurrenceBackward& call);
}  // namespace chainrule::CHAINRULE_ISA
#endif
