"""Where the files of a data set are: in a folder of the user's, in the cache, or on a mirror.

Two environment variables are read here, at the time of the call, and nowhere else:

- `CHAINRULE_DATA`: a folder of data sets, looked into first: `$CHAINRULE_DATA/mnist/train-images-idx3-ubyte.gz`.
  Packed files may lie there unpacked, without their `.gz`.
- `CHAINRULE_CACHE`: the folder for downloads, in place of the system's: `$XDG_CACHE_HOME/chainrule` or
  `~/.cache/chainrule` on Linux, `~/Library/Caches/chainrule` on macOS, `%LOCALAPPDATA%\\chainrule` on Windows. Data
  sets lie in its folder `datasets`, published weights of networks in its folder `weights`.
"""
import contextlib
import hashlib
import os
import secrets
import sys
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from chainrule.errors import MissingDataError

_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 2**17


class RemoteFile(NamedTuple):
    """One published file: its name, how long it is, and the digest of its bytes in hexadecimal.

    The digest is SHA-256, or MD5 where the publisher states no other: `algorithm` says so.
    """

    name: str
    size: int
    digest: str
    algorithm: str = "sha256"


@dataclass(frozen=True)
class Source:
    """The files of one data set and the addresses they are published under.

    Args:
        title: the name of the data set in messages: `"Fashion-MNIST"`.
        folder: the name of its folder, below `CHAINRULE_DATA` and in the cache: `"fashion-mnist"`.
        files: what is wanted.
        mirrors: addresses that end in a slash, tried in this order.
        group: the folder of the cache that its folder lies in.

    Example:
        >>> Source("Toy", "toy", (RemoteFile("toy.csv", 12, "00" * 32),), ("https://example.org/toy/",)).files[0].name
        'toy.csv'
    """

    title: str
    folder: str
    files: tuple[RemoteFile, ...]
    mirrors: tuple[str, ...]
    group: str = "datasets"


def locate(source: Source, path: str | PathLike | None = None) -> list[Path]:
    """The files of a data set on this machine, in the order of `source.files`; downloads those that are not here.

    Files in `path` and in `CHAINRULE_DATA` are the user's and are taken as they are. A file in the cache is taken if
    its digest is right, else it is downloaded again.

    Args:
        source: the data set.
        path: the folder that holds the files; then no other is looked into and nothing is downloaded.

    Raises:
        MissingDataError: a file is not there and could not be downloaded.

    Example:
        >>> locate(Source("Nothing", "nothing", (), ()))
        []
    """
    if path is not None:
        folder = Path(path).expanduser()
        found = {file: _own_file(folder, file) for file in source.files}
        advice = f"Put the files into {folder}, or leave out path to have them looked for elsewhere and downloaded."
        return _all_found(source, found, [folder], [], advice)
    own, cache = data_folder(), cache_folder() / source.group / source.folder
    found, failures = {}, []
    for file in source.files:
        found[file] = own and _own_file(own / source.folder, file)
        if not found[file] and _intact(cache / file.name, file):
            found[file] = cache / file.name
        if not found[file] and not failures:  # where one download fails the next one would, after a long wait
            found[file], failures = _fetched_file(source, file, cache / file.name)
    folders = [own / source.folder, cache] if own else [cache]
    elsewhere = "" if own else f", or set CHAINRULE_DATA to a folder whose subfolder {source.folder} holds them"
    advice = f"Put the files into {folders[0]}{elsewhere}."
    return _all_found(source, found, folders, failures, advice)


def cache_folder() -> Path:
    """The folder for what chainrule downloads, whether it exists or not.

    Example:
        >>> cache_folder().is_absolute()
        True
    """
    if chosen := os.environ.get("CHAINRULE_CACHE"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        base = base if os.path.isabs(base) else Path.home() / ".cache"  # the XDG rule: relative ones do not count
    return Path(base) / "chainrule"


def data_folder() -> Path | None:
    """The folder of data sets that `CHAINRULE_DATA` names, whether it exists or not; `None` where it names none.

    Example:
        >>> folder = data_folder()
        >>> folder is None or folder.is_absolute()
        True
    """
    chosen = os.environ.get("CHAINRULE_DATA")
    return Path(chosen).expanduser().absolute() if chosen else None


def _own_file(folder: Path, file: RemoteFile) -> Path | None:
    """The file in a folder of the user's, as published or unpacked."""
    places = folder / file.name, folder / file.name.removesuffix(".gz")
    return next((place for place in places if place.is_file()), None)


def _fetched_file(source: Source, file: RemoteFile, target: Path) -> tuple[Path | None, list[str]]:
    """The file in the cache after a download from the first mirror that has it, or what went wrong."""
    failures = [f"{target}: its {file.algorithm} digest is not that of the published file"] if target.exists() else []
    for mirror in source.mirrors:
        problem = _download(mirror + file.name, file, target)
        if problem is None:
            return target, []
        failures.append(f"{mirror}{file.name}: {problem}")
    return None, failures


def _intact(path: Path, file: RemoteFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, file.algorithm).hexdigest() == file.digest


def _download(address: str, file: RemoteFile, target: Path) -> str | None:
    """Download to a file beside `target`, and rename it once its digest is right. Returns what went wrong."""
    # Here, not above: together they take longer to import than a cached data set takes to load.
    import urllib.request
    from http.client import HTTPException

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    seen = console.is_terminal or console.is_jupyter
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    digest, size = hashlib.new(file.algorithm), 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (urllib.request.urlopen(address, timeout=_TIMEOUT) as answer, open(partial, "wb") as output,
              Progress(*columns, console=console, transient=True, disable=not seen) as progress):
            task = progress.add_task(file.name, total=file.size)
            while chunk := answer.read(min(_CHUNK, file.size + 1 - size)):
                output.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                progress.update(task, completed=size)
            output.flush()
            os.fsync(output.fileno())
        if size != file.size:
            found = f"{size} came" if size < file.size else "more came"
            return f"expected {file.size} bytes, {found}; nothing was kept"
        if digest.hexdigest() != file.digest:
            return f"expected the {file.algorithm} digest {file.digest}, found {digest.hexdigest()}; nothing was kept"
        os.replace(partial, target)
        return None
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _all_found(source: Source, found: dict[RemoteFile, Path | None], folders: list[Path], failures: list[str],
               advice: str) -> list[Path]:
    """The places of the files, or the error that says which are nowhere and where to put them."""
    missing = [file.name for file, place in found.items() if not place]
    if not missing:
        return list(found.values())
    lines = [f"{source.title} is not on this machine" + (" and could not be downloaded." if failures else "."),
             "Files wanted: " + ", ".join(missing) + ".",
             "Folders looked into: " + ", ".join(str(folder) for folder in folders) + ".",
             *(["What was tried:"] if failures else []),
             *(f"  {failure}" for failure in failures),
             advice]
    raise MissingDataError("\n".join(lines))
