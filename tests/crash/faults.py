"""Faults at every call that changes a file of a run: killed there, a full disk, I/O errors, halves of writes.

    python -m tests.crash.faults                 every call, every fault
    python -m tests.crash.faults --sample 30     some of them, drawn with --seed
    python -m tests.crash.faults --results f.jsonl     each result is kept as it comes; the same command goes on later

A short training is left alone once, and its calls are counted: opening, writing, flushing, renaming, removing, making
folders, those of SQLite included. Then it is done again for each call and each fault. What stands under the name of a
whole file must be whole then; the training must go on to the same bytes, past step 0 where there is a checkpoint. The
order of flushing, renaming and removing is looked at too, for power cuts. The exit status is 1 where anything is not as
it should be, and the folder of that training is kept.
"""
import argparse
import functools
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chainrule import Run
from chainrule.errors import ChainruleError
from chainrule.models import load_model
from chainrule.saving.checkpoint import SUFFIX, read_checkpoint
from tests.crash import job, shim

CASE, EPOCHS, PACE = "small", 2, 0.0
ATTEMPTS = 4  # at a call that not every training makes
WRITES = ("write", "writev", "pwrite", "pwrite64")


class Trial(NamedTuple):
    """A fault that is to happen: at which call, from 1, and of which kind."""

    call: int
    kind: str


class Result(NamedTuple):
    """What came of a fault.

    Attributes:
        call, kind: the trial.
        at: the call as it was made; empty where the training made fewer calls, so that nothing happened.
        came: how the training ended.
        wrong: what is not as it should be, in words.
    """

    call: int
    kind: str
    at: str
    came: str
    wrong: list[str]


class Results:
    """Results by trial, each of them written down as it comes.

    Args:
        path: a file of JSON lines: the calls of a training that was left alone, then a result a line. Without one
            nothing is written down.
    """

    def __init__(self, path: Path | None):
        self.path, self.calls, self.found = path, None, []
        if path is not None and path.exists():
            text = path.read_text()
            whole = text[: text.rfind("\n") + 1]
            path.write_text(whole)  # without a line in whose midst the command was killed
            lines = [json.loads(line) for line in whole.splitlines()]
            self.calls, self.found = lines[0] if lines else None, [Result(*line) for line in lines[1:]]

    def begin(self, calls: list[str]) -> None:
        """Note the calls of the training, where an earlier command has not done so."""
        if self.calls is None:
            self.calls = calls
            self._write(calls)

    def add(self, result: Result) -> None:
        """Take in a result."""
        self.found.append(result)
        self._write(result)

    def missing(self, trials: list[Trial]) -> list[Trial]:
        """The trials that have no result yet."""
        done = {(result.call, result.kind) for result in self.found}
        return [trial for trial in trials if trial not in done]

    def _write(self, entry) -> None:
        if self.path is not None:
            with open(self.path, "a") as file:
                file.write(json.dumps(entry) + "\n")


class Harness:
    """Lets faults happen, and looks at what comes of them.

    Args:
        top: a folder for everything.
    """

    def __init__(self, top: Path):
        self.top, self.library = top, shim.build(top)
        os.environ["LD_PRELOAD"] = str(self.library)  # for the process that all others are forked from
        self.context = job.processes()

    def learn(self) -> list[str]:
        """The calls of a training that is left alone, after a first one that compiles."""
        for name in ("first", "alone"):
            status, calls = self._train(self._place(name), 0, shim.NONE)
            if status != 0:
                raise SystemExit(f"The training does not come to its end when left alone:\n"
                                 f"{(self.top / name / 'errors.txt').read_text()}")
        self.expected = job.outcome(self.top / "alone")
        return calls

    def attempt(self, call: int, kind: str) -> Result:
        """One fault at one call, and what came of it."""
        for _ in range(ATTEMPTS):
            result = self._attempt_once(call, kind)
            if result.at:
                break
        return result

    def _attempt_once(self, call: int, kind: str) -> Result:
        place = self._place(place_name(call, kind))
        run, wrong = Run(place / "run"), []
        status, calls = self._train(place, call, shim.FAULTS[kind])
        if len(calls) < call and status == 0:  # figures are written when time has passed: one run has more calls
            shutil.rmtree(place)
            return Result(call, kind, "", "", [])
        self._check_files(run, wrong)
        saved, killed = run.checkpoints, kind.startswith("killed")
        errors = (place / "errors.txt").read_text()
        last = errors.strip().rpartition("\n")[2]
        if status is None:
            return Result(call, kind, calls[-1] if calls else "no call", "stuck", ["it did not end, and was killed"])
        if killed != (status == -9) or status not in (-9, 0, 1):
            wrong.append(f"it ended with the status {status}")
        elif status == 1 and not last.startswith("chainrule.errors."):
            wrong.append(f"it ended with {last!r}")
        if status:
            before = len(job.begun_at(place))
            again, _ = self._train(place, 0, shim.NONE)
            if again != 0:
                wrong.append(f"going on ended with the status {again}")
            elif saved and job.begun_at(place)[before:] != [tuple(saved[0][0])]:
                wrong.append(f"it went on at {job.begun_at(place)[before:]}, and was saved at {saved[0][0]}")
        if not wrong or status == 0:
            found = job.outcome(place)
            wrong += [f"other {name}" for name in self.expected if found[name] != self.expected[name]]
            if run.status != "finished" and "It will be taken for one that was killed." not in errors:
                wrong.append(f"its status is {run.status!r}")
        came = "killed" if status == -9 else "came to its end" if status == 0 else last
        if not wrong:
            shutil.rmtree(place)
        return Result(call, kind, calls[call - 1] if len(calls) >= call else "before that call", came, wrong)

    def _place(self, name: str) -> Path:
        place = self.top / name
        place.mkdir()
        return place

    def _train(self, place: Path, call: int, fault: shim.Fault) -> tuple[int | None, list[str]]:
        """How a process ended, `None` where it did not, and the calls that it made."""
        log = place / "calls.txt"
        log.unlink(missing_ok=True)
        arm = functools.partial(shim.arm, str(self.library), str(place / "run"), call, fault, str(log))
        process = self.context.Process(target=job.train, args=(
            str(place), CASE, EPOCHS, PACE, str(self.top / "programs"), arm))
        process.start()
        in_time = job.ended(process)
        if not in_time:
            process.kill()
            process.join()
        return process.exitcode if in_time else None, log.read_text().splitlines() if log.exists() else []

    def _check_files(self, run: Run, wrong: list[str]) -> None:
        """Whatever has the name of a whole file is one."""
        try:
            for _, path in run.checkpoints:
                read_checkpoint(path)
            if run.model_path.exists():
                load_model(run.model_path)
            for path in run.folder.glob("*.json"):
                json.loads(path.read_text())
            run.sessions, run.history, run.steps  # noqa: B018
        except (ChainruleError, ValueError) as error:
            wrong.append(str(error))


