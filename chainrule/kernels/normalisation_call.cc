#include "call.h"
#include "normalisation.h"

namespace chainrule {

// The arrays: x, gamma, beta, epsilon, and the rows' weights where not all count.
static ffi::Error forward(ffi::ThreadPool threads, Floats x, Floats gamma, Floats beta, Floats epsilon,
                          ffi::RemainingArgs rest, FloatsOut y, FloatsOut mean, FloatsOut variance) {
  int64_t rows = from_last(x, 1), channels = from_last(x, 0);
  Shapes shapes;
  auto x_of = shapes.array("x", x, {rows, channels});
  auto gamma_of = shapes.array("gamma", gamma, {channels});
  auto beta_of = shapes.array("beta", beta, {channels});
  auto epsilon_of = shapes.array("epsilon", epsilon, {1});
  auto weight_of = shapes.optional("weight", rest, 0, {rows});
  shapes.require(rest.size() < 2, "normalisation takes at most five arrays");
  auto y_of = shapes.result("y", y, {rows, channels});
  auto mean_of = shapes.result("mean", mean, {channels});
  auto variance_of = shapes.result("variance", variance, {channels});
  return for_members(shapes, threads, [&](Pool& pool, int64_t member) {
    std::vector<float> scratch(normalisation_parts(rows) * channels);
    kernels().normalisation_forward(
        pool, {x_of.at(member), weight_of.at(member), gamma_of.at(member), beta_of.at(member), epsilon_of.at(member),
               y_of.at(member), mean_of.at(member), variance_of.at(member), scratch.data(), rows, channels});
  });
}

// The arrays: x, gamma, epsilon, mean, variance, the three gradients, and the rows' weights where not all count.
static ffi::Error backward(ffi::ThreadPool threads, Floats x, Floats gamma, Floats epsilon, Floats mean, Floats variance,
                           Floats dy, Floats dmean, Floats dvariance, ffi::RemainingArgs rest, FloatsOut dx,
                           FloatsOut dgamma, FloatsOut dbeta) {
  int64_t rows = from_last(x, 1), channels = from_last(x, 0);
  Shapes shapes;
  auto x_of = shapes.array("x", x, {rows, channels});
  auto gamma_of = shapes.array("gamma", gamma, {channels});
  auto epsilon_of = shapes.array("epsilon", epsilon, {1});
  auto mean_of = shapes.array("mean", mean, {channels});
  auto variance_of = shapes.array("variance", variance, {channels});
  auto dy_of = shapes.array("dy", dy, {rows, channels});
  auto dmean_of = shapes.array("dmean", dmean, {channels});
  auto dvariance_of = shapes.array("dvariance", dvariance, {channels});
  auto weight_of = shapes.optional("weight", rest, 0, {rows});
  shapes.require(rest.size() < 2, "the gradient of normalisation takes at most nine arrays");
  auto dx_of = shapes.result("dx", dx, {rows, channels});
  auto dgamma_of = shapes.result("dgamma", dgamma, {channels});
  auto dbeta_of = shapes.result("dbeta", dbeta, {channels});
  return for_members(shapes, threads, [&](Pool& pool, int64_t member) {
    std::vector<float> scratch(2 * normalisation_parts(rows) * channels);
    kernels().normalisation_backward(
        pool, {x_of.at(member), weight_of.at(member), gamma_of.at(member), epsilon_of.at(member), mean_of.at(member),
               variance_of.at(member), dy_of.at(member), dmean_of.at(member), dvariance_of.at(member), dx_of.at(member),
               dgamma_of.at(member), dbeta_of.at(member), scratch.data(), rows, channels});
  });
}

}  // namespace chainrule

XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_normalisation_forward, chainrule::forward,
                              chainrule::ffi::Ffi::Bind()
                                  .Ctx<chainrule::ffi::ThreadPool>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Floats>()
                                  .RemainingArgs()
                                  .Ret<chainrule::Floats>()
                                  .Ret<chainrule::Floats>()
                                  .Ret<chainrule::Floats>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_normalisation_backward, chainrule::backward,
                              chainrule::ffi::Ffi::Bind()
                                  .Ctx<chainrule::ffi::ThreadPool>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Floats>()
                                  .Arg<chainrule::Floats>()
                                  .RemainingArgs()
                                  .Ret<chainrule::Floats>()
                                  .Ret<chainrule::Floats>()
                                  .Ret<chainrule::Floats>());
