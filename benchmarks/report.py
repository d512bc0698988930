"""What was measured, as tables for people; the ratios are added to the results, for the JSON to have them too."""
import math
import statistics

from peers import HAND, LIBRARY, OWN

RATIOS = (("library_ratio", (LIBRARY,), "x fastest library"), ("hand_ratio", (HAND,), "x JAX by hand"),
          ("peer_ratio", (LIBRARY, HAND), "x fastest peer"))


def compare(found: dict) -> dict:
    """Add ratios, shares of the peak and the comparison of losses to everything that was measured."""
    for section in found["training"]:
        add_ratios(section["results"])
        peak = found["peaks"].get(section["precision"])
        for result in section["results"]:
            timed = result["best"] is not None and peak
            result["of_peak"] = section["operations"] / result["best"] / peak if timed else None
        add_agreement(section)
    for rows in sorted({result["rows"] for result in found["predict"]}):
        add_ratios([result for result in found["predict"] if result["rows"] == rows])
    add_ratios(found["first_result"])
    return found


def add_ratios(results: list[dict]) -> None:
    """Each one's best time over the best of the libraries, of JAX by hand, and of all peers; below 1 is faster."""
    for name, kinds, _ in RATIOS:
        rivals = [result["best"] for result in results if result["kind"] in kinds and result["best"] is not None]
        for result in results:
            known = rivals and result["best"] is not None
            result[name] = result["best"] / min(rivals) if known else None


def add_agreement(section: dict) -> None:
    """Say of each variant whether it has learned as much as the others: nobody wins by not learning.

    What is learned is how far the loss has come down from the blind loss; a variant's is taken over that of the median.
    Losses themselves would not do: near zero the order of the batches alone doubles them, and that is nothing beside
    what has been learned.
    """
    losses = [result["loss"] for result in section["results"] if math.isfinite(result.get("loss", math.nan))]
    common = section["blind_loss"] - statistics.median(losses) if losses else 0.0
    for result in section["results"]:
        if "loss" in result:
            result["learned"] = (section["blind_loss"] - result["loss"]) / common if common > 0 else 0.0
            result["learns"] = result["learned"] > 0 and (
                section["tolerance"] is None or abs(result["learned"] - 1) <= section["tolerance"])


def problems(found: dict) -> list[str]:
    """What a reader must know before believing the figures: failures, and losses that differ."""
    lines = []
    for title, results in parts(found):
        title = title.split(":")[0]
        lines += [f"{title}: {result['variant']} failed: {result['failed']}" for result in results
                  if "failed" in result]
        lines += [f"{title}: {result['variant']}, with a loss of {result['loss']:.4f}, has learned "
                  f"{result['learned']:.0%} of what the others have"
                  for result in results if result.get("learns") is False]
    for rows in sorted({result["rows"] for result in found["predict"]}):
        classes = {round(result["mean_class"], 2) for result in found["predict"]
                   if result["rows"] == rows and "mean_class" in result}
        if len(classes) > 1 and max(classes) - min(classes) > 0.05:
            lines.append(f"predict, {rows} rows: the predictions differ: mean classes {sorted(classes)}")
    return lines


def parts(found: dict) -> list[tuple[str, list[dict]]]:
    """The results under their titles."""
    named = [(title_of(section), section["results"]) for section in found["training"]]
    named += [(f"predict of {rows:,} row{'s' * (rows != 1)}, 784-500-300-10",
               [result for result in found["predict"] if result["rows"] == rows])
              for rows in sorted({result["rows"] for result in found["predict"]})]
    return named + [("First result: a whole process with one epoch of 28-64-64-1", found["first_result"])
                    ] * bool(found["first_result"])


def title_of(section: dict) -> str:
    epochs = section["compared_epochs"]
    return (f"{section['job']}, {section['precision']}: an epoch of {section['rows']:,} rows by "
            f"{section['batch_size']}, {section['operations'] / 1e9:,.3g} GFLOP needed; loss after {epochs} "
            f"epoch{'s' * (epochs != 1)}, {section['blind_loss']:.4f} for who has learned nothing")


