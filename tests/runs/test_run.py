"""The folder of a run: what is in it, who may use it, and what is said where something is wrong."""
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

from chainrule import Input, Run, Sequential
from chainrule.callbacks import Callback, EarlyStopping, LambdaCallback, StochasticWeightAveraging
from chainrule.errors import FileAccessError, FileFormatError, MissingDataError, SettingError
from chainrule.layers import Dense
from chainrule.models import load_model
from chainrule.runs import find_runs
from chainrule.saving.checkpoint import Place

X = np.random.default_rng(0).permutation(np.linspace(-1, 1, 64, dtype="float32"))[:, None]
Y = 2 * X + 1


def line(units=1, optimizer="sgd"):
    model = Sequential([Input((1,)), Dense(units)])
    model.compile(optimizer, "mse")
    return model


def fit(model=None, x=X, y=Y, **options):
    options = {"epochs": 3, "batch_size": 16, "verbose": 0, "seed": 0} | options
    return (model or line()).fit(x, y, **options)


def test_what_a_run_holds(tmp_path):
    model = line()
    history = fit(model, run=Run(tmp_path / "first", log_steps=2, notes={"why": "a test"}))
    run = Run(tmp_path / "first")
    assert history.resumed_from is None
    assert run.status == "finished" and run.history == history.history
    assert [(epoch, step) for epoch, step, _, _ in run.steps] == [(e, s) for e in range(3) for s in (2, 4)]
    assert run.settings["epochs"] == 3 and run.settings["training_data"]["batch_size"] == 16
    assert run.settings["optimizer"] == {"SGD": {"learning_rate": 0.01}} and run.settings["notes"] == {"why": "a test"}
    assert set(run.environment["packages"]) >= {"chainrule", "jax", "numpy"}
    session, = run.sessions
    assert session["process"] == os.getpid() and session["outcome"] == "finished"
    assert run.checkpoints[0][0] == Place(3, 0) and str(run.checkpoints[0][0]) == "the end of epoch 3"
    assert (load_model(run.model_path).predict(X) == model.predict(X)).all()
    assert [found.folder.name for found in find_runs(tmp_path)] == ["first"]
    assert repr(run) == f"<Run {str(run.folder)!r}: finished>"


def test_the_newest_checkpoints_are_kept(tmp_path):
    fit(run=Run(tmp_path / "first", checkpoint_seconds=0, keep=2), callbacks=[LambdaCallback(
        on_epoch_end=lambda epoch, logs: None)])
    assert [place for place, _ in Run(tmp_path / "first").checkpoints] == [(3, 0), (2, 0)]


def test_bytes_do_not_depend_on_being_kept(tmp_path):
    alone, kept = line(optimizer="adam"), line(optimizer="adam")
    assert fit(alone).history == fit(kept, run=Run(tmp_path / "run", checkpoint_seconds=0, log_steps=1)).history
    assert all((one == two).all() for one, two in zip(alone.get_weights(), kept.get_weights(), strict=True))


def message(error, **options):
    with pytest.raises(error) as caught:
        fit(**options)
    return str(caught.value)


def test_a_run_is_not_overwritten(tmp_path):
    folder = tmp_path / "first"
    fit(run=folder)
    assert message(SettingError, run=folder) == (
        f"{folder} holds a run already (finished, saved at the end of epoch 3). Give resume=True to go on with it, or "
        f"another folder.")


