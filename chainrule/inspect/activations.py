"""What passes through a network: the output of every layer, or what goes into its activation function."""
from collections import Counter
from typing import Any

import jax
import numpy as np

from chainrule.errors import SettingError, UnknownNameError, did_you_mean
from chainrule.layers.binding import Call
from chainrule.models import Model
from chainrule.network.graph import InputLayer, Network
from chainrule.precision import precision
from chainrule.training import prepare

KINDS = ("outputs", "preactivations")


def activations(model: Model, x, *, of: str = "outputs", seed: int = 0) -> dict[str, Any]:
    """What the layers of a model compute for given inputs, outside training.

    Of `y = activation(z)`, such as `z = x @ kernel + bias` in a `Dense` layer, `"outputs"` are `y` and
    `"preactivations"` are `z`. A layer without an activation function has its output in both.

    Args:
        model: the model.
        x: inputs, as for `predict`.
        of: `"outputs"` or `"preactivations"`.
        seed: makes the weights of a model that has none yet.

    Returns:
        By layer name, in the order of computation, an array (or the structure of arrays that the layer returns), rows
        first. Inputs are left out. Layers inside others go by their path, `"encoder/dense"`; a second call of the same
        layer by its name with a number, `"dense:2"`.

    Example:
        >>> from chainrule.layers import Dense
        >>> from chainrule.models import Input, Sequential
        >>> model = Sequential([Input((2,)), Dense(3, activation="relu"), Dense(1)])
        >>> {name: array.shape for name, array in activations(model, np.ones((5, 2), "float32")).items()}
        {'dense': (5, 3), 'dense_1': (5, 1)}
    """
    if not isinstance(model, Model):
        raise SettingError(f"activations takes a Model or a Sequential; got {model!r} ({type(model).__name__}).")
    if of not in KINDS:
        raise UnknownNameError(f"There are no activations of {of!r}. {did_you_mean(of, KINDS)}")
    with precision(model.dtype):
        model._ensure_built(x)
        inputs = prepare.input_arrays(model, x)
        evaluation = Recording(model, *model.variables(seed), dtype=model.dtype, preactivations=of == "preactivations")
        evaluation.run(evaluation.copy(model), (inputs,), {})
        # One by one: over a whole dict, JAX would sort the names.
        return {name: jax.tree.map(np.array, value) for name, value in evaluation.found.items()}


class Recording(Call):
    """An evaluation that keeps what each layer computes.

    Args:
        preactivations: whether to keep what goes into a layer's activation function in the place of its output.

    Attributes:
        found: by path, what was kept.
    """

    def __init__(self, *arguments, preactivations: bool, **options):
        super().__init__(*arguments, **options)
        self.preactivations = preactivations
        self.found: dict[str, Any] = {}
        self.observe = self._keep
        self._entering: dict[str, Any] = {}
        self._uses: Counter[str] = Counter()

    def activate(self, path: str, function, z):
        # Inside a compiled loop over the steps of a sequence there are no values to keep.
        if self.preactivations and not isinstance(z, jax.core.Tracer):
            self._entering[path] = z
        return super().activate(path, function, z)

    def _keep(self, path: str, bound, outputs) -> None:
        """Note what a layer computed. A graph is left out, being no more than the layers in it."""
        value = self._entering.pop(path, outputs)
        is_graph = isinstance(bound, Network) and bound.__dict__.get("_graph") is not None
        if path and not is_graph and not isinstance(bound, InputLayer):
            self._uses[path] += 1
            self.found[path if self._uses[path] == 1 else f"{path}:{self._uses[path]}"] = value
