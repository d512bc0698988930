"""Which rows each member of a population sees: folds of a cross-validation, bootstrap samples. NumPy only."""
from dataclasses import dataclass

import numpy as np

from chainrule.errors import DataError, SettingError, ShapeError, format_shape, shortened


@dataclass(frozen=True)
class MemberRows:
    """The rows that members train on and those that they are judged on.

    Attributes:
        trained, held: for each member the numbers of its rows.
        folds: the fold of each row; `None` for bootstrap samples.
    """

    trained: list[np.ndarray]
    held: list[np.ndarray]
    folds: np.ndarray | None = None


def check_folds(folds):
    """The number of folds, or the fold of each row, checked.

    Example:
        >>> check_folds(5), check_folds([0, 0, 1]).tolist()
        (5, [0, 0, 1])
    """
    if np.ndim(folds) == 0:
        if isinstance(folds, bool) or not hasattr(folds, "__index__") or folds < 2:
            raise SettingError(f"folds is a whole number of at least 2, or the fold of each row; got "
                               f"{shortened(folds)}.")
        return int(folds)
    array = np.asarray(folds)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise SettingError(f"folds is a whole number of at least 2, or for each row the number of its fold, an array "
                           f"of integers of shape (rows,); got {array.dtype} of shape {format_shape(array.shape)}.")
    found = np.unique(array)
    if len(found) < 2 or not np.array_equal(found, np.arange(len(found))):
        raise SettingError(f"The folds of rows are numbered from 0 without a gap, two of them at least; got "
                           f"{shortened(found.tolist())}.")
    return array


def count_folds(folds) -> int:
    """How many folds there are."""
    return folds if isinstance(folds, int) else int(folds.max()) + 1


def divide(count: int, folds, size: int, seed: int, labels=None) -> MemberRows:
    """The rows of each member where member `i` holds out the fold `i % folds`.

    Args:
        count: the rows of the data.
        folds: their number, or the fold of each row.
        size: how many members there are.
        seed: decides which rows make a fold.
        labels: the class of each row, to have its share of each class in every fold.
    """
    if isinstance(folds, int):
        if folds > count:
            raise DataError(f"folds={folds} of {count} rows would leave folds empty. Take fewer folds.")
        folds = assign_folds(count, folds, seed, labels)
    elif len(folds) != count:
        raise ShapeError(f"folds gives the folds of {len(folds)} rows, and x has {count}: give one for each row.")
    number = count_folds(folds)
    held = [np.flatnonzero(folds == fold).astype(np.int32) for fold in range(number)]
    trained = [np.flatnonzero(folds != fold).astype(np.int32) for fold in range(number)]
    pick = lambda rows: [rows[member % number] for member in range(size)]
    return MemberRows(pick(trained), pick(held), folds)


def assign_folds(count: int, folds: int, seed: int, labels=None) -> np.ndarray:
    """The fold of each row: at random, with as many rows in each as can be, and of each class as many as can be.

    Example:
        >>> np.bincount(assign_folds(10, 5, seed=0)).tolist()
        [2, 2, 2, 2, 2]
    """
    order = np.random.default_rng(seed).permutation(count)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    numbers = np.empty(count, np.int32)
    numbers[order] = np.arange(count) % folds
    return numbers


def resample(count: int, seeds: np.ndarray) -> MemberRows:
    """As many rows as there are for each member, drawn with replacement by its seed; held are those never drawn."""
    trained = [np.sort(np.random.default_rng([int(seed), 1]).integers(0, count, count)).astype(np.int32)
               for seed in seeds]
    held = [np.setdiff1d(np.arange(count, dtype=np.int32), rows) for rows in trained]
    return MemberRows(trained, held)


def padded(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lists of rows as one array, short ones made up by their first row, and how many rows are real."""
    counts = np.array([len(own) for own in rows], np.int32)
    table = np.zeros((len(rows), max(counts.max(), 1)), np.int32)
    for line, own in zip(table, rows, strict=True):
        line[: len(own)] = own
        line[len(own):] = own[0] if len(own) else 0
    return table, counts
