"""Every block of Python in the guides and in the README runs, in the order of its page."""
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "reference.md")]


def blocks(page: Path) -> list[tuple[int, str]]:
    """The blocks of a page and the lines they begin at."""
    text = page.read_text()
    return [(text[: match.start(1)].count("\n"), match[1])
            for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    for line, block in blocks(page):
        exec(compile("\n" * line + block, str(page), "exec"), names)  # so that a traceback names the page's line
    shutil.rmtree(tmp_path, ignore_errors=True)
