"""Training many networks: who sees which rows, who stops when, and what becomes of those that fail."""
import os
import signal
import threading
import time

import jax
import numpy as np
import pytest

import chainrule as cr
from chainrule import callbacks, optimizers
from chainrule.errors import DataError, SettingError, ShapeError, UnknownNameError
from chainrule.layers import BatchNormalization, Dense
from chainrule.layers.binding import seed_words
from tests.helpers import assert_close, assert_same_bytes, compilations

ROUNDING = {"rtol": 5e-4, "atol": 5e-6}
FIT = {"epochs": 3, "batch_size": 16, "verbose": 0}


def variables(population, member):
    return population._store.variables(member)[:2]


def same_as(population, member, model, **tolerance):
    assert_close(jax.tree.leaves(variables(population, member)), jax.tree.leaves(model.variables()),
                 **(tolerance or ROUNDING))


# Rows.

def test_folds_are_as_five_fits(network, rows):
    x, y = rows
    population = cr.Population(network(), folds=5)
    history = population.fit(x, y, seed=2, **FIT)
    for member in range(5):
        held = population.folds == member
        alone = network()
        expected = alone.fit(x[~held], y[~held], validation_data=(x[held], y[held]), seed=2 + member, **FIT)
        same_as(population, member, alone)
        for name, values in expected.history.items():
            np.testing.assert_allclose(history.history[name][:, member], values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch_size", [16, 7])
def test_folds_of_unequal_size(batch_size, network):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(53, 4)).astype("float32"), rng.integers(0, 2, 53)
    population = cr.Population(network(), folds=4)
    settings = FIT | {"batch_size": batch_size}
    with compilations() as found:
        history = population.fit(x, y, seed=2, **settings)
    assert sorted(np.bincount(population.folds).tolist()) == [13, 13, 13, 14]
    for member in range(4):
        held = population.folds == member
        alone = network()
        expected = alone.fit(x[~held], y[~held], validation_data=(x[held], y[held]), seed=2 + member, **settings)
        same_as(population, member, alone)
        np.testing.assert_allclose(history.history["val_loss"][:, member], expected.history["val_loss"], rtol=1e-4)
    assert found  # so that the next line can fail
    with compilations() as found:
        population.fit(x, y, seed=2, **settings)
    assert found == []


def test_folds_of_more_rows_than_are_sorted():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2563, 3)).astype("float32"), rng.normal(size=(2563, 1)).astype("float32")

    def make():
        model = cr.Sequential([cr.Input((3,)), Dense(4, activation="tanh"), BatchNormalization(), Dense(1)])
        model.compile("adam", "mse")
        return model

    population = cr.Population(make(), folds=2)
    population.fit(x, y, seed=2, **FIT)
    for member in range(2):
        held = population.folds == member
        alone = make()
        alone.fit(x[~held], y[~held], seed=2 + member, **FIT)
        same_as(population, member, alone, rtol=2e-3, atol=2e-5)


def test_folds_have_their_share_of_each_class(network):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 4)).astype("float32"), (np.arange(50) < 10).astype(int)
    population = cr.Population(network(), folds=5)
    population.fit(x, y, epochs=1, verbose=0)
    assert [y[population.folds == fold].sum() for fold in range(5)] == [2] * 5


def test_folds_by_row(network, rows):
    x, y = rows
    folds = np.arange(60) // 20
    population = cr.Population(network(), 6, folds=folds)
    history = population.fit(x, y, seed=2, **FIT)
    alone = network()
    expected = alone.fit(x[20:], y[20:], validation_data=(x[:20], y[:20]), seed=5, **FIT)
    same_as(population, 3, alone)
    np.testing.assert_allclose(history.history["val_loss"][:, 3], expected.history["val_loss"], rtol=1e-4)


