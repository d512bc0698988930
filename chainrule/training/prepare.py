"""Data as users hand it over, checked and brought into the form that the compiled program takes.

Everything that can be wrong with the data is said here, before anything is traced.
"""
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from chainrule.data import arrays
from chainrule.data.source import Source
from chainrule.devices import Staging, to_device
from chainrule.errors import (
    ChainruleError,
    DataError,
    SettingError,
    ShapeError,
    UnknownNameError,
    did_you_mean,
)
from chainrule.layers.binding import walk
from chainrule.layers.recurrent import TimeDistributed
from chainrule.network.graph import IndexLimit, check_shape, refuse_order
from chainrule.training.objective import Batch, Objective


def input_arrays(model, x, rows=None) -> Any:
    """The inputs of a network as arrays, in the structure that it takes, shapes held against the declared ones.

    Args:
        model: the network.
        x: what was given.
        rows: the numbers of the rows in the source that they come from.
    """
    graph = model.__dict__.get("_graph")
    if graph is None:
        return arrays_of_no_graph(x)
    symbols = jax.tree.leaves(graph.inputs)
    names = [graph.names[id(symbol.node.layer)] for symbol in symbols]
    if isinstance(graph.inputs, dict):
        names = sorted(graph.inputs)
        refuse_order(x, graph.inputs, "x", "input")
    parts = by_name(x, names, "x", "input")
    found = []
    for name, symbol, part in zip(names, symbols, parts, strict=True):
        if part is None:
            raise DataError(f"x has nothing for the input {name!r}.")
        label = "x" if len(names) == 1 else f"x[{name!r}]"
        taker = "the model" if len(names) == 1 else f"the model ({name!r})"
        host = graph.hosts.get(id(symbol))
        array = _numbers(part, label) if host is None else host.layer.read(part, label)
        array = array if host is None else _as_declared(array, symbol.shape, label)
        row_shape = (None, *symbol.shape[1:])  # where the batch size is fixed, that of all data is not
        check_shape(array.shape, row_shape, taker)
        if host is not None:
            array = host.layer.prepare(array)
            check_shape(array.shape, (None, *host.outputs.shape[1:]), f"what follows {host.layer.describe()}")
        found.append(array)
    for limit in graph.index_limits:
        check_indices(found[limit.place], limit, "x" if len(names) == 1 else f"x[{names[limit.place]!r}]", rows)
    return jax.tree.unflatten(jax.tree.structure(graph.inputs), found)


def check_indices(array, limit: IndexLimit, label: str, rows=None) -> None:
    """Raise where an input that goes straight into a table, such as that of an `Embedding`, has an index outside of it.

    Args:
        array: the input.
        limit: which layer's table it is, and how long.
        label: what messages call the input.
        rows: the numbers of its rows in the data that they come from; by default they are all of the data.
    """
    if not array.size or not (array.min() < 0 or array.max() >= limit.count):
        return
    outside = (array < 0) | (array >= limit.count)
    place = np.unravel_index(int(outside.argmax()), array.shape)
    row = place[0] if rows is None else rows[place[0]]
    raise DataError(
        f"{label} has the index {array[place]} in row {row}, and {limit.layer} has {limit.count} vectors, for the "
        f"indices 0 to {limit.count - 1}. Set `{limit.setting}` to the largest index + 1, or map unknown entries to an "
        f"index of their own.")


def arrays_of_no_graph(x) -> Any:
    """The inputs of a network whose `call` says what it takes: one array, or a dict, tuple or list of them.

    A list is taken as several inputs where it holds arrays of rows; a list of rows is one array.
    """
    if isinstance(x, Mapping):
        return {name: arrays_of_no_graph(part) for name, part in x.items()}
    if isinstance(x, tuple) or (isinstance(x, list) and x and all(getattr(part, "ndim", 0) > 1 for part in x)):
        return type(x)(_numbers(part, f"x[{index}]") for index, part in enumerate(x))
    return _numbers(x, "x")


