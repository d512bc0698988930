"""What training minimises and reports: losses, metrics and penalties of a network, over one batch, as sums.

Sums are added over batches and divided once, so that a short last batch and weights count exactly.
"""
import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from chainrule import activations, losses, metrics
from chainrule.errors import SettingError
from chainrule.layers.binding import Call, Tree, apply, penalty, walk
from chainrule.losses import Loss
from chainrule.metrics import Metric
from chainrule.precision import variable_dtype


class OwnRows(NamedTuple):
    """The rows that a network sees where it does not see all of the data: a fold, a bootstrap sample.

    Attributes:
        rows: their numbers in the data; a number may stand there more than once.
        count: how many of them count, where members of a population have different numbers of rows; `None` for all.
    """

    rows: Any
    count: Any = None


class Batch(NamedTuple):
    """Some rows of the data, or all of them.

    Attributes:
        x: the structure of inputs; rows come first.
        y: one target for each output, `None` where an output has no loss.
        loss_weights: for each output the weights of rows in the loss, or `None`.
        metric_weights: the same for metrics (class weights count in the loss alone).
        mean_weights: for each output the mean of its loss weights over the data. The batch's loss is divided by it, so
            that the scale of the weights does not matter.
        rows: which rows are real, `None` for all: the last short batch may be padded.
        own: of all the data, the rows that are seen, `None` for all.
    """

    x: Any
    y: tuple
    loss_weights: tuple
    metric_weights: tuple
    mean_weights: tuple
    rows: Any = None
    own: OwnRows | None = None


@dataclass(frozen=True, eq=False)
class Output:
    """One output of the network: its name, its loss (or none), that loss's weight, its metrics by name, its shape."""

    name: str
    loss: Loss | None
    loss_weight: float
    metrics: Mapping[str, Metric]
    shape: tuple[int | None, ...] | None = None


