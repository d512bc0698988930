"""Metrics: what training reports.

A metric is sums and a number made from them: `zeros` starts the sums, `add` adds a batch, `compute` makes the number.
The sums of two halves are the sums of the whole, so the number does not depend on how rows are cut into batches. All
three are pure functions; a row of weight 0 counts for nothing, whatever its values. The same object also has Keras's
face, which keeps sums of its own: `update_state`, `result`, `reset_state`.
"""
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from chainrule import losses
from chainrule.configuration import Registry, snake_case
from chainrule.losses import Comparison, divide_or_zero, expand_weights


class Metric(Comparison):
    """What metrics have in common; a subclass writes `zeros`, `add` and `compute`.

    Args:
        name: what history calls it; the class's name in snake case by default.

    Example:
        >>> class LargestError(Metric):
        ...     def zeros(self, output_shape=None):
        ...         return {"largest": jnp.zeros(())}
        ...     def add(self, sums, y_true, y_pred, sample_weight=None):
        ...         return {"largest": jnp.maximum(sums["largest"], jnp.max(jnp.abs(y_true - y_pred)))}
        ...     def compute(self, sums):
        ...         return sums["largest"]
        >>> metric = LargestError()
        >>> metric.update_state(jnp.array([[0.0]]), jnp.array([[2.0]]))
        >>> metric.result().item()
        2.0
    """

    kind = "metric"
    _sums = None  # of the stateful face

    def zeros(self, output_shape=None) -> dict[str, jax.Array]:
        """The sums of no rows; `output_shape`, rows first, where their sizes depend on it."""
        raise NotImplementedError(f"{type(self).__name__} has no zeros(self, output_shape=None).")

    def add(self, sums, y_true, y_pred, sample_weight=None) -> dict[str, jax.Array]:
        """The sums with a batch added.

        Args:
            sums: what `zeros` or `add` returned.
            y_true: the target.
            y_pred: the output.
            sample_weight: a number, one weight per row, or one for each step.
        """
        raise NotImplementedError(f"{type(self).__name__} has no add(self, sums, y_true, y_pred, sample_weight=None).")

    def compute(self, sums) -> jax.Array:
        """The metric of all rows that were added."""
        raise NotImplementedError(f"{type(self).__name__} has no compute(self, sums).")

    def align(self, y_true, y_pred):
        """Target and output as arrays whose shapes fit; vectors of numbers are rows of one number each."""
        y_true, y_pred = super().align(y_true, y_pred)
        if y_pred.ndim == 1 and self.target_kind not in ("any", "labels", "one_hot"):
            return y_true[:, None], y_pred[:, None]
        return y_true, y_pred

    def update_state(self, *arrays, **named_arrays) -> None:
        """Adds a batch (the arguments of `add` after the sums) to the sums that this object keeps."""
        if self._sums is None:
            output = named_arrays["y_pred"] if "y_pred" in named_arrays else arrays[:2][-1]
            self._sums = self.zeros(np.shape(output))
        self._sums = self.add(self._sums, *arrays, **named_arrays)

    def result(self) -> jax.Array:
        """The metric of the batches added since `reset_state`."""
        return self.compute(self.zeros() if self._sums is None else self._sums)

    def reset_state(self) -> None:
        """Forgets the batches added so far."""
        self._sums = None

    def __call__(self, *arrays, **named_arrays) -> jax.Array:
        """`update_state`, then `result`."""
        self.update_state(*arrays, **named_arrays)
        return self.result()


def _add(sums, **amounts) -> dict[str, jax.Array]:
    """Amounts added to the sums of the same names, whose type stays."""
    return {name: total + amounts[name].astype(total.dtype) for name, total in sums.items()}


def _weigh(values, weights):
    """Values times weights, 0 where the weight is 0 even if the value is not a number."""
    return jnp.where(weights == 0, 0, values * weights)


class Mean(Metric):
    """The weighted mean of values, `sum(w * v) / sum(w)`, 0 while there are none.

    Its `add(sums, values, sample_weight=None)` and `update_state(values, sample_weight=None)` take values.

    Example:
        >>> Mean()([1.0, 2.0, 6.0]).item()
        3.0
    """

    def zeros(self, output_shape=None):
        return {"total": jnp.zeros((), float), "weight": jnp.zeros((), float)}

    def add(self, sums, values, sample_weight=None):
        values = jnp.asarray(values)
        values = values.astype(jnp.promote_types(values.dtype, "float32"))
        weights = jnp.ones_like(values) if sample_weight is None else expand_weights(sample_weight, values)
        return _add(sums, total=jnp.sum(_weigh(values, weights)), weight=jnp.sum(weights))

    def compute(self, sums):
        return divide_or_zero(sums["total"], sums["weight"])


