"""Metrics: what training reports.

A metric is sums and a number made from them: `zeros` starts the sums, `add` adds a batch, `compute` makes the number.
The sums of two halves are the sums of the whole, so the number does not depend on how rows are cut into batches. All
three are pure functions; a row of weight 0 counts for nothing, whatever its values. The same object also has Keras's
face, which keeps sums of its own: `update_state`, `result`, `reset_state`.
"""
import math
from collections.abc import Callable
from dataclasses import field, fields
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from chainrule import losses
from chainrule.configuration import Registry, snake_case
from chainrule.errors import DataError, SettingError, ShapeError
from chainrule.losses import Comparison, divide_or_zero, expand_weights, floating


class Metric(Comparison):
    """What metrics have in common; a subclass writes `zeros`, `add` and `compute`.

    Args:
        name: what history calls it; the class's name in snake case by default.

    The class attribute `greater_is_better` says which way is up (`None` where that is not known).

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
    greater_is_better = None
    keeps_rows = False  # whether `zeros` takes `rows`, the number of rows that are coming, where all are in memory
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

    def add_weight(self, *_, **__):
        """Refuses to be called: Keras's metrics keep variables, those here sums."""
        raise SettingError(
            f"{type(self).__name__} calls add_weight, and metrics here hold no variables. Write three functions "
            f"instead: zeros(self, output_shape=None) returns a dict of sums at their start, add(self, sums, y_true, "
            f"y_pred, sample_weight=None) the sums with a batch added, compute(self, sums) the metric; or a MeanMetric "
            f"with call(self, y_true, y_pred), one value per row.")

    add_variable = add_weight

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

    Shapes: values of any shape, weights of the same or one per row; the result is a number.

    Example:
        >>> Mean()([1.0, 2.0, 6.0]).item()
        3.0
    """

    def zeros(self, output_shape=None):
        return {"total": jnp.zeros((), float), "weight": jnp.zeros((), float)}

    def add(self, sums, values, sample_weight=None):
        values = floating(values)
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


class _MeanOfLoss(MeanMetric):
    """The weighted mean of the values of a loss, what the loss masks left out."""

    greater_is_better = False

    @property
    def loss(self) -> losses.Loss:
        """What gives the values."""
        raise NotImplementedError

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


class MeanOf(_MeanOfLoss):
    """The weighted mean of the values of a loss or of a function of the user's: `sum(w * v) / sum(w)`.

    Shapes: as for the loss or function; the result is a number.

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
        return losses.get(self.function)


# The part of rows that are right


class Accuracy(MeanMetric):
    """The part of outputs that equal their targets, `mean(y == p)`.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number.

    Reference: Powers, Evaluation: from precision, recall and F-measure to ROC, informedness, markedness and
    correlation, 2011.

    Example:
        >>> Accuracy()([1, 2, 3, 4], [1, 2, 3, 5]).item()
        0.75
    """

    target_kind = "float"
    greater_is_better = True

    def call(self, y_true, y_pred):
        return _part(y_true == y_pred)


class BinaryAccuracy(MeanMetric):
    """The part of outputs on the same side as their targets: `p > threshold` where `y > 0.5`.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number.

    Args:
        threshold: where the output says yes: 0.5 for probabilities, 0 for logits and for scores of signs.

    Targets are 0 and 1, or -1 and 1.

    Reference: Powers, Evaluation: from precision, recall and F-measure to ROC, informedness, markedness and
    correlation, 2011.

    Example:
        >>> BinaryAccuracy()([1, 0, 0, 1], [0.9, 0.2, 0.6, 0.7]).item()
        0.75
    """

    target_kind = "binary"
    alternative = "SparseCategoricalAccuracy"
    greater_is_better = True

    threshold: float = 0.5

    def call(self, y_true, y_pred):
        return _part((y_true > 0.5) == (y_pred > self.threshold))


class CategoricalAccuracy(MeanMetric):
    """The part of rows whose greatest output is where the target's greatest number is, `argmax(y) == argmax(p)`.

    Shapes: `y` and `p` `(batch, ..., classes)`; the result is a number.

    Reference: Bishop, Pattern recognition and machine learning, 2006, section 1.5.1 (1 less the misclassification
    rate).

    Example:
        >>> CategoricalAccuracy()([[0, 1], [1, 0]], [[0.2, 0.8], [0.4, 0.6]]).item()
        0.5
    """

    target_kind = "one_hot"
    alternative = "SparseCategoricalAccuracy"
    greater_is_better = True

    def call(self, y_true, y_pred):
        return _greatest(y_true) == _greatest(y_pred)


class SparseCategoricalAccuracy(MeanMetric):
    """The part of rows whose greatest output is at the target's label, `y == argmax(p)`.

    Shapes: `y` `(batch, ...)`, `p` `(batch, ..., classes)`; the result is a number.

    Reference: Bishop, Pattern recognition and machine learning, 2006, section 1.5.1 (1 less the misclassification
    rate).

    Example:
        >>> SparseCategoricalAccuracy()([1, 0], [[0.2, 0.8], [0.4, 0.6]]).item()
        0.5
    """

    target_kind = "labels"
    alternative = "CategoricalAccuracy"
    greater_is_better = True

    def call(self, y_true, y_pred):
        return y_true == _greatest(y_pred).astype(y_true.dtype)


class TopKCategoricalAccuracy(MeanMetric):
    """The part of rows where fewer than `k` outputs are greater than that of the true class, `sum(p > p[y]) < k`.

    Shapes: `y` and `p` `(batch, ..., classes)`; the result is a number.

    Args:
        k: how many guesses there are.

    Reference: Russakovsky and others, ImageNet large scale visual recognition challenge, 2015.

    Example:
        >>> TopKCategoricalAccuracy(k=2)([[0, 1, 0], [0, 1, 0]], [[0.3, 0.2, 0.1], [0.4, 0.1, 0.5]]).item()
        0.5
    """

    target_kind = "one_hot"
    alternative = "SparseTopKCategoricalAccuracy"
    greater_is_better = True

    k: int = 5

    def call(self, y_true, y_pred):
        return _among_greatest(_greatest(y_true), y_pred, self.k)


