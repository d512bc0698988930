"""The state of a search in a folder: an SQLite file of its settings and trials, and the weights of the best network.

The file is in WAL mode and each change is one transaction: a search that was killed goes on with all trials that were
over. Values are kept as plain data, of a choice the number of the option.
"""
import json
import math
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from chainrule.errors import FileAccessError, FileFormatError, SettingError
from chainrule.models import Model
from chainrule.runs.lock import Lock
from chainrule.tuning.space import Dimension, decode, encode
from chainrule.tuning.trial import STATES, Trial

FILE, WEIGHTS, MODEL = "search.sqlite", "best.safetensors", "best.chain"

_TABLES = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS trials (
    number INTEGER PRIMARY KEY, state TEXT NOT NULL, seed INTEGER NOT NULL, epochs INTEGER NOT NULL,
    best_epoch INTEGER NOT NULL, options TEXT NOT NULL, figures TEXT NOT NULL, rungs TEXT NOT NULL);
"""
_WORDS = {"space": "another space", "data": "other data, or rows divided in another way",
          "model": "another network, or another builder"}


class SearchStore:
    """A folder of a search.

    Args:
        folder: where it is, or will be.
        space: the dimensions of the search.
        resume: whether to go on with what is there.

    Raises:
        SettingError: a search is there already, and `resume` is `False`.
        FileAccessError: the folder cannot be written, or another process works in it.
        FileFormatError: its file is damaged.
    """

    def __init__(self, folder, space: Mapping[str, Dimension], resume: bool):
        self.folder, self.space = Path(folder).expanduser(), space
        self.path = self.folder / FILE
        if self.path.exists() and not resume:
            raise SettingError(f"{self.folder} holds a search already. Go on with it by resume=True (--resume), or "
                               f"give another folder.")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileAccessError(f"{self.folder} cannot be made: {error.strerror}.") from error
        self.lock = Lock(self.folder / "lock")
        self.lock.take()
        try:
            self._connection = sqlite3.connect(self.path, timeout=5)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_TABLES)
        except sqlite3.Error as error:
            self.lock.release()
            if isinstance(error, sqlite3.OperationalError):
                raise FileAccessError(f"{self.path} cannot be written: {error}.") from error
            raise FileFormatError(f"{self.path} cannot be read as the file of a search: {error}. Give another "
                                  f"folder.") from error

    def begin(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Note what a search is asked for; of one that goes on, hold it against what it was begun with.

        Returns:
            The settings that it was begun with.

        Raises:
            SettingError: something differs that decides what trials mean.
        """
        rows = self._connection.execute("SELECT name, value FROM settings").fetchall()
        known = {name: json.loads(value) for name, value in rows}
        given = json.loads(json.dumps(settings))
        if not known:
            with self._connection:
                self._connection.executemany("INSERT INTO settings VALUES (?, ?)",
                                             [(name, json.dumps(value)) for name, value in settings.items()])
            return given
        for name, value in given.items():
            if known.get(name) != value:
                what = _WORDS.get(name) or f"{name}={known.get(name)!r}, where this one has {name}={value!r}"
                raise SettingError(f"{self.folder} holds a search that was begun with {what}. New trials could not be "
                                   f"compared with its own: give what it was begun with, or another folder.")
        return known

    def trials(self) -> list[Trial]:
        """All trials that were begun, by their numbers."""
        rows = self._connection.execute(
            "SELECT number, state, seed, epochs, best_epoch, options, figures, rungs FROM trials ORDER BY number")
        found = []
        for number, state, seed, epochs, best_epoch, options, figures, rungs in rows:
            if state not in STATES:
                raise FileFormatError(f"{self.path} cannot be read as the file of a search: a trial is {state!r}.")
            rungs = {int(epoch): value for epoch, value in _read(rungs).items()}
            found.append(Trial(number, decode(self.space, json.loads(options)), seed, state, epochs, best_epoch,
                               _read(figures), rungs))
        return found

    def put(self, trials: Iterable[Trial]) -> None:
        """Write trials as they stand, all of them or none."""
        rows = [(trial.number, trial.state, trial.seed, trial.epochs, trial.best_epoch,
                 json.dumps(encode(self.space, trial.values)), _written(trial.figures), _written(trial.rungs))
                for trial in trials]
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def keep_best(self, trial: Trial, model: Model) -> None:
        """Keep the network of the best trial: its weights, and the whole of it where plain data can say it."""
        # The weights name their trial, so that a process that was killed between two files leaves no mixture.
        model.save_weights(self.folder / f"{trial.number}.{trial.best_epoch}.{WEIGHTS}")
        try:
            model.save(self.folder / MODEL)
        except SettingError:  # it has a function of the user's own, which no file can hold
            (self.folder / MODEL).unlink(missing_ok=True)
        for path in self.folder.glob(f"*.{WEIGHTS}"):
            if path.name != f"{trial.number}.{trial.best_epoch}.{WEIGHTS}":
                path.unlink()

    def weights_of(self, trial: Trial) -> Path | None:
        """The file of a trial's weights, where it was the best."""
        path = self.folder / f"{trial.number}.{trial.best_epoch}.{WEIGHTS}"
        return path if path.is_file() else None

    def close(self) -> None:
        """Let go of the folder."""
        self._connection.close()
        self.lock.release()


def read_settings(folder) -> dict[str, Any]:
    """What a search in a folder was begun with; nothing where there is none."""
    path = Path(folder) / FILE
    if not path.is_file():
        return {}
    with closing(sqlite3.connect(path, timeout=5)) as connection:
        try:
            return {name: json.loads(value) for name, value in connection.execute("SELECT name, value FROM settings")}
        except sqlite3.Error as error:
            raise FileFormatError(f"{path} cannot be read as the file of a search: {error}. Give another "
                                  f"folder.") from error


def _written(figures: Mapping) -> str:
    return json.dumps({str(name): None if math.isnan(value) else value for name, value in figures.items()})


def _read(text: str) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in json.loads(text).items()}
