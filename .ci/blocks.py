"""Run the Python blocks of the README and of the guides, those of a page one after another.

    python .ci/blocks.py README.md docs/images.md
"""
import os
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path


def main() -> int:
    """The number of pages that failed."""
    pages = [Path(argument).resolve() for argument in sys.argv[1:]]
    failed = 0
    for page in pages:
        start, names = time.perf_counter(), {"__name__": page.stem}
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.S), start=1):
                    exec(compile(block, f"{page.name}, block {number}", "exec"), names)
            except Exception:
                failed += 1
                traceback.print_exc()
                print(f"FAILED  {page.name}, block {number}", flush=True)
            else:
                print(f"passed  {page.name}  {time.perf_counter() - start:.1f} s", flush=True)
            os.chdir(page.parent)
    print(f"{len(pages) - failed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
