"""Pooling of images, channels last: the largest or the mean entry of each window, and the gradients of both.

The settings of all of them, each a pair of numbers, down and across: the `size` of the images, that of the `windows`,
their `strides`, how many places the first one reaches over the image's edge (`before`), and the windows' `counts`.
"""
import jax.numpy as jnp
import numpy as np

from chainrule.kernels.registry import Kernel


def _places(size, windows, strides, before, counts):
    """Of each window, the places that it holds, in the flat image, and which of them lie on the image.

    Shapes: `(rows, columns, entries of a window)`.
    """
    down, across = ((np.arange(count) * stride - pad)[:, None] + np.arange(window)
                    for count, stride, pad, window in zip(counts, strides, before, windows, strict=True))
    inside = ((0 <= down) & (down < size[0]))[:, None, :, None] & ((0 <= across) & (across < size[1]))[None, :, None, :]
    flat = np.clip(down, 0, size[0] - 1)[:, None, :, None] * size[1] + np.clip(across, 0, size[1] - 1)[None, :, None, :]
    return [array.reshape(*counts, windows[0] * windows[1]) for array in (flat, inside)]


def _entries(x, size, windows, strides, before, counts):
    """The entries of each window, `(images, rows, columns, entries, channels)`, and which of them lie on the image."""
    flat, inside = _places(size, windows, strides, before, counts)
    return x.reshape(x.shape[0], size[0] * size[1], x.shape[-1])[:, flat], inside[..., None]


def _max_forward(x, *, size, windows, strides, before, counts):
    entries, inside = _entries(x, size, windows, strides, before, counts)
    entries = jnp.where(inside, entries, -jnp.inf)
    # NaN wins. Among equals the first does, but never one outside of the image.
    largest = entries.max(3, keepdims=True)
    wins = inside & ((entries == largest) | jnp.isnan(entries))
    winner = jnp.argmax(wins, 3, keepdims=True)
    return [jnp.take_along_axis(entries, winner, 3)[..., 0, :], winner[..., 0, :].astype(jnp.int32)]


def _max_backward(places, dy, *, size, windows, strides, before, counts):
    flat, _ = _places(size, windows, strides, before, counts)
    wins = places[..., None, :] == np.arange(flat.shape[-1], dtype=np.int32)[:, None]
    return [_gathered(jnp.where(wins, dy[..., None, :], 0), flat, size)]


def _average_forward(x, *, size, windows, strides, before, counts):
    entries, inside = _entries(x, size, windows, strides, before, counts)
    return [jnp.where(inside, entries, 0).sum(3) / inside.sum(2)]


def _average_backward(dy, *, size, windows, strides, before, counts):
    flat, inside = _places(size, windows, strides, before, counts)
    shares = inside / inside.sum(2, keepdims=True)
    return [_gathered(dy[..., None, :] * shares[..., None].astype(dy.dtype), flat, size)]


def _gathered(entries, flat, size):
    """The sum of what windows hold for each place of the images."""
    images, channels = entries.shape[0], entries.shape[-1]
    flat_sums = jnp.zeros((images, size[0] * size[1], channels), entries.dtype).at[:, flat].add(entries)
    return flat_sums.reshape(images, *size, channels)


def _gradient_of_max(arrays, results, cotangents, wanted, **settings):
    return max_pool_backward(results[1], cotangents[0], **settings)


def _gradient_of_average(arrays, results, cotangents, wanted, **settings):
    return average_pool_backward(cotangents[0], **settings)


def _windows(settings: dict) -> dict:
    return {name: settings[name] for name in ("windows", "strides", "before")}


max_pool_forward = Kernel("chainrule_max_pool_forward", _max_forward, _gradient_of_max, _windows)
max_pool_backward = Kernel("chainrule_max_pool_backward", _max_backward, attributes=_windows)
average_pool_forward = Kernel("chainrule_average_pool_forward", _average_forward, _gradient_of_average, _windows)
average_pool_backward = Kernel("chainrule_average_pool_backward", _average_backward, attributes=_windows)
