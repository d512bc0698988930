"""JSON from a file that nobody vouches for: one reading only, bounded depth, finite numbers."""
import json
import math
from typing import Any

from chainrule.errors import FileFormatError

MAXIMAL_DEPTH = 100
# Lists and objects, which take far more memory than text: so many, and one more for each so many bytes.
_FREE_CONTAINERS = 20_000
_BYTES_A_CONTAINER = 12


def parse_json(data: bytes, what: str) -> Any:
    """What JSON text says, read strictly.

    Args:
        data: the text, in UTF-8.
        what: its name for messages.

    Raises:
        FileFormatError: it is not valid, repeats a key, nests too deeply, holds numbers that are not finite, or more
            lists and objects than memory should be spent on.

    Example:
        >>> parse_json(b'{"units": 3}', "model.json")
        {'units': 3}
    """

    def only_once(pairs):
        made = dict(pairs)
        if len(made) != len(pairs):
            names = [name for name, _ in pairs]
            repeated = next(name for name in names if names.count(name) > 1)
            raise FileFormatError(f"{what} has the key {repeated!r} twice in one object")
        return made

    def finite(text):
        number = float(text)
        if not math.isfinite(number):
            raise FileFormatError(f"{what} holds the number {text}, which is not finite")
        return number

    if (excess := find_excess(data)) is not None:
        raise FileFormatError(f"{what} {excess}")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=only_once, parse_constant=finite, parse_float=finite)
    except RecursionError:
        raise FileFormatError(f"{what} nests more than {MAXIMAL_DEPTH} levels") from None
    except (ValueError, UnicodeDecodeError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"{what} is not valid JSON ({error})") from error
    if (problem := find_problem(value)) is not None:
        raise FileFormatError(f"{what} {problem}")
    return value


def find_excess(data: bytes) -> str | None:
    """What keeps JSON text from being read at all: it would fill the memory with lists and objects."""
    most = _FREE_CONTAINERS + len(data) // _BYTES_A_CONTAINER
    if data.count(b"[") + data.count(b"{") > most:
        return f"has more than {most:,} lists and objects in {len(data):,} bytes"
    return None


def find_problem(value) -> str | None:
    """What keeps data from being read back: nesting that is too deep, text that is none."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAXIMAL_DEPTH:
            return f"nests more than {MAXIMAL_DEPTH} levels"
        below = []
        for item in level:
            if isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str) and not item.isascii() and not _is_text(item):
                return "holds text that is not valid Unicode"
        level = below
    return None


def _is_text(value: str) -> bool:
    """Whether a string can be encoded: a lone surrogate cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
