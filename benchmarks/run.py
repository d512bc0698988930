"""chainrule beside its peers, in one run on one machine.

    python benchmarks/run.py
    python benchmarks/run.py --quick
    python benchmarks/run.py --job convolutional --peer chainrule --peer PyTorch

docs/benchmarks.md says what is measured and how. The tables go to standard output, what is going on to standard error;
the same figures as JSON to build/benchmarks.json, from which benchmarks/publish.py makes tables and chart of the docs.
"""
import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

import jobs
import measure
import report
from peers import VARIANTS, chosen_variants

JSON = Path(__file__).parents[1] / "build" / "benchmarks.json"


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
        found = measure.everything(given.job, chosen_variants(given.peer), precisions, effort, scratch)
    report.compare(found)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(found, indent=1) + "\n")
    print(report.text(found))
    return 1 if report.problems(found) else 0


if __name__ == "__main__":
    sys.exit(main())
