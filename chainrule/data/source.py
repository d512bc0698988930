"""Rows that are read when they are needed: what a data set too big for memory, or slow to read, looks like to a fit."""
import os

import numpy as np

from chainrule.data.preparation import Preparation
from chainrule.data.shuffling import Windows
from chainrule.data.split import split_indices
from chainrule.errors import DataError, SettingError

# The part of this machine's memory that a source may fill; a bigger one is read chunk by chunk.
MEMORY_SHARE = 0.25
# The runs of rows that a window is made of: many, so that it mixes; long, so that each is read at once.
BLOCKS_IN_A_WINDOW = 64
MOST_ROWS_OF_A_BLOCK = 4096


class Source:
    """Rows that can be read in any order: the parent of `ImageFolder`, and of sources of one's own.

    A subclass gives `__len__`, and `rows`, which reads some of them. `fit`, `evaluate` and `predict` take a source in
    the place of `x` and `y`: one that fits into memory is loaded at first, a bigger one is read chunk by chunk, the
    next chunk while this one is trained on. Both ways train on the same batches.

    Attributes:
        labels: the class of every row, `(count,)`, where they are known without reading the rows; else `None`.
        preparation: what made the rows of raw data, such as a vocabulary: `fit` hands it to the model, whose file
            keeps it; else `None`.
        in_memory: whether to load all rows at first; `None` decides by their size.
        window: how many rows are shuffled together where rows are read chunk by chunk, runs of neighbours in random
            order before; `None` for all, which reads here and there. It is chosen by memory: that of a window is taken.
        batch_size: the rows of a batch where `fit` is told none; `None` for its own default.
        repeats: whether every epoch has the same rows. Else an epoch is read even where the last one is at hand.

    Example:
        >>> class Squares(Source):
        ...     def __len__(self):
        ...         return 10
        ...
        ...     def rows(self, indices):
        ...         return indices[:, None].astype("float32"), indices[:, None] ** 2
        >>> x, y = Squares().split(0.2)[1].load()
        >>> len(x), bool((x**2 == y).all())
        (2, True)
    """

    labels: np.ndarray | None = None
    preparation: Preparation | None = None
    in_memory: bool | None = None
    window: int | None = None
    batch_size: int | None = None
    repeats = True

    def __len__(self) -> int:
        """The number of rows."""
        raise SettingError(f"{type(self).__name__} has no `__len__`: write one that returns the number of rows.")

    def rows(self, indices: np.ndarray) -> tuple:
        """Read rows: `(x, y)`, each with a row for every index, in their order; or `(x, y, sample_weight)`.

        `x` is an array, or a list or dict of arrays for a network of several inputs; `y` likewise for several outputs,
        `None` where there are no targets. A batch's weighted loss is divided by its rows.
        It is called from another thread while training runs.
        """
        raise SettingError(
            f"{type(self).__name__} has no `rows`: write `def rows(self, indices)` that returns x and y for them.")

    def head(self) -> tuple:
        """The first row, as `rows` reads it."""
        return self.rows(np.arange(1))

    def begin(self, epoch: int) -> None:
        """Be told which epoch the rows that are asked for next belong to."""

    def blocks(self) -> np.ndarray:
        """Where each run of rows begins that is kept together by `window`."""
        return np.arange(0, len(self), max(1, min(self.window // BLOCKS_IN_A_WINDOW, MOST_ROWS_OF_A_BLOCK)))

    def order(self, key: np.ndarray, epoch: int, start: int, stop: int) -> np.ndarray | None:
        """The rows from `start` to `stop` in the order of a shuffled epoch; `None` leaves the order to `fit`.

        Args:
            key: two words that decide it, together with the epoch.
        """
        if self.window is None:
            return None
        if "_windows" not in self.__dict__:
            self._windows = Windows(len(self), self.blocks(), self.window)
        return self._windows.rows(key, epoch, start, stop)

    @property
    def nbytes(self) -> int:
        """The memory that all rows take, judged by the first."""
        return len(self) * self.row_bytes if len(self) else 0

    @property
    def row_bytes(self) -> int:
        """The memory of a row, judged by the first."""
        return sum(np.asarray(leaf).nbytes for leaf in leaves(self.head()))

    @property
    def fits_in_memory(self) -> bool:
        """Whether all rows are to be loaded at first."""
        if self.in_memory is not None:
            return self.in_memory
        return self.nbytes <= MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def load(self) -> tuple:
        """All rows: `(x, y)`."""
        return self.rows(np.arange(len(self)))

    def subset(self, indices) -> "Source":
        """Some of the rows, as a source of their own."""
        return Subset(self, indices)

    def split(self, fraction: float, seed: int = 0, stratify: bool = True) -> tuple["Source", "Source"]:
        """The rows to train on, and the rows held out.

        Args:
            fraction: the part of the rows to hold out, between 0 and 1.
            seed: decides which rows; the same seed gives the same rows.
            stratify: whether to hold out that part of each class, where `labels` are known.
        """
        classes = self.labels if stratify else None
        return tuple(self.subset(rows) for rows in split_indices(len(self), fraction, seed=seed, stratify=classes))


class Subset(Source):
    """Some rows of a source, by their numbers.

    Example:
        >>> class Numbers(Source):
        ...     def __len__(self):
        ...         return 10
        ...
        ...     def rows(self, indices):
        ...         return indices, None
        >>> Subset(Numbers(), [7, 2]).load()[0].tolist()
        [7, 2]
    """

    def __init__(self, source: Source, indices):
        indices = np.asarray(indices)
        if indices.ndim != 1 or indices.dtype.kind not in "iu":
            raise DataError(f"A subset is chosen by row numbers, one axis of integers; got {indices.dtype} of shape "
                            f"{indices.shape}.")
        if len(indices) and not (0 <= indices.min() and indices.max() < len(source)):
            raise DataError(f"A subset of {len(source)} rows has row numbers from 0 to {len(source) - 1}; got "
                            f"{indices.min()} to {indices.max()}.")
        self.source, self.indices = source, indices
        self.labels = None if source.labels is None else np.asarray(source.labels)[indices]
        self.in_memory, self.preparation, self.window = source.in_memory, source.preparation, source.window
        self.batch_size, self.repeats = source.batch_size, source.repeats

    def __len__(self) -> int:
        return len(self.indices)

    def __getattr__(self, name):
        # What else the source knows (the names of its classes) holds for its rows too.
        if name in ("source", "indices") or name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.source, name)

    def rows(self, indices: np.ndarray) -> tuple:
        return self.source.rows(self.indices[indices])

    def begin(self, epoch: int) -> None:
        self.source.begin(epoch)


def leaves(tree) -> list:
    """The arrays in a structure of tuples, lists and dicts; `None` is none."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [leaf for name in sorted(tree) for leaf in leaves(tree[name])]
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def map_leaves(function, tree, *others):
    """A structure of tuples, lists and dicts with `function` applied to its arrays; `None` stays.

    Args:
        others: structures of the same form, whose arrays are the further arguments.

    Example:
        >>> map_leaves(lambda one, other: one + other, {"a": 1, "b": (2, None)}, {"a": 10, "b": (20, None)})
        {'a': 11, 'b': (22, None)}
    """
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {name: map_leaves(function, part, *(other[name] for other in others)) for name, part in tree.items()}
    if isinstance(tree, (tuple, list)):
        return type(tree)([map_leaves(function, *parts) for parts in zip(tree, *others, strict=True)])
    return function(tree, *others)
