"""Batch normalisation over the rows of a batch, channels last, as one operation."""
import math

import jax
import jax.numpy as jnp

from chainrule import kernels
from chainrule.kernels.normalisation import normalisation_forward


def normalise_batch(x, gamma, beta, epsilon, real=None) -> tuple[jax.Array, jax.Array, jax.Array] | None:
    """Each channel at mean 0 and variance 1 over all entries that are real, scaled and shifted; by a kernel.

        y = (x - mean) / sqrt(variance + epsilon) * gamma + beta

    Shapes: x `(batch, ..., channels)`, gamma and beta `(channels,)`; real fits x, with a last axis of size 1.

    Args:
        x: the entries.
        gamma, beta: factors and summands; `None` for 1 and 0.
        epsilon: keeps the root away from zero.
        real: which entries count; all of them by default.

    Returns:
        y, the mean and the variance; `None` where no kernel serves: the layer then has them from plain JAX.

    Reference: Ioffe and Szegedy, Batch Normalization (2015).

    Example:
        >>> found = normalise_batch(jnp.array([[1.0], [3.0]]), None, None, 0.0)
        >>> found is None or found[0].round(4).ravel().tolist() == [-1.0, 1.0]
        True
    """
    if not (x.ndim > 1 and kernels.serve(x)):
        return None
    rows, channels = math.prod(x.shape[:-1]), x.shape[-1]
    gamma = jnp.ones(channels, x.dtype) if gamma is None else gamma
    beta = jnp.zeros(channels, x.dtype) if beta is None else beta
    weight = () if real is None else (jnp.broadcast_to(real, (*x.shape[:-1], 1)).reshape(rows).astype(x.dtype),)
    y, mean, variance = normalisation_forward(
        x.reshape(rows, channels), gamma, beta, jnp.asarray(epsilon, x.dtype).reshape(1), *weight)
    return y.reshape(x.shape), mean, variance
