"""Searches: what is tried, who is the best, how many programs are compiled, when a search ends."""
import builtins
import math
import re

import jax
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DataError, NotReadyError, SettingError, UnknownNameError
from chainrule.layers import Dense
from chainrule.tuning import Budget, EvenProposer, Halving, Integer, OptunaProposer, Proposer, RandomProposer, Uniform
from tests.helpers import assert_close, assert_same_bytes

SPACE = {"units": [4, 8], "dropout": (0.0, 0.5), "rate": (1e-3, 0.3, "log")}
SHORT = {"epochs": 4, "verbose": 0, "batch_size": 16}


def search(build, rows, budget=6, space=None, **options):
    return cr.tune(build, space or SPACE, rows, budget, **(SHORT | options))


def test_the_best_network_is_what_its_figures_say(build, rows):
    x, y = rows
    results = search(build, (x[:80], y[:80]), 12, validation_data=(x[80:], y[80:]), monitor="val_accuracy")
    assert len(results) == 12 and {trial.state for trial in results.trials} == {"finished"}
    best = results.best
    assert best.figures["val_accuracy"] == max(trial.figures["val_accuracy"] for trial in results.trials)
    figures = results.best_model.evaluate(x[80:], y[80:], verbose=0, return_dict=True)
    assert figures["accuracy"] == pytest.approx(best.figures["val_accuracy"])
    assert figures["loss"] == pytest.approx(best.figures["val_loss"], rel=1e-4)
    assert results.best_model.get_layer("dropout").rate == best.values["dropout"]
    assert results.best_model.get_layer("dense").units == best.values["units"]
    assert results.best_model.optimizer.learning_rate == best.values["rate"]


def test_a_trial_is_what_fit_makes_of_its_values_and_seed(build, rows):
    x, y = rows
    results = search(build, (x[:80], y[:80]), 4, validation_data=(x[80:], y[80:]), seed=5)
    trial = results.best
    alone = build(units=trial.values["units"], dropout=trial.values["dropout"], rate=trial.values["rate"])
    alone.fit(x[:80], y[:80], batch_size=16, epochs=trial.best_epoch, seed=5 + trial.number, verbose=0)
    assert_close(results.best_model.get_weights(), alone.get_weights(), rtol=1e-3, atol=1e-5)
    again = results.retrain(trial.number, all_rows=False)
    assert_same_bytes(again.get_weights(), alone.get_weights())
    other = results.retrain(epochs=1)
    assert len(other.history.epoch) == 1 and other.history.params["samples"] == 80


@pytest.mark.parametrize("by", ["random", "even", "halving", "optuna"])
def test_the_same_seed_gives_the_same_results(by, build, rows):
    if by == "optuna":
        pytest.importorskip("optuna")
    space = {"dropout": (0.0, 0.5), "rate": (1e-3, 0.3, "log")}
    one, two = (search(build, rows, 6, space, by=by, seed=3) for _ in range(2))
    assert one.to_dict() == two.to_dict()
    assert_same_bytes(one.best_model.get_weights(), two.best_model.get_weights())


@pytest.fixture
def programs(caplog):
    """How many programs of training XLA has compiled so far: call it inside the test."""
    def count():
        return sum("Finished XLA compilation of jit(advance)" in record.getMessage() for record in caplog.records)

    with jax.log_compiles(), caplog.at_level("WARNING", logger="jax"):
        yield count


def test_each_shape_is_compiled_once_for_any_number_of_settings(build, rows, programs):
    results = search(build, rows, 64, epochs=2)
    assert len(results) == 64 and results.shapes == 2 and programs() == 2


def test_later_rounds_compile_nothing(build, rows, programs):
    seen = []

    class Counting(RandomProposer):
        def propose(self, *arguments):
            seen.append(programs())
            return super().propose(*arguments)

    search(build, rows, 24, {"dropout": (0.0, 0.5), "rate": (1e-3, 0.3, "log")}, by=Counting(), at_once=8)
    assert seen == [0, 1, 1]


