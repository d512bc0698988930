"""Weights in files of PyTorch, read without executing anything that is in them.

`torch.save` writes a pickle, which is a program: a reader that runs it runs whatever somebody put there. Here the
standard library only splits it into its instructions, and those few that a dict of tensors is made of are played on a
list. Names in the file stay names; the few that may be called stand in `_CALLED`, and each only notes where the
numbers of a tensor are. Anything else is refused.

There are two layouts: a zip archive, whose member `data.pkl` is the pickle and whose members `data/0`, `data/1`, ...
are the numbers; and, before PyTorch 1.6, several pickles one behind another with the numbers after them.

Reference: https://pytorch.org/docs/stable/notes/serialization.html; the instructions: Python's `pickletools`.
"""
import io
import math
import os
import pickletools
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from chainrule.errors import FileFormatError

_LONGEST_PICKLE = 4 << 20  # ten thousand tensors take less
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # the first pickle of the older layout
_LEGACY_VERSION = 1001
_DTYPES = MappingProxyType({
    "torch.DoubleStorage": np.dtype("<f8"), "torch.FloatStorage": np.dtype("<f4"), "torch.HalfStorage": np.dtype("<f2"),
    "torch.BFloat16Storage": np.dtype(ml_dtypes.bfloat16), "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"), "torch.ShortStorage": np.dtype("<i2"), "torch.CharStorage": np.dtype("i1"),
    "torch.ByteStorage": np.dtype("u1"), "torch.BoolStorage": np.dtype("?")})


class _Global(NamedTuple):
    """A name that a pickle refers to; it is never looked up."""

    name: str


class _Storage(NamedTuple):
    """Numbers somewhere in the file: their key, type and count."""

    key: str
    dtype: np.dtype
    count: int


