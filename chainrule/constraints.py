"""Constraints: functions that training applies to a weight array after each update.

The norm of a weight is taken along `axis`: for a dense layer's `(inputs, units)`, axis 0 gives each unit one norm; for
a convolution's kernel `(height, width, inputs, filters)` it is `(0, 1, 2)`. A function of the user's, `f(w)` with a
result of the same shape, is used wherever a constraint is.
"""
import jax.numpy as jnp

from chainrule.configuration import Configurable, Registry
from chainrule.errors import SettingError

EPSILON = 1e-7  # keeps a division by the norm of a zero vector finite; Keras's value


class Constraint(Configurable):
    """What constraints have in common; a subclass writes `__call__(self, w)`, which returns an array like `w`.

    Example:
        >>> class Rounded(Constraint):
        ...     def __call__(self, w):
        ...         return jnp.round(w)
        >>> Rounded()(jnp.array([1.2, -0.7])).tolist()
        [1.0, -1.0]
    """

    kind = "constraint"

    def __call__(self, w):
        raise NotImplementedError(f"{type(self).__name__} has no __call__(self, w).")


class MaxNorm(Constraint):
    """Vectors longer than `max_value` are shortened to it, `w * min(|w|, max_value) / |w|`.

    Shapes: any; the output has that of the input.

    Args:
        max_value: the greatest norm.
        axis: the axis or axes along which a vector lies.

    Reference: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, Dropout: a simple way to prevent neural
    networks from overfitting, 2014, section 5.1.

    Example:
        >>> jnp.round(MaxNorm(1.0)(jnp.array([[3.0, 0.25], [0.0, 0.0]])), 4).tolist()
        [[1.0, 0.25], [0.0, 0.0]]
    """

    max_value: float = 2.0
    axis: int | tuple[int, ...] = 0

    def __call__(self, w):
        norm = _norm(w, self.axis)
        return w * (jnp.clip(norm, 0, self.max_value) / (EPSILON + norm))


class UnitNorm(Constraint):
    """Every vector has length 1, `w / |w|`.

    Shapes: any; the output has that of the input.

    Args:
        axis: the axis or axes along which a vector lies.

    Reference: Oja, A simplified neuron model as a principal component analyzer, 1982.

    Example:
        >>> jnp.round(UnitNorm()(jnp.array([[5.0], [0.0]])), 4).tolist()
        [[1.0], [0.0]]
    """

    axis: int | tuple[int, ...] = 0

    def __call__(self, w):
        return w / (EPSILON + _norm(w, self.axis))


class NonNeg(Constraint):
    """Negative weights become 0, `max(w, 0)`.

    Shapes: any; the output has that of the input.

    Reference: Lin, Projected gradient methods for nonnegative matrix factorization, 2007.

    Example:
        >>> NonNeg()(jnp.array([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """

    def __call__(self, w):
        return jnp.maximum(w, 0)


class MinMaxNorm(Constraint):
    """Norms are moved into an interval: `w * (rate * clip(|w|, min_value, max_value) + (1 - rate) * |w|) / |w|`.

    Shapes: any; the output has that of the input.

    Args:
        min_value: the smallest norm.
        max_value: the greatest norm.
        rate: how much of the way is gone at each step, 0 to 1.
        axis: the axis or axes along which a vector lies.

    Reference: Keras's `MinMaxNorm`; `MaxNorm` has the paper.

    Example:
        >>> jnp.round(MinMaxNorm(max_value=1.0)(jnp.array([[5.0], [0.0]])), 4).tolist()
        [[1.0], [0.0]]
    """

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: int | tuple[int, ...] = 0

    def __post_init__(self):
        if self.min_value > self.max_value:
            raise SettingError(f"MinMaxNorm: min_value is at most max_value; got {self.min_value} and "
                               f"{self.max_value}.")

    def __call__(self, w):
        norm = _norm(w, self.axis)
        wanted = self.rate * jnp.clip(norm, self.min_value, self.max_value) + (1 - self.rate) * norm
        return w * (wanted / (EPSILON + norm))


def _norm(w, axis):
    axis = tuple(axis) if isinstance(axis, list) else axis
    return jnp.sqrt(jnp.sum(jnp.square(w), axis=axis, keepdims=True))


max_norm, unit_norm, non_neg, min_max_norm = MaxNorm, UnitNorm, NonNeg, MinMaxNorm

registry = Registry("constraint", [MaxNorm, UnitNorm, NonNeg, MinMaxNorm])
get = registry.get
