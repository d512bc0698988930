"""`chainrule evaluate`: how well a saved model does on the held-out part of a data set."""
from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli import terminal


@terminal.command("chainrule evaluate digits.chain digits")
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model file, from chainrule fit or model.save.")],
    data: Annotated[str, typer.Argument(help="The data set: digits, mnist or fashion_mnist.")],
) -> None:
    """Show how well a model does on the held-out part of a data set."""
    from chainrule.cli.data import load_data_set
    from chainrule.models import load_model

    data_set, loaded = load_data_set(data), load_model(model)
    counts = confusion_counts(loaded, data_set)
    out = terminal.console()
    out.print(f"[bold]{model}[/bold] on {counts.sum():,} held-out images of {data_set.name}\n", soft_wrap=True)
    if loaded.__dict__.get("_compiled") is not None and loaded.loss is not None:
        figures = loaded.evaluate(data_set.x_test, data_set.y_test, verbose=0, return_dict=True)
        out.print(f"Loss:     {figures['loss']:.4f}")
    out.print(f"Accuracy: [bold green]{terminal.describe_accuracy(counts.trace(), counts.sum())}[/bold green]\n")
    out.print(terminal.confusion_table(counts, data_set.class_names))


def confusion_counts(model, data_set):
    """How often each class was taken for each on the held-out rows: `(classes, classes)`, rows true."""
    import numpy as np

    from chainrule.errors import ShapeError, format_shape

    classes = len(data_set.class_names)
    probabilities = model.predict(data_set.x_test)
    if not isinstance(probabilities, np.ndarray) or probabilities.shape[1:] != (classes,):
        shape = format_shape(probabilities.shape) if isinstance(probabilities, np.ndarray) else "several outputs"
        raise ShapeError(f"The model does not tell the {classes} classes of {data_set.name} apart: expected outputs of "
                         f"shape (None, {classes}), got {shape}.")
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (data_set.y_test, probabilities.argmax(-1)), 1)
    return counts
