"""Who says what to try next: at random, evenly, or by what optuna makes of what is known."""
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.errors import SettingError, shortened
from chainrule.tuning.space import Choice, Dimension, Fixed, Integer, LogUniform, encode, free_names
from chainrule.tuning.trial import Trial

Space = Mapping[str, Dimension]


class Proposer:
    """Makes settings: for the same seed, numbers and trials always the same.

    A subclass writes `propose`. It is asked for several settings at once, because they are trained together.

    Example:
        >>> from chainrule.tuning.space import Uniform
        >>> class Rising(Proposer):
        ...     def propose(self, space, numbers, seed, trials, monitor, larger):
        ...         return [{"rate": 0.1 * number} for number in numbers]
        >>> Rising().propose({"rate": Uniform(0, 1)}, range(2), 0, [], "val_loss", False)
        [{'rate': 0.0}, {'rate': 0.1}]
    """

    learns = False  # whether proposals depend on the trials before, so that they are asked for round by round

    def propose(self, space: Space, numbers: Sequence[int], seed: int, trials: Sequence[Trial], monitor: str,
                larger: bool) -> list[dict[str, Any]]:
        """The settings of the trials of some numbers.

        Args:
            space: what each name may be.
            numbers: the numbers of the trials.
            seed: of the search.
            trials: those that are over, in the order of their numbers.
            monitor: the figure to improve.
            larger: whether it is better when it is larger.
        """
        raise NotImplementedError


class RandomProposer(Proposer):
    """Settings at random, each independent of the others.

    Example:
        >>> from chainrule.tuning.space import Uniform
        >>> settings = RandomProposer().propose({"rate": Uniform(0, 1)}, range(2), 0, [], "val_loss", False)
        >>> [round(setting["rate"], 3) for setting in settings]
        [0.637, 0.89]
    """

    def propose(self, space, numbers, seed, trials, monitor, larger):
        return [from_units(space, np.random.default_rng([seed, number]).random(len(space))) for number in numbers]


class EvenProposer(Proposer):
    """Settings that lie evenly: each further one where the largest gap is, in all dimensions together.

    Point `n` is `start + n * (1 / g, 1 / g ** 2, ...)` modulo 1, where `g ** (d + 1) = g + 1` for `d` dimensions, and
    the seed decides the start.

    Reference: Roberts, The unreasonable effectiveness of quasirandom sequences, 2018.

    Example:
        >>> from chainrule.tuning.space import Uniform
        >>> settings = EvenProposer().propose({"rate": Uniform(0, 1)}, range(3), 0, [], "val_loss", False)
        >>> [round(setting["rate"], 3) for setting in settings]
        [0.637, 0.255, 0.873]
    """

    def propose(self, space, numbers, seed, trials, monitor, larger):
        free = free_names(space)
        count = max(len(free), 1)
        ratio = 2.0
        for _ in range(64):
            ratio = (1 + ratio) ** (1 / (count + 1))
        steps = np.array([ratio ** -(place + 1) for place in range(count)])
        start = np.random.default_rng([seed, 0]).random(count)
        found = []
        for number in numbers:
            units = iter((start + number * steps) % 1)
            found.append(from_units(space, [0.0 if name not in free else next(units) for name in space]))
        return found


