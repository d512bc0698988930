"""The space of a search: for each name the values it may have."""
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from chainrule.errors import SettingError, shortened

_PLAIN = (str, bool, int, float, type(None))
_ENDS = (0.0, 0.5, math.nextafter(1.0, 0.0))  # of a range, and its middle
_INSIDE = (0.5, 0.01, 0.25, 0.75, 0.99)


class Dimension:
    """The values that one name may have, as a way from a number between 0 and 1 to one of them."""

    def value(self, unit: float) -> Any:
        """The value for a number from 0 up to, but not including, 1."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """What it is in plain data: equal for equal dimensions."""
        return {"kind": type(self).__name__, **{name: _described(value) for name, value in vars(self).items()}}

    def probes(self) -> list[Any]:
        """Different values to try a builder with: all of a choice, both ends where they can come."""
        # The ends of a continuous range never come, and a builder may do something else there: no dropout at 0.
        units = _ENDS if isinstance(self, Integer) else _INSIDE
        return list(dict.fromkeys(self.value(unit) for unit in units))

    def ends(self) -> list[Any]:
        """The smallest and the largest value; of a choice all of them."""
        return [self.value(_ENDS[0]), self.value(_ENDS[-1])]

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers."""
        return True


@dataclass(frozen=True)
class Uniform(Dimension):
    """Numbers between two others, each as likely as any.

    Args:
        low, high: the ends.

    Example:
        >>> Uniform(0.0, 0.5).value(0.5)
        0.25
    """

    low: float
    high: float

    def __post_init__(self):
        _check_ends(self, Real)

    def value(self, unit: float) -> float:
        return float(self.low + (self.high - self.low) * unit)


@dataclass(frozen=True)
class LogUniform(Dimension):
    """Numbers between two others, each order of magnitude as likely as any: for rates and penalties.

    Args:
        low, high: the ends, larger than 0.

    Example:
        >>> round(LogUniform(1e-4, 1e-2).value(0.5), 6)
        0.001
    """

    low: float
    high: float

    def __post_init__(self):
        _check_ends(self, Real)
        _check_positive(self)

    def value(self, unit: float) -> float:
        found = math.exp(math.log(self.low) + (math.log(self.high) - math.log(self.low)) * unit)
        return float(min(max(found, self.low), self.high))


@dataclass(frozen=True)
class Integer(Dimension):
    """Whole numbers from `low` to `high`, both included.

    Args:
        low, high: the ends.
        step: the distance of two neighbours.
        log: whether each order of magnitude is as likely as any.

    Example:
        >>> [Integer(8, 32, step=8).value(unit) for unit in (0.0, 0.5, 0.99)]
        [8, 24, 32]
    """

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self):
        _check_ends(self, Integral)
        if isinstance(self.step, bool) or not isinstance(self.step, Integral) or self.step < 1:
            raise SettingError(f"Integer: step is a whole number of at least 1; got {shortened(self.step)}.")
        if self.log:
            _check_positive(self)

    def value(self, unit: float) -> int:
        steps = (self.high - self.low) // self.step
        if not self.log:
            return int(self.low + self.step * min(int(unit * (steps + 1)), steps))
        # Each whole number has the room of half a step on either side.
        low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
        nearest = round((math.exp(low + (high - low) * unit) - self.low) / self.step)
        return int(self.low + self.step * min(max(nearest, 0), steps))


@dataclass(frozen=True)
class Choice(Dimension):
    """One of several values: numbers, texts, tuples, functions, whatever the builder takes.

    Args:
        options: the values.

    Example:
        >>> Choice(["relu", "tanh"]).value(0.7)
        'tanh'
    """

    options: Sequence[Any]

    def __post_init__(self):
        if isinstance(self.options, (str, bytes)) or not isinstance(self.options, (Sequence, np.ndarray)) or (
                not len(self.options)):
            raise SettingError(f"Choice takes a list of options, at least one; got {shortened(self.options)}.")
        object.__setattr__(self, "options", tuple(_plain(option) for option in self.options))

    def value(self, unit: float) -> Any:
        return self.options[min(int(unit * len(self.options)), len(self.options) - 1)]

    def probes(self) -> list[Any]:
        return list(self.options)

    def ends(self) -> list[Any]:
        return list(self.options)

    @property
    def numeric(self) -> bool:
        return all(isinstance(option, Real) and not isinstance(option, bool) for option in self.options)


@dataclass(frozen=True)
class Fixed(Dimension):
    """One value that all trials have.

    Args:
        only: the value.

    Example:
        >>> Fixed("relu").value(0.3)
        'relu'
    """

    only: Any

    def value(self, unit: float) -> Any:
        return self.only

    def probes(self) -> list[Any]:
        return [self.only]

    @property
    def numeric(self) -> bool:
        return isinstance(self.only, Real) and not isinstance(self.only, bool)