class SparseTopKCategoricalAccuracy(MeanMetric):
    """The part of rows where fewer than `k` outputs are greater than that of the target's label, `sum(p > p[y]) < k`.

    Shapes: `y` `(batch, ...)`, `p` `(batch, ..., classes)`; the result is a number.

    Args:
        k: how many guesses there are.

    Reference: Russakovsky and others, ImageNet large scale visual recognition challenge, 2015.

    Example:
        >>> SparseTopKCategoricalAccuracy(k=2)([1, 1], [[0.3, 0.2, 0.1], [0.4, 0.1, 0.5]]).item()
        0.5
    """

    target_kind = "labels"
    alternative = "TopKCategoricalAccuracy"
    greater_is_better = True

    k: int = 5

    def call(self, y_true, y_pred):
        return _among_greatest(y_true, y_pred, self.k)


class MisclassificationError(MeanMetric):
    """The part of rows that are wrong: `1 - accuracy`, of the accuracy that target and output ask for (see `resolve`).

    Shapes: `p` `(batch, classes)` with `y` alike or labels `(batch,)`, or both `(batch, 1)`; the result is a number.

    Args:
        threshold: where an output of one column says yes.

    Reference: Bishop, Pattern recognition and machine learning, 2006, section 1.5.1.

    Example:
        >>> MisclassificationError()([1, 0, 0, 1], [[0.9], [0.2], [0.6], [0.7]]).item()
        0.25
    """

    greater_is_better = False

    threshold: float = 0.5

    def call(self, y_true, y_pred):
        kind = _target_kind(y_true.shape, y_pred.shape)
        accuracy = BinaryAccuracy(self.threshold) if kind == "binary" else _ACCURACIES[kind]()
        return 1 - floating(accuracy.call(*accuracy.align(y_true, y_pred)))


_ACCURACIES = MappingProxyType(
    {"binary": BinaryAccuracy, "one_hot": CategoricalAccuracy, "labels": SparseCategoricalAccuracy})


def _part(hits):
    """The part of true entries along the last axis."""
    return jnp.mean(hits, axis=-1)


def _greatest(scores):
    """The place of the first greatest score along the last axis; `argmax` takes XLA four times as long on a CPU."""
    places = lax.broadcasted_iota(jnp.int32, scores.shape, scores.ndim - 1)
    return jnp.min(jnp.where(scores == jnp.max(scores, axis=-1, keepdims=True), places, scores.shape[-1]), axis=-1)


def _among_greatest(labels, scores, k):
    """Whether a label's score is among the `k` greatest of its row."""
    score = losses.pick(scores, labels)[..., None]
    return (jnp.sum(scores > score, axis=-1) < k) & ~jnp.isnan(score[..., 0])


# Counts of right and wrong answers


class _Counts(Metric):
    """What counts of answers have in common: a yes is right (`true_positives`) or wrong, and so is a no.

    Args:
        thresholds: an output above it is a yes; several give a result for each. 0.5 by default.
        top_k: how many of a row's greatest outputs can be a yes; without `thresholds`, all of them are.
        class_id: the only column that counts; all do by default, each entry by itself.
    """

    target_kind = "binary"
    alternative = "a one-hot target"
    greater_is_better = True

    thresholds: float | tuple[float, ...] | None = None
    top_k: int | None = None
    class_id: int | None = None

    def zeros(self, output_shape=None):
        shape = np.shape(self.thresholds) if self.thresholds is not None else ()
        names = ("true_positives", "false_positives", "true_negatives", "false_negatives")
        return {name: jnp.zeros(shape, float) for name in names}

    def add(self, sums, y_true, y_pred, sample_weight=None):
        y_true, y_pred = self.align(y_true, y_pred)
        weights = expand_weights(1.0 if sample_weight is None else sample_weight, y_pred)
        true, sure = y_true > 0.5, y_pred
        if self.top_k is not None:
            places = lax.top_k(y_pred, self.top_k)[1]
            sure = jnp.where(jnp.any(jax.nn.one_hot(places, y_pred.shape[-1], dtype=bool), axis=-2), y_pred, -jnp.inf)
        if self.class_id is not None:
            true, sure, weights = (array[..., self.class_id] for array in (true, sure, weights))
        lowest = 0.5 if self.top_k is None else float("-inf")
        thresholds = jnp.asarray(lowest if self.thresholds is None else self.thresholds, y_pred.dtype)
        yes = sure.reshape(-1, *(1,) * thresholds.ndim) > thresholds[None]
        count = lambda true, yes: jnp.sum(jnp.where(true.reshape(-1, *(1,) * thresholds.ndim) & yes,
                                                    weights.reshape(-1, *(1,) * thresholds.ndim), 0), axis=0)
        return _add(sums, true_positives=count(true, yes), false_positives=count(~true, yes),
                    true_negatives=count(~true, ~yes), false_negatives=count(true, ~yes))


class TruePositives(_Counts):
    """The weight of what is true and found: `TP = sum(w * (y > 0.5) * (p > threshold))`.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number, one each for several thresholds.

    Args:
        thresholds, top_k, class_id: as in `Precision`.

    Reference: Fawcett, An introduction to ROC analysis, 2006.

    Example:
        >>> TruePositives()([0, 1, 1, 1], [0.9, 0.2, 0.6, 0.7]).item()
        2.0
    """

    def compute(self, sums):
        return sums["true_positives"]