def test_predictions_out_of_fold(network, rows):
    x, y = rows
    population = cr.Population(network(), 6, folds=3)
    population.fit(x, y, seed=2, **FIT)
    outputs, all_outputs = population.predict_out_of_fold(x), population.predict(x)
    for row in range(60):
        fold = population.folds[row]
        np.testing.assert_allclose(outputs[row], (all_outputs[fold, row] + all_outputs[fold + 3, row]) / 2, rtol=1e-6)


def test_weights_of_rows_within_folds(network, rows):
    x, y = rows
    weights = np.random.default_rng(3).random(60) + 0.1
    population = cr.Population(network(), folds=3)
    history = population.fit(x, y, seed=2, sample_weight=weights, class_weight="balanced", **FIT)
    for member in range(3):
        held = population.folds == member
        alone = network()
        expected = alone.fit(x[~held], y[~held], sample_weight=weights[~held], class_weight="balanced",
                             validation_data=(x[held], y[held], weights[held]), seed=2 + member, **FIT)
        same_as(population, member, alone)
        for name, values in expected.history.items():
            np.testing.assert_allclose(history.history[name][:, member], values, rtol=1e-4, atol=1e-6)


def test_bootstrap_samples(network, rows):
    x, y = rows
    population = cr.Population(network(), 3, bootstrap=True)
    history = population.fit(x, y, seed=2, **FIT)
    for member, (drawn, left) in enumerate(zip(population._rows.trained, population._rows.held, strict=True)):
        assert len(drawn) == 60 and len(set(drawn)) < 60 and not set(drawn) & set(left)
        alone = network()
        expected = alone.fit(x[drawn], y[drawn], validation_data=(x[left], y[left]), seed=2 + member, **FIT)
        same_as(population, member, alone)
        np.testing.assert_allclose(history.history["val_loss"][:, member], expected.history["val_loss"], rtol=1e-4)


def test_weights_of_rows_by_member(network, rows):
    x, y = rows
    weights = np.random.default_rng(3).random((3, 60)) * [[1], [5], [0.1]]
    population = cr.Population(network(), 3)
    history = population.fit(x, y, seed=2, sample_weight=weights, class_weight={0: 2.0}, validation_split=0.2, **FIT)
    for member in range(3):
        alone = network()
        expected = alone.fit(x, y, sample_weight=weights[member], class_weight={0: 2.0}, validation_split=0.2,
                             seed=2 + member, **FIT)
        same_as(population, member, alone)
        for name, values in expected.history.items():
            np.testing.assert_allclose(history.history[name][:, member], values, rtol=1e-4, atol=1e-6)


def test_one_order_for_all(network, rows):
    x, y = rows
    population = cr.Population(network(rate=0.0), 3, order="shared")
    population.fit(x, y, seed=2, **FIT)
    for member in range(3):
        alone, start = network(rate=0.0), network().init(seed_words(2 + member))
        alone.set_variables(*start)
        alone.fit(x, y, seed=2, **FIT)
        same_as(population, member, alone)


def test_members_of_one_seed_are_alike_in_either_order(network, rows):
    shared, own = (cr.Population(network(), seed=[3, 3], order=order) for order in ("shared", "own"))
    for population in (shared, own):
        population.fit(*rows, **FIT)
        assert_same_bytes(variables(population, 0), variables(population, 1))
    assert_close(variables(shared, 0), variables(own, 0), **ROUNDING)


# Going on.

def test_training_goes_on(network, rows):
    at_once, in_parts = (cr.Population(network(), 2, learning_rate=[0.01, 0.1]) for _ in range(2))
    at_once.fit(*rows, seed=1, epochs=5, batch_size=16, verbose=0)
    in_parts.fit(*rows, seed=1, epochs=2, batch_size=16, verbose=0)
    with compilations() as found:
        history = in_parts.fit(*rows, seed=1, initial_epoch=2, epochs=5, batch_size=16, verbose=0)
    assert found == [] and history.epoch == [2, 3, 4]
    for member in range(2):
        assert_same_bytes(variables(at_once, member), variables(in_parts, member))


