import keras
import numpy as np
import pytest

from chainrule import metrics

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


def test_mean_as_keras():
    values, weights = np.random.default_rng(0).normal(size=(2, 9)).astype("float32")
    for ours in (metrics.Mean(), ):
        np.testing.assert_allclose(ours(values, abs(weights)), keras.metrics.Mean()(values, abs(weights)).numpy(),
                                   rtol=1e-5)
