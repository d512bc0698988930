"""The path of the weights over fifty steps, against Keras on PyTorch and against PyTorch."""
import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch

from chainrule import optimizers, schedules

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

STEPS = 50
SHAPES = {"kernel": (3, 5), "bias": (5,), "scale": (), "filters": (2, 3, 4)}

# One row a configuration: the name that both libraries use, and its settings.
CONFIGURATIONS = [
    ("SGD", {}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"learning_rate": 0.05, "weight_decay": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"learning_rate": 0.01, "rho": 0.7, "epsilon": 1e-3}),
    ("RMSprop", {"learning_rate": 0.01, "momentum": 0.8}),
    ("RMSprop", {"learning_rate": 0.01, "centered": True, "epsilon": 1e-4}),
    ("RMSprop", {"learning_rate": 0.01, "centered": True, "momentum": 0.5, "epsilon": 1e-4}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.03, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-2}),
    ("Adam", {"learning_rate": 0.03, "amsgrad": True, "beta_2": 0.5}),
    ("Adam", {"learning_rate": 0.03, "weight_decay": 0.2}),
    ("Adam", {"learning_rate": 0.03, "clipnorm": 0.5}),
    ("Adam", {"learning_rate": 0.03, "clipvalue": 0.3}),
    ("Adam", {"learning_rate": 0.03, "global_clipnorm": 1.5}),
    ("Adam", {"learning_rate": 0.03, "gradient_accumulation_steps": 4}),
    ("SGD", {"learning_rate": 0.05, "gradient_accumulation_steps": 3, "clipnorm": 0.5, "weight_decay": 0.1}),
    ("Adam", {"learning_rate": 0.03, "use_ema": True, "ema_momentum": 0.8}),
    ("Adam", {"learning_rate": 0.03, "use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 7}),
    ("SGD", {"learning_rate": 0.05, "use_ema": True, "ema_momentum": 0.8, "gradient_accumulation_steps": 3}),
    ("SGD", {"learning_rate": 0.05, "use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 2,
             "gradient_accumulation_steps": 2}),
    ("Adam", {"learning_rate": 0.03, "use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3,
              "gradient_accumulation_steps": 4, "clipnorm": 0.5}),
    ("AdamW", {}),
    ("AdamW", {"learning_rate": 0.03, "weight_decay": 0.3, "amsgrad": True}),
    ("Adagrad", {}),
    ("Adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.5, "epsilon": 1e-2}),
    ("Adadelta", {}),
    ("Adadelta", {"learning_rate": 1.0, "rho": 0.8, "epsilon": 1e-3}),
    ("Adamax", {}),
    ("Adamax", {"learning_rate": 0.03, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-2}),
    ("Nadam", {}),
    ("Nadam", {"learning_rate": 0.03, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-2}),
    ("Nadam", {"learning_rate": 0.03, "gradient_accumulation_steps": 4}),
    ("Lion", {}),
    ("Lion", {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.7, "weight_decay": 0.3}),
    ("Lamb", {}),
    ("Lamb", {"learning_rate": 0.03, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-2, "weight_decay": 0.1}),
    ("Adafactor", {}),
    ("Adafactor", {"learning_rate": 0.5, "clip_threshold": 0.4, "beta_2_decay": -0.5, "epsilon_2": 0.1}),
    ("Adafactor", {"learning_rate": 0.5, "relative_step": False}),
]
IDENTIFIERS = [f"{name}-{settings}" for name, settings in CONFIGURATIONS]


def arrays(seed=0):
    """First weights and the gradients of all steps, some of them zero."""
    draw = np.random.default_rng(seed)
    weights = {name: draw.normal(size=shape) for name, shape in SHAPES.items()}
    gradients = [{name: draw.normal(size=shape) + 0.3 for name, shape in SHAPES.items()} for _ in range(STEPS)]
    for gradient in gradients[::9]:
        gradient["bias"][1:] = 0
    return weights, gradients


def our_path(optimizer, weights, gradients, dtype="float64"):
    weights = jax.tree.map(lambda array: jnp.asarray(array, dtype), weights)
    update, state, path = jax.jit(optimizer.update), optimizer.init(weights), []
    for gradient in gradients:
        gradient = jax.tree.map(lambda array: jnp.asarray(array, dtype), gradient)
        weights, state = update(gradient, state, weights, optimizer.hyperparameters())
        path.append(jax.tree.map(np.asarray, weights))
    return path, optimizer.final_weights(weights, state)


def keras_path(optimizer, weights, gradients, dtype="float64"):
    variables = {name: keras.Variable(array, dtype=dtype, name=name) for name, array in weights.items()}
    path = []
    for gradient in gradients:
        gradient = [torch.tensor(gradient[name], dtype=getattr(torch, dtype)) for name in variables]
        optimizer.apply(gradient, list(variables.values()))
        path.append({name: variable.value.detach().numpy().copy() for name, variable in variables.items()})
    optimizer.finalize_variable_values(list(variables.values()))
    return path, {name: variable.value.detach().numpy() for name, variable in variables.items()}


def assert_same_path(ours, theirs, tolerance):
    for step, (our_weights, their_weights) in enumerate(zip(ours[0] + [ours[1]], theirs[0] + [theirs[1]], strict=True)):
        for name in SHAPES:
            np.testing.assert_allclose(our_weights[name], their_weights[name], rtol=tolerance, atol=tolerance,
                                       err_msg=f"{name} after step {step}")


@pytest.fixture
def float64():
    keras.backend.set_floatx("float64")
    with jax.enable_x64(True):
        yield
    keras.backend.set_floatx("float32")


@pytest.mark.parametrize(("name", "settings"), CONFIGURATIONS, ids=IDENTIFIERS)
def test_float64_path_is_that_of_keras(name, settings, float64):
    weights, gradients = arrays()
    ours = our_path(getattr(optimizers, name)(**settings), weights, gradients)
    theirs = keras_path(getattr(keras.optimizers, name)(**settings), weights, gradients)
    # Keras's `maximum` and `mean` round to float32 on PyTorch, whatever they are given.
    rounded = name == "Adafactor" or "clipnorm" in settings or "global_clipnorm" in settings
    assert_same_path(ours, theirs, 1e-6 if rounded else 1e-9)


@pytest.mark.parametrize(("name", "settings"), CONFIGURATIONS, ids=IDENTIFIERS)
def test_float32_path_is_that_of_keras(name, settings):
    weights, gradients = arrays(1)
    ours = our_path(getattr(optimizers, name)(**settings), weights, gradients, "float32")
    theirs = keras_path(getattr(keras.optimizers, name)(**settings), weights, gradients, "float32")
    assert_same_path(ours, theirs, 2e-4 if name in ("Adadelta", "RMSprop") else 5e-5)


@pytest.mark.parametrize("name", sorted({name for name, _ in CONFIGURATIONS}))
def test_defaults_are_those_of_keras(name):
    theirs = getattr(keras.optimizers, name)().get_config()
    ours = getattr(optimizers, name)()
    for setting in set(theirs) - {"name", "loss_scale_factor"}:
        value = theirs[setting]
        expected = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value  # the rate was a float32
        assert getattr(ours, setting) == expected, setting


def test_schedule_counts_steps_and_corrections_count_updates_while_accumulating(float64):
    weights, gradients = arrays()
    settings = {"decay_steps": 5, "decay_rate": 0.5}
    ours = optimizers.Adam(schedules.ExponentialDecay(0.1, **settings), gradient_accumulation_steps=3)
    theirs = keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, **settings),
                                   gradient_accumulation_steps=3)
    assert_same_path(our_path(ours, weights, gradients), keras_path(theirs, weights, gradients), 1e-6)


