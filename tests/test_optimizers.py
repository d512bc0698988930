"""One table of optimisers through all tests, then what single ones and the common settings add."""
import copy
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from chainrule import optimizers, schedules
from chainrule.configuration import deserialize, serialize
from chainrule.errors import SettingError, UnknownNameError
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
    OptaxOptimizer,
    Optimizer,
    RMSprop,
)

# Each with a rate that suits both problems below.
TABLE = {
    "SGD": SGD(0.01),
    "SGD momentum": SGD(0.003, momentum=0.9),
    "SGD nesterov": SGD(0.003, momentum=0.9, nesterov=True),
    "RMSprop": RMSprop(0.01),
    "RMSprop centered momentum": RMSprop(0.001, centered=True, momentum=0.9, epsilon=1e-3),
    "Adam": Adam(0.03),
    "Adam amsgrad": Adam(0.03, amsgrad=True),
    "AdamW": AdamW(0.03, weight_decay=1e-4),
    "Adagrad": Adagrad(0.3),
    "Adadelta": Adadelta(schedules.ExponentialDecay(20.0, 100, 0.7)),
    "Adamax": Adamax(0.03),
    "Nadam": Nadam(0.03),
    "Lion": Lion(schedules.ExponentialDecay(0.01, 100, 0.7)),
    "Lamb": Lamb(schedules.ExponentialDecay(0.05, 100, 0.7)),
    "Adafactor": Adafactor(schedules.ExponentialDecay(0.1, 200, 0.7)),
    "schedule": Adam(schedules.OneCycle(0.1, 1000)),
    "clipnorm": Adam(0.03, clipnorm=1.0),
    "clipvalue": Adam(0.03, clipvalue=1.0),
    "global_clipnorm": Adam(0.03, global_clipnorm=1.0),
    "ema": Adam(0.03, use_ema=True, ema_overwrite_frequency=50),
    "accumulation": Adam(0.1, gradient_accumulation_steps=3),
    "groups": MultiOptimizer({"kernel": Adam(0.03)}, default=RMSprop(0.01)),
    "optax": OptaxOptimizer(optax.adam(0.03)),
    "LBFGS": LBFGS(),
}
EVERY = pytest.mark.parametrize("name", TABLE)


def parabola(weights):
    return sum(jnp.sum((leaf - 1) ** 2) for leaf in jax.tree.leaves(weights))


def rosenbrock(weights):
    x, y = weights["dense"]["kernel"][0], weights["dense"]["bias"]
    return jnp.sum((1 - x) ** 2 + 5 * (y - x**2) ** 2)


def start(dtype="float32"):
    return {"dense": {"kernel": jnp.array([[-1.0, 0.5, 0.2]] * 2, dtype), "bias": jnp.array([1.0, -0.5, 0.1], dtype)}}


def step(optimizer, loss, weights, state, hyperparameters):
    value, gradients = jax.value_and_grad(loss)(weights)
    return optimizer.update(gradients, state, weights, hyperparameters, value=value, value_fn=loss)


def run(optimizer, loss, weights, steps, hyperparameters=None):
    """The weights and the state after some steps in one compiled loop."""
    hyperparameters = optimizer.hyperparameters() if hyperparameters is None else hyperparameters

    @jax.jit
    def loop(weights, state, hyperparameters):
        body = lambda carry, _: (step(optimizer, loss, *carry, hyperparameters), None)
        return jax.lax.scan(body, (weights, state), length=steps)[0]

    return loop(weights, optimizer.init(weights), hyperparameters)


def random_gradients(steps, dtype="float32"):
    draw = np.random.default_rng(0)
    return [jax.tree.map(lambda leaf: jnp.asarray(draw.normal(size=leaf.shape), dtype), start()) for _ in range(steps)]


def assert_equal_trees(left, right, rtol=0.0):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)


# ---------------------------------------------------------------------------------------------- every optimiser

@EVERY
@pytest.mark.parametrize("loss", [parabola, rosenbrock])
def test_reaches_the_minimum(name, loss):
    optimizer = TABLE[name]
    weights, state = run(optimizer, loss, start(), 1000)
    assert loss(optimizer.final_weights(weights, state)) < 0.01 * loss(start())


