"""Images in another size, by two small products with matrices, one along the height and one along the width."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from chainrule.errors import SettingError, ShapeError, UnknownNameError, did_you_mean
from chainrule.ops.pooling import on_images, one_for_each_axis, widened

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


def resize(images, size, interpolation: str = "bilinear", antialias: bool = False) -> jax.Array:
    """Images in another height and width.

        y[i, j] = sum over a, b of rows[i, a] * x[a, b] * columns[j, b]

    The row `i` of the output lies at `(i + 0.5) * height / size[0] - 0.5` of the input, so that the middles and the
    edges of both agree. `rows[i]` weighs the input's rows around that place: the nearest one, the two nearest
    (`"bilinear"`), or the four nearest by Keys's cubic (`"bicubic"`); what lies outside is the pixel at the edge. All
    are equal to PyTorch's `interpolate` with `align_corners=False` (`"nearest"` to its `"nearest-exact"`).

    Shapes: `(height, width)`, `(height, width, channels)` or `(batch, height, width, channels)` to the same axes. The
    dtype is kept; integers are rounded, and held within their range.

    Args:
        images: the image or images.
        size: the height and width to reach.
        interpolation: `"nearest"`, `"bilinear"` or `"bicubic"`.
        antialias: for shrinking, whether every pixel counts: the weights are spread so far that no detail finer than
            the new pixels leaves a moiré pattern. `"nearest"` takes one pixel in any case.

    Raises:
        SettingError: the size is not two positive integers.
        UnknownNameError: there is no such interpolation.
        ShapeError: the images have no pixels, or too many axes.

    Reference: Keys, Cubic Convolution Interpolation for Digital Image Processing (1981).

    Example:
        >>> import numpy as np
        >>> resize(np.array([[0.0, 4.0]]), (1, 4)).tolist()
        [[0.0, 1.0, 3.0, 4.0]]
    """
    if hasattr(size, "__index__"):
        raise SettingError(f"resize: `size` is (height, width); got {size!r}. Use ({size}, {size}) for a square.")
    size = one_for_each_axis(size, 2, "size", "resize")
    check_interpolation(interpolation, "resize")
    return on_images(lambda batch: _resize(batch, size, interpolation, antialias), images, "resize")


def check_interpolation(interpolation, owner: str) -> None:
    """There must be an interpolation of that name."""
    if interpolation not in INTERPOLATIONS:
        raise UnknownNameError(
            f"{owner}: there is no interpolation {interpolation!r}. {did_you_mean(interpolation, INTERPOLATIONS)}")


@functools.partial(jax.jit, static_argnames=("size", "interpolation", "antialias"))
def _resize(x, size: tuple[int, int], interpolation: str, antialias: bool):
    """Both axes of a batch, the one that shrinks more first; compiled once also where nothing around it is."""
    if 0 in x.shape[1:3]:
        raise ShapeError(f"resize: an image of {x.shape[1]} x {x.shape[2]} pixels has none to resize.")
    axes = sorted((1, 2), key=lambda axis: size[axis - 1] / x.shape[axis])
    if interpolation == "nearest":
        for axis in axes:
            places = np.floor((np.arange(size[axis - 1]) + 0.5) * (x.shape[axis] / size[axis - 1])).astype(int)
            x = jnp.take(x, places, axis, mode="clip")
        return x
    y = widened(x)
    for axis in axes:
        if size[axis - 1] != x.shape[axis]:
            weights = jnp.asarray(_weights(x.shape[axis], size[axis - 1], interpolation, antialias), y.dtype)
            equation = "ia,nabc->nibc" if axis == 1 else "jb,nabc->najc"
            y = jnp.einsum(equation, weights, y, precision=lax.Precision.HIGHEST)
    if jnp.issubdtype(x.dtype, jnp.integer):
        limits = jnp.iinfo(x.dtype)
        y = jnp.clip(jnp.round(y), limits.min, limits.max)
    return y.astype(x.dtype)


def _weights(old: int, new: int, interpolation: str, antialias: bool) -> np.ndarray:
    """How much each of `old` pixels counts in each of `new` ones, (new, old)."""
    places = (np.arange(new) + 0.5) * (old / new) - 0.5
    if antialias:
        # What lies outside does not count, and the rest is brought to a sum of 1, as Pillow and PyTorch do.
        distance = (np.arange(old) - places[:, None]) / max(old / new, 1)
        weights = _tent(distance) if interpolation == "bilinear" else _cubic(distance, -0.5)
        return weights / weights.sum(1, keepdims=True)
    weights = np.zeros((new, old))
    for step in (0, 1) if interpolation == "bilinear" else (-1, 0, 1, 2):
        pixels = np.floor(places).astype(int) + step
        distance = pixels - places
        weight = _tent(distance) if interpolation == "bilinear" else _cubic(distance, -0.75)
        np.add.at(weights, (np.arange(new), pixels.clip(0, old - 1)), weight)
    return weights


def _tent(distance):
    """1 in the middle, falling to 0 at a distance of 1."""
    return np.maximum(1 - np.abs(distance), 0)


def _cubic(distance, slope: float):
    """Keys's cubic: 1 in the middle, 0 at 1 and from 2 on, with `slope` at a distance of 1."""
    x = np.abs(distance)
    near = (slope + 2) * x**3 - (slope + 3) * x**2 + 1
    far = slope * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0))
