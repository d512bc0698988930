import keras
import numpy as np
import pytest
import sklearn.metrics

from chainrule import losses, metrics

pytestmark = pytest.mark.peers


def data(target, random, shape=(40, 5)):
    scores = random.dirichlet(np.ones(shape[-1]), size=shape[:-1]).astype("float32")
    y_true = {
        "equal": lambda: np.where(random.uniform(size=shape) < 0.4, scores, 2).astype("float32"),
        "binary": lambda: random.integers(0, 2, shape), "float": lambda: random.normal(size=shape).astype("float32"),
        "positive": lambda: random.uniform(0.1, 2, shape).astype("float32"),
        "signs": lambda: random.integers(0, 2, shape) * 2 - 1,
        "labels": lambda: random.integers(0, shape[-1], shape[:-1]),
        "one_hot": lambda: np.eye(shape[-1], dtype="float32")[random.integers(0, shape[-1], shape[:-1])],
        "distribution": lambda: random.dirichlet(np.ones(shape[-1]), size=shape[:-1]).astype("float32"),
    }[target]()
    return y_true, scores


CASES = [
    ("Accuracy", {}, "equal"), ("BinaryAccuracy", {}, "binary"), ("BinaryAccuracy", {"threshold": 0.2}, "binary"),
    ("CategoricalAccuracy", {}, "one_hot"), ("SparseCategoricalAccuracy", {}, "labels"),
    ("MeanSquaredError", {}, "float"), ("MeanAbsoluteError", {}, "float"),
    ("TopKCategoricalAccuracy", {"k": 2}, "one_hot"), ("SparseTopKCategoricalAccuracy", {"k": 3}, "labels"),
    ("MeanAbsolutePercentageError", {}, "float"), ("MeanSquaredLogarithmicError", {}, "positive"),
    ("CosineSimilarity", {}, "float"), ("KLDivergence", {}, "distribution"), ("Poisson", {}, "positive"),
    ("LogCoshError", {}, "float"),
    ("BinaryCrossentropy", {}, "binary"),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, "binary"),
    ("CategoricalCrossentropy", {}, "one_hot"),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, "distribution"),
    ("SparseCategoricalCrossentropy", {}, "labels"),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, "labels"),
    ("Hinge", {}, "signs"), ("Hinge", {}, "binary"), ("SquaredHinge", {}, "signs"),
    ("CategoricalHinge", {}, "one_hot"),
]
# Keras has one value per entry in these, so its weights are for entries too.
BY_ENTRY = [
    ("RootMeanSquaredError", {}, "float"), ("TruePositives", {}, "binary"),
    ("FalsePositives", {"thresholds": 0.2}, "binary"), ("TrueNegatives", {"thresholds": [0.1, 0.3, 0.6]}, "binary"),
    ("FalseNegatives", {}, "binary"), ("Precision", {"thresholds": 0.2}, "binary"),
    ("Precision", {"top_k": 2}, "one_hot"), ("Recall", {"class_id": 2, "thresholds": 0.2}, "one_hot"),
    ("Recall", {"thresholds": [0.1, 0.2]}, "binary"), ("AUC", {"num_thresholds": 200}, "binary"),
    ("AUC", {"num_thresholds": 7}, "binary"),
    ("AUC", {"num_thresholds": 200, "curve": "PR"}, "binary"),
    ("AUC", {"num_thresholds": 30, "curve": "PR", "summation_method": "majoring"}, "binary"),
    ("AUC", {"num_thresholds": 200, "summation_method": "minoring"}, "binary"),
]
BY_ROW = [
    ("R2Score", {}, "float"), ("R2Score", {"class_aggregation": "variance_weighted_average"}, "float"),
    ("R2Score", {"class_aggregation": None}, "float"),
    ("F1Score", {"average": None}, "one_hot"), ("F1Score", {"average": "macro", "threshold": 0.3}, "binary"),
    ("FBetaScore", {"average": "micro", "beta": 0.5}, "one_hot"),
    ("FBetaScore", {"average": "weighted", "beta": 2.0}, "one_hot"),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name, settings, target", CASES)
def test_as_keras_over_batches(name, settings, target, weighted):
    ours, theirs = getattr(metrics, name)(**settings), getattr(keras.metrics, name)(**settings)
    random = np.random.default_rng(0)
    for rows in (40, 7, 1):
        y_true, y_pred = data(target, random, (rows, 5))
        weights = random.uniform(0, 2, rows).astype("float32") if weighted else None
        ours.update_state(y_true, y_pred, sample_weight=weights)
        if weighted and target in ("equal", "binary") and "Accuracy" in name:
            weights = weights[:, None] * np.ones(5, "float32")  # Keras has one value per entry there
        theirs.update_state(y_true, y_pred, sample_weight=weights)
        np.testing.assert_allclose(ours.result(), theirs.result().numpy(), rtol=2e-5)


@pytest.mark.parametrize("name, settings, target", BY_ENTRY + BY_ROW)
def test_counts_and_curves_as_keras(name, settings, target):
    ours, theirs = getattr(metrics, name)(**settings), getattr(keras.metrics, name)(**settings)
    random = np.random.default_rng(0)
    for rows in (40, 7, 3):
        y_true, y_pred = data(target, random, (rows, 5))
        y_true = np.asarray(y_true, "float32")
        weights = random.uniform(0, 2, rows).astype("float32")
        ours.update_state(y_true, y_pred, sample_weight=weights)
        by_entry = (name, settings, target) in BY_ENTRY and not settings.get("class_id")
        spread = weights[:, None] * np.ones(5, "float32") if by_entry else weights
        theirs.update_state(y_true, y_pred, sample_weight=spread)
        np.testing.assert_allclose(ours.result(), theirs.result().numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_as_scikit_learn(weighted):
    random = np.random.default_rng(1)
    y, p = random.integers(0, 2, 200), random.uniform(size=200).round(2)
    weights = random.uniform(size=200) if weighted else None
    yes = p > 0.5
    for metric, expected in [
        (metrics.BinaryAccuracy(), sklearn.metrics.accuracy_score(y, yes, sample_weight=weights)),
        (metrics.Precision(), sklearn.metrics.precision_score(y, yes, sample_weight=weights)),
        (metrics.Recall(), sklearn.metrics.recall_score(y, yes, sample_weight=weights)),
        (metrics.Specificity(), sklearn.metrics.recall_score(y, yes, pos_label=0, sample_weight=weights)),
        (metrics.F1Score(), sklearn.metrics.f1_score(y, yes, sample_weight=weights)),
        (metrics.FBetaScore(beta=0.5), sklearn.metrics.fbeta_score(y, yes, beta=0.5, sample_weight=weights)),
        (metrics.BrierScore(), sklearn.metrics.brier_score_loss(y, p, sample_weight=weights)),
        (metrics.R2Score(), sklearn.metrics.r2_score(y, p, sample_weight=weights)),
        (metrics.RootMeanSquaredError(), sklearn.metrics.root_mean_squared_error(y, p, sample_weight=weights)),
        (metrics.MeanOf("quantile"), sklearn.metrics.mean_pinball_loss(y, p, sample_weight=weights)),
    ]:
        np.testing.assert_allclose(metric(y, p, weights), expected, rtol=1e-5, err_msg=repr(metric))
    np.testing.assert_allclose(metrics.exact_auc(y, p, weights),
                               sklearn.metrics.roc_auc_score(y, p, sample_weight=weights))
    scores, labels = random.dirichlet(np.ones(4), 200), random.integers(0, 4, 200)
    for metric, expected in [
        (metrics.SparseTopKCategoricalAccuracy(k=2),
         sklearn.metrics.top_k_accuracy_score(labels, scores, k=2, sample_weight=weights)),
        (metrics.MisclassificationError(),
         sklearn.metrics.zero_one_loss(labels, scores.argmax(-1), sample_weight=weights)),
    ]:
        np.testing.assert_allclose(metric(labels, scores, weights), expected, rtol=1e-5)


def test_every_name_of_a_loss_in_keras_is_one_here():
    abstract = {"Loss", "LossFunctionWrapper"}
    missing = {"CTC", "ctc", "Circle", "circle"}  # for sequences without alignment, and for embeddings
    for name in set(keras.src.losses.ALL_OBJECTS_DICT) - abstract - missing:
        assert isinstance(losses.get(name), losses.Loss)
        assert isinstance(metrics.get(name), metrics.Metric)


def test_mean_as_keras():
    values, weights = np.random.default_rng(0).normal(size=(2, 9)).astype("float32")
    expected = keras.metrics.Mean()(values, abs(weights)).numpy()
    np.testing.assert_allclose(metrics.Mean()(values, abs(weights)), expected, rtol=1e-5)
