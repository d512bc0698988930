"""`chainrule fit`: train a network on a named data set or on a folder of images, show how well it does, and save it."""
import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from chainrule.cli import terminal


def _sizes(text: str) -> tuple[int, ...]:
    """The sizes of the hidden layers: `"500,300"`; `"0"` for none."""
    sizes = [size.strip() for size in text.split(",") if size.strip()]
    if not all(size.isdecimal() for size in sizes):
        raise typer.BadParameter("sizes are whole numbers with commas between, such as 500,300")
    return tuple(int(size) for size in sizes if int(size))


@terminal.command(
    "chainrule fit digits", "chainrule fit photos/", "chainrule fit mnist --network convolutional",
    "chainrule fit mnist --hidden 500,300 --epochs 10 --output mnist.chain",
    "chainrule fit fashion_mnist --optimizer sgd --learning-rate 0.1 --seed 3")
def fit(
    data: Annotated[str, typer.Argument(
        help="The data set: digits, mnist, fashion_mnist or cifar10; or a folder that holds a folder of images for "
             "each class.")],
    network: Annotated[str | None, typer.Option(
        help="dense or convolutional.", show_default="convolutional for colours and folders")] = None,
    hidden: Annotated[str | None, typer.Option(
        help="Units of the hidden dense layers, such as 500,300; 0 for none.", show_default="by data set")] = None,
    activation: Annotated[str, typer.Option(help="The activation of the hidden layers.")] = "relu",
    dropout: Annotated[float, typer.Option(
        min=0, max=0.99, help="The share of units dropped after each hidden layer.")] = 0.2,
    augment: Annotated[bool, typer.Option(
        help="Whether a convolutional network is trained on images moved, turned and mirrored a little.")] = True,
    size: Annotated[int | None, typer.Option(
        min=1, help="The side that the images of a folder are brought to.", show_default="theirs, at most 96")] = None,
    epochs: Annotated[int | None, typer.Option(
        min=1, help="The most passes over the data.", show_default="by data set")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows a step.", show_default="by data set")] = None,
    learning_rate: Annotated[float | None, typer.Option(
        min=0, help="The learning rate; it falls to 0 in convolutional networks.",
        show_default="the optimizer's own")] = None,
    optimizer: Annotated[str, typer.Option(help="How the weights move: adam, sgd, rmsprop, adamw, ...")] = "adam",
    validation: Annotated[float, typer.Option(
        min=0, max=0.9, help="The share of the training data held out to stop early by; 0 for none.")] = 0.1,
    test: Annotated[float, typer.Option(
        min=0.01, max=0.9, help="The share of a folder's images held out to report on, where it has no folder for "
                                "that (test or val, beside train).")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Decides weights, order of rows and splits.")] = 0,
    output: Annotated[Path | None, typer.Option(help="The model's file.", show_default="<data>.chain")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the held-out accuracy alone.")] = False,
) -> None:
    """Train a network on a data set or on a folder of images, and save it.

    The model takes pixels as they are in the data. Training ends when the loss on held-out rows stops falling.
    """
    from chainrule.cli import networks
    from chainrule.cli.data import is_path, load_data_set, plain_name
    from chainrule.cli.images import load_folder
    from chainrule.saving.archive import check_target

    if network is not None:
        networks.check_kind(network)
    given = {"hidden": None if hidden is None else _sizes(hidden), "epochs": epochs, "batch_size": batch_size,
             "augmentation": None if augment else ()}
    place = Path(data).resolve().name if is_path(data) else plain_name(data)
    output = output or Path(f"{place}.chain")
    check_target(output)  # before the training, which would be lost
    data_set = load_folder(Path(data), size, test, seed) if is_path(data) else load_data_set(data)
    known = data_set.name if data_set.path is None else None
    images = networks.Images(data_set.train.shape, len(data_set.class_names), len(data_set.train),
                             largest=16 if known == "digits" else 255)
    network = network or ("dense" if known and len(images.shape) == 2 else "convolutional")
    recipe = networks.recipe(known, network, images)
    recipe = recipe._replace(**{name: value for name, value in given.items() if value is not None})
    model = networks.build(recipe, images, activation, dropout)
    model.class_names = list(data_set.class_names)
    train, held_out = _held_out(data_set, validation, seed)
    compile_model(model, optimizer, learning_rate, recipe, len(train))
    say = terminal.console().print if not quiet else lambda *_, **__: None
    _introduce(data_set, networks.describe(recipe, images), model, recipe, say)
    try:
        train_model(model, train, held_out, recipe, seed, say, quiet)
    except KeyboardInterrupt:
        _keep_interrupted(model, output)
    model.save(output)
    report(model, data_set, network, output, say, quiet)


def _introduce(data_set, network: str, model, recipe, say) -> None:
    """What is trained on what."""
    say(f"[bold]{escape(data_set.name)}[/bold]: {len(data_set.train):,} images of "
        f"{' × '.join(map(str, data_set.train.shape[:2]))} pixels to train on, {len(data_set.test):,} to test on",
        soft_wrap=True)
    if data_set.path:
        say(f"Classes: {escape(_class_counts(data_set))}", soft_wrap=True)
    say(f"Network: {network}, {model.count_params():,} weights", soft_wrap=True)
    say(f"Augmentation: {', '.join(recipe.augmentation)}\n" if recipe.augmentation else "")


def compile_model(model, optimizer: str, learning_rate: float | None, recipe, rows: int) -> None:
    """Choose the optimiser, its rate falling along a cosine for convolutions; loss and metric follow the task."""
    from chainrule import optimizers, schedules

    chosen = optimizers.get(optimizer)
    if learning_rate is not None:
        chosen.learning_rate = learning_rate
    if recipe.kind == "convolutional" and isinstance(chosen.learning_rate, (int, float)):
        steps = -(-rows // recipe.batch_size) * recipe.epochs
        chosen.learning_rate = schedules.CosineDecay(float(chosen.learning_rate), steps)
    model.compile(chosen, "sparse_categorical_crossentropy", metrics=["accuracy"])


def _held_out(data_set, share: float, seed: int):
    """The rows to train on, and those to stop early by (`None` for none)."""
    if data_set.validation is not None:
        return data_set.train, data_set.validation
    return data_set.train.split(share, seed) if share else (data_set.train, None)


def _class_counts(data_set) -> str:
    """How many images each class has: `cat 80, dog 120`; only their number where there are many."""
    import numpy as np

    names = data_set.class_names
    if len(names) > terminal.MOST_CLASSES:
        return str(len(names))
    counts = sum(np.bincount(part.y, minlength=len(names)) for part in (data_set.train, data_set.test))
    return ", ".join(f"{name} {count:,}" for name, count in zip(names, counts.tolist(), strict=True))


def train_model(model, train, held_out, recipe, seed: int, say, quiet: bool) -> None:
    """Fit, with the best epoch's weights kept where rows are held out."""
    from chainrule.callbacks import EarlyStopping

    callbacks, validation = [], None
    if held_out is not None:
        callbacks = [EarlyStopping(patience=recipe.patience, restore_best_weights=True)]
        validation = held_out.data
    model.fit(*train.data, validation_data=validation, callbacks=callbacks, seed=seed, epochs=recipe.epochs,
              batch_size=recipe.batch_size, verbose=0 if quiet else "auto")
    if callbacks and callbacks[0].stopped_epoch:
        say(f"Stopped early; the weights are those of epoch {callbacks[0].best_epoch + 1}, the best on held-out rows.")


def _keep_interrupted(model, output: Path) -> None:
    """Save what Ctrl-C left, and say so."""
    history = model.__dict__.get("history")
    epochs = len(history.epoch) if history is not None else 0
    if epochs:
        model.save(output)
        typer.echo(f"Stopped. The weights after epoch {epochs} are kept in {output}.", err=True)
    else:
        typer.echo("Stopped in the first epoch. Nothing was saved.", err=True)
    raise typer.Exit(terminal.INTERRUPTED)


def report(model, data_set, kind: str, output: Path, say, quiet: bool) -> None:
    """How the model does on the rows it has not seen, where it is, and what to try next."""
    from chainrule.cli.evaluate import confusion_counts

    counts = confusion_counts(model, data_set)
    if quiet:
        typer.echo(f"{counts.trace() / counts.sum():.4f}")
        return
    say(f"\nHeld-out accuracy: [bold green]{terminal.describe_accuracy(counts.trace(), counts.sum())}[/bold green]\n")
    say(terminal.confusion_table(counts, data_set.class_names))
    say(f"\nSaved to [bold]{escape(str(output))}[/bold] ({output.stat().st_size / 1e6:.1f} MB)\n\nTry next:",
        soft_wrap=True)
    for line, why in _next_lines(data_set, kind, shlex.quote(str(output))):
        say(f"  [cyan]{escape(line)}[/cyan]  [dim]{why}[/dim]", soft_wrap=True)


def _next_lines(data_set, kind: str, file: str) -> list[tuple[str, str]]:
    """Commands to go on with, and why."""
    if data_set.path is None:
        other = ("--hidden 0 --output linear.chain", "without hidden layers") if kind == "dense" else (
            "--network dense --output dense.chain", "without convolutions")
        return [(f"chainrule evaluate {file} {data_set.name}", "these figures again, from the file"),
                (f"chainrule predict {file} {data_set.name}", "what the model says about each image"),
                (f"chainrule fit {data_set.name} {other[0]}", other[1])]
    from chainrule.cli.images import find_parts

    folder = shlex.quote(str(data_set.path))
    again = [(f"chainrule evaluate {file} {folder}", "these figures again, from the file")]
    return [*(again if find_parts(data_set.path) else []),
            (f"chainrule predict {file} {folder}", "what the model says about each image"),
            (f"chainrule fit {folder} --size 128 --output larger.chain", "from larger images")]
