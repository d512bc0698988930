"""Who is told what, and when: steps at an interval, time, losses that are not finite, statistics taken anew."""
import jax
import numpy as np
import pytest
from helpers import assert_close, assert_same_bytes, classifier, two_moons

from chainrule.callbacks import Callback, LambdaCallback
from chainrule.errors import NotFiniteError, SettingError
from chainrule.layers import BatchNormalization, Dense, Dropout
from chainrule.optimizers import SGD
from chainrule.training.fit import Pace

X, Y = two_moons()  # 200 rows


def trained(*callbacks, **settings):
    model = classifier(Dense(8, activation="relu"), BatchNormalization(), Dropout(0.3))
    usual = {"batch_size": 32, "epochs": 4, "verbose": 0, "seed": 3, "validation_split": 0.2}
    history = model.fit(X, Y, callbacks=list(callbacks), **usual | settings)
    return model.variables(), history.history


class Steps(Callback):
    """Notes which steps it is told of, as `(epoch, batch)`."""

    def __init__(self, interval, passive=False):
        self.batch_interval, self.passive = interval, passive
        self.begun, self.ended, self.epoch = [], [], 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self.begun.append((self.epoch, batch))

    def on_train_batch_end(self, batch, logs=None):
        assert logs["loss"] > 0
        self.ended.append((self.epoch, batch))


@pytest.mark.parametrize("passive", [False, True])
def test_steps_are_told_at_an_interval_counted_over_the_whole_fit(passive):
    third, seventh = Steps(3, passive), Steps(7, passive)
    result = trained(third, seventh)  # 5 steps an epoch, 20 in all
    assert [5 * epoch + batch for epoch, batch in third.begun] == [0, 3, 6, 9, 12, 15, 18]
    assert third.ended == [(0, 2), (1, 0), (1, 3), (2, 1), (2, 4), (3, 2)]
    assert seventh.begun == [(0, 0), (1, 2), (2, 4)] and seventh.ended == [(1, 1), (2, 3)]
    assert_same_bytes(result, trained())


def test_the_program_stops_only_where_a_callback_is_due(monkeypatch):
    monkeypatch.setattr(Pace, "learn", lambda self, *_: setattr(self, "steps", 1000))
    calls = []
    look = LambdaCallback(on_segment=lambda epoch, step, logs: calls.append((epoch, step)))
    trained(look, Steps(4), epochs=2)
    assert calls[-3:] == [(1, 0), (1, 3), (2, 0)]


@pytest.mark.parametrize("interval", [0, -1, 2.0, True, None])
def test_an_interval_that_is_none(interval):
    with pytest.raises(SettingError) as error:
        trained(Steps(interval))
    assert str(error.value) == (
        f"Steps: batch_interval is a number of steps, an integer of at least 1; got {interval!r}.")


class Clock(Callback):
    """Stops at the first call after an epoch and a half, and sees the model as it then is."""

    def on_segment(self, epoch, step, logs=None):
        if 5 * epoch + step >= 7:
            self.place, self.logs, self.weights = (epoch, step), logs, self.model.get_weights()
            self.model.stop_training = True


def test_a_callback_can_stop_between_two_segments(monkeypatch):
    monkeypatch.setattr(Pace, "learn", lambda self, *_: setattr(self, "steps", 3))
    clock = Clock()
    (weights, _), history = trained(clock)
    assert clock.place == (1, 3) and set(clock.logs) == {"loss", "accuracy"} and len(history["loss"]) == 1
    assert np.array_equal(clock.weights[0], weights["dense"]["kernel"])


class Forgive(Callback):
    """Ends a fit whose loss was not finite without an error."""

    def on_not_finite(self, error):
        self.error, self.kernel = error, self.model.get_weights()[0]
        return True

    def on_train_end(self, logs=None):
        self.ended = True


@pytest.mark.parametrize("watched", [False, True])
def test_a_callback_can_end_a_fit_whose_loss_is_not_finite(watched):
    def overflowing():
        return classifier(Dense(8), optimizer=SGD(1e38), metrics=())

    with pytest.raises(NotFiniteError) as error:
        overflowing().fit(X * 1e3, Y, batch_size=200, epochs=9, verbose=0, seed=0)
    model, forgive = overflowing(), Forgive()
    forgive.passive = not watched
    history = model.fit(X * 1e3, Y, batch_size=200, epochs=9, verbose=0, seed=0, callbacks=[forgive])
    assert str(forgive.error) == str(error.value) and "at epoch 2, step 1" in str(error.value) and forgive.ended
    assert len(history.history["loss"]) == 1  # the epoch before is kept, also where one call took both
    one = overflowing()
    one.fit(X * 1e3, Y, batch_size=200, epochs=1, verbose=0, seed=0)
    assert_same_bytes(model.variables(), one.variables())
    assert np.array_equal(forgive.kernel, model.get_weights()[0])


class Halve(Callback):
    """Leaves other weights than were trained."""

    stale_statistics = True

    def on_train_end(self, logs=None):
        weights, state = self.model.variables()
        self.model.set_variables(jax.tree.map(lambda weight: weight / 2, weights), state)


@pytest.mark.parametrize("rows", [192, 200])
def test_statistics_are_averages_over_the_batches_of_the_weights_that_are_left(rows):
    model = classifier(Dense(6, activation="tanh"), BatchNormalization(), Dense(4), BatchNormalization(axis=-1))
    model.fit(X[:rows], Y[:rows], batch_size=32, epochs=3, verbose=0, shuffle=False, callbacks=[Halve()])
    kernel, bias = (np.asarray(array, "float64") for array in model.get_weights()[:2])
    hidden = np.tanh(X[:rows] @ kernel + bias)
    parts = [hidden[start : start + 32] for start in range(0, rows, 32)]
    weigh = lambda statistic: sum(len(part) * statistic(part) for part in parts) / rows
    state = model.variables()[1]["batch_normalization"]
    np.testing.assert_allclose(state["moving_mean"], weigh(lambda part: part.mean(0)), atol=1e-6)
    np.testing.assert_allclose(state["moving_variance"], weigh(lambda part: part.var(0)), atol=1e-6)


def test_statistics_are_taken_anew_over_a_stream_too(monkeypatch):
    from chainrule.data.source import Source
    from chainrule.training import stream

    class Rows(Source):
        fits_in_memory, nbytes = False, X.nbytes

        def __len__(self):
            return len(X)

        def rows(self, rows):
            return X[rows], Y[rows]

    monkeypatch.setattr(stream, "CHUNK_BYTES", 600)  # two batches
    fits = []
    for data in ((X, Y), (Rows(),)):
        model = classifier(Dense(6), BatchNormalization(), Dropout(0.2))
        model.fit(*data, batch_size=32, epochs=2, verbose=0, seed=1, callbacks=[Halve()])
        fits.append(model.variables())
    assert_close(*fits, rtol=1e-5, atol=1e-6)


def test_frozen_statistics_stay():
    model = classifier(Dense(6), BatchNormalization(name="norm"))
    model.get_layer("norm").trainable = False
    before = model.variables()[1]
    model.fit(X, Y, verbose=0, callbacks=[Halve()])
    assert_same_bytes(before, model.variables()[1])
