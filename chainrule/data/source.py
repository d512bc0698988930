"""Rows that are read when they are needed: what a data set too big for memory, or slow to read, looks like to a fit."""
import os

import numpy as np

from chainrule.data.preparation import Preparation
from chainrule.data.split import split_indices
from chainrule.errors import DataError, SettingError

# The part of this machine's memory that a source may fill; a bigger one is read chunk by chunk.
MEMORY_SHARE = 0.25


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

    def __len__(self) -> int:
        """The number of rows."""
        raise SettingError(f"{type(self).__name__} has no `__len__`: write one that returns the number of rows.")

    def rows(self, indices: np.ndarray) -> tuple:
        """Read rows: `(x, y)`, each with a row for every index, in their order.

        `x` is an array, or a list or dict of arrays for a network of several inputs; `y` likewise for several outputs,
        `None` where there are no targets.
        It is called from another thread while training runs.
        """
        raise SettingError(
            f"{type(self).__name__} has no `rows`: write `def rows(self, indices)` that returns x and y for them.")

    @property
    def nbytes(self) -> int:
        """The memory that all rows take, judged by the first."""
        if not len(self):
            return 0
        return len(self) * sum(np.asarray(leaf).nbytes for leaf in leaves(self.rows(np.arange(1))))

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
        self.in_memory, self.preparation = source.in_memory, source.preparation

    def __len__(self) -> int:
        return len(self.indices)

    def __getattr__(self, name):
        # What else the source knows (the names of its classes) holds for its rows too.
        if name in ("source", "indices") or name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.source, name)

    def rows(self, indices: np.ndarray) -> tuple:
        return self.source.rows(self.indices[indices])


def leaves(tree) -> list:
    """The arrays in a structure of tuples, lists and dicts; `None` is none."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [leaf for name in sorted(tree) for leaf in leaves(tree[name])]
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]
