"""Attention: layers that look up, for each entry of one sequence, what they need in another or in the same one."""
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.base import Layer
from chainrule.layers.dense import EinsumDense, check_count, known_last_axis
from chainrule.layers.positions import RotaryEmbedding
from chainrule.layers.regularisation import Dropout, check_rate
from chainrule.ops.attention import attention_weights, causal_mask, masked_softmax, weighted_values


class _HeadedAttention(Layer):
    """Attention with projections to heads and back. A subclass has the settings and says `_head_sizes`."""

    supports_masking = True
    counts = ()  # the settings that count something

    def __post_init__(self):
        check_rate(self, self.dropout)
        if not isinstance(self.rotary, (bool, RotaryEmbedding)):
            raise SettingError(f"{type(self).__name__}: `rotary` is True, False or a RotaryEmbedding; got "
                               f"{self.rotary!r}.")
        for setting in self.counts:
            if getattr(self, setting) is not None or setting != "value_dim":
                check_count(self, setting, getattr(self, setting))
        _, _, size, _ = self._head_sizes()
        if self.rotary and size % 2:
            raise SettingError(f"{type(self).__name__}: `rotary` turns pairs of features, so the size of a head must "
                               f"be even; got {size}.")
        self.rotary_embedding = RotaryEmbedding() if self.rotary is True else self.rotary or None
        self.attention_dropout = Dropout(self.dropout, seed=self.seed) if self.dropout else None

    def _head_sizes(self) -> tuple[int, int, int, int]:
        """The heads of queries, the heads of keys and values, the sizes of a key and of a value."""
        raise NotImplementedError

    def __call__(self, query, value=None, key=None, **options):
        """As `call`; from outside, `key` may also be a random key, as every layer takes it."""
        if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            key, options["key"] = None, key
        value = query if value is None else value
        return super().__call__(query, value, value if key is None else key, **options)

    def accepted_options(self):
        return super().accepted_options() - {"key"}  # in `call` that is what queries are compared with

    def compute_output_shape(self, query_shape, value_shape=None, key_shape=None):
        """The shape of the output for inputs of those shapes."""
        return (*query_shape[:-1], *self._output_sizes(query_shape))

    def _output_sizes(self, query_shape) -> tuple[int, ...]:
        return (query_shape[-1],)

    def build(self, query_shape, value_shape=None, key_shape=None):
        value_shape = query_shape if value_shape is None else value_shape
        key_shape = value_shape if key_shape is None else key_shape
        self._check_shapes(query_shape, value_shape, key_shape)
        heads, groups, key_size, value_size = self._head_sizes()
        self.query = self._projection("abc,cde->abde", (None, heads, key_size), "de")
        self.key = self._projection("abc,cde->abde", (None, groups, key_size), "de")
        self.value = self._projection("abc,cde->abde", (None, groups, value_size), "de")
        sizes = self._output_sizes(query_shape)
        letters = "efgh"[: len(sizes)]
        self.attention_output = self._projection(f"abcd,cd{letters}->ab{letters}", (None, *sizes), letters)

    def _projection(self, equation: str, output_shape, bias_axes: str) -> EinsumDense:
        return EinsumDense(
            equation, output_shape=output_shape, bias_axes=bias_axes if self.use_bias else None,
            kernel_initializer=self.kernel_initializer, bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer, bias_regularizer=self.bias_regularizer,
            kernel_constraint=self.kernel_constraint, bias_constraint=self.bias_constraint)

    def _check_shapes(self, query_shape, value_shape, key_shape) -> None:
        name, shapes = type(self).__name__, {"query": query_shape, "value": value_shape, "key": key_shape}
        for role, shape in shapes.items():
            if not isinstance(shape, tuple) or len(shape) != 3:
                got = format_shape(shape) if isinstance(shape, tuple) else f"{len(shape)} inputs in one"
                raise ShapeError(f"{name} takes sequences, (batch, times, features), each as an argument of its own: "
                                 f"layer(query, value, key). The {role} is {got}.")
            known_last_axis(self, shape)
        if None not in (value_shape[1], key_shape[1]) and value_shape[1] != key_shape[1]:
            raise ShapeError(f"{name} needs one key for each value; got {key_shape[1]} keys and {value_shape[1]} "
                             f"values, in arrays of shape {format_shape(key_shape)} and {format_shape(value_shape)}.")

    def call(self, query, value=None, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
             return_attention_scores=False, use_causal_mask=False, mask=None):
        value = query if value is None else value
        key = value if key is None else key
        _, of_value, of_key = mask if isinstance(mask, (list, tuple)) else (mask,) * 3
        value_mask, key_mask = of_value if value_mask is None else value_mask, of_key if key_mask is None else key_mask
        visible = _merged([
            _as_booleans(attention_mask),
            None if value_mask is None else _as_booleans(value_mask)[:, None, :],
            None if key_mask is None else _as_booleans(key_mask)[:, None, :],
            causal_mask(query.shape[1], key.shape[1]) if use_causal_mask else None])
        outputs, weights = self._attend(*self._projected(query, value, key), visible)
        return (outputs, weights) if return_attention_scores else outputs

    def compute_mask(self, inputs, mask):
        """The mask of the query goes on; weights that are returned beside the output have none."""
        return [mask[0] if isinstance(mask, (list, tuple)) else mask]

    def _projected(self, query, value, key, start_index=0):
        query, key, value = self.query(query), self.key(key), self.value(value)
        if self.rotary_embedding is not None:
            query, key = (self.rotary_embedding(each, start_index=start_index) for each in (query, key))
        return query, key, value

    def _attend(self, query, key, value, visible):
        """Output and weights for projected arrays; `visible` is `(times, keys)`, or with batch and heads before."""
        if visible is not None and visible.ndim == 3:
            visible = visible[:, None]
        weights = attention_weights(query, key, mask=visible)
        dropped = weights if self.attention_dropout is None else self.attention_dropout(weights)
        return self.attention_output(weighted_values(dropped, value)), weights

    def can_step(self, inputs: tuple, options: dict) -> bool:
        """Whether `step` gives what a call like this would: causal attention of a sequence to itself."""
        return all(each is inputs[0] for each in inputs) and options == {"use_causal_mask": True}

    def initial_cache(self, batch: int, length: int) -> dict:
        """The cache for reading a sequence piece by piece, before its first entry.

        Args:
            batch: how many sequences are read at once.
            length: how many entries it holds at most; those that come after it overwrite the last ones.
        """
        _, groups, key_size, value_size = self._head_sizes()
        dtype = self.key.kernel.dtype
        return {"key": jnp.zeros((batch, length, groups, key_size), dtype),
                "value": jnp.zeros((batch, length, groups, value_size), dtype), "index": jnp.zeros((), jnp.int32)}

    def step(self, x, cache: dict):
        """Causal self-attention for the next entries of a sequence: what `call` gives for them in the whole of it.

        To be used on a bound copy, inside the `call` or `step` of another layer.

        Args:
            x: `(batch, features)`, or `(batch, steps, features)` for several at once, such as a prompt.
            cache: what `initial_cache` or the step before returned: the keys and values of all entries so far.

        Returns:
            The output, in the form of `x`, and the new cache.
        """
        entries = x[:, None] if x.ndim == 2 else x
        start = cache["index"]
        query, key, value = self._projected(entries, entries, entries, start)
        key = lax.dynamic_update_slice_in_dim(cache["key"], key, start, 1)
        value = lax.dynamic_update_slice_in_dim(cache["value"], value, start, 1)
        y, _ = self._attend(query, key, value, causal_mask(entries.shape[1], key.shape[1], start))
        return y.reshape(*x.shape[:-1], *y.shape[2:]), {"key": key, "value": value, "index": start + entries.shape[1]}


