"""Python's data come back from a file equal and of the same types."""
import collections
import json

import jax.numpy as jnp
import numpy as np
import pytest

from chainrule.errors import FileFormatError, SettingError
from chainrule.saving import plain

VALUES = [
    None, True, 0, -(2**80), 1.5, 0.1 + 0.2, float("inf"), "text é", b"\x00\xff", [1, [2.0, None]], (1, (2,)), (),
    {"a": {"b": (1,)}}, {1: "one", (2, 3): [4]}, {}, {3, 1, 2}, frozenset("ab"),
    collections.deque([1, 2], maxlen=3), np.float32(0.1), np.int64(3), np.arange(6.0).reshape(2, 3),
    np.zeros((0, 3), "float16"), np.array(True)]


def through_file(value):
    arrays = plain.Arrays()
    data = json.loads(json.dumps(plain.write(value, arrays), allow_nan=False))
    return plain.read(data, {name: np.asarray(array) for name, array in arrays.named.items()})


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_come_back(value):
    back = through_file({"entry": value})["entry"]
    assert type(back) is type(value)
    if isinstance(value, np.ndarray):
        assert back.dtype == value.dtype and back.shape == value.shape and (back == value).all()
    else:
        assert back == value
        assert not isinstance(value, collections.deque) or back.maxlen == value.maxlen


def test_nan_and_arrays_of_the_device_come_back():
    assert np.isnan(through_file(float("nan")))
    back = through_file({"weights": jnp.ones(3)})["weights"]
    assert isinstance(back, type(jnp.ones(3))) and back.tolist() == [1, 1, 1]


def test_a_random_generator_goes_on_where_it_was():
    for kind in (np.random.PCG64, np.random.Philox, np.random.MT19937, np.random.SFC64, np.random.PCG64DXSM):
        generator = np.random.Generator(kind(3))
        generator.normal(size=5)
        back = through_file([generator])[0]
        assert (back.normal(size=5) == generator.normal(size=5)).all()


def test_the_same_array_is_kept_once_and_numpy_arrays_are_copied():
    arrays, array, weights = plain.Arrays(), np.zeros(2), jnp.zeros(2)
    plain.write([array, array, weights, weights], arrays)
    assert list(arrays.named) == ["0", "1"]
    array[:] = 1
    assert arrays.named["0"].tolist() == [0, 0] and arrays.named["1"] is weights


@pytest.mark.parametrize("value", [open, object(), lambda: None, np.array(["a"]), np.array([1j]), range(3)])
def test_other_things_are_no_data(value):
    assert not plain.is_plain({"entry": [value]})
    with pytest.raises(SettingError, match="is not data that a file can hold"):
        plain.write(value, plain.Arrays())


@pytest.mark.parametrize(("data", "message"), [
    ({"object": 1}, "it holds an entry of the unknown kind 'object'"),
    ({}, "it holds an entry of the kinds []"),
    ({"tuple": [], "list": []}, "it holds an entry of the kinds ['list', 'tuple']"),
    ({"tuple": 3}, "it holds 3 in the place of a list"),
    ({"array": "9"}, "its entry 'array' cannot be read (KeyError: '9')"),
    ({"bytes": "x"}, "its entry 'bytes' cannot be read (ValueError: non-hexadecimal number found in fromhex() arg at "
                     "position 0)"),
    ({"generator": {"dict": {"bit_generator": "os"}}}, "its entry 'generator' cannot be read (KeyError: 'os')"),
    ({"items": [[[], 1]]}, "its entry 'items' cannot be read (TypeError: unhashable type: 'list')"),
    ({"float": "1e5"}, "it holds an entry of the unknown kind 'float'"),
])
def test_foreign_data_are_refused(data, message):
    with pytest.raises(FileFormatError) as caught:
        plain.read(data, {})
    assert str(caught.value) == message
