"""The record of a fit: which epochs a figure belongs to, the table in notebooks, the plot."""
import builtins
import io
import sys

import numpy as np
import pytest
from helpers import classifier, two_moons
from PIL import Image

from chainrule.errors import SettingError
from chainrule.training.history import History


def history(epochs=6, every=1, rate=True):
    made = History(params={"validation_freq": every})
    for epoch in range(epochs):
        figures = {"loss": 1 / (epoch + 1), "accuracy": 0.5 + epoch / 20}
        if (epoch + 1) % every == 0:
            figures |= {"val_loss": 1 + (epoch - 3) ** 2 / 10, "val_accuracy": 0.5 - (epoch - 1) ** 2 / 100}
        made.add(epoch, figures | ({"learning_rate": 0.1} if rate else {}))
    return made


def curves(panel):
    return {line.get_label(): (line.get_xdata(), line.get_ydata()) for line in panel.lines}


def test_a_panel_for_each_figure_with_the_best_epoch_of_validation():
    made = history()
    loss, accuracy, rate = made.plot().axes
    assert [panel.get_title(loc="left") for panel in (loss, accuracy, rate)] == ["loss", "accuracy", "learning_rate"]
    assert list(curves(loss)) == ["training", "validation", "best: 1 in epoch 4"]
    assert list(curves(accuracy)) == ["training", "validation", "best: 0.5 in epoch 2"]
    assert list(curves(rate)) == ["training"]
    assert np.array_equal(curves(loss)["training"], ([1, 2, 3, 4, 5, 6], made.history["loss"]))
    assert np.array_equal(curves(loss)["validation"][1], made.history["val_loss"])


def test_validation_that_was_not_always_due_stands_at_its_epochs():
    made = history(every=2)
    panel, = made.plot("loss").axes
    assert np.array_equal(curves(panel)["validation"], ([2, 4, 6], made.history["val_loss"]))
    assert "best: 1 in epoch 4" in curves(panel)
    rows = made._repr_html_().split("<tr>")[2:]
    assert len(rows) == 6 and rows[0].startswith("<td>1</td><td>1</td><td>0.5</td><td>0.1</td><td></td>")
    assert rows[1].startswith("<td>2</td><td>0.5</td><td>0.55</td><td>0.1</td><td>1.4</td>")


def test_without_validation_the_best_epoch_is_that_of_training():
    made = History()
    for epoch, value in enumerate([3.0, 1.0, np.nan, 2.0]):
        made.add(epoch, {"loss": value})
    assert list(curves(made.plot().axes[0])) == ["training", "best: 1 in epoch 2"]


def test_a_fit_that_went_on_counts_its_epochs_on():
    x, y = two_moons()
    found = classifier().fit(x, y, epochs=5, initial_epoch=3, verbose=0, validation_split=0.2, validation_freq=2)
    assert found.epochs_of("loss") == [3, 4] and found.epochs_of("val_loss") == [3]


def test_the_picture_shows_on_light_and_on_dark_pages():
    image = np.asarray(Image.open(io.BytesIO(history().plot()._repr_png_())).convert("RGBA")).astype(int)
    assert image[0, 0, 3] == 0 and (image[..., 3] == 255).mean() > 0.005  # drawn on nothing
    brightness = image[image[..., 3] == 255][:, :3] @ [0.299, 0.587, 0.114]
    assert 60 < brightness.min() and brightness.max() < 170


@pytest.mark.parametrize(("names", "message"), [
    ("acuracy", "The history has no figure 'acuracy'. Did you mean 'accuracy'?"),
    (["loss", "f1"], "The history has no figure 'f1'. Known names: 'accuracy', 'loss'."),
    ([], "The history has no figure ''. Known names: 'accuracy', 'loss'."),
])
def test_figures_that_are_not_there(names, message):
    with pytest.raises(SettingError) as error:
        history(rate=False).plot(names)
    assert str(error.value) == message


def test_nothing_to_plot():
    with pytest.raises(SettingError) as error:
        History().plot()
    assert str(error.value) == "There is nothing to plot: the history has no epochs."


def test_without_matplotlib(monkeypatch):
    imported = builtins.__import__

    def without(name, *arguments, **settings):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return imported(name, *arguments, **settings)

    monkeypatch.delitem(sys.modules, "chainrule.training.history_plot", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError) as error:
        history().plot()
    assert str(error.value) == (
        "Plots are drawn with Matplotlib, which is not installed: pip install 'chainrule[plots]'.")


def test_a_plot_of_one_epoch_counts_in_whole_epochs():
    history = History()
    history.add(4, {"loss": 0.5})
    panel, = history.plot().axes
    low, high = panel.get_xlim()
    assert [tick for tick in panel.get_xticks() if low <= tick <= high] == [5]
