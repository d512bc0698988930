import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import initializers
from chainrule.errors import SettingError, ShapeError

KEY = np.array([1, 2], "uint32")
CLASSES = sorted({entry for entry in initializers.registry.entries.values()}, key=lambda entry: entry.__name__)


@pytest.mark.parametrize("made", CLASSES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_shape_and_dtype_and_the_same_key_gives_the_same_numbers(made, dtype):
    w = made()((6, 5), dtype=dtype, key=KEY)
    assert (w.shape, w.dtype) == ((6, 5), jnp.dtype(dtype))
    np.testing.assert_array_equal(w, initializers.draw(made(), KEY, (6, 5), dtype))
    compiled = jax.jit(lambda key: made()((6, 5), dtype, key))(KEY)
    np.testing.assert_allclose(np.float32(w), np.float32(compiled), rtol=1e-2 if dtype == "bfloat16" else 1e-5)


@pytest.mark.parametrize("made", CLASSES)
def test_double_precision(made):
    with jax.enable_x64(True):
        assert made()((3, 3), "float64", KEY).dtype == jnp.float64


@pytest.mark.parametrize("made", [initializers.GlorotUniform, initializers.Orthogonal, initializers.HeNormal])
def test_many_keys_at_once(made):
    keys = np.arange(8, dtype="uint32").reshape(4, 2)
    together = jax.vmap(lambda key: made()((4, 3), key=key))(keys)
    np.testing.assert_allclose(together, [made()((4, 3), key=key) for key in keys], rtol=1e-5, atol=1e-6)
    assert len(np.unique(together)) == together.size


@pytest.mark.parametrize("made, variance, bound", [
    (initializers.GlorotUniform(), 2 / (200 + 300), math.sqrt(6 / (200 + 300))),
    (initializers.GlorotNormal(), 2 / (200 + 300), 2 / 0.8796 * math.sqrt(2 / (200 + 300))),
    (initializers.HeUniform(), 2 / 200, math.sqrt(6 / 200)),
    (initializers.HeNormal(), 2 / 200, 2 / 0.8796 * math.sqrt(2 / 200)),
    (initializers.LecunUniform(), 1 / 200, math.sqrt(3 / 200)),
    (initializers.LecunNormal(), 1 / 200, 2 / 0.8796 * math.sqrt(1 / 200)),
    (initializers.VarianceScaling(3.0, "fan_out", "untruncated_normal"), 3 / 300, math.inf),
    (initializers.RandomUniform(-0.01, 0.01), 0.02**2 / 12, 0.01),
    (initializers.RandomNormal(stddev=0.2), 0.04, math.inf),
    (initializers.RandomSigns(), 1, 1),
    (initializers.TruncatedNormal(stddev=0.2), 0.04 * 0.87962566**2, 0.4),
])
def test_variance_and_bound(made, variance, bound):
    w = np.asarray(made((200, 300), key=KEY), "float64")
    np.testing.assert_allclose(w.var(), variance, rtol=0.02)
    assert abs(w.mean()) < 4 * math.sqrt(variance / w.size)
    assert abs(w).max() <= bound * (1 + 1e-4)


def test_mean_and_constant_arrays():
    np.testing.assert_allclose(initializers.RandomNormal(5.0, 1e-3)((9,)), 5, atol=0.01)
    np.testing.assert_array_equal(initializers.Constant([1.0, 2.0])((2, 2)), [[1, 2], [1, 2]])


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (4, 4), (2, 3, 5)])
def test_orthogonal(shape):
    w = np.asarray(initializers.Orthogonal(gain=1.5)(shape, key=KEY)).reshape(-1, shape[-1])
    product = w.T @ w if len(w) >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(product, 2.25 * np.eye(len(product)), atol=1e-5)


def test_every_orthogonal_matrix_is_equally_likely():
    keys = np.random.default_rng(0).integers(0, 2**32, (2000, 2), dtype="uint32")
    matrices = jax.vmap(lambda key: initializers.Orthogonal()((3, 3), key=key))(keys)
    np.testing.assert_allclose(jnp.mean(matrices, axis=0), np.zeros((3, 3)), atol=0.06)
    np.testing.assert_allclose(jnp.mean(matrices**2, axis=0), np.full((3, 3), 1 / 3), atol=0.03)


@pytest.mark.parametrize("shape, fans", [
    ((), (1, 1)), ((5,), (5, 5)), ((5, 3), (5, 3)), ((3, 2, 4, 8), (24, 48)), ((3, 4, 8), (12, 24)),
])
def test_fans(shape, fans):
    assert initializers.fans(shape) == fans


