import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import regularizers
from chainrule.errors import SettingError, ShapeError


def weights(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("regularizer, penalty", [
    (regularizers.L1(0.3), lambda w: 0.3 * abs(w).sum()),
    (regularizers.L2(0.3), lambda w: 0.3 * (w**2).sum()),
    (regularizers.L1L2(0.3, 0.2), lambda w: 0.3 * abs(w).sum() + 0.2 * (w**2).sum()),
    (regularizers.get("l1"), lambda w: 0.01 * abs(w).sum()),
    (regularizers.get("l2"), lambda w: 0.01 * (w**2).sum()),
    (regularizers.get("l1_l2"), lambda w: 0 * w.sum()),
    (regularizers.l1_l2(l1=0.1, l2=0.1), lambda w: 0.1 * (abs(w) + w**2).sum()),
])
def test_penalty(regularizer, penalty):
    w = weights(3, 5)
    np.testing.assert_allclose(regularizer(w), penalty(w), rtol=1e-6)
    assert regularizer(jnp.asarray(w)).dtype == jnp.float32
    assert regularizer(jnp.asarray(w, "bfloat16")).dtype == jnp.bfloat16


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_orthogonal_is_the_mean_size_of_the_cosines(mode):
    w = weights(4, 3)
    vectors = w if mode == "rows" else w.T
    cosines = [abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b)
               for i, a in enumerate(vectors) for b in vectors[:i]]
    np.testing.assert_allclose(regularizers.OrthogonalRegularizer(0.7, mode)(w), 0.7 * np.mean(cosines), rtol=1e-5)
    assert regularizers.OrthogonalRegularizer()(jnp.zeros((2, 2))) == 0


def test_many_strengths_in_one_program():
    w = weights(3, 5)
    penalties = jax.jit(jax.vmap(lambda strength: regularizers.L2(strength)(w)))(jnp.array([0.1, 0.2]))
    np.testing.assert_allclose(penalties, [0.1 * (w**2).sum(), 0.2 * (w**2).sum()], rtol=1e-6)
    w[0] = 0  # where the sum of sizes has its corner
    np.testing.assert_allclose(jax.grad(regularizers.L1L2(0.1, 0.2))(w), 0.1 * np.sign(w) + 0.4 * w, rtol=1e-6)


def test_wrong_settings_say_so():
    with pytest.raises(SettingError) as error:
        regularizers.L2(-0.1)
    assert str(error.value) == "L2: l2 is a number of at least 0; got -0.1."
    with pytest.raises(SettingError) as error:
        regularizers.L1L2(l1="much")
    assert str(error.value) == "L1L2: l1 is a number of at least 0; got 'much'."
    with pytest.raises(SettingError) as error:
        regularizers.OrthogonalRegularizer(mode="row")
    assert str(error.value) == "OrthogonalRegularizer: mode is 'rows' or 'columns'; got 'row'."
    with pytest.raises(ShapeError) as error:
        regularizers.OrthogonalRegularizer()(jnp.zeros((2, 3, 4)))
    assert str(error.value) == (
        "OrthogonalRegularizer compares the rows of an array with two axes; got the shape (2, 3, 4).")
