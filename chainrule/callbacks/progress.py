"""Progress where people look at it: one live line on terminals and in notebooks, plain lines elsewhere.

A line is drawn at most four times a second, however many epochs pass in that time, so that watching costs nothing.
"""
import sys
import time
from typing import TYPE_CHECKING

from chainrule.devices import describe_device
from chainrule.errors import SettingError
from chainrule.training.events import Callback

if TYPE_CHECKING:  # it takes a while to import, and only a live line needs it
    from rich.console import Console
    from rich.live import Live

_REFRESH_SECONDS = 0.25
_MEASURE_SECONDS = 1.0  # before this much has passed, the time left would be a wild guess
_MOST_LINES = {1: 20, 2: 100}  # epochs that get a line of their own, by verbosity; of more, about 20 evenly


def resolve_verbosity(verbose) -> int:
    """0, 1 or 2; `"auto"` is 1 where somebody watches (a terminal, a notebook) and 2 elsewhere."""
    if verbose == "auto":
        return 1 if sys.stdout.isatty() or in_notebook() else 2
    if verbose not in (0, 1, 2):
        raise SettingError(f"verbose is 0 (silent), 1 (live), 2 (one line an epoch) or 'auto'; got {verbose!r}.")
    return int(verbose)


def in_notebook() -> bool:
    """Whether output goes into the cell of a notebook."""
    if "IPython" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter


def format_figures(figures) -> str:
    """Figures as a line.

    Example:
        >>> format_figures({"loss": 0.12344, "learning_rate": 0.00025})
        'loss 0.1234  learning_rate 2.5e-04'
    """
    return "  ".join(f"{name} {value:.1e}" if 0 < abs(value) < 1e-3 else f"{name} {value:.4f}"
                     for name, value in figures.items())


def format_seconds(seconds: float) -> str:
    """A duration in the two units that matter.

    Example:
        >>> [format_seconds(value) for value in (0.51, 12.4, 75, 3720)]
        ['0.5 s', '12 s', '1 min 15 s', '1 h 2 min']
    """
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def has_line(epoch: int, epochs: int, most: int) -> bool:
    """Whether an epoch (from 0) gets a line of its own: all do where there are few, else about 20 evenly."""
    return epochs <= most or (epoch + 1) % max(round(epochs / 20), 1) == 0


class TerminalLine:
    """One line at the bottom of a terminal that is drawn anew, and lines above it that stay."""

    def __init__(self, console: "Console | None" = None):
        from rich.console import Console

        self.console = console or Console(highlight=False)
        self.live: Live | None = None

    def draw(self, label: str, share: float, left: str, text: str) -> None:
        """Show how far it is: a label, a bar, the time left, and text that is cut where the terminal ends."""
        from rich.live import Live
        from rich.progress_bar import ProgressBar
        from rich.table import Column, Table
        from rich.text import Text

        columns = [Column(no_wrap=True, overflow="ellipsis", ratio=ratio) for ratio in (None, None, None, 1)]
        grid = Table(*columns, box=None, show_header=False, padding=(0, 2, 0, 0),
                     width=max(self.console.width - 4, 20))  # room for the ^C that a terminal echoes
        grid.add_row(label, ProgressBar(total=1.0, completed=share, width=12), Text(left, "cyan"), text)
        if self.live is None:
            self.live = Live(console=self.console, auto_refresh=False, transient=True)
            self.live.start()
        self.live.update(grid, refresh=True)

    def keep(self, text: str) -> None:
        """Write a line that stays."""
        self.console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was found."""
        if self.live is not None:
            self.live.stop()
            self.live = None


class NotebookLine:
    """The same in the output of a notebook's cell: plain text that is replaced, no widgets."""

    def __init__(self):
        self.kept: list[str] = []
        self.handle = None

    def draw(self, label: str, share: float, left: str, text: str) -> None:
        bar = "█" * round(12 * share)
        self._show([*self.kept, f"{label}  {bar:░<12}  {left}  {text}"])

    def keep(self, text: str) -> None:
        self.kept.append(text)

    def close(self) -> None:
        self._show(self.kept)

    def _show(self, lines: list[str]) -> None:
        from IPython.display import display

        content = {"text/plain": "\n".join(lines)}
        if self.handle is None:
            self.handle = display(content, raw=True, display_id=True)
        else:
            self.handle.update(content, raw=True)


def live_line() -> TerminalLine | NotebookLine:
    """The kind of live line that fits where the program runs."""
    return NotebookLine() if in_notebook() else TerminalLine()


