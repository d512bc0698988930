"""`chainrule predict`: what a saved model says about rows in a file, or about a data set."""
import csv
import sys
from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli import terminal

_SHOWN = 20  # rows on a terminal


@terminal.command(
    "chainrule predict digits.chain digits", "chainrule predict digits.chain rows.csv --output classes.csv",
    "chainrule predict mnist.chain images.npy | sort -t, -k3")
def predict(
    model: Annotated[Path, typer.Argument(help="A model file, from chainrule fit or model.save.")],
    data: Annotated[str, typer.Argument(
        help="Rows in a .npy, .npz or .csv file, or the name of a data set.", metavar="INPUT")],
    output: Annotated[Path | None, typer.Option(help="A .csv file for all rows, instead of printing them.")] = None,
) -> None:
    """Print what a model says about each row: the class and its probability, or the outputs themselves."""
    from chainrule.models import load_model
    from chainrule.saving.archive import write_atomically

    loaded = load_model(model)
    rows, names = _rows(data)
    outputs = loaded.predict(fitted(rows, loaded))
    header, lines = describe(outputs, gives_probabilities(loaded), names)
    if output is not None:
        text = "".join(",".join(line) + "\r\n" for line in [header, *lines])
        write_atomically(output, lambda file: file.write(text.encode()))
        terminal.console().print(f"{len(lines):,} rows written to [bold]{output}[/bold]", soft_wrap=True)
    elif sys.stdout.isatty():
        _show(header, lines)
    else:
        csv.writer(sys.stdout).writerows([header, *lines])


def _rows(data: str):
    """The rows that a file holds or a data set keeps for tests, and the names of classes where they are known."""
    from chainrule.cli.data import DATA_SETS, load_data_set, read_rows

    path = Path(data)
    if data.lower().replace("-", "_") in DATA_SETS or (not path.suffix and not path.exists()):
        data_set = load_data_set(data)
        return data_set.x_test, data_set.class_names
    return read_rows(path), None


def fitted(rows, model):
    """Rows in the shape that the model takes: flat ones, as in a table, are folded to images."""
    import math

    shape = model.inputs[0].shape[1:] if model.__dict__.get("_graph") is not None else ()
    if None not in shape and len(shape) > 1 and rows.ndim == 2 and rows.shape[1] == math.prod(shape):
        return rows.reshape(len(rows), *shape)
    return rows


def gives_probabilities(model) -> bool:
    """Whether a model ends in an activation that makes probabilities."""
    from chainrule.training.prepare import last_activation

    has_graph = model.__dict__.get("_graph") is not None
    return has_graph and last_activation(model.outputs[0]) in ("softmax", "sigmoid", "hard_sigmoid", "sparsemax")


def describe(outputs, probabilities: bool, names) -> tuple[list[str], list[list[str]]]:
    """Outputs as a table of text: class and probability where they are probabilities, else all of them."""
    import numpy as np

    from chainrule.errors import DataError

    if not isinstance(outputs, np.ndarray):
        raise DataError("The model has several outputs; chainrule predict shows models with one. Use it from Python.")
    values = outputs.reshape(len(outputs), -1)
    if not probabilities:
        header = ["row", *(f"output_{index}" for index in range(values.shape[1]))]
        return header, [[str(row), *(f"{value:.7g}" for value in line)] for row, line in enumerate(values)]
    if values.shape[1] == 1:
        values = np.concatenate([1 - values, values], axis=1)
    best = values.argmax(-1)
    label = lambda index: names[index] if names and len(names) == values.shape[1] else str(index)
    return ["row", "class", "probability"], [
        [str(row), label(index), f"{values[row, index]:.4f}"] for row, index in enumerate(best)]


def _show(header: list[str], lines: list[list[str]]) -> None:
    from rich.table import Table

    table = Table(*header, box=None, padding=(0, 2, 0, 0), header_style="bold")
    for line in lines[:_SHOWN]:
        table.add_row(*line)
    out = terminal.console()
    out.print(table)
    if len(lines) > _SHOWN:
        out.print(f"\n… and {len(lines) - _SHOWN:,} more rows. All of them: --output rows.csv, or a pipe.", style="dim")
