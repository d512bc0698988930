"""What passes through a network: the output of every layer, or what goes into its activation function."""
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from chainrule.errors import UnknownNameError, did_you_mean
from chainrule.inspect.recording import KINDS, record, require_layer, require_model
from chainrule.models import Model
from chainrule.precision import precision
from chainrule.training import prepare


def activations(model: Model, x, *, layers: str | Iterable[str] | None = None, of: str = "outputs",
                seed: int = 0) -> dict[str, Any]:
    """What the layers of a model compute for given inputs, outside training.

    Of `y = activation(z)`, such as `z = x @ kernel + bias` in a `Dense` layer, `"outputs"` are `y` and
    `"preactivations"` are `z`. A layer without an activation function has its output in both.

    Args:
        model: the model.
        x: inputs, as for `predict`.
        layers: the names of the layers that are wanted; all by default.
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
        >>> list(activations(model, np.ones((5, 2), "float32"), layers="dense_1"))
        ['dense_1']
    """
    require_model(model, "activations")
    if of not in KINDS:
        raise UnknownNameError(f"There are no activations of {of!r}. {did_you_mean(of, KINDS)}")
    with precision(model.dtype):
        model._ensure_built(x)
        inputs = prepare.input_arrays(model, x)
        _, recording = record(model, *model.variables(seed), inputs)
        # Inside a compiled loop over the steps of a sequence there are no values to show.
        found = {name: value for name, value in getattr(recording, of).items()
                 if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value))}
        if layers is not None:
            names = [layers] if isinstance(layers, str) else list(layers)
            wanted = {require_layer(name, found, "layers") for name in names}
            found = {name: value for name, value in found.items() if name in wanted}
        # One by one: over a whole dict, JAX would sort the names.
        return {name: jax.tree.map(np.array, value) for name, value in found.items()}
