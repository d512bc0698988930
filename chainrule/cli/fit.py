"""`chainrule fit`: train a network on a named data set, show how well it does, and save it."""
import shlex
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from chainrule.cli import terminal


class Recipe(NamedTuple):
    """How a data set is trained on where no option says otherwise."""

    largest: int  # the value of a pixel that is all ink
    hidden: str
    epochs: int
    batch_size: int
    patience: int


RECIPES = {
    "digits": Recipe(largest=16, hidden="256,128", epochs=100, batch_size=32, patience=10),
    "mnist": Recipe(largest=255, hidden="500,300", epochs=30, batch_size=128, patience=4),
    "fashion_mnist": Recipe(largest=255, hidden="500,300", epochs=30, batch_size=128, patience=4),
}


def _sizes(text: str) -> list[int]:
    """The sizes of the hidden layers: `"500,300"`; `"0"` for none."""
    sizes = [size.strip() for size in text.split(",") if size.strip()]
    if not all(size.isdecimal() for size in sizes):
        raise typer.BadParameter("sizes are whole numbers with commas between, such as 500,300")
    return [int(size) for size in sizes if int(size)]


@terminal.command(
    "chainrule fit digits", "chainrule fit mnist --hidden 500,300 --epochs 10 --output mnist.chain",
    "chainrule fit fashion_mnist --optimizer sgd --learning-rate 0.1 --seed 3")
def fit(
    data: Annotated[str, typer.Argument(help="The data set: digits, mnist or fashion_mnist.")],
    hidden: Annotated[str | None, typer.Option(
        help="Units of the hidden layers, such as 500,300; 0 for none.", show_default="by data set")] = None,
    activation: Annotated[str, typer.Option(help="The activation of the hidden layers.")] = "relu",
    dropout: Annotated[float, typer.Option(
        min=0, max=0.99, help="The share of units dropped after each hidden layer.")] = 0.2,
    epochs: Annotated[int | None, typer.Option(
        min=1, help="The most passes over the data.", show_default="by data set")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows a step.", show_default="by data set")] = None,
    learning_rate: Annotated[float | None, typer.Option(
        min=0, help="The learning rate.", show_default="the optimizer's own")] = None,
    optimizer: Annotated[str, typer.Option(help="How the weights move: adam, sgd, rmsprop, adamw, ...")] = "adam",
    validation: Annotated[float, typer.Option(
        min=0, max=0.9, help="The share of the training data held out to stop early by; 0 for none.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Decides weights, order of rows and split.")] = 0,
    output: Annotated[Path | None, typer.Option(help="The model's file.", show_default="<data>.chain")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the held-out accuracy alone.")] = False,
) -> None:
    """Train a network on a data set, and save it.

    The model takes pixels as they are in the data. Training ends when the loss on held-out rows stops falling.
    """
    import numpy as np

    from chainrule.cli.data import load_data_set
    from chainrule.saving.archive import check_target

    sizes = None if hidden is None else _sizes(hidden)
    data_set = load_data_set(data)
    recipe = RECIPES[data_set.name]
    sizes = _sizes(recipe.hidden) if sizes is None else sizes
    output = output or Path(f"{data_set.name}.chain")
    check_target(output)  # before the training, which would be lost
    model = build(data_set.x_train.shape[1:], len(data_set.class_names), recipe.largest, sizes, activation,
                  dropout)
    compile_model(model, optimizer, learning_rate)
    say = terminal.console().print if not quiet else lambda *_, **__: None
    say(f"[bold]{data_set.name}[/bold]: {len(data_set.x_train):,} images of "
        f"{' × '.join(map(str, data_set.x_train.shape[1:]))} pixels to train on, {len(data_set.x_test):,} to test on")
    units = [int(np.prod(data_set.x_train.shape[1:])), *sizes, len(data_set.class_names)]
    say(f"Network: {' → '.join(map(str, units))} units, {model.count_params():,} weights\n")
    try:
        train(model, data_set, recipe.patience, validation, seed, say, quiet, epochs=epochs or recipe.epochs,
              batch_size=batch_size or recipe.batch_size)
    except KeyboardInterrupt:
        _keep_interrupted(model, output)
    model.save(output)
    report(model, data_set, output, say, quiet)


def build(shape, classes: int, largest: int, sizes: list[int], activation: str, dropout: float):
    """A network for images: pixels brought to 0 to 1, hidden layers, a softmax over the classes."""
    from chainrule.layers import Dense, Dropout, Flatten, Rescaling
    from chainrule.models import Input, Sequential

    start = "he_normal" if activation in ("relu", "leaky_relu", "elu") else "glorot_uniform"
    model = Sequential([Input(shape), Rescaling(1 / largest), Flatten()])
    for size in sizes:
        model.add(Dense(size, activation=activation, kernel_initializer=start))
        if dropout:
            model.add(Dropout(dropout))
    model.add(Dense(classes, activation="softmax"))
    return model


def compile_model(model, optimizer: str, learning_rate: float | None) -> None:
    """Choose the optimiser; the loss and the metric follow from the task."""
    from chainrule import optimizers

    chosen = optimizers.get(optimizer)
    if learning_rate is not None:
        chosen.learning_rate = learning_rate
    model.compile(chosen, "sparse_categorical_crossentropy", metrics=["accuracy"])


def train(model, data_set, patience: int, share: float, seed: int, say, quiet: bool, **settings) -> None:
    """Fit, with the best epoch's weights kept where rows are held out."""
    import numpy as np

    from chainrule.callbacks import EarlyStopping
    from chainrule.data.split import split_indices

    x, y = data_set.x_train, data_set.y_train
    callbacks, held_out, rows = [], None, np.arange(len(x))
    if share:
        rows, held = split_indices(len(x), share, seed=seed, stratify=y)
        held_out = x[held], y[held]
        callbacks = [EarlyStopping(patience=patience, restore_best_weights=True)]
    model.fit(x[rows], y[rows], validation_data=held_out, callbacks=callbacks, seed=seed,
              verbose=0 if quiet else "auto", **settings)
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


def report(model, data_set, output: Path, say, quiet: bool) -> None:
    """How the model does on the rows it has not seen, where it is, and what to try next."""
    from chainrule.cli.evaluate import confusion_counts

    counts = confusion_counts(model, data_set)
    if quiet:
        typer.echo(f"{counts.trace() / counts.sum():.4f}")
        return
    say(f"\nHeld-out accuracy: [bold green]{terminal.describe_accuracy(counts.trace(), counts.sum())}[/bold green]\n")
    say(terminal.confusion_table(counts, data_set.class_names))
    say(f"\nSaved to [bold]{output}[/bold] ({output.stat().st_size / 1e6:.1f} MB)\n\nTry next:")
    file = shlex.quote(str(output))
    for line, why in [(f"chainrule evaluate {file} {data_set.name}", "these figures again, from the file"),
                      (f"chainrule predict {file} {data_set.name}", "what the model says about each image"),
                      (f"chainrule fit {data_set.name} --hidden 0 --output linear.chain", "without hidden layers")]:
        say(f"  [cyan]{line}[/cyan]  [dim]{why}[/dim]", soft_wrap=True)
