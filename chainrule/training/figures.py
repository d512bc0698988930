"""What is known of a figure by its name."""
from collections.abc import Iterable, Sequence

from chainrule.errors import SettingError, did_you_mean

# Figures whose name holds one of these are better when they are larger.
_LARGER_IS_BETTER = ("acc", "auc", "precision", "recall", "f1", "fbeta", "f_beta", "r2", "specificity", "cosine", "ams",
                     "sensitivity", "top_k")


def larger_is_better(monitor: str, mode: str) -> bool:
    """Whether larger values of a figure are better: as `mode` says, or by its name for `"auto"`."""
    if mode not in ("auto", "min", "max"):
        raise SettingError(f"mode must be 'auto', 'min' or 'max'; got {mode!r}.")
    return mode == "max" or (mode == "auto" and any(part in monitor.lower() for part in _LARGER_IS_BETTER))


def chosen_figures(recorded: Iterable[str], names: str | Sequence[str] | None) -> list[str]:
    """Which of the figures that were recorded are to be drawn, training and validation as one.

    Raises:
        SettingError: nothing was recorded, or no figure of such a name.

    Example:
        >>> chosen_figures(["loss", "val_loss"], None)
        ['loss']
    """
    known = list(dict.fromkeys(name.removeprefix("val_") for name in recorded))
    if not known:
        raise SettingError("There is nothing to plot: the history has no epochs.")
    chosen = known if names is None else [names] if isinstance(names, str) else list(names)
    for name in chosen or [""]:
        if name not in known:
            raise SettingError(f"The history has no figure {name!r}. {did_you_mean(name, known)}")
    return chosen
