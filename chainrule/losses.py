"""Losses: what training makes small.

A loss compares a target with an output, both batch first, and gives one value per row (per step, for sequences): the
mean or sum over the last axis. Calling a loss reduces those values to one number, as Keras does.

Shapes are checked before anything is computed, on traced arrays too. A target `(n,)` beside an output `(n, 1)` is read
as a column; nothing else is broadcast. Targets of any numeric type are converted to the output's; outputs in 16 bits
are compared in 32.

In the equations `y` is the target and `p` the output.
"""
import math
from collections.abc import Callable
from dataclasses import field

import jax
import jax.numpy as jnp
from jax import lax

from chainrule.configuration import Configurable, Registry, snake_case
from chainrule.errors import DataError, SettingError, ShapeError, format_shape

EPSILON = 1e-7  # how near a probability may come to 0 and 1 before its logarithm is taken; Keras's value
REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)


class Comparison(Configurable):
    """What losses and metrics have in common: they compare a target with an output, whose shapes must fit.

    Args:
        name: what progress, history and messages call it.

    Class attributes that a subclass may set:
        target_kind: what a target consists of, which decides its shape. `"float"` (any numbers), `"binary"` (0 to 1),
            `"signs"` (-1 and 1, or 0 and 1) and `"one_hot"` (a distribution over the classes) have the output's shape;
            `"labels"` (integers from 0) lack its class axis; `"any"`, for functions of the user's, only needs as many
            rows.
        expects: `"probabilities"`, `"logits"` (scores before a sigmoid or softmax) or `"any"`: the outputs it is for.
        class_axis: the output's axis of classes.
        alternative: what to use for the other way of writing classes, labels or one-hot; named in messages.
    """

    target_kind = "any"
    expects = "any"
    class_axis = -1
    alternative = "SparseCategoricalCrossentropy"

    name: str | None = field(default=None, kw_only=True)

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name or type(self).__name__

    def align(self, y_true, y_pred) -> tuple[jax.Array, jax.Array]:
        """Target and output as arrays whose shapes fit, in the type that the comparison is made in."""
        y_true, y_pred = (array if hasattr(array, "dtype") else jnp.asarray(array) for array in (y_true, y_pred))
        shape = self.check_target(y_true.shape, y_pred.shape, y_true.dtype)
        y_true, y_pred = jnp.asarray(y_true).reshape(shape), floating(y_pred)
        return y_true.astype(self.target_dtype(y_true.dtype, y_pred.dtype)), y_pred

    def target_dtype(self, target, output):
        """The type a target of type `target` is converted to: the output's, except that labels are integers."""
        whole = jnp.issubdtype(target, jnp.integer)
        if self.target_kind == "labels" or (self.target_kind == "any" and whole):
            return target if whole and jnp.dtype(target).itemsize >= 4 else jnp.int32
        return output

    def target_shape(self, output_shape) -> tuple[int | None, ...] | None:
        """The shape of the target that belongs to an output's; `None` where only the number of rows counts."""
        output = tuple(output_shape)
        if self.target_kind != "labels":
            return None if self.target_kind == "any" else output
        if not -len(output) <= self.class_axis < len(output):
            raise ShapeError(f"{self.label}: an output of shape {format_shape(output)} has no axis {self.class_axis} "
                             "of classes. Let the last layer return one score per class.")
        axis = self.class_axis % len(output)
        return output[:axis] + output[axis + 1:]

    def check_target(self, target_shape, output_shape, dtype=None) -> tuple[int | None, ...]:
        """The shape that a target is read in, checked against the output's; unknown axes are `None`.

        Raises:
            ShapeError: the shapes do not belong together.
            DataError: `dtype` is not a type of numbers.
        """
        target, output = tuple(target_shape), tuple(output_shape)
        numeric = (jnp.floating, jnp.integer, jnp.bool_)
        if dtype is not None and not any(jnp.issubdtype(dtype, kind) for kind in numeric):
            raise DataError(f"{self.label} compares numbers; the target has the type {dtype}. Encode classes as "
                            "integers from 0, other targets as floating-point numbers.")
        expected = self.target_shape(output)
        if self.target_kind == "labels" and len(target) == len(output) and target[self.class_axis] == 1:
            axis = self.class_axis % len(output)
            target = target[:axis] + target[axis + 1:]
        if expected is None:
            column = output[-1:] == (1,) and len(target) == len(output) - 1
            if _fits((target + (1,) * column)[:1], output[:1]):
                return target + (1,) * column
        elif _fits(target, expected):
            return target
        elif _fits((*target, 1), expected):
            return (*target, 1)
        wanted = "with as many rows" if expected is None else f"of shape {format_shape(expected)}"
        raise ShapeError(f"{self.label}: an output of shape {format_shape(output)} needs a target {wanted}; got "
                         f"{format_shape(target)}. {self.advice(target, output, expected)}")

    def advice(self, target, output, expected) -> str:
        """The likely fix for a target whose shape does not fit."""
        if expected is None or (_fits(target[1:], expected[1:]) and len(target)):
            return "Hand in one target for each row."
        if self.target_kind == "labels":
            if _fits(target, output):
                return (f"For one-hot targets use {self.alternative}, or turn them into labels: "
                        f"y.argmax(axis={self.class_axis}).")
            return "Reshape the target, or let the last layer return one score per class and target."
        units = output[-1]
        if self.target_kind == "one_hot" and (_fits(target, output[:-1]) or _fits(target, (*output[:-1], 1))):
            return (f"For integer labels use {self.alternative}, or make them one-hot: "
                    f"to_categorical(y, {units}).")
        if _fits(target, output[:-1]) or _fits(target[:-1], output[:-1]):
            wanted = target[-1] if len(target) == len(output) else 1
            classes = f" For labels of {units} classes use {self.alternative}." * (
                self.target_kind == "binary" and wanted == 1)
            return f"Let the last layer have {wanted} unit{'s' * (wanted != 1)} instead of {units}.{classes}"
        return "Reshape the target, or let the last layer return that shape."


