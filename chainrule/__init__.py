"""chainrule: neural networks described in a few lines, trained by one compiled program, open to inspection."""
from chainrule import (
    activations,
    applications,
    callbacks,
    constraints,
    data,
    datasets,
    errors,
    initializers,
    inspect,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    regularizers,
    schedules,
    series,
    text,
    utils,
)
from chainrule.models import Model, Sequential
from chainrule.network.graph import Input

__version__ = "0.1.0"

__all__ = [
    "Input", "Model", "Sequential", "activations", "applications", "callbacks", "constraints", "data", "datasets",
    "errors", "initializers", "inspect", "layers", "losses", "metrics", "models", "ops", "optimizers", "regularizers",
    "schedules", "series", "text", "utils",
]
