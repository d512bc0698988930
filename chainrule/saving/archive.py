"""The outside of a model file: a zip archive of known members, read without trust and written in one piece."""
import contextlib
import os
import secrets
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from chainrule.errors import FileAccessError, FileFormatError

# A member may be this large, or as large as the ratio allows: plain text packs well, but not without end.
_FREE_SIZE = 4 << 20
_LARGEST_RATIO = 100
_LONGEST_DIRECTORY = 1 << 16
_DAMAGED = ".damaged"


@contextlib.contextmanager
def naming(path, what: str):
    """The one place that words what is wrong with a file."""
    try:
        yield
    except FileFormatError as error:
        raise FileFormatError(f"{path} cannot be read as {what}: {error}.") from error


def read_members(path, limits: Mapping[str, int | None], packed: bool = True) -> dict[str, bytes]:
    """The members of an archive, all of them and no others, with every size checked before it is read.

    Args:
        path: the archive.
        limits: the names of the members, and how many bytes each may have (`None` for what the file holds).
        packed: whether members may be packed.

    Raises:
        FileFormatError: it is not such an archive.
        OSError: it cannot be opened.
    """
    allowed = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) if packed else (zipfile.ZIP_STORED,)
    with open(path, "rb") as file:  # a file that may not be read is not damaged
        return _members(file, limits, allowed)


def _members(file: BinaryIO, limits: Mapping[str, int | None], allowed: tuple[int, ...]) -> dict[str, bytes]:
    try:
        size = os.fstat(file.fileno()).st_size
        _check_directory(file, size)
        with zipfile.ZipFile(file) as archive:
            found = archive.infolist()
            _check_names([info.filename for info in found], list(limits))
            for info in found:
                _check_member(info, size, limits[info.filename], allowed)
            _check_places(found, size)
            return {info.filename: _read(archive, info) for info in found}
    except FileFormatError:
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError,
            OverflowError, KeyError, OSError) as error:
        raise FileFormatError(f"it is not a zip archive, or a damaged one ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _check_directory(file: BinaryIO, size: int) -> None:
    """Hold the directory of an archive against its limit, before `ZipFile` makes an object of each of its lines."""
    file.seek(max(size - 98, 0))
    tail = file.read()
    if tail[-22:-18] != b"PK\x05\x06":
        raise zipfile.BadZipFile("File is not a zip file")
    length = int.from_bytes(tail[-10:-6], "little")
    if tail[-42:-38] == b"PK\x06\x07":  # a large archive, which has the size in an end record of its own
        length = int.from_bytes(tail[-58:-50], "little")
    if length > _LONGEST_DIRECTORY:
        raise FileFormatError(f"its directory has {length:,} bytes; at most {_LONGEST_DIRECTORY:,} are allowed")


def _check_places(found: list[zipfile.ZipInfo], size: int) -> None:
    if min(info.header_offset for info in found) > 0:
        raise FileFormatError("it has other bytes before its first member")
    if sum(info.compress_size for info in found) > size:
        raise FileFormatError("its members share bytes")


def _check_names(found: list[str], wanted: list[str]) -> None:
    for name in found:
        if name not in wanted:
            raise FileFormatError(f"it has an unexpected member {name!r}")
        if found.count(name) > 1:
            raise FileFormatError(f"it has two members {name!r}")
    for name in wanted:
        if name not in found:
            raise FileFormatError(f"it has no member {name!r}")


def _check_member(info: zipfile.ZipInfo, archive_size: int, limit: int | None, allowed: tuple[int, ...]) -> None:
    name, declared, packed = info.filename, info.file_size, info.compress_size
    if info.compress_type not in allowed or info.flag_bits & 1:
        raise FileFormatError(f"its member {name!r} is encrypted, or packed in a way that is not used here")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise FileFormatError(f"its member {name!r} is a link")
    if limit is not None and declared > limit:
        raise FileFormatError(f"its member {name!r} has {declared:,} bytes; at most {limit:,} are allowed")
    if packed > archive_size or (info.compress_type == zipfile.ZIP_STORED and declared != packed):
        raise FileFormatError(f"its member {name!r} is said to have {declared:,} bytes, more or less than it holds")
    if declared > _FREE_SIZE and declared > _LARGEST_RATIO * packed:
        raise FileFormatError(f"its member {name!r} would grow from {packed:,} to {declared:,} bytes")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    # `ZipExtFile` unpacks no more than the declared size, and compares the checksum when that is reached.
    with archive.open(info) as stream:
        data = stream.read(info.file_size)
        extra = stream.read(1)
    if len(data) != info.file_size or extra:
        raise FileFormatError(f"its member {info.filename!r} does not have the {info.file_size:,} bytes it should have")
    return data


def write_members(path, members: Mapping[str, bytes], overwrite: bool = True, packed: bool = True) -> None:
    """Write an archive; the same members give the same bytes.

    Args:
        path: the archive.
        members: contents by name.
        overwrite: whether a file that is there may be replaced.
        packed: whether members whose names end in `.json` are packed; all others are stored as they are.
    """

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in members.items():
                info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                info.create_system, info.external_attr = 3, 0o644 << 16  # the same on every system
                packs = packed and name.endswith(".json") and not _would_be_refused(data)
                archive.writestr(info, data, zipfile.ZIP_DEFLATED if packs else zipfile.ZIP_STORED)

    write_atomically(path, write, overwrite)


def _would_be_refused(data: bytes) -> bool:
    """Whether data pack so well that `read_members` would take them for a bomb."""
    return len(data) > _FREE_SIZE and len(data) > _LARGEST_RATIO * len(zlib.compress(data))


def write_atomically(path, write: Callable[[BinaryIO], None], overwrite: bool = True) -> None:
    """Write a file in one step: at every moment there is the old one or the new one, complete, also after a crash.

    Args:
        path: the file. A link is followed.
        write: called with a file open for writing, beside the real one.
        overwrite: whether a file that is there may be replaced.

    Raises:
        FileAccessError: the file cannot be written there.
    """
    target = check_target(path, overwrite)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            with open(partial, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()
        _flush_folder(target.parent)
    except OSError as error:
        raise FileAccessError(f"{path} cannot be written: {error.strerror or error}.") from error


def set_aside(path: Path) -> Path:
    """Give a damaged file a name that nobody takes for a whole one's; its new name."""
    kept = path.with_name(path.name + _DAMAGED)
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}{_DAMAGED}-{number}")
    return path.replace(kept)


def check_target(path, overwrite: bool = True) -> Path:
    """The place that a file would be written to, links followed; raises where that cannot work.

    Raises:
        FileAccessError: a folder stands there, or its folder does not exist, or the file does and may not be replaced.
    """
    target = Path(os.path.realpath(os.path.expanduser(path)))
    if target.is_dir():
        raise FileAccessError(f"{path} is a folder. Give the name of a file in it: {Path(path) / 'model.chain'}.")
    if not target.parent.is_dir():
        raise FileAccessError(f"{path} cannot be written: there is no folder {target.parent}. Make it first.")
    if target.exists() and not overwrite:
        raise FileAccessError(f"{path} exists already, and overwrite=False. Give another name, or overwrite=True.")
    return target


def _flush_folder(folder: Path) -> None:
    """Make the renaming last through a power cut, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
