"""`chainrule resume`: go on with a training that was interrupted, in whatever way."""
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from chainrule.cli import terminal

_PATHS = ("run", "output", "plot")  # options that are paths


@terminal.command("chainrule resume runs/digits", "chainrule resume runs/digits --epochs 40", compiles=True)
def resume(
    folder: Annotated[Path, typer.Argument(help="The folder of the run, as chainrule runs shows it.")],
    epochs: Annotated[int | None, typer.Option(
        min=1, help="Train up to another number of epochs.", show_default="as it was begun")] = None,
) -> None:
    """Go on with a training from its newest whole checkpoint.

    It ends as if it had never been interrupted: the same weights and figures, to the last digit. The data must be where
    they were.
    """
    from chainrule.cli.fit import start
    from chainrule.errors import DataError
    from chainrule.runs import Run

    run = Run(folder)
    command = run.settings.get("notes", {}).get("command")
    if command is None:
        raise DataError(f"{folder} was begun in Python, not by chainrule fit: go on there, by fit(..., "
                        f"run={str(folder)!r}, resume=True).")
    given = {name: Path(value) if name in _PATHS and value is not None else value
             for name, value in command["options"].items()}
    options = SimpleNamespace(**given | {"run": run.folder.resolve(), "resume": True})
    options.epochs = options.epochs if epochs is None else epochs
    os.chdir(command["folder"])  # paths were given from there
    start(options)
