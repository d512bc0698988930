"""Small helpers for preparing arrays, by their Keras names."""
import numpy as np

from chainrule.errors import DataError, SettingError


def to_categorical(y, num_classes: int | None = None) -> np.ndarray:
    """Integer labels as one-hot rows.

        result[..., k] = 1 if y[...] == k else 0

    Args:
        y: labels from 0 to `num_classes - 1`, of any shape; a last axis of size 1 is dropped: `(n,)` or `(n, 1)`.
        num_classes: the number of classes; if None, the largest label plus one.

    Returns:
        A float32 numpy array of the shape of `y` with an axis of `num_classes` behind: `(n, num_classes)`.

    Raises:
        DataError: a label is not an integer, negative, or too large for `num_classes`.

    Example:
        >>> to_categorical([0, 2, 1])
        array([[1., 0., 0.],
               [0., 0., 1.],
               [0., 1., 0.]], dtype=float32)
    """
    given = np.asarray(y)
    if given.dtype.kind not in "biuf":
        raise DataError(f"to_categorical needs integer labels; got {given.dtype}. "
                        f"Number them first: names, labels = numpy.unique(y, return_inverse=True).")
    if given.dtype.kind == "f" and not np.all(whole := (np.floor(given) == given) & (np.abs(given) < 2**53)):
        raise DataError(f"to_categorical needs integer labels; found {given[~whole][0]}.")
    if num_classes is not None and not (isinstance(num_classes, (int, np.integer)) and num_classes >= 1):
        raise SettingError(f"num_classes is a positive integer or None; got {num_classes!r}.")
    if not given.size and num_classes is None:
        raise DataError("to_categorical got no labels to count the classes of. Give num_classes.")
    labels = given.astype(np.int64)
    if labels.size and labels.min() < 0:
        raise DataError(f"to_categorical needs labels from 0 on; the smallest is {labels.min()}. "
                        f"Number them from 0: names, labels = numpy.unique(y, return_inverse=True).")
    classes = int(labels.max()) + 1 if num_classes is None else int(num_classes)
    if labels.size and labels.max() >= classes:
        raise DataError(f"to_categorical needs labels from 0 to {classes - 1} for {classes} classes; "
                        f"the largest is {labels.max()}. Give num_classes={labels.max() + 1}, "
                        f"or subtract 1 if the labels start at 1.")
    shape = labels.shape[:-1] if labels.ndim > 1 and labels.shape[-1] == 1 else labels.shape
    result = np.zeros((labels.size, classes), np.float32)
    result[np.arange(labels.size), labels.reshape(-1)] = 1
    return result.reshape(*shape, classes)


def normalize(x, axis: int = -1, order: float = 2):
    """Vectors scaled to length 1.

        result = x / ||x||_order

    along `axis`; vectors of length 0 stay as they are.

    Args:
        x: a numpy or JAX array, or a list of numbers.
        axis: the axis along which the vectors lie.
        order: the norm: 1, 2, `inf`.

    Returns:
        An array like `x`, of the same shape.

    Example:
        >>> normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
        array([[0.6, 0.8],
               [0. , 0. ]])
    """
    x = x if hasattr(x, "__array_namespace__") else np.asarray(x)
    xp = x.__array_namespace__()  # numpy or jax.numpy
    length = xp.linalg.norm(x, ord=order, axis=axis, keepdims=True)
    return x / xp.where(length == 0, 1, length)
