"""Snapshot ensembles: when members are taken, what they predict, and that a run that goes on has the same."""
import jax
import numpy as np
import pytest
from helpers import assert_same_bytes, two_moons

import chainrule as cr
from chainrule import uncertainty
from chainrule.callbacks import Callback, SnapshotEnsemble
from chainrule.errors import ChainruleError
from chainrule.layers import BatchNormalization, Dense, Dropout
from chainrule.optimizers import Adam
from chainrule.schedules import CosineRestarts, ExponentialDecay

X, Y = two_moons()  # 200 rows: 7 steps of 32 an epoch


def network(schedule=0.02):
    """A small network with running statistics, which are part of a member."""
    model = cr.Sequential([cr.Input((2,)), Dense(6, "relu"), BatchNormalization(), Dropout(0.2), Dense(2, "softmax")])
    model.compile(Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.variables(seed=1)
    return model


def fit(model, *callbacks, epochs=6, **settings):
    return model.fit(X, Y, batch_size=32, epochs=epochs, seed=3, verbose=0, callbacks=list(callbacks), **settings)


class EveryStep(Callback):
    """The weights after each step."""

    def on_train_begin(self, logs=None):
        self.kept = [None]

    def on_train_batch_end(self, batch, logs=None):
        self.kept.append(jax.tree.map(np.array, self.model.variables()))


@pytest.mark.parametrize("schedule, ends", [
    (CosineRestarts(0.02, 10, t_mul=1), [10, 20, 30, 40]),  # in the midst of epochs, and four that are whole
    (CosineRestarts(0.02, 7, t_mul=1), [7, 14, 21, 28, 35, 42]),
    (CosineRestarts(0.02, 6, t_mul=2), [6, 18, 42]),
    (CosineRestarts(0.02, 5, t_mul=1.5), [5, 13, 24, 41]),  # 5, 12.5, 23.75, 40.6: where the rate is high again
])
def test_members_are_taken_where_cycles_end(schedule, ends):
    ensemble, every = SnapshotEnsemble(), EveryStep()
    fit(network(schedule), every, ensemble)
    assert len(ensemble.snapshots) == len(ends)
    for snapshot, end in zip(ensemble.snapshots, ends, strict=True):
        assert_same_bytes(snapshot, every.kept[end])
    rates = np.asarray([schedule(step) for step in range(43)])
    assert (rates[ends] > rates[np.array(ends) - 1]).all()


def test_the_program_stops_for_members_alone_and_learns_what_it_would_learn():
    stops, model = [], network(CosineRestarts(0.02, 10, t_mul=1))

    class Noted(SnapshotEnsemble):
        def __init__(self):
            super().__init__()
            self.on_train_batch_end = self._noted

        def _noted(self, batch, logs=None):
            stops.append(batch)
            self._end_cycle(batch, logs)

    fit(model, Noted())
    assert stops == [2, 5, 1, 4]  # the tenth step is the third of the second epoch
    plain = network(CosineRestarts(0.02, 10, t_mul=1))
    fit(plain)
    assert_same_bytes(plain.variables(), model.variables())


def test_cycles_go_on_in_the_next_fit():
    """The schedule counts the optimiser's steps, the fit its own: 28 steps, then the cycle that ends at 40 of 42."""
    model, ensemble = network(CosineRestarts(0.02, 10, t_mul=1)), SnapshotEnsemble()
    fit(model, ensemble, epochs=4)
    assert len(ensemble.snapshots) == 2
    every = EveryStep()
    fit(model, every, ensemble, epochs=2)
    assert len(ensemble.snapshots) == 2
    assert_same_bytes(ensemble.snapshots, [every.kept[2], every.kept[12]])
    fit(model, every, ensemble, epochs=6, initial_epoch=4)  # 42 to 56
    assert_same_bytes(ensemble.snapshots, [every.kept[8]])


def test_members_by_epochs():
    ensemble, every = SnapshotEnsemble(every_epochs=2, keep_last=2), EveryStep()
    fit(network(), every, ensemble)
    assert_same_bytes(ensemble.snapshots, [every.kept[28], every.kept[42]])


def test_what_they_predict_together():
    model, ensemble = network(), SnapshotEnsemble(every_epochs=2)
    fit(model, ensemble)
    before = jax.tree.map(np.array, model.variables())
    stacked = ensemble.predict(X, reduce=None)
    assert stacked.shape == (3, 200, 2) and stacked.std(0).max() > 0.01
    for (weights, state), member in zip(ensemble.snapshots, stacked, strict=True):
        np.testing.assert_allclose(model.apply(weights, state, X)[0], member, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ensemble.predict(X), stacked.mean(0, dtype=float).astype("float32"))
    lower, upper = ensemble.predict(X, "interval", level=0.5)
    np.testing.assert_array_equal((lower, upper), uncertainty.reduce_members(stacked, "interval", level=0.5))
    np.testing.assert_array_equal(ensemble.predict(X, "vote"), uncertainty.reduce_members(stacked, "vote"))
    np.testing.assert_allclose(ensemble.predict(X, None, batch_size=64), stacked, rtol=1e-5, atol=1e-6)
    assert_same_bytes(before, model.variables())


def test_members_of_a_network_with_several_outputs():
    x = cr.Input((2,))
    model = cr.Model(x, {"a": Dense(1)(x), "b": Dense(3)(x)})
    model.compile("adam", "mse")
    ensemble = SnapshotEnsemble(every_epochs=1)
    model.fit(X, {"a": X[:, :1], "b": np.zeros((200, 3))}, epochs=2, verbose=0, callbacks=[ensemble])
    mean, std = ensemble.predict(X, "mean_std")["b"]
    assert mean.shape == std.shape == (200, 3) and std.max() > 0


def test_members_are_models_of_their_own(tmp_path):
    model, ensemble = network(), SnapshotEnsemble(every_epochs=3)
    fit(model, ensemble)
    members, stacked = ensemble.models(), ensemble.predict(X, None)
    for member, predicted in zip(members, stacked, strict=True):
        np.testing.assert_allclose(member.predict(X), predicted, rtol=1e-5, atol=1e-6)
    members[0].save(tmp_path / "member.chain")
    np.testing.assert_allclose(cr.models.load_model(tmp_path / "member.chain").predict(X), stacked[0], rtol=1e-5,
                               atol=1e-6)
    members[0].fit(X, Y, verbose=0)
    np.testing.assert_allclose(members[1].predict(X), stacked[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict(X), stacked[1], rtol=1e-5, atol=1e-6)  # the last is the model's end
    assert members[1].evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


class Stop(Callback):
    """Breaks off in the midst of an epoch, in the third cycle, or goes on."""

    batch_interval = 25

    def __init__(self, breaks=False):
        self.breaks = breaks

    def on_train_batch_end(self, batch, logs=None):
        if self.breaks:
            raise KeyboardInterrupt


@pytest.mark.parametrize("make", [lambda: (CosineRestarts(0.02, 10, t_mul=1), SnapshotEnsemble()),
                                  lambda: (0.02, SnapshotEnsemble(every_epochs=2))], ids=["cycles", "epochs"])
def test_a_run_that_goes_on_has_the_same_members(make, tmp_path):
    schedule, whole = make()
    fit(network(schedule), whole, Stop(), run=tmp_path / "whole")
    schedule, broken = make()
    with pytest.raises(KeyboardInterrupt):
        fit(network(schedule), broken, Stop(breaks=True), run=cr.Run(tmp_path / "broken", checkpoint_seconds=0))
    schedule, again = make()
    fit(network(schedule), again, Stop(), run=tmp_path / "broken", resume=True)
    assert len(again.snapshots) > len(broken.snapshots) > 0
    assert_same_bytes(whole.snapshots, again.snapshots)


@pytest.mark.parametrize("make, epochs, message", [
    (lambda: (0.02, SnapshotEnsemble()), 2,
     "SettingError: SnapshotEnsemble takes members at the ends of the cycles of the learning rate, and it has none: "
     "0.02. Give the optimiser a schedules.CosineRestarts, or say SnapshotEnsemble(every_epochs=...)."),
    (lambda: (ExponentialDecay(0.02, 10, 0.9), SnapshotEnsemble()), 2,
     f"SettingError: SnapshotEnsemble takes members at the ends of the cycles of the learning rate, and it has none: "
     f"{ExponentialDecay(0.02, 10, 0.9)!r}. Give the optimiser a schedules.CosineRestarts, or say "
     f"SnapshotEnsemble(every_epochs=...)."),
    (lambda: (CosineRestarts(0.02, 30), SnapshotEnsemble()), 4,
     "SettingError: SnapshotEnsemble: the first cycle of the learning rate ends after 30 steps, and the fit has 28. "
     "Train longer, or make cycles shorter: first_decay_steps=5, t_mul=1 for five members."),
    (lambda: (0.02, SnapshotEnsemble(every_epochs=3)), 2,
     "SettingError: SnapshotEnsemble: every_epochs=3 is never reached by a fit of epochs=2."),
    (lambda: (0.02, SnapshotEnsemble(every_epochs=0)), 2,
     "SettingError: SnapshotEnsemble: every_epochs must be an integer of at least 1; got 0."),
    (lambda: (0.02, SnapshotEnsemble(1, keep_last=0)), 2,
     "SettingError: SnapshotEnsemble: keep_last must be an integer of at least 1; got 0."),
])
def test_what_is_refused(make, epochs, message):
    with pytest.raises(ChainruleError) as error:
        schedule, ensemble = make()
        fit(network(schedule), ensemble, epochs=epochs)
    assert f"{type(error.value).__name__}: {error.value}" == message
