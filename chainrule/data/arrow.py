"""Columns of Arrow as arrays of numpy: what is missing or no number is said with its row and column."""
import numpy as np

from chainrule.errors import DataError, MissingDataError


def require_arrow() -> None:
    """Raise where pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingDataError("Parquet and CSV files are read with pyarrow, which is not installed: "
                               "pip install 'chainrule[tables]'.") from error


def check_type(kind, name: str, where: str, text: bool = False) -> None:
    """Raise where a column cannot become an array.

    Args:
        kind: the type of Arrow.
        text: whether it may be text.
    """
    import pyarrow.types as types

    values = kind
    while types.is_fixed_size_list(values):
        values = values.value_type
    if types.is_integer(values) or types.is_floating(values) or types.is_boolean(values) or types.is_decimal(values):
        return
    if types.is_null(kind):
        raise DataError(f"The column {name!r} of {where} is empty.")
    is_text = types.is_string(kind) or types.is_large_string(kind)
    if is_text and text:
        return
    if is_text or types.is_dictionary(kind):
        raise DataError(f"The column {name!r} of {where} holds text, and numbers are needed. Number its categories "
                        f"first (pandas: frame[{name!r}].astype('category').cat.codes), leave the column out, or name "
                        f"it alone as an input of a network that begins with a StringLookup or TextVectorization.")
    if types.is_list(kind) or types.is_large_list(kind):
        raise DataError(f"The column {name!r} of {where} holds lists ({kind}) that may differ in length. Make them a "
                        f"fixed_size_list, or pad them.")
    raise DataError(f"The column {name!r} of {where} holds {kind}, and numbers are needed. Turn it into numbers first, "
                    f"or leave the column out.")


def as_array(column, name: str, where: str, first_row: int) -> np.ndarray:
    """A column as an array: numbers, `(rows, size)` for vectors, objects for text.

    Args:
        column: a (chunked) array of Arrow, of a type that `check_type` lets pass.
        first_row: the number of its first row in the file, for messages.
    """
    import pyarrow
    import pyarrow.types as types

    if isinstance(column, pyarrow.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        if isinstance(column, pyarrow.ChunkedArray):  # of no rows
            column = pyarrow.concat_arrays(column.chunks) if column.num_chunks else pyarrow.array([], column.type)
    sizes = []
    if column.null_count:
        row = first_row + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"The column {name!r} of {where} has {column.null_count} missing values here, the first in row "
                        f"{row}. Fill them or leave those rows out.")
    while types.is_fixed_size_list(column.type):
        sizes.append(column.type.list_size)
        column = column.flatten()
    if types.is_decimal(column.type):
        column = column.cast(pyarrow.float64())
    array = column.to_numpy(zero_copy_only=False)
    if array.dtype.kind == "f" and not np.isfinite(np.sum(array)) and not (finite := np.isfinite(array)).all():
        place = int(np.argmin(finite))
        row = first_row + place // max(int(np.prod(sizes)), 1)
        raise DataError(f"The column {name!r} of {where} has the value {array[place]} in row {row}. Fill such values "
                        f"or leave those rows out.")
    return array.reshape(-1, *sizes) if sizes else array
