"""The data of a search: rows to train on, and rows to judge by, the same for all trials."""
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from chainrule.data.recognition import as_source
from chainrule.data.source import Source
from chainrule.data.split import split_indices
from chainrule.errors import DataError, SettingError, shortened
from chainrule.models import Model
from chainrule.population.division import labels_of
from chainrule.population.rows import assign_folds, check_folds, count_folds


@dataclass(frozen=True)
class TuningData:
    """Arrays, and how they are divided.

    Attributes:
        x, y: the rows to train on; with folds all rows.
        validation: `(x, y)` to judge by; `None` with folds.
        folds: the fold of each row; `None` without.
    """

    x: Any
    y: Any
    validation: tuple | None
    folds: np.ndarray | None

    @property
    def folds_count(self) -> int:
        """How many folds there are; 0 without."""
        return 0 if self.folds is None else count_folds(self.folds)

    @property
    def validates(self) -> bool:
        """Whether trials are judged on rows that they have not seen."""
        return self.validation is not None or self.folds is not None

    def digest(self) -> str:
        """A text that is the same for the same data, divided in the same way."""
        found = hashlib.sha256()
        for leaf in jax.tree.leaves((self.x, self.y, self.validation, self.folds)):
            array = np.ascontiguousarray(leaf)
            found.update(f"{array.shape} {array.dtype}".encode())
            found.update(repr(array.tolist()).encode() if array.dtype.kind in "OU" else memoryview(array).cast("B")
                         if array.size else b"")
        return found.hexdigest()


def check_data(given) -> tuple[Any, Any]:
    """Inputs and targets of the pair that holds them.

    Example:
        >>> check_data((np.zeros((3, 2)), np.zeros(3)))[0].shape
        (3, 2)
    """
    if isinstance(as_source(given), Source):
        raise SettingError(f"Networks are tuned on arrays in memory, and the data are a {type(given).__name__}, which "
                           f"is read in pieces. Load it: x, y = source.load().")
    if not isinstance(given, tuple) or len(given) != 2:
        raise SettingError(f"data is a pair of inputs and targets, tune(model, space, (x, y)); got {_told(given)}.")
    for part, name in zip(given, ("x", "y"), strict=True):
        if isinstance(as_source(part), Source):
            raise SettingError(f"Networks are tuned on arrays in memory, and {name} is a {type(part).__name__}, which "
                               f"is read in pieces. Load it: x, y = source.load().")
    return given


def _told(given) -> str:
    if isinstance(given, tuple):
        return f"{len(given)} parts"
    return f"{type(given).__name__}" if hasattr(given, "shape") else shortened(given)


def divide(model: Model, x, y, validation_data, validation_split: float, folds, seed: int) -> TuningData:
    """Rows to train on and to judge by, drawn by the seed, of each class its share.

    Args:
        model: a network of the search, which knows what its targets are.
        x, y: all rows.
        validation_data: `(x, y)` to judge by.
        validation_split: the share to judge by where there are no such data and no folds.
        folds: a number of folds, or the fold of each row.
        seed: decides which rows.
    """
    if folds is not None and validation_data is not None:
        raise SettingError("folds hold out rows for each trial to be judged on. Leave validation_data out.")
    if validation_data is not None:
        return TuningData(x, y, check_data(validation_data), None)
    with model._environment():
        inputs, targets = model._data_of(x, y)
        objective, count = model._objective(inputs, targets)
        labels = labels_of(objective, targets)
    if folds is not None:
        folds = check_folds(folds)
        if isinstance(folds, int):
            if folds > count:
                raise DataError(f"folds={folds} of {count} rows would leave folds empty. Take fewer folds.")
            folds = assign_folds(count, folds, seed, labels)
        return TuningData(x, y, None, folds)
    if not validation_split:
        return TuningData(x, y, None, None)
    if labels is not None and np.bincount(np.unique(labels, return_inverse=True)[1]).max() < 2:
        labels = None  # each row is a class of its own
    rows = split_indices(count, validation_split, seed=seed, stratify=labels)
    (kept_x, kept_y), held = (tuple(taken(part, chosen) for part in (x, y)) for chosen in rows)
    return TuningData(kept_x, kept_y, held, None)


def taken(given, rows: np.ndarray):
    """Some rows of arrays, of tables, and of dicts and lists of them.

    Example:
        >>> taken({"a": np.arange(4)}, np.array([0, 2]))
        {'a': array([0, 2])}
    """
    if hasattr(given, "iloc"):
        return given.iloc[rows]
    if isinstance(given, Mapping):
        return {name: taken(part, rows) for name, part in given.items()}
    if isinstance(given, (list, tuple)) and given and all(hasattr(part, "shape") for part in given):
        return type(given)(taken(part, rows) for part in given)
    return np.asarray(given)[rows]
