"""Layers of several inputs, and operators on symbols."""
import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError, ShapeError, UnknownNameError
from chainrule.layers import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Operation, Subtract
from chainrule.layers.binding import Call
from chainrule.models import load_model

draw = np.random.default_rng(0)
X = draw.uniform(0.5, 2.0, size=(4, 3)).astype("float32")
Y = draw.uniform(0.5, 2.0, size=(4, 3)).astype("float32")
FACTORS = np.array([1.0, 2.0, 3.0])

FORMULAS = [
    lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / y, lambda x, y: x**y,
    lambda x, y: 2 + x, lambda x, y: x + 2, lambda x, y: 2 - x, lambda x, y: x - 2, lambda x, y: 2 * x,
    lambda x, y: x * 2, lambda x, y: 2 / x, lambda x, y: x / 2, lambda x, y: 2**x, lambda x, y: x**2,
    lambda x, y: -x, lambda x, y: abs(-x), lambda x, y: x[:, 0], lambda x, y: x[:, 1:], lambda x, y: x[..., None],
    lambda x, y: x[:, None, ::-1] * y[:, None], lambda x, y: FACTORS * x - x * FACTORS**2,
    lambda x, y: x[:, None, :] @ y[:, :, None], lambda x, y: x @ np.ones((3, 2)), lambda x, y: np.float32(0.5) * x,
    lambda x, y: jnp.asarray(FACTORS, "float32") - x, lambda x, y: np.multiply(x, y),
    lambda x, y: (x + 3 * y - 1) / (1 + abs(x - y)) ** 2,
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_operators_on_symbols_are_those_of_arrays(formula, tmp_path):
    inputs = [cr.Input((3,)), cr.Input((3,))]
    model = cr.Model(inputs, formula(*inputs))
    expected = np.asarray(formula(X, Y))
    assert model.outputs[0].shape == (None, *expected.shape[1:])
    result = model.predict([X, Y])
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    model.save(tmp_path / "model.chain")
    np.testing.assert_array_equal(load_model(tmp_path / "model.chain").predict([X, Y]), result)


def test_operators_go_by_their_names():
    inputs = cr.Input((3,))
    model = cr.Model(inputs, (inputs * 2 + inputs) * 3)
    assert [layer.name for layer in model.layers] == ["input_layer", "multiply", "add", "multiply_1"]


def test_operators_on_integers():
    inputs = cr.Input((2,), dtype="int32")
    model = cr.Model(inputs, [inputs * 0.5, inputs + np.array([0.5, 1.5], "float32"), inputs * 2])
    half, moved, twice = model.predict(np.array([[1, 2]]))
    assert half.tolist() == [[0.5, 1.0]] and moved.tolist() == [[1.5, 3.5]] and twice.tolist() == [[2, 4]]


def test_axes_of_size_1_are_repeated():
    gate, image = cr.Input((1, 1, 2)), cr.Input((5, 4, 2))
    assert Multiply()([gate, image]).shape == (None, 5, 4, 2)
    assert Add()([cr.Input((None, 2)), cr.Input((1, 2))]).shape == (None, None, 2)


def masks(layer, x, given):
    call = Call(layer, {}, {})
    for array, mask in zip(x, given, strict=True):
        call.set_mask(array, mask)
    return call.mask_of(call.run(call.copy(layer), (x,), {}))


def test_masks():
    x = [jnp.ones((1, 3, 2)), jnp.ones((1, 3, 2)) * 2]
    first, second = jnp.array([[True, False, False]]), jnp.array([[True, True, False]])
    assert masks(Add(), x, [first, second]).tolist() == [[True, True, False]]
    assert masks(Add(), x, [first, None]) is None
    assert masks(Concatenate(), x, [first, second]).tolist() == [[True, True, False]]
    assert masks(Concatenate(axis=1), x, [first, second]).tolist() == [[True, False, False, True, True, False]]
    assert masks(Concatenate(axis=1), x, [first, None]).tolist() == [[True, False, False, True, True, True]]
    assert masks(Dot(axes=2), x, [first, second]) is None
    assert masks(Add(), x[:1], [first]) is masks(Concatenate(), x[:1], [first]) is first


@pytest.mark.parametrize("layer", [Add(), Multiply(), Average(), Maximum(), Minimum(), Concatenate()])
def test_one_input_stays_as_it_is(layer):
    np.testing.assert_array_equal(layer([X]), X)
    inputs = cr.Input((3,))
    np.testing.assert_array_equal(cr.Model(inputs, layer([inputs])).predict(X), X)


def symbols(*shapes):
    return [cr.Input(shape) for shape in shapes]


@pytest.mark.parametrize("make, error, message", [
    (lambda: Add()(cr.Input((3,))), ShapeError,
     "Add takes a list of inputs; got one, of shape (None, 3). Write Add(...)([x1, x2])."),
    (lambda: Subtract()(symbols((3,), (3,), (3,))), ShapeError, "Subtract takes a list of 2 inputs; got 3."),
    (lambda: Subtract()(symbols((3,))), ShapeError, "Subtract takes a list of 2 inputs; got 1."),
    (lambda: Maximum()(symbols((3,), (3,), (4,))), ShapeError,
     "Maximum takes inputs of one shape: input 0 has (None, 3), input 2 has (None, 4). Sizes must agree or be 1; a "
     "Dense or Reshape layer before it makes them so."),
    (lambda: Add()(symbols((3,), (2, 3))), ShapeError,
     "Add takes inputs of one shape: input 0 has (None, 3), input 1 has (None, 2, 3). Sizes must agree or be 1; a "
     "Dense or Reshape layer before it makes them so."),
    (lambda: cr.Input((3,)) * cr.Input((2,)), ShapeError,
     "Operation('multiply') takes inputs of one shape: input 0 has (None, 3), input 1 has (None, 2). Sizes must agree "
     "or be 1; a Dense or Reshape layer before it makes them so."),
    (lambda: Concatenate()(symbols((3, 2), (4, 2))), ShapeError,
     "Concatenate(axis=-1) joins inputs that agree on all axes but one: input 1 has the shape (None, 4, 2), input 0 "
     "has (None, 3, 2)."),
    (lambda: Concatenate(axis=0)(symbols((3,), (3,))), SettingError,
     "Concatenate: `axis` names axes of a row, from 1 to 1 or from -1 to -1 for inputs of shape (None, 3) (0 is the "
     "batch); got 0."),
    (lambda: Dot(axes=(1, 2))(symbols((3, 2), (4, 2))), ShapeError,
     "Dot(axes=(1, 2)) sums over axes of one size: input 0 has the shape (None, 3, 2), 3 on axis 1; input 1 has (None, "
     "4, 2), 2 on axis 2."),
    (lambda: Dot(axes=(1, 2, 3))(symbols((3, 2), (4, 2))), SettingError,
     "Dot: `axes` is one axis for both inputs, or one for each; got (1, 2, 3)."),
    (lambda: Operation("plus"), UnknownNameError,
     "There is no operator 'plus'. Known names: 'absolute', 'add', 'divide', 'getitem', 'matmul', 'multiply', "
     "'negative', 'power', 'subtract'."),
    (lambda: cr.Input((3,))[0], SettingError,
     "An index on a symbol leaves the batch axis whole: write x[:, 0], not x[0]. Rows are picked where the data are."),
    (lambda: cr.Input((3,))[..., 0, 0], SettingError,
     "An index on a symbol leaves the batch axis whole: write x[:, 0], not x[0]. Rows are picked where the data are."),
    (lambda: cr.Input((3,))[:, 7], ShapeError,
     "A symbol of shape (None, 3) cannot be indexed so: index 7 is out of bounds for axis 1 with size 3."),
    (lambda: cr.Input((3,))[:, [0, 1]], SettingError,
     "A symbol is indexed by integers, slices, None and ...; got [0, 1] (list). Use a Lambda layer for other ways."),
    (lambda: cr.Input((3,)) @ cr.Input((3,)), ShapeError,
     "Operation('matmul') multiplies the matrices of each row, (batch, ..., a, b) and (batch, ..., b, c); got (None, "
     "3) and (None, 3). Use a Dot layer for vectors."),
    (lambda: cr.Input((3,)) + "1", TypeError, "unsupported operand type(s) for +: 'Symbol' and 'str'"),
    (lambda: np.sin(cr.Input((3,))), TypeError,
     "A symbol stands for an array that is not there yet, so NumPy and JAX cannot use it. Use layers on it "
     "(layers.Lambda for a function of your own), or call the finished model on arrays."),
])
def test_what_is_refused(make, error, message):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == message
