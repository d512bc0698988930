"""One variant of one job in a process of its own: it does what the driver asks, a line of JSON for a line of JSON.

    python benchmarks/worker.py VARIANT JOB PRECISION [--quick]
    python benchmarks/worker.py VARIANT JOB PRECISION --first-result

The second trains one epoch and ends, for the time of the whole process to be taken.
"""
import argparse
import importlib.util
import json
import os
import sys
import time
import traceback

import jobs
import numpy as np
from peers import VARIANTS, Unavailable

LATENCY_SECONDS, LATENCY_CALLS = 0.3, 5  # calls of predict are repeated for so long, and at least so often


class Worker:
    """The run, made when it is first asked to train."""

    def __init__(self, variant, job, precision: str):
        self.variant, self.job, self.precision = variant, job, precision
        self.data, self.run, self.module = None, None, None

    def load(self) -> dict:
        """Import the library and make the data: what comes before the first epoch."""
        if (missing := [name for name in self.variant.needs if importlib.util.find_spec(name) is None]):
            raise Unavailable(f"not installed: {', '.join(missing)}")
        self.module = importlib.import_module(f"peers.{self.variant.module}")
        self.data = self.job.data()
        return {}

    def make(self) -> dict:
        """Build and compile the network, as far as its library does that before data come."""
        self.run = self.module.make(self.job, self.data, self.job.weights(), self.precision, **self.variant.options)
        return {}

    def warm(self) -> dict:
        """The first epoch with all that it compiles, then as many as the losses are compared after."""
        start = time.perf_counter()
        self.make()
        self.run.train(1)
        first = seconds = time.perf_counter() - start
        if (more := self.job.compared_epochs - 1):
            seconds = self.train(more)["seconds"]
        x, y = jobs.judged(self.data)
        return {"first_epoch": first, "seconds": seconds, "loss": jobs.loss(self.job, self.run.logits(x), y)}

    def train(self, epochs: int) -> dict:
        """Seconds an epoch."""
        start = time.perf_counter()
        self.run.train(epochs)
        return {"seconds": (time.perf_counter() - start) / epochs}

    def predictors(self) -> dict:
        return {"names": list(self.run.predictors())}

    def predict(self, name: str, rows: int) -> dict:
        """Seconds a call, the best and the median of many, and the mean class, to compare."""
        predict = self.run.predictors()[name]
        x = self.data.x[:rows]
        classes = np.asarray(predict(x)).argmax(1)
        predict(x)
        seconds, end = [], time.perf_counter() + LATENCY_SECONDS
        while len(seconds) < LATENCY_CALLS or time.perf_counter() < end:
            start = time.perf_counter()
            predict(x)
            seconds.append(time.perf_counter() - start)
        return {"best": min(seconds), "median": float(np.median(seconds)), "mean_class": float(classes.mean())}

    def answer(self, request: dict) -> dict:
        """What a request gives, or why it gives nothing."""
        try:
            return getattr(self, request.pop("do"))(**request)
        except Unavailable as reason:
            return {"unavailable": str(reason)}
        except Exception as error:  # the driver goes on with the others and says at the end what failed
            traceback.print_exc()
            return {"failed": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant")
    parser.add_argument("job", choices=jobs.JOBS)
    parser.add_argument("precision")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--first-result", action="store_true")
    given = parser.parse_args()
    variant = next(variant for variant in VARIANTS if variant.name == given.variant)
    job = jobs.JOBS[given.job]
    worker = Worker(variant, jobs.quick(job) if given.quick else job, given.precision)
    if given.first_result:
        worker.load()
        worker.make()
        worker.run.train(1)
        return
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    for line in sys.stdin:  # ends when the driver closes it, or is gone
        print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
