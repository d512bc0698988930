"""Where a network runs: on the processor, on a GPU or on a TPU, by a word; and what keeps a GPU exact.

Nothing here is asked before it is needed: importing chainrule wakes no device.
"""
import contextlib
import math
import os
import weakref
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from chainrule.errors import SettingError

DEVICES = ("cpu", "gpu", "tpu")
_ALIGNMENT = 64  # bytes: where an array begins that XLA uses without a copy
_FEWEST_KEPT_BYTES = 4 << 20  # of less, new memory costs nothing to speak of

_INSTALL = (("gpu", 'pip install "jax[cuda13]" (or "jax[cuda12]" for an older driver)'),
            ("tpu", 'pip install "jax[tpu]"'))


def check_device(device: str | None) -> str | None:
    """A word for a device, in small letters, if this machine has one; `None`, JAX's choice, as it is.

    Raises:
        SettingError: the word is another one, or JAX finds no such device here.

    Example:
        >>> check_device("CPU")
        'cpu'
    """
    if device is not None:
        device = device.lower() if isinstance(device, str) else device
        find_device(device)
    return device


def find_device(device: str | None) -> jax.Device:
    """The first device of a kind; for `None` the one that JAX takes by itself.

    Raises:
        SettingError: as `check_device`.

    Example:
        >>> find_device("cpu").platform
        'cpu'
    """
    if device is None:
        chosen = jax.config.jax_default_device  # what `with jax.default_device(...)` set, if anything
        return chosen if isinstance(chosen, jax.Device) else jax.local_devices(backend=chosen)[0]
    if not isinstance(device, str) or device not in DEVICES:
        raise SettingError(f"device is 'cpu', 'gpu', 'tpu', or None for the best that there is; got {device!r}.")
    try:
        return jax.local_devices(backend=device)[0]
    except RuntimeError:
        there = ", ".join(sorted({kind(found) for found in jax.devices()}))
        raise SettingError(
            f"device={device!r}, and JAX finds no {device.upper()} on this machine, only: {there}. If there is one, "
            f"JAX needs the package that drives it: {dict(_INSTALL)[device]}. Else leave device out.") from None


def kind(device: jax.Device) -> str:
    """The word for a device: JAX names GPUs by their makers in places.

    Example:
        >>> kind(find_device("cpu"))
        'cpu'
    """
    return "gpu" if device.platform in ("gpu", "cuda", "rocm") else device.platform


def describe_device(device: str | None = None) -> str:
    """A device and its size in a few words: `cpu (2 cores)`, `gpu (NVIDIA H200)`.

    Example:
        >>> describe_device("cpu").startswith("cpu (")
        True
    """
    found = find_device(device)
    if found.platform != "cpu":
        return f"{kind(found)} ({found.device_kind})"
    cores = usable_cores()
    return f"cpu ({cores} core{'s' * (cores != 1)})"