def test_batch_sizes_are_searched_too(build, rows):
    results = cr.tune(build, {"rate": (1e-3, 0.1, "log"), "batch_size": [8, 32]}, rows, 6, epochs=2, verbose=0)
    assert results.shapes == 2 and {trial.group["batch_size"] for trial in results.trials} == {8, 32}
    with pytest.raises(SettingError) as caught:
        search(build, rows, 2, {"batch_size": [8]})
    assert str(caught.value) == "batch_size is given, and the space has it too. Leave one of them out."


def test_folds(build, rows):
    x, y = rows
    results = search(build, rows, 3, {"rate": (1e-3, 0.1, "log")}, folds=4)
    trial = results.best
    population = cr.Population(build(), folds=4, learning_rate=trial.values["rate"])
    history = population.fit(x, y, batch_size=16, epochs=4, verbose=0, seed=0)
    folds = population.folds
    population = cr.Population(build(), folds=folds, learning_rate=trial.values["rate"], seed=[trial.number] * 4)
    stopping = cr.callbacks.EarlyStopping(patience=4, restore_best_weights=True)
    history = population.fit(x, y, batch_size=16, epochs=4, verbose=0, callbacks=[stopping])
    assert trial.figures["val_loss"] == pytest.approx(history.reached("val_loss").mean(), rel=1e-3)
    assert results.best_model.history.params["samples"] == 100  # trained anew, on all rows
    with pytest.raises(SettingError) as caught:
        search(build, rows, 3, folds=4, validation_data=rows)
    assert str(caught.value) == "folds hold out rows for each trial to be judged on. Leave validation_data out."
    with pytest.raises(DataError) as caught:
        search(build, rows, 3, folds=101)
    assert str(caught.value) == "folds=101 of 100 rows would leave folds empty. Take fewer folds."


def test_trials_that_fail_come_last(rows):
    model = cr.Sequential([cr.Input((4,)), Dense(8), Dense(1)])
    model.compile(cr.optimizers.SGD(), "mse")
    results = cr.tune(model, {"learning_rate": [0.01, 1e20]}, rows, 8, **SHORT)
    assert {trial.state for trial in results.trials} == {"finished", "failed"}
    states = [trial.state for trial in results.ranked]
    assert states == sorted(states, reverse=True)  # "finished" before "failed"
    assert results.best_values == {"learning_rate": 0.01}
    none = cr.tune(model, {"learning_rate": [1e20]}, rows, 2, **SHORT)
    with pytest.raises(NotReadyError) as caught:
        _ = none.best
    assert str(caught.value) == ("No trial has a val_loss: of 2, 2 failed, their losses not finite. Search smaller "
                                 "learning rates, or give the search more time.")
    assert repr(none) == "<Results of 2 trials, 2 over>"


def test_early_stopping_ends_trials(build, rows):
    results = search(build, rows, 6, {"rate": [0.2]}, epochs=60, patience=2)
    assert all(trial.state == "finished" and trial.epochs < 60 for trial in results.trials)
    assert all(trial.epochs == trial.best_epoch + 2 for trial in results.trials)


def test_halving_stops_most_and_gives_their_places_away(build, rows):
    results = search(build, rows, 20, {"rate": (1e-4, 0.3, "log")}, epochs=9, by=Halving(places=6))
    assert len(results) == 20 and {trial.state for trial in results.trials} == {"finished", "stopped"}
    assert {trial.epochs for trial in results.trials} == {1, 3, 9}
    for rung in (1, 3):
        there = sorted((trial.rungs[rung], trial.epochs > rung) for trial in results.trials if rung in trial.rungs)
        gone_on = [on for _, on in there]
        assert gone_on[0] and not gone_on[-1] and sum(gone_on) <= 2 * len(there) // 3
    again = results.retrain(all_rows=False)
    assert_close(results.best_model.get_weights(), again.get_weights(), rtol=1e-3, atol=1e-5)


