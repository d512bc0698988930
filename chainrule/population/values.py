"""The numbers in which the members of a population differ: what may differ, checks, and their way into a program."""
import copy
import fnmatch
import inspect
from collections.abc import Iterator, Mapping
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np

from chainrule import initializers, regularizers
from chainrule.configuration import Configurable, setting_names
from chainrule.errors import SettingError, ShapeError, UnknownNameError, did_you_mean, format_shape, shortened
from chainrule.layers.binding import walk
from chainrule.optimizers import MultiOptimizer, Optimizer
from chainrule.schedules import Schedule
from chainrule.training.program import Numbers

INITIALIZER_SCALE = "initializer_scale"
_RATE = "learning_rate/"  # before the numbers of a schedule
_GET = MappingProxyType({"regularizer": regularizers.get, "initializer": initializers.get})


def layer_settings(model) -> dict[str, float]:
    """The plain numbers among the settings of a model's layers by path, with their values.

    Those of regularisers and initialisers are among them: `dense/kernel_regularizer/l2`.

    Example:
        >>> import chainrule as cr
        >>> model = cr.Sequential([cr.Input((2,)), cr.layers.Dropout(0.5), cr.layers.Dense(1, kernel_regularizer="l2")])
        >>> layer_settings(model)
        {'dropout/rate': 0.5, 'dense/kernel_regularizer/l2': 0.01}
    """
    found = {}
    for path, layer in walk(model):
        prefix = f"{path}/" if path else ""
        found |= {f"{prefix}{name}": value for name, value in _numbers_of(layer) if path}
        for part, owner in _parts_of(layer).items():
            found |= {f"{prefix}{part}/{name}": value for name, value in _numbers_of(owner)}
    return found


def _parts_of(layer) -> dict[str, Any]:
    """The regularisers and initialisers of a layer, by the names they have in paths: `kernel_regularizer`."""
    found = {} if layer.activity_regularizer is None else {"activity_regularizer": layer.activity_regularizer}
    for name, weight in layer.own_weights().items():
        found |= {f"{name}_regularizer": weight.regularizer, f"{name}_initializer": weight.initializer}
    return {name: part for name, part in found.items() if isinstance(part, Configurable)}


def _numbers_of(part) -> Iterator[tuple[str, float]]:
    """The settings of a layer, a regulariser, an initialiser or a schedule that are plain numbers."""
    whole = _whole_numbers(type(part))
    for name in sorted(setting_names(type(part))):
        value = part.__dict__.get(name)
        if isinstance(value, Real) and not isinstance(value, bool) and name not in whole and name != "seed":
            yield name, float(value)


def _whole_numbers(cls: type) -> set[str]:
    """The settings that count something or choose an axis: they decide shapes, and one program has one of each."""
    parameters = {}
    for parent in reversed(cls.__mro__):
        if "__init__" in parent.__dict__:
            parameters |= inspect.signature(parent.__init__).parameters
    texts = {name: getattr(parameter.annotation, "__name__", str(parameter.annotation))
             for name, parameter in parameters.items()}
    return {name for name, text in texts.items() if "float" not in text and "int" in text}


