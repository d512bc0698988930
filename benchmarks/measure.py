"""What is measured: training, `predict`, the first result, and the machine's peaks. One process works at a time."""
import compileall
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import jobs
import machine
from peers import Variant, takes_part
from processes import HERE, Process, command, environment, timed

BATCH = 10_000  # rows of a batch `predict`
BLOCK_SECONDS = 0.5  # a measurement trains as many epochs as take so long, up to what the job allows


class Effort(NamedTuple):
    """How much is done.

    Attributes:
        quick: few rows, to see that all works.
        rounds: how often each variant is measured, in turn with the others.
        budget: seconds after which a variant is not measured again; twice is the least, but for those that take more
            than twice as long as the fastest.
        limit: seconds that a request may take before its process is given up.
    """

    quick: bool = False
    rounds: int = 5
    budget: float = 10.0
    limit: float = 240.0


QUICK = Effort(quick=True, rounds=2, budget=1.0)


def tell(text: str) -> None:
    """What is going on, beside the results."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def loaded(variants: list[Variant], job: str, precision: str, effort: Effort, scratch: str):
    """Processes with library and data in memory; loading is not timed."""
    with ExitStack() as stack:
        processes = []
        for variant in variants:
            if takes_part(variant, job, precision, effort.quick):
                processes.append(Process(variant, job, precision, ["--quick"] * effort.quick, scratch))
                stack.callback(processes[-1].close)
        for _ in together(processes, "load", effort):
            pass
        yield processes


def together(processes: list[Process], do: str, effort: Effort, at_once: int | None = None):
    """Ask all for the same, as many at once as there are cores where nothing else is said; with their answers."""
    at_once = at_once or os.cpu_count() or 1
    for start in range(0, len(processes), at_once):
        some = processes[start : start + at_once]
        for process in some:
            process.send(do)
        for process in some:
            yield process, process.receive(effort.limit)


def training(job: jobs.Job, precision: str, variants: list[Variant], effort: Effort, scratch: str) -> dict:
    """Seconds an epoch of each variant, and the losses that all reach after equally many epochs."""
    tell(f"{job.name}, {precision}")
    results = []
    with loaded(variants, job.name, precision, effort, scratch) as processes:
        # The times of a quick run mean nothing, so there several compile at once.
        for process, answer in together(processes, "warm", effort, at_once=None if effort.quick else 1):
            guess = answer.pop("seconds", None)
            result = {"variant": process.variant.name, "peer": process.variant.peer, "kind": process.variant.kind,
                      **answer, "guess": guess, "seconds": []}
            results.append(result)
            tell(f"  {process.variant.name}: " + (
                f"first epoch {result['first_epoch']:.2f} s" if process.out is None else str(process.out)))
        pairs = list(zip(processes, results, strict=True))
        for number in range(effort.rounds):
            tell(f"  round {number + 1} of {effort.rounds}")
            for process, result in pairs[:: 1 if number % 2 == 0 else -1]:  # each time from the other end
                if process.out is None and goes_on(result, results, effort):
                    answer = process.ask("train", effort.limit, epochs=block(job, result))
                    if "failed" in answer:
                        result |= answer
                    else:
                        result["seconds"].append(answer["seconds"])
    for result in results:
        del result["guess"]
        summarise(result)
    return {"job": job.name, "precision": precision, "rows": job.rows, "batch_size": job.batch_size,
            "operations": job.operations, "compared_epochs": job.compared_epochs, "tolerance": job.tolerance,
            "blind_loss": job.blind_loss, "results": results}


def block(job: jobs.Job, result: dict) -> int:
    """The number of epochs of the next measurement."""
    seconds = min([result["guess"], *result["seconds"]])
    return max(1, min(job.block_epochs, math.ceil(BLOCK_SECONDS / seconds)))


def goes_on(result: dict, results: list[dict], effort: Effort) -> bool:
    """Whether a variant is measured once more: not when it has had its time, or has no hope of being the fastest."""
    taken = result["seconds"]
    if not taken:
        return True
    best = min(min(other["seconds"]) for other in results if other["seconds"])
    if min(taken) > 2 * best:
        return len(taken) < 3 and sum(taken) < effort.budget
    return len(taken) < 2 or sum(taken) < effort.budget


def prediction(variants: list[Variant], effort: Effort, scratch: str) -> list[dict]:
    """Seconds a call of `predict`, on one row and on a batch, for each way of calling."""
    job = jobs.quick(jobs.JOBS[jobs.PREDICTED]) if effort.quick else jobs.JOBS[jobs.PREDICTED]
    found: dict[tuple, dict] = {}
    tell("predict")
    with loaded([variant for variant in variants if variant.predicts], job.name, "float32", effort,
                scratch) as processes:
        for process in processes:
            process.ask("make", effort.limit)
        for _ in range(effort.rounds):
            for process in processes:
                named = process.ask("predictors", effort.limit)
                for name in named.get("names", [""]):
                    for rows in (1, min(BATCH, job.rows)):
                        result = found.setdefault((rows, process.variant.name, name), {
                            "rows": rows, "variant": f"{process.variant.name}{f': {name}' * bool(name)}",
                            "peer": process.variant.peer, "kind": process.variant.kind, "seconds": [], "medians": []})
                        answer = process.ask("predict", effort.limit, name=name, rows=rows)
                        if process.out is not None:
                            result |= process.out
                            continue
                        result["seconds"].append(answer["best"])
                        result["medians"].append(answer["median"])
                        result["mean_class"] = answer["mean_class"]
    for result in found.values():
        medians = result.pop("medians")
        summarise(result)
        if medians:
            result["median"] = statistics.median(medians)
    return list(found.values())


def first_result(variants: list[Variant], effort: Effort, scratch: str) -> list[dict]:
    """Seconds of a whole process that imports, builds, compiles and trains one epoch."""
    tell("first result")
    compile_sources()
    options = ["--first-result", *["--quick"] * effort.quick]
    takers = [variant for variant in variants if variant.predicts and not variant.slow_start
              and takes_part(variant, jobs.FIRST, "float32", effort.quick)]
    results = {variant.name: {"variant": variant.name, "peer": variant.peer, "kind": variant.kind, "seconds": []}
               for variant in takers}
    for _ in range(1 if effort.quick else 3):
        for variant in takers:
            result = results[variant.name]
            if "failed" in result or "unavailable" in result:
                continue
            answer = timed(command(variant, jobs.FIRST, "float32", *options), environment(scratch, variant.environment),
                           effort.limit)
            if "seconds" in answer:
                result["seconds"].append(answer["seconds"])
            else:
                # A worker that is alone has nobody to say "unavailable" to: it ends with that error.
                text = answer["failed"]
                result |= {"unavailable": text.split(": ", 1)[1]} if text.startswith("peers.Unavailable: ") else answer
    for result in results.values():
        summarise(result)
    return list(results.values())


def compile_sources() -> None:
    """Make the bytecode of chainrule and of the benchmark, as pip does for all that it installs but for sources in
    place; without it, Python would translate them once more in each process where the environment forbids to keep it.
    """
    for folder in (*importlib.util.find_spec("chainrule").submodule_search_locations, HERE):
        compileall.compile_dir(folder, quiet=2)


def peaks(scratch: str) -> list[dict]:
    """What torch and JAX reach on this machine now; nothing of a library that is not installed."""
    tell("peaks of the machine")
    found = []
    for library in ("torch", "jax"):
        done = subprocess.run([sys.executable, str(HERE / "machine.py"), library], capture_output=True, text=True,
                              check=False, env=environment(scratch))
        if done.returncode == 0:
            found.append(json.loads(done.stdout))
    return found


def everything(chosen: list[str] | None, variants: list[Variant], precisions: list[str], effort: Effort,
               scratch: str, keep: Callable[[dict], None]) -> dict:
    """All that was asked for; the peaks are taken before and after, and the higher ones count.

    Args:
        keep: receives all that there is so far after each part, so that an interruption loses one part at most.
    """
    measured = peaks(scratch)
    found = {"machine": machine.describe(), "peaks": machine.highest(measured), "quick": effort.quick,
             "training": [], "predict": [], "first_result": []}
    for precision in precisions:
        names = [name for name in jobs.JOBS if precision == "float32" or name in jobs.AT_BFLOAT16]
        for name in names:
            if not chosen or name in chosen:
                job = jobs.quick(jobs.JOBS[name]) if effort.quick else jobs.JOBS[name]
                found["training"].append(training(job, precision, variants, effort, scratch))
                keep(found)
    if not chosen or "predict" in chosen:
        found["predict"] = prediction(variants, effort, scratch)
        keep(found)
    if not chosen or "first-result" in chosen:
        found["first_result"] = first_result(variants, effort, scratch)
    if not effort.quick:
        found["peaks"] = machine.highest([*measured, *peaks(scratch)])
    keep(found)
    return found


def summarise(result: dict) -> None:
    """Add the best and the median of a result's seconds."""
    taken = result["seconds"]
    result |= {"best": min(taken, default=None), "median": statistics.median(taken) if taken else None}
