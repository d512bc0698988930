import numpy as np
import pytest

from chainrule.errors import SettingError, UnknownNameError
from chainrule.inspect import activations
from chainrule.layers import Activation, Dense, Dropout, Flatten, Layer
from chainrule.models import Input, Model, Sequential

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


class Block(Layer):
    def __init__(self, units, **settings):
        super().__init__(**settings)
        self.inner = Dense(units, activation="relu")

    def call(self, x):
        return self.inner(x) + 1


def test_outputs_and_what_goes_into_the_activation():
    model = Sequential([
        Input((2, 2)), Flatten(), Dense(5, activation="relu"), Dropout(0.5), Dense(3), Activation("tanh")])
    x = X.reshape(6, 2, 2)
    outputs, before = activations(model, x), activations(model, x, of="preactivations")
    assert list(outputs) == list(before) == ["flatten", "dense", "dropout", "dense_1", "activation"]
    kernel, bias, *_ = model.get_weights()
    np.testing.assert_array_equal(outputs["flatten"], X)
    np.testing.assert_allclose(before["dense"], X @ kernel + bias, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(outputs["dense"], np.maximum(before["dense"], 0))
    np.testing.assert_array_equal(outputs["dropout"], outputs["dense"])
    for name in ("flatten", "dropout"):
        np.testing.assert_array_equal(before[name], outputs[name])
    np.testing.assert_array_equal(before["activation"], outputs["dense_1"])
    np.testing.assert_allclose(outputs["activation"], model.predict(x), rtol=1e-5, atol=1e-6)
    assert all(isinstance(array, np.ndarray) and array.dtype == "float32" and array.flags.writeable
               for array in outputs.values())


def test_weights_of_a_model_that_has_none_come_from_the_seed():
    network = lambda: Sequential([Input((4,)), Dense(3)])
    first, second = network(), network()
    second.variables(seed=7)
    np.testing.assert_array_equal(activations(first, X, seed=7)["dense"], activations(second, X)["dense"])


def test_some_of_the_layers():
    model = Sequential([Input((4,)), Dense(5, activation="relu", name="a"), Dense(5, name="b"), Dense(3, name="c")])
    everything = activations(model, X)
    some = activations(model, X, layers=["c", "a"])
    assert list(some) == ["a", "c"] and list(activations(model, X, layers="b")) == ["b"]
    np.testing.assert_array_equal(some["c"], everything["c"])
    before = activations(model, X, layers="a", of="preactivations")["a"]
    np.testing.assert_array_equal(np.maximum(before, 0), everything["a"])
    with pytest.raises(UnknownNameError) as error:
        activations(model, X, layers=["a", "d"])
    assert str(error.value) == "The model has no layer 'd'. Known names: 'a', 'b', 'c'."


def test_nested_and_shared_layers():
    encoder = Sequential([Input((4,)), Dense(4, activation="tanh"), Block(4)], name="encoder")
    inputs = Input((4,))
    shared = Dense(4, activation="relu", name="shared")
    model = Model(inputs, shared(shared(encoder(inputs))))
    outputs, before = activations(model, X), activations(model, X, of="preactivations")
    assert list(outputs) == list(before) == [
        "encoder/dense", "encoder/block/inner", "encoder/block", "shared", "shared:2"]
    np.testing.assert_array_equal(outputs["encoder/block"], outputs["encoder/block/inner"] + 1)
    np.testing.assert_array_equal(outputs["shared:2"], np.maximum(before["shared:2"], 0))
    np.testing.assert_allclose(outputs["shared:2"], model.predict(X), rtol=1e-5, atol=1e-6)
    assert not np.array_equal(before["shared"], before["shared:2"])


def test_a_model_is_built_by_what_it_meets_and_keeps_its_precision():
    model = Sequential([Dense(3)], dtype="float64")
    assert activations(model, X)["dense"].dtype == "float64"


def test_what_it_does_not_take_is_said():
    with pytest.raises(SettingError) as error:
        activations(Dense(3), X)
    assert str(error.value) == "activations takes a Model or a Sequential; got Dense(units=3) (Dense)."
    with pytest.raises(UnknownNameError) as error:
        activations(Sequential([Input((4,)), Dense(3)]), X, of="preactivation")
    assert str(error.value) == "There are no activations of 'preactivation'. Did you mean 'preactivations'?"