def _fits(shape, expected) -> bool:
    """Whether two shapes agree wherever both are known."""
    return len(shape) == len(expected) and all(
        size == wanted or size is None or wanted is None for size, wanted in zip(shape, expected, strict=True))


class Loss(Comparison):
    """What losses have in common; a subclass writes `call(self, y_true, y_pred)`.

    `call` gives one value per row, of shape `y_pred.shape[:-1]`, or a scalar, which then stands for every row.

    Args:
        reduction: how calling the loss makes one number of the values, each times its weight:
            `"sum_over_batch_size"` or `"mean"` divide their sum by their number, `"mean_with_sample_weight"` divides
            it by the sum of the weights, `"sum"` leaves it, `"none"` or `None` return the values themselves.

    Example:
        >>> class PoweredError(Loss):
        ...     power: float = 3.0
        ...     def call(self, y_true, y_pred):
        ...         return jnp.mean(jnp.abs(y_true - y_pred) ** self.power, axis=-1)
        >>> PoweredError()([[0.0], [0.0]], [[1.0], [2.0]]).item()
        4.5
    """

    kind = "loss"

    reduction: str | None = field(default="sum_over_batch_size", kw_only=True)

    def __post_init__(self):
        if self.reduction not in REDUCTIONS:
            raise SettingError(f"{type(self).__name__}: reduction is one of {', '.join(map(repr, REDUCTIONS))}; "
                               f"got {self.reduction!r}.")

    def call(self, y_true, y_pred):
        """One value per row, or a scalar."""
        raise NotImplementedError(f"{type(self).__name__} has no call(self, y_true, y_pred).")

    def mask(self, y_true, y_pred):
        """Which values count, as booleans of their shape, or `None` where all do."""
        return None

    def values(self, y_true, y_pred) -> jax.Array:
        """One value per row: shapes checked, types converted, `call`, a scalar spread over the rows."""
        y_true, y_pred = self.align(y_true, y_pred)
        values = jnp.asarray(self.call(y_true, y_pred))
        if values.ndim == 0:
            return jnp.broadcast_to(values, y_pred.shape[:-1])
        if values.shape[:1] != y_pred.shape[:1]:
            raise ShapeError(
                f"{self.label} gave values of shape {format_shape(values.shape)} for an output of shape "
                f"{format_shape(y_pred.shape)}. Let it return a scalar or one value per row, of shape "
                f"{format_shape(y_pred.shape[:1])}.")
        return values

    def __call__(self, y_true, y_pred, sample_weight=None) -> jax.Array:
        """The values reduced to one number.

        Args:
            y_true: the target.
            y_pred: the output.
            sample_weight: a number, one weight per row, or one for each value.
        """
        values = self.values(y_true, y_pred)
        weights = jnp.ones_like(values) if sample_weight is None else expand_weights(sample_weight, values)
        count = values.size
        mask = self.mask(*self.align(y_true, y_pred))
        if mask is not None:
            weights = jnp.where(mask, weights, 0)
            count = jnp.sum(mask).astype(values.dtype)
        values = values if mask is None and sample_weight is None else values * weights
        if self.reduction in ("none", None):
            return values
        if self.reduction == "sum":
            return jnp.sum(values)
        return divide_or_zero(jnp.sum(values), jnp.sum(weights) if self.reduction.endswith("weight") else count)


def floating(x) -> jax.Array:
    """`x` as an array of floating-point numbers of at least 32 bits.

    Example:
        >>> floating(jnp.ones(2, "bfloat16")).dtype.name, floating([True, False]).tolist()
        ('float32', [1.0, 0.0])
    """
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return x.astype(float)
    return x if x.dtype.itemsize >= 4 else x.astype(jnp.float32)


