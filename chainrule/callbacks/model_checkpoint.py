"""Files of the model, written while it is trained."""
import contextlib
import os
import string
import time
from pathlib import Path

from chainrule.callbacks.checks import check_path, check_whole
from chainrule.callbacks.monitor import is_better, monitored
from chainrule.errors import SettingError, did_you_mean
from chainrule.schedules import check_number
from chainrule.training.events import Callback
from chainrule.training.figures import larger_is_better


class ModelCheckpoint(Callback):
    """Writes the model to a file after every epoch, after the best ones only, after so many steps, or after a time.

    The name may have places for the number of the epoch (from 1), of the step in it (`batch`, from 1) and for figures:
    `"{epoch:03d}-{val_loss:.3f}.chain"`. A file is written beside and put in its place at once: whatever happens, there
    is the old one or the new one. Its folder is made.

    Args:
        filepath: the file.
        monitor: the figure that says which model is best.
        verbose: 1 prints a line for each file.
        save_best_only: whether a file is written only where `monitor` improved.
        save_weights_only: whether files hold the weights alone, for `model.load_weights`.
        mode: `"min"`, `"max"`, or `"auto"` by the figure's name.
        save_freq: `"epoch"`, or after how many steps, counted over the whole fit, a file is written.
        initial_value_threshold: a value that must be beaten by the first file, such as that of the best model so far.
        every_epochs: after how many epochs a file is written.
        every_minutes: after how many minutes a file is written, whatever the epoch.
        keep_last: how many files are kept: an older one is deleted when a newer one is there.

    Attributes:
        best: the value of `monitor` in the best file; `None` before the first.
        saved: the files that were written in this fit and not deleted, the oldest first.

    Example:
        >>> ModelCheckpoint("best.chain", monitor="val_loss", save_best_only=True).best is None
        True
    """

    def __init__(self, filepath, monitor: str = "val_loss", verbose: int = 0, save_best_only: bool = False,
                 save_weights_only: bool = False, mode: str = "auto", save_freq: str | int = "epoch",
                 initial_value_threshold: float | None = None, *, every_epochs: int = 1,
                 every_minutes: float | None = None, keep_last: int | None = None):
        self.filepath = check_path(self, "filepath", filepath)
        self.fields = _fields(self.filepath)
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int) or save_freq < 1):
            raise SettingError(f"ModelCheckpoint: save_freq is 'epoch' or a number of steps; got {save_freq!r}.")
        check_whole(self, "every_epochs", every_epochs)
        if every_minutes is not None:
            check_number(self, "every_minutes", every_minutes, above=0)
        if keep_last is not None:
            check_whole(self, "keep_last", keep_last)
        if initial_value_threshold is not None:
            check_number(self, "initial_value_threshold", initial_value_threshold)
        chosen = [text for text, is_chosen in (
            (f"save_freq={save_freq!r}", save_freq != "epoch"), (f"every_epochs={every_epochs}", every_epochs != 1),
            (f"every_minutes={every_minutes}", every_minutes is not None)) if is_chosen]
        if len(chosen) > 1:
            raise SettingError(f"ModelCheckpoint: {' and '.join(chosen)} exclude each other. Give one of them, or two "
                               f"callbacks.")
        if save_best_only and chosen and not chosen[0].startswith("every_epochs") and (
                monitor.startswith("val_") or every_minutes is not None):
            raise SettingError(f"ModelCheckpoint: {monitor!r} is known at the end of an epoch, and {chosen[0]} writes "
                               f"within one. Leave it out, or leave save_best_only out.")
        self.monitor, self.verbose, self.mode = monitor, verbose, mode
        self.larger = larger_is_better(monitor, mode)
        self.save_best_only, self.save_weights_only, self.save_freq = save_best_only, save_weights_only, save_freq
        self.initial_value_threshold, self.every_epochs = initial_value_threshold, every_epochs
        self.every_minutes, self.keep_last = every_minutes, keep_last
        self.clock: float | None = None
        if save_freq != "epoch":
            self.batch_interval = save_freq
            self.on_train_batch_end = self._end_step  # in the object: a class that has it stops at every step
        if every_minutes is not None:
            self.on_segment = self._look_at_clock
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = self.initial_value_threshold
        self.saved: list[str] = []
        self.epoch = 0

    def on_train_begin(self, logs=None):
        self._forget()
        self.clock = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        by_epochs = self.save_freq == "epoch" and self.every_minutes is None
        if by_epochs and (epoch + 1) % self.every_epochs == 0:
            self._consider(epoch, self.params.get("steps", 0), logs or {})

    def _end_step(self, batch, logs=None):
        self._consider(self.epoch, batch + 1, logs or {})

    def _look_at_clock(self, epoch, step, logs=None):
        if time.monotonic() - self.clock >= 60 * self.every_minutes:
            self._save(epoch, step, logs or {})
            self.clock = time.monotonic()

    def _consider(self, epoch: int, batch: int, logs) -> None:
        """Write a file, unless only the best are kept and this is not one."""
        if self.save_best_only:
            value = monitored(self, self.monitor, logs)
            if value is None or not is_better(value, self.best, self.larger):
                return
            if self._save(epoch, batch, logs):
                self.best = value
        else:
            self._save(epoch, batch, logs)

    def _save(self, epoch: int, batch: int, logs) -> bool:
        """Write a file, unless its name needs figures of a validation that was not due."""
        values = {**logs, "epoch": epoch + 1, "batch": batch}
        for field in self.fields:
            if field not in values and self._is_of_validation(field, logs):
                return False
            if field not in values:
                raise SettingError(f"ModelCheckpoint: filepath={self.filepath!r} needs {field!r}, which this fit does "
                                   f"not report here. {did_you_mean(field, values)}")
        try:
            path = self.filepath.format(**values)
        except (ValueError, TypeError) as error:
            raise SettingError(f"ModelCheckpoint: filepath={self.filepath!r} cannot be filled in: {error}.") from error
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if self.verbose:
            print(f"Epoch {epoch + 1}: {self._why(logs)}written to {path}.")
        self.saved = [other for other in self.saved if other != path] + [path]
        while self.keep_last is not None and len(self.saved) > self.keep_last:
            with contextlib.suppress(FileNotFoundError):
                os.remove(self.saved[0])
            self.saved = self.saved[1:]
        return True

    def _is_of_validation(self, field: str, logs) -> bool:
        return field.startswith("val_") and field[4:] in logs and bool(self.params.get("validation_freq"))

    def _why(self, logs) -> str:
        return f"{self.monitor} improved to {logs[self.monitor]:.5g}, " if self.save_best_only else ""

    def get_state(self) -> dict:
        return {"best": self.best, "saved": self.saved, "epoch": self.epoch}


def _fields(filepath: str) -> list[str]:
    """The names of the places in a name."""
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(filepath) if field is not None]
    except ValueError as error:
        raise SettingError(f"ModelCheckpoint: filepath={filepath!r} cannot be read: {error}. Write a brace of the name "
                           f"itself twice.") from error
    for field in fields:
        if not field.isidentifier():
            raise SettingError(f"ModelCheckpoint: filepath={filepath!r} has the place {{{field}}}, which is no name of "
                               f"a figure. Write {{epoch}}, {{batch}} or {{val_loss:.3f}}.")
    return fields
