"""Data as commands name them: data sets by name, rows in files."""
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import typer

DATA_SETS = ("cifar10", "digits", "fashion_mnist", "mnist")


@dataclass(frozen=True)
class Part:
    """Rows and their labels: arrays, or a source that is read while it is used and knows its labels."""

    x: Any
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a row."""
        return self.x.shape[1:] if isinstance(self.x, np.ndarray) else self.x.image_shape

    @property
    def data(self) -> tuple:
        """What `fit` and `evaluate` take."""
        return self.x, self.y if isinstance(self.x, np.ndarray) else None

    def split(self, share: float, seed: int) -> tuple["Part", "Part"]:
        """The rows to keep, and a share of each class to hold out."""
        from chainrule.data.split import split_indices

        rows = split_indices(len(self), share, seed=seed, stratify=self.y)
        take = lambda rows: self.x[rows] if isinstance(self.x, np.ndarray) else self.x.subset(rows)
        return tuple(Part(take(part), self.y[part]) for part in rows)


class DataSet(NamedTuple):
    """Images with their labels, in the parts that a training uses.

    Attributes:
        name: its name, or the name of its folder.
        train: the rows to train on.
        test: the rows held out to report on.
        class_names: the names of the labels.
        validation: the rows to stop early by, where the data set has a part for that.
        path: the folder it comes from, where it is one of the user's.
    """

    name: str
    train: Part
    test: Part
    class_names: tuple[str, ...]
    validation: Part | None = None
    path: Path | None = None


def plain_name(name: str) -> str:
    """A name as data sets spell theirs: `Fashion-MNIST` as `fashion_mnist`."""
    return name.lower().replace("-", "_")


def is_path(data: str) -> bool:
    """Whether a word on the command line is a place on the disk, and not the name of a data set."""
    return plain_name(data) not in DATA_SETS and (os.sep in data or Path(data).exists())


def load_data_set(name: str) -> DataSet:
    """The data set of that name.

    Raises:
        UnknownNameError: there is none.
        MissingDataError: it is not on this machine and cannot be fetched.
    """
    from chainrule import datasets
    from chainrule.errors import UnknownNameError, did_you_mean

    plain = plain_name(name)
    if plain not in DATA_SETS:
        raise UnknownNameError(f"There is no data set {name!r}. {did_you_mean(name, DATA_SETS)}")
    module = getattr(datasets, plain)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        train, test = module.load_data()
    for warning in caught:
        typer.echo(f"Note: {warning.message}", err=True)
    return DataSet(plain, Part(*train), Part(*test), module.class_names)


def read_rows(path: Path) -> np.ndarray:
    """The rows of a file: an array in `.npy`, the array `x` (or the only one) in `.npz`, numbers in `.csv`.

    Raises:
        DataError: there are no rows of numbers in it.
    """
    from chainrule.errors import DataError

    if not path.is_file():
        raise DataError(f"There is no file {path}. Give images, rows in .npy, .npz or .csv, or one of the data sets "
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
