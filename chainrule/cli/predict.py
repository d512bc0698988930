"""`chainrule predict`: what a saved model says about photos, about rows in a file, or about a data set."""
import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from chainrule.cli import terminal

_SHOWN = 20  # rows on a terminal
_TOP = 5  # classes of a photo


@terminal.command(
    "chainrule predict photos.chain photo.jpg", "chainrule predict photos.chain holiday/ --top 1 --output classes.csv",
    "chainrule predict temperatures.chain temperatures.csv", "chainrule predict digits.chain digits",
    "chainrule predict mnist.chain images.npy | sort -t, -k3", compiles=True)
def predict(
    model: Annotated[Path, typer.Argument(help="A model file, from chainrule fit or model.save.")],
    data: Annotated[list[str], typer.Argument(
        help="Photos, or folders of them; rows in a .npy, .npz or .csv file; or the name of a data set.",
        metavar="INPUT...")],
    top: Annotated[int | None, typer.Option(
        min=1, help="The number of classes to show, the likeliest first.", show_default="5 for photos, else 1")] = None,
    time: Annotated[str | None, typer.Option(
        help="The column of times, for a model that forecasts.",
        show_default="the first, where it holds times")] = None,
    output: Annotated[Path | None, typer.Option(help="A .csv file for all rows, instead of printing them.")] = None,
) -> None:
    """Print what a model says about each photo or row: classes and their probabilities, or the outputs themselves.

    A model that forecasts says what comes after the end of a series.
    """
    from chainrule.cli.forecasts import forecasts_after
    from chainrule.cli.images import read_photos
    from chainrule.data.scaling import Scaling
    from chainrule.models import load_model

    loaded, broken = load_model(model), 0
    if isinstance(loaded.preparation, Scaling):
        _hand_over(*forecasts_after(loaded, Path(_only(data)), time), output)
        return
    if _are_photos(data):
        paths, rows, broken = read_photos(data, loaded)
        ids, names, top = [str(path) for path in paths], loaded.class_names, top or _TOP
    else:
        rows, names = _rows(data, loaded)
        rows = fitted(rows, loaded)
        ids, top = [str(row) for row in range(len(rows))], top or 1
    outputs = loaded.predict(rows)
    header, lines = describe(outputs, gives_probabilities(loaded), names, ids, top)
    header[0] = "image" if _are_photos(data) else "row"
    _hand_over(header, lines, output)
    if broken:
        raise typer.Exit(1)


def _only(words: Sequence[str]) -> str:
    """The one word that was given."""
    from chainrule.errors import DataError

    if len(words) > 1:
        raise DataError(f"A forecast goes on from one series; got {len(words)} files.")
    return words[0]


def _hand_over(header: list[str], lines: list[list[str]], output: Path | None) -> None:
    """A table into a file, onto a terminal, or into a pipe."""
    from chainrule.saving.archive import write_atomically

    if output is not None:
        text = "".join(",".join(map(_quoted, line)) + "\r\n" for line in [header, *lines])
        write_atomically(output, lambda file: file.write(text.encode()))
        terminal.console().print(f"{len(lines):,} rows written to [bold]{escape(str(output))}[/bold]", soft_wrap=True)
    elif sys.stdout.isatty():
        _show(header, lines)
    else:
        csv.writer(sys.stdout).writerows([header, *lines])


def _are_photos(words: Sequence[str]) -> bool:
    """Whether what is asked about are images in files, and not rows or a data set."""
    from chainrule.cli.data import is_path
    from chainrule.data.images import SUFFIXES
    from chainrule.errors import DataError

    photos = [word.lower().endswith(SUFFIXES) or (is_path(word) and Path(word).is_dir()) for word in words]
    if len(words) > 1 and not all(photos):
        raise DataError(f"{words[photos.index(False)]} is no image. Give several images, or one file of rows, or one "
                        f"data set.")
    return all(photos)


def _rows(data: Sequence[str], model):
    """The rows that a file holds or a data set keeps for tests, and the names of classes where they are known."""
    from chainrule.cli.data import DATA_SETS, load_data_set, plain_name, read_rows

    word, = data
    path = Path(word)
    if plain_name(word) in DATA_SETS or not (path.suffix or os.sep in word or path.exists()):
        data_set = load_data_set(word)
        return data_set.test.x, data_set.class_names
    return read_rows(path), model.class_names


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


def describe(outputs, probabilities: bool, names, ids: Sequence[str], top: int) -> tuple[list[str], list[list[str]]]:
    """Outputs as a table of text: the likeliest classes where they are probabilities, else all outputs.

    Args:
        outputs: what the model says, a row for each id.
        probabilities: whether they are.
        names: of the classes, or `None`.
        ids: what the rows are called.
        top: how many classes are listed for each row.
    """
    import numpy as np

    from chainrule.errors import DataError

    if not isinstance(outputs, np.ndarray):
        raise DataError("The model has several outputs; chainrule predict shows models with one. Use it from Python.")
    values = outputs.reshape(len(outputs), -1)
    if not probabilities:
        header = ["row", *(f"output_{index}" for index in range(values.shape[1]))]
        return header, [[name, *(f"{value:.7g}" for value in line)] for name, line in zip(ids, values, strict=True)]
    if values.shape[1] == 1:
        values = np.concatenate([1 - values, values], axis=1)
    label = lambda index: names[index] if names and len(names) == values.shape[1] else str(index)
    best = np.argsort(-values, axis=-1, kind="stable")[:, :top]
    return ["row", "class", "probability"], [
        [name, label(index), f"{line[index]:.4f}"]
        for name, line, order in zip(ids, values, best, strict=True) for index in order.tolist()]


def _quoted(cell: str) -> str:
    """A cell of a CSV file."""
    return '"' + cell.replace('"', '""') + '"' if any(letter in cell for letter in ',"\r\n') else cell


def _show(header: list[str], lines: list[list[str]]) -> None:
    """A table on the terminal; what a row is called stands before its first line only."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, box=None, padding=(0, 2, 0, 0), header_style="bold")
    before = ""
    ids = list(dict.fromkeys(line[0] for line in lines))
    shown = [line for line in lines if line[0] in ids[:_SHOWN]]
    for line in shown:
        table.add_row(*map(Text, [line[0] if line[0] != before else "", *line[1:]]))
        before = line[0]
    out = terminal.console()
    out.print(table)
    if len(ids) > _SHOWN:
        out.print(f"\n… and {len(ids) - _SHOWN:,} more rows. All of them: --output rows.csv, or a pipe.", style="dim")
