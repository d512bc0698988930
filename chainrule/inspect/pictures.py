"""Pictures: arrays of pixels that can be kept in a file, shown in a notebook, and put side by side."""
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np

from chainrule.errors import FileAccessError, SettingError, ShapeError, format_shape
from chainrule.models import check_whole

# From cold to hot, evenly spaced; brightness rises all the way, so that it also reads in grey.
HEAT = np.array([(5, 5, 25), (75, 15, 110), (165, 45, 95), (230, 90, 50), (250, 170, 40), (255, 250, 175)], "float64")

GAP = (70, 95, 140)

# Small images are drawn larger, about so many pixels high.
TILE = 64


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture: it shows itself in a notebook, and `numpy.asarray(picture)` gives its pixels.

    Attributes:
        image: the pixels, `(height, width, 3)`, red, green and blue from 0 to 255 (`uint8`).

    Example:
        >>> Picture(np.zeros((20, 30, 3), "uint8"))
        <Picture: 20 rows of 30 pixels>
    """

    image: np.ndarray

    def __post_init__(self):
        if getattr(self.image, "dtype", None) != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3:
            raise ShapeError("A Picture is made of an array (height, width, 3) of uint8; `inspect.grid` makes one of "
                             "other arrays.")

    def save(self, path) -> None:
        """Write the picture to a file; its kind is that of the name: `"filters.png"`, `"filters.jpg"`.

        Raises:
            ImportError: Pillow is not installed.
            FileAccessError: the file cannot be written, or its name ends in no kind that Pillow knows.

        Example:
            >>> import pathlib, tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     path = pathlib.Path(folder) / "black.png"
            ...     Picture(np.zeros((20, 30, 3), "uint8")).save(path)
            ...     path.exists()
            True
        """
        image = self._pillow()
        try:
            image.save(path)
        except (OSError, ValueError) as error:
            raise FileAccessError(f"The picture cannot be written to {str(path)!r}: {error}.") from error

    def show(self) -> None:
        """Open the picture in the viewer of the desktop. In a notebook its name in the last line is enough.

        Example:
            >>> Picture(np.zeros((20, 30, 3), "uint8")).show()  # doctest: +SKIP
        """
        self._pillow().show()

    def _pillow(self):
        try:
            from PIL import Image
        except ImportError as error:
            raise ImportError("Files of pictures are written with Pillow, which is not installed: "
                              "pip install 'chainrule[images]'.") from error
        return Image.fromarray(self.image)

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self._pillow().save(file, "PNG")
        return file.getvalue()

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.image, dtype, copy=copy)

    def __repr__(self) -> str:
        return f"<Picture: {self.image.shape[0]} rows of {self.image.shape[1]} pixels>"


def grid(images, *, columns: int | None = None, gap: int = 3, scale: int = 1) -> Picture:
    """Images side by side, row by row.

    Args:
        images: `(count, height, width)`, `(count, height, width, 1)` or `(count, height, width, 3)`, or a list of such
            images of one size. Integers are pixels from 0 to 255; floating-point numbers are taken from 0 to 1, or
            from 0 to 255 where one is above 1.
        columns: how many stand in a row; by default about as many as there are rows.
        gap: the pixels between them, of a blue that no grey is mistaken for.
        scale: how many pixels wide and high one pixel of an image is drawn.

    Example:
        >>> grid(np.zeros((6, 28, 28)), columns=3)
        <Picture: 59 rows of 90 pixels>
    """
    check_whole("scale", scale, minimum=1)
    pixels = to_pixels(_stacked(images), "images")
    count, height, width, _ = pixels.shape
    columns = math.ceil(math.sqrt(count)) if columns is None else min(check_whole("columns", columns, minimum=1), count)
    rows = math.ceil(count / columns)
    pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = height * scale, width * scale
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), GAP, np.uint8)
    for index, tile in enumerate(pixels):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return Picture(sheet)


def overlay(photo, heat, *, strength: float = 0.7, scale: int = 1) -> Picture:
    """A photo with heat laid over it: where it is cold the photo, where it is hot the colours of a flame.

        pixel = (1 - strength * h) * photo + strength * h * colour(h),  h = |heat| / max |heat|

    Args:
        photo: `(height, width)`, `(height, width, 1)` or `(height, width, 3)`, values as for `grid`; the photo as it
            was before preprocessing.
        heat: what `grad_cam`, `saliency` and the others return for it, `(height, width)` or `(height, width,
            channels)`; of several channels the largest counts. It is resized to the photo.
        strength: from 0 for the photo alone to 1.
        scale: how many pixels wide and high one pixel of the photo is drawn.

    A batch of photos and of heat, `(count, ...)` both, gives a grid.

    Example:
        >>> overlay(np.zeros((8, 8, 3), "uint8"), np.eye(4))
        <Picture: 8 rows of 8 pixels>
    """
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or not 0 <= strength <= 1:
        raise SettingError(f"`strength` is a number from 0 to 1; got {strength!r}.")
    photo, heat = np.asarray(photo), np.abs(np.asarray(heat, "float32"))
    if not np.isfinite(heat).all():
        raise SettingError("`heat` holds NaN or infinite values.")
    photos = photo if photo.ndim == 4 else photo[None]
    heats = heat if photo.ndim == 4 or heat.ndim > 2 and len(heat) == 1 else heat[None]
    heats = heats.max(-1) if heats.ndim == 4 else heats
    if photos.ndim not in (3, 4) or heats.ndim != 3 or len(photos) != len(heats):
        raise ShapeError(f"`overlay` takes a photo (height, width, 3) and heat (height, width) for it; got "
                         f"{format_shape(photo.shape)} and {format_shape(heat.shape)}.")
    pixels = to_pixels(_stacked(photos), "photo").astype("float64")
    heats = np.asarray(jax.image.resize(heats, pixels.shape[:3], "linear", antialias=False))
    largest = heats.max((1, 2), keepdims=True)
    heats = (heats / np.where(largest > 0, largest, 1))[..., None]
    mixed = (1 - strength * heats) * pixels + strength * heats * heat_colours(heats[..., 0])
    return grid(mixed.round().astype(np.uint8), scale=scale)


def heat_colours(heat: np.ndarray) -> np.ndarray:
    """The colours `(..., 3)` of heat from 0 to 1."""
    steps = np.linspace(0, 1, len(HEAT))
    return np.stack([np.interp(heat, steps, channel) for channel in HEAT.T], -1)


def to_pixels(images: np.ndarray, name: str) -> np.ndarray:
    """Images `(count, height, width, 1 or 3)` as colours from 0 to 255."""
    if images.dtype == bool:
        images = images * 255
    if images.size and not (images.min() >= 0 and images.max() <= 255):  # NaN fits nowhere
        raise SettingError(f"`{name}` has values from {images.min():.4g} to {images.max():.4g}; pixels go from 0 to "
                           f"255, or from 0 to 1. Give images as they were before preprocessing.")
    if np.issubdtype(images.dtype, np.floating):
        images = np.round(images * (255 if images.max(initial=0) <= 1 else 1))
    pixels = images.astype(np.uint8)
    return pixels if pixels.shape[-1] == 3 else pixels.repeat(3, axis=-1)


def fitting_scale(height: int, wanted: int = TILE) -> int:
    """How large to draw the entries of an array, so that it is about `wanted` pixels high."""
    return max(1, wanted // height)


def spread(values: np.ndarray, *, around_zero: bool, together: bool) -> np.ndarray:
    """Arrays `(count, ...)` of any numbers brought to 0..1 for showing.

    Args:
        around_zero: whether 0 becomes the middle, or the smallest number becomes 0.
        together: whether one measure holds for all, so that they can be compared; else each has its own.
    """
    values = np.asarray(values, "float64")
    axes = None if together else tuple(range(1, values.ndim))
    high = np.abs(values).max(axes, keepdims=True) if around_zero else values.max(axes, keepdims=True)
    low = -high if around_zero else values.min(axes, keepdims=True)
    width = np.where(high > low, high - low, 1)
    return np.where(high > low, (values - low) / width, 0.5 if around_zero else 0.0)


def _stacked(images: np.ndarray | Sequence) -> np.ndarray:
    """Images as one array `(count, height, width, channels)`."""
    shapes = {np.shape(image) for image in images}
    if len(shapes) != 1:
        found = ", ".join(map(format_shape, sorted(shapes))) or "none"
        raise ShapeError(f"Images side by side need one size; got {found}.")
    shape = shapes.pop()
    if len(shape) not in (2, 3) or len(shape) == 3 and shape[2] not in (1, 3) or not all(shape):
        raise ShapeError(f"An image has the shape (height, width), (height, width, 1) or (height, width, 3); got "
                         f"{format_shape(shape)}.")
    array = np.stack([np.asarray(image) for image in images])
    return array if array.ndim == 4 else array[..., None]
