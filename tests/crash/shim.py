"""The library of faults (`faults.c`): compiled here, loaded before the C library, armed in a process of its own."""
import ctypes
import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple


class Fault(NamedTuple):
    """What happens at a call.

    Attributes:
        action: as `faults.c` numbers them.
        error: the number of the error that the call fails with.
        lasting: whether the calls after it fail too.
    """

    action: int
    error: int = 0
    lasting: bool = False


NONE = Fault(0)
FAULTS = {
    "killed before": Fault(1), "killed halfway": Fault(2), "fails once: no space": Fault(3, errno.ENOSPC),
    "fails once: I/O error": Fault(3, errno.EIO), "fails from then on: no space": Fault(3, errno.ENOSPC, True),
    "fails from then on: I/O error": Fault(3, errno.EIO, True), "writes half": Fault(4)}
WRITES_ONLY = ("killed halfway", "writes half")


def compiler() -> str | None:
    """The C compiler, where the faults can be had: on Linux."""
    return shutil.which("cc") if hasattr(os, "O_DIRECTORY") and os.uname().sysname == "Linux" else None


def build(folder: Path) -> Path:
    """The compiled library in a folder."""
    library = folder / "faults.so"
    subprocess.run([compiler(), "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library,
                    Path(__file__).with_name("faults.c"), "-ldl", "-lpthread"], check=True)
    return library


def arm(library: str, folder: str, call: int, fault: Fault, log: str) -> None:
    """From now on count the calls of this process that change files of a folder; at one of them the fault happens."""
    action, error, lasting = fault
    ctypes.CDLL(library).faults_arm(folder.encode(), ctypes.c_long(call), action, error, int(lasting), log.encode())
