"""What callbacks do to a fit: when it ends, with which rate and with which weights."""
import datetime
import time
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import assert_close, assert_same_bytes, classifier, two_moons

from chainrule.callbacks import (
    Callback,
    EarlyStopping,
    ExponentialMovingAverage,
    LambdaCallback,
    ModelCheckpoint,
    ReduceLROnPlateau,
    StochasticWeightAveraging,
    TerminateOnNaN,
    Timer,
)
from chainrule.errors import SettingError
from chainrule.layers import Dense
from chainrule.models import load_model
from chainrule.optimizers import SGD, Adam
from chainrule.schedules import ExponentialDecay
from chainrule.training.fit import Pace

X, Y = two_moons()


class Keep(Callback):
    """Keeps the weights after each step."""

    def __init__(self):
        self.weights = []

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(self.model.get_weights())


class Told(Callback):
    """Replaces a figure by a series of values."""

    def __init__(self, name, values):
        self.name, self.values = name, values

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


def stopped_at(trainer, values, **settings):
    """In which epoch (from 0) a fit of these losses ends, and the callback."""
    stop = EarlyStopping(**{"monitor": "val_loss", "restore_best_weights": True} | settings)
    history = trainer.fit(Told(settings.get("monitor", "val_loss"), values), stop, epochs=len(values))
    return len(history.epoch) - 1, stop


@pytest.mark.parametrize(("values", "settings", "ends", "best"), [
    ([5, 4, 3, 3, 3, 3, 3], {"patience": 2}, 4, 2),
    ([5, 4, 3.95, 3.9, 3.85, 3, 2], {"patience": 2, "min_delta": 0.5}, 3, 1),
    ([5, 4, 3.9, 3.0, 3.0, 2.0, 2.0], {"patience": 3, "min_delta": 0.5}, 6, 5),
    ([5, 4, 3, 2, 1, 0.5, 0.4], {"patience": 2, "baseline": 3.5}, 1, 1),
    ([5, 3, 4, 4, 4, 4, 4], {"patience": 2, "baseline": 3.5}, 3, 1),
    ([1, 5, 5, 5, 4, 4, 4], {"patience": 2, "start_from_epoch": 3}, 6, 4),
    ([1, 2, 3, 3, 3, 3, 3], {"patience": 2, "monitor": "val_accuracy"}, 4, 2),
    ([1, 2, 3, 3, 3, 3, 3], {"patience": 2, "mode": "max"}, 4, 2),
    ([5, np.nan, np.nan, 1, 1, 1, 1], {"patience": 2}, 2, 0),
    ([5, 4, 3, 2, 1, 0.5, 0.4], {"patience": 0}, 6, 6),
])
def test_early_stopping(values, settings, ends, best, trainer):
    ended, stop = stopped_at(trainer, values, **settings)
    assert (ended, stop.best_epoch) == (ends, best)


def test_best_weights_come_back_whether_it_stopped_or_not(trainer):
    keep = Keep()
    for values in ([5, 4, 1, 3, 3, 3, 3], [5, 4, 1, 3]):
        keep.weights = []
        trainer.fit(Told("val_loss", values), EarlyStopping(patience=3, restore_best_weights=True), keep,
                    epochs=len(values))
        assert_same_bytes(trainer.model.get_weights(), keep.weights[20])


def rates_of_keras(values, rate, factor, patience, min_delta, cooldown, min_lr):
    """The rate of each epoch, after the text of Keras 3.15's `ReduceLROnPlateau.on_epoch_end`."""
    best, wait, counter, rates = np.inf, 0, 0, []
    for value in values:
        rates.append(rate)
        if counter > 0:
            counter, wait = counter - 1, 0
        if value < best - min_delta:
            best, wait = value, 0
        elif not counter > 0:
            wait += 1
            if wait >= patience and rate > min_lr:
                rate, counter, wait = max(rate * factor, min_lr), cooldown, 0
    return rates


@pytest.mark.parametrize("settings", [
    {"factor": 0.5, "patience": 2}, {"factor": 0.1, "patience": 1, "min_lr": 0.001}, {"factor": 0.5, "patience": 0},
    {"factor": 0.7, "patience": 1, "cooldown": 2}, {"factor": 0.7, "patience": 2, "min_delta": 0.3}])
