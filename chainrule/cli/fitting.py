"""What training from the command line is like for all data: early stopping, Ctrl-C, sizes as they are typed."""
import contextlib
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import typer

from chainrule.cli import terminal


def hidden_sizes(text: str | None) -> tuple[int, ...] | None:
    """The sizes of the hidden layers: `"500,300"`; `"0"` for none; `None` where none are given."""
    if text is None:
        return None
    sizes = [size.strip() for size in text.split(",") if size.strip()]
    if not all(size.isdecimal() for size in sizes):
        raise typer.BadParameter("sizes are whole numbers with commas between, such as 500,300")
    return tuple(int(size) for size in sizes if int(size))


def as_asked(recipe, **given):
    """A recipe with what stands on the command line in the place of its own settings; `None` leaves them."""
    return recipe._replace(**{name: value for name, value in given.items() if value is not None})


def run_of(options, name: str):
    """The folder of this training: that of `--run`; else the first of `runs/<name>`, `runs/<name>-2`, ... that is free.

    How the command was given is noted in it, so that `chainrule resume` can give it again.
    """
    from chainrule.errors import SettingError
    from chainrule.runs import Run

    if options.resume:
        return Run(options.run)
    folder, number = options.run or Path("runs") / name, 1
    while options.run is None and folder.exists():
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    if Run(folder).exists:
        raise SettingError(f"{folder} holds a run already. chainrule resume {folder} goes on with it; for another "
                           f"training, give another folder.")
    given = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    return Run(folder, notes={"command": {"options": given, "folder": str(Path.cwd())}})


def train(model, x, y=None, *, validation_data, patience: int, say, quiet: bool, run, resume: bool,
          callbacks=(), **options) -> None:
    """Fit, with the best epoch's weights kept where data are held out.

    Args:
        model: a compiled one.
        run: the folder of the training; `resume` says whether to go on with what is there.
        x, y, validation_data, callbacks: as for `fit`.
        patience: how many epochs may pass without a better loss on the held-out data.
        say: prints a line.
        quiet: whether to show no progress.
        options: the rest of what `fit` takes.
    """
    from chainrule.callbacks import EarlyStopping

    stopping = EarlyStopping(patience=patience, restore_best_weights=True)
    callbacks = [*callbacks, *[stopping] * (validation_data is not None)]
    model.fit(x, y, validation_data=validation_data, callbacks=callbacks, verbose=0 if quiet else "auto", run=run,
              resume=resume, **options)
    if stopping.stopped_epoch:
        say(f"Stopped early; the weights are those of epoch {stopping.best_epoch + 1}, the best on held-out rows.")
    say(f"The run is in {run.folder}; chainrule runs lists its figures.")


@contextlib.contextmanager
def interruptible(model, output: Path, save: Callable[[Path], None], run) -> Iterator[None]:
    """Save what Ctrl-C leaves of a training, say so and how to go on, and leave."""
    try:
        yield
    except KeyboardInterrupt:
        history = model.__dict__.get("history")
        epochs = len(history.epoch) if history is not None else 0
        if epochs:
            save(output)
        kept = f"Stopped. The weights after epoch {epochs} are kept in {output}." if epochs else "Stopped."
        go_on = f" To go on: chainrule resume {shlex.quote(str(run.folder))}" if run.checkpoints else ""
        typer.echo(f"{kept}{go_on}", err=True)
        raise typer.Exit(terminal.INTERRUPTED) from None
