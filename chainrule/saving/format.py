"""Model files: what is in them, and how a model is made of it again.

A model file is a zip archive of two members:

- `model.json`: what the model is made of: layers by their names in the closed registries, and their settings; the
  arguments of `compile`; the names of the classes and the preparation of the data, where there are any.
- `weights.safetensors`: arrays by name: `weights/dense/kernel`, `state/batch_normalization/moving_mean`,
  `optimizer/first_moment/dense/kernel`, and `setting/0` for arrays among the settings.

Nothing in a file is executed, and no name is looked up anywhere but in the registries and in `custom_objects`.
"""
import contextlib
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from chainrule import (
    activations,
    constraints,
    data,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
)
from chainrule.configuration import Registry, SymbolNumber, deserialize, serialize
from chainrule.errors import FileFormatError, NotReadyError, SettingError, UnknownLayerError, format_shape
from chainrule.layers.binding import Tree, branch, frozen_paths, hold, walk
from chainrule.layers.symbol import Symbol
from chainrule.network.graph import InputLayer, Network
from chainrule.optimizers.base import flatten_with_paths
from chainrule.precision import precision, variable_dtype
from chainrule.saving import archive, tensors
from chainrule.saving.strict import find_problem, parse_json
from chainrule.training.objective import split_frozen

FORMAT_VERSION = 1
_LONGEST_DESCRIPTION = 16 << 20
MEMBERS = MappingProxyType({"model.json": _LONGEST_DESCRIPTION, "weights.safetensors": None})  # and their limits
_ENTRIES = {"format", "version", "chainrule", "model", "inputs", "compile"}


def save_model(model, path, overwrite: bool = True, include_optimizer: bool = True) -> None:
    """Write a model to a file; `Model.save` calls this.

    Args:
        model: a `Model` or `Sequential`.
        path: the file.
        overwrite: whether a file that is there may be replaced.
        include_optimizer: whether the arguments of `compile` and the state of the optimiser are kept.

    Raises:
        SettingError: a setting cannot be said in plain data (a lambda, an optax transformation).
        FileAccessError: the file cannot be written there.
    """
    archive.write_members(path, model_members(model, include_optimizer), overwrite)


def model_members(model, include_optimizer: bool = True) -> dict[str, bytes]:
    """The members of a model's file by name.

    Raises:
        SettingError: a setting cannot be said in plain data.
    """
    compiled = model.__dict__.get("_compiled") if include_optimizer else None
    text, settings = describe_model(model, include_optimizer)
    arrays = _model_arrays(model)
    if compiled is not None and _fits(compiled.optimizer_state, _optimizer_specs(model, compiled.optimizer)):
        arrays |= flat("optimizer", compiled.optimizer_state)
    arrays |= {f"setting/{index}": array for index, array in enumerate(settings)}
    return dict(zip(MEMBERS, (text, tensors.pack(arrays)), strict=True))


def describe_model(model, include_optimizer: bool = True) -> tuple[bytes, list[np.ndarray]]:
    """What `model.json` says of a model, and the arrays among its settings.

    Raises:
        SettingError: a setting cannot be said in plain data.
    """
    settings: list[np.ndarray] = []
    compiled = model.__dict__.get("_compiled") if include_optimizer else None
    write = lambda value: serialize(value, _registries([type(model)]), settings)
    description = {
        "format": "chainrule model", "version": FORMAT_VERSION, "chainrule": version("chainrule"),
        "model": write(model), "inputs": write(_described_inputs(model)),
        "compile": compiled and write({"optimizer": compiled.optimizer, "loss": compiled.loss,
                                       "loss_weights": compiled.loss_weights, "metrics": compiled.metrics})}
    if model.class_names is not None:
        description["class_names"] = model.class_names
    if model.preparation is not None:
        description["preparation"] = write(model.preparation)
    if (problem := find_problem(description)) is not None:
        raise SettingError(f"The model cannot be kept in a file: its description {problem}.")
    text = json.dumps(description, indent=1, allow_nan=False).encode()
    if len(text) > _LONGEST_DESCRIPTION:
        raise SettingError(f"The model cannot be kept in a file: its settings take {len(text):,} bytes; at most "
                           f"{_LONGEST_DESCRIPTION:,} are allowed.")
    return text, settings


def load_model(path, networks: Iterable[type], custom_objects: Mapping[str, Any] | None = None):
    """Make the model in a file; `chainrule.models.load_model` calls this.

    Args:
        path: the file.
        networks: the classes of networks that a file may name beside the layers.
        custom_objects: classes and functions of the user's own, by name.

    Raises:
        FileFormatError: the file is damaged or is not a model file.
        UnknownLayerError: it names something that is neither built in nor in `custom_objects`.
    """
    custom_objects = _checked_objects(custom_objects)
    with archive.naming(path, "a chainrule model"):
        return make_model(archive.read_members(path, MEMBERS), networks, custom_objects)


