"""What a run was asked for: the facts that must be the same when it goes on, or it would end elsewhere."""
import hashlib
import json
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from chainrule.errors import SettingError
from chainrule.optimizers.base import flatten_with_paths
from chainrule.saving import describe_model


def describe_network(model) -> dict[str, Any] | None:
    """What `model.json` says of a network, its loss and its metrics; `None` where that cannot be said in plain data."""
    try:
        text, arrays = describe_model(model)
    except SettingError:
        return None
    description = json.loads(text)
    del description["chainrule"], description["compile"]["items"]["optimizer"]
    return description | {"arrays": digest_of(arrays)}


def describe_data(batches, data) -> dict[str, Any] | None:
    """The division of data into batches, and a digest of the data where they are in memory.

    Args:
        batches: the division; `None` where there are no data.
        data: a `Batch` of all rows, or a stream, of which only the division is known.
    """
    if batches is None:
        return None
    digest = digest_of(jax.tree.leaves(data)) if isinstance(data, tuple) else None
    return {"rows": batches.count, "batch_size": batches.size, "shuffle": batches.shuffle, "digest": digest}


def describe_arrays(tree) -> dict[str, str]:
    """The types and shapes of a tree of arrays, by path.

    Example:
        >>> describe_arrays({"dense": {"bias": np.zeros(3, "float32")}})
        {'dense/bias': 'float32 (3,)'}
    """
    paths, leaves, _ = flatten_with_paths(tree)
    return {path: f"{leaf.dtype} {tuple(leaf.shape)}" for path, leaf in zip(paths, leaves, strict=True)}


def digest_of(arrays: Iterable) -> str:
    """A SHA-256 digest of types, shapes and numbers."""
    digest = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data if array.size else b"")
    return digest.hexdigest()


def check_same(run, begun: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raise where a run would go on with something else than it was begun with.

    A seed need not be said again: the random key is in the checkpoint.

    Raises:
        SettingError: naming the first fact that differs.
    """
    for name in asked:
        if begun.get(name) == asked[name] or name == "seed" and (asked[name] is None or name not in begun):
            continue
        raise SettingError(
            f"{run.folder} was begun with {_difference(name, begun.get(name), asked[name])}. To go on, ask for the "
            f"same; for another training, give another folder.")


def _difference(name: str, before, now) -> str:
    """`batch_size=32 of the training data; this fit has 64`."""
    if name == "network":
        return "a network of other layers or settings"
    if isinstance(before, dict) and isinstance(now, dict):
        part = next(part for part in (*before, *now) if before.get(part) != now.get(part))
        if part == "digest":
            return f"other {name}: their numbers differ"
        return f"{name} {part}={before.get(part)!r}; this fit has {now.get(part)!r}"
    return f"{name}={before!r}; this fit has {now!r}"
