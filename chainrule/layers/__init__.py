"""Layers: what networks are made of."""
from chainrule.configuration import Registry
from chainrule.layers.activation import ELU, GELU, SELU, Activation, LeakyReLU, PReLU, ReLU, RReLU, Softmax
from chainrule.layers.base import Layer
from chainrule.layers.check import LayerReport, check_layer
from chainrule.layers.dense import Bilinear, Dense, EinsumDense, Maxout
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
from chainrule.layers.normalisation import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from chainrule.layers.preprocessing import CategoryEncoding, Discretization, Hashing, Normalization
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

registry = Registry("layer", [
    Activation, ActivityRegularization, Add, AlphaDropout, Average, BatchNormalization, Bilinear, CategoryEncoding,
    Concatenate, Dense, Discretization, Dot, Dropout, ELU, EinsumDense, Flatten, GELU, GaussianDropout, GaussianNoise,
    GroupNormalization, Hashing, Identity, Lambda, LayerNormalization, LeakyReLU, Maximum, Maxout, Minimum, Multiply,
    Normalization, Operation, PReLU, Permute, RMSNormalization, RReLU, ReLU, RepeatVector, Rescaling, Reshape, Residual,
    SELU, Softmax, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D, Subtract, UnitNormalization,
])

get = registry.get

__all__ = ["Layer", "LayerReport", "check_layer", *sorted({entry.__name__ for entry in registry.entries.values()})]
