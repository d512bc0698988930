#include "call.h"

#include <atomic>
#include <memory>
#include <thread>

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

// Work that several threads take from: each takes the next index until none is left. A thread that comes late finds
// nothing, and touches only this object, which lives until the last one has let it go.
struct Work {
  int64_t tasks;
  void (*task)(void*, int64_t);
  void* context;
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> done{0};

  void take() {
    int64_t mine = 0;
    for (int64_t index; (index = next.fetch_add(1, std::memory_order_relaxed)) < tasks; ++mine) task(context, index);
    if (mine) done.fetch_add(mine, std::memory_order_release);
  }
};

inline void pause() {
#ifdef CHAINRULE_X86
  __builtin_ia32_pause();
#endif
}

}  // namespace

const Table& kernels() { return *tables()[chosen.load(std::memory_order_relaxed)]; }

XlaPool::XlaPool(ffi::ThreadPool pool) : pool_(pool), threads_(pool.num_threads()) {
  if (threads_ < 1) threads_ = 1;
}

void XlaPool::run(int64_t tasks, void (*task)(void*, int64_t), void* context) {
  int64_t helpers = (threads_ < tasks ? threads_ : tasks) - 1;
  if (helpers <= 0) {
    for (int64_t index = 0; index < tasks; ++index) task(context, index);
    return;
  }
  auto work = std::make_shared<Work>();
  work->tasks = tasks;
  work->task = task;
  work->context = context;
  for (int64_t helper = 0; helper < helpers; ++helper) pool_.Schedule([work] { work->take(); });
  work->take();
  // What is left is in the hands of threads that run: only they are waited for, never one that has not come yet.
  for (int64_t turns = 0; work->done.load(std::memory_order_acquire) < tasks; ++turns) {
    if (turns < 2000) pause();
    else std::this_thread::yield();
  }
}

void Shapes::require(bool condition, const char* text) {
  if (!condition && !failed()) problem_ = text;
}

ffi::Error Shapes::error() const { return ffi::Error::InvalidArgument("chainrule: " + problem_ + "."); }

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
