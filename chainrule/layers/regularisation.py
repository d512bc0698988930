"""Layers that act only in training, most of them by noise, and make a network rely on no single value."""
import jax.numpy as jnp

from chainrule import regularizers
from chainrule.errors import NotReadyError, SettingError, ShapeError, format_shape
from chainrule.layers.base import Layer
from chainrule.ops import random


class Dropout(Layer):
    """In training, a share of the inputs set to zero, the others scaled so that the expected sum stays.

        y = x * keep / (1 - rate),   keep ~ Bernoulli(1 - rate)

    Outside training `y = x`.

    Shapes: any; the output has that of the input.

    Args:
        rate: the share that is dropped, from 0 (none) to below 1.
        noise_shape: axes of size 1 share one draw: `(None, 1, None)` drops whole features of a sequence.
        seed: gives this layer random numbers of its own; those of a run follow from the key (`fit(seed=...)`).

    Reference: Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting (2014).

    Example:
        >>> import jax, numpy as np
        >>> y = Dropout(0.5)(np.ones((2, 4)), training=True, key=jax.random.key(0))
        >>> sorted(set(y.ravel().tolist()))
        [0.0, 2.0]
    """

    rate: float
    noise_shape: tuple[int | None, ...] | None = None
    seed: int | None = None

    supports_masking = True
    each_step = True

    def __post_init__(self):
        check_rate(self, self.rate)

    def call(self, x, training, key):
        if not training:
            return x
        return _drop(x, self.rate, required_key(self, key), _noise_shape(self, self.noise_shape, x.shape))


class _SpatialDropout(Layer):
    """Dropout of whole channels: one draw for all places."""

    rate: float
    seed: int | None = None

    supports_masking = True
    each_step = True
    places = 0  # the number of axes between batch and channels

    def __post_init__(self):
        check_rate(self, self.rate)

    def build(self, input_shape):
        if len(input_shape) != self.places + 2:
            raise ShapeError(
                f"{type(self).__name__} takes {self.places + 2} axes, (batch, {'place, ' * self.places}channels); got "
                f"{format_shape(input_shape)}. Use Dropout(rate, noise_shape=...) for other shapes.")

    def call(self, x, training, key):
        if not training:
            return x
        return _drop(x, self.rate, required_key(self, key), (x.shape[0], *[1] * self.places, x.shape[-1]))


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole features of a sequence.

        y = x * keep / (1 - rate),   keep ~ Bernoulli(1 - rate), one draw for all times

    Shapes: `(batch, time, features)` to the same.

    Args:
        rate: the share that is dropped, from 0 (none) to below 1.
        seed: gives this layer random numbers of its own.

    Reference: Tompson et al., Efficient Object Localization Using Convolutional Networks (2014).

    Example:
        >>> import jax, numpy as np
        >>> y = SpatialDropout1D(0.5)(np.ones((1, 3, 8)), training=True, key=jax.random.key(0))
        >>> bool((y == y[:, :1]).all())
        True
    """

    places = 1


class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole channels of an image.

        y = x * keep / (1 - rate),   keep ~ Bernoulli(1 - rate), one draw for all pixels

    Shapes: `(batch, height, width, channels)` to the same.

    Args:
        rate: the share that is dropped, from 0 (none) to below 1.
        seed: gives this layer random numbers of its own.

    Reference: Tompson et al., Efficient Object Localization Using Convolutional Networks (2014).

    Example:
        >>> import jax, numpy as np
        >>> y = SpatialDropout2D(0.5)(np.ones((1, 3, 3, 8)), training=True, key=jax.random.key(0))
        >>> bool((y == y[:, :1, :1]).all())
        True
    """

    places = 2


class SpatialDropout3D(_SpatialDropout):
    """Dropout of whole channels of a volume.

        y = x * keep / (1 - rate),   keep ~ Bernoulli(1 - rate), one draw for all voxels

    Shapes: `(batch, depth, height, width, channels)` to the same.

    Args:
        rate: the share that is dropped, from 0 (none) to below 1.
        seed: gives this layer random numbers of its own.

    Reference: Tompson et al., Efficient Object Localization Using Convolutional Networks (2014).

    Example:
        >>> import jax, numpy as np
        >>> y = SpatialDropout3D(0.5)(np.ones((1, 2, 2, 2, 8)), training=True, key=jax.random.key(0))
        >>> bool((y == y[:, :1, :1, :1]).all())
        True
    """

    places = 3


class AlphaDropout(Layer):
    """Dropout for networks of SELU units: mean and variance of the inputs stay as they are.

        y = a * (x where kept, saturation elsewhere) + b,   kept ~ Bernoulli(1 - rate)
        saturation = -1.7581,   a = ((1 - rate) * (1 + rate * saturation ** 2)) ** -0.5,   b = -a * saturation * rate

    Outside training `y = x`.

    Shapes: any; the output has that of the input.

    Args:
        rate: the share that is set to the saturation value, from 0 (none) to below 1.
        noise_shape: axes of size 1 share one draw.
        seed: gives this layer random numbers of its own.

    Reference: Klambauer et al., Self-Normalizing Neural Networks (2017).

    Example:
        >>> import jax, numpy as np
        >>> x = np.random.default_rng(0).normal(size=(50, 50)).astype("float32")
        >>> y = AlphaDropout(0.3)(x, training=True, key=jax.random.key(0))
        >>> bool(abs(y.mean()) < 0.1 and abs(y.std() - 1) < 0.1)
        True
    """

    rate: float
    noise_shape: tuple[int | None, ...] | None = None
    seed: int | None = None

    supports_masking = True
    each_step = True

    def __post_init__(self):
        check_rate(self, self.rate)

    def call(self, x, training, key):
        if not training:
            return x
        saturation = -1.6732632423543772 * 1.0507009873554805
        shape = _noise_shape(self, self.noise_shape, x.shape)
        kept = random.bernoulli(required_key(self, key), 1 - self.rate, shape)
        a = ((1 - self.rate) * (1 + self.rate * saturation**2)) ** -0.5
        return (a * jnp.where(kept, x, saturation) - a * saturation * self.rate).astype(x.dtype)


