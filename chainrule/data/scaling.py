"""Series in units that suit a network: each variable centred and divided by its spread, and back again."""
from collections.abc import Sequence

import numpy as np

from chainrule.data.arrays import as_arrays
from chainrule.data.preparation import Preparation
from chainrule.data.series import all_columns, find_columns, is_several
from chainrule.errors import DataError, NotReadyError, SettingError, ShapeError, format_shape

METHODS = ("standard", "robust", "minmax")
_IQR_OF_NORMAL = 1.3489795003921634  # the distance of the quartiles of a normal distribution with deviation 1


class Scaling(Preparation):
    """Each variable of a series centred and divided by its spread, both taken from the part to train on.

        z = (x - center) / scale

    Fit it on the training part alone: figures of the test part would tell about the future. A variable that never
    changes is divided by 1. Missing values (NaN) are passed over when fitting and stay what they are.

    Shapes: any with the variables as the last axis: `(rows, variables)`, windows `(n, length, variables)`; for one
    variable any shape at all.

    Args:
        method: what `center` and `scale` are. `"standard"`: mean and standard deviation. `"robust"`: the median, and
            the distance of the quartiles divided by 1.349, which equals the deviation for normal values and hardly
            sees outliers. `"minmax"`: the least value, and the distance to the greatest, so that `z` is 0 to 1.
        center, scale: one number for each variable, as `fit` sets them.
        columns: the names of the variables, where they have any; `fit` takes them from a table.

    Reference: Huber and Ronchetti, Robust statistics, 2009, section 1.2 (for `"robust"`).

    Example:
        >>> scaling = Scaling().fit([10.0, 20.0, 30.0])
        >>> [round(float(number), 3) for number in scaling.transform([20.0, 30.0])]
        [0.0, 1.225]
        >>> scaling.inverse_transform([0.0]).tolist()
        [20.0]
    """

    def __init__(self, method: str = "standard", center: Sequence[float] | None = None,
                 scale: Sequence[float] | None = None, columns: Sequence[str] | None = None):
        if method not in METHODS:
            raise SettingError(f"Scaling: method is one of {', '.join(map(repr, METHODS))}; got {method!r}.")
        if (center is None) != (scale is None):
            raise SettingError("Scaling: give both center and scale, or neither and call fit.")
        center, scale = _numbers("center", center), _numbers("scale", scale)
        if scale is not None and (len(scale) != len(center) or min(scale) <= 0):
            raise SettingError(f"Scaling: scale has one number above 0 for each of center; got {scale} beside "
                               f"{center}.")
        self.method, self.center, self.scale = method, center, scale
        self.columns = None if columns is None else [str(name) for name in columns]
        if self.columns is not None and center is not None and len(self.columns) != len(center):
            raise SettingError(f"Scaling: {len(center)} variables have {len(self.columns)} names: {self.columns}.")

    def fit(self, values) -> "Scaling":
        """Take `center` and `scale` from values, `(..., variables)` or a list of series; returns itself.

        Raises:
            DataError: a variable has no value, or an infinite one.

        Example:
            >>> Scaling("minmax").fit({"load": [2.0, 6.0], "heat": [0.0, 1.0]})
            Scaling(method='minmax', center=[2.0, 0.0], scale=[4.0, 1.0], columns=['load', 'heat'])
        """
        rows, names = self._rows(values)
        if (wrong := np.isinf(rows)).any():
            raise DataError(f"values is infinite in column {np.argwhere(wrong)[0][1]}; a scaling needs finite numbers.")
        if (empty := np.isnan(rows).all(0)).any():
            raise DataError(f"values has no number in column {empty.argmax()}, so its spread is not known.")
        if self.method == "standard":
            center, scale = np.nanmean(rows, 0), np.nanstd(rows, 0)
        elif self.method == "robust":
            low, center, high = np.nanpercentile(rows, (25, 50, 75), axis=0)
            scale = (high - low) / _IQR_OF_NORMAL
        else:
            center, scale = np.nanmin(rows, 0), np.nanmax(rows, 0) - np.nanmin(rows, 0)
        # What differs by rounding alone is a constant: dividing by it would blow the rounding up.
        constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(center)
        self.center, self.scale = center.tolist(), np.where(constant, 1.0, scale).tolist()
        self.columns = names
        return self

    def _rows(self, values) -> tuple[np.ndarray, list[str] | None]:
        """All rows as `(rows, variables)` in 64 bits, and their names."""
        if not is_several(values) and np.ndim(values) > 2:
            array = as_arrays(values, "values")
            if not array.size:
                raise DataError(f"values is empty; its shape is {format_shape(array.shape)}.")
            return array.reshape(-1, array.shape[-1]).astype(np.float64), None
        series, names = all_columns(values)
        return np.concatenate(series).astype(np.float64), None if names is None else [str(name) for name in names]

    def transform(self, values, columns=None) -> np.ndarray:
        """`(values - center) / scale`.

        Args:
            values: `(..., variables)`; any shape for one variable.
            columns: which variables the last axis holds, by number or name, where it does not hold all: a list, or one
                alone, and then `values` have no axis for it.

        Returns:
            An array of the shape of `values`, in its floating-point type (32 bits for integers).

        Raises:
            NotReadyError: `fit` was not called.
            ShapeError: the last axis does not hold these variables.

        Example:
            >>> Scaling(center=[10.0, 0.0], scale=[2.0, 1.0]).transform([[12.0, 3.0]]).tolist()
            [[1.0, 3.0]]
        """
        array, center, scale = self._beside(values, columns)
        return ((array - center) / scale).astype(_type_of(array))

    def inverse_transform(self, values, columns=None) -> np.ndarray:
        """`values * scale + center`, which undoes `transform`; the arguments are the same.

        Example:
            >>> Scaling(center=[10.0, 0.0], scale=[2.0, 1.0]).inverse_transform([1.0, 2.0], columns=0).tolist()
            [12.0, 14.0]
        """
        array, center, scale = self._beside(values, columns)
        return (array * scale + center).astype(_type_of(array))

    def _beside(self, values, columns) -> tuple:
        """The values as an array, and what belongs to their last axis."""
        if self.center is None:
            raise NotReadyError("This Scaling has not seen data yet: call fit(values) with the part to train on.")
        named = is_named(values)
        array = all_columns(values)[0][0] if named else as_arrays(values, "values")
        chosen, alone = find_columns(columns, self.columns, len(self.center))
        center, scale = np.array(self.center)[chosen], np.array(self.scale)[chosen]
        if alone and not named:
            return array, center[0], scale[0]
        if array.shape[-1:] != (len(chosen),):
            raise ShapeError(f"values have the shape {format_shape(array.shape)}, and the scaling has {len(chosen)} "
                             f"variable{'s' * (len(chosen) != 1)}, which the last axis holds. Where it holds some of "
                             f"them, say which: columns=[...].")
        return array, center, scale


def is_named(values) -> bool:
    """Whether a series has names for its columns.

    Example:
        >>> is_named({"load": [1.0]}), is_named([1.0])
        (True, False)
    """
    return isinstance(values, dict) or hasattr(values, "columns")


def _type_of(array: np.ndarray):
    return array.dtype if array.dtype.kind == "f" else np.float32


def _numbers(name: str, values) -> list[float] | None:
    """One number for each variable, as a list of plain ones."""
    if values is None:
        return None
    array = np.atleast_1d(np.asarray(values))
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise SettingError(f"Scaling: {name} is a list of finite numbers, one for each variable; got {values!r}.")
    return [float(number) for number in array]
