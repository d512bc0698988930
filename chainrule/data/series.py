"""Series in the order of time: the forms they come in, windows of them, gaps, lengths, and splits that keep the order.

A series has a row for each time and a column for each variable. It is given as an array `(rows,)` or
`(rows, variables)`, a table of pandas, a dict of columns, or what `series.read_csv` returns. A list or tuple of these
is several series, whose lengths may differ.
"""
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from chainrule.data.arrays import as_arrays, check_lengths
from chainrule.data.source import Source
from chainrule.errors import DataError, SettingError, ShapeError, UnknownNameError, did_you_mean, format_shape

MISSING_WINDOWS = ("error", "skip")


def windows(values, length: int, horizon: int = 1, gap: int = 0, stride: int = 1, *, target=None, known=None,
            missing: str = "error") -> tuple:
    """Windows of a series as inputs, and what follows each as its target.

        x[i] = values[s : s + length]
        y[i] = values[s + length + gap : s + length + gap + horizon, target]        with s = i * stride

    Nothing later than row `s + length - 1` reaches `x[i]`. Of several series each has windows of its own; one that is
    too short for a window has none.

    Args:
        values: a series, `(rows,)` or `(rows, variables)`, or a list of several.
        length: how many rows a network sees.
        horizon: how many rows it predicts.
        gap: how many rows lie between the last that is seen and the first that is predicted.
        stride: how many rows the next window begins after one.
        target: the column to predict, by number or name, or a list of them; by default all of them.
        known: what is known of the future too (holidays, the time of the day), a row for each row of `values`:
            `(rows,)` or `(rows, k)`, or a list for several series. Each window gets the rows of its horizon.
        missing: `"error"` refuses NaN, `"skip"` leaves out the windows that touch it.

    Returns:
        `(x, y)`, with `x` of shape `(n, length, variables)`. `y` is `(n, horizon)` for one target and
        `(n, horizon, targets)` for several: for a list of them, and for all of several variables. With `known`, `x` is
        a dict for a network of two inputs, `{"past": (n, length, variables), "known": (n, horizon, k)}`. Windows of one
        series are read-only views of its memory: copy them before changing them.

    Raises:
        DataError: no window fits, or a value is missing.
        SettingError: a length that is no positive number.
        UnknownNameError: there is no such column.

    Example:
        >>> x, y = windows(np.arange(6.0), length=3, horizon=2)
        >>> x[..., 0].tolist(), y.tolist()
        ([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]], [[3.0, 4.0], [4.0, 5.0]])
    """
    return WindowSource(values, length, horizon, gap=gap, stride=stride, target=target, known=known,
                        missing=missing).load()


