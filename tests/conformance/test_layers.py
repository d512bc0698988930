"""One suite for every layer: what a layer promises to networks, training, files and populations.

A new layer gets a row in `CASES`, and a second one for settings that take another way through its code.
"""
import functools
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import layers
from chainrule.configuration import deserialize, serialize
from chainrule.errors import NotReadyError
from chainrule.layers import (
    ELU,
    GELU,
    GRU,
    LSTM,
    RNN,
    SELU,
    Activation,
    ActivityRegularization,
    Add,
    AdditiveAttention,
    AlphaDropout,
    Attention,
    Average,
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    BatchNormalization,
    Bidirectional,
    Bilinear,
    CategoryEncoding,
    CenterCrop,
    Concatenate,
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    CutMix,
    Dense,
    DenseBatchEnsemble,
    DenseEnsemble,
    DepthwiseConv1D,
    DepthwiseConv2D,
    Discretization,
    Dot,
    Dropout,
    EinsumDense,
    Embedding,
    EnsembleMean,
    EnsembleView,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    GroupNormalization,
    GroupQueryAttention,
    GRUCell,
    Hashing,
    Identity,
    IntegerLookup,
    Lambda,
    LayerNormalization,
    LeakyReLU,
    LSTMCell,
    Masking,
    Maximum,
    Maxout,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
    Minimum,
    MixUp,
    MultiHeadAttention,
    Multiply,
    Normalization,
    Operation,
    Permute,
    PositionEmbedding,
    PReLU,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomNoise,
    RandomRotation,
    RandomSaturation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
    ReLU,
    RepeatVector,
    Rescaling,
    Reshape,
    Residual,
    Resizing,
    RMSNormalization,
    RotaryEmbedding,
    RReLU,
    SeparableConv1D,
    SeparableConv2D,
    SimpleRNN,
    SimpleRNNCell,
    SinePositionEncoding,
    Softmax,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
    StackedRNNCells,
    StringLookup,
    Subtract,
    TextVectorization,
    TimeDistributed,
    TokenAndPositionEmbedding,
    TransformerBlock,
    UnitNormalization,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from chainrule.layers.base import Layer
from chainrule.layers.binding import apply, initialise, walk
from chainrule.models import Input, Model, load_model
from chainrule.precision import precision
from chainrule.training import prepare
from tests.conformance.samples import REGISTRIES, assert_gradient

ROWS = 5
KEY = np.array([1, 2], "uint32")


class Case(NamedTuple):
    """A layer and what it is tried on.

    Attributes:
        make: makes the layer.
        shape: of one row of its input; a list of shapes for several inputs.
        below: for a layer that takes integers, what they are below.
        words: for a layer that takes text, what its texts are.
    """

    make: Callable[[], Layer]
    shape: Any
    below: int | None = None
    words: tuple[str, ...] = ()

    @property
    def dtype(self) -> str | None:
        """The type of its input; `None` for the network's precision."""
        return "string" if self.words else self.below and "int32"


def halved(x, by=2.0):
    return x / by


CUSTOM = {"halved": halved}
TWO = [(3, 4), (3, 4)]  # two inputs alike
WORDS = ("one", "two", "three", "four")
CASES = [
    Case(lambda: Activation("tanh"), (4,)),
    Case(lambda: Activation("softmax"), (3, 4)),
    Case(lambda: ActivityRegularization(l1=0.1, l2=0.2), (4,)),
    Case(lambda: Add(), [(3, 4), (1, 4), (3, 1)]),
    Case(lambda: AdditiveAttention(), [(3, 4), (2, 4)]),
    Case(lambda: Attention(), [(3, 4), (2, 4)]),
    Case(lambda: Attention(use_scale=True, score_mode="concat", dropout=0.3, seed=3), [(3, 4), (2, 5), (2, 4)]),
    Case(lambda: Embedding(5, 3), (4,), below=5),
    Case(lambda: Embedding(5, 2, mask_zero=True, embeddings_regularizer="l2"), (2, 3), below=5),
    Case(lambda: GroupQueryAttention(2, num_query_heads=4, num_key_value_heads=2, rotary=True), (3, 4)),
    Case(lambda: MultiHeadAttention(2, 3, use_bias=False), (3, 4)),
    Case(lambda: MultiHeadAttention(2, 2, value_dim=3, dropout=0.3, output_shape=5,
                                    rotary=RotaryEmbedding(scaling_factor=2.0)), (3, 4)),
    Case(lambda: PositionEmbedding(5), (3, 4)),
    Case(lambda: RotaryEmbedding(max_wavelength=100), (3, 2, 4)),
    Case(lambda: SinePositionEncoding(), (3, 4)),
    Case(lambda: TokenAndPositionEmbedding(5, 4, 3), (4,), below=5),
    Case(lambda: TransformerBlock(2, dropout=0.2, rotary=True), (3, 4)),
    Case(lambda: TransformerBlock(2, 3, causal=True, activation="tanh", normalize_first=False, num_key_value_heads=1,
                                  use_bias=False, normalization="rms"), (3, 4)),
    Case(lambda: AlphaDropout(0.3), (16,)),
    Case(lambda: Average(), TWO),
    Case(lambda: BatchNormalization(), (4,)),
    Case(lambda: BatchNormalization(axis=1, momentum=0.8, epsilon=0.01, center=False), (3, 2, 4)),
    Case(lambda: BatchNormalization(scale=False, beta_initializer="random_normal"), (3, 4)),
    Case(lambda: Bilinear(2, activation="tanh"), [(3,), (4,)]),
    Case(lambda: CategoryEncoding(4, output_mode="count"), (3,), below=4),
    Case(lambda: CategoryEncoding(4, output_mode="one_hot"), (1,), below=4),
    Case(lambda: Concatenate(axis=1), [(2, 4), (3, 4)]),
    Case(lambda: Conv1D(3, 3, strides=2, activation="gelu"), (8, 2)),
    Case(lambda: Conv1D(4, 2, padding="causal", dilation_rate=2, groups=2, use_bias=False), (5, 4)),
    Case(lambda: Conv1DTranspose(3, 3, strides=2, output_padding=1), (4, 2)),
    Case(lambda: Conv2D(3, 3), (5, 4, 2)),
    Case(lambda: Conv2D(2, (2, 1), strides=(3, 2), padding="same", activation="softplus",
                        bias_initializer="random_normal", kernel_regularizer="l2", activity_regularizer="l1",
                        kernel_constraint="non_neg"), (7, 5, 1)),
    Case(lambda: Conv2D(4, 3, padding=[(1, 1), (0, 2)], groups=2), (4, 4, 2)),
    Case(lambda: Conv2DTranspose(3, (3, 2), strides=(2, 3), padding="same", activation="tanh"), (3, 2, 2)),
    Case(lambda: Conv3D(2, (1, 2, 3), padding="same"), (2, 3, 4, 2)),
    Case(lambda: EnsembleView(3), (4,)),
    Case(lambda: EnsembleView(2, "random_normal", scaling_regularizer="l2", scaling_constraint="non_neg"), (2, 4)),
    Case(lambda: EnsembleView(2, scaling_initializer=None), (4,)),
    Case(lambda: DenseBatchEnsemble(2, "tanh", input_scaling_initializer="random_signs",
                                    output_scaling_initializer="random_normal"), (3, 4)),
    Case(lambda: DenseBatchEnsemble(2, "softplus", use_bias=False, input_scaling_initializer=None,
                                    output_scaling_initializer=None, kernel_regularizer="l2"), (3, 2, 4)),
    Case(lambda: DenseEnsemble(2, "softplus", bias_initializer="random_normal", kernel_regularizer="l2",
                               kernel_constraint="non_neg"), (3, 4)),
    Case(lambda: DenseEnsemble(1, use_bias=False), (3, 2, 4)),
    Case(lambda: EnsembleMean(), (3, 4)),
    Case(lambda: EnsembleMean(logits="softmax"), (3, 4)),
    Case(lambda: EnsembleMean(logits="sigmoid"), (3, 2, 4)),
    Case(lambda: Conv3DTranspose(2, 2, strides=2), (2, 1, 2, 2)),
    Case(lambda: Dense(3), (4,)),
    Case(lambda: DepthwiseConv1D(2, strides=3, depth_multiplier=2), (7, 2)),
    Case(lambda: DepthwiseConv2D((3, 2), padding="same", dilation_rate=(2, 1), activation="tanh"), (4, 3, 3)),
    Case(lambda: SeparableConv1D(3, 3, padding="causal"), (5, 2)),
    Case(lambda: SeparableConv2D(3, 2, strides=2, depth_multiplier=2, activation="gelu"), (5, 4, 2)),
    Case(lambda: Dense(3, activation="gelu", use_bias=False, kernel_initializer="he_normal"), (2, 4)),
    Case(lambda: Dense(2, activation="softplus", bias_initializer="random_normal", kernel_regularizer="l2",
                       activity_regularizer="l1", kernel_constraint="non_neg"), (3,)),
    Case(lambda: Discretization(bin_boundaries=[-1.0, 0.0, 0.5]), (3,)),
    Case(lambda: Dot(axes=(2, 1)), [(2, 4), (4, 3)]),
    Case(lambda: Dot(axes=1, normalize=True), [(4,), (4,)]),
    Case(lambda: Dropout(0.5), (16,)),
    Case(lambda: Dropout(0.3, noise_shape=(None, 1, None), seed=3), (3, 8)),
    Case(lambda: ELU(alpha=0.5), (4,)),
    Case(lambda: EinsumDense("btd,dhk->bthk", output_shape=(None, 2, 3), activation="tanh", bias_axes="hk"), (3, 4)),
    Case(lambda: Flatten(), (2, 3, 4)),
    Case(lambda: GELU(approximate=True), (4,)),
    Case(lambda: GaussianDropout(0.3), (8,)),
    Case(lambda: GaussianNoise(0.5), (8,)),
    Case(lambda: GroupNormalization(groups=2), (3, 4)),
    Case(lambda: GroupNormalization(groups=-1, axis=1, scale=False), (4, 3)),
    Case(lambda: Hashing(5, salt=3), (3,), below=100),
    Case(lambda: Hashing(5, mask_value=0, output_mode="multi_hot"), (3,), below=4),
    Case(lambda: Hashing(5, salt=3), (1,), words=WORDS),
    Case(lambda: Identity(), (3, 4)),
    Case(lambda: IntegerLookup(vocabulary=[7, 2, 3], mask_token=0), (3,), below=9),
    Case(lambda: IntegerLookup(vocabulary=[7, 2], num_oov_indices=2, output_mode="count"), (3,), below=9),
    Case(lambda: Lambda(halved, arguments={"by": 3.0}), (4,)),
    Case(lambda: LayerNormalization(), (4,)),
    Case(lambda: LayerNormalization(axis=[1, 2], center=False, gamma_initializer="random_normal"), (3, 4)),
    Case(lambda: LeakyReLU(0.2), (4,)),
    Case(lambda: Maximum(), TWO),
    Case(lambda: Maxout(2, pieces=3), (4,)),
    Case(lambda: Minimum(), TWO),
    Case(lambda: Multiply(), TWO),
    Case(lambda: Normalization(), (4,)),
    Case(lambda: Normalization(mean=[1.0, 2.0], variance=[4.0, 9.0], invert=True), (3, 2)),
    Case(lambda: Operation("power", right=2), (4,)),
    Case(lambda: Operation("matmul"), [(2, 3), (3, 4)]),
    Case(lambda: Operation("getitem", right=[{"start": None, "stop": None, "step": None}, 1]), (3, 4)),
    Case(lambda: PReLU(shared_axes=[1], alpha_initializer="random_normal"), (3, 4)),
    Case(lambda: Permute((3, 1, 2)), (2, 3, 4)),
    Case(lambda: RMSNormalization(), (4,)),
    Case(lambda: RReLU(0.1, 0.4), (8,)),
    Case(lambda: ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2), (8,)),
    Case(lambda: RepeatVector(3), (4,)),
    Case(lambda: Rescaling(2.0, offset=-1.0), (3, 4)),
    Case(lambda: Rescaling([2.0, 3.0], offset=[0.5, 1.0]), (3, 2)),
    Case(lambda: Reshape((2, -1)), (3, 4)),
    Case(lambda: Residual([Dense(4, activation="tanh"), Dropout(0.2), Dense(4)]), (4,)),
    Case(lambda: Residual(Dense(3), shortcut=Dense(3, use_bias=False)), (4,)),
    Case(lambda: SELU(), (4,)),
    Case(lambda: Softmax(axis=[1, 2]), (3, 4)),
    Case(lambda: SpatialDropout1D(0.5), (3, 8)),
    Case(lambda: SpatialDropout2D(0.5), (2, 2, 8)),
    Case(lambda: SpatialDropout3D(0.5), (2, 1, 2, 8)),
    Case(lambda: StringLookup(vocabulary=["one", "three"]), (), words=WORDS),
    Case(lambda: StringLookup(max_tokens=5, vocabulary=["one", "three"], idf_weights=[0.5, 2.0], output_mode="tf_idf",
                              pad_to_max_tokens=True), (3,), words=WORDS),
    Case(lambda: Subtract(), TWO),
    Case(lambda: TextVectorization(vocabulary=["one", "two"], output_sequence_length=3), (), words=WORDS),
    Case(lambda: TextVectorization(vocabulary=["o", "t", "e"], split="character", ngrams=2, output_mode="multi_hot"),
         (1,), words=WORDS),
    Case(lambda: UnitNormalization(), (4,)),
    Case(lambda: CenterCrop(3, 2), (6, 5, 2)),
    Case(lambda: CenterCrop(4, 6), (3, 5, 2)),
    Case(lambda: CutMix(), (6, 5, 2)),
    Case(lambda: MixUp(), (6, 5, 2)),
    Case(lambda: MixUp(alpha=2.0, seed=3), (4,)),
    Case(lambda: RandomBrightness(0.2, value_range=(-9, 9)), (4, 5, 2)),
    Case(lambda: RandomContrast(0.5, value_range=(-9, 9)), (4, 5, 2)),
    Case(lambda: RandomCrop(3, 2), (6, 5, 2)),
    Case(lambda: RandomErasing((1, 1), fill_value=[0.5, 0.1], value_range=(-1, 1)), (6, 5, 2)),
    Case(lambda: RandomErasing((0.9, 1), value_range=(-1, 1), seed=3), (6, 5, 2)),
    Case(lambda: RandomFlip(), (4, 5, 2)),
    Case(lambda: RandomFlip("horizontal", seed=3), (4, 5, 2)),
    Case(lambda: RandomNoise(0.1, value_range=(-9, 9)), (4, 5, 2)),
    Case(lambda: RandomNoise((0.1, 0.2), value_range=(-9, 9)), (4, 5, 2)),
    Case(lambda: RandomRotation(0.2), (4, 5, 2)),
    Case(lambda: RandomRotation((0.1, 0.3), fill_mode="constant", fill_value=2.0, seed=3), (4, 5, 2)),
    Case(lambda: RandomSaturation((0.2, 0.9), value_range=(-9, 9)), (4, 5, 3)),
    Case(lambda: RandomShear(0.5, (0.1, 0.4), fill_mode="nearest"), (4, 5, 2)),
    Case(lambda: RandomTranslation(0.3, (-0.2, 0.4)), (4, 5, 2)),
    Case(lambda: RandomTranslation(0.9, 0.9, fill_mode="wrap", interpolation="nearest"), (4, 5, 2)),
    Case(lambda: RandomZoom(0.4), (4, 5, 2)),
    Case(lambda: RandomZoom((0.1, 0.9), (-0.5, -0.1), fill_mode="constant"), (4, 5, 2)),
    Case(lambda: AveragePooling1D(2), (5, 3)),
    Case(lambda: AveragePooling2D((2, 3), strides=(1, 2), padding="same"), (5, 6, 2)),
    Case(lambda: AveragePooling3D(2, strides=3, padding="same"), (3, 2, 4, 2)),
    Case(lambda: Cropping1D((1, 0)), (4, 3)),
    Case(lambda: Cropping2D(((1, 0), (0, 2))), (3, 4, 2)),
    Case(lambda: Cropping3D(), (3, 4, 3, 2)),
    Case(lambda: GlobalAveragePooling1D(), (4, 3)),
    Case(lambda: GlobalAveragePooling2D(keepdims=True), (3, 4, 2)),
    Case(lambda: GlobalAveragePooling3D(), (2, 3, 2, 2)),
    Case(lambda: GlobalMaxPooling1D(keepdims=True), (4, 3)),
    Case(lambda: GlobalMaxPooling2D(), (3, 4, 2)),
    Case(lambda: GlobalMaxPooling3D(), (2, 3, 2, 2)),
    Case(lambda: MaxPooling1D(3, strides=2, padding="same"), (6, 3)),
    Case(lambda: MaxPooling2D(), (5, 4, 2)),
    Case(lambda: MaxPooling2D((7, 2), strides=1, padding="same"), (5, 4, 2)),
    Case(lambda: MaxPooling3D((1, 2, 2), strides=(2, 1, 3)), (3, 3, 4, 2)),
    Case(lambda: Resizing(4, 3), (6, 2, 2)),
    Case(lambda: Resizing(3, 7, interpolation="bicubic", crop_to_aspect_ratio=True, antialias=True), (6, 5, 2)),
    Case(lambda: Resizing(4, 2, interpolation="nearest", pad_to_aspect_ratio=True, fill_value=0.5), (3, 5, 2)),
    Case(lambda: UpSampling1D(3), (2, 3)),
    Case(lambda: UpSampling2D(), (2, 3, 2)),
    Case(lambda: UpSampling2D((2, 1), interpolation="bilinear"), (3, 4, 2)),
    Case(lambda: UpSampling3D((1, 2, 3)), (2, 1, 2, 2)),
    Case(lambda: Bidirectional(GRU(2, return_sequences=True), merge_mode="mul"), (4, 3)),
    Case(lambda: Bidirectional(LSTM(2, return_state=True)), (3, 2)),
    Case(lambda: GRU(3), (4, 2)),
    Case(lambda: GRU(3, reset_after=False, recurrent_dropout=0.3, return_sequences=True), (3, 2)),
    Case(lambda: LSTM(3, return_sequences=True, go_backwards=True, return_state=True), (4, 2)),
    Case(lambda: LSTM(4, dropout=0.4, recurrent_dropout=0.4, kernel_regularizer="l2",
                      recurrent_initializer="glorot_normal"), (3, 6)),
    Case(lambda: LSTM(2, "softplus", recurrent_activation="softsign", use_bias=False, unroll=True), (3, 2)),
    Case(lambda: Masking(0.5), (4, 2)),
    Case(lambda: RNN([LSTMCell(3), GRUCell(2, dropout=0.4, seed=3)], return_sequences=True), (3, 2)),
    Case(lambda: RNN(StackedRNNCells([SimpleRNNCell(2, activation="softplus"), SimpleRNNCell(3)])), (3, 2)),
    Case(lambda: SimpleRNN(3), (4, 2)),
    Case(lambda: SimpleRNN(3, dropout=0.4, recurrent_regularizer="l1", bias_constraint="non_neg"), (3, 6)),
    Case(lambda: TimeDistributed(BatchNormalization()), (3, 2)),
    Case(lambda: TimeDistributed(Conv1D(2, 2)), (3, 4, 2)),
    Case(lambda: ZeroPadding1D((2, 1)), (3, 2)),
    Case(lambda: ZeroPadding2D(((1, 0), (0, 2))), (2, 3, 2)),
    Case(lambda: ZeroPadding3D((1, 0, 2)), (2, 1, 2, 2)),
]


