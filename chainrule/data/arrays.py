"""Checks of arrays as a user hands them in, before anything is compiled. Rows and columns are counted from 0."""
import math
from collections.abc import Mapping

import numpy as np

from chainrule.errors import DataError, SettingError, ShapeError, format_shape


def as_arrays(x, name: str = "x", advice: str = ""):
    """Numbers in any of their usual forms as a numpy array, not copied where that can be helped.

    Args:
        x: an array of numpy or JAX, a list, a table or column of pandas, or a dict of these. Numbers and booleans
            keep their type; columns of different types come together in one that holds them all.
        name: what messages call it.
        advice: what the message about one column of text ends with; by default how categories become numbers.

    Returns:
        A numpy array, or a dict of them.

    Raises:
        DataError: text, dates, complex numbers, objects, rows of different lengths, sparse or masked arrays.

    Example:
        >>> as_arrays([[1, 2], [3, 4]]).shape
        (2, 2)
    """
    if isinstance(x, Mapping):
        return {key: as_arrays(value, f"{name}[{key!r}]", advice) for key, value in x.items()}
    if hasattr(x, "toarray") and hasattr(x, "nnz"):
        size = math.prod(x.shape) * x.dtype.itemsize / 1e6
        raise DataError(f"{name} is sparse ({type(x).__name__}), and networks are trained on dense arrays. "
                        f"Give {name}.toarray(), which takes {size:.1f} MB.")
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise DataError(f"{name} is a masked array; {np.ma.count_masked(x)} of its values are masked. "
                        f"Fill them first: {name}.filled(0).")
    if hasattr(x, "iloc"):
        return _from_pandas(x, name, advice)
    try:
        array = np.asarray(x)
    except ValueError as error:
        if not isinstance(x, (list, tuple)):
            raise
        raise DataError(f"{name} is a list whose rows have different lengths. Make them equally long first, "
                        f"for instance by padding.") from error
    if problem := _not_numbers(array.dtype, array, name, advice if array.ndim < 2 else ""):
        raise DataError(problem)
    return array


def check_lengths(arrays: Mapping[str, np.ndarray | None]) -> int:
    """Check that arrays have rows, and all as many.

    Args:
        arrays: each array by its name in messages; those that are None are passed over.

    Returns:
        The number of rows.

    Raises:
        DataError: an array has no axis of rows, no rows, or another number of rows than the first.

    Example:
        >>> check_lengths({"x": np.zeros((5, 2)), "y": np.zeros(5), "sample_weight": None})
        5
    """
    arrays = {name: array for name, array in arrays.items() if array is not None}
    for name, array in arrays.items():
        if np.ndim(array) == 0:
            raise DataError(f"{name} is a single number; expected an array with a row for each example. "
                            f"For one example give it that axis: numpy.reshape({name}, (1, 1)).")
        if len(array) == 0:
            raise DataError(f"{name} has no rows; its shape is {format_shape(np.shape(array))}.")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise DataError(f"All arrays need the same number of rows: {found}.")
    return next(iter(lengths.values()), 0)


def check_finite(array: np.ndarray, name: str = "x", rows=None) -> None:
    """Check that no value is NaN or infinite.

    Args:
        array: numbers of any type and shape.
        name: what messages call it.
        rows: the numbers of its rows in the data that they come from; by default they are all of the data.

    Raises:
        DataError: how many are not finite, and where the first is.

    Example:
        >>> check_finite(np.array([[1.0, 2.0]]))
        >>> check_finite(np.array([[1.0, 2.0], [3.0, float("nan")]]))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        chainrule.errors.DataError: x has 1 value that is NaN or infinite, in row 1, column 1. ...
    """
    if array.dtype.kind in "biu":
        return
    with np.errstate(all="ignore"):  # a sum takes a fraction of the scan, and whatever is not finite shows in it
        if np.isfinite(np.sum(array)):
            return
    wrong = ~np.isfinite(array)
    count = np.count_nonzero(wrong)
    if count == 1:
        raise DataError(f"{name} has 1 value that is NaN or infinite, {_place(wrong, rows)}. "
                        f"Training on it would spoil every weight: fill it or leave that row out.")
    if count:
        raise DataError(f"{name} has {count} values that are NaN or infinite, the first {_place(wrong, rows)}. "
                        f"Training on them would spoil every weight: fill them or leave those rows out.")


