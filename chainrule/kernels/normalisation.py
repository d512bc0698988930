"""Batch normalisation in training: mean and variance over the rows, and what they make of the entries."""
import jax
import jax.numpy as jnp
from jax import lax

from chainrule.kernels.registry import Kernel


def _forward(x, gamma, beta, epsilon, *weight):
    weights = weight[0][:, None] if weight else jnp.ones((len(x), 1), x.dtype)
    count = jnp.maximum(weights.sum(), 1)
    mean = (x * weights).sum(0) / count
    variance = jnp.square((x - mean) * weights).sum(0) / count
    return [(x - mean) * (lax.rsqrt(variance + epsilon) * gamma) + beta, mean, variance]


def _backward(x, gamma, epsilon, mean, variance, dy, dmean, dvariance, *weight):
    weights = weight[0][:, None] if weight else jnp.ones((len(x), 1), x.dtype)
    root, centred = lax.rsqrt(variance + epsilon), x - mean
    dbeta, dgamma = dy.sum(0), (dy * centred).sum(0) * root
    by_mean, by_variance = dmean - root * gamma * dbeta, 2 * dvariance - root * root * gamma * dgamma
    through = (by_mean + centred * by_variance) / jnp.maximum(weights.sum(), 1)
    return [dy * root * gamma + weights * through, dgamma, dbeta]


def _gradient(arrays, results, cotangents, wanted):
    x, gamma, _, epsilon, *weight = arrays
    _, mean, variance = results
    if any(wanted[4:]):  # the weights of rows are flags: nobody trains them
        return jax.vjp(lambda *arrays: _forward(*arrays), *arrays)[1](list(cotangents))
    dx, dgamma, dbeta = normalisation_backward(x, gamma, epsilon, mean, variance, *cotangents, *weight)
    depsilon = -(gamma * dgamma / (variance + epsilon)).sum(keepdims=True) / 2
    return [dx, dgamma, dbeta, depsilon, *[None for _ in weight]]


normalisation_forward = Kernel("chainrule_normalisation_forward", _forward, _gradient)
normalisation_backward = Kernel("chainrule_normalisation_backward", _backward)
