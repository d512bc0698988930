"""What training from the command line is like for all data: early stopping, Ctrl-C, sizes as they are typed."""
import contextlib
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


def train(model, x, y=None, *, validation_data, patience: int, say, quiet: bool, callbacks=(), **options) -> None:
    """Fit, with the best epoch's weights kept where data are held out.

    Args:
        model: a compiled one.
        x, y, validation_data, callbacks: as for `fit`.
        patience: how many epochs may pass without a better loss on the held-out data.
        say: prints a line.
        quiet: whether to show no progress.
        options: the rest of what `fit` takes.
    """
    from chainrule.callbacks import EarlyStopping

    stopping = EarlyStopping(patience=patience, restore_best_weights=True)
    callbacks = [*callbacks, *[stopping] * (validation_data is not None)]
    model.fit(x, y, validation_data=validation_data, callbacks=callbacks, verbose=0 if quiet else "auto", **options)
    if stopping.stopped_epoch:
        say(f"Stopped early; the weights are those of epoch {stopping.best_epoch + 1}, the best on held-out rows.")


@contextlib.contextmanager
def interruptible(model, output: Path, save: Callable[[Path], None]) -> Iterator[None]:
    """Save what Ctrl-C leaves of a training, say so, and leave."""
    try:
        yield
    except KeyboardInterrupt:
        history = model.__dict__.get("history")
        epochs = len(history.epoch) if history is not None else 0
        if epochs:
            save(output)
            typer.echo(f"Stopped. The weights after epoch {epochs} are kept in {output}.", err=True)
        else:
            typer.echo("Stopped in the first epoch. Nothing was saved.", err=True)
        raise typer.Exit(terminal.INTERRUPTED) from None
