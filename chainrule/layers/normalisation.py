"""Layers that bring their inputs to mean 0 and variance 1."""
from typing import Any

import jax.numpy as jnp
from jax import lax

from chainrule.layers.base import Layer
from chainrule.layers.dense import known_last_axis


class BatchNormalization(Layer):
    """Each channel at mean 0 and variance 1 over the batch, then scaled and shifted by learned numbers.

        y = gamma * (x - mean) / sqrt(variance + epsilon) + beta

    In training mean and variance are those of the batch (the real rows of a padded one), and the running ones follow:
    `moving = momentum * moving + (1 - momentum) * batch`. Outside training, and when `trainable` is `False`, the
    running ones are used.

    Shapes: `(batch, ..., channels)` to the same; all weights and state `(channels,)`.

    Args:
        axis: the axis of the channels.
        momentum: how slowly the running statistics follow.
        epsilon: keeps the root away from zero.
        center, scale: whether there is a beta, a gamma.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer: how they start.
        beta_regularizer, gamma_regularizer: penalties on beta and gamma.
        beta_constraint, gamma_constraint: projections after each update.

    Reference: Ioffe and Szegedy, Batch Normalization (2015).

    Example:
        >>> import numpy as np
        >>> y = BatchNormalization()(np.array([[1.0], [3.0]], "float32"), training=True)
        >>> y.round(2).ravel().tolist()
        [-1.0, 1.0]
    """

    axis: int = -1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Any = "zeros"
    gamma_initializer: Any = "ones"
    moving_mean_initializer: Any = "zeros"
    moving_variance_initializer: Any = "ones"
    beta_regularizer: Any = None
    gamma_regularizer: Any = None
    beta_constraint: Any = None
    gamma_constraint: Any = None

    supports_masking = True

    def build(self, input_shape):
        axis = self.axis % len(input_shape)
        channels = (known_last_axis(self, (*input_shape[:1], input_shape[axis])),)
        if self.scale:
            self.gamma = self.add_weight(channels, self.gamma_initializer, regularizer=self.gamma_regularizer,
                                         constraint=self.gamma_constraint)
        if self.center:
            self.beta = self.add_weight(channels, self.beta_initializer, regularizer=self.beta_regularizer,
                                        constraint=self.beta_constraint)
        self.moving_mean = self.add_weight(channels, self.moving_mean_initializer, trainable=False)
        self.moving_variance = self.add_weight(channels, self.moving_variance_initializer, trainable=False)

    def call(self, x, training, rows, mask):
        axis = self.axis % x.ndim
        along = lambda channels: channels.reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        if training and self.trainable:
            mean, variance = _moments(x, axis, _real_entries(x, rows, mask))
            self.moving_mean = self.momentum * self.moving_mean + (1 - self.momentum) * lax.stop_gradient(mean)
            self.moving_variance = (
                self.momentum * self.moving_variance + (1 - self.momentum) * lax.stop_gradient(variance))
        else:
            mean, variance = self.moving_mean, self.moving_variance
        factor = lax.rsqrt(variance + self.epsilon)
        if self.scale:
            factor = factor * self.gamma
        y = (x - along(mean)) * along(factor)
        return y + along(self.beta) if self.center else y


def _real_entries(x, rows, mask):
    """Which entries count, with axes of size 1 to fit `x`; `None` for all."""
    real = None
    for part in (rows, mask):
        if part is not None:
            part = part.reshape(part.shape + (1,) * (x.ndim - part.ndim))
            real = part if real is None else real & part
    return real


def _moments(x, channel_axis: int, real):
    """Mean and variance over all axes but one, counting only the entries that are real."""
    axes = tuple(axis for axis in range(x.ndim) if axis != channel_axis)
    if real is None:
        mean = x.mean(axes)
        return mean, x.var(axes)
    weight = jnp.broadcast_to(real, x.shape).astype(x.dtype)
    count = jnp.maximum(weight.sum(axes), 1)
    mean = (x * weight).sum(axes) / count
    centred = (x - jnp.expand_dims(mean, axes)) * weight
    return mean, jnp.square(centred).sum(axes) / count
