"""The arrays of all members: where a population keeps them between fits."""
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from chainrule.devices import to_device
from chainrule.layers.binding import Tree


@dataclass
class Store:
    """Weights, state and optimiser state of all members, NumPy arrays with members in front.

    Attributes:
        weights, state: of the networks.
        optimizer: the optimiser's state; `None` before the first step.
    """

    weights: Tree
    state: Tree
    optimizer: Any = None

    @classmethod
    def of(cls, each: list[tuple[Tree, Tree]]) -> "Store":
        """The store of members whose weights and state are given."""
        weights, state = (jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)
                          for trees in zip(*each, strict=True))
        return cls(weights, state)

    def take(self, members: np.ndarray) -> tuple[Tree, Tree, Any]:
        """Copies of the arrays of some members, on the device."""
        return jax.tree.map(lambda array: to_device(array[members]), (self.weights, self.state, self.optimizer))

    def variables(self, member: int) -> tuple[Tree, Tree, Any]:
        """The arrays of one member, on the device."""
        return jax.tree.map(lambda array: to_device(array[member]), (self.weights, self.state, self.optimizer))

    def put(self, members: np.ndarray, weights: Tree, state: Tree, optimizer=None, places=None) -> None:
        """Take in the arrays of some members: those at `places` of the given ones, by default all."""
        def put(array, new):
            array[members] = np.asarray(new) if places is None else np.asarray(new)[places]

        jax.tree.map(put, self.weights, weights)
        jax.tree.map(put, self.state, state)
        if optimizer is not None:
            jax.tree.map(put, self.optimizer, optimizer)

    def begin(self, optimizer) -> None:
        """Take in the optimiser's state of all members before their first step."""
        self.optimizer = jax.tree.map(np.array, optimizer)

    def copy(self, source: int, target: int) -> None:
        """Give a member the arrays of another, training included."""
        for tree in (self.weights, self.state, self.optimizer):
            for array in jax.tree.leaves(tree):
                array[target] = array[source]

    def taken(self, members) -> "Store":
        """A store of some members."""
        return Store(*jax.tree.map(lambda array: array[members], (self.weights, self.state, self.optimizer)))
