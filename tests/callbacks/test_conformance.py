"""What holds for every callback: memory that is data, none of it left for the next fit, any kind of fit."""
import datetime
import inspect
import json
import pickle
import re
import struct
from pathlib import Path

import pytest
from helpers import assert_same_bytes

from chainrule import callbacks
from chainrule.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    ExponentialMovingAverage,
    JSONLinesLogger,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    RunRecorder,
    SnapshotEnsemble,
    StochasticWeightAveraging,
    TensorBoard,
    TerminateOnNaN,
    Timer,
)
from chainrule.runs.metrics import read_rows
from chainrule.training.fit import Pace

TABLE = {
    "best weights": lambda folder: EarlyStopping(patience=50, restore_best_weights=True),
    "stopped": lambda folder: EarlyStopping(monitor="loss", patience=2, min_delta=0.05),
    "best file": lambda folder: ModelCheckpoint(folder / "best.chain", save_best_only=True),
    "files by epochs": lambda folder: ModelCheckpoint(folder / "{epoch:03d}-{loss:.3f}.chain", every_epochs=2,
                                                      keep_last=2),
    "files by steps": lambda folder: ModelCheckpoint(folder / "{epoch}-{batch}.weights", save_freq=5, keep_last=3,
                                                     save_weights_only=True),
    "files by time": lambda folder: ModelCheckpoint(folder / "{epoch}.chain", every_minutes=1000),
    "plateau": lambda folder: ReduceLROnPlateau(monitor="loss", patience=1, min_delta=0.05, cooldown=1),
    "scheduler": lambda folder: LearningRateScheduler(lambda epoch, rate: rate * 0.8),
    "nan": lambda folder: TerminateOnNaN(),
    "csv": lambda folder: CSVLogger(folder / "log.csv"),
    "json lines": lambda folder: JSONLinesLogger(folder / "log.jsonl"),
    "json lines by steps": lambda folder: JSONLinesLogger(folder / "log.jsonl", every_steps=3),
    "event files": lambda folder: TensorBoard(folder),
    "event files by steps": lambda folder: TensorBoard(folder, histogram_freq=2, update_freq=4),
    "average": lambda folder: StochasticWeightAveraging(start_epoch=1, every_epochs=2),
    "moving average": lambda folder: ExponentialMovingAverage(momentum=0.8, every_steps=3),
    "swapped average": lambda folder: ExponentialMovingAverage(momentum=0.8, every_steps=3, swap_on_epoch=True),
    "snapshots": lambda folder: SnapshotEnsemble(every_epochs=2, keep_last=2),
    "recorder": lambda folder: RunRecorder(folder / "metrics.sqlite", log_steps=3),
    "timer": lambda folder: Timer(datetime.timedelta(hours=10)),
    "functions": lambda folder: LambdaCallback(on_epoch_end=lambda epoch, logs: None),
}
EVERY = pytest.mark.parametrize("make", TABLE.values(), ids=TABLE)


def files(folder):
    """What is in the files of a folder, all but their wall-clock fields."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "sqlite-" not in path.name):
        data = path.read_bytes()
        if path.suffix == ".jsonl":
            data = [json.loads(line) | {"time": 0} for line in data.splitlines()]
        if path.suffix == ".sqlite":
            data = [sorted(read_rows(path, f"SELECT {columns}, name, value FROM {table}"), key=str)
                    for table, columns in (("epochs", "epoch"), ("steps", "epoch, step"))]
        if ".tfevents." in path.name:
            data = [record[9:] for record in records(data)]
        found[re.sub(r"tfevents\..*", "tfevents", str(path.relative_to(folder)))] = data
    return found


def records(data):
    while data:
        length, = struct.unpack("<Q", data[:8])
        yield data[12 : 12 + length]
        data = data[16 + length:]


def memory(callback):
    """What a checkpoint keeps of a callback, as a file would."""
    state = callback.get_state()
    if state is None:
        given = (*inspect.signature(type(callback).__init__).parameters, "model", "params")
        state = {name: value for name, value in vars(callback).items() if name not in given and not callable(value)}
    return pickle.dumps(state)


def test_the_table_is_complete():
    exported = {getattr(callbacks, name) for name in callbacks.__all__}
    classes = {made for made in exported if isinstance(made, type) and issubclass(made, Callback)} - {Callback}
    assert {type(make(Path("x"))) for make in TABLE.values()} == classes


@EVERY
@pytest.mark.parametrize("settings", [{}, {"validation_freq": 2}, {"streamed": True}],
                         ids=["in memory", "sparse validation", "streamed"])
def test_a_second_fit_is_like_the_first(make, settings, trainer, tmp_path):
    callback = make(tmp_path / "a")
    first = trainer.fit(callback, **settings).history, trainer.now(), files(tmp_path)
    again = memory(callback)
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        path.unlink()
    second = trainer.fit(callback, **settings).history, trainer.now(), files(tmp_path)
    assert first[0] == second[0] and first[2] == second[2]
    assert_same_bytes(first[1], second[1])
    state = pickle.loads(again)
    assert set(state) == set(pickle.loads(memory(callback)))


@EVERY
@pytest.mark.parametrize("streamed", [False, True])
def test_the_length_of_segments_does_not_matter(make, streamed, trainer, tmp_path, monkeypatch):
    found = []
    for steps in (3, 1000):
        monkeypatch.setattr(Pace, "steps", property(lambda self, steps=steps: steps, lambda self, _: None))
        history = trainer.fit(make(tmp_path / str(steps)), streamed=streamed).history
        found.append((history, trainer.now(), files(tmp_path / str(steps))))
    assert found[0][0] == found[1][0] and found[0][2] == found[1][2]
    assert_same_bytes(found[0][1], found[1][1])


class Interrupt(Callback):
    """Notes how all stands after the second epoch, and breaks off in the fourth."""

    def __init__(self, trainer, callback):
        self.trainer, self.callback = trainer, callback

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.kept = self.trainer.now(), memory(self.callback)

    def on_train_batch_end(self, batch, logs=None):
        if hasattr(self, "kept") and self.trainer.model._compiled.optimizer_state["step"] >= 26:
            raise KeyboardInterrupt


class Resume(Callback):
    """Gives a callback its memory back, as the engine does when a fit goes on."""

    def __init__(self, callback, state):
        self.callback, self.state = callback, state

    def on_train_begin(self, logs=None):
        self.callback.set_state(pickle.loads(self.state))


@EVERY
def test_a_fit_that_was_broken_off_ends_as_if_it_had_not_been(make, trainer, tmp_path):
    whole = trainer.fit(make(tmp_path / "whole")).history
    end = trainer.now()
    assert len(whole["loss"]) > 4  # it did not end by itself before the place of the interruption
    broken = make(tmp_path / "resumed")
    interrupt = Interrupt(trainer, broken)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(broken, interrupt)
    begin, state = interrupt.kept
    resumed = make(tmp_path / "resumed")
    history = trainer.fit(resumed, Resume(resumed, state), begin=begin, initial_epoch=2).history
    assert_same_bytes(end, trainer.now())
    assert {name: values[2:] for name, values in whole.items()} == history
    assert files(tmp_path / "whole") == files(tmp_path / "resumed")


@EVERY
def test_it_can_be_copied_before_a_fit(make, tmp_path):
    if make is not TABLE["scheduler"] and make is not TABLE["functions"]:  # which hold functions of the user's
        again = pickle.loads(pickle.dumps(make(tmp_path)))
        assert again.batch_interval == make(tmp_path).batch_interval
