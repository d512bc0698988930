#include <atomic>
#include <vector>

#include "amx.h"
#include "table_bf16.h"

namespace chainrule {

#ifdef CHAINRULE_X86
namespace avx512bf16 { extern const TableBf16 table_bf16; }
namespace amx_emulated { extern const TableBf16 table_bf16; }
#ifdef CHAINRULE_AMX
namespace amx { extern const TableBf16 table_bf16; }
#endif
#endif

namespace {

struct InstructionSet {
  const char* name;
  const TableBf16* table;
};

// Why the machine's AMX is not used; empty where it is, or where there is none.
const char* why_no_amx() {
#ifdef CHAINRULE_AMX
  if (!has_amx()) return "";
  if (const char* reason = refused_amx()) return reason;
  return sums_are_right(amx::table_bf16) ? "" : "products that were tried came out wrong";
#else
  return has_amx() ? "the compiler that built the kernels does not know it" : "";
#endif
}

// What this machine has, found out once.
struct Present {
  std::vector<InstructionSet> sets;  // the fastest first
  const char* unused_amx = "";
  std::atomic<const TableBf16*> chosen{nullptr};

  Present() {
#ifdef CHAINRULE_X86
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx512bf16")))
      return;
    unused_amx = why_no_amx();
#ifdef CHAINRULE_AMX
    if (has_amx() && !*unused_amx) sets.push_back({"amx", &amx::table_bf16});
#endif
    sets.push_back({"avx512bf16", &avx512bf16::table_bf16});
    sets.push_back({"amx_emulated", &amx_emulated::table_bf16});  // slow: for tests, never the first
    chosen = sets[0].table;
#endif
  }
};

Present& present() {
  static Present found;
  return found;
}

}  // namespace

const TableBf16* kernels_bf16() { return present().chosen.load(std::memory_order_relaxed); }

}  // namespace chainrule

// As `chainrule_instruction_set` and `chainrule_use_instruction_set`, of those that compute in bfloat16: none on many machines.
extern "C" const char* chainrule_instruction_set_bf16(int index) {
  const auto& sets = chainrule::present().sets;
  return index >= 0 && index < int(sets.size()) ? sets[index].name : nullptr;
}

extern "C" bool chainrule_use_instruction_set_bf16(int index) {
  if (!chainrule_instruction_set_bf16(index)) return false;
  chainrule::Present& present = chainrule::present();
  present.chosen.store(present.sets[index].table, std::memory_order_relaxed);
  return true;
}

// Why the AMX of this machine is not used; empty where it is, or where there is none.
extern "C" const char* chainrule_unused_amx() { return chainrule::present().unused_amx; }
