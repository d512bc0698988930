"""`chainrule doctor`: what it finds, for people and for programs, and where something is not well."""
import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from chainrule import kernels
from chainrule.cli import doctor
from chainrule.cli.main import app
from chainrule.kernels import Report

RUNNER = CliRunner(env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})

HELP = """
 Usage: chainrule doctor [OPTIONS]

 Show versions, the machine, devices, kernels, extras and folders, and whether
 a first computation works.

 Leaves with 0 where all is well, and with 1 where something that is needed
 does not work.

╭─ Options ────────────────────────────────────────────────────────────────────╮
│ --json          <bool>  Print it for a program to read.                      │
│ --help  -h      <bool>  Show this message and exit.                          │
╰──────────────────────────────────────────────────────────────────────────────╯

 Examples:
 $ chainrule doctor
 $ chainrule doctor --json

"""


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CHAINRULE_DATA", raising=False)


def found() -> dict[str, dict]:
    return json.loads(RUNNER.invoke(app, ["doctor", "--json"]).stdout)["findings"]


def test_help():
    lines = RUNNER.invoke(app, ["doctor", "--help"]).output.splitlines()
    assert "\n".join(line.rstrip() for line in lines).strip() == HELP.strip()


def test_for_programs(tmp_path):
    result = RUNNER.invoke(app, ["doctor", "--json"])
    report = json.loads(result.stdout)
    assert result.exit_code == 0 and report["well"] is True
    assert list(report["findings"])[:12] == [
        "python", "chainrule", "jax", "jaxlib", "optax", "numpy", "safetensors", "rich", "typer", "machine", "devices",
        "precision"]
    assert report["findings"]["computation"] == {"found": "a product of matrices is right", "well": True}
    assert report["findings"]["compiled"]["found"].startswith(str(tmp_path / "cache" / "programs"))
    assert report["findings"]["compiled"]["found"].endswith(": 0 programs, 0.0 MB of at most 537")
    assert f"{len(os.sched_getaffinity(0))} core" in report["findings"]["machine"]["found"]


def test_something_is_not_well(monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "none"))
    result = RUNNER.invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1 and json.loads(result.stdout)["well"] is False
    assert result.stderr == "Error: not well: data folder.\n"


def test_kernels(monkeypatch):
    there = Report(True, "", "avx2", ["avx2", "generic"], ["dense", "adam"])
    monkeypatch.setattr(kernels, "report", lambda: there)
    assert found()["kernels"] == {"found": "dense, adam, with avx2 (of avx2, generic)", "well": True}
    half = there._replace(bfloat16="amx")
    monkeypatch.setattr(kernels, "report", lambda: half)
    assert found()["kernels"]["found"] == "dense, adam, with avx2 (of avx2, generic), in bfloat16 with amx"
    refused = there._replace(bfloat16="avx512bf16", unused_amx="Linux does not permit it to this process")
    monkeypatch.setattr(kernels, "report", lambda: refused)
    assert found()["kernels"] == {
        "found": "dense, adam, with avx2 (of avx2, generic), in bfloat16 with avx512bf16; the AMX of this machine is "
                 "not used: Linux does not permit it to this process", "well": True}
    monkeypatch.setattr(kernels, "report", lambda: Report(False, "no compiler was found", "", [], []))
    assert found()["kernels"] == {"found": "none (no compiler was found): plain JAX stands in, slower", "well": None}


def test_kernels_that_are_broken(monkeypatch):
    def fail():
        raise OSError("undefined symbol: chainrule_dense")

    monkeypatch.setattr(kernels, "report", fail)
    result = RUNNER.invoke(app, ["doctor"])
    assert result.exit_code == 1 and result.stderr == "Error: not well: kernels.\n"


def test_extras(monkeypatch):
    package = doctor._package
    monkeypatch.setattr(doctor, "_package", lambda name: doctor.Finding(name, "missing", False)
                        if name == "matplotlib" else package(name))
    assert found()["extra plots"] == {"found": "missing matplotlib: pip install 'chainrule[plots]'", "well": None}


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    """The console script, which then says on the error output what it had to import."""
    code = ("import sys; from chainrule.cli.main import main\ntry:\n    main()\nfinally:\n"
            "    print([name for name in ('jax', 'numpy') if name in sys.modules], file=sys.stderr)")
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120,
                          **options)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["fit", "--help"], ["doctor", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    result = run(*arguments)
    assert (result.returncode, result.stderr) == (0, "[]\n")


def test_the_console_script_keeps_programs(tmp_path):
    fit = ["fit", "digits", "--epochs", "1", "--hidden", "8", "--output", "m.chain", "-q"]
    first = run(*fit, cwd=tmp_path)
    kept = sorted(path.name for path in (tmp_path / "cache" / "programs").glob("*/*-cache"))
    assert first.returncode == 0 and len(kept) >= 3
    second = run(*fit, cwd=tmp_path)
    assert second.stdout == first.stdout
    assert sorted(path.name for path in (tmp_path / "cache" / "programs").glob("*/*-cache")) == kept


def test_commands_called_from_python_keep_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = RUNNER.invoke(app, ["fit", "digits", "--epochs", "1", "--hidden", "8", "--device", "cpu"])
    assert result.exit_code == 0 and "Training on cpu (" in result.output
    assert not (tmp_path / "cache" / "programs").exists()


def test_a_device_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = RUNNER.invoke(app, ["fit", "digits", "--device", "fpga"])
    assert result.exit_code == 1
    assert result.stderr == "Error: device is 'cpu', 'gpu', 'tpu', or None for the best that there is; got 'fpga'.\n"
