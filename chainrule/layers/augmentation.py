"""Layers that show a network its images otherwise each time: moved, turned, stretched, sheared, mirrored, cut.

They act in training alone, inside the compiled program, and every image has its own draw. Changes of colour stand in
`colour`, mixtures of two images in `mixing`.
"""
import jax.numpy as jnp

from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.base import Layer
from chainrule.layers.dense import check_count
from chainrule.layers.regularisation import required_key
from chainrule.ops import random
from chainrule.ops.warping import affine_transform, as_dtype, as_floats, check_sampling, materialised, sample


class ImageAugmentation(Layer):
    """The parent of the layers that change images at random in training.

    A subclass writes `draw`, which makes the random numbers of a batch, and `transform`, which is what they do to the
    images, a function without chance. Both may be called by hand.

    Shapes: `(batch, height, width, channels)` to the same, in the dtype of the input: integers are rounded.

    Example:
        >>> import jax, numpy as np
        >>> class RandomNegative(ImageAugmentation):
        ...     def draw(self, key, shape, dtype):
        ...         return (random.bernoulli(key, 0.5, shape[:1]),)
        ...
        ...     def transform(self, images, inverted):
        ...         return jnp.where(per_image(inverted), 255 - images, images)
        >>> y = RandomNegative()(np.zeros((8, 2, 2, 1), "uint8"), training=True, key=jax.random.key(0))
        >>> y[:, 0, 0, 0].tolist()
        [255, 255, 255, 0, 0, 255, 255, 255]
    """

    def build(self, input_shape):
        check_images(self, input_shape)

    def draw(self, key, shape, dtype) -> tuple:
        """The random numbers for a batch of images of that shape: arrays with one entry an image."""
        raise SettingError(f"{type(self).__name__} has no `draw`: write `def draw(self, key, shape, dtype)` that "
                           f"returns the random numbers of a batch as a tuple.")

    def transform(self, images, *drawn):
        """What the numbers that `draw` returned make of the images (floating-point numbers)."""
        raise SettingError(f"{type(self).__name__} has no `transform`: write `def transform(self, images, *drawn)` "
                           f"that returns the changed images.")

    def call(self, x, training, key):
        if not training:
            return x
        images = materialised(as_floats(x))
        drawn = self.draw(required_key(self, key), images.shape, images.dtype)
        drawn = (materialised(numbers) if numbers.ndim == 1 else numbers for numbers in drawn)
        return materialised(as_dtype(self.transform(images, *drawn), x.dtype))


class _RandomAffine(ImageAugmentation):
    """The parent of those that read each image through an affine map."""

    def __post_init__(self):
        check_sampling(self.fill_mode, self.interpolation)
        if not is_number(self.fill_value):
            raise SettingError(f"{type(self).__name__}: `fill_value` must be a number; got {self.fill_value!r}.")

    def matrices(self, shape, *drawn):
        """What makes the places to read at, `(batch, 2, 3)`: see `affine_transform`."""
        raise NotImplementedError

    def transform(self, images, *drawn):
        return affine_transform(images, self.matrices(images.shape, *drawn), fill_mode=self.fill_mode,
                                fill_value=self.fill_value, interpolation=self.interpolation)


