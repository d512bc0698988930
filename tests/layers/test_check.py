"""The check of a layer of one's own finds what is wrong, and only that."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule.errors import SettingError
from chainrule.layers import (
    Add,
    BatchNormalization,
    CategoryEncoding,
    Dense,
    Discretization,
    Dropout,
    Layer,
    Residual,
    check_layer,
)


class Scale(Layer):
    def __init__(self, start=1.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape):
        self.factor = self.add_weight((input_shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.factor


class Draws(Scale):
    def call(self, x):
        return x * np.random.default_rng().normal()


class StopsGradient(Scale):
    def call(self, x):
        return x * jax.lax.stop_gradient(self.factor)


class SumsRows(Scale):
    def call(self, x):
        return x.sum(0)


class Widens(Scale):
    def call(self, x):
        return x * np.ones(3)


class SaysAnotherShape(Scale):
    def compute_output_shape(self, input_shape):
        return (input_shape[0], 7)


class UsesNumPy(Scale):
    def call(self, x):
        return np.sin(x)


class SaysAnotherSetting(Scale):
    def get_config(self):
        return {"start": self.start + 1}


class HoldsALambda(Scale):
    def __init__(self, function=None, **kwargs):
        super().__init__(**kwargs)
        self.function = function


class NeedsTheBatch(Scale):
    def build(self, input_shape):
        self.factor = self.add_weight(input_shape)


@pytest.mark.parametrize("layer, shape", [
    (Scale(), (3,)), (Dense(2), (4, 3)), (BatchNormalization(), (3,)), (Dropout(0.5), (3,)), (Add(), [(3,), (3,)]),
    (Discretization([0.0]), (3,)), (Residual([Scale(), Dense(3)]), (3,)), (Scale(), (None, 3)),
], ids=repr)
def test_layers_that_keep_their_promises(layer, shape):
    report = check_layer(layer, shape)
    assert report.passed and bool(report) and report.failed == [], str(report)


def test_integers():
    assert check_layer(CategoryEncoding(3), (2,), dtype="int32").passed


@pytest.mark.parametrize("layer, promise, detail", [
    (Draws(), "same input, same output",
     "two calls differ outside training. Draw random numbers from the `key` that `call` may take."),
    (SumsRows(), "declared shape is computed shape",
     "declared (3,), computed (3,) for 4 rows: `call` must keep the batch axis first and whole."),
    (Widens(), "precision is kept",
     "float32 comes out as float64. Constants of `call` must be plain numbers, or arrays of x.dtype."),
    (SaysAnotherShape(), "declared shape is computed shape",
     "compute_output_shape says (None, 7), `call` gives (None, 3). It may be left out: shapes are found by "
     "themselves."),
    (UsesNumPy(), "it builds",
     "TracerArrayConversionError: The numpy.ndarray conversion method __array__() was called on traced array with "
     "shape float32[7907,3]. `build` takes the input's shape, batch axis included (None); `call` takes arrays and uses "
     "jnp."),
    (NeedsTheBatch(), "it builds",
     "ShapeError: The layer NeedsTheBatch declares a weight of shape (None, 3), but None is not a size. An axis of the "
     "input that it depends on is open: give it in Input(shape=...)."),
], ids=lambda value: type(value).__name__ if isinstance(value, Layer) else "")
def test_what_is_broken_is_named_with_its_fix(layer, promise, detail):
    report = check_layer(layer, (3,))
    assert not report.passed
    [finding] = [finding for finding in report.failed if finding.promise == promise]
    assert finding.detail == detail


def test_gradients_that_are_wrong():
    [finding] = check_layer(StopsGradient(), (3,)).failed
    assert finding.promise == "gradient is that of differences"
    assert finding.detail.startswith("along factor the derivative is 0, differences say ")
    assert finding.detail.endswith(". Look for rounding, stop_gradient or a custom derivative in `call`.")


def test_settings_that_cannot_be_kept():
    [finding] = check_layer(HoldsALambda(lambda x: x), (3,)).failed
    assert finding.promise == "settings make an equal layer" and "be kept in a file" in finding.detail
    [finding] = check_layer(SaysAnotherSetting(), (3,)).failed
    assert finding.detail == (
        "the layer made of its settings has other settings. Keep each argument of __init__ as given.")


def test_the_report_prints():
    text = str(check_layer(UsesNumPy(), (3,)))
    lines = text.splitlines()
    assert lines[0] == "UsesNumPy()" and lines[1].startswith("it builds                         BROKEN   Tracer")
    assert lines[2:] == [f"{promise.ljust(32)}  skipped" for promise in (
        "declared shape is computed shape", "precision is kept", "same input, same output",
        "gradient is that of differences", "settings make an equal layer")]


def test_weights_stay_as_they_are():
    layer = Dense(2)
    before = layer(jnp.ones((1, 3)))
    check_layer(layer, (3,))
    np.testing.assert_array_equal(layer(jnp.ones((1, 3))), before)


def test_what_is_no_layer():
    with pytest.raises(SettingError) as error:
        check_layer(Dense, (3,))
    assert str(error.value) == (
        f"check_layer takes a layer and the shape of a row: check_layer(Dense(3), (4,)); got {Dense!r}.")
