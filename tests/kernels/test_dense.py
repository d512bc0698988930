"""The dense layer's kernel beside its twin."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import kernels
from chainrule.kernels.dense import ACTIVATIONS, dense_backward, dense_forward

pytestmark = pytest.mark.skipif(not kernels.report().available, reason=kernels.report().reason)

# Rows, inputs, units: none, one, primes, whole tiles, one more and one less, several blocks, addresses 2 KiB apart.
SHAPES = [(0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 1, 1), (1, 784, 130), (2, 65, 33), (5, 3, 2), (12, 256, 32),
          (13, 257, 33),
          (11, 255, 31), (24, 7, 1), (7, 300, 1), (37, 100, 17), (128, 64, 10), (97, 512, 96), (200, 33, 512),
          (300, 1024, 70), (130, 500, 301)]


def arrays_for(rows, inputs, units, seed=0):
    draw = np.random.default_rng(seed)
    shapes = [(rows, inputs), (inputs, units), (units,), (rows, units)]
    return [jnp.asarray(draw.normal(size=shape).astype("float32")) for shape in shapes]


def all_results(x, kernel, bias, dy, activation):
    """The output and the three gradients."""
    y, back = jax.vjp(lambda *arrays: dense_forward(*arrays, activation=activation)[0], x, kernel, bias)
    return y, *back(dy)


def close(found, expected, depth):
    """Sums of `depth` products, in another order: to some rounding errors of their size."""
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=3e-6 * max(1, depth) ** 0.5)


def by_twin(function, *arrays):
    with kernels.allowed(False):
        return jax.jit(function)(*arrays)


@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_twin(instructions, shape):
    x, kernel, bias, dy = arrays_for(*shape)
    x = x / max(1, shape[1]) ** 0.5  # what enters the activation stays where it has a slope
    for activation in ACTIVATIONS:
        function = functools.partial(all_results, activation=activation)
        close(jax.jit(function)(x, kernel, bias, dy), by_twin(function, x, kernel, bias, dy), max(shape))


def test_without_a_bias(instructions):
    x, kernel, _, dy = arrays_for(9, 20, 35)

    def function(x, kernel, dy):
        y, back = jax.vjp(lambda *arrays: dense_forward(*arrays, activation="tanh")[0], x, kernel)
        return y, *back(dy)

    close(jax.jit(function)(x, kernel, dy), by_twin(function, x, kernel, dy), 20)


def test_activations_keep_what_is_not_a_number(instructions):
    x = jnp.array([[np.nan], [np.inf], [-np.inf], [0.0], [-0.0], [1e-30], [100.0], [-100.0]], jnp.float32)
    for activation in ACTIVATIONS:
        y = dense_forward(x, jnp.ones((1, 20)), activation=activation)[0]
        expected = by_twin(lambda x, name=activation: dense_forward(x, jnp.ones((1, 20)), activation=name)[0], x)
        np.testing.assert_allclose(y, expected, rtol=3e-7, atol=1e-37)


def test_activations_are_exact_to_a_few_units_in_the_last_place(instructions):
    z = np.concatenate([np.linspace(-20, 20, 100_001), np.linspace(-1e-3, 1e-3, 1001)]).astype("float32")
    exact = {"tanh": np.tanh(z.astype("float64")), "sigmoid": 1 / (1 + np.exp(-z.astype("float64"))),
             "elu": np.where(z > 0, z, np.expm1(z.astype("float64")))}
    for activation, expected in exact.items():
        y = dense_forward(jnp.asarray(z)[:, None], jnp.ones((1, 1)), activation=activation)[0][:, 0]
        np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-37, err_msg=activation)


def test_members_of_a_population(instructions):
    members = [arrays_for(6, 10, 7, seed) for seed in range(5)]
    x, kernel, bias, dy = (jnp.stack(column) for column in zip(*members, strict=True))
    function = functools.partial(all_results, activation="relu")
    alone = [function(*member) for member in members]
    together = jax.jit(jax.vmap(function))(x, kernel, bias, dy)
    for position, column in enumerate(together):
        np.testing.assert_array_equal(column, jnp.stack([one[position] for one in alone]))
    shared = jax.jit(jax.vmap(function, in_axes=(None, 0, 0, None)))(x[0], kernel, bias, dy[0])
    close([column[2] for column in shared], function(x[0], kernel[2], bias[2], dy[0]), 10)


def test_shared_arrays_sum_the_gradients_of_members():
    x, kernel, bias, _ = arrays_for(6, 10, 7)
    several = jnp.stack([x, 2 * x, -x])

    def loss(kernel, bias):
        each = jax.vmap(lambda x: dense_forward(x, kernel, bias, activation="tanh")[0])(several)
        return (each**2).sum()

    close(jax.jit(jax.grad(loss, (0, 1)))(kernel, bias), by_twin(jax.grad(loss, (0, 1)), kernel, bias), 30)


def test_in_a_loop_and_differentiated_again():
    x, kernel, bias, _ = arrays_for(4, 5, 5)
    kernel = kernel / 5

    def function(kernel):
        y = jax.lax.fori_loop(0, 3, lambda _, x: dense_forward(x, kernel, bias, activation="tanh")[0], x)
        return (y**2).sum()

    close([jax.jit(function)(kernel), jax.jacfwd(function)(kernel)],
          by_twin(lambda kernel: [function(kernel), jax.jacfwd(function)(kernel)], kernel), 5)
    once = lambda bias: (dense_forward(x, kernel, bias, activation="tanh")[0] ** 3).sum()
    for hessian in (jax.hessian, lambda function: jax.jacrev(jax.jacrev(function))):
        close([hessian(once)(bias)], [by_twin(hessian(once), bias)], 5)
    maps = jnp.stack([x, -x])
    twice = lambda x: jax.vmap(jax.vmap(lambda row: dense_forward(row[None], kernel, bias, activation="elu")[0][0]))(x)
    close([jax.jit(twice)(maps)], [by_twin(twice, maps)], 5)


def test_the_same_bytes_each_time():
    x, kernel, bias, dy = arrays_for(300, 400, 250)
    function = jax.jit(functools.partial(all_results, activation="sigmoid"))
    first = function(x, kernel, bias, dy)
    for _ in range(5):
        for one, other in zip(function(x, kernel, bias, dy), first, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shapes, found", [
    ([(4, 3), (2, 5), (5,)], "kernel"), ([(4, 3), (3, 5), (4,)], "bias"), ([(3,), (3, 5), (5,)], "x"),
    ([(2, 4, 3), (3, 3, 5), (5,)], "kernel")])
def test_shapes_that_do_not_fit_are_refused(shapes, found):
    arrays = [jnp.zeros(shape) for shape in shapes]
    call = jax.ffi.ffi_call("chainrule_dense_forward", jax.ShapeDtypeStruct((4, 5), jnp.float32))
    dense_forward(jnp.zeros((1, 1)), jnp.zeros((1, 1)), activation="linear")  # makes the target known
    with pytest.raises(jax.errors.JaxRuntimeError, match=rf"chainrule: the array '{found}' has the shape"):
        jax.block_until_ready(call(*arrays, activation=np.int64(0)))


def test_a_result_of_another_shape_is_refused():
    call = jax.ffi.ffi_call("chainrule_dense_backward", [
        jax.ShapeDtypeStruct(shape, jnp.float32) for shape in [(0, 5), (3, 5), (4,), (4, 3)]])
    dense_backward(*[jnp.zeros((1, 1))] * 4, activation="linear", with_bias=False, with_input=False)
    with pytest.raises(jax.errors.JaxRuntimeError, match="'dbias'"):
        jax.block_until_ready(call(*[jnp.zeros(shape) for shape in [(4, 3), (3, 5), (4, 5), (4, 5)]],
                                   activation=np.int64(0), with_bias=True, with_input=True))


def test_an_unknown_activation_is_refused():
    call = jax.ffi.ffi_call("chainrule_dense_forward", jax.ShapeDtypeStruct((4, 5), jnp.float32))
    dense_forward(jnp.zeros((1, 1)), jnp.zeros((1, 1)), activation="linear")
    with pytest.raises(jax.errors.JaxRuntimeError, match="chainrule: there is no such activation"):
        jax.block_until_ready(call(jnp.zeros((4, 3)), jnp.zeros((3, 5)), activation=np.int64(99)))
