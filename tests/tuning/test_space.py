"""The spellings of a space, and what its dimensions give."""
import math

import numpy as np
import pytest

from chainrule.errors import SettingError
from chainrule.tuning.space import Choice, Fixed, Integer, LogUniform, Uniform, as_space, decode, encode

ALMOST_ONE = math.nextafter(1.0, 0.0)


def test_short_spellings():
    space = as_space({"a": (0.0, 1), "b": (1, 8), "c": (1e-4, 1.0, "log"), "d": (1, 64, "log"), "e": ["x", "y"],
                      "f": "relu", "g": np.array([1, 2]), "h": Uniform(0, 2), "i": np.float64(0.5), "j": [7]})
    assert space == {"a": Uniform(0.0, 1), "b": Integer(1, 8), "c": LogUniform(1e-4, 1.0),
                     "d": Integer(1, 64, log=True),
                     "e": Choice(("x", "y")), "f": Fixed("relu"), "g": Choice((1, 2)), "h": Uniform(0, 2),
                     "i": Fixed(0.5), "j": Fixed(7)}


@pytest.mark.parametrize("dimension", [
    Uniform(-1, 2), LogUniform(1e-5, 3.0), Integer(3, 17), Integer(4, 21, step=5), Integer(1, 100, log=True),
    Integer(8, 64, step=8, log=True)])
def test_values_lie_between_the_ends(dimension):
    values = [dimension.value(unit) for unit in np.linspace(0, ALMOST_ONE, 1000)]
    assert dimension.low <= min(values) and max(values) <= dimension.high
    assert values == sorted(values)
    if isinstance(dimension, Integer):
        wanted = list(range(dimension.low, dimension.high + 1, dimension.step))
        assert sorted(set(values)) == wanted and all(type(value) is int for value in values)


def test_each_whole_number_is_as_likely_as_any():
    values = [Integer(0, 3).value(unit) for unit in (np.arange(1000) + 0.5) / 1000]
    assert np.bincount(values).tolist() == [250] * 4


def test_values_are_kept_as_plain_data():
    def function():
        return 1

    space = as_space({"a": [1, True, 1.0, None, function], "b": (0.0, 1.0), "c": Fixed(function)})
    for option in space["a"].options:
        values = {"a": option, "b": 0.25, "c": function}
        back = decode(space, encode(space, values))
        assert back == values and type(back["a"]) is type(option)
    assert encode(space, {"a": True, "b": 0.25, "c": function}) == {"a": 1, "b": 0.25}


@pytest.mark.parametrize(("make", "message"), [
    (lambda: as_space([1]), "The space of a search is a dict of names and what they may be, {'learning_rate': (1e-4, "
                            "1e-1, 'log')}; got [1]."),
    (lambda: as_space({1: 2}), "The names of a space are texts; got 1."),
    (lambda: as_space({"act": ("relu", "tanh")}),
     "The space of 'act': a tuple is a range, (low, high) or (low, high, 'log'); got ('relu', 'tanh'). For a choice "
     "give a list: ['relu', 'tanh']."),
    (lambda: as_space({"rate": (0.5, 0.1)}),
     "The space of 'rate': Uniform goes from a smaller number to a larger one; got 0.5 to 0.1."),
    (lambda: as_space({"rate": (0.0, 0.1, "log")}),
     "The space of 'rate': A range over orders of magnitude begins above 0; got 0.0."),
    (lambda: Choice([]), "Choice takes a list of options, at least one; got []."),
    (lambda: Choice("relu"), "Choice takes a list of options, at least one; got 'relu'."),
    (lambda: Integer(1, 2.5), "Integer goes from one number to another, both whole numbers; got 2.5."),
    (lambda: Integer(1, 4, step=0), "Integer: step is a whole number of at least 1; got 0."),
    (lambda: Uniform(0, math.inf), "Uniform goes from one number to another, both numbers; got inf."),
])
def test_what_no_space_can_be(make, message):
    with pytest.raises(SettingError) as caught:
        make()
    assert str(caught.value) == message
