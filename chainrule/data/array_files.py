"""Arrays in `.npy` files, read in pieces: data bigger than memory."""
import math
import os

import numpy as np

from chainrule.data.files import check_equal_rows, check_window, find_files
from chainrule.data.source import Source, map_leaves
from chainrule.errors import FileFormatError, ShapeError, format_shape

# How much of a file is mapped into memory at a time: what was touched is given back before the next part is mapped.
MAPPED_BYTES = 32 << 20
# Rows that may be far apart are mapped together up to here. Each may bring 64 KB into memory with it.
SCATTERED_ROWS = 256


class ArrayFiles(Source):
    """Arrays in `.npy` files, as `numpy.save` writes them: a source that may be bigger than memory.

    Files are mapped into memory part by part, and only while a chunk is read.

    Args:
        x: the file of the inputs; a list of files, a pattern (`"x-*.npy"`) or a folder, whose rows follow one another;
            or a dict of these for a network of several inputs.
        y: the same for the targets; `None` where there are none.
        sample_weight: the same for weights of rows.
        window: how many rows are shuffled together, long runs of neighbours in random order before; that spares a disk
            that is slow at reading here and there. By default all rows are, as with arrays in memory.
        in_memory: whether to load all rows at first; by default where they take less than a quarter of the memory.

    Raises:
        MissingDataError: there is no such file.
        FileFormatError: a file is damaged, holds no array of numbers, or is stored by columns.
        DataError: x and y have different numbers of rows, or none.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/x.npy", np.arange(6.0).reshape(3, 2))
        ...     np.save(f"{folder}/y.npy", np.array([0, 1, 0]))
        ...     x, y = ArrayFiles(f"{folder}/x.npy", f"{folder}/y.npy").rows(np.array([2, 0]))
        >>> x.tolist(), y.tolist()
        ([[4.0, 5.0], [0.0, 1.0]], [0, 0])
    """

    def __init__(self, x, y=None, sample_weight=None, window: int | None = None, in_memory: bool | None = None):
        self.window, self.in_memory = check_window(window), in_memory
        self._parts = tuple(_opened(given, name) for name, given in (("x", x), ("y", y),
                                                                      ("sample_weight", sample_weight)))
        lengths: dict[str, int] = {}
        map_leaves(lambda rows: lengths.update({rows.name: len(rows)}), self._parts)
        self._count = check_equal_rows(lengths)

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} rows>"

    def rows(self, indices: np.ndarray) -> tuple:
        x, y, weight = map_leaves(lambda rows: rows.take(indices), self._parts)
        return (x, y) if weight is None else (x, y, weight)


def _opened(given, name: str):
    """The arrays that paths stand for, in the structure of the paths."""
    if given is None:
        return None
    if isinstance(given, dict):
        return {key: _opened(part, f"{name}[{key!r}]") for key, part in given.items()}
    return _Rows(find_files(given, ".npy"), name)


class _Rows:
    """The rows of one or more files, one after another.

    Args:
        name: what messages call them.
    """

    def __init__(self, paths: list, name: str):
        self.name, self.paths = name, paths
        heads = [_head(path) for path in paths]
        self.shape, self.dtype, _ = heads[0]
        for path, (shape, dtype, _) in zip(paths, heads, strict=True):
            if (shape[1:], dtype) != (self.shape[1:], self.dtype):
                raise ShapeError(f"The files of {name} do not fit together: {paths[0].name} has rows of "
                                 f"{self.dtype} {format_shape(self.shape[1:])}, {path.name} of {dtype} "
                                 f"{format_shape(shape[1:])}.")
        self.offsets = [offset for _, _, offset in heads]
        self.starts = np.cumsum([0, *(shape[0] for shape, _, _ in heads)])
        self.row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The rows of these numbers, in their order."""
        taken = np.empty((len(indices), *self.shape[1:]), self.dtype)
        for file, places in self._groups(indices):
            rows = indices[places] - self.starts[file]
            low, high = int(rows.min()), int(rows.max()) + 1
            mapped = self._mapped(file, low, high)
            if high - low == len(rows) and (np.diff(rows) == 1).all():
                taken[places] = mapped
            elif isinstance(places, slice):
                np.take(mapped, rows - low, axis=0, out=taken[places], mode="clip")
            else:
                taken[places] = mapped[rows - low]
        return taken

    def _groups(self, indices: np.ndarray) -> list:
        """The places of the indices whose rows are read together: `(file, places)`, near one another in one file."""
        if not len(indices):
            return []
        height = max(1, MAPPED_BYTES // max(self.row_bytes, 1))
        before = np.cumsum([0, *(-(-np.diff(self.starts) // height))])  # the parts of all files before each
        file = np.searchsorted(self.starts, indices, side="right") - 1 if len(self.paths) > 1 else 0
        parts = before[file] + (indices - self.starts[file]) // height
        if parts.min() == parts.max():
            return [(int(np.max(file)), slice(None))]
        order = np.argsort(parts.astype(np.uint16) if before[-1] < 1 << 16 else parts, kind="stable")  # by counting
        ends = [*(np.flatnonzero(np.diff(parts[order])) + 1).tolist(), len(order)]
        groups, start = [], 0
        for end, following in zip(ends, [*ends[1:], None], strict=True):
            number = int(np.searchsorted(before, parts[order[start]], side="right")) - 1
            same_file = following is not None and parts[order[end]] < before[number + 1]
            if same_file and following - start <= SCATTERED_ROWS:
                continue
            sorted_already = order[start] + end - start - 1 == order[end - 1] and (
                np.diff(order[start:end]) == 1).all()
            places = slice(int(order[start]), int(order[end - 1]) + 1) if sorted_already else order[start:end]
            groups.append((number, places))
            start = end
        return groups

    def _mapped(self, file: int, start: int, stop: int) -> np.ndarray:
        """Rows of a file, mapped into memory as long as the array lives."""
        if stop == start or not self.row_bytes:
            return np.empty((stop - start, *self.shape[1:]), self.dtype)
        return np.asarray(np.memmap(self.paths[file], self.dtype, "r", self.offsets[file] + start * self.row_bytes,
                                    (stop - start, *self.shape[1:])))


def _head(path) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type and beginning of the array in a file."""
    format = np.lib.format
    with open(path, "rb") as file:
        try:
            version = format.read_magic(file)
            read = format.read_array_header_1_0 if version == (1, 0) else format.read_array_header_2_0
            shape, by_columns, dtype = read(file)
        except ValueError as error:
            hint = " It is an archive of arrays, which cannot be read in pieces: save each by numpy.save." if (
                str(path).endswith(".npz")) else ""
            raise FileFormatError(f"{str(path)!r} is not a file of numpy.save.{hint}") from error
        offset = file.tell()
    if dtype.hasobject or dtype.kind not in "biufSU":
        raise FileFormatError(f"{str(path)!r} holds {dtype}, and rows are read as numbers. Save an array of numbers.")
    if not shape:
        raise FileFormatError(f"{str(path)!r} holds a single number; expected an array with a row for each example.")
    if by_columns and len(shape) > 1:
        raise FileFormatError(f"{str(path)!r} is stored column by column, so that a row is spread over all of the "
                              f"file. Save it by rows: numpy.save(path, numpy.ascontiguousarray(x)).")
    needed = offset + math.prod(shape) * dtype.itemsize
    if os.path.getsize(path) < needed:
        raise FileFormatError(f"{str(path)!r} is cut off: its array {format_shape(shape)} of {dtype} needs {needed} "
                              f"bytes, and the file has {os.path.getsize(path)}.")
    return shape, dtype, offset
