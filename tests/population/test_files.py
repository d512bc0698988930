"""Files of populations: they come back as they were, and what is damaged is refused."""
import json
import zipfile

import numpy as np
import pytest

import chainrule as cr
from chainrule import callbacks
from chainrule.errors import FileAccessError, FileFormatError
from chainrule.layers import BatchNormalization, Dense
from tests.helpers import assert_same_bytes

FIT = {"epochs": 3, "batch_size": 16, "verbose": 0}


def everything(population):
    store = population._store
    return store.weights, store.state, store.optimizer, population.values, population.seeds


def test_a_population_comes_back(network, rows, tmp_path):
    population = cr.Population(network(), 6, folds=3, learning_rate=np.geomspace(0.001, 0.1, 6), weight_decay=0.01,
                               settings={"dropout/rate": np.linspace(0, 0.5, 6)}, initializer_scale=0.5)
    stop = callbacks.EarlyStopping(patience=1, restore_best_weights=True)
    population.fit(*rows, seed=3, callbacks=[stop], **FIT)
    population.save(tmp_path / "first.population")
    loaded = cr.Population.load(tmp_path / "first.population")
    assert_same_bytes(everything(population), everything(loaded))
    assert_same_bytes(population.history.history, loaded.history.history)
    assert population.history.epoch == loaded.history.epoch
    assert population.rank().tolist() == loaded.rank().tolist()
    np.testing.assert_array_equal(population.predict(rows[0]), loaded.predict(rows[0]))
    np.testing.assert_array_equal(population.predict_out_of_fold(rows[0]), loaded.predict_out_of_fold(rows[0]))
    for one in (population, loaded):
        one.fit(*rows, seed=3, initial_epoch=3, epochs=5, batch_size=16, verbose=0)
    assert_same_bytes(everything(population), everything(loaded))


@pytest.mark.parametrize("settings", [{"size": 2}, {"size": 2, "bootstrap": True, "order": "shared", "seed": 4},
                                      {"folds": np.arange(60) % 2}])
def test_before_and_after_training(settings, rows, tmp_path):
    model = cr.Sequential([cr.Input((4,)), Dense(3), BatchNormalization(), Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    population = cr.Population(model, **settings)
    for _ in range(2):
        population.save(tmp_path / "a.population")
        loaded = cr.Population.load(tmp_path / "a.population")
        assert_same_bytes(everything(population), everything(loaded))
        assert repr(population) == repr(loaded)
        population.fit(*rows, **FIT)
        loaded.fit(*rows, **FIT)
        assert_same_bytes(everything(population), everything(loaded))


def test_frozen_layers_stay_for_new_members(rows, tmp_path):
    model = cr.Sequential([cr.Input((4,)), Dense(3, trainable=False), Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    frozen = model.get_weights()[0] if model.fit(*rows, seed=5, **FIT) else None
    cr.Population(model, 2).save(tmp_path / "a.population")
    loaded = cr.Population.load(tmp_path / "a.population")
    loaded.replace(1, seed=77)
    np.testing.assert_array_equal(loaded.member(1).get_weights()[0], frozen)


def test_overwriting(network, tmp_path):
    population = cr.Population(network(), 2)
    population.save(tmp_path / "a.population")
    with pytest.raises(FileAccessError):
        population.save(tmp_path / "a.population", overwrite=False)


def changed(path, change, member="population.json"):
    """A population's file with another description."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    description = json.loads(members[member])
    change(description)
    members[member] = json.dumps(description).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)


DAMAGES = [
    (lambda d: d.update(format="chainrule model"),
     "population.json does not say that it describes a chainrule population"),
    (lambda d: d.update(version=2, chainrule="9.0"),
     "it was written by a newer chainrule (9.0, format version 2; this one reads up to 1). Upgrade with pip install "
     "--upgrade chainrule"),
    (lambda d: d.pop("order"), "population.json has missing or unexpected entries: 'order'"),
    (lambda d: d.update(order=3), "population.json has the entry 'order' of a kind that it cannot have"),
    (lambda d: d.update(size=True), "population.json has the entry 'size' of a kind that it cannot have"),
    (lambda d: d.update(size=0),
     "population.json does not say how many members there are, or in what they differ"),
    (lambda d: d.update(size=4),
     "the array 'values/learning_rate' has the shape (2,) and the type float64, which do not fit the others"),
    (lambda d: d.update(order="mine"),
     "what its members differ in is not valid (SettingError: order is 'own' or 'shared'; got 'mine'.)"),
    (lambda d: d["values"].append("dropout/rate"), "the array 'values/dropout/rate' is missing"),
    (lambda d: d.update(values=[]), "the array 'values/learning_rate' belongs to nothing in the model"),
    (lambda d: d["history"].update(epoch=[0, 0]), "population.json does not describe the last fit as it should"),
    (lambda d: d["history"].update(epoch=[0]),
     "the array 'history/loss' has the shape (3, 2) and the type float64, which do not fit the others"),
]


@pytest.mark.parametrize(("change", "text"), DAMAGES)
def test_damaged_descriptions(change, text, network, rows, tmp_path):
    path = tmp_path / "a.population"
    population = cr.Population(network(), learning_rate=[0.1, 0.2])
    population.fit(*rows, **FIT)
    population.save(path)
    changed(path, change)
    with pytest.raises(FileFormatError) as found:
        cr.Population.load(path)
    assert str(found.value) == f"{path} cannot be read as a chainrule population: {text}."


def test_other_files(network, tmp_path):
    network().save(tmp_path / "model.chain")
    with pytest.raises(FileFormatError) as found:
        cr.Population.load(tmp_path / "model.chain")
    assert str(found.value) == (
        f"{tmp_path / 'model.chain'} cannot be read as a chainrule population: it has no member 'population.json'.")


def test_no_byte_of_a_file_is_read_wrong_in_silence(network, rows, tmp_path):
    path, copy = tmp_path / "a.population", tmp_path / "b.population"
    population = cr.Population(network(), learning_rate=[0.1, 0.2])
    population.save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        place = int(rng.integers(len(whole)))
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        copy.write_bytes(damaged)
        try:
            assert_same_bytes(everything(cr.Population.load(copy)), everything(population))
        except FileFormatError:
            pass
    for end in rng.integers(0, len(whole), 10):
        copy.write_bytes(whole[:end])
        with pytest.raises(FileFormatError):
            cr.Population.load(copy)
