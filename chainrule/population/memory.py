"""How much memory members need, told before they are trained, and how many of them fit."""
import os
from pathlib import Path

import jax
import numpy as np

from chainrule.devices import find_device
from chainrule.errors import SettingError, shortened
from chainrule.layers.binding import output_shapes
from chainrule.layers.symbol import Symbol
from chainrule.population.data import MemberData

_SHARE = 0.5  # of what is free: the estimate is one, and others live on the machine too
_UNITS = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}


def check_memory(memory) -> int | None:
    """A number of bytes from a number or a text such as `"2 GB"`; `None` as it is.

    Example:
        >>> check_memory("1.5 GB")
        1610612736
    """
    if memory is None:
        return None
    number, text = memory, str(memory).strip().upper()
    for unit, factor in _UNITS.items():
        if isinstance(memory, str) and text.endswith(unit):
            try:
                number = float(text.removesuffix(unit)) * factor
            except ValueError:
                break
    if isinstance(number, (bool, str)) or not isinstance(number, (int, float, np.number)) or not number >= 1:
        raise SettingError(f"memory is a number of bytes or a text such as '2 GB'; got {shortened(memory)}.")
    return int(number)


def free_memory() -> int:
    """Bytes that are free where programs run now: on the device, or on the machine within its container's bounds."""
    device = find_device(None)
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2] if hasattr(os, "sysconf") else [4 << 30]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        free = [int(lines["MemAvailable"].split()[0]) << 10] if "MemAvailable" in lines else free
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (bound := limit.read_text().strip()) != "max":
        free.append(max(int(bound) - int(used.read_text()), 0))
    return min(free)


def member_bytes(model, weights, optimizer, batch_size: int, data: MemberData, restores: bool) -> int:
    """About what one member needs while it is trained.

    Its weights twice, since a step makes new ones beside the old, their gradients, the optimiser's state twice, the
    best weights where they are kept, what each layer puts out for a batch twice (for the gradients), the batch, and
    what it has of the data: an order, rows, weights of rows.
    """
    number = 8 if model.dtype == "float64" else 4
    size = lambda tree: sum(int(np.prod(leaf.shape)) * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree))
    between = sum(int(np.prod([extent or batch_size for extent in shape])) for shape in _activations(model, batch_size))
    own = sum(array[0].nbytes for array in (*data.loss_weights, *data.metric_weights) if array is not None)
    rows = 4 * data.count * (2 + (data.rows is not None))
    batch = sum(int(np.prod(leaf.shape[1:])) * np.dtype(leaf.dtype).itemsize * batch_size
                for leaf in jax.tree.leaves((data.shared.x, data.shared.y)))
    return (3 + restores) * size(weights) + 2 * size(optimizer) + 2 * number * between + batch + own + rows


def _activations(model, batch_size: int) -> list[tuple[int | None, ...]]:
    """The shapes that layers put out for a batch."""
    graph = model.__dict__.get("_graph")
    if graph is None:
        inputs = model.__dict__["_input_symbols"]
        return [(batch_size, *shape[1:]) for shapes in output_shapes(model, inputs).values() for shape in shapes]
    return [(batch_size, *symbol.shape[1:]) for node in graph.nodes for symbol in jax.tree.leaves(node.outputs)
            if isinstance(symbol, Symbol)]


def most_members(each: int, memory: int | None) -> int:
    """How many members of `each` bytes fit into memory: what was allowed, or half of what is free."""
    allowed = int(free_memory() * _SHARE) if memory is None else memory
    return max(allowed // max(each, 1), 1)