@dataclass(frozen=True, eq=False)
class Objective:
    """The loss and the metrics of a network, as pure functions of its arrays.

    Attributes:
        network: the layer that is evaluated.
        outputs: in the order in which its outputs are flattened.
        dtype: the precision of the network.
    """

    network: Any
    outputs: tuple[Output, ...]
    dtype: str = "float32"

    @property
    def number(self) -> str:
        """The type of losses, metrics and all that is summed."""
        return variable_dtype(self.dtype)

    def zeros(self, batches=None, training: bool = False) -> Tree:
        """The sums before any batch.

        Args:
            batches: the division of the data, for metrics that keep what they saw of data in memory.
            training: whether layers may mix rows, so that there is more to see than there are rows.
        """
        zero = jnp.zeros((), self.number)
        sums = {"rows": zero, "penalty": zero, "losses": {}, "metrics": {}}
        mixed = training and self.mixes_targets
        room = {} if batches is None or batches.chunk or mixed else {"rows": batches.steps * batches.size}
        for output in self.outputs:
            if output.loss is not None:
                sums["losses"][output.name] = {"sum": zero, "weight": zero}
            sums["metrics"][output.name] = {
                name: jax.tree.map(jnp.asarray, metric.zeros(output.shape, **room if metric.keeps_rows else {}))
                for name, metric in output.metrics.items()}
        return sums

    @property
    def mixes_targets(self) -> bool:
        """Whether there is a layer that mixes rows in training."""
        return any(layer.mixes_targets for _, layer in walk(self.network))

    def measure(self, weights: Tree, state: Tree, batch: Batch, sums: Tree, *, key=None, training: bool = False,
                loss_weights=None, settings=None) -> tuple[jax.Array, tuple[Tree, Tree]]:
        """The loss of a batch, and beside it the new state and the sums with this batch added.

        Args:
            loss_weights: by output name; those of the outputs where `None`.
            settings: replacements for plain numbers among the settings, by path.
        """
        predictions, call = apply(self.network, weights, state, (batch.x,), key=key, training=training,
                                  rows=batch.rows, settings=settings, dtype=self.dtype)
        leaves = jax.tree.leaves(predictions)
        count = jnp.asarray(leaves[0].shape[0] if batch.rows is None else batch.rows.sum(), self.number)
        loss_sums, metric_sums, total = {}, {}, jnp.zeros((), self.number)
        if call.mixings and not self.mixes_targets:
            raise SettingError(
                "A layer calls mix_targets without saying so: write `mixes_targets = True` in its class.")
        if training:
            _check_members(call, leaves)
        parts = _mixed(batch, call.mixings)
        for index, (output, prediction) in enumerate(zip(self.outputs, leaves, strict=True)):
            mask = call.mask_of(prediction)
            if output.loss is not None:
                weighted, weight_sum, entries = _loss_sums(output.loss, index, prediction, call, mask, parts)
                mean = 1.0 if batch.loss_weights[index] is None else batch.mean_weights[index]
                factor = output.loss_weight if loss_weights is None else loss_weights[output.name]
                scale = 1.0 if output.loss.reduction == "sum" else entries * mean
                total = total + factor * weighted / scale
                if output.loss.reduction == "sum":
                    weight_sum = jnp.ones((), weighted.dtype)  # a sum over rows is reported as one, batch by batch
                before = sums["losses"][output.name]
                loss_sums[output.name] = {"sum": before["sum"] + weighted, "weight": before["weight"] + weight_sum}
            metric_sums[output.name] = sums["metrics"][output.name]
            for part, share in parts if output.metrics else ():
                its_mask = _both(mask, _target_mask(output.loss, part.y[index], prediction))
                row_weights = _metric_weights(prediction, part.metric_weights[index], its_mask, batch.rows, share)
                metric_sums[output.name] = {
                    name: metric.add(metric_sums[output.name][name], part.y[index], prediction, row_weights)
                    for name, metric in output.metrics.items()}
        penalties = [term for term in [penalty(self.network, weights, settings), *call.losses] if term is not None]
        if training and not penalties and not loss_sums:
            raise SettingError("There is nothing to minimise: compile was given no loss, and no layer has a penalty or "
                               "calls add_loss. Give one: model.compile(optimizer=..., loss='mse').")
        extra = sum(penalties[1:], penalties[0]) if penalties else jnp.zeros((), self.number)
        sums = {"rows": sums["rows"] + count, "penalty": sums["penalty"] + extra * count,
                "losses": loss_sums, "metrics": metric_sums}
        return total + extra, (call.new_state, sums)

    def evaluate(self, weights: Tree, state: Tree, data: Batch, batches, sums: Tree, start, stop,
                 **numbers) -> tuple[Tree, Tree]:
        """The state and the sums with the batches from `start` to `stop` added, in the data's own order.

        Nothing is trained. The state goes on from batch to batch, as stateful layers want it.
        """
        rows = batches.unshuffled(data.own)

        def add(step, carried):
            measure = lambda batch: self.measure(weights, carried[0], batch, carried[1], **numbers)[1]
            return batches.with_batch(step, rows, data, measure)

        return lax.fori_loop(start, stop, add, (state, sums))

    def results(self, sums: Tree, loss_weights=None) -> dict[str, jax.Array]:
        """The figures that are reported: the loss, the loss of each of several outputs, the metrics."""
        rows = jnp.maximum(sums["rows"], 1)
        results = {"loss": sums["penalty"] / rows}
        several = len(self.outputs) > 1
        for output in self.outputs:
            if output.loss is not None:
                total, weight = (sums["losses"][output.name][part] for part in ("sum", "weight"))
                value = total / jnp.where(weight == 0, 1, weight)
                factor = output.loss_weight if loss_weights is None else loss_weights[output.name]
                results["loss"] = results["loss"] + factor * value
                if several:
                    results[f"{output.name}_loss"] = value
        for output in self.outputs:
            for name, metric in output.metrics.items():
                label = f"{output.name}_{name}" if several else name
                results[label] = metric.compute(sums["metrics"][output.name][name])
        return results

    def is_built_in(self) -> bool:
        """Whether every loss and metric is chainrule's own, which look at rows one by one.

        A function of the user's may take a mean over the batch, so that padded rows would count in it.
        """
        return all(_is_built_in(part) for output in self.outputs for part in (output.loss, *output.metrics.values()))

    def names(self) -> list[str]:
        """The names of the reported figures, in order: the loss, the losses of several outputs, the metrics."""
        several = len(self.outputs) > 1
        own = [f"{output.name}_loss" for output in self.outputs if several and output.loss is not None]
        return ["loss", *own, *(f"{output.name}_{name}" if several else name
                                for output in self.outputs for name in output.metrics)]


