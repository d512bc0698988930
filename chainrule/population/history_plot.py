"""The figures of a population as bands. Imported when a plot is asked for, because it needs Matplotlib."""
import warnings

import numpy as np
from matplotlib.ticker import MaxNLocator

from chainrule.training.history_plot import INK, TRAINING, VALIDATION, Plot, panels_for, style


def plot(epochs: list[int], bands: dict[str, dict[str, np.ndarray]], best: dict[str, int]) -> Plot:
    """A panel for each figure: the median, the middle half of the members and all of them, and the best member.

    Args:
        epochs: their numbers.
        bands: for each figure, by the name of the curve (`"training"`, `"validation"`), values `(epochs, members)`.
        best: for each figure the member that is drawn by itself.
    """
    figure, panels = panels_for(len(bands))
    for panel, (name, curves) in zip(panels, bands.items(), strict=False):
        for kind, values in curves.items():
            _draw(panel, np.array(epochs) + 1, values, kind, best[name] if kind == list(curves)[-1] else None)
        panel.legend(frameon=False, fontsize=8, labelcolor=INK)
        style(panel, name, "epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    for panel in panels[len(bands):]:
        panel.set_visible(False)
    return figure


def _draw(panel, epochs, values, kind: str, best: int | None) -> None:
    """One curve: median, two bands, and the best member where it is given."""
    color = TRAINING if kind == "training" else VALIDATION
    there = ~np.isnan(values).all(axis=1)
    epochs, values = epochs[there], values[there]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, first, middle, third, high = np.nanquantile(values, [0, 0.25, 0.5, 0.75, 1], axis=1)
    few = "." if len(epochs) < 3 else None  # one point makes no line
    panel.fill_between(epochs, low, high, color=color, alpha=0.12, linewidth=0)
    panel.fill_between(epochs, first, third, color=color, alpha=0.25, linewidth=0)
    panel.plot(epochs, middle, color=color, linewidth=1.6, marker=few, label=f"{kind}, median",
               linestyle="-" if kind == "training" else (0, (5, 1.5)))
    if best is not None:
        panel.plot(epochs, values[:, best], color=color, linewidth=0.9, label=f"best: member {best}")