def _numbers(x, label: str):
    """Inputs that go into the program as they are."""
    return arrays.as_arrays(x, label, "A network takes text where it begins with Input((), dtype='string') and "
                            "layers.TextVectorization, or layers.StringLookup for categories.")


def _as_declared(array: np.ndarray, shape: tuple, label: str) -> np.ndarray:
    """Text as (n,) or (n, 1), whichever the input declares: they say the same."""
    if not array.ndim:
        raise DataError(f"{label} is one entry, and a model takes rows: give a list of them, [{str(array)[:40]!r}].")
    if array.ndim == len(shape) + 1 and array.shape[-1] == 1:
        return array[..., 0]
    return array[..., None] if array.ndim == len(shape) - 1 and shape[-1] == 1 else array


def check_chunks(model, source: Source) -> None:
    """Raise where chunks of a source would be prepared to arrays of different shapes, each compiled anew."""
    graph = model.__dict__.get("_graph")
    for host in () if graph is None else graph.hosts.values():
        if host.layer.pads_to_longest:
            text = host.layer.describe()
            raise SettingError(
                f"{text[0].upper()}{text[1:]} pads the texts to the longest of the data at hand, and the "
                f"{type(source).__name__} is read chunk by chunk, of which each has another. Give the layer a length: "
                f"output_sequence_length=...; or load all rows: x, y = source.load().")


def by_name(given, names: list[str], what: str, kind: str) -> list:
    """Parts given as one value, a list in order or a dict by name, in the order of `names`; `None` where missing."""
    if given is None:
        return [None] * len(names)
    if isinstance(given, Mapping):
        for name in given:
            if name not in names:
                raise UnknownNameError(
                    f"{what} names the {kind} {name!r}, which the model does not have. {did_you_mean(name, names)}")
        return [given.get(name) for name in names]
    if len(names) == 1:
        is_wrapped = isinstance(given, (list, tuple)) and len(given) == 1 and np.ndim(given[0]) > 0 and hasattr(
            given[0], "shape")
        return [given[0] if is_wrapped else given]
    if not isinstance(given, (list, tuple)) or len(given) != len(names):
        came = f"{len(given)} parts" if isinstance(given, (list, tuple)) else f"one {type(given).__name__}"
        raise ShapeError(f"{what} must hold one part for each of the {len(names)} {kind}s {names}, as a list or as a "
                         f"dict by name; got {came}.")
    return list(given)


def target_arrays(model, y) -> list[np.ndarray | None]:
    """The targets in the order of the outputs; `None` for an output without one."""
    names = model.output_names
    refuse_order(y, model._output_structure, "y", "output")
    parts = by_name(y, names, "y", "output")
    return [None if part is None else arrays.as_arrays(part, "y" if len(names) == 1 else f"y[{name!r}]")
            for name, part in zip(names, parts, strict=True)]


def check_data(objective: Objective, specs: list, x, y: list, check_values: bool = True, rows=None) -> int:
    """Raise where the data do not fit the network and its losses; the number of rows.

    `rows` are the numbers that they have in their source.
    """
    x_leaves = jax.tree.leaves(x)
    named = {"x" if len(x_leaves) == 1 else f"x[{index}]": leaf for index, leaf in enumerate(x_leaves)}
    labels = ["y" if len(y) == 1 else f"y[{output.name!r}]" for output in objective.outputs]
    named |= {label: target for label, target in zip(labels, y, strict=True) if target is not None}
    count = arrays.check_lengths(named)
    targets = [(output.loss, spec, target, label) for output, spec, target, label
               in zip(objective.outputs, specs, y, labels, strict=True) if output.loss is not None]
    for loss, spec, target, _ in targets:
        loss.check_target(target.shape, (None, *spec.shape[1:]), target.dtype)
    if check_values:
        for name, leaf in named.items():
            if np.issubdtype(leaf.dtype, np.floating):
                arrays.check_finite(leaf, name, rows)
        for loss, spec, target, label in targets:
            check_target_values(loss, spec, target, label)
    return count


