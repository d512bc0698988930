import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import losses, metrics
from chainrule.errors import DataError, SettingError, ShapeError, UnknownNameError
from chainrule.layers import Dense
from chainrule.models import Input, Sequential

MADE = [
    metrics.Accuracy(), metrics.BinaryAccuracy(), metrics.BinaryAccuracy(threshold=0.3), metrics.CategoricalAccuracy(),
    metrics.SparseCategoricalAccuracy(), metrics.MeanSquaredError(), metrics.MeanAbsoluteError(),
    metrics.MeanOf(losses.BinaryCrossentropy()),
    metrics.MeanOf(losses.SparseCategoricalCrossentropy(ignore_class=1)),
    metrics.MeanOf(lambda y_true, y_pred: jnp.max(jnp.abs(y_true - y_pred), axis=-1)),
    metrics.TopKCategoricalAccuracy(k=2), metrics.SparseTopKCategoricalAccuracy(k=2), metrics.MisclassificationError(),
    metrics.TruePositives(0.3), metrics.FalsePositives(0.3), metrics.TrueNegatives(0.3), metrics.FalseNegatives(0.3),
    metrics.Precision(0.3), metrics.Recall(top_k=2), metrics.Specificity(0.3, class_id=1),
    metrics.ApproximateMedianSignificance(0.3), metrics.FBetaScore(beta=2.0), metrics.F1Score("weighted"),
    metrics.F1Score("micro", threshold=0.3), metrics.AUC(), metrics.AUC(curve="PR", num_thresholds=20),
    metrics.BrierScore(), metrics.ExpectedCalibrationError(), metrics.RootMeanSquaredError(), metrics.R2Score(),
    metrics.R2Score("variance_weighted_average"), metrics.CosineSimilarity(), metrics.KLDivergence(),
    metrics.LogCoshError(), metrics.MeanOf("hinge"),
]
IDS = [repr(metric)[:40] for metric in MADE]


def data(metric, rows=57, seed=0):
    """A target, an output and weights, some of them 0, that the metric is for."""
    random = np.random.default_rng(seed)
    y_pred = random.dirichlet(np.ones(4), size=rows).astype("float32")
    y_true = {
        "float": lambda: np.where(random.uniform(size=y_pred.shape) < 0.5, y_pred, 1),
        "any": lambda: np.eye(4)[random.integers(0, 4, rows)],
        "signs": lambda: random.integers(0, 2, y_pred.shape) * 2 - 1,
        "binary": lambda: random.integers(0, 2, y_pred.shape),
        "labels": lambda: random.integers(0, 4, rows), "one_hot": lambda: np.eye(4)[random.integers(0, 4, rows)],
    }[metric.target_kind]()
    return y_true, y_pred, random.integers(0, 4, rows).astype("float32")


@pytest.mark.parametrize("metric", MADE, ids=IDS)
def test_the_cut_into_batches_does_not_matter(metric):
    y_true, y_pred, weights = data(metric)
    whole = metric.compute(metric.add(metric.zeros(y_pred.shape), y_true, y_pred, weights))
    assert whole.shape == () and whole.dtype == jnp.float32
    for size in (8, 32):
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
        "SparseCategoricalCrossentropy(name='ce')")
    assert repr(metrics.resolve("binary_crossentropy")) == "BinaryCrossentropy(name='binary_crossentropy')"
    metric = metrics.BinaryAccuracy(threshold=0.2)
    assert metrics.resolve(metric) is metric

    def largest_error(y_true, y_pred):
        return jnp.max(jnp.abs(y_true - y_pred), axis=-1)

    for identifier, name in [
        ("mse", "mse"), (metrics.MeanSquaredError, "mean_squared_error"), (largest_error, "largest_error"),
        (lambda y, p: y, "function_loss"), (losses.BinaryCrossentropy(), "binary_crossentropy"),
        (losses.BinaryCrossentropy(name="bits"), "bits"), (losses.mean_squared_error, "mean_squared_error"),
        (metrics.MeanOf("mae", name="error"), "error"), (metrics.F1Score(), "f1_score"), ("f1_score", "f1_score"),
        (metrics.R2Score(), "r2_score"), (metrics.AUC(), "auc"), (metrics.AUC(curve="PR", name="area"), "area"),
        ("top_k_categorical_accuracy", "top_k_categorical_accuracy"), ("hinge", "hinge"), ("ams", "ams"),
    ]:
        metric = metrics.resolve(identifier)
        assert metrics.default_name(metric) == name
        assert metrics.default_name(type(metric)(**metric.get_config())) == name
    with pytest.raises(UnknownNameError) as error:
        metrics.get("acuracy")
    assert str(error.value) == "There is no metric 'acuracy'. Did you mean 'accuracy'?"


