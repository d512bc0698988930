"""A callback made of functions."""
from chainrule.errors import SettingError, did_you_mean
from chainrule.training.events import EVENTS, Callback


class LambdaCallback(Callback):
    """Functions for events, by the events' names, with the same arguments as the methods of `Callback`.

    Args:
        passive: whether the functions only read the figures they are handed: the fit then need not stop for them.
        batch_interval: how many steps pass between two calls of those for steps.
        events: `on_epoch_end=lambda epoch, logs: ...` and so on.

    Example:
        >>> callback = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
        >>> callback.on_epoch_end(0, {"loss": 0.5})
        0 0.5
    """

    def __init__(self, passive: bool = False, batch_interval: int = 1, **events):
        self.passive, self.batch_interval = passive, batch_interval
        for event, function in events.items():
            if event not in EVENTS:
                raise SettingError(f"There is no event {event!r}. {did_you_mean(event, EVENTS)}")
            if function is not None:
                setattr(self, event, function)