def _is_built_in(part) -> bool:
    """Whether a loss or metric is chainrule's own, no function of the user's inside it."""
    if isinstance(part, metrics.MeanOf):
        return _is_built_in(part.loss)
    own = type(part) in losses.registry or type(part) in metrics.registry
    return part is None or (own and not isinstance(part, losses.FunctionLoss))


def _both(first, second):
    """Two masks as one; `None` lets everything through."""
    if first is None or second is None:
        return second if first is None else first
    return first & second


def _mixed(batch: Batch, mixings) -> list[tuple[Batch, Any]]:
    """What the rows of a batch are held against, and by which share of each row; `None` for all of it.

    That is each row's own target; where layers have mixed rows (MixUp), those of its partners too, and each mixing
    doubles the parts.
    """
    if not mixings:
        return [(batch, None)]
    count = len(jax.tree.leaves(batch.x)[0])
    parts = [(jnp.arange(count), 1)]
    for partner, share in mixings:
        shared = [jnp.broadcast_to(before, share.shape).astype(share.dtype) for _, before in parts]
        parts = [(rows, before * share) for (rows, _), before in zip(parts, shared, strict=True)] + [
            (rows[partner], before[partner] * (1 - share)) for (rows, _), before in zip(parts, shared, strict=True)]
    return [(_held_against(batch, rows), share) for rows, share in parts]


def _held_against(batch: Batch, rows) -> Batch:
    """A batch whose targets and weights are those of other rows."""
    take = lambda tree: jax.tree.map(lambda array: array[rows], tree)
    return batch._replace(y=take(batch.y), loss_weights=take(batch.loss_weights),
                          metric_weights=take(batch.metric_weights))


def _loss_sums(loss: Loss, index: int, prediction, call: Call, mask, parts):
    """The weighted sum of a loss over a batch, the sum of the weights, and how many values count."""
    sums = []
    for part, share in parts:
        its_mask = _both(mask, _target_mask(loss, part.y[index], prediction))
        values = _loss_values(loss, part.y[index], prediction, call)
        weight = _entry_weights(values, part.loss_weights[index], its_mask, part.rows, share)
        entries = _entry_count(values, its_mask, part.rows, share)
        sums.append((_weighted_sum(values, weight), entries if weight is None else weight.sum(), entries))
    weighted, weight_sum, entries = (sum(terms[1:], terms[0]) for terms in zip(*sums, strict=True))
    entries = jnp.maximum(entries, 1)
    return weighted, entries if parts[0][0].loss_weights[index] is None else weight_sum, entries


def _target_mask(loss: Loss | None, target, prediction):
    """Which targets count: a loss may leave out a class."""
    return None if loss is None else loss.mask(*loss.align(target, prediction))


def _check_members(call: Call, outputs) -> None:
    """Raise where an ensemble's members would be trained by the loss of what was made of their mean."""
    found = {id(output) for output in outputs if call.members_of(output) is not None}
    if len(found) < call.merges:
        raise SettingError(
            "Behind an EnsembleMean stands another layer, so that the members would be trained by the loss of their "
            "mean, and not each by its own. Let EnsembleMean be the last layer before the output, activations "
            "included. For a mean in the midst of a network use Lambda(lambda x: x.mean(1)); an ensemble that is "
            "finished is frozen by trainable=False.")