@pytest.mark.parametrize("made", [metrics.Precision, metrics.TruePositives, metrics.Specificity])
def test_several_thresholds_at_once(made):
    random = np.random.default_rng(0)
    y_true, y_pred, weights = random.integers(0, 2, 30), random.uniform(size=30), random.uniform(size=30)
    several = made(thresholds=(0.2, 0.5, 0.8))(y_true, y_pred, weights)
    np.testing.assert_allclose(several, [made(threshold)(y_true, y_pred, weights) for threshold in (0.2, 0.5, 0.8)],
                               rtol=1e-6)


def test_one_result_for_each_class():
    y_true, y_pred, weights = data(metrics.F1Score())
    each = metrics.F1Score(average=None)(y_true, y_pred, weights)
    assert each.shape == (4,)
    np.testing.assert_allclose(metrics.F1Score()(y_true, y_pred, weights), np.mean(each), rtol=1e-6)
    assert metrics.R2Score(class_aggregation=None)(y_true, y_pred).shape == (4,)


def test_the_exact_area_counts_pairs():
    random = np.random.default_rng(0)
    y_true, score = random.integers(0, 2, 60), random.integers(0, 9, 60) / 8
    weights = random.uniform(size=60)
    ones, zeros = y_true == 1, y_true == 0
    order = np.sign(score[ones][:, None] - score[zeros]) / 2 + 0.5
    np.testing.assert_allclose(metrics.exact_auc(y_true, score), order.mean())
    pairs = weights[ones][:, None] * weights[zeros]
    np.testing.assert_allclose(metrics.exact_auc(y_true, score, weights), (order * pairs).sum() / pairs.sum())
    with pytest.raises(DataError) as error:
        metrics.exact_auc(np.ones(3), np.ones(3))
    assert str(error.value) == ("exact_auc compares ones with zeros; there are only ones. Use a larger or a "
                                "stratified part of the data.")
    with pytest.raises(ShapeError) as error:
        metrics.exact_auc(np.ones(3), np.ones(2))
    assert str(error.value) == "exact_auc needs as many targets as scores and weights; got 3, 2 and 2."


@pytest.mark.parametrize("thresholds", [10, 200, 5000])
def test_the_binned_area_is_as_near_to_the_exact_one_as_it_says(thresholds):
    random = np.random.default_rng(0)
    y_true = random.integers(0, 2, 4000)
    score = np.clip(random.normal(0.5 + 0.1 * y_true, 0.1), 0, 1).astype("float32")
    metric = metrics.AUC(num_thresholds=thresholds)
    sums = metric.add(metric.zeros(), y_true, score)
    ones, zeros = np.asarray(sums["positives"], float), np.asarray(sums["negatives"], float)
    bound = (ones * zeros).sum() / (2 * ones.sum() * zeros.sum())
    assert abs(metric.compute(sums) - metrics.exact_auc(y_true, score)) <= bound + 1e-6