def expand_weights(sample_weight, values) -> jax.Array:
    """Weights (a number, one per row, or one for each value) as an array that multiplies `values`.

    Args:
        sample_weight: of shape `()`, `(rows,)`, `(rows, 1)` or as `values`.
        values: of shape `(rows, ...)`.

    Raises:
        ShapeError: the shapes do not belong together.

    Example:
        >>> expand_weights([1.0, 2.0], jnp.ones((2, 3))).tolist()
        [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """
    values = jnp.asarray(values)
    weights = jnp.asarray(sample_weight).astype(values.dtype)
    shape = weights.shape
    while len(shape) > values.ndim and shape[-1] == 1:
        shape = shape[:-1]
    shape += (1,) * (values.ndim - len(shape)) if shape else ()
    fits = len(shape) == values.ndim and shape[:1] == values.shape[:1] and all(
        size in (1, wanted) for size, wanted in zip(shape, values.shape, strict=True))
    if shape and values.ndim == 0:
        raise ShapeError(f"sample_weight has the shape {format_shape(weights.shape)} beside a single value. For one "
                         f"value per row, give target and output the shape {format_shape((*weights.shape[:1], 1))}.")
    if shape and not fits:
        raise ShapeError(f"sample_weight has the shape {format_shape(weights.shape)} beside values of shape "
                         f"{format_shape(values.shape)}. Hand in one weight per row, of shape "
                         f"{format_shape(values.shape[:1])}, or one for each value.")
    return jnp.broadcast_to(weights.reshape(shape), values.shape)


def divide_or_zero(numerator, denominator) -> jax.Array:
    """`numerator / denominator`, and 0 where the denominator is 0.

    Example:
        >>> divide_or_zero(jnp.array(1.0), 0).item()
        0.0
    """
    empty = denominator == 0
    return jnp.where(empty, 0, numerator / jnp.where(empty, 1, denominator))


class FunctionLoss(Loss):
    """A function of the user's as a loss: `values = function(y_true, y_pred)`.

    Shapes: `y` and `p` of any shape with as many rows; values as the function returns them.

    Args:
        function: `f(y_true, y_pred)`, which returns one value per row or a scalar. Integer targets reach it as
            integers, others in the output's type.

    Example:
        >>> FunctionLoss(lambda y_true, y_pred: jnp.mean((y_true - y_pred) ** 2))([[0.0], [0.0]], [[1.0], [3.0]]).item()
        5.0
    """

    function: Callable

    def call(self, y_true, y_pred):
        return self.function(y_true, y_pred)

    @property
    def label(self) -> str:
        return self.name or getattr(self.function, "__name__", type(self.function).__name__)


def functional(loss: type[Loss]) -> Callable:
    """The function `f(y_true, y_pred, ...)` that returns a loss's values; further arguments are the loss's settings."""

    def function(y_true, y_pred, *settings, **named_settings):
        return loss(*settings, **named_settings).values(y_true, y_pred)

    function.__name__ = function.__qualname__ = snake_case(loss.__name__)
    function.__doc__ = f"The values of `{loss.__name__}`, one per row and not reduced; its settings follow the arrays."
    function.loss_class = loss
    return function


def _mean(values):
    """The mean over the last axis."""
    return jnp.mean(values, axis=-1) if values.ndim else values


def _absolute(x):
    """`|x|` with the derivative 0 at 0, where JAX's own has 1."""
    return x * jnp.sign(x)


# Regression


class MeanSquaredError(Loss):
    """`mean((y - p) ** 2)` over the last axis.

    Shapes: `y` and `p` `(batch, ..., n)`; values `(batch, ...)`.

    Reference: Bishop, Pattern recognition and machine learning, 2006, section 3.1.1.

    Example:
        >>> MeanSquaredError()([[0.0], [1.0]], [[2.0], [1.0]]).item()
        2.0
    """

    target_kind = "float"

    def call(self, y_true, y_pred):
        return _mean(jnp.square(y_true - y_pred))


class MeanAbsoluteError(Loss):
    """`mean(|y - p|)` over the last axis.

    Shapes: `y` and `p` `(batch, ..., n)`; values `(batch, ...)`.

    Reference: Hastie, Tibshirani and Friedman, The elements of statistical learning, 2009, section 10.6.

    Example:
        >>> MeanAbsoluteError()([[0.0], [1.0]], [[2.0], [1.0]]).item()
        1.0
    """

    target_kind = "float"

    def call(self, y_true, y_pred):
        return _mean(_absolute(y_true - y_pred))


class MeanAbsolutePercentageError(Loss):
    """`100 * mean(|y - p| / max(|y|, 1e-7))` over the last axis.

    Shapes: `y` and `p` `(batch, ..., n)`; values `(batch, ...)`.

    Reference: Hyndman and Koehler, Another look at measures of forecast accuracy, 2006.

    Example:
        >>> round(MeanAbsolutePercentageError()([[10.0]], [[9.0]]).item(), 3)
        10.0
    """

    target_kind = "float"

    def call(self, y_true, y_pred):
        return 100 * _mean(_absolute(y_true - y_pred) / jnp.maximum(jnp.abs(y_true), EPSILON))


class MeanSquaredLogarithmicError(Loss):
    """`mean((log(1 + y) - log(1 + p)) ** 2)` over the last axis; `y` and `p` below `1e-7` are read as that.

    Shapes: `y` and `p` `(batch, ..., n)`; values `(batch, ...)`.

    Reference: Tofallis, A better measure of relative prediction accuracy for model selection and model estimation, 2015
    (there without the 1).

    Example:
        >>> round(MeanSquaredLogarithmicError()([[0.0]], [[1.0]]).item(), 4)
        0.4805
    """

    target_kind = "float"

    def call(self, y_true, y_pred):
        logarithm = lambda x: jnp.log1p(jnp.maximum(x, EPSILON))
        return _mean(jnp.square(logarithm(y_pred) - logarithm(y_true)))


