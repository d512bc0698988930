"""Learning-rate schedules: the rate as a function of the number of updates made so far.

A schedule is settings and one equation. It takes the step (0 before the first update; a number or a traced integer)
and returns a float32, inside a compiled program or out of it:

    >>> from chainrule import schedules
    >>> schedule = schedules.ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)
    >>> print(schedule(0), schedule(100))
    0.1 0.05

Equations and defaults are those of Keras 3 where Keras has the schedule.
"""
import math
from collections.abc import Callable
from dataclasses import field
from numbers import Real

import jax.numpy as jnp
import numpy as np

from chainrule.configuration import Configurable, Registry
from chainrule.errors import SettingError


def check_number(owner, name: str, value, *, above=None, minimum=None, below=None, maximum=None, otherwise="") -> None:
    """Raises unless the setting `name` of `owner` is a number within the given bounds.

    Args:
        owner: the object whose setting it is, for the message.
        name: the setting.
        value: its value.
        above, minimum, below, maximum: the bounds; `above` and `below` exclude the bound itself.
        otherwise: what else than a number the setting may be, for the message: `" or a schedule"`.

    Raises:
        SettingError: the value is no number, NaN, or out of bounds.

    Example:
        >>> check_number(Constant(0.1), "learning_rate", -1, minimum=0)
        Traceback (most recent call last):
        chainrule.errors.SettingError: Constant: `learning_rate` must be a number of at least 0; got -1.
    """
    number = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    if (number and not math.isnan(value)
            and (above is None or value > above) and (minimum is None or value >= minimum)
            and (below is None or value < below) and (maximum is None or value <= maximum)):
        return
    bounds = [f"above {above}"] * (above is not None) + [f"of at least {minimum}"] * (minimum is not None)
    bounds += [f"below {below}"] * (below is not None) + [f"of at most {maximum}"] * (maximum is not None)
    words = " ".join(["a number", " and ".join(bounds)]).strip()
    kind = "" if number else f" ({type(value).__name__})"
    raise SettingError(f"{type(owner).__name__}: `{name}` must be {words}{otherwise}; got {value!r}{kind}.")


class Schedule(Configurable):
    """A learning rate that depends on the step; Keras calls it `LearningRateSchedule`, and so may you. A subclass has
    fields and a `__call__`.

    Args:
        name: a name of your choice; it is kept, and nothing depends on it.

    Example:
        >>> class SquareRootDecay(Schedule):
        ...     initial_learning_rate: float
        ...
        ...     def __call__(self, step):
        ...         return self.initial_learning_rate / jnp.sqrt(1 + as_float(step))
        >>> print(SquareRootDecay(0.1)(3))
        0.05
    """

    kind = "schedule"

    name: str | None = field(default=None, kw_only=True)

    def __call__(self, step):
        """The learning rate of the update that follows `step` earlier ones."""
        raise NotImplementedError(f"{type(self).__name__} needs a method `__call__(self, step)`.")

    def momentum(self, step):
        """The momentum (or `beta_1`) that goes with the rate, `None` where the schedule leaves it alone."""
        return None


def as_float(step):
    """The step as a float32, whatever it was."""
    return jnp.asarray(step).astype(jnp.float32)


def _periods(step, length, whole: bool):
    """How many times `length` fits into `step`; counted in integers where possible, so that no rounding shifts it."""
    return as_float(jnp.floor_divide(step, length)) if whole else as_float(step) / length


class Constant(Schedule):
    """The same rate at every step, `rate = learning_rate`.

    Shapes: a step `()` to a rate `()`.

    Args:
        learning_rate: the rate.

    Reference: Bottou, Curtis and Nocedal, Optimization Methods for Large-Scale Machine Learning, 2018, section 4.

    Example:
        >>> print(Constant(0.1)(7))
        0.1
    """

    learning_rate: float

    def __post_init__(self):
        check_number(self, "learning_rate", self.learning_rate, minimum=0)

    def __call__(self, step):
        return jnp.float32(self.learning_rate)


