"""Forecasts that cost nothing, which a network has to beat: the last value, the last season, a linear map."""
import numpy as np

from chainrule.data.arrays import as_arrays
from chainrule.data.series import check_count, find_columns
from chainrule.errors import DataError, SettingError, ShapeError, format_shape
from chainrule.layers import AveragePooling1D, Dense, Permute, Reshape
from chainrule.models import Model
from chainrule.network.graph import Input


def naive(x, horizon: int = 1, target=None) -> np.ndarray:
    """The last value of each window, for every step of the horizon: "tomorrow is as today".

    Args:
        x: windows as `series.windows` makes them, `(n, length, variables)`, or its dict.
        horizon: how many steps to predict.
        target: as for `series.windows`, by number.

    Returns:
        The forecast in the shape of the windows' targets: `(n, horizon)`, or `(n, horizon, targets)` for several.

    Reference: Hyndman and Athanasopoulos, Forecasting: principles and practice, 2021, section 5.2.

    Example:
        >>> naive(np.array([[[1.0], [5.0]]]), horizon=3).tolist()
        [[5.0, 5.0, 5.0]]
    """
    return seasonal_naive(x, horizon, season=1, target=target)


def seasonal_naive(x, horizon: int = 1, *, season: int, gap: int = 0, target=None) -> np.ndarray:
    """The value one season before each step of the horizon: "tomorrow at noon is as today at noon".

        forecast[h] = x[length + gap + h - season * k]

    with the least `k` that leads into the window.

    Args:
        x: windows as `series.windows` makes them, `(n, length, variables)`, or its dict.
        horizon: how many steps to predict.
        season: how many steps a season has; `series.season_of(times)` finds the usual one.
        gap: how many steps lie between the window and the horizon.
        target: as for `series.windows`, by number.

    Returns:
        The forecast in the shape of the windows' targets: `(n, horizon)`, or `(n, horizon, targets)` for several.

    Raises:
        DataError: a window is shorter than a season.

    Reference: Hyndman and Athanasopoulos, Forecasting: principles and practice, 2021, section 5.2.

    Example:
        >>> seasonal_naive(np.array([[[1.0], [2.0], [3.0]]]), horizon=4, season=3).tolist()
        [[1.0, 2.0, 3.0, 1.0]]
    """
    for name, number, least in (("horizon", horizon, 1), ("season", season, 1), ("gap", gap, 0)):
        check_count(name, number, least)
    x = as_arrays(x["past"] if isinstance(x, dict) and "past" in x else x, "x")
    if x.ndim != 3:
        raise ShapeError(f"x has the shape {format_shape(x.shape)}; expected windows (n, length, variables), as "
                         f"series.windows makes them.")
    length = x.shape[1]
    if length < season:
        raise DataError(f"The windows have {length} rows, and a season has {season}. Make longer windows.")
    columns, one = find_columns(target, None, x.shape[2])
    ahead = gap + np.arange(horizon)
    found = x[:, length + ahead - season * (ahead // season + 1)]
    return found[..., columns[0]] if one else found[..., columns]


def linear(length: int, horizon: int = 1, variables: int = 1, target: int | None = None,
           kernel_size: int = 25) -> Model:
    """A linear network for windows: one map from the past to the future for the trend, and one for the rest.

        u = x - x[last]        trend = moving average of u        rest = u - trend
        y = x[last] + A @ trend + a + B @ rest + b

    All variables share the maps. It starts as the naive forecast (`A`, `B`, `a` and `b` are zeros), and is hard to beat
    where a series has a season and a drift. Compile and fit it as any model.

    Shapes: `(batch, length, variables)` to `(batch, horizon)` for one variable or a `target`, else
    `(batch, horizon, variables)`.

    Args:
        length: how many rows a window has.
        horizon: how many rows are predicted.
        variables: how many variables a window has.
        target: the number of the variable to predict, which is then the only one looked at; all by default.
        kernel_size: how many rows the moving average takes; at the ends it takes those that are there.

    Reference: Zeng, Chen, Zhang and Xu, Are transformers effective for time series forecasting?, 2023 (DLinear, with
    the last value taken off as in NLinear).

    Example:
        >>> model = linear(length=48, horizon=24)
        >>> model.predict(np.full((1, 48, 1), 3.0)).shape
        (1, 24)
    """
    for name, number in (("length", length), ("horizon", horizon), ("variables", variables),
                         ("kernel_size", kernel_size)):
        check_count(name, number, 1)
    if target is not None and (isinstance(target, bool) or not isinstance(target, int) or not 0 <= target < variables):
        raise SettingError(f"target is the number of a variable, from 0 to {variables - 1}, or None for all; got "
                           f"{target!r}.")
    inputs = Input((length, variables))
    past = inputs if target is None else inputs[:, :, target : target + 1]
    last = past[:, -1:, :]
    moved = past - last
    trend = AveragePooling1D(kernel_size, strides=1, padding="same", name="trend")(moved)
    by_variable = Permute((2, 1))
    future = (Dense(horizon, kernel_initializer="zeros", name="from_trend")(by_variable(trend))
              + Dense(horizon, kernel_initializer="zeros", name="from_rest")(by_variable(moved - trend)))
    outputs = by_variable(future) + last
    return Model(inputs, Reshape((horizon,))(outputs) if variables == 1 or target is not None else outputs)
