"""The data of a population: arrays that all members share, and what each has of its own: weights of rows, rows."""
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.data import arrays
from chainrule.devices import to_device
from chainrule.errors import ShapeError, format_shape
from chainrule.population.rows import padded
from chainrule.training.objective import Batch, Objective, OwnRows


@dataclass
class MemberData:
    """Data for all members.

    Attributes:
        shared: all rows on the device, with the weights that members share.
        count: how many rows there are.
        loss_weights, metric_weights: by output, `(members, rows)` where they differ, else `None`.
        rows: for each member the rows that it sees; `None` where all see all.
    """

    shared: Batch
    count: int
    loss_weights: list[np.ndarray | None] = field(default_factory=list)
    metric_weights: list[np.ndarray | None] = field(default_factory=list)
    rows: list[np.ndarray] | None = None

    def rows_of(self, member: int) -> int:
        """How many rows a member sees."""
        return self.count if self.rows is None else len(self.rows[member])

    def of(self, members: np.ndarray) -> tuple[Batch, Batch]:
        """The data of some members, and which of its arrays have an axis of members: 0, or `None`."""
        batch, number = self.shared, [mean.dtype for mean in self.shared.mean_weights]
        loss = _chosen(self.loss_weights, batch.loss_weights, members)
        metric = _chosen(self.metric_weights, batch.metric_weights, members)
        means = [self._means(index, members) for index in range(len(number))]
        axes = Batch(None, None, _axes(self.loss_weights), _axes(self.metric_weights),
                     tuple(None if mean is None else 0 for mean in means), None, None)
        means = tuple(shared if mean is None else to_device(mean.astype(dtype))
                      for mean, shared, dtype in zip(means, batch.mean_weights, number, strict=True))
        batch = batch._replace(loss_weights=loss, metric_weights=metric, mean_weights=means)
        if self.rows is None:
            return batch, axes
        table, counts = padded([self.rows[member] for member in members])
        ragged = bool((counts != counts[0]).any())
        own = OwnRows(to_device(table), to_device(counts) if ragged else None)
        return batch._replace(own=own), axes._replace(own=OwnRows(0, 0 if ragged else None))

    def _means(self, output: int, members) -> np.ndarray | None:
        """The mean weight of each member's rows in the loss of an output; `None` where all have the same."""
        own, shared = self.loss_weights[output], self.shared.loss_weights[output]
        if own is None and (self.rows is None or shared is None):
            return None
        weights = lambda member: np.asarray(shared) if own is None else own[member]
        seen = lambda member: slice(None) if self.rows is None else self.rows[member]
        return np.array([weights(member)[seen(member)].mean(dtype=np.float64) for member in members])


def _axes(own: list) -> tuple:
    return tuple(None if weights is None else 0 for weights in own)


def _chosen(own: list, shared: tuple, members) -> tuple:
    return tuple(common if weights is None else to_device(weights[members])
                 for weights, common in zip(own, shared, strict=True))


def is_by_member(sample_weight, size: int, count: int) -> bool:
    """Whether weights of rows have an axis of members in front: `(members, rows)`."""
    shape = getattr(sample_weight, "shape", ())
    return len(shape) == 2 and (shape == (size, count) or shape[0] != count)


def member_data(model, objective: Objective, x, y: list, count: int, size: int, sample_weight=None,
                class_weight=None, rows: list[np.ndarray] | None = None, relative: bool = True) -> MemberData:
    """Data as members need them.

    Args:
        model: the network, which knows how a batch is made.
        objective: its losses.
        x, y: arrays; one target for each output.
        count: how many rows they have.
        size: how many members there are.
        sample_weight: weights of rows for all members, or `(members, rows)`.
        class_weight: as `fit` takes it; `"balanced"` is taken over the rows that a member sees.
        rows: the rows of each member.
        relative: whether the scale of weights does not matter.
    """
    by_member = is_by_member(sample_weight, size, count)
    own_classes = rows is not None and _says_balanced(class_weight)
    batch = model._batch(objective, x, y, count, None if by_member else sample_weight,
                         None if own_classes else class_weight, relative)
    outputs = len(objective.outputs)
    made = MemberData(batch, count, [None] * outputs, [None] * outputs, rows)
    if by_member:
        weights = _checked(sample_weight, size, count).astype(objective.number)
        made.metric_weights = [weights] * outputs
        made.loss_weights = [weights if shared is None else weights * np.asarray(shared)
                             for shared in batch.loss_weights]
    if own_classes:
        _add_balance(made, model, objective, y, class_weight, size)
    return made


def _checked(sample_weight, size: int, count: int) -> np.ndarray:
    weights = arrays.as_arrays(sample_weight, "sample_weight")
    if weights.shape != (size, count):
        raise ShapeError(f"sample_weight has the shape {format_shape(weights.shape)}; expected "
                         f"{format_shape((count,))} for all members, or {format_shape((size, count))}, one weight a "
                         f"row for each member.")
    arrays.check_weights(weights)
    return weights


def _says_balanced(class_weight) -> bool:
    values = class_weight.values() if isinstance(class_weight, dict) else [class_weight]
    return any(isinstance(value, str) for value in values)


def _add_balance(made: MemberData, model, objective: Objective, y: list, class_weight: Any, size: int) -> None:
    """Weights of classes, taken over the rows of each member."""
    by_output = class_weight if isinstance(class_weight, dict) else {
        output.name: class_weight for output in objective.outputs}
    for index, output in enumerate(objective.outputs):
        chosen, target = by_output.get(output.name), y[index]
        if chosen is None or target is None:
            continue
        classes = max(output.shape[-1], 2) if len(output.shape) > 1 else 2
        weights = np.zeros((size, made.count), objective.number)
        for line, rows in zip(weights, made.rows, strict=True):
            line[rows] = arrays.class_weights_to_rows(chosen, target[rows], classes)
        before = made.loss_weights[index]
        before = made.shared.loss_weights[index] if before is None else before
        made.loss_weights[index] = weights if before is None else weights * np.asarray(before)
