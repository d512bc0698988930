#include "table_bf16.h"

namespace chainrule::CHAINRULE_ISA {

extern const TableBf16 table_bf16;
const TableBf16 table_bf16 = {dense_forward_bf16, dense_backward_bf16, &convolution_bf16, &recurrence_bf16};

}  // namespace chainrule::CHAINRULE_ISA
