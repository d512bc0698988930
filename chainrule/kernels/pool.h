// How a kernel spreads its work: tasks that any thread may take, and a caller that works with them.
#pragma once
#include <cstdint>

namespace chainrule {

class Pool {
 public:
  // How many threads there are, the caller's own included.
  virtual int64_t threads() const = 0;
  // Calls `task(context, index)` for each index below `tasks`, on any thread, and returns when all are done.
  virtual void run(int64_t tasks, void (*task)(void* context, int64_t index), void* context) = 0;
  // Returns when `counter` has reached `value`. Tasks are begun in the order of their indices: within one, only what
  // tasks before it count may be waited for.
  virtual void wait(const int64_t& counter, int64_t value) const = 0;

 protected:
  ~Pool() = default;
};

}  // namespace chainrule
