"""Checks of what these functions are given."""
from numbers import Real

import numpy as np

from chainrule.data.arrays import as_arrays
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
