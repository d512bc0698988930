"""Formulas of small networks: held against the engine, as formulas and as the NumPy source made of them."""
import importlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy

from chainrule import layers, losses, symbolic
from chainrule.errors import DataError, NotReadyError, SettingError, ShapeError
from chainrule.layers import ELU, Activation, Dense, Dropout, LeakyReLU, ReLU, Softmax
from chainrule.layers.binding import apply, penalty
from chainrule.models import Input, Model, Sequential
from chainrule.precision import precision
from chainrule.regularizers import L1, L1L2, L2

RNG = np.random.default_rng(0)
ACTIVATIONS = ["linear", "step", "sigmoid", "log_sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "softsign",
               "silu", "exponential", "softmax", "log_softmax"]
ONE_HOT = np.eye(3)[1]


def network(*body, inputs: int = 2, **settings):
    return Sequential([Input((inputs,)), *body], dtype="float64", **settings)


def random_weights(model, seed: int = 1):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda array: rng.normal(size=array.shape), model.variables()[0])


def engine(model, loss, x, y, weights):
    """The loss and the gradients of one example, from the engine."""

    def value(weights):
        output, call = apply(model, weights, {}, (x[None],), dtype="float64")
        terms = [penalty(model, weights), *call.losses]
        return losses.get(loss)(np.asarray(y)[None], output) + sum(term for term in terms if term is not None)

    with precision("float64"):
        return jax.tree.map(np.asarray, jax.value_and_grad(value)(weights))


def check(model, loss, y, engine_loss=None, x=None):
    """Numbers and NumPy source of the formulas beside the engine's."""
    x = RNG.normal(size=model.inputs[0].shape[1]) if x is None else x
    weights = random_weights(model)
    expected = engine(model, engine_loss or loss, x, y, weights)
    derivation = symbolic.derive(model, loss)
    space = {}
    exec(derivation.numpy_code(), space)
    for found in (derivation.evaluate(x, y, weights), space["loss_and_gradients"](x, y, weights)):
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-9, atol=1e-12)
        assert jax.tree.structure(found[1]) == jax.tree.structure(expected[1])
        for own, other in zip(jax.tree.leaves(found[1]), jax.tree.leaves(expected[1]), strict=True):
            assert own.shape == other.shape
            np.testing.assert_allclose(own, other, rtol=1e-7, atol=1e-9)
    return derivation


def test_the_gradient_of_a_line():
    line = Sequential([Input((1,)), Dense(1, name="line")])
    derivation = symbolic.derive(line, loss="mse")
    x0, w0, w1, y0 = (derivation.symbols[name] for name in ("x0", "line/bias", "line/kernel", "y0"))
    assert list(derivation.symbols) == ["x0", "y0", "line/kernel", "line/bias"]
    assert derivation.output == w1 * x0 + w0
    assert derivation.loss == (w1 * x0 + w0 - y0) ** 2
    assert sympy.simplify(derivation.gradients["line/bias"] - 2 * (w0 + w1 * x0 - y0)) == 0
    assert sympy.simplify(derivation.gradients["line/kernel"] - 2 * x0 * (w0 + w1 * x0 - y0)) == 0
    assert str(derivation) == (
        "loss = (line_bias + line_kernel*x0 - y0)**2\n"
        "d loss / d line/kernel = 2*x0*(line_bias + line_kernel*x0 - y0)\n"
        "d loss / d line/bias = 2*(line_bias + line_kernel*x0 - y0)")
    assert repr(derivation) == "<Derivation: loss and gradients by 2 weights>"


def test_logistic_regression_reads_as_in_textbooks():
    derivation = symbolic.derive(network(Dense(1, "sigmoid", name="unit")), "binary_crossentropy")
    x0, y0, w, b = (derivation.symbols[name] for name in ("x0", "y0", "unit/kernel[0,0]", "unit/bias"))
    z = w * x0 + derivation.symbols["unit/kernel[1,0]"] * derivation.symbols["x1"] + b
    assert sympy.simplify(derivation.gradients["unit/bias"] - (1 / (1 + sympy.exp(-z)) - y0)) == 0
    assert derivation.gradients["unit/kernel"].shape == (2, 1)
    assert derivation.gradients["unit/kernel"][0, 0] == x0 * derivation.gradients["unit/bias"]


def test_softmax_regression_reads_as_in_textbooks():
    derivation = symbolic.derive(
        network(Dense(3, "softmax", use_bias=False, name="s"), inputs=1), "sparse_categorical_crossentropy")
    assert derivation.output.shape == (3, 1)
    x0, y0 = derivation.symbols["x0"], derivation.symbols["y0"]
    for k in range(3):
        assert derivation.gradients["s/kernel"][0, k] == x0 * (derivation.output[k] - sympy.KroneckerDelta(k, y0))


