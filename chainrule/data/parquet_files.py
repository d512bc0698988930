"""Parquet files, read row group by row group: tables bigger than memory."""
from collections import OrderedDict

import numpy as np

from chainrule.data.arrow import as_array, check_type, require_arrow
from chainrule.data.columns import Selection
from chainrule.data.files import check_equal_rows, check_window, find_files
from chainrule.data.source import Source, leaves, map_leaves
from chainrule.errors import FileFormatError

WINDOW = 65_536


class ParquetFiles(Source):
    """Parquet files as a source that may be bigger than memory; needs `pip install 'chainrule[tables]'`.

    Only the columns that are chosen are read, row group by row group. An epoch takes the row groups in random order,
    and shuffles rows within windows of them. A window is kept in memory, and two row groups beside it: write files with
    row groups of some ten thousand rows.

    Args:
        paths: a file, a list of files, a pattern (`"part-*.parquet"`) or a folder: their rows follow one another.
        target: the column of the targets, `(rows,)`; a list of columns, `(rows, columns)`; a dict of these for several
            outputs; `None` for no targets.
        columns: the inputs: a list of columns, which become one array `(rows, columns)`; a dict of lists or names for a
            network of several inputs; one name for a column of vectors or text. By default all other columns.
        sample_weight: the column of the weights of rows.
        window: how many rows are shuffled together; `None` for all, as with arrays in memory, which reads every row
            group for every chunk.
        in_memory: whether to load all rows at first, which are then shuffled as a whole; by default where they take
            less than a quarter of the memory.
        dtype: of the inputs, and of targets that are not whole numbers.

    Raises:
        MissingDataError: there is no such file, or pyarrow is not installed.
        FileFormatError: a file is damaged or no Parquet file.
        UnknownNameError: there is no such column.
        DataError: a column holds no numbers, or values are missing.

    Example:
        >>> import tempfile
        >>> import pyarrow, pyarrow.parquet
        >>> table = pyarrow.table({"age": [30, 40], "rooms": [2.0, 3.0], "price": [1.5, 2.5]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pyarrow.parquet.write_table(table, f"{folder}/houses.parquet")
        ...     x, y = ParquetFiles(f"{folder}/houses.parquet", target="price").load()
        >>> x.tolist(), y.tolist()
        ([[30.0, 2.0], [40.0, 3.0]], [1.5, 2.5])
    """

    def __init__(self, paths, target=None, columns=None, sample_weight: str | None = None,
                 window: int | None = WINDOW, in_memory: bool | None = None, dtype: str = "float32"):
        require_arrow()
        self.window, self.in_memory = check_window(window), in_memory
        self.paths = find_files(paths, ".parquet")
        self._groups: list[tuple[int, int, int]] = []  # file, row group, and the number of its first row in the file
        sizes: list[int] = []
        chosen = Selection(columns, target, sample_weight, dtype)
        for number, path in enumerate(self.paths):
            file = _opened(path)
            schema = file.schema_arrow
            chosen = chosen.of(schema.names, f"{str(path)!r}")
            for name in chosen.names:
                check_type(schema.field(name).type, name, f"{str(path)!r}", name in chosen.alone)
            rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            first = np.cumsum([0, *rows])
            self._groups += [(number, group, int(first[group])) for group, count in enumerate(rows) if count]
            sizes += [count for count in rows if count]
        self._chosen = chosen
        self._count = check_equal_rows({f"{str(self.paths[0])!r}" if len(self.paths) == 1 else "All files": sum(sizes)})
        self._starts = np.cumsum([0, *sizes])
        self._room = (self.window or 0) + 2 * max(sizes)  # a window begins and ends within row groups
        self._kept: OrderedDict[int, tuple] = OrderedDict()  # row groups that were read, the newest last
        self._file: tuple | None = None  # the number of the file that was read last, and the file

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} rows in {len(self.paths)} file{'s' * (len(self.paths) != 1)}>"

    def blocks(self) -> np.ndarray:
        return self._starts[:-1]

    def rows(self, indices: np.ndarray) -> tuple:
        groups = np.searchsorted(self._starts, indices, side="right") - 1
        few = len(self._groups) < 1 << 16  # then numpy sorts by counting, ten times as fast
        order = np.argsort(groups.astype(np.uint16) if few else groups, kind="stable")
        pieces = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
        taken = None
        for places in sorted(pieces, key=lambda places: places[0]):  # as they come, so that a window is read at once
            group = int(groups[places[0]])
            held = self._group(group)
            if taken is None:
                taken = map_leaves(lambda leaf: np.empty((len(indices), *leaf.shape[1:]), leaf.dtype), held)
            for room, leaf in zip(leaves(taken), leaves(held), strict=True):
                room[places] = leaf[indices[places] - self._starts[group]]
        return taken

    def _group(self, number: int) -> tuple:
        """The rows of a row group; the last ones stay in memory, as many as a window needs."""
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        held = self._sizes_of(self._kept)
        size = self._sizes_of([number])
        while self._kept and held + size > self._room:
            held -= self._sizes_of([self._kept.popitem(last=False)[0]])
        self._kept[number] = self._read(number)
        return self._kept[number]

    def _sizes_of(self, numbers) -> int:
        return sum(int(self._starts[number + 1] - self._starts[number]) for number in numbers)

    def _read(self, number: int) -> tuple:
        import pyarrow

        place, group, first = self._groups[number]
        path = self.paths[place]
        if self._file is None or self._file[0] != place:
            self._file = place, _opened(path)
        try:
            table = self._file[1].read_row_group(group, columns=self._chosen.names, use_threads=False)
        except (pyarrow.ArrowException, OSError) as error:
            raise FileFormatError(f"{str(path)!r} cannot be read: {error}.") from error
        return self._chosen.arrays(lambda name: as_array(table.column(name), name, f"{str(path)!r}", first))


def _opened(path):
    """A Parquet file, its end read and checked."""
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowException as error:
        raise FileFormatError(f"{str(path)!r} is not a Parquet file, or is damaged: {error}.") from error
