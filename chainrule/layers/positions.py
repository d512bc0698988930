"""Layers that tell a network where in its sequence each entry stands: attention by itself does not see order.

Each takes `start_index`, the position of the first entry. To read a sequence piece by piece each also has
`initial_cache(batch, length)` and `step(x, cache)`, which return what `call` would for the next entries, and the cache
with the count of those read. Both work on bound copies, inside the `call` or `step` of another layer.
"""
from typing import Any

import jax.numpy as jnp

from chainrule.errors import ShapeError, format_shape
from chainrule.layers.base import Layer
from chainrule.layers.dense import check_count, known_last_axis
from chainrule.layers.embedding import Embedding
from chainrule.ops.attention import position_waves, rotate_by_position


class _Positional(Layer):
    """What layers of positions share: counting."""

    supports_masking = True
    time_axis = -2

    def can_step(self, inputs: tuple, options: dict) -> bool:
        """Whether `step` gives what a call like this would."""
        return len(inputs) == 1 and not options

    def initial_cache(self, batch: int, length: int) -> dict:
        """The start of a sequence."""
        return {"index": jnp.zeros((), jnp.int32)}

    def step(self, x, cache: dict):
        """The output for the next entries, `(batch, steps, ...)`, and the cache that counts them."""
        return self(x, start_index=cache["index"]), {"index": cache["index"] + x.shape[self.time_axis]}

    def _positions(self, x, start_index, positions):
        """The position of each time: `(times,)`, or `(batch, times)` where they are given so."""
        if positions is not None:
            return jnp.asarray(positions)
        return jnp.arange(x.shape[self.time_axis], dtype=jnp.int32) + start_index


class PositionEmbedding(_Positional):
    """A learned vector for each position: `y[n, t] = embeddings[start_index + t]`, to be added to the input.

    Shapes: `(batch, times, features)` to the same; embeddings `(sequence_length, features)`.

    Args:
        sequence_length: how many positions there are. A longer input raises; a position past the end that only shows
            in a compiled program (a traced `start_index`) gives NaN.
        initializer: how the vectors start.

    Call arguments:
        start_index: the position of the first time.
        positions: the positions themselves, `(times,)` or `(batch, times)`.

    Raises:
        ShapeError: the input is longer than `sequence_length`.

    Reference: Gehring et al., Convolutional Sequence to Sequence Learning (2017).

    Example:
        >>> import numpy as np
        >>> x = np.ones((2, 3, 4), "float32")
        >>> (x + PositionEmbedding(8)(x)).shape
        (2, 3, 4)
    """

    sequence_length: int
    initializer: Any = "glorot_uniform"

    def __post_init__(self):
        check_count(self, "sequence_length", self.sequence_length)

    def build(self, input_shape):
        features = known_last_axis(self, input_shape)
        _check_sequence(self, input_shape)
        self._check_length(input_shape[-2], 0)
        self.embeddings = self.add_weight((self.sequence_length, features), self.initializer)

    def call(self, x, start_index=0, positions=None):
        if positions is None and not self._bound.declaring:  # while a network is described, sizes only stand in
            self._check_length(x.shape[-2], start_index)
        rows = self._positions(x, start_index, positions)
        y = self.embeddings.at[rows].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
        return jnp.broadcast_to(y, x.shape)

    def _check_length(self, times, start_index) -> None:
        start = start_index if isinstance(start_index, int) else 0
        if times is not None and start + times > self.sequence_length:
            from_start = f", from {start} on" if start else ""
            raise ShapeError(
                f"PositionEmbedding has {self.sequence_length} positions; got a sequence of {times}{from_start}. Set "
                f"`sequence_length` to the length of the longest sequence, or cut the input.")


class SinePositionEncoding(_Positional):
    """Sines and cosines of the position in many wavelengths, to be added to the input.

        y[n, t, 2 * k] = sin(a),   y[n, t, 2 * k + 1] = cos(a)
        a = (start_index + t) / max_wavelength ** (2 * k / features)

    Shapes: `(batch, times, features)` to the same.

    Args:
        max_wavelength: the longest wave is about `2 * pi` times that long.

    Call arguments:
        start_index: the position of the first time.
        positions: the positions themselves, `(times,)` or `(batch, times)`.

    Reference: Vaswani et al., Attention Is All You Need (2017), section 3.5.

    Example:
        >>> import numpy as np
        >>> y = SinePositionEncoding()(np.zeros((1, 2, 2), "float32"))
        >>> np.allclose(y, [[[0.0, 1.0], [np.sin(1), np.cos(1)]]])
        True
    """

    max_wavelength: float = 10000

    def build(self, input_shape):
        known_last_axis(self, input_shape)
        _check_sequence(self, input_shape)

    def call(self, x, start_index=0, positions=None):
        waves = position_waves(self._positions(x, start_index, positions), x.shape[-1], self.max_wavelength, x.dtype)
        return jnp.broadcast_to(waves, x.shape)