class StepDecay(Schedule):
    """The rate is multiplied by `decay_rate` every `decay_steps` steps (PyTorch's `StepLR`).

        rate = initial_learning_rate * decay_rate ** floor(step / decay_steps)

    Shapes: a step `()` to a rate `()`.

    Args:
        initial_learning_rate: the rate of the first `decay_steps` steps.
        decay_steps: the steps between two drops.
        decay_rate: the factor of a drop.

    Reference: Szegedy et al., Going Deeper with Convolutions, 2015, section 6.

    Example:
        >>> schedule = StepDecay(1.0, decay_steps=10, decay_rate=0.5)
        >>> print(schedule(9), schedule(10), schedule(20))
        1.0 0.5 0.25
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float = 0.1

    def __post_init__(self):
        _check_decay(self)

    def __call__(self, step):
        return self.initial_learning_rate * self.decay_rate ** _periods(step, self.decay_steps, whole=True)


class PiecewiseConstant(Schedule):
    """One rate up to and including each boundary.

        rate = values[0]     while step <= boundaries[0]
        rate = values[1]     while step <= boundaries[1], and so on

    Shapes: a step `()` to a rate `()`.

    Args:
        boundaries: steps, increasing.
        values: rates, one more than boundaries.

    Reference: He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, 2016, section 4.2.

    Example:
        >>> schedule = PiecewiseConstant([100, 200], [0.5, 0.25, 0.125])
        >>> print(schedule(100), schedule(101), schedule(500))
        0.5 0.25 0.125
    """

    boundaries: list[int]
    values: list[float]

    def __post_init__(self):
        if len(self.values) != len(self.boundaries) + 1:
            raise SettingError(
                f"PiecewiseConstant: `values` must have one entry more than `boundaries`: a rate before the first "
                f"boundary and one after each; got {len(self.boundaries)} boundaries and {len(self.values)} values.")
        if list(self.boundaries) != sorted(set(self.boundaries)):
            raise SettingError(f"PiecewiseConstant: `boundaries` must increase; got {self.boundaries!r}.")
        for value in self.values:
            check_number(self, "values", value, minimum=0)

    def __call__(self, step):
        passed = sum((jnp.asarray(step) > boundary).astype(jnp.int32) for boundary in self.boundaries)
        return jnp.asarray(self.values, jnp.float32)[passed]


class ExponentialDecay(Schedule):
    """The rate shrinks by the factor `decay_rate` in every `decay_steps` steps.

        rate = initial_learning_rate * decay_rate ** (step / decay_steps)

    Shapes: a step `()` to a rate `()`.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: the steps in which the rate shrinks by `decay_rate`.
        decay_rate: the factor.
        staircase: whether the exponent is rounded down, so that the rate falls in stairs.

    Reference: Senior, Heigold, Ranzato and Yang, An Empirical Study of Learning Rates in Deep Neural Networks for
    Speech Recognition, 2013.

    Example:
        >>> print(ExponentialDecay(1.0, decay_steps=10, decay_rate=0.25)(5))
        0.5
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def __post_init__(self):
        _check_decay(self)

    def __call__(self, step):
        return self.initial_learning_rate * self.decay_rate ** _periods(step, self.decay_steps, self.staircase)


class PolynomialDecay(Schedule):
    """From `initial_learning_rate` to `end_learning_rate` along a power of the steps that are left.

        rate = (initial_learning_rate - end_learning_rate) * (1 - step / decay_steps) ** power + end_learning_rate

    Shapes: a step `()` to a rate `()`.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: the step at which the end is reached.
        end_learning_rate: the rate from there on.
        power: 1 is a straight line.
        cycle: whether to rise again after the end: `decay_steps` is then multiplied by the smallest whole number that
            puts the end at or after the present step.

    Reference: Chen, Papandreou, Kokkinos, Murphy and Yuille, DeepLab, 2017 (the "poly" policy).

    Example:
        >>> print(PolynomialDecay(1.0, decay_steps=10, end_learning_rate=0.0)(5))
        0.5
    """

    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False

    def __post_init__(self):
        check_number(self, "initial_learning_rate", self.initial_learning_rate, minimum=0)
        check_number(self, "decay_steps", self.decay_steps, above=0)
        check_number(self, "end_learning_rate", self.end_learning_rate, minimum=0)
        check_number(self, "power", self.power, minimum=0)

    def __call__(self, step):
        done = as_float(step) / self.decay_steps
        fraction = done / jnp.maximum(jnp.ceil(done), 1) if self.cycle else jnp.minimum(done, 1)
        return (self.initial_learning_rate - self.end_learning_rate) * (1 - fraction) ** self.power \
            + self.end_learning_rate


