"""A few of the kills and faults that the commands try by the hundred."""
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash import faults, shim

ROOT = Path(__file__).parents[2]


def run(module: str, *options: str) -> subprocess.CompletedProcess:
    """A command in a process of its own: what it forks from must not have begun to compute."""
    return subprocess.run([sys.executable, "-m", f"tests.crash.{module}", *options], cwd=ROOT, capture_output=True,
                          text=True)


def test_killed_trainings_end_with_the_same_bytes():
    found = run("kills", "--kills", "3", "--seed", "1", "--processes", "1")
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count("\nkill ") + found.stdout.startswith("kill ") == 3
    assert "3 kills in " in found.stdout


@pytest.mark.skipif(shim.compiler() is None, reason="faults in system calls need Linux and a C compiler (cc)")
def test_faults_at_system_calls_are_survived():
    found = run("faults", "--sample", "5", "--seed", "3", "--processes", "1")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "5 faults at the " in found.stdout


def test_the_order_that_a_power_cut_could_tell():
    flushed = ["1 write /a/.x.part", "2 fsync /a/.x.part", "3 rename /a/.x.part", "4 fsync /a",
               "5 unlink /a/y.checkpoint"]
    assert faults.unflushed(flushed) == []
    assert faults.unflushed(flushed[:1] + flushed[2:]) == ["3 rename /a/.x.part: it was not flushed before"]
    assert faults.unflushed(flushed[:3] + flushed[4:]) == [
        "5 unlink /a/y.checkpoint: the folder was not flushed before, and holds a newer one"]
