"""`chainrule fit` and `predict` on series: what is learnt, what is compared, what is drawn, and how it fails."""
import csv
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from chainrule import series
from chainrule.cli import forecasts
from chainrule.cli.main import app
from chainrule.models import load_model

RUNNER = CliRunner()
QUICK = ("--hidden", "16", "--epochs", "12", "--seed", "1")


def run(*words):
    return RUNNER.invoke(app, [str(word) for word in words])


def refused(*words) -> str:
    done = run("fit", *words)
    assert done.exit_code == 1 and "Traceback" not in done.output, done.output
    return " ".join(done.stderr.split())


def weekly(path, rows: int = 400):
    """Days with a weekly pattern, a little noise, a second column, and one of text."""
    days = np.datetime64("2020-01-01") + np.arange(rows)
    noise = np.random.default_rng(0).normal(size=rows)
    load = 20 + 5 * np.sin(2 * np.pi * np.arange(rows) / 7) + 0.1 * noise
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Day", "Load", "Wind", "Remark"])
        writer.writerows([str(day), f"{value:.4f}", f"{other:.4f}", "fair"]
                         for day, value, other in zip(days, load, noise, strict=True))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    table = weekly(folder / "load.csv")
    done = run("fit", table, "--time", "Day", "--target", "Load", "--horizon", 7, *QUICK,
               "--output", folder / "load.chain", "--plot", folder / "load.png")
    assert done.exit_code == 0, done.output
    return folder, done.output


def test_it_says_what_it_does_and_beats_the_last_value(trained):
    folder, output = trained
    assert output.startswith(
        "load.csv: Load, 400 steps, 2020-01-01 to 2021-02-03; repeats after 7\n"
        "Windows: 254 to train on, 26 to stop early by, 74 at the end to test on\n"
        "Network: dense, 28 steps → 16 → 7 steps (and the calendar of the steps ahead)\n")
    found = re.findall(r"^(model|the last value|7 steps before) +([\d.]+)", output, re.MULTILINE)
    errors = {name: float(value) for name, value in found}
    assert errors["model"] < 0.5 * errors["the last value"] and "7 steps before" in errors
    assert (folder / "load.png").read_bytes().startswith(b"\x89PNG")


def test_the_file_foretells_what_comes(trained):
    folder, _ = trained
    done = run("predict", folder / "load.chain", folder / "load.csv")
    header, *lines = csv.reader(done.stdout.splitlines())
    assert header == ["time", "Load_10%", "Load_50%", "Load_90%"]
    assert [line[0] for line in lines] == [f"2021-02-{day:02d}" for day in range(4, 11)]
    model = load_model(folder / "load.chain")
    table = series.read_csv(folder / "load.csv", "Day", ["Load"])
    coming = forecasts.times_after(table.times, 7)
    expected = series.forecast(model, table, known=series.calendar(coming, ("week", "year")))
    np.testing.assert_allclose(np.array([line[1:] for line in lines], float), expected, rtol=1e-5)
    low, middle, high = expected.T
    assert (low <= middle).all() and (middle <= high).all()


def test_several_targets_inputs_and_no_times(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(200, 3)).cumsum(0)
    with open("walks.csv", "w") as file:
        file.write("a,b,c\n" + "".join(",".join(f"{value:.3f}" for value in row) + "\n" for row in rows))
    done = run("fit", "walks.csv", "--target", "c,a", "--inputs", "all", "--horizon", 2, "--network", "gru", *QUICK)
    assert done.exit_code == 0, done.output
    assert load_model("walks.chain").preparation.columns == ["c", "a", "b"]
    done = run("predict", "walks.chain", "walks.csv")
    header, *lines = csv.reader(done.stdout.splitlines())
    assert header == ["step", "c", "a"] and [line[0] for line in lines] == ["1", "2"]


@pytest.mark.parametrize("network", ["lstm", "convolutional", "linear"])
def test_every_network(network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weekly("load.csv", 150)
    done = run("fit", "load.csv", "--target", "Load", "--horizon", 1, "--network", network, "--epochs", 1, "--quiet",
               "--plot", "picture.svg")
    assert done.exit_code == 0, done.output
    assert float(done.stdout) > 0


def test_gaps_are_filled_and_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weekly("load.csv", 150)
    lines = (tmp_path / "load.csv").read_text().splitlines(keepends=True)
    lines[5] = lines[5].replace(lines[5].split(",")[1], "")
    (tmp_path / "load.csv").write_text("".join(lines))
    done = run("fit", "load.csv", "--time", "Day", "--target", "Load", "--epochs", 1)
    assert "1 missing values were interpolated." in done.output, done.output


def test_days_that_are_not_there_count_as_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weekly("load.csv", 150)
    lines = (tmp_path / "load.csv").read_text().splitlines(keepends=True)
    del lines[9:11]
    (tmp_path / "load.csv").write_text("".join(lines))
    done = run("fit", "load.csv", "--time", "Day", "--target", "Load", "--epochs", 1)
    assert "\n2 missing values were interpolated." in done.output, done.output


@pytest.mark.parametrize(("words", "message"), [
    (("--horizon", 7), "load.csv has the columns Load, Wind: say which to forecast, --target Load."),
    (("--time", "Day", "--target", "Lod"), "load.csv has no column 'Lod'. Did you mean 'Load'?"),
    (("--time", "Day", "--target", "Load", "--network", "dens"),
     "There is no network 'dens' for series. Did you mean 'dense'?"),
    (("--time", "Day", "--target", "Load", "--length", 500),
     "length=500 rows before the first cut are asked for; there are 43."),
])
def test_what_cannot_be_done(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weekly("load.csv", 60)
    assert refused("load.csv", *words) == f"Error: {message}"


def test_a_forecast_needs_the_columns_and_the_times(trained, tmp_path):
    folder, _ = trained
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    done = run("predict", folder / "load.chain", tmp_path / "other.csv")
    assert done.exit_code == 1
    assert done.stderr == f"Error: {tmp_path}/other.csv has no column of numbers 'Load'. The model sees Load.\n"


def test_months_go_on_by_months():
    times = np.array(["1960-10", "1960-11", "1960-12"], "M8[s]")
    assert forecasts.times_after(times, 2).astype("M8[D]").astype(str).tolist() == ["1961-01-01", "1961-02-01"]
    assert forecasts.times_after(np.array(["2020-02-27", "2020-02-28"], "M8[s]"), 2).astype("M8[D]").astype(
        str).tolist() == ["2020-02-29", "2020-03-01"]
