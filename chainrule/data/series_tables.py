"""A series from a table with a column of times: sorted, without duplicates, at regular steps."""
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from chainrule.data.calendar import step_of
from chainrule.data.series import fill
from chainrule.data.series_files import read_lines, shortened
from chainrule.errors import DataError, SettingError, UnknownNameError, did_you_mean

MISSING = ("error", "interpolate", "forward", "keep")
_GAPS = ("", "?", "na", "n/a", "nan", "null", "none")


@dataclass(frozen=True, eq=False)
class SeriesTable:
    """A series with the names of its columns and the time of each row. A slice of it is one again: `table[:8640]`.

    Attributes:
        values: `(rows, variables)`, float64.
        columns: the names of the variables.
        times: `(rows,)`, datetime64 in seconds; `None` where there are none.

    Example:
        >>> table = SeriesTable(np.array([[1.0], [2.0]]), ["load"], np.array(["2020-01-01", "2020-01-02"], "M8[s]"))
        >>> table[1:].values.tolist(), table["load"].tolist(), len(table)
        ([[2.0]], [1.0, 2.0], 2)
    """

    values: np.ndarray
    columns: list[str]
    times: np.ndarray | None = None

    ndim = 2  # as arrays and tables of pandas say it

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, chosen):
        """Some rows by a slice, or a column by its name."""
        if isinstance(chosen, str):
            if chosen not in self.columns:
                raise UnknownNameError(f"There is no column {chosen!r}. {did_you_mean(chosen, self.columns)}")
            return self.values[:, self.columns.index(chosen)]
        if not isinstance(chosen, slice):
            raise SettingError(f"A table is cut by a slice of rows or the name of a column; got {chosen!r}.")
        return SeriesTable(self.values[chosen], self.columns, None if self.times is None else self.times[chosen])


def read_csv(path, time: str | None = None, columns: Sequence[str] | str | None = None, *, missing: str = "error",
             time_format: str | None = None, delimiter: str = ",") -> SeriesTable:
    """A series from a CSV file whose first line names the columns; the file may be compressed by gzip.

    Rows are sorted by time. The step is the most frequent distance of two rows (months and years count as such); rows
    that the steps between the first time and the last lack are gaps, as are empty cells, `?`, `NA` and `NaN`.

    Args:
        path: the file.
        time: the column of times; by default the first, where its first cell is a time such as `2020-01-31 12:00` and
            not a number.
        columns: the columns to read, all others by default.
        missing: what becomes of gaps: `"error"` refuses them, naming the first; `"interpolate"` and `"forward"` add
            the rows and fill them as `series.fill` does; `"keep"` adds no rows and leaves empty cells NaN.
        time_format: how times are written, where it is not as above, in the codes of `datetime.strptime`:
            `"%d/%m/%Y"`.
        delimiter: what parts the cells.

    Returns:
        A `SeriesTable`, which `series.windows`, `series.split` and `Scaling.fit` take as it is.

    Raises:
        DataError: the file is not there, a line has too few or too many cells, a cell is no number or no time, a time
            occurs twice, lies off the steps, or is missing.
        UnknownNameError: there is no such column.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "load.csv"
        ...     _ = path.write_text("day,load\\n2020-01-01,5\\n2020-01-03,7\\n2020-01-04,8\\n")
        ...     table = read_csv(path, missing="interpolate")
        >>> table.values[:, 0].tolist(), str(table.times[1].astype("M8[D]")), table.columns
        ([5.0, 6.0, 7.0, 8.0], '2020-01-02', ['load'])
    """
    if missing not in MISSING:
        raise SettingError(f"missing is one of {', '.join(map(repr, MISSING))}; got {missing!r}.")
    if not isinstance(delimiter, str) or len(delimiter) != 1:
        raise SettingError(f"delimiter is one character; got {delimiter!r}.")
    header, lines = _cells(Path(path), delimiter)
    time = _time_column(time, header, lines)
    chosen = [name for name in header if name != time] if columns is None else (
        [columns] if isinstance(columns, str) else list(columns))
    for name in (*chosen, *([time] if time else [])):
        if name not in header:
            raise UnknownNameError(f"{path} has no column {name!r}. {did_you_mean(name, header)}")
    if not chosen:
        raise DataError(f"{path} has no columns of numbers beside the time.")
    values = np.stack([_numbers(path, lines, header.index(name), name) for name in chosen], -1)
    times = None
    if time:
        times = np.array([_time(path, number, cells[header.index(time)], time_format) for number, cells in lines])
        values, times = _in_order(path, values, times, missing)
    if missing == "error" and (gaps := np.isnan(values)).any():
        row, column = np.argwhere(gaps)[0]
        when = f"at {_text(times[row])}" if time else f"in line {lines[row][0]}"
        count = int(np.count_nonzero(gaps[:, column]))
        raise DataError(f"{path}: the column {chosen[column]!r} has {count} missing value{'s' * (count != 1)}, the "
                        f"first {when}. Fill them: missing='interpolate' or 'forward'.")
    if missing in ("interpolate", "forward"):
        try:
            values = fill(dict(zip(chosen, values.T, strict=True)), missing)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
    return SeriesTable(values, chosen, times)


def number_columns(path, time: str | None = None, delimiter: str = ",") -> list[str]:
    """The columns of a CSV file that hold numbers, but for the column of times.

    Args:
        path, time, delimiter: as for `read_csv`.
    """
    header, lines = _cells(Path(path), delimiter)
    time = _time_column(time, header, lines)
    return [name for place, name in enumerate(header)
            if name != time and all(_is_number_or_gap(cells[place]) for _, cells in lines)]