@EVERY
def test_changed_hyperparameters_compile_nothing(name):
    optimizer, traces = copy.deepcopy(TABLE[name]), []

    @jax.jit
    def compiled(weights, state, hyperparameters):
        traces.append(1)
        return step(optimizer, parabola, weights, state, hyperparameters)

    weights = start()
    state = optimizer.init(weights)
    for factor in (1.0, 0.5, 0.25):
        hyperparameters = {key: value * factor for key, value in optimizer.hyperparameters().items()}
        weights, state = compiled(weights, state, hyperparameters)
    assert len(traces) == 1


@EVERY
@pytest.mark.parametrize(("dtype", "x64"), [
    ("float32", False), ("bfloat16", False), ("float32", True), ("float64", True),
])
def test_keeps_dtypes_and_structure(name, dtype, x64):
    if name == "LBFGS" and dtype == "bfloat16":
        pytest.skip("a line search in half precision finds no length")
    with jax.enable_x64(x64):
        optimizer, weights = TABLE[name], start(dtype)
        state = optimizer.init(weights)
        loss = {"value": jnp.ones((), dtype), "value_fn": parabola}
        with jax.numpy_dtype_promotion("standard" if name in ("LBFGS", "optax") else "strict"):
            moved = jax.eval_shape(lambda *arguments: optimizer.update(*arguments, **loss),
                                   weights, state, weights, optimizer.hyperparameters())
        shape = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), tree)
        assert shape(moved) == shape((weights, state))


@EVERY
def test_state_is_plain_data_and_training_continues_from_it(name):
    optimizer = TABLE[name]
    weights, state = run(optimizer, rosenbrock, start(), 4)

    def assert_plain(tree):
        if isinstance(tree, dict):
            assert all(type(key) is str for key in tree)
            for value in tree.values():
                assert_plain(value)
        else:
            assert isinstance(tree, jax.Array)

    assert_plain(state)
    assert state["step"].dtype == jnp.int32 and state["step"] == 4
    restored = jax.tree.map(lambda leaf: jnp.array(np.array(leaf)), state)
    again = jax.jit(lambda *arguments: step(optimizer, rosenbrock, *arguments))
    assert_equal_trees(again(weights, restored, optimizer.hyperparameters()),
                       again(weights, state, optimizer.hyperparameters()))


@pytest.mark.parametrize("name", [name for name in TABLE if "learning_rate" in TABLE[name].hyperparameters()])
def test_four_rates_at_once_equal_four_runs(name):
    optimizer = TABLE[name]
    rates = jnp.array([0.001, 0.003, 0.01, 0.03])
    numbers = optimizer.hyperparameters()

    @jax.jit
    def train(rate):
        return run(optimizer, rosenbrock, start(), 20, numbers | {"learning_rate": rate})

    together = jax.vmap(train)(rates)
    for index, rate in enumerate(rates):
        assert_equal_trees(jax.tree.map(lambda leaf, index=index: leaf[index], together), train(rate), 2e-5)


@EVERY
def test_no_weights_at_all(name):
    optimizer = TABLE[name]
    if name == "LBFGS":
        pytest.skip("there is nothing to search along")
    weights, state = optimizer.update({}, optimizer.init({}), {})
    assert weights == {} and state["step"] == 1


@EVERY
def test_settings_survive_a_file(name):
    optimizer = TABLE[name]
    if name == "optax":
        pytest.skip("code, see test_optax_cannot_be_saved")
    registries = {"optimizer": optimizers.registry, "schedule": schedules.registry}
    again = deserialize(serialize(optimizer, registries), registries, {})
    assert repr(again) == repr(optimizer)
    assert again.hyperparameters() == optimizer.hyperparameters()


def test_a_setting_changed_later_is_saved():
    optimizer = Adam()
    optimizer.learning_rate = 0.5
    assert optimizer.get_config() == {"learning_rate": 0.5}
    assert optimizer.hyperparameters()["learning_rate"] == 0.5


# ---------------------------------------------------------------------------------------------- common settings

def test_hyperparameters_are_the_numbers_in_use():
    assert SGD().hyperparameters() == {"learning_rate": 0.01}
    assert AdamW(schedules.Constant(0.1), clipnorm=1, use_ema=True).hyperparameters() == {
        "weight_decay": 0.004, "clipnorm": 1.0, "ema_momentum": 0.99, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}


