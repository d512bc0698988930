"""Pooling by C++ code: against its twin, and against the operation without it."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import kernels
from chainrule.kernels import pooling, registry
from chainrule.ops.pooling import average_pool, count_windows, max_pool

pytestmark = pytest.mark.skipif(not kernels.report().available, reason="the kernels were not built")

KERNELS = [(pooling.max_pool_forward, pooling._max_forward), (pooling.average_pool_forward, pooling._average_forward)]


def in_each_instruction_set(function, *arrays):
    """What a function gives in each set of instructions that this machine has; compiled once."""
    compiled, (widest, *others) = jax.jit(function), kernels.report().instruction_sets
    try:
        for name in (*others, widest):
            registry.use_instruction_set(name)
            yield jax.tree.map(np.asarray, compiled(*arrays))
    finally:
        registry.use_instruction_set(widest)


def settings_of(size, windows, strides, padding):
    counts = tuple(count_windows(*axis, padding) for axis in zip(size, windows, strides, strict=True))
    missing = [max((count - 1) * stride + window - length, 0)
               for count, stride, window, length in zip(counts, strides, windows, size, strict=True)]
    return {"size": size, "windows": windows, "strides": strides, "counts": counts,
            "before": tuple(places // 2 for places in missing)}


def cases(count=8):
    """Images of all sizes, with many ties among their entries."""
    generator = np.random.default_rng(0)
    found = []
    while len(found) < count:
        images, height, width, channels = (int(generator.choice(of)) for of in (
            (1, 2, 5), (1, 2, 7, 13), (1, 3, 8, 17), (1, 2, 3, 5, 8, 16, 19, 33, 64)))
        windows, strides = (tuple(int(generator.integers(1, 5)) for _ in range(2)) for _ in range(2))
        padding = str(generator.choice(["valid", "same"]))
        if padding == "same" or windows[0] <= height and windows[1] <= width:
            x = generator.integers(-3, 4, (images, height, width, channels)).astype("float32")
            found.append((jnp.asarray(x), settings_of((height, width), windows, strides, padding)))
    large = jnp.asarray(generator.normal(size=(4, 31, 30, 33)).astype("float32"))  # enough for all threads
    return [*found, (large, settings_of((31, 30), (3, 2), (2, 1), "same"))]


@pytest.mark.parametrize("kernel, twin", KERNELS, ids=["max", "average"])
def test_like_the_twin(kernel, twin):
    for x, settings in cases():
        def both(function, x):
            results, back = jax.vjp(function, x)
            dy = jnp.arange(results[0].size, dtype="float32").reshape(results[0].shape) / results[0].size
            nothing = [np.zeros(result.shape, jax.dtypes.float0) for result in results[1:]]
            return results, back([dy, *nothing])

        # Among equals the twin's gradient, too, goes to the first: it takes the winner's entry.
        expected = jax.jit(functools.partial(both, functools.partial(twin, **settings)))(x)
        for found in in_each_instruction_set(functools.partial(both, functools.partial(kernel, **settings)), x):
            jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-6, atol=1e-6), found, expected)


@pytest.mark.parametrize("operation", [max_pool, average_pool])
@pytest.mark.parametrize("shape, windows, strides, padding", [
    ((3, 9, 20), 3, 2, "same"), ((2, 8, 16), 2, 1, "valid"), ((2, 7, 9, 17), (3, 2), (1, 2), "same"),
    ((2, 6, 6, 16), 6, 1, "valid"), ((1, 5, 5, 40), 1, 3, "same")])
def test_the_operation_is_the_same_without_it(operation, shape, windows, strides, padding):
    x = jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)

    def both(x):
        y, back = jax.vjp(lambda x: operation(x, windows, strides, padding), x)
        return y, back(jnp.cos(y))[0]

    found = jax.jit(both)(x)
    with kernels.allowed(False):
        expected = jax.jit(both)(x)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-6)


def test_the_operation_uses_it():
    x = jnp.ones((2, 8, 8, 16))
    assert "chainrule_max_pool_forward" in str(jax.make_jaxpr(lambda x: max_pool(x, 2))(x))
    calls = lambda x: "chainrule" in str(jax.make_jaxpr(lambda x: max_pool(x, 2))(x))
    assert not calls(x.astype(jnp.float16))
    assert calls(x.astype(jnp.bfloat16)) == kernels.active_in_bfloat16()
    with kernels.allowed(False):
        assert "chainrule" not in str(jax.make_jaxpr(lambda x: max_pool(x, 2))(x))


def test_nan_wins_and_infinity_loses_to_no_padding():
    x = jnp.full((1, 3, 3, 16), -jnp.inf).at[0, 0, 0].set(jnp.nan)
    y, back = jax.vjp(lambda x: max_pool(x, 2, padding="same"), x)
    assert bool(jnp.isnan(y[0, 0, 0]).all()) and bool((y[0, 1, 1] == -jnp.inf).all())
    dx = back(jnp.ones_like(y))[0]
    np.testing.assert_array_equal(dx[0, :, :, 3], [[1, 0, 1], [0, 0, 0], [1, 0, 1]])


def test_members_loops_and_higher_derivatives():
    x = jnp.asarray(np.random.default_rng(2).normal(size=(3, 2, 6, 7, 16)), jnp.float32)
    for operation in (max_pool, average_pool):
        pool = lambda x, operation=operation: operation(x, 3, 2, "same")
        loss = lambda x, pool=pool: jnp.sin(pool(x)).sum()
        together, alone = jax.vmap(pool)(x), jnp.stack([pool(one) for one in x])
        np.testing.assert_array_equal(together, alone)
        np.testing.assert_array_equal(jax.vmap(jax.grad(loss))(x), jnp.stack([jax.grad(loss)(one) for one in x]))
        looped = jax.jit(lambda x, loss=loss: jax.lax.fori_loop(0, 3, lambda _, x: x - jax.grad(loss)(x), x))(x[0])
        step = x[0]
        for _ in range(3):
            step = step - jax.grad(loss)(step)
        np.testing.assert_allclose(looped, step, rtol=1e-5, atol=1e-6)
        curvature = lambda x, loss=loss: jax.jvp(jax.grad(loss), (x,), (jnp.ones_like(x),))[1]
        found = curvature(x[0])
        with kernels.allowed(False):
            np.testing.assert_allclose(found, curvature(x[0]), rtol=1e-5, atol=1e-5)


def test_the_same_bytes_each_time():
    x = jnp.asarray(np.random.default_rng(3).normal(size=(8, 24, 24, 32)), jnp.float32)
    gradient = jax.jit(jax.grad(lambda x: jnp.sin(max_pool(x, 3, 1, "same")).sum()))
    first = np.asarray(gradient(x)).tobytes()
    assert all(np.asarray(gradient(x)).tobytes() == first for _ in range(5))


@pytest.mark.parametrize("x, y, given, message", [
    ((1, 4, 4, 5), (1, 2, 2, 16), {}, "'y' has the shape"),
    ((1, 4, 4, 16), (2, 2, 2, 16), {}, "'y' has the shape"),
    ((1, 1, 1, 4, 4, 16), (1, 2, 2, 16), {}, "'x' has the shape"),
    ((4, 4, 16), (2, 2, 16), {}, "'x' has the shape"),
    ((1, 4, 4, 16), (1, 3, 2, 16), {}, "outside of the image"),
    ((1, 4, 4, 16), (1, 2, 2, 16), {"strides": (9, 2)}, "outside of the image"),
    ((1, 0, 4, 16), (1, 2, 2, 16), {}, "outside of the image"),
    ((1, 4, 4, 16), (1, 2, 2, 16), {"windows": (0, 2)}, "out of range"),
    ((1, 4, 4, 16), (1, 2, 2, 16), {"strides": (2**40, 2)}, "out of range"),
    ((1, 4, 4, 16), (1, 2, 2, 16), {"before": (5, 0)}, "out of range"),
    ((1, 4, 4, 16), (1, 2, 2, 16), {"windows": (2,)}, "one number for each of two axes"),
])
def test_wrong_shapes_are_refused(x, y, given, message):
    settings = {"windows": (2, 2), "strides": (2, 2), "before": (0, 0)} | given
    settings = {name: np.asarray(value, np.int64) for name, value in settings.items()}
    registry._register("chainrule_average_pool_forward")
    call = jax.ffi.ffi_call("chainrule_average_pool_forward", jax.ShapeDtypeStruct(y, jnp.float32))
    with pytest.raises(Exception, match=message):
        call(jnp.ones(x), **settings).block_until_ready()


def test_empty_batches():
    assert max_pool(jnp.ones((0, 4, 4, 16)), 2).shape == (0, 2, 2, 16)
    assert jax.grad(lambda x: max_pool(x, 2).sum())(jnp.ones((0, 4, 4, 16))).shape == (0, 4, 4, 16)


@pytest.mark.skipif(not kernels.active_in_bfloat16(), reason="no instructions for bfloat16")
@pytest.mark.parametrize("pool", [max_pool, average_pool])
def test_bfloat16_is_pooled_in_float32(pool):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, 9, 20)), jnp.bfloat16)
    function = lambda x: jnp.sin(pool(x, 3, 2, "same").astype(jnp.float32)).sum()
    found, slope = jax.jit(lambda x: (pool(x, 3, 2, "same"), jax.grad(function)(x)))(x)
    with kernels.allowed(False):
        expected, its_slope = jax.jit(lambda x: (pool(x, 3, 2, "same"), jax.grad(function)(x)))(x)
    assert found.dtype == slope.dtype == jnp.bfloat16
    for one, other in ((found, expected), (slope, its_slope)):
        np.testing.assert_allclose(np.asarray(one, "float32"), np.asarray(other, "float32"), rtol=0, atol=0.02)
