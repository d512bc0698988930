"""MNIST: handwritten digits, 60,000 to train on and 10,000 to test on, 28 x 28 grey values.

Reference: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition, 1998.
"""
from os import PathLike
from pathlib import Path

import numpy as np

from chainrule.datasets.idx import read_idx
from chainrule.datasets.sources import RemoteFile, Source, locate
from chainrule.errors import FileFormatError, format_shape

class_names = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

source = Source(
    title="MNIST",
    folder="mnist",
    files=(
        RemoteFile("train-images-idx3-ubyte.gz", 9912422,
                   "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        RemoteFile("train-labels-idx1-ubyte.gz", 28881,
                   "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        RemoteFile("t10k-images-idx3-ubyte.gz", 1648877,
                   "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        RemoteFile("t10k-labels-idx1-ubyte.gz", 4542,
                   "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    mirrors=("https://storage.googleapis.com/cvdf-datasets/mnist/",
             "https://ossci-datasets.s3.amazonaws.com/mnist/"),
)

Arrays = tuple[np.ndarray, np.ndarray]


def load_data(path: str | PathLike | None = None) -> tuple[Arrays, Arrays]:
    """MNIST as numpy arrays: images `(rows, 28, 28)` of 0 (paper) to 255 (ink), labels `(rows,)` of 0 to 9.

    Args:
        path: the folder that holds the four files. Without it they are looked for in `$CHAINRULE_DATA/mnist` and in
            the cache, and downloaded where they are in neither.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, all of type uint8: 60,000 and 10,000 rows.

    Raises:
        MissingDataError: the files are not on this machine and could not be downloaded.
        FileFormatError: a file is damaged, or does not hold what its name says.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> x_train.shape, y_train[:5]  # doctest: +SKIP
        ((60000, 28, 28), array([5, 0, 4, 1, 9], dtype=uint8))
    """
    return load_images(source, path)


def load_images(source: Source, path: str | PathLike | None = None) -> tuple[Arrays, Arrays]:
    """A data set in the form of MNIST: four IDX files, 28 x 28 images and labels 0 to 9, checked against each other.

    Args:
        source: the data set, its files in the order train images, train labels, test images, test labels.
        path: the folder that holds the files, as for `load_data`.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, with as many rows as the files have.

    Raises:
        MissingDataError: as for `load_data`.
        FileFormatError: as for `load_data`.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_images(source)  # doctest: +SKIP
    """
    train_images, train_labels, test_images, test_labels = locate(source, path)
    return _pair(train_images, train_labels), _pair(test_images, test_labels)


def _pair(images_path: Path, labels_path: Path) -> Arrays:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28) or not len(images):
        raise FileFormatError(f"{images_path} does not hold images: expected uint8 of the shape (rows, 28, 28), "
                              f"found {images.dtype} of the shape {format_shape(images.shape)}.")
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise FileFormatError(f"{labels_path} does not hold labels: expected uint8 of the shape (rows,), "
                              f"found {labels.dtype} of the shape {format_shape(labels.shape)}.")
    if len(images) != len(labels):
        raise FileFormatError(f"{images_path} and {labels_path} do not belong together: "
                              f"{len(images)} images, {len(labels)} labels.")
    if labels.max() > 9:
        raise FileFormatError(f"{labels_path} does not hold labels of ten classes: expected 0 to 9, "
                              f"found {labels.max()} in row {labels.argmax()}.")
    return images, labels
