"""Layers beside Keras's and PyTorch's: random weights, values and gradients by inputs and by weights, odd shapes."""
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch

from chainrule import layers as ours
from chainrule.layers.binding import apply, held_variables
from chainrule.models import Input, Model

theirs = keras.layers
pytestmark = pytest.mark.peers


class Case(NamedTuple):
    """One of our layers, Keras's, and the shape of a row (a list for several inputs); `below` for integers."""

    make: Callable[[], Any]
    peer: Callable[[], Any]
    shape: Any
    below: int | None = None


def both(name, shape, *arguments, below=None, **settings):
    """A case whose two layers are made alike."""
    return Case(lambda: getattr(ours, name)(*arguments, **settings),
                lambda: getattr(theirs, name)(*arguments, **settings), shape, below)


IMAGE, SEQUENCE = (5, 4, 6), (7, 3)
CASES = [
    both("ReLU", (9,)), both("ReLU", IMAGE, max_value=0.8, negative_slope=0.3, threshold=0.2),
    both("LeakyReLU", (9,)), both("LeakyReLU", SEQUENCE, negative_slope=0.05), both("PReLU", SEQUENCE),
    both("PReLU", IMAGE, shared_axes=[1, 2]), both("ELU", (9,), alpha=0.6),
    both("Softmax", (9,)), both("Softmax", IMAGE, axis=[1, 2]), both("Softmax", IMAGE, axis=1),
    Case(lambda: ours.SELU(), lambda: theirs.Activation("selu"), SEQUENCE),
    Case(lambda: ours.GELU(), lambda: theirs.Activation("gelu"), SEQUENCE),
    Case(lambda: ours.GELU(approximate=True), lambda: theirs.Activation(
        lambda x: keras.activations.gelu(x, approximate=True)), SEQUENCE),
    both("Permute", IMAGE, (3, 1, 2)), both("RepeatVector", (5,), 3), both("Identity", SEQUENCE),
    both("Reshape", IMAGE, (3, -1)), both("Flatten", IMAGE), both("Rescaling", IMAGE, 0.5, offset=-1.0),
    both("LayerNormalization", (9,)), both("LayerNormalization", IMAGE, axis=[1, 3], epsilon=0.1),
    both("LayerNormalization", SEQUENCE, center=False), both("LayerNormalization", SEQUENCE, scale=False),
    both("RMSNormalization", SEQUENCE), both("RMSNormalization", IMAGE, axis=[2, 3], epsilon=0.01),
    both("GroupNormalization", IMAGE, groups=3), both("GroupNormalization", SEQUENCE, groups=-1, epsilon=0.1),
    both("GroupNormalization", IMAGE, groups=5, axis=1), both("UnitNormalization", IMAGE, axis=[1, 2]),
    both("UnitNormalization", (9,)), both("BatchNormalization", IMAGE), both("BatchNormalization", SEQUENCE, axis=1),
    both("Normalization", (3,), mean=[1.0, 2.0, 3.0], variance=[4.0, 0.25, 0.0]),
    both("Normalization", SEQUENCE, axis=None, mean=0.5, variance=4.0, invert=True),
    both("CategoryEncoding", (6,), 4, below=4), both("CategoryEncoding", (6,), 4, "one_hot", below=4),
    both("CategoryEncoding", (1,), 4, "one_hot", below=4), both("CategoryEncoding", (6,), 4, "count", below=4),
    both("Discretization", (6,), [1, 2, 5], below=8),
    both("Discretization", (6,), [1, 2, 5], output_mode="one_hot", below=8),
    both("EinsumDense", (7, 6), "abc,cde->abde", (None, 3, 2), bias_axes="de", activation="tanh"),
    both("EinsumDense", IMAGE, "...x,xy->...y", 5, bias_axes="y"),
    both("EinsumDense", (7, 6), "abc,bd->adc", (4, 6), bias_axes="d"),
    both("EinsumDense", (7, 6), "ab...,bd->ad...", (4,), bias_axes="d"),
    both("Dense", (2, 5), 3, activation="softplus"),
    both("Add", [SEQUENCE, SEQUENCE, (1, 3)]), both("Subtract", [SEQUENCE, SEQUENCE]),
    both("Multiply", [SEQUENCE, SEQUENCE, SEQUENCE]), both("Average", [SEQUENCE, SEQUENCE, SEQUENCE]),
    both("Maximum", [SEQUENCE, SEQUENCE]), both("Minimum", [SEQUENCE, SEQUENCE]),
    both("Concatenate", [(5, 2), (5, 3)]), both("Concatenate", [(5, 2), (4, 2)], axis=1),
    both("Dot", [(5, 4), (4, 3)], axes=(2, 1)), both("Dot", [(5,), (5,)], axes=1),
    both("Dot", [(5, 4), (5,)], axes=1, normalize=True), both("Dot", [(2, 5, 4), (3, 4)], axes=(3, 2)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.make()!r}-{case.shape}")
def test_values_and_gradients_are_those_of_keras(case):
    draw = np.random.default_rng(0)
    several = isinstance(case.shape, list)
    shapes = [(4, *shape) for shape in (case.shape if several else [case.shape])]
    one = lambda shape: draw.integers(0, case.below, shape).astype("int32") if case.below else draw.normal(
        size=shape).astype("float32")
    x = [one(shape) for shape in shapes]
    pack = (lambda items: list(items)) if several else (lambda items: items[0])
    layer, peer = case.make(), case.peer()
    model_inputs = pack([Input(shape[1:], dtype=case.below and "int32") for shape in shapes])
    model = Model(model_inputs, layer(model_inputs))
    tensors = [torch.tensor(array, requires_grad=array.dtype.kind == "f") for array in x]
    peer(pack(tensors))
    arrays = [draw.uniform(0.2, 1.5, size=weight.shape).astype("float32") for weight in peer.weights]
    if not isinstance(peer, theirs.Normalization):
        peer.set_weights(arrays)
        model.set_weights(arrays)
    weights, state = model.variables()
    expected = peer(pack(tensors))
    evaluate = lambda weights, x: apply(model, weights, state, (pack(x),))[0]
    y = evaluate(weights, x)
    np.testing.assert_allclose(y, expected.detach(), rtol=2e-5, atol=2e-5)
    if not expected.requires_grad:
        return
    factors = draw.normal(size=y.shape).astype("float32")
    (expected * torch.tensor(factors)).sum().backward()
    by_weights, by_x = jax.grad(lambda weights, x: jnp.sum(evaluate(weights, x) * factors), (0, 1))(weights, x)
    for slope, tensor in zip(by_x, tensors, strict=True):
        np.testing.assert_allclose(slope, tensor.grad, rtol=1e-4, atol=1e-4)
    if peer.trainable_weights:
        [(_, own)] = by_weights.items()
        for weight in peer.trainable_weights:
            np.testing.assert_allclose(own[weight.name], weight.value.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axis", [-1, (1, 2), None])
def test_normalization_adapts_as_keras_does(axis):
    data = np.random.default_rng(0).normal(3.0, 2.0, size=(50, 4, 3)).astype("float32")
    layer, peer = ours.Normalization(axis=axis), theirs.Normalization(axis=axis)
    layer.adapt(data)
    peer.adapt(data)
    np.testing.assert_allclose(layer(data), peer(data).detach(), rtol=1e-4, atol=1e-4)


def test_softmax_masks_as_keras_does():
    draw = np.random.default_rng(0)
    x, mask = draw.normal(size=(4, 3, 5)).astype("float32"), draw.random((4, 3, 5)) < 0.6
    for axis in (-1, 1, [1, 2]):
        expected = theirs.Softmax(axis)(torch.tensor(x), mask=torch.tensor(mask))
        np.testing.assert_allclose(ours.Softmax(axis)(x, mask=mask), expected, rtol=1e-5, atol=1e-6)


def test_bilinear_is_that_of_torch():
    draw = np.random.default_rng(0)
    first, second = (draw.normal(size=(4, 3, size)).astype("float32") for size in (5, 2))
    peer = torch.nn.Bilinear(5, 2, 6)
    layer = ours.Bilinear(6)
    layer([first, second])
    kernel, bias = peer.weight.detach().numpy(), peer.bias.detach().numpy()
    weights = {"kernel": jnp.array(kernel.transpose(1, 2, 0)), "bias": jnp.array(bias)}
    tensors = [torch.tensor(array, requires_grad=True) for array in (first, second)]
    expected = peer(*tensors)
    factors = draw.normal(size=expected.shape).astype("float32")
    (expected * torch.tensor(factors)).sum().backward()
    total = lambda weights, x: jnp.sum(apply(layer, weights, {}, (x,))[0] * factors)
    y, _ = apply(layer, weights, {}, ([first, second],))
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-4, atol=1e-5)
    by_weights, by_x = jax.grad(total, (0, 1))(weights, [first, second])
    np.testing.assert_allclose(by_weights["kernel"], peer.weight.grad.permute(1, 2, 0), rtol=1e-4, atol=1e-4)
    for slope, tensor in zip(by_x, tensors, strict=True):
        np.testing.assert_allclose(slope, tensor.grad, rtol=1e-4, atol=1e-4)


def test_random_relu_is_that_of_torch_outside_training():
    x = np.random.default_rng(0).normal(size=(4, 7)).astype("float32")
    expected = torch.nn.RReLU(0.1, 0.4).eval()(torch.tensor(x))
    np.testing.assert_allclose(ours.RReLU(0.1, 0.4)(x), expected, rtol=1e-6)


@pytest.mark.parametrize("name, settings", [
    ("AlphaDropout", {"rate": 0.3}), ("GaussianDropout", {"rate": 0.3}), ("GaussianNoise", {"stddev": 0.4}),
    ("Dropout", {"rate": 0.3}), ("SpatialDropout1D", {"rate": 0.3}),
])
def test_noise_has_the_moments_of_keras(name, settings):
    x = np.random.default_rng(0).normal(size=(500, 20, 50)).astype("float32")
    y = np.asarray(getattr(ours, name)(**settings)(x, training=True, key=jax.random.key(0)))
    expected = getattr(theirs, name)(**settings, seed=1)(torch.tensor(x), training=True).numpy()
    np.testing.assert_allclose([y.mean(), y.std(), (y * x).mean()],
                               [expected.mean(), expected.std(), (expected * x).mean()], atol=0.02)


def test_weights_have_the_order_of_keras():
    for name in ("BatchNormalization", "LayerNormalization", "GroupNormalization"):
        settings = {"groups": 2} if name == "GroupNormalization" else {}
        layer, peer = getattr(ours, name)(**settings), getattr(theirs, name)(**settings)
        layer(np.ones((2, 4), "float32"))
        peer.build((None, 4))
        weights, state = held_variables(layer)
        assert [*weights, *state] == [weight.name for weight in peer.weights]
