"""Layers beside Keras and PyTorch: outputs, gradients by weights and inputs, running statistics, whole runs."""
import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch

import chainrule
from chainrule import layers
from chainrule.layers.binding import ordered_weights
from chainrule.models import Input, Sequential

# NumPy 2 asks torch tensors for a copy in a way that they do not know yet, wherever Keras hands one to it.
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def assert_close(ours, theirs, tolerance=2e-5):
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), rtol=tolerance, atol=tolerance)


def randomised(layer, shape):
    """A layer as a network, and random weights for it in Keras's order; variances are positive."""
    model, draw = Sequential([Input(shape), layer]), np.random.default_rng(1)
    values = []
    for path, weight in ordered_weights(model):
        value = draw.normal(size=weight.shape).astype("float32")
        values.append(np.abs(value) + 0.5 if path.endswith("variance") else value)
    model.set_weights(values)
    return model, values


def pulled(model, x, training):
    """Output, new state, and the gradients of a random projection by weights and input."""
    weights, state = model.variables()
    y, pull, new_state = jax.vjp(lambda weights, x: model.apply(weights, state, x, training=training), weights, x,
                                 has_aux=True)
    by_weights, by_input = pull(jnp.asarray(numbers(*y.shape, seed=2)))
    name = model.layers[0].name
    return y, new_state.get(name, {}), by_weights.get(name, {}), by_input


CASES = [
    ("Dense", {"units": 3}, (4,)),
    ("Dense", {"units": 3, "activation": "gelu", "use_bias": False}, (2, 5, 4)),
    ("Dense", {"units": 1, "activation": "sigmoid"}, (7,)),
    ("Dense", {"units": 5, "activation": "softmax"}, (1,)),
    ("BatchNormalization", {"momentum": 0.9}, (4,)),
    ("BatchNormalization", {"momentum": 0.7, "epsilon": 0.05}, (3, 5, 4)),
    ("BatchNormalization", {"axis": 1, "momentum": 0.9}, (3, 5, 4)),
    ("BatchNormalization", {"center": False, "momentum": 0.9}, (6, 4)),
    ("BatchNormalization", {"scale": False, "momentum": 0.0}, (4,)),
    ("Activation", {"activation": "relu"}, (3, 4)),
    ("Activation", {"activation": "softmax"}, (3, 4)),
    ("Flatten", {}, (3, 4, 2)),
    ("Flatten", {}, ()),
    ("Reshape", {"target_shape": (2, -1)}, (3, 4)),
    ("Reshape", {"target_shape": (4, 3, 1)}, (12,)),
    ("Rescaling", {"scale": 1 / 255, "offset": -0.5}, (3, 4, 2)),
    ("Rescaling", {"scale": [2.0, 3.0], "offset": [0.0, 1.0]}, (3, 2)),
]


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize(("name", "settings", "shape"), CASES, ids=str)
def test_outputs_and_gradients_are_those_of_keras(name, settings, shape, training):
    model, values = randomised(getattr(layers, name)(**settings), shape)
    theirs = getattr(keras.layers, name)(**settings)
    theirs.build((None, *shape))
    theirs.set_weights(values)
    x = numbers(6, *shape)
    tensor = torch.tensor(x, requires_grad=True)
    expected = theirs(tensor, training=training)
    y, state, by_weights, by_input = pulled(model, x, training)
    assert_close(y, expected)
    expected.backward(torch.tensor(numbers(*y.shape, seed=2)))
    assert_close(by_input, tensor.grad)
    assert {variable.name for variable in theirs.trainable_variables} == set(by_weights)
    for variable in theirs.trainable_variables:
        assert_close(by_weights[variable.name], variable.value.grad, 1e-4)
    for name, value in state.items():
        assert_close(value, getattr(theirs, name).value)


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_weights_of_linear_layers_are_those_of_torch_transposed(training):
    model, (kernel, bias) = randomised(layers.Dense(3), (2, 4))
    theirs = torch.nn.Linear(4, 3)
    theirs.load_state_dict({"weight": torch.tensor(kernel.T), "bias": torch.tensor(bias)})
    tensor = torch.tensor(numbers(5, 2, 4), requires_grad=True)
    expected = theirs(tensor)
    y, _, by_weights, by_input = pulled(model, numbers(5, 2, 4), training)
    assert_close(y, expected)
    expected.backward(torch.tensor(numbers(*y.shape, seed=2)))
    assert_close(by_input, tensor.grad)
    assert_close(by_weights["kernel"].T, theirs.weight.grad)
    assert_close(by_weights["bias"], theirs.bias.grad)


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("shape", [(4,), (3, 5, 4)])
def test_batch_normalization_is_that_of_torch_but_for_the_running_variance(shape, training):
    model, (gamma, beta, mean, variance) = randomised(layers.BatchNormalization(momentum=0.9, epsilon=1e-3), shape)
    theirs = (torch.nn.BatchNorm1d if len(shape) == 1 else torch.nn.BatchNorm2d)(4, eps=1e-3, momentum=0.1)
    names = {"weight": gamma, "bias": beta, "running_mean": mean, "running_var": variance}
    theirs.load_state_dict({name: torch.tensor(value) for name, value in names.items()}, strict=False)
    theirs.train(training)
    x = numbers(6, *shape)
    tensor = torch.tensor(x, requires_grad=True)
    expected = theirs(tensor.movedim(-1, 1)).movedim(1, -1)
    y, state, by_weights, by_input = pulled(model, x, training)
    assert_close(y, expected)
    expected.backward(torch.tensor(numbers(*y.shape, seed=2)))
    assert_close(by_input, tensor.grad)
    assert_close(by_weights["gamma"], theirs.weight.grad, 1e-4)
    assert_close(by_weights["beta"], theirs.bias.grad, 1e-4)
    assert_close(state["moving_mean"], theirs.running_mean)
    if training:  # PyTorch divides by one less than the number of entries; Keras and chainrule by the number
        entries = x.size // 4
        torch_batch = (theirs.running_var.numpy() - 0.9 * variance) / 0.1
        np.testing.assert_allclose(state["moving_variance"],
                                   0.9 * variance + 0.1 * torch_batch * (entries - 1) / entries, rtol=1e-5)


