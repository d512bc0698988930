"""Series from files: the .ts format of the UCR and UEA archives, and plain text with one number a line."""
import gzip
import io
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from chainrule.data.series import fill, pad
from chainrule.errors import DataError, SettingError

MISSING = ("keep", "error", "interpolate", "forward")
RAGGED = ("pad", "list")
_FLAGS = ("timestamps", "missing", "univariate", "equallength", "targetlabel", "classlabel")
_NUMBERS = ("dimension", "dimensions", "serieslength")
_GAPS = ("?", "nan")


def read_ts(path, missing: str = "keep", ragged: str = "pad", pad_value: float = 0.0) -> tuple:
    """The series in a .ts file, and what each belongs to.

    A line after `@data` is one case: its dimensions are parted by `:`, the values of one by `,`; the class or target
    comes last. What the header says (`@univariate`, `@dimensions`, `@equalLength`, `@seriesLength`, `@classLabel` with
    the classes, `@targetLabel`) is held against every line. Files may be compressed by gzip.

    Args:
        path: the file.
        missing: what becomes of `?` and `NaN`: `"keep"` leaves NaN, on which a network cannot be trained;
            `"interpolate"` and `"forward"` fill them as `series.fill` does; `"error"` refuses them.
        ragged: what becomes of series of different lengths: `"pad"` pads the shorter ones at the end for
            `Masking(pad_value)`, `"list"` gives a list of arrays `(length, variables)`, to be scaled and then padded by
            `series.pad`.
        pad_value: what to pad with.

    Returns:
        `(x, y)`: `x` of shape `(n, length, variables)`, float64; `y` `(n,)`, text for classes, float64 for
        `@targetLabel`, `None` where the file has neither.

    Raises:
        DataError: the file is not there or not such a file, by line; or it has timestamps, which are not read.

    Reference: Löning and others, sktime: a unified interface for machine learning with time series, 2019.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "two.ts"
        ...     _ = path.write_text("@univariate true\\n@classLabel true up down\\n@data\\n1,2,3:up\\n3,2,1:down\\n")
        ...     x, y = read_ts(path)
        >>> x.shape, y.tolist()
        ((2, 3, 1), ['up', 'down'])
    """
    for name, value, choices in (("missing", missing, MISSING), ("ragged", ragged, RAGGED)):
        if value not in choices:
            raise SettingError(f"{name} is one of {', '.join(map(repr, choices))}; got {value!r}.")
    reader = _TsReader(Path(path))
    for number, line in enumerate(read_lines(path), 1):
        reader.take(number, line.strip())
    series, labels = reader.finish()
    if missing != "keep":
        series = [_filled(part, missing, path, number) for part, number in zip(series, reader.numbers, strict=True)]
    if labels is not None:
        labels = np.array(labels)
    if len({len(part) for part in series}) == 1:
        return np.stack(series), labels
    if ragged == "list":
        return series, labels
    try:
        return pad(series, pad_value), labels
    except DataError as error:
        raise DataError(f"{path} has series of different lengths, and padding them with pad_value={pad_value} does not "
                        f"do. {error}") from error


