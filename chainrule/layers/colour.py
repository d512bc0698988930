"""Layers that change the values of images at random in training: brightness, contrast, saturation, noise, holes.

`value_range` says what the pixels before the layer lie in: `(0, 255)` as they come, `(0, 1)` after
`Rescaling(1 / 255)`.
"""
import jax.numpy as jnp

from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.augmentation import (
    ImageAugmentation,
    check_factor,
    check_images,
    check_order,
    draw_uniform,
    is_number,
    per_image,
    symmetric,
    up_to,
)
from chainrule.layers.regularisation import check_not_negative
from chainrule.ops import random


class RandomBrightness(ImageAugmentation):
    """Each image made brighter or darker by a random share of the range of values.

        y = clip(x + change * (highest - lowest), lowest, highest),   change ~ Uniform(factor)

    Shapes: `(batch, height, width, channels)` to the same. Outside training `y = x`.

    Args:
        factor: the changes, `(lowest, highest)`, from -1 (black) to 1 (white); a number `f` stands for `(-f, f)`.
        value_range: the lowest and the highest value of pixels before this layer: `(0, 1)` for rescaled images.
        seed: gives this layer random numbers of its own.

    Reference: Howard, Some Improvements on Deep Convolutional Neural Network Based Image Classification (2013).

    Example:
        >>> import jax, numpy as np
        >>> layer = RandomBrightness((0.2, 0.2), value_range=(0, 1))  # always by a fifth
        >>> round(layer(np.full((1, 1, 1, 1), 0.5), training=True, key=jax.random.key(0)).item(), 3)
        0.7
    """

    factor: float | tuple[float, float]
    value_range: tuple[float, float] = (0, 255)
    seed: int | None = None

    def __post_init__(self):
        check_factor(self, "factor", self.factor, -1, 1)
        check_value_range(self)

    def draw(self, key, shape, dtype):
        return (draw_uniform(key, 0, shape, dtype, symmetric(self.factor)),)

    def transform(self, images, change):
        lowest, highest = self.value_range
        return jnp.clip(images + per_image(change) * (highest - lowest), lowest, highest)


class RandomContrast(ImageAugmentation):
    """The distance of each value from its channel's mean, over the image, scaled by a random number.

        y = clip((x - mean) * contrast + mean, lowest, highest),   contrast ~ Uniform(1 - lower, 1 + upper)

    Shapes: `(batch, height, width, channels)` to the same. Outside training `y = x`.

    Args:
        factor: `(lower, upper)`, each from 0 to 1; a number `f` stands for `(f, f)`.
        value_range: the lowest and the highest value of pixels before this layer: `(0, 1)` for rescaled images.
        seed: gives this layer random numbers of its own.

    Reference: Howard, Some Improvements on Deep Convolutional Neural Network Based Image Classification (2013).

    Example:
        >>> import jax, numpy as np
        >>> x = np.array([10.0, 30.0, 50.0], "float32").reshape(1, 1, 3, 1)
        >>> y = RandomContrast(0.5)(x, training=True, key=jax.random.key(0)).ravel()
        >>> y[1].item(), bool(20 <= y[2] - y[0] <= 60)
        (30.0, True)
    """

    factor: float | tuple[float, float]
    value_range: tuple[float, float] = (0, 255)
    seed: int | None = None

    def __post_init__(self):
        check_factor(self, "factor", self.factor, 0, 1, ordered=False)  # how far down, and how far up
        check_value_range(self)

    def draw(self, key, shape, dtype):
        lower, upper = self.factor if isinstance(self.factor, (tuple, list)) else (self.factor, self.factor)
        return (draw_uniform(key, 0, shape, dtype, (1 - lower, 1 + upper)),)

    def transform(self, images, contrast):
        mean = images.mean((1, 2), keepdims=True)
        return jnp.clip((images - mean) * per_image(contrast) + mean, *self.value_range)


