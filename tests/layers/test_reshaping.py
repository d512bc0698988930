"""Layers that move and map entries: what they refuse, and functions as layers."""
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError, ShapeError, UnknownLayerError
from chainrule.layers import Dense, Lambda, Permute, RepeatVector, Reshape
from chainrule.models import load_model

X = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")


def scaled(x, factor=2.0):
    return factor * x


def test_a_named_function_is_kept_by_its_name(tmp_path):
    model = cr.Sequential([cr.Input((3,)), Lambda(scaled, arguments={"factor": 3.0}), Dense(2)])
    model.save(tmp_path / "model.chain")
    again = load_model(tmp_path / "model.chain", custom_objects={"scaled": scaled})
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert repr(again.layers[0].layer) == "Lambda(scaled)"
    with pytest.raises(UnknownLayerError, match="'scaled'"):
        load_model(tmp_path / "model.chain")


def test_a_lambda_works_and_cannot_be_kept(tmp_path):
    model = cr.Sequential([cr.Input((3,)), Lambda(lambda x: x**2), Dense(1)])
    model.compile("adam", "mse")
    model.fit(X, X[:, :1], verbose=0)
    with pytest.raises(SettingError) as error:
        model.save(tmp_path / "model.chain")
    assert str(error.value) == (
        "A Lambda layer that holds a lambda cannot be kept in a file: files hold data and names, never code, and a "
        "lambda has no name. Write a layer, class Mine(Layer) with `def call(self, x)`, or a named function, and hand "
        "it back with load_model(path, custom_objects={'Mine': Mine}).")
    assert not (tmp_path / "model.chain").exists()


def test_a_lambda_of_several_inputs():
    inputs = [cr.Input((3,)), cr.Input((3,))]
    model = cr.Model(inputs, Lambda(lambda pair: pair[0] * pair[1], output_shape=(3,))(inputs))
    np.testing.assert_allclose(model.predict([X, X]), X * X, rtol=1e-6)


@pytest.mark.parametrize("make, error, message", [
    (lambda: Permute((0, 1)), SettingError, "Permute: `dims` holds each of the axes 1 to 2 once; got (0, 1)."),
    (lambda: Permute((2, 1))(cr.Input((3,))), ShapeError,
     "Permute(2, 1) takes 3 axes, the batch and 2 more; got (None, 3)."),
    (lambda: RepeatVector(2.5), SettingError, "RepeatVector: `n` must be a positive integer; got 2.5."),
    (lambda: RepeatVector(2)(cr.Input((3, 4))), ShapeError,
     "RepeatVector takes rows of features, (batch, features); got (None, 3, 4). Put a Flatten layer before it."),
    (lambda: Lambda("relu"), SettingError, "Lambda: `function` is a function on arrays; got 'relu'."),
    (lambda: Lambda(scaled, output_shape=(4,))(cr.Input((3,))), ShapeError,
     "Lambda: the function returned rows of shape (3,); `output_shape` says (4,)."),
    (lambda: Reshape((-1, -1)), SettingError,
     "Reshape: `target_shape` must hold positive integers, and -1 at most once; got (-1, -1)."),
])
def test_what_is_refused(make, error, message):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == message