def place_name(call: int, kind: str) -> str:
    """The name of the folder of a trial."""
    return f"{call:04d}-{kind.replace(' ', '-').replace('/', '').replace(':', '')}"


def unflushed(calls: list[str]) -> list[str]:
    """What a power cut could undo: files renamed, and older ones removed, before what is new had reached the disk."""
    wrong, written, renamed = [], set(), set()
    for line in calls:
        _, call, path = line.split(" ", 2)
        folder = path.rpartition("/")[0]
        if call in WRITES:
            written.add(path)
        elif call in ("fsync", "fdatasync"):
            written.discard(path)
            renamed.discard(path)  # the folder itself
        elif call == "rename":
            renamed.add(folder)
            if path in written:
                wrong.append(f"{line}: it was not flushed before")
        elif call == "unlink" and path.endswith(SUFFIX) and folder in renamed:
            wrong.append(f"{line}: the folder was not flushed before, and holds a newer one")
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="how many faults; all without it")
    parser.add_argument("--seed", type=int, default=0, help="of the order and the sample (0)")
    parser.add_argument("--processes", type=int, default=2, help="trainings at once (2)")
    parser.add_argument("--results", type=Path, help="a file that keeps each result; what it holds is not done again")
    options = parser.parse_args(arguments)
    if shim.compiler() is None:
        print("Faults need Linux and a C compiler (cc), and there is none here.", file=sys.stderr)
        return 2
    began, top, results = time.monotonic(), Path(tempfile.mkdtemp(prefix="faults-")).resolve(), Results(options.results)
    harness = Harness(top)
    results.begin(harness.learn())
    trials = drawn(results.calls, options.sample, options.seed)

    def work(trial: Trial) -> None:
        result = harness.attempt(*trial)
        results.add(result)
        if result.at:
            print(f"{result.at}: {result.kind}: {result.came}", *result.wrong, sep="\n    ", flush=True)

    with ThreadPoolExecutor(options.processes) as workers:
        list(workers.map(work, results.missing(trials)))
    print(summary(results, time.monotonic() - began))
    wrong = unflushed(results.calls) + [f"{place_name(result.call, result.kind)}: {result.at}: {text}"
                                        for result in results.found for text in result.wrong]
    if wrong:
        print(f"In {top}:", *wrong, sep="\n", file=sys.stderr)
        return 1
    print("Every file under a whole file's name was whole, and every training ended with the bytes of the one that was "
          "left alone.")
    shutil.rmtree(top)
    return 0


def drawn(calls: list[str], sample: int | None, seed: int) -> list[Trial]:
    """The faults that can happen at the calls of a training, or a sample of them, in an order drawn with the seed.

    What was tried when the command is stopped is therefore a sample of all.
    """
    trials = [Trial(number, kind) for number, call in enumerate(calls, 1) for kind in shim.FAULTS
              if kind not in shim.WRITES_ONLY or call.split()[1] in WRITES]
    return [trials[index] for index in np.random.default_rng(seed).permutation(len(trials))[:sample]]


def summary(results: Results, seconds: float) -> str:
    """What was tried and how the trainings ended, in a few lines."""
    happened = [result for result in results.found if result.at]
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in Counter(result.kind for result in happened).items())
    survived = sum(result.came == "came to its end" for result in happened)
    text = (f"{len(happened):,} faults at the {len(results.calls):,} calls of a training ({seconds:.0f} s): {kinds}. "
            f"{survived:,} trainings came to their end in spite of them.")
    fewer = len(results.found) - len(happened)
    return text + f" {fewer:,} trainings made fewer calls, so that nothing happened." * bool(fewer)


if __name__ == "__main__":
    sys.exit(main())
