"""Which figure a callback watches, and which of two values is better."""
import math

from chainrule.errors import SettingError, did_you_mean

# Figures whose name holds one of these are better when they are larger.
_LARGER_IS_BETTER = ("acc", "auc", "precision", "recall", "f1", "fbeta", "f_beta", "r2", "specificity", "cosine", "ams",
                     "sensitivity", "top_k")


def larger_is_better(monitor: str, mode: str) -> bool:
    """Whether larger values of a figure are better: as `mode` says, or by its name for `"auto"`."""
    if mode not in ("auto", "min", "max"):
        raise SettingError(f"mode must be 'auto', 'min' or 'max'; got {mode!r}.")
    return mode == "max" or (mode == "auto" and any(part in monitor.lower() for part in _LARGER_IS_BETTER))


def is_better(value: float, best: float | None, larger: bool, min_delta: float = 0.0) -> bool:
    """Whether a value beats the best so far by more than `min_delta`. NaN never does."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value > best + min_delta if larger else value < best - min_delta


def monitored(monitor: str, logs, who: str) -> float | None:
    """The value of a figure; `None` where validation was not due; an error where nobody reports it."""
    if monitor in logs:
        return float(logs[monitor])
    if monitor.startswith("val_") and monitor[4:] in logs and any(name.startswith("val_") for name in logs):
        return None
    hint = ""
    if monitor.startswith("val_") and not any(name.startswith("val_") for name in logs):
        if monitor[4:] in logs:
            hint = " Validation figures need validation_split or validation_data in fit."
    raise SettingError(
        f"{who} watches {monitor!r}, which this fit does not report.{hint} {did_you_mean(monitor, logs)}")
