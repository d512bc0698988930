"""`chainrule tune`: search for good settings of a network for images, and save the best network."""
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer
from rich.markup import escape

from chainrule.cli import terminal

_TRIALS, _MINUTES = 64, 2.0  # where nothing else is asked for
_EPOCHS = 30
_MOST_SHOWN = 10  # trials in the table at the end
_PLOTS = ("parallel", "slices")


@terminal.command(
    "chainrule tune digits --minutes 2", "chainrule tune digits --trials 64 --by halving",
    "chainrule tune mnist --hidden 128 --hidden 500,300 --minutes 20",
    "chainrule tune photos/ --network convolutional --by optuna --trials 30",
    "chainrule tune digits --trials 200 --run runs/tune-digits --resume", compiles=True)
def tune(
    context: typer.Context,
    data: Annotated[str, typer.Argument(
        help="The data set: digits, mnist, fashion_mnist or cifar10; or a folder that holds a folder of images for "
             "each class.")],
    minutes: Annotated[float | None, typer.Option(
        min=0.01, help="How long the search may take.", show_default="2, unless --trials is given")] = None,
    trials: Annotated[int | None, typer.Option(
        min=1, help="How many settings are tried.", show_default="64, unless --minutes is given")] = None,
    epochs: Annotated[int | None, typer.Option(
        min=1, help="How many epochs a trial is trained for, at most.", show_default="by data, at most 30")] = None,
    by: Annotated[str, typer.Option(
        help="Who says what to try: random; even, which leaves smaller gaps; halving, which trains the better ones "
             "longer; optuna, which learns from the trials before.")] = "random",
    network: Annotated[str | None, typer.Option(
        help="Dense or convolutional.", show_default="by data")] = None,
    hidden: Annotated[list[str] | None, typer.Option(
        help="Units of the hidden layers, such as 500,300. Give it several times for a choice.",
        show_default="by data")] = None,
    activation: Annotated[str, typer.Option(
        help="The activation of the hidden layers; several with commas between for a choice.")] = "relu",
    learning_rate: Annotated[str, typer.Option(
        help="The smallest and the largest learning rate; or one for all.")] = "0.0003,0.01",
    dropout: Annotated[str, typer.Option(
        help="The smallest and the largest share of units dropped; or one for all.")] = "0.05,0.5",
    weight_decay: Annotated[str, typer.Option(
        help="The smallest and the largest decay of weights; or one for all.")] = "0.00001,0.1",
    optimizer: Annotated[str, typer.Option(help="How the weights move: adam, sgd, rmsprop, adamw, ...")] = "adam",
    monitor: Annotated[str, typer.Option(help="The figure to improve.")] = "val_accuracy",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows a step.", show_default="by data")] = None,
    validation: Annotated[float, typer.Option(
        min=0.01, max=0.9, help="The share of the training data held out to judge trials by.")] = 0.2,
    test: Annotated[float, typer.Option(
        min=0.01, max=0.9, help="The share of a folder's images held out to report on, where it has no folder for "
                                "that.")] = 0.2,
    size: Annotated[int | None, typer.Option(
        min=1, help="The side that the images of a folder are brought to.", show_default="theirs, at most 96")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides settings, weights, order of rows and splits.")] = 0,
    output: Annotated[Path | None, typer.Option(
        help="The file of the best network.", show_default="<data>-tuned.chain")] = None,
    device: Annotated[str | None, typer.Option(
        help="Where networks are trained: cpu, gpu or tpu.", show_default="the best there is")] = None,
    run: Annotated[Path | None, typer.Option(
        help="The folder of the search: its trials, the best network, pictures.",
        show_default="runs/tune-<data>")] = None,
    resume: Annotated[bool, typer.Option(
        "--resume", help="Go on with the search in the folder of --run; trials that are over are kept.")] = False,
    quiet: Annotated[bool, typer.Option(
        "--quiet", "-q", help="Print one figure alone: the held-out accuracy of the best network.")] = False,
) -> None:
    """Try many settings of a network at once, and save the best network.

    Learning rate, dropout and weight decay are tried as members of a population, which one program trains; each choice
    of hidden layers and activation is compiled once. Ctrl-C ends the search with what there is.
    """
    from chainrule.errors import SettingError

    if resume and run is None:
        raise SettingError("--resume needs the folder of the search: --run runs/tune-digits.")
    options = SimpleNamespace(**context.params)
    if minutes is None and trials is None:
        options.minutes, options.trials = _MINUTES, _TRIALS
    _search(options)


def _search(options) -> None:
    """Load the data, search, report and save."""
    import chainrule
    from chainrule.cli import networks
    from chainrule.cli.data import is_path, load_data_set, plain_name
    from chainrule.cli.images import load_folder
    from chainrule.devices import check_device
    from chainrule.saving.archive import check_target

    if options.device is not None:
        options.device = check_device(options.device)
    if options.network is not None:
        networks.check_kind(options.network)
    data = options.data
    place = Path(data).resolve().name if is_path(data) else plain_name(data)
    output = options.output or Path(f"{place}-tuned.chain")
    check_target(output)  # before the search, which would be lost
    folder = load_folder(Path(data), options.size, options.test, options.seed) if is_path(data) else None
    data_set = folder or load_data_set(data)
    x, y = _arrays(data_set.train)
    judged = None if data_set.validation is None else _arrays(data_set.validation)
    recipe, build, space = _plan(options, data_set)
    say = terminal.console().print if not options.quiet else lambda *_, **__: None
    _introduce(data_set, space, options, say)
    run = _folder(options, place)
    results = chainrule.tune(
        build, space, (x, y), {"trials": options.trials, "minutes": options.minutes},
        epochs=options.epochs or min(recipe.epochs, _EPOCHS), by=options.by, monitor=options.monitor,
        batch_size=recipe.batch_size, validation_data=judged, validation_split=options.validation,
        patience=None if options.by == "halving" else recipe.patience, seed=options.seed, run=run,
        resume=options.resume, verbose=0 if options.quiet else "auto")
    model = results.best_model
    model.class_names = list(data_set.class_names)
    model.save(output)
    _report(results, model, data_set, output, run, say, options)
    if results.interrupted:
        raise typer.Exit(terminal.INTERRUPTED)


def _arrays(part):
    """The images of a part and their labels, in memory."""
    import numpy as np

    return (part.x, part.y) if isinstance(part.x, np.ndarray) else part.x.load()


def _plan(options, data_set):
    """The recipe of the network, the function that builds it, and the space of the search."""
    from chainrule import optimizers
    from chainrule.cli import networks
    from chainrule.cli.fitting import as_asked, hidden_sizes
    from chainrule.tuning import Fixed

    known = data_set.name if data_set.path is None else None
    images = networks.Images(data_set.train.shape, len(data_set.class_names), len(data_set.train),
                             largest=16 if known == "digits" else 255)
    kind = options.network or ("dense" if known and len(images.shape) == 2 else "convolutional")
    recipe = as_asked(networks.recipe(known, kind, images), batch_size=options.batch_size)
    sizes = [hidden_sizes(text) for text in options.hidden or ()] or _usual_sizes(recipe)

    def build(hidden, activation, dropout, weight_decay):
        model = networks.build(recipe._replace(hidden=hidden), images, activation, dropout)
        optimizer = optimizers.get(options.optimizer)
        optimizer.weight_decay = weight_decay
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], device=options.device)
        return model

    activations = [name.strip() for name in options.activation.split(",") if name.strip()]
    space = {"hidden": sizes, "activation": activations,
             "learning_rate": _range("learning-rate", options.learning_rate, log=True),
             "dropout": _range("dropout", options.dropout),
             "weight_decay": _range("weight-decay", options.weight_decay, log=True)}
    return recipe, build, {name: Fixed(value[0]) if isinstance(value, list) and len(value) == 1 else value
                           for name, value in space.items()}


