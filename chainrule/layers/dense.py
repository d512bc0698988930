"""Fully connected layers."""
import functools
import math
import re
from typing import Any

import jax.numpy as jnp

from chainrule import initializers
from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.activation import fused_name, prepare_activation
from chainrule.layers.base import Layer
from chainrule.ops.dense import dense


class Dense(Layer):
    """A fully connected layer: each output is a weighted sum of all inputs, a bias added, passed through an activation.

        y = activation(x @ kernel + bias)

    Shapes: `(batch, ..., inputs)` to `(batch, ..., units)`; kernel `(inputs, units)`, bias `(units,)`.

    Args:
        units: the number of outputs.
        activation: a name or a function on arrays; none by default.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: how the weights start.
        kernel_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        activity_regularizer: a penalty on the output, divided by the rows.
        kernel_constraint, bias_constraint: projections of the weights after each update.

    Reference: Rosenblatt, The Perceptron (1958); Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.

    Example:
        >>> import numpy as np
        >>> Dense(3)(np.ones((2, 4), "float32")).shape
        (2, 3)
    """

    units: int
    activation: Any = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None

    supports_masking = True
    each_step = True
    casts_weights = False  # the kernel casts them as it reads them

    def __post_init__(self):
        check_count(self, "units", self.units)
        prepare_activation(self)

    def build(self, input_shape):
        inputs = known_last_axis(self, input_shape)
        self.kernel = self.add_weight((inputs, self.units), self.kernel_initializer,
                                      regularizer=self.kernel_regularizer, constraint=self.kernel_constraint)
        if self.use_bias:
            self.bias = self.add_weight((self.units,), self.bias_initializer, regularizer=self.bias_regularizer,
                                        constraint=self.bias_constraint)

    def call(self, x):
        dtype = self._bound.computed_dtype(self._origin)
        return dense(x, self.kernel, self.bias if self.use_bias else None, self._activate, fused_name(self), dtype)


class Maxout(Layer):
    """The largest of several linear maps for each output: an activation function that is learned.

        y[k] = max over j of (x @ kernel[:, j, k] + bias[j, k])

    Shapes: `(batch, ..., inputs)` to `(batch, ..., units)`; kernel `(inputs, pieces * units)`, bias
    `(pieces * units,)`, the pieces one behind another.

    Args:
        units: the number of outputs.
        pieces: the number of linear maps that compete for each.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: how the weights start.
        kernel_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        kernel_constraint, bias_constraint: projections of the weights after each update.

    Reference: Goodfellow et al., Maxout Networks (2013).

    Example:
        >>> import numpy as np
        >>> Maxout(3, pieces=2)(np.ones((2, 4), "float32")).shape
        (2, 3)
    """

    units: int
    pieces: int = 2
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None

    supports_masking = True
    each_step = True

    def __post_init__(self):
        check_count(self, "units", self.units)
        check_count(self, "pieces", self.pieces)

    def build(self, input_shape):
        inputs, outputs = known_last_axis(self, input_shape), self.pieces * self.units
        self.kernel = self.add_weight((inputs, outputs), self.kernel_initializer, regularizer=self.kernel_regularizer,
                                      constraint=self.kernel_constraint)
        if self.use_bias:
            self.bias = self.add_weight((outputs,), self.bias_initializer, regularizer=self.bias_regularizer,
                                        constraint=self.bias_constraint)

    def call(self, x):
        y = x @ self.kernel
        if self.use_bias:
            y = y + self.bias
        return y.reshape(*x.shape[:-1], self.pieces, self.units).max(-2)