def make_model(members: Mapping[str, bytes], networks: Iterable[type], custom_objects: Mapping[str, Any] | None = None):
    """The model in the members of a file, which are `MEMBERS` and maybe others.

    Raises:
        FileFormatError, UnknownLayerError: as `load_model`, the file not named.
    """
    custom_objects = _checked_objects(custom_objects)
    description = _checked_description(parse_json(members["model.json"], "model.json"))
    stored = members["weights.safetensors"]
    specs = tensors.read_header(stored, "weights.safetensors")
    found = {name: tensors.view(stored, spec) for name, spec in specs.items()}  # views: nothing is allocated
    settings = [found.pop(f"setting/{index}") for index in range(_count_settings(found))]
    read = lambda value: deserialize(value, _registries(networks), custom_objects, settings)
    model = read(description["model"])
    if not isinstance(model, Network) or not isinstance(model, (*networks, *_classes(custom_objects))):
        raise FileFormatError("model.json does not describe a model")
    if (inputs := read(description["inputs"])) is not None:
        with failing("the model cannot be built for the inputs that the file names"):
            _build(model, inputs)
    with failing("the names of the classes are not valid"):
        model.class_names = description.get("class_names")
    with failing("the preparation of its data is not valid"):
        model.preparation = read(description.get("preparation"))
    training = {name: found.pop(name) for name in list(found) if name.startswith("optimizer/")}
    _take_arrays(model, found)
    if description["compile"] is not None:
        with failing("the arguments of compile are not valid"):
            model.compile(**read(description["compile"]))
        _take_optimizer_state(model, training)
    elif training:
        raise FileFormatError(f"the array {next(iter(training))!r} belongs to an optimiser, and the file has none")
    return model


def save_weights(model, path, overwrite: bool = True) -> None:
    """Write a model's weights and running statistics to a safetensors file; `Model.save_weights` calls this."""
    _require_built(model, "save_weights")
    data = tensors.pack(_model_arrays(model))
    archive.write_atomically(path, lambda file: file.write(data), overwrite)


def load_weights(model, path) -> None:
    """Take weights and running statistics from a file of `save_weights`; `Model.load_weights` calls this.

    Raises:
        FileFormatError: the file is damaged, or its arrays are not those of this model.
    """
    _require_built(model, "load_weights")
    with archive.naming(path, "weights of this model"):
        with open(path, "rb") as file:
            data = file.read()
        _take_arrays(model, tensors.unpack(data, "the file"))


def _require_built(model, what: str) -> None:
    if not model.built:
        raise NotReadyError(
            f"{what} needs a model that is built. Give the first layer an input shape (Input(...) or "
            f"input_shape=...), or call the model on data first.")


@contextlib.contextmanager
def failing(reason: str):
    """Whatever a layer or an optimiser raises on settings from a file, as an error of that file."""
    try:
        yield
    except (FileFormatError, UnknownLayerError):
        raise
    except Exception as error:
        raise FileFormatError(f"{reason} ({type(error).__name__}: {error})") from error


def _registries(networks: Iterable[type]) -> dict[str, Registry]:
    """The closed lists of names that a file may use, by kind."""
    listed = [activations, constraints, data, initializers, losses, metrics, optimizers, regularizers, schedules]
    found = {module.registry.kind: module.registry for module in listed}
    return found | {"layer": Registry("layer", [InputLayer, *networks], layers.registry.entries)}


def _checked_objects(custom_objects) -> dict[str, Any]:
    if custom_objects is None:
        return {}
    if not isinstance(custom_objects, Mapping) or not all(isinstance(name, str) for name in custom_objects):
        raise SettingError(
            f"custom_objects is a dict of classes and functions by name, such as {{'MyLayer': MyLayer}}; got "
            f"{custom_objects!r}.")
    return dict(custom_objects)


def _classes(custom_objects: Mapping[str, Any]) -> list[type]:
    return [entry for entry in custom_objects.values() if isinstance(entry, type)]


def _checked_description(description) -> dict[str, Any]:
    if not isinstance(description, dict) or description.get("format") != "chainrule model":
        raise FileFormatError("model.json does not say that it describes a chainrule model")
    written = description.get("version")
    if isinstance(written, bool) or not isinstance(written, int) or written < 1:
        raise FileFormatError(f"model.json names the format version {written!r}, which there is none of")
    if written > FORMAT_VERSION:
        raise FileFormatError(
            f"it was written by a newer chainrule ({description.get('chainrule')}, format version {written}; this one "
            f"reads up to {FORMAT_VERSION}). Upgrade with pip install --upgrade chainrule")
    if found := (set(description) - {"class_names", "preparation"}) ^ _ENTRIES:
        differing = ", ".join(map(repr, sorted(found)))
        raise FileFormatError(f"model.json has missing or unexpected entries: {differing}")
    return description