class _Tensor(NamedTuple):
    """A tensor as the file describes it: where its entries are among the numbers of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_pytorch(path) -> dict[str, np.ndarray]:
    """The tensors in a file that `torch.save(model.state_dict(), path)` wrote, by name, as arrays.

    Nothing in the file is executed, so it may come from anywhere. Shapes are PyTorch's: a convolution's kernel is
    (outputs, inputs, height, width), a dense layer's (outputs, inputs).

    Args:
        path: the file, `.pth` or `.pt`, of any PyTorch since 0.1.

    Raises:
        FileFormatError: it is damaged, or holds something else than tensors by name.

    Example:
        >>> read_pytorch("vgg16-397923af.pth")["features.0.weight"].shape  # doctest: +SKIP
        (64, 3, 3, 3)
    """
    with open(path, "rb") as file:
        head = file.read(4)
        file.seek(0)
        try:
            return _read_archive(file) if head == b"PK\x03\x04" else _read_legacy(file)
        except FileFormatError as error:
            raise FileFormatError(f"{path} cannot be read as weights of PyTorch: {error}.") from error
        except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, LookupError,
                TypeError, ValueError, OverflowError, OSError) as error:
            raise FileFormatError(f"{path} cannot be read as weights of PyTorch: it is not a file of torch.save, or a "
                                  f"damaged one ({' '.join(str(error).split()) or type(error).__name__}).") from error


def _read_archive(file: BinaryIO) -> dict[str, np.ndarray]:
    """The newer layout."""
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        for info in members.values():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
                raise FileFormatError(f"its member {info.filename!r} is packed, which torch.save does not do")
        if sum(info.file_size for info in archive.infolist()) > size:
            raise FileFormatError("its members are larger than the file")
        if "data.pkl" not in members:
            raise FileFormatError("it is a zip archive without a member data.pkl")
        if members["data.pkl"].file_size > _LONGEST_PICKLE:
            raise FileFormatError(f"its description has {members['data.pkl'].file_size:,} bytes; at most "
                                  f"{_LONGEST_PICKLE:,} are allowed")
        if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
            raise FileFormatError("it was written on a machine of the other byte order")
        tensors = _checked_tensors(_play(io.BytesIO(archive.read(members["data.pkl"]))))

        def numbers(storage: _Storage) -> np.ndarray:
            info = members.get(f"data/{storage.key}")
            if info is None or info.file_size != storage.count * storage.dtype.itemsize:
                raise FileFormatError(f"the numbers {storage.key!r} are missing, or not as many as they should be")
            return np.frombuffer(archive.read(info), storage.dtype)

        return _arrays(tensors, numbers)


def _read_legacy(file: BinaryIO) -> dict[str, np.ndarray]:
    """The layout before PyTorch 1.6: magic number, version, machine, tensors, keys; then the numbers by key."""
    pickles = io.BytesIO(file.read(_LONGEST_PICKLE))
    if not pickles.getbuffer()[:1] == b"\x80" or _play(pickles) != _MAGIC_NUMBER:
        raise FileFormatError("it is not a file of torch.save")
    if _play(pickles) != _LEGACY_VERSION:
        raise FileFormatError("it has a version that there is none of")
    machine = _play(pickles)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise FileFormatError("it was written on a machine of the other byte order")
    tensors = _checked_tensors(_play(pickles))
    keys = _play(pickles)
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if not isinstance(keys, list) or sorted(storages) != sorted(keys):
        raise FileFormatError("the numbers that it holds are not those that its tensors need")
    size, found = os.fstat(file.fileno()).st_size, {}
    file.seek(pickles.tell())
    for key in keys:
        storage, count = storages[key], int.from_bytes(file.read(8), "little")
        length = storage.count * storage.dtype.itemsize
        if count != storage.count or length > size - file.tell():
            raise FileFormatError(f"the numbers {key!r} are missing, or not as many as they should be")
        found[key] = np.frombuffer(file.read(length), storage.dtype)
    return _arrays(tensors, lambda storage: found[storage.key])


def _checked_tensors(described) -> dict[str, _Tensor]:
    """What the file describes, if it is tensors by name, each within its storage."""
    if not isinstance(described, dict):
        what = "a tensor" if isinstance(described, _Tensor) else f"a {type(described).__name__}"
        raise FileFormatError(f"it holds {what} instead of tensors by name. Write it with "
                              f"torch.save(model.state_dict(), path)")
    storages: dict[str, _Storage] = {}
    for name, tensor in described.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise FileFormatError(f"its entry {name!r} is not a tensor. Write the tensors alone, with "
                                  f"torch.save(model.state_dict(), path)")
        if storages.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise FileFormatError(f"its tensors do not agree on the numbers {tensor.storage.key!r}")
        last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True))
        count = math.prod(tensor.shape)
        if count > tensor.storage.count or (count and last >= tensor.storage.count):
            raise FileFormatError(f"its tensor {name!r} reaches beyond its numbers")
    return described


def _arrays(tensors: Mapping[str, _Tensor], numbers: Callable[[_Storage], np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors as views of their numbers, which are read once."""
    read = {storage.key: numbers(storage) for storage in {tensor.storage for tensor in tensors.values()}}
    return {name: np.lib.stride_tricks.as_strided(
        read[storage.key][offset:], shape, [step * storage.dtype.itemsize for step in strides], writeable=False)
        for name, (storage, offset, shape, strides) in tensors.items()}


# The instructions of a pickle, played on a stack that holds nothing but plain data and the descriptions above.