class GaussianNoise(Layer):
    """In training, normal noise added: `y = x + stddev * n`, `n ~ Normal(0, 1)`. Outside training `y = x`.

    Shapes: any; the output has that of the input.

    Args:
        stddev: the standard deviation of the noise.
        seed: gives this layer random numbers of its own.

    Reference: Bishop, Training with Noise is Equivalent to Tikhonov Regularization (1995).

    Example:
        >>> import jax, numpy as np
        >>> y = GaussianNoise(0.1)(np.zeros((50, 50)), training=True, key=jax.random.key(0))
        >>> round(y.std().item(), 2)
        0.1
    """

    stddev: float
    seed: int | None = None

    supports_masking = True
    each_step = True

    def __post_init__(self):
        check_not_negative(self, "stddev", self.stddev)

    def call(self, x, training, key):
        if not training:
            return x
        return (x + self.stddev * random.normal(required_key(self, key), x.shape, x.dtype)).astype(x.dtype)


class GaussianDropout(Layer):
    """In training, each input multiplied by a normal number of mean 1, whose variance is that of dropout.

        y = x * n,   n ~ Normal(1, rate / (1 - rate))

    Outside training `y = x`.

    Shapes: any; the output has that of the input.

    Args:
        rate: the rate of the dropout that it stands for, from 0 (none) to below 1.
        seed: gives this layer random numbers of its own.

    Reference: Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting (2014), section 10.

    Example:
        >>> import jax, numpy as np
        >>> y = GaussianDropout(0.5)(np.ones((50, 50)), training=True, key=jax.random.key(0))
        >>> round(y.mean().item(), 1), round(y.std().item(), 1)
        (1.0, 1.0)
    """

    rate: float
    seed: int | None = None

    supports_masking = True
    each_step = True

    def __post_init__(self):
        check_rate(self, self.rate)

    def call(self, x, training, key):
        if not training:
            return x
        spread = (self.rate / (1 - self.rate)) ** 0.5
        return (x * (1 + spread * random.normal(required_key(self, key), x.shape, x.dtype))).astype(x.dtype)


class ActivityRegularization(Layer):
    """The input passed on, and a penalty on its size added to the loss: `(l1 * sum |x| + l2 * sum x ** 2) / batch`.

    Shapes: any; the output has that of the input.

    Args:
        l1, l2: the strengths.

    Reference: Goodfellow, Bengio and Courville, Deep Learning (2016), section 7.10.

    Example:
        >>> import numpy as np
        >>> ActivityRegularization(l1=0.1)(np.array([[1.0, 2.0]])).tolist()
        [[1.0, 2.0]]
    """

    l1: float = 0.0
    l2: float = 0.0

    supports_masking = True
    each_step = True

    def __post_init__(self):
        check_not_negative(self, "l1", self.l1)
        check_not_negative(self, "l2", self.l2)

    def activity_penalty(self):
        return regularizers.L1L2(self.l1, self.l2)

    def call(self, x):
        return x


def _drop(x, rate, key, shape):
    """A share of the entries set to zero, the others scaled; axes of size 1 in `shape` share one draw."""
    keep_share = 1 - rate
    keep = random.bernoulli(key, keep_share, shape)
    return jnp.where(keep, x / keep_share, jnp.zeros((), x.dtype)).astype(x.dtype)


def _noise_shape(layer, noise_shape, shape):
    if noise_shape is None:
        return shape
    pairs = list(zip(noise_shape, shape, strict=False))
    if len(noise_shape) != len(shape) or any(wanted not in (None, 1, size) for wanted, size in pairs):
        raise ShapeError(
            f"{type(layer).__name__}: `noise_shape` has one entry for each axis of the input, None for its size or 1 "
            f"to share one draw; got {tuple(noise_shape)} for an input of shape {format_shape(shape)}.")
    return tuple(size if wanted is None else wanted for wanted, size in pairs)


def check_not_negative(layer, setting: str, value) -> None:
    """A setting must be a number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise SettingError(f"{type(layer).__name__}: `{setting}` must be a number of at least 0; got {value!r}.")


def check_rate(layer, rate) -> None:
    """A rate is a share: at least 0, below 1."""
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
        raise SettingError(
            f"{type(layer).__name__}: `rate` is the share of inputs to drop, at least 0 and below 1; got {rate!r}.")


def required_key(layer, key):
    """The key of a layer that draws random numbers in training; its `seed` makes it another one."""
    if key is None:
        raise NotReadyError(
            f"{type(layer).__name__} draws random numbers in training and needs a key: "
            f"model.apply(weights, state, x, training=True, key=jax.random.key(0)).")
    return key if getattr(layer, "seed", None) is None else random.fold_in(key, layer.seed)
