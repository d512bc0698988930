"""Embeddings and attention beside Keras and PyTorch: random weights, outputs and gradients, with and without masks."""
import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch

from chainrule import layers
from chainrule.layers.binding import apply, held_variables, lookup, ordered_weights
from chainrule.models import Input, Sequential
from chainrule.ops import dot_product_attention

# NumPy 2 asks torch tensors for a copy in a way that they do not know yet, wherever Keras hands one to it.
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)  # of values
BOXES = np.random.default_rng(9).random((2, 3, 5)) > 0.4
BOXES[..., 0] = True  # Keras has no answer where a query sees nothing


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def assert_close(ours, theirs, tolerance=1e-4):
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), rtol=tolerance, atol=tolerance)


def compare(name, settings, arrays, options, pack):
    """Random weights for both; outputs, and the gradients of a random projection by every weight and input.

    Args:
        pack: makes the arguments of a call out of the inputs.
    """
    layer, theirs = getattr(layers, name)(**settings), getattr(keras.layers, name)(**settings)
    layer(*pack(list(arrays)))
    theirs.build(*pack([(None, *array.shape[1:]) for array in arrays]))
    draw = np.random.default_rng(1)
    values = [0.5 * draw.normal(size=weight.shape).astype("float32") for _, weight in ordered_weights(layer)]
    layer.set_weights(values)
    theirs.set_weights(values)
    weights, _ = held_variables(layer)
    y, pull = jax.vjp(lambda weights, arrays: apply(layer, weights, {}, tuple(pack(arrays)), options)[0], weights,
                      list(arrays))
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    expected = theirs(*pack(tensors), **options)
    assert_close(y, expected)
    slopes = numbers(*y.shape, seed=2)
    expected.backward(torch.tensor(slopes))
    by_weights, by_inputs = pull(jnp.asarray(slopes))
    for ours, tensor in zip(by_inputs, tensors, strict=True):
        assert_close(ours, tensor.grad)
    for (path, _), variable in zip(ordered_weights(layer), theirs.trainable_variables, strict=True):
        owner, _, weight = path.rpartition("/")
        assert weight == variable.name
        assert_close(lookup(by_weights, owner)[weight], variable.value.grad)


HEADED = [
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 3}),
    ("MultiHeadAttention", {"num_heads": 3, "key_dim": 2, "value_dim": 5, "use_bias": False, "output_shape": 4}),
    ("GroupQueryAttention", {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}),
]
SIGHTS = {"all": {}, "padding": {"value_mask": MASK}, "boxes": {"attention_mask": BOXES},
          "past": {"use_causal_mask": True}, "both": {"use_causal_mask": True, "value_mask": MASK}}


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize(("name", "settings"), HEADED, ids=str)
def test_attention_with_heads_is_that_of_keras(name, settings, sight):
    arrays = numbers(2, 3, 6), numbers(2, 5, 7, seed=3), numbers(2, 5, 4, seed=4)
    compare(name, settings, arrays, SIGHTS[sight], pack=lambda inputs: inputs)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("name", "settings"), [
    ("Attention", {}), ("Attention", {"use_scale": True}), ("Attention", {"use_scale": True, "score_mode": "concat"}),
    ("AdditiveAttention", {}), ("AdditiveAttention", {"use_scale": False}),
], ids=str)
def test_attention_without_heads_is_that_of_keras(name, settings, causal):
    arrays = numbers(2, 3, 6), numbers(2, 5, 7, seed=3), numbers(2, 5, 6, seed=4)
    masks = [np.array([[1, 1, 0], [1, 1, 1]], bool), MASK, MASK]
    compare(name, settings, arrays, {"mask": masks, "use_causal_mask": causal}, pack=lambda inputs: [inputs])