def log_of_sum(log_sum_exp):
    return lambda y, p: (log_sum_exp(p) - y.ravel()[0]) ** 2


@pytest.mark.parametrize(("body", "loss", "y", "engine_loss"), [
    ([Dense(2)], losses.BinaryCrossentropy(from_logits=True), [0.0, 1.0], None),
    ([Dense(2)], losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1), [0.0, 1.0], None),
    ([Dense(3)], losses.SparseCategoricalCrossentropy(from_logits=True), 1, None),
    ([Dense(3)], losses.CategoricalCrossentropy(from_logits=True), ONE_HOT, None),
    ([Dense(3, "sigmoid"), Dense(2, "softmax")], "mse", [0.2, 0.4], None),
    ([Dense(3, "softplus"), Dense(2, "log_softmax")], "mse", [0.2, 0.4], None),
    ([Dense(3, "silu"), Dense(2, "log_sigmoid")], "mse", [0.2, 0.4], None),
    ([Dense(3, "elu"), Dense(2, "tanh")], "mse", [0.2, 0.4], None),
    ([Dense(2)], log_of_sum(lambda p: sympy.log(2 * sympy.exp(p[0]) + 3 * sympy.exp(p[1]))), [0.2, 0.4],
     log_of_sum(lambda p: jnp.logaddexp(np.log(2) + p[:, 0], np.log(3) + p[:, 1]))),
])
@pytest.mark.parametrize("size", [30.0, 1e3, 1e5])
def test_large_scores_do_not_overflow(body, loss, y, engine_loss, size):
    for x in (np.array([size, -size / 3]), np.array([-size, size / 7])):
        with np.errstate(all="raise", under="ignore"):
            check(network(*body), loss, y, engine_loss, x)


@pytest.mark.parametrize(("activation", "loss"), [
    ("sigmoid", losses.BinaryCrossentropy), ("softmax", losses.SparseCategoricalCrossentropy),
    ("softmax", losses.CategoricalCrossentropy)])
def test_probabilities_are_computed_from_scores(activation, loss):
    code = symbolic.derive(network(Dense(3, activation)), loss()).numpy_code()
    assert code == symbolic.derive(network(Dense(3)), loss(from_logits=True)).numpy_code()


def test_how_large_scores_are_computed():
    derivation = symbolic.derive(network(Dense(1, "sigmoid", use_bias=False, name="unit"), inputs=1), "bce")
    assert str(derivation) == (
        "loss = -unit_kernel*x0*y0 + log(exp(unit_kernel*x0) + 1)\n"
        "d loss / d unit/kernel = x0*(-y0 + 1/(1 + exp(-unit_kernel*x0)))")
    code = derivation.numpy_code()
    assert "loss = -t0*y0 + np.logaddexp(0, t0)\n" in code and "x0*(-y0 + np.exp(-np.logaddexp(0, -t0)))" in code
    assert derivation.evaluate([1000.0], 0.0, {"unit": {"kernel": [[1.0]]}})[0] == 1000


def test_gradients_are_those_of_sympy():
    model = network(Dense(2, "tanh", kernel_regularizer="l2"), Dense(1, "softplus"))
    derivation = symbolic.derive(model, "mse")
    values = {symbol: RNG.normal() for symbol in derivation.symbols.values()}
    for path, gradient in derivation.gradients.items():
        for name, symbol in derivation.symbols.items():
            if name.startswith(f"{path}["):
                index = eval(name[name.index("["):])
                entry = gradient[tuple(index) if len(index) == 2 else index[0]]
                other = sympy.diff(derivation.loss, symbol)
                assert abs(entry.evalf(subs=values) - other.evalf(subs=values)) < 1e-10


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    check(network(Dense(3, activation), Dense(2)), "mse", [0.3, -0.4])


@pytest.mark.parametrize("layer", [
    Activation("tanh"), ReLU(), ReLU(negative_slope=0.1), ReLU(0.5), ReLU(0.8, 0.25, 0.3), LeakyReLU(), ELU(0.7),
    Softmax()])
def test_activation_layers(layer):
    for x in (np.array([2.0, -1.0]), np.array([-0.2, 0.1]), np.array([-1.5, 1.0])):
        check(network(Dense(4), layer, Dense(1)), "mse", [0.3], x=x)


