"""Put the figures of a run, or of several, into docs/benchmarks.md and draw docs/images/benchmarks.svg.

    python benchmarks/publish.py
    python benchmarks/publish.py build/dense.json build/convolutional.json

Without names it takes build/benchmarks.json. Several files are put together, each from a run of other jobs or another
precision; the later counts where two have measured the same. All must be from one machine with the same versions.
"""
import json
import sys
from pathlib import Path

import chart
import jobs
import machine
import report
from run import JSON

DOCS = JSON.parents[1] / "docs"
START, END = "<!-- figures: written by benchmarks/publish.py -->", "<!-- end of figures -->"


def merged(runs: list[dict]) -> dict:
    """One run that has the parts of all, in the order of the jobs; the highest peaks count."""
    if any(run["quick"] for run in runs):
        raise SystemExit("This was a quick run, whose times mean nothing: run it without --quick first.")
    if any(run["machine"] != runs[0]["machine"] for run in runs):
        raise SystemExit("These runs are from different machines or versions: figures are compared within one only.")
    order = [(precision, name) for precision in machine.PRECISIONS for name in jobs.JOBS]
    sections = {(section["precision"], section["job"]): section for run in runs for section in run["training"]}
    whole = runs[0] | {"peaks": machine.highest([run["peaks"] for run in runs]),
                       "training": [sections[key] for key in order if key in sections]}
    for part in ("predict", "first_result"):
        whole[part] = next((run[part] for run in reversed(runs) if run[part]), [])
    return report.compare(whole)


def with_figures(page: str, figures: str) -> str:
    """The page with other figures between its two marks."""
    if page.count(START) != 1 or page.count(END) != 1:
        raise SystemExit(f"The page needs one line {START!r} and one line {END!r} after it.")
    return f"{page[: page.index(START)]}{START}\n\n{figures}\n\n{page[page.index(END):]}"


def main() -> None:
    found = merged([json.loads(Path(name).read_text()) for name in sys.argv[1:] or [JSON]])
    page = DOCS / "benchmarks.md"
    page.write_text(with_figures(page.read_text(), report.text(found)))
    (DOCS / "images").mkdir(exist_ok=True)
    chart.draw(found, DOCS / "images" / "benchmarks.svg")


if __name__ == "__main__":
    main()
