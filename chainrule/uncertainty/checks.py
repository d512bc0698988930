"""Checks of what these functions are given."""
from numbers import Real

import numpy as np

from chainrule.data.arrays import as_arrays, check_labels
from chainrule.errors import DataError, SettingError, ShapeError, format_shape


def as_members(stacked, name: str = "stacked", least: int = 1) -> np.ndarray:
    """The predictions of several members, `(members, rows, ...)`, as an array without NaN.

    Args:
        stacked: the array, or a list of the members' predictions.
        name: what messages call it.
        least: how many members there must be.

    Raises:
        ShapeError: there is no axis of members or of rows, or too few members.
        DataError: a member predicts NaN or infinity.

    Example:
        >>> as_members([[0.25, 0.5], [0.75, 1.0]]).shape
        (2, 2)
    """
    array = as_arrays(stacked, name)
    array = array.astype(np.float32) if array.dtype.kind == "V" else array  # bfloat16
    if array.ndim < 2:
        raise ShapeError(f"{name} holds the predictions of several members, (members, rows, ...); got the shape "
                         f"{format_shape(array.shape)}. Predictions of one member alone are {name}[None].")
    if len(array) < least:
        raise ShapeError(f"{name} holds the predictions of {len(array)} members, and at least {least} are needed; its "
                         f"shape is {format_shape(array.shape)}, members first.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        wrong = [number for number, member in enumerate(array) if not np.isfinite(member).all()]
        listed = f"member {wrong[0]} predicts" if len(wrong) == 1 else (
            f"members {', '.join(map(str, wrong[:8]))}{', ...' if len(wrong) > 8 else ''} predict")
        raise DataError(f"{name}: {listed} NaN or infinity. Leave out what has diverged: "
                        f"numpy.delete({name}, {wrong[0] if len(wrong) == 1 else wrong[:8]}, axis=0).")
    return array


def check_level(level) -> float:
    """A level of intervals lies between 0 and 1.

    Example:
        >>> check_level(0.9)
        0.9
    """
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < level < 1:
        raise SettingError(f"`level` is the share of cases that an interval should hold, a number between 0 and 1; "
                           f"got {level!r}.{' 90 percent is 0.9.' if level == 90 else ''}")
    return float(level)


def as_pair(y, prediction, name: str = "prediction") -> tuple[np.ndarray, np.ndarray]:
    """Targets and what was predicted of them, both of the prediction's shape, finite, in 64 bits.

    Targets `(rows,)` beside predictions `(rows, 1)` are read as a column.

    Raises:
        ShapeError: the shapes differ.
        DataError: there are no rows, or NaN or infinity among the values.

    Example:
        >>> y, prediction = as_pair([1.0, 2.0], [[1.0], [2.5]])
        >>> (prediction - y).tolist()
        [[0.0], [0.5]]
    """
    y, prediction = as_arrays(y, "y"), as_arrays(prediction, name)
    if prediction.shape == (*y.shape, 1):
        y = y[..., None]
    if y.shape != prediction.shape or not y.ndim:
        raise ShapeError(f"y and {name} need the same shape, (rows, ...); got {format_shape(y.shape)} and "
                         f"{format_shape(prediction.shape)}.")
    for array, label in ((y, "y"), (prediction, name)):
        check_values(array, label)
    return y.astype(np.float64), prediction.astype(np.float64)


def check_values(array: np.ndarray, name: str) -> None:
    """Raise where there are no rows, or a value is NaN or infinite.

    Example:
        >>> check_values(np.array([1.0]), "y")
    """
    if not array.size:
        raise DataError(f"{name} has no rows; its shape is {format_shape(array.shape)}.")
    count = array.size - int(np.count_nonzero(np.isfinite(array.astype(np.float64))))
    if count:
        raise DataError(f"{name} has {count} value{'s' * (count > 1)} that {'are' if count > 1 else 'is'} NaN or "
                        f"infinite.")


def as_probabilities(probabilities, name: str = "probabilities") -> np.ndarray:
    """Probabilities of classes, `(..., classes)`, in 64 bits; those of one class beside those of the other.

    Raises:
        ShapeError: there is no axis of rows.
        DataError: a value is below 0 or above 1, or rows do not sum to 1.

    Example:
        >>> as_probabilities([[0.25], [1.0]]).tolist()
        [[0.75, 0.25], [0.0, 1.0]]
    """
    array = as_arrays(probabilities, name)
    if array.ndim < 1:
        raise ShapeError(f"{name} holds a row of probabilities for each example, (rows, classes); got one number.")
    check_values(array, name)
    array = array.astype(np.float64)
    if array.min() < 0 or array.max() > 1:
        raise DataError(f"{name} has values from {array.min():.4g} to {array.max():.4g}; probabilities go from 0 to 1. "
                        f"Scores before the activation are made probabilities by softmax or sigmoid.")
    if array.ndim == 1 or array.shape[-1] == 1:
        ones = array[..., None] if array.ndim == 1 else array
        return np.concatenate([1 - ones, ones], -1)
    off = np.abs(array.sum(-1) - 1).max()
    if off > 0.01:
        raise DataError(f"{name} has a row that sums to {array.sum(-1).flat[np.abs(array.sum(-1) - 1).argmax()]:.4g}; "
                        f"the probabilities of classes that exclude each other sum to 1. Give classes that do not "
                        f"exclude each other one by one: {name}[:, :1].")
    return array


def as_labels(y, rows: int, classes: int) -> np.ndarray:
    """True classes as integers `(rows,)`: labels, a column of them, or one-hot rows.

    Raises:
        ShapeError: there is not one for each row.
        DataError: they are not integers from 0 to `classes - 1`.

    Example:
        >>> as_labels([[0, 1], [1, 0]], 2, 2).tolist()
        [1, 0]
    """
    array = as_arrays(y, "y")
    if array.shape == (rows, classes) and classes > 1:
        return array.argmax(-1)
    if array.shape not in ((rows,), (rows, 1)):
        raise ShapeError(f"y holds one class for each of {rows} rows, ({rows},), or one-hot rows, ({rows}, {classes}); "
                         f"got {format_shape(array.shape)}.")
    check_labels(array, classes, "y")
    return array.reshape(rows).astype(np.int64)
