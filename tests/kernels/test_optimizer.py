"""One step of an optimiser by C++ code: against the rule that it stands for, in `jnp`."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import kernels, optimizers
from chainrule.kernels import registry

pytestmark = pytest.mark.skipif(not kernels.report().available, reason="the kernels were not built")

TARGET = "chainrule_optimizer_step"
# Some products are rounded before they are added in one of the two and not in the other. The weights are about 1.
CLOSE = {"rtol": 3e-6, "atol": 5e-7}
OPTIMIZERS = [
    optimizers.SGD(0.1), optimizers.SGD(0.1, momentum=0.9), optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    optimizers.SGD(0.1, weight_decay=0.1, exclude_from_weight_decay=("bias",)), optimizers.Lion(0.01),
    optimizers.Adam(0.01), optimizers.Adam(0.01, amsgrad=True, clipnorm=0.5), optimizers.AdamW(0.01, weight_decay=0.1),
    optimizers.Adamax(0.01), optimizers.Nadam(0.01), optimizers.RMSprop(0.01),
    optimizers.RMSprop(0.01, momentum=0.5, centered=True), optimizers.RMSprop(0.01, centered=True),
    optimizers.Adagrad(0.01, use_ema=True, ema_overwrite_frequency=2), optimizers.Adam(gradient_accumulation_steps=2),
]


def weights_of(seed=0, sizes=((), (0,), (1,), (7,), (16,), (5, 13), (200, 203))):
    """Arrays of odd sizes, one of them large enough for all threads."""
    generator = np.random.default_rng(seed)
    return {f"layer_{index}": {"bias": jnp.asarray(generator.normal(size=size), jnp.float32)}
            for index, size in enumerate(sizes)} | {"dense": {"kernel": jnp.ones((3, 2))}}


def steps(optimizer, weights, count=3, scale=1.0):
    """Some steps with changing gradients, compiled."""
    def body(index, carried):
        weights, state = carried
        gradients = jax.tree.map(lambda weight: scale * jnp.sin(weight * (index + 1)), weights)
        return optimizer.update(gradients, state, weights)

    return jax.lax.fori_loop(0, count, body, (weights, optimizer.init(weights)))


def all_close(found, expected, **tolerances):
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, **tolerances), found, expected)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_like_the_rule(optimizer):
    weights = weights_of()
    compiled = jax.jit(lambda weights: steps(optimizer, weights)).lower(weights).compile()
    assert TARGET in compiled.as_text()
    with kernels.allowed(False):
        plain = jax.jit(lambda weights: steps(optimizer, weights)).lower(weights).compile()
        assert TARGET not in plain.as_text()
    expected, (widest, *others) = plain(weights), kernels.report().instruction_sets
    try:
        for name in (*others, widest):
            registry.use_instruction_set(name)
            found = compiled(weights)
            all_close(found, expected, **CLOSE)
            jax.tree.map(np.testing.assert_array_equal, found, compiled(weights))
    finally:
        registry.use_instruction_set(widest)


def test_a_changed_rule_has_no_kernel():
    class Halved(optimizers.Adam):
        def rule(self, gradient, weight, slots, now):
            return super().rule(gradient / 2, weight, slots, now)

    for optimizer in (Halved(), optimizers.Lamb()):
        weights = {"kernel": jnp.ones(3)}
        step = jax.make_jaxpr(lambda weights, optimizer=optimizer: steps(optimizer, weights))
        assert TARGET not in str(step(weights))


def test_other_numbers_are_moved_without_it():
    weights = {"kernel": jnp.ones(3, jnp.bfloat16), "bias": jnp.ones(3)}
    assert TARGET not in str(jax.make_jaxpr(lambda weights: steps(optimizers.Adam(), weights))(weights))


def test_a_momentum_turned_off_or_on_later():
    optimizer, weights = optimizers.SGD(0.1, momentum=0.9), {"kernel": jnp.ones(20)}
    state = optimizer.init(weights)
    optimizer.momentum = 0.0
    moved, state = optimizer.update(weights, state, weights)
    np.testing.assert_allclose(moved["kernel"], 0.9, rtol=1e-6)
    assert "velocity" in state


def test_nan_and_infinity_spread_as_in_the_rule():
    weights = {"kernel": jnp.asarray([jnp.nan, jnp.inf, -jnp.inf, 1.0, 0.0])}
    gradients = {"kernel": jnp.asarray([1.0, 1.0, jnp.nan, jnp.inf, 0.0])}
    for optimizer in (optimizers.Adam(), optimizers.Adam(amsgrad=True), optimizers.Adamax(), optimizers.Lion(),
                      optimizers.RMSprop()):
        found = optimizer.update(gradients, optimizer.init(weights), weights)
        with kernels.allowed(False):
            all_close(found, optimizer.update(gradients, optimizer.init(weights), weights), **CLOSE)


def test_members_with_rates_of_their_own():
    optimizer, members = optimizers.AdamW(0.01), [weights_of(seed, sizes=((7,), (40, 30))) for seed in range(30)]
    together = jax.tree.map(lambda *arrays: jnp.stack(arrays), *members)
    rates = jnp.linspace(0.001, 0.1, len(members))

    def one(weights, rate):
        state = optimizer.init(weights)
        for _ in range(2):
            numbers = optimizer.hyperparameters() | {"learning_rate": rate}
            weights, state = optimizer.update(jax.tree.map(jnp.sin, weights), state, weights, numbers)
        return weights, state

    found = jax.jit(jax.vmap(one))(together, rates)
    compiled = jax.jit(one)
    for index in (0, 11, 29):
        alone = compiled(members[index], rates[index])
        jax.tree.map(lambda many, single, index=index: np.testing.assert_array_equal(many[index], single), found, alone)
    # The same weights under many rates.
    many = jax.jit(jax.vmap(one, in_axes=(None, 0)))(members[0], rates)
    jax.tree.map(lambda many, single: np.testing.assert_array_equal(many[3], single), many,
                 compiled(members[0], rates[3]))


def test_derivatives_through_an_update():
    optimizer, weights = optimizers.Adam(), {"kernel": jnp.asarray([1.0, -2.0, 3.0])}

    def after(rate):
        numbers = optimizer.hyperparameters() | {"learning_rate": rate}
        moved = optimizer.update(weights, optimizer.init(weights), weights, numbers)[0]
        return jnp.square(moved["kernel"]).sum()

    found = jax.grad(after)(0.1)
    with kernels.allowed(False):
        np.testing.assert_allclose(found, jax.grad(after)(0.1), rtol=1e-5)


def test_nothing_is_copied_in_a_loop():
    weights = {"kernel": jnp.ones((301, 203))}
    optimizer = optimizers.Adam()
    text = jax.jit(lambda weights: steps(optimizer, weights, 100)).lower(weights).compile().as_text()
    body = max(text.split("\n\n"), key=lambda part: part.count(TARGET))
    assert TARGET in body
    assert [line for line in body.splitlines() if " copy(" in line and "301,203" in line] == []


GOOD = {"rule": 2, "nesterov": False, "present": (1, 1, 0), "decays": (0,), "sizes": (6,)}


@pytest.mark.parametrize("changed, arrays, message", [
    ({"rule": 99}, 4, "no such rule"),
    ({"present": (1, 0, 0)}, 4, "not those of the rule"),
    ({"present": (1, 1)}, 4, "number of slots"),
    ({"rule": 0}, 4, "not those of the rule"),
    ({"decays": (0, 0)}, 4, "flag of decay"),
    ({"sizes": (5,)}, 4, "as many elements"),
    ({"sizes": (-1,)}, 4, "out of range"),
    ({}, 3, "number of arrays"),
])
def test_wrong_shapes_are_refused(changed, arrays, message):
    settings = {name: np.asarray(value, np.int64) if isinstance(value, tuple) else value if name == "nesterov" else
                np.int64(value) for name, value in (GOOD | changed).items()}
    registry._register(TARGET)
    call = jax.ffi.ffi_call(TARGET, [jax.ShapeDtypeStruct((2, 3), jnp.float32)] * 3)
    with pytest.raises(Exception, match=message):
        jax.block_until_ready(call(jnp.ones(8), *[jnp.ones((2, 3))] * arrays, **settings))


def test_a_shorter_slot_or_too_few_scalars_are_refused():
    settings = {name: np.asarray(value, np.int64) if isinstance(value, tuple) else value if name == "nesterov" else
                np.int64(value) for name, value in GOOD.items()}
    registry._register(TARGET)
    call = jax.ffi.ffi_call(TARGET, [jax.ShapeDtypeStruct((2, 3), jnp.float32)] * 3)
    good, short = jnp.ones((2, 3)), jnp.ones(5)
    for scalars, slot in ((jnp.ones(8), short), (jnp.ones(7), good), (jnp.ones(8), good.astype(jnp.int32))):
        with pytest.raises(Exception, match="as many elements|not one of floats"):
            jax.block_until_ready(call(scalars, good, good, good, slot, **settings))