def _count_settings(found: Mapping[str, Any]) -> int:
    """How many arrays among the settings a file has: `setting/0`, `setting/1`, ..."""
    count = sum(name.startswith("setting/") for name in found)
    for index in range(count):
        if f"setting/{index}" not in found:
            raise FileFormatError(f"the arrays among the settings are not numbered from 0 to {count - 1}")
    return count


# Building again a model that has no graph: the shapes of the inputs it was built for.

def _described_inputs(model):
    """The inputs that a model with a `call` of its own was built for; `None` for a graph, and where it is not built."""
    symbols = model.__dict__.get("_input_symbols")
    if symbols is None or model.__dict__.get("_graph") is not None:
        return None
    leaves, structure = jax.tree.flatten(symbols)
    return {"shapes": [list(symbol.shape) for symbol in leaves],
            "structure": structure.unflatten([SymbolNumber(index) for index in range(len(leaves))])}


def _build(model, inputs) -> None:
    symbols = [Symbol(tuple(shape)) for shape in inputs["shapes"]]
    structure = jax.tree.map(lambda number: symbols[number], inputs["structure"])
    model._build_for(*structure)


# Arrays.

def _model_arrays(model) -> dict[str, np.ndarray]:
    """Weights and state by name; nothing where the model is not built."""
    if not model.built:
        return {}
    weights, state = model.variables()
    return flat("weights", weights) | flat("state", state)


def flat(prefix: str, tree) -> dict[str, np.ndarray]:
    paths, leaves, _ = flatten_with_paths(tree)
    named = {f"{prefix}/{path}": np.asarray(leaf) for path, leaf in zip(paths, leaves, strict=True)}
    if len(named) != len(leaves):
        raise SettingError(
            "The model cannot be kept in a file: two of its arrays would have the same name there. Leave out slashes "
            "in the names of weights.")
    return named


def _take_arrays(model, found: Mapping[str, np.ndarray]) -> None:
    """Put the arrays of a file into a model, after all have been held against what its layers declare."""
    if not model.built:
        if found:
            raise FileFormatError(f"the array {next(iter(found))!r} belongs to no layer: the model is not built")
        return
    declared = {}
    for path, layer in walk(model):
        for name, weight in layer.own_weights().items():
            kind = "weights" if weight.trainable else "state"
            full = "/".join(filter(None, (kind, path, name)))
            spec = jax.ShapeDtypeStruct(weight.shape, weight.dtype or variable_dtype(model.dtype))
            declared[full] = (kind, path, name, spec)
    compare(found, {full: spec for full, (*_, spec) in declared.items()})
    trees: dict[str, Tree] = {"weights": {}, "state": {}}
    with precision(model.dtype):
        for full, (kind, path, name, _) in declared.items():
            branch(trees[kind], path)[name] = jax.numpy.array(found[full])
    hold(model, trees["weights"], trees["state"])


def compare(found: Mapping[str, np.ndarray], wanted: Mapping[str, jax.ShapeDtypeStruct]) -> None:
    """Raise where arrays are missing or too many, or have another shape or type than they should."""
    for name, spec in wanted.items():
        if name not in found:
            raise FileFormatError(f"the array {name!r} is missing")
        if found[name].shape != spec.shape:
            raise FileFormatError(f"the array {name!r} has the shape {format_shape(found[name].shape)}; the model's "
                                  f"has {format_shape(spec.shape)}")
        if found[name].dtype != spec.dtype:
            raise FileFormatError(f"the array {name!r} has the type {found[name].dtype}; the model's has {spec.dtype}")
    for name in found:
        if name not in wanted:
            raise FileFormatError(f"the array {name!r} belongs to nothing in the model")


def _optimizer_specs(model, optimizer):
    """An optimiser's state for a model, shapes and types in place of arrays; `None` if the model is not built."""
    if not model.built:
        return None
    with precision(model.dtype):
        trained, kept = split_frozen(model.variables()[0], frozen_paths(model))
        return jax.eval_shape(optimizer.init_beside, trained, kept)


def _fits(state, specs) -> bool:
    """Whether training would go on from a state; one of other frozen layers is dropped by the next fit too."""
    return state is not None and jax.tree.structure(state) == jax.tree.structure(specs)


def _take_optimizer_state(model, found: Mapping[str, np.ndarray]) -> None:
    """Put the optimiser's arrays of a file where training left them, if it had begun."""
    if not found:
        return
    with failing("the state of the optimiser does not fit the model"):
        paths, leaves, tree = flatten_with_paths(_optimizer_specs(model, model.optimizer))
    names = [f"optimizer/{path}" for path in paths]
    compare(found, dict(zip(names, leaves, strict=True)))
    with precision(model.dtype):
        model._compiled.optimizer_state = tree.unflatten([jax.numpy.array(found[name]) for name in names])
