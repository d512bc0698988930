"""Splitting rows into those to train on and those held out."""
from collections.abc import Sequence

import numpy as np

from chainrule.errors import DataError, SettingError, ShapeError, format_shape


def split(arrays: Sequence, fraction: float, seed: int = 0, stratify=None, groups=None) -> tuple[tuple, tuple]:
    """Split arrays of equal length into rows to train on and rows held out, the same rows in each.

    Args:
        arrays: numpy arrays, lists, or tables of pandas.
        fraction: the part of the rows to hold out, between 0 and 1.
        seed: decides which rows; the same seed gives the same rows.
        stratify: as for `split_indices`.
        groups: as for `split_indices`.

    Returns:
        The arrays with the rows to train on, and the arrays with the rows held out, both in the order given.

    Raises:
        DataError: the arrays are not equally long.

    Example:
        >>> x, y = np.arange(20).reshape(10, 2), np.arange(10) % 2
        >>> (x_train, y_train), (x_held, y_held) = split((x, y), 0.2, seed=0, stratify=y)
        >>> x_train.shape, sorted(y_held.tolist())
        ((8, 2), [0, 1])
    """
    arrays = [array if hasattr(array, "shape") else np.asarray(array) for array in arrays]
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) != 1:
        raise DataError(f"split needs at least one array, and arrays of equal length; got the lengths {lengths}.")
    parts = split_indices(lengths[0], fraction, seed=seed, stratify=stratify, groups=groups)
    train, held = (tuple(_take(array, rows) for array in arrays) for rows in parts)
    return train, held


def split_indices(count: int, fraction: float, *, seed: int = 0, stratify=None, groups=None,
                  time: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the rows to train on and of the rows to hold out, each in rising order.

    Of `count` rows, `round(count * fraction)` are held out, at least one and never all:

    - at random, by `seed`;
    - stratified: of each class that part, and at least one row on either side. A class of one row is trained on. Where
      many classes are small, more rows than `fraction` are held out for it;
    - grouped: whole groups at random, as long as they fit into that many rows (the smallest group, if none fits);
    - by time: the last rows.

    Args:
        count: the number of rows.
        fraction: the part of the rows to hold out, between 0 and 1.
        seed: decides which rows; the same seed gives the same rows.
        stratify: the class of each row, of any type: `(count,)`.
        groups: the group of each row (a patient, a household), never on both sides: `(count,)`.
        time: whether the rows are in the order of time, to hold out the last ones; uses no seed.

    Returns:
        `(train, held)`, two integer arrays that share no row and together have every row.

    Raises:
        SettingError: `fraction` is not between 0 and 1, or two of the ways are asked for at once.
        DataError: there is nothing to split: one row, one group, or a different class in each row.

    Example:
        >>> train, held = split_indices(10, 0.3, time=True)
        >>> train, held
        (array([0, 1, 2, 3, 4, 5, 6]), array([7, 8, 9]))
    """
    if not 0 < fraction < 1:
        raise SettingError(f"The fraction to hold out lies between 0 and 1, both excluded; got {fraction!r}.")
    if count < 2:
        raise DataError(f"A split needs at least 2 rows, one for each side; got {count}.")
    ways = {"stratify": stratify is not None, "groups": groups is not None, "time": time}
    if sum(ways.values()) > 1:
        chosen = [name for name, given in ways.items() if given]
        raise SettingError(f"Rows are split by one of stratify, groups and time; got {' and '.join(chosen)}.")
    wanted = min(max(round(count * fraction), 1), count - 1)
    random = np.random.default_rng(seed)
    if stratify is not None:
        held = _stratified(_codes(stratify, count, "stratify"), fraction, random)
    elif groups is not None:
        held = _grouped(_codes(groups, count, "groups"), wanted, random)
    else:
        held = np.arange(count - wanted, count) if time else random.permutation(count)[:wanted]
    is_held = np.zeros(count, bool)
    is_held[held] = True
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def _stratified(codes: np.ndarray, fraction: float, random: np.random.Generator) -> np.ndarray:
    """Rows to hold out, from each class its part."""
    sizes = np.bincount(codes)
    share = np.where(sizes > 1, sizes * fraction, 0)
    held = np.clip(np.floor(share).astype(int), np.minimum(sizes - 1, 1), sizes - 1)
    if not held.any():
        raise DataError("No class of stratify has two rows, so none can be on both sides. "
                        "Targets that are measured, not counted, cannot be stratified: leave stratify out.")
    # What rounding down has lost goes, a row each, to the classes that lost most.
    spare = max(round(share.sum()) - held.sum(), 0)
    short = np.argsort(held - share, kind="stable")
    held[short[held[short] < sizes[short] - 1][:spare]] += 1
    # Rows in random order, then stably by class: each class a run of its rows, the first of which are held out.
    order = random.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    place = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[place < np.repeat(held, sizes)]


def _grouped(codes: np.ndarray, wanted: int, random: np.random.Generator) -> np.ndarray:
    """Rows to hold out: groups in random order, each taken if it still fits."""
    sizes = np.bincount(codes)
    if len(sizes) < 2:
        raise DataError("groups has the same value in every row. A split needs at least 2 groups, one for each side.")
    held, rows = np.zeros(len(sizes), bool), 0
    for group in random.permutation(len(sizes)):
        if rows + sizes[group] <= wanted:
            held[group] = True
            rows += sizes[group]
    if not rows:
        held[sizes.argmin()] = True
    return np.flatnonzero(held[codes])


def _codes(values, count: int, name: str) -> np.ndarray:
    """The distinct values numbered from 0: for each row, the number of its value."""
    values = np.asarray(values)
    if values.shape == (count, 1):
        values = values[:, 0]
    if values.shape != (count,):
        hint = " For one-hot rows give their argmax(1)." if values.ndim == 2 else ""
        raise ShapeError(f"{name} needs one value a row, the shape ({count},); "
                         f"got the shape {format_shape(values.shape)}.{hint}")
    try:
        return np.unique(values, return_inverse=True)[1]
    except TypeError as error:
        kinds = sorted({type(value).__name__ for value in values.tolist()})
        raise DataError(f"{name} mixes types that cannot be compared ({', '.join(kinds)}). "
                        f"Make them all text: {name}.astype(str).") from error


def _take(array, rows: np.ndarray):
    return array.iloc[rows] if hasattr(array, "iloc") else array[rows]