def test_every_layer_has_a_case():
    tried = {type(layer) for case in CASES for _, layer in walk(case.make())}  # cells are in the layers that run them
    assert tried == set(layers.registry.entries.values())


class Trial:
    """A case as a network of one layer, its arrays, and what several tests compile together."""

    def __init__(self, case: Case):
        self.case = case
        self.layer = case.make()
        self.several = isinstance(case.shape, list)
        shapes = case.shape if self.several else [case.shape]
        inputs = [Input(shape, dtype=case.dtype) for shape in shapes]
        self.inputs = inputs if self.several else inputs[0]
        self.model = Model(self.inputs, self.layer(self.inputs))
        self.is_random = any("key" in layer.accepted_options() for _, layer in walk(self.layer))
        self.start = jax.jit(lambda key: initialise(self.model, key))
        self.weights, self.state = self.start(KEY)
        differs = any("training" in layer.accepted_options() for _, layer in walk(self.layer))
        self.modes = (False, True) if differs else (False,)  # whether training
        self.training = self.modes[-1]
        self.x = self.data()
        self.compiled = jax.jit(self.evaluate, static_argnames=("training",))

    def data(self, rows: int = ROWS, seed: int = 0, dtype: str = "float32"):
        """Rows for the compiled program, in the structure that the layer takes."""
        return prepare.input_arrays(self.model, self.raw(rows, seed, dtype))

    def raw(self, rows: int = ROWS, seed: int = 0, dtype: str = "float32"):
        """Rows for the model, before a layer that works outside of the compiled program has prepared them."""
        draw = np.random.default_rng(seed)
        if self.case.words:
            one = lambda shape: draw.choice(self.case.words, (rows, *shape))
        elif self.case.below:
            one = lambda shape: draw.integers(0, self.case.below, (rows, *shape)).astype("int32")
        else:
            one = lambda shape: draw.normal(size=(rows, *shape)).astype(dtype)
        return [one(shape) for shape in self.case.shape] if self.several else one(self.case.shape)

    def evaluate(self, weights, state, x, key=None, rows=None, *, training=False):
        """Outputs and new state."""
        outputs, call = apply(self.model, weights, state, (x,), key=key, rows=rows, training=training)
        return outputs, call.new_state


