"""A run that was interrupted and resumed ends with the same bytes as one that was left alone."""
from pathlib import Path

import numpy as np
import pytest

from chainrule import Input, Run, Sequential
from chainrule.callbacks import Callback, CSVLogger, EarlyStopping, LambdaCallback, LearningRateScheduler
from chainrule.data import Source
from chainrule.layers import GRU, BatchNormalization, Dense, Dropout, GaussianNoise
from chainrule.optimizers import SGD, Adam, RMSprop
from chainrule.schedules import CosineDecay

pytestmark = pytest.mark.usefixtures("programs_found_again")
ROWS, SIZE = 150, 16
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(ROWS, 6)).astype("float32")
Y = (X.sum(1) > 0).astype("float32")[:, None]


class Stop(Exception):
    """What interrupts a fit in these tests."""


class StopAfter(Callback):
    """Raises after so many steps, and remembers nothing."""

    def __init__(self, steps=None):
        self.steps = steps

    def get_state(self):
        return {}

    def set_state(self, state):
        pass

    def on_train_begin(self, logs=None):
        self.__dict__["left"] = self.steps

    def on_train_batch_end(self, batch, logs=None):
        if self.steps is not None:
            self.left -= 1
            if self.left <= 0:
                raise Stop


class Dwindle(Callback):
    """A user's own callback: it counts, draws random numbers, and changes the rate by both."""

    def __init__(self, factor=0.9):
        self.factor, self.seen, self.generator = factor, [], np.random.default_rng(5)

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((epoch, logs["loss"]))
        self.model.optimizer.learning_rate *= self.factor + 0.1 * self.generator.random() / len(self.seen)


def dense(optimizer="adam"):
    model = Sequential([Input((6,)), GaussianNoise(0.1), Dense(8, activation="relu"), BatchNormalization(),
                        Dropout(0.3), Dense(1, activation="sigmoid")])
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy", "auc"])
    return model


def recurrent():
    model = Sequential([Input((6, 1)), GRU(4, recurrent_dropout=0.2), Dense(1)])
    model.compile("rmsprop", "mse")
    return model


def float64():
    model = Sequential([Input((6,)), Dense(4, activation="tanh"), Dropout(0.2), Dense(1)], dtype="float64")
    model.compile(SGD(0.1, momentum=0.9), "mse")
    return model


class Rows(Source):
    """Rows that are streamed in chunks."""

    in_memory = False

    def __len__(self):
        return ROWS

    def rows(self, indices):
        return X[indices], Y[indices]


CASES = {
    "plain": (dense, {}, list),
    "callbacks": (dense, {"validation_split": 0.2}, lambda: [
        Dwindle(), EarlyStopping(patience=50, restore_best_weights=True, monitor="loss")]),
    "schedule": (lambda: dense(Adam(CosineDecay(0.01, 40))), {}, list),
    "average": (lambda: dense(Adam(0.01, use_ema=True, ema_momentum=0.9, gradient_accumulation_steps=3)), {}, list),
    "moment": (lambda: dense(RMSprop(0.01, momentum=0.5, centered=True)), {"validation_split": 0.3,
                                                                      "validation_freq": 2}, list),
    "rate": (dense, {"shuffle": False}, lambda: [LearningRateScheduler(lambda epoch, rate: rate * 0.8)]),
    "weights": (dense, {"class_weight": {0: 1.0, 1: 3.0}, "sample_weight": np.linspace(0.5, 2, ROWS)}, list),
    "recurrent": (recurrent, {}, list),
    "float64": (float64, {}, list),
}


def train(case, folder, stop=None, resume=False, epochs=5):
    """The model and the history of a fit that is stopped after some steps, or not; its table is `<folder>.csv`."""
    make, options, callbacks = CASES[case]
    model = make()
    x = X[..., None] if case == "recurrent" else X
    try:
        history = model.fit(x, Y, epochs=epochs, batch_size=SIZE, verbose=0, seed=3, resume=resume,
                            run=Run(folder, checkpoint_seconds=0, log_steps=4),
                            callbacks=[*callbacks(), CSVLogger(f"{folder}.csv"), StopAfter(stop)], **options)
    except Stop:
        return model, None
    return model, history


