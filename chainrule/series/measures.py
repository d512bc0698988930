"""How good forecasts are, in figures that can be compared between series."""
import numpy as np

from chainrule.data.arrays import as_arrays, check_finite
from chainrule.data.series import as_columns, check_count
from chainrule.errors import DataError, ShapeError, format_shape


def mase(y_true, y_pred, history, season: int = 1) -> float:
    """Mean absolute scaled error: below 1 is better than the naive forecast was, on average, within the history.

        mean(|y - p|) / mean(|h[t] - h[t - season]|)

    Args:
        y_true, y_pred: targets `y` and forecasts `p` of one variable, of the same shape.
        history: the training part `h` of the series, `(rows,)`, in the same unit.
        season: how many steps a season has, 1 where there is none.

    Raises:
        ShapeError: targets and forecasts differ in shape, or the history has several variables.
        DataError: the history is not longer than a season, or never changes.

    Reference: Hyndman and Koehler, Another look at measures of forecast accuracy, 2006.

    Example:
        >>> mase([5.0, 6.0], [5.0, 7.0], history=[1.0, 2.0, 3.0, 4.0])
        0.5
    """
    check_count("season", season, 1)
    y_true, y_pred = _pair(y_true, y_pred)
    past, _ = as_columns(history, "history")
    check_finite(past, "history")
    if past.shape[1] != 1:
        raise ShapeError(f"history has {past.shape[1]} variables; mase compares one at a time.")
    if len(past) <= season:
        raise DataError(f"history has {len(past)} rows, and a season has {season}. Give the whole training part.")
    past = past.astype(np.float64)
    scale = np.abs(past[season:] - past[:-season]).mean()
    if scale == 0:
        raise DataError("history repeats itself without any change, so errors cannot be scaled by it.")
    return float(np.abs(y_true - y_pred).mean() / scale)


def smape(y_true, y_pred) -> float:
    """Symmetric mean absolute percentage error, 0 to 200: `100 * mean(2 * |y - p| / (|y| + |p|))`.

    Where both are 0, the error is 0.

    Args:
        y_true, y_pred: targets `y` and forecasts `p`, of the same shape.

    Raises:
        ShapeError: targets and forecasts differ in shape.

    Reference: Makridakis, Accuracy measures: theoretical and practical concerns, 1993.

    Example:
        >>> smape([100.0, 0.0], [60.0, 0.0])
        25.0
    """
    y_true, y_pred = _pair(y_true, y_pred)
    size = np.abs(y_true) + np.abs(y_pred)
    return float(100 * np.mean(np.where(size == 0, 0, 2 * np.abs(y_true - y_pred) / np.where(size == 0, 1, size))))


def coverage(y_true, lower, upper) -> float:
    """The share of targets that lie between two forecasts: near `0.8` for good quantiles 0.1 and 0.9.

        mean(lower <= y <= upper)

    Args:
        y_true: targets `y`.
        lower, upper: the forecasts below and above, of the same shape.

    Raises:
        ShapeError: the shapes differ.

    Reference: Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation, 2007, section 6.2.

    Example:
        >>> coverage([1.0, 2.0, 9.0, 4.0], [0.0, 0.0, 0.0, 0.0], [5.0, 5.0, 5.0, 5.0])
        0.75
    """
    y_true, lower = _pair(y_true, lower, "lower")
    _, upper = _pair(y_true, upper, "upper")
    return float(((lower <= y_true) & (y_true <= upper)).mean())


def _pair(y_true, y_pred, name: str = "y_pred") -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of the same shape, finite, in 64 bits."""
    arrays = as_arrays(y_true, "y_true"), as_arrays(y_pred, name)
    for array, label in zip(arrays, ("y_true", name), strict=True):
        check_finite(array, label)
    if arrays[0].shape != arrays[1].shape or not arrays[0].size:
        raise ShapeError(f"y_true and {name} need the same shape, with at least one value; got "
                         f"{format_shape(arrays[0].shape)} and {format_shape(arrays[1].shape)}.")
    return arrays[0].astype(np.float64), arrays[1].astype(np.float64)
