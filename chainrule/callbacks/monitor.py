"""Which figure a callback watches, and which of two values is better."""
import math

from chainrule.errors import SettingError, did_you_mean


def is_better(value: float, best: float | None, larger: bool, min_delta: float = 0.0) -> bool:
    """Whether a value beats the best so far by more than `min_delta`. NaN never does."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value > best + min_delta if larger else value < best - min_delta


def monitored(callback, monitor: str, logs) -> float | None:
    """The value of a figure that a callback watches; `None` where validation was not due; an error where it is not
    reported at all.
    """
    if monitor in logs:
        return float(logs[monitor])
    validates = callback.params.get("validation_freq") or any(name.startswith("val_") for name in logs)
    if monitor.startswith("val_") and monitor[4:] in logs and validates:
        return None
    hint = ""
    if monitor.startswith("val_") and monitor[4:] in logs:
        hint = " Validation figures need validation_split or validation_data in fit."
    raise SettingError(f"{type(callback).__name__} watches {monitor!r}, which this fit does not report.{hint} "
                       f"{did_you_mean(monitor, logs)}")
