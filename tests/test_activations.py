import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import activations
from chainrule.errors import SettingError, UnknownNameError

FUNCTIONS = sorted({function.__name__ for function in activations.registry.entries.values()})
ELEMENTWISE = [name for name in FUNCTIONS if name not in ("glu", "softmax", "log_softmax", "sparsemax")]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_dtype_and_shape_are_kept(name, dtype):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5, 4)) * 3, dtype=dtype)
    y = activations.get(name)(x)
    assert y.dtype == x.dtype
    assert y.shape == ((3, 5, 2) if name == "glu" else x.shape)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_integers_are_read_as_numbers(name):
    function = activations.get(name)
    whole = np.array([-3, 0, 1, 4])
    y = function(whole)
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(y, function(whole.astype("float32")))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient_is_the_limit_of_differences(name):
    function = activations.get(name)
    with jax.enable_x64(True):
        x = np.random.default_rng(1).normal(size=6) * 2.3
        projection = np.random.default_rng(2).normal(size=function(x).shape)
        total = lambda x: jnp.sum(function(x) * projection)
        gradient = jax.jit(jax.grad(total))(x)
        assert gradient.dtype == jnp.float64
        differences = [(total(x + 1e-6 * row) - total(x - 1e-6 * row)) / 2e-6 for row in np.eye(6)]
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name, derivatives", [
    ("step", {0.0: 0, 1.0: 0}),
    ("relu", {-1.0: 0, 0.0: 0, 1.0: 1}),
    ("relu6", {0.0: 0, 6.0: 0, 3.0: 1, 7.0: 0}),
    ("leaky_relu", {0.0: 0.2, 1.0: 1}),
    ("elu", {0.0: 1, 2.0: 1}),
    ("celu", {0.0: 1, 200.0: 1}),
    ("hard_tanh", {-1.0: 0, 1.0: 0, 0.0: 1}),
    ("hard_sigmoid", {-3.0: 0, 3.0: 0, 0.0: 1 / 6}),
    ("softsign", {0.0: 1}),
    ("sigmoid", {0.0: 0.25, 1000.0: 0, -1000.0: 0}),
    ("softplus", {0.0: 0.5, 1000.0: 1, -1000.0: 0}),
    ("elu", {1000.0: 1, -1000.0: 0}),
    ("mish", {1000.0: 1, -1000.0: 0}),
    ("exponential", {0.0: 1}),
])
def test_derivative_at_corners_and_far_out(name, derivatives):
    slopes = jax.vmap(jax.grad(activations.get(name)))(jnp.array(list(derivatives)))
    np.testing.assert_allclose(slopes, list(derivatives.values()), rtol=1e-6)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_far_out_nothing_becomes_nan(name):
    function = activations.get(name)
    x = jnp.array([-1e4, 1e4])
    if name != "exponential":
        assert np.isfinite(function(x)).all()
        assert np.isfinite(jax.vmap(jax.grad(function))(x)).all()


@pytest.mark.parametrize("name", ["softmax", "sparsemax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_probabilities_sum_to_one(name, axis):
    x = np.random.default_rng(3).normal(size=(4, 3, 5)).astype("float32") * 5
    y = activations.get(name)(x, axis=axis)
    np.testing.assert_allclose(np.sum(y, axis=axis), 1, rtol=1e-6)
    assert (np.asarray(y) >= 0).all()


def test_sparsemax_is_the_nearest_point_of_the_simplex():
    x = np.random.default_rng(3).normal(size=(50, 3, 7)) * 2
    low, high = x.min(axis=-1) - 1, x.max(axis=-1)
    for _ in range(60):  # the shift that leaves a sum of 1, by bisection
        middle = (low + high) / 2
        above = np.maximum(x - middle[..., None], 0).sum(axis=-1) > 1
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    np.testing.assert_allclose(activations.sparsemax(x), np.maximum(x - low[..., None], 0), atol=1e-6)


def test_softmax_of_large_scores_and_of_a_vector():
    np.testing.assert_allclose(activations.softmax(np.array([1e4, 1e4, 0])), [0.5, 0.5, 0])


def test_a_function_of_the_users_is_taken_as_it_is():
    function = lambda x: x**3
    assert activations.get(function) is function


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(UnknownNameError) as error:
        activations.get("rellu")
    assert str(error.value) == "There is no activation 'rellu'. Did you mean 'relu'?"
    with pytest.raises(SettingError) as error:
        activations.get(3)
    assert str(error.value) == "An activation is a name, an object or a function; got 3 (int)."