def as_space(given) -> dict[str, Dimension]:
    """The dimensions by name, from short spellings too.

    A tuple is a range, `(0.0, 0.5)` or `(16, 128)`, or `(1e-4, 1e-1, "log")` for one over orders of magnitude; of two
    whole numbers it is one of whole numbers. A list holds the options of a choice. All else is one value for all.

    Example:
        >>> as_space({"learning_rate": (1e-4, 1e-1, "log"), "units": [32, 64]})
        {'learning_rate': LogUniform(low=0.0001, high=0.1), 'units': Choice(options=(32, 64))}
    """
    if not isinstance(given, Mapping) or not given:
        raise SettingError(f"The space of a search is a dict of names and what they may be, "
                           f"{{'learning_rate': (1e-4, 1e-1, 'log')}}; got {shortened(given)}.")
    for name in given:
        if not isinstance(name, str):
            raise SettingError(f"The names of a space are texts; got {shortened(name)}.")
    return {name: _dimension(name, value) for name, value in given.items()}


def _dimension(name: str, given) -> Dimension:
    try:
        if isinstance(given, Dimension):
            return given
        if isinstance(given, list):
            return Fixed(_plain(given[0])) if len(given) == 1 else Choice(given)
        if isinstance(given, np.ndarray):
            return Choice(given.tolist())
        return _range(given) if isinstance(given, tuple) else Fixed(_plain(given))
    except SettingError as error:
        raise SettingError(f"The space of {name!r}: {error}") from error


def _range(given: tuple) -> Dimension:
    """A range from its short spelling."""
    ends, rest = given[:2], given[2:]
    if len(ends) < 2 or rest not in ((), ("log",)) or not all(
            isinstance(end, Real) and not isinstance(end, bool) for end in ends):
        raise SettingError(f"a tuple is a range, (low, high) or (low, high, 'log'); got {shortened(given)}. For a "
                           f"choice give a list: {shortened(list(given))}.")
    low, high = map(_plain, ends)
    if isinstance(low, int) and isinstance(high, int):
        return Integer(low, high, log=bool(rest))
    return LogUniform(low, high) if rest else Uniform(low, high)


def _check_ends(dimension, kind: type) -> None:
    name, what = type(dimension).__name__, "whole numbers" if kind is Integral else "numbers"
    for end in (dimension.low, dimension.high):
        if isinstance(end, bool) or not isinstance(end, kind) or not math.isfinite(end):
            raise SettingError(f"{name} goes from one number to another, both {what}; got {shortened(end)}.")
    if not dimension.low < dimension.high:
        raise SettingError(f"{name} goes from a smaller number to a larger one; got {dimension.low!r} to "
                           f"{dimension.high!r}.")


def _check_positive(dimension) -> None:
    if dimension.low <= 0:
        raise SettingError(f"A range over orders of magnitude begins above 0; got {dimension.low!r}.")


def _plain(value):
    """A number of NumPy as one of Python."""
    return value.item() if isinstance(value, np.generic) else value


def _described(value):
    if isinstance(value, (tuple, list)):
        return [_described(one) for one in value]
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
        return f"{value.__module__}.{value.__qualname__}"  # and not where in memory it is
    config = getattr(value, "get_config", None)
    return f"{type(value).__qualname__}({config()!r})" if callable(config) else repr(value)


def free_names(space: Mapping[str, Dimension]) -> list[str]:
    """The names whose values differ between trials.

    Example:
        >>> free_names({"units": Integer(8, 32), "activation": Fixed("relu")})
        ['units']
    """
    return [name for name, dimension in space.items() if not isinstance(dimension, Fixed)]


def encode(space: Mapping[str, Dimension], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as plain data: of a choice the number of the option, of what is fixed nothing.

    Example:
        >>> encode({"act": Choice(["relu", "tanh"]), "rate": Uniform(0, 1)}, {"act": "tanh", "rate": 0.5})
        {'act': 1, 'rate': 0.5}
    """
    index = lambda options, value: next(place for place, option in enumerate(options)
                                        if option is value or (type(option) is type(value) and option == value))
    return {name: index(dimension.options, values[name]) if isinstance(dimension, Choice) else values[name]
            for name, dimension in space.items() if not isinstance(dimension, Fixed)}


def decode(space: Mapping[str, Dimension], data: Mapping[str, Any]) -> dict[str, Any]:
    """What `encode` was given."""
    def value(name, dimension):
        if isinstance(dimension, Fixed):
            return dimension.only
        return dimension.options[data[name]] if isinstance(dimension, Choice) else data[name]

    return {name: value(name, dimension) for name, dimension in space.items()}
