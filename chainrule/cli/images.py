"""Images as commands take them: folders to train on and to judge by, photos to look at."""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import typer
from rich.markup import escape

from chainrule.cli.data import DataSet, Part

MOST_PIXELS = 96  # the side of what larger images are brought to, where no option says otherwise
_LOOKED_AT = 200  # images that decide on a size
_SKIPPED_SHOWN = 10
_PARTS = {"train": ("train", "training"), "test": ("test", "testing"), "validation": ("val", "valid", "validation")}


def load_folder(path: Path, size: int | None, test_share: float, seed: int) -> DataSet:
    """The images in a folder: its folders are the classes, or else its parts, with the classes in `train`.

    Where there is no `test`, `val` is held out to test on, and where there is neither, a share of each class.

    Args:
        path: the folder.
        size: the side that images are brought to; chosen by `choose_size` without one.
        test_share: the share of images held out to test on where the folder has no part for that.
        seed: decides which.
    """
    from chainrule.data.image_folder import class_folders

    parts = find_parts(path)
    root = parts.get("train", path)
    files = [file for found in class_folders(root).values() for file in found]
    chosen, color = choose_size(files)
    options = {"size": chosen if size is None else (size, size), "color": color}
    train, names = read_folder(root, **options)
    read = lambda part: read_folder(parts[part], **options, class_names=names)[0]
    validation = None
    if "test" in parts:
        test, validation = read("test"), read("validation") if "validation" in parts else None
    elif "validation" in parts:
        test = read("validation")
    else:
        check_enough(train, names, path)
        train, test = train.split(test_share, seed)
    return DataSet(Path(path).resolve().name, train, test, tuple(names), validation, Path(path))


def check_enough(part: Part, names: Sequence[str], path: Path) -> None:
    """Raise where images are too few to train on some, stop by others and test on others."""
    from chainrule.errors import DataError

    counts = np.bincount(part.y, minlength=len(names))
    if counts.min() < 3:
        raise DataError(f"{path} has {counts.min()} images of the class {names[counts.argmin()]!r}. At least 3 of each "
                        f"are needed: to train on, to stop by, and to test on.")


def find_parts(path) -> dict[str, Path]:
    """The folders `train`, `test` and `val` in a folder, under the names they go by here; none where no `train` is."""
    path = Path(path)
    entries = {entry.name.lower(): entry for entry in sorted(path.iterdir())} if path.is_dir() else {}
    holds_folders = lambda entry: entry.is_dir() and any(inner.is_dir() for inner in entry.iterdir())
    found = {part: entries[name] for part, names in _PARTS.items() for name in names
             if name in entries and holds_folders(entries[name])}
    return found if "train" in found else {}


def choose_size(files: Sequence[Path]) -> tuple[tuple[int, int], str]:
    """The size and the colours for images: as they are where they are small and alike, else a square of 96 or less.

    The side of the square is the usual shorter side, in steps of 8. Images without colours stay so.
    """
    from chainrule.data.images import ImageInfo, read_infos

    step = max(len(files) // _LOOKED_AT, 1)
    infos = [info for info in read_infos(files[::step]) if isinstance(info, ImageInfo)]
    sizes = {(info.height, info.width) for info in infos}
    color = "grayscale" if infos and all(info.grey for info in infos) else "rgb"
    if len(sizes) == 1 and max(max(sizes)) <= MOST_PIXELS:
        return sizes.pop(), color
    usual = int(np.median([min(info.height, info.width) for info in infos])) if infos else MOST_PIXELS
    side = max(min(usual, MOST_PIXELS) // 8 * 8, 8)
    return (side, side), color


def read_folder(path, **options) -> tuple[Part, list[str]]:
    """The images of the classes in a folder, in memory where they fit, and the names of the classes."""
    from rich.console import Console

    from chainrule.data.image_folder import ImageFolder

    with Console(stderr=True).status(f"Reading {escape(str(path))}"):
        source = ImageFolder(path, errors="skip", **options)
        part = Part(source.load()[0] if source.fits_in_memory else source, source.labels)
    tell_skipped(source)
    return part, source.class_names


def read_photos(words: Sequence[str], model):
    """Photos by name or by folder as the model takes them: their paths, and rows or a source of them.

    Returns:
        The paths of those that can be read, what `predict` takes, and how many are broken.
    """
    from chainrule.data.image_folder import ImageFiles, find_images
    from chainrule.errors import DataError

    paths = []
    for word in words:
        found = find_images(word) if Path(word).is_dir() else [Path(word)]
        if not found:
            raise DataError(f"{word} holds no images.")
        paths += found
    size, color, flat = image_input(model)
    source = ImageFiles(paths, size=size, color=color, errors="skip")
    tell_skipped(source)
    return source.paths, source.load()[0][..., 0] if flat else source, len(source.skipped)


def image_input(model) -> tuple[tuple[int, int] | None, str, bool]:
    """What images a model takes: their size (`None` for any), their colours, and whether they have no channel axis.

    Raises:
        DataError: it does not take images.
    """
    from chainrule.errors import DataError, format_shape

    graph = model.__dict__.get("_graph")
    shapes = [symbol.shape[1:] for symbol in model.inputs] if graph is not None else []
    shape = shapes[0] if len(shapes) == 1 else ()
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)):
        takes = " and ".join(format_shape((None, *shape)) for shape in shapes) or "what its own code says"
        raise DataError(f"The model takes no images: expected an input of shape (None, height, width, 1 or 3) or "
                        f"(None, height, width), the model's is {takes}.")
    size = None if None in shape[:2] else tuple(shape[:2])
    return size, "rgb" if shape[2:] == (3,) else "grayscale", len(shape) == 2


def load_test_folder(path: Path, model) -> DataSet:
    """The images in a folder that a model is judged by: those of its part `test`, or else `val`, or all of them."""
    parts = find_parts(path)
    root = parts.get("test") or parts.get("validation") or path
    size, color, flat = image_input(model)
    part, names = read_folder(root, size=size, color=color, class_names=model.class_names)
    if flat:
        part = Part((part.x if isinstance(part.x, np.ndarray) else part.x.load()[0])[..., 0], part.y)
    return DataSet(str(root), part, part, tuple(names), path=path)


def tell_skipped(source) -> None:
    """Say on the error output which files are left out."""
    for _, problem in source.skipped[:_SKIPPED_SHOWN]:
        typer.echo(f"Left out: {problem}", err=True)
    if len(source.skipped) > _SKIPPED_SHOWN:
        typer.echo(f"... and {len(source.skipped) - _SKIPPED_SHOWN:,} more.", err=True)
