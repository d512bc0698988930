"""Progress: what is drawn and what stays, how often, and that the terminal is left as it was."""
import io
import sys
import time
import types

import numpy as np
import pytest
from rich.console import Console

from chainrule.callbacks import Callback, progress
from chainrule.devices import describe_device
from chainrule.errors import SettingError
from chainrule.layers import Dense
from chainrule.models import Input, Sequential

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
SHOW, HIDE = "\x1b[?25h", "\x1b[?25l"  # the cursor


def small_model():
    model = Sequential([Input((3,)), Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 80 columns that remembers everything written to it."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, highlight=False)
    monkeypatch.setattr(progress, "live_line", lambda: progress.TerminalLine(console))
    return console.file


def test_verbosity(monkeypatch):
    assert [progress.resolve_verbosity(value) for value in (0, 1, 2, True)] == [0, 1, 2, 1]
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert progress.resolve_verbosity("auto") == 2
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert progress.resolve_verbosity("auto") == 1
    with pytest.raises(SettingError) as error:
        progress.resolve_verbosity(3)
    assert str(error.value) == "verbose is 0 (silent), 1 (live), 2 (one line an epoch) or 'auto'; got 3."


@pytest.mark.parametrize(("epochs", "most", "lines"), [(1, 20, 1), (20, 20, 20), (100, 100, 100), (101, 100, 20),
                                                       (1000, 100, 20), (21, 20, 21), (57, 20, 19)])
def test_which_epochs_have_a_line(epochs, most, lines):
    assert sum(progress.has_line(epoch, epochs, most) for epoch in range(epochs)) == lines


def test_plain_lines(capsys):
    small_model().fit(X, X[:, 0], epochs=3, verbose=2)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"Training on {describe_device()}"
    assert [line.split("  ")[0] for line in lines] == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]
    assert all("  loss " in line and line.endswith(" s") for line in lines)
    small_model().fit(X, X[:, 0], epochs=250, verbose=2)
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == 21 and lines[0].startswith("Epoch  12/250  ") and lines[-1].startswith("Epoch 250/250  ")


def test_silence(capsys):
    model = small_model()
    model.fit(X, X[:, 0], verbose=0)
    model.evaluate(X, X[:, 0], verbose=0)
    model.predict(X)
    assert capsys.readouterr() == ("", "")


def test_a_live_line_on_a_terminal(terminal):
    small_model().fit(X, X[:, 0], epochs=30, verbose=1)
    text = terminal.getvalue()
    assert text.startswith(f"Training on {describe_device()}\n") and text.count("Training") == 1
    assert "compiling" in text and text.count("/30  loss") == 15
    assert text.index(HIDE) < text.rindex(SHOW) and text.count(HIDE) == text.count(SHOW)
    assert "\x1b[2K30/30  loss" in text


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_terminal_is_restored_after_an_error(terminal, error):
    class Fail(Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise error

    with pytest.raises(error):
        small_model().fit(X, X[:, 0], epochs=3, verbose=1, callbacks=[Fail()])
    text = terminal.getvalue()
    assert text.count(HIDE) == text.count(SHOW) == 1 and text.index(HIDE) < text.index(SHOW)


def test_it_draws_at_most_four_times_a_second_and_costs_little():
    drawn = []
    line = types.SimpleNamespace(draw=lambda *args: drawn.append(args), keep=lambda text: None, close=lambda: None)
    watcher = progress.TrainingProgress(0)
    watcher.verbosity, watcher.line = 1, line
    watcher.set_params({"epochs": 100_000, "steps": 5, "samples": 100})
    watcher.on_train_begin()
    start = time.perf_counter()
    for epoch in range(10_000):
        watcher.on_epoch_end(epoch, {"loss": 0.1})
    seconds = time.perf_counter() - start
    assert len(drawn) <= 2 + seconds / 0.25
    assert seconds / 10_000 < 2e-5


def test_time_left_and_rate(monkeypatch):
    drawn, now = [], [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    watch = progress.Watch(types.SimpleNamespace(draw=lambda *args: drawn.append(args)), total=100, rows=32)
    for seconds, done in [(3.0, 0), (3.1, 1), (5.0, 20), (7.0, 40)]:
        now[0] = seconds
        watch.advance(done, "Epoch 1/5", {"loss": 0.5})
    assert drawn == [
        ("Epoch 1/5", 0.0, "", "loss 0.5000"), ("Epoch 1/5", 0.2, "8.0 s left", "loss 0.5000  320 rows/s"),
        ("Epoch 1/5", 0.4, "6.0 s left", "loss 0.5000  320 rows/s")]


def test_a_notebook_gets_text_that_is_replaced(monkeypatch):
    shown = []

    class Handle:
        def update(self, content, raw):
            shown.append(content["text/plain"])

    def display(content, raw, display_id):
        assert raw and display_id
        shown.append(content["text/plain"])
        return Handle()

    module = types.ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(progress, "live_line", progress.NotebookLine)
    small_model().fit(X, X[:, 0], epochs=2, verbose=1)
    place = f"Training on {describe_device()}"
    assert shown[0] == f"{place}\nEpoch 1/2  ░░░░░░░░░░░░    compiling"
    assert [line.split("  ")[0] for line in shown[-1].splitlines()] == [place, "1/2", "2/2"]


def test_evaluate_and_predict(capsys, terminal):
    model = small_model()
    model.evaluate(X, X[:, 0], verbose=2)
    model.predict(X, batch_size=8, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("40 rows  loss ") and lines[1].startswith("40 rows  ") and lines[1].endswith(" s")
    assert "Batch 1/5" in terminal.getvalue()


def test_predict_restores_the_terminal(terminal):
    class Fail(Callback):
        def on_predict_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    class Last(Fail):
        """Runs after the live line was drawn for the first batch."""

    with pytest.raises(KeyboardInterrupt):
        small_model().predict(X, batch_size=8, verbose=1, callbacks=[Last()])
    assert terminal.getvalue().count(HIDE) == terminal.getvalue().count(SHOW) == 1
