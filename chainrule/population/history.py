"""The record of a population's fit: figures by name, one line an epoch, one column a member."""
import bisect
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import SettingError, did_you_mean
from chainrule.training.figures import chosen_figures, larger_is_better


class PopulationHistory:
    """What `Population.fit` returns.

    Attributes:
        epoch: the epochs' numbers, counted from 0.
        history: for each figure an array `(epochs, members)`. A member that has stopped has NaN from there on, and so
            have validation figures in epochs in which validation was not due.
        stopped_epoch: `(members,)`, the epoch after which early stopping ended a member; -1 where it did not.
        best_epoch: `(members,)`, the best epoch by the figure that early stopping watched; -1 where none did.
        failed: `(members,)`, whether the loss of a member became NaN or infinite. It keeps the weights from before.
        params: how the fit was asked for.

    Example:
        >>> history = PopulationHistory(2, ["loss"])
        >>> history.add(0, {"loss": np.array([0.5, 0.25])}, np.arange(2))
        >>> history.history["loss"].tolist(), history.epoch
        ([[0.5, 0.25]], [0])
    """

    def __init__(self, size: int, names: Sequence[str] = (), params: dict[str, Any] | None = None):
        self.size, self.params = size, dict(params or {})
        self.epoch: list[int] = []
        self.stopped_epoch, self.best_epoch = np.full(size, -1), np.full(size, -1)
        self.failed = np.zeros(size, bool)
        self._lines: dict[str, list[np.ndarray]] = {name: [] for name in names}

    @property
    def history(self) -> dict[str, np.ndarray]:
        """The figures by name, each an array `(epochs, members)`."""
        return {name: np.array(lines).reshape(len(lines), self.size) for name, lines in self._lines.items()}

    def add(self, epoch: int, figures: dict[str, np.ndarray], members: np.ndarray) -> None:
        """Take in the figures of some members in an epoch.

        Example:
            >>> history = PopulationHistory(2, ["loss"])
            >>> history.add(0, {"loss": np.array([0.5, 0.25])}, np.arange(2))
            >>> history.epoch
            [0]
        """
        place = bisect.bisect_left(self.epoch, epoch)
        if place == len(self.epoch):
            self.epoch.append(epoch)
            for lines in self._lines.values():
                lines.append(np.full(self.size, np.nan))
        for name, values in figures.items():
            self._lines[name][place][members] = values

    def line(self, epoch: int) -> dict[str, np.ndarray]:
        """The figures of an epoch, `(members,)` by name; those that nobody has are left out.

        Example:
            >>> history = PopulationHistory(2, ["loss"])
            >>> history.add(0, {"loss": np.array([0.5, 0.25])}, np.arange(2))
            >>> history.line(0)["loss"].tolist()
            [0.5, 0.25]
        """
        found = {name: lines[self.epoch.index(epoch)] for name, lines in self._lines.items()}
        return {name: values for name, values in found.items() if not np.isnan(values).all()}

    def of(self, member: int) -> dict[str, list[float]]:
        """The figures of one member as lists, as `Model.fit` records them, its epochs alone.

        Example:
            >>> history = PopulationHistory(2, ["loss"])
            >>> history.add(0, {"loss": np.array([0.5, 0.25])}, np.arange(2))
            >>> history.of(1)
            {'loss': [0.25]}
        """
        columns = {name: values[:, member] for name, values in self.history.items()}
        return {name: column[~np.isnan(column)].tolist() for name, column in columns.items()}

    def reached(self, metric: str | None = None) -> np.ndarray:
        """For each member the figure of the weights that it holds: of its best epoch where those were restored.

        Args:
            metric: the name of a figure; `val_loss` by default, or `loss` where nothing was validated.

        Example:
            >>> history = PopulationHistory(2, ["loss"])
            >>> history.add(0, {"loss": np.array([0.5, 0.25])}, np.arange(2))
            >>> history.reached().tolist()
            [0.5, 0.25]
        """
        values = self.history[self.find(metric)]
        restored = self.params.get("restores_best", False)
        found = np.full(self.size, np.nan)
        for member in range(self.size):
            if restored and self.best_epoch[member] in self.epoch:
                found[member] = values[self.epoch.index(self.best_epoch[member]), member]
            elif (there := np.flatnonzero(~np.isnan(values[:, member]))).size:
                found[member] = values[there[-1], member]
        return found

    def find(self, metric: str | None) -> str:
        """The name of a figure, checked; the one to judge by where none is given.

        Example:
            >>> history = PopulationHistory(2, ["loss"])
            >>> history.add(0, {"loss": np.array([0.5, 0.25])}, np.arange(2))
            >>> history.find(None)
            'loss'
        """
        if not self.epoch:
            raise SettingError("There are no figures yet: fit the population first.")
        if metric is None:
            return "val_loss" if "val_loss" in self._lines else "loss"
        if metric not in self._lines:
            raise SettingError(f"The history has no figure {metric!r}. {did_you_mean(str(metric), self._lines)}")
        return metric

    def order(self, metric: str | None = None) -> np.ndarray:
        """The numbers of the members, the best by a figure first, those whose training failed last.

        Example:
            >>> history = PopulationHistory(2, ["loss"])
            >>> history.add(0, {"loss": np.array([0.5, 0.25])}, np.arange(2))
            >>> history.order("loss").tolist()
            [1, 0]
        """
        name = self.find(metric)
        values = self.reached(name)
        values = -values if larger_is_better(name, "auto") else values
        return np.lexsort((np.where(np.isnan(values), math.inf, values), np.isnan(values) | self.failed))

    def plot(self, names: Sequence[str] | None = None):
        """A figure of Matplotlib: for each figure of the fit the median over members, the middle half and the whole
        range as bands, and the best member as a line.

        Args:
            names: the figures to draw, without `val_`; by default all of them.

        Raises:
            ImportError: Matplotlib is not installed.
            SettingError: there is nothing to draw, or no figure of such a name.

        Example:
            >>> history = PopulationHistory(4, ["loss", "val_loss"])
            >>> for epoch in range(3):
            ...     history.add(epoch, {"loss": np.ones(4), "val_loss": np.arange(4.0)}, np.arange(4))
            >>> [panel.get_title(loc="left") for panel in history.plot().axes]
            ['loss']
        """
        chosen = chosen_figures(self._lines if self.epoch else (), names)
        try:
            from chainrule.population.history_plot import plot
        except ImportError as error:
            raise ImportError("Plots are drawn with Matplotlib, which is not installed: "
                              "pip install 'chainrule[plots]'.") from error
        both, figures = {"training": "", "validation": "val_"}, self.history
        bands = {name: {kind: figures[prefix + name] for kind, prefix in both.items() if prefix + name in figures}
                 for name in chosen}
        best = {name: self.order(f"val_{name}" if f"val_{name}" in figures else name)[0] for name in chosen}
        return plot(self.epoch, bands, best)

    def __repr__(self) -> str:
        if not self.epoch:
            return f"<PopulationHistory of {self.size} members, no epochs>"
        last = ", ".join(f"{name} {np.nanmedian(values):.4g} ({np.nanmin(values):.4g} to {np.nanmax(values):.4g})"
                         for name in self._lines if not np.isnan(values := self.reached(name)).all())
        return f"<PopulationHistory of {self.size} members, {len(self.epoch)} epochs: {last}>"
