"""One evaluation of a network that keeps what its layers compute: what the other modules here look through."""
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from chainrule.errors import SettingError, UnknownNameError, did_you_mean
from chainrule.layers.base import Layer
from chainrule.layers.binding import Call, Tree
from chainrule.models import Model
from chainrule.network.graph import InputLayer, Network

KINDS = ("outputs", "preactivations")


class Recording(Call):
    """An evaluation that keeps what each layer computes, and may add to it on the way.

    Args:
        shifts: by path, what is added to the output of a layer. With zeros nothing changes, and the derivative by them
            is the derivative by the output.

    Attributes:
        outputs: by path, what the layer put out.
        preactivations: by path, what went into the layer's activation function; its output where it has none.
        layers: by path, the layer itself.
        functions: by path, the layer's activation function, where it has one.
    """

    def __init__(self, *arguments, shifts: Mapping[str, Any] = MappingProxyType({}), **options):
        super().__init__(*arguments, **options)
        self.shifts, self.fuses = shifts, False
        self.outputs: dict[str, Any] = {}
        self.preactivations: dict[str, Any] = {}
        self.layers: dict[str, Layer] = {}
        self.functions: dict[str, Callable] = {}
        self._owners: dict[int, str] = {}
        self._uses: Counter[str] = Counter()

    def activate(self, path: str, function, z):
        y = super().activate(path, function, z)
        self._owners[id(y)] = path
        return y

    def run(self, bound, inputs: tuple, options: dict):
        outputs = super().run(bound, inputs, options)
        path = self.path(bound._origin)
        if not path or _is_graph(bound) or isinstance(bound, InputLayer):
            return outputs  # a graph is no more than the layers in it
        self._uses[path] += 1
        name = path if self._uses[path] == 1 else f"{path}:{self._uses[path]}"
        self.layers[name], self.outputs[name], self.preactivations[name] = bound._origin, outputs, outputs
        if self._owners.get(id(outputs)) == path:  # another's where a layer hands on what it got
            self.functions[name], self.preactivations[name] = self.before_activation(outputs)
        return self._shifted(outputs, self.shifts[name]) if name in self.shifts else outputs

    def _shifted(self, outputs, shift):
        shifted = outputs + shift
        self.set_mask(shifted, self.mask_of(outputs))
        return shifted


def _is_graph(layer) -> bool:
    return isinstance(layer, Network) and layer.__dict__.get("_graph") is not None


def record(model: Model, weights: Tree, state: Tree, inputs, **options) -> tuple[Any, Recording]:
    """Evaluate a model outside training: its output, and what was recorded."""
    recording = Recording(model, weights, state, dtype=model.dtype, **options)
    return recording.run(recording.copy(model), (inputs,), {}), recording


def require_model(model, what: str) -> None:
    """Raise where something else than a model was given."""
    if not isinstance(model, Model):
        raise SettingError(f"{what} takes a Model or a Sequential; got {model!r} ({type(model).__name__}).")


def require_layer(name, names, what: str = "layer") -> str:
    """A layer's name, if it is among the model's; `what` is the argument that gave it."""
    if not isinstance(name, str):
        raise SettingError(f"`{what}` is the name of a layer; got {name!r} ({type(name).__name__}).")
    if name not in names:
        raise UnknownNameError(f"The model has no layer {name!r}. {did_you_mean(name, names)}")
    return name


def is_single(given) -> bool:
    """Whether one number was given, and not several: an integer, or an array without axes."""
    return isinstance(given, int) or getattr(given, "ndim", None) == 0


def numbers_of(argument: str, given, count: int, plural: str, layer: str) -> list[int]:
    """Numbers of units or channels of a layer that has `count` of them: one, or several."""
    numbers = [given] if is_single(given) or isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    places = [_place(number) for number in numbers]
    if not all(0 <= place < count for place in places):
        raise SettingError(f"The layer {layer!r} has {count} {plural}, numbered from 0 to {count - 1}; got "
                           f"{argument}={given!r}.")
    if not numbers:
        raise SettingError(f"`{argument}` is empty: name at least one of the {count} {plural} of the layer {layer!r}.")
    return places


def _place(number) -> int:
    """An integer in any form; -1, which is no place, for what is none."""
    try:
        return -1 if isinstance(number, bool) else operator.index(number)
    except TypeError:
        return -1