class RandomTranslation(_RandomAffine):
    """Each image moved up or down and to the left or right by a random share of its size.

        y[i, j] = x[i - down * height, j - right * width]
        down ~ Uniform(height_factor),   right ~ Uniform(width_factor)

    Shapes: `(batch, height, width, channels)` to the same. Outside training `y = x`.

    Args:
        height_factor: the shares of the height to move by, `(lowest, highest)`, down where positive; a number `f`
            stands for `(-f, f)`.
        width_factor: the shares of the width, to the right where positive.
        fill_mode: what comes in at the edges, for the row `a b c d`: `"reflect"`: `d c b a | a b c d | d c b a`;
            `"wrap"`: `a b c d | a b c d | a b c d`; `"nearest"`: `a a a a | a b c d | d d d d`; `"constant"`:
            `fill_value`.
        interpolation: how values between pixels are made, `"bilinear"` or `"nearest"`.
        seed: gives this layer random numbers of its own.
        fill_value: the value that comes in under `"constant"`.

    Example:
        >>> import jax, numpy as np
        >>> layer = RandomTranslation(0, (0.25, 0.25), fill_mode="constant")  # always a quarter to the right
        >>> x = np.array([1.0, 2.0, 3.0, 4.0], "float32").reshape(1, 1, 4, 1)
        >>> layer(x, training=True, key=jax.random.key(0)).ravel().tolist()
        [0.0, 1.0, 2.0, 3.0]
    """

    height_factor: float | tuple[float, float]
    width_factor: float | tuple[float, float]
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        check_factor(self, "height_factor", self.height_factor, -1, 1)
        check_factor(self, "width_factor", self.width_factor, -1, 1)

    def draw(self, key, shape, dtype):
        return (draw_uniform(key, 0, shape, dtype, symmetric(self.height_factor)),
                draw_uniform(key, 1, shape, dtype, symmetric(self.width_factor)))

    def matrices(self, shape, down, right):
        one, zero = jnp.ones_like(down), jnp.zeros_like(down)
        return _matrices((one, zero, -right * shape[2]), (zero, one, -down * shape[1]))


class RandomRotation(_RandomAffine):
    """Each image turned about its centre by a random angle.

        y at (j, i) = x at (cos a * j - sin a * i, sin a * j + cos a * i),   a = 2 pi * turn,   turn ~ Uniform(factor)

    with columns `j` and rows `i` counted from the centre. Shapes: `(batch, height, width, channels)` to the same.
    Outside training `y = x`.

    Args:
        factor: the angles as shares of a full turn, `(lowest, highest)`, counter-clockwise where positive; a number
            `f` stands for `(-f, f)`. 0.1 is 36 degrees.
        fill_mode: what comes in at the edges: `"reflect"`, `"wrap"`, `"nearest"` or `"constant"`, as for
            `RandomTranslation`.
        interpolation: how values between pixels are made, `"bilinear"` or `"nearest"`.
        seed: gives this layer random numbers of its own.
        fill_value: the value that comes in under `"constant"`.

    Example:
        >>> import jax, numpy as np
        >>> layer = RandomRotation((0.25, 0.25))  # always a quarter of a turn, counter-clockwise
        >>> x = np.array([[1.0, 2.0], [3.0, 4.0]], "float32").reshape(1, 2, 2, 1)
        >>> layer(x, training=True, key=jax.random.key(0)).reshape(2, 2).round().tolist()
        [[2.0, 4.0], [1.0, 3.0]]
    """

    factor: float | tuple[float, float]
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        check_factor(self, "factor", self.factor, -1, 1)

    def draw(self, key, shape, dtype):
        return (draw_uniform(key, 0, shape, dtype, symmetric(self.factor)),)

    def matrices(self, shape, turn):
        cosine, sine = jnp.cos(2 * jnp.pi * turn), jnp.sin(2 * jnp.pi * turn)
        x, y = (shape[2] - 1) / 2, (shape[1] - 1) / 2  # the centre, which stays where it is
        return _matrices((cosine, -sine, x - cosine * x + sine * y), (sine, cosine, y - sine * x - cosine * y))