class Bilinear(Layer):
    """A bilinear map of two inputs: each output is a weighted sum of all products of their entries.

        y[k] = activation(sum over i, j of x1[i] * kernel[i, j, k] * x2[j] + bias[k])

    Shapes: a list of `(batch, ..., n)` and `(batch, ..., m)` to `(batch, ..., units)`; kernel `(n, m, units)`, bias
    `(units,)`.

    Args:
        units: the number of outputs.
        activation: a name or a function on arrays; none by default.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: how the weights start.
        kernel_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        kernel_constraint, bias_constraint: projections of the weights after each update.

    Reference: Tenenbaum and Freeman, Separating Style and Content with Bilinear Models (2000).

    Example:
        >>> import numpy as np
        >>> Bilinear(3)([np.ones((2, 4), "float32"), np.ones((2, 5), "float32")]).shape
        (2, 3)
    """

    units: int
    activation: Any = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None

    each_step = True

    def __post_init__(self):
        check_count(self, "units", self.units)
        prepare_activation(self)

    def build(self, input_shape):
        if not isinstance(input_shape, (list, tuple)) or len(input_shape) != 2 or not all(
                isinstance(shape, (list, tuple)) for shape in input_shape):
            raise ShapeError("Bilinear takes a list of two inputs: Bilinear(units)([x1, x2]).")
        first, second = input_shape
        if len(first) != len(second) or tuple(first[:-1]) != tuple(second[:-1]):
            raise ShapeError(
                f"Bilinear takes two inputs that agree on all axes but the last; got {format_shape(first)} and "
                f"{format_shape(second)}.")
        sizes = known_last_axis(self, first), known_last_axis(self, second)
        self.kernel = self.add_weight((*sizes, self.units), self.kernel_initializer,
                                      regularizer=self.kernel_regularizer, constraint=self.kernel_constraint)
        if self.use_bias:
            self.bias = self.add_weight((self.units,), self.bias_initializer, regularizer=self.bias_regularizer,
                                        constraint=self.bias_constraint)

    def call(self, inputs):
        first, second = inputs
        y = jnp.einsum("...i,ijk,...j->...k", first, self.kernel, second)
        if self.use_bias:
            y = y + self.bias
        return self._activate(y)

    def compute_mask(self, inputs, mask):
        return None


class EinsumDense(Layer):
    """A fully connected layer along axes of one's choice, written as an Einstein summation.

        y = activation(einsum(equation, x, kernel) + bias)

    `"abc,cd->abd"` is `Dense`; `"...x,xy->...y"` leaves any number of axes in front; `"btd,dhk->bthk"` makes heads.
    Letters that the kernel shares with the input are summed over unless the output has them.

    Shapes: as the equation says; the kernel has the sizes of its letters.

    Args:
        equation: `"input,kernel->output"`, the batch being the first letter of input and output.
        output_shape: the sizes of a row of output, `None` where they are those of the input; without the axes of `...`.
        activation: a name or a function on arrays; none by default.
        bias_axes: the letters of the output along which there is a bias: `"d"`; none by default.
        kernel_initializer, bias_initializer: how the weights start.
        kernel_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        kernel_constraint, bias_constraint: projections of the weights after each update.

    Reference: Einstein, Die Grundlage der allgemeinen Relativitätstheorie (1916), for the notation.

    Example:
        >>> import numpy as np
        >>> EinsumDense("abc,cd->abd", output_shape=(None, 8), bias_axes="d")(np.ones((2, 3, 4), "float32")).shape
        (2, 3, 8)
    """

    equation: str
    output_shape: Any
    activation: Any = None
    bias_axes: str | None = None
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None

    @property
    def each_step(self) -> bool:
        """Whether it treats each step of a sequence by itself: its axis is not summed over, and has no weights."""
        taken, kernel, given = re.split(",|->", self.equation)
        if taken.startswith("."):  # the time axis may be among those that the equation leaves alone
            return given.startswith(".") and len(self._built_shape) - len(taken.replace(".", "")) > 1
        weighted = kernel + (self.bias_axes or "")
        return taken[1:2] not in ("", ".") and taken[1:2] == given[1:2] and taken[1] not in weighted

    def __post_init__(self):
        prepare_activation(self)
        if not re.fullmatch(r"(\.{3})?[A-Za-z]+(\.{3})?,[A-Za-z]+->(\.{3})?[A-Za-z]+(\.{3})?", self.equation):
            raise SettingError(f"EinsumDense: `equation` reads input,kernel->output, as in 'abc,cd->abd' or "
                               f"'...x,xy->...y'; got {self.equation!r}.")

    def build(self, input_shape):
        taken, kernel, given = re.split(",|->", self.equation)
        sizes = self._sizes(taken, given, input_shape)
        unknown = sorted(letter for letter in kernel if sizes.get(letter) is None)
        if unknown:
            raise ShapeError(
                f"EinsumDense({self.equation!r}) needs the sizes of {', '.join(unknown)} for its kernel; the input has "
                f"the shape {format_shape(input_shape)} and `output_shape` is {self.output_shape}.")
        start = initializers.get(self.kernel_initializer)
        if isinstance(start, _SCALED_BY_FANS):
            start = functools.partial(_start_as_matrix, start, kernel, given)
        self.kernel = self.add_weight([sizes[letter] for letter in kernel], start,
                                      regularizer=self.kernel_regularizer, constraint=self.kernel_constraint)
        if self.bias_axes:
            letters = given.replace(".", "")
            if not set(self.bias_axes) <= set(letters):
                raise SettingError(f"EinsumDense: `bias_axes` are letters of the output {given!r}; got "
                                   f"{self.bias_axes!r}.")
            behind = letters[min(map(letters.index, self.bias_axes)):]
            shape = [sizes[letter] if letter in self.bias_axes else 1 for letter in behind]
            elided = len(input_shape) - len(taken.replace(".", "")) if given.endswith("...") else 0
            self.bias = self.add_weight(shape + [1] * elided, self.bias_initializer,
                                        regularizer=self.bias_regularizer, constraint=self.bias_constraint)

    def call(self, x):
        y = jnp.einsum(self.equation, x, self.kernel)
        if self.bias_axes:
            y = y + self.bias
        return self._activate(y)

    def _sizes(self, taken: str, given: str, input_shape) -> dict[str, int | None]:
        """The size of each letter, from the input and from `output_shape`."""
        row = (self.output_shape,) if isinstance(self.output_shape, int) else tuple(self.output_shape)
        letters = taken.replace(".", "")
        axes = input_shape[len(input_shape) - len(letters):] if taken.startswith(".") else input_shape[: len(letters)]
        sizes = dict(zip(letters, axes, strict=False))
        outputs = given.replace(".", "")[0 if given.startswith(".") else 1:]
        if len(letters) > len(input_shape) or len(outputs) != len(row):
            raise ShapeError(
                f"EinsumDense({self.equation!r}) does not fit an input of shape {format_shape(input_shape)} and "
                f"output_shape={self.output_shape}: one size for each letter of the output {given!r} but the batch.")
        for letter, size in zip(outputs, row, strict=True):
            known = sizes.setdefault(letter, size)
            if None not in (known, size) and known != size:
                raise ShapeError(f"EinsumDense({self.equation!r}): the axis {letter} has size {known} in the input and "
                                 f"{size} in `output_shape`.")
        return sizes


