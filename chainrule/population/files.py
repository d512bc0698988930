"""Files of populations: what is in them, and how a population is made of it again.

A zip archive of four members:

- `model.json` and `weights.safetensors`: the network that all members are copies of, as in a model's file;
- `population.json`: how members differ, and what the last fit was;
- `members.safetensors`: the arrays of all members, with the members in front, `weights/dense/kernel` and so on; their
  values and seeds; the folds of rows; the figures of the last fit.
"""
import copy
import dataclasses
import json
from collections.abc import Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from chainrule.errors import FileFormatError
from chainrule.models import Model, Sequential
from chainrule.population.history import PopulationHistory
from chainrule.population.rows import MemberRows
from chainrule.population.store import Store
from chainrule.saving import archive, tensors
from chainrule.saving.format import MEMBERS, compare, failing, flat, make_model, model_members
from chainrule.saving.strict import parse_json

FORMAT_VERSION = 1
_LONGEST_DESCRIPTION = 16 << 20
_MOST_MEMBERS = 1_000_000
_OWN = MappingProxyType({"population.json": _LONGEST_DESCRIPTION, "members.safetensors": None})
_ENTRIES = MappingProxyType({"format": str, "version": int, "chainrule": str, "size": int, "bootstrap": bool,
                             "order": str, "initial": str, "folds": (int, type(None)), "folds_by_row": bool,
                             "seeds_given": bool, "values": list, "history": (dict, type(None))})
_BY_MEMBER = ("stopped_epoch", "best_epoch", "failed")


def save_population(population, path, overwrite: bool = True) -> None:
    """Write a population to a file; `Population.save` calls this."""
    model, values, store = copy.copy(population._model), population._values, population._store
    model.__dict__["_compiled"] = dataclasses.replace(model._compiled, optimizer=values.optimizer, optimizer_state=None)
    by_row = isinstance(population._folds, np.ndarray)
    history = population._history
    description = {
        "format": "chainrule population", "version": FORMAT_VERSION, "chainrule": version("chainrule"),
        "size": population.size, "bootstrap": population._bootstrap, "order": population._order,
        "initial": population._initial, "folds": None if by_row else population._folds, "folds_by_row": by_row,
        "seeds_given": population._given_seeds is not None, "values": list(values.by_member),
        "history": history and {"epoch": [int(epoch) for epoch in history.epoch], "names": list(history.history),
                                "params": history.params}}
    arrays = flat("weights", store.weights) | flat("state", store.state) | flat("optimizer", store.optimizer)
    arrays |= {f"values/{name}": array for name, array in values.by_member.items()}
    arrays["seeds"] = population.seeds.astype(np.int64)
    if by_row:
        arrays["folds"] = population._folds.astype(np.int64)
    if population.folds is not None:
        arrays["fold_of_row"] = population.folds.astype(np.int64)
    if history is not None:
        arrays |= {f"history/{name}": figures for name, figures in history.history.items()}
        arrays |= {f"members/{name}": getattr(history, name) for name in _BY_MEMBER}
    text = json.dumps(description, indent=1, allow_nan=False).encode()
    archive.write_members(path, {**model_members(model), "population.json": text,
                                 "members.safetensors": tensors.pack(arrays)}, overwrite)


def load_population(cls, path, custom_objects: Mapping[str, Any] | None = None):
    """Make the population in a file; `Population.load` calls this."""
    with archive.naming(path, "a chainrule population"):
        members = archive.read_members(path, {**MEMBERS, **_OWN})
        description = _checked(parse_json(members["population.json"], "population.json"))
        model = make_model(members, [Model, Sequential], custom_objects)
        if "_compiled" not in model.__dict__ or not model.built:
            raise FileFormatError("its model is not compiled and built")
        found = tensors.unpack(members["members.safetensors"], "members.safetensors")
        size = description["size"]
        values = {name: _taken(found, f"values/{name}", (size,), np.float64) for name in description["values"]}
        seeds = _taken(found, "seeds", (size,), np.int64)
        folds = _taken(found, "folds", (None,), np.int64) if description["folds_by_row"] else description["folds"]
        with failing("what its members differ in is not valid"):
            population = cls(model, size, folds=folds, bootstrap=description["bootstrap"], order=description["order"],
                             initial=description["initial"], settings=values, seed=seeds)
        if not description["seeds_given"]:
            population._given_seeds = None
        if "fold_of_row" in found:
            population._rows = MemberRows([], [], _taken(found, "fold_of_row", (None,), np.int64))
        if description["history"] is not None:
            population._history = _history(description["history"], found, size)
        population._store = _store(population, found)
    return population


