"""Images read at other places: moved, turned, stretched, sheared. Coordinates count pixels from the top left centre."""
import functools

import jax
import jax.numpy as jnp
from jax import lax

from chainrule.errors import ShapeError, UnknownNameError, did_you_mean, format_shape

FILL_MODES = ("reflect", "wrap", "constant", "nearest")
INTERPOLATIONS = ("bilinear", "nearest")


def affine_transform(images, matrices, *, fill_mode="reflect", fill_value=0.0, interpolation="bilinear"):
    """Images under affine maps, one a row: the output at `(x, y)` is the input at the place that the map sends it to.

        y[b, i, j] = images[b] at row r and column c,   (c, r) = matrices[b] @ (j, i, 1)

    Args:
        images: `(batch, height, width, channels)`.
        matrices: `(batch, 2, 3)`; the first line makes the column (x) to read at, the second the row (y). Their dtype
            is that of the coordinates.
        fill_mode, fill_value, interpolation: as for `sample`.

    Returns:
        `(batch, height, width, channels)` in the dtype of the images.

    Example:
        >>> import numpy as np
        >>> image = np.arange(6, dtype="float32").reshape(1, 2, 3, 1)
        >>> one_to_the_right = np.array([[[1, 0, -1], [0, 1, 0]]], "float32")
        >>> affine_transform(image, one_to_the_right, fill_mode="constant").reshape(2, 3).tolist()
        [[0.0, 0.0, 1.0], [0.0, 3.0, 4.0]]
    """
    images, matrices = jnp.asarray(images), jnp.asarray(matrices)
    _check_images(images)
    if matrices.shape != (images.shape[0], 2, 3):
        raise ShapeError(
            f"affine_transform takes one (2, 3) matrix an image, {format_shape((images.shape[0], 2, 3))}; got "
            f"{format_shape(matrices.shape)}.")
    height, width = images.shape[1:3]
    x = jnp.arange(width, dtype=matrices.dtype)
    y = jnp.arange(height, dtype=matrices.dtype)[:, None]
    place = matrices[..., None, None]  # (batch, 2, 3, 1, 1), for (height, width) places
    columns, rows = (place[:, line, 0] * x + place[:, line, 1] * y + place[:, line, 2] for line in (0, 1))
    return sample(images, rows, columns, fill_mode=fill_mode, fill_value=fill_value, interpolation=interpolation)


def sample(images, rows, columns, *, fill_mode="reflect", fill_value=0.0, interpolation="bilinear"):
    """Images read at given places, between pixels too.

        y[b, i, j] = sum over the four pixels (r, c) around it of (1 - |rows - r|) * (1 - |columns - c|) * x[b, r, c]

    with `rows` and `columns` at `[b, i, j]`; or the nearest pixel alone.

    Args:
        images: `(batch, height, width, channels)`; integers are rounded at the end.
        rows, columns: coordinates, of shapes that broadcast to `(batch, new height, new width)`: 0 is the centre of
            the first pixel, `height - 1` that of the last.
        fill_mode: what stands beyond the edges, for the row `a b c d`: `"reflect"`: `d c b a | a b c d | d c b a`;
            `"wrap"`: `a b c d | a b c d | a b c d`; `"nearest"`: `a a a a | a b c d | d d d d`; `"constant"`:
            `fill_value`.
        fill_value: the value beyond the edges under `"constant"`.
        interpolation: `"bilinear"` or `"nearest"`.

    Returns:
        `(batch, new height, new width, channels)` in the dtype of the images.

    Raises:
        UnknownNameError: there is no such fill mode or interpolation.

    Example:
        >>> import numpy as np
        >>> image = np.array([[1.0, 2.0], [3.0, 4.0]], "float32").reshape(1, 2, 2, 1)
        >>> sample(image, rows=np.array([[[0.5]]]), columns=np.array([[[0.0]]])).tolist()
        [[[[2.0]]]]
    """
    images = jnp.asarray(images)
    _check_images(images)
    check_sampling(fill_mode, interpolation)
    return _sample(images, jnp.asarray(rows), jnp.asarray(columns), fill_value, fill_mode, interpolation)