def test_reduce_lr_on_plateau_follows_keras(settings, trainer):
    values = [5, 4, 4, 4, 3.8, 3.7, 3.7, 3.7, 3.7, 3.7, 1, 1, 1]
    history = trainer.fit(Told("val_loss", values), ReduceLROnPlateau(**settings), epochs=len(values)).history
    expected = rates_of_keras(values, 0.02, **{"min_delta": 1e-4, "cooldown": 0, "min_lr": 0.0} | settings)
    assert history["learning_rate"] == pytest.approx(expected, rel=1e-12) and len(set(expected)) > 1


def test_a_rate_that_is_lowered_is_trained_with(trainer):
    keep = Keep()
    model = classifier(optimizer=SGD(0.5))
    model.fit(X, Y, batch_size=200, epochs=4, verbose=0, callbacks=[
        keep, Told("loss", [1, 1, 1, 1]), ReduceLROnPlateau(monitor="loss", patience=1, factor=1e-12)])
    assert not np.array_equal(keep.weights[0][0], keep.weights[1][0])
    np.testing.assert_allclose(keep.weights[1][0], keep.weights[3][0], atol=1e-9)


def test_a_plateau_and_a_schedule_exclude_each_other():
    model = classifier(optimizer=SGD(ExponentialDecay(0.1, decay_steps=10, decay_rate=0.9)))
    with pytest.raises(SettingError, match="^ReduceLROnPlateau sets the learning rate, and so does the schedule"):
        model.fit(X, Y, verbose=0, callbacks=[ReduceLROnPlateau(monitor="loss")])


def test_terminate_on_nan(capsys):
    model, nan = classifier(Dense(8), optimizer=SGD(1e38), metrics=()), TerminateOnNaN()
    history = model.fit(X * 1e3, Y, batch_size=200, epochs=9, verbose=0, seed=0, callbacks=[nan])
    assert nan.reason.startswith("The loss was not finite at epoch 2, step 1. The first layer")
    assert len(history.epoch) == 1 and capsys.readouterr().out == ""
    again = classifier(optimizer=SGD(0.1)).fit(X, Y, batch_size=200, verbose=0, callbacks=[nan])
    assert nan.reason is None and len(again.epoch) == 1


def test_terminate_on_nan_speaks_where_the_fit_does(capsys):
    model, nan = classifier(Dense(8), optimizer=SGD(1e38), metrics=()), TerminateOnNaN()
    model.fit(X * 1e3, Y, batch_size=200, epochs=9, verbose=2, seed=0, callbacks=[nan])
    assert nan.reason in capsys.readouterr().out


def test_a_timer_stops_within_an_epoch_and_says_why(trainer, monkeypatch, capsys):
    monkeypatch.setattr(Pace, "steps", property(lambda self: 3, lambda self, steps: None))
    clock = iter(range(1000))  # a second at each look of the timer's; JAX looks at the real one
    monkeypatch.setattr("chainrule.callbacks.timer.time", SimpleNamespace(monotonic=lambda: next(clock)))
    timer = Timer(seconds=4, verbose=1)
    history = trainer.fit(timer)
    assert len(history.epoch) == 1 and timer.elapsed == 4
    steps = int(trainer.model._compiled.optimizer_state["step"]) - 7
    assert timer.reason == f"Stopped in epoch 2, after {steps} of 7 steps: 4.0 s have passed."
    assert capsys.readouterr().out == f"{timer.reason}\n"


