"""Attention: weighted means of values, where the weights say how well a query fits each key; and positions as waves.

Arrays have the batch first, then times, heads and features, as in Keras.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from chainrule.errors import ShapeError, format_shape
from chainrule.ops import random


def dot_product_attention(query, key, value, bias=None, mask=None, scale=None, is_causal: bool = False, *,
                          dropout: float = 0.0, dropout_key=None) -> jax.Array:
    """The values of all keys, weighted by how well each key fits the query.

        y = softmax(scale * query @ key^T + bias) @ value

    Where a mask lets nothing through, `y` is 0, and so are the gradients.

    Shapes: query `(batch, times, heads, features)`, key `(batch, keys, groups, features)`, value
    `(batch, keys, groups, channels)` to `(batch, times, heads, channels)`. With fewer groups than heads (grouped-query
    attention) each group serves as many consecutive heads as it takes.

    Args:
        query: what is looked for.
        key: what it is compared with.
        value: what is averaged.
        bias: numbers added to the scores, broadcast to `(batch, heads, times, keys)`.
        mask: booleans, broadcast likewise: `True` where a query may see a key.
        scale: what the scores are multiplied by; by default `1 / sqrt(features)`.
        is_causal: whether the query at time i sees only the keys up to time i.
        dropout: the share of weights that is dropped.
        dropout_key: where that draws from.

    Raises:
        ShapeError: the arrays do not fit each other.

    Reference: Vaswani et al., Attention Is All You Need (2017); Ainslie et al., GQA (2023), for groups.

    Example:
        >>> x = jnp.eye(2).reshape(1, 2, 1, 2)
        >>> dot_product_attention(x, x, 4 * x, is_causal=True, scale=0.0).ravel().tolist()
        [4.0, 0.0, 2.0, 2.0]
    """
    query, key, value = map(jnp.asarray, (query, key, value))
    weights = attention_weights(query, key, bias, mask, scale, is_causal)
    if dropout:
        keep = random.bernoulli(dropout_key, 1 - dropout, weights.shape)
        weights = jnp.where(keep, weights / (1 - dropout), jnp.zeros((), weights.dtype))
    return weighted_values(weights, value)


def attention_weights(query, key, bias=None, mask=None, scale=None, is_causal: bool = False) -> jax.Array:
    """How much each query takes of each key: `softmax(scale * query @ key^T + bias)`.

    Shapes: query `(batch, times, heads, features)`, key `(batch, keys, groups, features)` to
    `(batch, heads, times, keys)`.

    Args:
        query, key, bias, mask, scale, is_causal: as for `dot_product_attention`.

    Example:
        >>> x = jnp.eye(2).reshape(1, 2, 1, 2)
        >>> attention_weights(x, x, scale=0.0).tolist()
        [[[[0.5, 0.5], [0.5, 0.5]]]]
    """
    _check_heads(query, key)
    batch, times, heads, features = query.shape
    keys, groups = key.shape[1:3]
    scaled = (query * (features**-0.5 if scale is None else scale)).astype(query.dtype)
    # Heads go beside the batch, and those of one group behind one another: plain products of matrices, which take a
    # third of the time that einsum needs on a CPU.
    grouped = scaled.swapaxes(1, 2).reshape(batch, groups, -1, features)
    scores = jnp.matmul(grouped, key.transpose(0, 2, 3, 1), preferred_element_type=_wide(query.dtype))
    scores = scores.reshape(batch, heads, times, keys)
    if bias is not None:
        scores = scores + jnp.asarray(bias).astype(scores.dtype)
    if is_causal:
        past = causal_mask(times, keys)
        mask = past if mask is None else jnp.asarray(mask, bool) & past
    return masked_softmax(scores, mask).astype(query.dtype)


def weighted_values(weights, value) -> jax.Array:
    """The mean of the values by given weights: `y = weights @ value`.

    Shapes: weights `(batch, heads, times, keys)`, value `(batch, keys, groups, channels)` to
    `(batch, times, heads, channels)`.

    Example:
        >>> weighted_values(jnp.array([[[[0.25, 0.75]]]]), jnp.array([4.0, 8.0]).reshape(1, 2, 1, 1)).item()
        7.0
    """
    batch, heads, times, keys = weights.shape
    groups, channels = value.shape[2:]
    means = weights.reshape(batch, groups, -1, keys) @ value.swapaxes(1, 2)
    return means.reshape(batch, heads, times, channels).swapaxes(1, 2)


def masked_softmax(scores, mask=None) -> jax.Array:
    """Softmax along the last axis over the entries that a mask lets through; zeros where it lets none.

        y[i] = exp(scores[i] - peak) / sum over unmasked j of exp(scores[j] - peak),   peak = max over unmasked j

    Args:
        scores: any numbers, `-inf` too.
        mask: booleans that broadcast to the shape of the scores; all entries by default.

    Example:
        >>> masked_softmax(jnp.zeros((2, 2)), jnp.array([[True, True], [False, False]])).tolist()
        [[0.5, 0.5], [0.0, 0.0]]
    """
    wide = jnp.asarray(scores).astype(_wide(scores.dtype))
    lowest = jnp.finfo(wide.dtype).min
    if mask is not None:
        wide = jnp.where(jnp.asarray(mask, bool), wide, lowest)
    peak = lax.stop_gradient(jnp.maximum(wide.max(-1, keepdims=True), lowest))  # above -inf: -inf - -inf is NaN
    powers = jnp.exp(wide - peak)
    if mask is not None:
        powers = jnp.where(jnp.asarray(mask, bool), powers, 0)
    total = powers.sum(-1, keepdims=True)
    return (powers / jnp.where(total == 0, 1, total)).astype(scores.dtype)


def causal_mask(times: int, keys: int, start=0) -> jax.Array:
    """Which keys a query may see where nobody sees the future: `mask[i, j] = j <= start + i`.

    Args:
        times: the number of queries.
        keys: the number of keys.
        start: the time of the first query (a number or a traced scalar).

    Example:
        >>> causal_mask(2, 3).tolist()
        [[True, False, False], [True, True, False]]
    """
    shape = (times, keys)
    return lax.broadcasted_iota(jnp.int32, shape, 1) <= lax.broadcasted_iota(jnp.int32, shape, 0) + start


def rotate_by_position(x, positions, max_wavelength: float = 10000.0, scaling_factor: float = 1.0) -> jax.Array:
    """Pairs of features turned by angles that grow with the position (rotary position embedding).

        y[k]        = x[k] * cos(a) - x[k + half] * sin(a)
        y[k + half] = x[k + half] * cos(a) + x[k] * sin(a)
        a = position / scaling_factor / max_wavelength ** (k / half)

    The inner product of two vectors so turned depends on the distance of their positions only.

    Shapes: x `(batch, times, ..., features)` to the same, `half = features / 2`; positions `(times,)` or
    `(batch, times)`.

    Args:
        x: queries or keys.
        positions: the position of each time.
        max_wavelength: the longest wave is about `2 * pi` times that long.
        scaling_factor: positions are divided by it, for sequences longer than those of training.

    Reference: Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding (2021).

    Example:
        >>> y = rotate_by_position(jnp.array([[[1.0, 0.0]] * 2]), jnp.array([0, 1]))
        >>> np.allclose(y, [[[1.0, 0.0], [np.cos(1), np.sin(1)]]])
        True
    """
    features = x.shape[-1]
    if features % 2:
        raise ShapeError(f"Rotary positions turn pairs of features, so their number is even; got rows of {features}, "
                         f"in an array of shape {format_shape(x.shape)}.")
    wide, positions = x.astype(_wide(x.dtype)), jnp.asarray(positions)
    frequencies = np.power(float(max_wavelength), -np.arange(features // 2) / (features // 2)) / scaling_factor
    angles = positions.astype(wide.dtype)[..., None] * jnp.asarray(frequencies, wide.dtype)
    angles = angles.reshape(-1, positions.shape[-1], *[1] * (x.ndim - 3), features // 2)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    first, second = jnp.split(wide, 2, -1)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)
    return turned.astype(x.dtype)


def position_waves(positions, features: int, max_wavelength: float = 10000.0, dtype="float32") -> jax.Array:
    """Positions as sines and cosines of many wavelengths.

        y[2 * k] = sin(a),   y[2 * k + 1] = cos(a),   a = position / max_wavelength ** (2 * k / features)

    Shapes: positions `(...)` to `(..., features)`.

    Args:
        positions: integers.
        features: the number of waves.
        max_wavelength: the longest wave is about `2 * pi` times that long.
        dtype: of the result.

    Reference: Vaswani et al., Attention Is All You Need (2017), section 3.5.

    Example:
        >>> np.allclose(position_waves(jnp.array([0, 1]), 2), [[0.0, 1.0], [np.sin(1), np.cos(1)]])
        True
    """
    wide = _wide(jnp.dtype(dtype))
    channel = np.arange(features)
    frequencies = jnp.asarray(np.power(float(max_wavelength), -2 * (channel // 2) / features), wide)
    angles = jnp.asarray(positions).astype(wide)[..., None] * frequencies
    return jnp.where(channel % 2 == 0, jnp.sin(angles), jnp.cos(angles)).astype(dtype)


def _wide(dtype):
    """At least 32 bits: sums of exponentials and angles of late positions lose too much in 16."""
    return jnp.dtype(jnp.float32) if dtype.itemsize < 4 else dtype


def _check_heads(query, key) -> None:
    """Raise where queries and keys do not fit each other."""
    if query.ndim != 4 or key.ndim != 4:
        raise ShapeError(
            f"Attention takes queries and keys of shape (batch, times, heads, features); got "
            f"{format_shape(query.shape)} and {format_shape(key.shape)}. Use x[:, :, None] for a single head.")
    if query.shape[-1] != key.shape[-1]:
        raise ShapeError(f"Attention compares queries with keys of as many features; got {format_shape(query.shape)} "
                         f"and {format_shape(key.shape)}.")
    if not key.shape[2] or query.shape[2] % key.shape[2]:
        raise ShapeError(f"Attention needs a number of query heads that the number of key heads divides; got "
                         f"{query.shape[2]} and {key.shape[2]}.")
