"""`chainrule augment`: a picture of what augmentation makes of photos, before a network is trained on it."""
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from chainrule.cli import terminal

_GAP = 4  # white pixels between images
_FRAME = 3  # black ones around originals
_USUAL = {"flip": "horizontal", "rotation": 0.03, "translation": 0.1, "zoom": 0.1}  # what leaves photos what they are


@terminal.command(
    "chainrule augment photo.jpg --rotation 0.1 --zoom 0.2",
    "chainrule augment photo.jpg --flip horizontal --noise 0.1",
    "chainrule augment photos/ --cutmix --columns 8 --output cutmix.png", compiles=True)
def augment(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of them.", metavar="PHOTO...")],
    flip: Annotated[str | None, typer.Option(
        help="Mirror them: horizontal, vertical or horizontal_and_vertical.", show_default=False)] = None,
    crop: Annotated[float | None, typer.Option(
        min=0.01, max=1, help="Cut windows of this share of the sides.", show_default=False)] = None,
    rotation: Annotated[float | None, typer.Option(
        min=0, max=1, help="Turn by up to this share of a full turn: 0.1 is 36 degrees.", show_default=False)] = None,
    translation: Annotated[float | None, typer.Option(
        min=0, max=1, help="Move by up to this share of the size.", show_default=False)] = None,
    zoom: Annotated[float | None, typer.Option(
        min=0, max=1, help="Make larger or smaller by up to this share.", show_default=False)] = None,
    shear: Annotated[float | None, typer.Option(
        min=0, max=1, help="Push rows sideways by up to this share of their height.", show_default=False)] = None,
    brightness: Annotated[float | None, typer.Option(
        min=0, max=1, help="Make darker or brighter by up to this share of white.", show_default=False)] = None,
    contrast: Annotated[float | None, typer.Option(
        min=0, max=1, help="Change the contrast by up to this share.", show_default=False)] = None,
    saturation: Annotated[float | None, typer.Option(
        min=0, max=0.5, help="Make colours paler or stronger: 0.5 from grey to full.", show_default=False)] = None,
    noise: Annotated[float | None, typer.Option(
        min=0, max=1, help="Add noise of this standard deviation, as a share of white.", show_default=False)] = None,
    erasing: Annotated[float | None, typer.Option(
        min=0, max=1, help="Erase a rectangle with this probability.", show_default=False)] = None,
    mixup: Annotated[float | None, typer.Option(
        min=0.001, help="Blend photos, with this alpha: 0.2 is little, 1 any share.", show_default=False)] = None,
    cutmix: Annotated[bool, typer.Option("--cutmix", help="Put a part of another photo into each.")] = False,
    fill: Annotated[str, typer.Option(
        help="What comes in at the edges: reflect, wrap, nearest or constant (black).")] = "reflect",
    rows: Annotated[int, typer.Option(min=1, max=20, help="Rows of images; of several photos, one each.")] = 4,
    columns: Annotated[int, typer.Option(min=2, max=20, help="Columns of images.")] = 6,
    size: Annotated[int, typer.Option(min=8, max=512, help="The longer side of each image, in pixels.")] = 160,
    seed: Annotated[int, typer.Option(min=0, help="Decides about the variants.")] = 0,
    output: Annotated[Path, typer.Option(help="The picture's file.")] = Path("augmented.png"),
) -> None:
    """Draw what augmentation makes of photos: originals in a black frame, and their variants.

    One photo fills the sheet with its variants; of several, each has a row.

    Without options, photos are mirrored, turned, moved and zoomed a little.
    """
    from chainrule.errors import DataError
    from chainrule.saving.archive import write_atomically

    chosen = {"flip": flip, "crop": crop, "rotation": rotation, "translation": translation, "zoom": zoom,
              "shear": shear, "brightness": brightness, "contrast": contrast, "saturation": saturation, "noise": noise,
              "erasing": erasing, "mixup": mixup, "cutmix": cutmix or None}
    chosen = {name: value for name, value in chosen.items() if value is not None} or _USUAL
    found = _find(photos)
    kept = min(len(found), rows)
    paths = [found[index * len(found) // kept] for index in range(kept)]  # from all folders alike
    _check_output(output, found)
    if kept == 1 and {"mixup", "cutmix"} & set(chosen):
        raise DataError("--mixup and --cutmix mix a photo with others. Give several photos, or a folder of them, and "
                        "as many --rows.")
    images = _read(paths, size)
    layers = build(chosen, images.shape[1:3], fill)
    single = len(images) == 1
    made = variants(images, layers, seed, rows * columns - 1 if single else columns - 1)
    sheet = _sheet(images, made, columns)
    write_atomically(output, lambda file: sheet.save(file, format=_format(output)))
    say = terminal.console().print
    of = f" of {len(found):,}" if len(found) > len(images) else ""
    say(f"[bold]{escape(paths[0].name)}[/bold]" if single else f"{len(images)}{of} photos", "in training, changed by")
    for layer in layers:
        say(f"  [cyan]{escape(repr(layer))}[/cyan]", soft_wrap=True)
    say(f"{len(made) * len(images)} variants beside the original{'' if single else 's'} written to "
        f"[bold]{escape(str(output))}[/bold] ({sheet.width} × {sheet.height} pixels)", soft_wrap=True)


def build(chosen: dict, shape: tuple[int, int], fill: str) -> list:
    """The layers for strengths by name, in the order of `chosen`."""
    from chainrule import layers

    filled = {"fill_mode": fill}
    make = {
        "flip": lambda mode: layers.RandomFlip(mode),
        "crop": lambda share: layers.RandomCrop(*(max(round(side * share), 1) for side in shape)),
        "rotation": lambda factor: layers.RandomRotation(factor, **filled),
        "translation": lambda factor: layers.RandomTranslation(factor, factor, **filled),
        "zoom": lambda factor: layers.RandomZoom(factor, **filled),
        "shear": lambda factor: layers.RandomShear(factor, factor, **filled),
        "brightness": lambda factor: layers.RandomBrightness(factor),
        "contrast": lambda factor: layers.RandomContrast(factor),
        "saturation": lambda factor: layers.RandomSaturation((0.5 - factor, 0.5 + factor)),
        "noise": lambda stddev: layers.RandomNoise(stddev),
        "erasing": lambda probability: layers.RandomErasing((probability, probability)),
        "mixup": lambda alpha: layers.MixUp(alpha),
        "cutmix": lambda _: layers.CutMix((1, 1)),
    }
    return [make[name](value) for name, value in chosen.items()]


def variants(images, layers: list, seed: int, count: int) -> list:
    """What the layers make of a batch of images in training, `count` times.

    Args:
        images: `(photos, height, width, 3)`, uint8.
        layers: the layers.
        seed: decides about all of them.
        count: how often.

    Returns:
        `count` arrays like `images`.
    """
    import jax
    import numpy as np

    from chainrule.models import Input, Sequential

    model = Sequential([Input(images.shape[1:], dtype="uint8"), *layers])
    change = jax.jit(lambda images, key: model.apply({}, {}, images, key=key, training=True)[0])
    keys = jax.random.split(jax.random.key(seed), count)
    return [np.asarray(change(images, key)) for key in keys]


def _find(photos: list[Path]) -> list[Path]:
    """The photos that are named, and those in the folders that are."""
    from chainrule.data.image_folder import find_images
    from chainrule.errors import DataError

    paths = []
    for photo in photos:
        found = find_images(photo) if photo.is_dir() else [photo]
        if not found:
            raise DataError(f"{photo} holds no images.")
        paths += found
    return paths


def _check_output(output: Path, photos: list[Path]) -> None:
    """See before the work that the picture can be written, and that no photo is lost by it."""
    from chainrule.data.images import require_pillow
    from chainrule.errors import FileAccessError
    from chainrule.saving.archive import check_target

    require_pillow()
    if output.is_dir():
        raise FileAccessError(f"{output} is a folder. Give the name of a file in it: {output / 'augmented.png'}.")
    if _format(output) is None:
        raise FileAccessError(f"{output} cannot be written: the end of its name says no format of pictures. Call it "
                              f"{output.with_suffix('.png')}.")
    if any(output.exists() and photo.exists() and output.samefile(photo) for photo in photos):
        raise FileAccessError(f"{output} is one of the photos, which would be overwritten. Give another --output.")
    check_target(output)


def _format(output: Path) -> str | None:
    """The format that the end of a file's name stands for."""
    return {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".webp": "WEBP",
            ".tif": "TIFF", ".tiff": "TIFF"}.get(output.suffix.lower())


def _read(paths: list[Path], size: int):
    """Photos as one array: a single one with its proportions, several as squares about their middles."""
    import numpy as np

    from chainrule.data.images import read_image, read_infos

    if len(paths) > 1:
        return np.stack([read_image(path, size, resize="crop") for path in paths])
    [info] = read_infos(paths)
    if isinstance(info, Exception):
        raise info
    scale = size / max(info.height, info.width)
    return read_image(paths[0], tuple(max(round(side * scale), 1) for side in (info.height, info.width)))[None]


def _sheet(images, made: list, columns: int):
    """The picture: a row for each photo, or rows of the variants of a single one; originals have a black frame."""
    import numpy as np
    from PIL import Image

    # Photo by photo: the original, then its variants.
    cells = [image for index, original in enumerate(images) for image in (original, *(one[index] for one in made))]
    height, width = images.shape[1:3]
    sheet = np.full((len(cells) // columns * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), 255, np.uint8)
    for place, image in enumerate(cells):
        top, left = _GAP + place // columns * (height + _GAP), _GAP + place % columns * (width + _GAP)
        if place % (len(made) + 1) == 0:
            sheet[top - _FRAME:top + height + _FRAME, left - _FRAME:left + width + _FRAME] = 0
        top, left = top + (height - image.shape[0]) // 2, left + (width - image.shape[1]) // 2  # crops are smaller
        sheet[top:top + image.shape[0], left:left + image.shape[1]] = image
    return Image.fromarray(sheet)
