"""Data sets of Hugging Face as sources, known by what they can do: `datasets` itself is not imported."""
from collections.abc import Iterator

import numpy as np

from chainrule.data.columns import Selection
from chainrule.data.files import check_window
from chainrule.data.iterables import IterableSource
from chainrule.data.source import Source
from chainrule.errors import DataError

# How the column of targets is mostly called.
TARGETS = ("label", "labels")
ROWS = 32  # that are read at a time where rows only come one after another


class HuggingFaceDataset(Source):
    """A data set of Hugging Face's `datasets`, whose rows have numbers, as a source.

    `fit`, `evaluate` and `predict` make one of such a data set, or what is alike of an `IterableDataset`, and take the
    column `label` or `labels` for the targets.

    Args:
        dataset: a `datasets.Dataset`.
        target, columns, sample_weight, dtype: as for `ParquetFiles`. Images are arrays `(height, width, channels)`.
        window: how many rows are shuffled together, long runs of neighbours in random order before; all by default.
        in_memory: whether to load all rows at first; by default where they take less than a quarter of the memory, and
            no transformation is set, which may be random.

    Raises:
        UnknownNameError: there is no such column.
        DataError: a column holds neither numbers nor text, or values are missing.

    Example:
        >>> from datasets import Dataset  # doctest: +SKIP
        >>> letters = Dataset.from_dict({"pixels": [[0.0, 1.0], [1.0, 0.0]], "label": [0, 1]})  # doctest: +SKIP
        >>> HuggingFaceDataset(letters, target="label").load()[1].tolist()  # doctest: +SKIP
        [0, 1]
    """

    def __init__(self, dataset, target=None, columns=None, sample_weight: str | None = None,
                 window: int | None = None, in_memory: bool | None = None, dtype: str = "float32"):
        self.window = check_window(window)
        self._chosen = Selection(columns, target, sample_weight, dtype).of(dataset.column_names, "The data set")
        own = dataset.format["type"] == "custom"  # what the user's own function makes of rows
        self.dataset = dataset if own else dataset.with_format("numpy", columns=self._chosen.names)
        self.in_memory = False if in_memory is None and own else in_memory
        self.repeats = not own

    def __len__(self) -> int:
        return len(self.dataset)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} rows>"

    def rows(self, indices: np.ndarray) -> tuple:
        first = int(indices[0])
        together = len(indices) and (np.diff(indices) == 1).all()
        table = self.dataset[slice(first, first + len(indices)) if together else indices.tolist()]
        return _arrays(self._chosen, table, first)


class HuggingFaceBatches:
    """The rows of an `IterableDataset` of Hugging Face, some at a time, for an `IterableSource`.

    Args:
        dataset: the data set; its own shuffling is told of epochs.
        chosen: the columns.
    """

    def __init__(self, dataset, chosen: Selection):
        self.dataset, self._chosen = dataset, chosen

    def set_epoch(self, epoch: int) -> None:
        """Tell the data set which epoch comes: its buffer is shuffled by it."""
        self.dataset.set_epoch(epoch)

    def __iter__(self) -> Iterator[tuple]:
        place, chosen = 0, self._chosen
        for table in self.dataset.iter(batch_size=ROWS):
            chosen = chosen.of(table, "The data set")
            yield _arrays(chosen, table, place)
            place += len(next(iter(table.values())))


def usual_target(names) -> str | None:
    """The column that is mostly the target, where it is there."""
    return next((name for name in TARGETS if name in (names or ())), None)


def iterable_dataset(dataset, target=None, columns=None, window: int | None = None) -> IterableSource:
    """An `IterableDataset` of Hugging Face as a source."""
    if target is None and dataset.column_names is None:
        target = usual_target(next(iter(dataset)))
    chosen = Selection(columns, target or usual_target(dataset.column_names), None)
    return IterableSource(HuggingFaceBatches(dataset, chosen), window, name=f"the {type(dataset).__name__}")


def _arrays(chosen: Selection, table, first: int) -> tuple:
    def column(name: str) -> np.ndarray:
        try:
            array = np.asarray(table[name])
        except ValueError as error:
            raise DataError(f"The rows of the column {name!r} differ in shape, near row {first}. Make them alike, for "
                            f"instance by dataset.map, or cast_column for images.") from error
        if array.dtype.kind in "UT":
            return array.astype(object)
        if array.dtype.kind == "O" and not all(isinstance(entry, str) for entry in array.ravel()):
            what = "missing values" if any(entry is None for entry in array.ravel()) else "objects"
            raise DataError(f"The column {name!r} has {what} near row {first}; expected numbers, or text. Fill them, "
                            f"or leave the column out: columns=[...].")
        return array

    return chosen.arrays(column)
