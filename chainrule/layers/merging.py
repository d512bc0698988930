"""Layers that make one array of several, and operators between them."""
import functools
import itertools
import operator as python
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chainrule.errors import SettingError, ShapeError, UnknownNameError, did_you_mean, format_shape
from chainrule.layers.activation import row_axis
from chainrule.layers.base import Layer
from chainrule.layers.normalisation import unit_length


class _Elementwise(Layer):
    """Inputs of one shape, or with axes of size 1 that are repeated, made into one. One alone stays as it is."""

    supports_masking = True
    each_step = True

    def build(self, input_shape):
        check_alike(self, input_shapes(self, input_shape))

    def compute_mask(self, inputs, mask):
        return either(mask)


class Add(_Elementwise):
    """The sum of the inputs: `y = x1 + x2 + ...`; axes of size 1 are repeated.

    Shapes: a list of arrays that are alike, `(batch, ...)`, to the same.

    Example:
        >>> import numpy as np
        >>> Add()([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).tolist()
        [[4.0, 6.0]]
    """

    def call(self, inputs):
        return functools.reduce(jnp.add, inputs)


class Subtract(_Elementwise):
    """The difference of two inputs: `y = x1 - x2`; axes of size 1 are repeated.

    Shapes: a list of two arrays that are alike, `(batch, ...)`, to the same.

    Example:
        >>> import numpy as np
        >>> Subtract()([np.array([[3.0, 4.0]]), np.array([[1.0, 1.0]])]).tolist()
        [[2.0, 3.0]]
    """

    def build(self, input_shape):
        check_alike(self, input_shapes(self, input_shape, exactly=2))

    def call(self, inputs):
        return inputs[0] - inputs[1]


class Multiply(_Elementwise):
    """The product of the inputs: `y = x1 * x2 * ...`; axes of size 1 are repeated.

    Shapes: a list of arrays that are alike, `(batch, ...)`, to the same.

    Example:
        >>> import numpy as np
        >>> Multiply()([np.array([[3.0, 4.0]]), np.array([[2.0, 2.0]])]).tolist()
        [[6.0, 8.0]]
    """

    def call(self, inputs):
        return functools.reduce(jnp.multiply, inputs)


class Average(_Elementwise):
    """The mean of the inputs: `y = (x1 + ...) / count`; axes of size 1 are repeated.

    Shapes: a list of arrays that are alike, `(batch, ...)`, to the same.

    Example:
        >>> import numpy as np
        >>> Average()([np.array([[3.0, 4.0]]), np.array([[1.0, 2.0]])]).tolist()
        [[2.0, 3.0]]
    """

    def call(self, inputs):
        return functools.reduce(jnp.add, inputs) / len(inputs)


class Maximum(_Elementwise):
    """The largest of the inputs: `y = max(x1, x2, ...)`; axes of size 1 are repeated.

    Shapes: a list of arrays that are alike, `(batch, ...)`, to the same.

    Example:
        >>> import numpy as np
        >>> Maximum()([np.array([[3.0, 4.0]]), np.array([[1.0, 9.0]])]).tolist()
        [[3.0, 9.0]]
    """

    def call(self, inputs):
        return functools.reduce(jnp.maximum, inputs)


class Minimum(_Elementwise):
    """The smallest of the inputs: `y = min(x1, x2, ...)`; axes of size 1 are repeated.

    Shapes: a list of arrays that are alike, `(batch, ...)`, to the same.

    Example:
        >>> import numpy as np
        >>> Minimum()([np.array([[3.0, 4.0]]), np.array([[1.0, 9.0]])]).tolist()
        [[1.0, 4.0]]
    """

    def call(self, inputs):
        return functools.reduce(jnp.minimum, inputs)


class Concatenate(Layer):
    """The inputs one behind another along an axis: `y = [x1, x2, ...]`.

    Shapes: a list of `(batch, ..., a)` and `(batch, ..., b)` to `(batch, ..., a + b)`.

    Args:
        axis: the axis along which they may differ, and are joined.

    Example:
        >>> import numpy as np
        >>> Concatenate()([np.ones((2, 3)), np.ones((2, 4))]).shape
        (2, 7)
    """

    axis: int = -1

    supports_masking = True

    @property
    def each_step(self) -> bool:
        """Whether it treats each step of a sequence by itself."""
        return row_axis(self, "axis", self.axis, self._built_shape[0]) != 1

    def build(self, input_shape):
        shapes = input_shapes(self, input_shape)
        axis = row_axis(self, "axis", self.axis, shapes[0])
        for index, shape in enumerate(shapes):
            others = [(size, wanted) for place, (size, wanted) in enumerate(zip(shape, shapes[0], strict=False))
                      if place != axis]
            if len(shape) != len(shapes[0]) or any(size != wanted for size, wanted in others):
                raise ShapeError(
                    f"Concatenate(axis={self.axis}) joins inputs that agree on all axes but one: input {index} has the "
                    f"shape {format_shape(shape)}, input 0 has {format_shape(shapes[0])}.")

    def call(self, inputs):
        return jnp.concatenate(inputs, self.axis)

    def compute_mask(self, inputs, mask):
        axis, mask = self.axis % inputs[0].ndim, mask if isinstance(mask, list) else [mask]
        if all(one is None or one.ndim <= axis for one in mask):
            return either(mask)
        return jnp.concatenate([jnp.ones(x.shape[: axis + 1], bool) if one is None else one
                                for x, one in zip(inputs, mask, strict=True)], axis)


