"""Searches in folders: what is kept, going on after a kill, and what may not differ."""
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import FileAccessError, FileFormatError, SettingError
from chainrule.models import load_model
from chainrule.tuning import Halving, RandomProposer
from tests.helpers import assert_same_bytes

SPACE = {"rate": (1e-3, 0.3, "log"), "dropout": (0.0, 0.5)}


def search(build, rows, folder, budget=8, space=None, **options):
    settings = {"epochs": 3, "verbose": 0, "batch_size": 16, "at_once": 4, "run": folder} | options
    return cr.tune(build, space or SPACE, rows, budget, **settings)


def trials(folder):
    with closing(sqlite3.connect(folder / "search.sqlite")) as connection:
        return dict(connection.execute("SELECT number, state FROM trials"))


class Stopping(RandomProposer):
    """Ends a search, as a power cut would, when a trial is asked for."""

    def __init__(self, at):
        self.at = at

    def propose(self, space, numbers, *rest):
        if self.at is not None and numbers[0] >= self.at:
            raise RuntimeError("cut")
        return super().propose(space, numbers, *rest)


def test_a_search_that_was_cut_goes_on(build, rows, tmp_path):
    whole = search(build, rows, tmp_path / "whole", by=Stopping(None))
    with pytest.raises(RuntimeError, match="cut"):
        search(build, rows, tmp_path / "cut", by=Stopping(4))
    assert trials(tmp_path / "cut") == dict.fromkeys(range(4), "finished")
    trained = []
    real = cr.Population.fit

    def fit(self, *arguments, **options):
        trained.append(len(options["members"]))
        return real(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cr.Population, "fit", fit)
        gone_on = search(build, rows, tmp_path / "cut", by=Stopping(None), resume=True)
    assert trained == [4]  # the first four are not trained again
    assert gone_on.to_dict() == whole.to_dict()
    assert_same_bytes(gone_on.best_model.get_weights(), whole.best_model.get_weights())


def test_a_search_that_is_over_is_read_back(build, rows, tmp_path, monkeypatch):
    first = search(build, rows, tmp_path)
    monkeypatch.setattr(cr.Population, "fit", None)
    again = search(build, rows, tmp_path, resume=True)
    assert again.to_dict() == first.to_dict() and again.best.number == first.best.number
    assert again.best_model.optimizer.learning_rate == first.best_values["rate"]
    assert_same_bytes(again.best_model.get_weights(), first.best_model.get_weights())
    kept = load_model(tmp_path / "best.chain")
    assert_same_bytes(kept.get_weights(), first.best_model.get_weights())
    assert sorted(path.name.split(".", 2)[-1] for path in tmp_path.iterdir()) == [
        "best.safetensors", "chain", "lock", "sqlite"]


def test_a_best_network_that_was_not_kept_is_trained_again(build, rows, tmp_path):
    first = search(build, rows, tmp_path)
    for path in tmp_path.glob("*.safetensors"):
        path.unlink()
    again = search(build, rows, tmp_path, resume=True)
    for one, two in zip(again.best_model.get_weights(), first.best_model.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)


def test_more_trials_are_added(build, rows, tmp_path):
    search(build, rows, tmp_path, 4)
    more = search(build, rows, tmp_path, 8, resume=True)
    assert len(more) == 8 and trials(tmp_path) == dict.fromkeys(range(8), "finished")


def test_halving_goes_on(build, rows, tmp_path):
    way = Halving(places=4)
    first = search(build, rows, tmp_path, 8, by=way, at_once=None, epochs=9)
    over = {trial.number: trial.rungs for trial in first.trials}
    with closing(sqlite3.connect(tmp_path / "search.sqlite")) as connection, connection:
        connection.execute("UPDATE trials SET state = 'running' WHERE number > 4")
    again = search(build, rows, tmp_path, 12, by=way, at_once=None, epochs=9, resume=True)
    assert len(again) == 12 and all(trial.over for trial in again.trials)
    assert all(again.trials[number].rungs == over[number] for number in range(5))


