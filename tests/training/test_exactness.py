"""The same seed gives the same bytes, whatever watches; nothing is compiled twice."""
import gc

import jax
import numpy as np
import pytest
from helpers import assert_close, assert_same_bytes, classifier, compilations, two_moons

import chainrule as cr
from chainrule.callbacks import Callback, EarlyStopping, LambdaCallback, LearningRateScheduler
from chainrule.layers import BatchNormalization, Dense, Dropout
from chainrule.population.program import PopulationProgram
from chainrule.training.batches import Batches
from chainrule.training.fit import Pace
from chainrule.training.objective import Batch
from chainrule.training.program import Numbers, TrainingProgram

X, Y = two_moons()


def rich_classifier():
    return classifier(Dense(8, activation="relu"), BatchNormalization(), Dropout(0.3))


def trained(model, **settings):
    usual = {"batch_size": 32, "epochs": 4, "verbose": 0, "seed": 3, "validation_split": 0.2}
    history = model.fit(X, Y, **usual | settings)
    return model.variables(), history.history


def test_same_seed_same_bytes():
    first, second = trained(rich_classifier()), trained(rich_classifier())
    assert_same_bytes(first, second)


def test_other_seed_other_weights():
    first, second = trained(rich_classifier()), trained(rich_classifier(), seed=4)
    assert not np.array_equal(first[0][0]["dense"]["kernel"], second[0][0]["dense"]["kernel"])


@pytest.mark.parametrize("settings", [
    {"verbose": 2},
    {"verbose": 1},
    {"callbacks": [LambdaCallback(on_epoch_end=lambda epoch, logs: None)]},
    {"callbacks": [LambdaCallback(on_train_batch_end=lambda batch, logs: None)]},
    {"callbacks": [LambdaCallback(passive=True, on_epoch_end=lambda epoch, logs: None)]},
    {"callbacks": [EarlyStopping(patience=50)]},
], ids=["plain lines", "live", "epochs", "batches", "passive", "early stopping"])
def test_bytes_do_not_depend_on_who_watches(settings, capsys):
    assert_same_bytes(trained(rich_classifier()), trained(rich_classifier(), **settings))


@pytest.mark.parametrize("steps", [1, 3, 5, 7, 1000])
def test_bytes_do_not_depend_on_the_length_of_segments(steps, monkeypatch):
    expected = trained(rich_classifier())
    monkeypatch.setattr(Pace, "learn", lambda self, *_: setattr(self, "steps", steps))
    assert_same_bytes(expected, trained(rich_classifier()))


def test_going_on_from_an_epoch_equals_never_having_stopped():
    model = rich_classifier()
    whole = trained(rich_classifier())
    trained(model, epochs=2)
    weights, history = trained(model, epochs=4, initial_epoch=2)
    assert_same_bytes(whole[0], weights)
    assert whole[1]["loss"][2:] == history["loss"]


def test_without_a_seed_each_fit_has_an_order_of_its_own():
    model = classifier(optimizer=cr.optimizers.SGD(0.0))
    batches = []
    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(logs["loss"]))
    model.fit(X, Y, batch_size=50, verbose=0, callbacks=[watch])
    model.fit(X, Y, batch_size=50, verbose=0, callbacks=[watch])
    assert batches[0] != batches[4]


def test_a_whole_fit_compiles_one_training_program():
    model = rich_classifier()
    rates = LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))
    trained(model, epochs=1, callbacks=[rates])
    with compilations() as found:
        trained(model, epochs=12, callbacks=[rates])
        model.optimizer.learning_rate = 0.5
        model.optimizer.beta_1 = 0.8
        trained(model, epochs=3)
        trained(model, epochs=3, verbose=0, callbacks=[LambdaCallback(on_train_batch_end=lambda batch, logs: None)])
    assert found == []


def test_a_first_fit_compiles_few_programs():
    model = rich_classifier()
    with compilations() as found:
        trained(model, epochs=10, callbacks=[LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))])
    assert len(found) <= 12  # initial weights, the start, the training program; the rest moves single arrays


