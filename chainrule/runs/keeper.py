"""What keeps a fit in the folder of its run: checkpoints between segments, written beside the training; the end."""
import contextlib
import json
import math
import os
import sqlite3
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax

from chainrule import saving
from chainrule.errors import ChainruleError, FileAccessError, FileFormatError, SettingError
from chainrule.runs.environment import describe_environment
from chainrule.runs.facts import check_same
from chainrule.runs.memory import Memory
from chainrule.runs.metrics import MetricsFile
from chainrule.runs.run import Run
from chainrule.saving import archive
from chainrule.saving.checkpoint import Checkpoint, Frozen, Place, read_checkpoint

# Between two checkpoints pass at least so many times the seconds that writing one takes.
_REST = 20


class Keeper:
    """The folder of a run during one fit, for use in a `with`.

    Args:
        run: the folder.
        resume: whether to go on from the newest whole checkpoint there.
        settings: what was asked for, for people to read.
        facts: what must be the same where a run goes on.

    Raises:
        SettingError: the folder holds a run and is not to be resumed, or one begun with other facts.
        FileAccessError: it cannot be made, or another process trains in it.
    """

    def __init__(self, run: Run, resume: bool, settings: dict[str, Any], facts: dict[str, Any]):
        self.run, self.facts = run, facts
        self._folder = run.folder / "checkpoints"
        self._memories: list[Memory] = []
        self._due = 0.0
        self._coming: Future | None = None
        self._last_fault = ""
        if run.exists and not resume:
            aim = "go on with it" if run.checkpoints else "begin it anew"
            raise SettingError(f"{run.folder} holds a run already ({_described(run)}). Give resume=True to {aim}, or "
                               f"another folder.")
        _make_folder(run)
        self._lock = run.lock
        self._lock.take()
        try:
            self._remove_unfinished()
            self.checkpoint = self._newest_whole()
            if self.checkpoint is not None:
                check_same(run, self.checkpoint.facts, facts)
                self.facts = facts | {"seed": self.checkpoint.facts.get("seed", facts.get("seed"))}
            else:
                notes = _notes(run)
                _write_json(run.folder / "environment.json", describe_environment())
                _write_json(run.folder / "settings.json", settings | {"notes": notes} if notes else settings)
        except BaseException:
            self._lock.release()
            raise
        self.metrics = MetricsFile(run.metrics_path)
        self.metrics.begin_session(*(self.resumed_from or (0, 0)))
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chainrule-checkpoint")

    @property
    def resumed_from(self) -> Place | None:
        """Where the run goes on; `None` where it starts anew."""
        return None if self.checkpoint is None else self.checkpoint.place

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(self, kind, error, _) -> None:
        self._writer.shutdown(wait=True)
        interrupted = kind is not None and not issubclass(kind, Exception)
        self._end_session("finished" if kind is None else "interrupted" if interrupted else "failed")
        self.metrics.close()
        self._lock.release()

    def _end_session(self, outcome: str) -> None:
        self.metrics.end_session(outcome)
        try:
            try:
                self.metrics.flush()
            except (sqlite3.Error, OSError):
                self.metrics.flush()  # there is no later time at which it could be tried again
        except (sqlite3.Error, OSError) as error:
            warnings.warn(f"That the run is {outcome} could not be written to {self.metrics.path}: {error}. It will be "
                          f"taken for one that was killed.", UserWarning, stacklevel=5)

    # During the fit.

    def watch(self, callbacks: list) -> None:
        """Note what the callbacks are before anything happens."""
        self._memories = [Memory(callback) for callback in callbacks]

    def restore(self, fit, state):
        """The state to train on from, with everything else put back where the checkpoint has it.

        Args:
            fit: the `Fit`, whose callbacks have been told that training begins.
            state: its `RunState` at the beginning.

        Raises:
            FileFormatError: the checkpoint says that it belongs to this run, and holds something else.
        """
        checkpoint = self.checkpoint
        if checkpoint is None:
            return state
        with archive.naming(self.run.checkpoints[0][1], "a checkpoint of this run"):
            _check_fits(checkpoint, fit.model.optimizer, state, self._memories)
        model, history = fit.model, fit.model.history
        for name, value in checkpoint.hyperparameters.items():
            if getattr(model.optimizer, name) != value:
                setattr(model.optimizer, name, value)
        history.epoch[:] = checkpoint.history["epoch"]
        history.history.clear()
        history.history.update(checkpoint.history["history"])
        fit.figures = checkpoint.history["last"]
        model.stop_training = checkpoint.stopped
        run = state._replace(**checkpoint.run)
        model.hold_run(run)
        for memory, (_, kept) in zip(self._memories, checkpoint.callbacks, strict=True):
            memory.restore(kept)
        return run._replace(order=fit.program.compiled_order(run.key, run.epoch))

    def between(self, fit, state) -> None:
        """Write a checkpoint if one is due and the last one is written."""
        waits = self.run.checkpoint_seconds == 0
        if self._coming is not None and not self._coming.done():
            return
        self._settle()
        if waits or time.monotonic() >= self._due:
            self._coming = self._writer.submit(self._write, self._frozen(fit, state))
            if waits:
                self._coming.exception()

    def at_end(self, fit, state) -> None:
        """Write where the run stands, and wait until it is written.

        Raises:
            FileAccessError: it could not be written.
        """
        if self._coming is not None:
            self._coming.exception()
            self._settle()
        self._write(self._frozen(fit, state))

    def save_model(self, model) -> None:
        """Write the trained model; its weights alone where its settings cannot be kept in a file."""
        path = self.run.model_path
        try:
            saving.save_model(model, path)
        except SettingError as error:
            path = path.with_name("model.weights.safetensors")
            saving.save_weights(model, path)
            warnings.warn(f"{error} Its weights are in {path}: model.load_weights(...) takes them.", UserWarning,
                          stacklevel=4)

    def _frozen(self, fit, state) -> Frozen:
        model, history = fit.model, fit.model.history
        run = state._asdict()
        del run["order"]  # it follows from the key and the epoch
        return Checkpoint(
            run=run, facts=self.facts, hyperparameters=model.optimizer.hyperparameters(),
            callbacks=[(memory.name, memory.now()) for memory in self._memories],
            history={"epoch": history.epoch, "history": history.history, "last": fit.figures},
            stopped=bool(model.stop_training)).freeze()

    def _write(self, frozen: Frozen) -> None:
        began = time.monotonic()
        with _making(self._folder):
            self._folder.mkdir(exist_ok=True)
        frozen.write(self._folder)
        for _, path in self.run.checkpoints[self.run.keep :]:
            path.unlink(missing_ok=True)
        ended = time.monotonic()
        self._due = ended + max(self.run.checkpoint_seconds, _REST * (ended - began))

    def _settle(self) -> None:
        """Say what became of the checkpoint that was being written. A fault does not end the training."""
        coming, self._coming = self._coming, None
        fault = None if coming is None else coming.exception()
        if isinstance(fault, (ChainruleError, OSError)):
            self._due = time.monotonic() + self.run.checkpoint_seconds
            if str(fault) != self._last_fault:
                warnings.warn(f"A checkpoint could not be written: {fault} Training goes on, and it is tried again.",
                              UserWarning, stacklevel=5)
            self._last_fault = str(fault)
        elif fault is not None:
            raise fault

    # Before the fit.

    def _newest_whole(self) -> Checkpoint | None:
        """The newest checkpoint that can be read. Damaged ones are named, kept and passed over."""
        for _, path in self.run.checkpoints:
            try:
                return read_checkpoint(path)
            except FileFormatError as error:
                warnings.warn(f"{error} It is kept as {archive.set_aside(path).name}, and an older one is looked for.",
                              UserWarning, stacklevel=5)
        return None

    def _remove_unfinished(self) -> None:
        """Remove what a killed process was writing."""
        for folder in (self.run.folder, self._folder):
            for path in folder.glob(".*.part") if folder.is_dir() else ():
                with contextlib.suppress(OSError):
                    path.unlink()


