"""A moving average of the weights."""
import jax
import numpy as np

from chainrule.callbacks.checks import check_whole
from chainrule.callbacks.stochastic_weight_averaging import Average
from chainrule.errors import SettingError
from chainrule.schedules import check_number
from chainrule.training.events import Callback


class ExponentialMovingAverage(Average, Callback):
    """Ends with a moving average of the weights, which follows them as they are trained.

        average = momentum * average + (1 - momentum) * weights,  after every `every_steps` steps

    The first weights it sees start the average. The running statistics of batch normalisation are taken anew by a pass
    over the training data when training ends, as for `StochasticWeightAveraging`.

    The program stops every `every_steps` steps for it. An average that follows every step costs less as a setting of
    the optimiser, `Adam(use_ema=True)`, which does the same inside the program.

    Args:
        momentum: how slowly the average follows, from 0 to 1.
        every_steps: after how many steps, counted over the whole fit, it follows.
        swap_on_epoch: whether the model has the average between two epochs, where callbacks behind this one in
            `callbacks`, such as `ModelCheckpoint` and `EarlyStopping`, look at it. The figures of validation are those
            of the weights that are trained, and so are the running statistics.

    Attributes:
        average: the average as it stands during training.

    Raises:
        SettingError: in `fit`, where running statistics cannot be taken anew.

    Reference: Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging (1992).

    Example:
        >>> ExponentialMovingAverage(momentum=0.9, every_steps=10).batch_interval
        10
    """

    def __init__(self, momentum: float = 0.99, every_steps: int = 1, swap_on_epoch: bool = False):
        check_number(self, "momentum", momentum, minimum=0, maximum=1)
        if not isinstance(swap_on_epoch, bool):
            raise SettingError(
                f"ExponentialMovingAverage: swap_on_epoch must be True or False; got {swap_on_epoch!r}.")
        self.momentum, self.swap_on_epoch = float(momentum), swap_on_epoch
        self.every_steps = self.batch_interval = check_whole(self, "every_steps", every_steps)
        self.average, self.trained = None, None

    def on_train_begin(self, logs=None):
        self.average, self.trained, self.left = None, None, None

    def on_epoch_begin(self, epoch, logs=None):
        if self.trained is not None:
            self.model.set_variables(self.trained, self.model.variables()[1])
            self.trained = None

    def on_train_batch_end(self, batch, logs=None):
        weights = jax.tree.map(np.asarray, self.model.variables()[0])
        move = lambda average, weight: average + (weight - average) * np.asarray(1 - self.momentum, weight.dtype)
        self.average = weights if self.average is None else jax.tree.map(move, self.average, weights)

    def on_epoch_end(self, epoch, logs=None):
        if self.swap_on_epoch and self.average is not None:
            weights, state = self.model.variables()
            self.trained = jax.tree.map(np.asarray, weights)
            self.model.set_variables(self.average, state)

    def on_train_end(self, logs=None):
        if self.average is not None:
            self.leave(self.average)
            self.average, self.trained = None, None