class MultiHeadAttention(_HeadedAttention):
    """Several attentions at once, each in a space of its own, and their results mixed.

        q = query @ Wq + bq,   k = key @ Wk + bk,   v = value @ Wv + bv                     for each head
        y = sum over heads of (softmax(q @ k^T / sqrt(key_dim)) @ v) @ Wo + bo

    Called on one input it is self-attention: query, value and key are all that input. Masks that come with the inputs
    are used: no query sees a masked key. A query that sees none gets `bo`.

    Shapes: query `(batch, times, features)`, value and key `(batch, keys, ...)` to `(batch, times, features)`; query,
    key and value kernels `(inputs, num_heads, key_dim)`, biases `(num_heads, key_dim)` (`value_dim` for the value's);
    attention_output kernel `(num_heads, value_dim, features)`, bias `(features,)`.

    Args:
        num_heads: how many attentions there are.
        key_dim: the size of queries and keys in each.
        value_dim: that of values; by default as `key_dim`.
        dropout: the share of the softmax's weights that is dropped in training.
        use_bias: whether the projections have biases.
        output_shape: the size, or sizes, of an output entry; by default the query's number of features.
        kernel_initializer, bias_initializer: how the weights of all projections start.
        kernel_regularizer, bias_regularizer: penalties on them, added to the loss.
        kernel_constraint, bias_constraint: projections of them after each update.
        seed: gives the dropout random numbers of its own.
        rotary: whether queries and keys are turned by their positions; a `RotaryEmbedding` says how.

    Call arguments:
        query, value, key: the sequences; `value` is the query and `key` the value where they are left out.
        query_mask, value_mask, key_mask: `(batch, times)` booleans, `True` for real entries; by default the masks that
            come with the inputs.
        attention_mask: booleans `(batch, times, keys)` or `(batch, num_heads, times, keys)`: who may see what.
        return_attention_scores: whether to return the softmax's weights too, `(batch, num_heads, times, keys)`.
        use_causal_mask: whether an entry sees only itself and those before it.

    Raises:
        ShapeError: an input is no sequence, or there are not as many keys as values.

    Reference: Vaswani et al., Attention Is All You Need (2017).

    Example:
        >>> import numpy as np
        >>> x = np.ones((2, 5, 8), "float32")
        >>> y, scores = MultiHeadAttention(2, key_dim=4)(x, use_causal_mask=True, return_attention_scores=True)
        >>> y.shape, scores.shape, scores[0, 0, 1].tolist()
        ((2, 5, 8), (2, 2, 5, 5), [0.5, 0.5, 0.0, 0.0, 0.0])
    """

    num_heads: int
    key_dim: int
    value_dim: int | None = None
    dropout: float = 0.0
    use_bias: bool = True
    output_shape: Any = None
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None
    seed: int | None = None
    rotary: Any = False

    counts = ("num_heads", "key_dim", "value_dim")

    def _head_sizes(self):
        return self.num_heads, self.num_heads, self.key_dim, self.value_dim or self.key_dim

    def _output_sizes(self, query_shape):
        if self.output_shape is None:
            return (query_shape[-1],)
        return (self.output_shape,) if isinstance(self.output_shape, int) else tuple(self.output_shape)