def test_a_killed_search_goes_on(tmp_path, rows, build):
    code = (
        "import sys, numpy as np\nsys.path.insert(0, sys.argv[1])\nimport chainrule as cr\n"
        "from chainrule.layers import Dense, Dropout\n"
        "rng = np.random.default_rng(0)\nx = rng.normal(size=(100, 4)).astype('float32')\n"
        "y = (x[:, 0] * x[:, 1] > 0).astype('int32')\n"
        "model = cr.Sequential([cr.Input((4,)), Dense(6, activation='tanh'), Dropout(0.1), "
        "Dense(2, activation='softmax')])\n"
        "model.compile(cr.optimizers.Adam(0.01), 'sparse_categorical_crossentropy', metrics=['accuracy'])\n"
        "cr.tune(model, {'learning_rate': (1e-3, 0.3, 'log'), '*/rate': (0.0, 0.5)}, (x, y), 4000, epochs=3,\n"
        "        batch_size=16, at_once=4, verbose=0, run='killed')\n")
    process = subprocess.Popen([sys.executable, "-c", code, "."], cwd=tmp_path)
    ends = time.monotonic() + 240
    while not (tmp_path / "killed" / "search.sqlite").is_file() or "finished" not in _states(tmp_path / "killed"):
        assert process.poll() is None and time.monotonic() < ends
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    over = [number for number, state in trials(tmp_path / "killed").items() if state == "finished"]
    assert 4 <= len(over) < 4000
    space = {"learning_rate": (1e-3, 0.3, "log"), "*/rate": (0.0, 0.5)}
    count = 4 * (max(over) // 4 + 2)
    gone_on = search(build(), rows, tmp_path / "killed", count, space, resume=True)
    whole = search(build(), rows, tmp_path / "whole", count, space)
    assert len(gone_on) >= count and [trial.number for trial in gone_on.trials if trial.state == "finished"] == list(
        range(count))
    assert [trial.figures for trial in gone_on.trials[:count]] == [trial.figures for trial in whole.trials]


def _states(folder):
    try:
        return set(trials(folder).values())
    except sqlite3.OperationalError:  # the tables are being made
        return set()


@pytest.mark.parametrize(("change", "words"), [
    ({"space": {"rate": (1e-3, 0.2, "log")}}, "another space"),
    ({"epochs": 4}, "epochs=3, where this one has epochs=4"),
    ({"seed": 1}, "other data, or rows divided in another way"),
    ({"validation_split": 0.3}, "other data, or rows divided in another way"),
    ({"monitor": "val_accuracy"}, "monitor='val_loss', where this one has monitor='val_accuracy'"),
    ({"by": "even"}, "by='random', where this one has by='even'"),
    ({"patience": 2}, "patience=None, where this one has patience=2"),
])
def test_what_decides_what_trials_mean_may_not_differ(change, words, build, rows, tmp_path):
    search(build, rows, tmp_path, 4, epochs=3)
    with pytest.raises(SettingError) as caught:
        search(build, rows, tmp_path, 4, resume=True, **change)
    assert str(caught.value) == (f"{tmp_path} holds a search that was begun with {words}. New trials could not be "
                                 f"compared with its own: give what it was begun with, or another folder.")


def test_another_network_is_noticed(build, rows, tmp_path):
    search(build, rows, tmp_path, 4)
    other = lambda rate, dropout: build(units=7, rate=rate, dropout=dropout)
    with pytest.raises(SettingError) as caught:
        search(other, rows, tmp_path, 4, resume=True)
    assert "was begun with another network, or another builder." in str(caught.value)


def test_folders_that_cannot_be_used(build, rows, tmp_path):
    search(build, rows, tmp_path / "one", 2)
    with pytest.raises(SettingError) as caught:
        search(build, rows, tmp_path / "one", 2)
    assert str(caught.value) == (f"{tmp_path / 'one'} holds a search already. Go on with it by resume=True (--resume), "
                                 f"or give another folder.")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileAccessError) as caught:
        search(build, rows, tmp_path / "file", 2)
    assert str(caught.value) == f"{tmp_path / 'file'} cannot be made: File exists."
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "search.sqlite").write_bytes(b"x" * 4096)
    with pytest.raises(FileFormatError) as caught:
        search(build, rows, tmp_path / "two", 2, resume=True)
    assert str(caught.value) == (f"{tmp_path / 'two' / 'search.sqlite'} cannot be read as the file of a search: file "
                                 f"is not a database. Give another folder.")


def test_two_searches_in_one_folder_are_kept_apart(build, rows, tmp_path):
    class Nosy(RandomProposer):
        def propose(self, *arguments):
            with pytest.raises(FileAccessError, match="is being trained in by process"):
                search(build, rows, tmp_path, 2, resume=True)
            return super().propose(*arguments)

    assert len(search(build, rows, tmp_path, 2, by=Nosy())) == 2
