"""Layers that act only in training and make a network rely on no single value."""
import jax.numpy as jnp

from chainrule.errors import NotReadyError, SettingError
from chainrule.layers.base import Layer
from chainrule.ops import random


class Dropout(Layer):
    """In training, a share of the inputs set to zero, the others scaled so that the expected sum stays.

        y = x * keep / (1 - rate),   keep ~ Bernoulli(1 - rate)

    Outside training `y = x`. Any shape.

    Args:
        rate: the share that is dropped, from 0 (none) to below 1.
        noise_shape: axes of size 1 share one draw: `(None, 1, None)` drops whole features of a sequence.

    Reference: Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting (2014).

    Example:
        >>> import jax, numpy as np
        >>> y = Dropout(0.5)(np.ones((2, 4)), training=True, key=jax.random.key(0))
        >>> sorted(set(y.ravel().tolist()))
        [0.0, 2.0]
    """

    rate: float
    noise_shape: tuple[int | None, ...] | None = None

    supports_masking = True

    def __post_init__(self):
        check_rate(self, self.rate)

    def call(self, x, training, key):
        if not training:
            return x
        keep_share = 1 - self.rate
        keep = random.bernoulli(required_key(self, key), keep_share, _noise_shape(self.noise_shape, x.shape))
        return jnp.where(keep, x / keep_share, jnp.zeros((), x.dtype)).astype(x.dtype)


def _noise_shape(noise_shape, shape):
    if noise_shape is None:
        return shape
    return tuple(size if wanted is None else wanted for wanted, size in zip(noise_shape, shape, strict=True))


def check_rate(layer, rate) -> None:
    """A rate is a share: at least 0, below 1."""
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
        raise SettingError(
            f"{type(layer).__name__}: `rate` is the share of inputs to drop, at least 0 and below 1; got {rate!r}.")


def required_key(layer, key):
    """The key of a layer that draws random numbers in training."""
    if key is None:
        raise NotReadyError(
            f"{type(layer).__name__} draws random numbers in training and needs a key: "
            f"model.apply(weights, state, x, training=True, key=jax.random.key(0)).")
    return key
