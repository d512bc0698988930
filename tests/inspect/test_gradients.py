import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule.errors import NotFiniteError, NotReadyError, SettingError, ShapeError
from chainrule.inspect import GradientReport, WeightCheck, check_gradients
from chainrule.layers import Activation, BatchNormalization, Dense, Dropout, Layer
from chainrule.models import Input, Model, Sequential

draw = np.random.default_rng(0)
X = draw.normal(size=(12, 5)).astype("float32")
Y = draw.normal(size=(12, 2))
LABELS = draw.integers(0, 3, 12)


def network(activation="tanh", outputs=2, **settings):
    return Sequential([Input((5,)), Dense(4, activation=activation), Dense(outputs, **settings)])


class WrongSquare(Layer):
    """`x ** 2 * factor`, its derivative by x wrong by a factor, that by `factor` right."""

    by: float = 1.0

    def build(self, input_shape):
        self.factor = self.add_weight((input_shape[-1],), "ones")

    def call(self, x):
        @jax.custom_vjp
        def square(x):
            return x**2

        square.defvjp(lambda x: (x**2, x), lambda x, pulled: (2 * x * pulled * self.by,))
        return square(x) * self.factor


class Twice(Model):
    """A network with a `call` of its own that uses a layer twice."""

    def __init__(self):
        super().__init__()
        self.body = Dense(5, activation="tanh")
        self.head = Dense(2)

    def call(self, x):
        return self.head(self.body(self.body(x)))


@pytest.mark.parametrize(("model", "y", "loss"), [
    (network(), Y, "mse"),
    (network(outputs=3, activation="relu"), LABELS, "sparse_categorical_crossentropy"),
    (network(outputs=1), LABELS > 0, "binary_crossentropy"),
    (network(kernel_regularizer="l2", activity_regularizer="l2"), Y, "mse"),
    (Twice(), Y, "mse"),
    (network(), Y, lambda y_true, y_pred: jnp.mean(jnp.cosh(y_true - y_pred))),
])
def test_right_gradients_pass(model, y, loss):
    if loss.__class__ is str and "crossentropy" in loss:
        model.add(Activation("softmax" if "categorical" in loss else "sigmoid"))
    report = check_gradients(model, X, y, loss)
    assert report.max_relative_error < 1e-7
    assert len(report.weights) == 4


@pytest.mark.parametrize("training", [False, True])
def test_random_layers_and_batch_statistics(training):
    model = Sequential([Input((5,)), Dense(4), BatchNormalization(), Activation("tanh"), Dropout(0.4), Dense(2)])
    report = check_gradients(model, X, Y, "mse", training=training)
    assert report.max_relative_error < 1e-7
    assert [check.path for check in report.weights] == [
        "dense/kernel", "dense/bias", "batch_normalization/gamma", "batch_normalization/beta", "dense_1/kernel",
        "dense_1/bias"]
    if training:
        # The statistics of the batch take the bias out again: its gradient is zero, and no error is made of rounding.
        assert abs(report.weights[1].gradient) < 1e-12


def test_a_wrong_gradient_is_found_and_named():
    model = Sequential([Input((5,)), Dense(4), WrongSquare(1.5, name="wrong"), Dense(2)])
    report = check_gradients(model, X, Y, "mse")
    by_path = {check.path: check.max_relative_error for check in report.weights}
    assert by_path["dense/kernel"] > 0.3 and by_path["dense/bias"] > 0.3
    assert max(by_path[path] for path in ("wrong/factor", "dense_1/kernel", "dense_1/bias")) < 1e-7
    assert report.worst.path.startswith("dense/") and report.max_relative_error == report.worst.max_relative_error
    assert report.worst.gradient == pytest.approx(1.5 * report.worst.difference, rel=1e-6)
    assert check_gradients(Sequential([Input((5,)), Dense(4), WrongSquare(), Dense(2)]), X, Y, "mse") \
        .max_relative_error < 1e-7


def test_a_wrong_gradient_that_is_zero_is_found():
    model = Sequential([Input((5,)), Dense(4), WrongSquare(0.0), Dense(2)])
    assert check_gradients(model, X, Y, "mse").weights[0].max_relative_error == 1


def test_zero_gradients_are_right():
    model = network(kernel_initializer="zeros")
    first, *_ = check_gradients(model, X, np.zeros((12, 2)), "mse").weights
    assert (first.max_relative_error, first.gradient, first.difference) == (0, 0, 0)


def test_nothing_else_changes():
    model = network()
    before = model.get_weights()
    check_gradients(model, X, Y, "mse")
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    assert jnp.zeros(()).dtype == "float32" and not jax.config.jax_enable_x64


def test_weights_are_those_of_the_model_or_made_from_the_seed():
    model = network()
    check_gradients(model, X, Y, "mse", seed=3)
    again = network()
    again.variables(seed=3)
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), again.get_weights(), strict=True))
    assert check_gradients(model, X, Y, "mse", seed=4).loss == check_gradients(again, X, Y, "mse", seed=5).loss