def test_halving_compiles_once_for_each_shape(build, rows, programs):
    results = search(build, rows, 20, epochs=9, by=Halving(places=6))
    assert results.shapes == 2 and programs() == 2


@pytest.mark.parametrize(("epochs", "halving", "rungs"), [
    (27, Halving(), [1, 3, 9, 27]), (30, Halving(), [1, 3, 10, 30]), (1, Halving(), [1]),
    (100, Halving(factor=4, first=5), [6, 25, 100]), (2, Halving(factor=2), [1, 2])])
def test_rungs(epochs, halving, rungs):
    assert halving.rungs(epochs) == rungs


def test_budgets(build, rows):
    results = search(build, rows, {"epochs": 30}, {"rate": (1e-3, 0.1, "log")}, at_once=4)
    assert 30 <= sum(trial.epochs for trial in results.trials) <= 46  # the round under way is ended at an epoch
    results = search(build, rows, Budget(minutes=0.03), {"rate": (1e-3, 0.1, "log")}, at_once=4, epochs=100_000)
    assert [trial.state for trial in results.trials] == ["interrupted"] * 4 and results.best_model is not None
    assert results.seconds < 60


@pytest.mark.parametrize("by", ["even", "optuna"])
def test_all_kinds_of_dimensions_are_proposed(by, build, rows):
    if by == "optuna":
        pytest.importorskip("optuna")
    space = {"units": Integer(2, 9, step=3), "activation": ["relu", "tanh"], "dropout": Uniform(0.1, 0.3),
             "rate": (1e-3, 0.1, "log"), "weight_decay": 0.01, "batch_size": Integer(8, 32, step=8, log=True)}
    results = cr.tune(build, space, rows, 4, epochs=1, verbose=0, by=by, at_once=3)
    for trial in results.trials:
        values = trial.values
        assert values["units"] in (2, 5, 8) and values["activation"] in ("relu", "tanh")
        assert 0.1 <= values["dropout"] <= 0.3 and 1e-3 <= values["rate"] <= 0.1 and values["weight_decay"] == 0.01
        assert values["batch_size"] in (8, 16, 24, 32)
    assert len({trial.values["dropout"] for trial in results.trials}) == 4


def test_another_seed_gives_other_settings():
    space = {"a": Uniform(0, 1), "b": Integer(1, 2)}
    for proposer in (EvenProposer(), RandomProposer()):
        one, two = (proposer.propose(space, range(4), seed, [], "loss", False) for seed in (3, 4))
        assert all(first["a"] != second["a"] for first, second in zip(one, two, strict=True))


def test_even_proposals_leave_smaller_gaps():
    space, gaps = {"a": Uniform(0, 1)}, {}
    for proposer in (EvenProposer(), RandomProposer()):
        values = sorted(one["a"] for one in proposer.propose(space, range(64), 1, [], "loss", False))
        gaps[type(proposer)] = np.diff(values).max()
    assert gaps[EvenProposer] < 0.05 < gaps[RandomProposer]


def test_optuna_learns_from_the_trials_before():
    pytest.importorskip("optuna")
    space = {"a": Uniform(0, 1)}
    trials = [cr.tuning.Trial(number, {"a": value}, 0, "finished", figures={"loss": abs(value - 0.7)})
              for number, value in enumerate(np.linspace(0, 1, 40).tolist())]
    trials += [cr.tuning.Trial(40, {"a": 0.1}, 0, "failed")]
    proposed = OptunaProposer().propose(space, range(41, 57), 0, trials, "loss", False)
    assert np.median([abs(one["a"] - 0.7) for one in proposed]) < 0.15


def test_optuna_is_needed_where_it_is_asked_for(build, rows, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "optuna":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError) as caught:
        search(build, rows, by="optuna")
    assert str(caught.value) == "by='optuna' needs optuna, which is not installed: pip install 'chainrule[tuning]'."


def test_ctrl_c_ends_with_what_there_is(build, rows):
    class Impatient(RandomProposer):
        def propose(self, space, numbers, *rest):
            if numbers[0] == 8:
                raise KeyboardInterrupt
            return super().propose(space, numbers, *rest)

    results = search(build, rows, 16, by=Impatient(), at_once=4)
    assert results.interrupted and len(results) == 8 and results.best.state == "finished"


