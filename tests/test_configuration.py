"""Settings: captured as they are given, changed later, written down as plain data and read back without trust."""
import json
from dataclasses import field
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import activations
from chainrule.configuration import (
    Configurable,
    Registry,
    SymbolNumber,
    deserialize,
    find_entry,
    serialize,
    snake_case,
)
from chainrule.errors import FileFormatError, SettingError, UnknownLayerError, UnknownNameError


class Base(Configurable):
    kind = "thing"
    name: str | None = field(default=None, kw_only=True)


class Sized(Base):
    size: int
    rate: Any = 0.5


class Deeper(Sized):
    depth: int = 2


class Written(Base):
    """With a constructor of its own, that hands the rest on."""

    def __init__(self, width, *, height=3, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.area = width * height


class MoreWritten(Written):
    def __init__(self, width):
        super().__init__(width, height=1)


def cube(x):
    return x**3


class Known:
    """A class that is no Configurable."""


REGISTRIES = {"thing": Registry("thing", [Sized, Deeper, Written]), "activation": Registry("activation", [cube])}


def there_and_back(value, custom_objects=None, arrays=None):
    data = serialize(value, REGISTRIES, arrays)
    return deserialize(json.loads(json.dumps(data, allow_nan=False)), REGISTRIES, custom_objects or {}, arrays or ())


# What is captured.

def test_arguments_are_captured_as_given():
    assert Sized(3).get_config() == {"size": 3}
    assert Sized(3, 0.5, name="a").get_config() == {"size": 3, "rate": 0.5, "name": "a"}
    assert Deeper(3, depth=5).get_config() == {"size": 3, "depth": 5}
    assert Written(4, name="b").get_config() == {"width": 4, "name": "b"}
    assert MoreWritten(4).get_config() == {"width": 4}
    assert repr(Sized(3, cube)) == "Sized(size=3, rate=cube)"


def test_an_object_from_its_settings():
    again = Deeper.from_config(Deeper(3, depth=5, name="c").get_config())
    assert (again.size, again.rate, again.depth, again.name) == (3, 0.5, 5, "c")


def test_settings_changed_later_are_captured():
    for thing in (Sized(3), Sized(3, rate=0.1), Written(3)):
        thing.name = "later"
        assert thing.get_config()["name"] == "later"
    thing = Sized(3)
    thing.rate = 0.9
    assert thing.get_config() == {"size": 3, "rate": 0.9}
    written = Written(3)
    written.height, written.area = 7, 21
    assert written.get_config() == {"width": 3, "height": 7}
    more = MoreWritten(3)
    more.name = "unknown to its constructor"
    assert more.get_config() == {"width": 3}


def test_wrong_arguments_are_python_errors():
    with pytest.raises(TypeError):
        Sized()
    with pytest.raises(TypeError):
        Written(1, breadth=2)


# Names.

@pytest.mark.parametrize(("name", "expected"), [
    ("GlorotUniform", "glorot_uniform"), ("Conv2D", "conv2d"), ("PReLU", "p_re_lu"), ("LSTM", "lstm"), ("relu", "relu"),
    ("GRUCell", "gru_cell"), ("", "")])
def test_snake_case(name, expected):
    assert snake_case(name) == expected


def test_a_registry_knows_names_and_objects():
    registry = Registry("thing", [Sized, cube], {"c": cube})
    assert registry.lookup("Sized") is registry.lookup("sized") is Sized
    assert registry.get("c") is registry.get("cube") is registry.get(cube) is cube
    thing = Sized(1)
    assert registry.get(thing) is thing
    assert cube in registry and Deeper not in registry
    assert registry.name_of(Sized) == "Sized" and registry.name_of(Deeper) is None
    with pytest.raises(TypeError):
        registry.entries["more"] = cube


def test_classes_are_made_where_an_object_is_asked_for():
    class Plain(Base):
        pass

    registry = Registry("thing", [Plain])
    assert isinstance(registry.get("plain"), Plain) and isinstance(registry.get(Plain), Plain)


def test_unknown_names():
    registry = Registry("activation", [cube])
    with pytest.raises(UnknownNameError) as error:
        registry.get("cubed")
    assert str(error.value) == "There is no activation 'cubed'. Did you mean 'cube'?"
    with pytest.raises(UnknownNameError) as error:
        registry.get("zzz")
    assert str(error.value) == "There is no activation 'zzz'. Known names: 'cube'."
    with pytest.raises(SettingError) as error:
        registry.get(3)
    assert str(error.value) == "An activation is a name, an object or a function; got 3 (int)."
    with pytest.raises(SettingError) as error:
        Registry("loss", []).get([])
    assert str(error.value) == "A loss is a name, an object or a function; got [] (list)."


# Plain data and back.

@pytest.mark.parametrize("value", [
    None, True, 3, -0.1, 1e300, "text", "ü", [], [1, [2]], (), (1, (None, "a")), {}, {"a": 1, "b": (2,)},
    {(1, 2): 3, 4: "x"}, {"layer": "not one"}, [{"settings": {}}], SymbolNumber(3)])
def test_plain_values_come_back(value):
    again = there_and_back(value)
    assert again == value and type(again) is type(value)


def test_numbers_that_json_does_not_have():
    assert there_and_back(float("inf")) == float("inf") and there_and_back(-float("inf")) == -float("inf")
    assert np.isnan(there_and_back(float("nan")))


@pytest.mark.parametrize(("value", "expected"), [
    (np.float32(0.5), 0.5), (np.float64(0.1), 0.1), (np.int64(3), 3), (np.bool_(True), True), (np.float32, "float32"),
    (np.dtype("int8"), "int8"), (jnp.bfloat16, "bfloat16"), (jnp.float32, "float32")])
def test_numbers_and_types_of_numpy(value, expected):
    again = there_and_back(value)
    assert again == expected and type(again) is type(expected)


@pytest.mark.parametrize("array", [
    np.arange(6.0).reshape(2, 3), np.zeros((0, 3), "float32"), np.array([np.inf, np.nan]), np.array(5, "int8"),
    np.array([True, False]), jnp.ones((2,))])
def test_arrays(array):
    for arrays in (None, []):
        again = there_and_back(array, arrays=arrays)
        np.testing.assert_array_equal(again, array)
        assert again.dtype == array.dtype


def test_objects_and_functions():
    again = there_and_back([Sized(3, rate=Deeper(4, name="inner")), cube, Sized])
    assert repr(again) == repr([Sized(3, rate=Deeper(4, name="inner")), cube, Sized])
    assert there_and_back([Known, MoreWritten(2)], {"Known": Known, "MoreWritten": MoreWritten})[0] is Known


def test_an_object_in_two_places_stays_one():
    shared, data = Sized(1), None
    data = serialize([shared, {"a": shared}, Sized(2, rate=shared)], REGISTRIES)
    assert data == [
        {"thing": "Sized", "settings": {"size": 1}, "id": 0}, {"items": {"a": {"shared": 0}}},
        {"thing": "Sized", "settings": {"size": 2, "rate": {"shared": 0}}}]
    first, second, third = deserialize(data, REGISTRIES, {})
    assert first is second["a"] is third.rate


def test_what_plain_data_cannot_say():
    for value in (object(), b"bytes", 1j, np.array(["a"])):
        with pytest.raises(SettingError) as error:
            serialize(value, REGISTRIES)
        assert str(error.value) == (
            f"The setting {value!r} cannot be kept in a file: files hold plain data. Use a name, a number, a list or "
            f"an object of chainrule, or a named function that `custom_objects` hands back when the file is loaded.")
    round_about = Sized(1)
    round_about.rate = [round_about]
    with pytest.raises(SettingError) as error:
        serialize(round_about, REGISTRIES)
    assert str(error.value) == "The thing Sized contains itself, so it cannot be kept in a file."


def test_functions_of_jax_that_have_namesakes_are_not_written():
    registries = REGISTRIES | {"activation": Registry("activation", [cube, activations.tanh])}
    for thing, label in [(Sized(1, rate=jnp.tanh), "Sized"), (Sized(1, rate=jnp.tanh, name="it"), "Sized 'it'")]:
        with pytest.raises(SettingError) as error:
            serialize([thing], registries)
        assert str(error.value) == (
            f"The thing {label} cannot be kept in a file: its rate is JAX's function tanh. Use chainrule's of that "
            f"name: rate='tanh'.")
    assert serialize(Sized(1, rate=jnp.sinh), registries)["settings"]["rate"] == {"function": "sinh"}
    known = {"activation": Registry("activation", [jnp.tanh])}
    assert serialize(Sized(1, rate=jnp.tanh), known)["settings"]["rate"] == {"activation": "tanh"}


# Reading what somebody else wrote.

@pytest.mark.parametrize(("data", "reason"), [
    ({}, "an entry with the keys [] is not one that chainrule writes"),
    ({"thing": "Sized", "more": 1}, "an entry with the keys ['more', 'thing'] is not one that chainrule writes"),
    ({"thing": ["Sized"]}, "an entry with the keys ['thing'] is not one that chainrule writes"),
    ({"thing": "Sized", "settings": []}, "the entry 'settings' holds []"),
    ({"thing": "Sized", "settings": {}},
     "the thing Sized refuses its settings (TypeError: Sized.__init__() missing 1 required positional argument: "
     "'size')"),
    ({"thing": "Sized", "settings": {"size": 1, "name": "a", "x": 0}},
     "the thing Sized 'a' refuses its settings (TypeError: Sized.__init__() got an unexpected keyword argument 'x')"),
    ({"thing": "Sized", "settings": {"size": 1}, "id": "a"}, "the entry 'id' holds 'a'"),
    ({"activation": "cube", "settings": {}}, "the activation 'cube' is a function and takes no settings"),
    ({"thing": "Sized", "settings": {"size": {"shared": 0}}, "id": 0},
     "it shares the object 0, which is not defined before"),
    ({"tuple": {}}, "the entry 'tuple' holds {}"),
    ({"items": 3}, "the entry 'items' holds 3"),
    ({"items": [[{"tuple": [[]]}, 1]]}, "a dict has keys that cannot be used (TypeError: unhashable type: 'list')"),
    ({"symbol": True}, "the entry 'symbol' holds True"),
    ({"number": 3}, "3 is not a number"),
    ({"array": 0}, "there is no array 0 among the settings"),
    ({"array": [1, "a"], "shape": [2], "dtype": "float32"},
     "an array of the settings is not valid (ValueError: could not convert string to float: 'a')"),
    ({"array": [1], "shape": [10**12], "dtype": "float32"},
     "an array of the settings is not valid (ValueError: cannot reshape array of size 1 into shape (1000000000000,))"),
    ({"shared": "a" * 100}, f"the entry 'shared' holds '{'a' * 56}..."),
])
def test_data_that_are_refused(data, reason):
    with pytest.raises(FileFormatError) as error:
        deserialize(data, REGISTRIES, {})
    assert str(error.value) == reason


def test_names_come_from_the_closed_lists_only():
    assert find_entry("thing", "Sized", REGISTRIES, {}) is Sized
    assert find_entry("thing", "Sized", REGISTRIES, {"Sized": Deeper}) is Deeper
    for kind, name in [("thing", "cube"), ("function", "cube"), ("class", "Known"), ("os", "system")]:
        with pytest.raises(UnknownLayerError) as error:
            deserialize({kind: name}, REGISTRIES, {})
        assert str(error.value) == (
            f"The file uses the {kind} {name!r}, which is not part of chainrule. Hand it in by name: "
            f"load_model(path, custom_objects={{{name!r}: {name}}}).")
