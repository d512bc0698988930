"""Layers that normalise: what they make of their inputs, and what they refuse."""
import jax
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError, ShapeError
from chainrule.layers import GroupNormalization, LayerNormalization, RMSNormalization, UnitNormalization


def draw(*shape):
    return np.random.default_rng(0).normal(2.0, 3.0, size=shape).astype("float32")


def test_rows_have_mean_0_and_variance_1():
    y = np.asarray(LayerNormalization(epsilon=1e-9)(draw(5, 40)))
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(-1), 1, rtol=1e-4)
    grouped = np.asarray(GroupNormalization(2, epsilon=1e-9)(draw(3, 7, 6))).reshape(3, 7, 2, 3)
    np.testing.assert_allclose(grouped.mean((1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(grouped.var((1, 3)), 1, rtol=1e-4)


def test_one_group_is_layer_normalisation_over_all_axes():
    x = draw(3, 4, 6)
    np.testing.assert_allclose(GroupNormalization(1)(x), LayerNormalization(axis=(1, 2))(x), rtol=1e-4, atol=1e-5)


def test_lengths_are_1_and_zeros_stay_zeros():
    x = draw(3, 4)
    x[1] = 0
    y = np.asarray(UnitNormalization()(x))
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), [1, 0, 1], rtol=1e-6)
    slope = jax.grad(lambda x: UnitNormalization()(x).sum())(x)
    assert np.isfinite(slope).all()


def test_half_precision_is_normalised_in_single():
    x = (draw(4, 64) + 200).astype("bfloat16")
    y = np.asarray(LayerNormalization()(x), "float32")
    exact = np.asarray(x, "float32")
    exact = (exact - exact.mean(-1, keepdims=True)) / np.sqrt(exact.var(-1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(y, exact, atol=0.02)


@pytest.mark.parametrize("make, message", [
    (lambda: GroupNormalization(4)(cr.Input((6,))),
     "GroupNormalization cannot divide 6 channels into 4 equal groups. Set `groups` to one of [1, 2, 3, 6]."),
    (lambda: GroupNormalization(0),
     "GroupNormalization: `groups` must be a positive integer, or -1 for one a channel; got 0."),
    (lambda: LayerNormalization(axis=0)(cr.Input((6,))),
     "LayerNormalization: `axis` names axes of a row, from 1 to 1 or from -1 to -1 for inputs of shape (None, 6) (0 is "
     "the batch); got 0."),
    (lambda: RMSNormalization(axis=1)(cr.Input((None, 6))),
     "RMSNormalization needs the sizes of the axes 1; got (None, None, 6). Give them in Input(shape=...) or in the "
     "layer before."),
    (lambda: UnitNormalization(axis=2)(cr.Input((6,))),
     "UnitNormalization: `axis` names axes of a row, from 1 to 1 or from -1 to -1 for inputs of shape (None, 6) (0 is "
     "the batch); got 2."),
])
def test_what_is_refused(make, message):
    with pytest.raises((SettingError, ShapeError)) as error:
        make()
    assert str(error.value) == message
