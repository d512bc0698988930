"""Files as `torch.save` writes them, made instruction by instruction: well-formed ones and others."""
import zipfile
from collections.abc import Mapping
from pickle import encode_long
from typing import Any, NamedTuple

import numpy as np

STORAGES = {"float64": "DoubleStorage", "float32": "FloatStorage", "float16": "HalfStorage",
            "bfloat16": "BFloat16Storage", "int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage",
            "int8": "CharStorage", "uint8": "ByteStorage", "bool": "BoolStorage"}
MAGIC_NUMBER, VERSION = 0x1950A86A20F9469CFC6C, 1001


class Name(NamedTuple):
    """A global, `"module name"`."""

    name: str


class Call(NamedTuple):
    """A global called on arguments."""

    name: str
    arguments: tuple


class Built(NamedTuple):
    """Something whose state is set after it is made."""

    value: Any
    state: Any


class Reference(NamedTuple):
    """A persistent id."""

    value: tuple


def pickled(value) -> bytes:
    """A pickle of protocol 2."""
    return b"\x80\x02" + code(value) + b"."


def code(value) -> bytes:
    match value:
        case Name(name):
            return b"c" + name.replace(" ", "\n").encode() + b"\n"
        case Call(name, arguments):
            return code(Name(name)) + code(arguments) + b"R"
        case Built(made, state):
            return code(made) + code(state) + b"b"
        case Reference(reference):
            return code(reference) + b"Q"
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return b"\x8a" + bytes([len(encode_long(value))]) + encode_long(value)
        case str():
            return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()
        case tuple():
            return b"(" + b"".join(map(code, value)) + b"t"
        case list():
            return b"](" + b"".join(map(code, value)) + b"e"
        case Mapping():
            return b"}(" + b"".join(code(item) for pair in value.items() for item in pair) + b"u"
    raise TypeError(value)


def storage(key: str, array: np.ndarray, *view) -> Reference:
    """A reference to the numbers of an array."""
    return Reference(("storage", Name(f"torch {STORAGES[str(array.dtype)]}"), key, "cpu", array.size, *view))


def tensor(key: str, array: np.ndarray, *view) -> Call:
    """A contiguous tensor."""
    strides = tuple(step // array.itemsize for step in np.asarray(array, order="C").strides)
    return Call("torch._utils _rebuild_tensor_v2",
                (storage(key, array, *view), 0, array.shape, strides, False, Call("collections OrderedDict", ())))


def write_zip(path, description, numbers: Mapping[str, np.ndarray], **more: bytes) -> None:
    """A file of PyTorch 1.6 and later."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(description))
        for key, array in numbers.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())
        for name, content in more.items():
            archive.writestr(f"archive/{name}", content)


def write_legacy(path, description, numbers: Mapping[str, np.ndarray], magic=MAGIC_NUMBER, version=VERSION,
                 machine=None) -> None:
    """A file of PyTorch before 1.6."""
    machine = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"int": 4}} | (machine or {})
    with open(path, "wb") as file:
        for part in (magic, version, machine, description, list(numbers)):
            file.write(pickled(part))
        for array in numbers.values():
            file.write(array.size.to_bytes(8, "little") + array.tobytes())


def write_tensors(path, arrays: Mapping[str, np.ndarray], write=write_zip) -> None:
    """Arrays by name, as `torch.save(model.state_dict(), path)` writes tensors."""
    numbers = {str(key): array for key, array in enumerate(arrays.values())}
    write(path, {name: tensor(str(key), array) for key, (name, array) in enumerate(arrays.items())}, numbers)
