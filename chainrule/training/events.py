"""What happens during training, evaluation and prediction, in order, and who is told.

Callbacks act on the host between calls of the compiled program. How often the program stops follows from what they
ask for: batches, epochs, or nothing.
"""
import functools
from collections.abc import Iterable
from typing import Any

from chainrule.errors import SettingError

EVENTS = (
    "on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end", "on_segment", "on_not_finite",
    "on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end", "on_epoch_end", "on_train_end",
    "on_predict_begin", "on_predict_batch_begin", "on_predict_batch_end", "on_predict_end")
BATCH_EVENTS = ("on_train_batch_begin", "on_train_batch_end")


class Callback:
    """The parent of every callback: write the events that matter, leave out the others.

    Inside an event `self.model` is the model as it stands; `self.model.optimizer.learning_rate = ...` holds from the
    next step on, and `self.model.stop_training = True` ends the fit after this event.

    Attributes:
        passive: `True` for a callback that reads only the figures it is handed. It may be told of several epochs at
            once, after they ended, so that the program need not stop for it.
        sets_learning_rate: `True` for a callback that changes the learning rate: it excludes a schedule.
        batch_interval: how many steps pass between two calls of `on_train_batch_begin` and of `on_train_batch_end`;
            the program stops for them only there. Steps are counted over the whole fit: the events are told when
            `epoch * steps + step`, the number of steps taken, is a multiple of it.
        averages_weights: `True` for a callback that may set `stale_statistics`: `fit` then looks first whether they can
            be taken anew.
        stale_statistics: `True` where the callback has left weights at the end of training to which the running
            statistics do not belong: they are then taken anew over the training data.
        params: how the fit was asked for: `epochs`, `steps`, `samples`, `batch_size`, `metrics`, `verbose`, and
            `validation_freq`, which is 0 where nothing is validated.

    Example:
        >>> class Halve(Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         self.model.optimizer.learning_rate /= 2
    """

    passive = False
    sets_learning_rate = False
    batch_interval: int = 1
    averages_weights = False
    stale_statistics = False
    model: Any = None
    params: dict[str, Any] = {}

    def set_model(self, model) -> None:
        """Receive the model before anything else happens."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive how the fit was asked for."""
        self.params = params

    def get_state(self) -> dict[str, Any] | None:
        """What the callback remembers, as plain data: numbers, texts, lists, dicts, tuples, `None`, trees of arrays.

        `None` means all attributes that are data and no arguments of the constructor.
        """

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what `get_state` gave: after `on_train_begin` of a fit that goes on."""
        self.__dict__.update(state)

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

    def on_segment(self, epoch, step, logs=None):
        """Between two calls of the program, about twice a second, at moments that depend on the clock.

        It is for what looks at time. `epoch` and `step` are where training goes on, `logs` the latest figures.
        """

    def on_not_finite(self, error) -> bool:
        """Before `error`, a `NotFiniteError`, is raised; `True` ends the fit without it.

        The model has the weights from before the step whose loss was not finite.
        """
        return False

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
            interval = getattr(callback, "batch_interval", 1)
            if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
                raise SettingError(f"{type(callback).__name__}: batch_interval is a number of steps, an integer of at "
                                   f"least 1; got {interval!r}.")
            callback.set_model(model)
            callback.set_params(params)

    def __getattr__(self, event: str):
        if event not in EVENTS:
            raise AttributeError(event)
        return functools.partial(self.tell, self.callbacks, event)

    def tell(self, callbacks: list, event: str, *arguments, logs=None) -> None:
        """Tell some callbacks of an event."""
        for callback in callbacks:
            getattr(callback, event)(*arguments, logs)

    def on_not_finite(self, error) -> bool:
        """Whether a callback ends the fit without the error; all are asked."""
        return any([callback.on_not_finite(error) for callback in self.callbacks])

    def listeners(self, *events: str) -> list:
        """The callbacks that have one of these events."""
        return [callback for callback in self.callbacks if any(
            getattr(type(callback), event, None) is not getattr(Callback, event)
            or event in getattr(callback, "__dict__", {}) for event in events)]

    def wants(self, *events: str) -> bool:
        """Whether any callback has one of these events."""
        return bool(self.listeners(*events))

    def due(self, event: str, taken: int) -> list:
        """The callbacks that are told of a step by this event when so many have been taken in all."""
        return [callback for callback in self.listeners(event) if taken % callback.batch_interval == 0]

    def steps_to_next(self, taken: int) -> int | None:
        """How many steps it is to the next of which a callback is told; `None` where none wants to be."""
        return min((callback.batch_interval - taken % callback.batch_interval
                    for callback in self.listeners(*BATCH_EVENTS)), default=None)

    def close(self) -> None:
        """Let callbacks that hold something (a live line, a file) put it back, also after an error or Ctrl-C."""
        for callback in self.callbacks:
            if hasattr(callback, "close"):
                callback.close()

    @property
    def watched(self) -> bool:
        """Whether any callback must see the model at the end of each epoch."""
        return any(not callback.passive for callback in self.callbacks)
