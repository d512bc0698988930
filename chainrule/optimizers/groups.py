"""Different optimisers for different weights of one network."""
import re
from collections.abc import Mapping
from numbers import Real

import jax.numpy as jnp

from chainrule.errors import SettingError
from chainrule.optimizers.base import Optimizer, flatten_with_paths


class MultiOptimizer(Optimizer):
    """One optimiser for each group of weights, chosen by the weights' paths: a small rate below, a large one on top.

        weight = optimizers[pattern].update(gradient, weight)   by the first pattern that the weight's path contains
        weight = default.update(gradient, weight)               where it contains none

    Clipping, decay and the other settings of `Optimizer` belong to the members and act on their group alone. A group
    may be frozen, and thawed for a later fit.

    `learning_rate` is the default's. Setting it to a number scales the other groups' rates in proportion, so that
    callbacks that lower the rate lower all.

    Shapes: weights of any shape, as for the members.

    Args:
        optimizers: regular expressions for paths such as `"encoder/dense_1/kernel"`, and the optimiser of each, an
            object or a name.
        default: the optimiser of all other weights.
        name: a name of your choice.

    Raises:
        SettingError: in `init`, no weight is left for a pattern.

    Reference: Howard and Ruder, Universal Language Model Fine-tuning for Text Classification, 2018, section 3.2 (a rate
    for each layer).

    Example:
        >>> from chainrule.optimizers import SGD
        >>> optimizer = MultiOptimizer({"^body/": SGD(0.125)}, default=SGD(0.5))
        >>> weights = {"body": {"kernel": jnp.array(1.0)}, "head": {"kernel": jnp.array(1.0)}}
        >>> weights, state = optimizer.update(weights, optimizer.init(weights), weights)
        >>> print(weights["body"]["kernel"], weights["head"]["kernel"])
        0.875 0.5
    """

    def __init__(self, optimizers: Mapping[str, Optimizer | str], default: Optimizer | str, name: str | None = None):
        self.optimizers = {pattern: _member(pattern, optimizer) for pattern, optimizer in optimizers.items()}
        self.default = _member("default", default)
        self.name = name

    def get_config(self):
        return super().get_config() | {"optimizers": self.optimizers, "default": self.default}

    @property
    def learning_rate(self):
        return self.default.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        before, self.default.learning_rate = self.default.learning_rate, value
        if isinstance(value, Real) and isinstance(before, Real) and before > 0:
            others = {id(member): member for member in self.optimizers.values() if member is not self.default}
            for member in others.values():
                if isinstance(member.learning_rate, Real):
                    member.learning_rate = member.learning_rate * value / before

    def hyperparameters(self) -> dict[str, float]:
        """The members' numbers: the default's by name, the others' as `"pattern/name"`.

        Example:
            >>> from chainrule.optimizers import SGD
            >>> MultiOptimizer({"^body/": SGD(0.01)}, default=SGD(0.1)).hyperparameters()
            {'learning_rate': 0.1, '^body//learning_rate': 0.01}
        """
        values = dict(self.default.hyperparameters())
        for pattern, optimizer in self.optimizers.items():
            values |= {f"{pattern}/{name}": value for name, value in optimizer.hyperparameters().items()}
        return values

    def learning_rate_at(self, state, hyperparameters=None):
        return self.default.learning_rate_at(state, hyperparameters)

    def init(self, weights) -> dict:
        return self.init_beside(weights, {})

    def init_beside(self, weights, frozen) -> dict:
        groups, frozen_groups = self._split(weights)[0], self._split(frozen)[0]
        for index, pattern in enumerate(self.optimizers):
            group, paths = f"group_{index}", [path for part in groups.values() for path in part]
            if paths and not groups[group] and not frozen_groups[group]:
                paths += [path for part in frozen_groups.values() for path in part]
                raise SettingError(
                    f"MultiOptimizer: no weight is left for the pattern {pattern!r}. The paths of the weights are "
                    f"{', '.join(repr(path) for path in sorted(paths))}; the first pattern that a path contains "
                    f"decides.")
        return {"step": jnp.zeros((), jnp.int32)} | {
            name: optimizer.init_beside(groups[name], frozen_groups[name]) for name, _, optimizer in self._members()}

    def update(self, gradients, state, weights, hyperparameters=None, *, value=None, value_fn=None):
        if hyperparameters is None:
            hyperparameters = self.hyperparameters()
        parts, join = self._split(weights)
        gradient_parts, _ = self._split(gradients)
        moved, states = {}, {}
        for name, prefix, optimizer in self._members():
            numbers = {key: hyperparameters[prefix + key] for key in optimizer.hyperparameters()}
            part, states[name] = optimizer.update(gradient_parts[name], state[name], parts[name], numbers)
            moved |= part
        return join(moved), states | {"step": state["step"] + 1}

    def final_weights(self, weights, state):
        parts, join = self._split(weights)
        moved = {}
        for name, _, optimizer in self._members():
            moved |= optimizer.final_weights(parts[name], state[name])
        return join(moved)

    @property
    def averages_weights(self) -> bool:
        return any(optimizer.averages_weights for _, _, optimizer in self._members())

    def _members(self):
        """For each group: its name in the state, the prefix of its hyperparameters, and its optimiser."""
        groups = enumerate(self.optimizers.items())
        return [("default", "", self.default)] + [
            (f"group_{index}", f"{pattern}/", optimizer) for index, (pattern, optimizer) in groups]

    def _split(self, weights):
        """The weights of each group by path, and the function that puts a dict of all of them together again."""
        paths, leaves, tree = flatten_with_paths(weights)
        parts = {name: {} for name, _, _ in self._members()}
        for path, leaf in zip(paths, leaves, strict=True):
            matching = (f"group_{index}" for index, pattern in enumerate(self.optimizers) if re.search(pattern, path))
            parts[next(matching, "default")][path] = leaf
        return parts, lambda moved: tree.unflatten([moved[path] for path in paths])


def _member(pattern: str, given: Optimizer | str) -> Optimizer:
    """The optimiser of a group, checked."""
    from chainrule.optimizers import get  # here, because the catalogue lists `MultiOptimizer`

    optimizer = get(given) if isinstance(given, str) else given
    if not isinstance(optimizer, Optimizer) or optimizer.needs_value:
        raise SettingError(
            f"MultiOptimizer: the optimizer of {pattern!r} must be a name or an object such as Adam(0.001), and not "
            f"one that needs the loss of all weights; got {given!r}.")
    return optimizer
