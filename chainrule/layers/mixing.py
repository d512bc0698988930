"""Layers that mix each image with another of the batch in training, and the loss with it: any loss, any targets."""
import jax.numpy as jnp
from jax import lax

from chainrule.errors import SettingError
from chainrule.layers.augmentation import check_factor, check_images, draw_uniform, up_to
from chainrule.layers.base import Layer
from chainrule.layers.colour import random_box
from chainrule.layers.regularisation import required_key
from chainrule.ops import random
from chainrule.ops.warping import as_dtype, as_floats, materialised


class _Mixing(Layer):
    """The parent of those that mix each row with a partner, another row of the batch."""

    mixes_targets = True

    def draw(self, key, shape, dtype) -> tuple:
        """The random numbers for a batch of that shape."""
        raise NotImplementedError

    def transform(self, images, partners, *drawn):
        """The mixtures, and the share of each that is its own image."""
        raise NotImplementedError

    def call(self, x, training, key, rows):
        if not training:
            return x
        key, images = required_key(self, key), materialised(as_floats(x))
        partner = _partners(random.fold_in(key, 0), len(x), rows)
        drawn = self.draw(random.fold_in(key, 1), images.shape, images.dtype)
        mixed, share = self.transform(images, images[partner], *drawn)
        self._bound.mix_targets(partner, share)
        return materialised(as_dtype(mixed, x.dtype))


class MixUp(_Mixing):
    """Each row blended with another one of the batch, and so the loss.

        y = share * x + (1 - share) * x[partner],   share ~ Beta(alpha, alpha)
        loss = share * loss(target) + (1 - share) * loss(target[partner])

    Outside training `y = x`. Metrics are weighted as the loss is. Called by hand, only the images are mixed.

    Shapes: `(batch, ...)` to the same, in the dtype of the input: integers are rounded.

    Args:
        alpha: how much is mixed: near 0 hardly anything, 1 any share alike, more toward halves.
        seed: gives this layer random numbers of its own.

    Reference: Zhang et al., mixup: Beyond Empirical Risk Minimization (2017).

    Example:
        >>> import jax, numpy as np
        >>> x = np.array([0.0, 1.0], "float32").reshape(2, 1, 1, 1)
        >>> y = MixUp(alpha=1.0)(x, training=True, key=jax.random.key(0))
        >>> bool((0 < y).all() and (y < 1).all())
        True
    """

    alpha: float = 0.2
    seed: int | None = None

    def __post_init__(self):
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, (int, float)) or not self.alpha > 0:
            raise SettingError(f"MixUp: `alpha` must be a number above 0; got {self.alpha!r}.")

    def draw(self, key, shape, dtype):
        return (_symmetric_beta(key, self.alpha, shape, dtype),)

    def transform(self, images, partners, share):
        own = share.reshape(-1, *[1] * (images.ndim - 1))
        return own * images + (1 - own) * partners, share


class CutMix(_Mixing):
    """A rectangle of another image of the batch put into each one, and the loss mixed by the areas.

        y = x outside of the box, x[partner] inside,   share = area outside / area
        loss = share * loss(target) + (1 - share) * loss(target[partner])
        sides = sqrt(1 - s) * those of the image,   s ~ Beta(alpha, alpha),   alpha ~ Uniform(factor)

    Outside training `y = x`. Metrics are weighted as the loss is. Called by hand, only the images are mixed.

    Shapes: `(batch, height, width, channels)` to the same.

    Args:
        factor: where `alpha` is drawn from, `(lowest, highest)`, from 0 to 1; a number `f` stands for `(0, f)`. Small
            values make nearly all boxes empty or full.
        seed: gives this layer random numbers of its own.

    Reference: Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features (2019).

    Example:
        >>> import jax, numpy as np
        >>> x = np.stack([np.zeros((8, 8, 1)), np.ones((8, 8, 1))]).astype("float32")
        >>> y = CutMix((1, 1))(x, training=True, key=jax.random.key(0))
        >>> y.mean((1, 2, 3)).tolist()  # all of the first image is the second's, of that a quarter the first's
        [1.0, 0.75]
    """

    factor: float | tuple[float, float] = 1.0
    seed: int | None = None

    def __post_init__(self):
        check_factor(self, "factor", self.factor, 0, 1)

    def build(self, input_shape):
        check_images(self, input_shape)

    def draw(self, key, shape, dtype):
        alpha = draw_uniform(key, 0, shape, dtype, up_to(self.factor)) + 1e-6
        side = jnp.sqrt(1 - _symmetric_beta(random.fold_in(key, 1), alpha, shape, dtype))
        return random_box(random.fold_in(key, 2), shape, side, side)

    def transform(self, images, partners, rows, columns):
        box = (rows[:, :, None] & columns[:, None, :])[..., None]
        share = 1 - rows.mean(1, dtype=images.dtype) * columns.mean(1, dtype=images.dtype)
        return jnp.where(box, partners, images), share


def _partners(key, batch: int, rows):
    """For each row the number of another: the real rows of a batch, which come first, follow each other in a circle.

    The circle is in random order. A row that is alone is its own partner.
    """
    count = jnp.asarray(batch, "int32") if rows is None else jnp.maximum(rows.sum(dtype="int32"), 1)
    number = jnp.arange(batch, dtype="int32")
    padding = (number >= count).astype("int32")
    _, _, circle = lax.sort((padding, random.bits(key, (batch,)), number), num_keys=2)
    # That the result is sorted also keeps XLA from merging the draw into all that is read by it, which can take
    # minutes to compile.
    return lax.sort((circle, circle[(number + 1) % count]), num_keys=1)[1]


def _symmetric_beta(key, alpha, shape, dtype):
    """One number an image from Beta(alpha, alpha), from two uniform ones, whatever alpha is.

        1 / 2 +- 1 / (2 sqrt(1 + 1 / (w cos(2 pi v) ** 2))),   w = u ** (-1 / alpha) - 1,   u, v ~ Uniform(0, 1)

    It is Bailey's Student t with 2 alpha degrees of freedom, brought to (0, 1).

    Reference: Devroye, Random Variate Generation in One Line of Code (1996).
    """
    u = 1 - draw_uniform(key, 0, shape, dtype, (0, 1))  # above 0
    cosine = jnp.cos(2 * jnp.pi * draw_uniform(key, 1, shape, dtype, (0, 1)))
    w = u ** (-1 / alpha) - 1
    return 0.5 + 0.5 * jnp.sign(cosine) / jnp.sqrt(1 + 1 / (w * cosine**2))