def test_without_a_seed_each_fit_has_an_order_of_its_own(network, rows):
    population, alone = cr.Population(network(), 1), network()
    for _ in range(2):
        population.fit(*rows, **FIT)
        alone.fit(*rows, **FIT)
    same_as(population, 0, alone)


def test_some_members_are_trained(network, rows):
    population = cr.Population(network(), 3, seed=4)
    before = variables(population, 1) if population._require_members("test") else None
    history = population.fit(*rows, members=[2, 0], **FIT)
    assert_same_bytes(variables(population, 1), before)
    assert np.isnan(history.history["loss"][:, 1]).all() and not np.isnan(history.history["loss"][:, [0, 2]]).any()
    everybody = cr.Population(network(), 3, seed=4)
    everybody.fit(*rows, **FIT)
    assert_same_bytes(variables(population, 2), variables(everybody, 2))


def test_places_are_given_to_others_without_a_compilation(network, rows):
    population = cr.Population(network(), learning_rate=[0.01, 0.02, 0.03], seed=[1, 2, 3])
    population.fit(*rows, **FIT)
    population.fit(*rows, members=[0], **FIT)
    population.replace(1, seed=9, learning_rate=0.05)
    population.copy_member(0, 2, learning_rate=0.2)
    assert_same_bytes(variables(population, 0), variables(population, 2))
    with compilations() as found:
        population.fit(*rows, members=[1], **FIT)
        population.fit(*rows, **FIT | {"epochs": 1})
    assert found == []
    assert population.values["learning_rate"].tolist() == [0.01, 0.05, 0.2] and population.seeds.tolist() == [1, 9, 3]
    alone = network(optimizers.Adam(0.05))
    alone.fit(*rows, seed=9, **FIT)
    alone.fit(*rows, seed=9, **FIT | {"epochs": 1})
    same_as(population, 1, alone)


# Stopping.

@pytest.mark.parametrize("settings", [
    {"patience": 2, "restore_best_weights": True},
    {"patience": 1},
    {"monitor": "val_accuracy", "patience": 3, "restore_best_weights": True, "start_from_epoch": 2},
    {"monitor": "loss", "min_delta": 0.02, "patience": 2, "baseline": 0.6},
])
def test_members_stop_as_they_do_alone(settings, network, rows):
    rates = [0.001, 0.03, 0.1, 0.3, 0.5]
    population = cr.Population(network(), learning_rate=rates)
    fit = {"epochs": 14, "batch_size": 8, "verbose": 0, "validation_split": 0.3}
    history = population.fit(*rows, seed=3, callbacks=[callbacks.EarlyStopping(**settings)], **fit)
    ended = []
    for member, rate in enumerate(rates):
        alone, stop = network(optimizers.Adam(rate)), callbacks.EarlyStopping(**settings)
        expected = alone.fit(*rows, seed=3 + member, callbacks=[stop], **fit)
        same_as(population, member, alone, rtol=2e-3, atol=2e-5)
        assert len(history.of(member)["loss"]) == len(expected.epoch)
        assert history.best_epoch[member] == (stop.best_epoch if stop.best is not None else -1)
        assert max(history.stopped_epoch[member], 0) == stop.stopped_epoch
        ended.append(len(expected.epoch))
    assert len(set(ended)) > 1 and min(ended) < 14  # some stop, and not all at once


def test_members_that_have_stopped_cost_nothing(network, rows):
    population = cr.Population(network(rate=0.0), 16, learning_rate=[0.01] + [0.0] * 15)
    sizes = []
    stop = callbacks.EarlyStopping(monitor="loss", patience=2, min_delta=1e-4)
    watched = lambda epoch, logs: sizes.append(int((~np.isnan(logs["loss"])).sum()))
    with compilations() as found:
        population.fit(*rows, epochs=12, batch_size=16, verbose=0,
                       callbacks=[stop, callbacks.LambdaCallback(on_epoch_end=watched)])
    first = len(found)
    assert sizes[0] == 16 and sizes[-1] == 1
    places = {key[1] for key in population._programs["pace"]}
    assert places == {16, 2}  # from sixteen places to the fewest at once, nothing in between was needed
    with compilations() as found:
        population.fit(*rows, epochs=12, batch_size=16, verbose=0, callbacks=[stop])
    assert first and found == []


