"""Layers that keep the largest or the mean entry of windows, or of whole images."""
from typing import Any

import jax.numpy as jnp

from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.base import Layer
from chainrule.ops.pooling import (
    average_pool,
    check_padding,
    check_windows,
    lowest,
    max_pool,
    one_for_each_axis,
    widened,
)


class _Pooling(Layer):
    """Windows of places, and one number for each of them and each channel."""

    pool_size: Any
    strides: Any = None
    padding: str = "valid"
    data_format: str | None = None

    places = 0  # the number of axes between batch and channels

    def __post_init__(self):
        owner = type(self).__name__
        self.pool_size = one_for_each_axis(self.pool_size, self.places, "pool_size", owner)
        given = self.pool_size if self.strides is None else self.strides
        self.strides = one_for_each_axis(given, self.places, "strides", owner)
        check_padding(self.padding, owner)
        check_data_format(self)

    def build(self, input_shape):
        check_rank(self, input_shape)
        check_windows(input_shape[1:-1], self.pool_size, self.strides, self.padding, type(self).__name__)


class _MaxPooling(_Pooling):
    """The largest entry of each window."""

    pool_size: Any = 2

    def call(self, x):
        return max_pool(x, self.pool_size, self.strides, self.padding)


class _AveragePooling(_Pooling):
    """The mean of each window."""

    def call(self, x):
        return average_pool(x, self.pool_size, self.strides, self.padding)


class MaxPooling1D(_MaxPooling):
    """The largest entry of each window of a sequence, for each feature.

        y[n, i, c] = max over a < pool_size of x[n, i * strides + a, c]

    Shapes: `(batch, steps, features)` to `(batch, fewer, features)`, with `fewer = (steps - pool_size) // strides + 1`,
    or `ceil(steps / strides)` with `"same"` padding.

    Args:
        pool_size: the length of a window.
        strides: how far apart windows are; by default as far as they are long.
        padding: `"valid"` takes windows inside the sequence only; `"same"` lets them reach over its ends.
        data_format: `"channels_last"`, the only one there is.

    Reference: Riesenhuber and Poggio, Hierarchical Models of Object Recognition in Cortex (1999).

    Example:
        >>> import numpy as np
        >>> MaxPooling1D(2)(np.array([[[3.0], [5.0], [2.0], [4.0]]])).ravel().tolist()
        [5.0, 4.0]
    """

    places = 1


class MaxPooling2D(_MaxPooling):
    """The largest entry of each window of an image, for each channel.

        y[n, i, j, c] = max over a < pool_size[0], b < pool_size[1] of x[n, i * strides[0] + a, j * strides[1] + b, c]

    Shapes: `(batch, height, width, channels)` to `(batch, lower, narrower, channels)`; along each axis
    `(size - pool_size) // strides + 1`, or `ceil(size / strides)` with `"same"` padding.

    Args:
        pool_size: the height and width of a window, one number or two.
        strides: how far apart windows are, likewise; by default as far as they are long.
        padding: `"valid"` takes windows inside the image only; `"same"` lets them reach over its edges.
        data_format: `"channels_last"`, the only one there is.

    Reference: Riesenhuber and Poggio, Hierarchical Models of Object Recognition in Cortex (1999).

    Example:
        >>> import numpy as np
        >>> MaxPooling2D()(np.arange(16.0).reshape(1, 4, 4, 1)).ravel().tolist()
        [5.0, 7.0, 13.0, 15.0]
    """

    places = 2


class MaxPooling3D(_MaxPooling):
    """The largest entry of each window of a volume, for each channel; `MaxPooling2D` with a depth.

    Shapes: `(batch, depth, height, width, channels)` to the same axes; along each axis of places
    `(size - pool_size) // strides + 1`, or `ceil(size / strides)` with `"same"` padding.

    Args:
        pool_size: the depth, height and width of a window, one number or three.
        strides: how far apart windows are, likewise; by default as far as they are long.
        padding: `"valid"` takes windows inside the volume only; `"same"` lets them reach over its edges.
        data_format: `"channels_last"`, the only one there is.

    Reference: Riesenhuber and Poggio, Hierarchical Models of Object Recognition in Cortex (1999).

    Example:
        >>> import numpy as np
        >>> MaxPooling3D()(np.ones((1, 4, 4, 6, 2))).shape
        (1, 2, 2, 3, 2)
    """

    places = 3