_MARK = object()
_CONSTANTS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES"})
_FIXED = MappingProxyType({"NONE": None, "NEWTRUE": True, "NEWFALSE": False})
_TUPLES = MappingProxyType({"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3})


def _play(pickle: BinaryIO):
    """What the next pickle of a stream describes: plain data and `_Tensor`s."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def pop_to_mark() -> list[Any]:
        items = []
        while (item := stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    for instruction, argument in _instructions(pickle):
        name = instruction.name
        if name in ("PROTO", "FRAME"):
            continue
        elif name == "STOP":
            return stack.pop()
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _CONSTANTS:
            stack.append(argument)
        elif name in _FIXED:
            stack.append(_FIXED[name])
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack[len(stack) - count :] = [tuple(stack[len(stack) - count :])]
        elif name == "TUPLE":
            stack.append(tuple(pop_to_mark()))
        elif name == "LIST":
            stack.append(pop_to_mark())
        elif name == "DICT":
            stack.append(_put({}, pop_to_mark()))
        elif name in ("SETITEM", "SETITEMS"):
            items = pop_to_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _put(stack[-1], items)
        elif name in ("APPEND", "APPENDS"):
            items = pop_to_mark() if name == "APPENDS" else [stack.pop()]
            if type(stack[-1]) is not list:
                raise FileFormatError("it adds to something that is no list")
            stack[-1].extend(items)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "GLOBAL":
            stack.append(_global(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            stack.append(_global(stack.pop(-2), stack.pop()))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name in ("REDUCE", "NEWOBJ"):
            stack.append(_called(stack.pop(-2), stack.pop()))
        elif name == "BUILD":
            stack.pop()  # a dict's attributes, a parameter's hooks: nothing that belongs to the numbers
        else:
            raise FileFormatError(f"it has the instruction {name}, which a dict of tensors does not need")


def _instructions(pickle: BinaryIO) -> Iterator[tuple[pickletools.OpcodeInfo, Any]]:
    """Each instruction with its argument, up to the end of one pickle."""
    found = pickletools.genops(pickle)
    while True:
        with warnings.catch_warnings(action="ignore"):  # odd escapes in a damaged name
            instruction, argument, _ = next(found)
        yield instruction, argument


def _put(target, items: list) -> dict:
    """Pairs into a dict. Keys are text or integers: a deeply nested tuple could not even be compared safely."""
    if type(target) is not dict or len(items) % 2 or not all(type(key) in (str, int) for key in items[::2]):
        raise FileFormatError("it has a dict whose keys are not names")
    target.update(zip(items[::2], items[1::2], strict=True))
    return target


def _global(module, name) -> _Global:
    full = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "something without a name"
    if full not in _CALLED and full not in _DTYPES:
        raise FileFormatError(f"it asks for {full[:80]!r}, and nothing but tensors is read. Write the tensors alone, "
                              f"with torch.save(model.state_dict(), path)")
    return _Global(full)


def _storage(reference) -> _Storage:
    """A reference to numbers: `("storage", type, key, device, count)`, in older files with a view behind."""
    match reference:
        case ("storage", _Global(kind), str(key), str(), int(count), *view) if (
                kind in _DTYPES and count >= 0 and view in ([], [None])):
            return _Storage(key, _DTYPES[kind], count)
    raise FileFormatError("it refers to numbers in an unknown way")


def _called(function, arguments):
    """The result of one of the calls that a dict of tensors is made of."""
    if not isinstance(function, _Global) or function.name not in _CALLED or type(arguments) is not tuple:
        raise FileFormatError("it calls something that cannot be called")
    return _CALLED[function.name](*arguments)


def _ordered_dict(pairs=None) -> dict:
    if pairs is None:
        return {}
    if type(pairs) is not list:
        raise FileFormatError("it has a dict that is not made of pairs")
    items = [item for key, value in pairs for item in (key, value)]
    pairs.clear()  # moved, not copied: many copies of one list would fill the memory
    return _put({}, items)


def _tensor(storage, offset, shape, strides, requires_grad=False, hooks=None, metadata=None) -> _Tensor:
    valid = isinstance(storage, _Storage) and all(map(_are_sizes, ((offset,), shape, strides)))
    if not valid or len(shape) != len(strides) or metadata:
        raise FileFormatError("it has a tensor that is not described by numbers, shape and strides")
    return _Tensor(storage, offset, shape, strides)


def _are_sizes(value) -> bool:
    return type(value) is tuple and len(value) <= 32 and all(type(size) is int and 0 <= size < 2**63 for size in value)


def _size(sizes=()) -> tuple:
    if type(sizes) is not tuple:
        raise FileFormatError("it has a shape that is no tuple")
    return sizes


def _parameter(tensor, requires_grad=True, hooks=None) -> _Tensor:
    if not isinstance(tensor, _Tensor):
        raise FileFormatError("it has a parameter that is no tensor")
    return tensor


_CALLED = MappingProxyType({
    "collections.OrderedDict": _ordered_dict, "torch.Size": _size, "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor, "torch._utils._rebuild_parameter": _parameter,
    "torch.nn.parameter.Parameter": _parameter})
