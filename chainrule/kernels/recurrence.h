// A recurrence along whole sequences, from what enters each step, and its gradients. All arrays are row by row.
//
// A step `s` of the walk stands at the place `s` of the outputs, and at `time - 1 - s` of the arrays that lie as the
// inputs do where the walk is reversed. Gates lie side by side, each `units` wide: `columns = gates * units`. `Number` is
// what enters products: float32, or the bits of a bfloat16.
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

template <class Number>
struct RecurrenceForward {
  RecurrenceSizes sizes;
  const Number* entering;  // (batch, time, columns)
  const Number* kernel;    // (units, columns)
  const float* h0;         // (batch, units)
  const float* c0;         // (batch, units), LSTM only
  const float* bias;       // (columns), added to the product with the state, or null
  const float* real;       // (batch, time), 0 where a step keeps the state, or null
  const float* scale;      // (batch, units), factors of the state in the product, or null
  Number* every;           // (batch, time, units), the outputs
  float* last_c;           // (batch, units), LSTM only
  // What the gradients need, or null: `gates` after their activations (none for the simple cell), `memory` (c after the
  // step, or for the GRU what r is multiplied by), and the state that met the kernel, `factors`.
  Number* gates;    // (batch, time, columns)
  float* memory;    // (batch, time, units)
  Number* factors;  // (batch, time, units)
  void* room;       // RecurrenceKernels::forward_room() bytes
};

template <class Number>
struct RecurrenceBackward {
  RecurrenceSizes sizes;
  const Number* gates;    // (batch, time, columns); for the simple cell its outputs, in the order of the inputs
  const Number* kernel;   // (units, columns)
  const float* memory;    // (batch, time, units), not for the simple cell
  const float* before_c;  // c before the first step, (batch, units), LSTM only
  const Number* before;   // h before each step, (batch, time, units), GRU only
  const Number* factors;  // (batch, time, units)
  const Number* d_every;  // (batch, time, units)
  const float* d_last_c;  // (batch, units), LSTM only
  const float* real;      // as above
  const float* scale;     // as above
  Number* d_entering;     // (batch, time, columns); may be `gates`
  Number* d_product;      // (batch, time, units): GRU only, the gradient by what r is multiplied by
  float* d_kernel;        // (units, columns)
  float* d_h0;            // (batch, units)
  float* d_c0;            // (batch, units), LSTM only
  float* d_bias;          // (columns), or null
  void* room;             // RecurrenceKernels::backward_room() bytes
};

// What there is for one type of numbers.
template <class Number>
struct RecurrenceKernels {
  int64_t (*forward_room)(const RecurrenceSizes&);
  int64_t (*backward_room)(const RecurrenceSizes&);
  void (*forward)(Pool&, const RecurrenceForward<Number>&);
  void (*backward)(Pool&, const RecurrenceBackward<Number>&);
};

}  // namespace chainrule

#ifdef CHAINRULE_ISA
namespace chainrule::CHAINRULE_ISA {
extern const RecurrenceKernels<float> recurrence;
extern const RecurrenceKernels<uint16_t> recurrence_bf16;
}  // namespace chainrule::CHAINRULE_ISA
#endif
