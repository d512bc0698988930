"""`chainrule`: the commands, and the option that belongs to none of them."""
from typing import Annotated

import typer

from chainrule.cli import terminal
from chainrule.cli.augment import augment
from chainrule.cli.doctor import doctor
from chainrule.cli.evaluate import evaluate
from chainrule.cli.fit import fit
from chainrule.cli.predict import predict
from chainrule.cli.resume import resume
from chainrule.cli.runs import runs
from chainrule.cli.tune import tune
from chainrule.cli.write import write

HELP = """Neural networks, trained and used from the command line.

[bold]Start here:[/bold] chainrule fit digits
"""

app = typer.Typer(
    name="chainrule", help=HELP, no_args_is_help=True, add_completion=False, rich_markup_mode="rich",
    pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]})
for command in (fit, tune, resume, runs, evaluate, predict, write, augment, doctor):
    app.command(epilog=command.examples)(command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"chainrule {version('chainrule')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", callback=_version,
                                          is_eager=True)] = False,
) -> None:
    """What belongs to no command."""


def main() -> None:
    """Run the command line: what the console script calls."""
    terminal.keeps_programs.set(True)
    app()
