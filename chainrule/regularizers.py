"""Regularisers: functions of a weight array that return a penalty, which training adds to the loss.

A strength may be a traced number, so that one program trains many strengths. A function of the user's, `f(w)` with a
scalar result, is used wherever a regulariser is.
"""
import numbers

import jax
import jax.numpy as jnp
import numpy as np

from chainrule.configuration import Configurable, Registry
from chainrule.errors import SettingError, ShapeError, format_shape


class Regularizer(Configurable):
    """What regularisers have in common; a subclass writes `__call__(self, w)`, which returns a scalar.

    Example:
        >>> class Cubic(Regularizer):
        ...     strength: float = 0.1
        ...     def __call__(self, w):
        ...         return self.strength * jnp.sum(jnp.abs(w) ** 3)
        >>> round(Cubic(0.5)(jnp.array([2.0])).item(), 4)
        4.0
    """

    kind = "regularizer"

    def __call__(self, w):
        raise NotImplementedError(f"{type(self).__name__} has no __call__(self, w).")


class L1(Regularizer):
    """The sum of sizes, `l1 * sum(|w|)`, which drives weights to exactly 0.

    Shapes: a weight of any shape to a number, `()`.

    Args:
        l1: strength.

    Reference: Tibshirani, Regression shrinkage and selection via the lasso, 1996.

    Example:
        >>> round(L1(0.1)(jnp.array([1.0, -2.0])).item(), 4)
        0.3
    """

    l1: float = 0.01

    def __post_init__(self):
        _check_strength(self, "l1")

    def __call__(self, w):
        return self.l1 * jnp.sum(_absolute(w))


class L2(Regularizer):
    """The sum of squares, `l2 * sum(w ** 2)`.

    Shapes: a weight of any shape to a number, `()`.

    Args:
        l2: strength.

    Reference: Hoerl and Kennard, Ridge regression: biased estimation for nonorthogonal problems, 1970.

    Example:
        >>> round(L2(0.1)(jnp.array([1.0, -2.0])).item(), 4)
        0.5
    """

    l2: float = 0.01

    def __post_init__(self):
        _check_strength(self, "l2")

    def __call__(self, w):
        return self.l2 * jnp.sum(jnp.square(w))


class L1L2(Regularizer):
    """Both penalties, `l1 * sum(|w|) + l2 * sum(w ** 2)`.

    Shapes: a weight of any shape to a number, `()`.

    Args:
        l1: strength of the sum of sizes.
        l2: strength of the sum of squares.

    Reference: Zou and Hastie, Regularization and variable selection via the elastic net, 2005.

    Example:
        >>> round(L1L2(l1=0.1, l2=0.2)(jnp.array([1.0, -2.0])).item(), 4)
        1.3
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self):
        _check_strength(self, "l1")
        _check_strength(self, "l2")

    def __call__(self, w):
        return self.l1 * jnp.sum(_absolute(w)) + self.l2 * jnp.sum(jnp.square(w))


class OrthogonalRegularizer(Regularizer):
    """Rows (or columns) that point the same way cost: `factor * mean over pairs of |cosine of the pair|`.

    Shapes: `(rows, columns)` to a number, `()`.

    Args:
        factor: strength.
        mode: `"rows"` or `"columns"`: which vectors are kept apart. The array has two axes.

    Reference: Rodríguez, Gonzàlez, Cucurull, Gonfaus and Roca, Regularizing CNNs with locally constrained
    decorrelations, 2017 (there with the squares of the cosines).

    Example:
        >>> OrthogonalRegularizer(factor=0.5)(jnp.array([[1.0, 0.0], [2.0, 0.0]])).item()
        0.5
    """

    factor: float = 0.01
    mode: str = "rows"

    def __post_init__(self):
        _check_strength(self, "factor")
        if self.mode not in ("rows", "columns"):
            raise SettingError(f"OrthogonalRegularizer: mode is 'rows' or 'columns'; got {self.mode!r}.")

    def __call__(self, w):
        if w.ndim != 2:
            raise ShapeError(f"OrthogonalRegularizer compares the {self.mode} of an array with two axes; got the shape "
                             f"{format_shape(w.shape)}.")
        vectors = w if self.mode == "rows" else w.T
        vectors = vectors / jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(vectors), axis=1, keepdims=True), 1e-12))
        count = len(vectors)
        cosines = jnp.where(jnp.eye(count, dtype=bool), 0, vectors @ vectors.T)
        return self.factor * jnp.sum(_absolute(cosines)) / max(count * (count - 1), 1)


def _absolute(x):
    """`|x|` with the derivative 0 at 0, where JAX's own has 1: an absent weight is left alone."""
    return x * jnp.sign(x)


def _check_strength(regularizer, name):
    """A strength that is known already is a number of at least 0; a traced one cannot be looked at."""
    value = getattr(regularizer, name)
    if isinstance(value, jax.core.Tracer):
        return
    number = isinstance(value, (numbers.Real, np.ndarray, jax.Array)) and not isinstance(value, bool)
    if not number or np.ndim(value) or not 0 <= value < float("inf"):
        raise SettingError(f"{type(regularizer).__name__}: {name} is a number of at least 0; got {value!r}.")


l1, l2, l1_l2 = L1, L2, L1L2

registry = Registry("regularizer", [L1, L2, L1L2, OrthogonalRegularizer],
                    aliases={"l1_l2": L1L2, "orthogonal": OrthogonalRegularizer})
get = registry.get
