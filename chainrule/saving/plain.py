"""Python's own data in a file, exactly as they are: what a checkpoint holds beside the arrays of a network.

Settings of layers are written by `chainrule.configuration`, which reads names and makes objects. Here nothing has a
name: numbers, text, lists, tuples, sets, dicts, arrays and random generators come back equal, and of the same types.
"""
import collections
import json
import math
from collections.abc import Mapping
from types import MappingProxyType

import jax
import numpy as np

from chainrule.devices import to_device
from chainrule.errors import FileFormatError, SettingError, shortened
from chainrule.saving.tensors import DTYPES, is_storable

_GENERATORS = MappingProxyType({name: getattr(np.random, name)
                                for name in ("PCG64", "PCG64DXSM", "Philox", "SFC64", "MT19937")})
_SCALARS = MappingProxyType({dtype.name: dtype for dtype in DTYPES.values()})
_LISTS = MappingProxyType({"tuple": tuple, "set": set, "frozenset": frozenset})


class Arrays:
    """The arrays met while data are written, by the names they will have in the file; the same array is kept once.

    Args:
        copies: whether arrays of NumPy are copied, since they may change before they are written.
    """

    def __init__(self, copies: bool = True):
        self.copies = copies
        self.named: dict[str, np.ndarray | jax.Array] = {}
        self._met: dict[int, tuple[object, str]] = {}  # the arrays are kept, so that their ids stay their own

    def add(self, array) -> str:
        """The name of an array."""
        if id(array) not in self._met:
            name = str(len(self.named))
            self._met[id(array)] = array, name
            self.named[name] = np.array(array) if self.copies and isinstance(array, np.ndarray) else array
        return self._met[id(array)][1]


def is_plain(value) -> bool:
    """Whether `write` can say a value.

    Example:
        >>> is_plain({"best": (0.5, np.zeros(3))}), is_plain(open)
        (True, False)
    """
    try:
        write(value, Arrays(copies=False))
    except SettingError:
        return False
    return True


def write(value, arrays: Arrays):
    """A value as JSON data, its arrays put aside.

    Raises:
        SettingError: it is something else than data, such as a function or an open file.

    Example:
        >>> write({"best": (0.5, float("nan"))}, Arrays())
        {'dict': {'best': {'tuple': [0.5, {'float': 'nan'}]}}}
    """
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if kind is list:
        return [write(item, arrays) for item in value]
    if kind is dict and all(type(key) is str for key in value):
        return {"dict": {key: write(item, arrays) for key, item in value.items()}}
    if kind is dict:
        return {"items": [[write(key, arrays), write(item, arrays)] for key, item in value.items()]}
    if kind in _LISTS.values():
        items = sorted(value, key=repr) if kind is not tuple else value
        return {kind.__name__: [write(item, arrays) for item in items]}
    if kind is collections.deque:
        return {"deque": [write(item, arrays) for item in value], "maxlen": value.maxlen}
    if kind is bytes:
        return {"bytes": value.hex()}
    if isinstance(value, np.generic) and is_storable(value.dtype):  # not as arrays, of which a file has not so many
        return {"scalar": [value.dtype.name, value.tobytes().hex()]}
    if isinstance(value, (np.ndarray, jax.Array)) and is_storable(value.dtype):
        return {"array" if isinstance(value, np.ndarray) else "device": arrays.add(value)}
    if kind is np.random.Generator and type(value.bit_generator).__name__ in _GENERATORS:
        return {"generator": write(_plain_state(value.bit_generator.state), arrays)}
    raise SettingError(f"{shortened(value)} is not data that a file can hold.")


def read(data, arrays: Mapping[str, np.ndarray]):
    """What `write` wrote, as values again.

    Args:
        data: from a file: nothing in it is trusted.
        arrays: those that `write` put aside.

    Raises:
        FileFormatError: it is not what `write` writes.

    Example:
        >>> read(write({"best": (0.5, {1, 2})}, Arrays()), {})
        {'best': (0.5, {1, 2})}
    """
    if isinstance(data, list):
        return [read(item, arrays) for item in data]
    if not isinstance(data, dict):
        return data
    mark = next(iter(data), None)
    if set(data) != ({"deque", "maxlen"} if mark == "deque" else {mark}):
        raise FileFormatError(f"it holds an entry of the kinds {sorted(data)}")
    value = data[mark]
    try:
        if mark in _LISTS:
            return _LISTS[mark](read(item, arrays) for item in _checked(value, list))
        if mark == "dict":
            return {key: read(item, arrays) for key, item in _checked(value, dict).items()}
        if mark == "items":
            return {read(key, arrays): read(item, arrays) for key, item in _checked(value, list)}
        if mark == "deque":
            return collections.deque((read(item, arrays) for item in _checked(value, list)), data["maxlen"])
        if mark == "float" and value in ("nan", "inf", "-inf"):
            return float(value)
        if mark == "bytes":
            return bytes.fromhex(value)
        if mark == "scalar":
            return _scalar(*_checked(value, list))
        if mark in ("array", "device"):
            array = arrays[_checked(value, str)]
            return np.array(array) if mark == "array" else to_device(array)
        if mark == "generator":
            return _generator(read(value, arrays))
    except FileFormatError:
        raise
    except Exception as error:  # damaged data can make what they are made into raise anything
        raise FileFormatError(f"its entry {mark!r} cannot be read ({type(error).__name__}: {error})") from error
    raise FileFormatError(f"it holds an entry of the unknown kind {mark!r}")


def copy(value):
    """An equal value that shares nothing with the first.

    Example:
        >>> first = {"seen": [1]}
        >>> second = copy(first)
        >>> first["seen"].append(2)
        >>> second
        {'seen': [1]}
    """
    arrays = Arrays(copies=False)  # they are copied where they are read
    data = write(value, arrays)
    return read(data, arrays.named)


def same(one, two) -> bool:
    """Whether two values are written alike; arrays are compared by what they hold.

    Example:
        >>> same([1, np.zeros(2)], [1, np.zeros(2)]), same(1, 1.0)
        (True, False)
    """
    first, second = Arrays(copies=False), Arrays(copies=False)
    return (json.dumps(write(one, first)) == json.dumps(write(two, second))
            and all(np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f") and a.dtype == b.dtype
                    for a, b in zip(first.named.values(), second.named.values(), strict=True)))


def _scalar(dtype: str, text: str) -> np.generic:
    """A NumPy number from the name of its type and its bytes."""
    if dtype not in _SCALARS:
        raise FileFormatError(f"it holds a number of the unknown type {dtype!r}")
    number, = np.frombuffer(bytes.fromhex(text), _SCALARS[dtype])
    return number


def _plain_state(state):
    """The state of a bit generator with its NumPy numbers as Python's."""
    if isinstance(state, dict):
        return {key: _plain_state(item) for key, item in state.items()}
    return state.item() if isinstance(state, np.generic) else state


def _generator(state) -> np.random.Generator:
    made = _GENERATORS[_checked(state, dict)["bit_generator"]]()
    made.state = state
    return np.random.Generator(made)


def _checked(value, kind: type):
    if not isinstance(value, kind):
        raise FileFormatError(f"it holds {shortened(value)} in the place of a {kind.__name__}")
    return value
