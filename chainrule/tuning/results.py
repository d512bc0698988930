"""What a search found: a table of its trials, the best of them and its network, plots."""
import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import NotReadyError, SettingError, UnknownNameError, did_you_mean, shortened
from chainrule.models import Model
from chainrule.tuning.progress import format_value, in_a_line
from chainrule.tuning.search import Search
from chainrule.tuning.space import free_names
from chainrule.tuning.trial import Trial

_SHOWN = 20  # trials in a table, unless another number is asked for


class Results:
    """What `tune` returns: all trials, and the network of the best.

    Attributes:
        trials: all that were begun, by their numbers.
        monitor: the figure that trials are judged by.
        larger: whether it is better when it is larger.
        seconds: how long this search took.
        interrupted: whether Ctrl-C ended it.
        shapes: how many shapes of networks were trained in it, each by a program of its own.
    """

    def __init__(self, search: Search, x, y):
        self._search, self._x, self._y = search, x, y
        self.trials = [search.trials[number] for number in sorted(search.trials)]
        self.monitor, self.larger = search.judge.monitor, search.judge.larger
        self.seconds, self.interrupted, self.shapes = search.seconds, search.interrupted, len(search.shapes)
        self._model = search.best_model

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def ranked(self) -> list[Trial]:
        """The trials, the best first, those that failed last."""
        return sorted(self.trials, key=self._search.judge.key)

    @property
    def best(self) -> Trial:
        """The best trial.

        Raises:
            NotReadyError: none has a figure: all failed, or the search ended before one was trained.
        """
        found = [trial for trial in self.ranked
                 if trial.state != "failed" and not math.isnan(trial.figure(self.monitor))]
        if not found:
            failed = sum(trial.state == "failed" for trial in self.trials)
            raise NotReadyError(f"No trial has a {self.monitor}: of {len(self.trials)}, {failed} failed, their losses "
                                f"not finite. Search smaller learning rates, or give the search more time.")
        return found[0]

    @property
    def best_values(self) -> dict[str, Any]:
        """The values of the best trial by name."""
        return dict(self.best.values)

    @property
    def best_model(self) -> Model:
        """The network of the best trial, an ordinary model with trained weights.

        Where the search had folds, or went on with a search whose best network was not kept, it is trained anew: as
        the trial was, with folds on all rows.
        """
        trial = self.best
        if self._model is None or self._search.best is not trial:
            self._model, self._search.best = self._kept(trial) or self.retrain(trial.number, all_rows=False), trial
        return self._model

    def _kept(self, trial: Trial) -> Model | None:
        """The network of a trial in the folder of the search."""
        store = self._search.store
        path = None if store is None or self._search.data.folds_count else store.weights_of(trial)
        if path is None:
            return None
        model = self._search.recipe.model(trial.values)
        model.load_weights(path)
        return model

    def retrain(self, trial: int | None = None, all_rows: bool = True, epochs: int | None = None,
                verbose=0) -> Model:
        """Train the network of a trial once more, by itself.

        Args:
            trial: its number; the best by default.
            all_rows: whether to train on the rows too that it was judged by.
            epochs: how many; those after which it was at its best, by default.
            verbose: as for `fit`.

        Returns:
            The model. On the rows it was trained on in the search, it ends with the same weights but for rounding.

        Example:
            >>> import chainrule as cr
            >>> x = np.linspace(-1, 1, 32)[:, None]
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile("sgd", "mse")
            >>> results = cr.tune(model, {"learning_rate": [0.01, 0.1]}, (x, 2 * x), 4, epochs=2, verbose=0)
            >>> len(results.retrain(epochs=3).history.epoch)
            3
        """
        search = self._search
        chosen = self.best if trial is None else self._trial(trial)
        data = search.data
        model = search.recipe.model(chosen.values)
        whole = all_rows or data.folds_count
        x, y = (self._x, self._y) if whole else (data.x, data.y)
        options = search.options | {name: chosen.values[name] for name in ("batch_size",) if name in chosen.values}
        model.fit(x, y, epochs=max(chosen.best_epoch, 1) if epochs is None else epochs, seed=chosen.seed,
                  verbose=verbose, **options)
        return model

    def _trial(self, number) -> Trial:
        found = [trial for trial in self.trials if trial.number == number and not isinstance(number, bool)]
        if not found:
            raise SettingError(f"The trials have the numbers 0 to {len(self.trials) - 1}; got {shortened(number)}.")
        return found[0]

    # As a table.

    @property
    def names(self) -> list[str]:
        """The names in which trials differ."""
        return free_names(self._search.recipe.space)

    def to_dict(self) -> dict[str, list]:
        """The trials as columns, by number: values, figures, state, epochs, seed.

        Example:
            >>> import chainrule as cr
            >>> x = np.linspace(-1, 1, 32)[:, None]
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile("sgd", "mse")
            >>> results = cr.tune(model, {"learning_rate": [0.01, 0.1]}, (x, 2 * x), 4, epochs=2, verbose=0)
            >>> results.to_dict()["seed"]
            [0, 1, 2, 3]
        """
        figures = list(dict.fromkeys(name for trial in self.trials for name in trial.figures))
        columns: dict[str, list] = {"trial": [trial.number for trial in self.trials]}
        columns |= {name: [trial.values[name] for trial in self.trials] for name in self._search.recipe.space}
        columns |= {name: [trial.figure(name) for trial in self.trials] for name in figures}
        return columns | {name: [getattr(trial, name) for trial in self.trials]
                          for name in ("state", "epochs", "best_epoch", "seed")}

    def to_frame(self):
        """The trials as a table of pandas, one row a trial.

        Raises:
            ImportError: pandas is not installed.

        Example:
            >>> import chainrule as cr
            >>> x = np.linspace(-1, 1, 32)[:, None]
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile("sgd", "mse")
            >>> results = cr.tune(model, {"learning_rate": [0.01, 0.1]}, (x, 2 * x), 4, epochs=2, verbose=0)
            >>> results.to_frame().shape
            (4, 7)
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_frame makes a table of pandas, which is not installed: "
                              "pip install 'chainrule[tables]', or use to_dict().") from error
        return pandas.DataFrame(self.to_dict()).set_index("trial")

    def _rows(self, most: int) -> tuple[list[str], list[list[str]]]:
        """Headings and cells of the best trials."""
        other = sorted({name for trial in self.trials for name in trial.figures
                        if name != self.monitor and (name.startswith("val_") or not self.monitor.startswith("val_"))})
        ends = [end for end in ("epochs", "state") if len({getattr(trial, end) for trial in self.trials}) > 1]
        heads = ["trial", *self.names, self.monitor, *other, *ends]
        figure = lambda trial, name: "" if math.isnan(value := trial.figure(name)) else f"{value:.4f}"
        line = lambda trial: [str(trial.number), *(format_value(trial.values[name]) for name in self.names),
                              *(figure(trial, name) for name in (self.monitor, *other)),
                              *(str(getattr(trial, end)) for end in ends)]
        return heads, [line(trial) for trial in self.ranked[:most]]

    def table(self, most: int = _SHOWN):
        """The best trials as a table of rich, which `print` of rich and the command line show.

        Args:
            most: how many of them.

        Example:
            >>> import chainrule as cr
            >>> x = np.linspace(-1, 1, 32)[:, None]
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile("sgd", "mse")
            >>> results = cr.tune(model, {"learning_rate": [0.01, 0.1]}, (x, 2 * x), 4, epochs=2, verbose=0)
            >>> results.table(most=2).row_count
            2
        """
        from rich.table import Column, Table
        from rich.text import Text

        heads, rows = self._rows(most)
        left = len(self.trials) - len(rows)
        # Headings are folded where the terminal is narrow, cells are not.
        columns = [Column(head, justify="left" if head == "state" else "right", overflow="fold",
                          min_width=max((len(row[place]) for row in rows), default=0))
                   for place, head in enumerate(heads)]
        table = Table(*columns, box=None, padding=(0, 2, 0, 0), header_style="bold",
                      caption=f"and {left} more" if left > 0 else None, caption_justify="left")
        styles = {"failed": "red", "interrupted": "yellow", "stopped": "dim"}
        for place, cells in enumerate(rows):
            table.add_row(*(Text(cell, styles.get(cell, "")) for cell in cells), style="bold" if place == 0 else "")
        return table

    def __rich__(self):
        return self.table()

    def _repr_html_(self) -> str:
        """A table for notebooks: the best trials."""
        heads, rows = self._rows(_SHOWN)
        cells = lambda row, tag: "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
        body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
        left = len(self.trials) - len(rows)
        more = f"<caption style='caption-side:bottom'>and {left} more</caption>" if left > 0 else ""
        return f"<table>{more}<tr>{cells(heads, 'th')}</tr>{body}</table>"

    def __repr__(self) -> str:
        over = sum(trial.over for trial in self.trials)
        try:
            best = self.best
        except NotReadyError:
            return f"<Results of {len(self.trials)} trials, {over} over>"
        return (f"<Results of {len(self.trials)} trials, {over} over: best {self.monitor} "
                f"{best.figure(self.monitor):.4g} ({in_a_line(best, self.names)})>")

    # As pictures.

    def plot_parallel(self, names: Sequence[str] | None = None):
        """A figure of Matplotlib with an axis for each name and one for the figure; each trial is a line across them.

        The better the figure, the stronger the line; the best is drawn on top.

        Args:
            names: the names to show; all that differ by default.

        Raises:
            ImportError: Matplotlib is not installed.
            SettingError: there is nothing to draw.

        Example:
            >>> import chainrule as cr
            >>> x = np.linspace(-1, 1, 32)[:, None]
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile("sgd", "mse")
            >>> results = cr.tune(model, {"learning_rate": [0.01, 0.1]}, (x, 2 * x), 4, epochs=2, verbose=0)
            >>> len(results.plot_parallel().axes)
            1
        """
        return _plots().plot_parallel(*self._drawn(names), self.monitor, self.larger)

    def plot_slices(self, names: Sequence[str] | None = None):
        """A figure of Matplotlib with a panel for each name: the figure of every trial over its value.

        Args:
            names: as for `plot_parallel`.

        Raises:
            ImportError, SettingError: as for `plot_parallel`.

        Example:
            >>> import chainrule as cr
            >>> x = np.linspace(-1, 1, 32)[:, None]
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile("sgd", "mse")
            >>> results = cr.tune(model, {"learning_rate": [0.01, 0.1]}, (x, 2 * x), 4, epochs=2, verbose=0)
            >>> [panel.get_title(loc="left") for panel in results.plot_slices().axes]
            ['learning_rate']
        """
        return _plots().plot_slices(*self._drawn(names), self.monitor, self.larger)

    def _drawn(self, names: Sequence[str] | None):
        """The dimensions to draw, the trials' values in each, their figures."""
        chosen = self.names if names is None else [names] if isinstance(names, str) else list(names)
        for name in chosen:
            if name not in self.names:
                raise UnknownNameError(f"The trials do not differ in {name!r}. {did_you_mean(name, self.names)}")
        trials = [trial for trial in self.trials if trial.state != "failed"
                  and math.isfinite(trial.figure(self.monitor))]
        if not trials or not chosen:
            raise SettingError("There is nothing to plot: no trial has a figure, or all have the same values.")
        space = self._search.recipe.space
        return ({name: space[name] for name in chosen},
                {name: [trial.values[name] for trial in trials] for name in chosen},
                np.array([trial.figure(self.monitor) for trial in trials]))


def _plots():
    try:
        from chainrule.tuning import results_plot
    except ImportError as error:
        raise ImportError("Plots are drawn with Matplotlib, which is not installed: "
                          "pip install 'chainrule[plots]'.") from error
    return results_plot