class RandomZoom(_RandomAffine):
    """Each image made smaller or larger about its centre by a random factor.

        y at (j, i) = x at (width_zoom * j, height_zoom * i),   zoom = 1 + u,   u ~ Uniform(factor)

    with columns `j` and rows `i` counted from the centre. Shapes: `(batch, height, width, channels)` to the same.
    Outside training `y = x`.

    Args:
        height_factor: `(lowest, highest)`; positive zooms out (more is seen, smaller), negative zooms in; a number
            `f` stands for `(-f, f)`. With 0.2, from 0.8 to 1.2 times the height is seen.
        width_factor: the same for the width; `None` takes the draw of the height, and shapes keep their proportions.
        fill_mode: what comes in at the edges: `"reflect"`, `"wrap"`, `"nearest"` or `"constant"`, as for
            `RandomTranslation`.
        interpolation: how values between pixels are made, `"bilinear"` or `"nearest"`.
        seed: gives this layer random numbers of its own.
        fill_value: the value that comes in under `"constant"`.

    Example:
        >>> import jax, numpy as np
        >>> layer = RandomZoom(0, (-0.5, -0.5))  # always the middle half, twice as wide
        >>> x = np.array([0.0, 8.0, 16.0, 24.0], "float32").reshape(1, 1, 4, 1)
        >>> layer(x, training=True, key=jax.random.key(0)).ravel().tolist()
        [6.0, 10.0, 14.0, 18.0]
    """

    height_factor: float | tuple[float, float]
    width_factor: float | tuple[float, float] | None = None
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    seed: int | None = None
    fill_value: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        check_factor(self, "height_factor", self.height_factor, -1, 1)
        if self.width_factor is not None:
            check_factor(self, "width_factor", self.width_factor, -1, 1)

    def draw(self, key, shape, dtype):
        height_zoom = 1 + draw_uniform(key, 0, shape, dtype, symmetric(self.height_factor))
        if self.width_factor is None:
            return height_zoom, height_zoom
        return height_zoom, 1 + draw_uniform(key, 1, shape, dtype, symmetric(self.width_factor))

    def matrices(self, shape, height_zoom, width_zoom):
        zero = jnp.zeros_like(height_zoom)
        return _matrices((width_zoom, zero, (1 - width_zoom) * ((shape[2] - 1) / 2)),
                         (zero, height_zoom, (1 - height_zoom) * ((shape[1] - 1) / 2)))


class RandomShear(_RandomAffine):
    """Each image sheared: its rows pushed sideways by their height in it, its columns by their place across it.

        y at (j, i) = x at (j + sign * x_shear * i, i + sign * y_shear * j)
        x_shear ~ Uniform(x_factor),   y_shear ~ Uniform(y_factor),   sign ~ -1 or 1, one for both

    with columns `j` and rows `i` counted from the top left pixel, as Keras does: the top row and the left column stay.
    Shapes: `(batch, height, width, channels)` to the same. Outside training `y = x`.

    Args:
        x_factor: the shares, `(lowest, highest)`, from 0 to 1: the bottom row moves by up to this times the height; a
            number `f` stands for `(0, f)`.
        y_factor: the same for columns.
        interpolation: how values between pixels are made, `"bilinear"` or `"nearest"`.
        fill_mode: what comes in at the edges: `"reflect"`, `"wrap"`, `"nearest"` or `"constant"`, as for
            `RandomTranslation`.
        fill_value: the value that comes in under `"constant"`.
        seed: gives this layer random numbers of its own.

    Example:
        >>> import jax, numpy as np
        >>> x = np.array([[1.0, 2.0], [3.0, 4.0]], "float32").reshape(1, 2, 2, 1)
        >>> layer = RandomShear(x_factor=(1, 1), fill_mode="wrap")
        >>> layer(x, training=True, key=jax.random.key(0)).reshape(2, 2).tolist()
        [[1.0, 2.0], [4.0, 3.0]]
    """

    x_factor: float | tuple[float, float] = 0.0
    y_factor: float | tuple[float, float] = 0.0
    interpolation: str = "bilinear"
    fill_mode: str = "reflect"
    fill_value: float = 0.0
    seed: int | None = None

    def __post_init__(self):
        super().__post_init__()
        check_factor(self, "x_factor", self.x_factor, 0, 1)
        check_factor(self, "y_factor", self.y_factor, 0, 1)

    def draw(self, key, shape, dtype):
        sign = jnp.where(draw_uniform(key, 2, shape, dtype, (0, 1)) < 0.5, 1, -1).astype(dtype)
        return (sign * draw_uniform(key, 0, shape, dtype, up_to(self.x_factor)),
                sign * draw_uniform(key, 1, shape, dtype, up_to(self.y_factor)))

    def matrices(self, shape, x_shear, y_shear):
        one, zero = jnp.ones_like(x_shear), jnp.zeros_like(x_shear)
        return _matrices((one, x_shear, zero), (y_shear, one, zero))


