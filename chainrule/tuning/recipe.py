"""What each name of a space decides: a number that members of a population may differ in, or the shape of a network."""
import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice, product
from numbers import Real
from typing import Any

from chainrule.errors import SettingError, UnknownNameError, did_you_mean, shortened
from chainrule.models import Model
from chainrule.population.values import Values
from chainrule.saving.format import describe_model
from chainrule.tuning.space import Dimension

FIT = ("batch_size",)  # names of a space that neither a builder nor a population takes, but the fit
_MOST_PROBES = 4  # values that a parameter of the builder is tried with
_MOST_SHAPES = 32  # of a space that are looked at for a name


@dataclass(eq=False)
class Shape:
    """Networks of one shape: what trials of one group share.

    Attributes:
        model: one of them, compiled.
        key: the values that decide the shape, by name.
        axis: for each other name of the space the numbers of the network that it sets; none where this shape has no
            such number (the rate of a dropout layer that is not there).
    """

    model: Model
    key: dict[str, Any]
    axis: dict[str, list[str]]

    def settings(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The numbers of the network that values set, by path."""
        return {full: values[name] for name, paths in self.axis.items() for full in paths}


@dataclass(eq=False)
class Recipe:
    """How values become networks.

    A number goes to the population's axis where it is one of the network's numbers by its own name. A parameter of a
    builder does too, where networks built with two values of it differ in nothing but in numbers that may differ
    between members, and those are the values that were given. All else decides shapes.

    Args:
        source: a compiled model, or a function of the values that returns one.
        space: the dimensions by name.
        x: the inputs, by which a network without an input shape is built.

    Attributes:
        parameters: of the builder.
    """

    source: Model | Callable[..., Model]
    space: Mapping[str, Dimension]
    x: Any
    parameters: tuple[str, ...] = ()
    _shapes: list[Shape] = field(default_factory=list)
    _keys: dict[tuple, tuple[str, ...]] = field(default_factory=dict)
    _probed: dict[tuple, dict[str, list[str] | None]] = field(default_factory=dict)

    def __post_init__(self):
        if isinstance(self.source, Model):
            self.source._require_compiled("tune")
            self.source = copy.deepcopy(self.source)  # the user's stays as it is
            with self.source._environment():
                self.source._ensure_built(self.x)
        elif callable(self.source) and not isinstance(self.source, type):
            self.parameters = _parameters(self.source, self.space)
        else:
            raise SettingError(f"tune takes a compiled model, or a function of the values that builds one; got "
                               f"{shortened(self.source)}.")

    def shape(self, values: Mapping[str, Any]) -> Shape:
        """The shape that values lead to, the same object for the same shape."""
        certain = tuple(name for name in self.space if name in FIT or (
            name in self.parameters and not self.space[name].numeric))
        start = _hashable(values, certain)
        if start not in self._keys:
            self._keys[start] = certain + self._shaping(values, certain)
        names = self._keys[start]
        for shape in self._shapes:
            if set(names) <= set(shape.key) and all(_same(values[name], own) for name, own in shape.key.items()):
                return shape
        made = self._made(values, {name: values[name] for name in self.space if name in names})
        self._shapes.append(made)
        return made

    def _shaping(self, values: Mapping[str, Any], certain: tuple[str, ...]) -> tuple[str, ...]:
        """The numeric parameters of the builder that decide shapes, beside those that certainly do."""
        paths = self._paths(values, [name for name in self.parameters if name not in certain])
        return tuple(name for name, own in paths.items() if own is None)

    def _made(self, values: Mapping[str, Any], key: dict[str, Any]) -> Shape:
        model = self.build(values)
        known = Values(model, 1, {})
        axis = self._paths(values, [name for name in self.parameters if name not in key])
        # What sets a number alone in networks of other shapes may decide more here.
        key |= {name: values[name] for name, paths in axis.items() if paths is None}
        axis = {name: paths for name, paths in axis.items() if paths is not None}
        axis |= {name: _resolved(known, name) or [] for name in self.space if name not in key and name not in axis}
        return Shape(model, key, axis)

    def build(self, values: Mapping[str, Any]) -> Model:
        """A new network for values; those that are no parameters of the builder are not yet in it."""
        if isinstance(self.source, Model):
            return self.source
        model = self.source(**{name: values[name] for name in self.parameters})
        if not isinstance(model, Model):
            raise SettingError(f"The builder returned {shortened(model)}; expected a compiled model. Does it end in "
                               f"return model?")
        model._require_compiled("tune")
        with model._environment():
            model._ensure_built(self.x)
        return model

    def model(self, values: Mapping[str, Any]) -> Model:
        """A new network with all its values, not trained."""
        return _given(self.build(values), self.shape(values).settings(values))

    def _paths(self, values: Mapping[str, Any], names: list[str]) -> dict[str, list[str] | None]:
        """For parameters of the builder the numbers of a network that each sets; `None` for those that do more.

        Building takes a tenth of a second: all are changed together, and one by one only where that says nothing.
        """
        known = _hashable(values, self.parameters), tuple(names)
        if known not in self._probed:
            one = self.build(values)
            together = self._probe(one, values, names)
            self._probed[known] = together or {
                name: (self._probe(one, values, [name]) or {name: None})[name] for name in names}
        return self._probed[known]

    def _probe(self, one: Model, values: Mapping[str, Any], names: list[str]) -> dict[str, list[str]] | None:
        """The numbers that some parameters set; `None` where networks with other values of them differ in more."""
        probes = {name: [value for value in self.space[name].probes() if value != values[name]][:_MOST_PROBES]
                  for name in names}
        found: dict[str, set[str]] = {name: set() for name in names}
        for place in range(max(map(len, probes.values()), default=0)):
            other = {**values, **{name: own[min(place, len(own) - 1)] for name, own in probes.items() if own}}
            changed = _changed(one, values, self.build(other), other, names)
            if changed is None:
                return None
            for name, paths in changed.items():
                found[name] |= paths
        return {name: sorted(paths) for name, paths in found.items()}

    def check(self, base: Mapping[str, Any]) -> Shape:
        """The shape of some values, every name of the space checked.

        Raises:
            UnknownNameError: a name is none of the builder's parameters, and no network of the space has such a number.
            SettingError: a name has values that are no numbers, and only a builder could take them.
        """
        missing = [name for name in self.space if name not in self.parameters and name not in FIT]
        problem: Exception | None = None
        for values in self._examples(base):
            if not missing:
                break
            known = Values(self.build(values), 1, {})
            missing, before = [], missing
            for name in before:
                try:
                    known.resolve(name)
                except (SettingError, UnknownNameError) as error:
                    problem = problem or self._worded(name, error, known)
                    missing.append(name)
        if missing:
            raise problem
        for name in self.space:
            if name not in self.parameters and name not in FIT and not self.space[name].numeric:
                raise SettingError(f"The values of {name!r} are no numbers, in which members of a population could "
                                   f"differ: {shortened(self.space[name].probes())}. Give a function that builds the "
                                   f"model and has the parameter {name}.")
        shape = self.shape(base)
        for name, paths in shape.axis.items():
            ends = self.space[name].ends()
            Values(shape.model, len(ends), dict.fromkeys(paths, ends))  # raises what the owner of a number would
        return shape

    def _examples(self, base: Mapping[str, Any]):
        """Values of different shapes, `base` first."""
        yield base
        names = [name for name in self.parameters if name in self.space]
        for values in islice(product(*(self.space[name].probes() for name in names)), _MOST_SHAPES):
            yield {**base, **dict(zip(names, values, strict=True))}

    def _worded(self, name: str, error: Exception, known: Values) -> Exception:
        """Why a name stands for nothing."""
        if "Members cannot differ" not in str(error):
            return error
        if isinstance(self.source, Model):
            return UnknownNameError(
                f"The space has {name!r}, which is no number of the model that can be searched without another shape. "
                f"{did_you_mean(name, [*known.known(), *FIT])} For what decides shapes, give a function that builds "
                f"the model and has the parameter {name.rpartition('/')[2]}.")
        return UnknownNameError(
            f"The space has {name!r}, which is neither a parameter of the builder nor a number of the model. "
            f"{did_you_mean(name, [*known.known(), *_names(self.source), *FIT])}")


def _names(builder) -> list[str]:
    return [name for name, parameter in inspect.signature(builder).parameters.items()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)]


def _parameters(builder, space: Mapping[str, Dimension]) -> tuple[str, ...]:
    """The names of a space that a builder takes; an error where it needs others."""
    parameters = inspect.signature(builder).parameters
    for name, parameter in parameters.items():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise SettingError(f"The builder's parameters are given by name, and {name!r} takes none.")
        needed = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if needed and name not in space:
            raise SettingError(f"The builder needs {name!r}, of which the space says nothing. Add {name!r} to the "
                               f"space (one value will do), or give the parameter a default. "
                               f"{did_you_mean(name, space)}")
    return tuple(name for name in space if name in _names(builder))


def _resolved(known: Values, name: str) -> list[str] | None:
    """The full names of the numbers that a name stands for; `None` where the network has none."""
    try:
        return known.resolve(name)
    except (SettingError, UnknownNameError):
        return None


def _changed(one: Model, first: Mapping[str, Any], two: Model, second: Mapping[str, Any], names: list[str]
             ) -> dict[str, set[str]] | None:
    """The numbers in which two networks differ, by the parameter whose values they are; `None` if more differs."""
    if any(isinstance(own[name], bool) or not isinstance(own[name], Real) for own in (first, second) for name in names):
        return None
    numbers, others = Values(one, 1, {}).known(), Values(two, 1, {}).known()
    if set(numbers) != set(others):
        return None
    found: dict[str, set[str]] = {name: set() for name in names}
    for full in numbers:
        if numbers[full] == others[full]:
            continue
        owners = [name for name in names if numbers[full] == first[name] and others[full] == second[name]]
        if len(owners) != 1:
            return None
        found[owners[0]].add(full)
    settings = {full: second[name] for name, paths in found.items() for full in paths}
    try:
        return found if _description(_given(one, settings)) == _description(two) else None
    except (SettingError, UnknownNameError):  # what cannot be written down cannot be compared
        return None


def _given(model: Model, settings: Mapping[str, Any]) -> Model:
    """A copy of a network with some of its numbers set."""
    model = copy.deepcopy(model)
    Values(model, 1, settings).give(model, 0)
    return model


def _description(model: Model):
    text, arrays = describe_model(model)
    compiled = model._compiled
    how = (compiled.deterministic, getattr(compiled, "device", None), model.dtype)
    return text, [(array.shape, str(array.dtype), array.tobytes()) for array in arrays], how


def _same(one, other) -> bool:
    """Whether two values are the same: 1 is not `True`, and an array is itself alone."""
    if one is other:
        return True
    return type(one) is type(other) and not hasattr(one, "__array__") and bool(one == other)


def _hashable(values: Mapping[str, Any], names: tuple[str, ...]) -> tuple:
    """Values as a key; those that cannot be hashed as they are written."""
    def key(value):
        try:
            hash(value)
        except TypeError:
            return repr(value)
        return type(value), value

    return tuple(key(values[name]) for name in names)
