"""The exceptions that chainrule raises, and the one place that words a message about shapes and names.

Every error says what was expected, what came, and the likely fix. All of them are `ChainruleError`s, and each is also
the built-in exception that a caller would expect (`ValueError`, `OSError`, ...).
"""
import difflib
from collections.abc import Iterable


class ChainruleError(Exception):
    """The parent of every error that chainrule raises on purpose."""


class SettingError(ChainruleError, ValueError):
    """A setting has a value it cannot have, or two settings exclude each other."""


class UnknownNameError(ChainruleError, ValueError):
    """A name (of an activation, a loss, a callback argument, ...) that nothing has."""


class UnknownLayerError(UnknownNameError):
    """A model file names a layer or another object that is neither built in nor handed in by `custom_objects`."""


class ShapeError(ChainruleError, ValueError):
    """An array has a rank or a size that does not fit where it is used."""


class DataError(ChainruleError, ValueError):
    """Values that cannot be trained on: NaN, labels out of range, empty or unequally long arrays."""


class NotReadyError(ChainruleError, RuntimeError):
    """Something was asked of a model that needs an earlier step: building, compiling, or a key."""


class NotFiniteError(ChainruleError, ArithmeticError):
    """Training produced NaN or infinity."""


class FileFormatError(ChainruleError, ValueError):
    """A file is not what it should be: wrong magic, truncated, sizes that disagree, from the future."""


class FileAccessError(ChainruleError, OSError):
    """A file cannot be written where it should be: a folder stands there, it exists already, no permission."""


class MissingDataError(ChainruleError, FileNotFoundError):
    """A data set is not on this machine and could not be fetched."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """The sentence that suggests the nearest of `choices`, or lists them all where none is near."""
    choices = sorted(set(choices))
    folded = {choice.lower().replace("_", ""): choice for choice in choices}
    near = difflib.get_close_matches(str(name).lower().replace("_", ""), folded, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {folded[near[0]]!r}?"
    return "Known names: " + ", ".join(repr(choice) for choice in choices) + "."


def shortened(value) -> str:
    """A value as messages quote it: how Python writes it, cut where that is long.

    Example:
        >>> shortened("x" * 99)
        "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."
    """
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def format_shape(shape: Iterable[int | None]) -> str:
    """A shape as text, the free axes as `None`: `(None, 28, 28)`."""
    sizes = [str(size) for size in shape]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"
