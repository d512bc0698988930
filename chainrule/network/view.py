"""A layer as part of one model: its name there, its symbols there, its arrays."""

import jax
import numpy as np

from chainrule.errors import NotReadyError, SettingError, UnknownNameError, did_you_mean
from chainrule.layers.base import Layer, Weight
from chainrule.layers.binding import lookup, ordered_weights, replace_arrays, walk


class LayerView:
    """What `model.layers` and `model.get_layer` give.

    It behaves as the layer (its settings can be read and set, `isinstance` sees the layer's class) and knows its
    place: `name` and `output` are those in this model, and `get_weights` reads the store that the model shares.

    Attributes:
        layer: the layer itself, as models are built of it.
    """

    def __init__(self, model, name: str, layer: Layer):
        self.__dict__.update(model=model, name=name, layer=layer)

    @property
    def __class__(self):  # so that isinstance(model.layers[0], Dense) answers for the layer
        return type(self.layer)

    def __getattr__(self, attribute: str):
        value = getattr(self.layer, attribute)
        if isinstance(value, Weight):
            weights, state = self.model.variables()
            return lookup(weights if value.trainable else state, self._path)[value.name]
        return value

    def __setattr__(self, attribute: str, value) -> None:
        setattr(self.layer, attribute, value)

    def __call__(self, *inputs, **options):
        return self.layer(*inputs, **options)

    def __repr__(self) -> str:
        return f"<{type(self.layer).__name__} {self.name!r} of {self.model.name or type(self.model).__name__!r}>"

    @property
    def _path(self) -> str:
        return next(path for path, layer in walk(self.model) if layer is self.layer)

    def _nodes(self):
        return [node for node in self.model.require_graph().nodes if node.layer is self.layer]

    @property
    def output(self):
        """The symbol (or structure of symbols) that the layer puts out in this model."""
        nodes = self._nodes()
        if len(nodes) > 1:
            raise SettingError(
                f"The layer {self.name!r} is used {len(nodes)} times in this model, so it has no single output.")
        return nodes[0].outputs

    @property
    def input(self):
        """The symbol (or structure of symbols) that the layer takes in this model."""
        nodes = self._nodes()
        if len(nodes) > 1:
            raise SettingError(
                f"The layer {self.name!r} is used {len(nodes)} times in this model, so it has no single input.")
        arguments = nodes[0].arguments[0]
        return arguments[0] if len(arguments) == 1 else arguments

    @property
    def weights(self) -> list[jax.Array]:
        """The arrays of the layer, in Keras's order; those that the model has not made yet are made first."""
        self.model.variables()
        return self.layer.weights

    def get_weights(self) -> list[np.ndarray]:
        """The arrays of the layer, in Keras's order: trained ones first, then running statistics."""
        return [np.array(value) for value in self.weights]

    def set_weights(self, arrays) -> None:
        """Replace the arrays of the layer, for every model that shares it."""
        here = f"{self._path}/"
        weights, state = self.model.variables()
        entries = [entry for entry in ordered_weights(self.model) if entry[0].startswith(here)]
        self.model.set_variables(*replace_arrays(entries, weights, state, arrays, f"The layer {self.name!r}"))


def find_view(model, name: str | None, index: int | None) -> LayerView:
    """The view of a layer by name or by place."""
    views = model.layers
    if name is not None:
        for view in views:
            if view.name == name:
                return view
        names = [view.name for view in views]
        raise UnknownNameError(f"The model has no layer {name!r}. {did_you_mean(name, names)}")
    if index is None or not -len(views) <= index < len(views):
        raise NotReadyError(f"get_layer takes the name of a layer, or its index below {len(views)}; got {index!r}.")
    return views[index]
