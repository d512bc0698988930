"""What may differ between members, and that it does what it does in a network alone."""
import jax
import numpy as np
import pytest

import chainrule as cr
from chainrule import optimizers, schedules
from chainrule.errors import SettingError, ShapeError, UnknownNameError
from chainrule.layers import Dense, Dropout
from tests.helpers import assert_close

ROUNDING = {"rtol": 5e-4, "atol": 5e-6}
FIT = {"epochs": 3, "batch_size": 16, "verbose": 0}


def variables(population, member):
    return population._store.variables(member)[:2]


def test_settings_of_layers_by_path(network, rows):
    population = cr.Population(network(), settings={"dropout/rate": [0.1, 0.5], "dense/kernel_regularizer/l2": 0.1})
    population.fit(*rows, seed=3, **FIT)
    for member, rate in enumerate([0.1, 0.5]):
        alone = network(rate=rate, l2=0.1)
        alone.fit(*rows, seed=3 + member, **FIT)
        assert_close(jax.tree.leaves(variables(population, member)), jax.tree.leaves(alone.variables()), **ROUNDING)
    assert population.member(1).get_layer("dropout").rate == 0.5
    assert population.member(1).get_layer("dense").kernel_regularizer.l2 == 0.1


@pytest.mark.parametrize(("optimizer", "name", "values"), [
    (lambda **s: optimizers.SGD(0.1, **s), "momentum", [0.5, 0.9]),
    (lambda **s: optimizers.SGD(0.1, **s), "momentum", [0.0, 0.9]),
    (lambda **s: optimizers.Adam(0.01, **s), "weight_decay", [0.0, 0.1]),
    (lambda **s: optimizers.Adam(0.01, **s), "clipnorm", [0.05, 1.0]),
    (lambda **s: optimizers.Adam(0.01, **s), "beta_1", [0.5, 0.95]),
    (lambda **s: optimizers.RMSprop(0.01, **s), "rho", [0.5, 0.95]),
    (lambda **s: optimizers.SGD(0.1, use_ema=True, **s), "ema_momentum", [0.5, 0.9]),
])
def test_numbers_of_the_optimizer(optimizer, name, values, network, rows):
    population = cr.Population(network(optimizer()), **{name: values})
    population.fit(*rows, seed=1, **FIT)
    for member, value in enumerate(values):
        alone = network(optimizer(**{name: value}))
        alone.fit(*rows, seed=1 + member, **FIT)
        assert_close(jax.tree.leaves(variables(population, member)), jax.tree.leaves(alone.variables()), **ROUNDING)


def test_numbers_of_a_schedule(network, rows):
    schedule = lambda rate: optimizers.Adam(schedules.ExponentialDecay(rate, decay_steps=4, decay_rate=0.5))
    population = cr.Population(network(schedule(0.5)), settings={"learning_rate/initial_learning_rate": [0.01, 0.1]})
    population.fit(*rows, seed=1, **FIT)
    for member, rate in enumerate([0.01, 0.1]):
        alone = network(schedule(rate))
        alone.fit(*rows, seed=1 + member, **FIT)
        assert_close(jax.tree.leaves(variables(population, member)), jax.tree.leaves(alone.variables()), **ROUNDING)
    assert population.member(1).optimizer.learning_rate.initial_learning_rate == 0.1


def test_rates_of_several_optimizers_move_together(network, rows):
    optimizer = lambda first, rest: optimizers.MultiOptimizer({"^dense/": optimizers.SGD(first)}, optimizers.SGD(rest))
    population = cr.Population(network(optimizer(0.05, 0.1)), learning_rate=[0.1, 0.2])
    population.fit(*rows, seed=1, **FIT)
    for member, (first, rest) in enumerate([(0.05, 0.1), (0.1, 0.2)]):
        alone = network(optimizer(first, rest))
        alone.fit(*rows, seed=1 + member, **FIT)
        assert_close(jax.tree.leaves(variables(population, member)), jax.tree.leaves(alone.variables()), **ROUNDING)


def test_weights_of_losses(rows):
    x, y = rows

    def make(weights):
        inputs = cr.Input((4,))
        body = Dense(5, activation="tanh")(inputs)
        model = cr.Model(inputs, {"kind": Dense(2, activation="softmax")(body), "size": Dense(1)(body)})
        model.compile("adam", {"kind": "sparse_categorical_crossentropy", "size": "mse"}, loss_weights=weights)
        return model

    targets = {"kind": y, "size": x[:, :1]}
    population = cr.Population(make({"size": 0.5}), loss_weights={"size": [0.5, 3.0]})
    history = population.fit(x, targets, seed=1, **FIT)
    for member, weight in enumerate([0.5, 3.0]):
        alone = make({"size": weight})
        expected = alone.fit(x, targets, seed=1 + member, **FIT)
        np.testing.assert_allclose(history.of(member)["loss"], expected.history["loss"], rtol=1e-4)
        assert population.member(member).evaluate(x, targets, verbose=0, return_dict=True)["loss"] == pytest.approx(
            alone.evaluate(x, targets, verbose=0, return_dict=True)["loss"], rel=1e-4)


