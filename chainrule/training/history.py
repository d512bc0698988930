"""The record of a fit: figures by name, one value an epoch."""
import html
from typing import Any


class History:
    """What `fit` returns.

    Attributes:
        epoch: the epochs' numbers, counted from 0.
        history: for each figure its values, one an epoch: `{"loss": [...], "val_loss": [...]}`.
        params: how the fit was asked for: epochs, steps an epoch, rows.
        model: the model that was trained.

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

    def add(self, epoch: int, figures: dict[str, Any]) -> None:
        """Append the figures of one epoch; a figure that is new gets its first value here."""
        self.epoch.append(epoch)
        for name, value in figures.items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        if not self.epoch:
            return "<History of no epochs>"
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items())
        return f"<History of {len(self.epoch)} epochs: {last}>"

    def _repr_html_(self) -> str:
        """A table for notebooks: one row an epoch, the middle of a long run left out."""
        rows = list(zip(self.epoch, *self.history.values(), strict=False))
        shown = rows if len(rows) <= 20 else [*rows[:10], None, *rows[-9:]]
        cells = lambda row, tag: "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
        texts = ["…"] if shown is None else [
            ["…"] * (1 + len(self.history)) if row is None
            else [str(row[0] + 1), *(f"{value:.4g}" for value in row[1:])] for row in shown]
        body = "".join(f"<tr>{cells(text, 'td')}</tr>" for text in texts)
        return f"<table><tr>{cells(['epoch', *self.history], 'th')}</tr>{body}</table>"