def test_a_watched_figure_that_is_not_there(network, rows):
    with pytest.raises(SettingError) as found:
        cr.Population(network(), 2).fit(*rows, callbacks=callbacks.EarlyStopping(), **FIT)
    assert str(found.value) == (
        "EarlyStopping watches 'val_loss', which this fit does not report. Validation figures need validation_split or "
        "validation_data in fit. Did you mean 'loss'?")


def test_a_member_that_fails_does_not_end_the_others(network, rows):
    x, y = rows
    rates = [0.01, 1e30, 0.02, 1e15]
    make = lambda rate: network(optimizers.SGD(rate), rate=0.0)
    population = cr.Population(make(0.1), learning_rate=rates)
    with pytest.warns(UserWarning) as found:
        history = population.fit(x, y, seed=3, **FIT)
    assert str(found[0].message) == (
        "The loss of 2 of 4 members was not finite (members 1, 3). They keep their weights from before that step, and "
        "the others were trained on. A smaller learning rate or gradient clipping (clipnorm=1.0) usually helps.")
    assert history.failed.tolist() == [False, True, False, True]
    assert population.rank("loss").tolist()[2:] == [1, 3]
    for member, rate in enumerate(rates):
        alone = make(rate)
        if history.failed[member]:
            with pytest.raises(cr.errors.NotFiniteError):
                alone.fit(x, y, seed=3 + member, **FIT)
        else:
            alone.fit(x, y, seed=3 + member, **FIT)
        same_as(population, member, alone)
        assert np.isnan(history.history["loss"][-1, member]) == history.failed[member]


def test_ctrl_c_keeps_what_was_reached(network, rows):
    population = cr.Population(network(), 3, seed=1)
    start = variables(population, 0) if population._require_members("test") else None

    def press():
        while population._history is None or len(population._history.epoch) < 3:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(KeyboardInterrupt, match="the members keep the weights that they had reached"):
        population.fit(*rows, epochs=10**6, batch_size=4, verbose=0)
    pressing.join()
    reached = len(population.history.epoch)
    assert 3 <= reached < 10**6
    with pytest.raises(AssertionError):
        assert_same_bytes(variables(population, 0), start)


# Groups.

@pytest.mark.parametrize("settings", [{"group_size": 2}, {"group_size": 3}, {"memory": 20_000}])
def test_groups_train_as_all_at_once(settings, network, rows):
    rates = np.geomspace(0.001, 0.1, 7)
    together, divided = cr.Population(network(), learning_rate=rates), cr.Population(
        network(), learning_rate=rates, **settings)
    first, second = (population.fit(*rows, seed=1, validation_split=0.2, **FIT) for population in (together, divided))
    for member in range(7):
        assert_close(variables(together, member), variables(divided, member), **ROUNDING)
    for name in first.history:
        np.testing.assert_allclose(first.history[name], second.history[name], rtol=1e-4)
    places = {key[1] for key in divided._programs["pace"]}
    assert len(places) == 1 and places < set(range(1, 5))


# What it refuses, and who is told.

class Watcher(callbacks.Callback):
    def __init__(self):
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((epoch, {name: values.shape for name, values in logs.items()}))
        if epoch == 1:
            self.model.stop_training = True


def test_callbacks_see_epochs(network, rows):
    watcher = Watcher()
    population = cr.Population(network(), 3, group_size=2)
    history = population.fit(*rows, callbacks=[watcher], **FIT)
    shapes = {"loss": (3,), "accuracy": (3,)}
    assert watcher.seen == [(0, shapes), (1, shapes)] and history.epoch == [0, 1]
    assert watcher.model is population


