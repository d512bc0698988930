"""Symbols: arrays that are not there yet. Calling a layer on one records a node of a network."""
from dataclasses import dataclass, field
from typing import Any

import jax

from chainrule.errors import format_shape
from chainrule.layers.binding import infer_outputs


@dataclass(eq=False)
class Node:
    """One recorded call of a layer.

    Attributes:
        layer: the layer that was called.
        arguments: what it was called with, positional and by name, symbols in the place of arrays.
        outputs: the structure of symbols that came out.
    """

    layer: Any
    arguments: tuple[tuple, dict]
    outputs: Any = None

    def inputs(self) -> list["Symbol"]:
        """The symbols among the arguments, in order."""
        return [leaf for leaf in jax.tree.leaves(self.arguments) if isinstance(leaf, Symbol)]


@dataclass(eq=False)
class Symbol:
    """The promise of an array: its shape (batch axis included, `None` where open), its dtype, and where it comes from."""

    shape: tuple[int | None, ...]
    dtype: str | None = None
    node: Node | None = field(default=None, repr=False)

    @property
    def name(self) -> str | None:
        """The name of the layer it comes from."""
        return self.node and self.node.layer.name

    @property
    def ndim(self) -> int:
        """Its number of axes."""
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<Symbol {format_shape(self.shape)} {self.dtype or 'float'}>"

    def __array__(self, *_, **__):
        raise TypeError(
            "A symbol stands for an array that is not there yet, so NumPy cannot use it. Use layers on it "
            "(layers.Lambda for a function of your own), or call the finished model on arrays.")

    def __iter__(self):
        raise TypeError("A symbol cannot be iterated over: it stands for one array that is not there yet.")

    def __bool__(self) -> bool:
        raise TypeError("A symbol has no truth value: it stands for an array that is not there yet.")


def contains_symbol(structure) -> bool:
    """Whether there is a symbol anywhere in a structure of arguments."""
    return any(isinstance(leaf, Symbol) for leaf in jax.tree.leaves(structure))


def record(layer, inputs: tuple, options: dict):
    """Call a layer on symbols: the outputs, as symbols that remember the call."""
    node = Node(layer, (inputs, options))
    specs = infer_outputs(layer, inputs, options)
    node.outputs = jax.tree.map(lambda spec: Symbol(spec.shape, spec.dtype, node), specs)
    return node.outputs