def test_a_run_goes_on_only_with_what_it_was_begun_with(tmp_path):
    folder = tmp_path / "first"
    fit(run=folder)
    end = "To go on, ask for the same; for another training, give another folder."
    cases = [
        ({"batch_size": 32}, "training_data batch_size=16; this fit has 32"),
        ({"x": X + 1}, "other training_data: their numbers differ"),
        ({"x": X[:32], "y": Y[:32]}, "training_data rows=64; this fit has 32"),
        ({"model": line(2), "y": np.hstack([Y, Y])}, "a network of other layers or settings"),
        ({"model": line(optimizer="adam")}, "optimizer='SGD'; this fit has 'Adam'"),
        ({"callbacks": [EarlyStopping("loss")]}, "callbacks=[]; this fit has ['EarlyStopping']"),
        ({"validation_split": 0.25}, "training_data rows=64; this fit has 48"),
        ({"validation_data": (X, Y)}, "validation_data=None; this fit has {"),
        ({"seed": 7}, "seed=0; this fit has 7"),
    ]
    for options, what in cases:
        text = message(SettingError, run=folder, resume=True, **options)
        assert text.startswith(f"{folder} was begun with {what}") and text.endswith(end)
    assert fit(run=folder, resume=True, epochs=4, seed=None).epoch == [0, 1, 2, 3]
    assert message(SettingError, run=folder, resume=True, seed=7) == (
        f"{folder} was begun with seed=0; this fit has 7. {end}")
    assert fit(run=folder, resume=True, epochs=5).epoch == [0, 1, 2, 3, 4]


def test_folders_that_are_no_place_for_a_run(tmp_path):
    (tmp_path / "file").write_text("")
    assert message(FileAccessError, run=tmp_path / "file") == (
        f"{tmp_path / 'file'} is a file. A run is kept in a folder: give another name.")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("")
    assert message(FileAccessError, run=tmp_path / "full") == (
        f"{tmp_path / 'full'} holds other files, and no run. Give a folder of its own: {tmp_path / 'full' / 'first'}.")
    assert message(FileAccessError, run=tmp_path / "file" / "run") == (
        f"{tmp_path / 'file' / 'run'} cannot be made: Not a directory.")
    assert message(FileAccessError, run=tmp_path / ("long" * 100)) == (
        f"{tmp_path / ('long' * 100)} cannot be made: File name too long.")
    assert message(FileAccessError, run="a\0b") == "a\0b cannot be made: embedded null byte."
    assert os.listdir(tmp_path / "full") == ["thesis.txt"]


def test_settings_of_a_run():
    assert message(SettingError, resume=True) == (
        "resume=True goes on with a run: say in which folder it is, as in run='runs/first'.")
    assert message(SettingError, run="runs/first", resume="runs/first") == (
        "resume is True or False; got 'runs/first'. The folder is named by run='runs/first'.")
    assert message(SettingError, run=3) == "A run is named by its folder, such as 'runs/first'; got 3."
    for options, text in [
            ({"checkpoint_seconds": -1}, "checkpoint_seconds must be a number of seconds, 0 or more; got -1."),
            ({"checkpoint_seconds": "1"}, "checkpoint_seconds must be a number of seconds, 0 or more; got '1'."),
            ({"checkpoint_seconds": True}, "checkpoint_seconds must be a number of seconds, 0 or more; got True."),
            ({"notes": ["a"]}, "notes must be a dict of plain data; got ['a']."),
            ({"keep": 0}, "keep must be an integer of at least 1; got 0."),
            ({"log_steps": True}, "log_steps must be an integer of at least 1; got True.")]:
        with pytest.raises(SettingError) as caught:
            Run("runs/first", **options)
        assert str(caught.value) == text
    with pytest.raises(MissingDataError) as caught:
        Run("nowhere").settings["epochs"]
    assert str(caught.value) == "There is no run in nowhere: it has no settings.json."


def test_two_fits_do_not_share_a_folder(tmp_path):
    folder, refused = tmp_path / "first", []

    class Second(Callback):
        def on_epoch_end(self, epoch, logs=None):
            refused.append(message(FileAccessError, run=folder, resume=True))
            self.status = Run(folder).status

    second = Second()
    fit(epochs=1, run=folder, callbacks=[second])
    assert second.status == "running"
    process = refused[0].removeprefix(f"{folder} is being trained in by process {os.getpid()} on ")
    assert process.endswith(". Wait for its end, stop it, or give this run another folder.")


