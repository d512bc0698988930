"""Layers: what networks are made of."""
from chainrule.configuration import Registry
from chainrule.layers.activation import ELU, GELU, SELU, Activation, LeakyReLU, PReLU, ReLU, RReLU, Softmax
from chainrule.layers.attention import AdditiveAttention, Attention, GroupQueryAttention, MultiHeadAttention
from chainrule.layers.augmentation import (
    CenterCrop,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)
from chainrule.layers.base import Layer
from chainrule.layers.cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from chainrule.layers.check import LayerReport, check_layer
from chainrule.layers.colour import RandomBrightness, RandomContrast, RandomErasing, RandomNoise, RandomSaturation
from chainrule.layers.convolution import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
)
from chainrule.layers.dense import Bilinear, Dense, EinsumDense, Maxout
from chainrule.layers.embedding import Embedding
from chainrule.layers.ensemble import DenseBatchEnsemble, DenseEnsemble, EnsembleMean, EnsembleView
from chainrule.layers.lookup import IntegerLookup, StringLookup
from chainrule.layers.merging import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Operation,
    Subtract,
)
from chainrule.layers.mixing import CutMix, MixUp
from chainrule.layers.normalisation import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from chainrule.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from chainrule.layers.positions import (
    PositionEmbedding,
    RotaryEmbedding,
    SinePositionEncoding,
    TokenAndPositionEmbedding,
)
from chainrule.layers.preprocessing import CategoryEncoding, Discretization, Hashing, Normalization
from chainrule.layers.recurrent import GRU, LSTM, RNN, Bidirectional, Masking, SimpleRNN, TimeDistributed
from chainrule.layers.regularisation import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from chainrule.layers.reshaping import Flatten, Identity, Lambda, Permute, RepeatVector, Rescaling, Reshape
from chainrule.layers.residual import Residual
from chainrule.layers.resizing import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Resizing,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from chainrule.layers.text import TextVectorization
from chainrule.layers.transformer import TransformerBlock

AvgPool2D, GlobalAvgPool2D = AveragePooling2D, GlobalAveragePooling2D  # the short names that Keras has too
MaxPool2D, GlobalMaxPool2D = MaxPooling2D, GlobalMaxPooling2D

registry = Registry("layer", [
    AdditiveAttention, Attention, Embedding, GroupQueryAttention, MultiHeadAttention, PositionEmbedding,
    RotaryEmbedding, SinePositionEncoding, TokenAndPositionEmbedding, TransformerBlock,
    Bidirectional, GRU, GRUCell, LSTM, LSTMCell, Masking, RNN, SimpleRNN, SimpleRNNCell, StackedRNNCells,
    TimeDistributed,
    Activation, ActivityRegularization, Add, AlphaDropout, Average, AveragePooling1D, AveragePooling2D,
    AveragePooling3D, BatchNormalization, Bilinear, CategoryEncoding, CenterCrop, Concatenate, Conv1D, Conv1DTranspose,
    Conv2D, Conv2DTranspose, Conv3D, Conv3DTranspose, Cropping1D, Cropping2D, Cropping3D, CutMix, Dense,
    DenseBatchEnsemble, DenseEnsemble, DepthwiseConv1D, DepthwiseConv2D, Discretization, Dot, Dropout, ELU, EinsumDense,
    EnsembleMean, EnsembleView, Flatten, GELU, GaussianDropout, GaussianNoise, GlobalAveragePooling1D,
    GlobalAveragePooling2D, GlobalAveragePooling3D, GlobalMaxPooling1D,
    GlobalMaxPooling2D, GlobalMaxPooling3D, GroupNormalization, Hashing, Identity, IntegerLookup, Lambda,
    LayerNormalization,
    LeakyReLU, MaxPooling1D, MaxPooling2D, MaxPooling3D, Maximum, Maxout, Minimum, MixUp, Multiply, Normalization,
    Operation, PReLU, Permute, RMSNormalization, RReLU, RandomBrightness, RandomContrast, RandomCrop, RandomErasing,
    RandomFlip, RandomNoise, RandomRotation, RandomSaturation, RandomShear, RandomTranslation, RandomZoom, ReLU,
    RepeatVector, Rescaling, Reshape, Residual, Resizing, SELU, SeparableConv1D, SeparableConv2D, Softmax,
    SpatialDropout1D, SpatialDropout2D, SpatialDropout3D, StringLookup, Subtract, TextVectorization, UnitNormalization,
    UpSampling1D, UpSampling2D, UpSampling3D, ZeroPadding1D, ZeroPadding2D, ZeroPadding3D,
], aliases={"AvgPool2D": AvgPool2D, "GlobalAvgPool2D": GlobalAvgPool2D, "GlobalMaxPool2D": GlobalMaxPool2D,
            "MaxPool2D": MaxPool2D})

get = registry.get

__all__ = ["Layer", "LayerReport", "check_layer", *sorted({entry.__name__ for entry in registry.entries.values()})]
