import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import kernels
from chainrule.errors import ShapeError
from chainrule.ops import gru, lstm, simple_recurrence
from chainrule.precision import precision
from tests.conformance.samples import assert_gradient

BATCH, TIME, FEATURES, UNITS = 3, 5, 2, 4
KINDS = {"simple": simple_recurrence, "lstm": lstm, "gru": gru}
LENGTHS = np.array([5, 2, 3])


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def arguments(kind):
    """Inputs, weights and states."""
    columns = {"simple": 1, "lstm": 4, "gru": 3}[kind] * UNITS
    bias = (2, columns) if kind == "gru" else (columns,)
    shapes = [(BATCH, TIME, FEATURES), (FEATURES, columns), (UNITS, columns), bias]
    states = tuple(numbers(BATCH, UNITS, seed=8 + index) for index in range(2 if kind == "lstm" else 1))
    return (*(numbers(*shape, seed=index) for index, shape in enumerate(shapes)), states)


def settings(**chosen):
    """Every way through the code: a mask with a hole, factors of the state, backwards."""
    mask = np.arange(TIME) < LENGTHS[:, None]
    mask[0, 2] = False
    available = {"mask": mask, "recurrent_scale": np.abs(numbers(BATCH, UNITS, seed=9)), "reverse": True}
    return {name: available[name] for name in chosen}


WAYS = [settings(), settings(mask=1), settings(recurrent_scale=1, reverse=1),
        settings(mask=1, recurrent_scale=1, reverse=1)]


def by_jax(kind):
    """The same recurrence with its derivative left to JAX."""
    return functools.partial(KINDS[kind], activation=lambda z: jnp.tanh(z))


def pulled(function, arguments, options):
    """Outputs, and the gradients of a combination of them."""
    def combined(*arguments):
        y, last = function(*arguments, **options)
        flat = jnp.concatenate([leaf.ravel() for leaf in (y, *last)])
        return jnp.sum(flat * jnp.cos(jnp.arange(flat.size))), (y, last)

    gradients, outputs = jax.jit(jax.grad(combined, tuple(range(len(arguments))), has_aux=True))(*arguments)
    return outputs, gradients


def assert_close(left, right, tolerance=1e-12):
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, strict=True)


@pytest.mark.parametrize("options", WAYS, ids=lambda options: "-".join(options) or "plain")
@pytest.mark.parametrize("kind", KINDS)
def test_the_written_backward_pass_is_the_derivative(kind, options):
    with precision("float64"):
        assert_close(*(pulled(function, arguments(kind), options) for function in (KINDS[kind], by_jax(kind))))


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_equals_finite_differences(kind):
    options = settings(mask=1, recurrent_scale=1)
    with precision("float64"):
        assert_gradient(lambda *given: KINDS[kind](*given, **options), arguments(kind))


def test_reset_before_and_no_bias():
    x, kernel, recurrent_kernel, bias, states = arguments("gru")
    with precision("float64"):
        assert_gradient(lambda *given: gru(*given, reset_after=False), (x, kernel, recurrent_kernel, bias[0], states))
        for function in (gru, functools.partial(gru, reset_after=False)):
            without = function(x, kernel, recurrent_kernel)
            zeros = jnp.zeros(3 * UNITS)
            assert_close(without, function(x, kernel, recurrent_kernel, zeros, (jnp.zeros((BATCH, UNITS)),)))


