"""Layers that move, scale or map entries and have no weights."""
import math
from typing import Any

import jax.numpy as jnp

from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.base import Layer
from chainrule.layers.dense import check_count


class Flatten(Layer):
    """All axes but the batch's as one: `y = x.reshape(batch, -1)`.

    Shapes: `(batch, a, b, c)` to `(batch, a * b * c)`; `(batch,)` to `(batch, 1)`.

    Example:
        >>> import numpy as np
        >>> Flatten()(np.ones((2, 3, 4))).shape
        (2, 12)
    """

    def call(self, x):
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class Reshape(Layer):
    """The entries of each row in another shape: `y = x.reshape(batch, *target_shape)`.

    Shapes: `(batch, ...)` to `(batch, *target_shape)`.

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

    Shapes: any; the output has that of the input.

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
    casts_inputs = False  # raw data
    each_step = True

    def call(self, x):
        per_channel = lambda value: jnp.asarray(value, x.dtype) if isinstance(value, (list, tuple)) else value
        return x * per_channel(self.scale) + per_channel(self.offset)


class Permute(Layer):
    """The axes of each row in another order: `y = x.transpose(0, *dims)`.

    Shapes: `(batch, a, b)` to `(batch, b, a)` with `dims=(2, 1)`.

    Args:
        dims: the axes in their new order, counted from 1 (0 is the batch and stays).

    Example:
        >>> import numpy as np
        >>> Permute((2, 1))(np.ones((5, 2, 3))).shape
        (5, 3, 2)
    """

    dims: tuple[int, ...]

    def __post_init__(self):
        self.dims = tuple(self.dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise SettingError(f"Permute: `dims` holds each of the axes 1 to {len(self.dims)} once; got {self.dims}.")

    def build(self, input_shape):
        if len(input_shape) != len(self.dims) + 1:
            raise ShapeError(
                f"Permute{self.dims} takes {len(self.dims) + 1} axes, the batch and {len(self.dims)} more; got "
                f"{format_shape(input_shape)}.")

    def call(self, x):
        return x.transpose(0, *self.dims)


class RepeatVector(Layer):
    """Each row repeated: `y[i, t] = x[i]` for `t` below `n`.

    Shapes: `(batch, features)` to `(batch, n, features)`.

    Args:
        n: how often.

    Example:
        >>> import numpy as np
        >>> RepeatVector(3)(np.ones((5, 2))).shape
        (5, 3, 2)
    """

    n: int

    def __post_init__(self):
        check_count(self, "n", self.n)

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ShapeError(f"RepeatVector takes rows of features, (batch, features); got "
                             f"{format_shape(input_shape)}. Put a Flatten layer before it.")

    def call(self, x):
        return jnp.broadcast_to(x[:, None], (x.shape[0], self.n, x.shape[1]))


class Identity(Layer):
    """The input, unchanged: `y = x`.

    Shapes: any, or any structure of arrays, to the same.

    Example:
        >>> import numpy as np
        >>> Identity()(np.array([[1.0, 2.0]])).tolist()
        [[1.0, 2.0]]
    """

    supports_masking = True
    each_step = True

    def call(self, x):
        return x


class Lambda(Layer):
    """A function of one's own as a layer: `y = function(x, **arguments)`.

    The function is made of `jnp` operations and has no weights. A named function is kept in a file by its name, and
    `load_model(path, custom_objects={"f": f})` hands it back; a lambda has no name and cannot be kept.

    Shapes: any, to what the function returns; the batch axis stays first.

    Args:
        function: takes the input (an array or a structure of arrays), returns the output.
        output_shape: the shape of a row of output, to be held against the computed one; not needed.
        arguments: further arguments of the function, by name.

    Example:
        >>> import numpy as np
        >>> Lambda(lambda x: x**2)(np.array([[3.0]])).tolist()
        [[9.0]]
    """

    function: Any
    output_shape: tuple[int | None, ...] | None = None
    arguments: dict | None = None

    supports_masking = True

    def __post_init__(self):
        if not callable(self.function):
            raise SettingError(f"Lambda: `function` is a function on arrays; got {self.function!r}.")

    def call(self, x):
        y = self.function(x, **(self.arguments or {}))
        if self.output_shape is not None and hasattr(y, "shape"):
            declared = (y.shape[0], *self.output_shape)
            fits = len(declared) == y.ndim and all(
                wanted in (None, size) for wanted, size in zip(declared, y.shape, strict=True))
            if not fits:
                raise ShapeError(f"Lambda: the function returned rows of shape {format_shape(y.shape[1:])}; "
                                 f"`output_shape` says {format_shape(self.output_shape)}.")
        return y

    def get_config(self):
        if self._label() == "<lambda>":
            raise SettingError(
                "A Lambda layer that holds a lambda cannot be kept in a file: files hold data and names, never code, "
                "and a lambda has no name. Write a layer, class Mine(Layer) with `def call(self, x)`, or a named "
                "function, and hand it back with load_model(path, custom_objects={'Mine': Mine}).")
        return super().get_config()

    def __repr__(self) -> str:
        return f"Lambda({self._label()})"

    def _label(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)
