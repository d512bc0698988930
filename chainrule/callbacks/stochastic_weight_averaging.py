"""The average of the weights of the last epochs."""
import jax
import numpy as np

from chainrule.callbacks.checks import check_whole
from chainrule.errors import SettingError
from chainrule.training.events import Callback


class Average:
    """What callbacks that end a fit with an average of the weights have in common: taking their place."""

    averages_weights = True
    left: list | None = None

    @property
    def stale_statistics(self) -> bool:
        """Whether the model has the average, to which its running statistics do not belong."""
        if self.left is None:
            return False
        return all(one is two for one, two in zip(jax.tree.leaves(self.model.variables()[0]), self.left, strict=True))

    def leave(self, average) -> None:
        """End with the average as the weights. Another callback may still put others in their place."""
        self.model.set_variables(average, self.model.variables()[1])
        self.left = jax.tree.leaves(self.model.variables()[0])


class StochasticWeightAveraging(Average, Callback):
    """Ends with the average of the weights after each of the last epochs, which often does better on new data.

        average = (w_s + w_{s+k} + w_{s+2k} + ...) / n

    with w_e the weights after epoch e, s the `start_epoch` and k `every_epochs`.

    The running statistics of batch normalisation do not belong to such weights. They are taken anew by a pass over the
    training data when training ends, as averages over its batches; data that are streamed are read once more for it.
    Layers of your own that keep such statistics say by which setting, `statistics_momentum = "momentum"`.
    The figures in the history are those of the weights that were trained. With `EarlyStopping(
    restore_best_weights=True)` the one that comes last in `callbacks` decides how the fit ends.

    Args:
        start_epoch: the first epoch (from 0) whose weights count.
        every_epochs: after how many epochs the weights count again.

    Attributes:
        count: of how many epochs the average was made; 0 where training stopped before `start_epoch`, and the weights
            are left as they are.

    Raises:
        SettingError: in `fit`, where it ends before `start_epoch`, or where running statistics cannot be taken anew.

    Reference: Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization (2018).

    Example:
        >>> StochasticWeightAveraging(start_epoch=10).every_epochs
        1
    """

    def __init__(self, start_epoch: int, every_epochs: int = 1):
        self.start_epoch = check_whole(self, "start_epoch", start_epoch, minimum=0)
        self.every_epochs = check_whole(self, "every_epochs", every_epochs)
        self.average, self.count = None, 0

    def on_train_begin(self, logs=None):
        if self.params["epochs"] <= self.start_epoch:
            raise SettingError(f"StochasticWeightAveraging: start_epoch={self.start_epoch} is never reached by a "
                               f"fit of epochs={self.params['epochs']}; epochs count from 0.")
        self.average, self.count, self.left = None, 0, None

    def on_epoch_end(self, epoch, logs=None):
        if epoch < self.start_epoch or (epoch - self.start_epoch) % self.every_epochs:
            return
        weights = jax.tree.map(np.asarray, self.model.variables()[0])
        self.count += 1
        move = lambda average, weight: average + (weight - average) / np.asarray(self.count, weight.dtype)
        self.average = weights if self.average is None else jax.tree.map(move, self.average, weights)

    def on_train_end(self, logs=None):
        if self.average is not None:
            self.leave(self.average)
            self.average = None
