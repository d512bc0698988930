"""The plain way to search: trials in rounds, each trained to its end, those of one shape at once."""
import itertools
from dataclasses import dataclass

from chainrule.tuning.search import Search
from chainrule.tuning.trial import Trial


@dataclass(frozen=True)
class Rounds:
    """Trials round by round.

    Args:
        size: how many trials a round has.
    """

    size: int

    def __call__(self, search: Search) -> None:
        for start in itertools.count(0, self.size):
            numbers = [number for number in range(start, start + self.size) if search.may_begin(number)]
            if not numbers or search.used_up:
                return
            if all(number in search.trials and search.trials[number].over for number in numbers):
                continue
            if not self._round(search, search.proposed(numbers)):
                return

    def _round(self, search: Search, trials: list[Trial]) -> bool:
        """Train the trials of a round that are not over; whether there is budget left."""
        groups: dict[int, list[Trial]] = {}
        shapes = {}
        for trial in trials:
            shape = search.recipe.shape(trial.values)
            shapes[id(shape)] = shape
            groups.setdefault(id(shape), []).append(trial)
        for key, members in groups.items():
            left = [trial for trial in members if not trial.over]
            if not left:
                continue
            # As many places as trials if this is all that will come; else an even share, for the rounds to come.
            more = search.may_begin(trials[-1].number + 1)
            places = search.places(shapes[key], max(len(members), -(-self.size // len(groups)) * more))
            for start in range(0, len(left), places.size):
                if search.used_up:
                    return False
                self._train(search, places, left[start : start + places.size])
        return True

    @staticmethod
    def _train(search: Search, places, trials: list[Trial]) -> None:
        """Train some trials from their first epoch to their last."""
        for place, trial in enumerate(trials):
            places.begin(place, trial)
        chosen = range(len(trials))
        ended = False
        try:
            outcomes = search.train(places, chosen, 0, search.epochs, search.stopping())
            for place, outcome in outcomes.items():
                if places.trials[place].state != "failed" and (outcome.stopped or outcome.epochs >= search.epochs):
                    places.trials[place].state = "finished"
            ended = True
        finally:
            for trial in trials:
                if trial.state == "running" and (ended or trial.epochs):
                    trial.state = "interrupted"
            search.write(trials)
            search.show()
