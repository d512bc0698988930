"""What a run says when its disk is full or broken."""
import shutil
import sqlite3
import warnings
from contextlib import closing

import numpy as np
import pytest

from chainrule import Input, Run, Sequential
from chainrule.errors import FileAccessError
from chainrule.layers import Dense
from chainrule.runs import lock
from chainrule.runs.metrics import MetricsFile, read_rows


def fit(folder, resume=False, epochs=1):
    model = Sequential([Input((3,)), Dense(1)])
    model.compile("sgd", "mse")
    x = np.zeros((8, 3), "float32")
    return model.fit(x, x[:, :1], epochs=epochs, verbose=0, seed=1, run=Run(folder), resume=resume)


def test_a_lock_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lock, "open", refuse, raising=False)
    with pytest.raises(FileAccessError) as error:
        fit(tmp_path)
    assert str(error.value) == f"{tmp_path / 'lock'} cannot be written: No space left on device."


def test_a_folder_of_checkpoints_that_cannot_be_made(tmp_path):
    fit(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    (tmp_path / "checkpoints").write_text("")
    with pytest.warns(UserWarning, match="A checkpoint could not be written: .* cannot be made: File exists"):
        with pytest.raises(FileAccessError) as error:
            fit(tmp_path, resume=True, epochs=2)
    assert str(error.value) == f"{tmp_path / 'checkpoints'} cannot be made: File exists."
    assert Run(tmp_path).status == "failed"


@pytest.fixture
def failing_at_the_end(monkeypatch):
    """Make so many attempts to write the last line of the figures fail."""
    def arrange(times):
        left, flush = [times], MetricsFile.flush

        def fail(metrics):
            if left[0] and any(statement.startswith("UPDATE sessions") for statement, _ in metrics._pending):
                left[0] -= 1
                raise sqlite3.OperationalError("disk I/O error")
            flush(metrics)

        monkeypatch.setattr(MetricsFile, "flush", fail)

    return arrange


def test_the_end_of_a_run_is_written_at_the_second_attempt(tmp_path, failing_at_the_end):
    failing_at_the_end(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(tmp_path)
    assert Run(tmp_path).status == "finished"


def test_the_end_of_a_run_that_cannot_be_written(tmp_path, failing_at_the_end):
    failing_at_the_end(2)
    with pytest.warns(UserWarning) as warned:
        fit(tmp_path)
    assert [str(warning.message) for warning in warned] == [
        f"That the run is finished could not be written to {tmp_path / 'metrics.sqlite'}: disk I/O error. It will be "
        f"taken for one that was killed."]
    assert warned[0].filename == __file__
    assert Run(tmp_path).status == "died" and Run(tmp_path).model_path.is_file()


def test_figures_are_read_where_the_first_process_was_killed_in_the_midst_of_making_their_file(tmp_path):
    """SQLite leaves a journal then, and whoever reads the file has to undo what it says."""
    whole, left = tmp_path / "whole.sqlite", tmp_path / "left.sqlite"
    connection = sqlite3.connect(whole, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("CREATE TABLE epochs (epoch, name)")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO epochs VALUES (1, 'loss')")
    shutil.copy(whole, left)
    shutil.copy(f"{whole}-journal", f"{left}-journal")
    connection.close()
    with closing(sqlite3.connect(f"file:{left}?mode=ro", uri=True)) as reader:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("SELECT * FROM epochs")
    assert read_rows(left, "SELECT * FROM epochs") == []