@pytest.fixture(scope="module", params=CASES, ids=lambda case: repr(case.make()))
def trial(request):
    return Trial(request.param)


def assert_close(left, right, tolerance=1e-6):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, strict=True)


def test_declared_shape_is_the_computed_one(trial):
    open_shape = lambda shape: (None, *shape)
    given = [open_shape(shape) for shape in trial.case.shape] if trial.several else open_shape(trial.case.shape)
    declared = trial.case.make().compute_output_shape(given)
    assert declared == jax.tree.map(lambda symbol: symbol.shape, trial.layer(trial.inputs))
    for rows in (ROWS, 3):
        outputs, _ = jax.eval_shape(trial.evaluate, trial.weights, trial.state, trial.data(rows))
        flat = [declared] if isinstance(declared, tuple) else declared
        assert [leaf.shape for leaf in jax.tree.leaves(outputs)] == [(rows, *shape[1:]) for shape in flat]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_dtype_is_kept(trial, dtype):
    # Strictly, no two types of floating-point numbers may meet; beside integers there is nothing to lose.
    promotion = "standard" if trial.case.dtype else "strict"
    with precision("float64" if dtype == "float64" else "float32"), jax.numpy_dtype_promotion(promotion):
        weights, state = jax.eval_shape(lambda key: initialise(trial.layer, key, dtype), KEY)
        given = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype if trial.case.dtype else dtype)
        x = jax.tree.map(given, trial.x)

        def evaluate(weights, state, x, training):
            outputs, call = apply(trial.layer, weights, state, (x,), key=KEY, training=training, dtype=dtype)
            return outputs, call.new_state

        for training in trial.modes:
            outputs, new_state = jax.eval_shape(functools.partial(evaluate, training=training), weights, state, x)
            assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(outputs) if leaf.dtype.kind != "i")
            assert new_state == state


