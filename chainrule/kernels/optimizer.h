// One step of an optimiser over all arrays of a network: each weight, its slots and its gradient pass once.
#pragma once
#include "pool.h"

namespace chainrule {

// In the order of `RULES` in chainrule/kernels/optimizer.py, where the scalars and slots of each are named.
enum class Rule : int64_t { sgd, lion, adam, adamax, nadam, rmsprop, adagrad, count };

constexpr int64_t MOST_SLOTS = 3;
constexpr int64_t MOST_SCALARS = 8;

// How many slots a rule may have, and how many it must.
constexpr int64_t SLOTS[][2] = {{0, 1}, {1, 1}, {2, 3}, {2, 2}, {2, 2}, {1, 3}, {1, 1}};

// One array. A new one may lie where the old one does.
struct Parameter {
  const float* gradient;
  const float* weight;
  const float* slots[MOST_SLOTS];  // null where the rule runs without
  float* new_weight;
  float* new_slots[MOST_SLOTS];
  const float* scalars;  // the rate of the decay, then those of the rule
  int64_t size;
  bool decays;
};

struct OptimizerStep {
  Rule rule;
  bool nesterov;
  const Parameter* parameters;
  int64_t count;
};

}  // namespace chainrule

#ifdef CHAINRULE_ISA
namespace chainrule::CHAINRULE_ISA {
void optimizer_step(Pool& pool, const OptimizerStep& call);
}  // namespace chainrule::CHAINRULE_ISA
#endif