@functools.partial(jax.jit, static_argnames=("fill_mode", "interpolation"))
def _sample(images, rows, columns, fill_value, fill_mode, interpolation):
    batch, height, width, channels = images.shape
    rows, columns = jnp.broadcast_arrays(as_floats(rows), as_floats(columns))
    pixels = as_floats(images)
    flat = pixels.reshape(batch * height * width, channels)
    starts = (jnp.arange(batch, dtype="int32") * (height * width))[:, None, None]
    beyond = jnp.asarray(fill_value, pixels.dtype)

    def pixel(row, column):
        # One flat gather a neighbour: XLA fuses it with the arithmetic about it, also on the CPU.
        at = starts + _inside(row, height, fill_mode) * width + _inside(column, width, fill_mode)
        found = flat.at[at].get(mode="promise_in_bounds")
        if fill_mode != "constant":
            return found
        known = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        return jnp.where(known[..., None], found, beyond)

    if interpolation == "nearest":
        return as_dtype(pixel(*(jnp.floor(place + 0.5).astype("int32") for place in (rows, columns))), images.dtype)
    top, left = jnp.floor(rows), jnp.floor(columns)
    down, right = ((place - start)[..., None].astype(pixels.dtype) for place, start in ((rows, top), (columns, left)))
    top, left = top.astype("int32"), left.astype("int32")
    above = pixel(top, left) * (1 - right) + pixel(top, left + 1) * right
    below = pixel(top + 1, left) * (1 - right) + pixel(top + 1, left + 1) * right
    return as_dtype(above * (1 - down) + below * down, images.dtype)


def as_floats(array):
    """An array in the floating-point numbers that it is computed in: its own, at least 32 bits."""
    wide = jnp.issubdtype(array.dtype, jnp.floating) and array.dtype.itemsize >= 4
    return array if wide else array.astype("float32")


def as_dtype(images, dtype):
    """Computed images in the dtype that they came in: integers are rounded, and clipped to what it holds."""
    if images.dtype != dtype and jnp.issubdtype(dtype, jnp.integer):
        images = jnp.clip(jnp.round(images), jnp.iinfo(dtype).min, jnp.iinfo(dtype).max)
    return images.astype(dtype)


def materialised(array):
    """The same images, or numbers drawn for them, computed and written to memory before anything reads them.

    XLA merges a gather into the next one, and then works out what the first has read anew for each of the four places
    that the second reads: four such layers in a row take 4 ** 4 times as long on a CPU. Likewise it makes a random
    number again for every pixel that it decides about, and takes 18 s to compile that. It does not merge through loops,
    so this passes the array through one.

    Example:
        >>> materialised(jnp.array([1.0, 2.0])).tolist()
        [1.0, 2.0]
    """
    return lax.fori_loop(0, 2, lambda step, array: jnp.where(step < 2, array, jnp.zeros_like(array)), array)


def check_sampling(fill_mode: str, interpolation: str) -> None:
    """There must be such a fill mode and such an interpolation."""
    for what, name, known in [("fill mode", fill_mode, FILL_MODES), ("interpolation", interpolation, INTERPOLATIONS)]:
        if name not in known:
            raise UnknownNameError(f"There is no {what} {name!r}. {did_you_mean(name, known)}")


def _check_images(images) -> None:
    if images.ndim != 4:
        raise ShapeError(
            f"Images have 4 axes, (batch, height, width, channels); got {format_shape(images.shape)}. Give grey ones "
            f"a channel, and a single one a batch of 1.")


def _inside(index, size: int, fill_mode: str):
    """The pixel that stands for one beyond the edges."""
    if fill_mode == "wrap":
        return index % size
    if fill_mode == "reflect":
        index = index % (2 * size)
        return jnp.minimum(index, 2 * size - 1 - index)
    return jnp.clip(index, 0, size - 1)