def _usual_sizes(recipe) -> list[tuple[int, ...]]:
    """The hidden layers to choose from: those of the recipe, and the first of them alone; none for convolutions."""
    return [recipe.hidden[:1], recipe.hidden] if len(recipe.hidden) > 1 else [recipe.hidden]


def _range(name: str, text: str, log: bool = False):
    """Two numbers with a comma between as a range, one as it is."""
    from chainrule.tuning import LogUniform, Uniform

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        return numbers[0]
    if len(numbers) != 2 or not numbers[0] < numbers[1] or (log and numbers[0] <= 0):
        above = " above 0" if log else ""
        raise typer.BadParameter(f"--{name} is a number, or a smaller and a larger one{above} with a comma between, "
                                 f"such as 0.001,0.1; got {text!r}")
    return LogUniform(*numbers) if log else Uniform(*numbers)


def _folder(options, place: str) -> Path:
    """The folder of the search: that of `--run`; else the first of `runs/tune-<data>`, `...-2`, ... that is free."""
    folder, number = options.run or Path("runs") / f"tune-{place}", 1
    while options.run is None and folder.exists():
        number += 1
        folder = Path("runs") / f"tune-{place}-{number}"
    return folder


def _introduce(data_set, space, options, say) -> None:
    """What is searched for what."""
    from chainrule.tuning.space import as_space

    say(f"[bold]{escape(data_set.name)}[/bold]: {len(data_set.train):,} images to train and to judge on, "
        f"{len(data_set.test):,} to test on", soft_wrap=True)
    for name, dimension in as_space(space).items():
        say(f"  {name}: {escape(_described(dimension))}", soft_wrap=True)
    bounds = [f"{value:g} {name}" for name, value in (("trials", options.trials), ("minutes", options.minutes))
              if value is not None]
    say(f"At most {' or '.join(bounds)}, by {options.by}\n", soft_wrap=True)