class GroupQueryAttention(_HeadedAttention):
    """Multi-head attention whose query heads share keys and values in groups: fewer weights, a smaller cache.

        q = query @ Wq + bq,   k = key @ Wk + bk,   v = value @ Wv + bv                     for each head
        y = sum over heads of (softmax(q @ k^T / sqrt(head_dim)) @ v) @ Wo + bo,   k and v those of the head's group

    Called on one input it is self-attention. Masks that come with the inputs are used.

    Shapes: query `(batch, times, features)`, value and key `(batch, keys, ...)` to `(batch, times, features)`; the
    query's kernel `(features, num_query_heads, head_dim)`, key's and value's `(inputs, num_key_value_heads, head_dim)`,
    the attention_output's `(num_query_heads, head_dim, features)`.

    Args:
        head_dim: the size of queries, keys and values in each head.
        num_query_heads: how many heads there are.
        num_key_value_heads: how many groups they form; it divides `num_query_heads`. 1 is multi-query attention.
        dropout: the share of the softmax's weights that is dropped in training.
        use_bias: whether the projections have biases.
        kernel_initializer, bias_initializer: how the weights of all projections start.
        kernel_regularizer, bias_regularizer: penalties on them, added to the loss.
        kernel_constraint, bias_constraint: projections of them after each update.
        seed: gives the dropout random numbers of its own.
        rotary: whether queries and keys are turned by their positions; a `RotaryEmbedding` says how.

    Call arguments: as for `MultiHeadAttention`.

    Raises:
        SettingError: `num_key_value_heads` does not divide `num_query_heads`.

    Reference: Ainslie et al., GQA: Training Generalized Multi-Query Transformer Models (2023).

    Example:
        >>> import numpy as np
        >>> layer = GroupQueryAttention(head_dim=4, num_query_heads=6, num_key_value_heads=2)
        >>> layer(np.ones((2, 5, 8), "float32")).shape
        (2, 5, 8)
    """

    head_dim: int
    num_query_heads: int
    num_key_value_heads: int
    dropout: float = 0.0
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None
    seed: int | None = None
    rotary: Any = False

    counts = ("head_dim", "num_query_heads", "num_key_value_heads")

    def __post_init__(self):
        super().__post_init__()
        if self.num_query_heads % self.num_key_value_heads:
            raise SettingError(f"GroupQueryAttention: `num_key_value_heads` must divide `num_query_heads`; got "
                               f"{self.num_key_value_heads} and {self.num_query_heads}.")

    def _head_sizes(self):
        return self.num_query_heads, self.num_key_value_heads, self.head_dim, self.head_dim


