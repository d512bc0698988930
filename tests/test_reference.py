"""The reference page: nothing public is undocumented, and the page is made of the docstrings as they are."""
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from chainrule import (
    activations,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
)

SCRIPT = Path(__file__).parents[1] / "docs" / "make_reference.py"
FAMILIES = {"activations": activations, "constraints": constraints, "initializers": initializers, "layers": layers,
            "losses": losses, "metrics": metrics, "optimizers": optimizers, "regularizers": regularizers,
            "schedules": schedules}

# These only move, join, count or hand on what they are given: their shapes say all, and there is nobody to cite.
MECHANICAL = {
    *(f"layers.{name}" for name in (
        "Add", "Average", "CategoryEncoding", "CenterCrop", "Concatenate", "Cropping1D", "Cropping2D",
        "Cropping3D", "Dot", "Flatten", "Identity", "Lambda", "Masking", "Maximum", "Minimum", "Multiply",
        "Operation", "Permute", "RandomCrop", "RandomFlip", "RandomRotation", "RandomShear",
        "RandomTranslation", "RandomZoom", "RepeatVector", "Rescaling", "Reshape", "Resizing", "Subtract",
        "TimeDistributed", "UpSampling1D", "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D",
        "ZeroPadding3D")),
    "losses.FunctionLoss", "metrics.Mean", "metrics.MeanOf",
}

# The equation of these is that of another entry, which their text names.
EQUATION_OF = {f"layers.{name}": name.replace("3D", "2D") for name in (
    "AveragePooling3D", "Conv3D", "Conv3DTranspose", "MaxPooling3D")}


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


@pytest.fixture(scope="module")
def catalogue(reference):
    """The docstring of every entry of every registry."""
    return {entry.title: own_docstring(entry) for family, module in FAMILIES.items()
            for entry in reference._registered(family, module.registry)}


def has_formula(text: str) -> bool:
    """Whether it has an indented line, or something between backticks that is more than a name or a number."""
    return bool(re.search(r"^    \S", text, re.M)) or any(
        re.search(r"[=<>+*/|~(\[]| - ", quoted) for quoted in re.findall("`([^`]+)`", text))


def test_every_entry_has_an_equation(catalogue, reference):
    missing = []
    for title, text in catalogue.items():
        labels = ("", "Shapes") if title in MECHANICAL else ("",)
        if not any(has_formula(part) for label, part in reference.blocks(text) if label in labels):
            missing.append(title)
    assert [title for title in missing if f"`{EQUATION_OF.get(title)}`" not in catalogue[title]] == []


def test_every_entry_has_shapes(catalogue):
    assert [title for title, text in catalogue.items() if "Shapes: " not in text] == []


def test_every_entry_has_a_reference_unless_there_is_nobody_to_cite(catalogue):
    without = [title for title, text in catalogue.items() if not re.search("^Reference: ", text, re.M)]
    assert [title for title in without if title not in MECHANICAL] == []
    assert sorted(MECHANICAL - set(catalogue)) == []


def test_every_entry_has_an_example_of_its_own(catalogue):
    assert [title for title, text in catalogue.items() if not re.search(r"^Example:\n    >>> ", text, re.M)] == []


def test_references_have_one_heading():
    package = SCRIPT.parents[1] / "chainrule"
    assert [path.name for path in package.rglob("*.py") if re.search("^ *Source: ", path.read_text(), re.M)] == []


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

    Reference: Somebody, A paper,
    1999.

    Example:
        >>> 1 + 1
        2
    """)
    assert "\n\n".join(reference.markdown(*block) for block in reference.blocks(text)) == (
        "One sentence.\n\n```\ny = a * x\n```\n\nMore words.\n\nShapes: `(batch, n)` to the same.\n\n"
        "Arguments:\n\n- `a`: the factor, continued.\n- `b`, `c`: others.\n\n"
        "*Reference:* Somebody, A paper, 1999.\n\n```pycon\n>>> 1 + 1\n2\n```")
