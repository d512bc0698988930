import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch

from chainrule import losses

pytestmark = pytest.mark.peers

def targets(kind, shape, random):
    classes = shape[-1]
    return {
        "float": lambda: random.uniform(0.1, 2, shape), "binary": lambda: random.integers(0, 2, shape),
        "signs": lambda: random.integers(0, 2, shape) * 2 - 1,
        "one_hot": lambda: np.eye(classes)[random.integers(0, classes, shape[:-1])],
        "labels": lambda: random.integers(0, classes, shape[:-1]),
        "distribution": lambda: random.dirichlet(np.ones(classes), size=shape[:-1]).astype("float32"),
    }[kind]()


def outputs(kind, shape, random):
    return {
        "any": lambda: random.normal(size=shape), "positive": lambda: random.uniform(0.1, 2, shape),
        "probability": lambda: random.uniform(0.01, 0.99, shape),
        "distribution": lambda: random.dirichlet(np.ones(shape[-1]), size=shape[:-1]),
        "unnormalised": lambda: random.uniform(0.01, 2, shape),
    }[kind]().astype("float32")


CASES = [
    ("MeanSquaredError", {}, "float", "any"),
    ("MeanAbsoluteError", {}, "float", "any"),
    ("BinaryCrossentropy", {}, "binary", "probability"),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, "binary", "probability"),
    ("BinaryCrossentropy", {"from_logits": True}, "binary", "any"),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "binary", "any"),
    ("CategoricalCrossentropy", {}, "one_hot", "distribution"),
    ("CategoricalCrossentropy", {}, "one_hot", "unnormalised"),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, "one_hot", "distribution"),
    ("CategoricalCrossentropy", {"from_logits": True}, "one_hot", "any"),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.3}, "one_hot", "any"),
    ("SparseCategoricalCrossentropy", {}, "labels", "distribution"),
    ("SparseCategoricalCrossentropy", {}, "labels", "unnormalised"),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, "labels", "any"),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 1}, "labels", "any"),
    ("MeanAbsolutePercentageError", {}, "float", "any"),
    ("MeanSquaredLogarithmicError", {}, "float", "any"),
    ("Huber", {}, "float", "any"),
    ("Huber", {"delta": 0.4}, "float", "any"),
    ("LogCosh", {}, "float", "any"),
    ("Poisson", {}, "float", "positive"),
    ("CosineSimilarity", {}, "float", "any"),
    ("KLDivergence", {}, "distribution", "distribution"),
    ("BinaryFocalCrossentropy", {}, "binary", "probability"),
    ("BinaryFocalCrossentropy", {"from_logits": True, "gamma": 1.5, "label_smoothing": 0.1}, "binary", "any"),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.3}, "binary", "probability"),
    ("CategoricalFocalCrossentropy", {"label_smoothing": 0.1}, "one_hot", "unnormalised"),
    ("CategoricalFocalCrossentropy", {"from_logits": True, "alpha": 0.6, "gamma": 3.0}, "one_hot", "any"),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.7}, "labels", "distribution"),
    ("Hinge", {}, "signs", "any"),
    ("Hinge", {}, "binary", "any"),
    ("SquaredHinge", {}, "signs", "any"),
    ("CategoricalHinge", {}, "one_hot", "any"),
]


@pytest.mark.parametrize("shape", [(7, 3), (1, 5), (4, 6, 3)], ids=str)
@pytest.mark.parametrize("name, settings, target, output", CASES)
def test_as_keras_with_weights(name, settings, target, output, shape):
    compare(name, settings, target, output, shape, "none")


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight", "mean"])
@pytest.mark.parametrize("name, settings, target, output", [
    ("MeanSquaredError", {}, "float", "any"),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 1}, "labels", "any"),
])
def test_reductions_as_keras(name, settings, target, output, reduction):
    compare(name, settings, target, output, (4, 6, 3), reduction)


