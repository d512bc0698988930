"""A layer as part of one model: its name there, its symbols there, its arrays."""
from typing import Any

import jax
import numpy as np

from chainrule.errors import NotReadyError, SettingError, ShapeError, UnknownNameError, did_you_mean, format_shape
from chainrule.layers.base import Layer, Weight
from chainrule.layers.binding import lookup, walk


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
        """The arrays of the layer, in Keras's order."""
        weights, state = self.model.variables()
        here = self._path
        return [value for _, value in ordered_arrays(self.model, weights, state)
                if _.startswith(f"{here}/")] if here else []

    def get_weights(self) -> list[np.ndarray]:
        """The arrays of the layer, in Keras's order: trained ones first, then running statistics."""
        return [np.array(value) for value in self.weights]

    def set_weights(self, arrays) -> None:
        """Replace the arrays of the layer, for every model that shares it."""
        here = f"{self._path}/"
        weights, state = self.model.variables()
        entries = [entry for entry in ordered_weights(self.model) if entry[0].startswith(here)]
        self.model.set_variables(*replace_arrays(entries, weights, state, arrays, f"The layer {self.name!r}"))

    def count_params(self) -> int:
        """How many numbers its weights hold."""
        return sum(weight.size for _, inner in walk(self.layer) for weight in inner.own_weights().values())


def ordered_weights(root) -> list[tuple[str, Weight]]:
    """The declared weights with their paths in Keras's order: layer by layer, trained ones first."""
    entries = []
    for path, layer in walk(root):
        own = sorted(layer.own_weights().items(), key=lambda item: not item[1].trainable)
        entries += [(f"{path}/{name}" if path else name, weight) for name, weight in own]
    return entries


def ordered_arrays(root, weights, state) -> list[tuple[str, Any]]:
    """The arrays with their paths in Keras's order."""
    found = []
    for path, weight in ordered_weights(root):
        layer_path, _, name = path.rpartition("/")
        found.append((path, lookup(weights if weight.trainable else state, layer_path)[name]))
    return found


def replace_arrays(entries, weights, state, arrays, owner: str):
    """`weights` and `state` with the arrays of some entries replaced, every shape held against the declared one."""
    arrays = list(arrays)
    if len(arrays) != len(entries):
        listed = ", ".join(f"{path} {format_shape(weight.shape)}" for path, weight in entries) or "none"
        raise ShapeError(f"{owner} has {len(entries)} weights ({listed}); set_weights got {len(arrays)} arrays.")
    weights, state = (jax.tree.map(lambda leaf: leaf, tree) for tree in (weights, state))
    for (path, weight), array in zip(entries, arrays, strict=True):
        if np.shape(array) != weight.shape:
            raise ShapeError(f"{owner}: the weight {path} has shape {format_shape(weight.shape)}; set_weights got "
                             f"an array of shape {format_shape(np.shape(array))}.")
        layer_path, _, name = path.rpartition("/")
        target = lookup(weights if weight.trainable else state, layer_path)
        target[name] = jax.numpy.asarray(array, target[name].dtype)
    return weights, state


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
