import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import constraints
from chainrule.errors import SettingError

ALL = [constraints.MaxNorm(), constraints.UnitNorm(), constraints.NonNeg(), constraints.MinMaxNorm()]


@pytest.mark.parametrize("constraint", ALL)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_shape_and_dtype_are_kept(constraint, dtype):
    w = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5)), dtype) * 4
    kept = jax.jit(constraint)(w)
    assert (kept.shape, kept.dtype) == (w.shape, w.dtype)


def test_norms():
    w = np.random.default_rng(0).normal(size=(30, 5)).astype("float32") * np.arange(5, dtype="float32")
    before = np.linalg.norm(w, axis=0)
    norm = lambda constraint: np.linalg.norm(constraint(w), axis=0)
    np.testing.assert_allclose(norm(constraints.MaxNorm(8.0)), np.minimum(before, 8), rtol=1e-5)
    np.testing.assert_allclose(norm(constraints.UnitNorm()), before > 0, rtol=1e-5)
    np.testing.assert_allclose(norm(constraints.MinMaxNorm(7.0, 9.0, rate=0.5)),
                               np.where(before > 0, (before + np.clip(before, 7, 9)) / 2, 0), rtol=1e-5)
    np.testing.assert_array_equal(constraints.NonNeg()(w), np.maximum(w, 0))


def test_the_axes_of_a_kernel():
    w = np.random.default_rng(0).normal(size=(3, 3, 4, 6)).astype("float32")
    for axis in ((0, 1, 2), [0, 1, 2]):
        kept = constraints.UnitNorm(axis=axis)(w)
        np.testing.assert_allclose(np.sqrt((np.asarray(kept) ** 2).sum((0, 1, 2))), np.ones(6), rtol=1e-5)


def test_wrong_settings_say_so():
    with pytest.raises(SettingError) as error:
        constraints.MinMaxNorm(2.0, 1.0)
    assert str(error.value) == "MinMaxNorm: min_value is at most max_value; got 2.0 and 1.0."
