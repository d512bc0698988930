"""The figures of a fit as lines of JSON."""
import json
import math
import time

from chainrule.callbacks.checks import check_whole
from chainrule.callbacks.log_file import LogFile


class JSONLinesLogger(LogFile):
    """Writes a line of JSON for each epoch, and for every so many steps where that is asked for.

    Each line is an object by itself, which many tools read as it grows:

        {"event": "epoch", "epoch": 0, "time": 1764000000.0, "loss": 0.5, "val_loss": 0.6}
        {"event": "step", "epoch": 1, "step": 20, "time": 1764000000.2, "loss": 0.4}

    Epochs count from 0; `step` is how many steps of the epoch were taken, and its figures are those of the epoch so
    far; `time` is in seconds since 1970. A figure that is not finite is `null`, for which JSON has no number.

    Args:
        filename: the file.
        append: whether to write behind what the file holds already; else it is replaced.
        every_steps: after how many steps a line is written, beside those of epochs; `None` for epochs alone.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = JSONLinesLogger(pathlib.Path(folder) / "log.jsonl")
        ...     log.on_epoch_end(0, {"loss": 0.5})
        ...     line = json.loads((pathlib.Path(folder) / "log.jsonl").read_text())
        >>> line["event"], line["epoch"], line["loss"]
        ('epoch', 0, 0.5)
    """

    memory = ("position", "epoch")

    def __init__(self, filename, append: bool = False, every_steps: int | None = None):
        super().__init__(filename, append)
        self.every_steps, self.epoch = every_steps, 0
        if every_steps is not None:
            self.batch_interval = check_whole(self, "every_steps", every_steps)
            self.on_train_batch_end = self._log_step

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        self._write({"event": "epoch", "epoch": epoch}, logs)

    def _log_step(self, batch, logs=None):
        self._write({"event": "step", "epoch": self.epoch, "step": batch + 1}, logs)

    def _write(self, place: dict, logs) -> None:
        figures = {name: float(value) if math.isfinite(value) else None for name, value in (logs or {}).items()}
        self.write(json.dumps(place | {"time": time.time()} | figures).encode() + b"\n")
