#include <atomic>
#include <new>

#include "call.h"
#include "table_bf16.h"

namespace chainrule {

// Room for a call of one member, given back at its end. Members are computed side by side, each in a room of its own.
class Room {
 public:
  explicit Room(int64_t bytes) : data_(::operator new(size_t(bytes), ALIGNMENT, std::nothrow)) {}
  ~Room() { ::operator delete(data_, ALIGNMENT); }
  Room(const Room&) = delete;
  void* data() const { return data_; }

 private:
  static constexpr std::align_val_t ALIGNMENT{64};
  void* data_;
};

// The arrays and the results of a call one after the other; which there are depends on the kind and on what is wanted.
class Operands {
 public:
  Operands(ffi::RemainingArgs arrays, ffi::RemainingRets results) : arrays_(arrays), results_(results) {}

  template <ffi::DataType type = ffi::F32>
  Member<ffi::NativeType<type>> array(const char* name, std::initializer_list<int64_t> axes, bool present = true) {
    if (!present) return {nullptr, 0};
    shapes.require(array_ < arrays_.size(), "an array of a recurrence is missing");
    return shapes.optional<type>(name, arrays_, array_++, axes);
  }

  template <ffi::DataType type = ffi::F32>
  Member<ffi::NativeType<type>> result(const char* name, std::initializer_list<int64_t> axes, bool present = true) {
    if (!present) return {nullptr, 0};
    shapes.require(result_ < results_.size(), "a result of a recurrence is missing");
    return shapes.optional<type>(name, results_, result_++, true, axes);
  }

  // One axis of the array at a place, counted from the last; -1 where there is none.
  int64_t axis(size_t place, size_t from_end) const {
    auto buffer = arrays_.get<ffi::AnyBuffer>(place);
    return buffer.has_value() ? from_last(*buffer, from_end) : -1;
  }

  void end() {
    shapes.require(array_ == arrays_.size() && result_ == results_.size(), "too many arrays or results");
  }

  Shapes shapes;

