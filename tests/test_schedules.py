"""What the schedules' equations say at chosen steps; the whole curves are held against Keras and PyTorch in parity."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import schedules
from chainrule.configuration import deserialize, serialize
from chainrule.errors import SettingError, UnknownNameError
from chainrule.schedules import (
    Constant,
    CosineDecay,
    CosineRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    StepDecay,
    Warmup,
)

EVERY = pytest.mark.parametrize("schedule", [
    Constant(0.1),
    StepDecay(0.1, 7),
    PiecewiseConstant([3, 9], [0.1, 0.05, 0.2]),
    ExponentialDecay(0.1, 7, 0.5),
    ExponentialDecay(0.1, 7, 0.5, staircase=True),
    PolynomialDecay(0.1, 20, power=2.0, cycle=True),
    InverseTimeDecay(0.1, 7, 0.5, staircase=True),
    CosineDecay(0.0, 20, 0.1, warmup_target=0.2, warmup_steps=5),
    CosineRestarts(0.1, 7),
    CosineRestarts(0.1, 7, t_mul=1.0, m_mul=0.5),
    CosineRestarts(0.1, 7, t_mul=1.5, alpha=0.2),
    OneCycle(0.1, 30),
    Warmup(ExponentialDecay(0.1, 7, 0.5), 5),
], ids=repr)


@EVERY
def test_is_one_float32_curve_however_it_is_computed(schedule):
    steps = jnp.arange(60)
    alone = np.array([schedule(step) for step in range(60)])
    assert alone.dtype == np.float32 and np.isfinite(alone).all() and (alone >= 0).all()
    together = jax.jit(jax.vmap(schedule))(steps)
    assert together.dtype == jnp.float32
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-8)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        assert jax.jit(schedule)(jnp.int32(5)).dtype == jnp.float32


@EVERY
def test_is_defined_at_the_last_step_there_is(schedule):
    assert np.isfinite(schedule(jnp.int32(2**31 - 1)))


@EVERY
def test_settings_survive_a_file(schedule):
    registries = {"schedule": schedules.registry}
    again = deserialize(serialize(schedule, registries), registries, {})
    assert repr(again) == repr(schedule)
    assert again(11) == schedule(11)


def test_stairs_fall_exactly_at_multiples():
    for steps in (3, 7, 10, 49, 1000):
        schedule = StepDecay(1.0, steps, 0.5)
        for multiple in range(1, 20):
            np.testing.assert_allclose(schedule(multiple * steps - 1), 0.5 ** (multiple - 1), rtol=1e-6)
            np.testing.assert_allclose(schedule(multiple * steps), 0.5**multiple, rtol=1e-6)


@pytest.mark.parametrize(("first", "t_mul"), [(7, 2.0), (10, 3.0), (100, 1.0), (64, 1.5)])
def test_restarts_come_at_the_exact_step(first, t_mul):
    schedule = jax.jit(CosineRestarts(1.0, first, t_mul))
    start, length = 0.0, float(first)
    for _ in range(8):
        assert schedule(int(np.ceil(start))) > 0.9
        if start:
            assert schedule(int(np.ceil(start)) - 1) < 0.06
        start, length = start + length, length * t_mul


def test_one_cycle():
    schedule = OneCycle(0.1, 100, warmup_fraction=0.3, initial_divisor=10.0, final_divisor=100.0)
    np.testing.assert_allclose([schedule(step) for step in (0, 29, 99, 150)], [0.01, 0.1, 1e-4, 1e-4], rtol=1e-5)
    np.testing.assert_allclose([schedule.momentum(step) for step in (0, 29, 99)], [0.95, 0.85, 0.95], rtol=1e-6)
    assert OneCycle(0.1, 100, cycle_momentum=False).momentum(3) is None
    assert np.isfinite([OneCycle(0.1, total)(step) for total in (1, 2, 3) for step in range(3)]).all()
    assert OneCycle(0.1, 1)(0) == jnp.float32(0.1)


def test_warmup_leads_into_the_schedule_from_its_beginning():
    inner = ExponentialDecay(0.8, 10, 0.5)
    schedule = Warmup(inner, 4, initial_learning_rate=0.4)
    np.testing.assert_allclose([schedule(step) for step in range(4)], [0.4, 0.5, 0.6, 0.7], rtol=1e-6)
    np.testing.assert_allclose([schedule(4 + step) for step in range(9)], [inner(step) for step in range(9)])
    assert Warmup(lambda step: 0.5 + 0 * step, 4)(2) == 0.25
    assert Warmup(OneCycle(0.1, 100), 10).momentum(10) == jnp.float32(0.95)
    assert Warmup(0.1, 10).momentum(10) is None


def test_warmup_before_a_cosine_is_that_of_the_cosine_itself():
    ours, built_in = Warmup(CosineDecay(0.2, 20), 5), CosineDecay(0.0, 20, warmup_target=0.2, warmup_steps=5)
    np.testing.assert_allclose([ours(step) for step in range(40)], [built_in(step) for step in range(40)], atol=1e-8)


def test_get():
    assert repr(schedules.get(1)) == "Constant(learning_rate=1)"
    schedule = Constant(0.1)
    assert schedules.get(schedule) is schedule
    assert schedules.registry.lookup("cosine_decay_restarts") is CosineRestarts
    assert schedules.CosineDecayRestarts is CosineRestarts
    assert schedules.LearningRateSchedule is schedules.Schedule
    restarts = schedules.CosineDecayRestarts(initial_learning_rate=1.0, first_decay_steps=10, name="waves")
    assert restarts.name == "waves" and restarts(10) == 1
    assert repr(CosineRestarts(1.0, first_steps=10)) == repr(CosineRestarts(1.0, first_decay_steps=10))
    assert CosineRestarts(1.0, first_steps=10)(10) == 1
    assert schedules.PiecewiseConstantDecay is PiecewiseConstant
    with pytest.raises(SettingError) as error:
        schedules.get("cosine_decay")
    assert str(error.value) == (
        "A schedule needs settings, so a name is not enough; got 'cosine_decay'. Make one: schedules.CosineDecay(...).")
    with pytest.raises(UnknownNameError) as error:
        schedules.get("cosine_dekay")
    assert str(error.value) == "There is no schedule 'cosine_dekay'. Did you mean 'cosine_decay'?"


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Constant(-1), "Constant: `learning_rate` must be a number of at least 0; got -1."),
    (lambda: Constant("a"), "Constant: `learning_rate` must be a number of at least 0; got 'a' (str)."),
    (lambda: ExponentialDecay(0.1, 0, 0.5), "ExponentialDecay: `decay_steps` must be a number above 0; got 0."),
    (lambda: StepDecay(0.1, 5, -0.5), "StepDecay: `decay_rate` must be a number of at least 0; got -0.5."),
    (lambda: PolynomialDecay(0.1, 5, power=-1), "PolynomialDecay: `power` must be a number of at least 0; got -1."),
    (lambda: PiecewiseConstant([1, 2], [0.1, 0.2]),
     "PiecewiseConstant: `values` must have one entry more than `boundaries`: a rate before the first boundary and one "
     "after each; got 2 boundaries and 2 values."),
    (lambda: PiecewiseConstant([2, 1], [0.1, 0.2, 0.3]),
     "PiecewiseConstant: `boundaries` must increase; got [2, 1]."),
    (lambda: CosineDecay(0.1, 100, warmup_steps=10),
     "CosineDecay: `warmup_steps` is 10 but there is no `warmup_target`, the rate to warm up to. Set both: "
     "CosineDecay(0.0, 100, warmup_target=0.1, warmup_steps=10)."),
    (lambda: CosineRestarts(0.1, 10, t_mul=0.5), "CosineRestarts: `t_mul` must be a number of at least 1; got 0.5."),
    (lambda: OneCycle(0.1, 0), "OneCycle: `total_steps` must be a number of at least 1; got 0."),
    (lambda: OneCycle(0.1, 10, warmup_fraction=2),
     "OneCycle: `warmup_fraction` must be a number of at least 0 and of at most 1; got 2."),
    (lambda: OneCycle(0.1, 10, max_momentum=1.0),
     "OneCycle: `max_momentum` must be a number of at least 0 and below 1; got 1.0."),
    (lambda: Warmup(0.1, 0), "Warmup: `steps` must be a number of at least 1; got 0."),
    (lambda: Warmup(None, 5), "A schedule is a name, an object or a function; got None (NoneType)."),
])
def test_settings_are_checked(make, message):
    with pytest.raises(SettingError) as error:
        make()
    assert str(error.value) == message


def test_a_schedule_needs_an_equation():
    class Nothing(schedules.Schedule):
        pass

    with pytest.raises(NotImplementedError) as error:
        Nothing()(0)
    assert str(error.value) == "Nothing needs a method `__call__(self, step)`."
