"""Figures, and the spread of weights, in files that TensorBoard shows."""
import functools
import os
import socket
import struct
import time

import jax
import numpy as np

from chainrule.callbacks.checks import check_path, check_whole
from chainrule.callbacks.log_file import write_at
from chainrule.errors import SettingError
from chainrule.training.events import Callback

_BINS = 30


class TensorBoard(Callback):
    """Writes event files for `tensorboard --logdir logs`, with Keras's folders and names.

    `log_dir/train` has the figures `epoch_loss` and so on by epoch, `log_dir/validation` those of validation under the
    same names, so that they share a chart. With `update_freq`, `batch_loss` and so on, the figures of the epoch so far,
    are written by step. Nothing of TensorBoard is needed to write them.

    Args:
        log_dir: the folder.
        histogram_freq: after how many epochs histograms of all weights are written; 0 for never.
        update_freq: `"epoch"`, `"batch"`, or after how many steps figures are written too.

    Attributes:
        files: for each folder the file and how many bytes of it are written.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     board = TensorBoard(folder)
        ...     board.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.75})
        ...     sorted(path.parent.name for path in pathlib.Path(folder).glob("*/events.out.tfevents.*"))
        ['train', 'validation']
    """

    def __init__(self, log_dir="logs", histogram_freq: int = 0, update_freq: str | int = "epoch"):
        self.log_dir = check_path(self, "log_dir", log_dir)
        self.histogram_freq = check_whole(self, "histogram_freq", histogram_freq, minimum=0)
        self.update_freq = update_freq
        self.passive = not histogram_freq  # figures are handed over; weights are looked at
        if update_freq != "epoch":
            interval = 1 if update_freq == "batch" else update_freq
            if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
                raise SettingError(f"TensorBoard: update_freq is 'epoch', 'batch' or a number of steps; got "
                                   f"{update_freq!r}.")
            self.batch_interval = interval
            self.on_train_batch_end = self._end_step  # in the object: a class that has it stops at every step
        self._forget()

    def _forget(self) -> None:
        self.files: dict[str, tuple[str, int]] = {}
        self.epoch = 0

    def on_train_begin(self, logs=None):
        self._forget()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        held_out = {name[4:]: value for name, value in (logs or {}).items() if name.startswith("val_")}
        trained = {name: value for name, value in (logs or {}).items() if not name.startswith("val_")}
        for folder, figures in (("train", trained), ("validation", held_out)):
            self._write(folder, epoch, [scalar(f"epoch_{name}", value) for name, value in figures.items()])
        if self.histogram_freq and (epoch + 1) % self.histogram_freq == 0:
            pairs, _ = jax.tree.flatten_with_path(self.model.variables()[0])
            name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
            self._write("train", epoch, [histogram(name(path), np.asarray(weight)) for path, weight in pairs])

    def _end_step(self, batch, logs=None):
        step = self.epoch * self.params["steps"] + batch
        self._write("train", step, [scalar(f"batch_{name}", value) for name, value in (logs or {}).items()])

    def _write(self, folder: str, step: int, values: list[bytes]) -> None:
        """Write values at a step into the file of a folder, which is begun where there is none."""
        if not values:
            return
        data = record(event(step, b"".join(values)))
        if folder not in self.files:
            name = f"events.out.tfevents.{time.time():017.6f}.{socket.gethostname()}.{os.getpid()}.v2"
            self.files[folder] = os.path.join(self.log_dir, folder, name), 0
            data = record(double(1, time.time()) + text(3, "brain.Event:2")) + data
        path, position = self.files[folder]
        self.files[folder] = path, write_at(path, position, data, "TensorBoard")


# Event files are records, each with its length and two checksums; a record holds an `Event` of Protocol Buffers:
# tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto.


def record(data: bytes) -> bytes:
    """Data as a record: its length, the length's checksum, the data, their checksum.

    Example:
        >>> record(b"abc").hex()
        '0300000000000000b099490e6162636e57f121'
    """
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_checksum(length)) + data + struct.pack("<I", masked_checksum(data))


def masked_checksum(data: bytes) -> int:
    """The CRC-32C of data, turned by 15 bits and moved, so that a checksum of checksums is no special case."""
    checksum = crc32c(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """The checksum of Castagnoli (1993), as of RFC 3720.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    table, checksum = _crc_table(), 0xFFFFFFFF
    for byte in data:
        checksum = table[(checksum ^ byte) & 0xFF] ^ checksum >> 8
    return checksum ^ 0xFFFFFFFF


@functools.cache
def _crc_table() -> tuple[int, ...]:
    """The checksum of each byte by itself."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


def event(step: int, values: bytes) -> bytes:
    """An `Event`: the time, the step, and a summary of values."""
    return double(1, time.time()) + varint(2 << 3) + varint(step) + message(5, values)


def scalar(tag: str, value: float) -> bytes:
    """A value of a summary that is one number."""
    return message(1, text(1, tag) + varint(2 << 3 | 5) + struct.pack("<f", value))


def histogram(tag: str, array: np.ndarray) -> bytes:
    """A value of a summary that is the spread of many numbers; those that are not finite are left out."""
    numbers = array.astype("float64").ravel()
    numbers = numbers[np.isfinite(numbers)]
    counts, edges = np.histogram(numbers, _BINS)
    totals = (numbers.min(initial=np.inf), numbers.max(initial=-np.inf), numbers.size, numbers.sum(),
              np.square(numbers).sum()) if numbers.size else (0, 0, 0, 0, 0)
    # The first bucket ends where the numbers begin: readers take the one before it for the left edge.
    limits, filled = edges, np.append(0, counts)
    packed = b"".join(double(field, total) for field, total in enumerate(totals, start=1))
    packed += b"".join(message(field, np.asarray(part, "<f8").tobytes()) for field, part in ((6, limits), (7, filled)))
    return message(1, text(1, tag) + message(5, packed))


def varint(number: int) -> bytes:
    """A whole number, seven bits a byte, the lowest first.

    Example:
        >>> varint(300).hex()
        'ac02'
    """
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def double(field: int, number: float) -> bytes:
    """A field of 8 bytes."""
    return varint(field << 3 | 1) + struct.pack("<d", number)


def message(field: int, data: bytes) -> bytes:
    """A field that holds bytes, or fields."""
    return varint(field << 3 | 2) + varint(len(data)) + data


def text(field: int, content: str) -> bytes:
    """A field that holds text."""
    return message(field, content.encode())