class Huber(Loss):
    """Squares of small errors, sizes of large ones: the mean of `e ** 2 / 2` where `|e| <= delta`, for `e = y - p`,
    and of `delta * |e| - delta ** 2 / 2` elsewhere.

    Shapes: `y` and `p` `(batch, ..., n)`; values `(batch, ...)`.

    Args:
        delta: where the two pieces meet.

    Reference: Huber, Robust estimation of a location parameter, 1964.

    Example:
        >>> Huber()([[0.0, 0.0]], [[1.0, 3.0]]).item()
        1.5
    """

    target_kind = "float"

    delta: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        if not self.delta > 0:
            raise SettingError(f"Huber: delta is a number above 0; got {self.delta!r}.")

    def call(self, y_true, y_pred):
        error = _absolute(y_pred - y_true)
        return _mean(jnp.where(error <= self.delta, jnp.square(error) / 2, self.delta * error - self.delta**2 / 2))


class LogCosh(Loss):
    """`mean(log(cosh(p - y)))` over the last axis: near `e ** 2 / 2` for small errors, `|e| - log(2)` for large ones.

    Shapes: `y` and `p` `(batch, ..., n)`; values `(batch, ...)`.

    Reference: Saleh and Saleh, Statistical properties of the log-cosh loss function used in machine learning, 2022.

    Example:
        >>> round(LogCosh()([[0.0]], [[100.0]]).item(), 4)
        99.3069
    """

    target_kind = "float"

    def call(self, y_true, y_pred):
        error = y_pred - y_true
        return _mean(error + jax.nn.softplus(-2 * error) - math.log(2))


class Quantile(Loss):
    """`mean(max(q * e, (q - 1) * e))` for `e = y - p`, which is least where `p` is the quantile `q` of the targets.

    Shapes: `y` and `p` `(batch, ..., n)`, or for several quantiles `(batch, ..., 1)` and `(batch, ..., quantiles)`;
    values `(batch, ...)`.

    Args:
        quantile: `q`, between 0 and 1; or several, one for each column of the output, beside a target of one column.

    Reference: Koenker and Bassett, Regression quantiles, 1978; also known as pinball loss.

    Example:
        >>> Quantile(0.75)([[0.0], [0.0]], [[4.0], [-4.0]]).item()
        2.0
    """

    target_kind = "float"

    quantile: float | tuple[float, ...] = 0.5

    def __post_init__(self):
        super().__post_init__()
        if not all(0 < q < 1 for q in self._quantiles):
            raise SettingError(f"Quantile: a quantile is a number between 0 and 1; got {self.quantile!r}.")

    @property
    def _quantiles(self):
        return tuple(self.quantile) if isinstance(self.quantile, (tuple, list)) else (self.quantile,)

    def target_shape(self, output_shape):
        output, several = tuple(output_shape), len(self._quantiles)
        if not isinstance(self.quantile, (tuple, list)):
            return output
        if output[-1:] != (several,):
            raise ShapeError(f"{self.label}: {several} quantiles need an output with as many columns; got the shape "
                             f"{format_shape(output)}. Let the last layer have {several} units.")
        return (*output[:-1], 1)

    def call(self, y_true, y_pred):
        error = y_true - y_pred
        q = jnp.array(self._quantiles, error.dtype).reshape((1,) * (error.ndim - 1) + (-1,))
        return _mean(jnp.maximum(q * error, (q - 1) * error))