def check_labels(y: np.ndarray, classes: int, name: str = "y", ignore_class: int | None = None) -> None:
    """Check that labels are integers from 0 to `classes - 1`, as sparse categorical cross-entropy needs them.

    Args:
        y: labels of any shape; floating point will do if they are whole.
        classes: the number of outputs of the network.
        name: what messages call the labels.
        ignore_class: a label that counts for nothing and may lie outside the range.

    Raises:
        DataError: a label is NaN, not whole, negative, or too large.

    Example:
        >>> check_labels(np.array([0, 2, 1]), classes=3)
        >>> check_labels(np.array([1, 3, 2]), classes=3)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        chainrule.errors.DataError: y has labels from 1 to 3; ... Labels that start at 1 need 1 taken off: give y - 1.
    """
    check_finite(y, name)
    if y.dtype.kind not in "biu" and (wrong := np.floor(y) != y).any():
        raise DataError(f"{name} needs integer labels from 0 to {classes - 1}; found {y[wrong][0]} {_place(wrong)}. "
                        f"For measured targets use a loss such as mean_squared_error, for a probability of each class "
                        f"categorical_crossentropy.")
    if ignore_class is not None:
        y = y[y != ignore_class]
    if not y.size or (y.min() >= 0 and y.max() < classes):
        return
    values = np.unique(y)
    low, high = int(values[0]), int(values[-1])
    if low == -1 and high == 1 and len(values) == 2:
        fix = f"Labels -1 and 1 become 0 and 1 by ({name} + 1) // 2."
    elif low == 1 and high <= classes:
        fix = f"Labels that start at 1 need 1 taken off: give {name} - 1."
    elif low < 0 or (len(values) <= classes and high >= 2 * classes):
        fix = f"Number them from 0: names, {name} = numpy.unique({name}, return_inverse=True)."
    else:
        fix = f"The last layer needs {high + 1} units."
    outputs = "1 output, for the label 0" if classes == 1 else f"{classes} outputs, for labels from 0 to {classes - 1}"
    raise DataError(f"{name} has labels from {low} to {high}; the network has {outputs}. {fix}")


def check_binary(y: np.ndarray, name: str = "y") -> None:
    """Check that targets lie between 0 and 1, as binary cross-entropy needs them.

    Args:
        y: targets of any shape.
        name: what messages call them.

    Raises:
        DataError: a target is NaN, below 0 or above 1.

    Example:
        >>> check_binary(np.array([0.0, 1.0, 0.5]))
        >>> check_binary(np.array([-1, 1]))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        chainrule.errors.DataError: y has values from -1 to 1; ... Targets -1 and 1 become 0 and 1 by (y + 1) / 2.
    """
    check_finite(y, name)
    if not y.size or (y.min() >= 0 and y.max() <= 1):
        return
    values = np.unique(y)
    low, high = values[0], values[-1]
    if len(values) == 2 and low == -1 and high == 1:
        fix = f"Targets -1 and 1 become 0 and 1 by ({name} + 1) / 2."
    elif len(values) == 2:
        fix = f"Two values become 0 and 1 by {name} == {high}."
    elif low == 0 and high == 255:
        fix = f"Grey values become targets by {name} / 255."
    elif np.array_equal(values, np.arange(len(values)) + low):
        fix = "For more than two classes use sparse_categorical_crossentropy with an output for each."
    else:
        fix = "For measured targets use a loss such as mean_squared_error."
    raise DataError(f"{name} has values from {low} to {high}; binary cross-entropy needs targets from 0 to 1. {fix}")


def check_weights(sample_weight: np.ndarray, name: str = "sample_weight") -> None:
    """Check that weights are finite, not negative, and not all 0.

    Args:
        sample_weight: how much each row counts.
        name: what messages call it.

    Raises:
        DataError: a weight is NaN, infinite or negative, or all are 0.

    Example:
        >>> check_weights(np.array([1.0, 0.0, 2.5]))
    """
    check_finite(sample_weight, name)
    if (wrong := sample_weight < 0).any():
        raise DataError(f"{name} has negative values: {np.count_nonzero(wrong)}, the first {_place(wrong)} "
                        f"({sample_weight[wrong][0]}). A weight says how much a row counts: 0 or more.")
    if not sample_weight.any():
        raise DataError(f"{name} is 0 in every row, so no row counts and nothing can be learned.")


def class_weights_to_rows(class_weight: Mapping[int, float] | str, labels: np.ndarray,
                          classes: int | None = None) -> np.ndarray:
    """The weight of each row from the weights of the classes.

    By "balanced" every class counts as much as any other:

        weight of class k = n / (K * n_k)

    with `n` rows in `K` classes, `n_k` of them in class `k` (scikit-learn's rule, after G. King and L. Zeng, Logistic
    regression in rare events data, 2001).

    Args:
        class_weight: the weight of each class by its label, 1 for those that are not named; or "balanced".
        labels: the label of each row, `(n,)` or `(n, 1)`, or one-hot rows `(n, classes)`.
        classes: the number of classes, where it is known: then classes may be named that no row has.

    Returns:
        Weights `(n,)`, float64.

    Raises:
        SettingError: a weight is negative or not a number, or `class_weight` names a class that is not there.
        DataError: rows have several labels, or labels that are not whole.

    Example:
        >>> class_weights_to_rows({1: 5.0}, np.array([0, 1, 2]))
        array([1., 5., 1.])
        >>> class_weights_to_rows("balanced", np.array([0, 0, 0, 1]))
        array([0.66666667, 0.66666667, 0.66666667, 2.        ])
    """
    labels = _one_label_a_row(labels)
    known, row_class, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if isinstance(class_weight, str) and class_weight == "balanced":
        return (len(labels) / (len(known) * counts))[row_class]
    if not isinstance(class_weight, Mapping):
        raise SettingError(f"class_weight is a dict of labels and weights, or 'balanced'; got {class_weight!r}.")
    known = [int(label) for label in known]
    possible = sorted({*known, *range(classes or 0)})
    for label, weight in class_weight.items():
        if label not in possible:
            raise SettingError(f"class_weight names the class {label!r}, which is none of the labels "
                               f"{', '.join(map(str, possible[:10]))}{' and more' * (len(possible) > 10)}.")
        if not isinstance(weight, (int, float, np.number)) or not 0 <= weight < math.inf:
            raise SettingError(f"class_weight gives the class {label} the weight {weight!r}; "
                               f"expected a number, 0 or more.")
    return np.array([class_weight.get(label, 1) for label in known], np.float64)[row_class]


