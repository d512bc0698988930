"""Images from files: any of the usual formats as an array of bytes of the size and the colours that are wanted.

Pillow does the decoding. Only the formats named here are tried, since some of its others start programs.
"""
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from chainrule.errors import DataError, MissingDataError, SettingError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
COLORS = ("rgb", "grayscale")
RESIZINGS = ("stretch", "crop", "pad")
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_GREY_MODES = ("1", "L", "LA", *_DEEP_MODES)
_TURNS = MappingProxyType({  # by the number of the EXIF orientation
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE",
    8: "ROTATE_90"})
_FILES_A_TASK = 16  # at most: so that handing out tasks costs little where images are tiny


class ImageInfo(NamedTuple):
    """What the head of an image file says: its size, orientation applied, and whether it has no colours."""

    height: int
    width: int
    grey: bool


def read_image(path, size: tuple[int, int] | int | None = None, color: str = "rgb",
               resize: str = "stretch") -> np.ndarray:
    """The image in a file, as bytes `(height, width, channels)`.

    JPEG, PNG, BMP, GIF (its first frame), WebP and TIFF are read. Grey, palette, CMYK and 16-bit images are converted,
    what is transparent becomes white, and a photo is turned as its EXIF orientation says. Shrinking averages over all
    pixels (a triangle filter); a JPEG much larger than wanted is decoded at an eighth, a quarter or half of its size.

    Args:
        path: the file.
        size: `(height, width)` of the array, or one number for both; by default as in the file.
        color: `"rgb"` for 3 channels, `"grayscale"` for 1.
        resize: how an image of another shape comes to `size`: `"stretch"` (all of it, distorted), `"crop"` (its
            middle) or `"pad"` (all of it, between black bars).

    Returns:
        `(height, width, 3)` or `(height, width, 1)`, uint8.

    Raises:
        DataError: the file is not there, is damaged or no image, or has more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
        MissingDataError: Pillow is not installed.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (40, 30), "red").save(f"{folder}/red.png")
        ...     image = read_image(f"{folder}/red.png", size=(6, 8))
        >>> image.shape, image[0, 0].tolist()
        ((6, 8, 3), [255, 0, 0])
    """
    require_pillow()
    return decode(path, check_size(size), check_choice("color", color, COLORS),
                  check_choice("resize", resize, RESIZINGS))


def read_infos(paths: Sequence, workers: int | None = None) -> list[ImageInfo | DataError]:
    """Size and colours of image files from their heads alone; for a file that is broken, the error in its place.

    Args:
        paths: the files.
        workers: how many threads read; by default one for each processor core.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (40, 30)).save(f"{folder}/black.png")
        ...     read_infos([f"{folder}/black.png"])
        [ImageInfo(height=30, width=40, grey=True)]
    """

    def read(path) -> ImageInfo:
        with _opened(path) as image:
            height, width = _turned((image.height, image.width), _orientation(image))
            return ImageInfo(height, width, image.mode in _GREY_MODES)

    require_pillow()
    found: list = [None] * len(paths)
    for_each(lambda index: found.__setitem__(index, attempt(read, paths[index])), len(paths), workers)
    return found


def decode(path, size: tuple[int, int] | None, color: str, resize: str) -> np.ndarray:
    """What `read_image` does, after the checks of its arguments."""
    from PIL import Image

    with _opened(path) as image:
        orientation = _orientation(image)
        if size is not None:
            # Twice what is wanted is left to the filter: the decoder's own shrinking is coarse.
            height, width = _turned(size, orientation)
            image.draft(image.mode, (2 * width, 2 * height))
        image = _converted(image, "L" if color == "grayscale" else "RGB")
        if orientation in _TURNS:
            image = image.transpose(Image.Transpose[_TURNS[orientation]])
        if size is not None and (image.height, image.width) != size:
            image = _resized(image, *size, resize)
        array = np.asarray(image)
        return array[..., None] if array.ndim == 2 else array


def attempt(read: Callable, path):
    """What `read(path)` returns, or the `DataError` that it raises."""
    try:
        return read(path)
    except DataError as error:
        return error


