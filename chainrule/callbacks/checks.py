"""Settings of callbacks, held against what they can be."""
from chainrule.errors import SettingError


def check_whole(callback, name: str, value, minimum: int = 1) -> int:
    """Raise where a setting is not an integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise SettingError(f"{type(callback).__name__}: {name} must be an integer of at least {minimum}; got "
                           f"{value!r}.")
    return value


def check_path(callback, name: str, value) -> str:
    """Raise where a setting is no path; the path as text."""
    text = value.__fspath__() if hasattr(value, "__fspath__") else value
    if not isinstance(text, str) or not text or "\0" in text:
        raise SettingError(f"{type(callback).__name__}: {name} must be the path of a file; got {value!r}.")
    return text