def test_the_area_is_exact_by_hand_and_in_a_fit_but_for_rounding():
    random = np.random.default_rng(3)
    y_true, score = random.integers(0, 2, 90), (random.integers(0, 12, 90) / 12).astype("float32")  # some are equal
    weights = random.uniform(0, 2, 90).astype("float32")
    expected = metrics.exact_auc(y_true, score, weights)
    metric = metrics.AUC()
    for start in range(0, 90, 30):
        rows = slice(start, start + 30)
        metric.update_state(y_true[rows], score[rows], weights[rows])
    assert metric.result().item() == pytest.approx(expected, abs=1e-6)

    model = Sequential([Input((1,)), Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse", metrics=[metrics.AUC()])
    model.optimizer.learning_rate = 0.0
    data = score[:, None], y_true[:, None].astype("float32")
    history = model.fit(*data, sample_weight=weights, batch_size=32, validation_data=(*data, weights), verbose=0)
    figures = [history.history[name][0] for name in ("auc", "val_auc")]
    figures.append(model.evaluate(*data, sample_weight=weights, verbose=0, return_dict=True)["auc"])
    assert figures == pytest.approx([expected] * 3, abs=1e-6)


def test_the_area_under_precision_and_recall_is_exact():
    # From the second output to the third, what is found grows from 2 to 3 and ones from 1 to 2: the precision on the
    # way is t / (t + 1), whose integral from 1 to 2 is 1 - log(3 / 2).
    area = metrics.AUC(curve="PR")(np.array([1.0, 0.0, 1.0]), np.array([0.9, 0.6, 0.3], "float32")).item()
    assert area == pytest.approx(0.5 + 0.5 * (1 - np.log(3 / 2)), abs=1e-6)


def test_explained_variance_far_from_zero():
    random = np.random.default_rng(0)
    y_true = (1e5 + random.normal(size=(400, 1))).astype("float32")
    y_pred = (y_true + 0.5 * random.normal(size=(400, 1))).astype("float32")
    expected = 1 - ((y_true - y_pred) ** 2.0).sum() / ((y_true - y_true.mean(dtype=float)) ** 2.0).sum()
    metric = metrics.R2Score()
    for start in range(0, 400, 7):
        metric.update_state(y_true[start : start + 7], y_pred[start : start + 7])
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-3)
    assert metrics.R2Score()([[1.0], [1.0]], [[0.0], [2.0]]) == 0


def test_targets_of_every_kind_in_scores_of_probabilities():
    random = np.random.default_rng(0)
    p, labels = random.dirichlet(np.ones(3), 20), random.integers(0, 3, 20)
    one_hot = np.eye(3)[labels]
    for metric in (metrics.BrierScore, metrics.ExpectedCalibrationError, metrics.MisclassificationError):
        np.testing.assert_array_equal(metric()(labels, p), metric()(one_hot, p))
        binary = metric()(labels > 0, p[:, 0])
        np.testing.assert_array_equal(binary, metric()(labels[:, None] > 0, p[:, :1]))
    np.testing.assert_allclose(metrics.BrierScore()(labels, p), ((one_hot - p) ** 2).sum(-1).mean(), rtol=1e-6)
    np.testing.assert_allclose(metrics.MisclassificationError()(labels, p), (p.argmax(-1) != labels).mean(), rtol=1e-6)


def test_calibration_by_hand():
    p = np.array([0.92, 0.97, 0.55, 0.3])  # confidences 0.92, 0.97, 0.55, 0.7 in tenths
    y = np.array([1, 0, 1, 1])
    expected = (2 * abs(0.5 - 0.945) + abs(1 - 0.55) + abs(0 - 0.7)) / 4
    np.testing.assert_allclose(metrics.ExpectedCalibrationError(bins=10)(y, p), expected, rtol=1e-6)


def test_significance_by_hand():
    metric = metrics.ApproximateMedianSignificance(0.5, b_reg=5.0)
    s, b = 3.0, 2.0 + 5.0
    value = metric([1, 1, 0, 0], [0.9, 0.2, 0.8, 0.1], sample_weight=[3.0, 10.0, 2.0, 100.0])
    np.testing.assert_allclose(value, np.sqrt(2 * ((s + b) * np.log(1 + s / b) - s)), rtol=1e-6)


def test_wrong_settings_say_so():
    for make, message in [
        (lambda: metrics.F1Score("mean"), "F1Score: average is 'macro', 'weighted', 'micro' or None; got 'mean'."),
        (lambda: metrics.FBetaScore(beta=0), "FBetaScore: beta is a number above 0; got 0."),
        (lambda: metrics.AUC(1), "AUC: num_thresholds is 2 or more; got 1."),
        (lambda: metrics.AUC(curve="roc"), "AUC: curve is 'ROC' or 'PR'; got 'roc'."),
        (lambda: metrics.AUC(summation_method="sum"),
         "AUC: summation_method is 'interpolation', 'minoring' or 'majoring'; got 'sum'."),
        (lambda: metrics.R2Score("mean"),
         "R2Score: class_aggregation is 'uniform_average', 'variance_weighted_average' or None; got 'mean'."),
    ]:
        with pytest.raises(SettingError) as error:
            make()
        assert str(error.value) == message


@pytest.mark.parametrize("name", ["mean", "Mean"])
def test_the_mean_of_values_is_no_metric_of_a_network(name):
    reason = ("Mean takes values, not targets and outputs. Name what is to be averaged, such as 'mse' or 'accuracy', "
              "or hand in a function f(y_true, y_pred).")
    with pytest.raises(SettingError) as error:
        Sequential([Input((2,)), Dense(1)]).compile(loss="mse", metrics=["mse", name])
    assert str(error.value) == f"{name!r} alone is no metric of a network: {reason}"
    with pytest.raises(SettingError) as error:
        metrics.resolve(metrics.Mean())
    assert str(error.value) == f"Mean() is no metric of a network: {reason}"


def test_what_is_made_of_a_function_has_no_name():
    with pytest.raises(SettingError) as error:
        Sequential([Input((2,)), Dense(1)]).compile(loss="mse", metrics="mean_of")
    assert str(error.value) == (
        "'mean_of' alone is no metric of a network: MeanOf is made of a function. Hand in the function, "
        "f(y_true, y_pred), or MeanOf(f).")


def test_a_metric_written_for_keras_is_told_how():
    class CountHits(metrics.Metric):
        def __init__(self, name="hits"):
            super().__init__(name=name)
            self.total = self.add_weight(name="total", initializer="zeros")

    with pytest.raises(SettingError) as error:
        CountHits()
    assert str(error.value) == (
        "CountHits calls add_weight, and metrics here hold no variables. Write three functions instead: zeros(self, "
        "output_shape=None) returns a dict of sums at their start, add(self, sums, y_true, y_pred, "
        "sample_weight=None) the sums with a batch added, compute(self, sums) the metric; or a MeanMetric with "
        "call(self, y_true, y_pred), one value per row.")


@pytest.mark.parametrize("made", [
    metrics.BinaryCrossentropy(from_logits=True, label_smoothing=0.1), metrics.CategoricalCrossentropy(axis=1),
    metrics.SparseCategoricalCrossentropy(ignore_class=0), metrics.Hinge(), metrics.SquaredHinge(),
    metrics.CategoricalHinge(),
], ids=lambda metric: type(metric).__name__)
def test_metrics_of_losses_are_their_means(made):
    loss = getattr(losses, type(made).__name__)(**made.get_config())
    y_true, y_pred, weights = data(loss)
    np.testing.assert_allclose(made(y_true, y_pred, weights), metrics.MeanOf(loss)(y_true, y_pred, weights), rtol=1e-6)
    assert made.target_kind == loss.target_kind and made.expects == loss.expects
    assert metrics.default_name(made) == losses.functional(type(loss)).__name__


def test_settings_of_metrics_of_losses_are_checked():
    with pytest.raises(SettingError) as error:
        metrics.BinaryCrossentropy(label_smoothing=2)
    assert str(error.value) == "BinaryCrossentropy: label_smoothing is a number from 0 to 1; got 2."


def test_shapes_that_do_not_fit_say_so():
    with pytest.raises(ShapeError) as error:
        metrics.Precision().add(metrics.Precision().zeros(), np.zeros(4), np.zeros((4, 3)))
    assert str(error.value) == (
        "Precision: an output of shape (4, 3) needs a target of shape (4, 3); got (4,). Let the last layer have 1 "
        "unit instead of 3. For labels of 3 classes use a one-hot target.")
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
