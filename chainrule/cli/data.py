"""Data as commands name them: data sets by name, rows in files."""
from pathlib import Path
from typing import NamedTuple

import numpy as np

DATA_SETS = ("digits", "fashion_mnist", "mnist")


class DataSet(NamedTuple):
    """A named set of images with its labels, and the rows that are held out to test on."""

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]


def load_data_set(name: str) -> DataSet:
    """The data set of that name.

    Raises:
        UnknownNameError: there is none.
        MissingDataError: it is not on this machine and cannot be fetched.
    """
    from chainrule import datasets
    from chainrule.errors import UnknownNameError, did_you_mean

    plain = name.lower().replace("-", "_")
    if plain not in DATA_SETS:
        raise UnknownNameError(f"There is no data set {name!r}. {did_you_mean(name, DATA_SETS)}")
    module = getattr(datasets, plain)
    (x_train, y_train), (x_test, y_test) = module.load_data()
    return DataSet(plain, x_train, y_train, x_test, y_test, module.class_names)


def read_rows(path: Path) -> np.ndarray:
    """The rows of a file: an array in `.npy`, the array `x` (or the only one) in `.npz`, numbers in `.csv`.

    Raises:
        DataError: there are no rows of numbers in it.
    """
    from chainrule.errors import DataError

    if not path.is_file():
        raise DataError(f"There is no file {path}. Give rows in .npy, .npz or .csv, or one of the data sets "
                        f"{', '.join(DATA_SETS)}.")
    if path.suffix not in (".npy", ".npz", ".csv"):
        raise DataError(f"{path} is none of .npy, .npz and .csv, the files that rows are read from.")
    try:
        rows = _read_csv(path) if path.suffix == ".csv" else _read_arrays(path)
    except DataError:
        raise
    except Exception as error:  # NumPy raises many kinds on damaged files
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if rows.ndim == 0 or rows.dtype.kind not in "biuf":
        raise DataError(f"{path} does not hold rows of numbers, but {rows.dtype} of {rows.ndim} axes.")
    return rows


def _read_arrays(path: Path) -> np.ndarray:
    from chainrule.errors import DataError

    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        if len(loaded.files) != 1 and "x" not in loaded.files:
            raise DataError(f"{path} holds the arrays {', '.join(loaded.files) or '(none)'}. Name the rows x.")
        return loaded["x" if "x" in loaded.files else loaded.files[0]]


def _read_csv(path: Path) -> np.ndarray:
    with open(path, encoding="utf-8-sig") as file:
        first = file.readline()
        headed = not all(map(_is_number, first.split(",")))
        file.seek(0)
        return np.loadtxt(file, delimiter=",", skiprows=int(headed), ndmin=2, dtype="float32")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