def test_state_has_only_the_slots_in_use():
    assert set(SGD().init(start())) == {"step"}
    assert set(SGD(momentum=0.5).init(start())) == {"step", "velocity"}
    assert set(Adam(use_ema=True, gradient_accumulation_steps=2).init(start())) == {
        "step", "first_moment", "second_moment", "average", "accumulated_gradient"}
    assert set(Nadam().init(start())) == {"step", "first_moment", "second_moment", "momentum_product"}


def test_learning_rate_at_asks_the_schedule_or_the_hyperparameters():
    optimizer = Adam(schedules.ExponentialDecay(1.0, 10, 0.5))
    _, state = run(optimizer, parabola, start(), 10)
    assert optimizer.learning_rate_at(state) == 0.5
    assert Adam(0.25).learning_rate_at(state) == 0.25
    assert Adam(0.25).learning_rate_at(state, {"learning_rate": jnp.float32(2.0)}) == 2.0
    assert Adam(lambda step: 0.5 / (1 + step)).learning_rate_at({"step": jnp.int32(1)}) == 0.25


def test_one_cycle_moves_the_momentum():
    gradients = random_gradients(6)
    cycle = schedules.OneCycle(0.1, 6)
    for optimizer, key in [(SGD(cycle, momentum=0.9), "momentum"), (Adam(cycle), "beta_1"),
                           (RMSprop(cycle, momentum=0.9), "momentum")]:
        by_hand = type(optimizer)(0.1, momentum=0.9) if key == "momentum" else type(optimizer)(0.1)
        weights = others = start()
        state = other_state = optimizer.init(weights)
        for index, gradient in enumerate(gradients):
            weights, state = optimizer.update(gradient, state, weights)
            numbers = by_hand.hyperparameters() | {"learning_rate": cycle(index), key: cycle.momentum(index)}
            others, other_state = by_hand.update(gradient, other_state, others, numbers)
        assert_equal_trees(weights, others, 1e-6)
    assert set(SGD(cycle).init(start())) == {"step"}


def test_accumulated_steps_equal_one_step_with_the_mean_gradient():
    gradients = random_gradients(6)
    settings = {"clipnorm": 0.5, "weight_decay": 0.1}
    few, many = Adam(0.1, **settings), Adam(0.1, gradient_accumulation_steps=3, **settings)
    weights = others = start()
    state, other_state = few.init(weights), many.init(weights)
    for index, gradient in enumerate(gradients):
        before = others
        others, other_state = many.update(gradient, other_state, others)
        if (index + 1) % 3:
            assert_equal_trees(others, before)
            continue
        mean = jax.tree.map(lambda *leaves: sum(leaves) / 3, *gradients[index - 2: index + 1])
        weights, state = few.update(mean, state, weights)
        assert_equal_trees(others, weights, 1e-6)
    assert other_state["step"] == 6 and not any(
        leaf.any() for leaf in jax.tree.leaves(other_state["accumulated_gradient"]))


def test_the_moving_average_moves_while_gradients_are_accumulated():
    optimizer = SGD(1.0, use_ema=True, ema_momentum=0.5, gradient_accumulation_steps=2)
    weight, path = jnp.array(4.0), []
    state = optimizer.init(weight)
    for _ in range(5):
        weight, state = optimizer.update(jnp.array(1.0), state, weight)
        path.append((float(weight), float(optimizer.final_weights(weight, state))))
    assert path == [(4, 4), (3, 3), (3, 3), (2, 2.5), (2, 2.25)]


@pytest.mark.parametrize("cls", [cls for cls in dict.fromkeys(optimizers.registry.entries.values())
                                 if cls is not MultiOptimizer], ids=lambda cls: cls.__name__)
def test_a_name_is_kept_and_nothing_else(cls):
    optimizer = cls(name="mine")
    assert optimizer.name == "mine" and optimizer.get_config() == {"name": "mine"}
    assert optimizer.hyperparameters() == cls().hyperparameters()
    again = deserialize(serialize(optimizer, {"optimizer": optimizers.registry}),
                        {"optimizer": optimizers.registry}, {})
    assert again.name == "mine"


def test_schedules_are_found_where_keras_has_them():
    assert optimizers.schedules is schedules


