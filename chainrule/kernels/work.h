// Tasks that several threads take from one place, the caller among them.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "pool.h"

namespace chainrule {

// The caller's own thread, alone.
class Alone final : public Pool {
 public:
  int64_t threads() const override { return 1; }
  void run(int64_t tasks, void (*task)(void*, int64_t), void* context) override {
    for (int64_t index = 0; index < tasks; ++index) task(context, index);
  }
  void wait(const int64_t&, int64_t) const override {}  // all before it is done
};

// Each thread takes the next index until none is left. One that comes late finds nothing, and touches only this object,
// which lives until the last one has let it go.
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

// For what other threads are about to finish: awake at first, as waking costs more than most waits take.
template <class Condition>
void wait_until(const Condition& condition) {
  for (int64_t turns = 0; !condition(); ++turns) {
    if (turns < 2000) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    } else {
      std::this_thread::yield();
    }
  }
}

// Does all tasks, with as many helpers as `schedule` gets to run. It returns when all are done.
template <class Schedule>
void share(int64_t tasks, void (*task)(void*, int64_t), void* context, int64_t helpers, Schedule&& schedule) {
  auto work = std::make_shared<Work>();
  work->tasks = tasks;
  work->task = task;
  work->context = context;
  for (int64_t helper = 0; helper < helpers; ++helper) schedule([work] { work->take(); });
  work->take();
  // What is left is in the hands of threads that run: only they are waited for, never one that has not come yet.
  wait_until([&] { return work->done.load(std::memory_order_acquire) >= tasks; });
}

}  // namespace chainrule