class MeanMetric(Mean):
    """The weighted mean of one value per row; a subclass writes `call(self, y_true, y_pred)`, which gives them.

    Example:
        >>> class WithinOne(MeanMetric):
        ...     target_kind = "float"
        ...     def call(self, y_true, y_pred):
        ...         return jnp.mean(jnp.abs(y_true - y_pred) <= 1, axis=-1)
        >>> WithinOne()([[0.0], [1.0]], [[0.5], [3.0]]).item()
        0.5
    """

    def call(self, y_true, y_pred):
        """One value per row."""
        raise NotImplementedError(f"{type(self).__name__} has no call(self, y_true, y_pred).")

    def add(self, sums, y_true, y_pred, sample_weight=None):
        return super().add(sums, self.call(*self.align(y_true, y_pred)), sample_weight)


class MeanOf(MeanMetric):
    """The weighted mean of the values of a loss or of a function of the user's.

    Args:
        function: a `Loss`, or `f(y_true, y_pred)` with one value per row or a scalar for the batch, which then counts
            as often as the batch has rows.

    Example:
        >>> MeanOf(lambda y_true, y_pred: jnp.max(jnp.abs(y_true - y_pred), axis=-1))([[0.0, 0.0]], [[1.0, 3.0]]).item()
        3.0
    """

    function: Callable

    @property
    def loss(self) -> losses.Loss:
        """What gives the values."""
        return losses.get(self.function)

    @property
    def target_kind(self) -> str:
        return self.loss.target_kind

    @property
    def expects(self) -> str:
        return self.loss.expects

    def check_target(self, target_shape, output_shape, dtype=None):
        return self.loss.check_target(target_shape, output_shape, dtype)

    def add(self, sums, y_true, y_pred, sample_weight=None):
        loss = self.loss
        y_true, y_pred = self.align(y_true, y_pred)
        values = loss.values(y_true, y_pred)
        values = jnp.broadcast_to(values, y_pred.shape[:1]) if values.ndim == 0 else values
        weights = expand_weights(1.0 if sample_weight is None else sample_weight, values)
        mask = loss.mask(y_true, y_pred)
        return Mean.add(self, sums, values, weights if mask is None else jnp.where(mask, weights, 0))


# Hits


class Accuracy(MeanMetric):
    """The part of outputs that equal their targets.

    Example:
        >>> Accuracy()([1, 2, 3, 4], [1, 2, 3, 5]).item()
        0.75
    """

    target_kind = "float"

    def call(self, y_true, y_pred):
        return _part(y_true == y_pred)


class BinaryAccuracy(MeanMetric):
    """The part of outputs on the same side as their targets: `p > threshold` where `y > 0.5`.

    Args:
        threshold: where the output says yes: 0.5 for probabilities, 0 for logits and for scores of signs.

    Targets are 0 and 1, or -1 and 1.

    Example:
        >>> BinaryAccuracy()([1, 0, 0, 1], [0.9, 0.2, 0.6, 0.7]).item()
        0.75
    """

    target_kind = "binary"
    alternative = "SparseCategoricalAccuracy"

    threshold: float = 0.5

    def call(self, y_true, y_pred):
        return _part((y_true > 0.5) == (y_pred > self.threshold))


class CategoricalAccuracy(MeanMetric):
    """The part of rows whose greatest output is where the target's greatest number is.

    Example:
        >>> CategoricalAccuracy()([[0, 1], [1, 0]], [[0.2, 0.8], [0.4, 0.6]]).item()
        0.5
    """

    target_kind = "one_hot"
    alternative = "SparseCategoricalAccuracy"

    def call(self, y_true, y_pred):
        return _greatest(y_true) == _greatest(y_pred)


class SparseCategoricalAccuracy(MeanMetric):
    """The part of rows whose greatest output is at the target's label.

    Example:
        >>> SparseCategoricalAccuracy()([1, 0], [[0.2, 0.8], [0.4, 0.6]]).item()
        0.5
    """

    target_kind = "labels"
    alternative = "CategoricalAccuracy"

    def call(self, y_true, y_pred):
        return y_true == _greatest(y_pred).astype(y_true.dtype)


def _part(hits):
    """The part of true entries along the last axis."""
    return jnp.mean(hits, axis=-1)


