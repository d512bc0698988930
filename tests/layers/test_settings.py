"""The settings that every layer takes, and what is said to layers that are written as for Keras."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError
from chainrule.layers import BatchNormalization, Dense, Dropout, Layer
from chainrule.models import load_model

X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


@pytest.mark.parametrize("layer", [Dense(3, input_dim=4), Dropout(0.5, input_dim=4), BatchNormalization(input_dim=4)],
                         ids=lambda layer: type(layer).__name__)
def test_input_dim_is_the_length_of_a_row(layer, tmp_path):
    model = cr.Sequential([layer])
    assert layer.input_shape == (4,) and model.built and model.inputs[0].shape == (None, 4)
    model.save(tmp_path / "model.chain")
    np.testing.assert_array_equal(load_model(tmp_path / "model.chain").predict(X), model.predict(X))


def test_input_dim_may_be_a_setting_of_ones_own():
    class Table(Layer):
        def __init__(self, input_dim, output_dim, **settings):
            super().__init__(**settings)
            self.input_dim, self.output_dim = input_dim, output_dim

        def build(self, input_shape):
            self.entries = self.add_weight((self.input_dim, self.output_dim))

        def call(self, x):
            return self.entries[x.astype(int)]

    layer = Table(input_dim=10, output_dim=2)
    assert layer.input_shape is None and layer(np.zeros((3, 1))).shape == (3, 1, 2)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Dense(3, batch_input_shape=(None, 4)),
     "Dense: batch_input_shape=(None, 4) is input_shape here, without the batch axis: input_shape=(4,)."),
    (lambda: Dense(3, batch_input_shape=None),
     "Dense: batch_input_shape=None is input_shape here, without the batch axis."),
    (lambda: Dense(3, input_dim=4, input_shape=(5,)),
     "Dense: input_dim=4 and input_shape=(5,) say the same in two ways. Leave one of them out."),
    (lambda: Dense(3, dtype="int32"),
     "Dense: `dtype` is the precision of the network, 'float32', 'float64' or 'mixed_bfloat16', which is set where the "
     "network is made: Model(..., dtype=...); got 'int32'. What data are converted to is said by Input(shape, "
     "dtype=...)."),
    (lambda: Dropout(0.5, dtype=jnp.bfloat16),
     "Dropout: `dtype` is the precision of the network, 'float32', 'float64' or 'mixed_bfloat16', which is set where "
     "the network is made: Model(..., dtype=...); got 'bfloat16'. What data are converted to is said by Input(shape, "
     "dtype=...)."),
    (lambda: cr.Sequential([cr.Input((4,)), Dense(3, dtype="float64", name="wide")]).predict(X),
     "Layer 'wide' (Dense) has dtype='float64' in a network of 'float32'. All layers have the precision of the "
     "network, set where it is made: Model(..., dtype='float64')."),
    (lambda: Dense(3, dtype=np.float64)(X),
     "The layer Dense has dtype='float64' in a network of 'float32'. All layers have the precision of the network, "
     "set where it is made: Model(..., dtype='float64')."),
])
def test_settings_that_are_refused(make, message):
    with pytest.raises(SettingError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize("dtype", [None, "float32", np.float32, "float64", np.dtype("float64")])
def test_a_layer_may_say_the_precision_of_its_network_again(dtype, tmp_path):
    model = cr.Sequential([Dense(3, input_shape=(4,), dtype=dtype)], dtype="float64")
    assert model.predict(X).dtype == "float64"
    model.save(tmp_path / "model.chain")
    np.testing.assert_array_equal(load_model(tmp_path / "model.chain").predict(X), model.predict(X))


def test_a_network_called_on_arrays_computes_in_its_precision():
    model = cr.Sequential([cr.Input((4,)), Dense(3)], dtype="float64")
    x = np.random.default_rng(0).normal(size=(5, 4))
    np.testing.assert_allclose(model(x), model.predict(x), rtol=1e-14)
    assert model.get_weights()[0].dtype == "float64"


# Layers as Keras has them.

class Counter(Layer):
    def build(self, input_shape):
        self.n = self.add_weight((), "zeros", trainable=False)

    def call(self, x):
        self.n.assign(self.n + 1)
        return x


class Noise(Layer):
    def call(self, x, key):
        return x + jax.random.normal(key, x.shape)


@pytest.mark.parametrize("use", [lambda layer: cr.Sequential([cr.Input((4,)), layer]), lambda layer: layer(X)],
                         ids=["symbol", "array"])
def test_assign_on_state(use):
    with pytest.raises(SettingError) as error:
        use(Counter(name="count"))
    assert str(error.value) == (
        "`call` of layer 'count' (Counter) calls `assign` on an array. State is assigned by its name: "
        "self.n = self.n + 1, after self.n = self.add_weight(..., trainable=False) in `build`.")


@pytest.mark.parametrize("use", [lambda model: model.predict(X), lambda model: model(X)], ids=["predict", "call"])
def test_a_draw_without_a_key(use):
    model = cr.Sequential([cr.Input((4,)), Noise(name="noise")])
    with pytest.raises(TypeError) as error:
        use(model)
    assert error.value.__notes__[1] == (
        "Its `call` draws from `key`, and there is none: outside of training none is given. Draw where key is not "
        "None, or hand one in: model.apply(weights, state, x, key=...).")
    assert model.apply({}, {}, X, key=jax.random.key(0))[0].shape == X.shape


def test_the_shape_of_a_weight_comes_first():
    class Old(Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight("kernel", (4, 3))

    with pytest.raises(SettingError) as error:
        Old(name="old")(X)
    assert str(error.value) == (
        "Layer 'old' (Old) calls add_weight('kernel', ...), but the shape comes first: "
        "add_weight(shape, initializer, name='kernel').")
