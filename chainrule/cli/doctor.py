"""`chainrule doctor`: what is installed here, and whether it works."""
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import NamedTuple

from chainrule.cli import terminal


class Finding(NamedTuple):
    """One line: what was looked at, what was found, and whether that is well (`None` for neither)."""

    what: str
    found: str
    well: bool | None = None


@terminal.command("chainrule doctor")
def doctor() -> None:
    """Show versions, devices, extras and folders, and whether a first computation works.

    Leaves with 0 where all is well, and with 1 where something that is needed does not work.
    """
    from rich.table import Table

    findings = list(examine())
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    marks = {True: "[green]✓[/green]", False: "[bold red]✗[/bold red]", None: "[dim]·[/dim]"}
    for finding in findings:
        table.add_row(marks[finding.well], f"[bold]{finding.what}[/bold]", finding.found.replace("[", "\\["))
    out = terminal.console()
    out.print(table)
    wrong = [finding.what for finding in findings if finding.well is False]
    if wrong:
        terminal.fail(f"not well: {', '.join(wrong)}.")
    out.print("\n[green]All is well.[/green]")


def examine() -> Iterator[Finding]:
    """All findings, the needed ones first."""
    enough = sys.version_info >= (3, 11)
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}", enough)
    for name in ("chainrule", "jax", "jaxlib", "optax", "numpy", "safetensors", "rich", "typer"):
        yield _package(name)
    yield from _devices()
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    yield Finding("compiler", compiler or "none: plain JAX stands in where kernels would be built")
    yield from _extras()
    yield from _folders()


def _package(name: str) -> Finding:
    try:
        return Finding(name, version(name), True)
    except PackageNotFoundError:
        return Finding(name, f"missing: pip install {name}", False)


def _devices() -> Iterator[Finding]:
    """The devices of JAX, the precision, and one product computed."""
    try:
        import jax
        import jax.numpy as jnp

        devices = ", ".join(f"{device.platform} ({device.device_kind})" for device in jax.devices())
        product = float((jnp.ones((64, 64)) @ jnp.ones((64, 64))).sum())
        wide = "float64" if jax.config.jax_enable_x64 else "float32"
    except Exception as error:  # a broken installation can fail in any way
        yield Finding("devices", f"JAX does not work: {error}", False)
        return
    yield Finding("devices", f"{devices}, {os.cpu_count()} processor cores", True)
    yield Finding("precision", f"{wide} unless a model has dtype='float64'")
    yield Finding("computation", "a product of matrices is right" if product == 64**3 else f"wrong: {product}",
                  product == 64**3)


def _extras() -> Iterator[Finding]:
    """The extras, each installed or with the line that installs it."""
    wanted: dict[str, list[str]] = {}
    for requirement in requires("chainrule") or []:
        name, _, marker = requirement.partition(";")
        if "extra ==" in marker and "chainrule[" not in name:
            extra = marker.split("extra ==")[1].strip().strip("'\"")
            wanted.setdefault(extra, []).append(_bare_name(name))
    for extra, names in wanted.items():
        if extra in ("dev", "peers"):
            continue
        missing = [name for name in names if not _is_installed(name)]
        found = "installed" if not missing else f"missing {', '.join(missing)}: pip install 'chainrule[{extra}]'"
        yield Finding(f"extra {extra}", found, True if not missing else None)


def _bare_name(requirement: str) -> str:
    """`scikit-learn>=1.6` as `scikit-learn`."""
    end = next((index for index, letter in enumerate(requirement) if not (letter.isalnum() or letter in "-_.")),
               len(requirement))
    return requirement[:end]


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _folders() -> Iterator[Finding]:
    """Where data sets are looked for, and whether downloads can be kept."""
    from chainrule.datasets.sources import cache_folder

    own = os.environ.get("CHAINRULE_DATA")
    exists = own is None or os.path.isdir(own)
    yield Finding("data folder", own and f"{own}{'' if exists else ' (does not exist)'}" or "none (CHAINRULE_DATA)",
                  None if own is None else exists)
    cache = cache_folder()
    parent = next(folder for folder in (cache, *cache.parents) if folder.exists())
    writable = os.access(parent, os.W_OK)
    yield Finding("cache", f"{cache}{'' if writable else ' (cannot be written)'}", writable)
