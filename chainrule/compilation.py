"""Compiled programs kept on disk, so that the next process that needs one reads it instead of compiling it again."""
import hashlib
import os
import platform
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from chainrule.datasets.sources import cache_folder
from chainrule.errors import FileAccessError, SettingError

MAX_BYTES = 1 << 29  # about 5,000 programs of small networks

_OWN = "*-cache"  # how JAX names what it keeps; other files in the folder are left alone


class Contents(NamedTuple):
    """What a folder of compiled programs holds.

    Attributes:
        programs: how many.
        size: their bytes.
    """

    programs: int
    size: int


def cache_compilations(folder: str | PathLike | None = None, max_bytes: int = MAX_BYTES) -> Path:
    """Keep compiled programs on disk from now on, and use those that are there: the next process starts sooner.

    The command line does this by itself. In a program call it once, before the first `fit` or `predict`. A program is
    found again where network, shapes, settings, versions and the machine's instruction sets are the same; it is the
    same to the bit as one compiled anew. Whatever is wrong with the folder later on never ends a run: the program is
    compiled as if there were no folder.

    Compiled programs are code that is executed, so the folder should be one that nobody else can write to.

    Args:
        folder: where; by default the folder `programs` in the user's cache (`CHAINRULE_CACHE` where it is set).
        max_bytes: how much may stay there: what is beyond it, used longest ago, is removed now. 512 MB by default.

    Returns:
        The folder, one for each kind of processor inside that which was given.

    Raises:
        FileAccessError: the folder cannot be made or written to.
        SettingError: `max_bytes` is not a positive integer.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = cache_compilations(folder)
        ...     print(found.parent == Path(folder), describe_cache(found))
        ...     stop_caching()
        True Contents(programs=0, size=0)
    """
    if isinstance(max_bytes, bool) or not hasattr(max_bytes, "__index__") or max_bytes < 1:
        raise SettingError(f"max_bytes must be a positive integer; got {max_bytes!r}.")
    place = programs_folder(folder)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(place, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise FileAccessError(f"Compiled programs cannot be kept in {place}: {error.strerror}. Name a folder that can "
                              f"be written to: cache_compilations('folder').") from error
    _remove_oldest(place, max_bytes)
    keep_programs_in(place)
    return place


def stop_caching() -> None:
    """Compile without looking at the disk again; what is there stays.

    Example:
        >>> stop_caching()
    """
    keep_programs_in(None)


def programs_folder(folder: str | PathLike | None = None) -> Path:
    """Where `cache_compilations` keeps programs of this machine, whether it exists or not.

    JAX names a program by all that decides it but the instruction sets of the processor, and a home folder may be
    shared by machines of several kinds: hence a folder for each kind.

    Example:
        >>> programs_folder("programs").parent.name
        'programs'
    """
    place = cache_folder() / "programs" if folder is None else Path(folder).expanduser()
    return place / hashlib.sha256(_processor().encode()).hexdigest()[:12]


def describe_cache(folder: Path) -> Contents:
    """How many programs a folder holds, and how big they are together.

    Example:
        >>> describe_cache(Path("no such folder"))
        Contents(programs=0, size=0)
    """
    sizes = [size for _, size, _ in _entries(folder)]
    return Contents(len(sizes), sum(sizes))


def _processor() -> str:
    """What tells processors with different instruction sets apart."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    sets = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return f"{platform.machine()} {platform.processor()} {' '.join(sorted(sets.split()))}"


def _entries(folder: Path) -> list[tuple[float, int, Path]]:
    """When each program was last used, its size and its file."""
    found = []
    for path in folder.glob(_OWN):
        try:
            status = path.stat()
        except OSError:  # another process removed it just now
            continue
        found.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    return found


def _remove_oldest(folder: Path, max_bytes: int) -> None:
    """Remove the programs that were used longest ago until the others fit.

    JAX has a limit of its own, which needs a package that chainrule does not ask for, locks the folder at each reading
    and stops working where one of its files is missing.
    """
    entries = sorted(_entries(folder))
    size = sum(entry[1] for entry in entries)
    for _, its_size, path in entries:
        if size <= max_bytes:
            return
        path.unlink(missing_ok=True)
        size -= its_size


def keep_programs_in(folder: Path | None) -> None:
    """Tell JAX in which folder to keep programs, if any: all of them, not only those that took a second to compile."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    compilation_cache.reset_cache()  # else JAX goes on with the folder that it has used before
    jax.config.update("jax_compilation_cache_dir", None if folder is None else str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0 if folder is not None else 1.0)
