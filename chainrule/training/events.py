"""What happens during training, evaluation and prediction, in order, and who is told.

Callbacks act on the host between calls of the compiled program. How often the program stops follows from what they
ask for: batches, epochs, or nothing.
"""
from collections.abc import Iterable
from typing import Any

from chainrule.errors import SettingError

EVENTS = (
    "on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end", "on_test_begin",
    "on_test_batch_begin", "on_test_batch_end", "on_test_end", "on_epoch_end", "on_train_end", "on_predict_begin",
    "on_predict_batch_begin", "on_predict_batch_end", "on_predict_end")


class Callback:
    """The parent of every callback: write the events that matter, leave out the others.

    Inside an event `self.model` is the model as it stands; `self.model.optimizer.learning_rate = ...` holds from the
    next step on, and `self.model.stop_training = True` ends the fit after this event.

    Attributes:
        passive: `True` for a callback that reads only the figures it is handed. It may be told of several epochs at
            once, after they ended, so that the program need not stop for it.
        sets_learning_rate: `True` for a callback that changes the learning rate: it excludes a schedule.
        params: how the fit was asked for: `epochs`, `steps`, `samples`, `metrics`, `verbose`.

    Example:
        >>> class Halve(Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         self.model.optimizer.learning_rate /= 2
    """

    passive = False
    sets_learning_rate = False
    model: Any = None
    params: dict[str, Any] = {}

    def set_model(self, model) -> None:
        """Receive the model before anything else happens."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive how the fit was asked for."""
        self.params = params

    def on_train_begin(self, logs=None):
        """Before the first epoch."""

    def on_train_end(self, logs=None):
        """After the last epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        """Before an epoch; epochs count from 0."""

    def on_epoch_end(self, epoch, logs=None):
        """After an epoch and its validation; `logs` holds its figures and may be added to."""

    def on_train_batch_begin(self, batch, logs=None):
        """Before a step."""

    def on_train_batch_end(self, batch, logs=None):
        """After a step; `logs` holds the figures of the epoch so far."""

    def on_test_begin(self, logs=None):
        """Before an evaluation, validation included."""

    def on_test_end(self, logs=None):
        """After an evaluation."""

    def on_test_batch_begin(self, batch, logs=None):
        """Before a batch of an evaluation."""

    def on_test_batch_end(self, batch, logs=None):
        """After a batch of an evaluation; `logs` holds the figures so far."""

    def on_predict_begin(self, logs=None):
        """Before a prediction."""

    def on_predict_end(self, logs=None):
        """After a prediction."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch, logs=None):
        """After a batch of a prediction; `logs` holds its `outputs`."""


class Events:
    """Tells callbacks, in their order, what happens.

    Args:
        callbacks: objects with the methods of `Callback`.
        model: handed to each.
        params: handed to each.
    """

    def __init__(self, callbacks: Iterable[Any], model, params: dict[str, Any]):
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if isinstance(callback, type) or not hasattr(callback, "set_model"):
                raise SettingError(
                    f"callbacks holds {callback!r}, which is not a callback. Give objects: "
                    f"callbacks=[EarlyStopping()], each a chainrule.callbacks.Callback.")
            callback.set_model(model)
            callback.set_params(params)

    def __getattr__(self, event: str):
        if event not in EVENTS:
            raise AttributeError(event)

        def tell(*arguments, logs=None):
            for callback in self.callbacks:
                getattr(callback, event)(*arguments, logs)

        return tell

    def wants(self, *events: str) -> bool:
        """Whether any callback has one of these events."""
        return any(getattr(type(callback), event, None) is not getattr(Callback, event)
                   or event in getattr(callback, "__dict__", {}) for callback in self.callbacks for event in events)

    def close(self) -> None:
        """Let callbacks that hold something (a live line, a file) put it back, also after an error or Ctrl-C."""
        for callback in self.callbacks:
            if hasattr(callback, "close"):
                callback.close()

    @property
    def watched(self) -> bool:
        """Whether any callback must see the model at the end of each epoch."""
        return any(not callback.passive for callback in self.callbacks)