_SCALED_BY_FANS = (initializers.VarianceScaling, initializers.GlorotUniform, initializers.GlorotNormal,
                   initializers.HeUniform, initializers.HeNormal, initializers.LecunUniform, initializers.LecunNormal)


def _start_as_matrix(initializer, kernel: str, given: str, key, shape, dtype):
    """A kernel of any rank with the fans of a matrix: from the letters that are summed to those that stay.

    By its shape alone the first axes would pass for the window of a convolution.
    """
    sizes = dict(zip(kernel, shape, strict=True))
    order = sorted(kernel, key=lambda letter: letter in given)
    inputs = math.prod(size for letter, size in sizes.items() if letter not in given)
    matrix = initializers.draw(initializer, key, (inputs, math.prod(shape) // inputs), dtype)
    return matrix.reshape([sizes[letter] for letter in order]).transpose([order.index(letter) for letter in kernel])


def check_count(layer, setting: str, value) -> None:
    """A setting that counts something must be a positive integer."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise SettingError(f"{type(layer).__name__}: `{setting}` must be a positive integer; got {value!r}.")


def known_last_axis(layer, input_shape) -> int:
    """The size of the last axis, which the weights depend on."""
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) < 2:
        raise ShapeError(
            f"{type(layer).__name__} takes rows with at least one feature axis, (batch, ..., features); got "
            f"{format_shape(input_shape)}. Use x[:, None] to make single numbers into rows of one feature.")
    if input_shape[-1] is None:
        raise ShapeError(
            f"{type(layer).__name__} needs the size of the last axis; got {format_shape(input_shape)}. Give the size "
            f"in Input(shape=...) or in the layer before.")
    return int(input_shape[-1])
