"""`chainrule runs`: the trainings in a folder, and how some of them differ."""
import json as json_format
import math
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli import terminal

_COLOURS = {"running": "green", "finished": "", "interrupted": "yellow", "failed": "red", "died": "red",
            "damaged": "red", "new": "dim"}


@terminal.command("chainrule runs", "chainrule runs runs/digits runs/digits-2", "chainrule runs --sort val_accuracy")
def runs(
    folders: Annotated[list[Path] | None, typer.Argument(
        help="A folder of runs; or two runs or more, to compare.", show_default="runs")] = None,
    sort: Annotated[str | None, typer.Option(help="Show the best of this figure first: val_loss, accuracy, ...",
                                             show_default="by name")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print it for a program to read.")] = False,
) -> None:
    """List the trainings in a folder: how far each has come, whether it lives, and its best figures.

    Given several runs, show what they were asked for that differs, and their figures side by side.
    """
    from chainrule.runs import find_runs

    folders = folders or [Path("runs")]
    found = [run for folder in folders for run in find_runs(folder)]
    lines = [_line(run) for run in found]
    if sort is not None:
        lines = _sorted(lines, sort)
    if json:
        print(json_format.dumps(lines, indent=1, default=str))
    elif not lines:
        terminal.console().print(f"There are no runs in {folders[0]}.")
    else:
        print_lines = _print_comparison if len(folders) > 1 else _print_list
        print_lines(lines)
        for line in lines:
            if "problem" in line:
                terminal.console().print(line["problem"], style="red", markup=False, soft_wrap=True)


def _line(run) -> dict:
    """What is shown of a run; little of one whose files cannot be read."""
    from chainrule.errors import FileFormatError

    try:
        return _line_of_whole(run)
    except FileFormatError as error:
        return {"run": str(run.folder), "status": "damaged", "epochs": 0, "of": None, "seconds": 0.0,
                "last_sign": run.last_sign(), "best": {}, "settings": {}, "problem": str(error)}


def _line_of_whole(run) -> dict:
    history = run.history
    epochs = max(map(len, history.values()), default=0)
    settings = run.settings
    return {"run": str(run.folder), "status": run.status, "epochs": epochs, "of": _asked(settings, epochs),
            "seconds": _seconds(run), "last_sign": run.last_sign(),
            "best": {name: _best(name, values) for name, values in history.items() if name != "learning_rate"},
            "settings": _flat({name: value for name, value in settings.items() if name not in ("network", "notes")}
                              | {"command": _command(settings)})}


def _asked(settings: dict, epochs: int) -> int | None:
    """How many epochs were asked for; a run that went on beyond was asked for those that it has."""
    return None if settings.get("epochs") is None else max(settings["epochs"], epochs)


def _command(settings: dict) -> dict:
    """The options of the command line that began a run."""
    options = settings.get("notes", {}).get("command", {}).get("options", {})
    return {name: value for name, value in options.items() if value is not None
            and name not in ("run", "epochs", "seed")}


def _seconds(run) -> float:
    """How long its processes worked on it; one that was killed up to its last sign."""
    last = run.last_sign()
    sessions = run.sessions
    ends = [session["began"] for session in sessions[1:]] + [last.timestamp() if last else 0.0]
    return sum(max((session["ended"] or end) - session["began"], 0.0)
               for session, end in zip(sessions, ends, strict=True))


def _best(name: str, values: list[float]) -> float:
    from chainrule.training.figures import larger_is_better

    known = [value for value in values if not math.isnan(value)]
    if not known:
        return math.nan
    return max(known) if larger_is_better(name, "auto") else min(known)


def _flat(settings: dict, path: str = "") -> dict[str, object]:
    """Settings within settings by path."""
    found = {}
    for name, value in settings.items():
        found |= _flat(value, f"{path}{name}/") if isinstance(value, dict) else {f"{path}{name}": value}
    return found


def _sorted(lines: list[dict], figure: str) -> list[dict]:
    from chainrule.errors import UnknownNameError, did_you_mean
    from chainrule.training.figures import larger_is_better

    names = {name for line in lines for name in line["best"]}
    if figure not in names:
        raise UnknownNameError(f"No run has the figure {figure!r}. {did_you_mean(figure, names)}")
    sign = -1 if larger_is_better(figure, "auto") else 1
    value = lambda line: line["best"].get(figure, math.nan)
    return sorted(lines, key=lambda line: (math.isnan(value(line)), sign * value(line)))


def _print_list(lines: list[dict]) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    from chainrule.callbacks.progress import format_seconds

    reported = {name for line in lines for name in line["best"]}
    figures = [name if (name := f"val_{figure}") in reported else figure for figure in ("loss", "accuracy")
               if {figure, f"val_{figure}"} & reported]
    columns = [Column(name, no_wrap=True) for name in ("status", "epochs", *figures, "time", "seen")]
    table = Table(Column("run", overflow="fold", min_width=min(max(len(line["run"]) for line in lines), 22)), *columns,
                  box=None, padding=(0, 2, 0, 0), header_style="bold", caption="Figures are the best of all epochs.",
                  caption_justify="left")
    for line in lines:
        of = "" if line["of"] is None else f"/{line['of']}"
        cells = [f"{line['best'][name]:.4f}" if name in line["best"] else "" for name in figures]
        today = line["last_sign"] is not None and line["last_sign"].date() == date.today()
        last = "" if line["last_sign"] is None else f"{line['last_sign']:{'%H:%M' if today else '%d %b'}}"
        status = Text(line["status"], _COLOURS[line["status"]])
        table.add_row(Text(line["run"]), status, f"{line['epochs']}{of}", *cells, format_seconds(line["seconds"]),
                      Text(last, "dim"))
    terminal.console().print(table)


def _print_comparison(lines: list[dict]) -> None:
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table("", *(escape(line["run"]) for line in lines), box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in dict.fromkeys(name for line in lines for name in line["settings"]):
        values = [line["settings"].get(name) for line in lines]
        if any(value != values[0] for value in values):
            table.add_row(Text(name, "dim"), *(Text("" if value is None else str(value)) for value in values))
    table.add_row()
    table.add_row(Text("epochs trained", "bold"), *(str(line["epochs"]) for line in lines))
    for name in dict.fromkeys(name for line in lines for name in line["best"]):
        table.add_row(Text(f"best {name}", "bold"),
                      *(f"{line['best'][name]:.4f}" if name in line["best"] else "" for line in lines))
    terminal.console().print(table)
