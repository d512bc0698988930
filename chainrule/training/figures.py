"""What is known of a figure by its name."""
from chainrule.errors import SettingError

# Figures whose name holds one of these are better when they are larger.
_LARGER_IS_BETTER = ("acc", "auc", "precision", "recall", "f1", "fbeta", "f_beta", "r2", "specificity", "cosine", "ams",
                     "sensitivity", "top_k")


def larger_is_better(monitor: str, mode: str) -> bool:
    """Whether larger values of a figure are better: as `mode` says, or by its name for `"auto"`."""
    if mode not in ("auto", "min", "max"):
        raise SettingError(f"mode must be 'auto', 'min' or 'max'; got {mode!r}.")
    return mode == "max" or (mode == "auto" and any(part in monitor.lower() for part in _LARGER_IS_BETTER))
