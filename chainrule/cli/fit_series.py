"""`chainrule fit` on a series: a network that forecasts, beside the forecasts that cost nothing."""
import shlex
from pathlib import Path

from rich.markup import escape

from chainrule.cli import series_networks, terminal
from chainrule.cli.fitting import as_asked, hidden_sizes, interruptible, run_of, train
from chainrule.cli.forecasts import draw_forecasts, known_of, time_text


def fit_series(options) -> None:
    """Train a network on the beginning of a series, hold it against naive forecasts on its end, and save it."""
    from chainrule import series
    from chainrule.saving.archive import check_target

    path = Path(options.data)
    place = path.name.split(".")[0]
    output, plot = options.output or Path(f"{place}.chain"), options.plot or Path(f"{place}.png")
    check_target(output)  # before the training, which would be lost
    check_target(plot)
    table, targets, filled = read_series(path, options.time, options.target, options.inputs)
    horizon = options.horizon or 1
    season = options.season or (series.season_of(table.times) if table.times is not None else 1)
    length = options.length or _usual_length(season, horizon, len(table))
    parts = _Parts(table, targets, length, horizon, options.validation, options.test)
    recipe = _recipe(options, len(parts.train[1]))
    model = series_networks.build(recipe, parts.windows)
    _compile(model, options, recipe, parts)
    model.preparation = parts.scaling
    say = terminal.console().print if not options.quiet else lambda *_, **__: None
    _introduce(path, table, targets, filled, parts, series_networks.describe(recipe, parts.windows), season, say)
    run = run_of(options, place)
    with interruptible(model, output, model.save, run):
        train(model, *parts.train, validation_data=parts.held_out, patience=recipe.patience, epochs=recipe.epochs,
              batch_size=recipe.batch_size, seed=options.seed, say=say, quiet=options.quiet, run=run,
              resume=options.resume)
        model.save(output)
    _report(model, table, targets, parts, season, output, plot, options, say)


def read_series(path: Path, time: str | None, target: str | None, inputs: str | None):
    """The columns of a table that a network sees, those to forecast first; the targets; how many gaps were filled.

    Raises:
        DataError: there are several columns, and none was named.
    """
    import numpy as np

    from chainrule import series
    from chainrule.data.series_tables import number_columns
    from chainrule.errors import DataError

    named = lambda text: [name.strip() for name in (text or "").split(",") if name.strip()]
    targets, numbers = named(target), number_columns(path, time)
    if not targets and len(numbers) != 1:
        raise DataError(f"{path} has the columns {', '.join(numbers) or '(none of numbers)'}: say which to forecast, "
                        f"--target {numbers[0] if numbers else 'Value'}.")
    targets = targets or numbers
    further = [name for name in numbers if name not in targets] if inputs == "all" else named(inputs)
    columns = [*targets, *(name for name in further if name not in targets)]
    there = series.read_csv(path, time, columns, missing="keep").values
    table = series.read_csv(path, time, columns, missing="interpolate")
    return table, targets, table.values.size - int(np.isfinite(there).sum())


class _Parts:
    """A series cut in the order of time, scaled by its first part, in windows.

    Attributes:
        windows: what they are like.
        scaling: fitted on the part to train on.
        train, held_out: scaled windows and their targets; `None` where nothing is held out.
        test: the windows of the end of the series, in plain units, and the times and targets of their horizons.
    """

    def __init__(self, table, targets: list[str], length: int, horizon: int, validation: float, test: float):
        from chainrule import series
        from chainrule.data.calendar import step_of

        sizes = {"validation": validation * (1 - test)} if validation else {}
        first, *middle, last = series.split(table, test=test, length=length, **sizes)
        self.scaling = series.Scaling().fit(first)
        self.step = None if table.times is None else step_of(table.times)
        self.horizon, self.length, self.targets = horizon, length, targets
        self.train = self._scaled(first)
        self.held_out = self._scaled(middle[0]) if middle else None
        self.last, self.test = last, self._windows(last, last.values)
        known = 0 if self.step is None else self.train[0]["known"].shape[-1]
        self.windows = series_networks.Windows(length, table.values.shape[1], horizon, len(targets), known,
                                               len(self.train[1]))

    def _windows(self, part, values):
        from chainrule import series

        known = None if self.step is None else known_of(part.times, self.step)
        target = 0 if len(self.targets) == 1 else list(range(len(self.targets)))
        return series.windows(values, self.length, self.horizon, target=target, known=known)

    def _scaled(self, part):
        x, y = self._windows(part, self.scaling.transform(part.values))
        return x, y[..., None] if len(self.targets) == 1 else y


