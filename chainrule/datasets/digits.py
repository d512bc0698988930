"""Digits: 1,797 handwritten digits of 8 x 8 grey values, small enough to try anything on. Comes with scikit-learn.

Reference: E. Alpaydin, C. Kaynak, Optical recognition of handwritten digits, UCI repository, 1998 (its test set).
"""
import numpy as np

from chainrule.data.split import split_indices
from chainrule.errors import MissingDataError

class_names = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The digits as numpy arrays: images `(rows, 8, 8)` of 0 (paper) to 16 (ink), labels `(rows,)` of 0 to 9.

    The set has no split of its own: a fifth of each class is held out to test on, by
    `split_indices(1797, 0.2, seed=0, stratify=labels)`.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, all of type uint8: 1,438 and 359 rows.

    Raises:
        MissingDataError: scikit-learn is not installed.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()
        >>> x_train.shape, x_test.shape
        ((1438, 8, 8), (359, 8, 8))
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingDataError("The digits come with scikit-learn, which is not installed: "
                               "pip install 'chainrule[tables]'.") from error
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    train, test = split_indices(len(labels), 0.2, seed=0, stratify=labels)
    return (images[train], labels[train]), (images[test], labels[test])
