"""What a layer is: settings, declared weights, and a call. Arrays live outside of it.

A layer is written in one way, by us and by users:

    class Scale(Layer):
        start: float = 1.0                                      # settings

        def build(self, input_shape):                           # declares weights; shapes include the batch axis (None)
            self.factor = self.add_weight((input_shape[-1],), initializer=Constant(self.start))

        def call(self, x):                                      # reads them; may take training, mask, key and rows
            return x * self.factor

For the time of one call the engine binds arrays to a copy of the layer (`layers/binding.py`); the layer itself never
holds one while it computes. `layer._held` is the store that the Keras face keeps: models made from the same layers
share it because they share the layer.
"""
import dataclasses
import inspect
from collections.abc import Iterator
from dataclasses import field
from typing import Any, ClassVar

import numpy as np

from chainrule import activations, constraints, initializers, regularizers
from chainrule.configuration import Configurable, setting_names, snake_case
from chainrule.errors import NotReadyError, SettingError, ShapeError, format_shape
from chainrule.layers.binding import (
    Call,
    evaluate_eagerly,
    frozen_paths,
    held_variables,
    hold,
    infer_outputs,
    ordered_arrays,
    ordered_weights,
    replace_arrays,
)
from chainrule.layers.symbol import Symbol, contains_symbol, record
from chainrule.precision import POLICIES


@dataclasses.dataclass
class Weight:
    """The declaration of one weight: what `add_weight` returns and what stands in an attribute between calls."""

    shape: tuple[int, ...]
    initializer: Any
    trainable: bool
    dtype: str | None
    regularizer: Any
    constraint: Any
    name: str | None

    @property
    def size(self) -> int:
        """The number of its entries."""
        return int(np.prod(self.shape, dtype=np.int64))


class shown:
    """A property that an attribute of the same name hides: layers of a user's own may call a weight `weights`."""

    def __init__(self, getter):
        self.getter, self.__doc__ = getter, getter.__doc__

    def __get__(self, layer, owner=None):
        return self if layer is None else self.getter(layer)


