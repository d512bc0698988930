"""CSV files, read block by block: tables bigger than memory."""
from collections.abc import Iterator

from chainrule.data.arrow import as_array, check_type, require_arrow
from chainrule.data.columns import Selection
from chainrule.data.files import find_files
from chainrule.data.iterables import IterableSource
from chainrule.data.parquet_files import WINDOW
from chainrule.data.source import leaves
from chainrule.errors import DataError, SettingError

BLOCK_BYTES = 2 << 20


class CSVFiles(IterableSource):
    """CSV files whose first line names the columns, as a source; needs `pip install 'chainrule[tables]'`.

    A file is read from the front to the end, block by block, and its rows are shuffled within windows of neighbours:
    where the rows are sorted, shuffle them once on disk, or write them as Parquet. Files that end in `.gz` are
    unpacked on the way. A first pass counts the rows.

    Args:
        paths: a file, a list of files, a pattern (`"part-*.csv"`) or a folder: their rows follow one another.
        target, columns, sample_weight, dtype: as for `ParquetFiles`.
        window: how many rows are shuffled together; `None` keeps the order of the files.
        in_memory: whether to load all rows at first, which are then shuffled as a whole; by default where they take
            less than a quarter of the memory.
        delimiter: what parts the cells.

    Raises:
        MissingDataError: there is no such file, or pyarrow is not installed.
        UnknownNameError: there is no such column.
        DataError: a cell is missing or no number, a line has too few or too many cells, or there are no rows.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "houses.csv"
        ...     _ = path.write_text("age,rooms,price\\n30,2,1.5\\n40,3,2.5\\n")
        ...     x, y = CSVFiles(path, target="price").load()
        >>> x.tolist(), y.tolist()
        ([[30.0, 2.0], [40.0, 3.0]], [1.5, 2.5])
    """

    in_memory = None
    batch_size = None
    repeats = True

    def __init__(self, paths, target=None, columns=None, sample_weight: str | None = None,
                 window: int | None = WINDOW, in_memory: bool | None = None, dtype: str = "float32",
                 delimiter: str = ","):
        require_arrow()
        import pyarrow

        if not isinstance(delimiter, str) or len(delimiter) != 1:
            raise SettingError(f"delimiter is one character; got {delimiter!r}.")
        self.paths, self.delimiter = find_files(paths, ".csv"), delimiter
        chosen = Selection(columns, target, sample_weight, dtype)
        for path in self.paths:
            schema = self._reader(path).schema
            chosen = chosen.of(schema.names, f"{str(path)!r}")
            if all(map(pyarrow.types.is_null, schema.types)):
                raise DataError(f"{str(path)!r} has no rows.")
            for name in chosen.names:
                kind = schema.field(name).type
                if not pyarrow.types.is_null(kind):  # which may be empty in the first block alone
                    check_type(kind, name, f"{str(path)!r}", name in chosen.alone)
        self._chosen, self._types = chosen, _types(chosen, [self._reader(path).schema for path in self.paths])
        super().__init__(self._batches, window, name=f"the file {str(self.paths[0])!r}" if len(self.paths) == 1 else
                         f"the {len(self.paths)} files")
        self.in_memory = in_memory

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._feed.name}>"

    def _reader(self, path, names: list[str] | None = None):
        import pyarrow
        import pyarrow.csv as csv

        convert = csv.ConvertOptions() if names is None else csv.ConvertOptions(
            include_columns=names, column_types=self._types)
        try:
            return csv.open_csv(path, csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
                                csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True), convert)
        except pyarrow.ArrowInvalid as error:
            empty = "Empty CSV file" in str(error)
            raise DataError(f"{str(path)!r} is empty." if empty else f"{str(path)!r}: {error}.") from error

    def _batches(self) -> Iterator[tuple]:
        """The rows, block by block."""
        import pyarrow

        for path in self.paths:
            reader, first = self._reader(path, self._chosen.names), 0
            while True:
                try:
                    block = reader.read_next_batch()
                except StopIteration:
                    break
                except pyarrow.ArrowInvalid as error:
                    raise DataError(f"{str(path)!r}: {error}.") from error
                column = lambda name, block=block, path=path, first=first: as_array(
                    block.column(name), name, f"{str(path)!r}", first)
                if len(block):
                    yield self._chosen.arrays(column)
                first += len(block)


def _types(chosen: Selection, schemas: list) -> dict:
    """The type to read each column as: one for all blocks of all files, where the first of each says what it is."""
    import pyarrow

    types = {}
    for name in chosen.names:
        found = [schema.field(name).type for schema in schemas]
        if not any(pyarrow.types.is_string(kind) or pyarrow.types.is_boolean(kind) for kind in found):
            whole = name in leaves(chosen.target) and all(map(pyarrow.types.is_integer, found))
            types[name] = pyarrow.int64() if whole else pyarrow.float64()
        else:
            types[name] = next(kind for kind in found if not pyarrow.types.is_null(kind))
    return types
