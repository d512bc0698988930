"""Run the Python blocks of the README and of the guides, two pages at a time, those of a page one after another.

    python .ci/blocks.py README.md docs/images.md
"""
import multiprocessing
import os
import re
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def passes(page: Path) -> bool:
    """Whether all blocks of a page run, in a folder of their own; what went wrong where they do not."""
    start, names = time.perf_counter(), {"__name__": page.stem}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.S), start=1):
                exec(compile(block, f"{page.name}, block {number}", "exec"), names)
        except Exception:
            print(f"{traceback.format_exc()}FAILED  {page.name}, block {number}", flush=True)
            return False
        finally:
            os.chdir(page.parent)
    print(f"passed  {page.name}  {time.perf_counter() - start:.1f} s", flush=True)
    return True


def main() -> int:
    """The number of pages that failed."""
    pages = [Path(argument).resolve() for argument in sys.argv[1:]]
    anew = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=anew, max_tasks_per_child=1) as workers:
        passed = list(workers.map(passes, pages))
    print(f"{sum(passed)} passed, {len(pages) - sum(passed)} failed")
    return len(pages) - sum(passed)


if __name__ == "__main__":
    sys.exit(main())
