"""Who is measured: each variant is a way of writing the jobs, and has a module here.

Such a module has one function,

    make(job, data, weights, precision, **options) -> Run

and what it gives is trained, asked for logits, and asked to predict as a user of that library would. A module imports
its library at the top, so that a process loads no other.
"""
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

OWN, LIBRARY, HAND = "chainrule", "library", "by hand"
DENSE = ("2-8-8-1", "28-64-64-1", "784-500-300-10")
NORMALISED, CONVOLUTIONAL, LSTM = "784-500-300-10 normalised", "convolutional", "LSTM"
ALL_DENSE = (*DENSE, NORMALISED)
EVERY = (*ALL_DENSE, CONVOLUTIONAL, LSTM)


class Unavailable(Exception):
    """This variant cannot be measured here, because its library is not installed."""


class Run(Protocol):
    """One network under training."""

    def train(self, epochs: int) -> None:
        """Train so many more epochs, and return when that is done."""

    def logits(self, x: np.ndarray) -> np.ndarray:
        """The outputs before the last activation, nothing random in them."""

    def predictors(self) -> dict:
        """Functions from a NumPy array to a NumPy array, by the name that a user knows them by."""


@dataclass(frozen=True)
class Variant:
    """A way of writing the jobs.

    Attributes:
        name: as it stands in tables.
        peer: the library.
        kind: `OWN`, `LIBRARY` or `HAND`.
        module: in this package.
        needs: the packages that it imports and that chainrule does not bring.
        jobs: the names of the jobs that it takes part in.
        options: for the module's `make`.
        environment: variables that the library reads as it is imported.
        bfloat16: whether it can be asked for bfloat16.
        predicts: whether it takes part in the figures of `predict` and of the first result, as variants do that differ
            from others of their library in more than training.
        slow_start: whether it compiles for so long that a quick run tries it in one job alone.
    """

    name: str
    peer: str
    kind: str
    module: str
    needs: tuple[str, ...] = ()
    jobs: tuple[str, ...] = EVERY
    options: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    bfloat16: bool = True
    predicts: bool = True
    slow_start: bool = False


_TORCH, _KERAS = ("torch",), ("keras",)
_ON_JAX, _ON_TORCH = {"KERAS_BACKEND": "jax"}, {"KERAS_BACKEND": "torch"}
_NOT_CONVOLUTIONAL = tuple(job for job in EVERY if job != CONVOLUTIONAL)  # XLA's convolutions are slow inside a scan

VARIANTS = (
    Variant("chainrule", "chainrule", OWN, "chainrule_peer"),
    Variant("chainrule, no kernels", "chainrule", OWN, "chainrule_peer", options={"kernels": False}),
    Variant("PyTorch", "PyTorch", LIBRARY, "torch_peer", _TORCH),
    Variant("PyTorch, channels last", "PyTorch", LIBRARY, "torch_peer", _TORCH, (CONVOLUTIONAL,),
            {"channels_last": True}, predicts=False),
    # An LSTM is one operation of PyTorch's, which torch.compile leaves as it is.
    Variant("PyTorch, torch.compile", "PyTorch", LIBRARY, "torch_peer", _TORCH, (*ALL_DENSE, CONVOLUTIONAL),
            {"compiled": True, "channels_last": True}, slow_start=True),
    Variant("Keras on JAX", "Keras", LIBRARY, "keras_peer", _KERAS, environment=_ON_JAX),
    Variant("Keras on JAX, scan", "Keras", LIBRARY, "keras_peer", _KERAS, _NOT_CONVOLUTIONAL, {"scan": True}, _ON_JAX,
            predicts=False),
    Variant("Keras on PyTorch", "Keras", LIBRARY, "keras_peer", _KERAS + _TORCH, environment=_ON_TORCH),
    Variant("scikit-learn", "scikit-learn", LIBRARY, "sklearn_peer", ("sklearn",), DENSE, bfloat16=False),
    Variant("Flax", "Flax", LIBRARY, "flax_peer", ("flax",)),
    Variant("JAX by hand", "JAX by hand", HAND, "handwritten_peer"),
)


def chosen_variants(peers: list[str] | None) -> list[Variant]:
    """Those whose name or library was asked for; all where nothing was."""
    return [variant for variant in VARIANTS if not peers or variant.name in peers or variant.peer in peers]


def takes_part(variant: Variant, job: str, precision: str, quick: bool) -> bool:
    """Whether a variant is measured in a job."""
    return (job in variant.jobs and (precision == "float32" or variant.bfloat16)
            and not (quick and variant.slow_start and (job, precision) != ("28-64-64-1", "float32")))