def check_target_values(loss, spec, target: np.ndarray, label: str) -> None:
    """Raise where targets cannot be what the loss takes: labels out of range, not 0 or 1."""
    if loss.target_kind == "labels":
        arrays.check_labels(target, spec.shape[-1], label, ignore_class=getattr(loss, "ignore_class", None))
    elif loss.target_kind in ("binary", "one_hot"):
        arrays.check_binary(target, label)


def make_batch(x, y: list, count: int, dtype: str, sample_weight=None, class_weight=None, names=None,
               classes: list | None = None, relative: bool = True, room: int | None = None,
               staging: Staging | None = None) -> Batch:
    """All rows as one `Batch` on the device.

    Args:
        sample_weight: one weight a row (or a step), for all outputs or by output.
        class_weight: weights by label, for all outputs or by output; they count in the loss alone.
        names: the names of the outputs.
        classes: the number of classes of each output.
        relative: whether losses are divided by the mean weight, so that the weights' scale does not matter.
        room: how many rows the arrays get, the last one repeated; `None` for as many as there are.
        staging: memory of earlier copies.
    """
    given = _weights_by_output(sample_weight, names)
    loss_weights, metric_weights, means = [], [], []
    by_class = class_weight if _is_by_output(class_weight, names) else dict.fromkeys(names, class_weight)
    for name, target, weight, class_count in zip(names, y, given, classes, strict=True):
        if weight is not None:
            weight = arrays.as_arrays(weight, "sample_weight").astype(dtype)
            arrays.check_weights(weight)
            if len(weight) != count:
                raise DataError(f"sample_weight has {len(weight)} rows and x has {count}: give one weight a row.")
            weight = weight[:, 0] if weight.ndim == 2 and weight.shape[1] == 1 else weight
        metric_weights.append(weight)
        if by_class.get(name) is not None and target is not None:
            try:
                rows = arrays.class_weights_to_rows(by_class[name], target, class_count).astype(dtype)
            except ChainruleError as error:
                raise type(error)(f"{error}{_whose_class_weight(name, names, class_weight)}") from error
            weight = rows if weight is None else weight * rows.reshape(rows.shape + (1,) * (weight.ndim - 1))
        loss_weights.append(weight)
        means.append(np.ones((), dtype) if weight is None or not relative else weight.mean(dtype=np.float64))
    floats = lambda target: target if target is None or target.dtype.kind not in "fc" else target.astype(dtype)
    batch = Batch(x, tuple(floats(target) for target in y), tuple(loss_weights), tuple(metric_weights), ())
    batch = jax.tree.map(lambda array: to_device(array, room, staging), batch)
    return batch._replace(mean_weights=tuple(to_device(np.asarray(mean, dtype)) for mean in means))


def _weights_by_output(sample_weight, names: list[str]) -> list:
    if isinstance(sample_weight, (Mapping, list, tuple)) and len(names) > 1:
        return by_name(sample_weight, names, "sample_weight", "output")
    return [sample_weight] * len(names)


def _whose_class_weight(name: str, names: list[str], class_weight) -> str:
    """What an error about the classes of one of several outputs adds."""
    if len(names) == 1:
        return ""
    if _is_by_output(class_weight, names):
        return f" This is about the output {name!r}."
    other = next(other for other in names if other != name)
    return (f" This is about the output {name!r}, since class_weight is given for all outputs. Give it by output for "
            f"those of classes: class_weight={{{other!r}: {class_weight!r}}}.")


def _is_by_output(class_weight, names: list[str]) -> bool:
    return isinstance(class_weight, Mapping) and bool(class_weight) and all(key in names for key in class_weight)


def split_source_tail(source: Source, share: float):
    """As `split_tail`, for rows that are streamed."""
    rows = np.arange(len(source))
    labels = [] if source.labels is None else [np.asarray(source.labels)]
    (kept, _, _), (held, _, _) = split_tail(rows, labels, None, share)
    return (source.subset(kept), None, None), (source.subset(held), None, None)


