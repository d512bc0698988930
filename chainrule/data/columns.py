"""Columns of a table by their names: which are inputs, which are targets, and how they become arrays."""
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from chainrule.data.source import leaves
from chainrule.errors import DataError, SettingError, ShapeError, UnknownNameError, did_you_mean, format_shape


class Selection:
    """Which columns are inputs, targets and weights.

    A list of columns becomes one array, `(rows, columns)`, in which a column of vectors takes as many places as they
    have. One name stands for its column alone, of any shape: numbers, vectors, images, text. A dict makes several
    inputs, or targets, by name.

    Args:
        columns: the inputs; `None` for all columns that are neither targets nor weights.
        target: the targets: one name is `(rows,)`, a list `(rows, columns)`.
        sample_weight: the column of weights.
        dtype: of inputs, and of targets that are not whole numbers.

    Example:
        >>> chosen = Selection(["a", "b"], "c", None).of(["a", "b", "c"], "the table")
        >>> x, y = chosen.arrays({"a": np.arange(2), "b": np.ones(2), "c": np.array([1, 0])}.get)
        >>> x.tolist(), y.tolist()
        ([[0.0, 1.0], [1.0, 1.0]], [1, 0])
    """

    def __init__(self, columns, target, sample_weight: str | None, dtype: str = "float32"):
        self.columns, self.target, self.sample_weight = (
            _checked(columns, "columns"), _checked(target, "target"), _checked(sample_weight, "sample_weight"))
        if sample_weight is not None and not isinstance(sample_weight, str):
            raise SettingError(f"sample_weight is the name of one column; got {sample_weight!r}.")
        self.dtype = np.dtype(dtype)
        if self.dtype.kind != "f":
            raise SettingError(f"dtype is 'float32', 'float16' or 'float64'; got {dtype!r}.")

    def of(self, available: Iterable[str], what: str) -> "Selection":
        """The same with the inputs named, where all others are meant; an error where there is no such column.

        Args:
            what: what messages call the table.
        """
        available = list(available)
        for name in self.names:
            if name not in available:
                raise UnknownNameError(f"{what} has no column {name!r}. {did_you_mean(name, available)}")
        if self.columns is not None:
            return self
        left = [name for name in available if name not in self.names]
        if not left:
            raise DataError(f"{what} has no columns for the inputs beside {', '.join(map(repr, self.names))}.")
        return Selection(left if len(left) > 1 else left[0], self.target, self.sample_weight, self.dtype)

    @property
    def names(self) -> list[str]:
        """All columns that are named, each once."""
        return list(dict.fromkeys(leaves([self.columns, self.target, self.sample_weight])))

    @property
    def alone(self) -> set[str]:
        """The inputs that stand alone, so that they may be text."""
        values = self.columns.values() if isinstance(self.columns, dict) else [self.columns]
        return {name for name in values if isinstance(name, str)}

    def arrays(self, column: Callable[[str], np.ndarray]) -> tuple:
        """`(x, y)`, or `(x, y, sample_weight)`, of what `column` returns for each name."""
        x, y = self._inputs(self.columns, column), self._targets(self.target, column)
        if self.sample_weight is None:
            return x, y
        return x, y, np.asarray(column(self.sample_weight), self.dtype)

    def _inputs(self, chosen, column):
        if isinstance(chosen, dict):
            return {name: self._inputs(part, column) for name, part in chosen.items()}
        if isinstance(chosen, list):
            return self._side_by_side(chosen, column)
        array = column(chosen)
        if array.dtype.kind == "O" or array.ndim > 2:
            return array
        return self._side_by_side([chosen], column)

    def _targets(self, chosen, column):
        if chosen is None:
            return None
        if isinstance(chosen, dict):
            return {name: self._targets(part, column) for name, part in chosen.items()}
        if isinstance(chosen, list):
            return self._side_by_side(chosen, column)
        array = column(chosen)
        return array.astype(self.dtype, copy=False) if array.dtype.kind == "f" else array

    def _side_by_side(self, names: list[str], column) -> np.ndarray:
        parts = [column(name) for name in names]
        for name, part in zip(names, parts, strict=True):
            if part.dtype.kind not in "biuf" or part.ndim > 2:
                raise ShapeError(f"The column {name!r} holds {part.dtype} of shape {format_shape(part.shape)}, and "
                                 f"several columns make one array of numbers. Name it alone, or in a dict of inputs.")
        widths = [part.shape[1] if part.ndim == 2 else 1 for part in parts]
        together = np.empty((len(parts[0]), sum(widths)), self.dtype)
        place = 0
        for part, width in zip(parts, widths, strict=True):
            together[:, place : place + width] = part.reshape(len(part), width)
            place += width
        return together


def _checked(chosen, setting: str):
    """Names of columns: one, a list of them, or a dict of these."""
    if chosen is None or isinstance(chosen, str):
        return chosen
    if isinstance(chosen, Mapping) and chosen:
        return {name: _checked(part, setting) for name, part in chosen.items()}
    if isinstance(chosen, (list, tuple)) and chosen and all(isinstance(name, str) for name in chosen):
        if len(set(chosen)) < len(chosen):
            raise SettingError(f"{setting} names a column twice: {list(chosen)}.")
        return list(chosen)
    raise SettingError(f"{setting} is the name of a column, a list of names, or a dict of these; got {chosen!r}.")