def test_excluded_names_do_not_decay(float64):
    weights, gradients = arrays()
    ours = optimizers.AdamW(0.01, weight_decay=0.5, exclude_from_weight_decay=("bias", "scale"))
    theirs = keras.optimizers.AdamW(0.01, weight_decay=0.5)
    theirs.exclude_from_weight_decay(var_names=["bias", "scale"])
    assert_same_path(our_path(ours, weights, gradients), keras_path(theirs, weights, gradients), 1e-9)


@pytest.mark.parametrize("clip", [{"clipnorm": 0.5}, {"clipvalue": 0.3}, {"global_clipnorm": 1.5}])
def test_infinite_gradients_are_not_clipped_to_silence(clip):
    weights, gradients = arrays()
    gradients[1]["kernel"][0, 0] = np.inf
    ours, _ = our_path(optimizers.SGD(0.1, **clip), weights, gradients[:2], "float32")
    theirs, _ = keras_path(keras.optimizers.SGD(0.1, **clip), weights, gradients[:2], "float32")
    for name in SHAPES:
        np.testing.assert_allclose(ours[1][name], theirs[1][name], rtol=1e-5)


# Where PyTorch's rule is the same function of its settings.
@pytest.mark.parametrize(("ours", "theirs", "settings"), [
    (optimizers.SGD(0.05), torch.optim.SGD, {"lr": 0.05}),
    (optimizers.SGD(0.05, momentum=0.9), torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    (optimizers.SGD(0.05, momentum=0.9, nesterov=True), torch.optim.SGD,
     {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    (optimizers.RMSprop(0.01, rho=0.9, epsilon=0.0), torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "eps": 0.0}),
    (optimizers.Adam(0.03, epsilon=1e-14), torch.optim.Adam, {"lr": 0.03, "eps": 1e-14}),
    (optimizers.AdamW(0.03, weight_decay=0.2, epsilon=1e-14), torch.optim.AdamW,
     {"lr": 0.03, "weight_decay": 0.2, "eps": 1e-14}),
    (optimizers.Adagrad(0.1, initial_accumulator_value=0.5, epsilon=0.0), torch.optim.Adagrad,
     {"lr": 0.1, "initial_accumulator_value": 0.5, "eps": 0.0}),
    (optimizers.Adadelta(1.0, rho=0.9, epsilon=1e-6), torch.optim.Adadelta, {"lr": 1.0, "rho": 0.9, "eps": 1e-6}),
    (optimizers.Adamax(0.03, epsilon=1e-14), torch.optim.Adamax, {"lr": 0.03, "eps": 1e-14}),
], ids=lambda value: value.__name__ if isinstance(value, type) else None)
def test_path_is_that_of_torch(ours, theirs, settings, float64):
    weights, gradients = arrays()
    for gradient in gradients:  # with an epsilon of 0, a first gradient of 0 is 0 / 0
        gradient["bias"] += 0.1
    parameters = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in weights.items()}
    optimizer = theirs(parameters.values(), **settings)
    path = []
    for gradient in gradients:
        for name, parameter in parameters.items():
            parameter.grad = torch.tensor(gradient[name])
        optimizer.step()
        path.append({name: parameter.detach().numpy().copy() for name, parameter in parameters.items()})
    assert_same_path(our_path(ours, weights, gradients), (path, path[-1]), 1e-9)
