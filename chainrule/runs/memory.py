"""What callbacks remember, taken out of them for a checkpoint and put back into them."""
import inspect
import warnings
from typing import Any

from chainrule.saving import plain
from chainrule.training.events import Callback

_ENGINE = ("model", "params")  # attributes that a fit sets itself


class Memory:
    """The memory of one callback during one fit.

    It is what its `get_state` returns; without one, all its attributes that are data, but for those that are named like
    an argument of its constructor and are as they were before the fit: these are settings, and a run that goes on may
    change them.

    Args:
        callback: as it is before the fit.

    Example:
        >>> from chainrule.training.events import Callback
        >>> class Count(Callback):
        ...     def __init__(self, limit):
        ...         self.limit, self.seen = limit, 0
        >>> counting = Count(3)
        >>> memory = Memory(counting)
        >>> counting.seen = 2
        >>> memory.now()
        {'seen': 2}
    """

    def __init__(self, callback):
        self.callback = callback
        self._speaks_for_itself = getattr(type(callback), "get_state", Callback.get_state) is not Callback.get_state
        self._before = _attributes(callback)
        settings = inspect.signature(type(callback).__init__).parameters
        self._settings = {name: plain.copy(value) for name, value in self._before.items()
                          if name in settings and plain.is_plain(value)}

    @property
    def name(self) -> str:
        """The name of the callback's class."""
        return type(self.callback).__name__

    def now(self) -> dict[str, Any]:
        """What the callback remembers at this moment."""
        if self._speaks_for_itself:
            return self.callback.get_state()
        attributes = _attributes(self.callback)
        data = {name: value for name, value in attributes.items() if plain.is_plain(value)}
        for name, value in attributes.items():
            if name not in data and value is not self._before.get(name):
                warnings.warn(
                    f"{self.name}.{name} is a {type(value).__name__}, which a checkpoint cannot hold: after a resume "
                    f"it is as the constructor leaves it. Write get_state and set_state to keep what matters of it.",
                    UserWarning, stacklevel=2)
        return {name: value for name, value in data.items()
                if name not in self._settings or not plain.same(value, self._settings[name])}

    def restore(self, state: dict[str, Any]) -> None:
        """Make the callback remember what `now` returned."""
        if self._speaks_for_itself:
            self.callback.set_state(state)
        else:
            vars(self.callback).update(state)


def _attributes(callback) -> dict[str, Any]:
    return {name: value for name, value in vars(callback).items() if name not in _ENGINE}
