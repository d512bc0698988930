"""Places in populations: where trials of one shape are trained at once, one after another in each place."""
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from chainrule.callbacks import Callback, EarlyStopping
from chainrule.models import Model
from chainrule.population import Population
from chainrule.tuning.data import TuningData
from chainrule.tuning.recipe import Shape
from chainrule.tuning.space import Dimension
from chainrule.tuning.trial import Trial

_PER_WEIGHT = 6  # operations for each weight and row that is trained on: two forward, four backward
_COMPILATION = 3e10  # about as many as a program's compilation takes the time of


@dataclass(frozen=True)
class Outcome:
    """What became of a trial in a fit.

    Attributes:
        figures: by name, the mean over folds, of the weights that it has.
        epochs: how many it has been trained for.
        judged: after how many of them it had the weights that it has: the best epoch where that is restored.
        stopped: whether early stopping ended it.
        failed: whether its loss was not finite.
    """

    figures: dict[str, float]
    epochs: int
    judged: int
    stopped: bool
    failed: bool


class Places:
    """A population of one shape. Each place holds one trial, which is as many members as there are folds.

    Args:
        shape: what its networks have in common.
        space: the dimensions by name, whose largest values decide which numbers the optimizer has at all.
        size: how many places there are.
        data: what is trained on, and judged by.
        options: what `Population.fit` takes beside the data.
        memory: as for `Population`.

    Attributes:
        trials: the trial in each place; `None` in those that are free.
    """

    def __init__(self, shape: Shape, space: Mapping[str, Dimension], size: int, data: TuningData,
                 options: dict[str, Any], memory: int | str | None = None):
        self.shape, self.size, self.data = shape, size, data
        self.options = options | {name: value for name, value in shape.key.items() if name == "batch_size"}
        self.each = data.folds_count or 1
        # A number that is 0 for all, such as a momentum, would not be in the program; so each is begun at its largest.
        largest = {name: max(dimension.ends()) for name, dimension in space.items() if name in shape.axis}
        self.population = Population(shape.model, size * self.each, folds=data.folds, settings=shape.settings(largest),
                                     seed=np.zeros(size * self.each, int), memory=memory)
        self.trials: list[Trial | None] = [None] * size

    def begin(self, place: int, trial: Trial) -> None:
        """Give a place to a new trial: fresh weights from its seed, its values."""
        settings = self.shape.settings(trial.values)
        for member in self._members([place]):
            self.population.replace(member, trial.seed, settings=settings)
        self.trials[place] = trial

    def free_place(self, place: int) -> None:
        """Take a trial out of its place."""
        self.trials[place] = None

    @property
    def free(self) -> list[int]:
        """The numbers of the places that hold no trial."""
        return [place for place, trial in enumerate(self.trials) if trial is None]

    def standing(self, epochs: int) -> list[int]:
        """The places whose trials have been trained for so many epochs."""
        return [place for place, trial in enumerate(self.trials) if trial is not None and trial.epochs == epochs]

    def _members(self, places: Sequence[int]) -> list[int]:
        """The members in some places."""
        return [place * self.each + fold for place in places for fold in range(self.each)]

    def train(self, places: Sequence[int], first: int, until: int, callback: Callback,
              stopping: EarlyStopping | None = None) -> None:
        """Train the trials in some places from one epoch to another.

        Where that costs less than to compile a program for fewer members would, all members are trained: those that
        are too many as copies.

        Args:
            places: their numbers; all of them have been trained for `first` epochs.
            first, until: where to begin and to end.
            callback: is told of epochs, and may end the fit.
            stopping: early stopping by trial.
        """
        members = self._members(places)
        idle = self.population.size - len(members)
        rows = len(jax.tree.leaves(self.data.x)[0])
        if idle * (until - first) * rows * self.shape.model.count_params() * _PER_WEIGHT < _COMPILATION:
            members = np.resize(members, self.population.size).tolist()
        callbacks = [callback] if stopping is None else [callback, stopping]
        with warnings.catch_warnings():
            # That some settings fail is in the nature of a search; the results say which.
            warnings.filterwarnings("ignore", r"The loss of \d+ of \d+ members was not finite", UserWarning)
            self.population.fit(self.data.x, self.data.y, epochs=until, initial_epoch=first, callbacks=callbacks,
                                validation_data=self.data.validation, members=members, verbose=0,
                                **self.options)

    def outcome(self, place: int) -> Outcome:
        """What became of a trial in the last fit."""
        history, members = self.population.history, self._members([place])
        names = [name for name in history.history if self.data.validates or not name.startswith("val_")]
        figures = {name: float(np.mean(history.reached(name)[members])) for name in names}
        lines = np.flatnonzero(~np.isnan(history.history["loss"][:, members]).all(axis=1))
        epochs = history.epoch[lines[-1]] + 1 if len(lines) else 0
        restored = history.best_epoch[members]
        judged = round(float(restored.mean())) + 1 if (restored >= 0).all() else epochs
        return Outcome(figures, epochs, judged, bool((history.stopped_epoch[members] >= 0).all()),
                       bool(history.failed[members].any()))

    def model(self, place: int) -> Model:
        """The network in a place; of several folds the first."""
        return self.population.member(self._members([place])[0])
