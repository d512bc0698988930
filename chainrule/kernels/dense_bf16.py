"""A fully connected layer that computes in bfloat16, its activation included.

The input and the output are bfloat16, kernel and bias float32, and so are their gradients: they are rounded where they
enter a product, sums are taken in float32, and what is put out is rounded once.
"""
import jax.numpy as jnp

from chainrule.kernels import dense
from chainrule.kernels.registry import Kernel


def _product(a, b):
    return jnp.matmul(a.astype(jnp.bfloat16), b.astype(jnp.bfloat16), preferred_element_type=jnp.float32)


def _forward(x, kernel, *bias, activation: str):
    z = _product(x, kernel)
    return [dense.FUNCTIONS[activation](z + bias[0] if bias else z).astype(jnp.bfloat16)]


def _backward(x, kernel, y, dy, *, activation: str, with_bias: bool, with_input: bool):
    dz = dy.astype(jnp.float32) * dense.SLOPES[activation](y.astype(jnp.float32))
    kept = dz.astype(jnp.bfloat16)
    results = [kept[:0] if activation == "linear" else kept, _product(x.T, dz)]
    if with_bias:
        results.append(dz.sum(0))
    if with_input:
        results.append(_product(dz, kernel.T).astype(jnp.bfloat16))
    return results


def _gradient(arrays, results, cotangents, wanted, *, activation: str):
    x, kernel, *bias = arrays
    gradients = dense_backward(x, kernel, results[0], cotangents[0], activation=activation, with_bias=bool(bias),
                               with_input=wanted[0])
    found = gradients[2:]
    dbias = [found.pop(0)] if bias else []
    return [found[0] if wanted[0] else None, gradients[1], *dbias]


dense_forward = Kernel("chainrule_dense_forward_bf16", _forward, _gradient, dense.numbered)
dense_backward = Kernel("chainrule_dense_backward_bf16", _backward, attributes=dense.numbered)
