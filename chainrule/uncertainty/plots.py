"""Calibration as figures. Imported when a plot is asked for, because it needs Matplotlib."""
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from chainrule.training.history_plot import INK, TRAINING, VALIDATION, Plot, style


def plot_calibration(curve) -> Plot:
    """The reliability diagram: frequency by probability beside the diagonal, and the rows of each bin."""
    figure = Plot(figsize=(4.6, 5.2), layout="constrained", dpi=120, facecolor="none")
    FigureCanvasAgg(figure)
    panel, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    _diagonal(panel)
    gap = np.stack([curve.probability, curve.frequency])
    panel.vlines(curve.probability, gap.min(0), gap.max(0), color=VALIDATION, alpha=0.45, linewidth=4)
    panel.plot(curve.probability, curve.frequency, marker="o", color=TRAINING, linewidth=1.6, markersize=5)
    confident = curve.of == "confidence"
    style(panel, f"calibration: expected error {curve.error:.4f}", None)
    panel.set_ylabel("share that is right" if confident else f"share of class {curve.of}", fontsize=9, color=INK)
    panel.set_ylim(-0.02, 1.02)
    counts.bar(curve.lower, curve.count, curve.upper - curve.lower, align="edge", color=TRAINING, alpha=0.6,
               edgecolor=INK, linewidth=0.6)
    style(counts, "", "confidence" if confident else f"probability of class {curve.of}")
    counts.set_ylabel("rows", fontsize=9, color=INK)
    counts.set_xlim(-0.02, 1.02)
    return figure


def plot_coverage(curve) -> Plot:
    """The share of targets that intervals held, by the share that they should hold."""
    figure = Plot(figsize=(4.6, 4.4), layout="constrained", dpi=120, facecolor="none")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    _diagonal(panel)
    panel.plot(curve.level, curve.coverage, marker="o", color=TRAINING, linewidth=1.6, markersize=5)
    style(panel, f"coverage: mean error {curve.error:.4f}", "level")
    panel.set_ylabel("share of targets inside", fontsize=9, color=INK)
    panel.set_xlim(-0.02, 1.02)
    panel.set_ylim(-0.02, 1.02)
    return figure


def _diagonal(panel) -> None:
    """Where a curve that promises what it holds lies."""
    panel.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (5, 3)))
