"""One suite for every metric: what a metric promises to training. A new metric gets a row in `CASES`."""
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import losses, metrics
from chainrule.configuration import deserialize, serialize
from chainrule.errors import ShapeError
from chainrule.losses import Loss
from chainrule.metrics import (
    AUC,
    Accuracy,
    ApproximateMedianSignificance,
    BinaryAccuracy,
    BinaryCrossentropy,
    BrierScore,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    ExpectedCalibrationError,
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Hinge,
    KLDivergence,
    LogCoshError,
    Mean,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanOf,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    MisclassificationError,
    Poisson,
    Precision,
    R2Score,
    Recall,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    Specificity,
    SquaredHinge,
    TopKCategoricalAccuracy,
    TrueNegatives,
    TruePositives,
)
from chainrule.precision import precision
from tests.conformance.samples import REGISTRIES, ROWS, Comparison


def largest_error(y_true, y_pred):
    return jnp.max(jnp.abs(y_true - y_pred), axis=-1)


CASES = [
    Comparison(lambda: AUC(), (1,)),
    Comparison(lambda: AUC(num_thresholds=20, curve="PR", summation_method="minoring", from_logits=True), (3,)),
    Comparison(lambda: Accuracy(), (2,)),
    Comparison(lambda: ApproximateMedianSignificance(b_reg=1.0), (1,)),
    Comparison(lambda: BinaryAccuracy(), (1,)),
    Comparison(lambda: BinaryAccuracy(threshold=0.2, name="at_fifth"), (4, 3)),
    Comparison(lambda: BinaryCrossentropy(label_smoothing=0.1), (2,)),
    Comparison(lambda: BrierScore(), (1,), target="binary"),
    Comparison(lambda: BrierScore(), (3,), target="labels"),
    Comparison(lambda: CategoricalAccuracy(), (3,)),
    Comparison(lambda: CategoricalCrossentropy(from_logits=True), (4, 3)),
    Comparison(lambda: CategoricalHinge(), (3,)),
    Comparison(lambda: CosineSimilarity(), (3,)),
    Comparison(lambda: ExpectedCalibrationError(bins=5), (1,), target="binary"),
    Comparison(lambda: ExpectedCalibrationError(), (3,), target="one_hot"),
    Comparison(lambda: F1Score(), (3,)),
    Comparison(lambda: FBetaScore(beta=2.0, average="weighted", threshold=0.3), (3,)),
    Comparison(lambda: FBetaScore(average="micro"), (1,)),
    Comparison(lambda: FalseNegatives(), (1,)),
    Comparison(lambda: FalsePositives(class_id=1), (3,)),
    Comparison(lambda: Hinge(), (2,)),
    Comparison(lambda: KLDivergence(), (3,)),
    Comparison(lambda: LogCoshError(), (2,)),
    Comparison(lambda: MeanAbsoluteError(), (2,)),
    Comparison(lambda: MeanAbsolutePercentageError(), (2,), positive=True),
    Comparison(lambda: MeanOf("binary_crossentropy"), (2,)),
    Comparison(lambda: MeanOf(losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=1)), (3,)),
    Comparison(lambda: MeanOf(largest_error), (2,)),
    Comparison(lambda: MeanSquaredError(), (4, 2)),
    Comparison(lambda: MeanSquaredLogarithmicError(), (2,), positive=True),
    Comparison(lambda: MisclassificationError(), (3,), target="labels"),
    Comparison(lambda: Poisson(), (2,), positive=True),
    Comparison(lambda: Precision(thresholds=0.3), (1,)),
    Comparison(lambda: Precision(top_k=2), (3,)),
    Comparison(lambda: R2Score(), (1,)),
    Comparison(lambda: R2Score(class_aggregation="variance_weighted_average"), (3,)),
    Comparison(lambda: Recall(), (3,)),
    Comparison(lambda: RootMeanSquaredError(), (2,)),
    Comparison(lambda: SparseCategoricalAccuracy(), (3,)),
    Comparison(lambda: SparseCategoricalAccuracy(), (4, 3)),
    Comparison(lambda: SparseCategoricalCrossentropy(ignore_class=1), (3,)),
    Comparison(lambda: SparseTopKCategoricalAccuracy(k=2), (3,)),
    Comparison(lambda: Specificity(), (1,)),
    Comparison(lambda: SquaredHinge(), (2,)),
    Comparison(lambda: TopKCategoricalAccuracy(k=2), (3,)),
    Comparison(lambda: TrueNegatives(), (1,)),
    Comparison(lambda: TruePositives(), (1,)),
]
WITHOUT_TARGETS = {Mean}  # they take values, and have a test of their own below