class FalsePositives(_Counts):
    """The weight of what is not true and yet found: `FP = sum(w * (y <= 0.5) * (p > threshold))`.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number, one each for several thresholds.

    Args:
        thresholds, top_k, class_id: as in `Precision`.

    Reference: Fawcett, An introduction to ROC analysis, 2006.

    Example:
        >>> FalsePositives()([0, 1, 1, 1], [0.9, 0.2, 0.6, 0.7]).item()
        1.0
    """

    greater_is_better = False

    def compute(self, sums):
        return sums["false_positives"]


class TrueNegatives(_Counts):
    """The weight of what is not true and not found: `TN = sum(w * (y <= 0.5) * (p <= threshold))`.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number, one each for several thresholds.

    Args:
        thresholds, top_k, class_id: as in `Precision`.

    Reference: Fawcett, An introduction to ROC analysis, 2006.

    Example:
        >>> TrueNegatives()([0, 1, 0, 1], [0.9, 0.2, 0.4, 0.7]).item()
        1.0
    """

    def compute(self, sums):
        return sums["true_negatives"]


class FalseNegatives(_Counts):
    """The weight of what is true and not found: `FN = sum(w * (y > 0.5) * (p <= threshold))`.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number, one each for several thresholds.

    Args:
        thresholds, top_k, class_id: as in `Precision`.

    Reference: Fawcett, An introduction to ROC analysis, 2006.

    Example:
        >>> FalseNegatives()([0, 1, 1, 1], [0.9, 0.2, 0.6, 0.7]).item()
        1.0
    """

    greater_is_better = False

    def compute(self, sums):
        return sums["false_negatives"]


class Precision(_Counts):
    """The part of what is found that is true: `TP / (TP + FP)`, 0 where nothing is found.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number, one each for several thresholds.

    Args:
        thresholds: an output above it is found; several give a result for each. 0.5 by default.
        top_k: how many of a row's greatest outputs can be found; without `thresholds`, all of them are.
        class_id: the only column that counts; all do by default, each entry by itself.

    Reference: Powers, Evaluation: from precision, recall and F-measure to ROC, informedness, markedness and
    correlation, 2011.

    Example:
        >>> Precision()([0, 1, 1, 0], [0.9, 0.2, 0.6, 0.3]).item()
        0.5
    """

    def compute(self, sums):
        return divide_or_zero(sums["true_positives"], sums["true_positives"] + sums["false_positives"])


class Recall(_Counts):
    """The part of what is true that is found: `TP / (TP + FN)`, 0 where nothing is true.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number, one each for several thresholds.

    Args:
        thresholds, top_k, class_id: as in `Precision`.

    Reference: Powers, Evaluation: from precision, recall and F-measure to ROC, informedness, markedness and
    correlation, 2011.

    Example:
        >>> Recall()([0, 1, 1, 0], [0.9, 0.2, 0.6, 0.3]).item()
        0.5
    """

    def compute(self, sums):
        return divide_or_zero(sums["true_positives"], sums["true_positives"] + sums["false_negatives"])


class Specificity(_Counts):
    """The part of what is not true that is not found: `TN / (TN + FP)`, 0 where everything is true.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number, one each for several thresholds.

    Args:
        thresholds, top_k, class_id: as in `Precision`.

    Reference: Altman and Bland, Diagnostic tests 1: sensitivity and specificity, 1994.

    Example:
        >>> Specificity()([0, 1, 1, 0], [0.9, 0.2, 0.6, 0.3]).item()
        0.5
    """

    def compute(self, sums):
        return divide_or_zero(sums["true_negatives"], sums["true_negatives"] + sums["false_positives"])


class ApproximateMedianSignificance(_Counts):
    """How sure a discovery would be, in standard deviations: `sqrt(2 * ((s + b) * log(1 + s / b) - s))`.

    Here `s` is the weight of the signal that is found, and `b` that of the background that is found, plus `b_reg`.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number, one each for several thresholds.

    Args:
        thresholds, top_k, class_id: as in `Precision`.
        b_reg: what is added to the background, so that a few lucky events make no discovery.

    Reference: Adam-Bourdarios and others, The Higgs boson machine learning challenge, 2014.

    Example:
        >>> round(ApproximateMedianSignificance()([1, 0], [0.9, 0.8], sample_weight=[20.0, 30.0]).item(), 4)
        2.9421
    """

    b_reg: float = 10.0

    def compute(self, sums):
        s, b = sums["true_positives"], sums["false_positives"] + self.b_reg
        return jnp.sqrt(jnp.maximum(2 * ((s + b) * jnp.log1p(s / b) - s), 0))


