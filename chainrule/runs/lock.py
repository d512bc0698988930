"""Whether a process is at work in a folder: a lock that the system takes back when the process dies, however."""
import contextlib
import os
import socket
import time
from pathlib import Path

from chainrule.errors import FileAccessError

try:
    import fcntl
except ImportError:  # Windows has no such lock: there two fits in one folder are not kept apart
    fcntl = None

_PATIENCE_SECONDS = 0.5  # somebody who only looks holds the lock for a moment


class Lock:
    """Held from `take` until `release`, or until the process ends.

    Args:
        path: the file that is locked; it names the process.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file = None

    def take(self) -> None:
        """Hold the lock.

        Raises:
            FileAccessError: another process, or another fit of this one, holds it, or its file cannot be written.
        """
        try:
            self._file = open(self.path, "a+b", buffering=0)  # open as long as it is held
            self._wait()
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        except OSError as error:
            self.release()
            if isinstance(error, FileAccessError):
                raise
            raise FileAccessError(f"{self.path} cannot be written: {error.strerror or error}.") from error

    def _wait(self) -> None:
        ends = time.monotonic() + _PATIENCE_SECONDS
        while not _locked(self._file, exclusive=True):
            if time.monotonic() > ends:
                raise FileAccessError(f"{self.path.parent} is being trained in by {self.holder()}. Wait for its end, "
                                      f"stop it, or give this run another folder.")
            time.sleep(0.02)

    def release(self) -> None:
        """Let go."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def is_held(self) -> bool:
        """Whether any process holds it now."""
        try:
            with open(self.path, "rb") as file:
                return not _locked(file, exclusive=False)
        except FileNotFoundError:
            return False

    def holder(self) -> str:
        """Who holds it, or held it last: `process 4711 on green`."""
        with contextlib.suppress(OSError):
            return self.path.read_text(errors="replace") or "another process"
        return "another process"


def _locked(file, exclusive: bool) -> bool:
    """Try to lock an open file; it stays locked until it is closed."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
