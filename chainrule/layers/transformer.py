"""Transformers: attention and a small network for each entry, with shortcuts around both."""
from typing import Any

from chainrule import activations
from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.attention import GroupQueryAttention, MultiHeadAttention
from chainrule.layers.base import Layer
from chainrule.layers.dense import Dense, check_count, known_last_axis
from chainrule.layers.normalisation import LayerNormalization, RMSNormalization
from chainrule.layers.regularisation import Dropout, check_rate


class TransformerBlock(Layer):
    """Self-attention and then a network of two dense layers for each entry, both with a shortcut and a normalisation.

        h = x + attention(norm(x)),   y = h + feedforward(norm(h))                 normalize_first
        h = norm(x + attention(x)),   y = norm(h + feedforward(h))                 otherwise
        feedforward(h) = activation(h @ W1 + b1) @ W2 + b2

    A mask that comes with the input is used and goes on: no entry sees one that is padding. A stack of blocks with
    `normalize_first` wants one more normalisation at its end.

    Shapes: `(batch, times, features)` to the same; each head has `features / num_heads` of them.

    Args:
        num_heads: the heads of the attention; they divide the number of features.
        intermediate_dim: the units of the first dense layer; by default four times the number of features.
        dropout: in training, the share that is dropped of the attention's weights and of what is added to a shortcut.
        causal: whether an entry sees only itself and those before it, as a network that writes needs.
        activation: that between the dense layers.
        normalize_first: whether normalisations stand before attention and dense layers, or behind the shortcuts.
        rotary: whether queries and keys are turned by their positions; a `RotaryEmbedding` says how.
        num_key_value_heads: the heads of keys and values, where there are fewer than of queries.
        use_bias: whether projections, dense layers and normalisations have biases.
        normalization: `"layer"` for `LayerNormalization`, `"rms"` for `RMSNormalization`.
        epsilon: that of the normalisations.
        kernel_initializer: how the kernels start.

    Raises:
        ShapeError: the heads do not divide the features.

    Reference: Vaswani et al., Attention Is All You Need (2017); Xiong et al., On Layer Normalization in the
    Transformer Architecture (2020), for where to normalise.

    Example:
        >>> import numpy as np
        >>> block = TransformerBlock(num_heads=2, causal=True)
        >>> x = np.random.default_rng(0).normal(size=(1, 5, 8)).astype("float32")
        >>> np.allclose(block(x)[:, :3], block(x[:, :3]), atol=1e-5)
        True
    """

    num_heads: int
    intermediate_dim: int | None = None
    dropout: float = 0.0
    causal: bool = False
    activation: Any = "gelu"
    normalize_first: bool = True
    rotary: Any = False
    num_key_value_heads: int | None = None
    use_bias: bool = True
    normalization: str = "layer"
    epsilon: float = 1e-5
    kernel_initializer: Any = "glorot_uniform"

    supports_masking = True

    def __post_init__(self):
        check_count(self, "num_heads", self.num_heads)
        if self.intermediate_dim is not None:
            check_count(self, "intermediate_dim", self.intermediate_dim)
        check_rate(self, self.dropout)
        activations.get("linear" if self.activation is None else self.activation)
        if self.normalization not in ("layer", "rms"):
            raise SettingError(f"TransformerBlock: `normalization` is 'layer' or 'rms'; got {self.normalization!r}.")
        self._make_attention(2)  # so that a wrong setting is an error here; the size of a head is known in `build`

    def _make_attention(self, head_size: int):
        settings = {"dropout": self.dropout, "use_bias": self.use_bias, "rotary": self.rotary,
                    "kernel_initializer": self.kernel_initializer}
        if self.num_key_value_heads is None:
            return MultiHeadAttention(self.num_heads, head_size, **settings)
        return GroupQueryAttention(head_size, self.num_heads, self.num_key_value_heads, **settings)

    def _make_norm(self):
        if self.normalization == "rms":
            return RMSNormalization(epsilon=self.epsilon)
        return LayerNormalization(epsilon=self.epsilon, center=self.use_bias)

    def build(self, input_shape):
        features = known_last_axis(self, input_shape)
        if len(input_shape) != 3:
            raise ShapeError(
                f"TransformerBlock takes sequences, (batch, times, features); got {format_shape(input_shape)}.")
        if features % self.num_heads:
            divisors = [count for count in range(1, features + 1) if features % count == 0]
            raise ShapeError(f"TransformerBlock cannot divide {features} features into {self.num_heads} heads. Set "
                             f"`num_heads` to one of {divisors}.")
        dense = {"use_bias": self.use_bias, "kernel_initializer": self.kernel_initializer}
        self.attention_norm = self._make_norm()
        self.attention = self._make_attention(features // self.num_heads)
        self.feedforward_norm = self._make_norm()
        self.intermediate = Dense(self.intermediate_dim or 4 * features, activation=self.activation, **dense)
        self.feedforward_output = Dense(features, **dense)
        if self.dropout:
            self.attention_dropout, self.feedforward_dropout = Dropout(self.dropout), Dropout(self.dropout)

    def call(self, x, mask=None):
        return self._through(x, lambda h: self.attention(h, value_mask=mask, use_causal_mask=self.causal))

    def can_step(self, inputs: tuple, options: dict) -> bool:
        """Whether `step` gives what a call like this would: where the block is causal."""
        return self.causal and len(inputs) == 1 and not options

    def initial_cache(self, batch: int, length: int) -> dict:
        """The cache for reading a sequence piece by piece: as for `MultiHeadAttention`."""
        return self.attention.initial_cache(batch, length)

    def step(self, x, cache: dict):
        """The output for the next entries of a sequence, and the new cache: as for `MultiHeadAttention`.

        Raises:
            SettingError: the block is not causal, so that what comes later changes what was before.
        """
        if not self.causal:
            raise SettingError("A TransformerBlock that is read step by step must be causal, or what comes later would "
                               "change what it said before: TransformerBlock(..., causal=True).")
        new_cache = {}

        def attend(h):
            y, cached = self.attention.step(h, cache)
            new_cache.update(cached)
            return y

        return self._through(x, attend), new_cache

    def _through(self, x, attend):
        if self.normalize_first:
            h = x + self._dropped("attention_dropout", attend(self.attention_norm(x)))
            return h + self._dropped("feedforward_dropout", self._feedforward(self.feedforward_norm(h)))
        h = self.attention_norm(x + self._dropped("attention_dropout", attend(x)))
        return self.feedforward_norm(h + self._dropped("feedforward_dropout", self._feedforward(h)))

    def _feedforward(self, h):
        return self.feedforward_output(self.intermediate(h))

    def _dropped(self, name: str, h):
        return getattr(self, name)(h) if self.dropout else h
