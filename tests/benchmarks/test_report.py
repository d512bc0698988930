"""Figures become ratios, tables and a chart; the JSON holds all that the tables show."""
import copy
import json
import xml.etree.ElementTree as ElementTree

import chart
import pytest
import report
from publish import END, START, merged, with_figures

RESULT = {"seconds": [1.0], "median": 1.0, "first_epoch": 2.0, "loss": 0.5}


def found_with(*results) -> dict:
    """A run of one job of 30 GFLOP on a machine of 100 GFLOP/s."""
    return {
        "machine": {"processor": "A processor", "cores": 2, "system": "Linux x86_64",
                    "versions": {"python": "3.11.2", "flax": None}},
        "peaks": {"float32": 100e9, "bfloat16": None, "bytes": 20e9}, "quick": False,
        "training": [{"job": "28-64-64-1", "precision": "float32", "rows": 50_000, "batch_size": 256,
                      "operations": 30_000_000_000, "compared_epochs": 3, "tolerance": 0.05, "blind_loss": 0.69,
                      "results": [RESULT | result for result in results]}],
        "predict": [], "first_result": []}


OURS = {"variant": "chainrule", "peer": "chainrule", "kind": "chainrule", "best": 0.4}
HAND = {"variant": "JAX by hand", "peer": "JAX by hand", "kind": "by hand", "best": 0.5}
TORCH = {"variant": "PyTorch", "peer": "PyTorch", "kind": "library", "best": 0.8}
SLOW = {"variant": "PyTorch, torch.compile", "peer": "PyTorch", "kind": "library", "best": 1.6}
ABSENT = {"variant": "Flax", "peer": "Flax", "kind": "library", "best": None, "median": None,
          "unavailable": "not installed: No module named 'flax'"}


@pytest.fixture
def found():
    whole = found_with(OURS, TORCH, SLOW, HAND)
    whole["training"][0]["results"].append(dict(ABSENT))
    return report.compare(whole)


def by_name(found) -> dict:
    return {result["variant"]: result for result in found["training"][0]["results"]}


def test_ratios_are_to_the_fastest_library_to_jax_by_hand_and_to_the_fastest_of_both(found):
    results = by_name(found)
    assert [results["chainrule"][name] for name in ("library_ratio", "hand_ratio", "peer_ratio")] == [0.5, 0.8, 0.8]
    assert [results["PyTorch, torch.compile"][name] for name in ("library_ratio", "hand_ratio")] == [2.0, 3.2]
    assert results["Flax"]["peer_ratio"] is None


def test_share_of_the_peak(found):
    assert by_name(found)["chainrule"]["of_peak"] == pytest.approx(30 / 0.4 / 100)
    assert by_name(found)["Flax"]["of_peak"] is None


def test_no_peak_no_share():
    whole = found_with(OURS)
    whole["peaks"]["float32"] = None
    assert report.compare(whole)["training"][0]["results"][0]["of_peak"] is None


def test_text_as_a_whole(found):
    assert report.text(found) == """\
A processor, 2 cores, Linux x86_64; python 3.11.2.
Peaks in this run: products 100 GFLOP/s in float32, not measured in bfloat16; memory 20 GB/s.

**28-64-64-1, float32: an epoch of 50,000 rows by 256, 30 GFLOP needed; loss after 3 epochs, 0.6900 for who \
has learned nothing**

| variant                |   best | median | first epoch |   loss | x fastest library | x JAX by hand | x fastest peer \
| of peak |
| ---------------------- | -----: | -----: | ----------: | -----: | ----------------: | ------------: | -------------: \
| ------: |
| chainrule              | 400 ms | 1.00 s |      2.00 s | 0.5000 |              0.50 |          0.80 |           0.80 \
|   0.750 |
| JAX by hand            | 500 ms | 1.00 s |      2.00 s | 0.5000 |              0.62 |          1.00 |           1.00 \
|   0.600 |
| PyTorch                | 800 ms | 1.00 s |      2.00 s | 0.5000 |              1.00 |          1.60 |           1.60 \
|   0.375 |
| PyTorch, torch.compile | 1.60 s | 1.00 s |      2.00 s | 0.5000 |              2.00 |          3.20 |           3.20 \
|   0.188 |

Flax: not available (not installed: No module named 'flax')

**chainrule beside its peers; below 1 is faster**

|                     | chainrule | fastest library | x fastest library | x JAX by hand | x fastest peer | of peak |
| ------------------- | --------: | --------------: | ----------------: | ------------: | -------------: | ------: |
| 28-64-64-1, float32 |    400 ms |         PyTorch |              0.50 |          0.80 |           0.80 |   0.750 |"""


def losses_of(blind: float, *losses: float) -> dict:
    """A run of chainrule and two peers that ended at these losses."""
    found = found_with(*(result | {"loss": loss} for result, loss in zip((OURS, TORCH, HAND), losses, strict=True)))
    found["training"][0]["blind_loss"] = blind
    return report.compare(found)


