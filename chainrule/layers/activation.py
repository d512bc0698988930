"""Activation functions as layers."""
import functools
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp

from chainrule import activations
from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.base import Layer
from chainrule.layers.regularisation import check_not_negative, required_key
from chainrule.ops import random

# Not the sigmoid, whose input a cross-entropy asks for (docs/decisions/0005).
_FUSED = MappingProxyType({activations.linear: "linear", activations.relu: "relu", activations.tanh: "tanh",
                           activations.elu: "elu"})


class Activation(Layer):
    """An activation function as a layer: `y = activation(x)`.

    Shapes: any; the output has that of the input.

    Args:
        activation: a name (`"relu"`, `"softmax"`, ...) or a function on arrays.

    Reference: Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.3.

    Example:
        >>> import numpy as np
        >>> Activation("relu")(np.array([[-1.0, 2.0]])).tolist()
        [[0.0, 2.0]]
    """

    activation: Any

    supports_masking = True
    each_step = True

    def __post_init__(self):
        prepare_activation(self)

    def call(self, x):
        return self._activate(x)


class ReLU(Layer):
    """The rectified linear unit, with a slope below, a threshold and a ceiling where wanted.

        y = max_value                        where x >= max_value
        y = x                                where threshold < x < max_value
        y = negative_slope * (x - threshold) elsewhere

    Shapes: any; the output has that of the input.

    Args:
        max_value: the ceiling; none by default.
        negative_slope: the slope below the threshold.
        threshold: where the function switches on.

    Reference: Nair and Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines (2010).

    Example:
        >>> import numpy as np
        >>> ReLU(max_value=6)(np.array([[-1.0, 2.0, 8.0]])).tolist()
        [[0.0, 2.0, 6.0]]
    """

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0

    supports_masking = True
    each_step = True

    def __post_init__(self):
        for setting in ("max_value", "negative_slope", "threshold"):
            if setting != "max_value" or self.max_value is not None:
                check_not_negative(self, setting, getattr(self, setting))

    def call(self, x):
        above = x if self.max_value is None else jnp.minimum(x, self.max_value)
        flat = isinstance(self.negative_slope, (int, float)) and self.negative_slope == 0
        below = 0 if flat else self.negative_slope * (x - self.threshold)  # 0 * -1 would be -0, and 0 * inf NaN
        return jnp.where(x > self.threshold, above, below)


class LeakyReLU(Layer):
    """A rectified linear unit that lets a share of negative values through.

        y = x where x > 0, negative_slope * x elsewhere

    Shapes: any; the output has that of the input.

    Args:
        negative_slope: the slope below 0.

    Reference: Maas, Hannun and Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models (2013).

    Example:
        >>> import numpy as np
        >>> LeakyReLU(0.5)(np.array([[-2.0, 2.0]])).tolist()
        [[-1.0, 2.0]]
    """

    negative_slope: float = 0.3

    supports_masking = True
    each_step = True

    def __post_init__(self):
        check_not_negative(self, "negative_slope", self.negative_slope)

    def call(self, x):
        return jnp.where(x > 0, x, self.negative_slope * x)


class PReLU(Layer):
    """A rectified linear unit that learns its slopes below 0.

        y = x where x > 0, alpha * x elsewhere

    Shapes: `(batch, ...)` to the same; alpha has the shape of a row, with size 1 on shared axes.

    Args:
        alpha_initializer: how the slopes start.
        alpha_regularizer: a penalty on them.
        alpha_constraint: a projection after each update.
        shared_axes: axes along which one slope serves all, counted with the batch axis as 0: `[1, 2]` for one slope a
            channel of images.

    Reference: He et al., Delving Deep into Rectifiers (2015).

    Example:
        >>> import numpy as np
        >>> PReLU(alpha_initializer="ones")(np.array([[-2.0, 2.0]])).tolist()
        [[-2.0, 2.0]]
    """

    alpha_initializer: Any = "zeros"
    alpha_regularizer: Any = None
    alpha_constraint: Any = None
    shared_axes: Any = None

    supports_masking = True

    def build(self, input_shape):
        shared = (self.shared_axes,) if isinstance(self.shared_axes, int) else tuple(self.shared_axes or ())
        shared = {row_axis(self, "shared_axes", axis, input_shape) for axis in shared}
        sizes = [1 if axis in shared else size for axis, size in enumerate(input_shape)][1:]
        if None in sizes:
            raise ShapeError(
                f"PReLU has one slope for each entry of a row, and the sizes of {format_shape(input_shape)} are not "
                f"all known. Give them in Input(shape=...), or share the slopes of the open axes: shared_axes="
                f"{[axis for axis, size in enumerate(input_shape) if axis and size is None]}.")
        self.alpha = self.add_weight(sizes, self.alpha_initializer, regularizer=self.alpha_regularizer,
                                     constraint=self.alpha_constraint)

    def call(self, x):
        return jnp.where(x > 0, x, self.alpha * x)