class FBetaScore(Metric):
    """Precision and recall in one number: `(1 + beta ** 2) * P * R / (beta ** 2 * P + R)`, for each class.

    Shapes: `y` and `p` `(batch, ..., classes)`; the result is a number, `(classes,)` for `average=None`.

    Args:
        average: how the classes become one number: `"macro"` (their mean), `"weighted"` (their mean by weight),
            `"micro"` (counts of all classes together); `None` returns one number for each.
        beta: how much more recall counts than precision.
        threshold: an output above it is found; `None` takes the greatest of a row, or 0.5 for outputs of one column.

    Targets are one-hot, or 0 and 1 in each column. (Keras's default is `average=None`.)

    Reference: Van Rijsbergen, Information retrieval, 1979.

    Example:
        >>> round(FBetaScore(beta=2.0)([[1], [1], [0]], [[0.9], [0.2], [0.3]]).item(), 4)
        0.5556
    """

    target_kind = "binary"
    alternative = "a one-hot target"
    greater_is_better = True

    average: str | None = "macro"
    beta: float = 1.0
    threshold: float | None = None

    def __post_init__(self):
        if self.average not in ("macro", "weighted", "micro", None):
            raise SettingError(f"{type(self).__name__}: average is 'macro', 'weighted', 'micro' or None; got "
                               f"{self.average!r}.")
        if not self.beta > 0:
            raise SettingError(f"{type(self).__name__}: beta is a number above 0; got {self.beta!r}.")

    def zeros(self, output_shape=None):
        columns = _columns(output_shape)
        return {name: jnp.zeros(columns, float) for name in ("true_positives", "false_positives", "false_negatives")}

    def add(self, sums, y_true, y_pred, sample_weight=None):
        y_true, y_pred = self.align(y_true, y_pred)
        weights = expand_weights(1.0 if sample_weight is None else sample_weight, y_pred)
        true = y_true > 0.5
        if self.threshold is None and y_pred.shape[-1] > 1:
            found = (y_pred == jnp.max(y_pred, axis=-1, keepdims=True)) & (jnp.abs(y_pred) > 1e-9)
        else:
            found = y_pred > (0.5 if self.threshold is None else self.threshold)
        count = lambda hits: jnp.sum(jnp.where(hits, weights, 0), axis=tuple(range(y_pred.ndim - 1)))
        return _add(sums, true_positives=count(true & found), false_positives=count(~true & found),
                    false_negatives=count(true & ~found))

    def compute(self, sums):
        if self.average == "micro":
            sums = {name: jnp.sum(count) for name, count in sums.items()}
        found, square = sums["true_positives"], self.beta**2
        true = found + sums["false_negatives"]
        score = divide_or_zero((1 + square) * found, square * true + found + sums["false_positives"])
        if self.average == "macro":
            return jnp.mean(score)
        return divide_or_zero(jnp.sum(score * true), jnp.sum(true)) if self.average == "weighted" else score


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall, `2 * P * R / (P + R)`, for each class: `FBetaScore` with `beta` 1.

    Shapes: `y` and `p` `(batch, ..., classes)`; the result is a number, `(classes,)` for `average=None`.

    Args:
        average: as in `FBetaScore`; Keras's default is `None`.
        threshold: as in `FBetaScore`.

    Reference: Van Rijsbergen, Information retrieval, 1979.

    Example:
        >>> round(F1Score()([[1], [1], [0]], [[0.9], [0.2], [0.3]]).item(), 4)
        0.6667
    """

    def __init__(self, average="macro", threshold=None, *, name="f1_score"):
        super().__init__(average=average, threshold=threshold, name=name)


def _columns(output_shape) -> int:
    """How many columns an output of that shape has."""
    return output_shape[-1] if output_shape is not None and len(output_shape) > 1 else 1


# Curves and calibration


_STREAM_THRESHOLDS = 4096  # where not all outputs can be kept


class AUC(Metric):
    """The area under the curve of recall over false alarms (`"ROC"`), or of precision over recall (`"PR"`).

        area = sum over thresholds t of (x[t] - x[t + 1]) * (y[t] + y[t + 1]) / 2       for the curve's points x, y

    With every output as a threshold it is exact but for rounding: by hand, and in `fit` and `evaluate` over data in
    memory. Over a stream, and where `num_thresholds` is given, outputs are counted in `num_thresholds - 1` bins of
    equal width between 0 and 1. For ROC, pairs in the same bin then count half, so the area is off by at most
    `sum over bins of P[b] * N[b] / (2 * P * N)` for the weights `P` of ones and `N` of zeros.

    Shapes: `y` and `p` `(batch, ..., n)`, every entry by itself; the result is a number.

    Args:
        num_thresholds: how many thresholds there are; `None` for every output, or 4096 over a stream.
        curve: `"ROC"` or `"PR"`.
        summation_method: between two points of the curve take `"interpolation"` (the trapezoid; for PR as Davis and
            Goadrich do), `"minoring"` (the lower) or `"majoring"` (the higher).
        from_logits: whether outputs are logits; probabilities otherwise.

    Reference: Davis and Goadrich, The relationship between precision-recall and ROC curves, 2006.

    Example:
        >>> round(AUC()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).item(), 4)
        0.75
    """

    target_kind = "binary"
    alternative = "a one-hot target"
    greater_is_better = True

    num_thresholds: int | None = None
    curve: str = "ROC"
    summation_method: str = "interpolation"
    from_logits: bool = False

    def __post_init__(self):
        if self.num_thresholds is not None and self.num_thresholds < 2:
            raise SettingError(f"AUC: num_thresholds is 2 or more; got {self.num_thresholds!r}.")
        if self.curve not in ("ROC", "PR"):
            raise SettingError(f"AUC: curve is 'ROC' or 'PR'; got {self.curve!r}.")
        if self.summation_method not in ("interpolation", "minoring", "majoring"):
            raise SettingError("AUC: summation_method is 'interpolation', 'minoring' or 'majoring'; got "
                               f"{self.summation_method!r}.")

    @property
    def expects(self) -> str:
        return "logits" if self.from_logits else "probabilities"

    @property
    def keeps_rows(self) -> bool:
        return self.num_thresholds is None

    def zeros(self, output_shape=None, rows=None):
        """The sums of no rows; with `rows`, room for the outputs of that many."""
        if self.keeps_rows and rows is not None and None not in output_shape[1:]:
            room = jnp.zeros(rows * math.prod(output_shape[1:]), float)
            return {"place": jnp.zeros((), jnp.int32), "scores": room, "positives": room, "negatives": room}
        bins = (self.num_thresholds or _STREAM_THRESHOLDS) - 1
        return {name: jnp.zeros(bins, float) for name in ("positives", "negatives")}

    def add(self, sums, y_true, y_pred, sample_weight=None):
        y_true, y_pred = self.align(y_true, y_pred)
        weights = expand_weights(1.0 if sample_weight is None else sample_weight, y_pred)
        p, true = lax.logistic(y_pred) if self.from_logits else y_pred, y_true > 0.5
        positives, negatives = jnp.where(true, weights, 0), jnp.where(true, 0, weights)
        if "place" in sums:
            entries = {"scores": jnp.where(jnp.isnan(p), 0, p), "positives": positives, "negatives": negatives}
            kept = {name: lax.dynamic_update_slice(sums[name], value.reshape(-1).astype(sums[name].dtype),
                                                   (sums["place"],)) for name, value in entries.items()}
            return kept | {"place": sums["place"] + p.size}
        bins, count = _bins(p, len(sums["positives"])), len(sums["positives"])
        return _add(sums, positives=_histogram(bins, positives, count), negatives=_histogram(bins, negatives, count))

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch to the outputs, or the bins, that this object keeps."""
        if not self.keeps_rows:
            super().update_state(y_true, y_pred, sample_weight)
            return
        shape = np.shape(y_pred)
        added = self.add(self.zeros(shape, shape[0] if shape else 1), y_true, y_pred, sample_weight)
        join = lambda name: added[name] if name == "place" else jnp.concatenate([self._sums[name], added[name]])
        self._sums = added if self._sums is None else {name: join(name) for name in added}

    def compute(self, sums):
        true_positives, false_positives = _above_scores(sums) if "place" in sums else _above_bins(sums)
        recall = divide_or_zero(true_positives, true_positives[:1])
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _precision_recall_area(true_positives, false_positives)
        if self.curve == "ROC":
            x, y = divide_or_zero(false_positives, false_positives[:1]), recall
        else:
            x, y = recall, divide_or_zero(true_positives, true_positives + false_positives)
        lower, higher = jnp.minimum(y[:-1], y[1:]), jnp.maximum(y[:-1], y[1:])
        height = {"interpolation": (lower + higher) / 2, "minoring": lower, "majoring": higher}[self.summation_method]
        return jnp.sum((x[:-1] - x[1:]) * height)


