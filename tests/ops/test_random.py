"""Random numbers: the distributions they claim, independent streams, the same everywhere."""
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule.ops import random

KEY = jax.random.key(0)


def test_uniform_has_the_moments_and_bins_of_the_uniform_distribution():
    draws = np.asarray(random.uniform(KEY, (200_000,)))
    assert draws.min() >= 0 and draws.max() < 1
    counts = np.histogram(draws, bins=100, range=(0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 150  # chi-squared, 99 degrees of freedom: 0.1 % at 149


def test_each_bit_is_fair_and_independent_of_its_neighbour():
    words = np.asarray(random.bits(KEY, (100_000,)))
    bits = (words[:, None] >> np.arange(32, dtype=np.uint32)) & 1
    assert np.abs(bits.mean(0) - 0.5).max() < 0.008
    correlation = np.corrcoef(bits[:, 0].astype(float), np.roll(bits[:, 0], 1).astype(float))[0, 1]
    assert abs(correlation) < 0.012
    assert np.abs(np.corrcoef(bits.T.astype(float)) - np.eye(32)).max() < 0.02


def test_streams_of_neighbouring_keys_are_independent():
    streams = np.stack([np.asarray(random.uniform(random.fold_in(KEY, i), (20_000,))) for i in range(8)])
    assert np.abs(np.corrcoef(streams) - np.eye(8)).max() < 0.03


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_has_the_moments_of_the_normal_distribution(dtype):
    with jax.enable_x64(dtype == "float64"):
        draws = np.asarray(random.normal(KEY, (400_000,), dtype))
    assert draws.dtype == dtype and np.isfinite(draws).all()
    assert abs(draws.mean()) < 0.006 and abs(draws.std() - 1) < 0.004 and abs((draws**4).mean() - 3) < 0.06


def test_truncated_normal_stays_inside():
    draws = np.asarray(random.truncated_normal(KEY, (200_000,)))
    assert np.abs(draws).max() <= 2 and abs(draws.std() - 0.8796) < 0.004


def test_bernoulli_takes_traced_probabilities():
    share = jax.jit(lambda p: random.bernoulli(KEY, p, (100_000,)).mean())
    assert abs(float(share(0.3)) - 0.3) < 0.006 and float(share(0.0)) == 0 and float(share(1.0)) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1024, 1025, 1500, 4097, 65_536])
def test_permutation_holds_every_number_once(count):
    order = np.asarray(random.permutation(KEY, count))
    assert order.dtype == np.int32 and np.array_equal(np.sort(order), np.arange(count))


def test_small_permutations_are_all_equally_likely():
    draw = jax.jit(jax.vmap(lambda i: random.permutation(random.fold_in(KEY, i), 3)))
    drawn = [tuple(row) for row in np.asarray(draw(jnp.arange(6000))).tolist()]
    counts = np.array([drawn.count(order) for order in itertools.permutations(range(3))])
    assert ((counts - 1000) ** 2 / 1000).sum() < 20.5  # 5 degrees of freedom: 0.1 %


def test_large_permutations_put_every_row_anywhere():
    draw = jax.jit(jax.vmap(lambda i: random.permutation(random.fold_in(KEY, i), 1500)))
    orders = np.asarray(draw(jnp.arange(600)))
    assert abs(orders[:, 0].mean() - 749.5) < 75 and abs(orders[:, 0].std() - 433) < 45
    neighbours = np.corrcoef(orders[:, 0], orders[:, 1])[0, 1]
    assert abs(neighbours) < 0.15
    assert (np.asarray(orders) == np.arange(1500)).sum(1).mean() < 1.3  # one fixed point is expected


def test_large_permutations_break_runs():
    order = np.asarray(random.permutation(KEY, 50_000)).astype(float)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(order, np.arange(50_000))[0, 1]) < 0.02


def test_the_same_compiled_under_vmap_and_for_each_form_of_key():
    keys = jax.random.split(KEY, 4)
    one_by_one = np.stack([random.uniform(key, (5,)) for key in keys])
    assert np.array_equal(jax.vmap(lambda key: random.uniform(key, (5,)))(keys), one_by_one)
    assert np.array_equal(jax.jit(lambda key: random.uniform(key, (5,)))(keys[1]), one_by_one[1])
    assert np.array_equal(random.uniform(np.asarray(jax.random.key_data(keys[2])), (5,)), one_by_one[2])
    assert np.array_equal(random.uniform(random.typed(keys[3]), (5,)), one_by_one[3])


@pytest.mark.parametrize(("count", "real"), [(1024, 1000), (10, 1), (2000, 1500), (5000, 5000)])
def test_a_number_of_rows_that_only_the_program_knows(count, real):
    order = jax.jit(lambda real: random.permutation(KEY, count, real=real))(real)
    np.testing.assert_array_equal(order[:real], random.permutation(KEY, real))
    assert order.shape == (count,)
