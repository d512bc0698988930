"""Progress of a fit where people look at it: a live line an epoch on terminals and in notebooks, plain lines elsewhere."""
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from chainrule.errors import SettingError
from chainrule.training.events import Callback


def resolve_verbosity(verbose) -> int:
    """0, 1 or 2; `"auto"` is 1 where somebody watches (a terminal, a notebook) and 2 elsewhere."""
    if verbose == "auto":
        return 1 if _is_watched() else 2
    if verbose not in (0, 1, 2):
        raise SettingError(f"verbose is 0 (silent), 1 (live), 2 (one line an epoch) or 'auto'; got {verbose!r}.")
    return int(verbose)


def _is_watched() -> bool:
    return sys.stdout.isatty() or Console().is_jupyter


def format_figures(figures) -> str:
    """Figures as a line: `loss 0.1234  accuracy 0.9712`."""
    return "  ".join(f"{name} {value:.4g}" if abs(value) < 1e-3 and value else f"{name} {value:.4f}"
                     for name, value in figures.items())


class TrainingProgress(Callback):
    """Shows epochs as they pass, with figures, time left and rows a second. `fit` adds it by itself.

    Args:
        verbosity: 0 for nothing, 1 for a live line, 2 for one plain line an epoch.
    """

    passive = True

    def __init__(self, verbosity: int):
        self.verbosity = verbosity
        self.live: Progress | None = None

    def on_train_begin(self, logs=None):
        self.started = self.epoch_started = time.perf_counter()
        self.rows_seen = 0
        if self.verbosity == 1:
            self.live = Progress(TextColumn("{task.description}"), BarColumn(bar_width=20), TaskProgressColumn(),
                                 TimeRemainingColumn(), TextColumn("{task.fields[figures]}"), refresh_per_second=4)
            self.task = self.live.add_task("training", total=self.params["epochs"] * self.params["steps"], figures="")
            self.live.start()

    def on_segment(self, epoch, step, figures):
        """Part of an epoch has passed."""
        if self.live is not None:
            self._show(epoch, step, figures)

    def on_epoch_end(self, epoch, logs=None):
        if self.verbosity == 0:
            return
        now = time.perf_counter()
        line = f"Epoch {epoch + 1}/{self.params['epochs']}  {format_figures(logs or {})}"
        seconds = now - self.epoch_started
        self.epoch_started = now
        if self.live is not None:
            rate = self.params["samples"] / max(seconds, 1e-9)
            self._show(epoch + 1, 0, logs or {})
            if self.params["epochs"] <= 50 or seconds > 0.1 or epoch + 1 == self.params["epochs"]:
                self.live.console.print(f"{line}  {rate:,.0f} rows/s", highlight=False)
        else:
            print(f"{line}  {seconds:.2f} s", flush=True)

    def _show(self, epoch, step, figures) -> None:
        self.live.update(self.task, completed=epoch * self.params["steps"] + step,
                         description=f"Epoch {min(epoch + 1, self.params['epochs'])}/{self.params['epochs']}",
                         figures=format_figures(figures))

    def close(self) -> None:
        """Leave the terminal as it was found."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def on_train_end(self, logs=None):
        self.close()


class EvaluationProgress(Callback):
    """Shows the figures of an evaluation. `evaluate` adds it by itself.

    Args:
        verbosity: 0 for nothing, otherwise a line at the end.
    """

    passive = True

    def __init__(self, verbosity: int):
        self.verbosity = verbosity

    def on_test_end(self, logs=None):
        if self.verbosity:
            print(f"{self.params['samples']:,} rows  {format_figures(logs or {})}", flush=True)
