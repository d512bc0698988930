import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import losses, metrics
from chainrule.errors import ShapeError, UnknownNameError

MADE = [
    metrics.Accuracy(), metrics.BinaryAccuracy(), metrics.BinaryAccuracy(threshold=0.3), metrics.CategoricalAccuracy(),
    metrics.SparseCategoricalAccuracy(), metrics.MeanSquaredError(), metrics.MeanAbsoluteError(),
    metrics.MeanOf(losses.BinaryCrossentropy()),
    metrics.MeanOf(losses.SparseCategoricalCrossentropy(ignore_class=1)),
    metrics.MeanOf(lambda y_true, y_pred: jnp.max(jnp.abs(y_true - y_pred), axis=-1)),
]
IDS = [repr(metric)[:40] for metric in MADE]


def data(metric, rows=57, seed=0):
    """A target, an output and weights, some of them 0, that the metric is for."""
    random = np.random.default_rng(seed)
    y_pred = random.dirichlet(np.ones(4), size=rows).astype("float32")
    y_true = {
        "float": lambda: np.where(random.uniform(size=y_pred.shape) < 0.5, y_pred, 1),
        "any": lambda: random.normal(size=y_pred.shape), "binary": lambda: random.integers(0, 2, y_pred.shape),
        "labels": lambda: random.integers(0, 4, rows), "one_hot": lambda: np.eye(4)[random.integers(0, 4, rows)],
    }[metric.target_kind]()
    return y_true, y_pred, random.integers(0, 4, rows).astype("float32")


@pytest.mark.parametrize("metric", MADE, ids=IDS)
def test_the_cut_into_batches_does_not_matter(metric):
    y_true, y_pred, weights = data(metric)
    whole = metric.compute(metric.add(metric.zeros(y_pred.shape), y_true, y_pred, weights))
    assert whole.shape == () and whole.dtype == jnp.float32
    for size in (1, 10, 32):
        sums = metric.zeros(y_pred.shape)
        for start in range(0, len(y_pred), size):
            rows = slice(start, start + size)
            sums = metric.add(sums, y_true[rows], y_pred[rows], weights[rows])
        np.testing.assert_allclose(metric.compute(sums), whole, rtol=1e-5)


@pytest.mark.parametrize("metric", MADE, ids=IDS)
def test_rows_of_weight_zero_count_for_nothing_whatever_they_hold(metric):
    y_true, y_pred, weights = data(metric)
    kept = weights > 0
    spoiled = np.where(kept[:, None], y_pred, np.nan)
    value = metric.compute(metric.add(metric.zeros(y_pred.shape), y_true, spoiled, weights))
    expected = metric.compute(metric.add(metric.zeros(y_pred.shape), y_true[kept], y_pred[kept], weights[kept]))
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("metric", MADE, ids=IDS)
def test_an_integer_weight_is_as_many_rows(metric):
    y_true, y_pred, weights = data(metric)
    times = weights.astype(int)
    weighted = metric.compute(metric.add(metric.zeros(y_pred.shape), y_true, y_pred, weights))
    repeated = metric.compute(metric.add(metric.zeros(y_pred.shape), np.repeat(y_true, times, axis=0),
                                         np.repeat(y_pred, times, axis=0)))
    np.testing.assert_allclose(weighted, repeated, rtol=1e-5)


@pytest.mark.parametrize("metric", MADE, ids=IDS)
def test_compiled_in_a_loop_and_under_vmap(metric):
    y_true, y_pred, weights = data(metric, rows=24)
    add = lambda sums, batch: (metric.add(sums, *batch), None)
    batches = jax.tree.map(lambda array: jnp.asarray(array).reshape(4, 6, *array.shape[1:]), (y_true, y_pred, weights))
    sums, _ = jax.lax.scan(add, metric.zeros(y_pred.shape), batches)
    whole = metric.add(metric.zeros(y_pred.shape), y_true, y_pred, weights)
    np.testing.assert_allclose(metric.compute(sums), metric.compute(whole), rtol=1e-5)
    each = jax.vmap(lambda *batch: metric.compute(metric.add(metric.zeros(y_pred.shape), *batch)))(*batches)
    assert each.shape == (4,)


@pytest.mark.parametrize("metric", MADE, ids=IDS)
def test_the_stateful_face(metric):
    metric = type(metric)(**metric.get_config())
    y_true, y_pred, weights = data(metric)
    assert metric.result() == 0
    metric.update_state(y_true[:20], y_pred[:20], weights[:20])
    metric.update_state(y_true[20:], y_pred[20:], sample_weight=weights[20:])
    whole = metric.compute(metric.add(metric.zeros(y_pred.shape), y_true, y_pred, weights))
    np.testing.assert_allclose(metric.result(), whole, rtol=1e-5)
    metric.reset_state()
    np.testing.assert_allclose(metric(y_true, y_pred, weights), whole, rtol=1e-5)


@pytest.mark.parametrize("metric", MADE, ids=IDS)
def test_double_and_half_precision(metric):
    y_true, y_pred, weights = data(metric)
    half = metric.add(metric.zeros(y_pred.shape), y_true, jnp.asarray(y_pred, "bfloat16"), weights)
    assert all(total.dtype == jnp.float32 for total in half.values())
    with jax.enable_x64(True):
        double = metric.add(metric.zeros(y_pred.shape), y_true, y_pred, weights)
        assert all(total.dtype == jnp.float64 for total in double.values())


