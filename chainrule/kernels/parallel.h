// Loops over tasks on a pool, written as lambdas. In the namespace of the instruction set: templates are compiled for it.
#pragma once
#include "pool.h"

namespace chainrule::CHAINRULE_ISA {

template <class Body>
static inline void parallel(Pool& pool, int64_t tasks, const Body& body) {
  if (tasks == 1) return body(int64_t{0});
  auto task = [](void* context, int64_t index) { (*static_cast<const Body*>(context))(index); };
  pool.run(tasks, task, const_cast<Body*>(&body));
}

// Waking a second thread costs 5 to 10 microseconds: below this many operations one is faster.
constexpr int64_t FEWEST_SHARED_OPERATIONS = 2'000'000;

// A number as a type, for lambdas that unroll.
template <int number>
struct Constant {
  static constexpr int value = number;
};

// The index range of one of several parts that are as equal as whole multiples of `grain` allow.
struct Range {
  int64_t begin, end;
};

static inline Range part(int64_t count, int64_t parts, int64_t index, int64_t grain = 1) {
  int64_t grains = (count + grain - 1) / grain;
  int64_t begin = grains * index / parts * grain, end = grains * (index + 1) / parts * grain;
  return {begin < count ? begin : count, end < count ? end : count};
}

}  // namespace chainrule::CHAINRULE_ISA