class Dot(Layer):
    """The sum of products of two inputs along an axis of each, row by row: `y[b] = sum over i of x1[b, i] * x2[b, i]`.

    Shapes: for each row the other axes of the first input, then those of the second: `(batch, a, n)` and
    `(batch, n, c)` to `(batch, a, c)` with `axes=(2, 1)`; `(batch, n)` and `(batch, n)` to `(batch, 1)`.

    Args:
        axes: the axis that is summed over, in both or in each, counted with the batch axis as 0.
        normalize: whether both are brought to length 1 along it before: the cosine of the angle between them.

    Example:
        >>> import numpy as np
        >>> Dot(axes=1)([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).tolist()
        [[11.0]]
    """

    axes: Any
    normalize: bool = False

    def build(self, input_shape):
        shapes = input_shapes(self, input_shape, exactly=2)
        first, second = self._axes(shapes)
        if shapes[0][first] != shapes[1][second]:
            raise ShapeError(
                f"Dot(axes={self.axes}) sums over axes of one size: input 0 has the shape {format_shape(shapes[0])}, "
                f"{shapes[0][first]} on axis {first}; input 1 has {format_shape(shapes[1])}, {shapes[1][second]} on "
                f"axis {second}.")

    def call(self, inputs):
        first, second = inputs
        axes = self._axes([first.shape, second.shape])
        if self.normalize:
            first, second = unit_length(first, (axes[0],)), unit_length(second, (axes[1],))
        y = jax.lax.dot_general(first, second, (((axes[0],), (axes[1],)), ((0,), (0,))))
        return y if y.ndim > 1 else y[:, None]

    def _axes(self, shapes) -> tuple[int, int]:
        axes = self.axes if isinstance(self.axes, (list, tuple)) else (self.axes, self.axes)
        if len(axes) != 2:
            raise SettingError(f"Dot: `axes` is one axis for both inputs, or one for each; got {self.axes!r}.")
        return tuple(row_axis(self, "axes", axis, shape) for axis, shape in zip(axes, shapes, strict=True))

    def compute_mask(self, inputs, mask):
        return None


_OPERATORS = {
    "add": python.add, "subtract": python.sub, "multiply": python.mul, "divide": python.truediv, "power": python.pow,
    "matmul": python.matmul, "negative": python.neg, "absolute": abs, "getitem": python.getitem,
}


class Operation(Layer):
    """An operator on arrays as a layer: what `x + y`, `2 * x`, `x ** 2`, `-x`, `x @ y` or `x[:, 0]` on symbols record.

        y = left operator right

    Shapes: both alike, with axes of size 1 repeated; for `"matmul"` as for `@`, for `"getitem"` as for slices.

    Args:
        operator: `"add"`, `"subtract"`, `"multiply"`, `"divide"`, `"power"`, `"matmul"`, `"negative"`, `"absolute"` or
            `"getitem"`.
        left, right: a number or an array that stands on that side; the sides left out are the inputs of the layer.

    Example:
        >>> import numpy as np
        >>> Operation("subtract", left=1.0)(np.array([[3.0, 4.0]])).tolist()
        [[-2.0, -3.0]]
    """

    operator: str
    left: Any = None
    right: Any = None

    supports_masking = True

    @property
    def each_step(self) -> bool:
        """Whether it treats each step of a sequence by itself: entry by entry, with nothing that has a time axis."""
        is_alike = all(side is None or np.ndim(side) < 2 for side in (self.left, self.right))
        return self.operator not in ("matmul", "getitem") and is_alike

    def __post_init__(self):
        if self.operator not in _OPERATORS:
            raise UnknownNameError(f"There is no operator {self.operator!r}. {did_you_mean(self.operator, _OPERATORS)}")

    def build(self, input_shape):
        if self.operator == "getitem":
            return _check_index(_index(self.right), input_shape)
        if isinstance(input_shape, list):
            shapes = input_shapes(self, input_shape, exactly=2)
            if self.operator != "matmul":
                check_alike(self, shapes)
            elif min(map(len, shapes)) < 3:
                raise ShapeError(
                    f"Operation('matmul') multiplies the matrices of each row, (batch, ..., a, b) and (batch, ..., b, "
                    f"c); got {format_shape(shapes[0])} and {format_shape(shapes[1])}. Use a Dot layer for vectors.")

    def call(self, inputs):
        operands = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        if self.operator == "getitem":
            return operands[0][_index(self.right)]
        dtype = operands[0].dtype if jnp.issubdtype(operands[0].dtype, jnp.floating) else None
        for place, fixed in ((0, self.left), (1, self.right)):
            if fixed is not None:
                operands.insert(place, jnp.asarray(fixed, dtype) if hasattr(fixed, "__array__") else fixed)
        return _OPERATORS[self.operator](*operands)

    def compute_mask(self, inputs, mask):
        return None if self.operator in ("getitem", "matmul") else either(mask)

    @property
    def default_name(self) -> str:
        """What the layer is called in a network where it has no name."""
        return self.operator