def test_mixed_precision_is_near_float32(trial):
    length = lambda leaves: np.sqrt(sum(np.square(np.asarray(leaf, "float64")).sum() for leaf in leaves))
    for training in trial.modes:
        def evaluate(weights, dtype, training=training):
            options = {"key": KEY, "training": training, "dtype": dtype}
            outputs, call = apply(trial.model, weights, trial.state, (trial.x,), **options)
            terms = [jnp.mean(leaf * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape))
                     for leaf in jax.tree.leaves(outputs) if jnp.issubdtype(leaf.dtype, jnp.floating)]
            return sum(terms, jnp.zeros(())), (outputs, call.new_state)

        both = jax.jit(jax.value_and_grad(evaluate, has_aux=True), static_argnums=1)
        results = [both(trial.weights, dtype) for dtype in ("mixed_bfloat16", "float32")]
        (mixed, its_gradient), (exact, gradient) = [(beside, slopes) for (_, beside), slopes in results]
        assert jax.tree.map(lambda leaf: leaf.dtype, (mixed, its_gradient)) == jax.tree.map(
            lambda leaf: leaf.dtype, (exact, gradient))
        for one, other in zip(*map(jax.tree.leaves, (mixed, exact)), strict=True):
            assert np.abs(one - other).max(initial=0) <= 0.02 * max(np.abs(other).max(initial=0), 1e-3)
        # Where a maximum is taken, rounding may choose another entry, and a few entries of the gradient change places.
        differences = jax.tree.leaves(jax.tree.map(jnp.subtract, its_gradient, gradient))
        assert length(differences) <= 0.3 * length(jax.tree.leaves(gradient))


