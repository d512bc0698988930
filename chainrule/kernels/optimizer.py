"""One step of an optimiser over all arrays of a network: each weight, its slots and its gradient pass once.

The equations stand in `chainrule/optimizers/`: the rules there are the twins.
"""
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import jax.numpy as jnp

from chainrule.kernels.registry import Kernel

_MOST_SLOTS, _MOST_SCALARS = 3, 8  # as in optimizer.h


class Rule(NamedTuple):
    """What there is C++ code for: the slots that it may have and the scalars that it takes, in that code's order."""

    slots: tuple[str, ...]
    scalars: tuple[str, ...]


_ADAM = ("corrected_rate", "beta_1", "beta_2", "epsilon")

# In the order of `enum class Rule` in optimizer.h.
RULES = {
    "sgd": Rule(("velocity",), ("learning_rate", "momentum")),
    "lion": Rule(("first_moment",), ("learning_rate", "beta_1", "beta_2")),
    "adam": Rule(("first_moment", "second_moment", "largest_second_moment"), _ADAM),
    "adamax": Rule(("first_moment", "largest_gradient"), _ADAM),
    "nadam": Rule(("first_moment", "second_moment"), ("learning_rate", *_ADAM[1:], "first_factor", "gradient_factor",
                                                      "second_factor")),
    "rmsprop": Rule(("second_moment", "first_moment", "velocity"), ("learning_rate", "rho", "epsilon", "momentum")),
    "adagrad": Rule(("accumulator",), ("learning_rate", "epsilon")),
}


def has_kernel(name: str):
    """Marks the `rule` of an optimiser: C++ code of that name computes the same. A rule that overrides it has none."""
    def mark(rule: Callable) -> Callable:
        rule.kernel = name
        return rule

    return mark


def step(name: str, move: Callable, nesterov: bool, gradients, weights, slots, decays, scalars: dict):
    """All new weights and slots, written over the old ones.

    Args:
        name: of the rule, in `RULES`.
        move: the same for one array: `(gradient, weight, slots, now, decays)` to a weight and slots.
        nesterov: the variant of `"sgd"`.
        gradients, weights: float32 arrays.
        slots: for each of them its slots by name.
        decays: for each of them whether it decays.
        scalars: by name; those of the rule that are missing it does without. `decay` is the share that is lost.
    """
    rule, present = RULES[name], tuple(slots[0])
    names = tuple(scalar if scalar in scalars else "" for scalar in ("decay", *rule.scalars))
    vector = [scalars.get(scalar, 0) for scalar in names] + [0] * (_MOST_SCALARS - len(names))
    held = tuple(slot for slot in rule.slots if slot in present)
    arrays = [array for gradient, weight, own in zip(gradients, weights, slots, strict=True)
              for array in (gradient, weight, *(own[slot] for slot in held))]
    results = iter(optimizer_step(
        jnp.stack([jnp.asarray(scalar, jnp.float32) for scalar in vector]), *arrays, rule=name, move=move,
        nesterov=nesterov, slots=held, scalars=names, decays=tuple(decays),
        sizes=tuple(weight.size for weight in weights)))
    moved = [(next(results), {slot: next(results) for slot in held}) for _ in weights]
    return [weight for weight, _ in moved], [own for _, own in moved]


def _step(vector, *arrays, rule, move, nesterov, slots, scalars, decays, sizes):
    now = {name: vector[place] for place, name in enumerate(scalars) if name}
    each, results = 2 + len(slots), []
    for index, decays_here in enumerate(decays):
        gradient, weight, *values = arrays[index * each:(index + 1) * each]
        own = dict(zip(slots, values, strict=True))
        weight, own = move(gradient, weight, own, SimpleNamespace(**now), decays_here)
        results += [weight, *(own[slot] for slot in slots)]
    return results


def _attributes(settings: dict) -> dict:
    present = [slot in settings["slots"] for slot in RULES[settings["rule"]].slots]
    return {"rule": list(RULES).index(settings["rule"]), "nesterov": settings["nesterov"],
            "present": tuple(present + [False] * (_MOST_SLOTS - len(present))), "decays": settings["decays"],
            "sizes": settings["sizes"]}


def _aliases(members, *, slots, sizes, **settings) -> dict[int, int]:
    """Weights and slots are written over, but not those of one network by those of many."""
    kept = 1 + len(slots)
    pairs = ((1 + index * (1 + kept) + 1 + place, index * kept + place)
             for index in range(len(sizes)) for place in range(kept))
    return {array: result for array, result in pairs if members[array] == any(members)}


optimizer_step = Kernel("chainrule_optimizer_step", _step, attributes=_attributes, aliases=_aliases)
