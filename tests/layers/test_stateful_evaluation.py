"""A stateful layer goes on from batch to batch when a model is judged, as it does in training and prediction."""
import numpy as np
import pytest

import chainrule as cr
from chainrule import layers

ROWS, STEPS, BATCHES = 3, 4, 5


def streams(seed=0):
    """Long sequences, and the same cut into batches of windows: row i of a batch goes on in row i of the next."""
    whole = np.random.default_rng(seed).normal(size=(ROWS, BATCHES * STEPS, 2)).astype("float32")
    cut = whole.reshape(ROWS, BATCHES, STEPS, 2).swapaxes(0, 1).reshape(-1, STEPS, 2)
    return whole, cut


def network(rows):
    model = cr.Sequential([cr.Input(batch_shape=(rows, None, 2)),
                           layers.LSTM(3, return_sequences=True, stateful=rows is not None), layers.Dense(1)])
    model.compile(cr.optimizers.SGD(0.0), "mse")
    return model


def pair():
    """A network that carries states, and the same over whole sequences."""
    carrying, whole = network(ROWS), network(None)
    carrying.set_variables(whole.variables(seed=1)[0], carrying.variables()[1])
    return carrying, whole


def test_evaluate_carries_states_from_batch_to_batch():
    carrying, whole = pair()
    x, cut = streams()
    target = np.zeros((*x.shape[:2], 1), "float32")
    expected = whole.evaluate(x, target, verbose=0)
    found = carrying.evaluate(cut, np.zeros((*cut.shape[:2], 1), "float32"), batch_size=ROWS, verbose=0)
    assert found == pytest.approx(expected, rel=1e-5)


def test_evaluate_ends_with_the_states_of_the_last_batch():
    carrying, whole = pair()
    x, cut = streams()
    carrying.evaluate(cut[:-ROWS], np.zeros((len(cut) - ROWS, STEPS, 1), "float32"), batch_size=ROWS, verbose=0)
    np.testing.assert_allclose(carrying.predict(cut[-ROWS:]), whole.predict(x)[:, -STEPS:], atol=1e-5)


@pytest.mark.parametrize("in_memory", [True, False])
def test_validation_carries_states_and_leaves_those_of_training(in_memory):
    x, cut = streams()
    zeros = np.zeros((*cut.shape[:2], 1), "float32")

    class Windows(cr.data.Source):
        def __len__(self):
            return len(cut)

        def rows(self, indices):
            return cut[indices], zeros[indices]

    windows = Windows()
    windows.in_memory = in_memory
    carrying, whole = pair()
    history = carrying.fit(cut, zeros, validation_data=windows, batch_size=ROWS, shuffle=False, verbose=0).history
    after_training = list(carrying.variables()[1]["lstm"].values())
    # Training went over the same windows once: validation goes on where it ended.
    twice = whole.predict(np.concatenate([x, x], axis=1))[:, x.shape[1]:]
    assert history["val_loss"][0] == pytest.approx(float((twice**2).mean()), rel=1e-5)
    alone, _ = pair()
    alone.fit(cut, zeros, batch_size=ROWS, shuffle=False, verbose=0)
    for one, other in zip(alone.variables()[1]["lstm"].values(), after_training, strict=True):
        np.testing.assert_array_equal(one, other)
