"""The callback that writes the figures of a fit into an SQLite file."""
import sqlite3
import time
import warnings

from chainrule.callbacks.checks import check_path, check_whole
from chainrule.runs.metrics import MetricsFile
from chainrule.training.events import Callback

# Rows are written together: figures of a small network come thousands of times a second.
_WRITE_SECONDS = 0.5


class RunRecorder(Callback):
    """Writes figures by step and by epoch into SQLite tables that may be read at any time.

    The table `epochs` has the columns `epoch, name, value, time`, and `steps` has `epoch, step, name, value, time`;
    `step` counts the finished steps of the epoch. `fit(..., run="runs/first")` adds one of these by itself.

    Args:
        path: the file, or a `MetricsFile`.
        log_steps: after how many steps figures are written down, beside those of each epoch.

    Example:
        >>> RunRecorder("metrics.sqlite", log_steps=100).batch_interval
        100
    """

    passive = True

    def __init__(self, path, log_steps: int = 200):
        self.metrics = path if isinstance(path, MetricsFile) else MetricsFile(check_path(self, "path", path))
        self.batch_interval = check_whole(self, "log_steps", log_steps)
        self._epoch, self._step, self._written = 0, 0, 0.0
        self._anew, self._warned = True, False

    def on_train_begin(self, logs=None):
        self._anew = True

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._step = epoch, 0
        if self._anew:
            self.metrics.cut(epoch, 0)  # what an earlier fit may have left
        self._anew = False

    def on_train_batch_end(self, batch, logs=None):
        self._step = batch + 1
        self.metrics.add_step(self._epoch, self._step, logs or {})
        self._write()

    def on_epoch_end(self, epoch, logs=None):
        self.metrics.add_epoch(epoch, logs or {})
        self._epoch, self._step = epoch + 1, 0
        self._write()

    def get_state(self):
        self._write(at_once=True)
        return {"epoch": self._epoch, "step": self._step}

    def set_state(self, state):
        """Forget what lies behind the place that the run went back to, and add what the file may lack before it."""
        self._epoch, self._step, self._anew = state["epoch"], state["step"], False
        self.metrics.cut(self._epoch, self._step)
        history = self.model.history
        for name, values in history.history.items():
            for epoch, value in zip(history.epochs_of(name), values, strict=True):
                self.metrics.add_epoch(epoch, {name: value}, replace=False)

    def close(self) -> None:
        """Write what is left, and let go of the file."""
        self._write(at_once=True)
        self.metrics.close()

    def _write(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self._written < _WRITE_SECONDS:
            return
        self._written = now
        try:
            self.metrics.flush()
        except (sqlite3.Error, OSError) as error:  # no reason to end a training: it is tried again
            if not self._warned:
                warnings.warn(f"The figures could not be written to {self.metrics.path}: {error}. Training goes on, "
                              f"and it is tried again.", UserWarning, stacklevel=3)
            self._warned = True
