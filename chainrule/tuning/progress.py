"""How far a search is, where people look at it."""
import time
from collections.abc import Sequence

from chainrule.callbacks.progress import format_seconds, live_line
from chainrule.devices import describe_device
from chainrule.tuning.trial import Trial

_REFRESH_SECONDS = 0.25
_LINE_SECONDS = 3.0
_MEASURE_SECONDS = 1.0  # before this much has passed, the time left would be a wild guess


class SearchProgress:
    """Shows how many trials are over, the best so far, and the time left.

    Args:
        verbosity: 0 for nothing, 1 for a live line, 2 for plain lines.
        monitor: the figure to improve.
        names: what trials differ in.
    """

    def __init__(self, verbosity: int, monitor: str, names: Sequence[str]):
        self.verbosity, self.monitor, self.names = verbosity, monitor, names
        self.line = live_line() if verbosity == 1 else None
        self.began = time.perf_counter()
        self._drawn, self._kept, self._told = -1.0, self.began, -1

    def begin(self, known: int) -> None:
        """Say where it runs, and what is known already."""
        if self.verbosity:
            self._say(f"Searching on {describe_device()}")
            if known:
                self._say(f"Going on with {known} trials that are over")
        if self.line is not None:
            self.line.draw("Trials", 0.0, "", "compiling")

    def advance(self, over: int, trials: int | None, share: float, best: Trial | None) -> None:
        """Draw the live line anew, if that was not just done.

        Args:
            over: how many trials are over.
            trials: how many there will be, if that is known.
            share: how much of the search is done.
            best: the best trial so far.
        """
        now = time.perf_counter()
        if self.line is None or now - self._drawn < _REFRESH_SECONDS:
            return
        self._drawn, seconds = now, now - self.began
        left = f"{format_seconds(seconds / share - seconds)} left" if share and seconds > _MEASURE_SECONDS else ""
        of = "" if trials is None else f"/{trials}"
        self.line.draw(f"Trials {over}{of}", min(share, 1.0), left, self._best(best))

    def keep(self, over: int, trials: int | None, best: Trial | None, last: bool = False) -> None:
        """A line that stays, after some trials have ended; at most one every few seconds, and the last."""
        now = time.perf_counter()
        if not self.verbosity or over == self._told or (now - self._kept < _LINE_SECONDS and not last):
            return
        self._told, self._kept = over, now
        of = "" if trials is None else f" of {trials}"
        self._say(f"{over}{of} trials  {self._best(best)}  {format_seconds(time.perf_counter() - self.began)}")

    def say(self, text: str) -> None:
        """A line of another kind, where lines are shown at all."""
        if self.verbosity:
            self._say(text)

    def close(self) -> None:
        """Leave the terminal as it was found."""
        if self.line is not None:
            self.line.close()

    def _best(self, best: Trial | None) -> str:
        if best is None:
            return ""
        values = in_a_line(best, self.names)
        return f"best {self.monitor} {best.figure(self.monitor):.4f} (trial {best.number}: {values})"

    def _say(self, text: str) -> None:
        if self.line is not None:
            self.line.keep(text)
        else:
            print(text, flush=True)


def in_a_line(trial: Trial, names: Sequence[str]) -> str:
    """The values of a trial: `learning_rate 0.003, units 64`."""
    return ", ".join(f"{name} {format_value(trial.values[name])}" for name in names)


def format_value(value) -> str:
    """A value as tables show it.

    Example:
        >>> [format_value(value) for value in (0.0031622, 0.25, 64, "relu", (64, 32))]
        ['0.003162', '0.25', '64', 'relu', '64, 32']
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(format_value, value)) or "none"
    return getattr(value, "__name__", None) or str(value)