def test_clipping_limits_norms():
    gradient = {"kernel": jnp.array([3.0, 4.0]), "bias": jnp.array([0.3])}
    still = jax.tree.map(jnp.zeros_like, gradient)

    def move(**clipping):
        optimizer = SGD(1.0, **clipping)
        moved, _ = optimizer.update(gradient, optimizer.init(still), still)
        return -jnp.concatenate([moved["kernel"], moved["bias"]])

    np.testing.assert_allclose(move(clipnorm=1.0), [0.6, 0.8, 0.3], rtol=1e-6)
    np.testing.assert_allclose(move(clipvalue=0.5), [0.5, 0.5, 0.3], rtol=1e-6)
    np.testing.assert_allclose(move(global_clipnorm=1.0), np.array([3, 4, 0.3]) / np.sqrt(25.09), rtol=1e-6)
    np.testing.assert_allclose(move(global_clipnorm=100.0), [3, 4, 0.3], rtol=1e-6)


def test_excluded_weights_do_not_decay():
    weights = start()
    optimizer = SGD(0.1, weight_decay=1.0, exclude_from_weight_decay=["dense/bias$"])
    moved, _ = optimizer.update(jax.tree.map(jnp.zeros_like, weights), optimizer.init(weights), weights)
    np.testing.assert_array_equal(moved["dense"]["bias"], weights["dense"]["bias"])
    np.testing.assert_allclose(moved["dense"]["kernel"], 0.9 * weights["dense"]["kernel"], rtol=1e-6)


def test_small_steps_of_half_precision_weights_are_not_lost_in_the_moments():
    weight = jnp.ones(1, jnp.bfloat16)
    optimizer = Adam(0.0)
    state = optimizer.init(weight)
    for _ in range(300):
        weight, state = optimizer.update(jnp.ones(1, jnp.bfloat16), state, weight)
    np.testing.assert_allclose(state["second_moment"], 1 - 0.999**300, rtol=1e-3)


def test_momentum_may_be_turned_off_but_not_on():
    weights, gradient = start(), random_gradients(1)[0]
    with_momentum = SGD(0.1, momentum=0.9)
    state = with_momentum.init(weights)
    with_momentum.momentum = 0.0
    moved, _ = with_momentum.update(gradient, state, weights)
    assert_equal_trees(moved, SGD(0.1).update(gradient, SGD(0.1).init(weights), weights)[0], 1e-6)

    without = SGD(0.1)
    state = without.init(weights)
    without.momentum = 0.9
    with pytest.raises(SettingError) as error:
        without.update(gradient, state, weights)
    assert str(error.value) == (
        "SGD: `momentum` was 0 when the state was made, so there is no velocity to keep. Make the optimizer with the "
        "momentum, SGD(momentum=0.9), and begin with a new state.")


def test_an_optimizer_of_ones_own():
    class SignDescent(Optimizer):
        learning_rate: float = 0.01
        shrink: float = 0.5

        numbers = {"shrink": {"minimum": 0}}

        def slots(self, weight):
            return {"seen": jnp.zeros_like(weight)}

        def prepare(self, now, state):
            return {"rate": now.learning_rate * now.shrink**now.count}

        def rule(self, gradient, weight, slots, now):
            return weight - now.rate * jnp.sign(gradient), {"seen": slots["seen"] + 1}

    optimizer, weight = SignDescent(0.5), jnp.array([1.0, 2.0])
    state = optimizer.init(weight)
    for _ in range(2):
        weight, state = optimizer.update(jnp.array([2.0, -2.0]), state, weight)
    np.testing.assert_allclose(weight, [0.625, 2.375])
    assert optimizer.hyperparameters() == {"learning_rate": 0.5, "shrink": 0.5}
    with pytest.raises(NotImplementedError) as error:
        Optimizer(0.1).update(weight, Optimizer(0.1).init(weight), weight)
    assert str(error.value) == "Optimizer needs a method `rule(self, gradient, weight, slots, now)`."


# ---------------------------------------------------------------------------------------------- groups, L-BFGS, optax

