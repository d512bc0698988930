"""Layers of noise and penalties: what stays the same in the mean, what is shared, what is refused."""
import jax
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError, ShapeError
from chainrule.layers import (
    ActivityRegularization,
    AlphaDropout,
    Dense,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)

KEY = jax.random.key(0)


@pytest.mark.parametrize("layer", [Dropout(0.4), AlphaDropout(0.4), GaussianNoise(0.4), GaussianDropout(0.4),
                                   SpatialDropout1D(0.4)], ids=repr)
def test_nothing_happens_outside_training(layer):
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype("float32")
    np.testing.assert_array_equal(layer(x), x)
    assert not np.array_equal(layer(x, training=True, key=KEY), x)


@pytest.mark.parametrize("layer, places", [(SpatialDropout1D(0.4), 1), (SpatialDropout2D(0.4), 2),
                                           (SpatialDropout3D(0.4), 3)], ids=repr)
def test_whole_channels_are_dropped(layer, places):
    y = np.asarray(layer(np.ones((20, *[3] * places, 30)), training=True, key=KEY)).reshape(20, -1, 30)
    assert (y == y[:, :1]).all() and set(np.unique(y)) == {0.0, np.float32(1 / 0.6)}
    assert 0.5 < (y > 0).mean() < 0.7


def test_alpha_dropout_keeps_mean_and_variance():
    x = np.random.default_rng(0).normal(size=(400, 500)).astype("float32")
    y = np.asarray(AlphaDropout(0.3)(x, training=True, key=KEY))
    assert abs(y.mean()) < 0.01 and abs(y.var() - 1) < 0.01


def test_a_rate_of_zero_changes_nothing():
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    for layer in (Dropout(0.0), AlphaDropout(0.0), GaussianDropout(0.0), GaussianNoise(0.0)):
        np.testing.assert_allclose(layer(x, training=True, key=KEY), x, rtol=1e-6)


def test_the_penalty_on_activities_counts_each_row_once():
    x = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")
    model = cr.Sequential([cr.Input((3,)), Dense(2), ActivityRegularization(l1=0.1, l2=0.2), Dense(1)])
    model.compile("sgd", "mse")
    hidden = np.asarray(cr.Model(model.inputs, model.layers[1].output).predict(x))
    expected = np.mean(model.predict(x) ** 2) + (0.1 * np.abs(hidden).sum() + 0.2 * (hidden**2).sum()) / 7
    for batch_size in (7, 3):  # the last batch of three has one row
        assert model.evaluate(x, np.zeros(7), batch_size=batch_size, verbose=0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("make, message", [
    (lambda: Dropout(1.0), "Dropout: `rate` is the share of inputs to drop, at least 0 and below 1; got 1.0."),
    (lambda: SpatialDropout2D(-0.1),
     "SpatialDropout2D: `rate` is the share of inputs to drop, at least 0 and below 1; got -0.1."),
    (lambda: GaussianNoise("0.1"), "GaussianNoise: `stddev` must be a number of at least 0; got '0.1'."),
    (lambda: ActivityRegularization(l2=-1), "ActivityRegularization: `l2` must be a number of at least 0; got -1."),
    (lambda: SpatialDropout1D(0.5)(cr.Input((4,))),
     "SpatialDropout1D takes 3 axes, (batch, place, channels); got (None, 4). Use Dropout(rate, noise_shape=...) for "
     "other shapes."),
    (lambda: Dropout(0.5, noise_shape=(None, 2))(np.ones((4, 3)), training=True, key=KEY),
     "Dropout: `noise_shape` has one entry for each axis of the input, None for its size or 1 to share one draw; got "
     "(None, 2) for an input of shape (4, 3)."),
])
def test_what_is_refused(make, message):
    with pytest.raises((SettingError, ShapeError)) as error:
        make()
    assert str(error.value) == message