def _check_fits(checkpoint: Checkpoint, optimizer, state, memories: list[Memory]) -> None:
    wanted = {name: value for name, value in state._asdict().items() if name != "order"}
    kinds = [jax.tree.map(lambda leaf: (str(leaf.dtype), tuple(leaf.shape)), tree) if tree.keys() == wanted.keys()
             else None for tree in (checkpoint.run, wanted)]
    if kinds[0] != kinds[1]:
        raise FileFormatError("its arrays are not those of this network and its optimiser")
    if set(checkpoint.hyperparameters) != set(optimizer.hyperparameters()):
        raise FileFormatError("its hyperparameters are not those of this optimiser")
    if [name for name, _ in checkpoint.callbacks] != [memory.name for memory in memories]:
        raise FileFormatError("its callbacks are not those of this fit")


def _notes(run: Run) -> dict[str, Any]:
    """What shall be noted, or was when the run was first begun."""
    with contextlib.suppress(ChainruleError):  # it is new, or what was written is damaged
        return run.notes or run.settings.get("notes", {})
    return run.notes


def _described(run: Run) -> str:
    newest = run.checkpoints
    return f"{run.status}, saved at {newest[0][0]}" if newest else f"{run.status}, without a checkpoint"


def _make_folder(run: Run) -> None:
    folder = run.folder
    if os.path.exists(folder) and not folder.is_dir():
        raise FileAccessError(f"{folder} is a file. A run is kept in a folder: give another name.")
    with _making(folder):
        if os.path.isdir(folder) and not run.exists and any(not _is_own(path) for path in folder.iterdir()):
            raise FileAccessError(f"{folder} holds other files, and no run. Give a folder of its own: "
                                  f"{folder / 'first'}.")
        folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def _making(folder: Path):
    """The one place that words why a folder cannot be made."""
    try:
        yield
    except FileAccessError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise FileAccessError(f"{folder} cannot be made: {getattr(error, 'strerror', None) or error}.") from error


def _is_own(path: Path) -> bool:
    """Whether a file may be left by a run that was killed while it was begun."""
    return path.name in ("lock", "environment.json") or path.name.endswith(".part")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(_readable(content), indent=1, sort_keys=True, allow_nan=False).encode()
    archive.write_atomically(path, lambda file: file.write(text))


def _readable(value):
    """What JSON can hold of a value that people shall read: all that is no number, text, list or dict as text."""
    if isinstance(value, Mapping):
        return {str(key): _readable(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(part) for part in value]
    value = value.item() if getattr(value, "ndim", None) == 0 else value
    if value is None or isinstance(value, (bool, int, str)) or isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)
