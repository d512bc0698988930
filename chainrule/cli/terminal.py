"""What the commands share: where they print, how they fail, and the table of what was taken for what."""
import contextlib
import functools
import os
import sys
from collections.abc import Callable
from contextvars import ContextVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

INTERRUPTED = 130
keeps_programs = ContextVar("keeps_programs", default=False)  # set by `main`
MOST_CLASSES = 20  # more of them are no longer shown one by one


def console() -> Console:
    """Where results go; made when it is needed, so that it sees the terminal as it is."""
    return Console(highlight=False)


def fail(message: str) -> None:
    """Say on the error output what went wrong, and leave with 1."""
    Console(stderr=True, highlight=False).print(Text(f"Error: {message}", "red"), soft_wrap=True)
    raise typer.Exit(1)


def command(*examples: str, compiles: bool = False) -> Callable:
    """Make a function a command: errors that chainrule raises on purpose become one line, without a traceback.

    Args:
        examples: command lines for the end of its help.
        compiles: whether it runs networks. Their compiled programs are kept for the next time where the console script
            asks for it (`keeps_programs`), and not where the commands are called from Python.
    """

    def decorate(function):
        @functools.wraps(function)
        def run(*arguments, **options):
            from chainrule.errors import ChainruleError

            try:
                if compiles and keeps_programs.get():
                    keep_programs()
                return function(*arguments, **options)
            except BrokenPipeError:  # whoever reads our output has seen enough, as `head` does
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(1) from None
            except ChainruleError as error:
                fail(str(error))
            except OSError as error:
                fail(f"{error.filename}: {error.strerror}." if error.filename and error.strerror else str(error))
            except KeyboardInterrupt:
                Console(stderr=True).print("Stopped.")
                raise typer.Exit(INTERRUPTED) from None

        run.examples = "[bold]Examples:[/bold]\n" + "\n".join(f"[dim]$[/dim] {example}" for example in examples)
        return run

    return decorate


def keep_programs() -> None:
    """Keep compiled programs for the next command, in the user's cache; without them it only starts later."""
    import warnings

    from chainrule.compilation import cache_compilations
    from chainrule.errors import FileAccessError

    with contextlib.suppress(FileAccessError):
        cache_compilations()
    # A program that cannot be read or written is compiled as if there were no cache: nothing that a user must know.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")


def confusion_table(counts, class_names) -> Table:
    """How often each class was taken for each: rows are true, columns predicted, the diagonal is right.

    Of many classes only the pairs that are confused most are shown.

    Args:
        counts: `(classes, classes)` integers.
        class_names: the names of the classes; columns are numbered where names are long.
    """
    if len(class_names) > MOST_CLASSES:
        return _most_confused(counts, class_names)
    short = max(map(len, class_names)) <= 3
    table = Table(box=None, padding=(0, 1), title="true \\ predicted" if short else "true (rows), predicted (columns)",
                  title_justify="left", title_style="dim")
    table.add_column("", justify="right", style="bold")
    for index, name in enumerate(class_names):
        table.add_column(Text(name) if short else str(index), justify="right")
    table.add_column("right", justify="right", style="dim")
    for row, (name, line) in enumerate(zip(class_names, counts.tolist(), strict=True)):
        cells = [_cell(count, row == column) for column, count in enumerate(line)]
        share = f"{100 * line[row] / sum(line):.0f} %" if sum(line) else ""
        table.add_row(Text(name if short else f"{name} {row}"), *cells, share)
    return table


def _most_confused(counts, class_names) -> Table:
    """The pairs of classes that were confused most often."""
    pairs = sorted(((int(count), row, column) for row, line in enumerate(counts) for column, count in enumerate(line)
                    if count and row != column), reverse=True)
    table = Table("true", "predicted", "images", box=None, padding=(0, 2, 0, 0), header_style="bold",
                  title="confused most often", title_justify="left", title_style="dim")
    for count, row, column in pairs[:MOST_CLASSES]:
        table.add_row(Text(class_names[row]), Text(class_names[column]), Text(f"{count:,}", "bold red"))
    return table


def _cell(count: int, right: bool) -> Text:
    if right:
        return Text(str(count), "bold green" if count else "dim")
    return Text(str(count), "bold red") if count else Text("·", "dim")


def describe_accuracy(right: int, count: int) -> str:
    """`98.3 % (353 of 359)`."""
    return f"{100 * right / max(count, 1):.1f} % ({right:,} of {count:,})"
