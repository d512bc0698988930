"""Results: tables and pictures of trials."""
import builtins

import numpy as np
import pytest
from rich.console import Console

import chainrule as cr
from chainrule.errors import SettingError, UnknownNameError
from chainrule.tuning.results_plot import plot_parallel, plot_slices
from chainrule.tuning.space import Choice, Integer, LogUniform, Uniform


@pytest.fixture(scope="module")
def results():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype("float32")
    model = cr.Sequential([cr.Input((4,)), cr.layers.Dense(6), cr.layers.Dropout(0.1), cr.layers.Dense(1)])
    model.compile(cr.optimizers.SGD(), "mse", metrics=["mae"])
    space = {"learning_rate": (1e-4, 1e-1, "log"), "rate": (0.0, 0.5), "momentum": 0.5}
    return cr.tune(model, space, (x, x[:, :1] * 2), 24, epochs=2, verbose=0)


def shown(thing, width=120) -> list[str]:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(thing)
    return capture.get().splitlines()


def test_the_table_has_the_best_first(results):
    lines = shown(results)
    assert lines[0].split() == ["trial", "learning_rate", "rate", "val_loss", "val_mae"]
    assert len(lines) == 22 and lines[-1].strip() == "and 4 more"
    losses = [float(line.split()[3]) for line in lines[1:-1]]
    assert losses == sorted(losses) and int(lines[1].split()[0]) == results.best.number
    assert len(shown(results.table(3))) == 5


def test_headings_are_folded_where_there_is_no_room_and_cells_are_not(results):
    lines = shown(results.table(1), width=48)
    assert f"{results.best.figures['val_loss']:.4f}" in lines[-2] and "…" not in "".join(lines)


def test_in_a_notebook_it_is_a_table(results):
    text = results._repr_html_()
    assert text.count("<tr>") == 21 and "and 4 more" in text and "<th>val_loss</th>" in text


def test_in_a_line(results):
    best = results.best
    assert repr(results) == (f"<Results of 24 trials, 24 over: best val_loss {best.figures['val_loss']:.4g} "
                             f"(learning_rate {best.values['learning_rate']:.4g}, rate {best.values['rate']:.4g})>")


def test_columns(results):
    columns = results.to_dict()
    assert list(columns) == ["trial", "learning_rate", "rate", "momentum", "loss", "mae", "val_loss", "val_mae",
                             "state", "epochs", "best_epoch", "seed"]
    assert {len(column) for column in columns.values()} == {24} and set(columns["momentum"]) == {0.5}
    pandas = pytest.importorskip("pandas")
    frame = results.to_frame()
    assert isinstance(frame, pandas.DataFrame) and frame["val_loss"].idxmin() == results.best.number


def test_names_and_numbers_that_nothing_has(results):
    with pytest.raises(UnknownNameError) as caught:
        results.plot_slices(["learning_rat"])
    assert str(caught.value) == "The trials do not differ in 'learning_rat'. Did you mean 'learning_rate'?"
    with pytest.raises(SettingError) as caught:
        results.retrain(24)
    assert str(caught.value) == "The trials have the numbers 0 to 23; got 24."


def test_matplotlib_is_needed_for_pictures(results, monkeypatch):
    real = builtins.__import__

    def without(name, globals=None, locals=None, fromlist=(), level=0):
        if "results_plot" in (fromlist or ()):
            raise ImportError(name)
        return real(name, globals, locals, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError) as caught:
        results.plot_parallel()
    assert str(caught.value) == ("Plots are drawn with Matplotlib, which is not installed: "
                                 "pip install 'chainrule[plots]'.")


SPACE = {"units": Integer(4, 64, log=True), "act": Choice(["relu", "tanh", "gelu"]), "rate": Uniform(0.0, 0.5),
         "learning_rate": LogUniform(1e-4, 1e-1)}
VALUES = {"units": [4, 16, 64], "act": ["relu", "gelu", "tanh"], "rate": [0.0, 0.25, 0.5],
          "learning_rate": [1e-4, 1e-3, 1e-1]}


def test_lines_cross_the_axes_where_their_values_lie():
    panel = plot_parallel(SPACE, VALUES, np.array([3.0, 1.0, 2.0]), "val_loss", False).axes[0]
    lines = [line.get_ydata() for line in panel.lines if len(line.get_xdata()) == 5]
    best = lines[-1]  # drawn last, on top
    np.testing.assert_allclose(best, [0.5, 1.0, 0.5, 1 / 3, 1.0])
    assert sorted(round(line[-1], 3) for line in lines) == [0.0, 0.5, 1.0]  # the smallest loss is on top
    assert [label.get_text() for label in panel.get_xticklabels()] == [*SPACE, "val_loss"]
    larger = plot_parallel(SPACE, VALUES, np.array([0.3, 0.1, 0.2]), "val_accuracy", True).axes[0]
    np.testing.assert_allclose([line.get_ydata() for line in larger.lines if len(line.get_xdata()) == 5][-1],
                               [0.0, 0.0, 0.0, 0.0, 1.0])


def test_each_name_has_a_panel_with_all_trials():
    figure = plot_slices(SPACE, VALUES, np.array([300.0, 1.0, 2.0]), "val_loss", False)
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert [panel.get_title(loc="left") for panel in panels] == list(SPACE)
    assert [panel.get_xscale() for panel in panels] == ["log", "linear", "linear", "log"]
    assert all(panel.get_yscale() == "log" for panel in panels)
    points, best = panels[3].lines
    np.testing.assert_allclose(points.get_xdata(), VALUES["learning_rate"])
    np.testing.assert_allclose(best.get_xydata(), [[1e-3, 1.0]])