class Watch:
    """How far something has come, and when it is worth drawing again.

    Args:
        line: where to draw.
        total: the amount of work.
        rows: rows in a unit of work, for the rate.
    """

    def __init__(self, line: TerminalLine | NotebookLine, total: float, rows: float):
        self.line, self.total, self.rows = line, total, rows
        self.drawn = -1.0
        self.first: tuple[float, float] | None = None  # time and work after the first call, which compiles

    def advance(self, done: float, label: str, figures) -> None:
        """Note how much is done; draw it if that was not just done."""
        now = time.perf_counter()
        if now - self.drawn < _REFRESH_SECONDS:
            return
        self.drawn = now
        self.first = self.first or (now, done)
        seconds = now - self.first[0]
        rate = (done - self.first[1]) / seconds if seconds >= _MEASURE_SECONDS else 0.0
        left = f"{format_seconds((self.total - done) / rate)} left" if rate else ""
        speed = f"  {rate * self.rows:,.0f} rows/s" if rate else ""
        self.line.draw(label, min(done / max(self.total, 1), 1.0), left, format_figures(figures) + speed)


class TrainingProgress(Callback):
    """Shows where training runs, and epochs as they pass, with figures, time left and rows a second. `fit` adds it.

    Args:
        verbosity: 0 for nothing, 1 for a live line, 2 for plain lines.
    """

    passive = True

    def __init__(self, verbosity: int):
        self.verbosity = verbosity
        self.line = live_line() if verbosity == 1 else None

    def on_train_begin(self, logs=None):
        self.started = time.perf_counter()
        self.last: tuple[int, dict] | None = None  # an epoch that has no line yet
        epochs, steps = self.params["epochs"], self.params["steps"]
        self.watch = Watch(self.line, epochs * steps, self.params["samples"] / steps)
        if self.verbosity:
            self._say(f"Training on {describe_device()}")
            if self.params.get("resumed_from"):
                self._say(f"Going on from {self.params['resumed_from']}")
        if self.line is not None:
            self.line.draw(f"Epoch {self._number(0)}", 0.0, "", "compiling")

    def on_segment(self, epoch, step, logs=None):
        self._advance(epoch, step, logs or {})

    def on_epoch_end(self, epoch, logs=None):
        if self.verbosity == 0:
            return
        self.last = epoch, logs or {}
        if has_line(epoch, self.params["epochs"], _MOST_LINES[self.verbosity]):
            self._keep()
        self._advance(epoch + 1, 0, logs or {})

    def on_train_end(self, logs=None):
        if self.verbosity and self.last is not None:
            self._keep()  # the last epoch always has a line
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was found."""
        if self.line is not None:
            self.line.close()

    def _advance(self, epoch: int, step: int, figures) -> None:
        if self.line is not None:
            done = epoch * self.params["steps"] + step
            self.watch.advance(done, f"Epoch {self._number(epoch - (step == 0))}", figures)

    def _keep(self) -> None:
        (epoch, figures), self.last = self.last, None
        text = f"{self._number(epoch)}  {format_figures(figures)}"
        if self.line is None:
            text = f"Epoch {text}  {format_seconds(time.perf_counter() - self.started)}"
        self._say(text)

    def _say(self, text: str) -> None:
        """Write a line that stays."""
        if self.line is not None:
            self.line.keep(text)
        else:
            print(text, flush=True)

    def _number(self, epoch: int) -> str:
        epochs = self.params["epochs"]
        return f"{epoch + 1:>{len(str(epochs))}}/{epochs}"


class EvaluationProgress(Callback):
    """Shows the figures of an evaluation, or how far a prediction has come. `evaluate` and `predict` add it.

    Args:
        verbosity: 0 for nothing, 1 for a live line and a line at the end, 2 for the line at the end.
    """

    passive = True

    def __init__(self, verbosity: int):
        self.verbosity = verbosity
        self.line = live_line() if verbosity == 1 else None

    def on_test_end(self, logs=None):
        if self.verbosity:
            print(f"{self.params['samples']:,} rows  {format_figures(logs or {})}", flush=True)

    def on_predict_begin(self, logs=None):
        self.started = time.perf_counter()
        self.watch = Watch(self.line, self.params["steps"], self.params["samples"] / max(self.params["steps"], 1))

    def on_predict_batch_end(self, batch, logs=None):
        if self.line is not None:
            self.watch.advance(batch + 1, f"Batch {batch + 1}/{self.params['steps']}", {})

    def on_predict_end(self, logs=None):
        self.close()
        if self.verbosity:
            print(f"{self.params['samples']:,} rows  {format_seconds(time.perf_counter() - self.started)}", flush=True)

    def close(self) -> None:
        """Leave the terminal as it was found."""
        if self.line is not None:
            self.line.close()
