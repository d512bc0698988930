"""Ending a fit quietly when its loss is no longer a number."""
from chainrule.training.events import Callback


class TerminateOnNaN(Callback):
    """Ends a fit whose loss is NaN or infinite, where it would else raise `NotFiniteError`.

    The model has the weights from before the step whose loss was not finite, and the history the epochs that ended
    before it.

    Attributes:
        reason: what the error would have said; `None` where all losses were finite.

    Example:
        >>> callback = TerminateOnNaN()
        >>> callback.on_not_finite(ValueError("The loss was not finite at epoch 2, step 1.")), callback.reason
        (True, 'The loss was not finite at epoch 2, step 1.')
    """

    passive = True
    reason: str | None = None

    def on_train_begin(self, logs=None):
        self.reason = None

    def on_not_finite(self, error) -> bool:
        self.reason = str(error)
        if self.params.get("verbose"):
            print(self.reason)
        return True
