"""Training from files and generators beside training from memory: how fast, and in how much memory.

    python benchmarks/streams.py speed
    python benchmarks/streams.py memory --gigabytes 4
    python benchmarks/streams.py memory --gigabytes 0.4 --source parquet

`speed` fits the 28-64-64-1 network to 50,000 rows in batches of 256, the sources in turn, and prints the rows a second
of each over those of arrays in memory: the median of several rounds. Reading takes a core of its own; the ratio of
processor time, which counts all cores, says what it costs in all. `memory` writes a file of that size,
trains on it for an epoch in a process of its own, and prints the largest resident memory of that process.
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BATCH, COLUMNS = 256, 28


def network():
    """The network of the job `28-64-64-1`, compiled."""
    import chainrule as cr
    from chainrule import layers, losses

    model = cr.Sequential([cr.Input((COLUMNS,)), layers.Dense(64, activation="relu"),
                           layers.Dense(64, activation="relu"), layers.Dense(1)])
    model.compile("adam", losses.BinaryCrossentropy(from_logits=True))
    return model


def rows_of(count: int, seed: int = 0):
    """Rows of that job: normal numbers, and on which side of a plane they lie."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((count, COLUMNS), "float32")
    return x, (x[:, 0] > 0).astype("int32")


def write(kind: str, folder: Path, count: int) -> None:
    """The rows as files, made piece by piece."""
    pieces = [(start, min(start + 500_000, count)) for start in range(0, count, 500_000)]
    if kind == "npy":
        x = np.lib.format.open_memmap(folder / "x.npy", "w+", "float32", (count, COLUMNS))
        y = np.lib.format.open_memmap(folder / "y.npy", "w+", "int32", (count,))
        for start, stop in pieces:
            x[start:stop], y[start:stop] = rows_of(stop - start, start)
        return
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    writer = None
    for start, stop in pieces:
        x, y = rows_of(stop - start, start)
        table = pyarrow.table({**{f"x{place}": x[:, place] for place in range(COLUMNS)}, "y": y})
        if kind == "parquet":
            writer = writer or pyarrow.parquet.ParquetWriter(folder / "rows.parquet", table.schema, compression="none")
            writer.write_table(table, row_group_size=16_384)
        else:
            writer = writer or pyarrow.csv.CSVWriter(folder / "rows.csv", table.schema)
            writer.write_table(table)
    writer.close()


def source(kind: str, folder: Path, window: int | None):
    """The files of `write` as a source that is streamed."""
    from chainrule import data

    if kind == "npy":
        return data.ArrayFiles(folder / "x.npy", folder / "y.npy", window=window, in_memory=False)
    if kind == "parquet":
        return data.ParquetFiles(folder / "rows.parquet", target="y", window=window or 65_536, in_memory=False)
    return data.CSVFiles(folder / "rows.csv", target="y", window=window or 65_536, in_memory=False)


def speed(rounds: int, epochs: int, count: int) -> dict[str, float]:
    """For each source the rows a second over those of arrays in memory."""
    x, y = rows_of(count)

    def batches():
        for start in range(0, count, BATCH):
            yield x[start : start + BATCH], y[start : start + BATCH]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("npy", "parquet", "csv"):
            write(kind, folder, count)
        np.save(folder / "x.npy", x)
        np.save(folder / "y.npy", y)
        fits = {"arrays in memory": (x, y), ".npy": (source("npy", folder, None),),
                ".npy, window of 8,192": (source("npy", folder, 8192),),
                "Parquet": (source("parquet", folder, None),), "CSV": (source("csv", folder, None),),
                "a generator": (batches,)}
        models = {kind: network() for kind in fits}
        taken = {kind: [] for kind in fits}
        for number in range(rounds + 1):
            for kind, given in fits.items():
                before = np.array([time.perf_counter(), time.process_time()])
                models[kind].fit(*given, epochs=epochs, batch_size=BATCH, verbose=0)
                if number:  # the first compiles
                    taken[kind].append([time.perf_counter(), time.process_time()] - before)
    print(f"{'':24}rows a second   ratio   of processor time   (median of {rounds} fits of {epochs} epochs)")
    median = {kind: np.median(found, axis=0) for kind, found in taken.items()}
    ratios = {kind: median["arrays in memory"] / found for kind, found in median.items()}
    for kind, (wall, processor) in ratios.items():
        print(f"{kind:24}{epochs * count / median[kind][0]:13,.0f}   {wall:5.2f}   {processor:17.2f}")
    return {kind: wall for kind, (wall, _) in ratios.items()}


def train(kind: str, folder: Path, window: int | None) -> dict[str, float]:
    """Peak memory in MB before and after an epoch over files."""
    model, (x, y) = network(), rows_of(4096)
    model.fit(x, y, batch_size=BATCH, verbose=0)  # what a process takes that has trained on anything
    # Of this process alone: `getrusage` would count what its parent had before it began.
    peak = lambda: int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
    before, start = peak(), time.perf_counter()
    rows = source(kind, folder, window)
    history = model.fit(rows, batch_size=BATCH, verbose=0, seed=0)
    return {"before": before, "peak": peak(), "seconds": time.perf_counter() - start, "rows": len(rows),
            "loss": history.history["loss"][-1]}


def memory(kind: str, gigabytes: float, window: int | None, folder: str | None) -> dict[str, float]:
    """The figures of `train` for files of some size, from a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        write(kind, Path(name), int(gigabytes * 2**30) // (4 * COLUMNS))
        size = sum(path.stat().st_size for path in Path(name).iterdir())
        command = [sys.executable, __file__, "train", "--source", kind, "--folder", name]
        command += [] if window is None else ["--window", str(window)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    print(f"{kind}, {size / 2**30:.2f} GiB, {found['rows']:,} rows: peak {found['peak']:.0f} MiB resident, "
          f"{found['before']:.0f} of them before; {found['seconds']:.1f} s")
    return found | {"size": size / 2**20}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory", "train"))
    parser.add_argument("--source", choices=("npy", "parquet", "csv"), default="npy")
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--window", type=int, help="rows that are shuffled together; all by default")
    parser.add_argument("--folder", help="where files are written")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=50_000)
    chosen = parser.parse_args()
    if chosen.what == "speed":
        speed(chosen.rounds, chosen.epochs, chosen.rows)
    elif chosen.what == "memory":
        memory(chosen.source, chosen.gigabytes, chosen.window, chosen.folder)
    else:
        print(json.dumps(train(chosen.source, Path(chosen.folder), chosen.window)))


if __name__ == "__main__":
    main()
