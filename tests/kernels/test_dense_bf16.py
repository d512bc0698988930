"""The kernel of the dense layer in bfloat16: beside sums of its own rounded operands, and beside its twin."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import kernels
from chainrule.kernels import registry
from chainrule.kernels.dense import ACTIVATIONS
from chainrule.kernels.dense_bf16 import dense_backward, dense_forward
from chainrule.layers import Dense
from chainrule.models import Input, Sequential

pytestmark = [
    pytest.mark.skipif(not kernels.active_in_bfloat16(), reason="no instructions for bfloat16, or no kernels"),
    pytest.mark.usefixtures("instructions_in_bfloat16")]

# Rows, inputs, units: none, one, primes, whole tiles, one more and one less, odd depths, several blocks and chunks of
# the sums, addresses 2 KiB apart.
SHAPES = [(0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 1, 1), (1, 784, 130), (2, 65, 33), (5, 3, 2), (12, 256, 32),
          (13, 257, 33), (11, 255, 31), (24, 7, 1), (7, 300, 1), (37, 100, 17), (128, 64, 10), (97, 512, 96),
          (200, 33, 512), (300, 1024, 70), (130, 500, 301), (3, 2051, 5), (6001, 30, 20), (4, 1025, 2049)]


def arrays_for(rows, inputs, units, seed=0):
    """x, kernel, bias and dy."""
    draw = np.random.default_rng(seed)
    x, kernel, bias, dy = (draw.normal(size=shape).astype("float32")
                           for shape in [(rows, inputs), (inputs, units), (units,), (rows, units)])
    half = lambda array: jnp.asarray(array, jnp.bfloat16)
    return half(x / max(1, inputs) ** 0.5), jnp.asarray(kernel), jnp.asarray(bias), half(dy)


def wide(array):
    """The numbers that enter a product, in 64 bits."""
    return np.asarray(jnp.asarray(array, jnp.bfloat16), "float64")


def all_results(x, kernel, bias, dy, activation):
    """The output and the three gradients."""
    y, back = jax.vjp(lambda *arrays: dense_forward(*arrays, activation=activation)[0], x, kernel, bias)
    return y, *back(dy)


def near(found, expected, tolerance):
    """Alike up to a share of the largest entry."""
    found, expected = (np.asarray(array, "float64") for array in (found, expected))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max(initial=0) <= tolerance * max(np.abs(expected).max(initial=0), 1e-6)


def by_twin(function, *arrays):
    with kernels.allowed(False):
        return jax.jit(function)(*arrays)


@pytest.mark.parametrize("shape", SHAPES)
def test_sums_of_rounded_numbers(shape):
    x, kernel, bias, dy = arrays_for(*shape)
    y = dense_forward(x, kernel, bias, activation="linear")[0]
    _, dkernel, dbias, dx = dense_backward(x, kernel, y, dy, activation="linear", with_bias=True, with_input=True)
    assert (y.dtype, dx.dtype, dkernel.dtype, dbias.dtype) == (jnp.bfloat16, jnp.bfloat16, jnp.float32, jnp.float32)
    near(y, wide(x) @ wide(kernel) + np.asarray(bias, "float64"), 2.0**-8)
    near(dkernel, wide(x).T @ wide(dy), 1e-5)
    near(dbias, wide(dy).sum(0), 1e-5)
    near(dx, wide(dy) @ wide(kernel).T, 2.0**-8)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(3, 2, 0), (13, 257, 33), (128, 64, 10), (130, 500, 301)])
def test_agrees_with_the_twin(shape, activation):
    arrays = arrays_for(*shape)
    function = functools.partial(all_results, activation=activation)
    for one, other in zip(jax.jit(function)(*arrays), by_twin(function, *arrays), strict=True):
        assert one.dtype == other.dtype
        near(one, other, 0.01)


def test_the_order_of_sums_in_tiles(instructions_in_bfloat16):
    if instructions_in_bfloat16 == "avx512bf16":
        pytest.skip("its order is another")
    draw = np.random.default_rng(0)
    x, dy = (draw.normal(size=shape).astype(jnp.bfloat16) for shape in [(1033, 20), (1033, 40)])
    found = dense_backward(x, jnp.zeros((20, 40)), dy, dy, activation="linear", with_bias=False, with_input=False)[1]
    np.testing.assert_array_equal(found, sums_as_documented(x.astype("float64").T, dy.astype("float64")))


def sums_as_documented(a, b):
    """a @ b as a chain of Intel's TDPBF16PS, 32 products to each: the even ones and the odd ones in sums of their own,
    each added in one rounding, then both to what was there."""
    rounded = lambda array: array.astype("float32").astype("float64")
    sums = np.zeros((len(a), b.shape[1]))
    for begin in range(0, len(b), 32):
        halves = [np.zeros_like(sums), np.zeros_like(sums)]
        for p in range(begin, min(begin + 32, len(b))):
            halves[p % 2] = rounded(halves[p % 2] + a[:, p, None] * b[p])
        sums = rounded(sums + rounded(halves[0] + halves[1]))
    return sums


def test_layers_of_a_network():
    def loss(model, weights, x):
        return ((model.apply(weights, {}, x)[0] - 1) ** 2).mean()

    half, single = (Sequential([Input((45,)), Dense(130, activation="tanh"), Dense(3)], dtype=dtype)
                    for dtype in ("mixed_bfloat16", "float32"))
    weights, _ = single.variables()
    gradients = lambda model: jax.value_and_grad(functools.partial(loss, model), argnums=(0, 1))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(70, 45)), jnp.float32)
    assert str(jax.make_jaxpr(gradients(half))(weights, x)).count("chainrule_dense_backward_bf16[") == 2
    found = jax.jit(gradients(half))(weights, x)
    for expected in (by_twin(gradients(half), weights, x), gradients(single)(weights, x)):
        jax.tree.map(functools.partial(near, tolerance=0.02), found, expected)


def test_the_emulation_is_never_chosen_by_itself():
    assert registry.instruction_sets_in_bfloat16()[1:][-1] == "amx_emulated"
    assert kernels.report().bfloat16 in ("amx", "avx512bf16")


def test_what_is_not_a_number_stays():
    x = jnp.array([[np.nan, 1.0, 1.0], [np.inf, 1.0, 1.0], [-np.inf, 1.0, 1.0], [0.0, -0.0, 1e-30]], jnp.bfloat16)
    for activation in ACTIVATIONS:
        function = lambda x, name=activation: dense_forward(x, jnp.ones((3, 20)), activation=name)[0]
        np.testing.assert_allclose(np.asarray(function(x), "float32"), np.asarray(by_twin(function, x), "float32"),
                                   rtol=0.01)
    # What lies behind an odd number of inputs is not read: it would be NaN here.
    x = jnp.array([[1.0, 2.0, 3.0], [np.nan, 0.0, 0.0]], jnp.bfloat16)
    assert dense_forward(x, jnp.ones((3, 1)), activation="linear")[0][0, 0] == 6
    # Nor does what one block of the sums left behind enter the next, shorter one: it would be 0 * inf.
    kernel = jnp.ones((530, 20)).at[20].set(np.inf)
    assert np.isposinf(np.asarray(dense_forward(jnp.ones((1, 530), jnp.bfloat16), kernel, activation="linear")[0],
                                  "float32")).all()


def test_members_of_a_population():
    members = [arrays_for(6, 11, 7, seed) for seed in range(5)]
    together = [jnp.stack(column) for column in zip(*members, strict=True)]
    function = functools.partial(all_results, activation="relu")
    for position, column in enumerate(jax.jit(jax.vmap(function))(*together)):
        np.testing.assert_array_equal(column, jnp.stack([function(*member)[position] for member in members]))


def test_in_a_loop_and_differentiated_again():
    x, kernel, bias, _ = arrays_for(4, 5, 5)

    def function(kernel):
        y = jax.lax.fori_loop(0, 3, lambda _, x: dense_forward(x, kernel, bias, activation="tanh")[0], x)
        return (y.astype(jnp.float32) ** 2).sum()

    near(jax.jit(function)(kernel), by_twin(function, kernel), 0.01)
    near(jax.jacfwd(function)(kernel), by_twin(jax.jacfwd(function), kernel), 0.02)
    once = lambda bias: (dense_forward(x, kernel, bias, activation="tanh")[0].astype(jnp.float32) ** 3).sum()
    near(jax.hessian(once)(bias), by_twin(jax.hessian(once), bias), 0.03)


def test_the_same_bytes_each_time():
    arrays = arrays_for(300, 401, 250)
    function = jax.jit(functools.partial(all_results, activation="sigmoid"))
    first = function(*arrays)
    for _ in range(5):
        for one, other in zip(function(*arrays), first, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shapes, found", [
    ([(4, 3), (2, 5), (5,)], "kernel"), ([(4, 3), (3, 5), (4,)], "bias"), ([(3,), (3, 5), (5,)], "x"),
    ([(2, 4, 3), (3, 3, 5), (5,)], "kernel")])
def test_shapes_that_do_not_fit_are_refused(shapes, found):
    x, *weights = [jnp.zeros(shape) for shape in shapes]
    call = jax.ffi.ffi_call("chainrule_dense_forward_bf16", jax.ShapeDtypeStruct((4, 5), jnp.bfloat16))
    dense_forward(*arrays_for(1, 1, 1)[:3], activation="linear")  # makes the target known
    with pytest.raises(jax.errors.JaxRuntimeError, match=rf"chainrule: the array '{found}' has the shape"):
        jax.block_until_ready(call(x.astype(jnp.bfloat16), *weights, activation=np.int64(0)))


def test_a_result_of_another_shape_is_refused():
    call = jax.ffi.ffi_call("chainrule_dense_backward_bf16", [
        jax.ShapeDtypeStruct((0, 5), jnp.bfloat16), jax.ShapeDtypeStruct((3, 5), jnp.float32),
        jax.ShapeDtypeStruct((4,), jnp.float32), jax.ShapeDtypeStruct((4, 3), jnp.bfloat16)])
    x, kernel, _, dy = arrays_for(4, 3, 5)
    dense_backward(x, kernel, dy, dy, activation="linear", with_bias=False, with_input=False)
    with pytest.raises(jax.errors.JaxRuntimeError, match="'dbias'"):
        jax.block_until_ready(call(x, kernel, dy, dy, activation=np.int64(0), with_bias=True, with_input=True))