class RandomSaturation(ImageAugmentation):
    """Colours made paler or stronger at random, their hue and the largest of the three values staying as they are.

        y = top - (top - x) * min(strength, 1 / saturation),   strength = u / (1 - u),   u ~ Uniform(factor)

    where `top` is the largest of the three values of a pixel, `bottom` the smallest, and its saturation (that of HSV)
    is `(top - bottom) / (top - lowest)`, which becomes at most 1.

    Shapes: `(batch, height, width, 3)` to the same. Outside training `y = x`.

    Args:
        factor: the strengths, `(lowest, highest)`, on a scale from 0 (grey) over 0.5 (unchanged) to 1 (as strong as
            can be); a number `f` stands for `(0, f)`. `(0.4, 0.6)` is a moderate change.
        value_range: the lowest and the highest value of pixels before this layer: `(0, 1)` for rescaled images.
        seed: gives this layer random numbers of its own.

    Reference: Howard, Some Improvements on Deep Convolutional Neural Network Based Image Classification (2013).

    Example:
        >>> import jax, numpy as np
        >>> x = np.array([100.0, 150.0, 200.0], "float32").reshape(1, 1, 1, 3)
        >>> RandomSaturation((0, 0))(x, training=True, key=jax.random.key(0)).ravel().tolist()  # always grey
        [200.0, 200.0, 200.0]
    """

    factor: float | tuple[float, float]
    value_range: tuple[float, float] = (0, 255)
    seed: int | None = None

    def __post_init__(self):
        check_factor(self, "factor", self.factor, 0, 1)
        check_value_range(self)

    def build(self, input_shape):
        if len(input_shape) != 4 or input_shape[-1] != 3:
            raise ShapeError(
                f"RandomSaturation takes colour images, (batch, height, width, 3); got {format_shape(input_shape)}. "
                f"Grey images have no saturation: leave it out.")

    def draw(self, key, shape, dtype):
        return (draw_uniform(key, 0, shape, dtype, up_to(self.factor)),)

    def transform(self, images, factor):
        strength = per_image(factor / (1 - factor + 1e-7))
        top, bottom = images.max(-1, keepdims=True), images.min(-1, keepdims=True)
        spread = top - bottom
        fullest = (top - self.value_range[0]) / jnp.where(spread > 0, spread, 1)
        return top - (top - images) * jnp.minimum(strength, fullest)


class RandomNoise(ImageAugmentation):
    """Normal noise added to each value, of a strength that may be drawn for each image, within the range of values.

        y = clip(x + strength * (highest - lowest) * n, lowest, highest),   n ~ Normal(0, 1), for each value its own

    Shapes: `(batch, height, width, channels)` to the same. Outside training `y = x`.

    Args:
        stddev: the strength, as a share of the range of values, or `(lowest, highest)`, from which each image draws.
        value_range: the lowest and the highest value of pixels before this layer: `(0, 1)` for rescaled images.
        seed: gives this layer random numbers of its own.

    Reference: Bishop, Training with Noise is Equivalent to Tikhonov Regularization (1995).

    Example:
        >>> import jax, numpy as np
        >>> y = RandomNoise(0.1)(np.full((1, 50, 50, 1), 128, "uint8"), training=True, key=jax.random.key(0))
        >>> y.dtype.name, bool(abs(y.std() - 25.5) < 1)
        ('uint8', True)
    """

    stddev: float | tuple[float, float]
    value_range: tuple[float, float] = (0, 255)
    seed: int | None = None

    def __post_init__(self):
        for stddev in self.stddev if _is_pair(self.stddev) else (self.stddev,):
            check_not_negative(self, "stddev", stddev)
        check_order(self, "stddev", self.stddev)
        check_value_range(self)

    def draw(self, key, shape, dtype):
        bounds = self.stddev if _is_pair(self.stddev) else (self.stddev, self.stddev)
        return draw_uniform(key, 0, shape, dtype, bounds), random.normal(random.fold_in(key, 1), shape, dtype)

    def transform(self, images, strength, noise):
        lowest, highest = self.value_range
        return jnp.clip(images + per_image(strength) * (highest - lowest) * noise, lowest, highest)


