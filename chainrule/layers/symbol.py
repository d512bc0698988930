"""Symbols: arrays that are not there yet. Calling a layer on one records a node of a network."""
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from chainrule.errors import SettingError, format_shape
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
    """The promise of an array: its shape (batch axis included, `None` where open), its dtype, where it comes from."""

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

    def __array_ufunc__(self, function, method, *sides, **options):
        if method == "__call__" and function.__name__ in _UFUNCS and not options:
            return _operation(function.__name__, *sides)  # `array * symbol` comes here
        return self.__array__()

    def __array__(self, *_, **__):
        raise TypeError(
            "A symbol stands for an array that is not there yet, so NumPy and JAX cannot use it. Use layers on it "
            "(layers.Lambda for a function of your own), or call the finished model on arrays.")

    # Operators record a layer, `layers.Operation`, as calling it would.

    def __add__(self, other):
        return _operation("add", self, other)

    def __radd__(self, other):
        return _operation("add", other, self)

    def __sub__(self, other):
        return _operation("subtract", self, other)

    def __rsub__(self, other):
        return _operation("subtract", other, self)

    def __mul__(self, other):
        return _operation("multiply", self, other)

    def __rmul__(self, other):
        return _operation("multiply", other, self)

    def __truediv__(self, other):
        return _operation("divide", self, other)

    def __rtruediv__(self, other):
        return _operation("divide", other, self)

    def __pow__(self, other):
        return _operation("power", self, other)

    def __rpow__(self, other):
        return _operation("power", other, self)

    def __matmul__(self, other):
        return _operation("matmul", self, other)

    def __neg__(self):
        return _operation("negative", self)

    def __abs__(self):
        return _operation("absolute", self)

    def __getitem__(self, index):
        from chainrule.layers.merging import plain_index  # as below

        return _operation("getitem", self, plain_index(index))

    def __iter__(self):
        raise TypeError("A symbol cannot be iterated over: it stands for one array that is not there yet.")

    def __bool__(self) -> bool:
        raise TypeError("A symbol has no truth value: it stands for an array that is not there yet.")


_UFUNCS = frozenset({"add", "subtract", "multiply", "divide", "power", "matmul", "negative", "absolute"})


def _operation(operator: str, *sides):
    """The symbol for an operator between symbols, or a symbol and a number or array."""
    from chainrule.layers.merging import Operation  # here, because layers are made of what this module defines

    symbols = [side for side in sides if isinstance(side, Symbol)]
    fixed = {name: side for name, side in zip(("left", "right"), sides, strict=False) if not isinstance(side, Symbol)}
    plain = (int, float, np.ndarray, np.generic, jax.Array)
    if operator != "getitem" and not all(isinstance(side, plain) for side in fixed.values()):
        return NotImplemented
    return Operation(operator, **fixed)(symbols[0] if len(symbols) == 1 else symbols)


def contains_symbol(structure) -> bool:
    """Whether there is a symbol anywhere in a structure of arguments."""
    return any(isinstance(leaf, Symbol) for leaf in jax.tree.leaves(structure))


def record(layer, inputs: tuple, options: dict):
    """Call a layer on symbols: the outputs, as symbols that remember the call."""
    _refuse_text(layer, inputs, options)
    node = Node(layer, (inputs, options))
    specs = infer_outputs(layer, inputs, options)
    node.outputs = jax.tree.map(lambda spec: Symbol(spec.shape, spec.dtype, node), specs)
    return node.outputs


def _refuse_text(layer, inputs: tuple, options: dict) -> None:
    """Raise where an input of text goes into something that computes with numbers from its beginning on."""
    texts = {id(leaf) for leaf in jax.tree.leaves((inputs, options))
             if isinstance(leaf, Symbol) and leaf.dtype == "string"}
    graph = layer.__dict__.get("_graph")
    if texts and graph is not None:  # a network, which may have a layer for text inside
        texts -= {id(outer) for inner, outer in graph.place_inputs(inputs[0]).items() if inner in graph.hosts}
    if texts:
        text = layer.describe()
        raise SettingError(
            f"{text[0].upper()}{text[1:]} computes with numbers, and its input is text. Put a layer between that turns "
            f"it into numbers: TextVectorization for sentences, StringLookup or Hashing for categories.")
