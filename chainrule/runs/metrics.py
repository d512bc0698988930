"""The figures of a run in an SQLite file: by step, by epoch, and who worked on it when.

The file is in WAL mode: whoever reads it sees a consistent state at any time, also while it is written, and also after
the writing process was killed.
"""
import os
import socket
import sqlite3
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

from chainrule.saving.archive import set_aside

_TABLES = """
CREATE TABLE IF NOT EXISTS sessions (
    session INTEGER PRIMARY KEY, began REAL NOT NULL, ended REAL, outcome TEXT, process INTEGER NOT NULL,
    host TEXT NOT NULL, epoch INTEGER NOT NULL, step INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS epochs (
    epoch INTEGER NOT NULL, name TEXT NOT NULL, value REAL, time REAL NOT NULL, PRIMARY KEY (epoch, name));
CREATE TABLE IF NOT EXISTS steps (
    epoch INTEGER NOT NULL, step INTEGER NOT NULL, name TEXT NOT NULL, value REAL, time REAL NOT NULL,
    PRIMARY KEY (epoch, step, name));
"""


class MetricsFile:
    """The tables `sessions`, `epochs` and `steps`.

    Rows are kept until `flush` has written them, so that nothing is lost where the disk is full for a while.

    Args:
        path: the file. It is made at the first `flush`.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._connection: sqlite3.Connection | None = None
        self._pending: list[tuple[str, tuple]] = []

    def add_epoch(self, epoch: int, figures: Mapping[str, float], replace: bool = True) -> None:
        """The figures of an epoch, from 0; without `replace`, those that the file does not have yet."""
        self._add(f"INSERT OR {'REPLACE' if replace else 'IGNORE'} INTO epochs VALUES (?, ?, ?, ?)", (epoch,), figures)

    def add_step(self, epoch: int, step: int, figures: Mapping[str, float]) -> None:
        """The figures of an epoch after some of its steps."""
        self._add("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?)", (epoch, step), figures)

    def _add(self, statement: str, place: tuple, figures: Mapping[str, float]) -> None:
        now = time.time()
        self._pending += [(statement, (*place, name, float(value), now)) for name, value in figures.items()]

    def cut(self, epoch: int, step: int) -> None:
        """Forget what lies behind a place that a run went back to."""
        self._pending += [("DELETE FROM epochs WHERE epoch >= ?", (epoch,)),
                          ("DELETE FROM steps WHERE epoch > ? OR (epoch = ? AND step > ?)", (epoch, epoch, step))]

    def begin_session(self, epoch: int, step: int) -> None:
        """Note that this process begins to work at a place."""
        self._pending.append((
            "INSERT INTO sessions (began, process, host, epoch, step) VALUES (?, ?, ?, ?, ?)",
            (time.time(), os.getpid(), socket.gethostname(), epoch, step)))

    def end_session(self, outcome: str) -> None:
        """Note how the work of this process ended."""
        self._pending.append((
            "UPDATE sessions SET ended = ?, outcome = ? WHERE session = (SELECT max(session) FROM sessions)",
            (time.time(), outcome)))

    def flush(self) -> None:
        """Write what is pending, in one transaction.

        Raises:
            sqlite3.Error, OSError: it could not be written, and stays pending.
        """
        if not self._pending:
            return
        if self._connection is None:
            self._connection = self._opened_or_anew()
        with self._connection:
            for statement, values in self._pending:
                self._connection.execute(statement, values)
        self._pending = []

    def _opened_or_anew(self) -> sqlite3.Connection:
        """The file open for writing; a damaged one is named, kept and replaced."""
        try:
            return self._opened()
        except sqlite3.OperationalError:  # it is locked, or the disk is full
            raise
        except sqlite3.DatabaseError as error:
            kept = set_aside(self.path)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            warnings.warn(f"{self.path} cannot be read as an SQLite file: {error}. It is kept as {kept.name}, and a "
                          f"new one is begun.", UserWarning, stacklevel=5)
            return self._opened()

    def _opened(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=5, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_TABLES)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Let go of the file; what is pending stays pending."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def read_rows(path: Path, query: str, values: Iterable = ()) -> list[tuple]:
    """The rows that a query finds in a metrics file; none where there is no file yet, or none of its tables.

    Raises:
        sqlite3.DatabaseError: the file is damaged.
    """
    if not Path(path).is_file():
        return []
    try:
        return _found(path, "ro", query, values)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise
        return _found(path, "rw", query, values)  # a process was killed before there was a WAL: SQLite undoes its work


def _found(path: Path, mode: str, query: str, values: Iterable) -> list[tuple]:
    connection = sqlite3.connect(f"file:{Path(path).resolve().as_posix()}?mode={mode}", uri=True, timeout=5)
    try:
        return connection.execute(query, tuple(values)).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise
    finally:
        connection.close()