def _above_bins(sums):
    """The weight of ones and of zeros above each threshold between bins, from the lowest threshold up."""
    above = lambda counts: jnp.append(jnp.cumsum(counts[::-1])[::-1], 0)
    return above(sums["positives"]), above(sums["negatives"])


def _above_scores(sums):
    """The weight of ones and of zeros above each score, from the lowest up; equal scores share a threshold."""
    order = jnp.argsort(-sums["scores"])
    scores = sums["scores"][order]
    is_last = jnp.append(scores[1:] != scores[:-1], True)  # of those equal to it

    def above(weights):
        found = jnp.cumsum(weights[order])
        return jnp.append(lax.cummax(jnp.where(is_last, found, 0))[::-1], 0)

    return above(sums["positives"]), above(sums["negatives"])


def _precision_recall_area(true_positives, false_positives):
    """The area under a curve whose true positives grow evenly with what is found between two points."""
    found = true_positives + false_positives
    slope = divide_or_zero(true_positives[:-1] - true_positives[1:], found[:-1] - found[1:])
    intercept = true_positives[1:] - slope * found[1:]
    ratio = jnp.where((found[:-1] > 0) & (found[1:] > 0), divide_or_zero(found[:-1], found[1:]), 1)
    area = slope * (true_positives[:-1] - true_positives[1:] + intercept * jnp.log(jnp.where(ratio > 0, ratio, 1)))
    return jnp.sum(divide_or_zero(area, true_positives[:1]))


def _bins(p, count):
    """The number of the bin, open below and closed above, that a probability falls in; 0 if it is not a number."""
    return jnp.clip(jnp.ceil(jnp.where(jnp.isnan(p), 0, p) * count) - 1, 0, count - 1).astype(jnp.int32)


def _histogram(bins, weights, count):
    """The sum of weights in each bin."""
    return jnp.zeros(count, weights.dtype).at[bins.reshape(-1)].add(weights.reshape(-1))


def exact_auc(y_true, score, sample_weight=None) -> float:
    """The exact area under the ROC curve: how often a one has a higher score than a zero, ties counting half.

    Computed on the host, in double precision, by sorting.

    Shapes: `y_true`, `score` and `sample_weight` of any shapes with as many entries; the result is a Python number.

    Args:
        y_true: targets of 0 and 1 (or -1 and 1).
        score: probabilities or any other scores, as many.
        sample_weight: one weight for each; a pair counts the product.

    Raises:
        DataError: only one of the two classes has weight.

    Reference: Mann and Whitney, On a test of whether one of two random variables is stochastically larger, 1947.

    Example:
        >>> exact_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        0.75
    """
    true, score = np.ravel(y_true) > 0.5, np.ravel(score)
    weights = np.ones(len(score)) if sample_weight is None else np.ravel(sample_weight).astype(float)
    if not len(true) == len(score) == len(weights):
        raise ShapeError(f"exact_auc needs as many targets as scores and weights; got {len(true)}, {len(score)} and "
                         f"{len(weights)}.")
    _, places = np.unique(score, return_inverse=True)
    ones = np.bincount(places, weights * true)
    zeros = np.bincount(places, weights * ~true)
    if not ones.sum() or not zeros.sum():
        raise DataError("exact_auc compares ones with zeros; there are only "
                        f"{'zeros' if zeros.sum() else 'ones'}. Use a larger or a stratified part of the data.")
    below = np.cumsum(zeros) - zeros / 2
    return float((ones @ below) / (ones.sum() * zeros.sum()))