def test_steps_of_sequences():
    random = np.random.default_rng(0)
    y_pred, y_true = random.normal(size=(6, 5, 3)), random.integers(0, 3, (6, 5))
    hits = y_pred.argmax(-1) == y_true
    rows, steps = random.uniform(size=6), random.integers(0, 2, (6, 5))
    metric = metrics.SparseCategoricalAccuracy()
    for weights, expected in [(None, hits.mean()), (rows, np.average(hits.mean(1), weights=rows)),
                              (steps, hits[steps > 0].mean())]:
        sums = metric.add(metric.zeros(), y_true, y_pred, weights)
        np.testing.assert_allclose(metric.compute(sums), expected, rtol=1e-6)


def test_vectors_are_rows_of_one_number():
    for metric in (metrics.BinaryAccuracy(), metrics.MeanSquaredError(), metrics.MeanOf("mse")):
        sums = metric.add(metric.zeros(), np.array([1.0, 0, 1]), np.array([0.9, 0.8, 0.7]), np.array([1.0, 1, 0]))
        assert sums["weight"] == 2
        np.testing.assert_allclose(metric.compute(sums), 0.5 if isinstance(metric, metrics.BinaryAccuracy) else 0.325,
                                   rtol=1e-6)


def test_the_first_of_equal_scores_is_meant_and_not_a_number_is_no_hit():
    metric = metrics.SparseCategoricalAccuracy()
    scores = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [np.nan, 0.1, 0.2]])
    assert metric.compute(metric.add(metric.zeros(), [0, 1, 0], scores))  == pytest.approx(2 / 3)


def test_signs_are_binary_targets_too():
    metric = metrics.BinaryAccuracy(threshold=0.0)
    assert metric([-1, 1, 1, -1], [-0.3, 2.0, -1.0, -4.0]) == 0.75


@pytest.mark.parametrize("target, output, loss, made", [
    ((None,), (None, 1), None, "BinaryAccuracy(name='accuracy')"),
    ((None, 1), (None, 1), None, "BinaryAccuracy(name='accuracy')"),
    ((None,), (None,), None, "BinaryAccuracy(name='accuracy')"),
    ((None, 5), (None, 5), None, "CategoricalAccuracy(name='accuracy')"),
    ((None,), (None, 5), None, "SparseCategoricalAccuracy(name='accuracy')"),
    ((None, 1), (None, 5), None, "SparseCategoricalAccuracy(name='accuracy')"),
    ((None, 7), (None, 7, 5), None, "SparseCategoricalAccuracy(name='accuracy')"),
    ((None, 5), (None, 5), losses.BinaryCrossentropy(), "BinaryAccuracy(name='accuracy')"),
    ((None, 1), (None, 1), losses.Loss(), "BinaryAccuracy(name='accuracy')"),
])
def test_which_accuracy_is_meant(target, output, loss, made):
    assert repr(metrics.resolve("accuracy", target, output, loss=loss)) == made


def test_names():
    assert repr(metrics.resolve("mse")) == "MeanSquaredError(name='mse')"
    assert repr(metrics.resolve("acc", (None,), (None, 3))) == "SparseCategoricalAccuracy(name='acc')"
    assert repr(metrics.resolve("ce", (None,), (None, 3))) == (
        "MeanOf(function=SparseCategoricalCrossentropy(), name='ce')")
    assert repr(metrics.resolve("binary_crossentropy")) == (
        "MeanOf(function=BinaryCrossentropy(), name='binary_crossentropy')")
    metric = metrics.BinaryAccuracy(threshold=0.2)
    assert metrics.resolve(metric) is metric

    def largest_error(y_true, y_pred):
        return jnp.max(jnp.abs(y_true - y_pred), axis=-1)

    for identifier, name in [
        ("mse", "mse"), (metrics.MeanSquaredError, "mean_squared_error"), (largest_error, "largest_error"),
        (lambda y, p: y, "function_loss"), (losses.BinaryCrossentropy(), "binary_crossentropy"),
        (losses.BinaryCrossentropy(name="bits"), "bits"), (losses.mean_squared_error, "mean_squared_error"),
        (metrics.MeanOf("mae", name="error"), "error"),
    ]:
        assert metrics.default_name(metrics.resolve(identifier)) == name
    with pytest.raises(UnknownNameError) as error:
        metrics.get("acuracy")
    assert str(error.value) == "There is no metric 'acuracy'. Did you mean 'accuracy'?"


def test_shapes_that_do_not_fit_say_so():
    with pytest.raises(ShapeError) as error:
        metrics.CategoricalAccuracy().add(metrics.CategoricalAccuracy().zeros(), np.zeros(4), np.zeros((4, 3)))
    assert str(error.value) == (
        "CategoricalAccuracy: an output of shape (4, 3) needs a target of shape (4, 3); got (4,). "
        "For integer labels use SparseCategoricalAccuracy, or make them one-hot: to_categorical(y, 3).")


def test_a_scalar_function_counts_by_rows():
    metric = metrics.MeanOf(lambda y_true, y_pred: jnp.mean(y_pred))
    sums = metric.add(metric.zeros(), np.zeros((3, 1)), np.ones((3, 1)))
    sums = metric.add(sums, np.zeros(1), np.array([5.0]))
    assert metric.compute(sums) == 2