def compare(name, settings, target, output, shape, reduction):
    random = np.random.default_rng(sum(shape))
    y_true, y_pred = targets(target, shape, random), outputs(output, shape, random)
    weights = random.uniform(0, 2, shape[:1]).astype("float32")
    spread = weights.reshape(-1, *[1] * (len(shape) - 2)) * np.ones(shape[:-1], "float32")
    ours = getattr(losses, name)(**settings, reduction=reduction)
    theirs = getattr(keras.losses, name)(**settings, reduction=reduction)
    tensor = torch.tensor(y_pred, requires_grad=True)
    expected = theirs(torch.tensor(y_true), tensor, sample_weight=torch.tensor(spread))
    projection = np.random.default_rng(0).normal(size=tuple(expected.shape)).astype("float32")
    expected.backward(torch.tensor(projection))
    if reduction == "mean_with_sample_weight":
        weights = spread  # Keras divides by the weights as they are given
    value, pull = jax.vjp(jax.jit(lambda p: ours(y_true, p, sample_weight=weights)), jnp.asarray(y_pred))
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(pull(projection)[0], tensor.grad.numpy(), rtol=5e-5, atol=2e-6)


@pytest.mark.parametrize("name, function, target", [
    ("MeanSquaredError", torch.nn.functional.mse_loss, "float"),
    ("BinaryCrossentropy", torch.nn.functional.binary_cross_entropy_with_logits, "binary"),
    ("SparseCategoricalCrossentropy", torch.nn.functional.cross_entropy, "labels"),
    ("CategoricalCrossentropy", torch.nn.functional.cross_entropy, "one_hot"),
])
def test_as_torch_from_large_logits(name, function, target):
    random = np.random.default_rng(0)
    z = (random.normal(size=(9, 5)) * 40).astype("float32")
    y = targets(target, z.shape, random)
    loss = getattr(losses, name)(**({} if name == "MeanSquaredError" else {"from_logits": True}))
    tensor = torch.tensor(z, requires_grad=True)
    expected = function(tensor, torch.tensor(y if target == "labels" else y.astype("float32")))
    expected.backward()
    value, gradient = jax.value_and_grad(lambda z: loss(y, z))(z)
    np.testing.assert_allclose(value, expected.item(), rtol=1e-6)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-5, atol=1e-7)


def test_classes_on_another_axis():
    random = np.random.default_rng(0)
    z = random.normal(size=(4, 3, 5)).astype("float32")
    labels = random.integers(0, 3, (4, 5))
    expected = torch.nn.functional.cross_entropy(torch.tensor(z), torch.tensor(labels), reduction="none").numpy()
    sparse = losses.SparseCategoricalCrossentropy(from_logits=True, axis=1)
    np.testing.assert_allclose(sparse.values(labels, z), expected, rtol=1e-5)
    one_hot = np.moveaxis(np.eye(3)[labels], -1, 1)
    whole = losses.CategoricalCrossentropy(from_logits=True, axis=1)
    np.testing.assert_allclose(whole.values(one_hot, z), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["Dice", "Tversky"])
def test_overlaps_as_keras(name):
    random = np.random.default_rng(0)
    y_true, y_pred = random.integers(0, 2, (3, 4, 5, 1)), random.uniform(size=(3, 4, 5, 1)).astype("float32")
    settings = {} if name == "Dice" else {"alpha": 0.3, "beta": 0.8}
    expected = getattr(keras.losses, name)(axis=(1, 2, 3), **settings)(y_true, y_pred).numpy()
    np.testing.assert_allclose(getattr(losses, name)(**settings)(y_true, y_pred), expected, rtol=1e-5)


def test_gaussian_as_torch():
    random = np.random.default_rng(0)
    y, mean, log_variance = random.normal(size=(3, 8, 2)).astype("float32")
    y_pred = torch.tensor(np.concatenate([mean, log_variance], axis=1), requires_grad=True)
    expected = torch.nn.functional.gaussian_nll_loss(y_pred[:, :2], torch.tensor(y), torch.exp(y_pred[:, 2:]))
    expected.backward()
    value, gradient = jax.value_and_grad(lambda p: losses.GaussianNegativeLogLikelihood()(y, p))(
        y_pred.detach().numpy())
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, y_pred.grad.numpy(), rtol=1e-5, atol=1e-7)


def test_every_loss_of_keras_is_here():
    theirs = {name for name in dir(keras.losses) if name[0].isupper() and not name.isupper()}
    assert theirs - set(losses.registry.entries) == {"Loss", "Circle"}  # CTC is all capitals
