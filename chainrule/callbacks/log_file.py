"""What callbacks that write a file as training goes have in common."""
import contextlib
import os
from pathlib import Path

from chainrule.callbacks.checks import check_path
from chainrule.errors import FileAccessError, SettingError
from chainrule.training.events import Callback


def write_at(path: str, position: int, data: bytes, who: str) -> int:
    """Write at a place of a file and cut off what was behind it; the place after what was written.

    So a fit that was interrupted and goes on leaves the same bytes: what was written after its checkpoint is replaced.
    Nothing stays open between two records.

    Raises:
        FileAccessError: the file cannot be written, or is shorter than `position`.
    """
    try:
        if position == 0:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "r+b" if position else "wb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < position:
                raise FileAccessError(f"{who} had written {position} bytes to {path!r}, which now has {size}: the file "
                                      f"was changed by somebody else. Put it back, or give another name.")
            file.seek(position)
            file.write(data)
            file.truncate()
    except FileAccessError:
        raise
    except OSError as error:
        raise FileAccessError(f"{who} cannot write to {path!r}: {error.strerror or error}.") from error
    return position + len(data)


class LogFile(Callback):
    """The parent of callbacks that write one record after another into a file.

    The file is opened at the first record, not before.

    Args:
        filename: the file.
        append: whether to write behind what the file holds already; else it is replaced.

    Attributes:
        memory: the names of the attributes that a checkpoint keeps.
        position: how many bytes the file has after the last record; `None` before the first of a fit.
    """

    passive = True
    memory: tuple[str, ...] = ("position",)

    def __init__(self, filename, append: bool = False):
        if not isinstance(append, bool):
            raise SettingError(f"{type(self).__name__}: append must be True or False; got {append!r}.")
        self.filename, self.append = check_path(self, "filename", filename), append
        self.position: int | None = None

    def on_train_begin(self, logs=None):
        self.position = None

    def get_state(self) -> dict:
        """What is remembered; what was written is on the disk before, so that no checkpoint is ahead of its file."""
        if self.position:
            with contextlib.suppress(OSError), open(self.filename, "rb") as file:
                os.fsync(file.fileno())
        return {name: vars(self)[name] for name in self.memory}

    def begin(self) -> bytes:
        """What a new file, or the part of a file that belongs to this fit, begins with."""
        return b""

    def write(self, record: bytes) -> None:
        """Write a record behind those before it."""
        if self.position is None:
            there = os.path.getsize(self.filename) if self.append and os.path.exists(self.filename) else 0
            self.position, record = there, self.begin() + record
        self.position = write_at(self.filename, self.position, record, type(self).__name__)