def _check_index(index, shape) -> None:
    """Raise where an index touches the batch axis or lies outside of a known one."""
    items = index if isinstance(index, tuple) else (index,)
    counted = [item for item in items if item is not None and item is not Ellipsis]
    if items[0] != slice(None) and (items[0] is not Ellipsis or len(counted) >= len(shape)):
        raise SettingError("An index on a symbol leaves the batch axis whole: write x[:, 0], not x[0]. Rows are picked "
                           "where the data are.")
    try:
        np.broadcast_to(0, [1 << 20 if size is None else size for size in shape])[index]  # takes no memory
    except IndexError as error:
        raise ShapeError(f"A symbol of shape {format_shape(shape)} cannot be indexed so: {error}.") from error


def plain_index(index):
    """An index as plain data: slices as dicts of their parts, `...` as text."""
    if isinstance(index, tuple):
        return [plain_index(item) for item in index]
    if isinstance(index, slice):
        return {"start": index.start, "stop": index.stop, "step": index.step}
    if index is Ellipsis:
        return "..."
    if index is None or (hasattr(index, "__index__") and not isinstance(index, bool)):
        return index if index is None else int(index)
    raise SettingError(
        f"A symbol is indexed by integers, slices, None and ...; got {index!r} ({type(index).__name__}). Use a Lambda "
        f"layer for other ways.")


def _index(plain):
    """What `plain_index` was given."""
    if isinstance(plain, list):
        return tuple(_index(item) for item in plain)
    if isinstance(plain, dict):
        return slice(plain["start"], plain["stop"], plain["step"])
    return Ellipsis if plain == "..." else plain


def input_shapes(layer, input_shape, exactly: int | None = None) -> list[tuple]:
    """The shapes of several inputs; an error where the layer was called on one."""
    several = isinstance(input_shape, (list, tuple)) and all(isinstance(shape, (list, tuple)) for shape in input_shape)
    wanted = f"{exactly} inputs" if exactly else "inputs"
    if not several:
        raise ShapeError(f"{type(layer).__name__} takes a list of {wanted}; got one, of shape "
                         f"{format_shape(input_shape)}. Write {type(layer).__name__}(...)([x1, x2]).")
    if not input_shape or (exactly and len(input_shape) != exactly):
        raise ShapeError(f"{type(layer).__name__} takes a list of {wanted}; got {len(input_shape)}.")
    return [tuple(shape) for shape in input_shape]


def check_alike(layer, shapes) -> None:
    """Raise where shapes do not go together entry by entry: the same number of axes, sizes equal or 1."""
    for (index, first), (other, second) in itertools.combinations(enumerate(shapes), 2):
        fits = len(first) == len(second) and all(
            1 in pair or pair[0] == pair[1] for pair in zip(first, second, strict=True))
        if not fits:
            label = f"Operation({layer.operator!r})" if isinstance(layer, Operation) else type(layer).__name__
            raise ShapeError(
                f"{label} takes inputs of one shape: input {index} has {format_shape(first)}, input {other} has "
                f"{format_shape(second)}. Sizes must agree or be 1; a Dense or Reshape layer before it makes them so.")


def either(masks):
    """The mask of a combination: real where any of the inputs is; none where an input has none."""
    if not isinstance(masks, (list, tuple)):
        return masks
    if any(mask is None for mask in masks):
        return None
    return functools.reduce(jnp.logical_or, masks)
