"""The figures of each epoch as a table in a file."""
import csv
import io
import os

from chainrule.callbacks.log_file import LogFile
from chainrule.errors import SettingError


class CSVLogger(LogFile):
    """Writes the figures of each epoch into a CSV file: a heading, then one line an epoch, numbers in full precision.

    The columns are the epoch (from 0), the figures of the first epoch and those of validation, whether it was due or
    not; a cell without a figure is empty. Figures that a callback adds have a column where that callback comes before
    this one in `callbacks`.

    Args:
        filename: the file.
        separator: the character between two cells.
        append: whether to write behind what the file holds already, under its heading; else it is replaced.

    Attributes:
        columns: the names of the columns; `None` before the first line.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = CSVLogger(pathlib.Path(folder) / "log.csv")
        ...     log.on_epoch_end(0, {"loss": 0.5, "accuracy": 0.75})
        ...     print((pathlib.Path(folder) / "log.csv").read_text(), end="")
        epoch,loss,accuracy
        0,0.5,0.75
    """

    memory = ("position", "columns")

    def __init__(self, filename, separator: str = ",", append: bool = False):
        super().__init__(filename, append)
        if not isinstance(separator, str) or len(separator) != 1 or separator in '\r\n"':
            raise SettingError(f"CSVLogger: separator must be one character, such as ',', ';' or a tab; got "
                               f"{separator!r}.")
        self.separator = separator
        self.columns: list[str] | None = None

    def on_train_begin(self, logs=None):
        super().on_train_begin()
        self.columns = None

    def on_epoch_end(self, epoch, logs=None):
        logs = {"epoch": epoch} | (logs or {})
        if self.columns is None:
            self.columns = self._columns(logs)
        self.write(self._line(logs.get(name, "") for name in self.columns))

    def begin(self) -> bytes:
        empty = not (self.append and os.path.exists(self.filename) and os.path.getsize(self.filename))
        return self._line(self.columns) if empty else b""

    def _columns(self, logs) -> list[str]:
        """The columns of a file: those that an appended one has, else those of the first epoch."""
        if self.append and os.path.exists(self.filename) and os.path.getsize(self.filename):
            with open(self.filename, encoding="utf-8", newline="") as file:
                found = next(csv.reader(file, delimiter=self.separator))
            if "epoch" not in found:
                raise SettingError(
                    f"CSVLogger: {self.filename!r} does not begin with a heading that has a column 'epoch', but with "
                    f"{found[:5]}. Leave append out to replace the file, or give another name.")
            return found
        names = list(self.params.get("metrics", ()))
        validated = [f"val_{name}" for name in names] if self.params.get("validation_freq") else []
        return list(dict.fromkeys(["epoch", *names, *validated, *logs]))

    def _line(self, cells) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self.separator, lineterminator="\n").writerow(cells)
        return text.getvalue().encode()
