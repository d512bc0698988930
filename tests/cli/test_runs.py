"""`chainrule runs` and `chainrule resume`: trainings are listed, compared, and gone on with."""
import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from chainrule import Input, Run, Sequential
from chainrule.cli.main import app
from chainrule.layers import Dense
from chainrule.models import load_model

QUICK = ("fit", "digits", "--hidden", "8", "--validation", "0.2", "--quiet")


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_trainings_are_listed_and_compared(here):
    assert run(*QUICK, "--epochs", 2).exit_code == 0
    assert run(*QUICK, "--epochs", 1, "--seed", 1).exit_code == 0
    lines = json.loads(run("runs", "--json").output)
    assert [(line["run"], line["status"], line["epochs"], line["of"]) for line in lines] == [
        ("runs/digits", "finished", 2, 2), ("runs/digits-2", "finished", 1, 1)]
    listed = run("runs").output
    assert re.search(r"runs/digits +finished +2/2 +0\.\d{4} +0\.\d{4}|runs/digits +finished +2/2", listed)
    first = run("runs", "--sort", "val_loss").output.splitlines()[1]
    assert first.startswith("runs/digits ")
    compared = run("runs", "runs/digits", "runs/digits-2").output
    assert re.search(r"^seed +0 +1 *$", compared, re.M) and "command/hidden" not in compared
    assert re.search(r"^epochs +2 +1 *$", compared, re.M) and re.search(r"^epochs trained +2 +1 *$", compared, re.M)
    assert "command/epochs" not in compared
    wrong = run("runs", "--sort", "val_los")
    assert wrong.exit_code == 1 and wrong.stderr == "Error: No run has the figure 'val_los'. Did you mean 'val_loss'?\n"


def test_a_killed_training_is_gone_on_with(here):
    assert run(*QUICK, "--epochs", 300, "--output", "alone.chain").exit_code == 0
    code = "from chainrule.cli.main import main; main()"
    arguments = [*QUICK, "--epochs", "300", "--output", "killed.chain", "--run", "killed"]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=here, stdout=subprocess.DEVNULL)
    while not Run("killed").checkpoints:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Run("killed").status == "died"
    assert run("resume", "killed").exit_code == 0
    assert Run("killed").status == "finished"
    one, two = load_model("alone.chain"), load_model("killed.chain")
    assert all((a == b).all() for a, b in zip(one.get_weights(), two.get_weights(), strict=True))


def test_a_run_is_not_begun_twice(here):
    assert run(*QUICK, "--epochs", 1, "--run", "first").exit_code == 0
    again = run(*QUICK, "--epochs", 1, "--run", "first")
    assert again.exit_code == 1
    assert again.stderr == ("Error: first holds a run already. chainrule resume first goes on with it; for another "
                            "training, give another folder.\n")


def test_a_run_of_python_is_gone_on_with_in_python(here):
    model = Sequential([Input((2,)), Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 2)), np.ones(8), verbose=0, run="runs/own")
    done = run("resume", "runs/own")
    assert done.exit_code == 1
    assert done.stderr == ("Error: runs/own was begun in Python, not by chainrule fit: go on there, by fit(..., "
                           "run='runs/own', resume=True).\n")


def test_where_there_are_no_runs(here):
    done = run("runs")
    assert done.exit_code == 1
    assert done.stderr == "Error: There is no folder runs. Runs are made by fit(..., run='runs/first').\n"
    (here / "runs").mkdir()
    assert run("runs").output == "There are no runs in runs.\n"
    done = run("resume", "runs/none")
    assert done.exit_code == 1
    assert done.stderr == "Error: There is no run in runs/none: it has no settings.json.\n"


def test_a_run_whose_files_are_damaged_does_not_hide_the_others(here):
    for name in ("a", "b", "c"):
        model = Sequential([Input((2,)), Dense(1)])
        model.compile("sgd", "mse")
        model.fit(np.ones((8, 2)), np.ones(8), verbose=0, run=f"runs/{name}")
    (here / "runs" / "a" / "settings.json").write_text("[]")
    (here / "runs" / "c" / "metrics.sqlite").write_bytes(b"no database" * 100)
    output = run("runs").output
    assert re.search(r"^runs/a +damaged +0 ", output, re.M) and re.search(r"^runs/b +finished +1/1 ", output, re.M)
    assert re.search(r"^runs/c +damaged +0 ", output, re.M)
    assert output.endswith("runs/a/settings.json cannot be read: settings.json is no JSON object.\n"
                           "runs/c/metrics.sqlite cannot be read: file is not a database.\n")


def test_a_run_that_went_on_beyond_what_was_asked_for(here):
    for epochs in (1, 3):
        model = Sequential([Input((2,)), Dense(1)])
        model.compile("sgd", "mse")
        model.fit(np.ones((8, 2)), np.ones(8), epochs=epochs, verbose=0, run="runs/longer", resume=True)
    assert re.search(r"^runs/longer +finished +3/3 ", run("runs").output, re.M)


def test_a_training_that_left_no_checkpoint_can_be_resumed_again_and_again(here):
    """How it was asked for is kept where it begins anew."""
    assert run(*QUICK, "--epochs", 1, "--run", "first").exit_code == 0
    for _ in range(2):
        for _, path in Run("first").checkpoints:
            path.unlink()
        assert run("resume", "first").exit_code == 0
    assert Run("first").settings["notes"]["command"]["options"]["epochs"] == 1


def test_a_list_fits_into_80_columns(here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(*QUICK, "--epochs", 1, "--run", "runs/a-rather-long-name-for-a-run-of-many-words").exit_code == 0
    heading, first, *_ = run("runs").output.splitlines()
    assert heading.split() == ["run", "status", "epochs", "val_loss", "val_accuracy", "time", "seen"]
    assert re.fullmatch(r"runs/a-rather-long-nam\S* +finished +1/1 +\d\.\d{4} +\d\.\d{4} +[\d.]+ s +\d\d:\d\d *", first)
