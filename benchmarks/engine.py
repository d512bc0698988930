"""How much the engine costs over the same job hand-written in JAX, both in one process and one run.

    python benchmarks/engine.py [--rounds 5] [--json results.json]

Prints for each job the seconds of an epoch (best of several blocks of epochs, the two interleaved), their ratio, and
the ratio of the first epoch with everything it compiles, each first epoch in a process of its own.
"""
import argparse
import json
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from handwritten import binary_loss, categorical_loss, initial, make_epochs

import chainrule as cr
from chainrule.layers import Dense

JOBS = {
    # name: rows, widths, batch size, epochs in a block, most that chainrule may take over hand-written JAX
    "2-8-8-1": (500, (2, 8, 8, 1), 10, 400, 1.15),
    "28-64-64-1": (50_000, (28, 64, 64, 1), 256, 10, 1.05),
    "784-500-300-10": (60_000, (784, 500, 300, 10), 128, 1, 1.05),
}
FIRST_EPOCH_LIMIT = 1.3


def data_for(job: str):
    """Random rows with a pattern to learn; the shapes and sizes of the real jobs."""
    rows, widths, *_ = JOBS[job]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, widths[0])).astype("float32")
    scores = x @ rng.normal(size=(widths[0], widths[-1])).astype("float32")
    return x, (scores.argmax(1) if widths[-1] > 1 else scores[:, 0] > 0).astype("int32")


def chainrule_job(job: str):
    """A function that trains for a number of epochs and waits for the end."""
    _, widths, batch_size, *_ = JOBS[job]
    x, y = data_for(job)
    model = cr.Sequential([cr.Input((widths[0],)), *(Dense(units, activation="relu") for units in widths[1:-1]),
                           Dense(widths[-1])])
    loss = (cr.losses.SparseCategoricalCrossentropy(from_logits=True) if widths[-1] > 1
            else cr.losses.BinaryCrossentropy(from_logits=True))
    model.compile(optimizer=cr.optimizers.Adam(0.001), loss=loss)

    def run(epochs: int) -> float:
        return model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0, seed=0).history["loss"][-1]

    return run


def handwritten_job(job: str):
    """The same by hand."""
    _, widths, batch_size, *_ = JOBS[job]
    x, y = data_for(job)
    loss = categorical_loss if widths[-1] > 1 else binary_loss
    epochs, start = make_epochs(loss, batch_size, 0.001)
    layers = initial(jax.random.key(0), widths)
    carry = (layers, jax.jit(start)(layers))

    def run(count: int) -> float:
        nonlocal carry
        carry, value = epochs(carry, jax.random.key(1), jnp.asarray(x), jnp.asarray(y), count)
        return float(value)

    return run


MAKERS = {"chainrule": chainrule_job, "handwritten": handwritten_job}


def first_epoch(job: str, who: str) -> float:
    """Seconds from having the data to having trained one epoch, in a fresh process."""
    command = [sys.executable, __file__, "--first", job, who]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1])


def measure(job: str, rounds: int) -> dict:
    """Seconds an epoch for both, best of several rounds."""
    block = JOBS[job][3]
    runs = {who: make(job) for who, make in MAKERS.items()}
    best = dict.fromkeys(runs, float("inf"))
    for run in runs.values():
        run(block)  # compiles, and settles the length of segments
    for _ in range(rounds):
        for who, run in runs.items():
            start = time.perf_counter()
            run(block)
            best[who] = min(best[who], (time.perf_counter() - start) / block)
    firsts = {who: min(first_epoch(job, who) for _ in range(3)) for who in MAKERS}
    return {"job": job, "seconds": best, "ratio": best["chainrule"] / best["handwritten"], "limit": JOBS[job][4],
            "first_seconds": firsts, "first_ratio": firsts["chainrule"] / firsts["handwritten"]}


def main() -> None:
    """Measure all jobs and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("--json")
    parser.add_argument("--first", nargs=2, metavar=("JOB", "WHO"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.first:
        job, who = arguments.first
        data_for(job)
        start = time.perf_counter()
        MAKERS[who](job)(1)
        print(time.perf_counter() - start)
        return
    results = []
    print(f"{'job':16s} {'chainrule':>12s} {'by hand':>12s} {'ratio':>7s} {'limit':>6s}   "
          f"{'first epoch':>12s} {'by hand':>9s} {'ratio':>6s}")
    for job in [arguments.job] if arguments.job else JOBS:
        result = measure(job, arguments.rounds)
        results.append(result)
        seconds, firsts = result["seconds"], result["first_seconds"]
        print(f"{job:16s} {seconds['chainrule'] * 1e3:9.3f} ms {seconds['handwritten'] * 1e3:9.3f} ms "
              f"{result['ratio']:7.2f} {result['limit']:6.2f}   {firsts['chainrule']:10.2f} s "
              f"{firsts['handwritten']:7.2f} s {result['first_ratio']:6.2f}", flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"first_epoch_limit": FIRST_EPOCH_LIMIT, "results": results}, file, indent=2)


if __name__ == "__main__":
    main()
