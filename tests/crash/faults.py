"""Faults at every call that changes a file of a run: killed there, a full disk, I/O errors, halves of writes.

    python -m tests.crash.faults                 every call, every fault
    python -m tests.crash.faults --sample 30     some of them, drawn with --seed

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
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from chainrule import Run
from chainrule.errors import ChainruleError
from chainrule.models import load_model
from chainrule.saving.checkpoint import SUFFIX, read_checkpoint
from tests.crash import job, shim

CASE, EPOCHS, PACE = "memory", 2, 0.0
WRITES = ("write", "writev", "pwrite", "pwrite64")
PATIENCE = 300.0  # seconds that any process may take


class Harness:
    """Lets faults happen, and looks at what comes of them.

    Args:
        top: a folder for everything.

    Attributes:
        wrong: what is not as it should be, in words.
        tried: how many faults of each kind did happen.
        survived: how many trainings came to their end in spite of an error.
    """

    def __init__(self, top: Path):
        self.top, self.library = top, shim.build(top)
        self.wrong, self.tried, self.survived, self.lock = [], Counter(), 0, threading.Lock()
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
        self.wrong += unflushed(calls)
        return calls

    def attempt(self, call: int, kind: str) -> None:
        """One fault at one call."""
        place = self._place(f"{call:04d}-{kind.replace(' ', '-').replace('/', '').replace(':', '')}")
        run, wrong = Run(place / "run"), []
        status, calls = self._train(place, call, shim.FAULTS[kind])
        if len(calls) < call:  # figures are written when some time has passed: a run may have fewer calls than another
            shutil.rmtree(place)
            return
        self._check_files(run, wrong)
        saved, killed = run.checkpoints, kind.startswith("killed")
        errors = (place / "errors.txt").read_text()
        last = errors.strip().rpartition("\n")[2]
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
        with self.lock:
            self.tried[kind] += 1
            self.survived += status == 0
            came = "killed" if status == -9 else "came to its end" if status == 0 else last
            print(f"{calls[call - 1]}: {kind}: {came}", *wrong, sep="\n    ", flush=True)
            self.wrong += [f"{place}: {calls[call - 1]}: {text}" for text in wrong]
        if not wrong:
            shutil.rmtree(place)

    def _place(self, name: str) -> Path:
        place = self.top / name
        place.mkdir()
        return place

    def _train(self, place: Path, call: int, fault: shim.Fault) -> tuple[int, list[str]]:
        """How a process ended, and the calls that it made."""
        log = place / "calls.txt"
        log.unlink(missing_ok=True)
        arm = functools.partial(shim.arm, str(self.library), str(place / "run"), call, fault, str(log))
        process = self.context.Process(target=job.train, args=(
            str(place), CASE, EPOCHS, PACE, str(self.top / "programs"), arm))
        process.start()
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
            return -1, []
        return process.exitcode, log.read_text().splitlines() if log.exists() else []

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
    parser.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    parser.add_argument("--processes", type=int, default=2, help="trainings at once (2)")
    options = parser.parse_args(arguments)
    if shim.compiler() is None:
        print("Faults need Linux and a C compiler (cc), and there is none here.", file=sys.stderr)
        return 2
    began, top = time.monotonic(), Path(tempfile.mkdtemp(prefix="faults-")).resolve()
    harness = Harness(top)
    calls = harness.learn()
    trials = [(number, kind) for number, call in enumerate(calls, 1) for kind in shim.FAULTS
              if kind not in shim.WRITES_ONLY or call.split()[1] in WRITES]
    if options.sample is not None:
        drawn = np.random.default_rng(options.seed).permutation(len(trials))[: options.sample]
        trials = [trials[index] for index in sorted(drawn)]
    with ThreadPoolExecutor(options.processes) as workers:
        list(workers.map(lambda trial: harness.attempt(*trial), trials))
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in harness.tried.items())
    print(f"{sum(harness.tried.values()):,} faults at the {len(calls):,} calls of a training "
          f"({time.monotonic() - began:.0f} s): {kinds}. {harness.survived:,} trainings came to their end in spite of "
          f"them.")
    if harness.wrong:
        print("\n".join(harness.wrong), file=sys.stderr)
        return 1
    print("Every file under a whole file's name was whole, and every training ended with the bytes of the one that was "
          "left alone.")
    shutil.rmtree(top)
    return 0


if __name__ == "__main__":
    sys.exit(main())
