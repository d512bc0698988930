"""`chainrule fit` on images: a data set by its name, or a folder that holds a folder for each class."""
import shlex
from pathlib import Path

from rich.markup import escape

from chainrule.cli import terminal
from chainrule.cli.fitting import as_asked, hidden_sizes, interruptible, run_of, train


def fit_images(options) -> None:
    """Train a network on images, report on the held-out ones, and save it.

    The model takes pixels as they are in the data.
    """
    from chainrule.cli import networks
    from chainrule.cli.data import is_path, load_data_set, plain_name
    from chainrule.cli.images import load_folder
    from chainrule.saving.archive import check_target

    data, network, seed = options.data, options.network, options.seed
    if network is not None:
        networks.check_kind(network)
    given = {"hidden": hidden_sizes(options.hidden), "epochs": options.epochs, "batch_size": options.batch_size,
             "augmentation": None if options.augment else ()}
    place = Path(data).resolve().name if is_path(data) else plain_name(data)
    output = options.output or Path(f"{place}.chain")
    check_target(output)  # before the training, which would be lost
    data_set = load_folder(Path(data), options.size, options.test, seed) if is_path(data) else load_data_set(data)
    known = data_set.name if data_set.path is None else None
    images = networks.Images(data_set.train.shape, len(data_set.class_names), len(data_set.train),
                             largest=16 if known == "digits" else 255)
    network = network or ("dense" if known and len(images.shape) == 2 else "convolutional")
    recipe = as_asked(networks.recipe(known, network, images), **given)
    model = networks.build(recipe, images, options.activation, 0.2 if options.dropout is None else options.dropout)
    model.class_names = list(data_set.class_names)
    rows, held_out = _held_out(data_set, options.validation, seed)
    compile_model(model, options.optimizer, options.learning_rate, recipe, len(rows), options.device)
    say = terminal.console().print if not options.quiet else lambda *_, **__: None
    _introduce(data_set, networks.describe(recipe, images), model, recipe, say)
    run = run_of(options, place)
    with interruptible(model, output, model.save, run):
        train(model, *rows.data, validation_data=None if held_out is None else held_out.data, patience=recipe.patience,
              epochs=recipe.epochs, batch_size=recipe.batch_size, seed=seed, say=say, quiet=options.quiet, run=run,
              resume=options.resume)
        model.save(output)
    report(model, data_set, network, output, say, options.quiet)


def _introduce(data_set, network: str, model, recipe, say) -> None:
    """What is trained on what."""
    say(f"[bold]{escape(data_set.name)}[/bold]: {len(data_set.train):,} images of "
        f"{' × '.join(map(str, data_set.train.shape[:2]))} pixels to train on, {len(data_set.test):,} to test on",
        soft_wrap=True)
    if data_set.path:
        say(f"Classes: {escape(_class_counts(data_set))}", soft_wrap=True)
    say(f"Network: {network}, {model.count_params():,} weights", soft_wrap=True)
    say(f"Augmentation: {', '.join(recipe.augmentation)}\n" if recipe.augmentation else "")


def compile_model(model, optimizer: str, learning_rate: float | None, recipe, rows: int, device: str | None) -> None:
    """Choose the optimiser, its rate falling along a cosine for convolutions; loss and metric follow the task."""
    from chainrule import optimizers, schedules

    chosen = optimizers.get(optimizer)
    if learning_rate is not None:
        chosen.learning_rate = learning_rate
    if recipe.kind == "convolutional" and isinstance(chosen.learning_rate, (int, float)):
        steps = -(-rows // recipe.batch_size) * recipe.epochs
        chosen.learning_rate = schedules.CosineDecay(float(chosen.learning_rate), steps)
    model.compile(chosen, "sparse_categorical_crossentropy", metrics=["accuracy"], device=device)


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


def report(model, data_set, kind: str, output: Path, say, quiet: bool) -> None:
    """How the model does on the rows it has not seen, where it is, and what to try next."""
    from chainrule.cli.evaluate import confusion_counts

    counts = confusion_counts(model, data_set)
    if quiet:
        print(f"{counts.trace() / counts.sum():.4f}")
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
