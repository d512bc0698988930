"""A few of the kills and faults that the commands try by the hundred."""
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash import faults, job, shim

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


def test_results_are_kept_for_the_next_command(tmp_path):
    """Of a line that was being written when the command was killed nothing is taken."""
    path, calls = tmp_path / "results.jsonl", ["1 open64 /lock", "2 write /lock"]
    trials = faults.drawn(calls, None, seed=0)
    assert len(trials) == 5 + 7 and len(set(trials)) == 12 and trials[:3] == faults.drawn(calls, 3, seed=0)
    first = faults.Results(path)
    first.begin(calls)
    assert first.missing(trials) == trials
    first.add(faults.Result(*trials[0], calls[0], "killed", []))
    first.add(faults.Result(*trials[1], "", "", []))
    with open(path, "a") as file:
        file.write('[1, "killed bef')
    again = faults.Results(path)
    again.begin(["1 another call"])
    assert again.calls == calls and again.found == first.found
    assert again.missing(trials) == trials[2:]
    again.add(faults.Result(*trials[2], calls[1], "killed", []))
    assert faults.Results(path).found == again.found and again.missing(trials) == trials[3:]
    assert faults.summary(again, 3.0) == (
        "2 faults at the 2 calls of a training (3 s): 1 fails from then on: no space, 1 fails once: no space. 0 "
        "trainings came to their end in spite of them. 1 trainings made fewer calls, so that nothing happened.")


def test_a_process_that_does_not_end_is_told(tmp_path, monkeypatch):
    class Stuck:
        exitcode = None

        def join(self, seconds):
            waits.append(seconds)

        def is_alive(self):
            return True

    waits = []
    monkeypatch.setattr(job, "PATIENCE_SECONDS", 3)
    assert not job.ended(Stuck()) and waits == [1, 1, 1]