@pytest.mark.parametrize(("loss", "activation", "y"), [
    ("mse", None, [0.1, 0.2, 0.3]), ("mae", None, [0.1, 0.2, 0.3]),
    ("binary_crossentropy", "sigmoid", [0.0, 1.0, 0.3]),
    (losses.BinaryCrossentropy(label_smoothing=0.1), "sigmoid", [0.0, 1.0, 1.0]),
    (losses.BinaryCrossentropy(from_logits=True), None, [0.0, 1.0, 1.0]),
    ("binary_crossentropy", "softmax", [0.0, 1.0, 1.0]),
    ("categorical_crossentropy", "softmax", ONE_HOT),
    ("categorical_crossentropy", "softmax", [0.2, 0.2, 0.3]),
    (losses.CategoricalCrossentropy(label_smoothing=0.2), "softmax", ONE_HOT),
    (losses.CategoricalCrossentropy(from_logits=True), None, ONE_HOT),
    ("categorical_crossentropy", "exponential", ONE_HOT),
    ("sparse_categorical_crossentropy", "softmax", 2),
    (losses.SparseCategoricalCrossentropy(from_logits=True), None, 0),
    (losses.SparseCategoricalCrossentropy(ignore_class=1), "softmax", 0),
    ("sparse_categorical_crossentropy", "sigmoid", 1),
    ("hinge", None, [-1.0, 1.0, 0.0]), ("squared_hinge", None, [-1.0, 1.0, 0.0]),
    ("perceptron", None, [-1.0, 1.0, 0.0]),
], ids=str)
def test_losses(loss, activation, y):
    check(network(Dense(3, activation)), loss, y)


def test_a_score_of_zero_counts_as_wrong_for_the_perceptron():
    derivation = symbolic.derive(network(Dense(1, name="unit")), "perceptron")
    zeros = {"unit": {"kernel": np.zeros((2, 1)), "bias": np.zeros(1)}}
    loss, gradients = derivation.evaluate([1.0, 2.0], 1.0, zeros)
    assert loss == 0
    assert gradients["unit"]["kernel"].tolist() == [[-1.0], [-2.0]]


def test_a_function_as_loss():
    function = lambda y, p: ((y - p) ** 4).mean(axis=-1)
    derivation = check(network(Dense(2)), function, [0.1, 0.2])
    assert derivation.loss.is_polynomial()
    with_sympy = lambda y, p: sympy.log(sympy.cosh(p[0] - y[0]))
    check(network(Dense(1)), with_sympy, [0.5], engine_loss="log_cosh")


def test_regularizers():
    model = network(
        Dense(2, "tanh", kernel_regularizer=L1(0.3), bias_regularizer=L2(0.2)),
        Dense(1, kernel_regularizer=L1L2(0.1, 0.7), activity_regularizer=L2(0.5)))
    check(model, "mse", [0.4])


def test_absent_weights_have_no_gradient_of_their_own():
    model = network(Dense(1, kernel_regularizer=L1(0.3), name="unit"))
    zeros = {"unit": {"kernel": np.zeros((2, 1)), "bias": np.zeros(1)}}
    derivation = symbolic.derive(model, "mae")
    assert derivation.evaluate([1.0, 1.0], 0.0, zeros)[1]["unit"]["kernel"].tolist() == [[0.0], [0.0]]


def test_frozen_weights_have_symbols_but_no_gradients():
    frozen = Dense(2, "tanh", kernel_regularizer="l2", trainable=False, name="frozen")
    derivation = symbolic.derive(network(frozen, Dense(1, name="head")), "mse")
    assert list(derivation.gradients) == ["head/kernel", "head/bias"]
    assert "frozen/kernel[1,0]" in derivation.symbols
    weights = random_weights(network(frozen, Dense(1, name="head")))
    assert list(derivation.evaluate([1.0, 2.0], 0.0, weights)[1]) == ["head"]


def test_shared_layers_and_nested_networks():
    shared, x = Dense(2, "tanh", name="shared"), Input((2,))
    inner = Sequential([Input((2,)), Dense(2, "sigmoid")], name="inner")
    model = Model(x, Dense(1, name="last")(shared(inner(shared(x)))), dtype="float64")
    derivation = check(model, "mse", [0.3])
    assert list(derivation.gradients) == ["shared/kernel", "shared/bias", "inner/dense/kernel", "inner/dense/bias",
                                          "last/kernel", "last/bias"]


