"""Evaluation and prediction by all members at once, and what is made of many predictions."""
import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chainrule.devices import compiled
from chainrule.errors import SettingError, did_you_mean, shortened
from chainrule.layers.binding import Tree, apply
from chainrule.training.batches import Batches
from chainrule.training.objective import Batch, Objective
from chainrule.training.predict import bucket, concatenate, default_batch_size, fixed_batch_size, goes_on
from chainrule.training.program import Numbers

_REDUCTIONS = ("mean", "mean_std", "median", "vote")
_FEWEST_ROWS = 32


@dataclass(frozen=True, eq=False)
class MemberEvaluation:
    """The figures of members over data."""

    objective: Objective
    batches: Batches
    axes: Batch
    deterministic: bool = False

    @functools.cached_property
    def figures(self):
        """The figures by name, one value a member."""
        objective, batches = self.objective, self.batches

        def one(weights, state, numbers: Numbers, data: Batch):
            _, sums = objective.evaluate(weights, state, data, batches, objective.zeros(batches), 0, batches.steps,
                                         loss_weights=numbers.loss_weights, settings=numbers.settings)
            return objective.results(sums, numbers.loss_weights)

        return compiled(jax.vmap(one, in_axes=(0, 0, 0, self.axes)), self.deterministic)


class MemberPredictor:
    """The outputs of members for any number of rows, by a bounded number of compiled programs."""

    def __init__(self, network, dtype: str, deterministic: bool = False):
        self.network, self.goes_on, self.fixed = network, goes_on(network), fixed_batch_size(network)

        def one(weights, state, settings, x):
            outputs, call = apply(network, weights, state, (x,), dtype=dtype, settings=settings)
            return outputs, call.new_state if self.goes_on else None

        self.compiled = compiled(jax.vmap(one, in_axes=(0, 0, 0, None)), deterministic)

    def __call__(self, weights: Tree, state: Tree, settings: dict[str, Any], x, batch_size: int | None) -> Any:
        """The outputs, arrays `(members, rows, ...)` in the structure of the network's."""
        count, members = len(jax.tree.leaves(x)[0]), len(jax.tree.leaves((weights, state))[0])
        size = batch_size or self.fixed or max(bucket(default_batch_size(self.network) // members), _FEWEST_ROWS)
        parts = []
        for start in range(0, count, size):
            rows = jax.tree.map(lambda leaf, start=start: leaf[start : start + size], x)
            real = len(jax.tree.leaves(rows)[0])
            wanted = real if self.fixed else min(bucket(real), size)
            if wanted > real:
                rows = jax.tree.map(lambda leaf, more=wanted - real: np.concatenate(
                    [leaf, np.repeat(leaf[-1:], more, axis=0)]), rows)
            outputs, new_state = self.compiled(weights, state, settings, rows)
            state = new_state if self.goes_on else state
            parts.append(jax.tree.map(lambda leaf, real=real: np.moveaxis(np.asarray(leaf)[:, :real], 0, 1), outputs))
        return jax.tree.map(lambda leaf: np.ascontiguousarray(np.moveaxis(leaf, 1, 0)), concatenate(parts))


def check_reduction(reduce) -> None:
    """Raise where `reduce` is none of the ways to join predictions."""
    if reduce is None or (isinstance(reduce, str) and reduce in _REDUCTIONS):
        return
    quantiles = [reduce] if np.ndim(reduce) == 0 else reduce
    if isinstance(reduce, (str, bool)) or not all(
            isinstance(part, (int, float, np.number)) and 0 <= part <= 1 for part in quantiles):
        hint = f" {did_you_mean(reduce, _REDUCTIONS)}" if isinstance(reduce, str) else ""
        raise SettingError(f"reduce is None, 'mean', 'mean_std', 'median', 'vote', or one or several quantiles between "
                           f"0 and 1; got {shortened(reduce)}.{hint}")


def reduced(outputs, reduce):
    """Predictions of all members as one: see `Population.predict`."""
    if reduce is None:
        return outputs
    if reduce == "mean":
        return jax.tree.map(lambda stack: stack.mean(0), outputs)
    if reduce == "mean_std":
        return jax.tree.map(lambda stack: stack.mean(0), outputs), jax.tree.map(lambda stack: stack.std(0), outputs)
    if reduce == "median":
        return jax.tree.map(lambda stack: np.median(stack, 0), outputs)
    if reduce == "vote":
        return jax.tree.map(vote, outputs)
    return jax.tree.map(lambda stack: np.quantile(stack, reduce, 0).astype(stack.dtype), outputs)


def vote(stack: np.ndarray) -> np.ndarray:
    """The class that most members choose, ties decided by the mean of their outputs.

    Shapes: `(members, ..., classes)`, or `(members, ..., 1)` of probabilities of the second of two classes, to `(...)`.

    Example:
        >>> vote(np.array([[[0.9, 0.1]], [[0.4, 0.6]], [[0.2, 0.8]]])).tolist()
        [1]
    """
    if stack.shape[-1] == 1:
        stack = np.concatenate([1 - stack, stack], axis=-1)
    classes = stack.shape[-1]
    votes = (stack.argmax(-1)[..., None] == np.arange(classes)).sum(0)
    best = votes == votes.max(-1, keepdims=True)
    return np.where(best, stack.mean(0), -np.inf).argmax(-1)


def used_settings(objective: Objective, weights: Tree, state: Tree, batch: Batch, settings: dict[str, Any]) -> set[str]:
    """Which of some settings by path the loss of a batch depends on, seen by tracing it.

    Raises:
        SettingError: the network asks for the value of one while it is traced, so that no program can serve several.
    """
    def loss(settings):
        return objective.measure(weights, state, batch, objective.zeros(training=True),
                                 key=jnp.zeros(2, jnp.uint32), training=True, settings=settings)[0]

    try:
        traced = jax.make_jaxpr(loss)(settings).jaxpr
    except jax.errors.ConcretizationTypeError as error:
        for name in settings if len(settings) > 1 else ():
            used_settings(objective, weights, state, batch, {name: settings[name]})
        raise SettingError(f"Members cannot differ in {next(iter(settings))!r}: what the network computes is decided "
                           f"by its value before the program runs. Make a population of each value.") from error
    read = {id(variable) for equation in traced.eqns for variable in equation.invars} | {
        id(variable) for variable in traced.outvars}
    return {name for name, variable in zip(sorted(settings), traced.invars, strict=True) if id(variable) in read}
