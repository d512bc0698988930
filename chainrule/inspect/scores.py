"""A model and rows for it, seen as scores of classes and what each layer contributes to them."""
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chainrule import activations
from chainrule.data.arrays import check_lengths
from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.inspect.recording import Recording, record, require_model
from chainrule.layers.base import Layer
from chainrule.layers.binding import Tree, walk
from chainrule.models import Model, check_whole
from chainrule.precision import precision, variable_dtype
from chainrule.training import prepare


@dataclass(frozen=True)
class Place:
    """Where a layer puts something out.

    Attributes:
        layer: the layer.
        shape: that of its output for the rows that were looked at; `()` where it is not one array.
        dtype: that of its output.
    """

    layer: Layer
    shape: tuple[int, ...]
    dtype: Any

    @property
    def is_trained(self) -> bool:
        """Whether the layer, or one in it, has weights that training finds."""
        return any(weight.trainable for _, layer in walk(self.layer) for weight in layer.own_weights().values())


def survey(model: Model, weights: Tree, state: Tree, inputs) -> tuple[Any, Recording, dict[str, Place]]:
    """The shapes of a model's output, of its recording, and of what each layer puts out; nothing is computed."""
    traced = []

    def evaluate(inputs):
        traced.append(record(model, weights, state, inputs))

    jax.eval_shape(evaluate, inputs)
    outputs, recording = traced[0]
    places = {name: Place(recording.layers[name], getattr(value, "shape", ()), getattr(value, "dtype", None))
              for name, value in recording.outputs.items()}
    return outputs, recording, places


class Subject:
    """A model with one input and an output `(batch, classes)`, and rows for it. To be used in the model's precision.

    Args:
        model: the model.
        x: rows, as for `predict`.
        target: the class to look at, or one for each row; `None` for the predicted one.
        what: the function that asks, for messages.

    Attributes:
        rows: the rows as an array.
        target: `(rows,)`, or `None` for the predicted class.
        places: by path, where each layer puts something out.
        is_yes_or_no: whether one sigmoid stands for two classes.
    """

    def __init__(self, model: Model, x, target, what: str):
        model._ensure_built(x)
        leaves, self._structure = jax.tree.flatten(prepare.input_arrays(model, x))
        if len(leaves) != 1:
            raise SettingError(f"{what} takes a model with one input; this one has {len(leaves)}.")
        check_lengths({"x": leaves[0]})
        self.model, self.what = model, what
        self.rows = np.asarray(leaves[0], input_dtype(model))
        self.variables = model.variables()
        outputs, recording, self.places = survey(model, *self.variables, self._inputs(self.rows[:1]))
        if getattr(outputs, "ndim", 0) != 2:
            shape = f"of shape {format_shape((None, *outputs.shape[1:]))}" if hasattr(outputs, "shape") else "several"
            raise ShapeError(f"{what} looks at the scores of classes, an output of shape (batch, classes); that of "
                             f"this model is {shape}. Make a Model that ends in such an output.")
        function, _ = recording.before_activation(outputs) or (None, None)
        self.is_yes_or_no = outputs.shape[1] == 1 and function is activations.sigmoid
        classes = 2 if self.is_yes_or_no else outputs.shape[1]
        self.target = None if target is None else check_target(target, len(self.rows), classes)

    def scores(self, variables: tuple[Tree, Tree], rows, shifts: Mapping[str, Any] = MappingProxyType({})):
        """The scores `(batch, classes)` and what each layer put out: a pure function.

        The scores are what went into the activation function of the output, or the output itself where there is none:
        of a softmax the logits, whose derivatives do not vanish where the network is sure.
        """
        outputs, recording = record(self.model, *variables, self._inputs(rows), shifts=shifts)
        _, values = recording.before_activation(outputs) or (None, outputs)
        return values, recording.outputs

    def directions(self, scores, target):
        """How the score of each row's class is made of `scores`: `(directions * scores).sum(-1)`.

        Of one sigmoid class 1 has its logit as its score, and class 0 the negative of it.
        """
        if self.is_yes_or_no:
            classes = scores[:, 0] > 0 if target is None else target
            return jnp.where(classes, 1, -1).astype(scores.dtype)[:, None]
        classes = scores.argmax(-1) if target is None else target
        return jax.nn.one_hot(classes, scores.shape[1], dtype=scores.dtype)

    def by_batches(self, explain: Callable, batch_size: int, *beside: np.ndarray) -> np.ndarray:
        """`explain(variables, rows, target, *beside)` of all rows, compiled once, for a batch of them.

        Args:
            explain: a pure function; its `target` is `None` for the predicted class.
            batch_size: rows at a time.
            beside: further arrays with one entry a row.
        """
        size = min(check_whole("batch_size", batch_size, minimum=1), len(self.rows))
        compiled, parts = jax.jit(explain), []
        for start in range(0, len(self.rows), size):
            chosen = np.minimum(np.arange(start, start + size), len(self.rows) - 1)  # the last batch is filled up
            parts.append(compiled(self.variables, *(
                None if array is None else array[chosen] for array in (self.rows, self.target, *beside))))
        return np.concatenate([np.asarray(part) for part in parts])[: len(self.rows)]

    def require_floating_rows(self) -> None:
        """Raise where the input is whole numbers, which have no derivative."""
        if not np.issubdtype(self.rows.dtype, np.floating):
            raise SettingError(f"{self.what} takes the derivative by the input, which of this model is "
                               f"{self.rows.dtype}: whole numbers have none. Explain a Model that begins behind it.")

    def _inputs(self, rows):
        """Rows in the structure that the model takes."""
        return jax.tree.unflatten(self._structure, [rows])


def precision_of(model: Model, what: str) -> contextlib.AbstractContextManager:
    """The precision of a model for a `with` block; an error where something else than a model was given."""
    require_model(model, what)
    return precision(model.dtype)


def input_dtype(model: Model) -> str:
    """The dtype of a model's only input: its own where it has one, else the precision of the model."""
    graph = model.__dict__.get("_graph")
    declared = None if graph is None else jax.tree.leaves(graph.inputs)[0].dtype
    return declared or variable_dtype(model.dtype)


def check_target(target, rows: int, classes: int) -> np.ndarray:
    """The class of each row: `target` is one for all, or one for each."""
    array = np.asarray(target)
    if array.dtype.kind not in "iu" or array.shape not in ((), (rows,)):
        raise SettingError(f"`target` is a class, a whole number, or one for each of the {rows} rows; got {target!r}.")
    wrong = array[(array < 0) | (array >= classes)]
    if wrong.size:
        raise SettingError(f"`target` is {wrong.flat[0]}, and the model has {classes} "
                           f"class{'es' * (classes != 1)}, numbered from 0 to {classes - 1}.")
    return np.broadcast_to(array, (rows,))