def test_each_group_has_its_own_optimizer():
    weights, gradients = start(), random_gradients(5)
    kernel, bias = Adam(0.1, weight_decay=0.1, exclude_from_weight_decay=["kernel"]), SGD(0.2, momentum=0.9)
    optimizer = MultiOptimizer({"kernel$": kernel}, default=bias)
    together, state = weights, optimizer.init(weights)
    alone = {"kernel": weights["dense"]["kernel"], "bias": weights["dense"]["bias"]}
    states = {"kernel": kernel.init(alone["kernel"]), "bias": bias.init(alone["bias"])}
    plain = Adam(0.1)
    for gradient in gradients:
        together, state = optimizer.update(gradient, state, together)
        for name, member in [("kernel", plain), ("bias", bias)]:
            alone[name], states[name] = member.update(gradient["dense"][name], states[name], alone[name])
    assert_equal_trees(together["dense"], alone, 1e-6)


def test_the_rate_of_groups_is_scaled_together():
    optimizer = MultiOptimizer({"kernel": Adam(0.1), "bias": Adam(schedules.Constant(0.3))}, default=Adam(0.2))
    optimizer.learning_rate = 0.02
    assert optimizer.learning_rate == 0.02
    assert optimizer.hyperparameters()["kernel/learning_rate"] == pytest.approx(0.01)
    assert optimizer.learning_rate_at({"step": jnp.int32(0)}) == jnp.float32(0.02)
    assert list(optimizer.get_config()) == ["optimizers", "default"]


def test_groups_need_weights_and_optimizers():
    with pytest.raises(SettingError) as error:
        MultiOptimizer({"encoder": SGD()}, default=SGD()).init(start())
    assert str(error.value) == (
        "MultiOptimizer: no weight is left for the pattern 'encoder'. The paths of the weights are 'dense/bias', "
        "'dense/kernel'; the first pattern that a path contains decides.")
    with pytest.raises(SettingError) as error:
        MultiOptimizer({"encoder": 0.1}, default=SGD())
    assert str(error.value) == (
        "MultiOptimizer: the optimizer of 'encoder' must be a name or an object such as Adam(0.001), and not one that "
        "needs the loss of all weights; got 0.1.")
    with pytest.raises(SettingError) as error:
        MultiOptimizer({}, default="lbfgs")
    assert str(error.value) == (
        "MultiOptimizer: the optimizer of 'default' must be a name or an object such as Adam(0.001), and not one that "
        "needs the loss of all weights; got 'lbfgs'.")
    with pytest.raises(UnknownNameError) as error:
        MultiOptimizer({}, default="adm")
    assert str(error.value) == "There is no optimizer 'adm'. Did you mean 'adam'?"


def test_groups_by_name_are_saved_as_they_are_now():
    optimizer = MultiOptimizer({"default": "sgd"}, default="adam", name="two")
    optimizer.learning_rate = 0.0005
    registries = {"optimizer": optimizers.registry}
    again = deserialize(serialize(optimizer, registries), registries, {})
    assert repr(again) == repr(optimizer) == (
        "MultiOptimizer(optimizers={'default': SGD(learning_rate=0.005)}, default=Adam(learning_rate=0.0005), "
        "name='two')")


def test_a_group_may_be_frozen():
    frozen = {"dense": {"bias": start()["dense"]["bias"]}}
    trained = {"dense": {"kernel": start()["dense"]["kernel"]}}
    optimizer = MultiOptimizer({"bias": Adam(0.1)}, default=SGD(0.5))
    state = optimizer.init_beside(trained, frozen)
    moved, _ = optimizer.update(trained, state, trained)
    assert_equal_trees(moved, jax.tree.map(lambda leaf: leaf / 2, trained))
    with pytest.raises(SettingError) as error:
        MultiOptimizer({"encoder": SGD()}, default=SGD()).init_beside(trained, frozen)
    assert str(error.value) == (
        "MultiOptimizer: no weight is left for the pattern 'encoder'. The paths of the weights are 'dense/bias', "
        "'dense/kernel'; the first pattern that a path contains decides.")


def test_lbfgs_reaches_what_first_order_methods_do_not():
    weights, state = run(LBFGS(), rosenbrock, start(), 40)
    assert rosenbrock(weights) < 1e-10
    given, _ = step(LBFGS(), rosenbrock, start(), LBFGS().init(start()), None)
    weights = start()
    computed, _ = LBFGS().update(jax.grad(rosenbrock)(weights), LBFGS().init(weights), weights, value_fn=rosenbrock)
    assert_equal_trees(given, computed)