@pytest.mark.parametrize(("arguments", "error", "text"), [
    ({"callbacks": [callbacks.ModelCheckpoint("x.chain")]}, SettingError,
     "ModelCheckpoint is made for one network. A population takes EarlyStopping and callbacks of your own, which are "
     "told of epochs."),
    ({"callbacks": [callbacks.EarlyStopping("loss"), callbacks.EarlyStopping("accuracy")]}, SettingError,
     "callbacks holds several EarlyStopping; a population takes one."),
    ({"members": [0, 5]}, SettingError, "The members have the numbers 0 to 2; got 5."),
    ({"seed": -1}, SettingError, "seed must be an integer of at least 0; got -1."),
    ({"sample_weight": np.ones((2, 60))}, ShapeError,
     "sample_weight has the shape (2, 60); expected (60,) for all members, or (3, 60), one weight a row for each "
     "member."),
    ({"class_weight": {5: 1.0}}, SettingError,
     "class_weight names the class 5, which is none of the labels 0, 1."),
])
def test_wrong_arguments(arguments, error, text, network, rows):
    with pytest.raises(error) as found:
        cr.Population(network(), 3).fit(*rows, verbose=0, **arguments)
    assert str(found.value) == text


def test_seeds_are_given_once(network, rows):
    with pytest.raises(SettingError) as found:
        cr.Population(network(), 3, seed=1).fit(*rows, seed=2, verbose=0)
    assert str(found.value) == ("The members have seeds already, from Population(..., seed=...), and fit got seed=2. "
                                "Leave one of them out.")


def test_folds_hold_rows_out_already(network, rows):
    with pytest.raises(SettingError) as found:
        cr.Population(network(), folds=3).fit(*rows, validation_split=0.1, verbose=0)
    assert str(found.value) == ("folds hold out rows for each member to be judged on. Leave validation_split and "
                                "validation_data out.")
    with pytest.raises(DataError) as found:
        cr.Population(network(), folds=61).fit(*rows, verbose=0)
    assert str(found.value) == "folds=61 of 60 rows would leave folds empty. Take fewer folds."
    with pytest.raises(ShapeError) as found:
        cr.Population(network(), folds=[0, 1]).fit(*rows, verbose=0)
    assert str(found.value) == "folds gives the folds of 2 rows, and x has 60: give one for each row."


def test_rows_come_from_memory(network, tmp_path, rows):
    x, y = rows
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    source = cr.data.ArrayFiles(tmp_path / "x.npy", tmp_path / "y.npy")
    with pytest.raises(SettingError) as found:
        cr.Population(network(), 3).fit(source, verbose=0)
    assert str(found.value) == ("A population is trained on arrays in memory, and x is a ArrayFiles, which is read in "
                                "pieces. Load it: x, y = source.load().")


def test_l_bfgs_by_member():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)).astype("float32")
    y = x @ np.array([[1.0], [2.0], [3.0]], "float32")

    def make():
        model = cr.Sequential([cr.Input((3,)), Dense(1)])
        model.compile(optimizers.LBFGS(), "mse")
        return model

    population = cr.Population(make(), 3)
    history = population.fit(x, y, epochs=8, verbose=0, seed=1)
    assert (history.history["loss"][-1] < 1e-6).all()


def test_a_network_without_a_shape_is_built_by_its_data(rows):
    model = cr.Sequential([Dense(4, activation="relu"), cr.layers.Dropout(0.5), Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    population = cr.Population(model, rate=[0.1, 0.2])
    population.fit(*rows, **FIT)
    assert population.member(1).get_layer("dropout").rate == 0.2 and not model.built
    with pytest.raises(UnknownNameError):
        cr.Population(model, nothing=[0.1, 0.2]).fit(*rows, **FIT)
