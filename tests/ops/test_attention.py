"""Attention and positions against plain numpy, and what must hold for any arrays."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule.errors import ShapeError
from chainrule.ops import dot_product_attention
from chainrule.ops.attention import attention_weights, masked_softmax, position_waves, rotate_by_position
from chainrule.precision import precision
from tests.conformance.samples import assert_gradient


def numbers(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def inputs(heads=4, groups=4, dtype="float32"):
    """Queries, keys and values with no two axes alike."""
    return (numbers(2, 3, heads, 6, dtype=dtype), numbers(2, 5, groups, 6, seed=1, dtype=dtype),
            numbers(2, 5, groups, 7, seed=2, dtype=dtype))


def reference(query, key, value, bias=0.0, mask=True, scale=None):
    """One query of one head of one row after another."""
    batch, times, heads, features = query.shape
    shape = (batch, heads, times, key.shape[1])
    bias, mask = np.broadcast_to(bias, shape), np.broadcast_to(mask, shape)
    y = np.zeros((batch, times, heads, value.shape[-1]))
    for n, i, h in np.ndindex(batch, times, heads):
        group = h * key.shape[2] // heads
        scores = key[n, :, group] @ query[n, i, h] * (scale or features**-0.5) + bias[n, h, i]
        seen = mask[n, h, i]
        if seen.any():
            powers = np.where(seen, np.exp(scores - scores[seen].max()), 0)
            y[n, i, h] = powers / powers.sum() @ value[n, :, group]
    return y


@pytest.mark.parametrize("groups", [4, 2, 1])
def test_values_are_those_of_plain_loops(groups):
    arrays = inputs(groups=groups)
    bias, mask = numbers(1, 4, 3, 5, seed=3), numbers(2, 1, 3, 5, seed=4) > 0
    past = np.arange(5) <= np.arange(3)[:, None]
    for options, expected in [
        ({}, {}),
        ({"scale": 0.3}, {"scale": 0.3}),
        ({"bias": bias, "mask": mask}, {"bias": bias, "mask": mask}),
        ({"is_causal": True}, {"mask": past}),
        ({"mask": mask, "is_causal": True}, {"mask": mask & past}),
    ]:
        y = jax.jit(lambda *arrays, options=options: dot_product_attention(*arrays, **options))(*arrays)
        assert y.dtype == "float32"
        np.testing.assert_allclose(y, reference(*arrays, **expected), rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_differences():
    with precision("float64"):
        mask = numbers(2, 1, 3, 5) > 0
        mask[0, 0, 1] = False
        assert_gradient(lambda *arrays: dot_product_attention(*arrays, mask=mask), inputs(groups=2, dtype="float64"))


@pytest.mark.parametrize("how", ["mask", "bias"])
def test_a_query_that_sees_nothing_gives_zero_and_so_do_its_gradients(how):
    query, key, value = inputs()
    blind = np.zeros((2, 1, 3, 5), bool)
    blind[:, :, 1] = True
    options = {"mask": ~blind} if how == "mask" else {"bias": np.where(blind, -np.inf, 0)}
    y, pull = jax.vjp(lambda *arrays: dot_product_attention(*arrays, **options), query, key, value)
    gradients = pull(jnp.ones_like(y))
    np.testing.assert_array_equal(y[:, 1], 0)
    np.testing.assert_array_equal(gradients[0][:, 1], 0)
    assert all(np.isfinite(gradient).all() and np.abs(gradient).max() > 0 for gradient in gradients)


def test_large_scores_do_not_overflow():
    scores = np.array([[1e4, 1e4 - 1, -1e38], [-1e38, -1e38, -3e38]], "float32")
    np.testing.assert_allclose(masked_softmax(scores), [[0.7310586, 0.2689414, 0], [0.5, 0.5, 0]], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_other_precisions(dtype):
    with precision("float64" if dtype == "float64" else "float32"):
        arrays = [jnp.asarray(array, dtype) for array in inputs(groups=2)]
        y, pull = jax.vjp(dot_product_attention, *arrays)
        assert y.dtype == dtype and all(gradient.dtype == dtype for gradient in pull(y))
        exact = reference(*(np.asarray(array, "float64") for array in arrays))
        np.testing.assert_allclose(np.asarray(y, "float64"), exact, atol=1e-12 if dtype == "float64" else 0.02)


def test_a_batch_of_networks_is_each_of_them():
    arrays = [np.stack([array, 2 * array]) for array in inputs(groups=1)]
    together = jax.vmap(lambda *arrays: dot_product_attention(*arrays, is_causal=True))(*arrays)
    for index, y in enumerate(together):
        alone = dot_product_attention(*(array[index] for array in arrays), is_causal=True)
        np.testing.assert_allclose(y, alone, rtol=1e-5, atol=1e-6)


def test_dropout_keeps_the_mean():
    x = jnp.ones((1, 200, 1, 1))
    y = dot_product_attention(x, x, x, dropout=0.3, dropout_key=jax.random.key(0))
    assert abs(y.mean() - 1) < 0.01 and y.std() > 0.01


def test_rotated_products_depend_on_the_distance_only():
    query, key = numbers(1, 4, 2, 6), numbers(1, 4, 2, 6, seed=1)
    scores = [attention_weights(*(rotate_by_position(x, start + np.arange(4)) for x in (query, key)))
              for start in (0, 100)]
    np.testing.assert_allclose(*scores, rtol=1e-4, atol=1e-5)
    assert np.abs(scores[0] - attention_weights(query, key)).max() > 0.01


def test_rotation_is_that_of_complex_numbers():
    x = numbers(2, 3, 4, 6)
    for positions in (np.array([0, 5, 7]), np.array([[0, 5, 7], [1, 2, 3]])):
        y = rotate_by_position(x, positions, max_wavelength=50, scaling_factor=2.0)
        angles = np.broadcast_to(positions, (2, 3))[:, :, None, None] / 2 * 50.0 ** -(np.arange(3) / 3)
        turned = (x[..., :3] + 1j * x[..., 3:]) * np.exp(1j * angles)
        np.testing.assert_allclose(y, np.concatenate([turned.real, turned.imag], -1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("features", [4, 5])
def test_waves(features):
    y = position_waves(np.arange(7), features, max_wavelength=100)
    for position, channel in np.ndindex(7, features):
        angle = position / 100 ** (2 * (channel // 2) / features)
        assert y[position, channel] == pytest.approx(np.sin(angle) if channel % 2 == 0 else np.cos(angle), abs=1e-6)


@pytest.mark.parametrize(("query", "key", "message"), [
    ((2, 3, 4), (2, 3, 4),
     "Attention takes queries and keys of shape (batch, times, heads, features); got (2, 3, 4) and (2, 3, 4). Use "
     "x[:, :, None] for a single head."),
    ((2, 3, 1, 4), (2, 3, 1, 5),
     "Attention compares queries with keys of as many features; got (2, 3, 1, 4) and (2, 3, 1, 5)."),
    ((2, 3, 4, 5), (2, 3, 3, 5),
     "Attention needs a number of query heads that the number of key heads divides; got 4 and 3."),
])
def test_arrays_that_do_not_fit(query, key, message):
    with pytest.raises(ShapeError) as error:
        dot_product_attention(np.zeros(query), np.zeros(key), np.zeros(key))
    assert str(error.value) == message


def test_an_odd_number_of_features_cannot_be_rotated():
    with pytest.raises(ShapeError) as error:
        rotate_by_position(np.zeros((1, 2, 3)), np.arange(2))
    assert str(error.value) == ("Rotary positions turn pairs of features, so their number is even; got rows of 3, in "
                                "an array of shape (1, 2, 3).")
