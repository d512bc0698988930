"""Layers that work on data before the compiled program begins: on text and whatever else the program has no type for.

Such a layer names the types of input that it takes there (`prepares`) and stands directly behind an `Input`. `fit`,
`evaluate`, `predict` and a call of the model `read` the data of that input, `prepare` them by NumPy, and the compiled
program begins behind the layer, with the arrays that came out.
"""
from typing import Any

import jax.numpy as jnp
import numpy as np

from chainrule.errors import DataError, SettingError, format_shape
from chainrule.layers.base import Layer
from chainrule.layers.symbol import Node, Symbol, contains_symbol


class HostLayer(Layer):
    """The parent of layers that prepare data outside of the compiled program.

    A subclass says by `prepares` which types of input it takes, and writes `read`, `prepare` and `prepared`. In a
    network it stands directly behind an `Input` of such a type, and nothing else does; called on data, it gives the
    prepared array.

    Class attributes:
        prepares: the types of input it takes: `("string",)`.
        needs: how messages call what it takes: `"text"`.
    """

    prepares = ()
    casts_inputs = False  # raw data
    needs = "data"
    also_computes = False  # whether it takes other inputs too, inside the compiled program
    pads_to_longest = False  # whether what it gives is as long as the longest of the data at hand

    # What a subclass writes.

    def read(self, data, name: str) -> np.ndarray:
        """Data as users have them, as an array; `name` is what messages call them."""
        raise SettingError(f"{type(self).__name__} has no `read`: write one that makes an array of what users give.")

    def prepare(self, array: np.ndarray) -> np.ndarray:
        """What the compiled program is given for an array that was read."""
        raise SettingError(f"{type(self).__name__} has no `prepare`: write one that returns an array of numbers.")

    def prepared(self, shape: tuple) -> tuple[tuple, str | None]:
        """The shape and dtype of what `prepare` gives, batch axis first; dtype `None` for the network's precision."""
        raise SettingError(f"{type(self).__name__} has no `prepared`: write one that returns a shape and a dtype.")

    # What everybody else uses.

    def answer(self, array: np.ndarray) -> np.ndarray:
        """What the layer gives where it is called by itself."""
        return self.prepare(array)

    def __call__(self, *inputs, **options):
        if self._bound is not None or not self.is_for_host(*inputs):
            return super().__call__(*inputs, **options)
        if contains_symbol(inputs):
            return self._recorded(*inputs)
        array = self.read(inputs[0], "x")
        return self.answer(array) if array.ndim else self.answer(array[None])[0]

    def is_for_host(self, *inputs) -> bool:
        """Whether that is for the layer to work on outside of a compiled program."""
        return True

    def call(self, x):
        if self._bound.root is not self._origin:
            raise SettingError(f"{_sentence(self)} is called inside a layer or a model with a `call` of its own, where "
                               f"there is no {self.needs} any more: it {self._place()}.")
        x = jnp.asarray(x)  # prepared already
        return x.astype(self._bound.variable_dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    def compute_output_shape(self, input_shape):
        return self.prepared(tuple(input_shape))[0]

    def _recorded(self, symbol) -> Symbol:
        """The symbol for what the layer prepares; raises where it does not stand behind an input that it can read."""
        if not isinstance(symbol, Symbol):
            raise SettingError(f"{_sentence(self)} takes one input; got several. It {self._place()}.")
        if symbol.node is not None and symbol.node.inputs():
            before = symbol.node.layer.describe()
            raise SettingError(f"{_sentence(self)} works before the compiled program begins, so it {self._place()}; "
                               f"here it stands behind {before}.")
        if symbol.dtype not in self.prepares:
            raise SettingError(f"{_sentence(self)} takes {self.needs}, and its Input has the dtype "
                               f"{symbol.dtype or 'of the network'}. It {self._place()}.")
        self.ensure_built(symbol.shape)
        node = Node(self, ((symbol,), {}))
        node.outputs = Symbol(*self.prepared(symbol.shape), node)
        return node.outputs

    def _place(self) -> str:
        shape = "()" if self.prepares[-1] == "string" else "(1,)"
        return f"stands directly behind an Input({shape}, dtype={self.prepares[-1]!r})"


def read_texts(data, name: str, taker: str) -> np.ndarray:
    """Text in any of its usual forms as an array of Python strings: `(rows,)` or `(rows, columns)`; `()` for one text.

    Args:
        data: a list of texts, an array of NumPy, a column of pandas, an array of pyarrow.
        name: what messages call it.
        taker: what messages call the layer that takes it.

    Raises:
        DataError: an entry is missing, or is no text; rows of different lengths.

    Example:
        >>> read_texts(["a lovely film", "dull"], "x", "the layer").shape
        (2,)
    """
    array = _objects(data, name)
    kinds = {type(entry) for entry in array.flat}
    if kinds == {bytes}:
        try:
            return _filled(array.shape, [entry.decode() for entry in array.flat])
        except UnicodeDecodeError as error:
            raise DataError(f"{name} holds bytes that are no UTF-8 text ({error}). Decode them first: "
                            f"[entry.decode('latin-1') for entry in {name}].") from error
    if all(issubclass(kind, str) for kind in kinds):
        return array
    _refuse_gaps(array, name)
    wrong = np.array([not isinstance(entry, str) for entry in array.flat]).reshape(array.shape)
    entry = array[wrong].flat[0]
    if isinstance(entry, (int, float, np.generic)):
        raise DataError(f"{name} holds the number {entry!r}{_place(wrong)}, and {taker} takes text. Numbers that stand "
                        f"for categories become text by [str(value) for value in {name}].")
    raise DataError(f"{name} holds something other than text: {_brief(entry)} ({type(entry).__name__}){_place(wrong)}. "
                    f"{_sentence(taker)} takes text: a list of strings, or an array or a column of them.")


def read_integers(data, name: str, taker: str) -> np.ndarray:
    """Whole numbers in any of their usual forms as an array of 64-bit integers.

    Raises:
        DataError: an entry is missing, or is no whole number.

    Example:
        >>> read_integers([[7], [12]], "x", "the layer").shape
        (2, 1)
    """
    dtype = getattr(data, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "iub" and not (dtype.kind == "u" and dtype.itemsize == 8):
        return np.asarray(data).astype(np.int64)
    array = _objects(data, name)
    if not array.size:
        return np.empty(array.shape, np.int64)
    _refuse_gaps(array, name)
    whole = lambda entry: isinstance(entry, (int, np.integer)) and -(1 << 63) <= entry < 1 << 63
    wrong = np.array([not whole(entry) for entry in array.flat]).reshape(array.shape)
    if wrong.any():
        entry = array[wrong].flat[0]
        raise DataError(f"{name} holds {_brief(entry)}{_place(wrong)}, and {taker} takes whole numbers of 64 bits. "
                        f"For text use StringLookup; floating-point numbers that are whole become integers by "
                        f"numpy.asarray({name}).astype('int64').")
    return array.astype(np.int64)


def _objects(data, name: str) -> np.ndarray:
    """Data as an array of Python objects."""
    if hasattr(data, "to_pylist"):  # pyarrow
        data = data.to_pylist()
    elif hasattr(data, "iloc"):  # pandas, whose own types NumPy does not have
        data = data.to_numpy(dtype=object)
    try:
        return np.asarray(data, dtype=object)
    except ValueError as error:
        raise DataError(f"{name} is a list whose rows have different lengths. Make them equally long first.") from error


def _filled(shape, entries: list) -> np.ndarray:
    array = np.empty(len(entries), object)
    array[:] = entries
    return array.reshape(shape)


def _refuse_gaps(array: np.ndarray, name: str) -> None:
    """Raise where entries are missing: `None`, NaN, or what pandas has for them."""
    missing = np.array([_is_missing(entry) for entry in array.flat], bool).reshape(array.shape)
    count = np.count_nonzero(missing)
    if count:
        many = f"{count} missing entries, the first" if count > 1 else "1 missing entry:"
        raise DataError(f"{name} has {many} {_brief(array[missing].flat[0])}{_place(missing)}. Leave such rows out, or "
                        f"fill them: {name}.fillna('') for text in a column of pandas.")


def _is_missing(entry) -> bool:
    return entry is None or (isinstance(entry, (float, np.floating)) and bool(np.isnan(entry))) or (
        type(entry).__name__ in ("NAType", "NaTType"))


def _place(wrong: np.ndarray) -> str:
    """Where the first true value is."""
    index = [int(part) for part in np.unravel_index(wrong.argmax(), wrong.shape)]
    if len(index) < 2:
        return f" in row {index[0]}" if index else ""
    return f" in row {index[0]}, column {index[1]}" if len(index) == 2 else f" at {format_shape(index)}"


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _sentence(subject) -> str:
    text = subject if isinstance(subject, str) else subject.describe()
    return text[0].upper() + text[1:]
