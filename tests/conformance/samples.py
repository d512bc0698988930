"""Targets and outputs for losses and metrics, of the kind that each compares."""
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule import activations, constraints, initializers, layers, losses, metrics, optimizers, regularizers, schedules

ROWS = 6
REGISTRIES = {module.registry.kind: module.registry for module in (
    activations, constraints, initializers, layers, losses, metrics, optimizers, regularizers, schedules)}


class Comparison(NamedTuple):
    """A loss or a metric, and what it is tried on.

    Attributes:
        make: makes it.
        shape: of one row of output.
        positive: whether outputs and targets must be above 0.
    """

    make: Callable[[], Any]
    shape: tuple[int, ...]
    positive: bool = False

    def sample(self, rows: int = ROWS, seed: int = 0, dtype: str = "float32"):
        """Targets and outputs."""
        draw, made = np.random.default_rng(seed), self.make()
        shape = (rows, *self.shape)
        y_pred = draw.normal(size=shape)
        kind = made.target_kind
        if self.positive:
            y_pred = np.exp(y_pred)
        elif made.expects == "probabilities" and kind == "binary":
            y_pred = 0.5 + np.arctan(y_pred) / 4
        elif made.expects == "probabilities":
            y_pred = np.exp(y_pred) / np.exp(y_pred).sum(made.class_axis, keepdims=True)
        target_shape = made.target_shape(shape) or shape
        if kind == "labels":
            y_true = draw.integers(0, shape[made.class_axis], target_shape)
        elif kind == "binary":
            y_true = draw.integers(0, 2, target_shape)
        elif kind == "signs":
            y_true = draw.choice([-1, 1], target_shape)
        elif kind == "one_hot":
            y_true = np.moveaxis(np.eye(shape[made.class_axis])[draw.integers(
                0, shape[made.class_axis], np.delete(shape, made.class_axis))], -1, made.class_axis)
        else:
            y_true = draw.normal(size=target_shape)
        return np.abs(y_true) if self.positive else y_true, y_pred.astype(dtype)
