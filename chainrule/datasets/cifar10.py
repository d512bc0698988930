"""CIFAR-10: 60,000 colour photos of 32 x 32 pixels in ten classes, in the binary layout of its authors.

A file is a row of records of 3,073 bytes: the label, then the red, the green and the blue values of the image, each
32 x 32 and row by row. Five files of 10,000 records are to train on, one is to test on.

Reference: A. Krizhevsky, Learning multiple layers of features from tiny images, technical report, Toronto, 2009.
"""
import gzip
import lzma
import re
import tarfile
import warnings
import zlib
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np

from chainrule.datasets.mnist import Arrays
from chainrule.datasets.sources import RemoteFile, Source, data_folder, locate
from chainrule.errors import FileFormatError, MissingDataError

class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

source = Source(
    title="CIFAR-10",
    folder="cifar10",
    files=(
        RemoteFile("cifar-10-binary.tar.gz", 170052171,
                   "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
    ),
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
)

_TRAIN_ROWS, _TEST_ROWS = 50_000, 10_000
_RECORD = 1 + 3 * 32 * 32
_LARGEST = 10_000 * _RECORD  # the bytes of a file
_NAME = re.compile(r"(data_batch_\d|test_batch).*\.bin(\.gz|\.xz)?")


def load_data(path: str | PathLike | None = None) -> tuple[Arrays, Arrays]:
    """CIFAR-10 as numpy arrays: images `(rows, 32, 32, 3)` of 0 to 255, labels `(rows,)` of 0 to 9.

    The files may be the published archive `cifar-10-binary.tar.gz`, or what is in it: `data_batch_1.bin` to
    `data_batch_5.bin` and `test_batch.bin`, plain or packed with gzip or xz. Where some of the images are missing, a
    warning says so.

    Args:
        path: the archive, or the folder that holds it or its files. Without it they are looked for in
            `$CHAINRULE_DATA/cifar10` and in the cache, and the archive is downloaded where it is in neither.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, all of type uint8: 50,000 and 10,000 rows. `class_names` names the
        labels.

    Raises:
        MissingDataError: the files are not on this machine and could not be downloaded.
        FileFormatError: a file is damaged, or does not hold what its name says.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> x_train.shape, class_names[y_train[0]]  # doctest: +SKIP
        ((50000, 32, 32, 3), 'frog')
    """
    place, batches = _read_batches(path)
    train = _joined([records for name, records in sorted(batches.items()) if name != "test_batch"])
    test = _joined([batches["test_batch"]] if "test_batch" in batches else [])
    if not len(train[0]) or not len(test[0]):
        raise MissingDataError(f"{place} does not hold both parts of CIFAR-10, but {len(train[0]):,} images to train "
                               f"on (data_batch_1.bin to data_batch_5.bin) and {len(test[0]):,} to test on "
                               f"(test_batch.bin). Put the files that are missing there too.")
    if (len(train[0]), len(test[0])) != (_TRAIN_ROWS, _TEST_ROWS):
        warnings.warn(f"{place} holds a part of CIFAR-10: {len(train[0]):,} of {_TRAIN_ROWS:,} images to train on, "
                      f"{len(test[0]):,} of {_TEST_ROWS:,} to test on.", stacklevel=2)
    return train, test


def _read_batches(path) -> tuple[Path, dict[str, np.ndarray]]:
    """Where the data set was found, and the records `(rows, 3073)` of each of its files by name."""
    own = data_folder()
    place = Path(path).expanduser() if path is not None else own and own / source.folder
    if place and (files := _batch_files(place)):
        return place, {name: _read_file(file) for name, file in files.items()}
    archive = place if place and place.is_file() else locate(source, path)[0]
    return archive, _read_archive(archive)


def _batch_files(folder: Path) -> dict[str, Path]:
    """The files of the data set in a folder, or in the folder that the archive makes in it."""
    found: dict[str, Path] = {}
    for place in (folder, folder / "cifar-10-batches-bin"):
        names = sorted((file for file in place.glob("*.bin*") if file.is_file()), key=lambda file: len(file.name))
        for file in names:  # the shorter name first: a whole file before a part, an unpacked one before its packed twin
            if match := _NAME.fullmatch(file.name):
                found.setdefault(match[1], file)
    return found


def _read_file(path: Path) -> np.ndarray:
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    try:
        with opener(path, "rb") as file:
            return _records(str(path), file)
    except EOFError as error:
        raise FileFormatError(f"{path} is cut off: its packed data end before their end mark. "
                              f"Copy or download the file again.") from error
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise FileFormatError(f"{path} is damaged: {error}. Copy or download the file again.") from error


def _read_archive(path: Path) -> dict[str, np.ndarray]:
    """The records of the files in the published archive; nothing is unpacked to the disk."""
    found = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                match = _NAME.fullmatch(Path(member.name).name)
                if match and member.isfile() and not match[2]:
                    found[match[1]] = _records(f"{member.name} in {path}", archive.extractfile(member))
    except FileFormatError:
        raise
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        raise FileFormatError(f"{path} is damaged, or not the archive of CIFAR-10. "
                              f"Copy or download the file again.") from error
    return found


def _records(name: str, stream: BinaryIO) -> np.ndarray:
    """The records in the unpacked bytes of a file, `(rows, 3073)`; no more is read than such a file may have."""
    data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST or len(data) % _RECORD or not data:
        found = f"{len(data):,}" if len(data) <= _LARGEST else f"more than {_LARGEST:,}"
        raise FileFormatError(f"{name} does not hold images of CIFAR-10: expected at most 10,000 records of "
                              f"{_RECORD:,} bytes, found {found} bytes.")
    records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD)
    if records[:, 0].max() > 9:
        raise FileFormatError(f"{name} does not hold labels of ten classes: expected 0 to 9, found "
                              f"{records[:, 0].max()} in row {records[:, 0].argmax()}.")
    return records


def _joined(parts: list[np.ndarray]) -> Arrays:
    """Images, channels last, and labels."""
    records = np.concatenate(parts) if parts else np.empty((0, _RECORD), np.uint8)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].copy()