class RandomFlip(ImageAugmentation):
    """Each image mirrored, or not, each with probability 1/2.

    Shapes: `(batch, height, width, channels)` to the same. Outside training `y = x`.

    Args:
        mode: `"horizontal"` exchanges left and right, `"vertical"` top and bottom; `"horizontal_and_vertical"` draws
            for each of the two, so that there are four outcomes.
        seed: gives this layer random numbers of its own.

    Example:
        >>> import jax, numpy as np
        >>> x = np.tile(np.array([1.0, 2.0], "float32").reshape(1, 1, 2, 1), (4, 1, 1, 1))
        >>> RandomFlip("horizontal")(x, training=True, key=jax.random.key(0)).reshape(4, 2).tolist()
        [[1.0, 2.0], [2.0, 1.0], [2.0, 1.0], [1.0, 2.0]]
    """

    mode: str = "horizontal_and_vertical"
    seed: int | None = None

    def __post_init__(self):
        if self.mode not in (known := ("horizontal", "vertical", "horizontal_and_vertical")):
            raise SettingError(f"RandomFlip: `mode` is one of {', '.join(map(repr, known))}; got {self.mode!r}.")

    def draw(self, key, shape, dtype):
        flips = (draw_uniform(key, stream, shape, dtype, (0, 1)) < 0.5 for stream in (0, 1))
        return tuple(flip & (way in self.mode) for flip, way in zip(flips, ("horizontal", "vertical"), strict=True))

    def transform(self, images, left_right, top_bottom):
        mirrored = lambda x: jnp.where(per_image(left_right), jnp.flip(x, 2), x) if "horizontal" in self.mode else x
        if "vertical" not in self.mode:
            return mirrored(images)
        # All four from the images themselves: a flip of a flip is many times slower on a CPU.
        return jnp.where(per_image(top_bottom), mirrored(jnp.flip(images, 1)), mirrored(images))


class RandomCrop(ImageAugmentation):
    """In training, a window at a random place of each image; outside it, the largest centred one, resized.

        y[i, j] = x[top + i, left + j],   top ~ 0, ..., H - height,   left ~ 0, ..., W - width

    Outside training, and where an image is smaller than the window, `y` is the largest part about the centre that has
    the proportions of the window, brought to its size.

    Shapes: `(batch, H, W, channels)` to `(batch, height, width, channels)`.

    Args:
        height, width: the size of the window.
        seed: gives this layer random numbers of its own.

    Example:
        >>> import jax, numpy as np
        >>> layer, x = RandomCrop(1, 2), np.arange(4, dtype="float32").reshape(1, 1, 4, 1)
        >>> layer(x, training=True, key=jax.random.key(0)).ravel().tolist()
        [2.0, 3.0]
        >>> layer(x).ravel().tolist()
        [1.0, 2.0]
    """

    height: int
    width: int
    seed: int | None = None

    def __post_init__(self):
        check_count(self, "height", self.height)
        check_count(self, "width", self.width)

    def call(self, x, training, key):
        if training and x.shape[1] >= self.height and x.shape[2] >= self.width:
            return super().call(x, training, key)
        return centred_window(x, self.height, self.width)

    def draw(self, key, shape, dtype):
        room = shape[1] - self.height, shape[2] - self.width
        places = (draw_uniform(key, axis, shape, dtype, (0, room[axis] + 1)) for axis in (0, 1))
        return tuple(jnp.floor(place).astype("int32") for place in places)

    def transform(self, images, top, left):
        rows, columns = jnp.arange(self.height, dtype="int32")[:, None], jnp.arange(self.width, dtype="int32")
        return sample(images, *(place[:, None, None] + window for place, window in ((top, rows), (left, columns))),
                      interpolation="nearest")