def test_large_arrays_are_sampled_by_seed():
    model = Sequential([Input((40,)), Dense(20, activation="tanh"), Dense(2)])
    x = draw.normal(size=(4, 40))
    reports = [check_gradients(model, x, Y[:4], "mse", entries=7, seed=seed) for seed in (0, 0, 1)]
    assert [check.entries for check in reports[0].weights] == [7, 7, 7, 2]
    assert reports[0] == reports[1] != reports[2]
    assert max(report.max_relative_error for report in reports) < 1e-7


def test_several_outputs_and_the_loss_of_compile():
    inputs = Input((5,), name="table")
    body = Dense(4, activation="tanh")(inputs)
    model = Model(inputs, {"mean": Dense(2)(body), "kind": Dense(3, activation="softmax")(body)})
    y = {"mean": Y, "kind": LABELS}
    losses = {"mean": "mse", "kind": "sparse_categorical_crossentropy"}
    report = check_gradients(model, {"table": X}, y, losses)
    assert report.max_relative_error < 1e-7 and len(report.weights) == 6
    model.compile(loss=losses, loss_weights={"mean": 10.0})
    assert check_gradients(model, X, y).loss > report.loss
    # What has no loss is not in the gradient.
    assert check_gradients(model, X, {"mean": Y}, {"mean": "mse"}).loss < report.loss


def test_row_weights():
    model, weight = network(), np.arange(12.0)
    report = check_gradients(model, X, Y, "mse", sample_weight=weight)
    assert report.max_relative_error < 1e-7
    rows = ((model.predict(X) - Y) ** 2).mean(1)
    assert report.loss == pytest.approx((rows * weight).sum() / weight.sum(), rel=1e-5)


def test_frozen_layers_are_left_out():
    model = network()
    model.layers[0].trainable = False
    assert [check.path for check in check_gradients(model, X, Y, "mse").weights] == ["dense_1/kernel", "dense_1/bias"]


def test_kinks_of_relu_are_rare():
    for seed in range(3):
        assert check_gradients(network("relu"), X, Y, "mse", seed=seed).max_relative_error < 1e-6


def test_the_table():
    checks = (WeightCheck("dense/kernel", (8, 32), 200, 3.456e-10, (7, 5), 0.2548565, 0.2548565),
              WeightCheck("dense/bias", (32,), 32, 0.5, (0,), -2.0, -1.0))
    assert str(GradientReport(1.0, checks)) == (
        "Weights       Shape    Checked  Largest error  at           Gradient     Difference\n"
        "───────────────────────────────────────────────────────────────────────────────────\n"
        "dense/kernel  (8, 32)      200        3.5e-10  [7, 5]   2.548565e-01   2.548565e-01\n"
        "dense/bias    (32,)         32        5.0e-01  [0]     -2.000000e+00  -1.000000e+00\n"
        "───────────────────────────────────────────────────────────────────────────────────\n"
        "Largest relative error 5.0e-01, at dense/bias[0]")


@pytest.mark.parametrize(("arguments", "kind", "message"), [
    ((Dense(3), X, Y, "mse"), SettingError,
     "check_gradients takes a Model or a Sequential; got Dense(units=3) (Dense)."),
    ((network(), X, Y), NotReadyError,
     "check_gradients without a loss needs a loss and an optimiser: call model.compile(optimizer='adam', loss=...) "
     "first."),
    ((network(), X, None, "mse"), SettingError,
     "There is no loss to differentiate. Give one and its targets: check_gradients(model, x, y, loss='mse')."),
    ((Sequential([Input((5,)), Activation("relu")]), X, X, "mse"), SettingError,
     "The model has no trained weights, so there is no gradient to check."),
    ((network(), X[:, :4], Y, "mse"), ShapeError,
     "The input of the model has shape (12, 4); expected (None, 5). Axis 1 holds 4 instead of 5."),
    ((network(), 1e200 * X.astype("float64"), Y, lambda y_true, y_pred: jnp.exp(1e3 + y_pred)), NotFiniteError,
     "The loss is inf at these weights, so there is no gradient to check. Look at the data and at the outputs: "
     "inspect.activations(model, x)."),
])
def test_what_cannot_be_checked_is_said(arguments, kind, message):
    with pytest.raises(kind) as error:
        check_gradients(*arguments)
    assert str(error.value) == message


@pytest.mark.parametrize(("options", "message"), [
    ({"step": 0}, "step is how far a weight is moved, a number between 0 and 1; got 0."),
    ({"step": "small"}, "step is how far a weight is moved, a number between 0 and 1; got 'small'."),
    ({"entries": 0}, "entries must be an integer of at least 1; got 0."),
])
def test_bad_options_are_said(options, message):
    with pytest.raises(SettingError) as error:
        check_gradients(network(), X, Y, "mse", **options)
    assert str(error.value) == message


def test_a_gradient_that_is_not_finite_is_an_error_of_that_weight():
    model = Sequential([Input((5,)), Dense(4), Activation(lambda x: jnp.sqrt(jnp.maximum(x - x, 0))), Dense(2)])
    worst = check_gradients(model, X, Y, "mse").worst
    assert worst.path == "dense/kernel" and worst.max_relative_error == np.inf and np.isnan(worst.gradient)
