"""What a population and its `fit` are given, checked and brought into one form."""
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from chainrule.callbacks import EarlyStopping
from chainrule.callbacks.lambda_callback import LambdaCallback
from chainrule.data.recognition import as_source
from chainrule.data.source import Source
from chainrule.errors import SettingError, ShapeError, shortened
from chainrule.models import check_whole
from chainrule.population.rows import count_folds


def joined(values: Mapping[str, Any], settings, loss_weights) -> dict[str, Any]:
    """All values by member by one kind of name."""
    for name, given in (("settings", settings), ("loss_weights", loss_weights)):
        if given is not None and not isinstance(given, Mapping):
            wanted = "{'dropout/rate': values}" if name == "settings" else "{'output': values}"
            raise SettingError(f"{name} is a dict of values by name, {name}={wanted}; got {shortened(given)}.")
    losses = {f"loss_weights/{name}": given for name, given in (loss_weights or {}).items()}
    return {**values, **(settings or {}), **losses}


def member_count(size: int | None, folds, given: Mapping[str, Any]) -> int:
    """The number of members: as said, as many as the values, or the folds."""
    lengths = {name: len(values) for name, values in given.items() if np.ndim(values) == 1}
    if size is None:
        if lengths:
            size = next(iter(lengths.values()))
        elif folds is not None:
            size = count_folds(folds)
        else:
            raise SettingError("size is the number of members: give it, or one value a member: "
                               "Population(model, learning_rate=[0.01, 0.001]).")
    size = check_whole("size", size, minimum=1)
    if folds is not None and size % count_folds(folds):
        raise SettingError(f"size={size} members cannot share {count_folds(folds)} folds evenly: each fold is held out "
                           f"by as many. Take a multiple of {count_folds(folds)}.")
    return size


def member_seeds(seed, size: int) -> np.ndarray:
    """The seeds of all members, from all of them or the first."""
    array = np.asarray(seed)
    if array.dtype.kind not in "iu" or array.ndim > 1 or (array < 0).any():
        raise SettingError(f"seed takes whole numbers of at least 0, the first or one a member; got {shortened(seed)}.")
    if array.ndim and len(array) != size:
        raise ShapeError(f"seed has {len(array)} values, and there are {size} members: give the first of them, or "
                         f"{size}.")
    return array.astype(np.int64) if array.ndim else int(array) + np.arange(size)


def refuse_source(given, name: str) -> None:
    """Raise where data would be read in pieces."""
    parts = given if isinstance(given, tuple) else (given,)
    for part in parts:
        source = as_source(part)
        if isinstance(source, Source):
            raise SettingError(f"A population is trained on arrays in memory, and {name} is a {type(source).__name__}, "
                               f"which is read in pieces. Load it: x, y = source.load().")


def split_callbacks(callbacks) -> tuple[EarlyStopping | None, list]:
    """The settings of early stopping, and the callbacks of the user's own."""
    given = [] if callbacks is None else list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
    stopping = [callback for callback in given if isinstance(callback, EarlyStopping)]
    if len(stopping) > 1:
        raise SettingError("callbacks holds several EarlyStopping; a population takes one.")
    others = [callback for callback in given if not isinstance(callback, EarlyStopping)]
    for callback in others:
        built_in = type(callback).__module__.startswith("chainrule.") and not isinstance(callback, LambdaCallback)
        if built_in:
            raise SettingError(f"{type(callback).__name__} is made for one network. A population takes EarlyStopping "
                               f"and callbacks of your own, which are told of epochs.")
    return (stopping[0] if stopping else None), others


def row_count(x) -> int | None:
    """The number of rows of arrays, where it can be seen at once."""
    arrays = [leaf for leaf in jax.tree.leaves(x) if getattr(leaf, "ndim", 0)]
    return len(arrays[0]) if arrays else None