def test_compiled_equals_uncompiled(trial):
    arguments = trial.weights, trial.state, trial.x, KEY
    for training in trial.modes:
        assert_close(trial.compiled(*arguments, training=training), trial.evaluate(*arguments, training=training))


def test_gradient_equals_finite_differences(trial):
    with precision("float64"):
        wide = lambda tree: jax.tree.map(lambda leaf: np.asarray(leaf, "float64"), tree)
        weights, state, x = wide(trial.weights), wide(trial.state), trial.data(dtype="float64")

        def outputs(weights, x, training):
            return apply(trial.model, weights, state, (x,), key=KEY, training=training, dtype="float64")[0]

        for training in trial.modes:
            function = functools.partial(outputs, training=training)
            if trial.case.dtype:
                assert_gradient(lambda weights, function=function: function(weights, x), (weights,))
            else:
                assert_gradient(function, (weights, x))


def test_many_networks_at_once(trial):
    keys = np.arange(6, dtype="uint32").reshape(3, 2)
    members = [trial.start(key) for key in keys]
    weights, state = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    every = jax.vmap(lambda *arguments: trial.evaluate(*arguments, training=trial.training), in_axes=(0, 0, None, 0))
    together = jax.jit(every)(weights, state, trial.x, keys)
    for index, member in enumerate(members):
        alone = trial.compiled(*member, trial.x, keys[index], training=trial.training)
        assert_close(jax.tree.map(lambda leaf, index=index: leaf[index], together), alone, 1e-5)


