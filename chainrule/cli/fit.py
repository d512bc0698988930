"""`chainrule fit`: train a network on images, on a text or on a series, show how well it does, and save it."""
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Annotated

import typer

from chainrule.cli import terminal

# The options that only some kinds of data have; all others suit every kind.
_ONLY = MappingProxyType({
    "activation": ("images",), "augment": ("images",), "size": ("images",), "test": ("images", "series"),
    "length": ("text", "series"), "tokens": ("text",), "vocabulary": ("text",), "encoding": ("text",),
    "time": ("series",), "target": ("series",), "inputs": ("series",), "horizon": ("series",), "season": ("series",),
    "plot": ("series",),
})
_WORDS = MappingProxyType({"images": "images", "text": "text", "series": "a series"})
_TABLES = (".csv", ".csv.gz")


@terminal.command(
    "chainrule fit digits", "chainrule fit photos/", "chainrule fit book.txt",
    "chainrule fit temperatures.csv --time Date --target Temp --horizon 7",
    "chainrule fit mnist --network convolutional",
    "chainrule fit mnist --hidden 500,300 --epochs 10 --output mnist.chain", compiles=True)
def fit(
    context: typer.Context,
    data: Annotated[str, typer.Argument(
        help="The data set: digits, mnist, fashion_mnist or cifar10; a folder that holds a folder of images for each "
             "class; a text (.txt, or any file with --tokens); or a table (.csv) that holds a series.")],
    network: Annotated[str | None, typer.Option(
        help="Images: dense or convolutional. Text: lstm, gru or transformer. Series: dense, gru, lstm, convolutional "
             "or linear.", show_default="by data")] = None,
    hidden: Annotated[str | None, typer.Option(
        help="Units of the hidden layers, such as 500,300; 0 for none.", show_default="by data")] = None,
    dropout: Annotated[float | None, typer.Option(
        min=0, max=0.99, help="The share of units dropped after each hidden layer.", show_default="by data")] = None,
    epochs: Annotated[int | None, typer.Option(
        min=1, help="The most passes over the data.", show_default="by data")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows a step.", show_default="by data")] = None,
    learning_rate: Annotated[float | None, typer.Option(
        min=0, help="The learning rate; it falls to 0, but in dense networks for images.",
        show_default="by data")] = None,
    optimizer: Annotated[str, typer.Option(help="How the weights move: adam, sgd, rmsprop, adamw, ...")] = "adam",
    validation: Annotated[float, typer.Option(
        min=0, max=0.9, help="The share of the training data held out to stop early by; 0 for none. Of a text or a "
                             "series it is the end.")] = 0.1,
    test: Annotated[float, typer.Option(
        min=0.01, max=0.9, help="The share held out to report on: of a folder's images where it has no folder for that "
                                "(test or val, beside train); the end of a series.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Decides weights, order of rows and splits.")] = 0,
    output: Annotated[Path | None, typer.Option(help="The model's file.", show_default="<data>.chain")] = None,
    device: Annotated[str | None, typer.Option(
        help="Where the network is trained: cpu, gpu or tpu.", show_default="the best there is")] = None,
    run: Annotated[Path | None, typer.Option(
        help="The folder of this training: settings, figures, checkpoints.", show_default="runs/<data>")] = None,
    quiet: Annotated[bool, typer.Option(
        "--quiet", "-q", help="Print one figure alone: the held-out accuracy; nats a token; the error.")] = False,
    activation: Annotated[str, typer.Option(
        help="The activation of the hidden layers.", rich_help_panel="Images")] = "relu",
    augment: Annotated[bool, typer.Option(
        help="Whether a convolutional network is trained on images moved, turned and mirrored a little.",
        rich_help_panel="Images")] = True,
    size: Annotated[int | None, typer.Option(
        min=1, help="The side that the images of a folder are brought to.", show_default="theirs, at most 96",
        rich_help_panel="Images")] = None,
    tokens: Annotated[str | None, typer.Option(
        help="What a text is read in: characters, words or byte_pairs.", show_default="characters",
        rich_help_panel="Text")] = None,
    vocabulary: Annotated[int | None, typer.Option(
        min=2, help="The most words, or byte pairs, that are told apart.", show_default="10000 words, 1000 byte pairs",
        rich_help_panel="Text")] = None,
    encoding: Annotated[str | None, typer.Option(
        help="How the text is written as bytes: utf-8, latin-1, cp1252, ...", show_default="utf-8",
        rich_help_panel="Text")] = None,
    length: Annotated[int | None, typer.Option(
        min=1, help="How many tokens of a text a step of training spans; how many steps of a series the network sees.",
        show_default="by data", rich_help_panel="Text and series")] = None,
    time: Annotated[str | None, typer.Option(
        help="The column that holds dates or times.", rich_help_panel="Series")] = None,
    target: Annotated[str | None, typer.Option(
        help="The column to forecast; several with commas between.", rich_help_panel="Series")] = None,
    inputs: Annotated[str | None, typer.Option(
        help="Further columns that the network sees, with commas between; all for every column of numbers.",
        rich_help_panel="Series")] = None,
    horizon: Annotated[int | None, typer.Option(
        min=1, help="How many steps ahead.", show_default="1", rich_help_panel="Series")] = None,
    season: Annotated[int | None, typer.Option(
        min=1, help="The steps after which the series repeats: 7, 24, 12.", show_default="by the times",
        rich_help_panel="Series")] = None,
    plot: Annotated[Path | None, typer.Option(
        help="The picture of forecast and truth (.png, .svg or .pdf).", show_default="<data>.png",
        rich_help_panel="Series")] = None,
) -> None:
    """Train a network and save it: on a data set, on a folder of images, on a text, or on a series.

    Training ends when the loss on held-out data stops falling, and the best weights are kept.
    """
    given = _given(context)
    kind = _kind(data, given)
    _refuse_others(kind, data, given)
    start(SimpleNamespace(**context.params, kind=kind, resume=False))


def start(options) -> None:
    """Begin a training, or go on with it, as `options` say: those of the command, with `kind` and `resume`."""
    if options.device is not None:
        from chainrule.devices import check_device

        options.device = check_device(options.device)  # before the data are read
    if options.kind == "images":
        from chainrule.cli.fit_images import fit_images as fit_kind
    elif options.kind == "text":
        from chainrule.cli.fit_text import fit_text as fit_kind
    else:
        from chainrule.cli.fit_series import fit_series as fit_kind
    fit_kind(options)


def _given(context: typer.Context) -> set[str]:
    """The options that stand on the command line."""
    return {name for name in context.params if context.get_parameter_source(name).name == "COMMANDLINE"}


def _kind(data: str, given: set[str]) -> str:
    """What is trained on: `"images"`, `"text"` or `"series"`."""
    from chainrule.cli.data import DATA_SETS, is_path, plain_name
    from chainrule.data.images import SUFFIXES
    from chainrule.errors import DataError

    path = Path(data)
    if plain_name(data) in DATA_SETS or (is_path(data) and not path.is_file() and not path.suffix) or path.is_dir():
        return "images"
    if data.lower().endswith(_TABLES):
        if not given & {"time", "horizon", "season"}:
            raise DataError(f"{data} is a table. To forecast a column of it, name that column, the column of its times "
                            f"and how far to look ahead: chainrule fit {data} --time Date --target Value --horizon 7.")
        return "series"
    if data.lower().endswith((".txt", ".text", ".md")) or (path.is_file() and "tokens" in given):
        return "text"
    if path.is_file() and not data.lower().endswith(SUFFIXES):
        raise DataError(f"{data} is none of the files that chainrule fit reads: .txt for text, .csv for a series. If "
                        f"it holds text, say --tokens characters.")
    return "images"  # one image, or a name: what comes next says what is wrong with it


def _refuse_others(kind: str, data: str, given: set[str]) -> None:
    """Raise where an option was given that means nothing for this kind of data."""
    from chainrule.errors import SettingError

    for name, kinds in _ONLY.items():
        if name in given and kind not in kinds:
            raise SettingError(f"--{name} is for {' and '.join(_WORDS[one] for one in kinds)}, and {data} is read as "
                               f"{_WORDS[kind]}. Leave it out.")