def text(found: dict) -> str:
    """Everything, as Markdown that is readable as it is."""
    blocks = [machine_line(found)]
    if found["quick"]:
        blocks.append("A quick run: it shows that all works, its times mean nothing.")
    blocks += [part_text(title, results) for title, results in parts(found)]
    if any(result["kind"] == OWN and result["best"] for section in found["training"] for result in section["results"]):
        blocks.append(f"**chainrule beside its peers; below 1 is faster**\n\n{summary(found)}")
    blocks += [f"Attention: {line}" for line in problems(found)]
    return "\n\n".join(blocks)


def part_text(title: str, results: list[dict]) -> str:
    """One table under its title, and who is not in it because it is not installed."""
    absent = [f"{result['variant']}: not available ({result['unavailable']})" for result in results
              if "unavailable" in result]
    return "\n\n".join([f"**{title}**", table(results), *["\n".join(absent)] * bool(absent)])


def machine_line(found: dict) -> str:
    """Where this was measured, and what the machine can do."""
    about, peaks = found["machine"], found["peaks"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    rate = lambda value, unit: "not measured" if value is None else f"{value / 1e9:,.0f} {unit}"
    return (f"{about['processor']}, {about['cores']} cores, {about['system']}; {versions}.\n"
            f"Peaks in this run: products {rate(peaks['float32'], 'GFLOP/s')} in float32, "
            f"{rate(peaks['bfloat16'], 'GFLOP/s')} in bfloat16; memory {rate(peaks['bytes'], 'GB/s')}.")


def table(results: list[dict]) -> str:
    """One row a variant, the fastest first, those without a time left out."""
    timed = sorted((result for result in results if result["best"] is not None), key=lambda result: result["best"])
    training, first = any("loss" in result for result in timed), any("first_epoch" in result for result in timed)
    header = ["variant", "best", "median", *["first epoch"] * first, *["loss"] * training,
              *(title for *_, title in RATIOS), *["of peak"] * training]
    rows = [[result["variant"], duration(result["best"]), duration(result["median"]),
             *[duration(result.get("first_epoch"))] * first,
             *[number(result.get("loss"), ".4f") + " (!)" * (result.get("learns") is False)] * training,
             *(number(result[name], ".2f") for name, *_ in RATIOS),
             *[number(result.get("of_peak"), ".3f")] * training] for result in timed]
    return aligned(header, rows)


def summary(found: dict) -> str:
    """A line for each thing measured: chainrule, and who is next to it."""
    rows = []
    for title, results in parts(found):
        own = next((result for result in results if result["kind"] == OWN and result["best"]), None)
        rivals = [result for result in results if result["kind"] == LIBRARY and result["best"]]
        if own:
            fastest = min(rivals, key=lambda result: result["best"], default=None)
            rows.append([title.split(":")[0], duration(own["best"]), fastest["variant"] if fastest else "-",
                         *(number(own[name], ".2f") for name, *_ in RATIOS), number(own.get("of_peak"), ".3f")])
    return aligned(["", "chainrule", "fastest library", *(title for *_, title in RATIOS), "of peak"], rows)


def aligned(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns stand beneath each other; all but the first to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    line = lambda row: "| " + " | ".join(
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))) + " |"
    rule = "| " + " | ".join("-" * width if not column else "-" * (width - 1) + ":"
                             for column, width in enumerate(widths)) + " |"
    return "\n".join([line(header), rule, *map(line, rows)])


def duration(seconds: float | None) -> str:
    """With three digits, in the unit that suits.

    Example: 0.00031 is `310 us`, 0.915 is `915 ms`, 5.4 is `5.40 s`.
    """
    if seconds is None:
        return "-"
    for unit, factor in (("s", 1), ("ms", 1e3)):
        if seconds * factor >= 0.9995:
            return f"{three_digits(seconds * factor)} {unit}"
    return f"{three_digits(seconds * 1e6)} us"


def three_digits(value: float) -> str:
    for places, limit in ((2, 9.995), (1, 99.95)):
        if value < limit:
            return f"{value:.{places}f}"
    return f"{value:.0f}"


def number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