def _is_number_or_gap(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.lower() in _GAPS
    return True


def _cells(path: Path, delimiter: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and the cells of each line with its number."""
    rows = csv.reader(read_lines(path), delimiter=delimiter)
    try:
        found = [(rows.line_num, [cell.strip() for cell in cells]) for cells in rows if any(map(str.strip, cells))]
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: {error}.") from error
    if len(found) < 2:
        raise DataError(f"{path} has no rows. Expected a line with the names of the columns, and rows of numbers.")
    (_, header), *lines = found
    if repeated := [name for index, name in enumerate(header) if name in header[:index]]:
        raise DataError(f"{path}: two columns are named {repeated[0]!r}. Give each a name of its own.")
    for number, cells in lines:
        if len(cells) != len(header):
            raise DataError(f"{path}, line {number}: found {len(cells)} cell{'s' * (len(cells) != 1)}; the first line "
                            f"names {len(header)} columns. They are parted by {delimiter!r}; others by delimiter=.")
    return header, lines


def _time_column(time: str | None, header: list[str], lines: list) -> str | None:
    """The name of the column of times: that given, or the first if it looks like one."""
    if time is not None:
        return time
    cell = lines[0][1][0]
    try:
        float(cell)
    except ValueError:
        pass
    else:
        return None
    return header[0] if cell.lower() not in _GAPS else None


def _numbers(path, lines: list, place: int, name: str) -> np.ndarray:
    values = np.full(len(lines), np.nan)
    for row, (number, cells) in enumerate(lines):
        if cells[place].lower() not in _GAPS:
            try:
                values[row] = float(cells[place])
            except ValueError as error:
                raise DataError(f"{path}, line {number}: the column {name!r} holds {shortened(cells[place])}; expected "
                                f"a number. Leave the column out: columns=[...].") from error
    if (wrong := np.isinf(values)).any():
        raise DataError(f"{path}, line {lines[wrong.argmax()][0]}: the column {name!r} is infinite.")
    return values


def _time(path, number: int, cell: str, time_format: str | None) -> np.datetime64:
    try:
        found = np.datetime64(datetime.strptime(cell, time_format) if time_format else _plain(cell), "s")
    except ValueError as error:
        advice = "Check time_format." if time_format else (
            "Say how times are written, for instance time_format='%d/%m/%Y', or name their column: time=.")
        wanted = f"a time as {time_format!r} says" if time_format else "a time such as '2020-01-31 12:00'"
        raise DataError(f"{path}, line {number}: {shortened(cell)} is not {wanted}. {advice}") from error
    if np.isnat(found):
        raise DataError(f"{path}, line {number}: the time is missing.")
    return found


def _plain(cell: str) -> datetime | str:
    """A time as Python or numpy reads it: with a zone, it is turned to UTC."""
    if cell.isdecimal() and len(cell) != 4:
        raise ValueError(cell)  # 20200131 would be read as a year
    try:
        found = datetime.fromisoformat(cell)
    except ValueError:
        return cell  # a year, or a year and a month
    return found if found.tzinfo is None else (found - found.utcoffset()).replace(tzinfo=None)


def _in_order(path, values: np.ndarray, times: np.ndarray, missing: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows by rising time, with a row for every step."""
    order = np.argsort(times, kind="stable")
    values, times = values[order], times[order]
    if (repeated := times[1:] == times[:-1]).any():
        raise DataError(f"{path} has the time {_text(times[1:][repeated][0])} twice. Leave one of the rows out, or "
                        f"bring them together first.")
    if len(times) < 3 or missing == "keep":
        return values, times
    step = step_of(times)
    unit = np.datetime_data(step.dtype)[0]
    rest = times - times.astype(f"M8[{unit}]")  # what months leave of a time
    counted = (times.astype(f"M8[{unit}]") - times[0].astype(f"M8[{unit}]")).astype(int)
    width = int(step.astype(int))
    if (off := counted % width != 0).any():
        at = off.argmax()
        raise DataError(f"{path} has rows every {_step_text(step)}, and {_text(times[at])} is off these steps, after "
                        f"{_text(times[at - 1])}. Bring the rows to regular steps first, or leave them as they are: "
                        f"missing='keep'.")
    places = counted // width
    if places[-1] + 1 == len(times):
        return values, times
    every = (times[0].astype(f"M8[{unit}]") + np.arange(places[-1] + 1) * step).astype("M8[s]") + rest[0]
    lacking = np.ones(len(every), bool)
    lacking[places] = False
    if missing == "error":
        count = np.count_nonzero(lacking)
        raise DataError(f"{path} has rows every {_step_text(step)}, and {count} {'is' if count == 1 else 'are'} "
                        f"missing, the first {_text(every[lacking][0])}. Fill them: missing='interpolate' or "
                        f"'forward'; or leave the rows as they are: missing='keep'.")
    if len(every) > 100 * len(times):
        raise DataError(f"{path} has {len(times)} rows, and its steps of {_step_text(step)} would need {len(every)}. "
                        f"Check the times, or leave the rows as they are: missing='keep'.")
    filled = np.full((len(every), values.shape[1]), np.nan)
    filled[places] = values
    return filled, every


def _text(time: np.datetime64) -> str:
    """A time for messages: the day alone, where it is midnight."""
    text = str(time).replace("T", " ")
    return text.removesuffix(" 00:00:00")


def _step_text(step: np.timedelta64) -> str:
    """`1 day`, `15 minutes`."""
    number = int(step.astype(int))
    if np.datetime_data(step.dtype)[0] == "M":
        number, unit = (number // 12, "year") if number % 12 == 0 else (number, "month")
    else:
        seconds, unit = next((size, name) for size, name in (
            (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")) if number % size == 0)
        number //= seconds
    return f"{number} {unit}{'s' * (number != 1)}"
