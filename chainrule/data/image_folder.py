"""Images in folders by class, or in a list of files, as a source that is read while training runs."""
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from chainrule.data.images import (
    COLORS,
    RESIZINGS,
    SUFFIXES,
    attempt,
    check_choice,
    check_size,
    decode,
    for_each,
    read_infos,
    require_pillow,
)
from chainrule.data.source import Source
from chainrule.errors import DataError, SettingError, did_you_mean

# Images that are decoded to find the broken ones are kept where they take no more than this.
KEPT_BYTES = 512 << 20
PART_NAMES = ("train", "training", "test", "testing", "val", "valid", "validation")


class ImageFiles(Source):
    """Images in a list of files: a source for `fit`, `evaluate` and `predict`.

    The files are read by several threads, and resized on the way, when their rows are asked for. Their heads are read
    at once, so that a broken file shows before training; with `errors="skip"` every file is decoded at once, since an
    intact head can stand before damaged pixels.

    Args:
        paths: the files.
        labels: the class of each, whole numbers from 0; without them there are no targets.
        size: `(height, width)` of the arrays; may be left out where all images have the same.
        color: as for `read_image`: `"rgb"` or `"grayscale"`.
        errors: what happens to a broken file: `"raise"` an error that names it, or `"skip"` it.
        resize: as for `read_image`: `"stretch"`, `"crop"` or `"pad"`.
        workers: how many threads read; by default one for each processor core.

    Attributes:
        paths: the files that can be read, in the order of the rows.
        labels: their classes, int32; `None` where there are none.
        image_shape: `(height, width, channels)`.
        skipped: `(path, what is wrong with it)` of each file that is left out.

    Raises:
        DataError: there are no files, one is broken and `errors="raise"`, all are broken, or sizes differ and none is
            given.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a.png", "b.png"):
        ...         Image.new("RGB", (40, 30), "red").save(f"{folder}/{name}")
        ...     files = ImageFiles([f"{folder}/a.png", f"{folder}/b.png"], size=(6, 8))
        ...     x, y = files.load()
        >>> x.shape, x.dtype, y
        ((2, 6, 8, 3), dtype('uint8'), None)
    """

    def __init__(self, paths: Sequence, labels: Sequence[int] | None = None, size: tuple[int, int] | int | None = None,
                 color: str = "rgb", errors: str = "raise", resize: str = "stretch", workers: int | None = None):
        require_pillow()
        self.color = check_choice("color", color, COLORS)
        self.resize = check_choice("resize", resize, RESIZINGS)
        self.errors = check_choice("errors", errors, ("raise", "skip"))
        self.workers = workers
        self.paths = [Path(path) for path in paths]
        self.labels = None if labels is None else np.asarray(labels, np.int32)
        self.skipped: list[tuple[Path, str]] = []
        self._kept: np.ndarray | None = None
        if not self.paths:
            raise DataError("There are no image files in the list.")
        if labels is not None and len(labels) != len(self.paths):
            raise DataError(f"There are {len(self.paths)} files and {len(labels)} labels; expected one label a file.")
        size = check_size(size)
        infos = read_infos(self.paths, workers)
        self._leave_out([str(info) if isinstance(info, DataError) else None for info in infos])
        self._size = size or _common_size(self.paths, [info for info in infos if not isinstance(info, DataError)])
        if errors == "skip":
            self._decode_all()

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        height, width, channels = self.image_shape
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"<{type(self).__name__}: {len(self)} images of {height} x {width} x {channels}{skipped}>"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)` of each image."""
        return *self._size, 3 if self.color == "rgb" else 1

    @property
    def nbytes(self) -> int:
        """The memory that all images take."""
        return len(self) * int(np.prod(self.image_shape)) + (0 if self.labels is None else self.labels.nbytes)

    def rows(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Read images: `(rows, height, width, channels)` of uint8, and their labels."""
        labels = None if self.labels is None else self.labels[indices]
        if self._kept is not None:
            return self._kept[indices], labels
        images = np.empty((len(indices), *self.image_shape), np.uint8)

        def read(row: int) -> None:
            images[row] = self._decode(self.paths[indices[row]])

        for_each(read, len(indices), self.workers)
        return images, labels

    def _decode(self, path: Path) -> np.ndarray:
        return decode(path, self._size, self.color, self.resize)

    def _decode_all(self) -> None:
        """Find the files whose pixels are damaged; keep the images, where they are not too many."""
        problems: list[str | None] = [None] * len(self)
        images = np.empty((len(self), *self.image_shape), np.uint8) if self.nbytes <= KEPT_BYTES else None

        def read(row: int) -> None:
            image = attempt(self._decode, self.paths[row])
            if isinstance(image, DataError):
                problems[row] = str(image)
            elif images is not None:
                images[row] = image

        for_each(read, len(self), self.workers)
        if images is not None:
            intact = [row for row, problem in enumerate(problems) if problem is None]
            self._kept = images if len(intact) == len(self) else images[intact]
        self._leave_out(problems)

    def _leave_out(self, problems: list[str | None]) -> None:
        """Raise for the files that have a problem, or go on without them."""
        broken = [(path, problem) for path, problem in zip(self.paths, problems, strict=True) if problem]
        if not broken:
            return
        first = broken[0][1]
        if len(broken) == len(self.paths):
            raise DataError(first if len(broken) == 1 else
                            f"None of the {len(broken)} image files can be read. The first: {first}")
        if self.errors == "raise":
            more = f" ({len(broken)} of {len(self.paths)} files are broken, this is the first.)" * (len(broken) > 1)
            raise DataError(f"{first}{more} Remove such files, or leave them out by errors='skip'.")
        intact = [row for row, problem in enumerate(problems) if not problem]
        self.skipped += broken
        self.paths = [self.paths[row] for row in intact]
        self.labels = None if self.labels is None else self.labels[intact]


class ImageFolder(ImageFiles):
    """Images in folders by class: a source for `fit`, `evaluate` and `predict`.

        photos/
            cat/  1.jpg  2.jpg  old/3.png
            dog/  1.jpg  4.webp

    Each folder in `path` is a class, and the images in it and in the folders below it are the class's rows. Classes
    are numbered in the order of their names, rows stand in the order of their paths. Files that do not end as images
    do, and names that begin with a dot, are passed over.

    Args:
        path: the folder of the folders.
        size: `(height, width)` of the arrays; may be left out where all images have the same.
        color: as for `read_image`: `"rgb"` or `"grayscale"`.
        errors: what happens to a broken file: `"raise"` an error that names it, or `"skip"` it.
        resize: as for `read_image`: `"stretch"`, `"crop"` or `"pad"`.
        workers: how many threads read; by default one for each processor core.
        class_names: all classes, in the order of their numbers, where they are known before: those of the model. Some
            of them may have no folder.

    Attributes:
        class_names: the names of the classes, in the order of their numbers.
        paths, labels, image_shape, skipped: as in `ImageFiles`.

    Raises:
        DataError: there is no such folder, there are no images in it, or of one class only, or a file is broken and
            `errors="raise"`.

    Example:
        >>> import tempfile, pathlib
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("black", "white"):
        ...         (pathlib.Path(folder) / name).mkdir()
        ...         Image.new("RGB", (40, 30), name).save(f"{folder}/{name}/1.png")
        ...     photos = ImageFolder(folder, size=(6, 8))
        ...     x, y = photos.load()
        >>> photos.class_names, x.shape, y.tolist(), x[:, 0, 0, 0].tolist()
        (['black', 'white'], (2, 6, 8, 3), [0, 1], [0, 255])
    """

    def __init__(self, path, size: tuple[int, int] | int | None = None, color: str = "rgb", errors: str = "raise",
                 resize: str = "stretch", workers: int | None = None, class_names: Sequence[str] | None = None):
        folders = class_folders(path)
        self.path = Path(path).expanduser()
        self.class_names = _numbered(self.path, list(folders), class_names)
        number = {name: index for index, name in enumerate(self.class_names)}
        files = [(file, number[name]) for name, found in folders.items() for file in found]
        super().__init__([file for file, _ in files], [label for _, label in files], size, color, errors, resize,
                         workers)
        for name in folders:
            if number[name] not in self.labels:
                raise DataError(f"All images of the class {name!r} are broken. "
                                f"{next(text for file, text in self.skipped if file in folders[name])}")

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, {len(self.class_names)} classes>"


def class_folders(path) -> dict[str, list[Path]]:
    """The folders in a folder, and the image files in each: what an `ImageFolder` is made of.

    Raises:
        DataError: there is no such folder, or it does not hold a folder of images for each of several classes.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise DataError(f"{path} is a file. Images are read from a folder that holds one folder for each class:\n"
                        f"{_tree('photos')}" if path.exists() else f"There is no folder {path}.")
    names = sorted(entry.name for entry in _entries(path) if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        loose = find_images(path)
        found = f"{len(loose)} images, but no folders" if loose else "no folders and no images"
        raise DataError(f"{path} holds {found}. Expected a folder of images for each class:\n{_tree(path.name)}")
    if all(name.lower() in PART_NAMES and _has_folders(path / name) for name in names):
        training = next((name for name in names if name.lower().startswith("train")), names[0])
        raise DataError(f"{path} holds the parts of a data set ({', '.join(names)}), not classes. "
                        f"Give one of them: {path / training}.")
    folders = {name: find_images(path / name) for name in names}
    if not any(folders.values()):
        raise DataError(f"{path} has no images in its folders.{_other_files(path)}")
    for name, files in folders.items():
        if not files:
            raise DataError(f"{path / name} holds no images, so it cannot be a class.{_other_files(path / name)} Move "
                            f"it elsewhere, or put images into it.")
    return folders


def find_images(path) -> list[Path]:
    """The image files in a folder and in all folders below it, known by how their names end, in order."""
    return sorted(file for file in _files(path) if file.name.lower().endswith(SUFFIXES))


def _files(path) -> Iterator[Path]:
    """The files in a folder and below it but for hidden ones."""
    for folder, below, names in os.walk(path, onerror=_unreadable):
        below[:] = [name for name in below if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _has_folders(path: Path) -> bool:
    return any(entry.is_dir() for entry in _entries(path))


def _entries(path: Path) -> list[Path]:
    """What stands in a folder."""
    try:
        return list(path.iterdir())
    except OSError as error:
        return _unreadable(error)


def _unreadable(error: OSError):
    """Raise what is wrong with a folder: images in it must not go missing without a word."""
    raise DataError(f"The folder {error.filename} cannot be read: {error.strerror}.") from error


def _numbered(path: Path, found: list[str], class_names: Sequence[str] | None) -> list[str]:
    """The names of the classes in the order of their numbers."""
    if class_names is None:
        if len(found) == 1:
            raise DataError(f"{path} holds one class only, {found[0]!r}. Expected a folder of images for each of "
                            f"several classes:\n{_tree(path.name)}")
        return found
    names = list(class_names)
    if isinstance(class_names, str) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise SettingError(f"class_names is a list of names that differ; got {class_names!r}.")
    for name in found:
        if name not in names:
            raise DataError(f"{path / name} is a folder of none of the classes. {did_you_mean(name, names)}")
    return names


def _common_size(paths: list[Path], infos: list) -> tuple[int, int]:
    """The size that all images have."""
    for path, info in zip(paths, infos, strict=True):
        if info[:2] != infos[0][:2]:
            raise DataError(f"The images have different sizes: {paths[0]} has {infos[0].height} x {infos[0].width} "
                            f"pixels, {path} has {info.height} x {info.width}. Say which size they are brought to: "
                            f"size=(96, 96).")
    return infos[0].height, infos[0].width


def _other_files(path: Path) -> str:
    """What there is in place of images."""
    suffixes = Counter(file.suffix.lower() or "without an ending" for file in _files(path))
    listed = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(3) if suffix not in SUFFIXES)
    return f" There are other files ({listed}); names of images end in {', '.join(SUFFIXES)}." if listed else ""


def _tree(name: str) -> str:
    return f"  {name}/\n    cat/  1.jpg  2.jpg  ...\n    dog/  1.jpg  2.jpg  ..."