def for_each(act: Callable[[int], object], count: int, workers: int | None) -> None:
    """Call `act(index)` for `count` indices, several at a time; decoding runs outside of Python's lock."""
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise SettingError(f"workers is the number of threads, 1 or more; got {workers!r}.")
    workers = min(workers or os.cpu_count() or 1, max(count, 1))
    step = min(max(count // (4 * workers), 1), _FILES_A_TASK)

    def run(start: int) -> None:
        for index in range(start, min(start + step, count)):
            act(index)

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(run, range(0, count, step)):  # raises what a task raised, and cancels the others
            pass


def require_pillow() -> None:
    """Raise where Pillow is not installed."""
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise MissingDataError("Images are read with Pillow, which is not installed: "
                               "pip install 'chainrule[images]'.") from error


def check_size(size) -> tuple[int, int] | None:
    """A size as `(height, width)`; one number stands for both."""
    pair = size if isinstance(size, (tuple, list)) else (size, size)
    if size is None:
        return None
    whole = all(hasattr(part, "__index__") and not isinstance(part, bool) and part > 0 for part in pair)
    if len(pair) != 2 or not whole:
        raise SettingError(f"size is (height, width) in pixels, such as (96, 96), or one number for both; "
                           f"got {size!r}.")
    return int(pair[0]), int(pair[1])


def check_choice(name: str, value, choices: Sequence[str]) -> str:
    """A setting that is one of a few words."""
    if value not in choices:
        raise SettingError(f"{name} is {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}; got {value!r}.")
    return value


@contextlib.contextmanager
def _opened(path) -> Iterator:
    """An image file, its head read; whatever goes wrong with it is one kind of error that names the file."""
    from PIL import Image, UnidentifiedImageError

    bombs = Image.DecompressionBombError, Image.DecompressionBombWarning
    try:
        if isinstance(path, (str, os.PathLike)) and os.path.exists(path) and not os.path.isfile(path):
            raise ValueError("it is a folder" if os.path.isdir(path) else "it is a pipe or a device, which may not end")
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or np.inf):
                raise Image.DecompressionBombError
            yield image
    except bombs as error:
        raise DataError(f"{path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels (PIL.Image.MAX_IMAGE_PIXELS): "
                        f"it could be a decompression bomb.") from error
    except UnidentifiedImageError as error:
        found = "is damaged, or none of JPEG, PNG, BMP, GIF, WebP and TIFF" if Path(path).stat().st_size else "is empty"
        raise DataError(f"{path} cannot be read as an image: it {found}.") from error
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} cannot be read as an image: {reason.rstrip('.')}.") from error


def _orientation(image) -> int:
    """The EXIF orientation, from 1 to 8; damaged EXIF data count as none."""
    # Pillow turns a TIFF by itself; to look for EXIF data behind the pixels of a PNG it would decode them.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:
        return 1


def _turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return size[::-1] if orientation in (5, 6, 7, 8) else size


def _converted(image, mode: str):
    """An image in the mode `"L"` or `"RGB"`, on white where it is transparent."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose range is unknown; give them as an array")
    if image.mode in _DEEP_MODES:
        values = np.asarray(image).astype(np.int64)
        if values.size and not 0 <= values.min() <= values.max() < 2**16:
            raise ValueError(f"its pixels run from {values.min()} to {values.max()}; expected at most 16 bits")
        image = Image.fromarray(((values * 255 + 2**15) // (2**16 - 1)).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image.load()
    return image if image.mode == mode else image.convert(mode)


def _resized(image, height: int, width: int, resize: str):
    """An image brought to another size; Pillow's bilinear filter is a triangle as wide as the shrinking."""
    from PIL import Image

    bilinear = Image.Resampling.BILINEAR
    if resize == "stretch":
        return image.resize((width, height), bilinear)
    if resize == "crop":
        scale = max(width / image.width, height / image.height)
        middle, half = (image.width / 2, image.height / 2), (width / scale / 2, height / scale / 2)
        box = (max(middle[0] - half[0], 0), max(middle[1] - half[1], 0),
               min(middle[0] + half[0], image.width), min(middle[1] + half[1], image.height))
        return image.resize((width, height), bilinear, box=box)
    scale = min(width / image.width, height / image.height)
    inner = [min(max(round(part * scale), 1), most) for part, most in
             [(image.width, width), (image.height, height)]]
    padded = Image.new(image.mode, (width, height))
    padded.paste(image.resize(inner, bilinear), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return padded