def test_running_statistics_follow_keras_over_many_batches():
    ours, theirs = layers.BatchNormalization(momentum=0.8), keras.layers.BatchNormalization(momentum=0.8)
    model = Sequential([Input((4,)), ours])
    weights, state = model.init(jax.random.key(0))
    for batch in range(20):
        x = 3 + 2 * numbers(7, 4, seed=batch)
        _, state = model.apply(weights, state, x, training=True)
        theirs(torch.tensor(x), training=True)
    moving = state["batch_normalization"]
    assert_close(moving["moving_mean"], theirs.moving_mean.value)
    assert_close(moving["moving_variance"], theirs.moving_variance.value)


@pytest.mark.parametrize(("rate", "noise_shape"), [(0.1, None), (0.5, None), (0.8, (None, 1, None))])
def test_dropout_drops_as_many_and_scales_as_keras(rate, noise_shape):
    x = np.ones((400, 5, 40), "float32")
    y = np.asarray(layers.Dropout(rate, noise_shape)(x, training=True, key=jax.random.key(0)))
    keras_shape = None if noise_shape is None else (400, 1, 40)
    expected = keras.layers.Dropout(rate, keras_shape, seed=0)(x, training=True).numpy()
    np.testing.assert_allclose(np.unique(y), np.unique(expected), rtol=1e-6)
    drawn = y.size / (5 if noise_shape else 1)
    spread = (rate * (1 - rate) / drawn) ** 0.5
    assert abs((y == 0).mean() - rate) < 4 * spread and abs((expected == 0).mean() - rate) < 4 * spread
    assert (y == y[:, :1]).all() == (expected == expected[:, :1]).all() == bool(noise_shape)
    # Rows, steps and features are drawn independently: no pair of them agrees more often than chance.
    kept = (y[:, 0] > 0) - (1 - rate)
    correlation = np.abs(np.corrcoef(kept.T) - np.eye(40))
    assert correlation.max() < 5 / 400**0.5
    gradient = jax.grad(lambda x: layers.Dropout(rate, noise_shape)(x, training=True, key=jax.random.key(0)).sum())(x)
    np.testing.assert_array_equal(gradient, y)


@pytest.fixture
def float64():
    keras.backend.set_floatx("float64")
    yield
    keras.backend.set_floatx("float32")


def network(module, *body, **settings):
    return module.Sequential([module.Input((6,)), *body, module.layers.Dense(3, activation="softmax")], **settings)


@pytest.mark.parametrize(("optimizer", "settings"), [
    ("SGD", {"learning_rate": 0.1}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    ("Adam", {"learning_rate": 0.01}),
    ("RMSprop", {"learning_rate": 0.01}),
], ids=str)
@pytest.mark.parametrize("rows", [80, 83], ids=["whole batches", "a short last batch"])
def test_training_goes_the_way_of_keras(optimizer, settings, rows, float64):
    """Four epochs of five or six steps: the same losses, accuracies, weights and running statistics."""
    x, labels = numbers(rows, 6).astype("float64"), np.random.default_rng(3).integers(0, 3, rows)
    weight = np.random.default_rng(4).uniform(0.5, 1.5, rows)
    body = lambda module: [
        module.layers.Dense(8, activation="tanh", kernel_regularizer="l2"),
        module.layers.BatchNormalization(momentum=0.9),
        module.layers.Dense(5, activation="gelu", activity_regularizer=module.regularizers.L1(0.01))]
    ours, theirs = network(chainrule, *body(chainrule), dtype="float64"), network(keras, *body(keras))
    theirs.set_weights(ours.get_weights())
    run = {"batch_size": 16, "epochs": 4, "shuffle": False, "verbose": 0}
    start, histories = ours.get_weights(), []
    for module, model in ((chainrule, ours), (keras, theirs)):
        model.compile(optimizer=getattr(module.optimizers, optimizer)(**settings),
                      loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        histories.append(model.fit(x, labels, **run).history)
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-6)
    for before, one, other in zip(start, ours.get_weights(), theirs.get_weights(), strict=True):
        assert np.abs(one - before).max() > 1e-3
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x, verbose=0), rtol=1e-5, atol=1e-6)
    judged = {"sample_weight": weight / weight.mean(), "verbose": 0}
    losses = [model.evaluate(x, labels, **judged)[0] for model in (ours, theirs)]
    np.testing.assert_allclose(*losses, rtol=1e-6)