def test_names_that_would_collide_stay_apart():
    x = Input((1,))
    inner = Sequential([Input((1,)), Dense(1, name="b c")], name="a")
    derivation = check(Model(x, Dense(1, name="a_b_c")(inner(x)), dtype="float64"), "mse", [0.3])
    assert str(derivation.symbols["a/b c/kernel"]) == "a_b_c_kernel"
    assert str(derivation.symbols["a_b_c/kernel"]) == "a_b_c_kernel_"
    check(network(Dense(1, name="1st"), Dense(1, name='it"s \\ x')), "mse", [0.3])


def test_saturated_units_keep_exact_numbers():
    derivation = symbolic.derive(network(Dense(1, "sigmoid", use_bias=False, name="u"), inputs=1), "bce")
    assert derivation.evaluate([1.0], 0.0, {"u": {"kernel": [[2000.0]]}}) == (2000.0, {"u": {"kernel": [[1.0]]}})
    loss, gradients = derivation.evaluate([1.0], 1.0, {"u": {"kernel": [[-2000.0]]}})
    assert (loss, gradients["u"]["kernel"].item()) == (2000.0, -1.0)


def test_numpy_source_is_readable():
    model = Sequential([Input((2,)), Dense(2, "relu", name="hidden"), Dense(1, name="out")])
    assert symbolic.derive(model, "hinge").numpy_code() == '''\
import numpy as np


def loss_and_gradients(x, y, weights):
    x0, x1 = np.ravel(x)
    y0, = np.ravel(y)
    y0 = -1 if y0 == 0 else y0
    (
        hidden_kernel_0_0, hidden_kernel_0_1, hidden_kernel_1_0, hidden_kernel_1_1,
    ) = np.ravel(weights["hidden"]["kernel"])
    hidden_bias_0, hidden_bias_1 = np.ravel(weights["hidden"]["bias"])
    out_kernel_0_0, out_kernel_1_0 = np.ravel(weights["out"]["kernel"])
    out_bias, = np.ravel(weights["out"]["bias"])

    t0 = hidden_bias_0 + hidden_kernel_0_0*x0 + hidden_kernel_1_0*x1
    t1 = max(0, t0)
    t2 = hidden_bias_1 + hidden_kernel_0_1*x0 + hidden_kernel_1_1*x1
    t3 = max(0, t2)
    t4 = -y0*(out_bias + out_kernel_0_0*t1 + out_kernel_1_0*t3) + 1
    t5 = y0*np.heaviside(t4, 0)
    t6 = out_kernel_0_0*t5*np.heaviside(t0, 0)
    t7 = out_kernel_1_0*t5*np.heaviside(t2, 0)
    loss = max(0, t4)
    gradients = {
        "hidden": {
            "kernel": np.array([[-t6*x0, -t7*x0], [-t6*x1, -t7*x1]]),
            "bias": np.array([-t6, -t7]),
        },
        "out": {
            "kernel": np.array([[-t1*t5], [-t3*t5]]),
            "bias": np.array([-t5]),
        },
    }
    return loss, gradients
'''


def test_latex():
    derivation = symbolic.derive(network(Dense(1, "relu", use_bias=False, name="my_unit"), inputs=1), "mse")
    w = r"w_{\mathrm{my\_unit}}"
    assert derivation.latex() == "\n".join([
        r"\begin{aligned}",
        rf"L &= \left(- y_{{0}} + \max\left(0, {w} x_{{0}}\right)\right)^{{2}} \\",
        rf"\frac{{\partial L}}{{\partial {w}}} &= 2 x_{{0}} \left(- y_{{0}} + \max\left(0, {w} x_{{0}}\right)\right) "
        rf"\mathbf{{1}}_{{{w} x_{{0}} > 0}}",
        r"\end{aligned}"])
    assert derivation._repr_latex_() == f"$$\n{derivation.latex()}\n$$"
    assert r"t_{0} &= " in derivation.latex(abbreviate=True)


def test_long_formulas_are_printed_with_what_they_share_written_once():
    derivation = symbolic.derive(network(Dense(3, "tanh"), Dense(1)), "mse")
    assert str(derivation).startswith("t0 = tanh(dense_bias_0")
    assert derivation.latex() == derivation.latex(abbreviate=True) != derivation.latex(abbreviate=False)


def refusal(kind, function, *arguments) -> str:
    with pytest.raises(kind) as error:
        function(*arguments)
    return str(error.value)


