#include "call.h"

namespace chainrule {

static ffi::Error forward(ffi::ThreadPool threads, Floats x, Floats kernel, ffi::RemainingArgs rest, int64_t activation,
                          FloatsOut y) {
  int64_t rows = from_last(x, 1), inputs = from_last(x, 0), units = from_last(kernel, 0);
  Shapes shapes;
  auto x_of = shapes.array("x", x, {rows, inputs});
  auto kernel_of = shapes.array("kernel", kernel, {inputs, units});
  auto bias_of = shapes.optional("bias", rest, 0, {units});
  auto y_of = shapes.result("y", y, {rows, units});
  shapes.require(rest.size() < 2, "a dense layer takes an input, a kernel and at most a bias");
  shapes.require(activation >= 0 && activation < int64_t(Activation::count), "there is no such activation");
  return for_members(shapes, threads, [&](Pool& pool, int64_t member) {
    kernels().dense_forward(pool, {x_of.at(member), kernel_of.at(member), bias_of.at(member), y_of.at(member), rows,
                                   inputs, units, Activation(activation)});
  });
}

// The results: dz, the kernel's gradient, then those of the bias and of the input where they are wanted.
static ffi::Error backward(ffi::ThreadPool threads, Floats x, Floats kernel, Floats y, Floats dy, int64_t activation,
                           bool with_bias, bool with_input, FloatsOut dz, FloatsOut dkernel, ffi::RemainingRets rest) {
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
  auto dbias_of = shapes.optional("dbias", rest, 0, with_bias, {units});
  auto dx_of = shapes.optional("dx", rest, with_bias, with_input, {rows, inputs});
  return for_members(shapes, threads, [&](Pool& pool, int64_t member) {
    kernels().dense_backward(pool, {x_of.at(member), kernel_of.at(member), y_of.at(member), dy_of.at(member),
                                    dz_of.at(member), dkernel_of.at(member), dbias_of.at(member), dx_of.at(member),
                                    rows, inputs, units, Activation(activation)});
  });
}

}  // namespace chainrule

XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_dense_forward, chainrule::forward,
                              chainrule::ffi::Ffi::Bind()
                                  .Ctx<chainrule::ffi::ThreadPool>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Floats>()
                                  .RemainingArgs()
                                  .Attr<int64_t>("activation")
                                  .Ret<chainrule::Floats>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_dense_backward, chainrule::backward,
                              chainrule::ffi::Ffi::Bind()
                                  .Ctx<chainrule::ffi::ThreadPool>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Floats>()
                                  .Attr<int64_t>("activation")
                                  .Attr<bool>("with_bias")
                                  .Attr<bool>("with_input")
                                  .Ret<chainrule::Floats>()
                                  .Ret<chainrule::Floats>()
                                  .RemainingRets());
