"""Layers that move or scale entries and have no weights."""
import math

import jax.numpy as jnp

from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.base import Layer


class Flatten(Layer):
    """All axes but the batch's as one: `(batch, a, b, c)` to `(batch, a * b * c)`; `(batch,)` to `(batch, 1)`.

    Example:
        >>> import numpy as np
        >>> Flatten()(np.ones((2, 3, 4))).shape
        (2, 12)
    """

    def call(self, x):
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class Reshape(Layer):
    """The entries of each row in another shape: `(batch, ...)` to `(batch, *target_shape)`.

    Args:
        target_shape: the shape of a row; one size may be -1 and is worked out.

    Example:
        >>> import numpy as np
        >>> Reshape((2, -1))(np.ones((5, 8))).shape
        (5, 2, 4)
    """

    target_shape: tuple[int, ...]

    def __post_init__(self):
        self.target_shape = tuple(self.target_shape)
        sizes = self.target_shape
        if sizes.count(-1) > 1 or any(not hasattr(size, "__index__") or (size < 1 and size != -1) for size in sizes):
            raise SettingError(
                f"Reshape: `target_shape` must hold positive integers, and -1 at most once; got {sizes}.")

    def build(self, input_shape):
        row = input_shape[1:]
        if None in row:
            return
        known = math.prod(size for size in self.target_shape if size != -1)
        entries = math.prod(row)
        if entries % known if -1 in self.target_shape else entries != known:
            raise ShapeError(
                f"Reshape cannot make rows of shape {format_shape(self.target_shape)} of rows of shape "
                f"{format_shape(row)}: {entries} entries do not fit. The number of entries must stay the same.")

    def call(self, x):
        return x.reshape(x.shape[0], *self.target_shape)


class Rescaling(Layer):
    """Inputs brought to another range: `y = x * scale + offset`, for pixels `Rescaling(1 / 255)`.

    Args:
        scale: the factor, a number or one a channel.
        offset: what is added, a number or one a channel.

    Example:
        >>> import numpy as np
        >>> Rescaling(0.5, offset=-1)(np.array([[2.0, 4.0]])).tolist()
        [[0.0, 1.0]]
    """

    scale: float
    offset: float = 0.0

    supports_masking = True

    def call(self, x):
        per_channel = lambda value: jnp.asarray(value, x.dtype) if isinstance(value, (list, tuple)) else value
        return x * per_channel(self.scale) + per_channel(self.offset)
