"""Layers that bring their inputs to mean 0 and variance 1, or to length 1."""
from typing import Any

import jax.numpy as jnp
from jax import lax

from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.activation import row_axis
from chainrule.layers.base import Layer
from chainrule.layers.dense import known_last_axis
from chainrule.ops.normalisation import normalise_batch


class BatchNormalization(Layer):
    """Each channel at mean 0 and variance 1 over the batch, then scaled and shifted by learned numbers.

        y = gamma * (x - mean) / sqrt(variance + epsilon) + beta

    In training mean and variance are those of the batch (the real rows of a padded one), and the running ones follow:
    `moving = momentum * moving + (1 - momentum) * batch`. Outside training, and when `trainable` is `False`, the
    running ones are used.

    Shapes: `(batch, ..., channels)` to the same; all weights and state `(channels,)`.

    Args:
        axis: the axis of the channels.
        momentum: how slowly the running statistics follow. (Keras keeps 0.99 by default; docs/decisions/0010 says why
            this is 0.9.)
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
    momentum: float = 0.9
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
    casts_weights = False
    statistics_momentum = "momentum"

    @property
    def each_step(self) -> bool:
        """Whether outside of training it treats each step of a sequence by itself."""
        return 1 not in _row_axes(self, self._built_shape)

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
        wide, moving_mean, moving_variance = _wide(x), _wide(self.moving_mean), _wide(self.moving_variance)
        by_kernel = None
        if training and self.trainable:
            real = _real_entries(x, rows, mask)
            if axis == x.ndim - 1:
                by_kernel = normalise_batch(wide, _wide(self.gamma) if self.scale else None,
                                            _wide(self.beta) if self.center else None, self.epsilon, real)
            mean, variance = by_kernel[1:] if by_kernel else _moments(wide, axis, real)
            self.moving_mean = self.momentum * moving_mean + (1 - self.momentum) * lax.stop_gradient(mean)
            self.moving_variance = self.momentum * moving_variance + (1 - self.momentum) * lax.stop_gradient(variance)
        else:
            mean, variance = moving_mean, moving_variance
        if by_kernel:
            return by_kernel[0].astype(x.dtype)
        factor = lax.rsqrt(variance + self.epsilon)
        if self.scale:
            factor = factor * _wide(self.gamma)
        y = (wide - along(mean)) * along(factor)
        return (y + along(_wide(self.beta)) if self.center else y).astype(x.dtype)


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


class LayerNormalization(Layer):
    """Each row at mean 0 and variance 1 over its features, then scaled and shifted by learned numbers.

        y = gamma * (x - mean) / sqrt(variance + epsilon) + beta

    Mean and variance are those of each row alone, so training and use are the same.

    Shapes: `(batch, ..., features)` to the same; gamma and beta have the sizes of the axes that are normalised.

    Args:
        axis: the axis or axes over which mean and variance are taken.
        epsilon: keeps the root away from zero.
        center, scale: whether there is a beta, a gamma.
        beta_initializer, gamma_initializer: how they start.
        beta_regularizer, gamma_regularizer: penalties on them.
        beta_constraint, gamma_constraint: projections after each update.

    Reference: Ba, Kiros and Hinton, Layer Normalization (2016).

    Example:
        >>> import numpy as np
        >>> LayerNormalization()(np.array([[1.0, 3.0]], "float32")).round(2).tolist()
        [[-1.0, 1.0]]
    """

    axis: Any = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Any = "zeros"
    gamma_initializer: Any = "ones"
    beta_regularizer: Any = None
    gamma_regularizer: Any = None
    beta_constraint: Any = None
    gamma_constraint: Any = None

    supports_masking = True

    @property
    def each_step(self) -> bool:
        """Whether it treats each step of a sequence by itself."""
        return 1 not in _row_axes(self, self._built_shape)

    def build(self, input_shape):
        _add_gamma_and_beta(self, _known_sizes(self, input_shape))

    def call(self, x):
        axes = _row_axes(self, x.shape)
        wide = _wide(x)
        mean = wide.mean(axes, keepdims=True)
        variance = jnp.square(wide - mean).mean(axes, keepdims=True)
        y = ((wide - mean) * lax.rsqrt(variance + self.epsilon)).astype(x.dtype)
        return _scaled_and_shifted(self, y, axes)


class RMSNormalization(Layer):
    """Each row divided by the root of the mean of its squares, then scaled by learned numbers.

        y = scale * x / sqrt(mean(x ** 2) + epsilon)

    Shapes: `(batch, ..., features)` to the same; scale has the sizes of the axes that are normalised.

    Args:
        axis: the axis or axes over which the mean is taken.
        epsilon: keeps the root away from zero.

    Reference: Zhang and Sennrich, Root Mean Square Layer Normalization (2019).

    Example:
        >>> import numpy as np
        >>> RMSNormalization()(np.array([[3.0, -3.0]], "float32")).round(2).tolist()
        [[1.0, -1.0]]
    """

    axis: Any = -1
    epsilon: float = 1e-6

    supports_masking = True

    @property
    def each_step(self) -> bool:
        """Whether it treats each step of a sequence by itself."""
        return 1 not in _row_axes(self, self._built_shape)

    def build(self, input_shape):
        self.scale = self.add_weight(_known_sizes(self, input_shape), "ones")

    def call(self, x):
        axes = _row_axes(self, x.shape)
        wide = _wide(x)
        y = wide * lax.rsqrt(jnp.square(wide).mean(axes, keepdims=True) + self.epsilon)
        return y.astype(x.dtype) * _along(self.scale, axes, x.ndim)


class GroupNormalization(Layer):
    """Each group of channels of each row at mean 0 and variance 1, then scaled and shifted by learned numbers.

        y = gamma * (x - mean) / sqrt(variance + epsilon) + beta

    Mean and variance are those of all entries of a row in the channels of one group. One group is layer normalisation
    over all axes, a group for each channel (`groups=-1`) instance normalisation.

    Shapes: `(batch, ..., channels)` to the same; gamma and beta `(channels,)`.

    Args:
        groups: how many groups; it divides the number of channels. -1 for one a channel.
        axis: the axis of the channels.
        epsilon: keeps the root away from zero.
        center, scale: whether there is a beta, a gamma.
        beta_initializer, gamma_initializer: how they start.
        beta_regularizer, gamma_regularizer: penalties on them.
        beta_constraint, gamma_constraint: projections after each update.

    Reference: Wu and He, Group Normalization (2018).

    Example:
        >>> import numpy as np
        >>> GroupNormalization(groups=2)(np.array([[1.0, 3.0, 10.0, 30.0]], "float32")).round(2).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """

    groups: int = 32
    axis: int = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Any = "zeros"
    gamma_initializer: Any = "ones"
    beta_regularizer: Any = None
    gamma_regularizer: Any = None
    beta_constraint: Any = None
    gamma_constraint: Any = None

    supports_masking = True

    def __post_init__(self):
        if isinstance(self.groups, bool) or not hasattr(self.groups, "__index__") or (
                self.groups < 1 and self.groups != -1):
            raise SettingError(f"GroupNormalization: `groups` must be a positive integer, or -1 for one a channel; got "
                               f"{self.groups!r}.")

    def build(self, input_shape):
        channels, = _known_sizes(self, input_shape)
        if self.groups > 0 and channels % self.groups:
            divisors = [count for count in range(1, channels + 1) if channels % count == 0]
            raise ShapeError(f"GroupNormalization cannot divide {channels} channels into {self.groups} equal groups. "
                             f"Set `groups` to one of {divisors}.")
        _add_gamma_and_beta(self, (channels,))

    def call(self, x):
        axis, = _row_axes(self, x.shape)
        groups = x.shape[axis] if self.groups == -1 else self.groups
        grouped = _wide(x).reshape(*x.shape[:axis], groups, -1, *x.shape[axis + 1 :])
        inside = tuple(a for a in range(1, grouped.ndim) if a != axis)
        mean = grouped.mean(inside, keepdims=True)
        variance = jnp.square(grouped - mean).mean(inside, keepdims=True)
        y = ((grouped - mean) * lax.rsqrt(variance + self.epsilon)).reshape(x.shape).astype(x.dtype)
        return _scaled_and_shifted(self, y, (axis,))


class UnitNormalization(Layer):
    """Each row at length 1: `y = x / sqrt(sum(x ** 2))`; a row of zeros stays one.

    Shapes: any; the output has that of the input.

    Args:
        axis: the axis or axes over which the sum is taken.

    Reference: Manning, Raghavan and Schütze, Introduction to Information Retrieval (2008), section 6.3.1.

    Example:
        >>> import numpy as np
        >>> UnitNormalization()(np.array([[0.0, -4.0]])).tolist()
        [[0.0, -1.0]]
    """

    axis: Any = -1

    supports_masking = True

    @property
    def each_step(self) -> bool:
        """Whether it treats each step of a sequence by itself."""
        return 1 not in _row_axes(self, self._built_shape)

    def build(self, input_shape):
        _row_axes(self, input_shape)

    def call(self, x):
        return unit_length(x, _row_axes(self, x.shape))


def unit_length(x, axes):
    """An array divided by its length along some axes; zeros stay zeros, with a gradient of zero."""
    squares = jnp.square(_wide(x)).sum(axes, keepdims=True)
    return (_wide(x) * lax.rsqrt(jnp.maximum(squares, 1e-24))).astype(x.dtype)


def _wide(x):
    """Numbers in at least 32 bits: sums of squares in 16 lose too much."""
    return x.astype(jnp.float32) if x.dtype.itemsize < 4 else x


def _row_axes(layer, shape) -> tuple[int, ...]:
    """The layer's axis or axes as positive numbers in order."""
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else (layer.axis,)
    return tuple(sorted(row_axis(layer, "axis", axis, shape) for axis in axes))


