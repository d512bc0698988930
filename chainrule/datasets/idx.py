"""The IDX format, in which MNIST and its relatives are published: one array a file, plain or packed with gzip.

A file is two zero bytes, a byte for the type of the values, a byte for the number of axes, the size of each axis as a
big-endian `uint32`, and the values, big-endian, last axis fastest.

Reference: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits (the section on file formats).
"""
import gzip
import math
import zlib
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np

from chainrule.errors import DataError, FileFormatError, format_shape

_TYPES = MappingProxyType({0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"})
_MOST_AXES = 64  # of a numpy array
_MOST_BYTES = 2**63 - 1
_CHUNK = 2**20


def read_idx(path: str | PathLike) -> np.ndarray:
    """The array in an IDX file, in the byte order of this machine.

    Whether the file is packed is read from its first bytes, not from its name. Values are read as far as the header
    says and one byte more: a header that claims more than the file holds allocates nothing for it, and a packed file
    that would unpack to more is not unpacked further.

    Args:
        path: the file, plain or gzip.

    Returns:
        The array, writable, with the shape and the type that the header states.

    Raises:
        FileFormatError: the file is empty, cut off, too long, damaged, or not an IDX file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_idx(f"{folder}/labels.gz", np.array([5, 0, 4], "uint8"))
        ...     read_idx(f"{folder}/labels.gz")
        array([5, 0, 4], dtype=uint8)
    """
    path = Path(path)
    with open(path, "rb") as file:
        start = file.read(2)
        file.seek(0)
        if not start:
            raise FileFormatError(f"{path} is empty. Expected an IDX file, plain or gzip.")
        if start != b"\x1f\x8b":
            return _read(path, file)
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(path, unpacked)
        except EOFError as error:
            raise FileFormatError(f"{path} is cut off: the gzip data end before their end mark. "
                                  f"Copy or download the file again.") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise FileFormatError(f"{path} is damaged: {error}. Copy or download the file again.") from error


def write_idx(path: str | PathLike, array) -> None:
    """Write an array as an IDX file, packed where the name ends in `.gz`.

    Args:
        path: the file to write.
        array: values of type uint8, int8, int16, int32, float32 or float64, with 1 to 64 axes.

    Raises:
        DataError: IDX has no code for the type or the shape of the array.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_idx(f"{folder}/labels", np.array([5, 0, 4], "uint8"))
        ...     Path(f"{folder}/labels").read_bytes().hex(" ")
        '00 00 08 01 00 00 00 03 05 00 04'
    """
    array = np.asarray(array)
    big_endian = array.dtype.newbyteorder(">")
    code = next((code for code, name in _TYPES.items() if np.dtype(name) == big_endian), None)
    if code is None:
        known = ", ".join(np.dtype(name).name for name in _TYPES.values())
        raise DataError(f"IDX files hold {known}; got an array of {array.dtype}. Convert it first: array.astype(...).")
    if not 1 <= array.ndim <= _MOST_AXES or max(array.shape) >= 2**32:
        raise DataError(f"IDX files hold arrays of 1 to {_MOST_AXES} axes of less than 2**32; "
                        f"got the shape {format_shape(array.shape)}.")
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(big_endian).tobytes()
    # Without a time stamp the same array gives the same bytes.
    Path(path).write_bytes(gzip.compress(content, mtime=0) if Path(path).suffix == ".gz" else content)


def _read(path: Path, stream: BinaryIO) -> np.ndarray:
    """The array from the unpacked bytes of an IDX file."""
    magic = _header_part(path, stream, 4)
    if magic[:2] != b"\x00\x00":
        raise FileFormatError(f"{path} is not an IDX file: expected two zero bytes at its start, "
                              f"found {magic[:2].hex(' ')}.")
    code, rank = magic[2:]
    if code not in _TYPES:
        known = ", ".join(f"{known:02X}" for known in _TYPES)
        raise FileFormatError(f"{path} has an unknown type of values: expected one of the codes {known}, "
                              f"found {code:02X}.")
    if not 1 <= rank <= _MOST_AXES:
        raise FileFormatError(f"{path} has an impossible number of axes: expected 1 to {_MOST_AXES}, found {rank}.")
    shape = tuple(int(size) for size in np.frombuffer(_header_part(path, stream, 4 * rank), ">u4"))
    dtype = np.dtype(_TYPES[code])
    # An axis of no rows does not excuse the others: numpy cannot make such an array either.
    if math.prod(size or 1 for size in shape) * dtype.itemsize > _MOST_BYTES:
        raise FileFormatError(f"{path} has an impossible shape: {format_shape(shape)} of {dtype.name} "
                              f"is more than 2**63 bytes.")
    expected = math.prod(shape) * dtype.itemsize
    values = bytearray()
    while chunk := stream.read(min(_CHUNK, expected + 1 - len(values))):
        values += chunk
    if len(values) != expected:
        found = f"{len(values)}: the file is cut off" if len(values) < expected else "more"
        raise FileFormatError(f"{path} does not hold what its header says: expected {expected} bytes of values "
                              f"for {format_shape(shape)} of {dtype.name}, found {found}.")
    return np.frombuffer(values, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _header_part(path: Path, stream: BinaryIO, length: int) -> bytes:
    part = stream.read(length)
    if len(part) < length:
        raise FileFormatError(f"{path} ends inside its header: expected {length} bytes more, found {len(part)}.")
    return part