def _loss_values(loss: Loss, target, prediction, call: Call):
    """The loss of each row; in training that of an ensemble is the mean of its members' losses.

    The loss of the mean would let members rest whose errors others make up for: they would be one large network.
    """
    members = call.members_of(prediction) if call.training else None
    if members is None:
        loss, prediction = _before_activation(loss, prediction, call)
        return loss.values(target, prediction)
    loss, members = _before_activation(loss, members, call)
    return jax.vmap(lambda member: loss.values(target, member), in_axes=1)(members).mean(0)


def _before_activation(loss: Loss, prediction, call: Call):
    """A cross-entropy of a softmax or sigmoid is computed from what went into it: the loss and the array for that.

    Probabilities near 0 and 1 are rounded, and their logarithm has no gradient where it is held back from infinity: a
    network that is sure and wrong could not learn. The values are the same elsewhere.
    """
    entered = call.before_activation(prediction)
    if entered is not None and getattr(loss, "from_logits", True) is False:
        activation, logits = entered
        suits = {"binary": activations.sigmoid, "labels": activations.softmax, "one_hot": activations.softmax}
        if activation is suits.get(loss.target_kind) and getattr(loss, "axis", -1) == -1:
            loss, prediction = copy.copy(loss), logits
            loss.__dict__["from_logits"] = True
    return loss, prediction


def _entry_weights(values, *factors):
    """The weight of each loss value, a product of factors (rows' weights, masks); `None` where all count once."""
    factors = [_spread(factor, values) for factor in factors if factor is not None]
    if not factors:
        return None
    product = factors[0].astype(values.dtype)
    for factor in factors[1:]:
        product = product * factor.astype(values.dtype)
    return jnp.broadcast_to(product, values.shape)


def _spread(factor, values):
    """A factor per row, or per step of a sequence, with axes added behind until it fits the values."""
    return factor.reshape(factor.shape + (1,) * (values.ndim - factor.ndim))


def _weighted_sum(values, weight):
    # `where`, because zero times a NaN of a row that does not count would be NaN.
    return values.sum() if weight is None else jnp.where(weight == 0, 0, values * weight).sum()


def _entry_count(values, *factors):
    """How many values are real."""
    real = _entry_weights(values, *factors)
    return jnp.asarray(values.size, values.dtype) if real is None else real.sum()


def _metric_weights(prediction, *factors):
    """Weights for metrics, one a row (or a step), a product of factors; `None` where all count once."""
    factors = [factor for factor in factors if factor is not None]
    if not factors:
        return None
    rank = max(factor.ndim for factor in factors)
    shape = jnp.broadcast_shapes(*(factor.shape + (1,) * (rank - factor.ndim) for factor in factors))
    product = jnp.ones(shape, prediction.dtype)
    for factor in factors:
        product = product * factor.reshape(factor.shape + (1,) * (rank - factor.ndim)).astype(prediction.dtype)
    return product


def split_frozen(weights: Tree, frozen: frozenset[str], path: str = "") -> tuple[Tree, Tree]:
    """The weights that are trained, and those that are not."""
    trained, kept = {}, {}
    for name, value in weights.items():
        if isinstance(value, dict):
            below = split_frozen(value, frozen, f"{path}/{name}" if path else name)
            for tree, part in zip((trained, kept), below, strict=True):
                if part:
                    tree[name] = part
        else:
            (kept if path in frozen else trained)[name] = value
    return trained, kept


def merge(first: Tree, second: Tree) -> Tree:
    """Two nested dicts as one; names in both must hold dicts in both."""
    merged = dict(first)
    for name, value in second.items():
        merged[name] = merge(merged[name], value) if name in merged else value
    return merged


def apply_constraints(network, weights: Tree) -> Tree:
    """The weights after their constraints."""
    constrained = {f"{path}/{name}" if path else name: weight.constraint for path, layer in walk(network)
                   for name, weight in layer.own_weights().items() if weight.constraint is not None}

    def project(tree, path):
        return {name: project(value, f"{path}{name}/") if isinstance(value, dict)
                else constrained.get(f"{path}{name}", lambda value: value)(value) for name, value in tree.items()}

    return project(weights, "") if constrained else weights
