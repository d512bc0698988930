"""The trainings that are killed: tiny, and with everything in them that a checkpoint has to bring back.

A training has a place, a folder with

- `run/`: the run itself,
- `table.csv`: the figures, as a user's own callback writes them, and `log.csv`, as `CSVLogger` does,
- `begun.txt`: a line for each process that began to train, with the epoch and the step that it began at,
- `ended.json`: what came out, once a process came to the end,
- `errors.txt`: what the processes wrote to their standard error.
"""
import csv
import hashlib
import json
import multiprocessing
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from chainrule import Input, Run, Sequential, cache_compilations
from chainrule.callbacks import Callback, CSVLogger, EarlyStopping, ExponentialMovingAverage, ReduceLROnPlateau
from chainrule.data import Source
from chainrule.layers import BatchNormalization, Dense, Dropout
from chainrule.optimizers import SGD, Adam
from chainrule.schedules import CosineDecay

PATIENCE_SECONDS = 300  # that any process may take
_ROWS, _SIZE = 150, 16


class Begun(Callback):
    """Notes where a process begins."""

    def __init__(self, path):
        self.path = str(path)

    def get_state(self):
        return {}

    def on_train_begin(self, logs=None):
        epoch, step = self.params["resumed_from"] or (0, 0)
        with open(self.path, "a") as file:
            file.write(f"{epoch} {step}\n")


class Table(Callback):
    """Writes the figures of all epochs into a table."""

    def __init__(self, path):
        self.path, self.rows = str(path), []

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append([epoch, *map(repr, logs.values())])
        with open(self.path, "w", newline="") as file:
            csv.writer(file).writerows([["epoch", *logs], *self.rows])


class Dwindle(Callback):
    """Changes the learning rate by what it has seen and by random numbers of its own, and adds it to the figures."""

    def __init__(self):
        self.seen, self.generator = [], np.random.default_rng(5)

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(logs["loss"])
        self.model.optimizer.learning_rate *= 0.95 + 0.1 * self.generator.random() * (self.seen[-1] <= min(self.seen))
        logs["rate"] = float(self.model.optimizer.learning_rate)


class EveryStep(Callback):
    """Counts steps, so that checkpoints come in the middle of epochs too."""

    def __init__(self, batch_interval=3):
        self.batch_interval, self.count = batch_interval, 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1


class Rows(Source):
    """Rows that are streamed."""

    in_memory = False

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def rows(self, indices):
        return self.x[indices], self.y[indices]


def train(place: str, case: str, epochs: int, checkpoint_seconds: float, cache: str,
          before: Callable[[], None] | None = None) -> None:
    """Train to the end in a process that may be killed, going on from what is there.

    Args:
        place: the folder of the training.
        case: `"memory"`, `"stream"` or `"schedule"`; or `"small"`, the least that makes calls of every kind.
        epochs: where to end.
        checkpoint_seconds: what lies between two checkpoints.
        cache: the folder of compiled programs.
        before: called when all is imported and nothing begun.
    """
    _keep_errors(place)
    cache_compilations(cache)
    folder, generator = Path(place), np.random.default_rng(0)
    x = generator.normal(size=(_ROWS, 6)).astype("float32")
    y = (x.sum(1) > 0).astype("float32")[:, None]
    optimizer = {"memory": Adam(0.01), "stream": SGD(0.1, momentum=0.9), "schedule": Adam(CosineDecay(0.01, 300)),
                 "small": SGD(0.1, momentum=0.9)}[case]
    hidden = [] if case == "small" else [Dense(8, activation="relu"), BatchNormalization()]
    model = Sequential([Input((6,)), *hidden, Dropout(0.3), Dense(1, activation="sigmoid")])
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    callbacks = [Begun(folder / "begun.txt")]
    if case != "schedule":
        callbacks += [Dwindle(), EveryStep(6 if case == "small" else 3)]
    if case == "stream":
        callbacks += [ReduceLROnPlateau("loss", patience=2), ExponentialMovingAverage(0.9, every_steps=5)]
    else:
        callbacks.append(EarlyStopping("loss", patience=epochs, restore_best_weights=True))
    callbacks += [Table(folder / "table.csv"), CSVLogger(folder / "log.csv")]
    data = {"x": Rows(x, y)} if case == "stream" else {"x": x, "y": y, "validation_split": 0.2}
    if before is not None:
        before()
    history = model.fit(**data, epochs=epochs, batch_size=_SIZE, verbose=0, seed=3, callbacks=callbacks, resume=True,
                        run=Run(folder / "run", checkpoint_seconds=checkpoint_seconds, log_steps=4))
    weights, state = model.variables()
    ended = {"weights": _digest(weights), "state": _digest(state), "epochs": history.epoch, "history": history.history}
    partial = folder / "ended.part"
    partial.write_text(json.dumps(ended))
    os.replace(partial, folder / "ended.json")


def outcome(place: Path) -> dict[str, object]:
    """All that must be the same to the bit, by name."""
    run = Run(place / "run")
    with zipfile.ZipFile(run.model_path) as file:
        members = {f"model.chain: {name}": hashlib.sha256(file.read(name)).hexdigest() for name in file.namelist()}
    ended = json.loads((place / "ended.json").read_text())
    return ended | members | {
        "model.chain": hashlib.sha256(run.model_path.read_bytes()).hexdigest(),
        **{name: (place / name).read_text() for name in ("table.csv", "log.csv")},
        "figures by epoch": run.history, "figures by step": run.steps}


def begun_at(place: Path) -> list[tuple[int, int]]:
    """Where each process began, in order."""
    path = place / "begun.txt"
    return [tuple(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []


def processes():
    """What processes are started by: forked from one that has everything imported, and nothing else done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.job", "chainrule.cli.main"])
    return context


def ended(process) -> bool:
    """Wait until a process has ended; `False` where it does not.

    Seconds are counted one by one, so that the time in which this machine, or all that runs here, was stopped is not
    among them.
    """
    for _ in range(PATIENCE_SECONDS):
        process.join(1)
        if not process.is_alive():
            return True
    return False


def _keep_errors(place: str) -> None:
    file = os.open(f"{place}/errors.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 2)


def _digest(tree) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()