class RReLU(Layer):
    """A rectified linear unit whose slope below 0 is drawn anew for each entry in training, and is the mean outside.

        y = x where x > 0, a * x elsewhere,   a ~ Uniform(lower, upper) in training, (lower + upper) / 2 outside

    Shapes: any; the output has that of the input.

    Args:
        lower, upper: the range of slopes.
        seed: tells this layer's random numbers from those of another run.

    Reference: Xu et al., Empirical Evaluation of Rectified Activations in Convolutional Network (2015).

    Example:
        >>> import numpy as np
        >>> RReLU(0.25, 0.75)(np.array([[-2.0, 2.0]])).tolist()
        [[-1.0, 2.0]]
    """

    lower: float = 1 / 8
    upper: float = 1 / 3
    seed: int | None = None

    supports_masking = True
    each_step = True

    def __post_init__(self):
        if not 0 <= self.lower <= self.upper:
            raise SettingError(f"RReLU: the slopes lie between `lower` and `upper`, 0 <= lower <= upper; got "
                               f"lower={self.lower!r}, upper={self.upper!r}.")

    def call(self, x, training, key):
        if training:
            slope = random.uniform(required_key(self, key), x.shape, x.dtype, self.lower, self.upper)
        else:
            slope = (self.lower + self.upper) / 2
        return jnp.where(x > 0, x, slope * x)


class ELU(Layer):
    """The exponential linear unit.

        y = x where x > 0, alpha * (exp(x) - 1) elsewhere

    Shapes: any; the output has that of the input.

    Args:
        alpha: the value approached at minus infinity, negated.

    Reference: Clevert, Unterthiner and Hochreiter, Fast and Accurate Deep Network Learning by ELUs (2015).

    Example:
        >>> import numpy as np
        >>> ELU()(np.array([[-1.0, 2.0]])).round(3)
        Array([[-0.632,  2.   ]], dtype=float32)
    """

    alpha: float = 1.0

    supports_masking = True
    each_step = True

    def call(self, x):
        return activations.elu(x, self.alpha)


class SELU(Layer):
    """The self-normalising exponential linear unit.

        y = 1.0507 * x where x > 0, 1.0507 * 1.67326 * (exp(x) - 1) elsewhere

    Shapes: any; the output has that of the input.

    Reference: Klambauer et al., Self-Normalizing Neural Networks (2017).

    Example:
        >>> import numpy as np
        >>> SELU()(np.array([[2.0]])).round(4)
        Array([[2.1014]], dtype=float32)
    """

    supports_masking = True
    each_step = True

    def call(self, x):
        return activations.selu(x)


class GELU(Layer):
    """The Gaussian error linear unit, `y = x * P(X <= x)` for a standard normal `X`.

    Shapes: any; the output has that of the input.

    Args:
        approximate: whether `tanh` stands in for the error function.

    Reference: Hendrycks and Gimpel, Gaussian Error Linear Units (2016).

    Example:
        >>> import numpy as np
        >>> GELU()(np.array([[0.0, 10.0]])).tolist()
        [[0.0, 10.0]]
    """

    approximate: bool = False

    supports_masking = True
    each_step = True

    def call(self, x):
        return activations.gelu(x, self.approximate)


class Softmax(Layer):
    """Shares that are positive and sum to 1 along an axis.

        y[i] = exp(x[i]) / sum over j of exp(x[j])

    Where a mask is given, its entries that are `False` get a share of 0.

    Shapes: any; the output has that of the input.

    Args:
        axis: the axis, or a list of axes.

    Reference: Bridle, Probabilistic Interpretation of Feedforward Classification Network Outputs (1990).

    Example:
        >>> import numpy as np
        >>> Softmax()(np.array([[0.0, 0.0, 5.0]]), mask=np.array([[True, True, False]])).tolist()
        [[0.5, 0.5, 0.0]]
    """

    axis: Any = -1

    supports_masking = True

    @property
    def each_step(self) -> bool:
        """Whether it treats each step of a sequence by itself."""
        return self.axis in (-1, [-1], (-1,))

    def __post_init__(self):
        axis = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        # Over the last axis the very function by name, so that a cross-entropy finds what went into it.
        self._activate = activations.softmax if axis == -1 else functools.partial(activations.softmax, axis=axis)

    def call(self, x, mask):
        if mask is None:
            return self._activate(x)
        mask = _fitting(jnp.asarray(mask, bool), x.shape)
        lowest = jnp.finfo(x.dtype).min  # finite, so that a sum over nothing is not NaN
        return jnp.where(mask, self._activate(jnp.where(mask, x, lowest)), 0)


def _fitting(mask, shape):
    """A mask with axes of size 1 to fit an array: one a step, `(batch, time)`, or one that broadcasts."""
    if mask.shape == shape[: mask.ndim]:
        return mask.reshape(mask.shape + (1,) * (len(shape) - mask.ndim))
    offset = len(shape) - mask.ndim
    if offset < 0 or any(size not in (1, shape[offset + axis]) for axis, size in enumerate(mask.shape)):
        raise ShapeError(f"Softmax: a mask of shape {format_shape(mask.shape)} does not fit an input of shape "
                         f"{format_shape(shape)}. Give a mask of that shape, or with axes of size 1.")
    return mask


def prepare_activation(layer) -> None:
    """Look the layer's activation up once, so that an unknown name is an error where the layer is written."""
    layer._activate = activations.get("linear" if layer.activation is None else layer.activation)


def fused_name(layer) -> str | None:
    """The name by which kernels know the activation of a bound layer, where they can have it in their own pass."""
    return _FUSED.get(vars(layer._origin)["_activate"]) if layer._bound.fuses else None


def row_axis(layer, setting: str, axis, shape) -> int:
    """An axis of a row as a positive number, counted with the batch axis as 0."""
    if isinstance(axis, bool) or not hasattr(axis, "__index__") or not -len(shape) < axis < len(shape) or axis == 0:
        raise SettingError(
            f"{type(layer).__name__}: `{setting}` names axes of a row, from 1 to {len(shape) - 1} or from "
            f"-{len(shape) - 1} to -1 for inputs of shape {format_shape(shape)} (0 is the batch); got {axis!r}.")
    return axis % len(shape)
