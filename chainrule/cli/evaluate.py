"""`chainrule evaluate`: how well a saved model does on images it was not trained on."""
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from chainrule.cli import terminal


@terminal.command(
    "chainrule evaluate digits.chain digits", "chainrule evaluate photos.chain more-photos/", compiles=True)
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model file, from chainrule fit or model.save.")],
    data: Annotated[str, typer.Argument(
        help="The data set: digits, mnist, fashion_mnist or cifar10; or a folder that holds a folder of images for "
             "each class.")],
) -> None:
    """Show how well a model does on the held-out part of a data set, or on the images in a folder.

    Of a folder with the parts train and test, those in test are looked at.
    """
    from chainrule.cli.data import is_path, load_data_set
    from chainrule.cli.images import load_test_folder
    from chainrule.models import load_model

    if is_path(data):
        loaded = load_model(model)
        data_set = load_test_folder(Path(data), loaded)
        what = f"images in {escape(data_set.name)}"
    else:
        data_set, loaded = load_data_set(data), load_model(model)
        what = f"held-out images of {data_set.name}"
    counts = confusion_counts(loaded, data_set)
    out = terminal.console()
    out.print(f"[bold]{escape(str(model))}[/bold] on {counts.sum():,} {what}\n", soft_wrap=True)
    if loaded.__dict__.get("_compiled") is not None and loaded.loss is not None:
        figures = loaded.evaluate(*data_set.test.data, verbose=0, return_dict=True)
        out.print(f"Loss:     {figures['loss']:.4f}")
    out.print(f"Accuracy: [bold green]{terminal.describe_accuracy(counts.trace(), counts.sum())}[/bold green]\n")
    out.print(terminal.confusion_table(counts, data_set.class_names))


def confusion_counts(model, data_set):
    """How often each class was taken for each on the held-out rows: `(classes, classes)`, rows true."""
    import numpy as np

    from chainrule.errors import ShapeError, format_shape

    classes = len(data_set.class_names)
    probabilities = model.predict(data_set.test.x)
    if not isinstance(probabilities, np.ndarray) or probabilities.shape[1:] != (classes,):
        shape = format_shape(probabilities.shape) if isinstance(probabilities, np.ndarray) else "several outputs"
        raise ShapeError(f"The model does not tell the {classes} classes of {data_set.name} apart: expected outputs of "
                         f"shape (None, {classes}), got {shape}.")
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (data_set.test.y, probabilities.argmax(-1)), 1)
    return counts