def read_text(path) -> np.ndarray:
    """The numbers in a text file with one a line, `(rows,)`, float64.

    Empty lines and lines that begin with `#` are passed over; `nan` is a missing value. Files may be compressed by
    gzip.

    Raises:
        DataError: the file is not there, or a line is not a number.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "numbers.txt"
        ...     _ = path.write_text("# degrees\\n20.5\\n17\\n")
        ...     read_text(path).tolist()
        [20.5, 17.0]
    """
    numbers = []
    for number, line in enumerate(read_lines(path), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            try:
                numbers.append(float(text))
            except ValueError as error:
                raise DataError(f"{path}, line {number}: {shortened(text)} is not a number. Expected one number a "
                                f"line; for several columns use series.read_csv.") from error
    if not numbers:
        raise DataError(f"{path} has no numbers. Expected one a line.")
    return np.array(numbers)


def read_lines(path) -> list[str]:
    """The lines of a text file, which may be compressed by gzip.

    Raises:
        DataError: the file is not there or not text.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder. Expected a file.")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        return io.StringIO(content.decode("utf-8-sig"), newline=None).read().split("\n")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is compressed by gzip and damaged: {error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: byte {error.start} cannot be read. Save it as UTF-8.") from error


def shortened(text: str) -> str:
    """Text of a file as messages quote it.

    Example:
        >>> shortened("x" * 99)
        "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'"
    """
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def _filled(part: np.ndarray, missing: str, path, number: int) -> np.ndarray:
    """A case without gaps."""
    if not np.isnan(part).any():
        return part
    if missing == "error":
        step, variable = np.argwhere(np.isnan(part))[0]
        raise DataError(f"{path}, line {number}: value {step} of dimension {variable} is missing. Fill such values: "
                        f"missing='interpolate'.")
    try:
        return fill(part, missing)
    except DataError as error:
        raise DataError(f"{path}, line {number}: {error}") from error


@dataclass
class _TsReader:
    """One pass over a .ts file.

    Attributes:
        header: what its `@` lines say, names in lower case.
        classes: the classes that it lists.
        series, labels, numbers: the cases so far, what they belong to, and the lines they are in.
    """

    path: Path
    header: dict[str, str] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    in_data: bool = False
    series: list[np.ndarray] = field(default_factory=list)
    labels: list = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def take(self, number: int, line: str) -> None:
        """Read a line."""
        if not line or line.startswith(("#", "%")):
            return
        if line.startswith("@"):
            self._take_header(number, line)
        elif not self.in_data:
            raise self._wrong(number, f"expected a header line such as '@univariate true', or '@data' before the "
                                      f"first series; got {shortened(line)}")
        else:
            self._take_case(number, line)

    def finish(self) -> tuple[list[np.ndarray], list | None]:
        """All cases, and what they belong to."""
        if not self.in_data:
            raise DataError(f"{self.path} has no line '@data', so it is no .ts file.")
        if not self.series:
            raise DataError(f"{self.path} has no series after '@data'.")
        return self.series, self.labels or None

    def _wrong(self, number: int, problem: str) -> DataError:
        return DataError(f"{self.path}, line {number}: {problem}.")

    def _take_header(self, number: int, line: str) -> None:
        name, *words = line[1:].split() or [""]
        name = name.lower()
        if self.in_data:
            raise self._wrong(number, f"the header line {shortened(line)} comes after '@data'")
        if name == "data":
            self.in_data = True
            return
        if name in _FLAGS and (not words or words[0].lower() not in ("true", "false")):
            raise self._wrong(number, f"@{name} is true or false; got {shortened(' '.join(words))}")
        if name in _NUMBERS and (len(words) != 1 or not words[0].isdecimal() or int(words[0]) < 1):
            raise self._wrong(number, f"@{name} is a whole number above 0; got {shortened(' '.join(words))}")
        self.header[name.removesuffix("s") if name == "dimensions" else name] = words[0].lower() if words else ""
        if name == "timestamps" and words[0].lower() == "true":
            raise self._wrong(number, "the series have timestamps (@timeStamps true), which are not read. Write the "
                                      "values alone, at regular steps, and '@timeStamps false'")
        if name == "classlabel" and words[0].lower() == "true":
            self.classes = words[1:]
        if self._says("classlabel") and self._says("targetlabel"):
            raise self._wrong(number, "a file has classes or targets; @classLabel and @targetLabel are both true")

    def _says(self, flag: str) -> bool | None:
        """What the header says to a question; `None` where it says nothing."""
        return self.header[flag] == "true" if flag in self.header else None

    def _take_case(self, number: int, line: str) -> None:
        parts = line.split(":")
        if self._says("classlabel") or self._says("targetlabel"):
            if len(parts) < 2:
                raise self._wrong(number, "expected the values, ':' and the class or target; there is no ':'")
            self.labels.append(self._label(number, parts.pop().strip()))
        dimensions = [self._values(number, index, part) for index, part in enumerate(parts)]
        lengths = [len(values) for values in dimensions]
        if len(set(lengths)) > 1:
            raise self._wrong(number, f"the dimensions of a series are equally long; got the lengths {lengths}")
        self._check_dimensions(number, len(dimensions))
        self._check_length(number, lengths[0])
        self.series.append(np.stack(dimensions, -1))
        self.numbers.append(number)

    def _label(self, number: int, text: str):
        if self._says("targetlabel"):
            try:
                return float(text)
            except ValueError as error:
                raise self._wrong(number, f"the target {shortened(text)} is not a number") from error
        if self.classes and text not in self.classes:
            raise self._wrong(number, f"the class {shortened(text)} is none of those that @classLabel lists: "
                                      f"{', '.join(map(repr, self.classes))}")
        if not text:
            raise self._wrong(number, "there is no class after the last ':'")
        return text

    def _values(self, number: int, dimension: int, text: str) -> np.ndarray:
        words = text.split(",")
        try:
            return np.array(words, np.float64)
        except ValueError:
            pass  # a gap, or a word: found below
        values = np.full(len(words), np.nan)
        for index, word in enumerate(words):
            if word.strip().lower() not in _GAPS:
                try:
                    values[index] = float(word)
                except ValueError as error:
                    raise self._wrong(number, f"value {index} of dimension {dimension} is {shortened(word)}; expected "
                                              f"a number, or ? where it is missing") from error
        return values

    def _check_dimensions(self, number: int, found: int) -> None:
        expected = int(self.header.get("dimension", 0)) or (1 if self._says("univariate") else None)
        source = "the header says"
        if expected is None and self.series:
            expected, source = self.series[0].shape[1], f"line {self.numbers[0]} has"
        if expected is not None and found != expected:
            raise self._wrong(number, f"found {found} dimension{'s' * (found != 1)} parted by ':'; {source} {expected}")

    def _check_length(self, number: int, found: int) -> None:
        expected = self.header.get("serieslength") if self._says("equallength") is not False else None
        source = "the header says"
        if expected is None and self._says("equallength") and self.series:
            expected, source = len(self.series[0]), f"line {self.numbers[0]} has"
        if expected is not None and found != int(expected):
            raise self._wrong(number, f"found {found} value{'s' * (found != 1)}; {source} {expected}")
