"""What layers, losses, metrics, optimisers, initialisers and the like have in common: they are made of settings.

The settings are the constructor's arguments. They are captured as they are given, so a class is written either as
dataclass fields or with an `__init__` of its own, and nothing has to be repeated for saving:

    class Scale(Layer):
        factor: float = 2.0

    class Scale(Layer):
        def __init__(self, factor=2.0, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor
"""
import contextlib
import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from chainrule.errors import (
    FileFormatError,
    SettingError,
    UnknownLayerError,
    UnknownNameError,
    did_you_mean,
    shortened,
)


class _Recorder(type):
    """Makes an object and keeps the arguments it was made with."""

    @property
    def __signature__(cls) -> inspect.Signature:
        """What the constructor takes, for `help` and for editors that complete names."""
        signature = inspect.signature(cls.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])

    def __call__(cls, *args, **kwargs):
        kwargs = cls._read_settings(kwargs)
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
        if "_arguments" in self.__dict__ and (name in self._arguments or name in setting_names(type(self))):
            self._arguments[name] = value  # a setting changed after construction is saved as it is now

    @classmethod
    def _read_settings(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """The keyword arguments that the constructor receives for those that were given."""
        return settings

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


def setting_names(cls: type) -> set[str]:
    """The names that the constructor of a class takes, those it hands on by `**kwargs` included."""
    names = set()
    for parent in cls.__mro__:
        if "__init__" in parent.__dict__:
            parameters = list(inspect.signature(parent.__init__).parameters.values())[1:]
            names |= {parameter.name for parameter in parameters}
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
                break
    return names


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


class SymbolNumber(int):
    """The number of a symbol in a saved graph."""


def serialize(value, registries: Mapping[str, Registry], arrays: list | None = None):
    """A setting as plain JSON data.

    Objects become `{kind: class name, "settings": {...}}`; one that is met again `{"shared": number}`, the number that
    its first place has as `"id"`. Functions become their listed name. Tuples, dicts, arrays and numbers that JSON does
    not have are marked: `{"tuple": [...]}`, `{"items": ...}`, `{"array": ...}`, `{"number": "inf"}`.

    Args:
        value: the setting.
        registries: the closed lists of names, by kind.
        arrays: where arrays are appended, to be kept elsewhere; without it they are written out in place.

    Raises:
        SettingError: it is something that plain data cannot say, such as a lambda.
    """
    return _Writer(registries, arrays).plain(value)


def deserialize(data, registries: Mapping[str, Registry], custom_objects: Mapping[str, Any], arrays: Sequence = ()):
    """What `serialize` wrote, as objects again.

    Args:
        data: what comes from a file: nothing in it is trusted.
        registries: the closed lists of names, by kind: names come from here or from `custom_objects`, nowhere else.
        custom_objects: classes and functions of the user's own, by name.
        arrays: those that `serialize` put aside.

    Raises:
        UnknownLayerError: a name is in neither.
        FileFormatError: the data are not what `serialize` writes, or a constructor refuses its settings.
    """
    return _Reader(registries, custom_objects, arrays).value(data)


class _Writer:
    """One run of `serialize`: knows which objects it has met."""

    def __init__(self, registries, arrays):
        self.registries, self.arrays = registries, arrays
        self.met: dict[int, tuple[Any, dict]] = {}  # the objects are kept, so that their ids stay their own
        self.shared = 0

    def plain(self, value):
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, SymbolNumber):
            return {"symbol": int(value)}
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"number": str(float(value))}
        if isinstance(value, tuple):
            return {"tuple": [self.plain(item) for item in value]}
        if isinstance(value, list):
            return [self.plain(item) for item in value]
        if isinstance(value, Mapping):
            if all(isinstance(key, str) for key in value):
                return {"items": {key: self.plain(item) for key, item in value.items()}}
            return {"items": [[self.plain(key), self.plain(item)] for key, item in value.items()]}
        if isinstance(value, Configurable):
            return self._object(value)
        if (dtype := _dtype_name(value)) is not None:
            return dtype
        if callable(value):
            return self._named(value)
        if hasattr(value, "__array__"):
            return self._array(np.asarray(value))
        raise _not_plain(value)

    def _object(self, value: Configurable) -> dict:
        if id(value) in self.met:
            entry = self.met[id(value)][1]
            if "settings" not in entry:
                raise SettingError(
                    f"The {value.kind} {type(value).__name__} contains itself, so it cannot be kept in a file.")
            if "id" not in entry:
                entry["id"] = self.shared
                self.shared += 1
            return {"shared": entry["id"]}
        entry = {value.kind: type(value).__name__}
        self.met[id(value)] = (value, entry)
        entry["settings"] = {name: self._setting(value, name, item) for name, item in value.get_config().items()}
        return entry

    def _setting(self, owner: Configurable, name: str, value):
        """A setting of an object; `jax.nn.relu` and the like are refused, since no file can name them, and ours can."""
        function, module = getattr(value, "__name__", None), getattr(value, "__module__", None) or ""
        registries = self.registries.values()
        has_namesake = callable(value) and any(function in registry.entries for registry in registries)
        if module.startswith("jax.") and has_namesake and not any(value in registry for registry in registries):
            label = f" {owner.name!r}" if isinstance(getattr(owner, "name", None), str) else ""
            raise SettingError(
                f"The {owner.kind} {type(owner).__name__}{label} cannot be kept in a file: its {name} is JAX's "
                f"function {function}. Use chainrule's of that name: {name}={function!r}.")
        return self.plain(value)

    def _named(self, value) -> dict:
        for kind, registry in self.registries.items():
            if name := registry.name_of(value):
                return {kind: name}
        name = getattr(value, "__name__", "<lambda>")
        if name == "<lambda>":
            raise _not_plain(value)
        return {"class" if inspect.isclass(value) else "function": name}

    def _array(self, array: np.ndarray) -> dict:
        if array.dtype.kind not in "biuf":
            raise _not_plain(array)
        if self.arrays is not None:
            self.arrays.append(array)
            return {"array": len(self.arrays) - 1}
        return {"array": [self.plain(number) for number in array.ravel().tolist()], "shape": list(array.shape),
                "dtype": str(array.dtype)}


