"""Figures become ratios, tables and a chart; the JSON holds all that the tables show."""
import copy
import json
import xml.etree.ElementTree as ElementTree

import chart
import pytest
import report
from publish import END, START, with_figures

RESULT = {"seconds": [1.0], "median": 1.0, "first_epoch": 2.0, "loss": 0.5}


def found_with(*results) -> dict:
    """A run of one job of 30 GFLOP on a machine of 100 GFLOP/s."""
    return {
        "machine": {"processor": "A processor", "cores": 2, "system": "Linux x86_64",
                    "versions": {"python": "3.11.2", "flax": None}},
        "peaks": {"float32": 100e9, "bfloat16": None, "bytes": 20e9}, "quick": False,
        "training": [{"job": "28-64-64-1", "precision": "float32", "rows": 50_000, "batch_size": 256,
                      "operations": 30_000_000_000, "compared_epochs": 3, "tolerance": 0.15,
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

**28-64-64-1, float32: an epoch of 50,000 rows by 256, 30 GFLOP needed; loss after 3 epochs**

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


def test_a_variant_that_does_not_learn_is_named():
    found = report.compare(found_with(OURS | {"loss": 2.3}, TORCH, HAND))
    assert report.problems(found) == [
        "28-64-64-1, float32: the loss of chainrule is 2.3000, far from the others'"]
    assert "| 2.3000 (!) |" in report.text(found)


def test_a_loss_that_is_no_number_does_not_pass_for_learning():
    found = report.compare(found_with(OURS | {"loss": float("nan")}, TORCH, HAND))
    assert [result["learns"] for result in found["training"][0]["results"]][0] is False


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
    for words in ("28-64-64-1", "chainrule", "PyTorch", "JAX by hand", "400 ms"):
        assert words in drawn
    chart.draw(copy.deepcopy(found), tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == drawn