def test_lbfgs_needs_the_loss_as_it_is():
    with pytest.raises(SettingError) as error:
        LBFGS().update(start(), LBFGS().init(start()), start())
    assert str(error.value) == (
        "LBFGS.update needs `value_fn`, the loss as a function of the weights, for its line search.")
    with pytest.raises(SettingError) as error:
        LBFGS(clipnorm=1.0)
    assert str(error.value) == (
        "LBFGS: `clipnorm` is not possible, because the line search needs the gradient of the loss as it is. Put a "
        "penalty into the loss instead: a regularizer of the layers.")
    with pytest.raises(SettingError) as error:
        LBFGS(memory_size=0)
    assert str(error.value) == "LBFGS: `memory_size` must be a whole number of at least 1; got 0."


def test_optax_is_imported_where_it_is_used():
    code = ("import sys; import numpy; from chainrule import optimizers; optimizers.get('adam'); "
            "assert 'optax' not in sys.modules; "
            "optimizers.LBFGS().init({'w': numpy.ones(2)}); assert 'optax' in sys.modules")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_optax_transformations_do_what_optax_does():
    transformation = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.1))
    optimizer = optimizers.get(transformation)
    weights = others = start()
    state, inner = optimizer.init(weights), transformation.init(weights)
    for gradient in random_gradients(5):
        weights, state = optimizer.update(gradient, state, weights)
        updates, inner = transformation.update(gradient, inner, others)
        others = optax.apply_updates(others, updates)
    assert_equal_trees(weights, others)
    assert optimizer.learning_rate is None and optimizer.hyperparameters() == {}


def test_optax_for_weights_of_a_certain_structure_is_taken():
    labels = {"dense": {"kernel": "slow", "bias": "fast"}}
    optimizer = OptaxOptimizer(optax.multi_transform({"slow": optax.sgd(0.1), "fast": optax.adam(0.2)}, labels))
    weights, _ = run(optimizer, parabola, start(), 3)
    assert parabola(weights) < parabola(start())


def test_optax_that_needs_the_loss_is_refused():
    with pytest.raises(SettingError) as error:
        OptaxOptimizer(optax.polyak_sgd())
    assert str(error.value) == (
        "OptaxOptimizer: this transformation is missing 1 required keyword-only argument: 'value', which a training "
        "step does not hand to an optax transformation. Use one that needs gradients, state and weights only; for "
        "L-BFGS use chainrule.optimizers.LBFGS.")
    with pytest.raises(SettingError, match="'value', 'grad', and 'value_fn'"):
        OptaxOptimizer(optax.lbfgs())


def test_optax_cannot_be_saved_nor_its_rate_be_set_or_read():
    optimizer = OptaxOptimizer(optax.sgd(0.1))
    with pytest.raises(SettingError) as error:
        optimizer.get_config()
    assert str(error.value) == (
        "An optax transformation is code, and files hold only data, so this optimizer cannot be saved. Save without "
        "it, or use an optimizer of chainrule.optimizers.")
    with pytest.raises(SettingError) as error:
        optimizer.learning_rate = 0.1
    assert str(error.value) == (
        "OptaxOptimizer: `learning_rate` is not a setting here, since the transformation keeps its learning rate to "
        "itself. Set it where the transformation is made: optax.adamw(0.001, weight_decay=0.01).")
    with pytest.raises(SettingError) as error:
        optimizer.learning_rate_at(optimizer.init(start()))
    assert str(error.value) == (
        "OptaxOptimizer: the learning rate is inside the optax transformation and cannot be read.")
    assert repr(optimizer) == "OptaxOptimizer(...)"


# ---------------------------------------------------------------------------------------------- names and messages

@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam", "adamw", "adagrad", "adadelta", "adamax", "nadam", "lion",
                                  "lamb", "adafactor", "lbfgs"])
def test_names(name):
    assert type(optimizers.get(name)).__name__.lower() == name
    cls = type(optimizers.get(name))
    assert isinstance(optimizers.get(cls.__name__), cls) and isinstance(optimizers.get(cls), cls)