class BrierScore(MeanMetric):
    """The mean squared error of probabilities, `(y - p) ** 2`, summed over the classes where there are several.

    Targets are 0 and 1, one-hot or labels.

    Shapes: `p` `(batch, classes)` with `y` alike or labels `(batch,)`, or both `(batch, 1)`; the result is a number.

    Reference: Brier, Verification of forecasts expressed in terms of probability, 1950.

    Example:
        >>> BrierScore()([1, 0], [[0.5], [0.0]]).item(), BrierScore()([1], [[0.5, 0.5]]).item()
        (0.125, 0.5)
    """

    expects = "probabilities"
    greater_is_better = False

    def call(self, y_true, y_pred):
        kind, y_true, y_pred = _one_hot(y_true, y_pred)
        square = jnp.square(y_true - y_pred)
        return jnp.mean(square, axis=-1) if kind == "binary" else jnp.sum(square, axis=-1)


class ExpectedCalibrationError(Metric):
    """How far confidence is from accuracy: rows are put in bins by the probability of the predicted class, and
    `sum over bins of w[b] * |accuracy[b] - confidence[b]|` is taken over the weights `w` of the bins.

    Shapes: `p` `(batch, classes)` with `y` alike or labels `(batch,)`, or both `(batch, 1)`; the result is a number.

    Args:
        bins: how many bins of equal width there are.

    Targets are 0 and 1, one-hot or labels.

    Reference: Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, 2017.

    Example:
        >>> round(ExpectedCalibrationError()([1, 1], [[0.2, 0.8], [0.2, 0.8]]).item(), 4)
        0.2
    """

    expects = "probabilities"
    greater_is_better = False

    bins: int = 15

    def zeros(self, output_shape=None):
        return {name: jnp.zeros(self.bins, float) for name in ("weight", "hits", "confidence")}

    def add(self, sums, y_true, y_pred, sample_weight=None):
        kind, one_hot, y_pred = _one_hot(*self.align(y_true, y_pred))
        if kind == "binary":
            confidence, right = jnp.maximum(y_pred, 1 - y_pred), (y_pred > 0.5) == (one_hot > 0.5)
        else:
            confidence, right = jnp.max(y_pred, axis=-1), _greatest(one_hot) == _greatest(y_pred)
        weights = expand_weights(1.0 if sample_weight is None else sample_weight, confidence)
        total = lambda values: _histogram(_bins(confidence, self.bins), _weigh(values, weights), self.bins)
        return _add(sums, weight=total(jnp.ones_like(weights)), hits=total(right.astype(weights.dtype)),
                    confidence=total(confidence))

    def compute(self, sums):
        return divide_or_zero(jnp.sum(jnp.abs(sums["hits"] - sums["confidence"])), jnp.sum(sums["weight"]))


def _one_hot(y_true, y_pred):
    """What the target consists of, the target in the output's shape, and the output."""
    kind = _target_kind(y_true.shape, y_pred.shape)
    y_true, y_pred = _ACCURACIES[kind]().align(y_true, y_pred)
    if kind == "labels":
        y_true = jax.nn.one_hot(y_true, y_pred.shape[-1], dtype=y_pred.dtype)
    return kind, y_true, y_pred


# Regression


class RootMeanSquaredError(MeanMetric):
    """`sqrt(mean((y - p) ** 2))` over all rows.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number.

    Reference: Hyndman and Koehler, Another look at measures of forecast accuracy, 2006.

    Example:
        >>> round(RootMeanSquaredError()([[0.0], [0.0]], [[1.0], [7.0]]).item(), 4)
        5.0
    """

    target_kind = "float"
    greater_is_better = False

    def call(self, y_true, y_pred):
        return jnp.mean(jnp.square(y_true - y_pred), axis=-1)

    def compute(self, sums):
        return jnp.sqrt(super().compute(sums))


class R2Score(Metric):
    """The part of the targets' variance that is explained: `1 - sum((y - p) ** 2) / sum((y - mean(y)) ** 2)`.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number, `(n,)` for `class_aggregation=None`.

    Args:
        class_aggregation: how several columns become one number: `"uniform_average"`, `"variance_weighted_average"`,
            or `None` for one number for each.

    The sum about the mean is carried along by the pairwise update, since `sum(y ** 2) - sum(y) ** 2 / n` loses all its
    digits for targets far from 0. Targets that are all equal give 0.

    Reference: Draper and Smith, Applied regression analysis, 1998; the update: Chan, Golub and LeVeque, Updating
    formulae and a pairwise algorithm for computing sample variances, 1979.

    Example:
        >>> R2Score()([[1.0], [2.0], [3.0]], [[1.0], [2.0], [4.0]]).item()
        0.5
    """

    target_kind = "float"
    greater_is_better = True

    class_aggregation: str | None = "uniform_average"
    name: str | None = field(default="r2_score", kw_only=True)

    def __post_init__(self):
        if self.class_aggregation not in ("uniform_average", "variance_weighted_average", None):
            raise SettingError("R2Score: class_aggregation is 'uniform_average', 'variance_weighted_average' or None; "
                               f"got {self.class_aggregation!r}.")

    def zeros(self, output_shape=None):
        return {name: jnp.zeros(_columns(output_shape), float) for name in ("weight", "mean", "variation", "residual")}

    def add(self, sums, y_true, y_pred, sample_weight=None):
        y_true, y_pred = self.align(y_true, y_pred)
        weights = expand_weights(1.0 if sample_weight is None else sample_weight, y_pred)
        rows = lambda array: array.reshape(-1, array.shape[-1]).astype(sums["mean"].dtype)
        y, p, w = rows(y_true), rows(y_pred), rows(weights)
        before, now = sums["weight"], jnp.sum(w, axis=0)
        mean = divide_or_zero(jnp.sum(_weigh(y, w), axis=0), now)
        step, part = mean - sums["mean"], divide_or_zero(now, before + now)
        within = jnp.sum(_weigh(jnp.square(y - mean[None]), w), axis=0)
        return {
            "weight": before + now,
            "mean": sums["mean"] + step * part,
            "variation": sums["variation"] + within + jnp.square(step) * before * part,
            "residual": sums["residual"] + jnp.sum(_weigh(jnp.square(y - p), w), axis=0),
        }

    def compute(self, sums):
        variation = sums["variation"]
        scores = jnp.where(variation == 0, 0, 1 - divide_or_zero(sums["residual"], variation))
        if self.class_aggregation == "uniform_average":
            return jnp.mean(scores)
        if self.class_aggregation is None:
            return scores
        return divide_or_zero(jnp.sum(scores * variation), jnp.sum(variation))


