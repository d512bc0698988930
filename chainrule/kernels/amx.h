// Whether AMX, the instructions on tiles, may be used here.
#pragma once
#include "table_bf16.h"

namespace chainrule {

// Whether this processor has AMX with bfloat16.
bool has_amx();

// Asks Linux to let this process use tiles, for they make what is kept of each thread larger by 8 KiB. Null where it does;
// else why not.
const char* refused_amx();

// Whether a few small products, whole tiles and edges, come out as plain sums do: all of whole numbers, so that no digit may
// differ.
bool sums_are_right(const TableBf16& table);

}  // namespace chainrule