def usable_cores() -> int:
    """How many cores this process may use: fewer than there are where a container or `taskset` says so.

    Example:
        >>> usable_cores() >= 1
        True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_device(device: str | None) -> contextlib.AbstractContextManager:
    """Make arrays and run programs on a device for the time of a block; `None` changes nothing.

    Arrays that lie elsewhere are brought there by the programs that take them.

    Example:
        >>> with on_device("cpu"):
        ...     print(jnp.zeros(()).device.platform)
        cpu
    """
    return contextlib.nullcontext() if device is None else jax.default_device(find_device(device))


def bring(tree, device: str | None):
    """A structure of arrays on a device, bit by bit the same; those that are there already as they are.

    They stay free to be moved again, as arrays are that JAX has put somewhere by itself, so that models on different
    devices may share them.
    """
    target = find_device(device)

    def moved(array):
        if not isinstance(array, jax.Array) or isinstance(array, jax.core.Tracer) or array.devices() == {target}:
            return array
        return jnp.array(jax.device_get(array))

    with on_device(device):
        return jax.tree.map(moved, tree)


def compiler_options(platform: str, deterministic: bool) -> dict[str, bool]:
    """What the compiler is told beside the program.

    On a GPU, sums by many threads at once have no fixed order in the fastest kernels, and which kernel is fastest is
    found by trying. Where a run must repeat to the bit, both are switched off. On a processor every run repeats.

    Example:
        >>> compiler_options("gpu", deterministic=True), compiler_options("cpu", deterministic=True)
        ({'xla_gpu_deterministic_ops': True}, {})
    """
    return {"xla_gpu_deterministic_ops": True} if deterministic and platform == "gpu" else {}


def compiled(function: Callable, deterministic: bool = False) -> Callable:
    """`jax.jit` for the device that programs run on now, exact to the bit where that is asked for.

    Example:
        >>> float(compiled(lambda x: x + 1, deterministic=True)(1.0))
        2.0
    """
    return jax.jit(function, compiler_options=compiler_options(kind(find_device(None)), deterministic))


def compiled_once(function: Callable) -> Callable:
    """`jax.jit` for a program that runs once or a few times, such as the making of weights: it is compiled sooner.

    On a processor XLA's newer code generator makes faster loops and takes about 1.5 times as long to make them, which
    one run does not earn back. Both round alike.

    Example:
        >>> float(compiled_once(lambda x: x + 1)(1.0))
        2.0
    """
    on_processor = find_device(None).platform == "cpu"
    return jax.jit(function, compiler_options={"xla_cpu_use_fusion_emitters": False} if on_processor else {})


class Staging:
    """Memory for copies of arrays, kept from one copy of an array to the next for as long as the array is there.

    A data set that is trained on again is copied again, as it may have changed. Into memory that is there that takes
    a tenth of the time: the system hands out new memory page by page, a virtual machine asks its host for each, and
    190 MB then take up to 0.4 s, a third of an epoch.

    Example:
        >>> staging, array = Staging(), np.ones(3)
        >>> first = to_device(array, staging=staging)
        >>> array[0] = 2
        >>> second = to_device(array, staging=staging)
        >>> first.tolist(), second.tolist()
        ([1.0, 1.0, 1.0], [2.0, 1.0, 1.0])
    """

    def __init__(self):
        self._kept: dict[tuple, tuple[weakref.ref, np.ndarray]] = {}

    def room(self, array: np.ndarray, size: int) -> np.ndarray:
        """Memory of `size` bytes for a copy of an array: that of the last one, unless it is still in use."""
        key, owner = self._key(array), array if array.base is None else array.base
        jax.device_put(np.uint8(0))  # JAX lets go of memory that it has done with when it next takes some
        _, room = self._kept.pop(key, (None, None))
        room = np.empty(size, np.uint8) if room is None or len(room) != size else room
        try:
            source = weakref.ref(owner, lambda _, kept=self._kept: kept.pop(key, None))
        except TypeError:  # an owner of memory that is not NumPy's own and cannot be watched
            return room
        # All views of it keep this one alive, as it is not NumPy's own memory to them: when it goes, nothing uses it.
        lent = np.frombuffer(memoryview(room), np.uint8)
        weakref.finalize(lent, _keep, self._kept, key, source, room)
        return lent

    @staticmethod
    def _key(array: np.ndarray) -> tuple:
        """Which memory is copied: a view of an array is another object each time it is made."""
        return array.ctypes.data, array.shape, array.strides, array.dtype.str


def _keep(kept: dict, key: tuple, source: weakref.ref, room: np.ndarray) -> None:
    """What is done when a copy is gone: its memory is kept if the array that was copied is still there."""
    if source() is not None:
        kept[key] = source, room


def to_device(array, rows: int | None = None, staging: Staging | None = None) -> jax.Array:
    """A copy of an array on the device, in the precision that holds now; made up to `rows` by repeating its last row.

    The copy is made here, at an address that XLA takes over as it is: made by XLA, one of a data set of 190 MB takes
    six times as long (0.1 s, a tenth of an epoch), most of it for memory handed out in small pages. And
    `jnp.asarray` would compile a program for each new shape.

    Args:
        array: what is copied, unless it is on a device already.
        rows: how many rows the copy has.
        staging: where memory of an earlier copy may be found.

    Example:
        >>> to_device([1.5, 2.5]).dtype.name
        'float32'
    """
    if isinstance(array, jax.Array):
        return array
    array = np.asarray(array)
    dtype = jax.dtypes.canonicalize_dtype(array.dtype)
    shape = array.shape if rows is None else (rows, *array.shape[1:])
    size = math.prod(shape) * dtype.itemsize
    kept = staging is not None and size >= _FEWEST_KEPT_BYTES
    room = staging.room(array, size + _ALIGNMENT) if kept else np.empty(size + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    copy = room[start : start + size].view(dtype).reshape(shape)
    np.copyto(copy if rows is None else copy[: len(array)], array, casting="unsafe")
    if rows is not None:
        copy[len(array) :] = copy[len(array) - 1]
    return jax.device_put(copy)
