"""JSON from a file that nobody vouches for: one reading only, bounded depth, finite numbers."""
import json
import math
from typing import Any

from chainrule.errors import FileFormatError

MAXIMAL_DEPTH = 100


def parse_json(data: bytes, what: str) -> Any:
    """What JSON text says, read strictly.

    Args:
        data: the text, in UTF-8.
        what: its name for messages.

    Raises:
        FileFormatError: it is not valid, repeats a key, nests too deeply, or holds numbers that are not finite.

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