class GaussianNegativeLogLikelihood(Loss):
    """How unlikely the target is under a normal distribution: `mean(log(v) + (y - m) ** 2 / v) / 2` over the targets.

    An output has two columns for each column of the target: first the means `m`, then the logarithms of the
    variances `v`. The constant `log(2 * pi) / 2` is left out.

    Shapes: `y` `(batch, ..., n)`, `p` `(batch, ..., 2 * n)`; values `(batch, ...)`.

    Reference: Nix and Weigend, Estimating the mean and variance of the target probability distribution, 1994.

    Example:
        >>> GaussianNegativeLogLikelihood()([3.0], [[1.0, 0.0]]).item()
        2.0
    """

    target_kind = "float"

    def target_shape(self, output_shape):
        output = tuple(output_shape)
        if not output or output[-1] % 2:
            raise ShapeError(f"{self.label}: an output has two columns for each of the target's, means and "
                             f"logarithms of variances; got the shape {format_shape(output)}. Let the last layer have "
                             "2 units for each number to be predicted.")
        return (*output[:-1], output[-1] // 2)

    def call(self, y_true, y_pred):
        mean, log_variance = jnp.split(y_pred, 2, axis=-1)
        return _mean(log_variance + jnp.square(y_true - mean) * jnp.exp(-log_variance)) / 2


class Poisson(Loss):
    """`mean(p - y * log(p + 1e-7))` over the last axis, for counts `y` and outputs above 0.

    Shapes: `y` and `p` `(batch, ..., n)`; values `(batch, ...)`.

    Reference: McCullagh and Nelder, Generalized linear models, 1989, chapter 6.

    Example:
        >>> round(Poisson()([[0.0], [1.0]], [[2.0], [1.0]]).item(), 4)
        1.5
    """

    target_kind = "float"

    def call(self, y_true, y_pred):
        return _mean(y_pred - y_true * jnp.log(y_pred + EPSILON))


class CosineSimilarity(Loss):
    """`-sum(y * p) / (|y| * |p|)`: -1 for vectors that point the same way, 1 for opposite ones, 0 beside a zero vector.

    Shapes: `y` and `p` `(batch, ..., n)`; values without `axis`.

    Args:
        axis: the axis along which a vector lies.

    Reference: Manning, Raghavan and Schütze, Introduction to information retrieval, 2008, section 6.3.1.

    Example:
        >>> CosineSimilarity()([[0.0, 2.0], [1.0, 0.0]], [[0.0, 3.0], [0.0, 1.0]]).tolist()
        -0.5
    """

    target_kind = "float"

    axis: int = -1

    def call(self, y_true, y_pred):
        return -jnp.sum(_unit(y_true, self.axis) * _unit(y_pred, self.axis), axis=self.axis)


def _unit(vectors, axis):
    """Vectors of length 1; a zero vector stays one, and so does its gradient stay finite."""
    square = jnp.sum(jnp.square(vectors), axis=axis, keepdims=True)
    return vectors / jnp.sqrt(jnp.maximum(square, EPSILON**2))


# Two classes, or several that do not exclude each other


class _CrossEntropy(Loss):
    """What cross-entropies have in common: they are for probabilities or for logits."""

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= getattr(self, "label_smoothing", 0) <= 1:
            raise SettingError(
                f"{type(self).__name__}: label_smoothing is a number from 0 to 1; got {self.label_smoothing!r}.")

    @property
    def expects(self) -> str:
        return "logits" if self.from_logits else "probabilities"

    @property
    def class_axis(self) -> int:
        return -1 if self.target_kind == "binary" else self.axis


class BinaryCrossentropy(_CrossEntropy):
    """`mean(-y * log(p) - (1 - y) * log(1 - p))` over the last axis.

    From logits `z`, where `p = sigmoid(z)`, it is `max(z, 0) - y * z + log(1 + exp(-|z|))`, which never overflows.

    Shapes: `y` and `p` `(batch, ..., n)`; values `(batch, ...)`.

    Args:
        from_logits: whether outputs are logits; probabilities otherwise, held `1e-7` away from 0 and 1.
        label_smoothing: `s` in `y * (1 - s) + s / 2`, the target that is used.
        axis: the axis that the mean is over.

    Reference: Bishop, Pattern recognition and machine learning, 2006, section 4.3.2; label smoothing: Szegedy and
    others, Rethinking the Inception architecture for computer vision, 2016.

    Example:
        >>> round(BinaryCrossentropy()([[1.0], [0.0]], [[0.5], [0.5]]).item(), 4)
        0.6931
    """

    target_kind = "binary"

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1

    def call(self, y_true, y_pred):
        y_true = y_true * (1 - self.label_smoothing) + self.label_smoothing / 2
        values = _binary_crossentropy(y_true, y_pred, self.from_logits)
        return jnp.mean(values, axis=self.axis) if values.ndim else values


def _binary_crossentropy(y, p, from_logits: bool):
    """The cross-entropy of each entry."""
    if from_logits:
        return jnp.maximum(p, 0) - y * p + jnp.log1p(jnp.exp(-_absolute(p)))
    p = _inside(p)
    return -y * jnp.log(p) - (1 - y) * jnp.log1p(-p)


def _inside(probability):
    """A probability held away from 0 and 1."""
    return jnp.clip(probability, EPSILON, 1 - EPSILON)


class BinaryFocalCrossentropy(_CrossEntropy):
    """The binary cross-entropy, each entry times `(1 - q) ** gamma` for `q` the probability given to what is true.

    Shapes: `y` and `p` `(batch, ..., n)`; values `(batch, ...)`.

    Args:
        apply_class_balancing: whether ones count `alpha` and zeros `1 - alpha` as well.
        alpha: that weight.
        gamma: how much less entries count that are right already.
        from_logits: whether outputs are logits; probabilities otherwise.
        label_smoothing: `s` in `y * (1 - s) + s / 2`, the target that is used.
        axis: the axis that the mean is over.

    Reference: Lin, Goyal, Girshick, He and Dollár, Focal loss for dense object detection, 2017.

    Example:
        >>> round(BinaryFocalCrossentropy()([[1.0]], [[0.5]]).item(), 4)
        0.1733
    """

    target_kind = "binary"

    apply_class_balancing: bool = False
    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1

    def call(self, y_true, y_pred):
        y = y_true * (1 - self.label_smoothing) + self.label_smoothing / 2
        p = lax.logistic(y_pred) if self.from_logits else y_pred
        values = (1 - y * p - (1 - y) * (1 - p)) ** self.gamma * _binary_crossentropy(y, y_pred, self.from_logits)
        if self.apply_class_balancing:
            values = values * (y * self.alpha + (1 - y) * (1 - self.alpha))
        return jnp.mean(values, axis=self.axis)


class _MarginLoss(Loss):
    """What losses for scores beside targets of -1 and 1 have in common; targets of 0 are read as -1."""

    target_kind = "signs"

    def call(self, y_true, y_pred):
        return _mean(self.piece(jnp.where(y_true == 0, -1, y_true) * y_pred))

    def piece(self, margin):
        """The loss of each margin `y * p`."""
        raise NotImplementedError


class Hinge(_MarginLoss):
    """`mean(max(1 - y * p, 0))` over the last axis, for targets of -1 and 1 (0 is read as -1).

    Shapes: `y` and `p` `(batch, ..., n)`; values `(batch, ...)`.

    Reference: Cortes and Vapnik, Support-vector networks, 1995.

    Example:
        >>> Hinge()([[-1.0], [1.0]], [[0.5], [2.0]]).item()
        0.75
    """

    def piece(self, margin):
        return jnp.maximum(1 - margin, 0)


class SquaredHinge(_MarginLoss):
    """`mean(max(1 - y * p, 0) ** 2)` over the last axis, for targets of -1 and 1 (0 is read as -1).

    Shapes: `y` and `p` `(batch, ..., n)`; values `(batch, ...)`.

    Reference: Tang, Deep learning using linear support vector machines, 2013.

    Example:
        >>> SquaredHinge()([[-1.0], [1.0]], [[0.5], [2.0]]).item()
        1.125
    """

    def piece(self, margin):
        return jnp.square(jnp.maximum(1 - margin, 0))


class Perceptron(_MarginLoss):
    """`mean(max(-y * p, 0))` over the last axis, for targets of -1 and 1 (0 is read as -1).

    A score of exactly 0 counts as wrong: its gradient is that of the wrong side, so that Rosenblatt's rule can start
    from weights of 0.

    Shapes: `y` and `p` `(batch, ..., n)`; values `(batch, ...)`.

    Reference: Rosenblatt, The perceptron, 1958; Bishop, Pattern recognition and machine learning, 2006, section 4.1.7.

    Example:
        >>> Perceptron()([[-1.0], [1.0]], [[0.5], [2.0]]).item()
        0.25
    """

    def piece(self, margin):
        return jnp.where(margin <= 0, -margin, 0)


# Several classes, one of which is true


class CategoricalCrossentropy(_CrossEntropy):
    """`-sum over k of y[k] * log(p[k])`, for a target that is a distribution over the classes.

    Shapes: `y` and `p` `(batch, ..., classes)`; values `(batch, ...)`.

    Args:
        from_logits: whether outputs are logits; probabilities otherwise, divided by their sum and held `1e-7` away
            from 0 and 1.
        label_smoothing: `s` in `y * (1 - s) + s / K` for `K` classes, the target that is used.
        axis: the axis of the classes.

    Reference: Bishop, Pattern recognition and machine learning, 2006, section 4.3.4; label smoothing: Szegedy and
    others, Rethinking the Inception architecture for computer vision, 2016.

    Example:
        >>> round(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    target_kind = "one_hot"

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1

    def call(self, y_true, y_pred):
        y_true = _smooth(y_true, self.label_smoothing, self.axis)
        if self.from_logits:
            return -jnp.sum(y_true * jax.nn.log_softmax(y_pred, axis=self.axis), axis=self.axis)
        return -jnp.sum(y_true * jnp.log(_distribution(y_pred, self.axis)), axis=self.axis)


class SparseCategoricalCrossentropy(_CrossEntropy):
    """`-log(p[y])`, for a target that is the number of the true class.

    From logits `z` it is `log(sum over k of exp(z[k])) - z[y]`, computed without overflow.

    Shapes: `y` `(batch, ...)` or `(batch, ..., 1)`, `p` `(batch, ..., classes)`; values `(batch, ...)`.

    Args:
        from_logits: whether outputs are logits; probabilities otherwise, divided by their sum and held `1e-7` away
            from 0 and 1.
        ignore_class: a label whose rows do not count: their value is 0, and means are over the others.
        axis: the axis of the classes.

    Reference: Bishop, Pattern recognition and machine learning, 2006, section 4.3.4.

    Example:
        >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    target_kind = "labels"
    alternative = "CategoricalCrossentropy"

    from_logits: bool = False
    ignore_class: int | None = None
    axis: int = -1

    def call(self, y_true, y_pred):
        y_pred = jnp.moveaxis(y_pred, self.axis, -1)
        if self.from_logits:
            scores = y_pred - lax.stop_gradient(jnp.max(y_pred, axis=-1, keepdims=True))
            values = jnp.log(jnp.sum(jnp.exp(scores), axis=-1)) - pick(scores, y_true)
        else:
            values = -jnp.log(_inside(pick(y_pred, y_true) / jnp.sum(y_pred, axis=-1)))
        return values if self.ignore_class is None else jnp.where(y_true == self.ignore_class, 0, values)

    def mask(self, y_true, y_pred):
        return None if self.ignore_class is None else y_true != self.ignore_class


class KLDivergence(Loss):
    """`sum over k of y[k] * log(y[k] / p[k])`, for two distributions over the classes, held between `1e-7` and 1.

    Shapes: `y` and `p` `(batch, ..., classes)`; values `(batch, ...)`.

    Reference: Kullback and Leibler, On information and sufficiency, 1951.

    Example:
        >>> round(KLDivergence()([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    target_kind = "one_hot"
    expects = "probabilities"

    def call(self, y_true, y_pred):
        y, p = jnp.clip(y_true, EPSILON, 1), jnp.clip(y_pred, EPSILON, 1)
        return jnp.sum(y * jnp.log(y / p), axis=-1)


class CategoricalFocalCrossentropy(_CrossEntropy):
    """`sum over k of -alpha * (1 - p[k]) ** gamma * y[k] * log(p[k])`, where rows that are right already count less.

    Shapes: `y` and `p` `(batch, ..., classes)`; values `(batch, ...)`.

    Args:
        alpha: a weight, or one for each class.
        gamma: how much less rows count that are right already.
        from_logits: whether outputs are logits; probabilities otherwise, divided by their sum.
        label_smoothing: `s` in `y * (1 - s) + s / K` for `K` classes, the target that is used.
        axis: the axis of the classes.

    Reference: Lin, Goyal, Girshick, He and Dollár, Focal loss for dense object detection, 2017.

    Example:
        >>> round(CategoricalFocalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
        0.0433
    """

    target_kind = "one_hot"

    alpha: float | tuple[float, ...] = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1

    def call(self, y_true, y_pred):
        y_true = _smooth(y_true, self.label_smoothing, self.axis)
        if self.from_logits:
            log_p = jax.nn.log_softmax(y_pred, axis=self.axis)
        else:
            log_p = jnp.log(_distribution(y_pred, self.axis))
        alpha = self.alpha
        if isinstance(alpha, (tuple, list)):
            alpha = jnp.moveaxis(jnp.array(alpha, log_p.dtype).reshape((-1,) + (1,) * (log_p.ndim - 1)), 0, self.axis)
        return -jnp.sum(alpha * (1 - jnp.exp(log_p)) ** self.gamma * y_true * log_p, axis=self.axis)


class CategoricalGeneralizedCrossEntropy(Loss):
    """`(1 - p[y] ** q) / q`, for a target that is the number of the true class: between cross-entropy and mean error.

    Shapes: `y` `(batch, ...)`, `p` `(batch, ..., classes)`; values `(batch, ...)`.

    Args:
        q: above 0 (towards cross-entropy) and up to 1 (which bears wrong labels best).

    Reference: Zhang and Sabuncu, Generalized cross entropy loss for training deep neural networks with noisy labels,
    2018.

    Example:
        >>> CategoricalGeneralizedCrossEntropy(q=1.0)([1], [[0.25, 0.75]]).item()
        0.25
    """

    target_kind = "labels"
    expects = "probabilities"
    alternative = "CategoricalCrossentropy"

    q: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.q <= 1:
            raise SettingError(f"CategoricalGeneralizedCrossEntropy: q is above 0 and at most 1; got {self.q!r}.")

    def call(self, y_true, y_pred):
        return (1 - jnp.maximum(pick(y_pred, y_true), EPSILON) ** self.q) / self.q


class CategoricalHinge(Loss):
    """`max(1 + max over k of (1 - y[k]) * p[k] - sum over k of y[k] * p[k], 0)`, for scores and one-hot targets.

    Shapes: `y` and `p` `(batch, ..., classes)`; values `(batch, ...)`.

    Reference: Crammer and Singer, On the algorithmic implementation of multiclass kernel-based vector machines, 2001.

    Example:
        >>> CategoricalHinge()([[0.0, 1.0]], [[0.5, 1.0]]).item()
        0.5
    """

    target_kind = "one_hot"

    def call(self, y_true, y_pred):
        right = jnp.sum(y_true * y_pred, axis=-1)
        wrong = jnp.max((1 - y_true) * y_pred, axis=-1)
        return jnp.maximum(1 + wrong - right, 0)


# Regions of pictures


class Tversky(Loss):
    """`1 - i / (i + alpha * a + beta * b)` for the overlap `i = sum(y * p)`, what was missed, `a = sum(y * (1 - p))`,
    and what was too much, `b = sum((1 - y) * p)`.

    Shapes: `y` and `p` `(batch, ..., classes)`, such as `(batch, height, width, 1)`; values `(batch,)`.

    Args:
        alpha: what missing costs.
        beta: what too much costs.
        axis: the axes of the sums; all but the first by default, one value per row (Keras then sums over the batch).

    Reference: Salehi, Erdogmus and Gholipour, Tversky loss function for image segmentation, 2017.

    Example:
        >>> round(Tversky()([[1.0, 0.0]], [[0.5, 0.5]]).item(), 4)
        0.5
    """

    target_kind = "binary"
    expects = "probabilities"

    alpha: float = 0.5
    beta: float = 0.5
    axis: int | tuple[int, ...] | None = None

    def call(self, y_true, y_pred):
        axis = _inner_axes(y_pred) if self.axis is None else self.axis
        axis = tuple(axis) if isinstance(axis, list) else axis
        overlap = jnp.sum(y_true * y_pred, axis=axis)
        missed = jnp.sum(y_true * (1 - y_pred), axis=axis)
        too_much = jnp.sum((1 - y_true) * y_pred, axis=axis)
        return 1 - overlap / (overlap + self.alpha * missed + self.beta * too_much + EPSILON)


class Dice(Loss):
    """`1 - 2 * sum(y * p) / (sum(y) + sum(p))`: how little two regions overlap.

    Shapes: `y` and `p` `(batch, ..., classes)`, such as `(batch, height, width, 1)`; values `(batch,)`.

    Args:
        axis: the axes of the sums; all but the first by default, one value per row (Keras then sums over the batch).

    Reference: Milletari, Navab and Ahmadi, V-Net: fully convolutional neural networks for volumetric medical image
    segmentation, 2016 (there with squares in the divisor).

    Example:
        >>> round(Dice()([[1.0, 0.0]], [[0.5, 0.5]]).item(), 4)
        0.5
    """

    target_kind = "binary"
    expects = "probabilities"

    axis: int | tuple[int, ...] | None = None

    def call(self, y_true, y_pred):
        axis = _inner_axes(y_pred) if self.axis is None else self.axis
        axis = tuple(axis) if isinstance(axis, list) else axis
        both = jnp.sum(y_true, axis=axis) + jnp.sum(y_pred, axis=axis)
        return 1 - 2 * jnp.sum(y_true * y_pred, axis=axis) / (both + EPSILON)


def _inner_axes(array) -> tuple[int, ...]:
    """All axes but the rows'."""
    return tuple(range(min(1, array.ndim - 1), array.ndim))


def pick(values, labels):
    """`values[..., labels]`: by a mask, since the gradient of a gather is a scatter, which XLA does slowly on CPUs.

    Example:
        >>> pick(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([1, 0])).tolist()
        [2.0, 3.0]
    """
    chosen = lax.broadcasted_iota(labels.dtype, values.shape, values.ndim - 1) == labels[..., None]
    return jnp.sum(jnp.where(chosen, values, 0), axis=-1)


def _smooth(y_true, label_smoothing, axis):
    """A one-hot target with some of its weight spread over all classes."""
    return y_true * (1 - label_smoothing) + label_smoothing / y_true.shape[axis]


def _distribution(p, axis):
    """Probabilities that sum to 1, held away from 0 and 1."""
    return _inside(p / jnp.sum(p, axis=axis, keepdims=True))


mean_squared_error = functional(MeanSquaredError)
mean_absolute_error = functional(MeanAbsoluteError)
mean_absolute_percentage_error = functional(MeanAbsolutePercentageError)
mean_squared_logarithmic_error = functional(MeanSquaredLogarithmicError)
huber = functional(Huber)
log_cosh = functional(LogCosh)
quantile = functional(Quantile)
gaussian_negative_log_likelihood = functional(GaussianNegativeLogLikelihood)
poisson = functional(Poisson)
cosine_similarity = functional(CosineSimilarity)
binary_crossentropy = functional(BinaryCrossentropy)
binary_focal_crossentropy = functional(BinaryFocalCrossentropy)
hinge = functional(Hinge)
squared_hinge = functional(SquaredHinge)
perceptron = functional(Perceptron)
categorical_crossentropy = functional(CategoricalCrossentropy)
sparse_categorical_crossentropy = functional(SparseCategoricalCrossentropy)
kl_divergence = functional(KLDivergence)
categorical_focal_crossentropy = functional(CategoricalFocalCrossentropy)
categorical_generalized_cross_entropy = functional(CategoricalGeneralizedCrossEntropy)
categorical_hinge = functional(CategoricalHinge)
tversky = functional(Tversky)
dice = functional(Dice)

registry = Registry("loss", [
    FunctionLoss, MeanSquaredError, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredLogarithmicError,
    Huber, LogCosh, Quantile, GaussianNegativeLogLikelihood, Poisson, CosineSimilarity, BinaryCrossentropy,
    BinaryFocalCrossentropy, Hinge, SquaredHinge, Perceptron, CategoricalCrossentropy,
    SparseCategoricalCrossentropy, KLDivergence, CategoricalFocalCrossentropy, CategoricalGeneralizedCrossEntropy,
    CategoricalHinge, Tversky, Dice,
], aliases={
    "mse": MeanSquaredError, "MSE": MeanSquaredError, "mae": MeanAbsoluteError, "MAE": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError, "MAPE": MeanAbsolutePercentageError, "msle": MeanSquaredLogarithmicError,
    "MSLE": MeanSquaredLogarithmicError, "logcosh": LogCosh, "pinball": Quantile, "bce": BinaryCrossentropy,
    "BCE": BinaryCrossentropy, "kld": KLDivergence, "KLD": KLDivergence,
})


def get(identifier) -> Loss:
    """The loss that `identifier` stands for: a name, a `Loss`, a functional form, or a function of the user's.

    Example:
        >>> get("mse"), get(mean_squared_error), get(lambda y_true, y_pred: 0.0)
        (MeanSquaredError(), MeanSquaredError(), FunctionLoss(function=<lambda>))
    """
    if isinstance(identifier, str) and registry.entries.get(identifier) is FunctionLoss:
        raise SettingError(f"{identifier!r} alone names no loss: hand in the function, f(y_true, y_pred).")
    found = registry.get(getattr(identifier, "loss_class", identifier))
    return found if isinstance(found, Loss) else FunctionLoss(found)
