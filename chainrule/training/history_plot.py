"""The figures of a fit as curves. Imported when a plot is asked for, because it needs Matplotlib."""
import io
import math
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Colours with at least three times the contrast of white and of a dark page, told apart by the colour-blind too.
TRAINING, VALIDATION, INK = "#2f7fd1", "#d9660f", "#808080"
MOST_COLUMNS = 3


class Plot(Figure):
    """A figure of Matplotlib that shows itself in a notebook. Its ground is transparent, for light and dark pages."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def panels_for(count: int) -> tuple[Plot, Sequence]:
    """A figure with at least so many panels side by side and below each other, and the panels."""
    columns = min(count, MOST_COLUMNS)
    rows = math.ceil(count / columns)
    figure = Plot(figsize=(4.6 * columns, 3.2 * rows), layout="constrained", dpi=120, facecolor="none")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def plot(curves: dict[str, dict[str, tuple[list, list]]], best: dict[str, tuple[int, float]]) -> Plot:
    """A panel for each figure with its curves: training drawn through, validation dashed, the best epoch marked.

    Args:
        curves: for each figure, by the name of the curve (`"training"`, `"validation"`), epochs and values.
        best: for some figures the best epoch and its value.
    """
    figure, panels = panels_for(len(curves))
    for panel, (name, lines) in zip(panels, curves.items(), strict=False):
        for kind, (epochs, values) in lines.items():
            few = "." if len(epochs) < 3 else None  # one point makes no line
            panel.plot([epoch + 1 for epoch in epochs], values, label=kind, marker=few, linewidth=1.6,
                       color=TRAINING if kind == "training" else VALIDATION,
                       linestyle="-" if kind == "training" else (0, (5, 1.5)))
        if name in best:
            epoch, value = best[name]
            panel.plot(epoch + 1, value, "o", color=VALIDATION if "validation" in lines else TRAINING,
                       markersize=6, label=f"best: {value:.4g} in epoch {epoch + 1}")
        if name in best or len(lines) > 1:
            panel.legend(frameon=False, fontsize=8, labelcolor=INK)
        style(panel, name, "epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if max(len(epochs) for epochs, _ in lines.values()) == 1:
            epoch = max(epochs[0] for epochs, _ in lines.values()) + 1
            panel.set_xlim(epoch - 0.5, epoch + 0.5)  # else Matplotlib divides a single epoch
    for panel in panels[len(curves):]:
        panel.set_visible(False)
    return figure


def style(panel, name: str, along: str | None) -> None:
    """Grey lines and letters, which are read on any ground.

    Args:
        panel: axes of Matplotlib.
        name: what stands above them.
        along: what stands below them.
    """
    panel.set_facecolor("none")
    panel.set_title(name, loc="left", fontsize=10, color=INK)
    panel.set_xlabel(along or "", fontsize=9, color=INK)
    panel.tick_params(colors=INK, labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(INK)
    panel.grid(axis="y", color=INK, alpha=0.25, linewidth=0.6)
