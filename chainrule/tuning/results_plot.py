"""The trials of a search as pictures. Imported when a plot is asked for, because it needs Matplotlib."""
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from chainrule.training.history_plot import INK, MOST_COLUMNS, TRAINING, VALIDATION, Plot, style
from chainrule.tuning.progress import format_value
from chainrule.tuning.space import Choice, Dimension, Integer, LogUniform

_LONGEST_LABEL = 14
_SPREAD = 0.12  # how far points of one option lie apart, on either side
_MOST_RATIO = 5.0  # of the worst figure and the best: from here on, their scale is one of orders of magnitude


@dataclass(frozen=True)
class Scale:
    """Where values lie on an axis from 0 to 1.

    Attributes:
        places: of the trials' values.
        ticks: places with what is written there.
    """

    places: np.ndarray
    ticks: list[tuple[float, str]]


def plot_parallel(space: Mapping[str, Dimension], values: Mapping[str, Sequence[Any]], figures: np.ndarray,
                  monitor: str, larger: bool) -> Plot:
    """An axis for each name and one for the figure; each trial is a line across them.

    Args:
        space: the dimensions to show.
        values: of the trials, by name.
        figures: what they are judged by.
        monitor: its name.
        larger: whether larger ones are better.
    """
    scales = {name: _scale(dimension, values[name]) for name, dimension in space.items()}
    scales[monitor] = _figure_scale(figures, larger)
    names = list(scales)
    figure = Plot(figsize=(max(1.5 * len(names), 4.5), 3.6), layout="constrained", dpi=120, facecolor="none")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    panel.set_facecolor("none")
    lines = np.stack([scale.places for scale in scales.values()], axis=1)
    order = np.argsort(-figures if larger else figures, kind="stable")
    for rank, trial in reversed(list(enumerate(order))):
        share = 1 - rank / max(len(order) - 1, 1)
        best = rank == 0
        panel.plot(range(len(names)), lines[trial], color=VALIDATION if best else TRAINING,
                   linewidth=2.2 if best else 0.6 + share, alpha=1.0 if best else 0.08 + 0.62 * share**2,
                   label="best" if best else None, solid_joinstyle="round")
    for place, scale in enumerate(scales.values()):
        panel.axvline(place, color=INK, linewidth=0.8)
        last = place == len(names) - 1
        for height, text in scale.ticks:
            panel.annotate(text, (place, height), xytext=(4 if last else -4, 5), textcoords="offset points", color=INK,
                           fontsize=7, ha="left" if last else "right", va="center")
    panel.set_xticks(range(len(names)), [_short(name) for name in names], fontsize=8, color=INK)
    panel.tick_params(axis="x", colors=INK, length=0)
    panel.set_yticks([])
    panel.set_xlim(-0.6, len(names) - 0.4)
    panel.set_ylim(-0.04, 1.04)
    panel.spines[["top", "right", "left", "bottom"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8, labelcolor=INK, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def plot_slices(space: Mapping[str, Dimension], values: Mapping[str, Sequence[Any]], figures: np.ndarray,
                monitor: str, larger: bool) -> Plot:
    """A panel for each name: the figure of every trial over its value, the best trial marked. As `plot_parallel`."""
    columns = min(len(space), MOST_COLUMNS)
    rows = math.ceil(len(space) / columns)
    figure = Plot(figsize=(3.6 * columns, 2.8 * rows), layout="constrained", dpi=120, facecolor="none")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    best = int(np.argmax(figures) if larger else np.argmin(figures))
    for place, (panel, (name, dimension)) in enumerate(zip(panels, space.items(), strict=False)):
        _draw_slice(panel, dimension, values[name], figures, best)
        style(panel, name, None)
        if place % columns == 0:
            panel.set_ylabel(monitor, fontsize=9, color=INK)
        if _spans_orders(figures):
            panel.set_yscale("log")
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            panel.yaxis.set_minor_formatter(NullFormatter())
        panel.tick_params(which="both", colors=INK, labelsize=8)
    panels[0].legend(frameon=False, fontsize=8, labelcolor=INK)
    for panel in panels[len(space):]:
        panel.set_visible(False)
    return figure


def _draw_slice(panel, dimension: Dimension, values: Sequence[Any], figures: np.ndarray, best: int) -> None:
    """The points of one panel."""
    if isinstance(dimension, Choice):
        where = np.array([_index(dimension, value) for value in values], float)
        for option in range(len(dimension.options)):
            alike = np.flatnonzero(where == option)
            where[alike] += np.linspace(-_SPREAD, _SPREAD, len(alike)) if len(alike) > 1 else 0.0
        panel.set_xticks(range(len(dimension.options)), [_short(format_value(one)) for one in dimension.options])
        panel.set_xlim(-0.5, len(dimension.options) - 0.5)
    else:
        where = np.array(values, float)
        if _is_log(dimension):
            panel.set_xscale("log")
        elif isinstance(dimension, Integer):
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.plot(where, figures, "o", color=TRAINING, markersize=4, alpha=0.55, markeredgewidth=0)
    panel.plot(where[best], figures[best], "o", color=VALIDATION, markersize=7,
               label=f"best: {format_value(float(figures[best]))}")


def _scale(dimension: Dimension, values: Sequence[Any]) -> Scale:
    """The axis of a dimension: a choice has a place for each option."""
    if isinstance(dimension, Choice):
        last = max(len(dimension.options) - 1, 1)
        places = np.array([_index(dimension, value) / last for value in values])
        return Scale(places, [(number / last, _short(format_value(option)))
                              for number, option in enumerate(dimension.options)])
    low, high = getattr(dimension, "low", None), getattr(dimension, "high", None)
    given = np.array(values, float)
    if low is None:  # a dimension of the user's own
        low, high = given.min(), given.max()
    to_axis = np.log if _is_log(dimension) else np.asarray
    span = (to_axis(high) - to_axis(low)) or 1.0
    middle = math.sqrt(low * high) if _is_log(dimension) else (low + high) / 2
    place = lambda value: (to_axis(value) - to_axis(low)) / span
    ticks = [(float(place(tick)), format_value(_rounded(tick))) for tick in (low, middle, high)]
    return Scale(place(given), ticks)


def _figure_scale(figures: np.ndarray, larger: bool) -> Scale:
    """The axis of what trials are judged by, from the worst to the best."""
    to_axis = np.log if _spans_orders(figures) else np.asarray
    low, high = to_axis(figures.min()), to_axis(figures.max())
    span = (high - low) or 1.0
    levels = np.linspace(low, high, 5) if high > low else np.array([low])
    written = np.exp(levels) if _spans_orders(figures) else levels
    place = lambda value: (value - low) / span if larger else 1 - (value - low) / span
    ticks = [(float(place(level)), f"{value:.4g}") for level, value in zip(levels, written, strict=True)]
    return Scale(place(to_axis(figures)), ticks)


def _spans_orders(figures: np.ndarray) -> bool:
    return bool(figures.min() > 0 and figures.max() / figures.min() > _MOST_RATIO)


def _is_log(dimension: Dimension) -> bool:
    return isinstance(dimension, LogUniform) or (isinstance(dimension, Integer) and dimension.log)


def _index(dimension: Choice, value) -> int:
    """The number of an option."""
    return next(number for number, option in enumerate(dimension.options)
                if option is value or (type(option) is type(value) and option == value))


def _rounded(value):
    return float(f"{value:.2g}") if isinstance(value, float) else value


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else f"…{text[1 - _LONGEST_LABEL:]}"
