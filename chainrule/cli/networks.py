"""The networks that `chainrule fit` builds: dense ones and convolutional ones, with what they need to be trained."""
import math
from types import MappingProxyType
from typing import NamedTuple

KINDS = ("dense", "convolutional")
MANY_ROWS = 5_000  # from here on, a convolutional network is deeper and wider


class Images(NamedTuple):
    """What a network needs to know of the images it is for."""

    shape: tuple[int, ...]
    classes: int
    rows: int
    largest: int = 255  # the value of a pixel that is all ink


class Recipe(NamedTuple):
    """A network and how it is trained.

    Attributes:
        kind: one of `KINDS`.
        hidden: the units of its hidden dense layers.
        epochs, batch_size, patience: how long it is trained.
        augmentation: what is done to images in training, by name.
    """

    kind: str
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    patience: int
    augmentation: tuple[str, ...] = ()


_MOVED = ("translation", "rotation", "zoom")
_RECIPES = MappingProxyType({
    "digits": (Recipe("dense", (256, 128), 100, 32, 10), Recipe("convolutional", (), 60, 32, 15, _MOVED)),
    "mnist": (Recipe("dense", (500, 300), 30, 128, 4), Recipe("convolutional", (), 12, 128, 6, _MOVED)),
    "fashion_mnist": (Recipe("dense", (500, 300), 30, 128, 4),
                      Recipe("convolutional", (), 15, 128, 8, ("flip",))),
})


def check_kind(kind: str) -> None:
    """Raise where there is no such kind of network."""
    from chainrule.errors import UnknownNameError, did_you_mean

    if kind not in KINDS:
        raise UnknownNameError(f"There is no network {kind!r}. {did_you_mean(kind, KINDS)}")


def recipe(name: str | None, kind: str, images: Images) -> Recipe:
    """The recipe for a data set by its name, or for photos by how many there are.

    Photos are mirrored where they have colours: what is grey may be writing.
    """
    many = images.rows >= MANY_ROWS
    flip = ("flip",) * (images.shape[2:] == (3,))
    photos = (Recipe("dense", (256, 128), 60, 128 if many else 32, 10),
              Recipe("convolutional", (), 40, 64, 15, (*flip, *_MOVED)) if many else
              Recipe("convolutional", (), 80, 32, 30, (*flip, *_MOVED)))
    return _RECIPES.get(name, photos)[KINDS.index(kind)]


def build(recipe: Recipe, images: Images, activation: str, dropout: float):
    """A network for images: pixels brought to 0 to 1, augmentation, its body, a softmax over the classes.

    A convolutional body is a row of blocks, each of 3 x 3 convolutions with batch normalisation and a pooling that
    halves the image, until 4 or fewer places are left in a row, at most four of them; channels double from block to
    block. For many images there are 32 channels at first, and where they are large, two convolutions a block but in
    the first; for few, 16 and one. What is left is averaged over all places; many small images keep their places, and
    dropout before the last layer.

    Args:
        recipe: which network.
        images: what they are like.
        activation: of all hidden layers.
        dropout: the share of units dropped before each dense layer but the first of a dense network.
    """
    from chainrule import layers
    from chainrule.models import Input, Sequential

    start = "he_normal" if activation in ("relu", "leaky_relu", "elu") else "glorot_uniform"
    model = Sequential([Input(images.shape), layers.Rescaling(1 / images.largest)])
    drop = lambda: model.add(layers.Dropout(dropout)) if dropout else None
    if len(images.shape) == 2 and (recipe.kind == "convolutional" or recipe.augmentation):
        model.add(layers.Reshape((*images.shape, 1)))
    for name in recipe.augmentation:
        model.add(_augmenting(name))
    if recipe.kind == "dense":
        model.add(layers.Flatten())
    else:
        many, small = images.rows >= MANY_ROWS, max(images.shape[:2]) <= 32
        for block, filters in enumerate(widths(images)):
            for _ in range(2 if block and many and not small else 1):
                model.add(layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer=start))
                model.add(layers.BatchNormalization(momentum=0.9))  # few images make few steps an epoch
                model.add(layers.Activation(activation))
            model.add(layers.MaxPooling2D(2))
        if many and small:
            model.add(layers.Flatten())
            model.add(layers.Dropout(dropout or 0.4))
        else:
            model.add(layers.GlobalAveragePooling2D())
            drop()
    for units in recipe.hidden:
        model.add(layers.Dense(units, activation=activation, kernel_initializer=start))
        drop()
    model.add(layers.Dense(images.classes, activation="softmax"))
    return model


def _augmenting(name: str):
    """A layer that changes images in training, so little that they stay what they are."""
    from chainrule import layers

    return {"flip": lambda: layers.RandomFlip("horizontal"),
            "translation": lambda: layers.RandomTranslation(0.1, 0.1, fill_mode="nearest"),
            "rotation": lambda: layers.RandomRotation(0.03, fill_mode="nearest"),
            "zoom": lambda: layers.RandomZoom(0.1, fill_mode="nearest")}[name]()


def widths(images: Images) -> list[int]:
    """The channels of the blocks of a convolutional network."""
    first = 32 if images.rows >= MANY_ROWS else 16
    side, blocks = min(images.shape[:2]), 1
    while side // 2**blocks > 4 and blocks < 4:
        blocks += 1
    return [first * 2**block for block in range(blocks)]


def describe(recipe: Recipe, images: Images) -> str:
    """A network in a line: `64 → 256 → 10 units`, `32 × 32 × 3 → 16 × 16 × 32 → 32 → 10`."""
    ends = [*map(str, recipe.hidden), str(images.classes)]
    if recipe.kind == "dense":
        return " → ".join([str(math.prod(images.shape)), *ends]) + " units"
    sizes = [images.shape, *((images.shape[0] >> block, images.shape[1] >> block, filters)
                             for block, filters in enumerate(widths(images), start=1))]
    return " → ".join([*(" × ".join(map(str, size)) for size in sizes), *ends])
