"""Files that data are read from: their paths, and what is said where there are none."""
import glob
import os
from pathlib import Path

from chainrule.errors import DataError, MissingDataError, SettingError


def find_files(paths, suffix: str) -> list[Path]:
    """The files that are meant by a path, a pattern, a folder, or a list of these; sorted within a pattern or folder.

    Args:
        paths: `"data.csv"`, `"part-*.csv"` or a folder, whose files with the suffix are meant.
        suffix: `".csv"`.

    Raises:
        MissingDataError: there is no such file, or none that a pattern or a folder means.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b.csv", "a.csv"):
        ...         _ = Path(folder, name).write_text("x")
        ...     [path.name for path in find_files(folder, ".csv")]
        ['a.csv', 'b.csv']
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    if not isinstance(given, (list, tuple)) or not given:
        raise SettingError(f"Files are given as a path, a pattern such as 'part-*{suffix}', a folder, or a list of "
                           f"these; got {paths!r}.")
    found = []
    for path in given:
        if not isinstance(path, (str, os.PathLike)):
            raise SettingError(f"A path is text or a pathlib.Path; got {path!r}.")
        if Path(path).is_dir():
            files, what = sorted(Path(path).glob(f"*{suffix}")), f"The folder {str(path)!r} has no {suffix} files."
        elif Path(path).exists() or not glob.has_magic(str(path)):
            files, what = [Path(path)] * Path(path).exists(), f"There is no file {str(path)!r}."
        else:
            files, what = sorted(map(Path, glob.glob(str(path)))), f"No file fits the pattern {str(path)!r}."
        if not files:
            raise MissingDataError(f"{what} Paths that are not absolute begin at {os.getcwd()!r}.")
        found += files
    return found


def check_window(window) -> int | None:
    """Raise where the size of a window is not a number of rows, or `None`.

    Example:
        >>> check_window(1000)
        1000
    """
    if window is not None and (isinstance(window, bool) or not hasattr(window, "__index__") or window < 1):
        raise SettingError(f"window is the number of rows that are shuffled together, at least 1, or None; got "
                           f"{window!r}.")
    return window if window is None else int(window)


def check_equal_rows(lengths: dict[str, int]) -> int:
    """Raise where parts of the data have no rows, or not all as many; the number of rows.

    Example:
        >>> check_equal_rows({"x": 3, "y": 3})
        3
    """
    for name, length in lengths.items():
        if not length:
            raise DataError(f"{name} has no rows.")
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise DataError(f"All parts need the same number of rows: {found}.")
    return next(iter(lengths.values()))
