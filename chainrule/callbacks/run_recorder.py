"""The callback that writes the figures of a fit into an SQLite file."""
import sqlite3
import time
import warnings

from chainrule.errors import SettingError
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
        if isinstance(log_steps, bool) or not isinstance(log_steps, int) or log_steps < 1:
            raise SettingError(f"RunRecorder: log_steps must be an integer of at least 1; got {log_steps!r}.")
        self.metrics = path if isinstance(path, MetricsFile) else MetricsFile(path)
        self.batch_interval = log_steps
        self._epoch, self._step, self._written = 0, 0, 0.0
        self._warned = False

    def on_train_begin(self, logs=None):
        self._epoch, self._step = 0, 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._step = epoch, 0

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
        self._epoch, self._step = state["epoch"], state["step"]
        self.metrics.cut(self._epoch, self._step)
        history = self.model.history
        for row, epoch in enumerate(history.epoch):
            # A figure that some epochs did not report (validation_freq) does not say which epochs its values are of.
            figures = {name: values[row] for name, values in history.history.items()
                       if len(values) == len(history.epoch)}
            self.metrics.add_epoch(epoch, figures, replace=False)

    def close(self) -> None:
        """Write what is left."""
        self._write(at_once=True)

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