def _usual_length(season: int, horizon: int, rows: int) -> int:
    """Some seasons, and twice as far back as the forecast looks ahead; no more than a quarter of the series."""
    wanted = max(4 * season if season > 1 else 24, 2 * horizon)
    return max(min(wanted, rows // 4 - horizon), 1)


def _recipe(options, rows: int) -> series_networks.SeriesRecipe:
    """What suits the windows, and what was asked for."""
    return as_asked(series_networks.recipe(options.network, rows), hidden=hidden_sizes(options.hidden),
                    epochs=options.epochs, batch_size=options.batch_size, learning_rate=options.learning_rate,
                    dropout=options.dropout)


def _compile(model, options, recipe: series_networks.SeriesRecipe, parts: _Parts) -> None:
    """Pinball loss at the levels of the forecast, absolute error for several targets; the rate falls along a cosine."""
    from chainrule import losses, optimizers, schedules

    chosen = optimizers.get(options.optimizer)
    steps = -(-parts.windows.rows // recipe.batch_size) * recipe.epochs
    chosen.learning_rate = schedules.CosineDecay(recipe.learning_rate, steps)
    loss = losses.Quantile(series_networks.LEVELS) if parts.windows.targets == 1 else "mae"
    model.compile(chosen, loss, device=options.device)


def _introduce(path: Path, table, targets, filled: int, parts: _Parts, network: str, season: int, say) -> None:
    """What is trained on what."""
    when = "" if table.times is None else f", {time_text(table.times[0])} to {time_text(table.times[-1])}"
    repeats = f"; repeats after {season}" if season > 1 else ""
    say(f"[bold]{escape(path.name)}[/bold]: {escape(', '.join(targets))}, {len(table):,} steps{when}{repeats}",
        soft_wrap=True)
    if filled:
        say(f"{filled:,} missing values were interpolated.")
    held = 0 if parts.held_out is None else len(parts.held_out[1])
    say(f"Windows: {parts.windows.rows:,} to train on, {held:,} to stop early by, {len(parts.test[1]):,} at the end to "
        f"test on", soft_wrap=True)
    known = " (and the calendar of the steps ahead)" if parts.step is not None else ""
    say(f"Network: {network}{known}\n", soft_wrap=True)


def _report(model, table, targets, parts: _Parts, season: int, output: Path, plot: Path, options, say) -> None:
    """How well the model does on the end of the series beside naive forecasts, a picture, and what comes next."""
    import numpy as np

    from chainrule import series

    x, y = parts.test
    seen, known = (x, None) if parts.step is None else (x["past"], x["known"])
    forecast = series.forecast(model, seen, target=targets, known=known)
    middle = forecast[..., 1] if len(targets) == 1 else forecast
    target = 0 if len(targets) == 1 else list(range(len(targets)))
    rivals = {"model": middle, "the last value": series.naive(x, parts.horizon, target=target)}
    if 1 < season <= parts.length:
        rivals[f"{season} steps before"] = series.seasonal_naive(x, parts.horizon, season=season, target=target)
    errors = {name: float(np.abs(found - y).mean()) for name, found in rivals.items()}
    if options.quiet:
        print(f"{errors['model']:.6g}")
        return
    say("\nMean absolute error on the held-out end")
    say(_errors_table(errors, {name: float(np.sqrt(((found - y) ** 2).mean())) for name, found in rivals.items()}))
    if len(targets) == 1:
        share = series.coverage(y, forecast[..., 0], forecast[..., 2])
        say(f"The range from 10 % to 90 % holds {share:.0%} of the values (80 % would be right).")
    draw_forecasts(plot, parts.last, parts.length, y, forecast, targets)
    say(f"\nForecast against truth: [bold]{escape(str(plot))}[/bold]", soft_wrap=True)
    say(f"Saved to [bold]{escape(str(output))}[/bold] ({output.stat().st_size / 1e6:.1f} MB)\n\nTry next:",
        soft_wrap=True)
    data, file = shlex.quote(options.data), shlex.quote(str(output))
    time = f" --time {shlex.quote(options.time)}" if options.time else ""
    again = f"chainrule fit {data}{time} --target {shlex.quote(','.join(targets))} --horizon {parts.horizon}"
    for line, why in ((f"chainrule predict {file} {data}{time}", "what comes after the end of the series"),
                      (f"{again} --network gru --output gru.chain", "by recurrence"),
                      (f"{again} --length {2 * parts.length}", "seeing twice as much of the past")):
        say(f"  [cyan]{escape(line)}[/cyan]  [dim]{why}[/dim]", soft_wrap=True)


def _errors_table(errors: dict[str, float], roots: dict[str, float]):
    """Errors of forecasts, and how much better the model's is."""
    from rich.table import Table
    from rich.text import Text

    table = Table("", "absolute", "root mean square", "the model is better by", box=None, padding=(0, 2, 0, 0),
                  header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    own = errors["model"]
    for name, error in errors.items():
        gain = "" if name == "model" or not error else f"{100 * (1 - own / error):.1f} %"
        style = "bold green" if error == min(errors.values()) else ""
        table.add_row(name, Text(f"{error:.4g}", style), f"{roots[name]:.4g}", gain)
    return table