class WindowSource(Source):
    """The windows of a series as a `Source`: made when they are needed, for series whose windows would fill the memory.

    Args:
        values, length, horizon, gap, stride, target, known, missing: as for `windows`.
        scaling: a `Scaling` that has been fitted, on the part to train on. Inputs and targets are scaled by it as they
            are read, and a model that is fitted on the source keeps it as its `preparation`, so that
            `series.forecast` takes and returns plain units.

    Example:
        >>> source = WindowSource(np.arange(100.0), length=10, horizon=2)
        >>> x, y = source.rows(np.array([5]))
        >>> len(source), x.shape, y.tolist()
        (89, (1, 10, 1), [[15.0, 16.0]])
    """

    def __init__(self, values, length: int, horizon: int = 1, gap: int = 0, stride: int = 1, *, target=None, known=None,
                 missing: str = "error", scaling=None):
        for name, number, least in (("length", length, 1), ("horizon", horizon, 1), ("gap", gap, 0),
                                    ("stride", stride, 1)):
            check_count(name, number, least)
        if missing not in MISSING_WINDOWS:
            raise SettingError(f"missing is one of {', '.join(map(repr, MISSING_WINDOWS))}; got {missing!r}.")
        self.length, self.horizon, self.gap, self.stride = int(length), int(horizon), int(gap), int(stride)
        series, names = all_columns(values)
        self._values = series[0] if len(series) == 1 else np.concatenate(series)
        self._known = None if known is None else _known_columns(known, series)
        self.columns, self._one = find_columns(target, names, self._values.shape[1])
        self._targets = self._values[:, self.columns[0] if self._one else self.columns]
        self._one_series = len(series) == 1
        self.preparation = scaling
        self._starts, self._series = self._fitting([len(part) for part in series])
        if missing == "skip":
            kept = self._complete()
            self._starts, self._series = self._starts[kept], self._series[kept]
            self._one_series = self._one_series and bool(kept.all())
            if not len(self._starts):
                raise DataError("Every window of values touches a missing value. Fill them first: series.fill(values).")
        else:
            self._check_complete(series, names)

    def _fitting(self, lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Where each window begins, and the series it is in."""
        needed = self.length + self.gap + self.horizon
        if max(lengths) < needed:
            rows = (f"values has {lengths[0]} row{'s' * (lengths[0] != 1)}" if len(lengths) == 1 else
                    f"The longest of {len(lengths)} series has {max(lengths)} rows")
            raise DataError(f"{rows}, and a window takes {needed}: length {self.length}, gap {self.gap}, horizon "
                            f"{self.horizon}. Give more rows or a smaller length.")
        offsets = np.cumsum([0, *lengths[:-1]])
        parts = [offset + np.arange(0, rows - needed + 1, self.stride)
                 for offset, rows in zip(offsets, lengths, strict=True)]
        return np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])

    def _complete(self) -> np.ndarray:
        """Which windows have every value."""
        seen, ahead = _missing_before(self._values), _missing_before(self._targets)
        begin = self._starts + self.length + self.gap
        missing = (seen[self._starts + self.length] - seen[self._starts]
                   + ahead[begin + self.horizon] - ahead[begin])
        if self._known is not None:
            coming = _missing_before(self._known)
            missing += coming[begin + self.horizon] - coming[begin]
        return missing == 0

    def _check_complete(self, series: list[np.ndarray], names: list[str] | None) -> None:
        """Raise where a value is missing, naming the first."""
        for index, part in enumerate(series):
            check_complete(part, "values" if len(series) == 1 else f"values[{index}]", names,
                           "Fill them (series.fill(values)), or leave such windows out: missing='skip'.")
        if self._known is not None:
            check_complete(self._known, "known", None, "What is known of the future is known for every row.")

    def __len__(self) -> int:
        return len(self._starts)

    def rows(self, indices: np.ndarray) -> tuple:
        starts = self._starts[indices][:, None]
        ahead = starts + self.length + self.gap + np.arange(self.horizon)
        x, y = self._values[starts + np.arange(self.length)], self._targets[ahead]
        return self._scaled(x, y, None if self._known is None else self._known[ahead])

    def load(self) -> tuple:
        """All windows; of one series as views of its memory, where nothing has to be scaled."""
        if not self._one_series:
            return super().load()
        chosen = slice(0, int(self._starts[-1]) + 1, self.stride)
        ahead = slice(self.length + self.gap, None)
        known = None if self._known is None else _views(self._known[ahead], self.horizon)[chosen]
        return self._scaled(_views(self._values, self.length)[chosen],
                            _views(self._targets[ahead], self.horizon)[chosen], known)

    def _scaled(self, x, y, known) -> tuple:
        if self.preparation is not None:
            x, y = self.preparation.transform(x), self.preparation.transform(y, self._names_of_targets())
        return (x if known is None else {"past": x, "known": known}), y

    def _names_of_targets(self):
        return self.columns[0] if self._one else self.columns

    def split(self, fraction: float, seed: int = 0, stratify: bool = True) -> tuple[Source, Source]:
        """The windows to train on, and the last windows of each series, held out.

        Windows overlap, so they are split by time and never at random: no target is on both sides, and windows that
        reach over the cut are in neither part.

        Args:
            fraction: the part of the windows to hold out, between 0 and 1.
            seed, stratify: as for other sources, and without a meaning here.
        """
        if not 0 < fraction < 1:
            raise SettingError(f"The fraction to hold out lies between 0 and 1, both excluded; got {fraction!r}.")
        train, held = [], []
        for number in np.unique(self._series):
            rows = np.flatnonzero(self._series == number)
            cut = len(rows) - round(len(rows) * fraction)
            if cut < len(rows):
                held.append(rows[cut:])
                rows = rows[self._starts[rows] + self.horizon <= self._starts[rows[cut]]]
            train.append(rows)
        if not held or not sum(map(len, train)):
            raise DataError(f"Holding out {fraction} of {len(self)} windows leaves one side empty. Use more rows or "
                            f"another fraction.")
        return self.subset(np.concatenate(train)), self.subset(np.concatenate(held))


def split(values, validation: float | int | None = None, test: float | int | None = None, length: int = 0) -> tuple:
    """A series cut into parts in the order of time: to train on, to choose by, to test on.

    By default the parts share no row, so the first windows of a part predict what comes `length` rows after the cut.
    With `length`, every part but the first begins that many rows earlier: its first window then sees the last rows of
    the part before and predicts the first row after the cut, and every row after it is predicted. Targets are in one
    part alone either way. (With windows that have a `gap`, give `length + gap`.)

    Args:
        values: a series, or a list of several, each of which is cut.
        validation: the size of the part to choose by: a share of the rows between 0 and 1, or a number of rows; `None`
            for none.
        test: the size of the last part, likewise.
        length: how many rows of the part before each part has as well, for the inputs of windows.

    Returns:
        `(train, validation, test)`, without those that were not asked for, in the form of `values`.

    Raises:
        SettingError: a size is no share and no number of rows.
        DataError: nothing is left to train on, or fewer than `length` rows lie before a part.

    Example:
        >>> train, held = split(np.arange(10), test=0.3)
        >>> train.tolist(), held.tolist()
        ([0, 1, 2, 3, 4, 5, 6], [7, 8, 9])
        >>> split(np.arange(10), test=3, length=2)[1].tolist()
        [5, 6, 7, 8, 9]
    """
    check_count("length", length, 0)
    sizes = {name: size for name, size in (("validation", validation), ("test", test)) if size is not None}
    if not sizes:
        raise SettingError("split needs the size of a part to hold out: validation=0.1, test=0.2, or numbers of rows.")
    for name, size in sizes.items():
        share = isinstance(size, (float, np.floating)) and 0 < size < 1
        if isinstance(size, bool) or not (share or isinstance(size, (int, np.integer)) and size > 0):
            raise SettingError(f"{name} is a share of the rows between 0 and 1, or a number of rows; got {size!r}.")
    if is_several(values):
        parts = [split(part, validation, test, length) for part in values]
        return tuple(list(part) for part in zip(*parts, strict=True))
    if isinstance(values, (list, tuple)):
        values = np.asarray(values)
    rows = len(next(iter(values.values()))) if isinstance(values, Mapping) else len(values)
    counts = [max(round(size * rows), 1) if isinstance(size, (float, np.floating)) else int(size)
              for size in sizes.values()]
    if sum(counts) >= rows:
        raise DataError(f"values has {rows} rows, and {' and '.join(sizes)} take {sum(counts)}: nothing is left to "
                        f"train on.")
    cuts = rows - np.cumsum([0, *counts[::-1]])[::-1]
    if length > cuts[0]:
        raise DataError(f"length={length} rows before the first cut are asked for; there are {cuts[0]}.")
    return _rows_between(values, 0, cuts[0]), *(
        _rows_between(values, start - length, stop) for start, stop in zip(cuts[:-1], cuts[1:], strict=True))


def fill(values, how: str = "interpolate") -> np.ndarray:
    """A series with its missing values (NaN) filled, each variable by itself.

    Args:
        values: numbers, `(rows,)` or `(rows, variables)`.
        how: `"interpolate"` draws a straight line between the neighbours, and repeats the first and the last value
            beyond them; it looks into the future of a gap. `"forward"` repeats the last value before a gap.

    Returns:
        An array of the shape of `values`.

    Raises:
        DataError: a variable has no value at all, or none before its first gap (for `"forward"`).

    Example:
        >>> fill([1.0, float("nan"), 3.0, float("nan")]).tolist()
        [1.0, 2.0, 3.0, 3.0]
        >>> fill([1.0, float("nan"), 3.0, float("nan")], "forward").tolist()
        [1.0, 1.0, 3.0, 3.0]
    """
    if how not in ("interpolate", "forward"):
        raise SettingError(f"Gaps are filled by 'interpolate' or 'forward'; got {how!r}.")
    columns, names = as_columns(values)
    filled = columns.astype(np.result_type(columns.dtype, np.float32))
    rows = np.arange(len(filled))
    for index, column in enumerate(filled.T):
        there = ~np.isnan(column)
        if there.all():
            continue
        label = f"column {names[index]!r}" if names else "values" if filled.shape[1] == 1 else f"column {index}"
        if not there.any():
            raise DataError(f"{label[0].upper()}{label[1:]} has no value at all, so its gaps cannot be filled. Leave "
                            f"it out.")
        if how == "interpolate":
            column[~there] = np.interp(rows[~there], rows[there], column[there])
            continue
        if not there[0]:
            raise DataError(f"{label[0].upper()}{label[1:]} begins with a missing value, and 'forward' has nothing to "
                            f"repeat. Use 'interpolate', or begin at row {there.argmax()}.")
        column[:] = column[np.maximum.accumulate(np.where(there, rows, 0))]
    return filled.reshape(np.shape(values)) if np.ndim(values) in (1, 2) and not names else filled


def pad(values: Sequence, value: float = 0.0) -> np.ndarray:
    """Series of different lengths as one array, the shorter ones padded at the end for `Masking(value)`.

    Args:
        values: the series, each `(rows,)` or `(rows, variables)`.
        value: what to pad with. No step of a series may consist of it alone, since it would be masked too.

    Returns:
        `(n, longest, variables)`.

    Raises:
        DataError: the series differ in their variables, or a step is all `value`.

    Example:
        >>> pad([[1.0, 2.0, 3.0], [4.0]], value=-1.0)[..., 0].tolist()
        [[1.0, 2.0, 3.0], [4.0, -1.0, -1.0]]
    """
    series, _ = all_columns(values)
    for index, part in enumerate(series):
        if (equal := (part == value).all(1)).any():
            raise DataError(f"values[{index}] is {value} in row {equal.argmax()}, which Masking({value}) would take "
                            f"for padding. Pad with a number that does not occur.")
    dtype = np.result_type(np.float32, *{part.dtype for part in series})
    padded = np.full((len(series), max(map(len, series)), series[0].shape[1]), value, dtype)
    for row, part in zip(padded, series, strict=True):
        row[: len(part)] = part
    return padded


# The forms of a series


def is_several(values) -> bool:
    """Whether values are a list of series, rather than one.

    Example:
        >>> is_several([1.0, 2.0]), is_several([[1.0, 2.0], [3.0]])
        (False, True)
    """
    return isinstance(values, (list, tuple)) and len(values) > 0 and all(
        isinstance(part, Mapping) or hasattr(part, "columns") or isinstance(part, (list, tuple)) or np.ndim(part) > 0
        for part in values)


def all_columns(values, name: str = "values") -> tuple[list[np.ndarray], list[str] | None]:
    """One or several series, each as `as_columns` returns it, and the names of their columns."""
    if not is_several(values):
        array, names = as_columns(values, name)
        return [array], names
    parts = [as_columns(part, f"{name}[{index}]") for index, part in enumerate(values)]
    first = parts[0][0].shape[1]
    for index, (array, names) in enumerate(parts):
        if array.shape[1] != first or names != parts[0][1]:
            raise DataError(f"All series need the same variables: {name}[0] has {_columns_text(*parts[0])} and "
                            f"{name}[{index}] has {_columns_text(array, names)}.")
    return [array for array, _ in parts], parts[0][1]


def as_columns(values, name: str = "values") -> tuple[np.ndarray, list[str] | None]:
    """A series as an array `(rows, variables)`, not copied where that can be helped, and the names of its columns.

    Example:
        >>> array, names = as_columns({"load": [1.0, 2.0], "heat": [3.0, 4.0]})
        >>> array.tolist(), names
        ([[1.0, 3.0], [2.0, 4.0]], ['load', 'heat'])
    """
    names = None
    if isinstance(values, Mapping):
        names = list(values)
        columns = as_arrays(values, name)
        check_lengths({f"{name}[{key!r}]": column for key, column in columns.items()})
        array = np.stack(list(columns.values()), -1)
    elif hasattr(values, "columns"):
        names = list(values.columns)
        array = as_arrays(values if hasattr(values, "iloc") else values.values, name)
    else:
        array = as_arrays(values, name)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise ShapeError(f"{name} has the shape {format_shape(array.shape)}; a series is (rows,) or (rows, variables). "
                         f"For several series give a list of them.")
    if not array.size:
        raise DataError(f"{name} is empty; its shape is {format_shape(array.shape)}.")
    return array, names


def find_columns(target, names: Sequence[str] | None, variables: int) -> tuple[list[int], bool]:
    """The numbers of the columns that `target` means, and whether it is one, which has no axis of its own.

    Args:
        target: a number, a name, a list of them, or `None` for all.
        names: the names of the columns, where they have any.
        variables: how many columns there are.

    Raises:
        UnknownNameError: there is no such column.

    Example:
        >>> find_columns("heat", ["load", "heat"], 2), find_columns(None, None, 2)
        (([1], True), ([0, 1], False))
    """
    if target is None:
        return list(range(variables)), variables == 1
    if isinstance(target, (list, tuple, np.ndarray)):
        if not len(target):
            raise SettingError("target is an empty list: name the columns to predict.")
        return [_column(entry, names, variables) for entry in target], False
    return [_column(target, names, variables)], True


def _column(target, names, variables: int) -> int:
    if names and target in names:
        return list(names).index(target)
    if isinstance(target, (int, np.integer)) and not isinstance(target, bool) and -variables <= target < variables:
        return int(target) % variables
    if isinstance(target, str) and not names:
        raise UnknownNameError(f"target names the column {target!r}, and the columns have no names here. Give its "
                               f"number, from 0 to {variables - 1}.")
    known = did_you_mean(target, map(str, names)) if names else f"Columns are numbered from 0 to {variables - 1}."
    raise UnknownNameError(f"There is no column {target!r}. {known}")


def check_complete(array: np.ndarray, name: str, names: Sequence[str] | None, advice: str) -> None:
    """Raise where a value of a series `(rows, variables)` is NaN or infinite, naming the first and how many there are.

    Example:
        >>> check_complete(np.array([[1.0], [np.nan]]), "values", None, "Fill it.")
        Traceback (most recent call last):
        chainrule.errors.DataError: values has 1 value that is NaN or infinite, in row 1. Fill it.
    """
    if array.dtype.kind in "biu":
        return
    with np.errstate(all="ignore"):  # a sum takes no memory, and whatever is not finite shows in it
        if np.isfinite(np.sum(array)):
            return
    wrong = ~np.isfinite(array)
    count = np.count_nonzero(wrong)
    if not count:
        return
    row, column = np.argwhere(wrong)[0]
    where = "" if array.shape[1] == 1 else f", column {names[column]!r}" if names else f", column {column}"
    found = "1 value that is NaN or infinite," if count == 1 else f"{count} values that are NaN or infinite, the first"
    raise DataError(f"{name} has {found} in row {row}{where}. {advice}")


def check_count(name: str, number, least: int) -> None:
    """Raise where a setting is no whole number from `least` on.

    Example:
        >>> check_count("length", 0, 1)
        Traceback (most recent call last):
        chainrule.errors.SettingError: length is a whole number, 1 or more; got 0.
    """
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < least:
        raise SettingError(f"{name} is a whole number, {least} or more; got {number!r}.")


def _known_columns(known, series: list[np.ndarray]) -> np.ndarray:
    """What is known of the future, all series behind each other."""
    parts, _ = all_columns(known, "known")
    lengths = [len(part) for part in parts], [len(part) for part in series]
    if lengths[0] != lengths[1]:
        came, wanted = (numbers[0] if len(numbers) == 1 else numbers for numbers in lengths)
        raise DataError(f"known needs a row for each row of values: expected {wanted}, got {came}.")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _columns_text(array: np.ndarray, names: list[str] | None) -> str:
    return ", ".join(map(repr, names)) if names else f"{array.shape[1]} column{'s' * (array.shape[1] != 1)}"


def _missing_before(array: np.ndarray) -> np.ndarray:
    """How many values are missing in the rows before each row, and before the end."""
    missing = ~np.isfinite(array)
    return np.concatenate([[0], np.cumsum(missing if missing.ndim == 1 else missing.sum(1))])


def _views(array: np.ndarray, length: int) -> np.ndarray:
    """All windows of an array along its rows: `(n, length)` or `(n, length, columns)`."""
    found = sliding_window_view(array, length, axis=0)
    return found if array.ndim == 1 else np.swapaxes(found, 1, 2)


def _rows_between(values, start: int, stop: int):
    if isinstance(values, Mapping):
        return {name: column[start:stop] for name, column in values.items()}
    return values.iloc[start:stop] if hasattr(values, "iloc") else values[start:stop]