def test_ctrl_c_within_a_fit(build, rows, monkeypatch):
    real, calls = cr.Population.fit, []

    def fit(self, *arguments, **options):
        calls.append(real(self, *arguments, **{**options, "epochs": 2 if calls else options["epochs"]}))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return calls[-1]

    monkeypatch.setattr(cr.Population, "fit", fit)
    results = search(build, rows, 16, {"rate": (1e-3, 0.1, "log")}, at_once=4)
    assert [trial.state for trial in results.trials] == ["finished"] * 4 + ["interrupted"] * 4
    assert [trial.epochs for trial in results.trials] == [4] * 4 + [2] * 4 and results.interrupted


def test_lines_say_how_far_it_is(build, rows, capsys):
    search(build, rows, 4, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"Searching on cpu \(\d+ cores?\)", lines[0])
    assert re.fullmatch(r"4 of 4 trials  best val_loss 0\.\d{4} \(trial \d: units \d, dropout [\d.e-]+, rate [\d.e-]+\)"
                        r"  [\d.]+ .+", lines[-1])


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"by": "randm"}, UnknownNameError, "There is no way to search 'randm'. Did you mean 'random'?"),
    ({"by": 3}, SettingError,
     "by is one of 'random', 'even', 'halving', 'optuna', a Proposer or a Halving; got 3."),
    ({"monitor": "val_acc"}, SettingError,
     "tune judges by 'val_acc', which trials will not report. Did you mean 'val_accuracy'?"),
    ({"monitor": "val_loss", "validation_split": 0}, SettingError,
     "tune judges by 'val_loss', which trials will not report. Validation figures need validation_split, "
     "validation_data or folds. Did you mean 'loss'?"),
    ({"budget": None}, SettingError,
     "budget is a number of trials, or says more: {'minutes': 2}, with the names trials, epochs and minutes; got "
     "None."),
    ({"budget": {"hours": 2}}, SettingError,
     "budget is a number of trials, or says more: {'minutes': 2}, with the names trials, epochs and minutes; got "
     "{'hours': 2}."),
    ({"budget": {"minutes": 0}}, SettingError, "Budget: minutes is a number above 0; got 0."),
    ({"budget": 0}, SettingError, "Budget: trials is a whole number of at least 1; got 0."),
    ({"resume": True}, SettingError, "resume=True needs the folder of the search: run='runs/search'."),
    ({"epochs": 0}, SettingError, "epochs must be an integer of at least 1; got 0."),
])
def test_what_cannot_be_searched(build, rows, options, error, message):
    with pytest.raises(error) as caught:
        search(build, rows, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(("data", "message"), [
    (np.zeros((4, 2)), "data is a pair of inputs and targets, tune(model, space, (x, y)); got ndarray."),
    ((1, 2, 3), "data is a pair of inputs and targets, tune(model, space, (x, y)); got 3 parts."),
    ((iter([]), None), "Networks are tuned on arrays in memory, and x is a list_iterator, which is read in pieces. "
                       "Load it: x, y = source.load()."),
])
def test_what_is_no_data(build, data, message):
    with pytest.raises(SettingError) as caught:
        search(build, data)
    assert str(caught.value) == message


def test_a_proposer_of_ones_own(build, rows):
    class Rising(Proposer):
        learns = True

        def propose(self, space, numbers, seed, trials, monitor, larger):
            assert [trial.number for trial in trials] == list(range(numbers[0]))
            return [{"rate": 0.01 * (number + 1)} for number in numbers]

    results = search(build, rows, 5, {"rate": (0.0, 1.0)}, by=Rising(), at_once=2)
    assert [trial.values["rate"] for trial in results.trials] == [0.01, 0.02, 0.03, 0.04, 0.05]
    assert not any(math.isnan(trial.figure("val_loss")) for trial in results.trials)
