#include "call.h"

namespace chainrule {

using Numbers = ffi::Span<const int64_t>;
using Places = ffi::Buffer<ffi::S32>;

// The windows of a call, from the images' axes before and after pooling, each counted from the last.
template <class Image, class Pooled>
static Pooling pooling_of(Shapes& shapes, const Image& image, const Pooled& pooled, Numbers windows, Numbers strides,
                          Numbers before) {
  Pooling pooling{from_last(image, 3), from_last(image, 0), {}, {}};
  bool two = windows.size() == 2 && strides.size() == 2 && before.size() == 2;
  shapes.require(two, "windows, strides and padding have one number for each of two axes");
  if (!two) return pooling;
  PoolingAxis* axes[] = {&pooling.down, &pooling.right};
  for (size_t axis = 0; axis < 2; ++axis) {
    PoolingAxis found{from_last(image, 2 - axis), from_last(pooled, 2 - axis), windows[axis], strides[axis], before[axis]};
    constexpr int64_t MOST = int64_t{1} << 31;  // nothing below overflows
    shapes.require(found.window >= 1 && found.window < MOST && found.stride >= 1 && found.stride < MOST &&
                   found.before >= 0 && found.before < found.window, "a window, a stride or a padding is out of range");
    shapes.require(found.count <= 0 || (found.size > 0 && found.count <= found.size + found.before &&
                                        (found.count - 1) * found.stride - found.before < found.size),
                   "a window lies outside of the image");
    *axes[axis] = found;
  }
  return pooling;
}

static ffi::Error max_forward(ffi::ThreadPool threads, Floats x, Numbers windows, Numbers strides, Numbers before,
                              FloatsOut y, ffi::Result<Places> places) {
  Shapes shapes;
  Pooling pooling = pooling_of(shapes, x, *y, windows, strides, before);
  const auto& [images, channels, down, right] = pooling;
  shapes.require(down.window * right.window < (int64_t{1} << 31), "a window of a maximum has at most 2 ** 31 - 1 entries");
  auto x_of = shapes.array("x", x, {images, down.size, right.size, channels});
  auto y_of = shapes.result("y", y, {images, down.count, right.count, channels});
  auto places_of = shapes.result("places", places, {images, down.count, right.count, channels});
  return for_members(shapes, threads, [&](Pool& pool, int64_t member) {
    kernels().max_pool_forward(pool, {x_of.at(member), y_of.at(member), places_of.at(member), pooling});
  });
}

static ffi::Error max_backward(ffi::ThreadPool threads, Places places, Floats dy, Numbers windows, Numbers strides,
                               Numbers before, FloatsOut dx) {
  Shapes shapes;
  Pooling pooling = pooling_of(shapes, *dx, dy, windows, strides, before);
  const auto& [images, channels, down, right] = pooling;
  auto places_of = shapes.array("places", places, {images, down.count, right.count, channels});
  auto dy_of = shapes.array("dy", dy, {images, down.count, right.count, channels});
  auto dx_of = shapes.result("dx", dx, {images, down.size, right.size, channels});
  return for_members(shapes, threads, [&](Pool& pool, int64_t member) {
    kernels().max_pool_backward(pool, {places_of.at(member), dy_of.at(member), dx_of.at(member), pooling});
  });
}

static ffi::Error average_forward(ffi::ThreadPool threads, Floats x, Numbers windows, Numbers strides, Numbers before,
                                  FloatsOut y) {
  Shapes shapes;
  Pooling pooling = pooling_of(shapes, x, *y, windows, strides, before);
  const auto& [images, channels, down, right] = pooling;
  auto x_of = shapes.array("x", x, {images, down.size, right.size, channels});
  auto y_of = shapes.result("y", y, {images, down.count, right.count, channels});
  return for_members(shapes, threads, [&](Pool& pool, int64_t member) {
    kernels().average_pool_forward(pool, {x_of.at(member), y_of.at(member), pooling});
  });
}

static ffi::Error average_backward(ffi::ThreadPool threads, Floats dy, Numbers windows, Numbers strides, Numbers before,
                                   FloatsOut dx) {
  Shapes shapes;
  Pooling pooling = pooling_of(shapes, *dx, dy, windows, strides, before);
  const auto& [images, channels, down, right] = pooling;
  auto dy_of = shapes.array("dy", dy, {images, down.count, right.count, channels});
  auto dx_of = shapes.result("dx", dx, {images, down.size, right.size, channels});
  return for_members(shapes, threads, [&](Pool& pool, int64_t member) {
    kernels().average_pool_backward(pool, {dy_of.at(member), dx_of.at(member), pooling});
  });
}

}  // namespace chainrule

XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_max_pool_forward, chainrule::max_forward,
                              chainrule::ffi::Ffi::Bind()
                                  .Ctx<chainrule::ffi::ThreadPool>()
                                  .Arg<chainrule::Floats>()
                                  .Attr<chainrule::Numbers>("windows")
                                  .Attr<chainrule::Numbers>("strides")
                                  .Attr<chainrule::Numbers>("before")
                                  .Ret<chainrule::Floats>()
                                  .Ret<chainrule::Places>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_max_pool_backward, chainrule::max_backward,
                              chainrule::ffi::Ffi::Bind()
                                  .Ctx<chainrule::ffi::ThreadPool>()
                                  .Arg<chainrule::Places>()
                                  .Arg<chainrule::Floats>()
                                  .Attr<chainrule::Numbers>("windows")
                                  .Attr<chainrule::Numbers>("strides")
                                  .Attr<chainrule::Numbers>("before")
                                  .Ret<chainrule::Floats>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_average_pool_forward, chainrule::average_forward,
                              chainrule::ffi::Ffi::Bind()
                                  .Ctx<chainrule::ffi::ThreadPool>()
                                  .Arg<chainrule::Floats>()
                                  .Attr<chainrule::Numbers>("windows")
                                  .Attr<chainrule::Numbers>("strides")
                                  .Attr<chainrule::Numbers>("before")
                                  .Ret<chainrule::Floats>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_average_pool_backward, chainrule::average_backward,
                              chainrule::ffi::Ffi::Bind()
                                  .Ctx<chainrule::ffi::ThreadPool>()
                                  .Arg<chainrule::Floats>()
                                  .Attr<chainrule::Numbers>("windows")
                                  .Attr<chainrule::Numbers>("strides")
                                  .Attr<chainrule::Numbers>("before")
                                  .Ret<chainrule::Floats>());
