"""The kernel of batch normalisation beside its twin."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr
from chainrule import kernels
from chainrule.kernels.normalisation import normalisation_forward

pytestmark = pytest.mark.skipif(not kernels.report().available, reason=kernels.report().reason)

SHAPES = [(1, 1), (2, 3), (5, 16), (7, 64), (128, 500), (37, 130), (1025, 5), (3000, 33), (0, 4)]


def arrays_for(rows, channels, weighted, seed=0):
    draw = np.random.default_rng(seed)
    weight = [(draw.random(rows) < 0.7).astype("float32")] if weighted else []
    numbers = [3 + 2 * draw.normal(size=(rows, channels)), *draw.normal(size=(2, channels)), [1e-3]]
    return [jnp.asarray(array, jnp.float32) for array in numbers + weight]


def all_results(x, gamma, beta, epsilon, *weight):
    """The three results, and the gradients by everything that is trained, of a function of all three results."""
    def loss(x, gamma, beta, epsilon):
        y, mean, variance = normalisation_forward(x, gamma, beta, epsilon, *weight)
        return (y * jnp.cos(x)).sum() + (mean * gamma).sum() + (variance * beta).sum()

    return [*normalisation_forward(x, gamma, beta, epsilon, *weight),
            *jax.grad(loss, (0, 1, 2, 3))(x, gamma, beta, epsilon)]


def by_twin(function, *arrays):
    with kernels.allowed(False):
        return jax.jit(function)(*arrays)


def close(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        scale = float(jnp.abs(other).max()) if other.size else 1.0
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5 * max(1.0, scale))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_twin(instructions, shape, weighted):
    arrays = arrays_for(*shape, weighted)
    close(jax.jit(all_results)(*arrays), by_twin(all_results, *arrays))


def test_far_from_zero_the_variance_keeps_its_digits(instructions):
    x = jnp.asarray(1e4 + np.random.default_rng(0).normal(size=(2000, 3)), jnp.float32)
    variance = normalisation_forward(x, jnp.ones(3), jnp.zeros(3), jnp.zeros(1))[2]
    np.testing.assert_allclose(variance, np.asarray(x, "float64").var(0), rtol=1e-4)


def test_members_of_a_population():
    several = [jnp.stack(column) for column in zip(*(arrays_for(40, 9, True, seed) for seed in range(5)), strict=True)]
    together = jax.jit(jax.vmap(all_results))(*several)
    for member in range(5):
        alone = all_results(*[array[member] for array in several])
        close([array[member] for array in together], alone)


def test_the_layer_is_the_same_with_and_without(instructions):
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(50, 6, 5)).astype("float32"), draw.normal(size=(50, 6, 5)).astype("float32")
    found = []
    for used in (True, False):
        model = cr.Sequential([cr.Input((6, 5)), cr.layers.BatchNormalization()])
        model.compile(cr.optimizers.SGD(0.1), "mse", kernels=used)
        model.fit(x, y, batch_size=32, epochs=2, verbose=0, shuffle=False)  # the second batch has 18 rows
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_what_is_not_a_number_stays():
    x = jnp.array([[1.0, 2.0], [jnp.nan, 3.0]])
    y, mean, variance = normalisation_forward(x, jnp.ones(2), jnp.zeros(2), jnp.ones(1))
    assert jnp.isnan(y[:, 0]).all() and jnp.isnan(mean[0]) and jnp.isnan(variance[0]) and jnp.isfinite(y[:, 1]).all()


def test_shapes_that_do_not_fit_are_refused():
    normalisation_forward(*arrays_for(2, 2, False))  # makes the target known
    shapes = [(4, 3), (3,), (3,)]
    call = jax.ffi.ffi_call("chainrule_normalisation_forward",
                            [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes])
    with pytest.raises(jax.errors.JaxRuntimeError, match="chainrule: the array 'beta' has the shape"):
        jax.block_until_ready(call(*[jnp.zeros(shape) for shape in [(4, 3), (3,), (2,), (1,)]]))
