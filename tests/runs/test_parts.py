"""The parts of a run by themselves: the lock, the file of figures, the environment, the search for runs."""
import sqlite3
from contextlib import closing
from datetime import datetime

import numpy as np
import pytest

from chainrule import Input, Run, Sequential
from chainrule.errors import FileAccessError
from chainrule.layers import Dense
from chainrule.runs import environment, find_runs, lock
from chainrule.runs.metrics import MetricsFile, read_rows
from chainrule.saving import checkpoint


def fit(folder, **options):
    model = Sequential([Input((2,)), Dense(1)])
    model.compile("sgd", "mse")
    return model.fit(np.ones((8, 2)), np.ones(8), verbose=0, seed=0, run=folder, **options)


def test_a_lock_is_held_until_it_is_let_go(tmp_path):
    path = tmp_path / "lock"
    held, other = lock.Lock(path), lock.Lock(path)
    assert not held.is_held() and held.holder() == "another process"
    held.take()
    assert other.is_held() and other.holder().startswith("process ")
    with pytest.raises(FileAccessError, match="is being trained in by process "):
        other.take()
    held.release()
    assert not other.is_held()
    other.take()
    other.release()


def test_where_the_system_has_no_such_lock_two_fits_are_not_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    first, second = lock.Lock(tmp_path / "lock"), lock.Lock(tmp_path / "lock")
    first.take()
    second.take()
    assert not first.is_held()
    first.release()
    second.release()


def test_figures_that_cannot_be_written_stay_until_they_can(tmp_path):
    path = tmp_path / "metrics.sqlite"
    path.mkdir()
    metrics = MetricsFile(path)
    metrics.add_epoch(0, {"loss": 0.5})
    with pytest.raises(sqlite3.OperationalError, match="unable to open database file"):
        metrics.flush()
    path.rmdir()
    metrics.flush()
    metrics.flush()  # nothing is pending any more
    metrics.close()
    assert read_rows(path, "SELECT epoch, name, value FROM epochs WHERE name = ?", ("loss",)) == [(0, "loss", 0.5)]


def test_what_a_file_of_figures_does_not_hold(tmp_path):
    path = tmp_path / "metrics.sqlite"
    assert read_rows(path, "SELECT * FROM epochs") == []
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (name)")
    assert read_rows(path, "SELECT * FROM epochs") == []
    with pytest.raises(sqlite3.OperationalError, match="no such column: value"):
        read_rows(path, "SELECT value FROM other")


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(environment, "_PACKAGES", ("numpy", "not-a-package"))
    assert environment.describe_environment()["packages"] == {"numpy": np.__version__, "not-a-package": None}


def test_runs_are_found_by_name_in_a_folder_and_as_the_folder_itself(tmp_path):
    before = datetime.now()
    for name in ("b", "a"):
        fit(tmp_path / name)
    (tmp_path / "c").mkdir()
    (tmp_path / "file").write_text("")
    assert [run.folder.name for run in find_runs(tmp_path)] == ["a", "b"]
    assert [run.folder for run in find_runs(str(tmp_path / "a"))] == [tmp_path / "a"]
    with pytest.raises(FileAccessError) as error:
        list(find_runs(tmp_path / "none"))
    assert str(error.value) == (
        f"There is no folder {tmp_path / 'none'}. Runs are made by fit(..., run='{tmp_path / 'none'}/first').")
    assert abs((Run(tmp_path / "a").last_sign() - before).total_seconds()) < 3600
    assert Run(tmp_path / "c").last_sign() is None


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    fit(tmp_path)
    left = [tmp_path / ".model.chain.0000.part", tmp_path / "checkpoints" / ".epoch-000009.checkpoint.0000.part"]
    for path in left:
        path.write_bytes(b"half")
    fit(tmp_path, resume=True, epochs=2)
    assert not any(path.exists() for path in left)


def test_a_mistake_in_the_writing_of_checkpoints_is_not_hidden(tmp_path, monkeypatch):
    """A full disk is told in a warning and tried again; anything else would be so each time."""
    def fail(self, folder):
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(checkpoint.Frozen, "write", fail)
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        fit(Run(tmp_path, checkpoint_seconds=0), epochs=3)
    assert Run(tmp_path).status == "failed"