class RandomErasing(ImageAugmentation):
    """A rectangle at a random place of each image erased, with a random probability.

        erased ~ Bernoulli(p),   p ~ Uniform(factor)
        height = H * sqrt(a),   width = W * sqrt(b),   a, b ~ Uniform(scale),   the place uniform

    Shapes: `(batch, H, W, channels)` to the same. Outside training `y = x`.

    Args:
        factor: the probabilities, `(lowest, highest)`, that an image is erased in; a number `f` stands for `(0, f)`, as
            in Keras. `(1, 1)` erases always.
        scale: the squares of the sides, as shares of those of the image, `(lowest, highest)`: about the share of the
            area.
        fill_value: the value put in, a number or one a channel; `None` for noise, `highest * n` with `n` normal.
        value_range: the lowest and the highest value of pixels before this layer: what is put in is clipped to it.
        seed: gives this layer random numbers of its own.

    Reference: Zhong et al., Random Erasing Data Augmentation (2017).

    Example:
        >>> import jax, numpy as np
        >>> layer = RandomErasing((1, 1), scale=(0.25, 0.25), fill_value=0)
        >>> layer(np.ones((1, 8, 8, 1)), training=True, key=jax.random.key(0)).sum().item()
        48.0
    """

    factor: float | tuple[float, float] = 1.0
    scale: float | tuple[float, float] = (0.02, 0.33)
    fill_value: float | tuple[float, ...] | None = None
    value_range: tuple[float, float] = (0, 255)
    seed: int | None = None

    def __post_init__(self):
        check_factor(self, "factor", self.factor, 0, 1)
        check_factor(self, "scale", self.scale, 0, 1)
        check_value_range(self)
        values = self.fill_value if isinstance(self.fill_value, (tuple, list)) else (self.fill_value,)
        if self.fill_value is not None and not all(map(is_number, values)):
            raise SettingError(f"RandomErasing: `fill_value` is a number, one a channel, or None for noise; got "
                               f"{self.fill_value!r}.")

    def build(self, input_shape):
        check_images(self, input_shape)
        if isinstance(self.fill_value, (tuple, list)) and len(self.fill_value) != input_shape[-1]:
            raise SettingError(
                f"RandomErasing: `fill_value` is a number or one a channel, {input_shape[-1]} here; got "
                f"{self.fill_value!r}.")

    def draw(self, key, shape, dtype):
        erased = draw_uniform(key, 1, shape, dtype, (0, 1)) < draw_uniform(key, 0, shape, dtype, up_to(self.factor))
        sides = (jnp.sqrt(draw_uniform(key, stream, shape, dtype, up_to(self.scale))) for stream in (2, 3))
        rows, columns = random_box(random.fold_in(key, 4), shape, *sides)
        box = (rows[:, :, None] & columns[:, None, :])[..., None] & per_image(erased)
        if self.fill_value is None:
            return box, random.normal(random.fold_in(key, 5), shape, dtype) * self.value_range[1]
        return box, jnp.asarray(self.fill_value, dtype)

    def transform(self, images, box, filling):
        return jnp.where(box, jnp.clip(filling, *self.value_range), images)


def random_box(key, shape, height_share, width_share):
    """A box at a random place of each image: which rows `(batch, height)` and columns `(batch, width)` are in it.

    Args:
        key: where the places come from.
        shape: of the images.
        height_share, width_share: `(batch,)`, its sides as shares of those of the image.
    """

    def inside(axis, share):
        side = share * shape[axis]
        start = draw_uniform(key, axis, shape, share.dtype, (0, 1)) * (shape[axis] - side)
        place = jnp.arange(shape[axis], dtype=share.dtype) + 0.5  # the centres of pixels
        return (place >= start[:, None]) & (place < (start + side)[:, None])

    return inside(1, height_share), inside(2, width_share)


def check_value_range(layer) -> None:
    """A range of values is a pair of numbers, the lower one first."""
    found = layer.value_range
    if not _is_pair(found) or not all(map(is_number, found)) or not found[0] < found[1]:
        raise SettingError(f"{type(layer).__name__}: `value_range` is the lowest and the highest value of pixels, such "
                           f"as (0, 255) or (0, 1); got {found!r}.")


def _is_pair(value) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2