class OptunaProposer(Proposer):
    """Settings that optuna proposes from the trials before them.

    Args:
        sampler: makes a sampler of optuna from a seed; the tree-structured Parzen estimator by default, which counts
            settings under way as bad ones so that those of a round differ.

    Raises:
        ImportError: optuna is not installed.

    Example:
        >>> from chainrule.tuning.space import Uniform
        >>> settings = OptunaProposer().propose({"rate": Uniform(0, 1)}, range(2), 0, [], "val_loss", False)
        >>> [0 <= setting["rate"] <= 1 for setting in settings]
        [True, True]
    """

    learns = True

    def __init__(self, sampler=None):
        if sampler is not None and not callable(sampler):
            raise SettingError(f"sampler is a function that makes a sampler of optuna from a seed: "
                               f"lambda seed: optuna.samplers.TPESampler(seed=seed); got {shortened(sampler)}.")
        self.sampler = sampler
        self._optuna()

    def propose(self, space, numbers, seed, trials, monitor, larger):
        optuna = self._optuna()
        free = {name: _distribution(optuna, space[name]) for name in free_names(space)}
        # A study is made anew for each round, its seed from the round's first number: what it proposes follows from
        # the trials alone, and a search that was killed goes on as it would have.
        own_seed = int(np.random.default_rng([seed, numbers[0]]).integers(2**31))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = (self.sampler or (lambda seed: optuna.samplers.TPESampler(
                seed=seed, multivariate=True, constant_liar=True)))(own_seed)
            # Its logger is left as the user has it: a study under no name says nothing but that it was made.
            before = optuna.logging.get_verbosity()
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            try:
                study = optuna.create_study(direction="maximize" if larger else "minimize", sampler=sampler)
                for trial, figure in zip(trials, _judged(trials, monitor, larger), strict=True):
                    study.add_trial(_told(optuna, space, free, trial, figure))
                asked = [study.ask(free).params for _ in numbers]
            finally:
                optuna.logging.set_verbosity(before)
        return [{name: _answer(dimension, params.get(name)) for name, dimension in space.items()} for params in asked]

    @staticmethod
    def _optuna():
        try:
            import optuna
        except ImportError as error:
            raise ImportError("by='optuna' needs optuna, which is not installed: "
                              "pip install 'chainrule[tuning]'.") from error
        return optuna


def from_units(space: Space, units: Sequence[float]) -> dict[str, Any]:
    """A setting from one number between 0 and 1 for each dimension."""
    return {name: dimension.value(float(unit)) for (name, dimension), unit in zip(space.items(), units, strict=True)}


def _distribution(optuna, dimension: Dimension):
    """A dimension as optuna names it; of choices the numbers of the options, which may be of any type."""
    kinds = optuna.distributions
    if isinstance(dimension, Choice):
        return kinds.CategoricalDistribution(list(range(len(dimension.options))))
    if isinstance(dimension, Integer):
        high = dimension.high - (dimension.high - dimension.low) % dimension.step
        if dimension.log:  # there optuna knows no step: what it proposes is brought to the nearest
            return kinds.IntDistribution(dimension.low, high, log=True)
        return kinds.IntDistribution(dimension.low, high, step=dimension.step)
    return kinds.FloatDistribution(dimension.low, dimension.high, log=isinstance(dimension, LogUniform))


def _told(optuna, space: Space, free: dict[str, Any], trial: Trial, figure: float):
    """A trial that is over, as optuna keeps it."""
    state = optuna.trial.TrialState.FAIL if math.isnan(figure) else optuna.trial.TrialState.COMPLETE
    return optuna.trial.create_trial(params=encode(space, trial.values), distributions=free, state=state,
                                     value=None if math.isnan(figure) else figure)


def _judged(trials: Sequence[Trial], monitor: str, larger: bool) -> list[float]:
    """The figures of trials, those that failed as bad as the worst: optuna would forget them, and propose the like."""
    failed = [trial.state == "failed" or not math.isfinite(trial.figure(monitor)) for trial in trials]
    known = [trial.figure(monitor) for trial, bad in zip(trials, failed, strict=True) if not bad]
    worst = (min if larger else max)(known, default=math.nan)
    return [worst if bad else trial.figure(monitor) for trial, bad in zip(trials, failed, strict=True)]


def _answer(dimension: Dimension, value) -> Any:
    """What optuna proposes, as a value of the dimension."""
    if isinstance(dimension, Fixed):
        return dimension.only
    if isinstance(dimension, Choice):
        return dimension.options[value]
    if isinstance(dimension, Integer) and dimension.log and dimension.step > 1:
        return int(dimension.low + dimension.step * ((value - dimension.low) // dimension.step))
    return value
