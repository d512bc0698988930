"""The gradient check: the engine's gradient beside differences of the loss, in 64 bits."""
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from chainrule.errors import NotFiniteError, SettingError, format_shape
from chainrule.layers.binding import Tree, frozen_paths, ordered_weights, path_number, seed_words
from chainrule.models import Model, check_whole
from chainrule.optimizers.base import flatten_with_paths
from chainrule.precision import precision
from chainrule.training import prepare
from chainrule.training.compiled import Compiled
from chainrule.training.objective import Objective, merge, split_frozen


@dataclass(frozen=True)
class WeightCheck:
    """One array of weights in a gradient check.

    Attributes:
        path: where it stands: `"dense_1/kernel"`.
        shape: its shape.
        entries: how many of its entries were checked.
        max_relative_error: the largest error among them, relative to the largest entry of the array's gradient.
        index: the entry with that error.
        gradient: the engine's derivative of the loss by that entry.
        difference: the quotient of differences for it.
    """

    path: str
    shape: tuple[int, ...]
    entries: int
    max_relative_error: float
    index: tuple[int, ...]
    gradient: float
    difference: float


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradients` found; printed, a table.

    Attributes:
        loss: the loss at the model's weights, penalties included.
        weights: one `WeightCheck` for each trained array, in the order of the model.
    """

    loss: float
    weights: tuple[WeightCheck, ...]

    @property
    def worst(self) -> WeightCheck:
        """The array with the largest error."""
        return max(self.weights, key=lambda weight: weight.max_relative_error)

    @property
    def max_relative_error(self) -> float:
        """The largest error of all."""
        return self.worst.max_relative_error

    def __str__(self) -> str:
        header = ("Weights", "Shape", "Checked", "Largest error", "at", "Gradient", "Difference")
        table = [header] + [
            (check.path, format_shape(check.shape), f"{check.entries:,}", f"{check.max_relative_error:.1e}",
             _index_text(check.index), f"{check.gradient:.6e}", f"{check.difference:.6e}") for check in self.weights]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        left = (0, 1, 4)
        lines = ["  ".join(cell.ljust(width) if column in left else cell.rjust(width)
                           for column, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
                 for row in table]
        rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
        last = (f"Largest relative error {self.max_relative_error:.1e}, at {self.worst.path}"
                f"{_index_text(self.worst.index)}")
        return "\n".join([lines[0], rule, *lines[1:], rule, last])


def check_gradients(model: Model, x, y, loss=None, *, seed: int = 0, step: float = 1e-6, entries: int = 200,
                    sample_weight=None, training: bool = False) -> GradientReport:
    """Hold the engine's gradient of the loss against differences of the loss, for every trained array of weights.

        difference[i] = (loss(w + step * e[i]) - loss(w - step * e[i])) / (2 * step)
        error[i] = |gradient[i] - difference[i]| / max over j of |gradient[j]|

    `i` and `j` run over the entries of one array, `e[i]` is 1 at entry `i`. Both sides are computed in 64 bits on a
    copy of the weights; the model, and what precision anything else has, stay as they are. Of two differences, with
    `step` and with `step / 10`, the nearer counts. A correct layer has errors below 1e-6, a wrong one near 1.

    A loss changes in rounding by about 2e-16 of itself, so differences say nothing about gradients that are a hundred
    million times smaller than it: errors are never taken relative to less than `2e-9 * |loss| / step`.

    At a kink (of a relu at 0, say) there is no derivative, and an error there is none of the layer's. It shows in few
    entries and depends on the data: try other rows, another seed for the weights, or a smaller step.

    Args:
        model: the model; its weights as they are, made from `seed` where it has none.
        x, y, sample_weight: some rows, as for `fit`; a dozen are enough.
        loss: as for `compile`; by default what the model was compiled with.
        seed: of the weights, of the entries that are picked, and of random layers in training.
        step: how far a weight is moved to either side.
        entries: how many entries of each array are checked, picked at random where there are more.
        training: whether layers behave as in training: dropout with the same draws on both sides, batch
            normalisation by the statistics of the rows.

    Returns:
        A `GradientReport`: `report.max_relative_error`, `report.weights`, and a table when printed.

    Raises:
        NotFiniteError: the loss at these weights is NaN or infinite.

    Reference: Goodfellow, Bengio, Courville, Deep Learning (2016), section 11.5.

    Example:
        >>> from chainrule.layers import Dense
        >>> from chainrule.models import Input, Sequential
        >>> model = Sequential([Input((2,)), Dense(3, activation="tanh"), Dense(1)])
        >>> report = check_gradients(model, np.eye(2), np.ones(2), loss="mse")
        >>> len(report.weights), report.max_relative_error < 1e-6
        (4, True)
    """
    if not isinstance(model, Model):
        raise SettingError(f"check_gradients takes a Model or a Sequential; got {model!r} ({type(model).__name__}).")
    if isinstance(step, bool) or not isinstance(step, (int, float)) or not 0 < step < 1:
        raise SettingError(f"step is how far a weight is moved, a number between 0 and 1; got {step!r}.")
    check_whole("entries", entries, minimum=1)
    chosen = model._require_compiled("check_gradients without a loss") if loss is None else Compiled(None, loss)
    model._ensure_built(x)
    weights, state = model.variables(seed)
    with precision("float64"):
        objective, batch = _problem(model, chosen, x, y, sample_weight)
        weights, state = jax.tree.map(_wide, (weights, state))
        trained, kept = split_frozen(weights, frozen_paths(model))
        if not trained:
            raise SettingError("The model has no trained weights, so there is no gradient to check.")
        sums, key = objective.zeros(), seed_words(seed)

        def value(trained: Tree):
            return objective.measure(merge(trained, kept), state, batch, sums, key=key, training=training)[0]

        order = [path for path, _ in ordered_weights(model)]
        return _compare(value, trained, order, seed, step, entries)


def _problem(model, chosen: Compiled, x, y, sample_weight) -> tuple[Objective, prepare.Batch]:
    """The objective and the rows, both in 64 bits, checked as `fit` checks them."""
    names, specs = model.output_names, model._output_leaves()
    x, y = prepare.input_arrays(model, x), prepare.target_arrays(model, y)
    shapes = [None if target is None else (None, *target.shape[1:]) for target in y]
    objective = chosen.objective(model, names, specs, shapes, "float64")
    if all(output.loss is None for output in objective.outputs):
        raise SettingError("There is no loss to differentiate. Give one and its targets: "
                           "check_gradients(model, x, y, loss='mse').")
    count = prepare.check_data(objective, specs, x, y)
    classes = [None] * len(names)
    return objective, prepare.make_batch(x, y, count, "float64", sample_weight, names=names, classes=classes)


def _wide(array):
    """Floating-point numbers in 64 bits; counters and the like as they are."""
    return jnp.asarray(array, "float64") if jnp.issubdtype(array.dtype, jnp.floating) else jnp.asarray(array)


def _compare(value, trained: Tree, order: list[str], seed: int, step: float, entries: int) -> GradientReport:
    """Gradient and differences of a function of weights, entry by entry; arrays are reported in the order given."""
    paths, arrays, _ = flatten_with_paths(trained)
    flat, restore = ravel_pytree(trained)
    picked = [_pick(array.size, entries, seed, path) for path, array in zip(paths, arrays, strict=True)]
    starts = np.cumsum([0, *(array.size for array in arrays)])
    places = np.concatenate([start + where for start, where in zip(starts[:-1], picked, strict=True)])

    @jax.jit
    def derivatives(flat, places):
        loss, gradient = jax.value_and_grad(lambda flat: value(restore(flat)))(flat)

        def differences(place):
            def quotient(step):
                above, below = flat.at[place].add(step), flat.at[place].add(-step)
                return (value(restore(above)) - value(restore(below))) / (above[place] - below[place])

            return lax.map(quotient, jnp.array([step, step / 10]))

        return loss, gradient, lax.map(differences, places)

    loss, gradient, differences = map(np.asarray, derivatives(flat, places))
    if not np.isfinite(loss):
        raise NotFiniteError(f"The loss is {loss} at these weights, so there is no gradient to check. Look at the data "
                             f"and at the outputs: inspect.activations(model, x).")
    smallest_scale = max(abs(loss), step) * 2e-9 / step
    checks, end = {}, 0
    for path, array, where, start in zip(paths, arrays, picked, starts[:-1], strict=True):
        begin, end = end, end + len(where)
        whole = gradient[start : start + array.size]
        if len(where):
            checks[path] = _check(path, array.shape, where, whole, differences[begin:end], smallest_scale)
    return GradientReport(float(loss), tuple(checks[path] for path in order if path in checks))


def _pick(size: int, entries: int, seed: int, path: str) -> np.ndarray:
    """The entries of an array that are checked: all, or a sample of its own."""
    if size <= entries:
        return np.arange(size)
    return np.sort(np.random.default_rng([seed, path_number(path)]).choice(size, entries, replace=False))


def _check(path: str, shape, where, gradient, differences, smallest_scale: float) -> WeightCheck:
    """Compare one array's entries. What is not finite is as wrong as can be."""
    distance = np.abs(gradient[where, None] - differences)
    distance[np.isnan(distance)] = np.inf
    nearer = distance.argmin(axis=1)
    differences, distance = (of_two[np.arange(len(where)), nearer] for of_two in (differences, distance))
    worst = distance.argmax()
    place, error, difference = where[worst], distance[worst], differences[worst]
    if np.isfinite(gradient).all():
        error /= max(np.abs(gradient).max(), np.abs(differences).max(), smallest_scale)
    else:
        place, error, difference = np.flatnonzero(~np.isfinite(gradient))[0], np.inf, np.nan
    index = tuple(int(axis) for axis in np.unravel_index(place, shape))
    return WeightCheck(path, tuple(shape), len(where), float(error), index, float(gradient[place]), float(difference))


def _index_text(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]"