def test_an_error_leaves_a_run_that_failed_and_goes_on(tmp_path):
    with pytest.raises(ZeroDivisionError):
        fit(run=Run(tmp_path, checkpoint_seconds=0), callbacks=[LambdaCallback(
            on_epoch_end=lambda epoch, logs: 1 / (1 - epoch))])
    assert Run(tmp_path).status == "failed"
    assert fit(run=tmp_path, resume=True, callbacks=[LambdaCallback()]).resumed_from == (1, 0)
    assert [session["outcome"] for session in Run(tmp_path).sessions] == ["failed", "finished"]


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_training(tmp_path, monkeypatch):
    from chainrule.saving import archive

    write, faults = archive.write_members, [True]

    def full(path, *rest, **options):
        if faults and str(path).endswith(".checkpoint"):
            raise FileAccessError(f"{path} cannot be written: No space left on device.")
        write(path, *rest, **options)

    monkeypatch.setattr(archive, "write_members", full)
    stop = LambdaCallback(on_epoch_end=lambda epoch, logs: epoch == 1 and faults.clear())
    with pytest.warns(UserWarning, match="A checkpoint could not be written: .* Training goes on, and it is tried"):
        history = fit(run=Run(tmp_path, checkpoint_seconds=0), callbacks=[stop])
    assert len(history.epoch) == 3 and Run(tmp_path).checkpoints[0][0] == (3, 0)


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    from chainrule.saving import archive

    write, released, waited = archive.write_members, threading.Event(), []

    def slow(path, *rest, **options):
        if str(path).endswith(".checkpoint") and not waited:
            waited.append(released.wait(timeout=60))
        write(path, *rest, **options)

    monkeypatch.setattr(archive, "write_members", slow)
    release = LambdaCallback(on_epoch_end=lambda epoch, logs: epoch == 9 and released.set())
    fit(epochs=10, run=Run(tmp_path, checkpoint_seconds=0.001), callbacks=[release])
    assert waited == [True]  # it was still being written when the last epoch ended
    assert Run(tmp_path).checkpoints[0][0] == (10, 0)


def test_a_checkpoint_holds_what_was_there_when_it_was_taken(tmp_path, monkeypatch):
    from chainrule.saving import archive
    from chainrule.saving.checkpoint import read_checkpoint

    write, released = archive.write_members, threading.Event()

    def slow(path, *rest, **options):
        released.wait(timeout=60)
        write(path, *rest, **options)

    class Changes(Callback):
        def __init__(self):
            self.seen, self.array = [], np.zeros(3)

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append(epoch)
            self.array += 1
            if epoch == 3:
                released.set()

    monkeypatch.setattr(archive, "write_members", slow)
    fit(epochs=4, run=Run(tmp_path, checkpoint_seconds=0.001, keep=100), callbacks=[Changes()])
    for place, path in Run(tmp_path).checkpoints:
        (_, memory), _ = read_checkpoint(path).callbacks
        assert memory["seen"] == list(range(place.epoch)) and (memory["array"] == place.epoch).all()


def test_what_a_callback_cannot_keep_is_named(tmp_path):
    class Holds(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.file = sys.stdout.buffer

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(run=Run(tmp_path, checkpoint_seconds=0), callbacks=[Holds()])
    assert {str(warning.message) for warning in caught} == {
        f"Holds.file is a {type(sys.stdout.buffer).__name__}, which a checkpoint cannot hold: after a resume it is as "
        f"the constructor leaves it. Write get_state and set_state to keep what matters of it."}


def test_a_model_that_no_file_can_hold_is_kept_as_weights(tmp_path):
    model = Sequential([Input((1,)), Dense(1, activation=lambda z: z)])
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match=r"Its weights are in .*model\.weights\.safetensors"):
        fit(model, run=tmp_path)
    assert not Run(tmp_path).model_path.exists()
    again = Sequential([Input((1,)), Dense(1, activation=lambda z: z)])
    again.load_weights(tmp_path / "model.weights.safetensors")
    assert (again.predict(X) == model.predict(X)).all()


def test_a_damaged_file_of_figures_is_replaced_and_filled_again(tmp_path):
    fit(run=tmp_path)
    expected = Run(tmp_path).history
    for name in os.listdir(tmp_path):
        if name.startswith("metrics.sqlite"):
            (tmp_path / name).unlink()
    (tmp_path / "metrics.sqlite").write_bytes(b"no database " * 100)
    with pytest.warns(UserWarning, match=r"metrics.sqlite cannot be read as an SQLite file: file is not a database. It "
                                         r"is kept as metrics.sqlite.damaged, and a new one is begun."):
        fit(run=tmp_path, resume=True)
    assert Run(tmp_path).history == expected
    assert (tmp_path / "metrics.sqlite.damaged").read_bytes().startswith(b"no database")


