// Which instruction set is used: the widest that the machine has, or another that was asked for.
#include <atomic>
#include <vector>

#include "table.h"

namespace chainrule {

namespace generic { extern const Table table; }
#ifdef CHAINRULE_X86
namespace avx2 { extern const Table table; }
namespace avx512 { extern const Table table; }
#endif

namespace {

// The widest first. A table is listed where the machine has what its code was compiled for.
std::vector<const Table*> present_tables() {
  std::vector<const Table*> tables;
#ifdef CHAINRULE_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
    tables.push_back(&avx512::table);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) tables.push_back(&avx2::table);
#endif
  tables.push_back(&generic::table);
  return tables;
}

const std::vector<const Table*>& tables() {
  static const std::vector<const Table*> present = present_tables();
  return present;
}

std::atomic<int> chosen{0};

}  // namespace

const Table& kernels() { return *tables()[chosen.load(std::memory_order_relaxed)]; }

}  // namespace chainrule

// The names of the instruction sets that this machine runs, the widest first; null past the last.
extern "C" const char* chainrule_instruction_set(int index) {
  const auto& all = chainrule::tables();
  return index >= 0 && index < int(all.size()) ? all[index]->name : nullptr;
}

// Makes all further calls use one of them: for comparison, and for tests. False where there is none of that number.
extern "C" bool chainrule_use_instruction_set(int index) {
  if (index < 0 || index >= int(chainrule::tables().size())) return false;
  chainrule::chosen.store(index, std::memory_order_relaxed);
  return true;
}
