"""The chart of a run: for each job, seconds an epoch of every library in its fastest variant."""
from pathlib import Path

from peers import OWN
from report import duration, three_digits

INK = "#7d8590"  # a grey that reads on white and on black
OTHERS, OURS = "#8aa4c8", "#e8833a"
COLUMNS = 2


def draw(found: dict, path: Path) -> None:
    """Write an SVG with nothing behind it, so that it suits light pages and dark ones."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    sections = [section for section in found["training"] if any(result["best"] for result in section["results"])]
    settings = {"svg.fonttype": "none", "svg.hashsalt": "chainrule", "font.size": 9, "font.family": "sans-serif",
                "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}
    rows = max(1, -(-len(sections) // COLUMNS))
    with matplotlib.rc_context(settings):
        figure, grid = pyplot.subplots(rows, COLUMNS, figsize=(9, 1.9 * rows), squeeze=False, layout="constrained")
        for axes in grid.flat:
            axes.set_axis_off()
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
        bars = [fastest_variants(section["results"]) for section in sections]
        most = max(map(len, bars), default=0)
        for axes, section, own in zip(grid.flat, sections, bars, strict=False):
            panel(axes, section, own, most)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})
        pyplot.close(figure)


def panel(axes, section: dict, bars: list[dict], most: int) -> None:
    """Bars from the fastest at the top, each with its time and how many times the fastest peer's that is.

    Args:
        most: the number of bars that there is room for, the same in all panels, so that all bars are equally thick.
    """
    axes.set_axis_on()
    for place, result in enumerate(bars):
        own = result["kind"] == OWN
        axes.barh(place, result["best"], color=OURS if own else OTHERS, height=0.72)
        ratio = "" if result["peer_ratio"] is None else f" \u00b7 {three_digits(result['peer_ratio'])} x"
        axes.annotate(f"{duration(result['best'])}{ratio}", (result["best"], place), (4, 0),
                      textcoords="offset points", va="center", color=INK)
    axes.set_yticks(range(len(bars)), [result["peer"] for result in bars])
    axes.set_ylim(most - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_xlim(0, 1.4 * max(result["best"] for result in bars))
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    precision = "" if section["precision"] == "float32" else f", {section['precision']}"
    axes.set_title(f"{section['job']}{precision}", loc="left", fontsize=10, fontweight="bold", color=INK)


def fastest_variants(results: list[dict]) -> list[dict]:
    """One result a library, the fastest first; of chainrule the one that a user gets, the first in the list."""
    chosen: dict[str, dict] = {}
    for result in results:
        if result["best"] is None:
            continue
        held = chosen.get(result["peer"])
        if held is None or (result["kind"] != OWN and result["best"] < held["best"]):
            chosen[result["peer"]] = result
    return sorted(chosen.values(), key=lambda result: result["best"])