@pytest.mark.parametrize("sight", ["all", "mask", "bias", "past"])
@pytest.mark.parametrize("groups", [4, 2])
def test_the_operation_is_that_of_torch(groups, sight):
    arrays = numbers(2, 5, 4, 6), numbers(2, 5, groups, 6, seed=3), numbers(2, 5, groups, 7, seed=4)
    mask, bias = np.broadcast_to(MASK[:, None, None], (2, 4, 5, 5)), numbers(2, 4, 5, 5, seed=5)
    ours = {"all": {}, "mask": {"mask": mask}, "bias": {"bias": bias}, "past": {"is_causal": True}}[sight]
    given = {"mask": torch.tensor(mask), "bias": torch.tensor(bias)}.get(sight)
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    expected = torch.nn.functional.scaled_dot_product_attention(
        *(tensor.transpose(1, 2) for tensor in tensors), attn_mask=given, is_causal=sight == "past",
        enable_gqa=groups < 4).transpose(1, 2)
    y, pull = jax.vjp(lambda *arrays: dot_product_attention(*arrays, **ours), *arrays)
    assert_close(y, expected)
    expected.backward(torch.tensor(numbers(*y.shape, seed=2)))
    for gradient, tensor in zip(pull(jnp.asarray(numbers(*y.shape, seed=2))), tensors, strict=True):
        assert_close(gradient, tensor.grad)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_with_heads_is_that_of_torch(causal):
    heads, size, features = 2, 3, 6
    theirs = torch.nn.MultiheadAttention(features, heads, batch_first=True)
    projections = [numbers(features, heads, size, seed=seed) for seed in range(3)]
    biases = [numbers(heads, size, seed=seed) for seed in range(3, 6)]
    out, out_bias = numbers(heads, size, features, seed=6), numbers(features, seed=7)
    theirs.load_state_dict({
        "in_proj_weight": torch.tensor(np.concatenate([kernel.reshape(features, -1).T for kernel in projections])),
        "in_proj_bias": torch.tensor(np.concatenate([bias.ravel() for bias in biases])),
        "out_proj.weight": torch.tensor(out.reshape(-1, features).T), "out_proj.bias": torch.tensor(out_bias)})
    x, padding = numbers(2, 5, features, seed=8), ~MASK
    expected, scores = theirs(*[torch.tensor(x)] * 3, key_padding_mask=torch.tensor(padding),
                              attn_mask=torch.tensor(np.triu(np.ones((5, 5), bool), 1)) if causal else None,
                              average_attn_weights=False)
    layer = layers.MultiHeadAttention(heads, size)
    layer(x)
    pairs = [array for pair in zip([*projections, out], [*biases, out_bias], strict=True) for array in pair]
    layer.set_weights(pairs)
    y, weights = layer(x, value_mask=MASK, use_causal_mask=causal, return_attention_scores=True)
    assert_close(y, expected)
    assert_close(weights, scores)


def test_embeddings_are_those_of_keras():
    words = np.random.default_rng(0).integers(0, 9, (4, 7)).astype("int32")
    model = Sequential([Input((7,), dtype="int32"), layers.Embedding(9, 5)])
    table = numbers(9, 5)
    model.set_weights([table])
    theirs = keras.layers.Embedding(9, 5, weights=[table])
    expected = theirs(words)
    weights, state = model.variables()
    y, pull = jax.vjp(lambda weights: model.apply(weights, state, words)[0], weights)
    assert_close(y, expected)
    expected.backward(torch.tensor(numbers(*y.shape, seed=2)))
    gradient, = jax.tree.leaves(pull(jnp.asarray(numbers(*y.shape, seed=2))))
    assert_close(gradient, theirs.trainable_variables[0].value.grad)


def test_starting_weights_have_the_spread_of_those_of_keras():
    x = numbers(1, 3, 32)
    ours, theirs = layers.MultiHeadAttention(4, 16), keras.layers.MultiHeadAttention(4, 16)
    ours(x)
    theirs(x, x)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert one.shape == other.shape and one.std() == pytest.approx(other.std(), rel=0.1)