def test_rows_that_pad_a_batch_count_for_nothing(trial):
    real = 3
    rows = np.arange(ROWS) < real
    head = lambda tree: jax.tree.map(lambda leaf: leaf[:real], tree)
    padded, its_state = trial.compiled(trial.weights, trial.state, trial.x, KEY, rows, training=trial.training)
    exact, state = trial.compiled(trial.weights, trial.state, head(trial.x), KEY, training=trial.training)
    assert_close((head(padded), its_state), (exact, state), 1e-5)


def test_keys(trial):
    draws = lambda key, training=trial.training: trial.compiled(
        trial.weights, trial.state, trial.x, key, training=training)[0]
    other = np.array([1, 3], "uint32")
    assert_close(draws(KEY), draws(KEY), 0)
    assert_close(draws(KEY, False), draws(other, False), 0)
    same = all(np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (draws(KEY), draws(other))), strict=True))
    assert same != trial.is_random
    if trial.is_random:
        with pytest.raises(NotReadyError, match="^[A-Za-z0-9]+ draws random numbers in training and needs a key: "):
            trial.evaluate(trial.weights, trial.state, trial.x, training=trial.training)


def test_inference_leaves_state_alone(trial):
    assert_close(trial.compiled(trial.weights, trial.state, trial.x, KEY)[1], trial.state, 0)


