"""Ending a fit after a time."""
import datetime
import time

from chainrule.callbacks.progress import format_seconds
from chainrule.errors import SettingError
from chainrule.schedules import check_number
from chainrule.training.events import Callback


class Timer(Callback):
    """Stops training after a time, at the end of the call of the program that is under way: about half a second later.

    The epoch that is cut short has no figures in the history. The time of a fit that goes on from a checkpoint counts
    from the beginning of the first, without the pause between them.

    Args:
        duration: the time, as a `datetime.timedelta`; or give
        seconds, minutes: the time as a number.
        verbose: 1 prints a line when it stops.

    Attributes:
        elapsed: how many seconds the fit has taken.
        reason: why it stopped; `None` where it did not.

    Example:
        >>> Timer(minutes=30).limit, Timer(datetime.timedelta(hours=1)).limit
        (1800.0, 3600.0)
    """

    passive = True  # it looks at the clock alone, so the program need not stop for it at the end of each epoch

    def __init__(self, duration: datetime.timedelta | None = None, *, seconds: float | None = None,
                 minutes: float | None = None, verbose: int = 0):
        given = {"duration": duration, "seconds": seconds, "minutes": minutes}
        given = {name: value for name, value in given.items() if value is not None}
        if len(given) != 1:
            came = " and ".join(given) or "nothing"
            raise SettingError(f"Timer takes one of seconds=..., minutes=... and a datetime.timedelta; got {came}.")
        if duration is not None and not isinstance(duration, datetime.timedelta):
            raise SettingError(f"Timer: duration must be a datetime.timedelta; got {duration!r}. A number has a unit: "
                               f"Timer(seconds=...) or Timer(minutes=...).")
        name, value = given.popitem()
        value = value.total_seconds() if name == "duration" else value
        check_number(self, name, value, above=0)
        self.limit = float(value) * (60 if name == "minutes" else 1)
        self.duration, self.seconds, self.minutes, self.verbose = duration, seconds, minutes, verbose
        self._begin(0.0)

    def _begin(self, before: float) -> None:
        self.elapsed, self.reason = before, None
        self.started = time.monotonic() - before

    def on_train_begin(self, logs=None):
        self._begin(0.0)

    def on_segment(self, epoch, step, logs=None):
        self.elapsed = time.monotonic() - self.started
        if self.elapsed < self.limit or self.model.stop_training:
            return
        self.model.stop_training = True
        self.reason = (f"Stopped in epoch {epoch + 1}, after {step} of {self.params['steps']} steps: "
                       f"{format_seconds(self.limit)} have passed.")
        if self.verbose:
            print(self.reason)

    def get_state(self) -> dict:
        return {"elapsed": self.elapsed}

    def set_state(self, state) -> None:
        self._begin(state["elapsed"])
