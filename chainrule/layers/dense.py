"""Fully connected layers, and activation functions as layers."""
from typing import Any

from chainrule import activations, regularizers
from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.base import Layer


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
    activity_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None

    supports_masking = True

    def __post_init__(self):
        check_count(self, "units", self.units)
        prepare_activation(self)
        prepare_activity_regularizer(self)

    def build(self, input_shape):
        inputs = known_last_axis(self, input_shape)
        self.kernel = self.add_weight((inputs, self.units), self.kernel_initializer,
                                      regularizer=self.kernel_regularizer, constraint=self.kernel_constraint)
        if self.use_bias:
            self.bias = self.add_weight((self.units,), self.bias_initializer, regularizer=self.bias_regularizer,
                                        constraint=self.bias_constraint)

    def call(self, x):
        y = x @ self.kernel
        if self.use_bias:
            y = y + self.bias
        return self._activate(y)


class Activation(Layer):
    """An activation function as a layer: `y = activation(x)`, any shape.

    Args:
        activation: a name (`"relu"`, `"softmax"`, ...) or a function on arrays.

    Example:
        >>> import numpy as np
        >>> Activation("relu")(np.array([[-1.0, 2.0]])).tolist()
        [[0.0, 2.0]]
    """

    activation: Any

    supports_masking = True

    def __post_init__(self):
        prepare_activation(self)

    def call(self, x):
        return self._activate(x)


def prepare_activation(layer) -> None:
    """Look the layer's activation up once, so that an unknown name is an error where the layer is written."""
    layer._activate = activations.get("linear" if layer.activation is None else layer.activation)


def prepare_activity_regularizer(layer) -> None:
    """Turn a name into a regulariser."""
    if layer.activity_regularizer is not None:
        layer.activity_regularizer = regularizers.get(layer.activity_regularizer)


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

