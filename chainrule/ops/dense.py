"""A fully connected layer as one function: product, bias and activation."""
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from chainrule import kernels
from chainrule.kernels.dense import dense_forward
from chainrule.kernels.dense_bf16 import dense_forward as dense_forward_bf16


def dense(x, kernel, bias=None, activation: Callable | None = None, fused: str | None = None,
          dtype=None) -> jax.Array:
    """Weighted sums of the last axis, a bias added, passed through an activation.

        y = activation(x @ kernel + bias)

    Shapes: x `(batch, ..., inputs)`, kernel `(inputs, units)`, bias `(units,)` to `(batch, ..., units)`.

    Args:
        x: the inputs.
        kernel: the weights.
        bias: what is added; nothing by default.
        activation: a function on arrays; none by default.
        fused: the name under which the kernel of `chainrule.kernels.dense` knows the activation, to have both in one
            pass; `None` where it does not.
        dtype: the type in which to compute, where it is not that of the arrays: `"bfloat16"` for weights in float32.

    Reference: Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.

    Example:
        >>> dense(jnp.array([[1.0, 2.0]]), jnp.eye(2), jnp.array([0.0, -5.0]), jax.nn.relu, "relu").tolist()
        [[1.0, 0.0]]
    """
    if dtype == "bfloat16" and kernel.dtype == jnp.float32 and x.ndim > 1 and kernels.active_in_bfloat16():
        x = x.astype(dtype)
        return _by_kernel(dense_forward_bf16, x, kernel, bias, activation, fused)
    if dtype is not None:
        x, kernel, bias = (None if array is None else array.astype(dtype) for array in (x, kernel, bias))
    arrays = (x, kernel) if bias is None else (x, kernel, bias)
    if not (x.ndim > 1 and kernels.serve(*arrays)):
        y = x @ kernel if bias is None else x @ kernel + bias
        return y if activation is None else activation(y)
    return _by_kernel(dense_forward, x, kernel, bias, activation, fused)


def _by_kernel(forward, x, kernel, bias, activation: Callable | None, fused: str | None):
    """The same by one of the kernels."""
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    named = "linear" if activation is None else fused
    arrays = (rows, kernel) if bias is None else (rows, kernel, bias)
    y = forward(*arrays, activation=named or "linear")[0].reshape(*x.shape[:-1], kernel.shape[-1])
    return y if named else activation(y)
