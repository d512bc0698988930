"""What every layer has: settings, weights that one can look at and replace, state, and options of its call."""
import inspect

import numpy as np
import pytest

from chainrule import losses
from chainrule.errors import NotReadyError, SettingError
from chainrule.layers import BatchNormalization, Dense, Dropout, Lambda, ReLU
from chainrule.layers.base import Layer
from chainrule.models import Input, Model, Sequential, load_model

ROWS = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")


class Counter(Layer):
    """Counts its training calls in the first of two numbers kept in a list."""

    def build(self, input_shape):
        self.counts = [self.add_weight((), "zeros", trainable=False) for _ in range(2)]

    def call(self, x, training):
        if training:
            self.counts[0] = self.counts[0] + 1
        return x


class Unheld(Layer):
    def call(self, x):
        return Dense(3)(x)


def test_the_signature_of_a_layer_is_that_of_its_settings():
    assert list(inspect.signature(ReLU).parameters)[:3] == ["max_value", "negative_slope", "threshold"]
    assert inspect.signature(losses.Huber).parameters["delta"].default == 1.0


def test_weights_can_be_looked_at_and_replaced_on_the_layer():
    dense, normalisation = Dense(3), BatchNormalization()
    model = Sequential([Input((4,)), dense, normalisation])
    dense.set_weights([np.ones((4, 3)), np.zeros(3)])
    assert model.get_weights()[0].sum() == 12
    assert model.get_layer("dense").get_weights()[0].sum() == 12
    assert [array.shape for array in dense.weights] == [(4, 3), (3,)]
    assert (dense.count_params(), normalisation.count_params(), model.count_params()) == (15, 12, 27)
    assert (len(normalisation.trainable_weights), len(normalisation.non_trainable_weights)) == (2, 2)
    dense.trainable = False
    assert (len(model.trainable_weights), len(model.non_trainable_weights), len(model.weights)) == (2, 4, 6)


def test_the_weights_of_a_model_have_its_precision():
    model = Sequential([Input((4,)), Dense(3)], dtype="float64")
    assert {str(array.dtype) for array in model.weights} == {"float64"}


def test_weights_before_the_first_input():
    with pytest.raises(NotReadyError) as error:
        Dense(3).get_weights()
    assert str(error.value) == (
        "The layer Dense has no weights yet: it is built by the first input that it meets. Call it, or the model that "
        "it is in, on data first.")


def test_a_layer_may_call_a_weight_weights():
    class Own(Layer):
        def build(self, input_shape):
            self.weights = self.add_weight((4, 2), "ones")

        def call(self, x):
            return x @ self.weights

    np.testing.assert_allclose(Own()(ROWS), ROWS @ np.ones((4, 2)), rtol=1e-5)


def test_every_layer_takes_a_penalty_on_its_output():
    model = Sequential([Input((4,)), ReLU(activity_regularizer="l2")])
    model.compile("sgd", "mse")
    y = np.maximum(ROWS, 0)
    assert model.evaluate(ROWS, y, verbose=0) == pytest.approx(0.01 * (y**2).sum() / 20, rel=1e-5)


def test_an_activation_set_later_is_used_and_saved(tmp_path):
    layer = Dense(2, kernel_initializer="ones")
    model = Sequential([Input((4,)), layer])
    layer.activation = "relu"
    assert (np.asarray(model.predict(ROWS)) >= 0).all()
    model.save(tmp_path / "model.chain")
    np.testing.assert_array_equal(load_model(tmp_path / "model.chain").predict(ROWS), model.predict(ROWS))


def test_state_in_a_list_is_kept():
    model = Sequential([Input((4,)), Counter(name="counter"), Dense(1)])
    model.compile("sgd", "mse")
    model.fit(ROWS, ROWS[:, :1], batch_size=5, epochs=2, verbose=0)
    assert [float(count) for count in model.variables()[1]["counter"].values()] == [8, 0]


def test_weights_in_a_list_are_not_assigned():
    class Wrong(Counter):
        def build(self, input_shape):
            self.counts = [self.add_weight((), "zeros", trainable=index == 0) for index in range(2)]

    with pytest.raises(SettingError) as error:
        Wrong()(ROWS, training=True)
    assert str(error.value) == (
        "`call` of the layer Wrong assigns the entry 0 of a list. A layer computes without changing itself: only state "
        "may be assigned, declared in `build` by add_weight(..., trainable=False).")


@pytest.mark.parametrize("make", [Unheld, lambda: (lambda inner: Lambda(lambda x: inner(x)))(Dense(3)),
                                  lambda: (lambda inner: Lambda(lambda x: inner(x)))(Dropout(0.5))])
def test_a_layer_that_nobody_holds_is_an_error(make):
    with pytest.raises(SettingError, match=r"is called inside a layer or function that does not hold it") as error:
        Sequential([Input((4,)), make()])
    if make is Unheld:
        assert str(error.value) == (
            "The layer Dense is called inside a layer or function that does not hold it, so its weights could not be "
            "found and trained. Keep it in an attribute, made in `__init__` or `build`: self.inner = Dense(...), and "
            "call self.inner.")


def body():
    return Sequential([Input((4,)), Dense(3), BatchNormalization(name="normal"), Dropout(0.9)], name="body")


def test_training_given_in_a_call_holds_for_all_inside(tmp_path):
    inner, x = body(), Input((4,))
    model = Model(x, Dense(1)(inner(x, training=False)))
    model.compile("sgd", "mse")
    model.fit(ROWS, ROWS[:, :1], verbose=0)
    np.testing.assert_array_equal(inner.get_layer("normal").get_weights()[2], np.zeros(3))
    model.save(tmp_path / "model.chain")
    again = load_model(tmp_path / "model.chain")
    again.fit(ROWS, ROWS[:, :1], verbose=0)
    np.testing.assert_array_equal(again.get_layer("body").layer.get_layer("normal").get_weights()[2], np.zeros(3))


def test_training_is_handed_on_by_hand_as_by_itself():
    class ByHand(Model):
        def __init__(self):
            super().__init__()
            self.body, self.head = body(), Dense(1)

        def call(self, x, training=False):
            return self.head(self.body(x, training=training), training=training)

    model = ByHand()
    model.compile("sgd", "mse")
    model.fit(ROWS, ROWS[:, :1], verbose=0)
    assert (model.body.get_layer("normal").get_weights()[2] != 0).any()
    np.testing.assert_array_equal(model.predict(ROWS), model.predict(ROWS))