class _ListedAttention(Layer):
    """Attention without projections, on a list of query, value and perhaps key. A subclass says `_scores`."""

    def _prepare(self):
        check_rate(self, self.dropout)
        self.attention_dropout = Dropout(self.dropout, seed=self.seed) if self.dropout else None

    def _scores(self, query, key):
        """How well each key fits each query, `(batch, times, keys)`."""
        raise NotImplementedError

    def build(self, input_shape):
        shapes = input_shape if isinstance(input_shape, list) else []
        if len(shapes) not in (2, 3) or any(len(shape) != 3 for shape in shapes):
            raise ShapeError(f"{type(self).__name__} takes a list of sequences, (batch, times, features) each: "
                             f"layer([query, value]) or layer([query, value, key]); got {_shapes_text(input_shape)}.")
        query_shape, value_shape, key_shape = shapes[0], shapes[1], shapes[-1]
        if query_shape[-1] != key_shape[-1]:
            raise ShapeError(f"{type(self).__name__} compares queries with keys of as many features; got "
                             f"{format_shape(query_shape)} and {format_shape(key_shape)}.")
        if None not in (value_shape[1], key_shape[1]) and value_shape[1] != key_shape[1]:
            raise ShapeError(f"{type(self).__name__} needs one key for each value; got {key_shape[1]} keys and "
                             f"{value_shape[1]} values, in arrays of shape {format_shape(key_shape)} and "
                             f"{format_shape(value_shape)}.")

    def call(self, inputs, mask=None, return_attention_scores=False, use_causal_mask=False):
        query, value, key = inputs[0], inputs[1], inputs[-1]
        query_mask, value_mask = (None, None) if mask is None else map(_as_booleans, mask[:2])
        scores = self._scores(query, key)
        visible = _merged([None if value_mask is None else value_mask[:, None, :],
                           causal_mask(query.shape[1], key.shape[1]) if use_causal_mask else None])
        weights = masked_softmax(scores, visible)
        if self.attention_dropout is not None:
            weights = self.attention_dropout(weights)
        y = weights @ value
        if query_mask is not None:
            y = jnp.where(query_mask[..., None], y, 0)
        return (y, weights) if return_attention_scores else y

    def compute_mask(self, inputs, mask):
        """The mask of the query goes on."""
        return [mask[0]]


