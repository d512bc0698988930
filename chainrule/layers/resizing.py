"""Layers that change the size of images and sequences: padding, cropping, repeating, interpolating."""
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.base import Layer
from chainrule.layers.dense import check_count
from chainrule.layers.pooling import check_data_format, check_rank
from chainrule.ops.pooling import one_for_each_axis
from chainrule.ops.resizing import check_interpolation, resize


class _ZeroPadding(Layer):
    """Zeros around the places."""

    padding: Any = 1
    data_format: str | None = None

    places = 0  # the number of axes between batch and channels

    def __post_init__(self):
        self.padding = _ends(self, "padding", self.padding)
        check_data_format(self)

    def build(self, input_shape):
        check_rank(self, input_shape)

    def call(self, x):
        ends = [(before, after, 0) for before, after in self.padding]
        return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *ends, (0, 0, 0)])


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after a sequence.

    Shapes: `(batch, steps, features)` to `(batch, before + steps + after, features)`.

    Args:
        padding: how many, one number for both ends or `(before, after)`.
        data_format: `"channels_last"`, the only one there is.

    Example:
        >>> import numpy as np
        >>> ZeroPadding1D((2, 1))(np.array([[[3.0], [4.0]]])).ravel().tolist()
        [0.0, 0.0, 3.0, 4.0, 0.0]
    """

    places = 1


class ZeroPadding2D(_ZeroPadding):
    """Zeros around an image.

    Shapes: `(batch, height, width, channels)` to `(batch, top + height + bottom, left + width + right, channels)`.

    Args:
        padding: how many, one number for all sides, `(vertical, horizontal)`, or `((top, bottom), (left, right))`.
        data_format: `"channels_last"`, the only one there is.

    Example:
        >>> import numpy as np
        >>> ZeroPadding2D(((1, 0), (0, 2)))(np.ones((1, 1, 1, 1)))[0, :, :, 0].tolist()
        [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """

    places = 2


class ZeroPadding3D(_ZeroPadding):
    """Zeros around a volume.

    Shapes: `(batch, depth, height, width, channels)` to the same axes, those of places longer by their padding.

    Args:
        padding: how many, one number for all sides, one for each axis, or `(before, after)` for each axis.
        data_format: `"channels_last"`, the only one there is.

    Example:
        >>> import numpy as np
        >>> ZeroPadding3D((1, 0, 2))(np.ones((1, 2, 3, 4, 5))).shape
        (1, 4, 3, 8, 5)
    """

    places = 3


class _Cropping(Layer):
    """Places cut off."""

    cropping: Any = 1
    data_format: str | None = None

    places = 0  # the number of axes between batch and channels

    def __post_init__(self):
        self.cropping = _ends(self, "cropping", self.cropping)
        check_data_format(self)

    def build(self, input_shape):
        check_rank(self, input_shape)
        self._check_places(input_shape[1:-1])

    def call(self, x):
        self._check_places(x.shape[1:-1])
        for axis, (before, after) in enumerate(self.cropping, start=1):
            x = lax.slice_in_dim(x, before, x.shape[axis] - after, axis=axis)
        return x

    def _check_places(self, places) -> None:
        if any(size is not None and sum(ends) >= size for size, ends in zip(places, self.cropping, strict=True)):
            raise ShapeError(
                f"{type(self).__name__}: the output would be empty. Places of {format_shape(places)} are cropped by "
                f"{self.cropping}, (before, after) for each axis. Crop less, or use larger inputs.")


class Cropping1D(_Cropping):
    """Steps cut off at both ends of a sequence.

    Shapes: `(batch, steps, features)` to `(batch, steps - before - after, features)`.

    Args:
        cropping: how many, one number for both ends or `(before, after)`.
        data_format: `"channels_last"`, the only one there is.

    Raises:
        ShapeError: nothing would be left.

    Example:
        >>> import numpy as np
        >>> Cropping1D((2, 1))(np.arange(5.0).reshape(1, 5, 1)).ravel().tolist()
        [2.0, 3.0]
    """

    cropping: Any = (1, 1)

    places = 1


class Cropping2D(_Cropping):
    """The edges of an image cut off.

    Shapes: `(batch, height, width, channels)` to `(batch, height - top - bottom, width - left - right, channels)`.

    Args:
        cropping: how much, one number for all sides, `(vertical, horizontal)`, or `((top, bottom), (left, right))`.
        data_format: `"channels_last"`, the only one there is.

    Raises:
        ShapeError: nothing would be left.

    Example:
        >>> import numpy as np
        >>> Cropping2D(((1, 0), (0, 2)))(np.arange(8.0).reshape(1, 2, 4, 1)).ravel().tolist()
        [4.0, 5.0]
    """

    cropping: Any = ((0, 0), (0, 0))

    places = 2


class Cropping3D(_Cropping):
    """The edges of a volume cut off.

    Shapes: `(batch, depth, height, width, channels)` to the same axes, those of places shorter by what is cut off.

    Args:
        cropping: how much, one number for all sides, one for each axis, or `(before, after)` for each axis.
        data_format: `"channels_last"`, the only one there is.

    Raises:
        ShapeError: nothing would be left.

    Example:
        >>> import numpy as np
        >>> Cropping3D((1, 0, 2))(np.ones((1, 4, 3, 8, 5))).shape
        (1, 2, 3, 4, 5)
    """

    cropping: Any = ((1, 1), (1, 1), (1, 1))

    places = 3


class _UpSampling(Layer):
    """Places repeated."""

    size: Any = 2
    data_format: str | None = None

    places = 0  # the number of axes between batch and channels

    def __post_init__(self):
        self.size = one_for_each_axis(self.size, self.places, "size", type(self).__name__)
        check_data_format(self)

    def build(self, input_shape):
        check_rank(self, input_shape)

    def call(self, x):
        for axis, times in enumerate(self.size, start=1):
            x = jnp.repeat(x, times, axis)
        return x


class UpSampling1D(_UpSampling):
    """Each step of a sequence repeated: `y[n, i, c] = x[n, i // size, c]`.

    Shapes: `(batch, steps, features)` to `(batch, size * steps, features)`.

    Args:
        size: how often.
        data_format: `"channels_last"`, the only one there is.

    Example:
        >>> import numpy as np
        >>> UpSampling1D()(np.array([[[3.0], [4.0]]])).ravel().tolist()
        [3.0, 3.0, 4.0, 4.0]
    """

    places = 1


class UpSampling2D(_UpSampling):
    """Each pixel of an image repeated, or the image interpolated.

        y[n, i, j, c] = x[n, i // size[0], j // size[1], c]

    Shapes: `(batch, height, width, channels)` to `(batch, size[0] * height, size[1] * width, channels)`.

    Args:
        size: how often, one number or `(vertical, horizontal)`.
        data_format: `"channels_last"`, the only one there is.
        interpolation: `"nearest"` repeats; `"bilinear"` and `"bicubic"` as in `ops.resize`.

    Example:
        >>> import numpy as np
        >>> UpSampling2D((1, 2), interpolation="bilinear")(np.array([[[[0.0], [4.0]]]])).ravel().tolist()
        [0.0, 1.0, 3.0, 4.0]
    """

    interpolation: str = "nearest"

    places = 2

    def __post_init__(self):
        super().__post_init__()
        check_interpolation(self.interpolation, "UpSampling2D")

    def call(self, x):
        if self.interpolation == "nearest":
            return super().call(x)
        return resize(x, (self.size[0] * x.shape[1], self.size[1] * x.shape[2]), self.interpolation)


class UpSampling3D(_UpSampling):
    """Each voxel of a volume repeated: `y[n, h, i, j, c] = x[n, h // size[0], i // size[1], j // size[2], c]`.

    Shapes: `(batch, depth, height, width, channels)` to
    `(batch, size[0] * depth, size[1] * height, size[2] * width, channels)`.

    Args:
        size: how often, one number or one for each axis.
        data_format: `"channels_last"`, the only one there is.

    Example:
        >>> import numpy as np
        >>> UpSampling3D((1, 2, 3))(np.ones((1, 2, 2, 2, 5))).shape
        (1, 2, 4, 6, 5)
    """

    places = 3


class Resizing(Layer):
    """Images of any size brought to one, by `ops.resize`.

    Shapes: `(batch, any height, any width, channels)` to `(batch, height, width, channels)`.

    Args:
        height, width: the size to reach.
        interpolation: `"nearest"`, `"bilinear"` or `"bicubic"`.
        crop_to_aspect_ratio: whether the edges that do not fit the new proportions are cut off first.
        pad_to_aspect_ratio: whether the image is first brought to the new proportions by padding. With neither it is
            stretched.
        fill_mode: how it is padded: `"constant"`.
        fill_value: with what.
        antialias: for shrinking, whether every pixel counts.
        data_format: `"channels_last"`, the only one there is.

    Example:
        >>> import numpy as np
        >>> Resizing(1, 4)(np.array([[[[0.0], [4.0]]]])).ravel().tolist()
        [0.0, 1.0, 3.0, 4.0]
    """

    height: int
    width: int
    interpolation: str = "bilinear"
    crop_to_aspect_ratio: bool = False
    pad_to_aspect_ratio: bool = False
    fill_mode: str = "constant"
    fill_value: float = 0.0
    antialias: bool = False
    data_format: str | None = None

    places = 2

    def __post_init__(self):
        check_count(self, "height", self.height)
        check_count(self, "width", self.width)
        check_interpolation(self.interpolation, "Resizing")
        check_data_format(self)
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            raise SettingError(
                "Resizing: `crop_to_aspect_ratio` and `pad_to_aspect_ratio` exclude each other. Set one of them.")
        if self.fill_mode != "constant":
            raise SettingError(f"Resizing: `fill_mode` must be 'constant'; got {self.fill_mode!r}.")

    def build(self, input_shape):
        check_rank(self, input_shape)

    def call(self, x):
        height, width = x.shape[1:3]
        fitting = (int(width * self.height / self.width), int(height * self.width / self.height))  # to the other's size
        if self.crop_to_aspect_ratio:
            for axis, size in enumerate(fitting, start=1):
                size = max(min(size, x.shape[axis]), 1)
                start = (x.shape[axis] - size) // 2
                x = lax.slice_in_dim(x, start, start + size, axis=axis)
        if self.pad_to_aspect_ratio:
            ends = [(max(size - old, 0) // 2,) * 2 + (0,) for size, old in zip(fitting, (height, width), strict=True)]
            x = lax.pad(x, jnp.asarray(self.fill_value, x.dtype), [(0, 0, 0), *ends, (0, 0, 0)])
        return resize(x, (self.height, self.width), self.interpolation, self.antialias)


def _ends(layer, setting: str, value) -> tuple[tuple[int, int], ...]:
    """Two numbers for each axis of places, where fewer may stand for all."""
    axes = layer.places
    is_count = lambda one: hasattr(one, "__index__") and not isinstance(one, bool) and one >= 0
    is_pair = lambda one: isinstance(one, Sequence) and len(one) == 2 and all(map(is_count, one))
    if is_count(value):
        return ((int(value),) * 2,) * axes
    if axes == 1 and is_pair(value):
        return (tuple(map(int, value)),)
    if isinstance(value, Sequence) and len(value) == axes and all(is_count(one) or is_pair(one) for one in value):
        return tuple(tuple(map(int, one)) if is_pair(one) else (int(one),) * 2 for one in value)
    several = "" if axes == 1 else f", {axes} of them"
    pairs = "a pair (before, after)" if axes == 1 else f"{axes} pairs (before, after)"
    raise SettingError(
        f"{type(layer).__name__}: `{setting}` must be a number of at least 0{several}, or {pairs}; got {value!r}.")