def test_predict_compiles_a_bounded_number_of_programs():
    model = classifier()
    model.predict(X[:1])
    with compilations() as found:
        for rows in [1, 2, 3, 5, 7, 11, 13, 17, 31, 33, 63, 64, 100, 128, 199, 200]:
            assert model.predict(X[:rows]).shape == (rows, 2)
    assert len(found) <= 8
    with compilations() as found:
        model.predict(X[:77])
    assert found == []


def test_repeated_fits_do_not_grow_in_memory():
    model = classifier()
    counts = []
    for _ in range(4):
        model.fit(X, Y, verbose=0)
        gc.collect()
        counts.append(len(jax.live_arrays()))
    assert counts[-1] <= counts[1]


def test_population_trains_as_its_members_alone():
    """One program under `vmap` over seeds and learning rates; each member as the same network trained alone."""
    model = rich_classifier()
    x, y = X[:150], Y[:150]
    data = jax.tree.map(jax.numpy.asarray, Batch(x, (y,), (None,), (None,), (np.float32(1),)))
    objective = model._compiled.objective(model, model.output_names, model._output_leaves(), [(None,)], "float32")
    program = TrainingProgram(objective, model.optimizer, Batches(150, 32, shuffle=True), Batches(150, 64))
    seeds, rates = [0, 1, 2, 3], np.float32([0.001, 0.003, 0.01, 0.03])

    def start(seed):
        weights, state = model.init(jax.random.key(seed))
        return program.start(weights, state, program.initial_optimizer_state(weights), jax.random.key(seed))

    def numbers(rate):
        return Numbers({**model.optimizer.hyperparameters(), "learning_rate": rate}, {"dense_1": 1.0}, {})

    alone = [program.compiled(start(seed), numbers(rate), data, data, np.int32(13), np.int32(1))
             for seed, rate in zip(seeds, rates, strict=True)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *[start(seed) for seed in seeds])
    stacked = stacked._replace(epoch=stacked.epoch[0], step=stacked.step[0])
    many = jax.tree.map(lambda *leaves: np.stack(leaves), *[numbers(rate) for rate in rates])
    shared = Batch(None, None, None, None, None)
    population = PopulationProgram(program, shared, shared, shares_order=False)
    with compilations() as found:
        together, progress = population.advance(stacked, many, data, data, np.int32(13), np.int32(1), None)
    assert len(found) == 1
    assert int(together.epoch) == 2 and int(together.step) == 3
    for member in range(4):
        run, member_progress = alone[member]
        assert_close(jax.tree.map(lambda leaf, m=member: leaf[m], together.weights), run.weights, rtol=1e-4, atol=1e-5)
        assert_close(jax.tree.map(lambda leaf, m=member: leaf[m], progress.running), member_progress.running, rtol=1e-4)
        np.testing.assert_array_equal(together.order[member], run.order)


class _Watch(Callback):
    def __init__(self):
        self.order = []

    def on_train_begin(self, logs=None):
        self.order.append("train begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.order.append(f"epoch {epoch} begin")

    def on_train_batch_begin(self, batch, logs=None):
        self.order.append(f"batch {batch} begin")

    def on_train_batch_end(self, batch, logs=None):
        self.order.append(f"batch {batch} end")

    def on_test_begin(self, logs=None):
        self.order.append("test begin")

    def on_test_end(self, logs=None):
        self.order.append("test end")

    def on_epoch_end(self, epoch, logs=None):
        self.order.append(f"epoch {epoch} end")

    def on_train_end(self, logs=None):
        self.order.append("train end")


def test_events_come_in_order():
    watch = _Watch()
    classifier().fit(X[:60], Y[:60], batch_size=32, epochs=2, verbose=0, callbacks=[watch], validation_split=0.2)
    epoch = ["batch 0 begin", "batch 0 end", "batch 1 begin", "batch 1 end", "test begin", "test end"]
    epochs = [[f"epoch {number} begin", *epoch, f"epoch {number} end"] for number in range(2)]
    assert watch.order == ["train begin", *epochs[0], *epochs[1], "train end"]