class CenterCrop(Layer):
    """The middle of each image; of one that is smaller, the largest part of these proportions, resized.

    Shapes: `(batch, H, W, channels)` to `(batch, height, width, channels)`.

    Args:
        height, width: the size of the window.

    Example:
        >>> import numpy as np
        >>> CenterCrop(1, 2)(np.arange(4).reshape(1, 1, 4, 1)).ravel().tolist()
        [1, 2]
    """

    height: int
    width: int

    def __post_init__(self):
        check_count(self, "height", self.height)
        check_count(self, "width", self.width)

    def build(self, input_shape):
        check_images(self, input_shape)

    def call(self, x):
        top, left = (x.shape[1] - self.height) // 2, (x.shape[2] - self.width) // 2
        if top < 0 or left < 0:
            return centred_window(x, self.height, self.width)
        return x[:, top : top + self.height, left : left + self.width]


def centred_window(images, height: int, width: int):
    """The largest part about the centre that has these proportions, brought to this size, bilinearly."""

    def places(size, part, wanted):
        inside = (jnp.arange(wanted, dtype="float32") + 0.5) * (part / wanted) - 0.5
        return (size - part) // 2 + jnp.clip(inside, 0, part - 1)

    rows, columns = images.shape[1:3]
    part_height = max(min(rows, columns * height // width), 1)
    part_width = max(min(columns, rows * width // height), 1)
    return sample(images, places(rows, part_height, height)[None, :, None],
                  places(columns, part_width, width)[None, None, :])


def draw_uniform(key, stream: int, shape, dtype, bounds):
    """One number an image between two bounds; each `stream` of a key has numbers of its own."""
    return random.uniform(random.fold_in(key, stream), shape[:1], dtype, *bounds)


def per_image(values):
    """Numbers of images as they stand beside pixels: `(batch, 1, 1, 1)`."""
    return values[:, None, None, None]


def symmetric(factor) -> tuple:
    """The bounds that a factor means: a number `f` is `(-f, f)`."""
    return tuple(factor) if isinstance(factor, (tuple, list)) else (-factor, factor)


def up_to(factor) -> tuple:
    """The bounds that a factor means where it is a strength: a number `f` is `(0, f)`."""
    return tuple(factor) if isinstance(factor, (tuple, list)) else (0, factor)


def check_images(layer, input_shape) -> None:
    """The input must be a batch of images, channels last."""
    if len(input_shape) != 4:
        raise ShapeError(
            f"{type(layer).__name__} takes images, (batch, height, width, channels); got {format_shape(input_shape)}. "
            f"Give grey images a channel: Reshape((height, width, 1)).")


def is_number(value) -> bool:
    """Whether a setting is a plain number, and not a truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_order(layer, setting: str, value) -> None:
    """Of a pair of bounds the lower one comes first."""
    if isinstance(value, (tuple, list)) and value[0] > value[1]:
        raise SettingError(f"{type(layer).__name__}: `{setting}` is a pair (lowest, highest), the lower one first; "
                           f"got {value!r}.")


def check_factor(layer, setting: str, factor, lowest: float, highest: float, ordered: bool = True) -> None:
    """A factor must be a number, or a pair of numbers, within bounds; the lower one first where they are bounds."""
    numbers = factor if isinstance(factor, (tuple, list)) else (factor,)
    fits = len(numbers) == 2 or numbers == (factor,)
    if not fits or not all(is_number(number) and lowest <= number <= highest for number in numbers):
        raise SettingError(
            f"{type(layer).__name__}: `{setting}` is a number from {lowest} to {highest}, or a pair (lowest, highest) "
            f"of them; got {factor!r}.")
    if ordered:
        check_order(layer, setting, factor)


def _matrices(columns, rows):
    """`(batch, 2, 3)` from its six entries, `(batch,)` each."""
    return jnp.stack([jnp.stack(columns, -1), jnp.stack(rows, -1)], 1)