class CosineSimilarity(MeanMetric):
    """The mean of `sum(y * p) / (|y| * |p|)`: 1 for vectors that point the same way (the loss has the other sign).

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number.

    Args:
        axis: the axis along which a vector lies.

    Reference: Manning, Raghavan and Schütze, Introduction to information retrieval, 2008, section 6.3.1.

    Example:
        >>> CosineSimilarity()([[0.0, 2.0], [1.0, 0.0]], [[0.0, 3.0], [0.0, 1.0]]).item()
        0.5
    """

    target_kind = "float"
    greater_is_better = True

    axis: int = -1

    def call(self, y_true, y_pred):
        return -losses.CosineSimilarity(axis=self.axis).call(y_true, y_pred)


class _MeanLoss(MeanMetric):
    """The mean of the values of the class's `loss`."""

    loss = losses.Loss
    greater_is_better = False

    def call(self, y_true, y_pred):
        return self.loss().call(y_true, y_pred)


class MeanSquaredError(_MeanLoss):
    """The mean of `(y - p) ** 2`.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number.

    Reference: Bishop, Pattern recognition and machine learning, 2006, section 3.1.1.

    Example:
        >>> MeanSquaredError()([[0.0], [1.0]], [[2.0], [1.0]]).item()
        2.0
    """

    loss = losses.MeanSquaredError
    target_kind = "float"


class MeanAbsoluteError(_MeanLoss):
    """The mean of `|y - p|`.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number.

    Reference: Hyndman and Koehler, Another look at measures of forecast accuracy, 2006.

    Example:
        >>> MeanAbsoluteError()([[0.0], [1.0]], [[2.0], [1.0]]).item()
        1.0
    """

    loss = losses.MeanAbsoluteError
    target_kind = "float"


class MeanAbsolutePercentageError(_MeanLoss):
    """The mean of `100 * |y - p| / max(|y|, 1e-7)`.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number.

    Reference: Hyndman and Koehler, Another look at measures of forecast accuracy, 2006.

    Example:
        >>> MeanAbsolutePercentageError()([[8.0]], [[6.0]]).item()
        25.0
    """

    loss = losses.MeanAbsolutePercentageError
    target_kind = "float"


class MeanSquaredLogarithmicError(_MeanLoss):
    """The mean of `(log(1 + y) - log(1 + p)) ** 2`.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number.

    Reference: Tofallis, A better measure of relative prediction accuracy for model selection and model estimation, 2015
    (there without the 1).

    Example:
        >>> MeanSquaredLogarithmicError()([[3.0]], [[3.0]]).item()
        0.0
    """

    loss = losses.MeanSquaredLogarithmicError
    target_kind = "float"


class LogCoshError(_MeanLoss):
    """The mean of `log(cosh(p - y))`.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number.

    Reference: Saleh and Saleh, Statistical properties of the log-cosh loss function used in machine learning, 2022.

    Example:
        >>> LogCoshError()([[3.0]], [[3.0]]).item()
        0.0
    """

    loss = losses.LogCosh
    target_kind = "float"


class Poisson(_MeanLoss):
    """The mean of `p - y * log(p + 1e-7)`.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number.

    Reference: McCullagh and Nelder, Generalized linear models, 1989, chapter 6.

    Example:
        >>> Poisson()([[0.0]], [[3.0]]).item()
        3.0
    """

    loss = losses.Poisson
    target_kind = "float"


class KLDivergence(_MeanLoss):
    """The mean of `sum over k of y[k] * log(y[k] / p[k])`.

    Shapes: `y` and `p` `(batch, ..., classes)`; the result is a number.

    Reference: Kullback and Leibler, On information and sufficiency, 1951.

    Example:
        >>> KLDivergence()([[0.5, 0.5]], [[0.5, 0.5]]).item()
        0.0
    """

    loss = losses.KLDivergence
    target_kind = "one_hot"


class _LossMetric(_MeanOfLoss):
    """The mean of the values of the class's loss, which has the same settings."""

    loss_class = losses.Loss

    def __post_init__(self):
        self.loss  # noqa: B018 (the loss checks the settings)

    @property
    def loss(self) -> losses.Loss:
        return self.loss_class(**{setting.name: getattr(self, setting.name) for setting in fields(self)
                                  if setting.name != "name"})


class BinaryCrossentropy(_LossMetric):
    """The mean of `-y * log(p) - (1 - y) * log(1 - p)`, as the loss of that name has it.

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number.

    Args:
        from_logits: whether outputs are logits; probabilities otherwise, held `1e-7` away from 0 and 1.
        label_smoothing: `s` in `y * (1 - s) + s / 2`, the target that is used.

    Reference: Bishop, Pattern recognition and machine learning, 2006, section 4.3.2.

    Example:
        >>> round(BinaryCrossentropy()([[1.0], [0.0]], [[0.5], [0.5]]).item(), 4)
        0.6931
    """

    loss_class = losses.BinaryCrossentropy

    from_logits: bool = False
    label_smoothing: float = 0.0