def _greatest(scores):
    """The place of the first greatest score along the last axis; `argmax` takes XLA four times as long on a CPU."""
    places = lax.broadcasted_iota(jnp.int32, scores.shape, scores.ndim - 1)
    return jnp.min(jnp.where(scores == jnp.max(scores, axis=-1, keepdims=True), places, scores.shape[-1]), axis=-1)


# Means of losses


class _MeanLoss(MeanMetric):
    """The mean of the values of the class's `loss`."""

    loss = losses.Loss

    def call(self, y_true, y_pred):
        return self.loss().call(y_true, y_pred)


class MeanSquaredError(_MeanLoss):
    """The mean of `(y - p) ** 2`.

    Example:
        >>> MeanSquaredError()([[0.0], [1.0]], [[2.0], [1.0]]).item()
        2.0
    """

    loss = losses.MeanSquaredError
    target_kind = "float"


class MeanAbsoluteError(_MeanLoss):
    """The mean of `|y - p|`.

    Example:
        >>> MeanAbsoluteError()([[0.0], [1.0]], [[2.0], [1.0]]).item()
        1.0
    """

    loss = losses.MeanAbsoluteError
    target_kind = "float"


registry = Registry("metric", [
    Mean, MeanOf, Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, MeanSquaredError,
    MeanAbsoluteError,
], aliases={"mse": MeanSquaredError, "MSE": MeanSquaredError, "mae": MeanAbsoluteError, "MAE": MeanAbsoluteError})


def get(identifier) -> Metric:
    """The metric that `identifier` stands for: a name (of a loss too), a `Metric`, a loss, or a function of the user's.

    Example:
        >>> get("mse"), get(losses.BinaryCrossentropy())
        (MeanSquaredError(), MeanOf(function=BinaryCrossentropy()))
    """
    if isinstance(identifier, str) and identifier not in registry.entries and identifier in losses.registry.entries:
        return MeanOf(losses.get(identifier))
    found = registry.get(identifier)
    return found if isinstance(found, Metric) else MeanOf(found)


def resolve(identifier, target_shape=None, output_shape=None, loss=None) -> Metric:
    """The metric that is meant beside a target and an output of these shapes.

    `"accuracy"` (or `"acc"`) is binary for an output of one column, of labels for a target with fewer axes than the
    output or with one column, else categorical, as Keras decides; for a loss of binary targets or of signs it is
    binary, whatever the number of columns. `"crossentropy"` (or `"ce"`) likewise. A metric asked for by a string is
    named by it.

    Args:
        identifier: what `get` takes.
        target_shape: the target's shape, rows first.
        output_shape: the output's shape, rows first.
        loss: the loss that is trained with, where there is one.

    Example:
        >>> resolve("accuracy", (None,), (None, 10))
        SparseCategoricalAccuracy(name='accuracy')
    """
    if not isinstance(identifier, str):
        return get(identifier)
    if identifier.lower() in ("accuracy", "acc"):
        kind = _target_kind(target_shape, output_shape, loss)
        if kind == "signs":
            return BinaryAccuracy(threshold=0.0, name=identifier)
        made = {"binary": BinaryAccuracy, "labels": SparseCategoricalAccuracy, "one_hot": CategoricalAccuracy}[kind]
        return made(name=identifier)
    if identifier.lower() in ("crossentropy", "ce"):
        made = {"labels": losses.SparseCategoricalCrossentropy, "one_hot": losses.CategoricalCrossentropy}
        return MeanOf(made.get(_target_kind(target_shape, output_shape, loss), losses.BinaryCrossentropy)(),
                      name=identifier)
    found = get(identifier)
    return type(found)(**found.get_config(), name=identifier)


def _target_kind(target_shape, output_shape, loss) -> str:
    """What a target of that shape consists of, as Keras tells it from the shapes."""
    if isinstance(loss, losses.Loss) and loss.target_kind in ("binary", "signs"):
        return loss.target_kind
    if len(output_shape) < 2 or output_shape[-1] == 1:
        return "binary"
    return "labels" if len(target_shape) < len(output_shape) or target_shape[-1] == 1 else "one_hot"


def default_name(metric) -> str:
    """What history calls a metric: its name, or that of its loss or function, or its class's in snake case.

    Example:
        >>> default_name(BinaryAccuracy()), default_name(MeanOf(losses.Loss()))
        ('binary_accuracy', 'loss')
    """
    if metric.name or not isinstance(metric, MeanOf):
        return metric.name or snake_case(type(metric).__name__)
    loss = metric.loss
    named = isinstance(loss, losses.FunctionLoss) and loss.label.isidentifier()
    return loss.name or (loss.label if named else snake_case(type(loss).__name__))