def learns(found: dict) -> list[bool]:
    return [result["learns"] for result in found["training"][0]["results"]]


def test_a_variant_that_does_not_learn_is_named():
    found = losses_of(2.3, 2.5, 0.1, 0.1)
    assert report.problems(found) == [
        "28-64-64-1, float32: chainrule, with a loss of 2.5000, has learned -9% of what the others have"]
    assert "| 2.5000 (!) |" in report.text(found)


@pytest.mark.parametrize("loss", [0.5, 1.2, 2.3, 7.0, float("nan"), float("inf")])
def test_who_has_learned_much_less_does_not_pass(loss):
    assert learns(losses_of(2.3, loss, 0.1, 0.1)) == [False, True, True]


def test_who_learns_what_the_others_do_not_trains_something_else():
    assert learns(losses_of(2.3, 0.1, 1.0, 1.0)) == [False, True, True]


def test_the_order_of_batches_alone_makes_nobody_fail():
    assert learns(losses_of(2.3026, 0.038, 0.093, 0.05)) == [True, True, True]


@pytest.mark.parametrize(("loss", "passes"), [(2.1, True), (0.4, True), (2.31, False), (float("nan"), False)])
def test_in_a_quick_run_it_is_enough_to_learn_something(loss, passes):
    found = losses_of(2.3026, loss, 1.5, 1.9)
    found["training"][0]["tolerance"] = None
    assert learns(report.compare(found)) == [passes, True, True]


def test_where_nobody_learns_all_fail():
    assert learns(losses_of(0.69, 0.70, 0.69, 0.71)) == [False, False, False]


def test_a_failure_is_named(found):
    found["training"][0]["results"][-1] = ABSENT | {"failed": "took over 60 s"}
    assert report.problems(found) == ["28-64-64-1, float32: Flax failed: took over 60 s"]


def test_predictions_that_differ_are_named():
    found = found_with(OURS)
    found["predict"] = [
        {"variant": name, "peer": name, "kind": "library", "rows": 10, "best": 1.0, "median": 1.0, "mean_class": value}
        for name, value in (("one", 4.2), ("two", 4.9))]
    assert report.problems(report.compare(found)) == [
        "predict, 10 rows: the predictions differ: mean classes [4.2, 4.9]"]


@pytest.mark.parametrize(("seconds", "words"), [
    (None, "-"), (5.4321, "5.43 s"), (27.34, "27.3 s"), (0.9154, "915 ms"), (0.99996, "1.00 s"), (0.0312, "31.2 ms"),
    (0.00031, "310 us"), (0.0000123, "12.3 us"), (123.4, "123 s")])
def test_durations(seconds, words):
    assert report.duration(seconds) == words


def test_results_are_json(found):
    assert json.loads(json.dumps(found)) == found


def test_several_runs_become_one(found):
    first, second = found_with(OURS, TORCH), found_with(OURS | {"best": 0.2}, TORCH)
    other = found_with(OURS, HAND)
    other["training"][0] |= {"job": "2-8-8-1"}
    other["peaks"]["bfloat16"], second["peaks"]["float32"] = 400e9, 200e9
    other["first_result"] = [OURS | {"median": 1.0}]
    whole = merged([first, other, second])
    assert [section["job"] for section in whole["training"]] == ["2-8-8-1", "28-64-64-1"]
    ours = whole["training"][1]["results"][0]
    assert ours["best"] == 0.2 and ours["library_ratio"] == 0.25 and ours["of_peak"] == 30 / 0.2 / 200
    assert whole["peaks"] == {"float32": 200e9, "bfloat16": 400e9, "bytes": 20e9}
    assert whole["first_result"] == other["first_result"] and whole["predict"] == []


def test_runs_that_do_not_belong_together_are_refused():
    here, there, quick = (found_with(OURS) for _ in range(3))
    there["machine"]["cores"], quick["quick"] = 64, True
    with pytest.raises(SystemExit, match="These runs are from different machines or versions"):
        merged([here, there])
    with pytest.raises(SystemExit, match="This was a quick run"):
        merged([here, quick])


def test_the_page_receives_the_figures():
    page = f"before\n{START}\nold\n{END}\nafter\n"
    assert with_figures(page, "new") == f"before\n{START}\n\nnew\n\n{END}\nafter\n"
    with pytest.raises(SystemExit, match="needs one line"):
        with_figures("nothing", "new")


def test_the_chart_has_each_library_once(found, tmp_path):
    chosen = chart.fastest_variants(found["training"][0]["results"])
    assert [result["variant"] for result in chosen] == ["chainrule", "JAX by hand", "PyTorch"]
    pytest.importorskip("matplotlib")
    chart.draw(copy.deepcopy(found), tmp_path / "chart.svg")
    drawn = (tmp_path / "chart.svg").read_text()
    ElementTree.fromstring(drawn)
    for words in ("28-64-64-1", "chainrule", "PyTorch", "JAX by hand", "400 ms \u00b7 0.80 x"):
        assert words in drawn
    chart.draw(copy.deepcopy(found), tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == drawn