 private:
  ffi::RemainingArgs arrays_;
  ffi::RemainingRets results_;
  size_t array_ = 0, result_ = 0;
};

static const RecurrenceKernels<float>* kernels_of(float) { return kernels().recurrence; }
static const RecurrenceKernels<uint16_t>* kernels_of(uint16_t) {
  return kernels_bf16() ? kernels_bf16()->recurrence : nullptr;
}

static bool is_cell(int64_t kind) { return kind >= 0 && kind < int64_t(Cell::count); }

static ffi::Error no_cell() { return ffi::Error::InvalidArgument("chainrule: there is no such recurrence."); }

static int64_t gates_of(Cell cell) { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }

static ffi::Error no_room() { return ffi::Error(ffi::ErrorCode::kResourceExhausted, "chainrule: out of memory."); }

// Calls `body(pool, member, room)` with room of its own for each member.
template <class Body>
static ffi::Error with_room(const Shapes& shapes, ffi::ThreadPool threads, int64_t bytes, const Body& body) {
  std::atomic<bool> failed{false};
  auto error = for_members(shapes, threads, [&](Pool& pool, int64_t member) {
    Room room(bytes);
    if (room.data()) body(pool, member, room.data());
    else failed = true;
  });
  return failed ? no_room() : error;
}

// Arrays: entering, kernel, h, for the LSTM c, then those of bias, mask and scale that there are. Results: the outputs,
// for the LSTM the last c, and with `saving` what the gradients need.
template <ffi::DataType type>
static ffi::Error forward(ffi::ThreadPool threads, ffi::RemainingArgs arrays, int64_t kind, bool reverse, bool with_bias,
                          bool with_mask, bool with_scale, bool saving, ffi::RemainingRets results) {
  if (!is_cell(kind)) return no_cell();
  Cell cell = Cell(kind);
  bool lstm = cell == Cell::lstm, gated = cell != Cell::simple;
  Operands of(arrays, results);
  int64_t batch = of.axis(0, 2), time = of.axis(0, 1), units = of.axis(2, 0), columns = gates_of(cell) * units;
  of.shapes.require(batch >= 0 && time >= 0 && units >= 0, "a recurrence takes entering, kernel and states");
  auto entering = of.array<type>("entering", {batch, time, columns});
  auto kernel = of.array<type>("kernel", {units, columns});
  auto h0 = of.array("h", {batch, units});
  auto c0 = of.array("c", {batch, units}, lstm);
  auto bias = of.array("bias", {columns}, with_bias);
  auto real = of.array("real", {batch, time}, with_mask);
  auto scale = of.array("scale", {batch, units}, with_scale);
  auto every = of.result<type>("every", {batch, time, units});
  auto last_c = of.result("last_c", {batch, units}, lstm);
  auto gates = of.result<type>("gates", {batch, time, columns}, saving && gated);
  auto memory = of.result("memory", {batch, time, units}, saving && gated);
  auto factors = of.result<type>("factors", {batch, time, units}, saving);
  of.end();
  auto* found = kernels_of(ffi::NativeType<type>{});
  of.shapes.require(found, "this machine has no instructions for bfloat16");
  if (of.shapes.failed()) return of.shapes.error();
  RecurrenceSizes sizes{batch, time, units, cell, reverse};
  return with_room(of.shapes, threads, found->forward_room(sizes), [&](Pool& pool, int64_t m, void* room) {
    found->forward(
        pool, {sizes, entering.at(m), kernel.at(m), h0.at(m), c0.at(m), bias.at(m), real.at(m), scale.at(m), every.at(m),
               last_c.at(m), gates.at(m), memory.at(m), factors.at(m), room});
  });
}

// Arrays: gates, kernel, for all but the simple cell memory and before, then factors, the outputs' gradient, for the
// LSTM that of the last c, and those of mask and scale that there are.
template <ffi::DataType type>
static ffi::Error backward(ffi::ThreadPool threads, ffi::RemainingArgs arrays, int64_t kind, bool reverse,
                           bool with_bias, bool with_mask, bool with_scale, ffi::RemainingRets results) {
  if (!is_cell(kind)) return no_cell();
  Cell cell = Cell(kind);
  bool lstm = cell == Cell::lstm, gru = cell == Cell::gru, gated = cell != Cell::simple;
  Operands of(arrays, results);
  int64_t batch = of.axis(0, 2), time = of.axis(0, 1), units = of.axis(1, 1), columns = gates_of(cell) * units;
  of.shapes.require(batch >= 0 && time >= 0 && units >= 0, "the way back takes gates and kernel");
  auto gates = of.array<type>("gates", {batch, time, columns});
  auto kernel = of.array<type>("kernel", {units, columns});
  auto memory = of.array("memory", {batch, time, units}, gated);
  auto before_c = of.array("before", {batch, units}, lstm);
  auto before = of.array<type>("before", {batch, time, units}, gru);
  auto factors = of.array<type>("factors", {batch, time, units});
  auto d_every = of.array<type>("d_every", {batch, time, units});
  auto d_last_c = of.array("d_last_c", {batch, units}, lstm);
  auto real = of.array("real", {batch, time}, with_mask);
  auto scale = of.array("scale", {batch, units}, with_scale);
  auto d_entering = of.result<type>("d_entering", {batch, time, columns});
  auto d_kernel = of.result("d_kernel", {units, columns});
  auto d_h0 = of.result("d_h", {batch, units});
  auto d_c0 = of.result("d_c", {batch, units}, lstm);
  auto d_product = of.result<type>("d_product", {batch, time, units}, gru);
  auto d_bias = of.result("d_bias", {columns}, with_bias);
  of.end();
  auto* found = kernels_of(ffi::NativeType<type>{});
  of.shapes.require(found, "this machine has no instructions for bfloat16");
  if (of.shapes.failed()) return of.shapes.error();
  RecurrenceSizes sizes{batch, time, units, cell, reverse};
  return with_room(of.shapes, threads, found->backward_room(sizes), [&](Pool& pool, int64_t m, void* room) {
    found->backward(
        pool, {sizes, gates.at(m), kernel.at(m), memory.at(m), before_c.at(m), before.at(m), factors.at(m), d_every.at(m),
               d_last_c.at(m), real.at(m), scale.at(m), d_entering.at(m), d_product.at(m), d_kernel.at(m), d_h0.at(m),
               d_c0.at(m), d_bias.at(m), room});
  });
}

static auto binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .RemainingArgs()
      .Attr<int64_t>("kind")
      .Attr<bool>("reverse")
      .Attr<bool>("with_bias")
      .Attr<bool>("with_mask")
      .Attr<bool>("with_scale");
}

static auto forward_binding() { return binding().Attr<bool>("saving").RemainingRets(); }

static auto backward_binding() { return binding().RemainingRets(); }

}  // namespace chainrule

XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_recurrence_forward, chainrule::forward<chainrule::ffi::F32>,
                              chainrule::forward_binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_recurrence_backward, chainrule::backward<chainrule::ffi::F32>,
                              chainrule::backward_binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_recurrence_forward_bf16, chainrule::forward<chainrule::ffi::BF16>,
                              chainrule::forward_binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_recurrence_backward_bf16, chainrule::backward<chainrule::ffi::BF16>,
                              chainrule::backward_binding());
