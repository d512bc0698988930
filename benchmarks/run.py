"""chainrule beside its peers, in one run on one machine.

    python benchmarks/run.py
    python benchmarks/run.py --quick
    python benchmarks/run.py --job convolutional --peer chainrule --peer PyTorch

docs/benchmarks.md says what is measured and how. All tables go to standard output at the end; what is going on, and
each table as soon as it is complete, to standard error. The same figures go as JSON to build/benchmarks.json after each
part, so that an interruption loses one part at most; benchmarks/publish.py makes tables and chart of the docs from one
such file or several.
"""
import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jobs
import measure
import report
from peers import VARIANTS, chosen_variants

JSON = Path(__file__).parents[1] / "build" / "benchmarks.json"


def keeper(path: Path) -> Callable[[dict], None]:
    """A function that writes what was measured so far to `path`, and tells what is new in it."""
    told, start = 0, time.perf_counter()

    def keep(found: dict) -> None:
        nonlocal told
        report.compare(found)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(found, indent=1) + "\n")
        os.replace(unfinished, path)  # at no time is there half a file
        for title, results in report.parts(found)[told:]:
            measure.tell(f"\n{report.part_text(title, results)}\n\n{time.perf_counter() - start:.0f} s so far\n")
            told += 1

    return keep


def main() -> int:
    """1 where something failed or did not learn as the others did."""
    peers = sorted({name for variant in VARIANTS for name in (variant.peer, variant.name)})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--job", action="append", choices=[*jobs.JOBS, "predict", "first-result"], metavar="JOB",
                        help=f"only this, may be repeated: {', '.join([*jobs.JOBS, 'predict', 'first-result'])}")
    parser.add_argument("--peer", action="append", choices=peers, metavar="PEER",
                        help=f"only this library or variant, may be repeated: {'; '.join(peers)}")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "both"), default="both")
    parser.add_argument("--quick", action="store_true", help="few rows, to see that all works; the times mean nothing")
    parser.add_argument("--rounds", type=int, help="measurements of each variant (default: 5)")
    parser.add_argument("--json", type=Path, default=JSON, help="default: build/benchmarks.json")
    given = parser.parse_args()
    if given.rounds is not None and given.rounds < 1:
        parser.error("--rounds is at least 1")
    effort = measure.QUICK if given.quick else measure.Effort()
    effort = effort._replace(rounds=given.rounds or effort.rounds)
    precisions = ["float32", "bfloat16"] if given.precision == "both" else [given.precision]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the processes end with this one
    with tempfile.TemporaryDirectory() as scratch:
        found = measure.everything(given.job, chosen_variants(given.peer), precisions, effort, scratch,
                                   keeper(given.json))
    print(report.text(found))
    return 1 if report.problems(found) else 0


if __name__ == "__main__":
    sys.exit(main())
