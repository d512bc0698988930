"""Workers answer, one that cannot go on says why, and nobody is measured for ever."""
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import jobs
import machine
import measure
import processes
import pytest
from measure import Effort, block, goes_on
from peers import VARIANTS
from run import keeper

CHAINRULE = VARIANTS[0]


def started(monkeypatch, code: str) -> processes.Process:
    """A process that runs this code in the place of a worker."""
    monkeypatch.setattr(processes, "command", lambda *_: [sys.executable, "-c", code])
    return processes.Process(CHAINRULE, "2-8-8-1", "float32", [], "")


def test_a_worker_trains_and_predicts(tmp_path):
    process = processes.Process(CHAINRULE, "2-8-8-1", "float32", ["--quick"], str(tmp_path))
    try:
        assert process.ask("load", 100) == {}
        warm = process.ask("warm", 100)
        assert warm.keys() == {"first_epoch", "seconds", "loss"} and warm["loss"] < 0.8
        assert 0 < process.ask("train", 100, epochs=3)["seconds"] < 10
        assert process.ask("predictors", 100) == {"names": ["predict"]}
        assert process.ask("nonsense", 100)["failed"].startswith("AttributeError")
        assert process.ask("train", 100, epochs=1) == process.out
    finally:
        process.close()


def test_a_process_that_ends_says_its_last_words(monkeypatch):
    process = started(monkeypatch, "raise ValueError('no such thing')")
    assert process.ask("load", 60) == {"failed": "the process ended: ValueError: no such thing"}
    process.close()


def test_a_process_that_takes_too_long_is_ended(monkeypatch):
    process = started(monkeypatch, "import time; time.sleep(100)")
    assert process.ask("load", 0.2) == {"failed": "took over 0.2 s"}
    assert process.process.poll() is not None


def test_a_library_that_is_not_installed_is_unavailable():
    import worker

    variant = replace(CHAINRULE, needs=("numpy", "no_such_library"))
    answer = worker.Worker(variant, jobs.JOBS["2-8-8-1"], "float32").answer({"do": "load"})
    assert answer == {"unavailable": "not installed: no_such_library"}


def test_a_library_that_cannot_be_imported_has_failed(monkeypatch):
    import worker

    monkeypatch.setitem(sys.modules, "peers.chainrule_peer", None)
    answer = worker.Worker(CHAINRULE, jobs.JOBS["2-8-8-1"], "float32").answer({"do": "load"})
    assert answer["failed"].startswith("ModuleNotFoundError: ")


def test_what_chainrule_refuses_has_failed():
    import worker

    own = worker.Worker(CHAINRULE, jobs.JOBS["2-8-8-1"], "float7")
    assert own.answer({"do": "load"}) == {}
    assert own.answer({"do": "make"})["failed"].startswith("SettingError: ")


@pytest.mark.parametrize(("guess", "epochs"), [(0.001, 400), (0.1, 5), (0.26, 2), (3.0, 1)])
def test_a_measurement_takes_about_half_a_second(guess, epochs):
    assert block(jobs.JOBS["2-8-8-1"], {"guess": guess, "seconds": []}) == epochs


def test_who_is_measured_once_more():
    effort = Effort(rounds=5, budget=10.0)
    fast, other, slow = {"seconds": [4.0]}, {"seconds": [7.9, 7.9]}, {"seconds": [28.0]}
    every = [fast, other, slow]
    assert goes_on({"seconds": []}, every, effort)
    assert goes_on(fast, every, effort)
    assert not goes_on({"seconds": [4.0, 4.0, 4.0]}, every, effort)
    assert not goes_on(other, every, effort)
    assert not goes_on(slow, every, effort)
    assert goes_on({"seconds": [0.1, 0.1]}, [{"seconds": [0.01]}], effort)
    assert not goes_on({"seconds": [0.1, 0.1, 0.1]}, [{"seconds": [0.01]}], effort)


def test_the_highest_peaks_count():
    assert machine.highest([{"float32": 1.0, "bytes": 3.0}, {"float32": 2.0, "bytes": None}]) == {
        "float32": 2.0, "bfloat16": None, "bytes": 3.0}


def test_a_run_of_one_job_is_complete(tmp_path):
    job = jobs.quick(jobs.JOBS["2-8-8-1"])
    section = measure.training(job, "float32", [CHAINRULE], measure.QUICK, str(tmp_path))
    assert section["operations"] == 500 * (2 * 2 * 16 + 3 * 2 * 72)
    (result,) = section["results"]
    assert len(result["seconds"]) == 2 and result["best"] == min(result["seconds"])
    assert section["blind_loss"] == pytest.approx(0.693, abs=0.001)
    assert json.loads(json.dumps(section)) == section


def test_sources_are_compiled_as_if_installed(monkeypatch, tmp_path):
    package = tmp_path / "chainrule"
    package.mkdir()
    (package / "module.py").write_text("value = 1")
    monkeypatch.setattr(measure, "HERE", tmp_path)
    monkeypatch.setattr(measure.importlib.util, "find_spec",
                        lambda name: SimpleNamespace(submodule_search_locations=[str(tmp_path / name)]))
    measure.compile_sources()
    assert [path.suffix for path in (package / "__pycache__").iterdir()] == [".pyc"]


def test_what_is_complete_is_kept_before_all_is(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(measure, "peaks", lambda scratch: [])
    monkeypatch.setattr(measure, "training", measured_or_interrupted)
    keep = keeper(tmp_path / "new" / "found.json")
    with pytest.raises(KeyboardInterrupt):
        measure.everything(None, [CHAINRULE], ["float32"], measure.QUICK, str(tmp_path), keep)
    found = json.loads((tmp_path / "new" / "found.json").read_text())
    assert [section["job"] for section in found["training"]] == ["2-8-8-1", "28-64-64-1"]
    assert [result["library_ratio"] for result in found["training"][0]["results"]] == [None]
    told = capsys.readouterr().err
    assert told.count("**2-8-8-1, float32: ") == told.count("**28-64-64-1, float32: ") == 1


def measured_or_interrupted(job, precision, *_) -> dict:
    """In the place of `measure.training`: two jobs at once, and Ctrl-C in the third."""
    if job.name == jobs.PREDICTED:
        raise KeyboardInterrupt
    result = {"variant": "chainrule", "peer": "chainrule", "kind": "chainrule", "seconds": [1.0], "best": 1.0,
              "median": 1.0, "first_epoch": 2.0, "loss": 0.5}
    return {"job": job.name, "precision": precision, "rows": 1, "batch_size": 1, "operations": 1, "compared_epochs": 1,
            "tolerance": 0.1, "blind_loss": 1.0, "results": [result]}