def _one_label_a_row(labels: np.ndarray) -> np.ndarray:
    """The labels `(n,)` from `(n,)`, `(n, 1)` or one-hot rows."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        several = np.abs(labels.sum(1, dtype=np.float64) - 1) > 1e-3
        if several.any():
            raise DataError(f"class_weight needs one class a row; row {several.argmax()} of the one-hot targets "
                            f"adds up to {labels[several][0].sum()}. "
                            f"Give sample_weight instead, a weight for each row.")
        return labels.argmax(1)
    if labels.ndim != 1:
        raise ShapeError(f"class_weight needs one label a row, the shape (n,), (n, 1) or one-hot (n, classes); "
                         f"got {format_shape(labels.shape)}. Give sample_weight instead, a weight for each row.")
    check_finite(labels, "y")
    if (wrong := np.floor(labels) != labels).any():
        raise DataError(f"class_weight needs integer labels; found {labels[wrong][0]} {_place(wrong)}.")
    return labels


def _from_pandas(table, name: str, advice: str) -> np.ndarray:
    """A frame or series of pandas, whose columns may have types that numpy lacks."""
    if table.ndim == 1:
        columns = [(table, name, advice)]
    else:
        columns = [(table.iloc[:, index], f"Column {title!r} of {name}",
                    f"For categories: pandas.get_dummies({name}, columns=[{title!r}], dtype='float32').")
                   for index, title in enumerate(table.columns)]
    for column, title, advice in columns:
        if problem := _not_numbers(column.dtype, column, title, advice):
            raise DataError(problem)
    types = [column.dtype for column, _, _ in columns]
    plain = [getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype)) for dtype in types]
    if types == plain:
        return table.to_numpy(dtype=np.result_type(*plain)) if plain else np.empty(table.shape)
    if np.any(table.isna().to_numpy()):
        return table.to_numpy(dtype=np.result_type(*plain, np.float32), na_value=np.nan)
    return table.to_numpy(dtype=np.result_type(*plain))


def _not_numbers(dtype, values, name: str, advice: str = "") -> str | None:
    """What is wrong with values of that type, or None if they are real numbers or booleans."""
    # Types that JAX adds to numpy, such as bfloat16, call themselves "V" as raw bytes do, but are registered.
    if dtype.kind in "biuf" or getattr(dtype, "isbuiltin", 0) == 2:
        return None
    if dtype.kind == "c":
        return (f"{name} is {dtype}, and networks compute with real numbers. "
                f"Give both parts: numpy.stack([x.real, x.imag], -1).")
    if dtype.kind in "mM":
        return (f"{name} holds times ({dtype}). Turn them into numbers first, for instance days: "
                f"(x - x.min()) / numpy.timedelta64(1, 'D').")
    if getattr(dtype, "names", None):
        return (f"{name} is a structured array with the fields {', '.join(dtype.names)}. Turn it into a plain one: "
                f"numpy.lib.recfunctions.structured_to_unstructured(x).")
    entries = np.asarray(values, object)
    if entries.ndim == 0:
        return f"{name} is {entries.item()!r}; expected an array, a list or a table of numbers."
    wrong = np.array([not isinstance(entry, (int, float, np.number, np.bool)) for entry in entries.flat], bool)
    if not wrong.any():
        return f"{name} holds numbers, but as {dtype}. Make them plain ones: .astype('float32')."
    place, entry = _place(wrong.reshape(entries.shape)), entries.flat[wrong.argmax()]
    if not isinstance(entry, str):
        return f"{name} holds something other than numbers: {entry!r} ({type(entry).__name__}) {place}."
    if _is_number(entry):
        return f"{name} holds text: {entry!r} {place}. For numbers written as text: .astype('float32')."
    advice = advice or f"For categories: names, {name} = numpy.unique({name}, return_inverse=True)."
    return f"{name} holds text: {entry!r} {place}. {advice}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _place(wrong: np.ndarray, rows=None) -> str:
    """Where the first true value is; `rows` are the numbers that messages give the rows."""
    index = [int(part) for part in np.unravel_index(wrong.argmax(), wrong.shape)]
    if rows is not None:
        index[0] = int(rows[index[0]])
    if len(index) == 1:
        return f"in row {index[0]}"
    return f"in row {index[0]}, column {index[1]}" if len(index) == 2 else f"at {format_shape(index)}"
