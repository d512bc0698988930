"""chainrule: neural networks described in a few lines, trained by one compiled program, open to inspection.

Each name below is imported when it is first used, so that `import chainrule` costs next to nothing and the command line
can show its help without loading JAX.
"""
import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
        population,
        regularizers,
        runs,
        schedules,
        series,
        text,
        utils,
    )
    from chainrule.compilation import cache_compilations
    from chainrule.models import Model, Sequential
    from chainrule.network.graph import Input
    from chainrule.population import Population
    from chainrule.runs import Run

__version__ = "0.1.0"

__all__ = [
    "Input", "Model", "Population", "Run", "Sequential", "activations", "applications", "cache_compilations",
    "callbacks", "constraints", "data", "datasets", "errors", "initializers", "inspect", "layers", "losses", "metrics",
    "models", "ops", "optimizers", "population", "regularizers", "runs", "schedules", "series", "text", "utils",
]

# Names that are no modules of their own, and where they come from.
_HOMES = MappingProxyType({
    "Input": "network.graph", "Model": "models", "Population": "population", "Run": "runs",
    "Sequential": "models", "cache_compilations": "compilation"})


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module 'chainrule' has no attribute {name!r}")
    if name not in _HOMES:
        return importlib.import_module(f"chainrule.{name}")
    value = globals()[name] = getattr(importlib.import_module(f"chainrule.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
