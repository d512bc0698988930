"""What the suites share: targets and outputs for losses and metrics, and the check of a gradient."""
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from chainrule import (
    activations,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
)

ROWS = 6
REGISTRIES = {module.registry.kind: module.registry for module in (
    activations, constraints, initializers, layers, losses, metrics, optimizers, regularizers, schedules)}


class Comparison(NamedTuple):
    """A loss or a metric, and what it is tried on.

    Attributes:
        make: makes it.
        shape: of one row of output.
        positive: whether outputs and targets must be above 0.
        target: what targets consist of, where it does not say so itself.
    """

    make: Callable[[], Any]
    shape: tuple[int, ...]
    positive: bool = False
    target: str | None = None

    @property
    def axis(self) -> int:
        """The axis of the classes."""
        made = self.make()
        return getattr(made, "axis", None) or made.class_axis

    def sample(self, rows: int = ROWS, seed: int = 0, dtype: str = "float32"):
        """Targets and outputs."""
        draw, made = np.random.default_rng(seed), self.make()
        kind, axis, shape = self.target or made.target_kind, self.axis, (rows, *self.shape)
        y_pred = draw.normal(size=shape)
        if self.positive:
            y_pred = np.exp(y_pred)
        elif made.expects == "probabilities" and kind == "binary":
            y_pred = 0.5 + np.arctan(y_pred) / 4
        elif made.expects == "probabilities":
            y_pred = np.exp(y_pred) / np.exp(y_pred).sum(axis, keepdims=True)
        labels = draw.integers(0, shape[axis], np.delete(shape, axis))
        y_true = {
            "labels": lambda: labels,
            "one_hot": lambda: np.moveaxis(np.eye(shape[axis])[labels], -1, axis),
            "binary": lambda: draw.integers(0, 2, shape),
            "signs": lambda: draw.choice([-1, 1], shape),
        }.get(kind, lambda: draw.normal(size=made.target_shape(shape) or shape))()
        return np.abs(y_true) if self.positive else y_true, y_pred.astype(dtype)


def assert_gradient(function, arguments, step: float = 1e-6, tolerance: float = 1e-6) -> None:
    """Hold the gradient of a function against a central difference, in a random direction through all its arguments.

    For 64 bits. Of several outputs, a combination with different factors is taken, so that no two can be exchanged.
    """
    leaves, structure = jax.tree.flatten(arguments)
    draw = np.random.default_rng(0)
    direction = structure.unflatten([draw.normal(size=leaf.shape) for leaf in leaves])

    def combined(*arguments):
        outputs = jnp.concatenate([leaf.ravel() * 1.0 for leaf in jax.tree.leaves(function(*arguments))])
        return jnp.sum(outputs * jnp.cos(1.0 + jnp.arange(outputs.size)))

    @jax.jit
    def slopes(*arguments):
        gradient = jax.grad(combined, argnums=tuple(range(len(arguments))))(*arguments)
        along = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, tuple(direction))))
        moved = lambda by: jax.tree.map(lambda leaf, way: leaf + by * way, arguments, tuple(direction))
        return along, (combined(*moved(step)) - combined(*moved(-step))) / (2 * step)

    along, difference = slopes(*arguments)
    np.testing.assert_allclose(along, difference, rtol=tolerance, atol=tolerance)
