"""What layers, losses, metrics, optimisers, initialisers, regularisers and schedules have in common: they are made of settings.

The settings are the constructor's arguments. They are captured as they are given, so a class is written either as
dataclass fields or with an `__init__` of its own, and nothing has to be repeated for saving:

    class Scale(Layer):
        factor: float = 2.0

    class Scale(Layer):
        def __init__(self, factor=2.0, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor
"""
import dataclasses
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from chainrule.errors import SettingError, UnknownLayerError, UnknownNameError, did_you_mean


class _Recorder(type):
    """Makes an object and keeps the arguments it was made with."""

    def __call__(cls, *args, **kwargs):
        made = super().__call__(*args, **kwargs)
        bound = inspect.signature(cls.__init__).bind(made, *args, **kwargs)
        arguments = dict(list(bound.arguments.items())[1:])
        for parameter in inspect.signature(cls.__init__).parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments.update(arguments.pop(parameter.name, {}))
        object.__setattr__(made, "_arguments", arguments)
        return made


class Configurable(metaclass=_Recorder):
    """A thing made of settings. A subclass that has no `__init__` of its own becomes a dataclass."""

    kind = "object"
    _own_constructor = False  # whether the class, or one it inherits from, wrote an `__init__`

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        cls._own_constructor = cls._own_constructor or "__init__" in cls.__dict__
        if not cls._own_constructor:
            dataclasses.dataclass(cls, eq=False, repr=False)

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)
        if name in self.__dict__.get("_arguments", ()):
            self._arguments[name] = value  # a setting changed after construction is saved as it is now

    def get_config(self) -> dict[str, Any]:
        """The settings that make an equal object: `type(self)(**self.get_config())`. Defaults are left out."""
        return dict(self._arguments)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]):
        """An object from the settings that `get_config` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={_brief(value)}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({settings})"


def _brief(value) -> str:
    """A setting as text: functions by their name."""
    return getattr(value, "__name__", None) or repr(value)


def snake_case(name: str) -> str:
    """`GlorotUniform` as `glorot_uniform`, `Conv2D` as `conv2d`, `PReLU` as `p_re_lu`."""
    text = ""
    for index, letter in enumerate(name):
        before, after = name[index - 1 : index], name[index + 1 : index + 2]
        starts = letter.isupper() and (before.islower() or (before.isupper() and after.islower()))
        text += "_" * bool(starts and index) + letter.lower()
    return text


class Registry:
    """The closed list of names of one kind: what a string in a program, or a name in a file, may refer to.

    Args:
        kind: what is listed, in the singular, for messages: `"activation"`.
        entries: classes and functions; each goes by its own name and by that name in snake case.
        aliases: further names, each for an entry: `{"mse": MeanSquaredError}`.
    """

    def __init__(self, kind: str, entries: list[Callable], aliases: Mapping[str, Any] = MappingProxyType({})):
        self.kind = kind
        named = {entry.__name__: entry for entry in entries}
        named |= {snake_case(name): entry for name, entry in named.items()} | dict(aliases)
        self.entries = MappingProxyType(named)

    def get(self, identifier):
        """The object that `identifier` stands for: a name, a class, or already an object or function."""
        if isinstance(identifier, str):
            return _instance(self.lookup(identifier))
        if callable(identifier) or isinstance(identifier, Configurable):
            return _instance(identifier)
        raise SettingError(
            f"{_article(self.kind)} is a name, an object or a function; got {identifier!r} "
            f"({type(identifier).__name__}).")

    def lookup(self, name: str):
        """The class or function of that name."""
        if name not in self.entries:
            raise UnknownNameError(f"There is no {self.kind} {name!r}. {did_you_mean(name, self.entries)}")
        return self.entries[name]

    def __contains__(self, entry) -> bool:
        return any(entry is known for known in self.entries.values())

    def name_of(self, entry) -> str | None:
        """The name of a listed class or function (`None` where it is not listed)."""
        return next((name for name, known in self.entries.items() if known is entry), None)


def _instance(entry):
    return entry() if inspect.isclass(entry) else entry


def _article(noun: str) -> str:
    return ("An " if noun[0] in "aeiou" else "A ") + noun


def serialize(value, registries: Mapping[str, Registry]):
    """A setting as plain JSON data: objects as `{kind: name, "settings": {...}}`, functions by their listed name."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else {"number": str(float(value))}
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (list, tuple)):
        return [serialize(item, registries) for item in value]
    if isinstance(value, dict):
        return {"items": [[serialize(key, registries), serialize(item, registries)] for key, item in value.items()]}
    if isinstance(value, Configurable):
        settings = {name: serialize(setting, registries) for name, setting in value.get_config().items()}
        return {value.kind: type(value).__name__, "settings": settings}
    for kind, registry in registries.items():
        if callable(value) and (name := registry.name_of(value)):
            return {kind: name}
    if inspect.isfunction(value) and value.__name__ != "<lambda>":
        return {"function": value.__name__}
    if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "__array__"):
        array = np.asarray(value)
        return {"array": serialize(array.tolist(), registries), "dtype": str(array.dtype)}
    raise SettingError(
        f"The setting {value!r} cannot be kept in a file: files hold plain data. Use a name, a number, a list or an "
        f"object of chainrule, or a named function that `custom_objects` hands back when the file is loaded.")


def deserialize(data, registries: Mapping[str, Registry], custom_objects: Mapping[str, Any]):
    """What `serialize` wrote, as objects again. Names come from the registries or from `custom_objects`, nowhere else."""
    if isinstance(data, list):
        return [deserialize(item, registries, custom_objects) for item in data]
    if not isinstance(data, dict):
        return data
    again = lambda item: deserialize(item, registries, custom_objects)
    if "number" in data:
        return float(data["number"])
    if "items" in data:
        return {again(key): again(item) for key, item in data["items"]}
    if "array" in data:
        return np.array(again(data["array"]), dtype=np.dtype(data["dtype"]))
    kind, name = next(iter(data.items()))
    made = find_entry(kind, name, registries, custom_objects)
    if "settings" not in data:
        return made
    return made.from_config({key: again(value) for key, value in data["settings"].items()})


def find_entry(kind: str, name: str, registries: Mapping[str, Registry], custom_objects: Mapping[str, Any]):
    """The class or function that a file calls `name`."""
    if name in custom_objects:
        return custom_objects[name]
    if kind in registries and name in registries[kind].entries:
        return registries[kind].entries[name]
    raise UnknownLayerError(
        f"The file uses the {kind} {name!r}, which is not part of chainrule. Hand it in by name: "
        f"load_model(path, custom_objects={{{name!r}: {name}}}).")
