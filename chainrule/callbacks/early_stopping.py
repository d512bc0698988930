"""Ending a fit when a figure no longer improves."""
from chainrule.callbacks.checks import check_whole
from chainrule.callbacks.monitor import is_better, monitored
from chainrule.schedules import check_number
from chainrule.training.events import Callback
from chainrule.training.figures import larger_is_better


class EarlyStopping(Callback):
    """Stops training when a figure has not improved for some epochs.

    With `restore_best_weights` the model ends with the weights of its best epoch, whether it was stopped or ran to its
    last epoch.

    Args:
        monitor: the figure to watch.
        min_delta: how much better a value must be to count.
        patience: how many epochs may pass without improvement.
        verbose: 1 prints a line when it stops.
        mode: `"min"`, `"max"`, or `"auto"` by the figure's name.
        baseline: a value that must be beaten to count as an improvement.
        restore_best_weights: whether to end with the best weights.
        start_from_epoch: how many epochs to let pass before watching.

    Attributes:
        best, best_epoch: the best value and its epoch.
        stopped_epoch: where it stopped; 0 where it did not.

    Reference: Prechelt, Early Stopping - But When? (1998).

    Example:
        >>> EarlyStopping(monitor="val_loss", patience=5, restore_best_weights=True).patience
        5
    """

    def __init__(self, monitor: str = "val_loss", min_delta: float = 0.0, patience: int = 0, verbose: int = 0,
                 mode: str = "auto", baseline: float | None = None, restore_best_weights: bool = False,
                 start_from_epoch: int = 0):
        check_whole(self, "patience", patience, minimum=0)
        check_whole(self, "start_from_epoch", start_from_epoch, minimum=0)
        check_number(self, "min_delta", min_delta)
        if baseline is not None:
            check_number(self, "baseline", baseline)
        self.monitor, self.min_delta, self.patience, self.verbose = monitor, abs(min_delta), patience, verbose
        self.larger = larger_is_better(monitor, mode)
        self.baseline, self.restore_best_weights = baseline, restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.best_epoch, self.stopped_epoch, self.wait = 0, 0, 0
        self.best_variables = None

    def on_train_begin(self, logs=None):
        self._forget()

    def on_epoch_end(self, epoch, logs=None):
        value = monitored(self, self.monitor, logs or {})
        if value is None or epoch < self.start_from_epoch:
            return
        if is_better(value, self.best, self.larger, self.min_delta):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_variables = self.model.variables()
            if self.baseline is None or is_better(value, self.baseline, self.larger, self.min_delta):
                self.wait = 0
                return
        self.wait += 1
        if self.wait >= max(self.patience, 1) and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True
            if self.verbose:
                best = f"best {self.monitor} {self.best:.5g} at epoch {self.best_epoch + 1}"
                print(f"Epoch {epoch + 1}: stopped early; {best}.")

    def on_train_end(self, logs=None):
        if self.best_variables is not None:
            self.model.set_variables(*self.best_variables)
            self.best_variables = None  # they are the model's now; a copy would last until the next fit
