"""Optimisers: how weights move against their gradients, after Keras 3's equations and defaults.

    >>> from chainrule import optimizers
    >>> optimizer = optimizers.Adam(0.001, clipnorm=1.0)
    >>> optimizer.learning_rate = 0.0005
    >>> optimizer
    Adam(learning_rate=0.0005, clipnorm=1.0)
"""
from types import MappingProxyType

from chainrule import schedules
from chainrule.configuration import Registry
from chainrule.errors import SettingError
from chainrule.optimizers.adafactor import Adafactor
from chainrule.optimizers.adam import Adam, Adamax, AdamW, Lamb, Nadam
from chainrule.optimizers.adaptive import Adadelta, Adagrad, RMSprop
from chainrule.optimizers.base import Optimizer
from chainrule.optimizers.descent import SGD, Lion
from chainrule.optimizers.foreign import LBFGS, OptaxOptimizer, is_transformation
from chainrule.optimizers.groups import MultiOptimizer

__all__ = [
    "SGD", "RMSprop", "Adam", "AdamW", "Adagrad", "Adadelta", "Adamax", "Nadam", "Lion", "Lamb", "Adafactor", "LBFGS",
    "MultiOptimizer", "OptaxOptimizer", "Optimizer", "get", "registry", "schedules",
]

registry = Registry("optimizer", [
    SGD, RMSprop, Adam, AdamW, Adagrad, Adadelta, Adamax, Nadam, Lion, Lamb, Adafactor, LBFGS, MultiOptimizer,
], aliases=MappingProxyType({"rmsprop": RMSprop, "adamw": AdamW}))


def get(identifier) -> Optimizer:
    """The optimiser that `identifier` stands for.

    Args:
        identifier: a name, an optimiser or its class, or an optax transformation.

    Raises:
        SettingError: it is none of these.
        UnknownNameError: no optimiser has that name.

    Example:
        >>> get("adam")
        Adam()
        >>> import optax
        >>> get(optax.sgd(0.1))
        OptaxOptimizer(...)
    """
    if is_transformation(identifier):
        return OptaxOptimizer(identifier)
    if isinstance(identifier, (str, Optimizer)) or (isinstance(identifier, type) and issubclass(identifier, Optimizer)):
        return registry.get(identifier)
    raise SettingError(
        f"An optimizer is a name, an object such as Adam(0.001), or an optax transformation such as optax.adam(0.001); "
        f"got {identifier!r} ({type(identifier).__name__}).")
