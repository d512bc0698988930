"""Members by themselves, and what they say together."""
import jax
import numpy as np
import pytest

import chainrule as cr
from chainrule import callbacks, optimizers
from chainrule.errors import NotReadyError, SettingError, ShapeError
from chainrule.layers import Dense, LeakyReLU
from chainrule.population.predict import vote
from tests.helpers import assert_same_bytes

FIT = {"epochs": 3, "batch_size": 16, "verbose": 0}


@pytest.fixture
def trained(network, rows):
    population = cr.Population(network(), learning_rate=[0.001, 0.01, 0.1])
    population.fit(*rows, seed=3, validation_split=0.2, **FIT)
    return population


def test_a_member_is_a_model_that_trains_on(trained, network, rows):
    member, alone = trained.member(1), network(optimizers.Adam(0.01))
    alone.fit(*rows, seed=4, validation_split=0.2, **FIT)
    assert member.optimizer.learning_rate == 0.01
    for model in (member, alone):
        model.fit(*rows, seed=4, initial_epoch=3, epochs=5, batch_size=16, verbose=0)
    for one, other in zip(member.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_member_is_a_copy(trained, rows):
    before = trained.predict(rows[0])
    trained.member(1).fit(*rows, **FIT)
    np.testing.assert_array_equal(before, trained.predict(rows[0]))


def test_predictions(trained, rows):
    x, _ = rows
    outputs = trained.predict(x)
    assert outputs.shape == (3, 60, 2)
    for member in range(3):
        np.testing.assert_allclose(outputs[member], trained.member(member).predict(x), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(outputs, trained.predict(x, batch_size=7), rtol=1e-5, atol=1e-7)
    mean, spread = trained.predict(x, reduce="mean_std")
    np.testing.assert_array_equal(mean, outputs.mean(0))
    np.testing.assert_array_equal(spread, outputs.std(0))
    np.testing.assert_array_equal(trained.predict(x, reduce="mean"), mean)
    np.testing.assert_array_equal(trained.predict(x, reduce="median"), np.median(outputs, 0))
    np.testing.assert_allclose(trained.predict(x, reduce=0.25), np.quantile(outputs, 0.25, 0), rtol=1e-6)
    assert trained.predict(x, reduce=(0.1, 0.5, 0.9)).shape == (3, 60, 2)
    assert trained.predict(x, reduce="vote").shape == (60,)


def test_votes():
    stack = np.array([[[0.9, 0.1, 0.0]], [[0.4, 0.5, 0.1]], [[0.3, 0.6, 0.1]], [[0.9, 0.05, 0.05]]])
    assert vote(stack).tolist() == [0]  # two for each of two classes: the mean decides
    assert vote(np.array([[[0.9], [0.2]], [[0.4], [0.3]], [[0.6], [0.9]]])).tolist() == [1, 0]


def test_several_outputs():
    inputs = cr.Input((4,))
    body = Dense(5, activation="tanh")(inputs)
    model = cr.Model(inputs, {"kind": Dense(2, activation="softmax")(body), "size": Dense(1)(body)})
    model.compile("adam", {"kind": "sparse_categorical_crossentropy", "size": "mse"})
    outputs = cr.Population(model, 3).predict(np.ones((5, 4), "float32"))
    assert jax.tree.map(np.shape, outputs) == {"kind": (3, 5, 2), "size": (3, 5, 1)}


def test_figures_of_an_evaluation(trained, rows):
    x, y = rows
    weights = np.random.default_rng(0).random((3, 60))
    figures, weighted = trained.evaluate(x, y), trained.evaluate(x, y, sample_weight=weights, batch_size=11)
    for member in range(3):
        model = trained.member(member)
        for name, value in model.evaluate(x, y, verbose=0, return_dict=True).items():
            assert figures[name][member] == pytest.approx(value, rel=1e-5)
        for name, value in model.evaluate(x, y, sample_weight=weights[member], verbose=0, return_dict=True).items():
            assert weighted[name][member] == pytest.approx(value, rel=1e-4)


def test_settings_hold_outside_of_training_too():
    model = cr.Sequential([cr.Input((1,)), LeakyReLU(0.5), Dense(1, kernel_initializer="ones")])
    model.compile(loss="mse")
    population = cr.Population(model, negative_slope=[0.1, 0.7])
    np.testing.assert_allclose(population.predict(np.array([[-1.0]]))[:, 0, 0], [-0.1, -0.7], rtol=1e-6)
    figures = population.evaluate(np.array([[-1.0]]), np.zeros((1, 1)))
    np.testing.assert_allclose(figures["loss"], [0.01, 0.49], rtol=1e-5)
    assert population.member(1).predict(np.array([[-1.0]])).item() == pytest.approx(-0.7)


def test_ranks(trained, rows):
    figures = trained.history.history
    assert trained.rank("val_loss").tolist() == np.argsort(figures["val_loss"][-1]).tolist()
    assert trained.rank().tolist() == trained.rank("val_loss").tolist()
    assert trained.rank("accuracy")[0] in np.flatnonzero(figures["accuracy"][-1] == figures["accuracy"][-1].max())
    best, worst = trained.best("val_loss"), trained.worst("val_loss")
    numbers = trained.rank("val_loss")
    assert (best.optimizer.learning_rate, worst.optimizer.learning_rate) == tuple(
        trained.values["learning_rate"][[numbers[0], numbers[-1]]])


def test_ranks_are_of_the_weights_that_members_hold(network, rows):
    population = cr.Population(network(rate=0.0), learning_rate=[0.03, 0.9, 0.5])
    history = population.fit(*rows, seed=1, validation_split=0.3, epochs=12, batch_size=8, verbose=0,
                             callbacks=[callbacks.EarlyStopping(patience=12, restore_best_weights=True)])
    lowest = history.history["val_loss"].min(0)
    np.testing.assert_allclose(history.reached("val_loss"), lowest, rtol=1e-6)
    held = population.evaluate(rows[0][42:], rows[1][42:])["loss"]
    np.testing.assert_allclose(held, lowest, rtol=1e-4)


def test_some_members_as_a_population(trained, rows):
    part = trained.subset([2, -3])
    assert len(part) == 2 and part.values["learning_rate"].tolist() == [0.1, 0.001] and part.seeds.tolist() == [5, 3]
    outputs = trained.predict(rows[0])
    np.testing.assert_array_equal(part.predict(rows[0]), outputs[[2, 0]])
    part.fit(*rows, **FIT)
    np.testing.assert_array_equal(trained.predict(rows[0]), outputs)


def test_what_it_says_of_itself(network, trained, capsys):
    model = "<Sequential: 3 layers, 44 weights>"
    assert repr(trained) == f"<Population of 3 members that differ in learning_rate: {model}>"
    assert repr(cr.Population(network(), folds=5)) == f"<Population of 5 members, 5 folds: {model}>"
    trained.summary()
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "Members: 3, 132 weights in all", "learning_rate: 0.001 to 0.1, 3 values"]
    assert repr(trained.history).startswith("<PopulationHistory of 3 members, 3 epochs: loss ")
    assert trained.count_params() == 132


def test_what_a_fit_shows(network, rows, capsys):
    cr.Population(network(), 3).fit(*rows, seed=1, epochs=2, validation_split=0.2, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[1].startswith("Epoch 1/2  loss ") and lines[2].startswith("Epoch 2/2  loss ")
    assert all(name in lines[2] for name in ("val_accuracy ", "best val_loss ", "worst val_loss "))
    cr.Population(network(), 4, group_size=2).fit(*rows, seed=1, epochs=3, verbose=2, callbacks=[
        callbacks.EarlyStopping("loss", min_delta=10)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "4 of 4 members stopped early." and len(lines) == 4


def test_a_live_line(network, rows, capsys):
    cr.Population(network(), 3).fit(*rows, seed=1, epochs=2, verbose=1)
    assert "2/2  loss " in capsys.readouterr().out


def test_bands_of_figures(trained):
    plot = trained.history.plot()
    assert [panel.get_title(loc="left") for panel in plot.axes] == ["loss", "accuracy"]
    labels = [text.get_text() for text in plot.axes[0].get_legend().get_texts()]
    assert labels == ["training, median", "validation, median", f"best: member {trained.rank('val_loss')[0]}"]
    with pytest.raises(SettingError) as found:
        trained.history.plot("los")
    assert str(found.value) == "The history has no figure 'los'. Did you mean 'loss'?"


@pytest.mark.parametrize(("reduce", "came"), [
    ("average", "'average'. Known names: 'mean', 'mean_std', 'median', 'vote'."), (1.5, "1.5."),
    ((0.1, 2), "(0.1, 2)."),
])
def test_ways_that_there_are_not(reduce, came, network, rows):
    with pytest.raises(SettingError) as found:
        cr.Population(network(), 2).predict(rows[0], reduce=reduce)
    assert str(found.value) == (f"reduce is None, 'mean', 'mean_std', 'median', 'vote', or one or several quantiles "
                                f"between 0 and 1; got {came}")


def test_what_needs_a_fit(network, rows):
    population = cr.Population(network(), 2)
    for ask in (lambda: population.history, population.rank):
        with pytest.raises(NotReadyError) as found:
            ask()
        assert str(found.value) == "There is no history yet: fit the population first."
    with pytest.raises(NotReadyError) as found:
        population.predict_out_of_fold(rows[0])
    assert str(found.value) == ("predict_out_of_fold needs a population with folds that was fitted: "
                                "Population(model, folds=5), then fit.")
    folds = cr.Population(network(), folds=2)
    folds.fit(*rows, **FIT)
    with pytest.raises(ShapeError) as found:
        folds.predict_out_of_fold(rows[0][:5])
    assert str(found.value) == "predict_out_of_fold takes the 60 rows that the population was fitted on; got 5."


@pytest.mark.parametrize(("act", "text"), [
    (lambda population: population.member(3), "The members have the numbers 0 to 2; got 3."),
    (lambda population: population.subset([]), "A population has at least one member; subset got none."),
    (lambda population: population.replace(0, learning_rate=-1.0),
     "Adam: `learning_rate` must be a number of at least 0, a schedule or a function of the step; got -1.0."),
    (lambda population: population.replace(0, clipnorm=1.0),
     "'clipnorm' is not in use by this population's optimizer, so one member cannot have it alone. Give it when the "
     "population is made: Population(model, size, clipnorm=...)."),
    (lambda population: population.rank("los"), "The history has no figure 'los'. Did you mean 'loss'?"),
])
def test_wrong_use(act, text, trained):
    before = trained._store.variables(0)
    with pytest.raises(SettingError) as found:
        act(trained)
    assert str(found.value) == text
    assert_same_bytes(before, trained._store.variables(0))


def test_the_model_that_it_was_made_of_is_left_alone(network, rows):
    model = network()
    before = [array.copy() for array in model.get_weights()]
    population = cr.Population(model, learning_rate=[0.1, 0.2])
    population.fit(*rows, **FIT)
    model.optimizer.learning_rate = 5.0
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert population.member(0).optimizer.learning_rate == 0.1