class Layer(Configurable):
    """The parent of every layer.

    Args:
        name: what the layer is called in its network; made from the class name where it is left out.
        trainable: whether training changes its weights (`layer.trainable = False` freezes them).
        input_shape: the shape of one row of input, for the first layer of a `Sequential`: `Dense(8, input_shape=(4,))`;
            `input_dim=4` says the same.
        dtype: the precision, where it is said again what the network has; it is set on the network. A layer of a
            network of `"mixed_bfloat16"` computes in float32 where it is given `"float32"`.
        activity_regularizer: a penalty on the output, divided by the rows and added to the loss.

    Example:
        >>> class Scale(Layer):
        ...     start: float = 1.0
        ...
        ...     def build(self, input_shape):
        ...         self.factor = self.add_weight((input_shape[-1],), initializer=initializers.Constant(self.start))
        ...
        ...     def call(self, x):
        ...         return x * self.factor
        >>> Scale(3.0)(np.array([[1.0, 2.0]])).tolist()
        [[3.0, 6.0]]
    """

    kind = "layer"
    supports_masking = False  # whether a mask that comes with the input goes on to the output
    has_own_dtype = False  # whether `dtype` is something else than the precision of the network
    casts = True  # whether its arrays are cast at all under a mixed precision: networks leave that to the layers inside
    casts_inputs = True  # whether its inputs come in the type that the network computes in then
    casts_weights = True  # whether its trained weights do; state always comes as it is kept
    mixes_targets = False  # whether it mixes rows in training, and tells the loss by `self._bound.mix_targets`
    prepares = ()  # the dtypes of inputs that it works on before the compiled program begins (`layers/host.py`)
    # The setting by which running statistics follow the batches: "momentum" where `call` assigns in training
    # `momentum * moving + (1 - momentum) * batch`. "" where the state that it assigns is something else.
    statistics_momentum: ClassVar[str | None] = None
    each_step = False  # whether outside of training it treats each step of sequences, (batch, time, ...), by itself

    name: str | None = field(default=None, kw_only=True)
    trainable: bool = field(default=True, kw_only=True)
    input_shape: tuple[int | None, ...] | None = field(default=None, kw_only=True)
    dtype: str | None = field(default=None, kw_only=True)
    activity_regularizer: Any = field(default=None, kw_only=True)

    # What a subclass writes.

    def build(self, input_shape) -> None:
        """Declare weights with `add_weight`. `input_shape` is a tuple, or the structure of tuples of several inputs."""

    def call(self, inputs):
        """The output for given inputs. May also take `training`, `mask`, `key` and `rows` by name."""
        raise SettingError(
            f"{type(self).__name__} has no `call`: write `def call(self, inputs)` that returns the output.")

    def compute_mask(self, inputs, mask):
        """The mask that goes with the output: by default the input's where `supports_masking`, else none."""
        return mask if self.supports_masking else None

    def activity_penalty(self):
        """The regulariser of the output; `None` where there is none."""
        return self.activity_regularizer

    # What a subclass uses.

    def add_weight(self, shape=(), initializer=None, dtype=None, trainable=True, regularizer=None, constraint=None,
                   name=None) -> Weight:
        """Declare a weight; keep the result in an attribute (or in a list of them) and read it in `call`.

        Args:
            shape: its shape, all sizes known.
            initializer: a name, an `Initializer` or a function; Glorot uniform by default, zeros for integers.
            dtype: by default that of the network.
            trainable: `False` declares state (a running mean, a counter): no gradient, and `call` may assign it.
            regularizer: a penalty on it, added to the loss.
            constraint: a projection applied after each update.
            name: by default the attribute it is kept in.
        """
        if isinstance(shape, str):
            raise SettingError(
                f"{_sentence(self.describe())} calls add_weight({shape!r}, ...), but the shape comes first: "
                f"add_weight(shape, initializer, name={shape!r}).")
        shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        for size in shape:
            if not isinstance(size, (int, np.integer)) or size < 0:
                raise ShapeError(
                    f"{_sentence(self.describe())} declares a weight of shape {format_shape(shape)}, but {size!r} is "
                    f"not a size. An axis of the input that it depends on is open: give it in Input(shape=...).")
        if initializer is None:
            initializer = "zeros" if dtype and not str(dtype).startswith(("float", "bfloat")) else "glorot_uniform"
        weight = Weight(tuple(int(size) for size in shape), initializers.get(initializer), bool(trainable),
                        None if dtype is None else str(np.dtype(dtype)), regularizer and regularizers.get(regularizer),
                        constraint and constraints.get(constraint), name)
        self.__dict__.setdefault("_declared", []).append(weight)
        return weight

    def add_loss(self, loss) -> None:
        """Add a scalar to the training loss; to be called inside `call`."""
        if self._bound is None:
            raise SettingError(
                f"add_loss of {self.describe()} is for use inside `call`, where there are values to penalise.")
        self._bound.add_loss(loss)

    # What everybody else uses.

    def __call__(self, *inputs, **options):
        """On symbols, a node of a network; on arrays, the output with the layer's present weights."""
        if self._bound is not None:
            return self._bound.run(self, inputs, options)
        if contains_symbol((inputs, options)):
            return record(self, inputs, options)
        return evaluate_eagerly(self, inputs, options)

    def compute_output_shape(self, input_shape):
        """The shape of the output for an input of that shape (batch axis included, `None` where it is open)."""
        is_one = isinstance(input_shape, tuple) or not isinstance(input_shape[0], (tuple, list))
        symbols = Symbol(tuple(input_shape)) if is_one else [Symbol(tuple(shape)) for shape in input_shape]
        outputs = infer_outputs(self, (symbols,), {})
        return outputs.shape if hasattr(outputs, "shape") else [output.shape for output in outputs]

    @property
    def built(self) -> bool:
        """Whether the weights are declared."""
        return "_built_shape" in self.__dict__

    @built.setter
    def built(self, value: bool) -> None:
        """Keras's layers say so at the end of `build`; here it is known, and nothing happens."""

    def ensure_built(self, *input_shapes) -> None:
        """Declare the weights for these inputs, once; later inputs must agree with the first in their last axis.

        `build` receives the shape of the first argument of `call`, or of each where it takes several.
        """
        takes_several = len(inspect.signature(type(self).build).parameters) > 2
        input_shape = input_shapes[0] if len(input_shapes) == 1 else input_shapes
        declared = list(self.__dict__.get("_declared", []))
        if not self.built:
            self.__dict__["_built_shape"] = input_shape
            try:
                self.build(*input_shapes) if takes_several else self.build(input_shapes[0])
                self._name_weights()
            except BaseException:
                del self.__dict__["_built_shape"]  # so that another attempt, with other inputs, begins anew
                self.__dict__["_declared"] = declared
                raise
        elif self.own_weights() and _last_axes(input_shape) != _last_axes(self._built_shape):
            raise ShapeError(
                f"{_sentence(self.describe())} was built for inputs of shape {_shape_text(self._built_shape)}; got "
                f"{_shape_text(input_shape)}. Its weights fit only the first: the last axis must agree. Use a second "
                f"{type(self).__name__} for the other input.")

    @shown
    def weights(self) -> list:
        """The arrays of the layer and of those inside it, in Keras's order: trained ones first, then state."""
        return [array for _, array in ordered_arrays(self, *self._variables())]

    @shown
    def trainable_weights(self) -> list:
        """Those of `weights` that training changes."""
        frozen, arrays = frozen_paths(self), self.weights
        return [array for array, (path, weight) in zip(arrays, ordered_weights(self), strict=True)
                if weight.trainable and path.rpartition("/")[0] not in frozen]

    @shown
    def non_trainable_weights(self) -> list:
        """Those of `weights` that training leaves alone: state, and what is frozen."""
        trained = {id(array) for array in self.trainable_weights}
        return [array for array in self.weights if id(array) not in trained]

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the arrays in `weights`."""
        return [np.array(array) for array in self.weights]

    def set_weights(self, weights) -> None:
        """Replace the arrays in `weights`, for every model that has the layer."""
        text = _sentence(self.describe())
        hold(self, *replace_arrays(ordered_weights(self), *self._variables(), weights, text))

    def count_params(self) -> int:
        """How many numbers the weights hold, state included."""
        self._require_weights()
        return sum(weight.size for _, weight in ordered_weights(self))

    def _variables(self):
        """The arrays, made where there are none yet."""
        self._require_weights()
        return held_variables(self)

    def _require_weights(self) -> None:
        if not self.built:
            raise NotReadyError(
                f"{_sentence(self.describe())} has no weights yet: it is built by the first input that it meets. Call "
                f"it, or the model that it is in, on data first.")

    def own_weights(self) -> dict[str, Weight]:
        """The declared weights by name, those of sublayers apart."""
        return {weight.name: weight for weight in self.__dict__.get("_declared", [])}

    def sublayers(self) -> dict[str, "Layer"]:
        """The layers found in attributes (and in lists and dicts in attributes), by attribute name."""
        found = {}
        for attribute, value in self.__dict__.items():
            if attribute not in _INTERNAL:
                found |= {name: item for name, item in _leaves(attribute, value) if isinstance(item, Layer)}
        return found

    @property
    def _bound(self) -> Call | None:
        """The call that this copy is bound to; `None` on the layer itself."""
        return self.__dict__.get("_call")

    @classmethod
    def _read_settings(cls, settings):
        if "batch_input_shape" in settings and "batch_input_shape" not in setting_names(cls):
            shape = settings["batch_input_shape"]
            raise SettingError(
                f"{cls.__name__}: batch_input_shape={shape!r} is input_shape here, without the batch axis"
                f"{f': input_shape={tuple(shape[1:])}' if isinstance(shape, (tuple, list)) else ''}.")
        if "input_dim" not in settings or "input_dim" in setting_names(cls):
            return settings
        if settings.get("input_shape") is not None:
            raise SettingError(
                f"{cls.__name__}: input_dim={settings['input_dim']!r} and input_shape={settings['input_shape']!r} say "
                f"the same in two ways. Leave one of them out.")
        rest = {name: value for name, value in settings.items() if name != "input_dim"}
        return rest if settings["input_dim"] is None else rest | {"input_shape": (settings["input_dim"],)}

    def check_precision(self, precision: str, path: str) -> None:
        """Raise where the layer has another precision than the network that it is in."""
        if not self.has_own_dtype and self.dtype not in (None, "float32", precision):
            raise SettingError(
                f"{_sentence(self.describe(path))} has dtype={self.dtype!r} in a network of {precision!r}. All layers "
                f"have the precision of the network, set where it is made: Model(..., dtype={self.dtype!r}).")

    def __setattr__(self, name, value):
        bound = self.__dict__.get("_call")
        if bound is not None:
            bound.assign(self, name, value)
            return
        if name == "dtype" and not self.has_own_dtype and value is not None:
            value = _read_precision(self, value)
        if name == "activity_regularizer" and value is not None:
            value = regularizers.get(value)
        super().__setattr__(name, value)
        if name == "activation" and "_activate" in self.__dict__:  # looked up again where it is changed later
            self._activate = activations.get("linear" if value is None else value)
        if name == "trainable" and "_arguments" in self.__dict__:  # once it is made: for all that it contains
            for layer in self.sublayers().values():
                layer.trainable = value

    def accepted_options(self) -> frozenset[str]:
        """Which of `training`, `mask`, `key` and `rows` the layer's `call` takes."""
        return frozenset({"training", "mask", "key", "rows"} & set(inspect.signature(type(self).call).parameters))

    def describe(self, path: str = "") -> str:
        """The layer as messages name it: `layer 'hidden' (Dense)`."""
        name = path or self.name
        return f"layer {name!r} ({type(self).__name__})" if name else f"the layer {type(self).__name__}"

    def bind(self, bound: "Layer", call: Call, value) -> None:
        """Fill a copy: arrays in the place of declared weights, bound copies in the place of sublayers."""

        def replaced(item):
            if isinstance(item, Weight):
                return value(item)
            if isinstance(item, Layer):
                return call.copy(item)
            if isinstance(item, dict):
                return {key: replaced(inner) for key, inner in item.items()}
            if type(item) is list and any(isinstance(inner, Weight) and not inner.trainable for inner in item):
                return _StateList([replaced(inner) for inner in item], item, bound, call)
            if type(item) in (list, tuple):
                return type(item)(replaced(inner) for inner in item)
            return item

        filled = {name: item if name in _INTERNAL else replaced(item) for name, item in self.__dict__.items()}
        bound.__dict__.update(filled, _call=call, _origin=self)

    def _name_weights(self) -> None:
        """Give each weight without a name that of its attribute, and see that no two are alike."""
        for attribute, value in self.__dict__.items():
            if attribute not in _INTERNAL:
                for name, item in _leaves(attribute, value):
                    if isinstance(item, Weight) and item.name is None:
                        item.name = name
        names = set()
        for index, weight in enumerate(self.__dict__.get("_declared", [])):
            weight.name = weight.name or f"weight_{index}"
            if weight.name in names:
                raise SettingError(
                    f"{_sentence(self.describe())} declares two weights named {weight.name!r}. Give one of them "
                    f"another name: add_weight(..., name=...).")
            names.add(weight.name)