class AveragePooling1D(_AveragePooling):
    """The mean of each window of a sequence, for each feature.

        y[n, i, c] = mean over a < pool_size of x[n, i * strides + a, c]

    Shapes: `(batch, steps, features)` to `(batch, fewer, features)`, with `fewer = (steps - pool_size) // strides + 1`,
    or `ceil(steps / strides)` with `"same"` padding.

    Args:
        pool_size: the length of a window.
        strides: how far apart windows are; by default as far as they are long.
        padding: `"valid"` takes windows inside the sequence only; `"same"` lets them reach over its ends, and the mean
            is that of what they hold of it.
        data_format: `"channels_last"`, the only one there is.

    Reference: LeCun et al., Gradient-Based Learning Applied to Document Recognition (1998).

    Example:
        >>> import numpy as np
        >>> AveragePooling1D(2)(np.array([[[3.0], [5.0], [2.0], [4.0]]])).ravel().tolist()
        [4.0, 3.0]
    """

    places = 1


class AveragePooling2D(_AveragePooling):
    """The mean of each window of an image, for each channel.

        y[n, i, j, c] = mean over a < pool_size[0], b < pool_size[1] of x[n, i * strides[0] + a, j * strides[1] + b, c]

    Shapes: `(batch, height, width, channels)` to `(batch, lower, narrower, channels)`; along each axis
    `(size - pool_size) // strides + 1`, or `ceil(size / strides)` with `"same"` padding.

    Args:
        pool_size: the height and width of a window, one number or two.
        strides: how far apart windows are, likewise; by default as far as they are long.
        padding: `"valid"` takes windows inside the image only; `"same"` lets them reach over its edges, and the mean
            is that of what they hold of it.
        data_format: `"channels_last"`, the only one there is.

    Reference: LeCun et al., Gradient-Based Learning Applied to Document Recognition (1998).

    Example:
        >>> import numpy as np
        >>> AveragePooling2D(2)(np.arange(16.0).reshape(1, 4, 4, 1)).ravel().tolist()
        [2.5, 4.5, 10.5, 12.5]
    """

    places = 2


class AveragePooling3D(_AveragePooling):
    """The mean of each window of a volume, for each channel; `AveragePooling2D` with a depth.

    Shapes: `(batch, depth, height, width, channels)` to the same axes; along each axis of places
    `(size - pool_size) // strides + 1`, or `ceil(size / strides)` with `"same"` padding.

    Args:
        pool_size: the depth, height and width of a window, one number or three.
        strides: how far apart windows are, likewise; by default as far as they are long.
        padding: `"valid"` takes windows inside the volume only; `"same"` lets them reach over its edges, and the mean
            is that of what they hold of it.
        data_format: `"channels_last"`, the only one there is.

    Reference: LeCun et al., Gradient-Based Learning Applied to Document Recognition (1998).

    Example:
        >>> import numpy as np
        >>> AveragePooling3D(2)(np.ones((1, 4, 4, 6, 2))).shape
        (1, 2, 2, 3, 2)
    """

    places = 3


class _GlobalPooling(Layer):
    """One number for each channel, from all places."""

    data_format: str | None = None
    keepdims: bool = False

    places = 0  # the number of axes between batch and channels

    def __post_init__(self):
        check_data_format(self)

    def build(self, input_shape):
        check_rank(self, input_shape)
        if 0 in input_shape[1:-1]:
            raise ShapeError(f"{type(self).__name__} needs at least one place; got {format_shape(input_shape)}.")

    def _over_places(self, reduce, x):
        """A reduction of all axes between batch and channels."""
        return reduce(x, axis=tuple(range(1, x.ndim - 1)), keepdims=self.keepdims)


class GlobalMaxPooling1D(_GlobalPooling):
    """The largest entry of a whole sequence, for each feature: `y[n, c] = max over i of x[n, i, c]`.

    Masked steps never win; a sequence that has no others gives 0. Steps that are equally large share the gradient.

    Shapes: `(batch, steps, features)` to `(batch, features)`.

    Args:
        data_format: `"channels_last"`, the only one there is.
        keepdims: whether the axis of steps stays, with size 1.

    Reference: Collobert et al., Natural Language Processing (Almost) from Scratch (2011), section 3.3.

    Example:
        >>> import numpy as np
        >>> x = np.array([[[3.0], [5.0], [9.0]]])
        >>> GlobalMaxPooling1D()(x, mask=np.array([[True, True, False]])).tolist()
        [[5.0]]
    """

    places = 1

    def call(self, x, mask):
        if mask is None:
            return self._over_places(jnp.max, x)
        real = jnp.asarray(mask, bool)[..., None]
        y = self._over_places(jnp.max, jnp.where(real, x, jnp.asarray(lowest(x.dtype), x.dtype)))
        return jnp.where(self._over_places(jnp.any, real), y, 0)


