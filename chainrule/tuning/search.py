"""A search under way: its trials, what it may still take, the best network so far."""
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chainrule.callbacks import EarlyStopping
from chainrule.callbacks.lambda_callback import LambdaCallback
from chainrule.errors import SettingError, shortened
from chainrule.models import Model
from chainrule.tuning.data import TuningData
from chainrule.tuning.places import Outcome, Places
from chainrule.tuning.progress import SearchProgress
from chainrule.tuning.proposals import Proposer
from chainrule.tuning.recipe import Recipe, Shape
from chainrule.tuning.store import SearchStore
from chainrule.tuning.trial import Trial

_MOST_SHAPES = 16  # whose networks and programs are kept between rounds


@dataclass(frozen=True)
class Budget:
    """What a search may take; it ends with the first that is used up.

    Args:
        trials: how many settings are tried.
        epochs: of all trials together.
        minutes: of the clock. The epoch under way is ended.

    Example:
        >>> Budget(minutes=2).trials is None
        True
    """

    trials: int | None = None
    epochs: int | None = None
    minutes: float | None = None

    def __post_init__(self):
        for name in ("trials", "epochs"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not hasattr(value, "__index__") or value < 1):
                raise SettingError(f"Budget: {name} is a whole number of at least 1; got {shortened(value)}.")
        minutes = self.minutes
        if minutes is not None and (isinstance(minutes, bool) or not isinstance(minutes, (int, float))
                                    or not 0 < minutes < math.inf):
            raise SettingError(f"Budget: minutes is a number above 0; got {shortened(minutes)}.")
        if self.trials is None and self.epochs is None and minutes is None:
            raise SettingError("A budget says how many trials, epochs or minutes a search may take: Budget(trials=64).")


def as_budget(given) -> Budget:
    """A budget from a number of trials, or from a dict of what `Budget` takes.

    Example:
        >>> as_budget(64)
        Budget(trials=64, epochs=None, minutes=None)
    """
    if isinstance(given, Budget):
        return given
    if isinstance(given, dict) and given and set(given) <= set(Budget.__dataclass_fields__):
        return Budget(**given)
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise SettingError(f"budget is a number of trials, or says more: {{'minutes': 2}}, with the names trials, "
                           f"epochs and minutes; got {shortened(given)}.")
    return Budget(trials=int(given))


@dataclass(frozen=True)
class Judge:
    """Which trial is better.

    Attributes:
        monitor: the figure.
        larger: whether it is better when it is larger.
    """

    monitor: str
    larger: bool

    def better(self, one: float, other: float) -> bool:
        """Whether a figure beats another; any beats NaN, and NaN never does."""
        if math.isnan(one):
            return False
        return math.isnan(other) or (one > other if self.larger else one < other)

    def key(self, trial: Trial) -> tuple:
        """By which trials are sorted, the best first; those that failed come last.

        Of trials with equal figures, as accuracies are on few rows, the one with the smaller loss is better.
        """
        value = trial.figure(self.monitor)
        loss = trial.figure("val_loss" if self.monitor.startswith("val_") else "loss")
        signed = -value if self.larger else value
        return (trial.state == "failed", math.isnan(value), 0.0 if math.isnan(value) else signed,
                math.inf if math.isnan(loss) else loss, trial.number)


