"""The layout holds: a module imports only from those above it."""
import ast
import re
from pathlib import Path

import chainrule

ROOT = Path(chainrule.__file__).parent
ORDER = [
    "errors", "configuration", "precision", "devices", "kernels", "ops", "activations", "initializers", "regularizers",
    "constraints", "losses", "metrics", "schedules", "optimizers", "layers", "network", "data", "datasets",
    "compilation", "training", "saving", "runs", "callbacks", "models", "population", "series", "text", "applications",
    "inspect", "symbolic", "utils", "cli",
]
NUMPY_ONLY = ("data", "datasets")


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> list[str]:
    """Every chainrule module (and jax) that a file imports, inside functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if re.match(r"(chainrule|jax)(\.|$)", name)]


def test_every_part_has_its_place():
    parts = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")}
    assert parts - {"__init__"} == set(ORDER)


def test_modules_import_only_from_above():
    wrong = []
    for path in ROOT.rglob("*.py"):
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for name in imports(path):
            other = part_of(name) if name.startswith("chainrule") else own
            if name.startswith("jax") and own in NUMPY_ONLY:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
            if other in ORDER and ORDER.index(other) > ORDER.index(own):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_no_assert_in_the_package():
    found = [str(path) for path in ROOT.rglob("*.py")
             if any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(path.read_text())))]
    assert found == []
