"""Which names go to the axis of a population, and which decide shapes."""
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import NotReadyError, SettingError, UnknownNameError
from chainrule.layers import Dense, Dropout
from chainrule.tuning.recipe import Recipe
from chainrule.tuning.space import as_space

X = np.zeros((3, 4), "float32")


def shape_of(source, space, **values):
    space = as_space(space)
    recipe = Recipe(source, space, X)
    middle = {name: dimension.value(0.5) for name, dimension in space.items()}
    recipe.check(middle)
    return recipe.shape(middle | values)


def deep(depth, units, dropout, penalty, rate):
    """Its depth decides which layers there are; `penalty` is used twice, and `rate` also in a way that shows."""
    model = cr.Sequential([cr.Input((4,))])
    for _ in range(depth):
        model.add(Dense(units, kernel_regularizer=cr.regularizers.L2(penalty)))
        if dropout:
            model.add(Dropout(dropout))
    model.add(Dense(1, name=f"head_{rate > 0.05}"))
    model.compile(cr.optimizers.SGD(rate), "mse")
    return model


def test_numbers_that_a_builder_hands_on_go_to_the_axis():
    space = {"depth": [1, 2], "units": (4, 64), "dropout": (0.0, 0.5), "penalty": (1e-5, 1e-2, "log"),
             "rate": (0.01, 0.02), "momentum": [0.0, 0.9]}
    shape = shape_of(deep, space, depth=2, units=8)
    assert shape.key == {"depth": 2, "units": 8}
    assert shape.axis == {
        "dropout": ["dropout/rate", "dropout_1/rate"], "rate": ["learning_rate"], "momentum": ["momentum"],
        "penalty": ["dense/kernel_regularizer/l2", "dense_1/kernel_regularizer/l2"]}
    assert shape_of(deep, space, depth=1).axis["dropout"] == ["dropout/rate"]


def test_a_number_that_a_builder_uses_for_more_decides_shapes():
    shape = shape_of(deep, {"depth": 1, "units": 4, "dropout": 0.1, "penalty": 0.1, "rate": (0.01, 0.5)})
    assert set(shape.key) == {"rate"}  # and what has one value is no choice at all


def test_a_number_that_is_changed_on_its_way_decides_shapes():
    def build(keep):
        model = cr.Sequential([cr.Input((4,)), Dropout(1 - keep), Dense(1)])
        model.compile("sgd", "mse")
        return model

    assert shape_of(build, {"keep": (0.5, 0.9)}).axis == {}


def test_a_function_that_cannot_be_compared_decides_shapes():
    def build(power):
        model = cr.Sequential([cr.Input((4,)), cr.layers.Lambda(lambda x: x**power), Dense(1)])
        model.compile("sgd", "mse")
        return model

    assert shape_of(build, {"power": (1.0, 2.0)}).key == {"power": 1.5}


def test_numbers_of_a_model_by_path_and_pattern(build):
    space = {"learning_rate": (1e-3, 1e-1, "log"), "*/rate": (0.1, 0.5), "batch_size": [8, 16]}
    shape = shape_of(build(), space, batch_size=8)
    assert shape.axis == {"learning_rate": ["learning_rate"], "*/rate": ["dropout/rate"]}
    assert shape.key == {"batch_size": 8}


def test_equal_shapes_are_one(build):
    space = as_space({"units": [4, 8], "dropout": (0.1, 0.5)})
    recipe = Recipe(build, space, X)
    first = recipe.shape({"units": 4, "dropout": 0.2})
    assert recipe.shape({"units": 4, "dropout": 0.3}) is first
    assert recipe.shape({"units": 8, "dropout": 0.2}) is not first


@pytest.mark.parametrize(("space", "error", "message"), [
    ({"unit": [4]}, UnknownNameError,
     "The space has 'unit', which is neither a parameter of the builder nor a number of the model. "
     "Did you mean 'units'?"),
    ({"learning_rat": (0.1, 0.2)}, UnknownNameError,
     "The space has 'learning_rat', which is neither a parameter of the builder nor a number of the model. "
     "Did you mean 'learning_rate'?"),
    ({"learning_rate": ["fast"]}, SettingError,
     "The values of 'learning_rate' are no numbers, in which members of a population could differ: ['fast']. Give a "
     "function that builds the model and has the parameter learning_rate."),
    ({"dropout/rate": (0.5, 1.5)}, SettingError,
     "'dropout/rate': Dropout: `rate` is the share of inputs to drop, at least 0 and below 1; got 1.5."),
])
def test_names_and_values_that_nothing_has(build, space, error, message):
    with pytest.raises(error) as caught:
        shape_of(build, space)
    assert str(caught.value) == message


def test_what_decides_shapes_needs_a_builder(build):
    with pytest.raises(UnknownNameError) as caught:
        shape_of(build(), {"units": [4, 8]})
    assert str(caught.value).startswith("The space has 'units', which is no number of the model that can be searched "
                                        "without another shape. Known names: ")
    assert str(caught.value).endswith("For what decides shapes, give a function that builds the model and has the "
                                      "parameter units.")


def test_builders_that_cannot_be_used(build):
    with pytest.raises(SettingError) as caught:
        shape_of(deep, {"depth": [1]})
    assert str(caught.value) == ("The builder needs 'units', of which the space says nothing. Add 'units' to the space "
                                 "(one value will do), or give the parameter a default. Known names: 'depth'.")
    with pytest.raises(SettingError) as caught:
        shape_of(lambda units: None, {"units": [4]})
    assert str(caught.value) == "The builder returned None; expected a compiled model. Does it end in return model?"
    with pytest.raises(NotReadyError):
        shape_of(lambda units: cr.Sequential([Dense(units)]), {"units": [4]})
    with pytest.raises(SettingError) as caught:
        shape_of(3, {"units": [4]})
    assert str(caught.value) == ("tune takes a compiled model, or a function of the values that builds one; got 3.")
