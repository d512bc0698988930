"""Trainings killed at random moments: each must go on past its first step, and end with the same bytes.

    python -m tests.crash.kills --kills 1000 --seed 7

A process is killed with SIGKILL at any moment after the first checkpoint of its training: while it reads a checkpoint,
trains, writes, or ends. Another one goes on, and may be killed too. A line is printed for each kill; the exit status is
1 where anything is not as it should be, and the folder of that training is kept.
"""
import argparse
import itertools
import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from chainrule import Run
from tests.crash import job

CASES = ("memory", "stream", "schedule")
EPOCHS = 40
PACES = (0.0, 0.05)  # seconds between checkpoints: with 0 training waits for each, else they are written beside it
_PAUSE = 0.002


class Harness:
    """Trains, kills, and compares.

    Args:
        top: a folder for everything.
        kills: how many in all.
        seed: of the moments.

    Attributes:
        faults: what went wrong, in words.
        killed, trainings, partial: how many kills, trainings that came to the end, and kills that left an unfinished
            file.
    """

    def __init__(self, top: Path, kills: int, seed: int):
        self.top, self.kills, self.seed = top, kills, seed
        self.context, self.lock = job.processes(), threading.Lock()
        self.killed, self.trainings, self.partial, self.faults = 0, 0, 0, []
        self.expected, self.spans = {}, {}

    def learn(self) -> None:
        """What comes out where nobody interrupts, and how long that takes."""
        for case in CASES:
            place = self._place(case)
            process = self._start(place, case, PACES[0])
            self._wait_for_checkpoint(process, Run(place / "run"), [])
            began = time.monotonic()
            if not job.ended(process) or process.exitcode != 0:
                raise SystemExit(f"The training {case!r} does not come to its end when left alone:\n"
                                 f"{(place / 'errors.txt').read_text()}")
            self.spans[case] = time.monotonic() - began
            self.expected[case] = job.outcome(place)

    def round(self, number: int) -> bool:
        """One training, killed again and again until it ends; `False` where all kills are used up."""
        with self.lock:
            if self.killed >= self.kills:
                return False
        generator, case = np.random.default_rng([self.seed, number]), CASES[number % len(CASES)]
        place, faults = self._place(f"{number:04d}-{case}"), []
        run = Run(place / "run")
        for attempt in itertools.count(1):
            before = run.checkpoints
            process = self._start(place, case, PACES[generator.integers(len(PACES))])
            if attempt == 1 or generator.random() < 0.7:  # else it may be killed before it has come further
                self._wait_for_checkpoint(process, run, before)
            process.join(generator.uniform(0, self.spans[case] / 2))
            if not self._kill(process, place, run, attempt):
                break
        if process.exitcode != 0:
            faults.append(f"its last process ended with the status {process.exitcode}")
        else:
            found = job.outcome(place)
            faults += [f"other {name}" for name in self.expected[case] if found[name] != self.expected[case][name]]
        begun = job.begun_at(place)
        if any(later == (0, 0) for later in begun[1:]) or begun != sorted(begun):
            faults.append(f"its processes began at {begun}")
        faults += [f"{path.name} was kept as damaged" for path in place.rglob("*.damaged*")]
        with self.lock:
            self.trainings += 1
            self.faults += [f"{place}: {fault}" for fault in faults]
        if not faults:
            shutil.rmtree(place)
        return True

    def _place(self, name: str) -> Path:
        place = self.top / name
        place.mkdir()
        return place

    def _start(self, place: Path, case: str, pace: float):
        process = self.context.Process(target=job.train, args=(
            str(place), case, EPOCHS, pace, str(self.top / "programs")))
        process.start()
        return process

    def _wait_for_checkpoint(self, process, run: Run, before: list) -> None:
        """Wait until there is a checkpoint that was not there before, or the process ended."""
        pauses = 0
        while process.is_alive() and pauses < job.PATIENCE_SECONDS / _PAUSE and run.checkpoints == before:
            time.sleep(_PAUSE)
            pauses += 1

    def _kill(self, process, place: Path, run: Run, attempt: int) -> bool:
        """Kill a process, if it still runs and a kill is left."""
        with self.lock:
            if self.killed >= self.kills or not process.is_alive():
                job.ended(process)
                return False
            process.kill()
            process.join()
            if process.exitcode != -9:  # it ended at that moment
                return False
            self.killed += 1
            unfinished = [path.name for path in place.rglob(".*.part")]
            self.partial += bool(unfinished)
            at = str(run.checkpoints[0][0]) if run.checkpoints else "no checkpoint"
            more = f", {unfinished[0]} unfinished" if unfinished else ""
            print(f"kill {self.killed:4d}  {place.name}, process {attempt}: saved at {at}{more}", flush=True)
            return True


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.kills", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40, help="how many (40)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--processes", type=int, default=2, help="trainings at once (2)")
    options = parser.parse_args(arguments)
    began, top = time.monotonic(), Path(tempfile.mkdtemp(prefix="kills-"))
    harness = Harness(top, options.kills, options.seed)
    harness.learn()
    numbers = itertools.count()

    def work(_) -> None:
        while harness.round(next(numbers)):
            pass

    with ThreadPoolExecutor(options.processes) as workers:
        list(workers.map(work, range(options.processes)))
    print(f"{harness.killed:,} kills in {harness.trainings:,} trainings ({time.monotonic() - began:.0f} s); "
          f"{harness.partial:,} of them left an unfinished file.")
    if harness.faults:
        print("\n".join(harness.faults), file=sys.stderr)
        return 1
    print("Every process after a kill went on past step 0, and every training ended with the bytes of the one that was "
          "left alone.")
    shutil.rmtree(top)
    return 0


if __name__ == "__main__":
    sys.exit(main())
