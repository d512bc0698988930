"""A run: one folder that holds all of a training, while it is under way and after."""
import math
import os
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from chainrule.errors import FileAccessError, FileFormatError, MissingDataError, SettingError
from chainrule.runs.lock import Lock
from chainrule.runs.metrics import read_rows
from chainrule.saving.checkpoint import Place, checkpoints_in
from chainrule.saving.strict import parse_json


class Run:
    """The folder of a training run: `fit(..., run=Run("runs/first"))`, or its name alone, `run="runs/first"`.

    It holds `settings.json` (what was asked for), `environment.json` (versions, machine), `metrics.sqlite` (figures by
    step and by epoch), `checkpoints/`, and in the end the model, `model.chain`. All may be read at any time.

    Args:
        folder: where it is, or will be.
        checkpoint_seconds: how many seconds lie between two checkpoints, at least; large ones are written more rarely,
            so that writing takes at most a twentieth of the time. With 0 one is written after each call of the
            program, and training waits for it.
        keep: how many checkpoints are kept, the newest.
        log_steps: after how many steps figures are written down, beside those of each epoch.
        notes: what `settings.json` shall hold beside, as plain data.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Run(f"{folder}/first").status
        'new'
    """

    def __init__(self, folder, checkpoint_seconds: float = 10.0, keep: int = 3, log_steps: int = 200,
                 notes: dict[str, Any] | None = None):
        number = isinstance(checkpoint_seconds, (int, float)) and not isinstance(checkpoint_seconds, bool)
        if not number or not 0 <= checkpoint_seconds < math.inf:
            raise SettingError(
                f"checkpoint_seconds must be a number of seconds, 0 or more; got {checkpoint_seconds!r}.")
        for name, value in {"keep": keep, "log_steps": log_steps}.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SettingError(f"{name} must be an integer of at least 1; got {value!r}.")
        try:
            self.folder = Path(folder).expanduser()
        except TypeError:
            raise SettingError(f"A run is named by its folder, such as 'runs/first'; got {folder!r}.") from None
        self.checkpoint_seconds, self.keep, self.log_steps = checkpoint_seconds, keep, log_steps
        if not isinstance(notes, Mapping | None):
            raise SettingError(f"notes must be a dict of plain data; got {notes!r}.")
        self.notes = dict(notes or {})

    def __repr__(self) -> str:
        return f"<Run {str(self.folder)!r}: {self.status}>"

    # What is in it.

    @property
    def lock(self) -> Lock:
        """Held while a process trains in it."""
        return Lock(self.folder / "lock")

    @property
    def checkpoints(self) -> list[tuple[Place, Path]]:
        """The checkpoints and their places, the newest first."""
        return checkpoints_in(self.folder / "checkpoints")

    @property
    def metrics_path(self) -> Path:
        """The SQLite file of its figures."""
        return self.folder / "metrics.sqlite"

    @property
    def model_path(self) -> Path:
        """The file of the trained model, there once the run has ended."""
        return self.folder / "model.chain"

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return os.path.isfile(self.folder / "settings.json")  # also where there can be no such name

    @property
    def settings(self) -> dict[str, Any]:
        """What was asked for."""
        return self._read_json("settings.json")

    @property
    def environment(self) -> dict[str, Any]:
        """Versions and machine at its beginning."""
        return self._read_json("environment.json")

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """The processes that worked on it, in order: when, where, from which place, and how it ended (`None`: not)."""
        names = ("began", "ended", "outcome", "process", "host", "epoch", "step")
        rows = self._rows(f"SELECT {', '.join(names)} FROM sessions ORDER BY session")
        return [dict(zip(names, row, strict=True)) for row in rows]

    @property
    def status(self) -> str:
        """`"new"`, `"running"`, `"finished"`, `"interrupted"`, `"failed"` (an error ended it), or `"died"` (killed).

        `"damaged"` is one whose figures cannot be read: they are begun anew when it goes on.
        """
        if not self.exists:
            return "new"
        if self.lock.is_held():
            return "running"
        try:
            sessions = self.sessions
        except FileFormatError:
            return "damaged"
        return (sessions[-1]["outcome"] if sessions else None) or "died"

    @property
    def history(self) -> dict[str, list[float]]:
        """The figures by name, one an epoch; `nan` where an epoch did not report one."""
        rows = self._rows("SELECT epoch, name, value FROM epochs ORDER BY epoch")
        epochs = sorted({epoch for epoch, _, _ in rows})
        found = {name: dict.fromkeys(epochs, math.nan) for _, name, _ in rows}
        for epoch, name, value in rows:
            found[name][epoch] = math.nan if value is None else value
        return {name: list(values.values()) for name, values in found.items()}

    @property
    def steps(self) -> list[tuple[int, int, str, float]]:
        """The figures within epochs: epoch, finished steps of it, name, value."""
        return self._rows("SELECT epoch, step, name, value FROM steps ORDER BY epoch, step")

    def last_sign(self) -> datetime | None:
        """When figures or a checkpoint were last written; `None` for a new one."""
        paths = [self.folder / name for name in ("settings.json", "metrics.sqlite", "metrics.sqlite-wal")]
        paths += [path for _, path in self.checkpoints]
        times = [path.stat().st_mtime for path in paths if path.is_file()]
        return datetime.fromtimestamp(max(times)) if times else None

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        if not path.is_file():
            raise MissingDataError(f"There is no run in {self.folder}: it has no {name}.")
        try:
            found = parse_json(path.read_bytes(), name)
            if not isinstance(found, dict):
                raise FileFormatError(f"{name} is no JSON object")
            return found
        except FileFormatError as error:
            raise FileFormatError(f"{path} cannot be read: {error}.") from error

    def _rows(self, query: str) -> list[tuple]:
        try:
            return read_rows(self.metrics_path, query)
        except sqlite3.DatabaseError as error:
            raise FileFormatError(f"{self.metrics_path} cannot be read: {error}.") from error


def as_run(run) -> Run:
    """A run, or the folder of one, as a run."""
    return run if isinstance(run, Run) else Run(run)


def find_runs(folder) -> Iterator[Run]:
    """The runs in a folder, or the one that it is itself, by name.

    Raises:
        FileAccessError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileAccessError(f"There is no folder {folder}. Runs are made by fit(..., run='{folder}/first').")
    if Run(folder).exists:
        yield Run(folder)
        return
    yield from (Run(path) for path in sorted(folder.iterdir()) if path.is_dir() and Run(path).exists)