class RotaryEmbedding(_Positional):
    """Pairs of features turned by angles that grow with the position: for queries and keys, not for what is averaged.

        y[k]        = x[k] * cos(a) - x[k + half] * sin(a)
        y[k + half] = x[k + half] * cos(a) + x[k] * sin(a)
        a = position / scaling_factor / max_wavelength ** (k / half)

    The inner product of a query and a key then depends on their distance. `MultiHeadAttention(..., rotary=True)` and
    `TransformerBlock(..., rotary=True)` turn theirs.

    Shapes: `(batch, times, ..., features)` to the same, `half = features / 2`.

    Args:
        max_wavelength: the longest wave is about `2 * pi` times that long.
        scaling_factor: positions are divided by it, for sequences longer than those of training.

    Call arguments:
        start_index: the position of the first time.
        positions: the positions themselves, `(times,)` or `(batch, times)`.

    Raises:
        ShapeError: the number of features is odd.

    Reference: Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding (2021).

    Example:
        >>> import numpy as np
        >>> y = RotaryEmbedding()(np.array([[[1.0, 0.0], [1.0, 0.0]]], "float32"))
        >>> np.allclose(y, [[[1.0, 0.0], [np.cos(1), np.sin(1)]]])
        True
    """

    max_wavelength: float = 10000
    scaling_factor: float = 1.0

    time_axis = 1

    def build(self, input_shape):
        known_last_axis(self, input_shape)
        _check_sequence(self, input_shape)

    def call(self, x, start_index=0, positions=None):
        return rotate_by_position(x, self._positions(x, start_index, positions), self.max_wavelength,
                                  self.scaling_factor)


class TokenAndPositionEmbedding(_Positional):
    """A learned vector for each token and one for each position, added.

        y[n, t] = token_embeddings[x[n, t]] + position_embeddings[start_index + t]

    Shapes: integers `(batch, times)` to `(batch, times, embedding_dim)`.

    Args:
        vocabulary_size: how many tokens there are, numbered from 0.
        sequence_length: how many positions there are.
        embedding_dim: how long each vector is.
        embeddings_initializer: how both tables start.
        mask_zero: whether 0 is padding, which layers after this one pass over.

    Call arguments:
        start_index: the position of the first time.

    Reference: Radford et al., Improving Language Understanding by Generative Pre-Training (2018).

    Example:
        >>> import numpy as np
        >>> TokenAndPositionEmbedding(65, 16, 8)(np.array([[3, 0, 64]])).shape
        (1, 3, 8)
    """

    vocabulary_size: int
    sequence_length: int
    embedding_dim: int
    embeddings_initializer: Any = "uniform"
    mask_zero: bool = False

    time_axis = 1
    casts_inputs = False  # as in Embedding

    def __post_init__(self):
        check_count(self, "vocabulary_size", self.vocabulary_size)
        self.token_embedding = Embedding(self.vocabulary_size, self.embedding_dim, self.embeddings_initializer,
                                         mask_zero=self.mask_zero)
        self.position_embedding = PositionEmbedding(self.sequence_length, self.embeddings_initializer)

    @property
    def index_limit(self) -> tuple[int, str]:
        """How many tokens there are, from 0 on, and the setting that says so."""
        return self.vocabulary_size, "vocabulary_size"

    def can_step(self, inputs: tuple, options: dict) -> bool:
        """Whether `step` gives what a call like this would: where no mask comes with it."""
        return super().can_step(inputs, options) and not self.mask_zero

    def call(self, x, start_index=0):
        tokens = self.token_embedding(x)
        y = tokens + self.position_embedding(tokens, start_index=start_index)
        self._bound.set_mask(y, self.compute_mask(x))
        return y

    def compute_mask(self, inputs, mask=None):
        """Which entries are no padding: `inputs != 0` where `mask_zero`, else none."""
        return inputs != 0 if self.mask_zero else None


def _check_sequence(layer, input_shape) -> None:
    if len(input_shape) < 3:
        raise ShapeError(f"{type(layer).__name__} takes sequences, (batch, times, ..., features); got "
                         f"{format_shape(input_shape)}.")