def test_how_weights_start():
    model = cr.Sequential([cr.Input((50,)), Dense(40, kernel_initializer=cr.initializers.RandomNormal(stddev=0.1))])
    model.compile(loss="mse")
    by_path = cr.Population(model, settings={"dense/kernel_initializer/stddev": [0.1, 2.0]})
    scaled = cr.Population(model, initializer_scale=[1.0, 3.0], seed=[4, 4])
    deviations = [by_path.member(member).get_weights()[0].std() for member in range(2)]
    np.testing.assert_allclose(deviations, [0.1, 2.0], rtol=0.1)
    first, second = (scaled.member(member).get_weights() for member in range(2))
    np.testing.assert_allclose(3 * first[0], second[0], rtol=1e-6)
    assert not second[1].any()


def test_the_scale_of_a_variance_may_differ():
    kernel = lambda scale: cr.initializers.VarianceScaling(scale, "fan_in", "uniform")
    make = lambda scale: cr.Sequential([cr.Input((30,)), Dense(20, kernel_initializer=kernel(scale))])
    model = make(1.0)
    model.compile(loss="mse")
    population = cr.Population(model, settings={"dense/kernel_initializer/scale": [1.0, 4.0]}, seed=[2, 2])
    for member, scale in enumerate([1.0, 4.0]):
        np.testing.assert_allclose(population.member(member).get_weights()[0], make(scale).variables(2)[0]["dense"][
            "kernel"], rtol=1e-5)


def test_names_may_be_short_and_patterns(network):
    model = cr.Sequential([cr.Input((4,)), Dropout(0.5), Dense(3), Dropout(0.5), Dense(1)])
    model.compile(loss="mse")
    assert list(cr.Population(network(), rate=[0.1, 0.2]).values) == ["dropout/rate"]
    assert sorted(cr.Population(model, settings={"*/rate": [0.1, 0.2]}).values) == ["dropout/rate", "dropout_1/rate"]
    with pytest.raises(UnknownNameError) as found:
        cr.Population(model, rate=[0.1, 0.2])
    assert str(found.value) == (
        "'rate' is a setting of several layers: 'dropout/rate', 'dropout_1/rate'. Name one of them by its path, or all "
        "of them by '*/rate': settings={'*/rate': values}.")


def test_frozen_and_adapted_layers_keep_what_they_have(rows):
    x, y = rows
    normalise, frozen = cr.layers.Normalization(), Dense(3, trainable=False)
    normalise.adapt(5 * x + 1)
    model = cr.Sequential([cr.Input((4,)), normalise, frozen, Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0, seed=9)
    population = cr.Population(model, 2)
    population.fit(x, y, seed=1, **FIT)
    for member in range(2):
        trained = population.member(member)
        for before, after in zip(model.get_weights()[:4], trained.get_weights()[:4], strict=True):
            np.testing.assert_array_equal(before, after)
        assert not np.array_equal(trained.get_weights()[4], model.get_weights()[4])


def test_regularizers_and_initializers_by_name(tmp_path):
    model = cr.Sequential([cr.Input((4, 4, 2)), cr.layers.DepthwiseConv2D(2, depthwise_regularizer="l2"),
                           cr.layers.Flatten(), Dense(3, kernel_regularizer="l1", kernel_initializer="random_normal")])
    model.compile("adam", "mse")
    settings = {"depthwise_conv2d/kernel_regularizer/l2": [0.1, 0.2], "dense/kernel_regularizer/l1": 0.3,
                "dense/kernel_initializer/stddev": [0.0, 1.0]}
    population = cr.Population(model, settings=settings)
    x, y = np.zeros((4, 4, 4, 2)), np.zeros((4, 3))
    population.member(1).save(tmp_path / "member.chain")
    for member in (population.member(1), cr.models.load_model(tmp_path / "member.chain")):
        weights = member.get_weights()
        expected = 0.2 * (weights[0] ** 2).sum() + 0.3 * abs(weights[2]).sum()
        assert member.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)
        assert member.get_layer("depthwise_conv2d").depthwise_regularizer.l2 == 0.2
        assert member.get_layer("dense").kernel_regularizer.l1 == 0.3
    assert population.evaluate(x, y)["loss"][1] == pytest.approx(expected, rel=1e-5)
    assert not population.member(0).get_weights()[2].any()
    assert model.get_layer("dense").kernel_regularizer == "l1"


def test_members_may_start_from_the_model(network, rows):
    model = network()
    model.fit(*rows, seed=1, **FIT)
    population = cr.Population(model, 2, initial="model")
    for member in range(2):
        for before, after in zip(model.get_weights(), population.member(member).get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)


