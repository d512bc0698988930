#include "optimizer.h"

#include "parallel.h"
#include "vector.h"

namespace chainrule::CHAINRULE_ISA {

// The equations are those of chainrule/optimizers/, `rule` for `rule`: from a gradient, a decayed weight and its slots to
// the new slots, in their place, and the new weight. `s` has the rule's scalars.
template <Rule rule, bool nesterov>
static inline Vector moved(Vector gradient, Vector weight, Vector (&slots)[MOST_SLOTS], const bool (&has)[MOST_SLOTS],
                           const float* s) {
  if constexpr (rule == Rule::sgd) {
    const float rate = s[0], momentum = s[1];
    Vector step = rate * gradient;
    if (!has[0]) return weight - step;
    slots[0] = momentum * slots[0] - step;
    return weight + (nesterov ? momentum * slots[0] - step : slots[0]);
  }
  if constexpr (rule == Rule::lion) {
    const float rate = s[0], beta_1 = s[1], beta_2 = s[2];
    Vector direction = beta_1 * slots[0] + (1 - beta_1) * gradient;
    Vector step = direction > 0.0f ? broadcast(rate) : (direction < 0.0f ? broadcast(-rate) : direction * rate);
    slots[0] = beta_2 * slots[0] + (1 - beta_2) * gradient;
    return weight - step;
  }
  if constexpr (rule == Rule::adam || rule == Rule::nadam) {
    const float rate = s[0], beta_1 = s[1], beta_2 = s[2], epsilon = s[3];
    slots[0] += (1 - beta_1) * (gradient - slots[0]);
    slots[1] += (1 - beta_2) * (gradient * gradient - slots[1]);
    if constexpr (rule == Rule::nadam) {
      const float first_factor = s[4], gradient_factor = s[5], second_factor = s[6];
      Vector ahead = first_factor * slots[0] + gradient_factor * gradient;
      return weight - rate * ahead / (square_root(slots[1] * second_factor) + epsilon);
    }
    Vector second = slots[1];
    if (has[2]) slots[2] = second = slots[2] >= second || slots[2] != slots[2] ? slots[2] : second;
    return weight - rate / (square_root(second) + epsilon) * slots[0];  // the product is not rounded by itself
  }
  if constexpr (rule == Rule::adamax) {
    const float rate = s[0], beta_1 = s[1], beta_2 = s[2], epsilon = s[3];
    slots[0] += (1 - beta_1) * (gradient - slots[0]);
    Vector kept = beta_2 * slots[1], size = gradient < 0.0f ? -gradient : gradient;
    slots[1] = kept >= size || kept != kept ? kept : size;
    return weight - rate * slots[0] / (slots[1] + epsilon);
  }
  if constexpr (rule == Rule::rmsprop) {
    const float rate = s[0], rho = s[1], epsilon = s[2], momentum = s[3];
    slots[0] = rho * slots[0] + (1 - rho) * (gradient * gradient);
    Vector variance = slots[0];
    if (has[1]) {
      slots[1] = rho * slots[1] + (1 - rho) * gradient;
      variance -= slots[1] * slots[1];
    }
    Vector step = rate * gradient / square_root(variance + epsilon);
    if (has[2]) slots[2] = step = momentum * slots[2] + step;
    return weight - step;
  }
  if constexpr (rule == Rule::adagrad) {
    const float rate = s[0], epsilon = s[1];
    slots[0] += gradient * gradient;
    return weight - rate * gradient / square_root(slots[0] + epsilon);
  }
  return weight;
}

// The elements of one array from `begin` to `end`. The last few go through a vector of their own, so that each element
// is computed alike wherever it lies.
template <Rule rule, bool nesterov>
static inline void move(const Parameter& array, int64_t begin, int64_t end) {
  const bool has[MOST_SLOTS] = {array.slots[0] != nullptr, array.slots[1] != nullptr, array.slots[2] != nullptr};
  const float decay = array.decays ? array.scalars[0] : 0;
  auto some = [&](int64_t place, auto read, auto write) {
    Vector weight = read(array.weight + place), slots[MOST_SLOTS] = {};
    if (array.decays) weight -= weight * decay;
    for (int64_t slot = 0; slot < MOST_SLOTS; ++slot)
      if (has[slot]) slots[slot] = read(array.slots[slot] + place);
    weight = moved<rule, nesterov>(read(array.gradient + place), weight, slots, has, array.scalars + 1);
    for (int64_t slot = 0; slot < MOST_SLOTS; ++slot)
      if (has[slot]) write(array.new_slots[slot] + place, slots[slot]);
    write(array.new_weight + place, weight);
  };
  int64_t place = begin;
  for (; place + LANES <= end; place += LANES) some(place, load, store);
  int64_t left = end - place;
  if (left > 0)
    some(place, [&](const float* from) { return load_part(from, left); },
         [&](float* to, Vector values) { store_part(to, values, left); });
}

template <Rule rule, bool nesterov>
static void step_all(Pool& pool, const OptimizerStep& call) {
  constexpr int64_t FEWEST_SHARED_NUMBERS = 30'000, NUMBERS_OF_A_TASK = 16'384;
  int64_t all = 0;
  for (int64_t index = 0; index < call.count; ++index) all += call.parameters[index].size;
  int64_t tasks = all < FEWEST_SHARED_NUMBERS ? 1 : (all + NUMBERS_OF_A_TASK - 1) / NUMBERS_OF_A_TASK;
  parallel(pool, tasks, [&](int64_t task) {
    Range range = part(all, tasks, task, LANES);
    int64_t start = 0;
    for (int64_t index = 0; index < call.count && start < range.end; ++index) {
      const Parameter& array = call.parameters[index];
      int64_t begin = range.begin > start ? range.begin - start : 0;
      int64_t end = range.end - start < array.size ? range.end - start : array.size;
      if (begin < end) move<rule, nesterov>(array, begin, end);
      start += array.size;
    }
  });
}

void optimizer_step(Pool& pool, const OptimizerStep& call) {
  switch (call.rule) {
    case Rule::sgd: return call.nesterov ? step_all<Rule::sgd, true>(pool, call) : step_all<Rule::sgd, false>(pool, call);
    case Rule::lion: return step_all<Rule::lion, false>(pool, call);
    case Rule::adam: return step_all<Rule::adam, false>(pool, call);
    case Rule::adamax: return step_all<Rule::adamax, false>(pool, call);
    case Rule::nadam: return step_all<Rule::nadam, false>(pool, call);
    case Rule::rmsprop: return step_all<Rule::rmsprop, false>(pool, call);
    case Rule::adagrad: return step_all<Rule::adagrad, false>(pool, call);
    case Rule::count: return;
  }
}

}  // namespace chainrule::CHAINRULE_ISA
