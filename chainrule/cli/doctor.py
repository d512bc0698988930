"""`chainrule doctor`: what is installed here, and whether it works."""
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from chainrule.cli import terminal

# What tells processors apart by speed, in Linux's words, the widest last.
_INSTRUCTIONS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")


class Finding(NamedTuple):
    """One line: what was looked at, what was found, and whether that is well (`None` for neither)."""

    what: str
    found: str
    well: bool | None = None


@terminal.command("chainrule doctor", "chainrule doctor --json")
def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print it for a program to read.")] = False,
) -> None:
    """Show versions, the machine, devices, kernels, extras and folders, and whether a first computation works.

    Leaves with 0 where all is well, and with 1 where something that is needed does not work.
    """
    findings = list(examine())
    wrong = [finding.what for finding in findings if finding.well is False]
    if json:
        _print_json(findings, wrong)
    else:
        _print_table(findings)
    if wrong:
        terminal.fail(f"not well: {', '.join(wrong)}.")
    if not json:
        terminal.console().print("\n[green]All is well.[/green]")


def _print_table(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    marks = {True: Text("✓", "green"), False: Text("✗", "bold red"), None: Text("·", "dim")}
    for finding in findings:
        table.add_row(marks[finding.well], Text(finding.what, "bold"), Text(finding.found))
    terminal.console().print(table)


def _print_json(findings: list[Finding], wrong: list[str]) -> None:
    import json

    lines = {finding.what: {"found": finding.found, "well": finding.well} for finding in findings}
    print(json.dumps({"well": not wrong, "findings": lines}, indent=1, ensure_ascii=False))


def examine() -> Iterator[Finding]:
    """All findings, the needed ones first."""
    enough = sys.version_info >= (3, 11)
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}", enough)
    for name in ("chainrule", "jax", "jaxlib", "optax", "numpy", "safetensors", "rich", "typer"):
        yield _package(name)
    yield Finding("machine", _machine())
    yield from _devices()
    yield from _kernels()
    yield from _extras()
    yield from _folders()


def _package(name: str) -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return Finding(name, version(name), True)
    except PackageNotFoundError:
        return Finding(name, f"missing: pip install {name}", False)


def _machine() -> str:
    """Cores, memory, and the instruction sets that decide how fast a core is."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [f"{cores} cores" if cores != 1 else "1 core"]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        parts.append(f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB of memory")
    try:
        known = set(Path("/proc/cpuinfo").read_text(errors="replace").split())
    except OSError:
        known = set()
    sets = [name for name in _INSTRUCTIONS if name in known]
    return ", ".join([*parts, platform.machine()]) + (f" with {' '.join(sets)}" if sets else "")


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
    yield Finding("devices", devices, True)
    yield Finding("precision", f"{wide} unless a model has dtype='float64'")
    yield Finding("computation", "a product of matrices is right" if product == 64**3 else f"wrong: {product}",
                  product == 64**3)


def _kernels() -> Iterator[Finding]:
    """The kernels in use, or why there are none, and what would build them. Without them all works, slower."""
    try:
        from chainrule.kernels import report

        found = report()
    except Exception as error:
        yield Finding("kernels", f"do not work: {error}", False)
        return
    if found.available:
        sets = ", ".join(found.instruction_sets)
        half = f", in bfloat16 with {found.bfloat16}" if found.bfloat16 else ""
        half += f"; the AMX of this machine is not used: {found.unused_amx}" if found.unused_amx else ""
        yield Finding("kernels", f"{', '.join(found.names)}, with {found.instruction_set} (of {sets}){half}", True)
    else:
        yield Finding("kernels", f"none ({found.reason}): plain JAX stands in, slower")
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    yield Finding("compiler", compiler or "none: kernels cannot be built here")


def _extras() -> Iterator[Finding]:
    """The extras, each installed or with the line that installs it."""
    from importlib.metadata import requires

    wanted: dict[str, list[str]] = {}
    for requirement in requires("chainrule") or []:
        name, _, marker = requirement.partition(";")
        if "extra ==" in marker and "chainrule[" not in name:
            extra = marker.split("extra ==")[1].strip().strip("'\"")
            wanted.setdefault(extra, []).append(_bare_name(name))
    for extra, names in wanted.items():
        if extra in ("dev", "peers"):
            continue
        missing = [name for name in names if _package(name).well is False]
        found = "installed" if not missing else f"missing {', '.join(missing)}: pip install 'chainrule[{extra}]'"
        yield Finding(f"extra {extra}", found, True if not missing else None)


def _bare_name(requirement: str) -> str:
    """`scikit-learn>=1.6` as `scikit-learn`."""
    end = next((index for index, letter in enumerate(requirement) if not (letter.isalnum() or letter in "-_.")),
               len(requirement))
    return requirement[:end]


def _folders() -> Iterator[Finding]:
    """Where data sets are looked for, whether downloads can be kept, and what compiled programs take."""
    from chainrule.compilation import MAX_BYTES, describe_cache, programs_folder
    from chainrule.datasets.sources import cache_folder

    own = os.environ.get("CHAINRULE_DATA")
    exists = own is None or os.path.isdir(own)
    yield Finding("data folder", own and f"{own}{'' if exists else ' (does not exist)'}" or "none (CHAINRULE_DATA)",
                  None if own is None else exists)
    cache = cache_folder()
    writable = _is_writable(cache)
    yield Finding("cache", f"{cache}{'' if writable else ' (cannot be written)'}", writable)
    programs = programs_folder()
    count, size = describe_cache(programs)
    yield Finding("compiled", f"{programs}: {count:,} programs, {size / 1e6:.1f} MB of at most {MAX_BYTES / 1e6:.0f}")


def _is_writable(folder: Path) -> bool:
    """Whether a folder can be written to, or made."""
    return os.access(next(place for place in (folder, *folder.parents) if place.exists()), os.W_OK)
