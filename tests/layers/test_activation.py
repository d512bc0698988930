"""Activation layers: their corners, and what they refuse."""
import jax
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError, ShapeError
from chainrule.layers import Activation, Dense, LeakyReLU, PReLU, ReLU, RReLU, Softmax


def test_relu_of_infinities():
    x = np.array([[-np.inf, np.inf, -1.0, 0.0]], "float32")
    np.testing.assert_array_equal(ReLU()(x), [[0.0, np.inf, 0.0, 0.0]])
    assert not np.signbit(ReLU()(x)).any()
    np.testing.assert_array_equal(ReLU(max_value=6)(x), [[0.0, 6.0, 0.0, 0.0]])
    assert jax.grad(lambda x: ReLU(negative_slope=0.1)(x).sum())(np.array([[np.inf, -2.0]], "float32")).tolist() == [
        [1.0, np.float32(0.1)]]


def test_slopes_of_rrelu_are_within_their_range_and_end_with_training():
    x = -np.ones((40, 50), "float32")
    y = np.asarray(RReLU(0.2, 0.4)(x, training=True, key=jax.random.key(0)))
    assert y.min() >= -0.4 and y.max() <= -0.2 and abs(y.mean() + 0.3) < 0.01
    np.testing.assert_allclose(RReLU(0.2, 0.4)(x), -0.3, rtol=1e-6)


def test_a_seed_gives_a_layer_numbers_of_its_own():
    x, key = -np.ones((4, 5), "float32"), jax.random.key(0)
    draws = [np.asarray(RReLU(seed=seed)(x, training=True, key=key)) for seed in (None, 1, 1, 2)]
    np.testing.assert_array_equal(draws[1], draws[2])
    assert not np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[1], draws[3])


def test_softmax_of_masks():
    x = np.zeros((2, 3, 4), "float32")
    steps = np.array([[True, True, False], [False, False, False]])
    over_time = np.asarray(Softmax(axis=1)(x, mask=steps))
    np.testing.assert_array_equal(over_time[..., 0], [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    entries = np.asarray(Softmax()(x, mask=np.array([True, False, True, True])))
    np.testing.assert_allclose(entries[0, 0], [1 / 3, 0, 1 / 3, 1 / 3], rtol=1e-6)
    with pytest.raises(ShapeError) as error:
        Softmax()(x, mask=np.ones((5,), bool))
    assert str(error.value) == (
        "Softmax: a mask of shape (5,) does not fit an input of shape (2, 3, 4). Give a mask of that shape, or with "
        "axes of size 1.")


@pytest.mark.parametrize("last", [Softmax(), Activation("softmax"), Dense(3, activation="softmax")], ids=repr)
def test_a_softmax_that_is_sure_and_wrong_still_learns(last):
    model = cr.Sequential([cr.Input((3,)), last])
    model.compile(cr.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    x = np.array([[200.0, -200.0, 0.0]], "float32")
    if last.own_weights():
        model.set_weights([np.eye(3), np.zeros(3)])
    assert model.evaluate(x, np.array([1]), verbose=0) == pytest.approx(400.0)


def test_a_loss_that_does_not_suit_the_last_layer_is_warned_of():
    model = cr.Sequential([cr.Input((3,)), Dense(2), Softmax()])
    model.compile("sgd", cr.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.warns(UserWarning, match="^SparseCategoricalCrossentropy.from_logits=True. takes values before"):
        model.fit(np.ones((4, 3)), np.array([0, 1, 0, 1]), verbose=0)


@pytest.mark.parametrize("make, message", [
    (lambda: ReLU(max_value=-1.0), "ReLU: `max_value` must be a number of at least 0; got -1.0."),
    (lambda: ReLU(negative_slope=None), "ReLU: `negative_slope` must be a number of at least 0; got None."),
    (lambda: ReLU(threshold=-0.5), "ReLU: `threshold` must be a number of at least 0; got -0.5."),
    (lambda: LeakyReLU(-0.1), "LeakyReLU: `negative_slope` must be a number of at least 0; got -0.1."),
    (lambda: RReLU(0.5, 0.2),
     "RReLU: the slopes lie between `lower` and `upper`, 0 <= lower <= upper; got lower=0.5, upper=0.2."),
    (lambda: PReLU(shared_axes=[3])(np.ones((2, 3, 4))),
     "PReLU: `shared_axes` names axes of a row, from 1 to 2 or from -2 to -1 for inputs of shape (None, 3, 4) (0 is "
     "the batch); got 3."),
])
def test_settings_that_cannot_be(make, message):
    with pytest.raises(SettingError) as error:
        make()
    assert str(error.value) == message


def test_slopes_for_an_open_axis():
    with pytest.raises(ShapeError) as error:
        PReLU()(cr.Input((None, 4)))
    assert str(error.value) == (
        "PReLU has one slope for each entry of a row, and the sizes of (None, None, 4) are not all known. Give them in "
        "Input(shape=...), or share the slopes of the open axes: shared_axes=[1].")
    assert PReLU(shared_axes=[1])(cr.Input((None, 4))).shape == (None, None, 4)
