"""Lowering the learning rate when a figure no longer improves."""
from chainrule.callbacks.checks import check_whole
from chainrule.callbacks.monitor import is_better, monitored
from chainrule.schedules import check_number
from chainrule.training.events import Callback
from chainrule.training.figures import larger_is_better


class ReduceLROnPlateau(Callback):
    """Lowers the learning rate when a figure has not improved for some epochs.

        learning_rate = max(factor * learning_rate, min_lr)

    `history.history["learning_rate"]` has the rate that each epoch was trained with.

    Args:
        monitor: the figure to watch.
        factor: what the rate is multiplied by, below 1.
        patience: how many epochs may pass without improvement.
        verbose: 1 prints a line when it lowers the rate.
        mode: `"min"`, `"max"`, or `"auto"` by the figure's name.
        min_delta: how much better a value must be to count.
        cooldown: how many epochs to wait after lowering the rate before counting again.
        min_lr: the rate below which it does not go.

    Attributes:
        best: the best value so far.
        wait: how many epochs have passed since.

    Raises:
        SettingError: in `fit`, where the optimiser's rate is a schedule.

    Example:
        >>> ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=3).factor
        0.5
    """

    sets_learning_rate = True

    def __init__(self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, verbose: int = 0,
                 mode: str = "auto", min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0):
        check_number(self, "factor", factor, above=0, below=1)
        check_number(self, "min_delta", min_delta, minimum=0)
        check_number(self, "min_lr", min_lr, minimum=0)
        self.patience = check_whole(self, "patience", patience, minimum=0)
        self.cooldown = check_whole(self, "cooldown", cooldown, minimum=0)
        self.monitor, self.factor, self.verbose, self.mode = monitor, float(factor), verbose, mode
        self.min_delta, self.min_lr = float(min_delta), float(min_lr)
        self.larger = larger_is_better(monitor, mode)
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.wait, self.resting = 0, 0

    def on_train_begin(self, logs=None):
        self._forget()

    def on_epoch_end(self, epoch, logs=None):
        logs = {} if logs is None else logs
        rate = float(self.model.optimizer.learning_rate)
        value = monitored(self, self.monitor, logs)
        logs["learning_rate"] = rate
        if value is None:
            return
        if self.resting:
            self.resting, self.wait = self.resting - 1, 0
        if is_better(value, self.best, self.larger, self.min_delta):
            self.best, self.wait = value, 0
        elif not self.resting:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                self._lower(epoch, rate)

    def _lower(self, epoch: int, rate: float) -> None:
        self.model.optimizer.learning_rate = lower = max(rate * self.factor, self.min_lr)
        self.resting, self.wait = self.cooldown, 0
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate lowered from {rate:.6g} to {lower:.6g}.")
