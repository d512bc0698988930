"""What times say: the step they go in, the season that belongs to it, and their place in the day, week and year."""
from types import MappingProxyType

import numpy as np

from chainrule.errors import DataError, SettingError, format_shape

_MINUTE, _HOUR, _DAY = 60, 3600, 86400  # seconds
_SEASON_OF_MONTHS = MappingProxyType({1: 12, 3: 4, 6: 2, 12: 1})
PERIODS = ("day", "week", "year")


def step_of(times) -> np.timedelta64:
    """The most frequent distance of times that follow each other: months or years as such, anything else in seconds.

    Args:
        times: `(rows,)`, datetime64, rising.

    Raises:
        DataError: fewer than two times, or times that do not rise.

    Example:
        >>> step_of(np.array(["2020-01-01", "2020-01-02", "2020-01-04", "2020-01-05"], "datetime64"))
        np.timedelta64(86400,'s')
        >>> step_of(np.array(["2020-01", "2020-02", "2020-03"], "datetime64"))
        np.timedelta64(1,'M')
    """
    times = as_times(times)
    if len(times) < 2:
        raise DataError(f"The step of times needs at least 2 of them; got {len(times)}.")
    months = times.astype("datetime64[M]")
    in_months = len(set((times - months).tolist())) == 1 and (np.diff(months).astype(int) > 0).all()
    distances = np.diff(months if in_months else times)
    if (distances.astype(int) <= 0).any():
        row = int(np.argmax(distances.astype(int) <= 0)) + 1
        raise DataError(f"Times must rise; the time in row {row}, {times[row]}, does not come after {times[row - 1]}.")
    values, counts = np.unique(distances, return_counts=True)
    return values[counts.argmax()]


def season_of(times) -> int:
    """How many steps the season has that is usual for times of this step.

    A day for steps shorter than one (24 for hours, 96 for quarters of an hour), a week for days (7; 5 where weekends
    are left out), a year for weeks (52), months (12) and quarters (4); 1, which is none, for years and other steps.

    Args:
        times: `(rows,)`, datetime64 or text such as `"2020-01-31"`, rising.

    Raises:
        DataError: fewer than two times, or times that do not rise.

    Example:
        >>> season_of(np.arange("2020-01-01", "2020-02-01", dtype="datetime64[D]"))
        7
        >>> season_of(["1949-01", "1949-02", "1949-03"])
        12
    """
    step = step_of(times)
    number = int(step.astype(int))
    if step.dtype == np.dtype("timedelta64[M]"):
        return _SEASON_OF_MONTHS.get(number, 1)
    if number == _DAY:
        weekdays = np.unique((as_times(times).astype("datetime64[D]").astype(int) + 3) % 7)  # Monday is 0
        return 5 if len(times) > 7 and weekdays.max() < 5 else 7
    if number < _DAY:
        return _DAY // number if _DAY % number == 0 else 1
    return 52 if number == 7 * _DAY else 1


def calendar(times, periods: tuple[str, ...] = PERIODS) -> np.ndarray:
    """Where times lie in the day, the week and the year, as points on a circle: known for the future too.

        sin(2 * pi * share), cos(2 * pi * share)

    for the share of each period that has passed.

    Args:
        times: `(rows,)`, datetime64 or text such as `"2020-01-31 12:00"`.
        periods: any of `"day"`, `"week"` and `"year"`.

    Returns:
        `(rows, 2 * len(periods))`, float32, as `known` of `series.windows` and `series.forecast` takes it.

    Raises:
        SettingError: another period.

    Example:
        >>> calendar(["2020-01-01 06:00", "2020-01-01 12:00"], ("day",)).round(3).tolist()
        [[1.0, 0.0], [0.0, -1.0]]
    """
    periods = (periods,) if isinstance(periods, str) else tuple(periods)
    if not periods or not set(periods) <= set(PERIODS):
        raise SettingError(f"periods are some of {', '.join(map(repr, PERIODS))}; got {periods!r}.")
    times = as_times(times)
    seconds = times.astype(np.int64)
    year = times.astype("datetime64[Y]")
    start, end = (bound.astype("datetime64[s]").astype(np.int64) for bound in (year, year + 1))
    shares = {"day": seconds % _DAY / _DAY, "week": (seconds + 3 * _DAY) % (7 * _DAY) / (7 * _DAY),
              "year": (seconds - start) / (end - start)}
    angles = 2 * np.pi * np.stack([shares[period] for period in periods], -1)
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(len(times), -1).astype(np.float32)


def as_times(times) -> np.ndarray:
    """Times as datetime64 in seconds, `(rows,)`.

    Raises:
        DataError: something is no time, or missing.

    Example:
        >>> as_times(["2020-01"])
        array(['2020-01-01T00:00:00'], dtype='datetime64[s]')
    """
    given = np.asarray(times)
    if given.dtype.kind not in "MUO" or given.ndim != 1:
        raise DataError(f"Times are a column of datetime64, or of text such as '2020-01-31 12:00'; got {given.dtype} "
                        f"of shape {format_shape(given.shape)}.")
    try:
        found = given.astype("datetime64[s]")
    except (ValueError, TypeError) as error:
        raise DataError(f"Times are datetime64 or text such as '2020-01-31 12:00'. {error}.") from error
    if np.isnat(found).any():
        raise DataError(f"The time in row {np.isnat(found).argmax()} is missing.")
    return found