def _known_sizes(layer, input_shape) -> tuple[int, ...]:
    """The sizes of the layer's axes, which its weights depend on."""
    sizes = tuple(input_shape[axis] for axis in _row_axes(layer, input_shape))
    if None in sizes:
        raise ShapeError(
            f"{type(layer).__name__} needs the sizes of the axes {layer.axis}; got {format_shape(input_shape)}. Give "
            f"them in Input(shape=...) or in the layer before.")
    return sizes


def _add_gamma_and_beta(layer, sizes) -> None:
    if layer.scale:
        layer.gamma = layer.add_weight(sizes, layer.gamma_initializer, regularizer=layer.gamma_regularizer,
                                       constraint=layer.gamma_constraint)
    if layer.center:
        layer.beta = layer.add_weight(sizes, layer.beta_initializer, regularizer=layer.beta_regularizer,
                                      constraint=layer.beta_constraint)


def _along(values, axes, rank: int):
    """Values for some axes, with axes of size 1 in the place of the others."""
    sizes = iter(values.shape)
    return values.reshape([next(sizes) if axis in axes else 1 for axis in range(rank)])


def _scaled_and_shifted(layer, y, axes):
    if layer.scale:
        y = y * _along(layer.gamma, axes, y.ndim)
    return y + _along(layer.beta, axes, y.ndim) if layer.center else y