def test_settings_make_an_equal_layer(trial):
    text = json.dumps(serialize(trial.layer, REGISTRIES))
    again = deserialize(json.loads(text), REGISTRIES, CUSTOM)
    assert type(again) is type(trial.layer)
    assert json.dumps(serialize(again, REGISTRIES)) == text
    model = Model(trial.inputs, again(trial.inputs))
    assert [path for path, _ in walk(model)] == [path for path, _ in walk(trial.model)]
    options = {"key": KEY, "training": trial.training}
    outputs = lambda network: apply(network, trial.weights, trial.state, (trial.x,), **options)[0]
    assert_close(outputs(model), outputs(trial.model), 0)
    assert jax.eval_shape(lambda: initialise(model, KEY)) == jax.eval_shape(lambda: initialise(trial.model, KEY))


def test_a_saved_layer_is_itself(trial, tmp_path):
    trial.model.set_variables(trial.weights, trial.state)
    trial.model.save(tmp_path / "layer.chain")
    again = load_model(tmp_path / "layer.chain", custom_objects=CUSTOM)
    assert_close(again.variables(), (trial.weights, trial.state), 0)
    outputs, _ = trial.compiled(trial.weights, trial.state, trial.x, KEY)
    assert_close(again.predict(trial.raw()), outputs)


def test_a_step_against_the_gradient_lowers_the_loss(trial):
    target = np.random.default_rng(5).normal(size=1)

    def loss(weights):
        outputs, _ = trial.evaluate(weights, trial.state, trial.x, KEY, training=trial.training)
        return sum(jnp.mean((leaf - target) ** 2 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape))
                   for leaf in jax.tree.leaves(outputs))

    @jax.jit
    def step(weights):
        before, gradient = jax.value_and_grad(loss)(weights)
        return before, gradient, loss(jax.tree.map(lambda weight, slope: weight - 0.01 * slope, weights, gradient))

    if trial.weights:
        before, gradient, after = step(trial.weights)
        assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient)) and after < before