class InverseTimeDecay(Schedule):
    """The rate falls with the inverse of time.

        rate = initial_learning_rate / (1 + decay_rate * step / decay_steps)

    Shapes: a step `()` to a rate `()`.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: the unit in which time is counted.
        decay_rate: how much the divisor grows in each unit.
        staircase: whether time is rounded down to whole units.

    Reference: Bottou, Stochastic Gradient Descent Tricks, 2012.

    Example:
        >>> print(InverseTimeDecay(1.0, decay_steps=10, decay_rate=1.0)(10))
        0.5
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def __post_init__(self):
        _check_decay(self)

    def __call__(self, step):
        time = _periods(step, self.decay_steps, self.staircase)
        return self.initial_learning_rate / (1 + self.decay_rate * time)


class CosineDecay(Schedule):
    """Half a cosine from the start to `alpha` times the start, after a linear warm-up where one is set.

        rate = start * ((1 - alpha) * (1 + cos(pi * step / decay_steps)) / 2 + alpha)

    The start is `initial_learning_rate`. With a `warmup_target`, the rate first rises in a straight line from
    `initial_learning_rate` to `warmup_target` in `warmup_steps` steps; the cosine follows and starts at the target.

    Shapes: a step `()` to a rate `()`.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: the steps of the cosine, warm-up not counted.
        alpha: the last rate as a fraction of the cosine's first.
        warmup_target: the rate after the warm-up.
        warmup_steps: the steps of the warm-up.

    Reference: Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017.

    Example:
        >>> schedule = CosineDecay(0.0, decay_steps=100, warmup_target=1.0, warmup_steps=10)
        >>> print(schedule(5), schedule(10), schedule(110))
        0.5 1.0 0.0
    """

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: int = 0

    def __post_init__(self):
        check_number(self, "initial_learning_rate", self.initial_learning_rate, minimum=0)
        check_number(self, "decay_steps", self.decay_steps, above=0)
        check_number(self, "warmup_steps", self.warmup_steps, minimum=0)
        if self.warmup_target is not None:
            check_number(self, "warmup_target", self.warmup_target, minimum=0)
        elif self.warmup_steps:
            raise SettingError(
                f"CosineDecay: `warmup_steps` is {self.warmup_steps} but there is no `warmup_target`, the rate to "
                f"warm up to. Set both: CosineDecay(0.0, {self.decay_steps}, "
                f"warmup_target={self.initial_learning_rate}, warmup_steps={self.warmup_steps}).")

    def __call__(self, step):
        step = as_float(step)
        if self.warmup_target is None:
            return self.initial_learning_rate * self._cosine(step)
        rise = (self.warmup_target - self.initial_learning_rate) * step / max(self.warmup_steps, 1)
        decayed = self.warmup_target * self._cosine(step - self.warmup_steps)
        return jnp.where(step < self.warmup_steps, self.initial_learning_rate + rise, decayed)

    def _cosine(self, step):
        return (1 - self.alpha) * _half_cosine(jnp.minimum(step / self.decay_steps, 1)) + self.alpha


class CosineRestarts(Schedule):
    """Cosine decay that starts again, each cycle `t_mul` times as long and `m_mul` times as high as the one before.

        rate = initial_learning_rate * ((1 - alpha) * m_mul ** cycle * (1 + cos(pi * fraction)) / 2 + alpha)

    where `fraction` is how much of the present `cycle` (counted from 0) is over.

    Shapes: a step `()` to a rate `()`.

    Args:
        initial_learning_rate: the rate at step 0.
        first_decay_steps: the steps of the first cycle; `first_steps` says the same.
        t_mul: by how much each cycle is longer, at least 1.
        m_mul: by how much each cycle starts higher (below 1: lower).
        alpha: the least rate as a fraction of `initial_learning_rate`.

    Reference: Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017; Keras's
    `CosineDecayRestarts`.

    Example:
        >>> schedule = CosineRestarts(1.0, first_decay_steps=10)
        >>> print([round(float(schedule(step)), 3) for step in (0, 5, 9, 10, 20, 29, 30)])
        [1.0, 0.5, 0.024, 1.0, 0.5, 0.006, 1.0]
    """

    initial_learning_rate: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    def __post_init__(self):
        check_number(self, "initial_learning_rate", self.initial_learning_rate, minimum=0)
        check_number(self, "first_decay_steps", self.first_decay_steps, above=0)
        check_number(self, "t_mul", self.t_mul, minimum=1)
        check_number(self, "m_mul", self.m_mul, minimum=0)

    @classmethod
    def _read_settings(cls, settings):
        if "first_steps" in settings and "first_decay_steps" not in settings:
            settings = {"first_decay_steps" if name == "first_steps" else name: value
                        for name, value in settings.items()}
        return super()._read_settings(settings)

    def __call__(self, step):
        cycle, fraction = self._position(step)
        return self.initial_learning_rate * (
            (1 - self.alpha) * self.m_mul ** as_float(cycle) * _half_cosine(fraction) + self.alpha)

    def next_restart(self, step: int) -> int:
        """The first step after `step` at which a cycle begins.

        Example:
            >>> CosineRestarts(1.0, first_decay_steps=10).next_restart(10)
            30
        """
        if self.t_mul == 1:
            return math.ceil((step // self.first_decay_steps + 1) * self.first_decay_steps)
        ends = np.cumsum(self._lengths())
        return math.ceil(ends[np.searchsorted(ends, step, side="right")])

    def _lengths(self) -> np.ndarray:
        """The lengths of the cycles that begin before the step counter ends."""
        growth = math.log1p(2**31 * (self.t_mul - 1) / self.first_decay_steps) / math.log(self.t_mul)
        return self.first_decay_steps * float(self.t_mul) ** np.arange(math.ceil(growth) + 1)

    def _position(self, step):
        """The present cycle and how much of it is over."""
        if self.t_mul == 1:
            fraction = as_float(jnp.mod(step, self.first_decay_steps)) / self.first_decay_steps
            return jnp.floor_divide(step, self.first_decay_steps), fraction
        # A table of the cycles. Solving for the cycle with a logarithm in float32, as is often done, puts some restarts
        # one step late.
        lengths = self._lengths()
        ends = np.cumsum(lengths)
        step = as_float(step)
        cycle = jnp.searchsorted(jnp.asarray(ends, jnp.float32), step, side="right")
        start, length = (jnp.asarray(table, jnp.float32)[cycle] for table in (ends - lengths, lengths))
        return cycle, (step - start) / length


class OneCycle(Schedule):
    """One rise and one long fall of the rate, each half a cosine, while the momentum does the opposite.

        from max_rate / initial_divisor   up to  max_rate                                     warmup_fraction of the run
        from max_rate                     down to  max_rate / initial_divisor / final_divisor   the rest

    The momentum (`momentum` of SGD and RMSprop, `beta_1` of the Adam family) goes from `max_momentum` down to
    `min_momentum` and back at the same time; an optimiser made with `momentum=0` keeps none.

    Shapes: a step `()` to a rate `()`.

    Args:
        max_rate: the highest rate.
        total_steps: the updates of the whole run; later ones use the last rate.
        warmup_fraction: the part of the run that the rise takes.
        initial_divisor: how many times smaller the first rate is than the highest.
        final_divisor: how many times smaller the last rate is than the first.
        max_momentum: the momentum where the rate is low.
        min_momentum: the momentum where the rate is highest.
        cycle_momentum: whether the schedule sets the momentum at all.

    Reference: Smith and Topin, Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates,
    2018; equal to PyTorch's `OneCycleLR`.

    Example:
        >>> schedule = OneCycle(0.01, total_steps=100)
        >>> print(schedule(29), schedule.momentum(29))
        0.01 0.85
    """

    max_rate: float
    total_steps: int
    warmup_fraction: float = 0.3
    initial_divisor: float = 25.0
    final_divisor: float = 1e4
    max_momentum: float = 0.95
    min_momentum: float = 0.85
    cycle_momentum: bool = True

    def __post_init__(self):
        check_number(self, "max_rate", self.max_rate, minimum=0)
        check_number(self, "total_steps", self.total_steps, minimum=1)
        check_number(self, "warmup_fraction", self.warmup_fraction, minimum=0, maximum=1)
        check_number(self, "initial_divisor", self.initial_divisor, above=0)
        check_number(self, "final_divisor", self.final_divisor, above=0)
        check_number(self, "max_momentum", self.max_momentum, minimum=0, below=1)
        check_number(self, "min_momentum", self.min_momentum, minimum=0, below=1)

    def __call__(self, step):
        first = self.max_rate / self.initial_divisor
        return self._cycle(step, first, self.max_rate, first / self.final_divisor)

    def momentum(self, step):
        if not self.cycle_momentum:
            return None
        return self._cycle(step, self.max_momentum, self.min_momentum, self.max_momentum)

    def _cycle(self, step, first, middle, last):
        """From `first` to `middle` to `last`."""
        step = as_float(step)
        turn = max(self.warmup_fraction * self.total_steps - 1, 0)
        end = self.total_steps - 1
        rise = _half_cosine(step / (turn or 1))
        fall = _half_cosine(jnp.clip((step - turn) / ((end - turn) or 1), 0, 1))
        return jnp.where(step < turn, rise * first + (1 - rise) * middle, fall * middle + (1 - fall) * last)


class Warmup(Schedule):
    """A straight rise to the first rate of another schedule, which then runs from its own beginning.

        rate = initial_learning_rate + (schedule(0) - initial_learning_rate) * step / steps     while step < steps
        rate = schedule(step - steps)                                                           from there on

    Shapes: a step `()` to a rate `()`.

    Args:
        schedule: what follows: a schedule, or a number for a constant rate.
        steps: the steps of the rise.
        initial_learning_rate: the rate at step 0.

    Reference: Goyal et al., Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, 2017.

    Example:
        >>> schedule = Warmup(0.1, steps=10)
        >>> print(schedule(5), schedule(10), schedule(99))
        0.05 0.1 0.1
    """

    schedule: Schedule | float
    steps: int
    initial_learning_rate: float = 0.0

    def __post_init__(self):
        get(self.schedule)
        check_number(self, "steps", self.steps, minimum=1)
        check_number(self, "initial_learning_rate", self.initial_learning_rate, minimum=0)

    def __call__(self, step):
        schedule, step = get(self.schedule), jnp.asarray(step)
        target = schedule(jnp.zeros_like(step))
        rise = self.initial_learning_rate + (target - self.initial_learning_rate) * as_float(step) / self.steps
        return jnp.where(step < self.steps, rise, schedule(jnp.maximum(step - self.steps, 0)))

    def momentum(self, step):
        return momentum_of(self.schedule, jnp.maximum(jnp.asarray(step) - self.steps, 0))


def momentum_of(schedule, step):
    """The momentum that goes with the rate of a `Schedule`; `None` for numbers and plain functions.

    Example:
        >>> print(momentum_of(OneCycle(0.01, total_steps=100), 0), momentum_of(0.1, 0))
        0.95 None
    """
    return schedule.momentum(step) if isinstance(schedule, Schedule) else None


def _half_cosine(fraction):
    """From 1 at 0 to 0 at 1, level at both ends."""
    return (1 + jnp.cos(math.pi * fraction)) / 2


def _check_decay(schedule) -> None:
    check_number(schedule, "initial_learning_rate", schedule.initial_learning_rate, minimum=0)
    check_number(schedule, "decay_steps", schedule.decay_steps, above=0)
    check_number(schedule, "decay_rate", schedule.decay_rate, minimum=0)


LearningRateSchedule = Schedule
CosineDecayRestarts = CosineRestarts
PiecewiseConstantDecay = PiecewiseConstant

registry = Registry("schedule", [
    Constant, StepDecay, PiecewiseConstant, ExponentialDecay, PolynomialDecay, InverseTimeDecay, CosineDecay,
    CosineRestarts, OneCycle, Warmup,
], aliases={
    "CosineDecayRestarts": CosineRestarts, "cosine_decay_restarts": CosineRestarts,
    "PiecewiseConstantDecay": PiecewiseConstant, "piecewise_constant_decay": PiecewiseConstant})


def get(identifier: float | Schedule | Callable) -> Schedule | Callable:
    """The schedule that `identifier` stands for: a number is a constant rate, a schedule or function is itself.

    Args:
        identifier: a number, a schedule, or a function of the step (an optax schedule, for one).

    Example:
        >>> get(0.1)
        Constant(learning_rate=0.1)
    """
    if isinstance(identifier, Real) and not isinstance(identifier, bool):
        return Constant(identifier)
    if isinstance(identifier, str):
        registry.lookup(identifier)
        raise SettingError(
            f"A schedule needs settings, so a name is not enough; got {identifier!r}. Make one: "
            f"schedules.{registry.lookup(identifier).__name__}(...).")
    return registry.get(identifier)
