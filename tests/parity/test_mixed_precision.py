"""Layers under `mixed_bfloat16` beside Keras's with the same weights: alike up to the rounding of both."""
import keras
import numpy as np
import pytest

from chainrule import layers
from chainrule.models import Input, Sequential

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

LAYERS = {
    "dense": ((20,), lambda of: of.Dense(7, activation="tanh")),
    "conv": ((9, 8, 3), lambda of: of.Conv2D(5, 3, padding="same", activation="relu")),
    "layer_norm": ((20,), lambda of: of.LayerNormalization()),
    "batch_norm": ((20,), lambda of: of.BatchNormalization()),
    "lstm": ((6, 4), lambda of: of.LSTM(5, return_sequences=True)),
    "gru": ((6, 4), lambda of: of.GRU(5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_as_in_keras(name):
    shape, make = LAYERS[name]
    draw = np.random.default_rng(0)
    x = draw.normal(size=(4, *shape)).astype("float32")
    theirs = keras.Sequential([keras.Input(shape), _mixed(make)])
    ours = Sequential([Input(shape), make(layers)], dtype="mixed_bfloat16")
    exact = Sequential([Input(shape), make(layers)])
    values = [np.abs(draw.normal(size=array.shape)) / 2 for array in ours.get_weights()]
    for model in (theirs, ours, exact):
        model.set_weights(values)
    reference = exact.predict(x)
    scale = np.abs(reference).max()
    found = keras.ops.convert_to_numpy(keras.ops.cast(theirs(x), "float32"))
    assert 0 < np.abs(ours.predict(x) - reference).max() < 0.02 * scale
    assert np.abs(ours.predict(x) - found).max() < 0.03 * scale
    assert ours.get_weights()[0].dtype == np.float32


def _mixed(make):
    """Keras's layer under its own policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return make(keras.layers)
    finally:
        keras.config.set_dtype_policy(before)
