"""Convolution in `jnp`, for every dtype, every device and 1 to 3 axes of places: the twin of the kernels.

On a CPU a convolution is a product of two matrices: the entries under each window as a row, times the kernel. With
both gradients, 3 x 3 windows on (128, 26, 26, 32) to 64 channels take 0.05 s so, on two cores; inside a loop, as in
training, `lax.conv_general_dilated` takes 2. The gradients are products again, found by differentiating the forward
pass; written by hand they were no faster. Other devices have convolutions of their own, and use them.
"""
import functools
import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

# How much the entries under all windows may take up at once: of several images, what stays in the cache (a third faster
# than all of a large batch together); of one image, what is still little beside the memory.
_CACHED_BYTES, _MOST_BYTES = 6 * 2**20, 128 * 2**20


class Windows(NamedTuple):
    """Where the windows of a convolution lie; a number, or a pair of them, for each axis of places.

    Attributes:
        counts: how many windows there are; `None` where the axis is open.
        strides: how far apart they are.
        dilation: how far apart the entries of one window are.
        padding: the zeros before the first and after the last place; fewer than none cut places off.
    """

    counts: tuple[int | None, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]


@functools.partial(jax.jit, static_argnames=("windows", "groups"))
def convolve(x, kernel, windows: Windows, groups: int) -> jax.Array:
    """The convolution itself, for settings that fit; compiled once for each shape also where nothing around it is."""
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*pair, 0) for pair in windows.padding), (0, 0, 0)])
    is_depthwise = groups > 1 and kernel.shape[-2] == 1
    ways = {"cpu": _depthwise if is_depthwise else _by_products, "default": _by_device}
    return lax.platform_dependent(x, kernel, **{
        platform: functools.partial(way, windows=windows, groups=groups) for platform, way in ways.items()})


def convolve_transposed(x, kernel, windows: Windows, groups: int, places: tuple[int, ...]) -> jax.Array:
    """The transpose of `convolve`, to images of so many places."""
    image = jax.ShapeDtypeStruct((x.shape[0], *places, kernel.shape[-2] * groups), x.dtype)
    return jax.linear_transpose(lambda image: convolve(image, kernel, windows, groups), image)(x)[0]


def _by_device(x, kernel, windows: Windows, groups: int):
    """What the device brings for it."""
    letters = "DHW"[-len(windows.strides):]
    return lax.conv_general_dilated(x, kernel, windows.strides, "VALID", rhs_dilation=windows.dilation,
                                    dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
                                    feature_group_count=groups)


def _by_products(x, kernel, windows: Windows, groups: int):
    """Products of the entries under each window with the kernel, for as many images at once as fit into the cache."""
    images, channels = x.shape[0], x.shape[-1]
    bytes_each = math.prod(kernel.shape[:-2]) * math.prod(windows.counts) * channels * x.dtype.itemsize
    # The entries, many times the input, are not kept for the gradients: they are taken anew.
    product = jax.checkpoint(functools.partial(_product, kernel=kernel, windows=windows, groups=groups))
    if images * bytes_each <= _CACHED_BYTES or images <= 1:
        return product(x)
    together = 2 ** int(math.log2(max(1, _CACHED_BYTES // bytes_each)))  # batches are mostly multiples of a power of 2
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, -images % together, 0), *[(0, 0, 0)] * (x.ndim - 1)])
    y = lax.map(product, x.reshape(-1, together, *x.shape[1:]))
    return y.reshape(-1, *y.shape[2:])[:images]


def _product(x, kernel, windows: Windows, groups: int):
    """One product, or, where even that would take up too much, several for parts of the window."""
    inputs, filters = kernel.shape[-2:]
    places = list(_places(kernel))
    kernel = kernel.reshape(len(places), inputs, filters)
    rows = x.shape[0] * math.prod(windows.counts)
    together = max(1, _MOST_BYTES // max(1, rows * x.shape[-1] * x.dtype.itemsize))
    y = 0
    for first in range(0, len(places), together):
        entries = [_entries(x, place, windows).reshape(rows, groups, inputs)
                   for place in places[first : first + together]]
        patches, part = jnp.concatenate(entries, -1), kernel[first : first + together]
        length = len(entries) * inputs
        if groups == 1:
            y = y + patches.reshape(rows, length) @ part.reshape(length, filters)
        else:
            y = y + jnp.einsum("rgi,igf->rgf", patches, part.reshape(length, groups, filters // groups))
    return y.reshape(x.shape[0], *windows.counts, filters)


def _depthwise(x, kernel, windows: Windows, groups: int):
    """For each channel alone: entries times numbers, added up over the window."""
    multiplier = kernel.shape[-1] // groups
    if multiplier > 1:
        x = jnp.broadcast_to(x[..., None], (*x.shape, multiplier)).reshape(*x.shape[:-1], kernel.shape[-1])
    return _channel_by_channel(x, kernel, windows)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _channel_by_channel(x, kernel, windows: Windows):
    return sum(_entries(x, place, windows) * kernel[place] for place in _places(kernel))


@_channel_by_channel.defjvp
def _channel_by_channel_slope(windows: Windows, values, slopes):
    (x, kernel), (x_slope, kernel_slope) = values, slopes
    if max(windows.strides) > 1:
        by_kernel = _channel_by_channel(x, kernel_slope, windows)
    else:  # The same, in the order whose transpose is sums over whole arrays: 5 times faster than over parts of them.
        by_kernel = sum(_entries(x * kernel_slope[place], place, windows) for place in _places(kernel))
    return _channel_by_channel(x, kernel, windows), _channel_by_channel(x_slope, kernel, windows) + by_kernel


def _places(kernel) -> Iterator[tuple[int, ...]]:
    """The places of a window."""
    return itertools.product(*map(range, kernel.shape[:-2]))


def _entries(x, place: tuple[int, ...], windows: Windows):
    """The entries at one place of each window."""
    starts = [index * step for index, step in zip(place, windows.dilation, strict=True)]
    stops = [start + (count - 1) * stride + 1
             for start, count, stride in zip(starts, windows.counts, windows.strides, strict=True)]
    return lax.slice(x, (0, *starts, 0), (x.shape[0], *stops, x.shape[-1]), (1, *windows.strides, 1))