def _checked(description) -> dict[str, Any]:
    """The description of a population, every entry of its kind."""
    if not isinstance(description, dict) or description.get("format") != "chainrule population":
        raise FileFormatError("population.json does not say that it describes a chainrule population")
    written = description.get("version")
    if isinstance(written, int) and written > FORMAT_VERSION:
        raise FileFormatError(f"it was written by a newer chainrule ({description.get('chainrule')}, format version "
                              f"{written}; this one reads up to {FORMAT_VERSION}). Upgrade with pip install --upgrade "
                              f"chainrule")
    if differing := set(description) ^ set(_ENTRIES):
        raise FileFormatError(f"population.json has missing or unexpected entries: "
                              f"{', '.join(map(repr, sorted(differing)))}")
    for name, kind in _ENTRIES.items():
        value = description[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise FileFormatError(f"population.json has the entry {name!r} of a kind that it cannot have")
    names = description["values"]
    if not 1 <= description["size"] <= _MOST_MEMBERS or not all(isinstance(name, str) for name in names):
        raise FileFormatError("population.json does not say how many members there are, or in what they differ")
    return description


def _taken(found: dict[str, np.ndarray], name: str, shape: tuple, dtype) -> np.ndarray:
    """A copy of an array of the file, taken out of those that are left; sizes that are `None` are open."""
    if name not in found:
        raise FileFormatError(f"the array {name!r} is missing")
    array = found.pop(name)
    fits = array.ndim == len(shape) and all(wanted in (None, size) for wanted, size in zip(
        shape, array.shape, strict=True))
    if not fits or array.dtype != dtype:
        raise FileFormatError(f"the array {name!r} has the shape {array.shape} and the type {array.dtype}, which do "
                              f"not fit the others")
    return np.array(array)


def _history(description: dict, found: dict[str, np.ndarray], size: int) -> PopulationHistory:
    """The record of the last fit."""
    epochs, names, params = (description.get(name) for name in ("epoch", "names", "params"))
    if (set(description) != {"epoch", "names", "params"} or not isinstance(epochs, list) or not isinstance(names, list)
            or not isinstance(params, dict) or not all(isinstance(name, str) for name in names)
            or not all(isinstance(epoch, int) and not isinstance(epoch, bool) for epoch in epochs)
            or len(set(epochs)) != len(epochs)):
        raise FileFormatError("population.json does not describe the last fit as it should")
    history = PopulationHistory(size, names, params)
    figures = {name: _taken(found, f"history/{name}", (len(epochs), size), np.float64) for name in names}
    for line, epoch in enumerate(epochs):
        history.add(epoch, {name: values[line] for name, values in figures.items()}, np.arange(size))
    for name, dtype in zip(_BY_MEMBER, (np.int64, np.int64, np.bool_), strict=True):
        setattr(history, name, _taken(found, f"members/{name}", (size,), dtype))
    return history


def _store(population, found: dict[str, np.ndarray]) -> Store:
    """The arrays of all members, held against what the network and the optimiser have."""
    model, size = population._model, population.size
    with model._environment():
        trees = dict(zip(("weights", "state"), model.variables(), strict=True))
        trees["optimizer"] = jax.eval_shape(population._initial_optimizer_state, trees["weights"])
        wanted = {kind: jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((size, *leaf.shape), leaf.dtype), tree)
                  for kind, tree in trees.items()}
    names = {kind: _names(kind, tree) for kind, tree in wanted.items()}
    compare(found, {name: spec for kind, tree in wanted.items()
                    for name, spec in zip(names[kind], jax.tree.leaves(tree), strict=True)})
    return Store(*(jax.tree.structure(tree).unflatten([np.array(found[name]) for name in names[kind]])
                   for kind, tree in wanted.items()))


def _names(kind: str, tree) -> list[str]:
    """The names of a tree's arrays in a file, in the order of its leaves."""
    pairs, _ = jax.tree.flatten_with_path(tree)
    return [f"{kind}/{jax.tree_util.keystr(path, simple=True, separator='/')}" for path, _ in pairs]