@pytest.fixture(params=CASES, ids=lambda case: f"{case.make()!r}-{case.shape}")
def case(request):
    return request.param


def zeros(case):
    return jax.tree.map(jnp.asarray, case.make().zeros((None, *case.shape)))


def measured(case, *batches):
    """The metric of some batches, each `(y_true, y_pred)` or `(y_true, y_pred, weight)`."""
    metric, sums = case.make(), zeros(case)
    for batch in batches:
        sums = metric.add(sums, *batch)
    return metric.compute(sums)


def test_every_metric_has_a_case():
    assert {type(case.make()) for case in CASES} | WITHOUT_TARGETS == set(metrics.registry.entries.values())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_keep_their_form(case, dtype):
    with precision(dtype):
        metric = case.make()
        sums = jax.eval_shape(lambda: zeros(case))
        added = jax.eval_shape(metric.add, sums, *case.sample(dtype=dtype), np.ones(ROWS, dtype))
        assert isinstance(sums, dict) and added == sums
        result = jax.eval_shape(metric.compute, added)
        assert result.dtype == dtype and result.shape == ()


def test_no_rows_are_no_error(case):
    assert np.isfinite(case.make().compute(zeros(case)))


def test_batches_do_not_matter(case):
    y_true, y_pred = case.sample()
    parts = [(y_true[part], y_pred[part]) for part in (slice(0, 1), slice(1, 5), slice(5, 6))]
    in_parts = jax.jit(lambda *batches: measured(case, *batches))(*parts)
    np.testing.assert_allclose(in_parts, measured(case, (y_true, y_pred)), rtol=1e-5)


def test_weight_two_is_twice_and_weight_zero_is_never(case):
    y_true, y_pred = case.sample()
    weights = np.array([2, 0, 1, 0, 2, 1])
    repeated = np.repeat(np.arange(ROWS), weights)
    spoilt = np.where((weights == 0).reshape(-1, *[1] * len(case.shape)), np.nan, y_pred).astype("float32")
    np.testing.assert_allclose(measured(case, (y_true, spoilt, weights)),
                               measured(case, (y_true[repeated], y_pred[repeated])), rtol=1e-5)


def test_compiled_and_mapped_equal_uncompiled(case):
    batches = [case.sample(seed=seed) for seed in range(2)]
    together = jax.jit(jax.vmap(lambda *batch: measured(case, batch)))(*map(np.stack, zip(*batches, strict=True)))
    np.testing.assert_allclose(together, [measured(case, batch) for batch in batches], rtol=1e-5)


def test_the_object_that_keeps_its_sums(case):
    metric = case.make()
    first, second = case.sample(), case.sample(seed=1)
    metric.update_state(*first)
    np.testing.assert_allclose(metric(*second), measured(case, first, second), rtol=1e-6)
    metric.reset_state()
    metric.update_state(*first, sample_weight=np.ones(ROWS))
    np.testing.assert_allclose(metric.result(), measured(case, first), rtol=1e-6)


def test_shapes_that_do_not_fit_are_refused(case):
    metric = case.make()
    y_true, y_pred = case.sample()
    for one, other in [(y_true[:-1], y_pred), (np.stack([y_true] * 2, -1), y_pred[:-1])]:
        with pytest.raises(ShapeError):
            metric.add(zeros(case), one, other)


def test_settings_make_an_equal_metric(case):
    text = json.dumps(serialize(case.make(), REGISTRIES))
    again = deserialize(json.loads(text), REGISTRIES, {"largest_error": largest_error})
    assert type(again) is type(case.make()) and json.dumps(serialize(again, REGISTRIES)) == text
    np.testing.assert_array_equal(again(*case.sample()), case.make()(*case.sample()))


def test_names(case):
    metric = case.make()
    assert metrics.default_name(metric).isidentifier()
    if type(metric) is not MeanOf:
        assert isinstance(metrics.get(metrics.registry.name_of(type(metric))), type(metric))
    else:
        assert isinstance(metric.loss, Loss)


def test_mean_takes_values():
    metric = Mean()
    sums = metric.add(metric.zeros(), np.array([1.0, 2.0]))
    assert metric.compute(metric.add(sums, np.array([np.nan, 9.0]), np.array([0.0, 2.0]))) == 5.25