class _StateList(list):
    """A list in a bound copy that holds state: what `call` assigns to an entry is taken in as for an attribute."""

    def __init__(self, arrays: list, declared: list, bound: Layer, call: Call):
        super().__init__(arrays)
        self.declared, self.bound, self.call = declared, bound, call

    def __setitem__(self, index, value):
        declared = self.declared[index]
        what = f"the entry {index} of a list" if isinstance(index, int) else "a slice of a list"
        super().__setitem__(index, self.call.assigned(self.bound, what, declared, self[index], value))


_INTERNAL = frozenset({"_arguments", "_declared", "_built_shape", "_held", "_assembled", "_call", "_origin"})


def _leaves(name: str, value) -> Iterator[tuple[str, Any]]:
    """The layers and weights in a value, lists and dicts entered, with names made from the attribute's."""
    if isinstance(value, (Layer, Weight)):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _leaves(f"{name}_{index}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(f"{name}_{key}", item)


def _read_precision(layer: Layer, dtype) -> str:
    """The name of a precision, however it is written."""
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", str(dtype))
    if name not in POLICIES:
        raise SettingError(
            f"{type(layer).__name__}: `dtype` is the precision of the network, 'float32', 'float64' or "
            f"'mixed_bfloat16', which is set where the network is made: Model(..., dtype=...); got {name!r}. What "
            f"data are converted to is said by Input(shape, dtype=...).")
    return name


def default_name(layer: Layer) -> str:
    """The name of a layer that was given none, before a number is added: `Dense` is `dense`."""
    return getattr(layer, "default_name", None) or snake_case(type(layer).__name__.lstrip("_"))


def _last_axes(shape):
    """The last axis of a shape or of each shape in a structure."""
    if isinstance(shape, dict):
        return {name: _last_axes(item) for name, item in shape.items()}
    if isinstance(shape, (list, tuple)) and shape and isinstance(shape[0], (list, tuple, dict)):
        return [_last_axes(item) for item in shape]
    return shape[-1] if shape else None


def _shape_text(shape) -> str:
    if isinstance(shape, tuple) and all(size is None or isinstance(size, int) for size in shape):
        return format_shape(shape)
    return str(shape)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
