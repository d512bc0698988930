"""A fully connected layer, its activation included: `y = activation(x @ kernel + bias)`."""
import jax
import jax.numpy as jnp

from chainrule.kernels.registry import Kernel

# In the order of `enum class Activation` in activation.h. Each one's derivative can be told from its value.
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "elu")
FUNCTIONS = {"linear": lambda z: z, "relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid,
              "elu": jax.nn.elu}
SLOPES = {"linear": jnp.ones_like, "relu": lambda y: (y > 0).astype(y.dtype), "tanh": lambda y: 1 - y * y,
           "sigmoid": lambda y: y * (1 - y), "elu": lambda y: jnp.where(y > 0, 1, y + 1)}


def _forward(x, kernel, *bias, activation: str):
    z = x @ kernel
    return [FUNCTIONS[activation](z + bias[0] if bias else z)]


def _backward(x, kernel, y, dy, *, activation: str, with_bias: bool, with_input: bool):
    dz = dy * SLOPES[activation](y)
    results = [dz[:0] if activation == "linear" else dz, x.T @ dz]
    if with_bias:
        results.append(dz.sum(0))
    if with_input:
        results.append(dz @ kernel.T)
    return results


def _gradient(arrays, results, cotangents, wanted, *, activation: str):
    x, kernel, *bias = arrays
    gradients = dense_backward(x, kernel, results[0], cotangents[0], activation=activation, with_bias=bool(bias),
                               with_input=wanted[0])
    found = gradients[2:]
    dbias = [found.pop(0)] if bias else []
    return [found[0] if wanted[0] else None, gradients[1], *dbias]


def numbered(settings: dict) -> dict:
    return settings | {"activation": ACTIVATIONS.index(settings["activation"])}


dense_forward = Kernel("chainrule_dense_forward", _forward, _gradient, numbered)
dense_backward = Kernel("chainrule_dense_backward", _backward, attributes=numbered)
