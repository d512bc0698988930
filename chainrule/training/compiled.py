"""What `compile` was given, resolved against a network's outputs: losses, metrics and weights by output."""
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from chainrule import losses, metrics, optimizers
from chainrule.devices import Staging
from chainrule.errors import SettingError, UnknownNameError, did_you_mean
from chainrule.layers.binding import ArraySpec
from chainrule.network.graph import refuse_order
from chainrule.training.objective import Objective, Output


@dataclass
class Compiled:
    """The arguments of `compile`, and what training has made of them.

    Attributes:
        optimizer: the optimiser.
        loss, loss_weights, metrics, device, deterministic, kernels: as they were given.
        optimizer_state: where training left it; `None` before the first step.
        programs: compiled programs by what they depend on.
        staging: memory that data were copied to.
    """

    optimizer: optimizers.Optimizer
    loss: Any = None
    loss_weights: Any = None
    metrics: Any = None
    device: str | None = None
    deterministic: bool = False
    kernels: bool = True
    optimizer_state: Any = None
    programs: dict[Any, Any] = field(default_factory=dict)
    staging: Staging = field(default_factory=Staging)

    def objective(self, network, names: list[str], specs: list[ArraySpec], target_shapes: list,
                  dtype: str) -> Objective:
        """Loss and metrics for outputs of these names and shapes and targets of these shapes."""
        several = len(names) > 1
        for what in ("loss", "loss_weights"):
            refuse_order(getattr(self, what), network._output_structure, what, "output")
        if isinstance(self.metrics, (list, tuple)) and any(isinstance(item, (list, tuple)) for item in self.metrics):
            refuse_order(self.metrics, network._output_structure, "metrics", "output")
        by_output = {
            "loss": self._by_name(self.loss, names, "loss"),
            "loss_weights": self._by_name(self.loss_weights, names, "loss_weights"),
            "metrics": self._by_name(self.metrics, names, "metrics"),
        }
        if several and self.loss is not None and not isinstance(self.loss, (Mapping, list, tuple)):
            by_output["loss"] = dict.fromkeys(names, self.loss)
        outputs = []
        for name, spec, target_shape in zip(names, specs, target_shapes, strict=True):
            loss = by_output["loss"].get(name)
            loss = None if loss is None or target_shape is None else losses.get(loss)
            chosen = by_output["metrics"].get(name) or []
            chosen = chosen if isinstance(chosen, (list, tuple)) else [chosen]
            weight = by_output["loss_weights"].get(name)
            outputs.append(Output(name, loss, 1.0 if weight is None else float(weight),
                                  _named_metrics(chosen, target_shape, spec.shape, loss), spec.shape))
        return Objective(network, tuple(outputs), dtype)

    def _by_name(self, given, names: list[str], what: str) -> dict[str, Any]:
        """A setting that may differ between outputs, by output name."""
        if given is None:
            return {}
        if isinstance(given, Mapping):
            for name in given:
                if name not in names:
                    raise UnknownNameError(f"{what} names the output {name!r}, which the model does not have. "
                                           f"{did_you_mean(name, names)}")
            return dict(given)
        if len(names) == 1:
            alone = isinstance(given, (list, tuple)) and what != "metrics" and len(given) == 1
            return {names[0]: given[0] if alone else given}
        if isinstance(given, (list, tuple)) and what != "metrics":
            if len(given) != len(names):
                raise SettingError(
                    f"{what} has {len(given)} entries for the {len(names)} outputs {names}. Give one for each, or a "
                    f"dict by name.")
            return dict(zip(names, given, strict=True))
        if isinstance(given, (list, tuple)) and len(given) == len(names) and all(
                isinstance(item, (list, tuple, type(None))) for item in given):
            return dict(zip(names, given, strict=True))
        return dict.fromkeys(names, given) if what == "metrics" else {}


def _named_metrics(chosen, target_shape, output_shape, loss) -> dict[str, metrics.Metric]:
    """Metrics by the names they are reported under; a second of the same name gets a number."""
    named = {}
    if target_shape is None:
        return named
    for identifier in chosen:
        metric = metrics.resolve(identifier, target_shape, output_shape, loss)
        own = getattr(identifier, "__name__", "") if not isinstance(identifier, type) else ""
        name = own if own.isidentifier() else metrics.default_name(metric)
        name = identifier if isinstance(identifier, str) else name
        name = metric.name or ("accuracy" if name == "acc" else name)
        shape = jax.eval_shape(lambda metric=metric: jnp.asarray(metric.compute(metric.zeros(output_shape)))).shape
        if shape:
            raise SettingError(
                f"The metric {name!r} gives {shape[0]} numbers; a fit reports one for each metric. Choose how to join "
                f"them (average='macro', one threshold), or call the metric by hand on predictions.")
        base, count = name, 1
        while name in named:
            name, count = f"{base}_{count}", count + 1
        named[name] = metric
    return named