def test_what_is_refused_and_why():
    derive = symbolic.derive
    assert refusal(SettingError, derive, "line") == "derive takes a Model or a Sequential; got 'line' (str)."
    assert refusal(NotReadyError, derive, Sequential([Dense(1)])) == (
        "derive needs the model's weights, and their shapes are not known yet. Give the first layer an input shape "
        "(Input(...) or input_shape=...), or fit or call the model on data first.")
    assert refusal(SettingError, derive, network(Dense(100), inputs=3)) == (
        "The network has 400 weights, and derive writes out at most 200: longer formulas cannot be read. Derive one of "
        "the same kind with fewer inputs and units, or check this one's gradients with "
        "inspect.check_gradients(model, x, y).")
    assert refusal(SettingError, derive, network(*[Dense(3, "tanh") for _ in range(7)])) == (
        "The formula of an output of layer 'dense_5' would have about 1,699 symbols, since each layer repeats those "
        "before it; derive writes out at most 1,000. Derive a network of fewer layers or units.")
    assert refusal(SettingError, derive, network(Dense(2), Dropout(0.5), Dense(1))) == (
        "There is no formula for layer 'dropout' (Dropout). symbolic.derive knows networks of these layers: "
        "Activation, Dense, ELU, LeakyReLU, ReLU, Softmax. Derive a model of those alone, and use "
        "inspect.check_gradients for any other.")
    assert refusal(SettingError, derive, network(Dense(1, "gelu", name="unit"))) == (
        "The activation 'gelu' of layer 'unit' (Dense) is not known as a formula. Known activations: elu, exponential, "
        "leaky_relu, linear, log_sigmoid, log_softmax, relu, sigmoid, silu, softmax, softplus, softsign, step, tanh.")
    assert refusal(SettingError, derive, network(Dense(1)), "poisson") == (
        "The loss Poisson is not known as a formula. Known losses: BinaryCrossentropy, CategoricalCrossentropy, "
        "FunctionLoss, Hinge, MeanAbsoluteError, MeanSquaredError, Perceptron, SparseCategoricalCrossentropy, "
        "SquaredHinge; or hand in a function of sympy expressions.")
    assert refusal(SettingError, derive, network(Dense(2)), lambda y, p: (y - p) ** 2) == (
        "The loss '<lambda>' did not give one formula. It is called on two arrays of sympy symbols, target and output, "
        "each of shape (2,), and must return one expression made by operators and functions of sympy: "
        "lambda y, p: ((y - p) ** 2).mean(axis=-1).")
    assert refusal(SettingError, derive, network(Dense(1, kernel_regularizer="orthogonal"))) == (
        "The regularizer OrthogonalRegularizer is not known as a formula. Known regularizers: L1, L1L2, L2.")
    x = Input((2,))
    assert refusal(SettingError, derive, Model(x, [Dense(1)(x), Dense(1)(x)])) == (
        "derive takes a network with one input and one output; this one has 1 and 2. Derive a Model of one of its "
        "outputs.")
    assert refusal(SettingError, derive, Sequential([Input((2, 3)), Dense(1)])) == (
        "derive takes a network of rows of known length, (batch, features); this one takes (None, 2, 3). Give it "
        "Input((features,)).")
    assert refusal(SettingError, derive, Model(x, layers.Add(name="sum")([x, x]))) == (
        "There is no formula for a call of layer 'sum' (Add) on 2 inputs. symbolic.derive knows layers with one input "
        "each.")


def test_numbers_that_do_not_fit():
    derivation = symbolic.derive(network(Dense(3, "softmax", name="s")), "sparse_categorical_crossentropy")
    weights = random_weights(network(Dense(3, name="s")))
    x = np.ones(2)
    assert refusal(ShapeError, derivation.evaluate, np.ones(3), 1, weights) == (
        "x belongs to one example and has the shape (2,); got (3,).")
    assert refusal(ShapeError, derivation.evaluate, x, [1, 2], weights) == (
        "y belongs to one example and has the shape (1,); got (2,).")
    assert refusal(DataError, derivation.evaluate, x, 3, weights) == (
        "y is the label of a class, an integer from 0 to 2; got 3.")
    assert refusal(NotReadyError, derivation.evaluate, x, 1, {"s": {"kernel": np.ones((2, 3))}}) == (
        "weights has no array for s/bias. Hand in those of model.variables()[0].")
    wrong = {"s": {"kernel": np.ones((3, 2)), "bias": np.ones(3)}}
    assert refusal(ShapeError, derivation.evaluate, x, 1, wrong) == (
        "weights s/kernel belongs to one example and has the shape (2, 3); got (3, 2).")


def test_without_sympy_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("chainrule.symbolic")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sympy", None)
    assert refusal(ImportError, importlib.import_module, "chainrule.symbolic") == (
        "chainrule.symbolic writes formulas with sympy, which is not installed: pip install 'chainrule[symbols]'.")
