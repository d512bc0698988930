"""Put the figures of a run into docs/benchmarks.md and draw docs/images/benchmarks.svg.

    python benchmarks/publish.py [build/benchmarks.json]
"""
import json
import sys
from pathlib import Path

import chart
import report
from run import JSON

DOCS = JSON.parents[1] / "docs"
START, END = "<!-- figures: written by benchmarks/publish.py -->", "<!-- end of figures -->"


def with_figures(page: str, figures: str) -> str:
    """The page with other figures between its two marks."""
    if page.count(START) != 1 or page.count(END) != 1:
        raise SystemExit(f"The page needs one line {START!r} and one line {END!r} after it.")
    return f"{page[: page.index(START)]}{START}\n\n{figures}\n\n{page[page.index(END):]}"


def main() -> None:
    found = json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else JSON).read_text())
    if found["quick"]:
        raise SystemExit("This was a quick run, whose times mean nothing: run it without --quick first.")
    page = DOCS / "benchmarks.md"
    page.write_text(with_figures(page.read_text(), report.text(found)))
    (DOCS / "images").mkdir(exist_ok=True)
    chart.draw(found, DOCS / "images" / "benchmarks.svg")


if __name__ == "__main__":
    main()
