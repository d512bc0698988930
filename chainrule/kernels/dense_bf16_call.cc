#include "call.h"
#include "table_bf16.h"

namespace chainrule {

namespace {

using Halves = ffi::Buffer<ffi::BF16>;
using HalvesOut = ffi::ResultBuffer<ffi::BF16>;

ffi::Error forward(ffi::ThreadPool threads, Halves x, Floats kernel, ffi::RemainingArgs rest, int64_t activation,
                   HalvesOut y) {
  int64_t rows = from_last(x, 1), inputs = from_last(x, 0), units = from_last(kernel, 0);
  Shapes shapes;
  auto x_of = shapes.array("x", x, {rows, inputs});
  auto kernel_of = shapes.array("kernel", kernel, {inputs, units});
  auto bias_of = shapes.optional("bias", rest, 0, {units});
  auto y_of = shapes.result("y", y, {rows, units});
  shapes.require(rest.size() < 2, "a dense layer takes an input, a kernel and at most a bias");
  shapes.require(activation >= 0 && activation < int64_t(Activation::count), "there is no such activation");
  shapes.require(kernels_bf16(), "this machine has no instructions for bfloat16");
  return for_members(shapes, threads, [&](Pool& pool, int64_t member) {
    kernels_bf16()->dense_forward(pool, {x_of.at(member), kernel_of.at(member), bias_of.at(member), y_of.at(member),
                                         rows, inputs, units, Activation(activation)});
  });
}

// The results: dz, the kernel's gradient, then those of the bias and of the input where they are wanted.
ffi::Error backward(ffi::ThreadPool threads, Halves x, Floats kernel, Halves y, Halves dy, int64_t activation,
                    bool with_bias, bool with_input, HalvesOut dz, FloatsOut dkernel, ffi::RemainingRets rest) {
  int64_t rows = from_last(x, 1), inputs = from_last(x, 0), units = from_last(kernel, 0);
  Shapes shapes;
  auto x_of = shapes.array("x", x, {rows, inputs});
  auto kernel_of = shapes.array("kernel", kernel, {inputs, units});
  auto y_of = shapes.array("y", y, {rows, units});
  auto dy_of = shapes.array("dy", dy, {rows, units});
  auto dz_of = shapes.result("dz", dz, {activation == 0 ? 0 : rows, units});
  auto dkernel_of = shapes.result("dkernel", dkernel, {inputs, units});
  shapes.require(rest.size() == size_t(with_bias) + size_t(with_input), "the number of results does not fit");
  shapes.require(activation >= 0 && activation < int64_t(Activation::count), "there is no such activation");
  shapes.require(kernels_bf16(), "this machine has no instructions for bfloat16");
  auto dbias_of = shapes.optional("dbias", rest, 0, with_bias, {units});
  auto dx_of = shapes.optional<ffi::BF16>("dx", rest, with_bias, with_input, {rows, inputs});
  return for_members(shapes, threads, [&](Pool& pool, int64_t member) {
    kernels_bf16()->dense_backward(pool, {x_of.at(member), kernel_of.at(member), y_of.at(member), dy_of.at(member),
                                          dz_of.at(member), dkernel_of.at(member), dbias_of.at(member),
                                          dx_of.at(member), rows, inputs, units, Activation(activation)});
  });
}

}  // namespace

}  // namespace chainrule

XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_dense_forward_bf16, chainrule::forward,
                              chainrule::ffi::Ffi::Bind()
                                  .Ctx<chainrule::ffi::ThreadPool>()
                                  .Arg<chainrule::Halves>()
                                  .Arg<chainrule::Floats>()
                                  .RemainingArgs()
                                  .Attr<int64_t>("activation")
                                  .Ret<chainrule::Halves>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_dense_backward_bf16, chainrule::backward,
                              chainrule::ffi::Ffi::Bind()
                                  .Ctx<chainrule::ffi::ThreadPool>()
                                  .Arg<chainrule::Halves>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Halves>()
                                  .Arg<chainrule::Halves>()
                                  .Attr<int64_t>("activation")
                                  .Attr<bool>("with_bias")
                                  .Attr<bool>("with_input")
                                  .Ret<chainrule::Halves>()
                                  .Ret<chainrule::Floats>()
                                  .RemainingRets());