class GlobalMaxPooling2D(_GlobalPooling):
    """The largest entry of a whole image, for each channel: `y[n, c] = max over i, j of x[n, i, j, c]`.

    Places that are equally large share the gradient.

    Shapes: `(batch, height, width, channels)` to `(batch, channels)`.

    Args:
        data_format: `"channels_last"`, the only one there is.
        keepdims: whether the axes of places stay, with size 1.

    Reference: Oquab et al., Is Object Localization for Free? (2015).

    Example:
        >>> import numpy as np
        >>> GlobalMaxPooling2D()(np.arange(6.0).reshape(1, 2, 3, 1)).tolist()
        [[5.0]]
    """

    places = 2

    def call(self, x):
        return self._over_places(jnp.max, x)


class GlobalMaxPooling3D(_GlobalPooling):
    """The largest entry of a whole volume, for each channel: `y[n, c] = max over h, i, j of x[n, h, i, j, c]`.

    Places that are equally large share the gradient.

    Shapes: `(batch, depth, height, width, channels)` to `(batch, channels)`.

    Args:
        data_format: `"channels_last"`, the only one there is.
        keepdims: whether the axes of places stay, with size 1.

    Reference: Oquab et al., Is Object Localization for Free? (2015).

    Example:
        >>> import numpy as np
        >>> GlobalMaxPooling3D(keepdims=True)(np.ones((1, 2, 3, 4, 5))).shape
        (1, 1, 1, 1, 5)
    """

    places = 3

    def call(self, x):
        return self._over_places(jnp.max, x)


class GlobalAveragePooling1D(_GlobalPooling):
    """The mean of a whole sequence, for each feature: `y[n, c] = mean over i of x[n, i, c]`.

    Masked steps do not count; a sequence that has no others gives 0.

    Shapes: `(batch, steps, features)` to `(batch, features)`.

    Args:
        data_format: `"channels_last"`, the only one there is.
        keepdims: whether the axis of steps stays, with size 1.

    Reference: Lin, Chen and Yan, Network in Network (2014), section 3.2.

    Example:
        >>> import numpy as np
        >>> x = np.array([[[3.0], [5.0], [9.0]]])
        >>> GlobalAveragePooling1D()(x, mask=np.array([[True, True, False]])).tolist()
        [[4.0]]
    """

    places = 1

    def call(self, x, mask):
        if mask is None:
            return self._over_places(jnp.mean, x)
        real = jnp.asarray(mask, bool)[..., None]
        wide = widened(jnp.where(real, x, 0))
        count = jnp.maximum(self._over_places(jnp.sum, real), 1).astype(wide.dtype)
        y = self._over_places(jnp.sum, wide) / count
        return y.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else y


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of a whole image, for each channel: `y[n, c] = mean over i, j of x[n, i, j, c]`.

    Shapes: `(batch, height, width, channels)` to `(batch, channels)`.

    Args:
        data_format: `"channels_last"`, the only one there is.
        keepdims: whether the axes of places stay, with size 1.

    Reference: Lin, Chen and Yan, Network in Network (2014), section 3.2.

    Example:
        >>> import numpy as np
        >>> GlobalAveragePooling2D()(np.arange(6.0).reshape(1, 2, 3, 1)).tolist()
        [[2.5]]
    """

    places = 2

    def call(self, x):
        return self._over_places(jnp.mean, x)


class GlobalAveragePooling3D(_GlobalPooling):
    """The mean of a whole volume, for each channel: `y[n, c] = mean over h, i, j of x[n, h, i, j, c]`.

    Shapes: `(batch, depth, height, width, channels)` to `(batch, channels)`.

    Args:
        data_format: `"channels_last"`, the only one there is.
        keepdims: whether the axes of places stay, with size 1.

    Reference: Lin, Chen and Yan, Network in Network (2014), section 3.2.

    Example:
        >>> import numpy as np
        >>> GlobalAveragePooling3D(keepdims=True)(np.ones((1, 2, 3, 4, 5))).shape
        (1, 1, 1, 1, 5)
    """

    places = 3

    def call(self, x):
        return self._over_places(jnp.mean, x)


def check_data_format(layer) -> None:
    """Channels come last; there is no other format."""
    if layer.data_format not in (None, "channels_last"):
        raise SettingError(
            f"{type(layer).__name__}: `data_format` must be 'channels_last' or None; got {layer.data_format!r}. "
            f"chainrule keeps channels in the last axis: turn the data with Permute, or np.moveaxis(x, 1, -1).")


def check_rank(layer, input_shape) -> None:
    """Batch, channels, and as many axes between them as the layer has places."""
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) != layer.places + 2:
        between = ("steps",) if layer.places == 1 else ("depth", "height", "width")[-layer.places:]
        names = ("batch", *between, "channels")
        hint = " Add the axis of the channels: x[..., None]." if len(input_shape) == layer.places + 1 else ""
        raise ShapeError(f"{type(layer).__name__} takes {len(names)} axes, ({', '.join(names)}); got "
                         f"{format_shape(input_shape)}.{hint}")
