"""Evaluation and prediction outside of training: compiled once, for any number of rows."""
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from chainrule.devices import compiled
from chainrule.errors import SettingError
from chainrule.layers.binding import Tree, apply, walk
from chainrule.training.batches import Batches
from chainrule.training.objective import Batch, Objective

# The largest array between two layers that a batch of a prediction should make: it decides the default batch size.
ACTIVATION_ENTRIES = 1 << 24


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Metric sums over data, by batches."""

    objective: Objective
    batches: Batches
    deterministic: bool = False

    @functools.cached_property
    def part(self):
        """The state and the sums after the batches from `start` to `stop`, and the figures they give."""

        def add_batches(weights, state, loss_weights, data: Batch, sums, start, stop):
            state, sums = self.objective.evaluate(weights, state, data, self.batches, sums, start, stop,
                                                  loss_weights=loss_weights)
            return state, sums, self.objective.results(sums, loss_weights)

        return compiled(add_batches, self.deterministic)

    def parts(self, weights: Tree, state: Tree, loss_weights, data, one_by_one: bool = False) -> Iterator:
        """The steps to take over data or a stream: `(step, go)`, where `go()` gives the state and the figures so far.

        Args:
            one_by_one: whether to stop after every batch.
        """
        sums, step = self.start(), 0

        def go(stop):
            nonlocal state, sums
            there = data.at(np.zeros(2, np.uint32), 0, step) if self.batches.chunk else data
            state, sums, figures = self.part(weights, state, loss_weights, there, sums, np.int32(step), np.int32(stop))
            return state, figures

        while step < self.batches.steps:
            stop = step + 1 if one_by_one else self.batches.chunk_end(step)
            yield step, functools.partial(go, stop)
            step = stop

    def start(self) -> Tree:
        """The sums before any batch."""
        specs = jax.eval_shape(lambda: self.objective.zeros(self.batches))
        return jax.tree.map(lambda spec: np.zeros(spec.shape, spec.dtype), specs)


class Predictor:
    """The outputs of a network for any number of rows, by a bounded number of compiled programs.

    A batch that is not full is padded to the next power of two, so batches of up to `n` rows compile at most
    `log2(n) + 1` programs.

    Args:
        network: the layer that is evaluated.
        dtype: its precision.
        batch_size: how many rows at a time suit it.
        deterministic: whether the same rows give the same bytes on any device.
        members: whether the members of an ensemble are asked, `(rows, members, ...)`, in the place of their mean.

    Attributes:
        batch_size: as above.
        goes_on: whether a batch begins with the state that the one before ended with, as stateful layers say.
    """

    def __init__(self, network, dtype: str, batch_size: int, deterministic: bool = False, members: bool = False):
        self.batch_size = batch_size
        self.fixed = fixed_batch_size(network)
        self.goes_on = goes_on(network)

        def evaluate(weights, state, x):
            outputs, call = apply(network, weights, state, (x,), dtype=dtype)
            outputs = jax.tree.map(functools.partial(_members, call), outputs) if members else outputs
            return outputs, call.new_state if self.goes_on else None

        self.compiled = compiled(evaluate, deterministic)

    def __call__(self, weights: Tree, state: Tree, x) -> tuple[Any, Tree]:
        """The outputs for one batch, as NumPy arrays, and the state for the next."""
        count = len(x if isinstance(x, np.ndarray) else jax.tree.leaves(x)[0])
        rows = bucket(count) if self.fixed is None else count
        if rows != count:
            x = jax.tree.map(lambda leaf: _padded(leaf, rows), x)
        outputs, new_state = self.compiled(weights, state, x)
        if isinstance(outputs, jax.Array):  # as most are; a walk over the structure costs a tenth of a small network
            outputs = np.asarray(outputs)[:count]
        else:
            outputs = jax.tree.map(lambda leaf: np.asarray(leaf)[:count], outputs)
        return outputs, new_state if self.goes_on else state


def _members(call, output) -> jax.Array:
    """The members that an output was made of."""
    members = call.members_of(output)
    if members is None:
        raise SettingError("predict_members is for networks whose outputs come out of an EnsembleMean; this one's do "
                           "not all. `predict` gives its outputs.")
    return members


def goes_on(network) -> bool:
    """Whether a network has layers that begin a batch with the state that the one before ended with."""
    return any(getattr(layer, "stateful", False) for _, layer in walk(network))


def bucket(count: int) -> int:
    """The number of rows that a batch of `count` is padded to: the next power of two."""
    return 1 << max(count - 1, 0).bit_length()


def _padded(array: np.ndarray, rows: int) -> np.ndarray:
    """The array with its last row repeated up to a number of rows."""
    missing = rows - len(array)
    return array if not missing else np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])


def fixed_batch_size(model) -> int | None:
    """The rows that every batch must have, as an `Input(batch_size=...)` says; `None` where they are open."""
    graph = model.__dict__.get("_graph")
    symbols = [] if graph is None else jax.tree.leaves(graph.inputs)
    return next((symbol.shape[0] for symbol in symbols if symbol.shape[0] is not None), None)


def default_batch_size(model) -> int:
    """Rows of a batch whose largest activation stays small: a power of two from 32 to 4096."""
    graph = model.__dict__.get("_graph")
    if graph is None:
        return 32
    if (fixed := fixed_batch_size(model)) is not None:
        return fixed
    largest = max(int(np.prod([size or 128 for size in symbol.shape[1:]]))
                  for node in graph.nodes for symbol in jax.tree.leaves(node.outputs))
    fitting = max(ACTIVATION_ENTRIES // max(largest, 1), 1)
    return min(max(1 << fitting.bit_length() - 1, 32), 4096) if largest else 32


def concatenate(parts: list) -> Any:
    """The outputs of all batches as one structure of arrays."""
    if len(parts) == 1:
        return parts[0]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