def split_tail(x, y: list, sample_weight, share: float):
    """The rows before and after the split that `validation_split` makes: the tail is held out, before any shuffling."""
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise SettingError(f"validation_split is the share of rows to hold out, between 0 and 1; got {share!r}.")
    count = len(jax.tree.leaves(x)[0])
    cut = int(count * (1 - share))
    if cut in (0, count):
        raise DataError(
            f"validation_split={share} of {count} rows leaves one side empty. Use more rows or another share.")
    for target in y:
        if target is not None and _is_sorted(target):
            warnings.warn(
                "validation_split holds out the last rows, and the targets are sorted: training and validation would "
                "see different values. Shuffle the rows before, or give validation_data.", UserWarning, stacklevel=4)
            break
    part = lambda tree, where: jax.tree.map(lambda leaf: leaf[where], tree)
    weight = None if sample_weight is None else jax.tree.map(np.asarray, sample_weight)
    head, tail = slice(None, cut), slice(cut, None)
    return (part(x, head), part(y, head), part(weight, head)), (part(x, tail), part(y, tail), part(weight, tail))


def _is_sorted(target: np.ndarray) -> bool:
    """Whether targets stand in order, with more than one value."""
    values = target.argmax(-1) if target.ndim == 2 and target.shape[1] > 1 else target.reshape(len(target), -1)[:, 0]
    before, after = values[:-1], values[1:]  # compared, because a difference of unsigned numbers is never negative
    return len(values) > 2 and bool((before <= after).all() or (before >= after).all()) and values[0] != values[-1]


def check_suits_optimizer(model, batches) -> None:
    """Raise, or warn, where an optimiser that needs the same loss at every step would not see it."""
    name = type(model.optimizer).__name__
    if not model.optimizer.needs_all_rows:
        return
    if batches.steps > 1:
        raise SettingError(
            f"{name} searches along a line of the loss over all the data, and batch_size={batches.size} shows it a "
            f"part of the {batches.count} rows. Leave batch_size out, or use an optimizer for batches: 'adam', 'sgd'.")
    for path, layer in walk(model):
        if {"key", "training"} <= layer.accepted_options():
            warnings.warn(
                f"{name} needs the same loss at every step, and {layer.describe(path)} draws random numbers in "
                f"training. Leave such layers out, or use another optimizer.", UserWarning, stacklevel=3)
            return


def warn_if_unsuited(model, objective: Objective) -> None:
    """Warn where a loss expects probabilities or logits and the last activation gives the other."""
    graph = model.__dict__.get("_graph")
    if graph is None:
        return
    for symbol, output in zip(jax.tree.leaves(graph.outputs), objective.outputs, strict=True):
        expects = getattr(output.loss, "expects", "any")
        if output.loss is None or expects == "any":
            continue
        activation = last_activation(symbol)
        gives = activation in ("softmax", "sigmoid", "hard_sigmoid", "sparsemax")
        loss = type(output.loss).__name__
        if expects == "probabilities" and activation in ("linear", "relu", "tanh", "elu", "leaky_relu", "selu"):
            wanted = "sigmoid" if output.loss.target_kind == "binary" else "softmax"
            warnings.warn(
                f"{loss} takes probabilities, but the output {output.name!r} ends in the activation {activation!r}. "
                f"End it in {wanted!r}, or use {loss}(from_logits=True).", UserWarning, stacklevel=4)
        elif expects == "logits" and gives:
            warnings.warn(
                f"{loss}(from_logits=True) takes values before the activation, but the output {output.name!r} ends "
                f"in {activation!r}. Drop from_logits=True, or end the network without an activation.",
                UserWarning, stacklevel=4)
        elif expects == "probabilities" and activation == "softmax" and symbol.shape[-1] == 1:
            warnings.warn(
                f"The output {output.name!r} is a softmax over one unit, which is always 1. Use 'sigmoid'.",
                UserWarning, stacklevel=4)


def last_activation(symbol) -> str | None:
    """The name of the activation that a symbol comes from; `None` where it is not known."""
    layer = symbol.node.layer
    if layer.__dict__.get("_graph") is not None:
        return last_activation(jax.tree.leaves(layer._graph.outputs)[0])
    layer = layer.layer if isinstance(layer, TimeDistributed) else layer
    return getattr(layer.__dict__.get("_activate"), "__name__", None)