class Values:
    """What the members of a population have by member: one value each.

    Args:
        model: what all of them are copies of.
        size: how many there are.
        given: values by name, each a number for all or one a member.

    Attributes:
        optimizer: the rule of update, a copy with every setting that differs switched on.
        by_member: arrays `(size,)` by name.
    """

    def __init__(self, model, size: int, given: Mapping[str, Any]):
        self.model, self.size = model, size
        self.optimizer: Optimizer = copy.deepcopy(model.optimizer)
        self.by_member: dict[str, np.ndarray] = {}
        for name, values in given.items():
            for full in self.resolve(name):
                self.by_member[full] = self._checked(full, values)
        for name, values in self.by_member.items():
            if self._kind(name) == "optimizer":
                self._switch_on(name, values)

    def resolve(self, name: str) -> list[str]:
        """The full names that a name stands for: a short one, or a pattern such as `"*/rate"`."""
        known = self.known()
        if name in known:
            return [name]
        if "*" in name:
            found = [path for path in known if fnmatch.fnmatchcase(path, name)]
            if found:
                return found
        ends = [path for path in known if path.endswith(f"/{name}") and not path.startswith(_RATE)]
        if len(ends) == 1:
            return ends
        if ends:
            raise UnknownNameError(
                f"{name!r} is a setting of several layers: {', '.join(map(repr, ends))}. Name one of them by its path, "
                f"or all of them by '*/{name}': settings={{'*/{name}': values}}.")
        raise self._unknown(name, known)

    def known(self) -> dict[str, Any]:
        """Everything that may differ between members, by name, as it is now."""
        numbers = {name: getattr(self.optimizer, name) for name in self._optimizer_names()}
        schedule = self.optimizer.learning_rate
        if isinstance(schedule, Schedule):
            numbers |= {f"{_RATE}{name}": value for name, value in _numbers_of(schedule)}
        losses = {f"loss_weights/{name}": 1.0 for name in self.model.output_names}
        return numbers | losses | {INITIALIZER_SCALE: 1.0} | layer_settings(self.model)

    def _unknown(self, name: str, known) -> UnknownNameError:
        layer, _, setting = name.rpartition("/")
        for path, found in walk(self.model):
            if path == layer and setting in setting_names(type(found)) and path:
                value = found.__dict__.get(setting)
                return SettingError(
                    f"{name!r} is {shortened(value)}, which is not a plain number that all members can share a program "
                    f"over: shapes, names and switches are the same for all. Make a population of each choice.")
        return UnknownNameError(f"Members cannot differ in {name!r}: neither the optimizer "
                                f"({type(self.optimizer).__name__}) nor a layer has such a number. "
                                f"{did_you_mean(name, known)}")

    def _kind(self, name: str) -> str:
        if name in self._optimizer_names() or name.startswith(_RATE):
            return "optimizer"
        if name.startswith("loss_weights/"):
            return "loss"
        is_initial = name == INITIALIZER_SCALE or name.rpartition("/")[0].endswith("_initializer")
        return "initial" if is_initial else "setting"

    def _checked(self, name: str, values) -> np.ndarray:
        """One value a member."""
        if name == "learning_rate" and callable(self.optimizer.learning_rate):
            own = [path for path in self.known() if path.startswith(_RATE)]
            numbers = f" Let its own numbers differ: settings={{{own[0]!r}: values}}." if own else ""
            raise SettingError(f"The optimizer's learning rate is {shortened(self.optimizer.learning_rate)}, which a "
                               f"number by member would replace.{numbers} Or compile the model with a number.")
        if name in self._optimizer_names() and self.optimizer.learning_rate is None:
            raise SettingError(f"{name!r} cannot differ: the optimizer is an optax transformation, which keeps its own "
                               f"numbers. Use an optimizer of chainrule.")
        array = by_member(name, values, self.size)
        for value in np.unique(array).tolist():
            self._try(name, value)
        return array

    def _try(self, name: str, value: float) -> None:
        """Raises what the owner of a setting raises where it cannot have a value."""
        if name in self._optimizer_names():
            others = [other for other in ("clipnorm", "clipvalue", "global_clipnorm") if other != name]
            trial = copy.copy(self.optimizer)
            if name in ("clipnorm", "clipvalue", "global_clipnorm") and not any(
                    getattr(trial, other) is not None for other in others):
                trial.__dict__[name] = None
            trial._check(name, value)
            return
        if name in (INITIALIZER_SCALE,) or name.startswith("loss_weights/"):
            if value < 0:
                raise SettingError(f"{name!r} holds {value!r}; expected numbers of at least 0.")
            return
        owner, setting = self._owner(name)
        try:
            type(owner).from_config(owner.get_config() | {setting: value})
        except SettingError as error:
            raise SettingError(f"{name!r}: {error}") from error

    def _owner(self, name: str) -> tuple[Any, str]:
        """The object whose setting a path names, and the setting."""
        if name.startswith(_RATE):
            return self.optimizer.learning_rate, name.removeprefix(_RATE)
        path, _, setting = name.rpartition("/")
        layers = dict(walk(self.model))
        if path in layers:
            return layers[path], setting
        outer, _, part = path.rpartition("/")
        return _parts_of(layers[outer])[part], setting

    def _switch_on(self, name: str, values: np.ndarray) -> None:
        """Give the optimiser a setting that it is without: then it is an argument of the program."""
        if name.startswith(_RATE):
            return
        largest = float(values.max())
        if getattr(self.optimizer, name) in (None, 0) and (largest or name != "momentum"):
            setattr(self.optimizer, name, largest)
        if name == "ema_momentum" and not self.optimizer.use_ema:
            raise SettingError("'ema_momentum' has no effect: the optimizer keeps no moving average. Give it one: "
                               f"{type(self.optimizer).__name__}(use_ema=True).")

    def set(self, member: int, given: Mapping[str, Any]) -> None:
        """Change values of one member, all of them or none."""
        changes = {}
        for name, value in given.items():
            for full in self.resolve(name):
                number = self._checked(full, value)[member]
                if full not in self.by_member and self._kind(full) == "optimizer" and (
                        full not in self._hyperparameters(0)):
                    raise SettingError(f"{full!r} is not in use by this population's optimizer, so one member cannot "
                                       f"have it alone. Give it when the population is made: "
                                       f"Population(model, size, {full}=...).")
                changes[full] = number
        for full, number in changes.items():
            if full not in self.by_member:
                self.by_member[full] = np.full(self.size, self.known()[full], np.float64)
            self.by_member[full][member] = number

    def of(self, member: int) -> dict[str, float]:
        """The values of one member by name."""
        return {name: values[member].item() for name, values in self.by_member.items()}

    def taken(self, members) -> "Values":
        """The values of some members."""
        taken = copy.copy(self)
        taken.size = len(members)
        taken.by_member = {name: values[members] for name, values in self.by_member.items()}
        return taken

    def _optimizer_names(self) -> list[str]:
        """The numbers of the optimiser that may differ; one that joins several has a learning rate alone."""
        return ["learning_rate"] if isinstance(self.optimizer, MultiOptimizer) else list(self.optimizer._bounds())

    def _hyperparameters(self, member: int) -> dict[str, float]:
        """The numbers that an update of a member takes."""
        own = [name for name in self.by_member if self._kind(name) == "optimizer"]
        if not own:
            return self.optimizer.hyperparameters()
        optimizer = copy.deepcopy(self.optimizer)
        self._give_optimizer(optimizer, member)
        schedule = {name: self.by_member[name][member].item() for name in own if name.startswith(_RATE)}
        # What is 0 for a member, such as a momentum, is an argument of the program that it shares with the others.
        return dict.fromkeys(self.optimizer.hyperparameters(), 0.0) | optimizer.hyperparameters() | schedule

    def _give_optimizer(self, optimizer: Optimizer, member: int) -> None:
        """Set an optimiser to the values of a member."""
        for name, values in self.by_member.items():
            if name.startswith(_RATE):
                setattr(optimizer.learning_rate, name.removeprefix(_RATE), values[member].item())
            elif self._kind(name) == "optimizer":
                setattr(optimizer, name, values[member].item())

    def numbers(self, objective, members) -> Numbers:
        """What the program takes for some members, each number with an axis of members."""
        members, dtype = np.asarray(members), objective.number

        def column(name, value):
            values = self.by_member.get(name)
            return np.full(len(members), value, dtype) if values is None else values[members].astype(dtype)

        numbers = [self._hyperparameters(member) for member in members]
        optimizer = {name: np.array([own[name] for own in numbers], dtype) for name in numbers[0]}
        losses = {output.name: column(f"loss_weights/{output.name}", output.loss_weight)
                  for output in objective.outputs}
        return Numbers(optimizer, losses, self.settings(members, dtype))

    def settings(self, members, dtype: str = "float32") -> dict[str, np.ndarray]:
        """The settings of layers of some members by path."""
        return {name: values[members].astype(dtype) for name, values in self.by_member.items()
                if self._kind(name) == "setting"}

    def initial(self, member: int) -> tuple[Any, dict[str, Any]]:
        """What decides how the weights of a member start, beside its seed: the scale, and initialisers' settings."""
        found = {name: np.float32(values[member]) for name, values in self.by_member.items()
                 if self._kind(name) == "initial"}
        return found.pop(INITIALIZER_SCALE, None), found

    def give(self, model, member: int) -> None:
        """Make the values of a member the settings of a model."""
        compiled = model._compiled
        compiled.optimizer = copy.deepcopy(self.optimizer)
        self._give_optimizer(compiled.optimizer, member)
        layers = dict(walk(model))
        for name, value in self.of(member).items():
            path, _, setting = name.rpartition("/")
            if name.startswith("loss_weights/"):
                weights = compiled._by_name(compiled.loss_weights, model.output_names, "loss_weights")
                compiled.loss_weights = weights | {setting: value}
            elif path in layers:
                setattr(layers[path], setting, value)
            elif path and self._kind(name) != "optimizer":
                outer, _, part = path.rpartition("/")
                _change_part(layers[outer], part, setting, value)


