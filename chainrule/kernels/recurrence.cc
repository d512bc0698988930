#include "recurrence_walk.h"

#include "numbers.h"

namespace chainrule::CHAINRULE_ISA {

const RecurrenceKernels<float> recurrence = {forward_room<Float32>, backward_room<Float32>, walk_forward<Float32>,
                                             walk_backward<Float32>};

}  // namespace chainrule::CHAINRULE_ISA
