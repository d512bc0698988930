"""Shortcuts around layers."""
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError, ShapeError
from chainrule.layers import BatchNormalization, Dense, Dropout, Residual
from chainrule.models import load_model

X = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")


def test_input_and_output_are_added(tmp_path):
    model = cr.Sequential([cr.Input((4,)), Residual([Dense(6, activation="tanh"), Dense(4)])])
    first, first_bias, second, second_bias = model.get_weights()
    np.testing.assert_allclose(model.predict(X), X + np.tanh(X @ first + first_bias) @ second + second_bias,
                               rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "model.chain")
    np.testing.assert_array_equal(load_model(tmp_path / "model.chain").predict(X), model.predict(X))


def test_a_block_in_a_block_trains():
    inner = Residual([BatchNormalization(), Dropout(0.1), Dense(3)], shortcut=Dense(3, use_bias=False))
    model = cr.Sequential([cr.Input((4,)), Residual([inner, Dense(4)]), Dense(1)])
    assert model.count_params() == 16 + 15 + 12 + 16 + 5
    model.compile("adam", "mse")
    before = model.get_weights()
    model.fit(X, X[:, :1], epochs=2, verbose=0)
    assert all(not np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))


def test_shapes_that_do_not_fit():
    with pytest.raises(ShapeError) as error:
        Residual([Dense(3)])(cr.Input((4,)))
    assert str(error.value) == (
        "Residual adds what goes around the layers to what comes out of them: rows of shape (4,) and (3,) do not fit. "
        "Let the last layer keep the shape, or give a shortcut that changes it: Residual(layers, shortcut=Dense(3, "
        "use_bias=False)).")


def test_what_is_no_layer():
    with pytest.raises(SettingError) as error:
        Residual([Dense])
    assert str(error.value) == (f"Residual is made of layers; got {Dense!r}. Write it with parentheses: Dense(10).")