class CategoricalCrossentropy(_LossMetric):
    """The mean of `-sum over k of y[k] * log(p[k])`, as the loss of that name has it.

    Shapes: `y` and `p` `(batch, ..., classes)`; the result is a number.

    Args:
        from_logits: whether outputs are logits; probabilities otherwise, divided by their sum.
        label_smoothing: `s` in `y * (1 - s) + s / K` for `K` classes, the target that is used.
        axis: the axis of the classes.

    Reference: Bishop, Pattern recognition and machine learning, 2006, section 4.3.4.

    Example:
        >>> round(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    loss_class = losses.CategoricalCrossentropy

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1


class SparseCategoricalCrossentropy(_LossMetric):
    """The mean of `-log(p[y])`, for targets that are numbers of classes, as the loss of that name has it.

    Shapes: `y` `(batch, ...)`, `p` `(batch, ..., classes)`; the result is a number.

    Args:
        from_logits: whether outputs are logits; probabilities otherwise, divided by their sum.
        ignore_class: a label whose rows do not count.
        axis: the axis of the classes.

    Reference: Bishop, Pattern recognition and machine learning, 2006, section 4.3.4.

    Example:
        >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    loss_class = losses.SparseCategoricalCrossentropy

    from_logits: bool = False
    ignore_class: int | None = None
    axis: int = -1


class Hinge(_LossMetric):
    """The mean of `max(1 - y * p, 0)`, for targets of -1 and 1 (0 is read as -1).

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number.

    Reference: Cortes and Vapnik, Support-vector networks, 1995.

    Example:
        >>> Hinge()([[-1.0], [1.0]], [[0.5], [2.0]]).item()
        0.75
    """

    loss_class = losses.Hinge


class SquaredHinge(_LossMetric):
    """The mean of `max(1 - y * p, 0) ** 2`, for targets of -1 and 1 (0 is read as -1).

    Shapes: `y` and `p` `(batch, ..., n)`; the result is a number.

    Reference: Cortes and Vapnik, Support-vector networks, 1995.

    Example:
        >>> SquaredHinge()([[-1.0], [1.0]], [[0.5], [2.0]]).item()
        1.125
    """

    loss_class = losses.SquaredHinge


class CategoricalHinge(_LossMetric):
    """The mean of `max(1 + max over k of (1 - y[k]) * p[k] - sum over k of y[k] * p[k], 0)`, for one-hot targets.

    Shapes: `y` and `p` `(batch, ..., classes)`; the result is a number.

    Reference: Crammer and Singer, On the algorithmic implementation of multiclass kernel-based vector machines, 2001.

    Example:
        >>> CategoricalHinge()([[0.0, 1.0]], [[0.5, 1.0]]).item()
        0.5
    """

    loss_class = losses.CategoricalHinge


AMS = ApproximateMedianSignificance

registry = Registry("metric", [
    Mean, MeanOf, Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, TopKCategoricalAccuracy,
    SparseTopKCategoricalAccuracy, MisclassificationError, TruePositives, FalsePositives, TrueNegatives,
    FalseNegatives, Precision, Recall, Specificity, ApproximateMedianSignificance, FBetaScore, F1Score, AUC,
    BrierScore, ExpectedCalibrationError, RootMeanSquaredError, R2Score, CosineSimilarity, MeanSquaredError,
    MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredLogarithmicError, LogCoshError, Poisson,
    KLDivergence, BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy, Hinge, SquaredHinge,
    CategoricalHinge,
], aliases={
    "mse": MeanSquaredError, "MSE": MeanSquaredError, "mae": MeanAbsoluteError, "MAE": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError, "MAPE": MeanAbsolutePercentageError, "msle": MeanSquaredLogarithmicError,
    "MSLE": MeanSquaredLogarithmicError, "rmse": RootMeanSquaredError, "RMSE": RootMeanSquaredError, "r2": R2Score,
    "r2_score": R2Score, "f1": F1Score, "f1_score": F1Score, "fbeta_score": FBetaScore,
    "ams": ApproximateMedianSignificance, "AMS": ApproximateMedianSignificance, "kld": KLDivergence,
    "logcosh": LogCoshError, "bce": BinaryCrossentropy, "BCE": BinaryCrossentropy,
})


_NOT_BY_NAME = MappingProxyType({
    Mean: "Mean takes values, not targets and outputs. Name what is to be averaged, such as 'mse' or 'accuracy', or "
          "hand in a function f(y_true, y_pred).",
    MeanOf: "MeanOf is made of a function. Hand in the function, f(y_true, y_pred), or MeanOf(f)."})


def get(identifier) -> Metric:
    """The metric that `identifier` stands for: a name (of a loss too), a `Metric`, a loss, or a function of the user's.

    Example:
        >>> get("mse"), get(losses.BinaryCrossentropy())
        (MeanSquaredError(), MeanOf(function=BinaryCrossentropy()))
    """
    if isinstance(identifier, str) and registry.entries.get(identifier) in _NOT_BY_NAME:
        raise SettingError(f"{identifier!r} alone is no metric of a network: "
                           f"{_NOT_BY_NAME[registry.entries[identifier]]}")
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
        found = get(identifier)
        if type(found) is Mean:
            raise SettingError(f"{found!r} is no metric of a network: {_NOT_BY_NAME[Mean]}")
        return found
    if identifier.lower() in ("accuracy", "acc"):
        kind = _target_kind(target_shape, output_shape, loss)
        if kind == "signs":
            return BinaryAccuracy(threshold=0.0, name=identifier)
        return _ACCURACIES[kind](name=identifier)
    if identifier.lower() in ("crossentropy", "ce"):
        made = {"labels": SparseCategoricalCrossentropy, "one_hot": CategoricalCrossentropy}
        return made.get(_target_kind(target_shape, output_shape, loss), BinaryCrossentropy)(name=identifier)
    found = get(identifier)
    return type(found)(**found.get_config(), name=identifier)


def _target_kind(target_shape, output_shape, loss=None) -> str:
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