class Attention(_ListedAttention):
    """Attention by inner products, as it is: no projections, no heads.

        y = softmax(scale * query @ key^T) @ value                                     score_mode "dot"
        y = softmax(c * sum over features of tanh(scale * (query + key))) @ value      score_mode "concat"

    Scale and `c` are learned numbers, 1 at the start; without `use_scale`, scale is 1. Masks that come with the inputs
    are used: no query sees a masked value, and the output of a masked query is 0.

    Shapes: a list of query `(batch, times, features)`, value `(batch, keys, channels)` and key
    `(batch, keys, features)` to `(batch, times, channels)`; the value serves as key where that is left out.

    Args:
        use_scale: whether there is a learned scale.
        score_mode: `"dot"` or `"concat"`.
        dropout: the share of the softmax's weights that is dropped in training.
        seed: gives the dropout random numbers of its own.

    Call arguments:
        return_attention_scores: whether to return the softmax's weights too, `(batch, times, keys)`.
        use_causal_mask: whether the query at time i sees only the values up to time i.

    Raises:
        ShapeError: the inputs are no list of two or three sequences that fit each other.

    Reference: Luong, Pham and Manning, Effective Approaches to Attention-based Neural Machine Translation (2015).

    Example:
        >>> import numpy as np
        >>> query, value = np.zeros((1, 1, 2), "float32"), np.array([[[1.0, 2.0], [3.0, 4.0]]], "float32")
        >>> Attention()([query, value]).tolist()
        [[[2.0, 3.0]]]
    """

    use_scale: bool = False
    score_mode: str = "dot"
    dropout: float = 0.0
    seed: int | None = None

    def __post_init__(self):
        self._prepare()
        if self.score_mode not in ("dot", "concat"):
            raise SettingError(f"Attention: `score_mode` is 'dot' or 'concat'; got {self.score_mode!r}.")

    def build(self, input_shape):
        super().build(input_shape)
        if self.use_scale:
            self.scale = self.add_weight((), "ones")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones")

    def _scores(self, query, key):
        scale = self.scale if self.use_scale else 1
        if self.score_mode == "dot":
            return scale * jnp.einsum("btd,bsd->bts", query, key)
        return self.concat_score_weight * jnp.tanh(scale * (query[:, :, None] + key[:, None])).sum(-1)


class AdditiveAttention(_ListedAttention):
    """Attention by a small network for each pair: `y = softmax(sum of scale * tanh(query + key)) @ value`.

    Scale is a learned number for each feature; without `use_scale` it is 1. Masks that come with the inputs are used:
    no query sees a masked value, and the output of a masked query is 0.

    Shapes: a list of query `(batch, times, features)`, value `(batch, keys, channels)` and key
    `(batch, keys, features)` to `(batch, times, channels)`; the value serves as key where that is left out. Scale
    `(features,)`.

    Args:
        use_scale: whether there is a learned scale.
        dropout: the share of the softmax's weights that is dropped in training.
        seed: gives the dropout random numbers of its own.

    Call arguments: as for `Attention`.

    Raises:
        ShapeError: the inputs are no list of two or three sequences that fit each other.

    Reference: Bahdanau, Cho and Bengio, Neural Machine Translation by Jointly Learning to Align and Translate (2014).

    Example:
        >>> import numpy as np
        >>> query, value = np.zeros((1, 3, 4), "float32"), np.ones((1, 5, 4), "float32")
        >>> AdditiveAttention()([query, value])[0, 0].tolist()
        [1.0, 1.0, 1.0, 1.0]
    """

    use_scale: bool = True
    dropout: float = 0.0
    seed: int | None = None

    def __post_init__(self):
        self._prepare()

    def build(self, input_shape):
        super().build(input_shape)
        if self.use_scale:
            self.scale = self.add_weight((known_last_axis(self, input_shape[0]),), "glorot_uniform")

    def _scores(self, query, key):
        fits = jnp.tanh(query[:, :, None] + key[:, None])
        return (self.scale * fits if self.use_scale else fits).sum(-1)


def _as_booleans(mask):
    return None if mask is None else jnp.asarray(mask, bool)


def _merged(masks):
    """What all of these masks let through; `None` where there are none."""
    merged = None
    for mask in masks:
        if mask is not None:
            merged = mask if merged is None else _aligned(merged, mask) & _aligned(mask, merged)
    return merged


def _aligned(mask, other):
    """A mask with an axis for heads where the other has one."""
    return mask[:, None] if mask.ndim == 3 and other.ndim == 4 else mask


def _shapes_text(input_shape) -> str:
    if isinstance(input_shape, tuple):
        return f"one input of shape {format_shape(input_shape)}"
    return ", ".join(format_shape(shape) for shape in input_shape)
