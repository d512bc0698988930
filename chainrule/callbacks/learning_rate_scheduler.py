"""A learning rate chosen by a function of the epoch."""
import inspect

from chainrule.errors import SettingError
from chainrule.training.events import Callback


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch.

    `history.history["learning_rate"]` has the rate that each epoch was trained with.

    Args:
        schedule: a function of the epoch (from 0), or of the epoch and the present rate, that returns the rate.
        verbose: 1 prints it.

    Example:
        >>> callback = LearningRateScheduler(lambda epoch, rate: rate * 0.9)
    """

    sets_learning_rate = True

    def __init__(self, schedule, verbose: int = 0):
        if not callable(schedule):
            raise SettingError(f"LearningRateScheduler takes a function of the epoch; got {schedule!r}.")
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch, logs=None):
        takes_rate = len(inspect.signature(self.schedule).parameters) > 1
        present = self.model.optimizer.learning_rate
        rate = float(self.schedule(epoch, present) if takes_rate else self.schedule(epoch))
        self.model.optimizer.learning_rate = rate
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {rate:.6g}.")

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
