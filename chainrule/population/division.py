"""Which members share a program, and in how many places."""
import numpy as np

from chainrule.population.data import MemberData
from chainrule.population.fit import FEWEST_PLACES

_MOST_SORTED = 1024  # rows: orders of more are made in another way (`ops.random.permutation`)


def alike(data: MemberData, batches, members: np.ndarray) -> list[np.ndarray]:
    """Members that can share a program: those with as many steps, whose orders of rows are made in the same way."""
    def key(member):
        count = data.rows_of(member)
        exact = count if batches.tail == "own" else None
        return -(-count // batches.size), exact, 0 if count <= _MOST_SORTED else (count - 1).bit_length()

    found = {}
    for member in members:
        found.setdefault(key(member), []).append(member)
    return [np.array(numbers) for numbers in found.values()]


def place_count(count: int, size: int) -> int:
    """In how many places some members are trained: all, half, a quarter, ... so that few programs are compiled."""
    while -(-size // 2) >= max(count, FEWEST_PLACES) and size > FEWEST_PLACES:
        size = -(-size // 2)
    return size


def labels_of(objective, y: list) -> np.ndarray | None:
    """The class of each row, by the first output that has classes; `None` where none has."""
    for output, target in zip(objective.outputs, y, strict=True):
        kind = getattr(output.loss, "target_kind", None)
        if target is None or kind not in ("labels", "binary", "one_hot") or target.ndim > 2:
            continue
        if target.ndim == 2 and target.shape[1] > 1:
            return target.argmax(1) if kind == "one_hot" else None
        return target.reshape(len(target))
    return None
