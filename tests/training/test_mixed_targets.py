"""A layer that mixes rows says so, and the loss and the metrics are mixed by the same shares."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule.errors import SettingError
from chainrule.layers import Dense
from chainrule.layers.base import Layer
from chainrule.models import Input, Sequential
from chainrule.training.objective import Batch


class Mix(Layer):
    """Row i becomes share of itself and the rest of row i + shift, around the batch."""

    share: tuple
    shift: int = 1

    mixes_targets = True

    def call(self, x, training):
        if not training:
            return x
        partner = (jnp.arange(len(x)) + self.shift) % len(x)
        share = jnp.asarray(self.share, x.dtype)
        self._bound.mix_targets(partner, share)
        return share[:, None] * x + (1 - share)[:, None] * x[partner]


def objective(*mixes, **compiled):
    model = Sequential([Input((2,)), *mixes, Dense(3, activation="softmax", kernel_initializer="glorot_normal")])
    model.compile("sgd", **compiled)
    target = np.zeros(1, "int32") if "sparse" in compiled["loss"] else np.zeros((1, 3), "float32")
    return model, model._objective(np.zeros((1, 2), "float32"), [target])[0]


def batch(weights=None):
    draw = np.random.default_rng(0)
    weights = None if weights is None else jnp.asarray(weights)
    return Batch(jnp.asarray(draw.normal(size=(4, 2)).astype("float32")), (jnp.asarray([0, 1, 2, 1]),), (weights,),
                 (weights,), (jnp.asarray(1.0),))


def mixture(shares, shift, count=4):
    """The matrix that mixes rows."""
    matrix = np.zeros((count, count))
    for row, share in enumerate(shares):
        matrix[row, row] += share
        matrix[row, (row + shift) % count] += 1 - share
    return matrix


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5, 0.0]])
def test_the_loss_is_mixed_by_the_shares_through_two_layers(weights):
    first, second = (0.9, 0.5, 0.2, 1.0), (0.7, 0.1, 0.6, 0.3)
    model, measured = objective(Mix(first), Mix(second, shift=2), loss="sparse_categorical_crossentropy",
                                metrics=["accuracy"])
    arrays, data = model.variables(), batch(weights)
    value, (_, sums) = measured.measure(*arrays, data, measured.zeros(), training=True)

    matrix = mixture(second, 2) @ mixture(first, 1)
    kernel, bias = arrays[0]["dense"]["kernel"], arrays[0]["dense"]["bias"]
    probabilities = np.asarray(jax.nn.softmax(matrix @ np.asarray(data.x) @ kernel + bias))
    targets = np.eye(3)[np.asarray(data.y[0])]
    row_weights = np.ones(4) if weights is None else np.asarray(weights)
    held = matrix * row_weights  # what row i is held against, by row and target
    expected = -(held * (np.log(probabilities) @ targets.T)).sum() / 4
    assert float(value) == pytest.approx(expected, rel=1e-5)
    right = probabilities.argmax(1)[:, None] == np.asarray(data.y[0])
    accuracy = (held * right).sum() / held.sum()
    assert float(measured.results(sums)["accuracy"]) == pytest.approx(accuracy, rel=1e-5)


def test_nothing_is_mixed_outside_of_training():
    mixed, plain = (objective(*mixes, loss="sparse_categorical_crossentropy")
                    for mixes in ([Mix((0.1, 0.2, 0.3, 0.4))], []))
    arrays, data = plain[0].variables(), batch()
    values = [float(measured.measure(arrays[0], {}, data, measured.zeros())[0]) for _, measured in (mixed, plain)]
    assert values[0] == values[1]


def test_mixed_probabilities_give_what_mixed_one_hot_targets_give():
    shares = (0.9, 0.5, 0.2, 1.0)
    model, measured = objective(Mix(shares), loss="sparse_categorical_crossentropy")
    arrays, data = model.variables(), batch()
    value, _ = measured.measure(*arrays, data, measured.zeros(), training=True)
    _, one_hot = objective(loss="categorical_crossentropy")
    matrix = mixture(shares, 1)
    soft = data._replace(x=jnp.asarray(matrix @ np.asarray(data.x), "float32"),
                         y=(jnp.asarray(matrix @ np.eye(3)[np.asarray(data.y[0])], "float32"),))
    expected, _ = one_hot.measure(*arrays, soft, one_hot.zeros(), training=True)
    assert float(value) == pytest.approx(float(expected), rel=1e-5)


def test_a_layer_that_mixes_says_so():
    class Silent(Mix):
        mixes_targets = False

    model, measured = objective(Silent((0.9, 0.5, 0.2, 1.0)), loss="sparse_categorical_crossentropy")
    with pytest.raises(SettingError) as error:
        measured.measure(*model.variables(), batch(), measured.zeros(), training=True)
    assert str(error.value) == (
        "A layer calls mix_targets without saying so: write `mixes_targets = True` in its class.")
