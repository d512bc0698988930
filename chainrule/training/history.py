"""The record of a fit: figures by name, one value an epoch."""
import html
import math
from collections.abc import Sequence
from typing import Any

from chainrule.training.figures import chosen_figures, larger_is_better


class History:
    """What `fit` returns.

    Attributes:
        epoch: the epochs' numbers, counted from 0.
        history: for each figure its values, one an epoch: `{"loss": [...], "val_loss": [...]}`.
        params: how the fit was asked for: epochs, steps an epoch, rows.
        model: the model that was trained.
        resumed_from: where a run went on, `(epoch, step)`; `None` where it began anew.

    Example:
        >>> history = History()
        >>> history.add(0, {"loss": 0.5})
        >>> history.history
        {'loss': [0.5]}
    """

    def __init__(self, model: Any = None, params: dict[str, Any] | None = None):
        self.model, self.params = model, dict(params or {})
        self.epoch: list[int] = []
        self.history: dict[str, list] = {}
        self.resumed_from: tuple[int, int] | None = None

    def add(self, epoch: int, figures: dict[str, Any]) -> None:
        """Append the figures of one epoch; a figure that is new gets its first value here."""
        self.epoch.append(epoch)
        for name, value in figures.items():
            self.history.setdefault(name, []).append(value)

    def epochs_of(self, name: str) -> list[int]:
        """The epochs that a figure has values for: all, or those after which validation was due.

        Example:
            >>> history = History(params={"validation_freq": 2})
            >>> for epoch in range(4):
            ...     history.add(epoch, {"loss": 0.5} | ({"val_loss": 0.6} if epoch % 2 else {}))
            >>> history.epochs_of("loss"), history.epochs_of("val_loss")
            ([0, 1, 2, 3], [1, 3])
        """
        count, every = len(self.history[name]), self.params.get("validation_freq", 1)
        if count == len(self.epoch):
            return list(self.epoch)
        due = [epoch for epoch in self.epoch if every and (epoch + 1) % every == 0]
        return due if len(due) == count else self.epoch[len(self.epoch) - count:]

    def plot(self, names: Sequence[str] | None = None):
        """A figure of Matplotlib: a panel for each figure of the fit, training and validation, the best epoch marked.

        It shows itself in a notebook; `history.plot().savefig("history.png")` keeps it. Its ground is transparent, and
        it reads on light and on dark pages.

        Args:
            names: the figures to draw, without `val_`; by default all of them.

        Raises:
            ImportError: Matplotlib is not installed.
            SettingError: there is nothing to draw, or no figure of such a name.

        Example:
            >>> history = History()
            >>> for epoch in range(3):
            ...     history.add(epoch, {"loss": 0.5 / (epoch + 1), "val_loss": 0.6 / (epoch + 1)})
            >>> [panel.get_title(loc="left") for panel in history.plot().axes]
            ['loss']
        """
        chosen = chosen_figures(self.history, names)
        try:
            from chainrule.training.history_plot import plot
        except ImportError as error:
            raise ImportError("Plots are drawn with Matplotlib, which is not installed: "
                              "pip install 'chainrule[plots]'.") from error
        both = {"training": "", "validation": "val_"}
        curves = {name: {kind: (self.epochs_of(prefix + name), self.history[prefix + name])
                         for kind, prefix in both.items() if prefix + name in self.history} for name in chosen}
        return plot(curves, {name: self._best(name) for name in chosen if self._best(name) is not None})

    def _best(self, name: str) -> tuple[int, float] | None:
        """The epoch in which a figure was best, in validation where there is one, and its value."""
        judged = f"val_{name}" if f"val_{name}" in self.history else name
        pairs = [(epoch, value) for epoch, value in zip(self.epochs_of(judged), self.history[judged], strict=True)
                 if math.isfinite(value)]
        if name == "learning_rate" or not pairs:
            return None
        return (max if larger_is_better(name, "auto") else min)(pairs, key=lambda pair: pair[1])

    def __repr__(self) -> str:
        if not self.epoch:
            return "<History of no epochs>"
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items())
        return f"<History of {len(self.epoch)} epochs: {last}>"

    def _repr_html_(self) -> str:
        """A table for notebooks: one row an epoch, the middle of a long run left out."""
        columns = [dict(zip(self.epochs_of(name), values, strict=True)) for name, values in self.history.items()]
        rows = [(epoch, *(column.get(epoch) for column in columns)) for epoch in self.epoch]
        shown = rows if len(rows) <= 20 else [*rows[:10], None, *rows[-9:]]
        cells = lambda row, tag: "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
        texts = ["…"] if shown is None else [
            ["…"] * (1 + len(self.history)) if row is None
            else [str(row[0] + 1), *("" if value is None else f"{value:.4g}" for value in row[1:])] for row in shown]
        body = "".join(f"<tr>{cells(text, 'td')}</tr>" for text in texts)
        return f"<table><tr>{cells(['epoch', *self.history], 'th')}</tr>{body}</table>"