@dataclass(eq=False)
class Search:
    """One call of `tune`.

    Attributes:
        recipe: makes networks of values.
        data: what is trained on, and judged by.
        proposer: says what to try.
        judge: says which is better.
        epochs: how many a trial is trained for.
        seed: of the search; trial `n` has the seed `seed + n`.
        budget: what it may take.
        options: what `Population.fit` takes beside the data.
        patience: of early stopping in epochs; `None` for none.
        store: the folder of the search; `None` for none.
        progress: shows it.
        memory: as for `Population`.
        trials: by number.
        best: the best trial so far that did not fail, and its network; of a trial of several folds there is none.
        interrupted: whether Ctrl-C ended it.
    """

    recipe: Recipe
    data: TuningData
    proposer: Proposer
    judge: Judge
    epochs: int
    seed: int
    budget: Budget
    options: dict[str, Any]
    patience: int | None
    store: SearchStore | None
    progress: SearchProgress
    memory: int | str | None = None
    trials: dict[int, Trial] = field(default_factory=dict)
    best: Trial | None = None
    best_model: Model | None = None
    interrupted: bool = False
    seconds: float = 0.0
    shapes: list[Shape] = field(default_factory=list)
    _places: dict[int, Places] = field(default_factory=dict)
    _under_way: int = 0  # epochs of trials in the fit that runs now

    def run(self, strategy) -> None:
        """Search by a strategy, until it or the budget ends, or Ctrl-C."""
        start = time.perf_counter()
        self.ends = math.inf if self.budget.minutes is None else start + 60 * self.budget.minutes
        self.progress.begin(len(self.over))
        try:
            strategy(self)
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            left = [trial for trial in self.trials.values() if trial.state == "running"]
            for trial in left:
                trial.state = "interrupted"
            self.write(left)
            self.show(last=True)
            self.progress.close()
            self.seconds = time.perf_counter() - start
        if self.interrupted:
            self.progress.say("Stopped; what was found until then is kept.")

    # What it may still take.

    @property
    def over(self) -> list[Trial]:
        """The trials of which nothing more will become, by their numbers."""
        return [self.trials[number] for number in sorted(self.trials) if self.trials[number].over]

    @property
    def used_up(self) -> bool:
        """Whether time or epochs are at their end."""
        epochs = self.budget.epochs
        return time.perf_counter() >= self.ends or (epochs is not None and self._taken() >= epochs)

    def may_begin(self, number: int) -> bool:
        """Whether a trial of this number is within the budget."""
        return self.budget.trials is None or number < self.budget.trials

    def _taken(self) -> int:
        """The epochs of all trials."""
        return sum(trial.epochs for trial in self.trials.values()) + self._under_way

    @property
    def share(self) -> float:
        """How much of the search is done."""
        parts = []
        if self.budget.trials is not None:
            parts.append((len(self.over) + self._under_way / self.epochs) / self.budget.trials)
        if self.budget.epochs is not None:
            parts.append(self._taken() / self.budget.epochs)
        if self.budget.minutes is not None:
            parts.append(1 - (self.ends - time.perf_counter()) / (60 * self.budget.minutes))
        return max(parts)

    # Trials.

    def proposed(self, numbers: Sequence[int]) -> list[Trial]:
        """The trials of some numbers, those begun before as they stand; new ones are made and written down."""
        new = [number for number in numbers if number not in self.trials]
        if new:
            values = dict(zip(numbers, self.values_for(numbers), strict=True))
            for number in new:
                self.add(number, values[number])
            self.write(self.trials[number] for number in new)
        return [self.trials[number] for number in numbers]

    def values_for(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """What the proposer says the trials of some numbers shall be."""
        before = [trial for trial in self.over if trial.number < numbers[0]]
        return self.proposer.propose(self.recipe.space, numbers, self.seed, before, self.judge.monitor,
                                     self.judge.larger)

    def add(self, number: int, values: dict[str, Any]) -> Trial:
        """A new trial."""
        self.trials[number] = Trial(number, values, self.seed + number)
        return self.trials[number]

    def show(self, last: bool = False) -> None:
        """A line of what is known, where lines are shown."""
        self.progress.keep(len(self.over), self.budget.trials, self.best, last)

    def write(self, trials: Iterable[Trial]) -> None:
        """Keep trials as they stand."""
        if self.store is not None:
            self.store.put(trials)

    # Training.

    def places(self, shape: Shape, size: int) -> Places:
        """The places for trials of a shape, made once."""
        if id(shape) not in self._places:
            if len(self._places) >= _MOST_SHAPES:
                self._places.pop(next(iter(self._places)))
            self._places[id(shape)] = Places(shape, self.recipe.space, size, self.data, self.options, self.memory)
        if shape not in self.shapes:
            self.shapes.append(shape)
        return self._places[id(shape)]

    def stopping(self) -> EarlyStopping:
        """Early stopping of a trial, which ends with the weights of its best epoch."""
        patience = self.epochs if self.patience is None else self.patience
        return EarlyStopping(self.judge.monitor, patience=patience, mode="max" if self.judge.larger else "min",
                             restore_best_weights=True)

    def train(self, places: Places, chosen: Sequence[int], first: int, until: int,
              stopping: EarlyStopping | None = None) -> dict[int, Outcome]:
        """Train the trials in some places, and take in what became of them.

        Returns:
            The outcomes by place; none where not one epoch was ended.
        """
        seen: list[int] = []
        stop = False

        def told(epoch, logs):
            seen.append(epoch)
            self._under_way = len(seen) * len(chosen)
            self.progress.advance(len(self.over), self.budget.trials, self.share, self.best)
            if self.used_up:
                places.population.stop_training = True

        try:
            places.train(chosen, first, until, LambdaCallback(on_epoch_end=told), stopping)
        except KeyboardInterrupt:
            stop = True
        self._under_way = 0
        outcomes = {place: places.outcome(place) for place in chosen} if seen else {}
        self._take(places, outcomes)
        if stop:
            raise KeyboardInterrupt
        return outcomes

    def _take(self, places: Places, outcomes: dict[int, Outcome]) -> None:
        """Take in what became of trials; keep the network of the best of all."""
        improved = None
        for place, outcome in outcomes.items():
            trial = places.trials[place]
            trial.group, trial.epochs = places.shape.key, outcome.epochs
            trial.state = "failed" if outcome.failed else trial.state
            if self.judge.better(outcome.figures[self.judge.monitor], trial.figure(self.judge.monitor)):
                trial.figures, trial.best_epoch = outcome.figures, outcome.judged
                beats = self.best is None or trial is self.best or self.judge.key(trial) < self.judge.key(self.best)
                if beats and not outcome.failed:
                    self.best, improved = trial, place
        if improved is not None and not places.data.folds_count:
            self.best_model = places.model(improved)
            if self.store is not None:
                self.store.keep_best(self.best, self.best_model)
