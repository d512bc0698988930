"""Layers: what networks are made of."""
from chainrule.configuration import Registry
from chainrule.layers.base import Layer
from chainrule.layers.dense import Activation, Dense
from chainrule.layers.normalisation import BatchNormalization
from chainrule.layers.regularisation import Dropout
from chainrule.layers.reshaping import Flatten, Rescaling, Reshape

registry = Registry("layer", [
    Activation, BatchNormalization, Dense, Dropout, Flatten, Rescaling, Reshape,
])

get = registry.get

__all__ = ["Layer", *sorted({entry.__name__ for entry in registry.entries.values()})]
