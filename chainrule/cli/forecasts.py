"""Forecasts as the commands make and show them: the calendar as known future, tables of what comes, pictures."""
from pathlib import Path

_DAY = 86400  # seconds
_DRAWN = 400  # steps in a picture


def known_of(times, step):
    """What is known of times to come: where they lie in the day, the week or the year, as suits their step.

    Args:
        times: `(rows,)`, datetime64.
        step: the distance of times in the whole series, as `step_of` says it. What is known depends on it alone, so
            that it is the same for every part of a series.

    Returns:
        `(rows, k)`.
    """
    import numpy as np

    from chainrule import series

    if step.dtype == np.dtype("timedelta64[M]") or int(step.astype(int)) > _DAY:
        return series.calendar(times, ("year",))
    return series.calendar(times, ("week", "year") if int(step.astype(int)) == _DAY else ("day", "week"))


def times_after(times, count: int):
    """The next times, in the same step."""
    import numpy as np

    from chainrule.data.calendar import step_of

    step = step_of(times)
    if step.dtype != np.dtype("timedelta64[M]"):
        return times[-1] + step * np.arange(1, count + 1)
    months = times[-1].astype("datetime64[M]")
    return (months + step * np.arange(1, count + 1)).astype("datetime64[s]") + (times[-1] - months)


def forecasts_after(model, path: Path, time: str | None) -> tuple[list[str], list[list[str]]]:
    """What a model of `chainrule fit` foretells for the steps after the end of a file, as a table of text.

    Raises:
        DataError: the file lacks a column that the model sees, or has no times where it needs them.
    """
    from chainrule import series
    from chainrule.data.calendar import step_of
    from chainrule.data.series_tables import number_columns
    from chainrule.errors import DataError

    columns, numbers = model.preparation.columns, number_columns(path, time)
    if missing := [name for name in columns or () if name not in numbers]:
        raise DataError(f"{path} has no column of numbers {missing[0]!r}. The model sees {', '.join(columns)}.")
    table = series.read_csv(path, time, columns, missing="interpolate")
    horizon, wide = model.output_shape[1:]
    levels = () if model.loss == "mae" else model.loss.quantile
    targets = table.columns[:1 if levels else wide]
    needs_times = len(model.inputs) == 2
    if needs_times and table.times is None:
        raise DataError(f"The model looks at the calendar, and no column of {path} was found to hold times. Name it: "
                        f"--time Date.")
    known = None
    if table.times is not None:
        coming = times_after(table.times, horizon)
        known = known_of(coming, step_of(table.times))
    found = series.forecast(model, table, target=targets, known=known if needs_times else None)
    names = [f"{targets[0]}_{100 * level:.0f}%" for level in levels] if levels else targets
    rows = found.reshape(horizon, -1)
    steps = [str(step) for step in range(1, horizon + 1)] if table.times is None else list(map(time_text, coming))
    return ["step" if table.times is None else "time", *names], [
        [step, *(f"{value:.6g}" for value in row)] for step, row in zip(steps, rows, strict=True)]


def time_text(time) -> str:
    """`1981-01-01` for a day, `1981-01-01 12:00` for a time of it."""
    text = str(time)
    return text[:10] if text.endswith("T00:00:00") else text[:16].replace("T", " ")


def draw_forecasts(path: Path, table, length: int, truth, forecast, targets: list[str]) -> None:
    """A picture of forecasts beside the truth: those whose horizons follow each other, at the end of the series.

    Args:
        path: the file: .png, .svg or .pdf.
        table: the held-out part, with `length` rows before it.
        truth, forecast: `(windows, horizon)` and, behind it, an axis of levels or of targets.
        targets: their names.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    windows, horizon = truth.shape[:2]
    starts = np.arange(windows - 1, -1, -horizon)[::-1]
    starts = starts[-max(_DRAWN // horizon, 1):]
    figure = Figure(figsize=(10, 3.4 * len(targets)), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(targets), squeeze=False)[:, 0]
    for index, (name, axis) in enumerate(zip(targets, axes, strict=True)):
        rows = np.arange(starts[0], starts[-1] + horizon) + length
        when = rows if table.times is None else table.times[rows]
        axis.plot(when, table.values[rows, index], color="0.35", linewidth=1.2, label="truth")
        for start in starts:
            ahead = slice(start + length, start + length + horizon)
            when = np.arange(ahead.start, ahead.stop) if table.times is None else table.times[ahead]
            found = forecast[start]
            first = start == starts[0]
            marker = "." if horizon == 1 else None
            middle = found[:, 1] if len(targets) == 1 else found[:, index]
            axis.plot(when, middle, color="C1", linewidth=1.4, marker=marker, label="forecast" if first else None)
            if len(targets) == 1 and horizon > 1:
                axis.fill_between(when, found[:, 0], found[:, 2], color="C1", alpha=0.2, linewidth=0,
                                  label="10 % to 90 %" if first else None)
        if len(targets) == 1 and horizon == 1:
            when = [length + start for start in starts] if table.times is None else table.times[starts + length]
            axis.fill_between(when, forecast[starts, 0, 0], forecast[starts, 0, 2], color="C1", alpha=0.2, linewidth=0,
                              label="10 % to 90 %")
        axis.set_ylabel(name)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.01)
    steps = f"{horizon} step{'s' * (horizon != 1)}"
    axes[0].set_title(f"Forecasts of {steps}, each made from what came before it", loc="left", fontsize=10)
    axes[0].legend(frameon=False, ncols=3, loc="upper right", bbox_to_anchor=(1, 1.14), fontsize=9)
    figure.savefig(path)