def contents(model, history):
    """All that must come out the same, as bytes."""
    weights, state = model.variables()
    arrays = [np.asarray(leaf).tobytes() for leaf in (*model.get_weights(),)]
    return arrays, history.epoch, history.history, str(weights.keys()), str(state.keys())


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_ends_with_the_same_bytes(case, tmp_path):
    expected = train(case, tmp_path / "alone")
    steps = -(-ROWS // SIZE)
    for stop in (2, steps, steps + 3, 3 * steps + 1):
        folder = tmp_path / f"stopped-{stop}"
        assert train(case, folder, stop)[1] is None
        resumed = train(case, folder, resume=True)
        assert resumed[1].resumed_from > (0, 0)
        assert contents(*resumed) == contents(*expected)
        alone, other = Run(tmp_path / "alone"), Run(folder)
        assert other.history == alone.history and other.steps == alone.steps
        assert (tmp_path / "alone" / "model.chain").read_bytes() == (folder / "model.chain").read_bytes()
        assert (tmp_path / "alone.csv").read_bytes() == Path(f"{folder}.csv").read_bytes()


def test_a_stream_is_resumed_in_the_middle_of_an_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr("chainrule.training.stream.CHUNK_BYTES", 1200)

    def fit(folder, stop=None, resume=False):
        model = dense()
        try:
            history = model.fit(Rows(), epochs=3, batch_size=SIZE, verbose=0, seed=3, resume=resume,
                                run=Run(folder, checkpoint_seconds=0), callbacks=[StopAfter(stop)])
        except Stop:
            return None
        return model, history

    expected = fit(tmp_path / "alone")
    assert fit(tmp_path / "stopped", 14) is None
    resumed = fit(tmp_path / "stopped", resume=True)
    assert resumed[1].resumed_from.epoch == 1 and resumed[1].resumed_from.step > 0
    assert contents(*resumed) == contents(*expected)


def test_a_run_may_be_interrupted_again_and_again(tmp_path):
    expected = train("callbacks", tmp_path / "alone")
    for _ in range(30):
        model, history = train("callbacks", tmp_path / "often", stop=4, resume=True)
        if history is not None:
            break
    assert contents(model, history) == contents(*expected)
    assert len(Run(tmp_path / "often").sessions) > 5


def test_a_finished_run_goes_on_with_more_epochs(tmp_path):
    expected = train("schedule", tmp_path / "alone", epochs=6)
    train("schedule", tmp_path / "longer", epochs=2)
    resumed = train("schedule", tmp_path / "longer", epochs=6, resume=True)
    assert tuple(resumed[1].resumed_from) == (2, 0)
    assert contents(*resumed) == contents(*expected)


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = train("callbacks", tmp_path / "run")
    again = train("callbacks", tmp_path / "run", resume=True)
    assert contents(*again) == contents(*first)
    assert Run(tmp_path / "run").status == "finished"


def test_weights_that_a_callback_set_at_the_beginning_are_not_set_again(tmp_path):
    def fit(stop=None, resume=False):
        model = dense()
        zero = LambdaCallback(on_train_begin=lambda logs: model.set_weights([0 * w for w in model.get_weights()]))
        try:
            return model, model.fit(X, Y, epochs=3, batch_size=SIZE, verbose=0, seed=3, callbacks=[
                zero, StopAfter(stop)], run=Run(tmp_path / f"{resume or stop}", checkpoint_seconds=0), resume=resume)
        except Stop:
            return None

    expected = fit()
    (tmp_path / "None").rename(tmp_path / "alone")
    fit(stop=12)
    (tmp_path / "12").rename(tmp_path / "True")
    assert contents(*fit(resume=True)) == contents(*expected)


def test_early_stopping_restores_the_same_epoch_after_a_resume(tmp_path):
    def fit(folder, stop=None, resume=False):
        model, stopping = dense(Adam(0.1)), EarlyStopping("val_loss", patience=3, restore_best_weights=True)
        try:
            model.fit(X, Y, epochs=60, batch_size=SIZE, verbose=0, seed=3, validation_split=0.3, resume=resume,
                      run=Run(folder, checkpoint_seconds=0), callbacks=[stopping, StopAfter(stop)])
        except Stop:
            return None
        return stopping, model.get_weights()

    alone, weights = fit(tmp_path / "alone")
    assert 0 < alone.stopped_epoch < 59
    for stop in (7 * alone.best_epoch + 9, 7 * alone.stopped_epoch + 5):
        assert fit(tmp_path / str(stop), stop) is None
        resumed, again = fit(tmp_path / str(stop), resume=True)
        assert vars(resumed).keys() == vars(alone).keys()
        assert (resumed.best, resumed.best_epoch, resumed.stopped_epoch, resumed.wait) == (
            alone.best, alone.best_epoch, alone.stopped_epoch, alone.wait)
        assert all((one == two).all() for one, two in zip(weights, again, strict=True))


def test_settings_of_a_callback_may_be_changed_at_a_resume_and_its_memory_is_kept(tmp_path):
    def fit(folder, patience, stop=None, resume=False):
        stopping = EarlyStopping("loss", patience=patience)
        dense().fit(X, Y, epochs=4, batch_size=SIZE, verbose=0, seed=3, resume=resume,
                    run=Run(tmp_path / folder, checkpoint_seconds=0), callbacks=[stopping, StopAfter(stop)])
        return stopping

    with pytest.raises(Stop):
        fit("stopped", 20, stop=25)
    resumed, alone = fit("stopped", 50, resume=True), fit("alone", 20)
    assert resumed.patience == 50
    assert (resumed.best, resumed.best_epoch, resumed.wait) == (alone.best, alone.best_epoch, alone.wait)
