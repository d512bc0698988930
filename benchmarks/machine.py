"""What the machine can do at most: matrix products and memory, measured in the same run as the jobs.

    python benchmarks/machine.py torch
    python benchmarks/machine.py jax

prints JSON. The peak of products is the best over sizes, rounds and both libraries; that of memory is the best of
`a = b + s * c` (two reads and a write of 4 bytes each) over arrays far larger than any cache, with all cores.
"""
import json
import os
import platform
import sys
import time
from importlib import metadata

SIZES = (512, 1024, 2048, 3072)
PRECISIONS = ("float32", "bfloat16")
TRIAD_ENTRIES = 1 << 26  # 256 MiB an array
SECONDS, CALLS = 0.4, 3  # each figure is the best of calls for so long, and at least so many
LIBRARIES = ("jax", "jaxlib", "optax", "numpy", "torch", "keras", "scikit-learn", "flax")


def best_of(call) -> float:
    """The shortest of several calls, in seconds."""
    call()
    found, end = [], time.perf_counter() + SECONDS
    while len(found) < CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


def torch_peaks() -> dict:
    """Operations a second by precision, and bytes a second."""
    import torch

    peaks = {}
    for precision in PRECISIONS:
        peaks[precision] = 0.0
        for size in SIZES:
            a, b, c = (torch.rand(size, size).to(getattr(torch, precision)) for _ in range(3))
            seconds = best_of(lambda a=a, b=b, c=c: torch.mm(a, b, out=c))
            peaks[precision] = max(peaks[precision], 2 * size**3 / seconds)
    a, b, c = (torch.ones(TRIAD_ENTRIES) for _ in range(3))
    peaks["bytes"] = 3 * 4 * TRIAD_ENTRIES / best_of(lambda: torch.add(b, c, alpha=3.0, out=a))
    return peaks


def jax_peaks() -> dict:
    """Operations a second by precision."""
    import jax

    peaks = {}
    for precision in PRECISIONS:
        peaks[precision] = 0.0
        for size in SIZES:
            a, b = (jax.random.uniform(jax.random.key(seed), (size, size)).astype(precision) for seed in range(2))
            product = jax.jit(lambda a, b: a @ b)
            seconds = best_of(lambda a=a, b=b, product=product: product(a, b).block_until_ready())
            peaks[precision] = max(peaks[precision], 2 * size**3 / seconds)
    return peaks


def highest(measured: list[dict]) -> dict:
    """The best of several measurements by name; `None` where nobody measured."""
    return {name: max((peaks[name] for peaks in measured if peaks.get(name) is not None), default=None)
            for name in (*PRECISIONS, "bytes")}


def describe() -> dict:
    """What is measured on, and with which versions."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {"processor": processor(), "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}",
            "versions": versions}


def processor() -> str:
    """The name of the processor, as the system gives it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    print(json.dumps({"torch": torch_peaks, "jax": jax_peaks}[sys.argv[1]]()))
