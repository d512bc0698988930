"""`chainrule write`: what a model of text writes behind a prompt."""
import itertools
import sys
from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli import terminal


@terminal.command(
    'chainrule write shakespeare.chain --prompt "ROMEO:"',
    'chainrule write shakespeare.chain --prompt "To be" --length 500 --temperature 0.5 --seed 7',
    "tail -c 400 scene.txt | chainrule write shakespeare.chain --prompt - > scene2.txt", compiles=True)
def write(
    model: Annotated[Path, typer.Argument(help="A model file of text, from chainrule fit book.txt or model.save.")],
    prompt: Annotated[str, typer.Option(
        help="What the text begins with; - reads it from standard input.", show_default="a new line")] = "",
    length: Annotated[int, typer.Option(
        min=0, help="The number of tokens to write: characters, words or byte pairs, as the model was trained.")] = 500,
    temperature: Annotated[float, typer.Option(
        min=0, help="How bold: 0 always takes the likeliest token, 1 is as the model says, above 1 is wilder.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(
        min=1, help="Take only from so many of the likeliest tokens.", show_default="all")] = None,
    top_p: Annotated[float | None, typer.Option(
        help="Take only from the likeliest tokens that together have this probability.", show_default="1")] = None,
    stop: Annotated[list[str] | None, typer.Option(
        help="A text that ends the writing where it comes up; may be given again.")] = None,
    window: Annotated[int | None, typer.Option(
        min=1, help="How many of the last tokens the model sees.", show_default="as many as it can")] = None,
    samples: Annotated[int, typer.Option(min=1, help="The number of texts.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Decides the text.")] = 0,
) -> None:
    """Let a model that was trained on text write: it goes on from the prompt, token by token."""
    from chainrule import text
    from chainrule.errors import DataError
    from chainrule.models import load_model

    loaded = load_model(model)
    if not isinstance(loaded.preparation, text.Vocabulary):
        raise DataError(f"{model} is no model of text: it has no vocabulary. chainrule fit book.txt makes one.")
    prompt = sys.stdin.read().removesuffix("\n") if prompt == "-" else prompt
    settings = {"prompt": prompt, "length": length, "temperature": temperature, "top_k": top_k, "top_p": top_p,
                "stop": stop, "window": window, "seed": seed}
    if samples > 1:
        for number, written in enumerate(text.generate(loaded, samples=samples, **settings), start=1):
            print(f"--- {number} of {samples} ---\n{_shown(written)}\n")
        return
    pieces = text.stream(loaded, **settings)  # raises before anything is printed
    try:
        for piece in itertools.chain([prompt], pieces):
            print(_shown(piece), end="", flush=True)
    finally:
        print(flush=True)  # also where Ctrl-C ends the text


def _shown(written: str) -> str:
    """Text as it may be printed: a model's file may come from anywhere, and a terminal obeys control characters."""
    if not sys.stdout.isatty():
        return written
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}"
                   for letter in written)
