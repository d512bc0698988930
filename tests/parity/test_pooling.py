"""Pooling beside PyTorch's and Keras's: values and gradients, ties included, for odd sizes and all strides."""
import functools

import jax
import keras
import numpy as np
import pytest
import torch

from chainrule import layers as ours
from chainrule import ops

# NumPy 2 asks torch tensors for a copy in a way that they do not know yet, wherever Keras hands one to it.
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]
DRAW = np.random.default_rng(0)


def assert_same(function, expected, tensor, x):
    """The value, and the gradient of a random combination of it."""

    @jax.jit
    def evaluate(x, sent):
        y, pull = jax.vjp(function, x)
        return y, *pull(sent)

    sent = DRAW.normal(size=expected.shape).astype("float32")
    y, slope = evaluate(x, sent)
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-5, atol=1e-5)
    expected.backward(torch.tensor(sent))
    np.testing.assert_allclose(slope, tensor.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ties", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("places", [(9,), (5, 8), (4, 5, 6)], ids=str)
def test_operations_are_those_of_torch(places, ties):
    """Torch's padding is symmetric, so only "valid" windows are held against it; the first of equals wins there too."""
    functional, axes = torch.nn.functional, len(places)
    draw = (lambda shape: DRAW.integers(0, 3, shape)) if ties else (lambda shape: DRAW.normal(size=shape))
    for window, stride in ((1, 2), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 5), (4, 3)):
        for pool, peer in ((ops.max_pool, "max_pool"), (ops.average_pool, "avg_pool")):
            x = draw((2, *places, 3)).astype("float32")
            tensor = torch.tensor(x, requires_grad=True)
            expected = getattr(functional, f"{peer}{axes}d")(tensor.movedim(-1, 1), window, stride).movedim(1, -1)
            assert_same(functools.partial(pool, pool_size=window, strides=stride), expected, tensor, x)


@pytest.mark.parametrize("size, window, stride", [(16, 8, 8), (17, 13, 2), (24, 24, 1), (30, 7, 1), (20, 6, 9)])
def test_long_windows_are_those_of_torch(size, window, stride):
    x = DRAW.integers(0, 4, (2, size, size + 3, 2)).astype("float32")
    for pool, peer in ((ops.max_pool, "max_pool2d"), (ops.average_pool, "avg_pool2d")):
        tensor = torch.tensor(x, requires_grad=True)
        expected = getattr(torch.nn.functional, peer)(tensor.movedim(-1, 1), window, stride).movedim(1, -1)
        assert_same(functools.partial(pool, pool_size=window, strides=stride), expected, tensor, x)


CASES = [
    ("Pooling1D", (7, 3), {"pool_size": 2}), ("Pooling1D", (7, 3), {"pool_size": 3, "strides": 2, "padding": "same"}),
    ("Pooling1D", (9, 3), {"pool_size": 2, "strides": 4}),
    ("Pooling2D", (5, 8, 3), {"pool_size": 2}), ("Pooling2D", (7, 6, 2), {"pool_size": (3, 2), "strides": (1, 3)}),
    ("Pooling2D", (7, 6, 2), {"pool_size": 3, "strides": 2, "padding": "same"}),
    ("Pooling2D", (5, 5, 1), {"pool_size": (2, 3), "strides": 1, "padding": "same"}),
    ("Pooling2D", (9, 9, 2), {"pool_size": 2, "strides": 4, "padding": "same"}),
    ("Pooling3D", (4, 5, 6, 2), {"pool_size": 2}),
    ("Pooling3D", (3, 5, 4, 2), {"pool_size": (1, 2, 3), "strides": (2, 1, 2), "padding": "same"}),
]
GLOBAL = [(f"Global{kind}Pooling{axes}D", (3, 4, 5)[:axes] + (2,), {"keepdims": keepdims})
          for kind in ("Max", "Average") for axes in (1, 2, 3) for keepdims in (False, True)]


@pytest.mark.parametrize("name, shape, settings", [
    *((kind + name, shape, settings) for kind in ("Max", "Average") for name, shape, settings in CASES), *GLOBAL,
], ids=str)
def test_layers_are_those_of_keras(name, shape, settings):
    x = DRAW.normal(size=(4, *shape)).astype("float32")
    tensor, layer = torch.tensor(x, requires_grad=True), getattr(ours, name)(**settings)
    if name.startswith("Average") and settings.get("padding") == "same":
        expected = means_of_what_is_inside(tensor, layer)
    else:
        expected = getattr(keras.layers, name)(**settings)(tensor)
    assert_same(layer, expected, tensor, x)


def means_of_what_is_inside(tensor, layer):
    """Keras's means with "same" padding on TensorFlow and JAX; on PyTorch it repeats edges where padding is uneven."""
    ends = []
    for size, window, stride in zip(tensor.shape[1:-1], layer.pool_size, layer.strides, strict=True):
        missing = max((-(-size // stride) - 1) * stride + window - size, 0)
        ends = [missing // 2, missing - missing // 2, *ends]
    pool = getattr(torch.nn.functional, f"avg_pool{layer.places}d")
    means = [pool(torch.nn.functional.pad(images.movedim(-1, 1), ends), layer.pool_size, layer.strides)
             for images in (tensor, torch.ones_like(tensor))]
    return (means[0] / means[1]).movedim(1, -1)


@pytest.mark.parametrize("keepdims", [False, True])
def test_masked_means_are_those_of_keras(keepdims):
    x, mask = DRAW.normal(size=(6, 7, 3)).astype("float32"), DRAW.random((6, 7)) < 0.6
    assert mask.any(1).all()
    tensor = torch.tensor(x, requires_grad=True)
    expected = keras.layers.GlobalAveragePooling1D(keepdims=keepdims)(tensor, mask=torch.tensor(mask))
    layer = ours.GlobalAveragePooling1D(keepdims=keepdims)
    assert_same(lambda x: layer(x, mask=mask), expected, tensor, x)


@pytest.mark.parametrize("axes", [2, 3])
def test_spatial_dropout_drops_as_many_channels_and_scales_as_keras(axes):
    x = DRAW.normal(size=(200, *(2, 3, 2)[:axes], 40)).astype("float32")
    y = np.asarray(getattr(ours, f"SpatialDropout{axes}D")(0.3)(x, training=True, key=jax.random.key(0)))
    expected = getattr(keras.layers, f"SpatialDropout{axes}D")(0.3, seed=0)(torch.tensor(x), training=True).numpy()
    places = tuple(range(1, axes + 1))
    for result in (y, expected):
        dropped = (result == 0).all(places)
        np.testing.assert_array_equal(dropped, (result == 0).any(places))
        assert abs(dropped.mean() - 0.3) < 4 * (0.21 / dropped.size) ** 0.5
        kept = np.expand_dims(~dropped, places)
        np.testing.assert_allclose(result, np.where(kept, x / 0.7, 0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("groups, settings", [(1, {}), (2, {"scale": False}), (6, {"epsilon": 0.1}), (3, {"axis": 1})])
def test_group_normalization_of_images_is_that_of_keras_and_torch(groups, settings):
    x = DRAW.normal(2.0, 3.0, size=(4, 9, 7, 6)).astype("float32")
    tensor = torch.tensor(x, requires_grad=True)
    layer = ours.GroupNormalization(groups, **settings)
    assert_same(layer, keras.layers.GroupNormalization(groups, **settings)(tensor), tensor, x)
    axis, tensor = settings.get("axis", -1), torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.group_norm(tensor.movedim(axis, 1), groups, eps=layer.epsilon).movedim(1, axis)
    assert_same(layer, expected, tensor, x)
