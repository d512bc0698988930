#include "call.h"

#include <utility>

namespace chainrule {

XlaPool::XlaPool(ffi::ThreadPool pool) : pool_(pool), threads_(pool.num_threads()) {
  if (threads_ < 1) threads_ = 1;
}

void XlaPool::run(int64_t tasks, void (*task)(void*, int64_t), void* context) {
  int64_t helpers = (threads_ < tasks ? threads_ : tasks) - 1;
  if (helpers <= 0) {
    for (int64_t index = 0; index < tasks; ++index) task(context, index);
    return;
  }
  share(tasks, task, context, helpers, [this](auto && helper) { pool_.Schedule(std::move(helper)); });
}

void XlaPool::wait(const int64_t& counter, int64_t value) const {
  wait_until([&] { return __atomic_load_n(&counter, __ATOMIC_ACQUIRE) >= value; });
}

void Shapes::require(bool condition, const char* text) {
  if (!condition && !failed()) problem_ = text;
}

ffi::Error Shapes::error() const { return ffi::Error::InvalidArgument("chainrule: " + problem_ + "."); }

}  // namespace chainrule
