// What the calls that XLA makes have in common: its thread pool as a `Pool`, checks of shapes, members of a population.
//
// A handler checks everything it is given before it calls a kernel: no shape, however odd, may read or write outside its
// arrays. An array of a kernel may have one axis more in front, of the members of a population; one without it serves
// all members.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "pool.h"
#include "table.h"
#include "work.h"
#include "xla/ffi/api/ffi.h"

namespace chainrule {

namespace ffi = xla::ffi;

using Floats = ffi::Buffer<ffi::F32>;
using FloatsOut = ffi::ResultBuffer<ffi::F32>;

class XlaPool final : public Pool {
 public:
  explicit XlaPool(ffi::ThreadPool pool);
  int64_t threads() const override { return threads_; }
  void run(int64_t tasks, void (*task)(void*, int64_t), void* context) override;
  void wait(const int64_t& counter, int64_t value) const override;

 private:
  ffi::ThreadPool pool_;
  int64_t threads_;
};

// One array of a call, with or without the axis of members.
template <class Data>
struct Member {
  Data* data;
  int64_t step;  // from one member to the next; 0 where all share it
  Data* at(int64_t member) const { return data ? data + member * step : nullptr; }
};

// The shapes of a call, held against what the kernel needs.
class Shapes {
 public:
  // An array of these axes, or of one more in front. Axes given as -1 are free.
  template <class Buffer>
  auto array(const char* name, Buffer& buffer, std::initializer_list<int64_t> axes) {
    using Data = std::remove_reference_t<decltype(*buffer.typed_data())>;
    auto dimensions = buffer.dimensions();
    int64_t extra = int64_t(dimensions.size()) - int64_t(axes.size());
    if (extra != 0 && extra != 1) {
      fail(name, dimensions);
      return Member<Data>{buffer.typed_data(), 0};
    }
    int64_t step = 1, index = extra;
    for (int64_t axis : axes) {
      if (axis >= 0 && dimensions[index] != axis) fail(name, dimensions);
      step *= dimensions[index++];
    }
    if (extra) {
      if (members_ != 1 && dimensions[0] != members_) fail(name, dimensions);
      members_ = dimensions[0];
      has_members_ = true;
    }
    return Member<Data>{buffer.typed_data(), extra ? step : 0};
  }

  // As `array`, for a result, which has the axis of members where anything has it.
  template <class Result>
  auto result(const char* name, Result& buffer, std::initializer_list<int64_t> axes) {
    bool had = has_members_;
    auto member = array(name, *buffer, axes);
    if (had && member.step == 0 && buffer->element_count() > 0 && buffer->dimensions().size() == axes.size())
      fail(name, buffer->dimensions());
    return member;
  }

  // As `array`, for one of those at the end of a call, which it may not have.
  template <ffi::DataType type = ffi::F32>
  Member<ffi::NativeType<type>> optional(const char* name, const ffi::RemainingArgs& rest, size_t place,
                                         std::initializer_list<int64_t> axes) {
    if (place >= rest.size()) return {nullptr, 0};
    auto buffer = rest.get<ffi::Buffer<type>>(place);
    require(buffer.has_value(), "an array is not of its type");
    return buffer.has_value() ? array(name, *buffer, axes) : Member<ffi::NativeType<type>>{nullptr, 0};
  }

  // As `result`, likewise, where it is wanted.
  template <ffi::DataType type = ffi::F32>
  Member<ffi::NativeType<type>> optional(const char* name, const ffi::RemainingRets& rest, size_t place, bool wanted,
                                         std::initializer_list<int64_t> axes) {
    if (!wanted || place >= rest.size()) return {nullptr, 0};
    auto buffer = rest.get<ffi::Buffer<type>>(place);
    require(buffer.has_value(), "a result is not of its type");
    return buffer.has_value() ? result(name, *buffer, axes) : Member<ffi::NativeType<type>>{nullptr, 0};
  }

  void require(bool condition, const char* text);
  int64_t members() const { return members_; }
  ffi::Error error() const;
  bool failed() const { return !problem_.empty(); }

 private:
  template <class Dimensions>
  void fail(const char* name, const Dimensions& dimensions) {
    if (failed()) return;
    problem_ = std::string("the array '") + name + "' has the shape (";
    for (size_t i = 0; i < dimensions.size(); ++i) problem_ += (i ? ", " : "") + std::to_string(dimensions[i]);
    problem_ += "), which does not fit the others";
  }
  int64_t members_ = 1;
  bool has_members_ = false;
  std::string problem_;
};

// One axis of an array, counted from the last.
template <class Buffer>
int64_t from_last(const Buffer& buffer, size_t place) {
  auto dimensions = buffer.dimensions();
  return place < dimensions.size() ? dimensions[dimensions.size() - 1 - place] : -1;
}

// Calls `body(pool, member)` for each member: side by side where there are several, each with all threads where not.
template <class Body>
ffi::Error for_members(const Shapes& shapes, ffi::ThreadPool threads, Body&& body) {
  if (shapes.failed()) return shapes.error();
  XlaPool pool(threads);
  if (shapes.members() < 2 * pool.threads()) {
    for (int64_t member = 0; member < shapes.members(); ++member) body(pool, member);
    return ffi::Error::Success();
  }
  pool.run(shapes.members(), [](void* context, int64_t member) {
    Alone alone;
    (*static_cast<std::remove_reference_t<Body>*>(context))(alone, member);
  }, &body);
  return ffi::Error::Success();
}

}  // namespace chainrule