def _described(dimension) -> str:
    from chainrule.tuning.progress import format_value
    from chainrule.tuning.space import Choice, Fixed, LogUniform

    if isinstance(dimension, Fixed):
        return format_value(dimension.only)
    if isinstance(dimension, Choice):
        return " or ".join(map(format_value, dimension.options))
    orders = ", by orders of magnitude" if isinstance(dimension, LogUniform) else ""
    return f"{format_value(dimension.low)} to {format_value(dimension.high)}{orders}"


def _report(results, model, data_set, output: Path, run: Path, say, options) -> None:
    """The best trials, how the best network does on rows that no trial has seen, and where everything is."""
    from chainrule.cli.evaluate import confusion_counts

    counts = confusion_counts(model, data_set)
    if options.quiet:
        print(f"{counts.trace() / counts.sum():.4f}")
        return
    say()
    say(results.table(_MOST_SHOWN))
    say(f"\nHeld-out accuracy of the best: "
        f"[bold green]{terminal.describe_accuracy(counts.trace(), counts.sum())}[/bold green]")
    say(f"Saved to [bold]{escape(str(output))}[/bold] ({output.stat().st_size / 1e6:.1f} MB)", soft_wrap=True)
    for line in _draw(results, run):
        say(line, soft_wrap=True)
    file, folder = shlex.quote(str(output)), shlex.quote(str(run))
    name = shlex.quote(options.data)
    trials = max(2 * len(results), _TRIALS)
    say("\nTry next:")
    for line, why in ((f"chainrule evaluate {file} {name}", "how the best network does, class by class"),
                      (f"chainrule tune {name} --trials {trials} --run {folder} --resume",
                       "go on; give the other options as they were")):
        say(f"  [cyan]{escape(line)}[/cyan]  [dim]{why}[/dim]", soft_wrap=True)


def _draw(results, run: Path) -> list[str]:
    """Draw the pictures of the search into its folder, where that can be done, and say where they are."""
    from chainrule.errors import SettingError

    said = []
    for name in _PLOTS:
        try:
            figure = getattr(results, f"plot_{name}")()
        except ImportError as error:
            return [str(error)]
        except SettingError:  # all trials have the same values
            return []
        figure.savefig(run / f"{name}.png", facecolor="white")
        said.append(f"Picture: {escape(str(run / f'{name}.png'))}")
    return said