def _change_part(layer, part: str, setting: str, value: float) -> None:
    """Change a number of a regulariser or initialiser of a layer: in its weight, and in the setting it comes from."""
    before = _parts_of(layer)[part]
    after = copy.copy(before)
    after.__dict__["_arguments"] = dict(before._arguments)
    setattr(after, setting, value)
    kind = before.kind
    weight = layer.own_weights().get(part.removesuffix(f"_{kind}"))
    if weight is not None:
        setattr(weight, kind, after)
    own = [name for name in setting_names(type(layer)) if name.endswith(kind) and layer.__dict__.get(name) is not None]
    for name in [part] if part in own else own:  # the setting of `depthwise_kernel` is `depthwise_regularizer`
        given = layer.__dict__[name]
        if name == part or given is before or type(_GET[kind](given)) is type(before):
            setattr(layer, name, after)


def by_member(name: str, values, size: int) -> np.ndarray:
    """One number a member, from a number for all or a list of them.

    Example:
        >>> by_member("learning_rate", 0.5, 3).tolist(), by_member("learning_rate", [1, 2, 3], 3).tolist()
        ([0.5, 0.5, 0.5], [1.0, 2.0, 3.0])
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or array.dtype.kind == "b":
        raise SettingError(f"{name!r} takes numbers, one for all members or one a member; got {shortened(values)}.")
    if array.ndim > 1 or (array.ndim == 1 and len(array) != size):
        raise ShapeError(f"{name!r} has the shape {format_shape(array.shape)}, and there are {size} members: give one "
                         f"number for all of them, or {size}.")
    array = np.broadcast_to(array, (size,)).astype(np.float64)
    if not np.isfinite(array).all():
        raise SettingError(f"{name!r} holds {array[~np.isfinite(array)][0]} for the member "
                           f"{int((~np.isfinite(array)).argmax())}; expected finite numbers.")
    return array