SCRIPT = """
import sys, numpy as np
from chainrule import Input, Run, Sequential
from chainrule.layers import Dense
model = Sequential([Input((1,)), Dense(1)])
model.compile("sgd", "mse")
x = np.linspace(-1, 1, 64)[:, None]
model.fit(x, x, epochs=10**7, verbose=0, seed=0, run="run")
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -2), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_saved(tmp_path, number, code):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    run = Run(tmp_path / "run")
    while not run.checkpoints:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode in (code, 128 + number, 1) and run.status == "interrupted"
    assert "Stopping at the next opportunity; Ctrl-C once more to stop at once.\n" in stderr
    newest = run.checkpoints[0][0]
    assert len(run.history["loss"]) == newest.epoch and newest.epoch > 0
    if number == signal.SIGINT:
        assert f"Interrupt: Training was stopped in epoch {newest.epoch + 1} of 10000000. It is saved: " in stderr


def test_a_fit_in_a_thread_leaves_signals_alone():
    before, seen = signal.getsignal(signal.SIGINT), []
    look = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(signal.getsignal(signal.SIGINT)))
    thread = threading.Thread(target=lambda: fit(callbacks=[look]))
    thread.start()
    thread.join()
    assert seen == [before] * 3
    fit(callbacks=[look])
    assert seen[-1] != before and signal.getsignal(signal.SIGINT) == before


def test_settings_are_plain_json(tmp_path):
    fit(run=tmp_path)
    assert json.loads((tmp_path / "settings.json").read_text())["dtype"] == "float32"


def test_notes_of_any_kind_can_be_read_again(tmp_path):
    notes = {"rate": float("inf"), 3: {"array": np.arange(2), "number": np.float32(0.5)}, "path": tmp_path, "no": None}
    fit(run=Run(tmp_path / "run", notes=notes))
    assert Run(tmp_path / "run").settings["notes"] == {
        "rate": "inf", "3": {"array": "[0 1]", "number": 0.5}, "path": str(tmp_path), "no": None}


def test_a_run_without_a_checkpoint_is_begun_anew_with_what_is_asked_for_then(tmp_path):
    """A mistake in a callback is found when the folder is there already."""
    message(SettingError, run=Run(tmp_path, notes={"by": "me"}), callbacks=[StochasticWeightAveraging(9)])
    assert message(SettingError, run=tmp_path) == (
        f"{tmp_path} holds a run already (failed, without a checkpoint). Give resume=True to begin it anew, or another "
        f"folder.")
    history = fit(run=tmp_path, resume=True, epochs=2, callbacks=[EarlyStopping("loss"), LambdaCallback()])
    assert history.resumed_from is None
    run = Run(tmp_path)
    assert run.settings["callbacks"] == ["EarlyStopping", "LambdaCallback"]
    assert run.settings["epochs"] == 2 and run.settings["notes"] == {"by": "me"}


def test_a_run_whose_files_are_damaged_says_so(tmp_path):
    fit(run=tmp_path)
    run = Run(tmp_path)
    (tmp_path / "metrics.sqlite").write_bytes(b"no database" * 100)
    assert run.status == "damaged" and repr(run) == f"<Run {str(tmp_path)!r}: damaged>"
    with pytest.raises(FileFormatError) as caught:
        run.history  # noqa: B018
    assert str(caught.value) == f"{tmp_path / 'metrics.sqlite'} cannot be read: file is not a database."
    settings = tmp_path / "settings.json"
    for content, reason in (("[1]", "settings.json is no JSON object"), ("{", "settings.json")):
        settings.write_text(content)
        with pytest.raises(FileFormatError, match=f"^{re.escape(str(settings))} cannot be read: {reason}"):
            run.settings  # noqa: B018
