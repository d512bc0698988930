"""The reference page: nothing public is undocumented, and the page is made of the docstrings as they are."""
import importlib.util
import inspect
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "make_reference.py"


@pytest.fixture(scope="module")
def reference():
    found = importlib.util.spec_from_file_location("make_reference", SCRIPT)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def entries(reference):
    return [entry for section in reference.sections() for entry in section.entries]


def own_docstring(entry) -> str:
    """What is written at the thing itself: a class does not inherit it, nor does it get a dataclass's."""
    text = entry.thing.__doc__ or ""
    return "" if text.startswith(f"{getattr(entry.thing, '__name__', '')}(") else inspect.cleandoc(text)


def test_everything_public_has_a_docstring_that_starts_with_a_sentence(entries):
    first_paragraphs = {entry.title: own_docstring(entry).split("\n\n")[0] for entry in entries}
    assert [title for title, text in first_paragraphs.items() if not text or text[-1] not in ".:`)"] == []


def test_everything_public_has_an_example(entries):
    needs_one = [entry for entry in entries if not entry.returned and not isinstance(entry.thing, property)
                 and not (inspect.isclass(entry.thing) and issubclass(entry.thing, Exception))]
    assert len(needs_one) > 150
    assert [entry.title for entry in needs_one if ">>> " not in own_docstring(entry)] == []


def test_every_setting_of_a_class_is_described(entries, reference):
    missing = []
    for entry in entries:
        if inspect.isclass(entry.thing) and entry.title.split(".")[0] not in ("errors", "inspect", "symbolic"):
            described = own_docstring(entry)
            for parameter in reference._parameters(entry.thing):
                own = parameter.name not in entry.common and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
                if own and not entry.returned and parameter.name not in described:
                    missing.append(f"{entry.title}: {parameter.name}")
    assert missing == []


def test_headings_differ(entries):
    titles = [entry.title for entry in entries]
    assert sorted(set(titles)) == sorted(titles)


def test_the_page_is_up_to_date(reference):
    same = reference.PAGE.read_text() == reference.page()
    assert same, "docs/reference.md is behind the docstrings: make reference"


def test_parts_of_a_docstring_become_markdown(reference):
    text = inspect.cleandoc("""One sentence.

        y = a * x

    More words.

    Shapes: `(batch, n)` to
        the same.

    Args:
        a: the factor,
            continued.
        b, c: others.

    Source: Somebody, A paper,
    1999.

    Example:
        >>> 1 + 1
        2
    """)
    assert "\n\n".join(reference.markdown(*block) for block in reference.blocks(text)) == (
        "One sentence.\n\n```\ny = a * x\n```\n\nMore words.\n\nShapes: `(batch, n)` to the same.\n\n"
        "Arguments:\n\n- `a`: the factor, continued.\n- `b`, `c`: others.\n\n"
        "*Reference:* Somebody, A paper, 1999.\n\n```pycon\n>>> 1 + 1\n2\n```")
