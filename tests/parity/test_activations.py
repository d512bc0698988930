import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch

from chainrule import activations

pytestmark = pytest.mark.peers

SHARED = sorted(name for name in activations.registry.entries if hasattr(keras.activations, name))
# Keras's threshold has no defaults; its sparsemax adds up cumulative sums (3.15) and is no projection any more.
UNLIKE = ("threshold", "sparsemax")
TORCH = {
    "celu": torch.nn.functional.celu, "elu": torch.nn.functional.elu, "exponential": torch.exp,
    "gelu": torch.nn.functional.gelu, "glu": torch.nn.functional.glu, "hard_shrink": torch.nn.functional.hardshrink,
    "hard_sigmoid": torch.nn.functional.hardsigmoid, "hard_silu": torch.nn.functional.hardswish,
    "hard_tanh": torch.nn.functional.hardtanh, "log_sigmoid": torch.nn.functional.logsigmoid,
    "mish": torch.nn.functional.mish, "relu": torch.relu, "relu6": torch.nn.functional.relu6,
    "selu": torch.nn.functional.selu, "sigmoid": torch.sigmoid, "silu": torch.nn.functional.silu,
    "soft_shrink": torch.nn.functional.softshrink, "softplus": torch.nn.functional.softplus,
    "softsign": torch.nn.functional.softsign, "tanh": torch.tanh, "tanh_shrink": torch.nn.functional.tanhshrink,
}
SETTINGS = [
    ("leaky_relu", {"negative_slope": 0.05}), ("elu", {"alpha": 0.7}), ("celu", {"alpha": 1.7}),
    ("gelu", {"approximate": True}), ("squareplus", {"b": 2}), ("hard_shrink", {"threshold": 1.1}),
    ("soft_shrink", {"threshold": 1.1}), ("glu", {"axis": 1}), ("softmax", {"axis": 1}), ("log_softmax", {"axis": 0}),
    ("threshold", {"threshold": 0.4, "default_value": -2.0}),
]


def compare(function, reference, x):
    """Values and gradients (of a random projection) of two functions."""
    tensor = torch.tensor(x, requires_grad=True)
    expected = reference(tensor)
    projection = np.random.default_rng(5).normal(size=tuple(expected.shape)).astype(x.dtype)
    expected.backward(torch.tensor(projection))
    y, pull = jax.vjp(jax.jit(function), jnp.asarray(x))
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(pull(projection)[0], tensor.grad.numpy(), rtol=5e-6, atol=5e-6)


def data():
    return (np.random.default_rng(4).normal(size=(5, 6, 8)) * 3).astype("float32")


@pytest.mark.parametrize("name", [name for name in SHARED if name not in UNLIKE])
def test_as_keras(name):
    compare(activations.get(name), getattr(keras.activations, name), data())


@pytest.mark.parametrize("name, settings", SETTINGS)
def test_as_keras_with_settings(name, settings):
    compare(lambda x: activations.get(name)(x, **settings),
            lambda x: getattr(keras.activations, name)(x, **settings), data())


@pytest.mark.parametrize("name", TORCH)
def test_as_torch_also_at_the_corners(name):
    corners = np.array([-6, -3, -1, -0.0, 0, 1, 3, 6], "float32")
    x = corners if name not in ("hard_silu", "hard_shrink", "soft_shrink") else data()
    compare(activations.get(name), TORCH[name], x)


def test_every_activation_of_keras_is_here():
    theirs = {name for name in dir(keras.activations) if name.islower() and not name.startswith("_")}
    assert theirs - set(activations.registry.entries) == {"get", "serialize", "deserialize"}
