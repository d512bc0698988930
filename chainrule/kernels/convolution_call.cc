#include <cstdlib>

#include "call.h"
#include "table_bf16.h"

namespace chainrule {
namespace {

using Numbers = ffi::Span<const int64_t>;

const ConvolutionKernels<float>* kernels_of(float) { return kernels().convolution; }
const ConvolutionKernels<uint16_t>* kernels_of(uint16_t) { return kernels_bf16() ? kernels_bf16()->convolution : nullptr; }

// The kernels for one type of numbers; null where this machine has none.
template <ffi::DataType type>
auto* kernels_for(Shapes& shapes) {
  auto* found = kernels_of(ffi::NativeType<type>{});
  shapes.require(found, "this machine has no instructions for bfloat16");
  return found;
}

// No setting is so large that a place computed from it could overflow.
bool between(const Numbers& pair, int64_t lowest) {
  for (int64_t number : pair)
    if (number < lowest || number > (int64_t{1} << 30)) return false;
  return pair.size() == 2;
}

// The settings of a call, checked, with the shapes of its arrays.
template <class Image, class Kernel, class Output>
ConvolutionShape shape_of(Shapes& shapes, const Image& x, const Kernel& kernel, const Output& y, Numbers strides,
                          Numbers dilation, Numbers padding, int64_t groups, int64_t activation) {
  shapes.require(between(strides, 1) && between(dilation, 1) && between(padding, -(int64_t{1} << 30)),
                 "strides, dilation and padding of a convolution are pairs of numbers");
  shapes.require(groups >= 1, "a convolution has at least one group");
  shapes.require(activation >= 0 && activation < int64_t(Activation::count), "there is no such activation");
  ConvolutionShape shape{};
  if (shapes.failed()) return shape;
  shape = {from_last(x, 3), from_last(x, 2), from_last(x, 1), from_last(x, 0), from_last(y, 2), from_last(y, 1),
           from_last(kernel, 0), {from_last(kernel, 3), from_last(kernel, 2)}, {strides[0], strides[1]},
           {dilation[0], dilation[1]}, {padding[0], padding[1]}, groups};
  shapes.require(shape.images >= 0 && shape.window[0] > 0 && shape.window[1] > 0 && shape.rows >= 0,
                 "a convolution takes images and kernels of four axes");
  shapes.require(from_last(kernel, 1) * groups == shape.channels && shape.filters % groups == 0,
                 "the channels of the images and of the kernel do not fit");
  return shape;
}

int64_t rounded_up(int64_t number, int64_t multiple) { return (number + multiple - 1) / multiple * multiple; }

// Calls `body(pool, member, scratch)` for each member, with room for `size` numbers. XLA has no allocator for the CPU that
// a handler could ask, and a result of the call would be kept for its gradient; the C library gives what it was given
// back the last time.
template <class Body>
ffi::Error with_scratch(const Shapes& shapes, ffi::ThreadPool threads, int64_t size, Body&& body) {
  if (shapes.failed()) return shapes.error();
  size = rounded_up(size, 16);
  float* scratch = static_cast<float*>(std::aligned_alloc(64, (size * shapes.members() + 16) * sizeof(float)));
  if (!scratch) return ffi::Error(ffi::ErrorCode::kResourceExhausted, "chainrule: there is no memory left.");
  ffi::Error error = for_members(shapes, threads, [&](Pool& pool, int64_t member) {
    body(pool, member, scratch + member * size);
  });
  std::free(scratch);
  return error;
}

template <ffi::DataType type>
ffi::Error forward(ffi::ThreadPool threads, ffi::Buffer<type> x, ffi::Buffer<type> kernel,
                   ffi::RemainingArgs rest, Numbers strides, Numbers dilation, Numbers padding, int64_t groups,
                   int64_t activation, ffi::ResultBuffer<type> y) {
  Shapes shapes;
  ConvolutionShape shape = shape_of(shapes, x, kernel, *y, strides, dilation, padding, groups, activation);
  auto* found = kernels_for<type>(shapes);
  if (shapes.failed()) return shapes.error();
  int64_t inputs = shape.channels / groups;
  auto x_of = shapes.array("x", x, {shape.images, shape.height, shape.width, shape.channels});
  auto kernel_of = shapes.array("kernel", kernel, {shape.window[0], shape.window[1], inputs, shape.filters});
  auto bias_of = shapes.optional("bias", rest, 0, {shape.filters});
  shapes.require(rest.size() < 2, "a convolution takes images, a kernel and at most a bias");
  auto y_of = shapes.result("y", y, {shape.images, shape.rows, shape.columns, shape.filters});
  int64_t size = shape.window[0] * shape.window[1] * shape.channels * rounded_up(shape.filters / groups, 32);
  return with_scratch(shapes, threads, size, [&](Pool& pool, int64_t member, float* scratch) {
    found->forward(pool, {shape, x_of.at(member), kernel_of.at(member), bias_of.at(member),
                                         y_of.at(member), scratch, Activation(activation)});
  });
}

template <ffi::DataType type>
ffi::Error input(ffi::ThreadPool threads, ffi::Buffer<type> dy, ffi::Buffer<type> kernel,
                 ffi::RemainingArgs rest, Numbers strides, Numbers dilation, Numbers padding, int64_t groups,
                 int64_t activation, ffi::ResultBuffer<type> dx) {
  Shapes shapes;
  ConvolutionShape shape = shape_of(shapes, *dx, kernel, dy, strides, dilation, padding, groups, activation);
  auto* found = kernels_for<type>(shapes);
  if (shapes.failed()) return shapes.error();
  auto dy_of = shapes.array("dy", dy, {shape.images, shape.rows, shape.columns, shape.filters});
  auto kernel_of = shapes.array("kernel", kernel, {shape.window[0], shape.window[1], shape.channels / groups,
                                                   shape.filters});
  auto bias_of = shapes.optional("bias", rest, 0, {shape.channels});
  shapes.require(rest.size() < 2, "a transposed convolution takes images, a kernel and at most a bias");
  auto dx_of = shapes.result("dx", dx, {shape.images, shape.height, shape.width, shape.channels});
  int64_t size = shape.window[0] * shape.window[1] * shape.filters * rounded_up(shape.channels / groups, 32);
  return with_scratch(shapes, threads, size, [&](Pool& pool, int64_t member, float* scratch) {
    found->input(pool, {shape, dy_of.at(member), kernel_of.at(member), bias_of.at(member), dx_of.at(member), scratch,
                        Activation(activation)});
  });
}

// Enough parts that any number of threads has work, of enough pixels each. The same on every machine.
int64_t parts_of(const ConvolutionShape& shape) {
  bool depthwise = shape.groups == shape.filters;  // several channels fill a panel
  int64_t panels = rounded_up(depthwise ? shape.filters : shape.filters / shape.groups, 32) / 32;
  if (!depthwise) panels *= shape.groups;
  int64_t parts = panels ? 32 / panels : 1, most = shape.images * shape.rows * shape.columns / 512;
  parts = parts < most ? parts : most;
  return parts > 1 ? parts : 1;
}

// After x, y is given where the activation is not linear. The results: the kernel's gradient, then that of the bias and
// that of what enters the activation, where they are wanted.
template <ffi::DataType type>
ffi::Error weights(ffi::ThreadPool threads, ffi::Buffer<type> x, ffi::Buffer<type> dy,
                   ffi::RemainingArgs rest, Numbers strides, Numbers dilation, Numbers padding, int64_t groups,
                   int64_t activation, bool with_bias, bool with_entered, FloatsOut dkernel, ffi::RemainingRets more) {
  Shapes shapes;
  ConvolutionShape shape = shape_of(shapes, x, *dkernel, dy, strides, dilation, padding, groups, activation);
  auto* found = kernels_for<type>(shapes);
  if (shapes.failed()) return shapes.error();
  auto x_of = shapes.array("x", x, {shape.images, shape.height, shape.width, shape.channels});
  auto dy_of = shapes.array("dy", dy, {shape.images, shape.rows, shape.columns, shape.filters});
  shapes.require(rest.size() == (activation == 0 ? 0 : 1), "the number of arrays does not fit");
  shapes.require(more.size() == size_t(with_bias) + size_t(with_entered), "the number of results does not fit");
  std::initializer_list<int64_t> places{shape.images, shape.rows, shape.columns, shape.filters};
  auto y_of = shapes.optional<type>("y", rest, 0, places);
  auto dkernel_of = shapes.result("dkernel", dkernel, {shape.window[0], shape.window[1], shape.channels / groups,
                                                       shape.filters});
  auto dbias_of = shapes.optional("dbias", more, 0, with_bias, {shape.filters});
  auto dz_of = shapes.optional<type>("dz", more, with_bias, with_entered, places);
  int64_t parts = parts_of(shape);
  int64_t numbers = shape.window[0] * shape.window[1] * (shape.channels / groups) * shape.filters + shape.filters;
  return with_scratch(shapes, threads, parts > 1 ? parts * numbers : 0,
                      [&](Pool& pool, int64_t member, float* scratch) {
    found->weights(pool, {shape, x_of.at(member), y_of.at(member), dy_of.at(member), dz_of.at(member),
                          dkernel_of.at(member), dbias_of.at(member), scratch, parts, Activation(activation)});
  });
}

// What all of them take after their first two arrays.
template <class Binding>
auto with_settings(Binding&& binding) {
  return std::move(binding)
      .template Attr<Numbers>("strides")
      .template Attr<Numbers>("dilation")
      .template Attr<Numbers>("padding")
      .template Attr<int64_t>("groups")
      .template Attr<int64_t>("activation");
}

template <ffi::DataType type>
auto two_arrays() {
  return with_settings(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::Buffer<type>>()
                           .template Arg<ffi::Buffer<type>>().RemainingArgs());
}

template <ffi::DataType type>
auto to_images() {
  return two_arrays<type>().template Ret<ffi::Buffer<type>>();
}

template <ffi::DataType type>
auto to_weights() {
  return two_arrays<type>()
      .template Attr<bool>("with_bias")
      .template Attr<bool>("with_entered")
      .template Ret<Floats>()
      .RemainingRets();
}

}  // namespace
}  // namespace chainrule

#define CHAINRULE_DEFINE(name, kernel, type, binding) \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(name, chainrule::kernel<chainrule::ffi::type>, chainrule::binding<chainrule::ffi::type>())
CHAINRULE_DEFINE(chainrule_convolution_forward, forward, F32, to_images);
CHAINRULE_DEFINE(chainrule_convolution_input, input, F32, to_images);
CHAINRULE_DEFINE(chainrule_convolution_weights, weights, F32, to_weights);
CHAINRULE_DEFINE(chainrule_convolution_forward_bf16, forward, BF16, to_images);
CHAINRULE_DEFINE(chainrule_convolution_input_bf16, input, BF16, to_images);
CHAINRULE_DEFINE(chainrule_convolution_weights_bf16, weights, BF16, to_weights);