def products(jaxpr, inside=False):
    """The matrix products of a program: `(in a loop, the shapes of the results)`."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            found.append((inside, equation.outvars[0].aval.shape))
        for value in equation.params.values():
            for inner in value if isinstance(value, (list, tuple)) else [value]:
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    found += products(inner, inside or equation.primitive.name == "scan")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_weights_are_one_product_over_all_steps(kind):
    given = arguments(kind)
    loss = lambda *given: KINDS[kind](*given)[0].sum()
    with kernels.allowed(False):
        found = products(jax.make_jaxpr(jax.grad(loss, (1, 2, 3)))(*given).jaxpr)
    columns = given[1].shape[1]
    assert [shape for inside, shape in found if inside] == [(BATCH, columns), (BATCH, UNITS)]
    outside = [shape for inside, shape in found if not inside]
    assert outside.count((UNITS, columns)) == 1
    assert sum(set(shape) == {FEATURES, columns} for shape in outside) == 1


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_padded_batch_gives_what_each_sequence_gives_alone(kind, reverse):
    x, *weights, states = arguments(kind)
    mask = np.arange(TIME) < LENGTHS[:, None]
    x = np.where(mask[..., None], x, np.nan)  # what stands in the padding is not looked at
    with precision("float64"):
        run = lambda x, states, *weights, **options: KINDS[kind](x, *weights, states, reverse=reverse, **options)
        (outputs, last), pull = jax.vjp(lambda *given: run(*given, mask=mask), x, states, *weights)
        total = 0.0
        for row, length in enumerate(LENGTHS):
            own = tuple(state[row:row + 1] for state in states)
            alone, its_last = run(x[row:row + 1, :length], own, *weights)
            real = outputs[row:row + 1, TIME - length:] if reverse else outputs[row:row + 1, :length]
            assert_close(real, alone)
            assert_close(tuple(state[row:row + 1] for state in last), its_last)
            if not reverse:
                assert_close(outputs[row, length:], jnp.broadcast_to(outputs[row, length - 1], (TIME - length, UNITS)))
            total += jax.grad(lambda kernel, row=row, length=length, own=own: run(
                x[row:row + 1, :length], own, kernel, *weights[1:])[1][0].sum())(weights[0])
        ones = (jnp.zeros_like(outputs), (jnp.ones_like(last[0]), *map(jnp.zeros_like, last[1:])))
        by_x, _, by_kernel, *_ = pull(ones)
        assert_close(by_kernel, total)
        assert np.isfinite(by_x).all() and (by_x[~mask] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives(kind):
    with precision("float64"):
        given = arguments(kind)

        def curved(function):
            loss = lambda kernel: jnp.sin(function(given[0], given[1], kernel, *given[3:])[0]).sum()
            reverse_twice = jax.grad(lambda kernel: jnp.sum(jax.grad(loss)(kernel) ** 2))(given[2])
            return jax.hessian(loss)(given[2]), reverse_twice

        assert_close(curved(KINDS[kind]), curved(by_jax(kind)), 1e-10)


def test_forward_derivatives_are_those_of_activations_given_as_functions():
    with precision("float64"):
        x, *rest = arguments("lstm")
        along = lambda function: jax.jvp(lambda x: function(x, *rest)[0], (x,), (np.ones_like(x),))[1]
        slope = along(by_jax("lstm"))
        difference = (lstm(x + 1e-6, *rest)[0] - lstm(x - 1e-6, *rest)[0]) / 2e-6
        assert_close(slope, difference, 1e-8)
        with pytest.raises(TypeError, match="custom_vjp"):
            along(lstm)


@pytest.mark.parametrize("kind", KINDS)
def test_many_at_once_and_dtypes(kind):
    x, *weights, states = jax.tree.map(lambda leaf: leaf.astype("float32"), arguments(kind))
    scaled = [jax.tree.map(lambda leaf, by=by: leaf * by, tuple(weights)) for by in (0.5, 1.0)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *scaled)
    loss = lambda weights: KINDS[kind](x, *weights, states)[0].sum()
    together = jax.vmap(jax.grad(loss))(stacked)
    for index, weights in enumerate(scaled):
        assert_close(jax.tree.map(lambda leaf, index=index: leaf[index], together), jax.grad(loss)(weights), 1e-4)
    half = lambda tree: jax.tree.map(lambda leaf: jnp.asarray(leaf, "bfloat16"), tree)
    outputs, last = KINDS[kind](half(x), *half(scaled[1]), half(states), mask=np.ones((BATCH, TIME), bool))
    assert {leaf.dtype for leaf in (outputs, *last)} == {jnp.dtype("bfloat16")}


def test_sequences_have_three_axes():
    with pytest.raises(ShapeError) as error:
        simple_recurrence(np.ones((2, 3)), np.ones((3, 4)), np.ones((4, 4)))
    assert str(error.value) == ("A recurrence runs along sequences, (batch, time, features); got (2, 3). Use "
                                "x[..., None] where each step is one number.")


def test_states_in_bfloat16_do_not_forget_small_steps():
    # The cell adds 0.005 a step to what it holds; from 1 on bfloat16 cannot.
    inputs, kernel = jnp.ones((1, 400, 1), jnp.bfloat16), jnp.array([[20.0, 20.0, 0.005, 20.0]], jnp.bfloat16)
    _, (_, cell) = lstm(inputs, kernel, jnp.zeros((1, 4), jnp.bfloat16))
    assert cell.dtype == jnp.bfloat16
    assert abs(float(cell[0, 0]) - 2) < 0.02
