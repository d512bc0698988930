"""Layers of one's own, in all the ways that Keras's documentation and lectures write them."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr
from chainrule import activations
from chainrule.errors import SettingError
from chainrule.layers import Dense, Layer, check_layer
from chainrule.models import load_model

X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
Y = X[:, :1] * X[:, 1:2]


class BeforeSuper(Layer):
    def __init__(self, output_dim, **kwargs):
        self.output_dim = output_dim
        super(BeforeSuper, self).__init__(**kwargs)  # noqa: UP008 (as lectures have it)

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[1], self.output_dim), initializer="uniform",
                                      trainable=True)
        super().build(input_shape)

    def call(self, x, mask=None):
        return jnp.dot(x, self.kernel)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.output_dim)


class WeightsInAList(Layer):
    def __init__(self, output_dim, **kwargs):
        super().__init__(**kwargs)
        self.output_dim = output_dim
        self.dense = Dense(output_dim)

    def build(self, input_shape):
        self.kernels = [self.add_weight((input_shape[-1], self.output_dim), "uniform") for _ in range(2)]
        self.built = True

    def call(self, x, training=None):
        return self.dense(x) + sum(x @ kernel for kernel in self.kernels)

    def get_config(self):
        config = super().get_config()
        config.update({"output_dim": self.output_dim})
        return config


class WeightInInit(Layer):
    def __init__(self, size=6, **kwargs):
        super().__init__(**kwargs)
        self.scale = self.add_weight(shape=(size,), initializer="ones", name="scale")

    def call(self, x):
        return x * self.scale


class Counts(Layer):
    spread: float = 0.1

    def build(self, input_shape):
        self.count = self.add_weight((), "zeros", dtype="int32", trainable=False)

    def call(self, x, key, training):
        if not training:
            return x
        self.count = self.count + 1
        return x + self.spread * jax.random.normal(key, x.shape, x.dtype)


class FunctionAsSetting(Layer):
    def __init__(self, units=4, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.activation = units, activations.get(activation or "linear")

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units))
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b", regularizer="l2")

    def call(self, inputs, **kwargs):
        return self.activation(inputs @ self.w + self.b)


class AddsLoss(Layer):
    def call(self, x):
        self.add_loss(jnp.mean(x**2))
        return x


class BuildsItsSublayer(Layer):
    def build(self, input_shape):
        self.dense = Dense(3)
        self.dense.build(input_shape)

    def call(self, x):
        return self.dense(x)


class TwoArguments(Layer):
    def build(self, first, second):
        self.w = self.add_weight((first[-1], second[-1]))

    def call(self, first, second):
        return first @ self.w + second


class ListOfInputs(Layer):
    def build(self, input_shape):
        self.w = self.add_weight((input_shape[0][-1], input_shape[1][-1]))

    def call(self, inputs):
        first, second = inputs
        return [first @ self.w + second, second]


CUSTOM = {cls.__name__: cls for cls in (
    BeforeSuper, WeightsInAList, WeightInInit, Counts, FunctionAsSetting, AddsLoss, BuildsItsSublayer, TwoArguments,
    ListOfInputs)}
MAKERS = [
    lambda: BeforeSuper(4), lambda: BeforeSuper(output_dim=4, input_shape=(6,)), lambda: WeightsInAList(4),
    lambda: WeightInInit(), lambda: Counts(), lambda: FunctionAsSetting(3, "relu"), lambda: AddsLoss(),
    lambda: BuildsItsSublayer()]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: repr(make()))
@pytest.mark.parametrize("with_shape", [True, False], ids=["shape given", "shape from data"])
def test_it_trains_and_is_kept(make, with_shape, tmp_path):
    model = cr.Sequential([*([cr.Input((6,))] * with_shape), make(), Dense(1)])
    model.compile("adam", "mse")
    model.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    model.save(tmp_path / "model.chain")
    again = load_model(tmp_path / "model.chain", custom_objects=CUSTOM)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: repr(make()))
def test_it_keeps_its_promises(make):
    report = check_layer(make(), (6,))
    assert report.passed, str(report)


def test_state_assigned_in_call_is_counted_by_steps():
    model = cr.Sequential([cr.Input((6,)), Counts(), Dense(1)])
    model.compile("adam", "mse")
    model.fit(X, Y, epochs=3, batch_size=16, verbose=0)
    assert model.get_layer("counts").get_weights() == [9]


def test_an_added_loss_is_reported():
    model = cr.Sequential([cr.Input((6,)), AddsLoss(), Dense(1)])
    model.compile("adam", "mse")
    expected = np.mean((model.predict(X) - Y) ** 2) + np.mean(X**2)
    assert model.evaluate(X, Y, batch_size=40, verbose=0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("call", [lambda x, z: TwoArguments()(x, z), lambda x, z: ListOfInputs()([x, z])[0]],
                         ids=["two arguments", "a list"])
def test_several_inputs(call, tmp_path):
    x, z = cr.Input((6,)), cr.Input((3,))
    model = cr.Model([x, z], Dense(1)(call(x, z)))
    model.compile("adam", "mse")
    model.fit([X, X[:, :3]], Y, verbose=0)
    model.save(tmp_path / "model.chain")
    again = load_model(tmp_path / "model.chain", custom_objects=CUSTOM)
    np.testing.assert_array_equal(again.predict([X, X[:, :3]]), model.predict([X, X[:, :3]]))


def test_an_assignment_of_what_is_not_state():
    class Remembers(Layer):
        def call(self, x):
            self.last = x
            return x

    with pytest.raises(SettingError) as error:
        Remembers()(cr.Input((3,)))
    assert str(error.value) == (
        "`call` of the layer Remembers assigns self.last. A layer computes without changing itself: only state may be "
        "assigned, declared in `build` by add_weight(..., trainable=False).")


def test_building_can_be_tried_again():
    class Picky(Layer):
        def build(self, input_shape):
            self.w = self.add_weight((input_shape[-1],))
            if input_shape[-1] > 4:
                raise SettingError("too wide")

        def call(self, x):
            return x * self.w

    layer = Picky()
    with pytest.raises(SettingError, match="^too wide$"):
        layer(cr.Input((5,)))
    assert not layer.built
    assert layer(cr.Input((3,))).shape == (None, 3) and list(layer.own_weights()) == ["w"]