def test_positions_are_those_of_keras():
    assert AdamW(0.001, 0.01, 0.8).hyperparameters() == AdamW(
        learning_rate=0.001, weight_decay=0.01, beta_1=0.8).hyperparameters()
    assert SGD(0.05, 0.9, True).nesterov
    with pytest.raises(TypeError):
        SGD(0.05, 0.9, True, 0.01)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: SGD(-0.1),
     "SGD: `learning_rate` must be a number of at least 0, a schedule or a function of the step; got -0.1."),
    (lambda: SGD("fast"),
     "SGD: `learning_rate` must be a number of at least 0, a schedule or a function of the step; got 'fast' (str)."),
    (lambda: SGD(True),
     "SGD: `learning_rate` must be a number of at least 0, a schedule or a function of the step; got True (bool)."),
    (lambda: SGD(float("nan")),
     "SGD: `learning_rate` must be a number of at least 0, a schedule or a function of the step; got nan."),
    (lambda: SGD(0.1, momentum=1.0), "SGD: `momentum` must be a number of at least 0 and below 1; got 1.0."),
    (lambda: Adam(beta_1=1.5), "Adam: `beta_1` must be a number of at least 0 and below 1; got 1.5."),
    (lambda: Adam(beta_2=None), "Adam: `beta_2` must be a number of at least 0 and below 1; got None (NoneType)."),
    (lambda: Adam(epsilon=-1), "Adam: `epsilon` must be a number of at least 0; got -1."),
    (lambda: Lion(beta_1=0), "Lion: `beta_1` must be a number above 0 and of at most 1; got 0."),
    (lambda: Adagrad(initial_accumulator_value=-1),
     "Adagrad: `initial_accumulator_value` must be a number of at least 0; got -1."),
    (lambda: Adafactor(beta_2_decay=0.8), "Adafactor: `beta_2_decay` must be a number of at most 0; got 0.8."),
    (lambda: Adam(clipnorm=0), "Adam: `clipnorm` must be a number above 0; got 0."),
    (lambda: Adam(clipnorm=1.0, global_clipnorm=1.0),
     "Adam: `clipnorm` and `global_clipnorm` exclude each other. Set one of them."),
    (lambda: Adam(weight_decay=-1), "Adam: `weight_decay` must be a number of at least 0; got -1."),
    (lambda: Adam(use_ema=True, ema_momentum=2.0),
     "Adam: `ema_momentum` must be a number of at least 0 and of at most 1; got 2.0."),
    (lambda: Adam(gradient_accumulation_steps=0),
     "Adam: `gradient_accumulation_steps` must be a whole number of at least 1, or None; got 0."),
    (lambda: Adam(ema_overwrite_frequency=2.5),
     "Adam: `ema_overwrite_frequency` must be a whole number of at least 1, or None; got 2.5."),
    (lambda: AdamW(weight_decay=None),
     "AdamW: `weight_decay` must be a number of at least 0; got None. Adam is without decay."),
    (lambda: OptaxOptimizer(optax.adam),
     f"OptaxOptimizer: `transformation` must be an optax transformation such as optax.adam(0.001); got {optax.adam!r} "
     f"(function)."),
    (lambda: OptaxOptimizer(optax.adam(0.1), weight_decay=0.1),
     "OptaxOptimizer: `weight_decay` is not a setting here, since the transformation keeps its learning rate to "
     "itself. Set it where the transformation is made: optax.adamw(0.001, weight_decay=0.01)."),
    (lambda: optimizers.get(0.1),
     "An optimizer is a name, an object such as Adam(0.001), or an optax transformation such as optax.adam(0.001); "
     "got 0.1 (float)."),
])
def test_settings_are_checked(make, message):
    with pytest.raises(SettingError) as error:
        make()
    assert str(error.value) == message


def test_settings_are_checked_when_changed_too():
    optimizer = Adam(0.1, clipnorm=1.0)
    with pytest.raises(SettingError) as error:
        optimizer.learning_rate = -1
    assert str(error.value) == (
        "Adam: `learning_rate` must be a number of at least 0, a schedule or a function of the step; got -1.")
    assert optimizer.learning_rate == 0.1


def test_unknown_names_get_a_suggestion():
    with pytest.raises(UnknownNameError) as error:
        optimizers.get("adm")
    assert str(error.value) == "There is no optimizer 'adm'. Did you mean 'adam'?"
