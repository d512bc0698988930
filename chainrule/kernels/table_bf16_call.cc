#include "table_bf16.h"

namespace chainrule {

#ifdef CHAINRULE_X86
namespace avx512bf16 { extern const TableBf16 table_bf16; }
#endif

static const TableBf16* present() {
#ifdef CHAINRULE_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx512bf16"))
    return &avx512bf16::table_bf16;
#endif
  return nullptr;
}

const TableBf16* kernels_bf16() {
  static const TableBf16* const found = present();
  return found;
}

}  // namespace chainrule

// Whether there are kernels that compute in bfloat16.
extern "C" bool chainrule_has_bfloat16() { return chainrule::kernels_bf16(); }