def _dtype_name(value) -> str | None:
    """The name of a dtype, in whatever form it is given: `np.float32`, `jnp.float32`, `np.dtype("float32")`."""
    is_scalar_type = inspect.isclass(value) and issubclass(value, np.generic)
    is_jax_scalar_type = callable(value) and isinstance(getattr(value, "dtype", None), np.dtype)
    return str(np.dtype(value)) if isinstance(value, np.dtype) or is_scalar_type or is_jax_scalar_type else None


def _not_plain(value) -> SettingError:
    return SettingError(
        f"The setting {value!r} cannot be kept in a file: files hold plain data. Use a name, a number, a list or an "
        f"object of chainrule, or a named function that `custom_objects` hands back when the file is loaded.")


class _Reader:
    """One run of `deserialize`: every entry is checked before it is used."""

    def __init__(self, registries, custom_objects, arrays):
        self.registries, self.custom_objects, self.arrays = registries, custom_objects, arrays
        self.shared: dict[int, Any] = {}

    def value(self, data):
        if isinstance(data, list):
            return [self.value(item) for item in data]
        if not isinstance(data, dict):
            return data
        marks = set(data)
        if marks == {"number"}:
            return self._number(data["number"])
        if marks == {"tuple"}:
            return tuple(self.value(_checked(data, "tuple", list)))
        if marks == {"items"}:
            return self._items(_checked(data, "items", (dict, list)))
        if marks == {"symbol"}:
            return SymbolNumber(_checked(data, "symbol", int))
        if marks == {"shared"}:
            return self._shared(_checked(data, "shared", int))
        if "array" in marks and marks <= {"array", "shape", "dtype"}:
            return self._array(data)
        return self._object(data)

    def _number(self, text) -> float:
        if text not in ("inf", "-inf", "nan"):
            raise FileFormatError(f"{text!r} is not a number")
        return float(text)

    def _items(self, items) -> dict:
        if isinstance(items, dict):
            return {key: self.value(item) for key, item in items.items()}
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in items):
            raise FileFormatError("the items of a dict are not pairs")
        pairs = [(self.value(key), self.value(item)) for key, item in items]
        if not all(isinstance(key, (str, int, float, bool, tuple, type(None))) for key, _ in pairs):
            raise FileFormatError("a key of a dict is neither text nor a number")
        with _failing_as("a dict has keys that cannot be used"):
            return dict(pairs)

    def _shared(self, number: int):
        if number not in self.shared:
            raise FileFormatError(f"it shares the object {number}, which is not defined before")
        return self.shared[number]

    def _array(self, data: dict) -> np.ndarray:
        content = data["array"]
        if set(data) == {"array"}:
            if not isinstance(content, int) or not 0 <= content < len(self.arrays):
                raise FileFormatError(f"there is no array {content!r} among the settings")
            return self.arrays[content]
        with _failing_as("an array of the settings is not valid"):
            if np.dtype(data["dtype"]).kind not in "biuf" or not isinstance(content, list):
                raise TypeError("it does not hold numbers")
            numbers = [self.value(number) for number in content]
            return np.array(numbers, dtype=np.dtype(data["dtype"])).reshape(data["shape"])

    def _object(self, data: dict):
        named = [(kind, name) for kind, name in data.items() if kind not in ("settings", "id")]
        if len(named) != 1 or not isinstance(named[0][1], str):
            raise FileFormatError(f"an entry with the keys {sorted(data)} is not one that chainrule writes")
        kind, name = named[0]
        made = find_entry(kind, name, self.registries, self.custom_objects)
        if "settings" not in data:
            return made
        if not (inspect.isclass(made) and issubclass(made, Configurable)):
            raise FileFormatError(f"the {kind} {name!r} is a function and takes no settings")
        settings = {key: self.value(item) for key, item in _checked(data, "settings", dict).items()}
        label = settings.get("name")
        with _failing_as(f"the {kind} {name}{f' {label!r}' if isinstance(label, str) else ''} refuses its settings"):
            value = made.from_config(settings)
        if "id" in data:
            self.shared[_checked(data, "id", int)] = value
        return value


def _checked(data: dict, key: str, kind):
    """An entry that must be of a certain type."""
    value = data[key]
    if not isinstance(value, kind) or isinstance(value, bool) or (kind is int and value < 0):
        raise FileFormatError(f"the entry {key!r} holds {shortened(value)}")
    return value


@contextlib.contextmanager
def _failing_as(reason: str):
    """Whatever a constructor raises on settings from a file, as the error of that file."""
    try:
        yield
    except (FileFormatError, UnknownLayerError):
        raise
    except Exception as error:  # constructors are many, and a damaged file can make any of them raise anything
        raise FileFormatError(f"{reason} ({type(error).__name__}: {_shortened_message(error)})") from error


def _shortened_message(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= 300 else f"{text[:297]}..."


def find_entry(kind: str, name: str, registries: Mapping[str, Registry], custom_objects: Mapping[str, Any]):
    """The class or function that a file calls `name`."""
    if name in custom_objects:
        return custom_objects[name]
    if kind in registries and name in registries[kind].entries:
        return registries[kind].entries[name]
    raise UnknownLayerError(
        f"The file uses the {kind} {name!r}, which is not part of chainrule. Hand it in by name: "
        f"load_model(path, custom_objects={{{name!r}: {name}}}).")