def test_a_timer_counts_what_was_before(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    timer = Timer(datetime.timedelta(minutes=1))
    timer.on_train_begin()
    timer.set_state({"elapsed": 45.0})
    monkeypatch.setattr(time, "monotonic", lambda: 110.0)
    timer.model, timer.params = classifier(), {"steps": 7}
    timer.model.stop_training = False
    timer.on_segment(0, 3)
    assert timer.get_state() == {"elapsed": 55.0} and timer.reason is None


def of_weights(model):
    """The arrays that are trained."""
    return [np.asarray(array, "float64") for array in model.get_weights()[:4] + model.get_weights()[-2:]]


def test_the_average_of_the_last_epochs_takes_their_place(trainer):
    kept = []

    class Epochs(Callback):
        def on_epoch_end(self, epoch, logs=None):
            kept.append(of_weights(self.model))

    average = StochasticWeightAveraging(start_epoch=1, every_epochs=2)
    trainer.fit(Epochs(), average)
    expected = [np.mean(arrays, axis=0) for arrays in zip(kept[1], kept[3], kept[5], strict=True)]
    assert average.count == 3 and average.average is None
    assert_close(of_weights(trainer.model), expected, rtol=1e-5, atol=1e-6)


def test_statistics_belong_to_the_average(trainer):
    trainer.fit(StochasticWeightAveraging(start_epoch=3), shuffle=False)
    weights, state = trainer.model.variables()
    hidden = np.maximum(X @ weights["dense"]["kernel"] + weights["dense"]["bias"], 0)
    np.testing.assert_allclose(state["batch_normalization"]["moving_mean"], hidden.mean(0), rtol=1e-5, atol=1e-6)


def test_an_average_that_is_replaced_keeps_the_statistics_of_what_replaces_it(trainer):
    keep = Keep()
    trainer.fit(StochasticWeightAveraging(start_epoch=1), Told("val_loss", [5, 4, 1, 3, 3, 3]),
                EarlyStopping(patience=10, restore_best_weights=True), keep)
    assert_same_bytes(trainer.model.get_weights(), keep.weights[20])


def test_a_fit_that_ends_before_the_average_begins_is_left_as_it_is(trainer):
    keep, average = Keep(), StochasticWeightAveraging(start_epoch=5)
    trainer.fit(keep, Told("val_loss", [1, 2, 3, 4, 5, 6]), EarlyStopping(patience=1), average)
    assert average.count == 0
    assert_same_bytes(trainer.model.get_weights(), keep.weights[-1])


def test_the_moving_average_follows_its_equation(trainer):
    keep = Keep()
    trainer.fit(keep, ExponentialMovingAverage(momentum=0.7, every_steps=4))
    average = keep.weights[3]
    for weights in keep.weights[7::4]:
        average = [0.7 * old + 0.3 * new for old, new in zip(average, weights, strict=True)]
    trained = [0, 1, 2, 3, 6, 7]
    found = trainer.model.get_weights()
    assert_close([found[place] for place in trained], [average[place] for place in trained], rtol=1e-5, atol=1e-6)


def test_the_moving_average_can_be_looked_at_between_epochs(trainer, tmp_path):
    keep, plain = Keep(), Keep()
    trainer.fit(plain)
    trainer.fit(keep, ExponentialMovingAverage(momentum=0.5, swap_on_epoch=True),
                ModelCheckpoint(tmp_path / "{epoch}.chain"))
    assert_same_bytes(keep.weights, plain.weights)  # the weights that are trained are put back
    average = plain.weights[0]
    for weights in plain.weights[1:14]:
        average = [0.5 * old + 0.5 * new for old, new in zip(average, weights, strict=True)]
    assert_close(load_model(tmp_path / "2.chain").get_weights()[:4], average[:4], rtol=1e-5, atol=1e-6)


class Own(Callback):
    """What a user may write: reads and changes the rate, saves, and stops."""

    def __init__(self, folder):
        self.folder, self.rates, self.events = folder, [], []

    def on_train_batch_end(self, batch, logs=None):
        self.events.append(("step", batch))

    def on_epoch_end(self, epoch, logs=None):
        self.events.append(("epoch", epoch))
        self.rates.append(self.model.optimizer.learning_rate)
        self.model.optimizer.learning_rate = self.rates[-1] / 2
        self.model.save(self.folder / f"{epoch}.chain")
        logs["rate"] = self.rates[-1]
        if epoch == 2:
            self.model.stop_training = True


def test_a_callback_of_ones_own(tmp_path):
    model, own = classifier(optimizer=Adam(0.04)), Own(tmp_path)
    seen = []
    listener = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(("step", batch)),
                              on_epoch_end=lambda epoch, logs: seen.append(("epoch", epoch)))
    history = model.fit(X, Y, batch_size=100, epochs=9, verbose=0, callbacks=[own, listener])
    assert own.rates == history.history["rate"] == [0.04, 0.02, 0.01] and model.optimizer.learning_rate == 0.005
    assert own.events == seen == [(kind, number) for epoch in range(3)
                                  for kind, number in (("step", 0), ("step", 1), ("epoch", epoch))]
    assert_same_bytes(load_model(tmp_path / "2.chain").get_weights(), model.get_weights())
    again = load_model(tmp_path / "1.chain")
    assert again.optimizer.learning_rate == 0.01 and int(again._compiled.optimizer_state["step"]) == 4
