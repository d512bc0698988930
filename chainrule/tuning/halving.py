"""Successive halving: all trials a little, the better ones more, and the places of the others to new trials."""
from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.errors import SettingError, shortened
from chainrule.tuning.places import Places
from chainrule.tuning.search import Search
from chainrule.tuning.trial import Trial


@dataclass(frozen=True)
class Halving:
    """Successive halving without waiting, on the places of populations.

    A trial is judged at rungs, after `epochs`, `epochs / factor`, `epochs / factor ** 2`, ... epochs. At each but the
    last it goes on if its figure is among the best `1 / factor` of all that came to that rung so far, and else gives
    its place to a new trial. Trials that stand at the same rung are trained together.

    Args:
        factor: which part of the trials goes on from a rung: the inverse.
        first: the lowest rung is at this many epochs, or a little above.
        places: how many trials are trained at once; half of all, at most 32, by default.

    Reference: Li et al., A System for Massively Parallel Hyperparameter Tuning, 2020.

    Example:
        >>> Halving(factor=3).rungs(30)
        [1, 3, 10, 30]
    """

    factor: int = 3
    first: int = 1
    places: int | None = None

    def __post_init__(self):
        for name, least in (("factor", 2), ("first", 1), ("places", 1)):
            value = getattr(self, name)
            if value is None and name == "places":
                continue
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
                raise SettingError(f"Halving: {name} is a whole number of at least {least}; got {shortened(value)}.")

    def rungs(self, epochs: int) -> list[int]:
        """After how many epochs trials are judged, the last of them when they are finished."""
        found, part = [epochs], epochs
        while part / self.factor >= self.first and round(part / self.factor) < found[-1]:
            part = part / self.factor
            found.append(max(round(part), 1))
        return found[::-1]

    def size(self, trials: int | None) -> int:
        """How many trials are trained at once."""
        if self.places is not None:
            return self.places if trials is None else min(self.places, trials)
        return 32 if trials is None else min(max(-(-trials // 2), 1), 32)

    def __call__(self, search: Search) -> None:
        size = self.size(search.budget.trials)
        places = _all_places(search, size)
        waiting = [trial for trial in search.trials.values() if not trial.over]
        rungs, number = self.rungs(search.epochs), max(search.trials, default=-1) + 1
        while not search.used_up:
            begun = []
            for own in places:
                for place in own.free:
                    trial, number = _next(search, own, waiting, number)
                    if trial is not None:
                        own.begin(place, trial)
                        begun.append(trial)
            search.write(begun)
            level = self._level(places, rungs, size)
            if level is None:
                return
            self._train(search, places, level, rungs)

    def _level(self, places: Sequence[Places], rungs: list[int], size: int) -> int | None:
        """From which number of epochs to go on: the furthest at which enough trials stand, else where most do."""
        counts = {epochs: sum(len(own.standing(epochs)) for own in places) for epochs in [0, *rungs[:-1]]}
        enough = [epochs for epochs, count in counts.items() if count >= max(size // (2 * self.factor), 1)]
        if enough:
            return max(enough)
        most = max(counts, key=counts.get)
        return most if counts[most] else None

    def _train(self, search: Search, places: Sequence[Places], level: int, rungs: list[int]) -> None:
        """Bring the trials that stand at a rung to the next, and decide who goes on."""
        until = next(epochs for epochs in rungs if epochs > level)
        reached: list[tuple[Places, int]] = []
        trained: list[Trial] = []
        try:
            for own in places:
                chosen = own.standing(level)
                if not chosen or search.used_up:
                    continue
                trained += [own.trials[place] for place in chosen]
                for place, outcome in search.train(own, chosen, level, until).items():
                    trial = own.trials[place]
                    if trial.state == "failed" or outcome.epochs < until:
                        own.free_place(place)
                        continue
                    trial.rungs[until] = outcome.figures[search.judge.monitor]
                    reached.append((own, place))
        finally:
            self._decide(search, reached, until, last=until == rungs[-1])
            search.write(trained)
            search.show()

    def _decide(self, search: Search, reached: list[tuple[Places, int]], until: int, last: bool) -> None:
        """Of the trials at a rung, which go on."""
        if last:
            for own, place in reached:
                own.trials[place].state = "finished"
                own.free_place(place)
            return
        sign = -1 if search.judge.larger else 1
        all_figures = sorted(sign * trial.rungs[until] for trial in search.trials.values() if until in trial.rungs)
        bound = all_figures[max(len(all_figures) // self.factor, 1) - 1] if all_figures else None
        for own, place in reached:
            trial = own.trials[place]
            if not sign * trial.rungs[until] <= bound:
                trial.state = "stopped"
                own.free_place(place)


def _all_places(search: Search, size: int) -> list[Places]:
    """Places for the shapes of the first trials, as many for each as there are such trials."""
    numbers = [number for number in range(size) if search.may_begin(number)]
    counts: dict[int, int] = {}
    shapes = {}
    for values in search.values_for(numbers):
        shape = search.recipe.shape(values)
        shapes[id(shape)] = shape
        counts[id(shape)] = counts.get(id(shape), 0) + 1
    return [search.places(shapes[key], count) for key, count in counts.items()]


def _next(search: Search, own: Places, waiting: list[Trial], number: int) -> tuple[Trial | None, int]:
    """A trial for a free place: one that was begun before, else a new one; and the number of the next."""
    for trial in waiting:
        if search.recipe.shape(trial.values) is own.shape:
            waiting.remove(trial)
            return trial, number
    if not search.may_begin(number):
        return None, number
    values = search.values_for([number])[0]
    return search.add(number, {**values, **own.shape.key}), number + 1