def test_a_seed_decides_the_numbers():
    seeded = initializers.GlorotUniform(seed=7)
    np.testing.assert_array_equal(seeded((3, 2)), initializers.draw(seeded, KEY, (3, 2)))
    np.testing.assert_array_equal(seeded((3, 2)), initializers.GlorotUniform()((3, 2), key=jax.random.key(7)))
    np.testing.assert_array_equal(initializers.GlorotUniform()((3, 2)), initializers.GlorotUniform(seed=0)((3, 2)))
    assert not np.array_equal(seeded((3, 2)), initializers.GlorotUniform(seed=8)((3, 2)))


def test_settings_are_shown_and_kept():
    made = initializers.RandomUniform(-0.01, 0.01)
    assert repr(made) == "RandomUniform(minval=-0.01, maxval=0.01)"
    again = initializers.RandomUniform.from_config(made.get_config())
    np.testing.assert_array_equal(again((4,)), made((4,)))


@pytest.mark.parametrize("name, made", [
    ("zeros", "Zeros"), ("zero", "Zeros"), ("ones", "Ones"), ("glorot_uniform", "GlorotUniform"),
    ("uniform", "RandomUniform"), ("random_normal", "RandomNormal"), ("he_normal", "HeNormal"),
    ("lecun_normal", "LecunNormal"), ("truncated_normal", "TruncatedNormal"), ("identity", "Identity"),
    ("orthogonal", "Orthogonal"), ("variance_scaling", "VarianceScaling"), ("constant", "Constant"),
])
def test_names(name, made):
    assert type(initializers.get(name)).__name__ == made


@pytest.mark.parametrize("function", [
    lambda shape, dtype=None: np.full(shape, 2, dtype),
    lambda shape, dtype: np.full(shape, 2, dtype),
    lambda shape, *, dtype: np.full(shape, 2, dtype),
    lambda shape: np.full(shape, 2),
    lambda shape, dtype=None, key=None: jnp.full(shape, 2, dtype),
    lambda key, shape, dtype: jnp.full(shape, 2, dtype),
    lambda rng, shape, dtype=jnp.float32: jnp.full(shape, 2, dtype),
    lambda key, shape, dtype, out_sharding=None: jnp.full(shape, 2, dtype),
    jax.nn.initializers.constant(2),
])
def test_functions_of_either_style(function):
    w = initializers.draw(function, KEY, (2, 3), "float32")
    assert w.dtype == jnp.float32
    np.testing.assert_array_equal(w, np.full((2, 3), 2))


def test_a_function_of_jax_receives_the_key():
    key = jax.random.key(3)
    function = jax.nn.initializers.normal(1.0)
    np.testing.assert_array_equal(initializers.draw(function, key, (2, 3)), function(key, (2, 3)))


def test_wrong_results_and_settings_say_so():
    def transposed(shape, dtype=None):
        return np.zeros(shape[::-1])

    with pytest.raises(ShapeError) as error:
        initializers.draw(transposed, KEY, (2, 3))
    assert str(error.value) == (
        "The initializer transposed was asked for an array of shape (2, 3) and returned one of shape (3, 2).")
    with pytest.raises(ShapeError) as error:
        initializers.Constant([1.0, 2.0, 3.0])((3, 2))
    assert str(error.value) == (
        "Constant: a value of shape (3,) cannot fill a weight of shape (3, 2). Give a number, or an array of the "
        "weight's shape.")
    with pytest.raises(ShapeError) as error:
        initializers.Orthogonal()((3,))
    assert str(error.value) == "Orthogonal: the weight has two axes or more; got the shape (3,)."
    with pytest.raises(ShapeError) as error:
        initializers.Identity()((3, 2, 1))
    assert str(error.value) == "Identity: the weight has two axes; got the shape (3, 2, 1)."
    with pytest.raises(SettingError) as error:
        initializers.VarianceScaling(scale=0)
    assert str(error.value) == "VarianceScaling: scale is a number above 0; got 0."
    with pytest.raises(SettingError) as error:
        initializers.VarianceScaling(mode="fan")
    assert str(error.value) == "VarianceScaling: mode is 'fan_in', 'fan_out' or 'fan_avg'; got 'fan'."
    with pytest.raises(SettingError) as error:
        initializers.VarianceScaling(distribution="cauchy")
    assert str(error.value) == (
        "VarianceScaling: distribution is 'truncated_normal', 'untruncated_normal' or 'uniform'; got 'cauchy'.")
