"""Named arrays as bytes in the safetensors format, its header checked before an array is made.

Format: https://huggingface.co/docs/safetensors: eight bytes with the length of the header, the header in JSON, and the
numbers of all arrays, little-endian, without gaps.
"""
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import ml_dtypes
import numpy as np
from safetensors.numpy import save

from chainrule.errors import FileFormatError, SettingError
from chainrule.saving.strict import parse_json

DTYPES = MappingProxyType({
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"), "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"),
    "BOOL": np.dtype("?")})
_LONGEST_HEADER = 16 << 20
_MOST_TENSORS = 10_000
_HIGHEST_RANK = 32
_MOST_NUMBERS = _MOST_TENSORS * (_HIGHEST_RANK + 4)  # of all shapes and places together


@dataclass(frozen=True)
class TensorSpec:
    """What the header says of one array: its type and shape, and where its bytes are."""

    dtype: np.dtype
    shape: tuple[int, ...]
    start: int
    stop: int


def is_storable(dtype) -> bool:
    """Whether the format has a type of numbers.

    Example:
        >>> is_storable("float32"), is_storable("complex64")
        (True, False)
    """
    return np.dtype(dtype) in DTYPES.values()


def pack(tensors: Mapping[str, np.ndarray]) -> bytes:
    """Named arrays as bytes; the same arrays give the same bytes.

    Raises:
        SettingError: there are more of them than `read_header` takes.

    Example:
        >>> unpack(pack({"bias": np.zeros(2, "float32")}))["bias"].tolist()
        [0.0, 0.0]
    """
    if len(tensors) > _MOST_TENSORS:
        raise SettingError(f"A file holds at most {_MOST_TENSORS:,} arrays; these are {len(tensors):,}.")
    if braces := next((name for name in tensors if "{" in name), None):  # they are counted where a file is read
        raise SettingError(f"The name {braces!r} of an array cannot be kept in a file: leave out the brace.")
    return save({name: np.asarray(array, order="C") for name, array in tensors.items()})


def unpack(data: bytes, what: str = "the weights") -> dict[str, np.ndarray]:
    """The arrays in bytes that `pack` made, as views of them: nothing is copied."""
    return {name: view(data, spec) for name, spec in read_header(data, what).items()}


def view(data: bytes, spec: TensorSpec) -> np.ndarray:
    """The array that a line of the header describes."""
    count = math.prod(spec.shape)
    return np.frombuffer(data, spec.dtype, count, spec.start).reshape(spec.shape)


def read_header(data: bytes, what: str) -> dict[str, TensorSpec]:
    """The arrays that are in some bytes, checked: types, shapes, and that they fill the bytes without gap or overlap.

    Args:
        data: all the bytes.
        what: their name for messages.

    Raises:
        FileFormatError: they are not what the format asks for.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise FileFormatError(f"{what} is cut off: its header does not fit into {len(data):,} bytes")
    if length > _LONGEST_HEADER:
        raise FileFormatError(f"{what} has a header of {length:,} bytes; at most {_LONGEST_HEADER:,} are allowed")
    text = bytes(data[8 : 8 + length])  # `data` may be a file that is mapped
    if text.count(b"{") > _MOST_TENSORS + 2 or text.count(b",") > _MOST_NUMBERS:  # before memory is spent on them
        raise FileFormatError(f"the header of {what} has more entries than {_MOST_TENSORS:,} arrays can have")
    header = parse_json(text, f"the header of {what}")
    if not isinstance(header, dict):
        raise FileFormatError(f"the header of {what} is not an object")
    header.pop("__metadata__", None)
    if len(header) > _MOST_TENSORS:
        raise FileFormatError(f"{what} has {len(header):,} arrays; at most {_MOST_TENSORS:,} are allowed")
    specs = {name: _spec(name, entry, 8 + length, what) for name, entry in header.items()}
    end = 8 + length
    for name, spec in sorted(specs.items(), key=lambda item: (item[1].start, item[1].stop)):
        if spec.start != end:
            raise FileFormatError(f"the array {name!r} of {what} overlaps another, or leaves a gap before it")
        end = spec.stop
    if end != len(data):
        raise FileFormatError(f"{what} has {len(data):,} bytes; its arrays end at {end:,}")
    return specs


def _spec(name: str, entry, base: int, what: str) -> TensorSpec:
    label = f"the array {name!r} of {what}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise FileFormatError(f"{label} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise FileFormatError(f"{label} has the type {dtype!r}, which is not one of {', '.join(DTYPES)}")
    if not _are_sizes(shape) or len(shape) > _HIGHEST_RANK or math.prod(size or 1 for size in shape) >= 2**63:
        raise FileFormatError(f"{label} has no valid shape")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise FileFormatError(f"{label} has no valid place")
    start, stop = offsets
    if math.prod(shape) * DTYPES[dtype].itemsize != stop - start:  # Python's integers: nothing overflows
        raise FileFormatError(f"{label} does not have the bytes that its shape asks for")
    return TensorSpec(DTYPES[dtype], tuple(shape), base + start, base + stop)


def _are_sizes(value) -> bool:
    return isinstance(value, list) and all(
        isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**63 for size in value)