ERRORS = [
    ({"learning_rat": [1, 2]}, UnknownNameError,
     "Members cannot differ in 'learning_rat': neither the optimizer (Adam) nor a layer has such a number. Did you "
     "mean 'learning_rate'?"),
    ({"settings": {"dense/units": [1, 2]}}, SettingError,
     "'dense/units' is 6, which is not a plain number that all members can share a program over: shapes, names and "
     "switches are the same for all. Make a population of each choice."),
    ({"size": 3, "learning_rate": [0.1, 0.2]}, ShapeError,
     "'learning_rate' has the shape (2,), and there are 3 members: give one number for all of them, or 3."),
    ({"learning_rate": ["fast", "slow"]}, SettingError,
     "'learning_rate' takes numbers, one for all members or one a member; got ['fast', 'slow']."),
    ({"learning_rate": [0.1, float("nan")]}, SettingError,
     "'learning_rate' holds nan for the member 1; expected finite numbers."),
    ({"learning_rate": [0.1, -1.0]}, SettingError,
     "Adam: `learning_rate` must be a number of at least 0, a schedule or a function of the step; got -1.0."),
    ({"settings": {"dropout/rate": [0.1, 1.5]}}, SettingError,
     "'dropout/rate': Dropout: `rate` is the share of inputs to drop, at least 0 and below 1; got 1.5."),
    ({}, SettingError,
     "size is the number of members: give it, or one value a member: Population(model, learning_rate=[0.01, 0.001])."),
    ({"size": 0}, SettingError, "size must be an integer of at least 1; got 0."),
    ({"size": 4, "folds": 5}, SettingError,
     "size=4 members cannot share 5 folds evenly: each fold is held out by as many. Take a multiple of 5."),
    ({"folds": 1}, SettingError, "folds is a whole number of at least 2, or the fold of each row; got 1."),
    ({"folds": [0, 2, 2]}, SettingError,
     "The folds of rows are numbered from 0 without a gap, two of them at least; got [0, 2]."),
    ({"folds": 2, "bootstrap": True}, SettingError,
     "folds and bootstrap both choose the rows of each member. Use one of them."),
    ({"size": 2, "order": "mine"}, SettingError, "order is 'own' or 'shared'; got 'mine'."),
    ({"size": 2, "seed": [1.5, 2]}, SettingError,
     "seed takes whole numbers of at least 0, the first or one a member; got [1.5, 2]."),
    ({"size": 2, "seed": [1, 2, 3]}, ShapeError,
     "seed has 3 values, and there are 2 members: give the first of them, or 2."),
    ({"size": 2, "settings": ["dropout/rate"]}, SettingError,
     "settings is a dict of values by name, settings={'dropout/rate': values}; got ['dropout/rate']."),
    ({"size": 2, "memory": "much"}, SettingError, "memory is a number of bytes or a text such as '2 GB'; got 'much'."),
    ({"ema_momentum": [0.5, 0.9]}, SettingError,
     "'ema_momentum' has no effect: the optimizer keeps no moving average. Give it one: Adam(use_ema=True)."),
]


@pytest.mark.parametrize(("arguments", "error", "text"), ERRORS)
def test_wrong_values(arguments, error, text, network):
    with pytest.raises(error) as found:
        cr.Population(network(), **arguments)
    assert str(found.value) == text


def test_a_schedule_is_not_replaced_by_numbers(network):
    with pytest.raises(SettingError) as found:
        cr.Population(network(optimizers.Adam(schedules.CosineDecay(0.1, 100))), learning_rate=[0.1, 0.2])
    assert str(found.value) == (
        "The optimizer's learning rate is CosineDecay(initial_learning_rate=0.1, decay_steps=100), which a number by "
        "member would replace. Let its own numbers differ: settings={'learning_rate/alpha': values}. Or compile the "
        "model with a number.")


def test_a_setting_that_decides_what_is_computed_is_an_error():
    model = cr.Sequential([cr.Input((4, 4)), cr.layers.TransformerBlock(2, dropout=0.1), cr.layers.Flatten(),
                           Dropout(0.5), Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    population = cr.Population(model, settings={"transformer_block/dropout": [0.1, 0.2], "dropout/rate": 0.1}, size=2)
    with pytest.raises(SettingError) as found:
        population.fit(np.zeros((8, 4, 4), "float32"), np.zeros(8, int), verbose=0)
    assert str(found.value) == (
        "Members cannot differ in 'transformer_block/dropout': what the network computes is decided by its value "
        "before the program runs. Make a population of each value.")


def test_a_setting_that_nothing_reads_is_an_error(rows):
    class Fixed(cr.layers.Layer):
        factor: float = 2.0

        def build(self, input_shape):
            self.start = self.add_weight((), initializer=cr.initializers.Constant(self.factor))

        def call(self, x):
            return x * self.start

    model = cr.Sequential([cr.Input((4,)), Fixed(), Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    population = cr.Population(model, factor=[1.0, 2.0])
    with pytest.raises(SettingError) as found:
        population.fit(*rows, verbose=0)
    assert str(found.value) == (
        "Members cannot differ in 'fixed/factor': the network was built with its value, and nothing in training reads "
        "it any more. Make a population of each value.")


def test_a_population_needs_a_compiled_model():
    with pytest.raises(SettingError) as found:
        cr.Population(Dense(3), 2)
    assert str(found.value) == "A population is made of a compiled Model; got Dense(units=3)."
