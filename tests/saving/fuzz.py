"""Files changed at random, many of them, given to every reader.

    python -m tests.saving.fuzz --inputs 100000 --seed 7

Each reader must take them, or refuse them with a FileFormatError or an UnknownLayerError, in under a second of work and
without filling the memory. Whatever else happens is a failure: the input is kept in a file, and the exit status is 1.
"""
import argparse
import gc
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from chainrule import Input, Model, Sequential
from chainrule.errors import FileFormatError, UnknownLayerError
from chainrule.layers import LSTM, Conv2D, Dense, Dropout, Embedding, Flatten
from chainrule.optimizers import SGD
from chainrule.saving import plain, tensors
from chainrule.schedules import CosineDecay
from tests.saving import damage, mutations

SECONDS, MEMORY = 1.0, 256 << 20  # of one input, at most


class Target(NamedTuple):
    """A reader, and what makes inputs for it: bytes, which `read` is given."""

    make: Callable[[random.Random], bytes]
    read: Callable[[bytes], Any]


class Findings(NamedTuple):
    """What came of some inputs: counts by reader and outcome, failures in words, the most work for one input."""

    counts: Counter
    failures: list[str]
    slowest: float


def targets(folder: Path) -> dict[str, Target]:
    """The readers by name; a folder is needed for those that read files."""
    path = folder / "input"

    def of_file(kind: damage.Kind, sources: list[dict[str, bytes]]) -> Target:
        def read(data: bytes):
            path.write_bytes(data)
            return kind.read(path)

        return Target(lambda generator: mutations.changed_file(generator, kind, generator.choice(sources)), read)

    good = folder / "good"
    damage.CHECKPOINT.make(good)
    checkpoint = damage.CHECKPOINT.take_apart(good)
    models = []
    for model in _models():
        model.save(good)
        models.append(damage.MODEL.take_apart(good))
    packed = [checkpoint["arrays.safetensors"], *(members["weights.safetensors"] for members in models)]
    arrays = plain.Arrays()
    values = plain.write(_values(), arrays)
    return {
        "model files": of_file(damage.MODEL, models), "checkpoints": of_file(damage.CHECKPOINT, [checkpoint]),
        "plain data": Target(
            lambda generator: json.dumps(mutations.changed_tree(generator, values)).encode(),
            lambda data: plain.read(json.loads(data), arrays.named)),
        "arrays": Target(lambda generator: mutations.changed_arrays(generator, generator.choice(packed)),
                         tensors.unpack)}


def _models() -> list[Model]:
    inputs = Input((5,), dtype="int32")
    shared = Dense(3, activation="tanh")
    outputs = {"a": Dense(1)(LSTM(3)(shared(Embedding(7, 4)(inputs)))), "b": shared(Embedding(9, 4)(inputs))}
    words = Model(inputs, outputs)
    picture = Sequential([Input((6, 6, 1)), Conv2D(2, 3, activation="relu", kernel_regularizer="l2"), Dropout(0.5),
                          Flatten(), Dense(2, activation="softmax")])
    picture.compile(SGD(CosineDecay(0.1, 9), momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return [damage.small_model(), words, picture]


def _values() -> dict[str, Any]:
    """Data of every kind that a callback may remember."""
    return {"none": None, "numbers": [1, -(2**70), 0.5, float("nan")], "text": "é", "tuple": (1, (2,)), "set": {1, 2},
            "keys": {1: "one", (2, 3): [4]}, "bytes": b"\x00\xff", "array": np.zeros((2, 3)), "scalar": np.float32(0.1),
            "generator": np.random.default_rng(1), "old": np.random.Generator(np.random.MT19937(1)),
            "frozen": frozenset("ab")}


def fuzz(inputs: int, seed: int, kept: Path, report: Callable[[str], None] = lambda line: None) -> Findings:
    """Give inputs to the readers in turn.

    Args:
        inputs: how many.
        seed: of the changes; each input depends on it and on its number alone.
        kept: the folder for inputs that are no good.
        report: told how far it is.
    """
    counts, failures, slowest = Counter(), [], 0.0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        readers = targets(Path(folder))
        for number in range(inputs):
            name = list(readers)[number % len(readers)]
            reader = readers[name]
            data = reader.make(random.Random(f"{seed}-{number}"))
            outcome, seconds = _outcome(reader, data)
            if outcome == "slow":
                outcome, seconds = _outcome(reader, data)  # the clock of a busy machine
            slowest = max(slowest, seconds)
            if outcome not in ("taken", "refused"):
                kept.mkdir(parents=True, exist_ok=True)
                path = kept / f"{name.replace(' ', '-')}-{seed}-{number}"
                path.write_bytes(data)
                failures.append(f"{path}: {outcome}")
                outcome = "failed"
            counts[name, outcome] += 1
            if number % 500 == 499:
                jax.clear_caches()
                gc.collect()
                report(f"{number + 1:,} of {inputs:,}, {len(failures)} failures")
    return Findings(counts, failures, slowest)


def _outcome(reader: Target, data: bytes) -> tuple[str, float]:
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    try:
        reader.read(data)
        outcome = "taken"
    except (FileFormatError, UnknownLayerError):
        outcome = "refused"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        outcome = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
    seconds = time.thread_time() - began
    if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 > MEMORY:
        outcome = "it filled the memory"
    return "slow" if seconds > SECONDS else outcome, seconds


def _work(arguments) -> Findings:
    inputs, seed, kept = arguments
    return fuzz(inputs, seed, kept, lambda line: print(f"seed {seed}: {line}", flush=True))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.saving.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000, help="how many (100,000)")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (0)")
    parser.add_argument("--processes", type=int, default=2, help="at once (2)")
    parser.add_argument("--kept", type=Path, default=Path("fuzz-failures"), help="where failures are kept")
    options = parser.parse_args(arguments)
    began, shares = time.monotonic(), [options.inputs // options.processes] * options.processes
    shares[0] += options.inputs - sum(shares)
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        found = pool.map(_work, [(share, options.seed * 1000 + index, options.kept)
                                 for index, share in enumerate(shares)])
    counts = sum((findings.counts for findings in found), Counter())
    for (name, outcome), count in sorted(counts.items()):
        print(f"{name:12} {outcome:8} {count:9,}")
    print(f"{sum(counts.values()):,} inputs in {time.monotonic() - began:.0f} s; the slowest took "
          f"{1e3 * max(findings.slowest for findings in found):.0f} ms.")
    failures = [line for findings in found for line in findings.failures]
    print(*failures, sep="\n", end="\n" if failures else "", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
