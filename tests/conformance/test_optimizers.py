"""One suite for every optimiser: what an optimiser promises to training, files and populations.

How each one moves, and what the common settings add, is in tests/test_optimizers.py.
"""
import functools
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import optimizers
from chainrule.configuration import deserialize, serialize
from chainrule.optimizers import (
    LBFGS,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lamb,
    Lion,
    MultiOptimizer,
    Nadam,
    RMSprop,
)
from chainrule.schedules import ExponentialDecay
from tests.conformance.samples import REGISTRIES

CASES = [
    Adadelta(1.0), Adafactor(0.1), Adagrad(0.1), Adam(0.01), Adam(0.01, amsgrad=True, use_ema=True, clipnorm=0.5),
    AdamW(0.01, weight_decay=0.1, exclude_from_weight_decay=("bias",)), Adamax(0.01), LBFGS(), Lamb(0.01), Lion(0.01),
    MultiOptimizer({"bias": SGD(0.1)}, default=Adam(0.01)), Nadam(0.01), RMSprop(0.01), SGD(0.1),
    SGD(ExponentialDecay(0.1, 10, 0.5), momentum=0.9, nesterov=True), SGD(0.1, gradient_accumulation_steps=2),
]

draw = np.random.default_rng(0)
WEIGHTS = {"dense": {name: draw.normal(size=shape).astype("float32")
                     for name, shape in {"kernel": (3, 4), "bias": (4,)}.items()}}


@pytest.fixture(params=CASES, ids=repr)
def optimizer(request):
    return request.param


def loss(weights):
    return sum(jnp.sum(jnp.cosh(leaf - 0.5)) for leaf in jax.tree.leaves(weights))


def step(optimizer, weights, state):
    value, gradients = jax.value_and_grad(loss)(weights)
    return optimizer.update(gradients, state, weights, value=value, value_fn=loss)


@functools.cache
def compiled(optimizer):
    """One step, compiled once for all tests."""
    return jax.jit(functools.partial(step, optimizer))


def steps(optimizer, weights, state, count):
    for _ in range(count):
        weights, state = compiled(optimizer)(weights, state)
    return weights, state


def assert_equal(left, right, tolerance=0.0):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, strict=True)


def test_every_optimizer_has_a_case():
    assert {type(optimizer) for optimizer in CASES} == set(optimizers.registry.entries.values())


def test_steps_lower_the_loss_and_count(optimizer):
    weights, state = steps(optimizer, WEIGHTS, optimizer.init(WEIGHTS), 4)
    assert loss(optimizer.final_weights(weights, state)) < loss(WEIGHTS)
    assert state["step"] == 4
    for before, after in zip(jax.tree.leaves(WEIGHTS), jax.tree.leaves(weights), strict=True):
        assert after.dtype == before.dtype and not np.array_equal(before, after)


def test_compiled_equals_uncompiled(optimizer):
    start = jax.tree.map(jnp.asarray, WEIGHTS), optimizer.init(WEIGHTS)
    if not optimizer.needs_value:  # a search along a line may end elsewhere by rounding
        assert_equal(steps(optimizer, *start, 1), step(optimizer, *start), 1e-6)


def test_many_networks_at_once(optimizer):
    factors = (1.0, 0.5)
    several = [jax.tree.map(lambda leaf, factor=factor: leaf * np.float32(factor), WEIGHTS) for factor in factors]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *several)
    together = jax.jit(jax.vmap(lambda weights: step(optimizer, weights, optimizer.init(weights))))(together)
    for member, weights in enumerate(several):
        alone = steps(optimizer, weights, optimizer.init(weights), 1)
        assert_equal(jax.tree.map(lambda leaf, member=member: leaf[member], together), alone, 1e-5)


def test_training_goes_on_from_a_file(optimizer):
    weights, state = steps(optimizer, WEIGHTS, optimizer.init(WEIGHTS), 3)
    leaves, structure = jax.tree.flatten((weights, state))
    file = io.BytesIO()
    np.savez(file, *map(np.asarray, leaves))
    file.seek(0)
    read = structure.unflatten(np.load(file, allow_pickle=False).values())
    assert_equal(steps(optimizer, *read, 3), steps(optimizer, weights, state, 3))


def test_settings_make_an_equal_optimizer(optimizer):
    text = json.dumps(serialize(optimizer, REGISTRIES))
    again = deserialize(json.loads(text), REGISTRIES, {})
    assert type(again) is type(optimizer) and repr(again) == repr(optimizer)
    assert json.dumps(serialize(again, REGISTRIES)) == text
    assert again.hyperparameters() == optimizer.hyperparameters()
    assert_equal(steps(again, WEIGHTS, again.init(WEIGHTS), 2), steps(optimizer, WEIGHTS, optimizer.init(WEIGHTS), 2))
