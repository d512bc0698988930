#include "table.h"

#define TEXT_OF(name) #name
#define NAME(name) TEXT_OF(name)

namespace chainrule::CHAINRULE_ISA {

extern const Table table;
const Table table = {NAME(CHAINRULE_ISA), dense_forward, dense_backward,
                     &convolution, &recurrence, max_pool_forward,
                     max_pool_backward, average_pool_forward, average_pool_backward, normalisation_forward,
                     normalisation_backward, optimizer_step};

}  // namespace chainrule::CHAINRULE_ISA
