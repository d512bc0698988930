#include "recurrence_walk.h"

#include "numbers_bf16.h"

namespace chainrule::CHAINRULE_ISA {

const RecurrenceKernels<uint16_t> recurrence_bf16 = {forward_room<Bfloat16>, backward_room<Bfloat16>, walk_forward<Bfloat16>,
                                             walk_backward<Bfloat16>};

}  // namespace chainrule::CHAINRULE_ISA
