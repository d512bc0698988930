"""Shortcuts around layers."""
from typing import Any

from chainrule.errors import SettingError, ShapeError
from chainrule.layers.base import Layer


class Residual(Layer):
    """Layers whose output is added to their input: `y = shortcut(x) + f(x)`, where `f` is the layers one after another.

    Shapes: input and output of `f` alike, or the shortcut brings the input to the output's shape.

    Args:
        layers: the layers of `f`, in order.
        shortcut: a layer on the way around; none by default, `y = x + f(x)`.

    Reference: He et al., Deep Residual Learning for Image Recognition (2015).

    Example:
        >>> import numpy as np
        >>> from chainrule.layers import Dense
        >>> block = Residual([Dense(8, activation="relu"), Dense(3)], shortcut=Dense(3, use_bias=False))
        >>> block(np.ones((2, 4), "float32")).shape
        (2, 3)
    """

    layers: Any
    shortcut: Layer | None = None

    supports_masking = True

    def __post_init__(self):
        self.layers = [self.layers] if isinstance(self.layers, Layer) else list(self.layers)
        for layer in [*self.layers, *([] if self.shortcut is None else [self.shortcut])]:
            if not isinstance(layer, Layer):
                hint = " Write it with parentheses: Dense(10)." if isinstance(layer, type) else ""
                raise SettingError(f"Residual is made of layers; got {layer!r}.{hint}")

    def call(self, x):
        y = x
        for layer in self.layers:
            y = layer(y)
        around = x if self.shortcut is None else self.shortcut(x)
        if around.shape != y.shape:
            raise ShapeError(
                f"Residual adds what goes around the layers to what comes out of them: rows of shape "
                f"{around.shape[1:]} and {y.shape[1:]} do not fit. Let the last layer keep the shape, or give a "
                f"shortcut that changes it: Residual(layers, shortcut=Dense({y.shape[-1]}, use_bias=False)).")
        return around + y
