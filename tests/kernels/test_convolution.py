"""The kernels of convolution against their twin, in every set of instructions of this machine.

Those of bfloat16 are held against the float32 twin, given the same rounded numbers: what they add in float32 differs
only by the last rounding.
"""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from chainrule import kernels, ops
from chainrule.kernels import convolution, registry
from chainrule.kernels.convolution import convolution_forward, convolution_input, convolution_weights, kernels_for
from chainrule.kernels.convolution_twin import Windows

pytestmark = pytest.mark.skipif(kernels.library() is None, reason="the kernels were not built")


def close(ours, theirs, tolerance=2e-5):
    """Equal up to rounding, measured by the largest entry: sums cancel."""
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    ours, theirs = np.asarray(ours, "float32"), np.asarray(theirs, "float32")
    scale = max(1.0, np.abs(theirs).max(initial=0))
    np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=tolerance)


def windows_of(places, window, strides, dilation, padding):
    counts = [(size + sum(pair) - (length - 1) * step - 1) // stride + 1
              for size, length, stride, step, pair in zip(places, window, strides, dilation, padding, strict=True)]
    return Windows(tuple(counts), tuple(strides), tuple(dilation), tuple(padding))


def draw_case(number: int):
    """Images, a kernel, a bias, gradients and settings, all of odd sizes."""
    draw = np.random.default_rng(number)
    while True:
        places, window = draw.choice([1, 2, 5, 9, 13, 30], 2), draw.choice([1, 2, 3, 5], 2)
        strides, dilation = draw.choice([1, 1, 2, 3, 7], 2), draw.choice([1, 1, 2, 3], 2)
        padding = [tuple(pair) for pair in draw.choice([-1, 0, 0, 1, 2, 6], (2, 2)).tolist()]
        windows = windows_of(*(value.tolist() for value in (places, window, strides, dilation)), padding)
        if min(windows.counts) > 0 and all(size + min(pair) > 0 for size, pair in zip(places, padding, strict=True)):
            break
    groups = int(draw.choice([1, 1, 2, 5]))
    channels, filters = int(draw.choice([1, 2, 3, 17, 40])), int(draw.choice([1, 5, 16, 19, 33, 70]))
    if number % 4 == 3:  # each channel by itself
        groups, channels, filters = int(draw.choice([1, 5, 16, 37])), 1, 1
    numbers = lambda *shape: jnp.asarray(draw.normal(size=shape), "float32")
    activation = activation_of(number)
    x = numbers(int(draw.choice([1, 2, 5])), *places.tolist(), channels * groups)
    kernel, bias = numbers(*window.tolist(), channels, filters * groups), numbers(filters * groups)
    dy = numbers(x.shape[0], *windows.counts, filters * groups)
    return x, kernel, bias, dy, {"windows": windows, "groups": groups, "activation": activation}


def activation_of(number: int) -> str:
    return ("linear", "relu", "tanh", "sigmoid", "elu")[number % 5]


def run_all(number: int, forward, weights, input):
    """What the three kernels, or their twins, give in one case."""
    x, kernel, bias, dy, settings = draw_case(number)

    @jax.jit
    def run(x, kernel, bias, dy, y):
        entered = [] if settings["activation"] == "linear" else [y]
        return [*forward(x, kernel, bias, **settings),
                *weights(x, dy, *entered, **settings, window=kernel.shape[:2], with_bias=True, with_entered=True),
                *input(dy, kernel, bias[:1].repeat(x.shape[-1]), **settings, places=x.shape[1:3])]

    return run(x, kernel, bias, dy, jnp.tanh(dy + 0.1))


@functools.cache
def twins_results(number: int):
    return run_all(number, convolution._forward, convolution._weights, convolution._input)


@pytest.mark.parametrize("number", range(20))
def test_kernels_compute_what_their_twins_do(number, instructions):
    found = run_all(number, convolution_forward, convolution_weights, convolution_input)
    for ours, theirs in zip(found, twins_results(number), strict=True):
        close(ours, theirs)


IN_BFLOAT16 = pytest.mark.skipif(not kernels.active_in_bfloat16(), reason="no instructions for bfloat16")


@IN_BFLOAT16
@pytest.mark.parametrize("number", range(20))
def test_kernels_of_bfloat16_sum_in_float32(number):
    x, kernel, bias, dy, settings = draw_case(number)
    x, kernel, dy, y = (array.astype(jnp.bfloat16) for array in (x, kernel, dy, jnp.tanh(dy + 0.1)))
    entered = [] if settings["activation"] == "linear" else [y]
    with_all = settings | {"window": kernel.shape[:2], "with_bias": True, "with_entered": True}
    by = kernels_for(x.dtype)

    def run(forward, weights, input, *arrays):
        x, kernel, dy, *entered = arrays
        return [*forward(x, kernel, bias, **settings), *weights(x, dy, *entered, **with_all),
                *input(dy, kernel, bias[:1].repeat(x.shape[-1]), **settings, places=x.shape[1:3])]

    arrays = (x, kernel, dy, *entered)
    found = jax.jit(functools.partial(run, by.forward, by.weights, by.input))(*arrays)
    wide = jax.jit(functools.partial(run, convolution._forward, convolution._weights, convolution._input))(
        *(array.astype(jnp.float32) for array in arrays))
    types = [jnp.bfloat16, jnp.float32, jnp.float32, jnp.bfloat16, jnp.bfloat16]
    for ours, theirs, dtype in zip(found, wide, types, strict=True):
        # Functions other than relu are applied to sums that were rounded already; so is dy before it enters a product.
        close(ours, theirs.astype(dtype), 0.008)


@IN_BFLOAT16
@pytest.mark.parametrize("function, window", [(ops.convolve, (3, 2)), (ops.convolve, (3,)),
                                              (ops.convolve_transposed, (2, 3)), (ops.convolve_depthwise, (3, 3))],
                         ids=["images", "sequences", "transposed", "depthwise"])
def test_layers_of_bfloat16(function, window):
    draw = np.random.default_rng(0)
    numbers = lambda *shape: jnp.asarray(draw.normal(size=shape), "float32")
    filters = {ops.convolve: (3, 18), ops.convolve_transposed: (18, 3), ops.convolve_depthwise: (3, 2)}[function]
    outputs = 6 if function is ops.convolve_depthwise else 18
    arrays = (numbers(4, *(9, 8)[:len(window)], 3), numbers(*window, *filters), numbers(outputs))

    def energy(x, kernel, bias):
        return jnp.sin(function(x, kernel, bias=bias, activation="elu", strides=2).astype(jnp.float32)).sum()

    slopes = jax.value_and_grad(energy, (0, 1, 2))
    narrow = [array.astype(jnp.bfloat16) for array in arrays]
    found, wide = jax.jit(slopes)(*narrow), jax.jit(slopes)(*(array.astype(jnp.float32) for array in narrow))
    with kernels.allowed(False):
        plain = jax.jit(slopes)(*narrow)
    for ours, theirs, jaxs in zip(found[1], wide[1], plain[1], strict=True):
        assert ours.dtype == jaxs.dtype == jnp.bfloat16
        close(ours, theirs.astype(jnp.bfloat16), 0.02)
    members = jax.jit(jax.vmap(slopes))(*(jnp.stack([array, -array, 2 * array, array, array]) for array in narrow))
    alone = jax.jit(slopes)(*(-array for array in narrow))
    jax.tree.map(lambda every, one: close(every[1], one, 0.01), members, alone)
    assert all(bool(jnp.isfinite(leaf.astype(jnp.float32)).all()) for leaf in jax.tree.leaves(members))


@IN_BFLOAT16
def test_bfloat16_in_a_loop_differentiated_twice_and_the_same_each_time():
    x, kernel, bias, dy, settings = draw_case(1)
    forward = kernels_for(jnp.bfloat16).forward
    x, kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    energy = lambda kernel, bias: jnp.vdot(forward(x, kernel, bias, **settings)[0].astype(jnp.float32), dy)
    step = lambda kernel: kernel - (1e-2 * jax.grad(energy)(kernel, bias)).astype(jnp.bfloat16)
    loop = jax.jit(lambda kernel: lax.scan(lambda carry, _: (step(carry), None), kernel, None, length=3)[0])
    assert np.array_equal(loop(kernel), loop(kernel))
    close(loop(kernel), step(step(step(kernel))), 0.008)
    smooth = settings | {"activation": "tanh"}
    energy = lambda bias: jnp.vdot(forward(x, kernel, bias, **smooth)[0].astype(jnp.float32) ** 2, dy)
    with kernels.allowed(False):
        expected = jax.jit(jax.hessian(energy))(bias)
    close(jax.jit(jax.hessian(energy))(bias), expected, 0.03)


@IN_BFLOAT16
def test_what_lies_beside_an_odd_number_of_channels_is_not_read():
    by = kernels_for(jnp.bfloat16)
    windows = windows_of((1, 2), (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)))
    x = jnp.array([1.0, 2.0, 3.0, np.nan, 0.0, 0.0], jnp.bfloat16).reshape(1, 1, 2, 3)
    y, = by.forward(x, jnp.ones((1, 1, 3, 1), jnp.bfloat16), windows=windows, groups=1, activation="linear")
    assert y[0, 0, 0, 0] == 6 and jnp.isnan(y[0, 0, 1, 0])


@pytest.mark.parametrize("number", [1, 2, 5])
def test_gradients_of_all_orders_are_the_twins(number):
    x, kernel, bias, dy, settings = draw_case(number)

    def energy(forward, x, kernel, bias):
        return jnp.vdot(forward(x, kernel, bias, **settings)[0], dy)

    def all_of(forward):
        function = lambda *arrays: energy(forward, *arrays)
        slopes = jax.grad(function, (0, 1, 2))
        bend = jax.jvp(slopes, (x, kernel, bias), (x, kernel, bias))
        return bend, jax.grad(function, 0)(x, kernel, bias), jax.grad(function, 2)(x, kernel, bias)

    jax.tree.map(lambda ours, theirs: close(ours, theirs, 1e-4), jax.jit(all_of, static_argnums=0)(convolution_forward),
                 jax.jit(all_of, static_argnums=0)(convolution._forward))

    def transposed(function):
        settings_of = settings | {"places": x.shape[1:3]}
        bias = jnp.zeros(x.shape[-1]) + 0.5
        energy = lambda dy, kernel, bias: jnp.square(function(dy, kernel, bias, **settings_of)[0]).sum()
        return jax.grad(energy, (0, 1, 2))(dy, kernel, bias)

    jax.tree.map(lambda ours, theirs: close(ours, theirs, 1e-4),
                 jax.jit(transposed, static_argnums=0)(convolution_input),
                 jax.jit(transposed, static_argnums=0)(convolution._input))


def test_only_the_gradients_that_are_wanted_are_computed():
    x, kernel, bias, dy, settings = draw_case(1)
    energy = lambda x, kernel, bias: jnp.vdot(convolution_forward(x, kernel, bias, **settings)[0], dy)
    calls = lambda place: str(jax.make_jaxpr(jax.grad(energy, place))(x, kernel, bias))
    assert "convolution_input" not in calls((1, 2))
    assert "convolution_weights" not in calls(0)


@pytest.mark.parametrize("number", [1, 3])
def test_members_of_a_population_are_as_each_alone(number):
    x, kernel, bias, dy, settings = draw_case(number)
    kernels_of_all = jnp.stack([kernel, 2 * kernel, -kernel, kernel + 1, kernel - 1])
    energy = lambda x, kernel, bias: jnp.vdot(convolution_forward(x, kernel, bias, **settings)[0], dy)
    slopes = jax.jit(jax.grad(energy, (0, 1, 2)))
    together = jax.jit(jax.vmap(jax.grad(energy, (0, 1, 2)), (None, 0, None)))(x, kernels_of_all, bias)
    for member in range(5):
        for ours, theirs in zip(together, slopes(x, kernels_of_all[member], bias), strict=True):
            assert np.array_equal(ours[member], theirs)


def test_in_a_loop_it_is_the_same():
    x, kernel, bias, dy, settings = draw_case(1)
    step = lambda kernel: kernel - 1e-3 * jax.grad(
        lambda kernel: jnp.vdot(convolution_forward(x, kernel, bias, **settings)[0], dy))(kernel)
    looped = jax.jit(lambda kernel: lax.scan(lambda carry, _: (step(carry), None), kernel, None, length=3)[0])(kernel)
    close(looped, step(step(step(kernel))))


@pytest.mark.parametrize("shape", [(9, 14, 14, 8, 33), (1, 40, 30, 24, 40), (1, 1, 1, 200, 900), (3, 1, 700, 5, 50)])
def test_the_same_bytes_each_time_and_on_one_thread_as_on_several(shape, instructions):
    images, height, width, channels, filters = shape
    draw = np.random.default_rng(0)
    numbers = lambda *shape: jnp.asarray(draw.normal(size=shape), "float32")
    x, kernel = numbers(images, height, width, channels), numbers(3, 3, channels, filters)
    windows = windows_of((height, width), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)))
    settings = {"windows": windows, "groups": 1, "activation": "relu"}
    y, = convolution_forward(x, kernel, **settings)
    gradients = jax.jit(lambda x, y: convolution_weights(
        x, y, y, **settings, window=(3, 3), with_bias=True, with_entered=True) + convolution_input(
        y, kernel, **settings, places=(height, width)))
    first = gradients(x, y)
    for _ in range(3):
        assert np.array_equal(convolution_forward(x, kernel, **settings)[0], y)
        assert all(map(np.array_equal, gradients(x, y), first))
    # Many members of a population are computed by one thread each.
    together = jax.jit(jax.vmap(gradients))(*(jnp.stack([value] * 5) for value in (x, y)))
    assert all(np.array_equal(ours[member], theirs)
               for ours, theirs in zip(together, first, strict=True) for member in range(5))


def test_nan_and_infinity_pass_as_in_the_twin(instructions):
    x, kernel, bias, _, settings = draw_case(1)
    x = x.at[0, 0, 0, 0].set(jnp.nan).at[-1, -1, -1, -1].set(jnp.inf)
    assert settings["activation"] == "relu"
    ours, theirs = (function(x, kernel, bias, **settings)[0]
                    for function in (convolution_forward, convolution._forward))
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.array_equal(np.isinf(ours), np.isinf(theirs))
    assert np.isnan(ours).any()


@pytest.mark.parametrize("x, kernel, y", [
    ((0, 5, 5, 2), (3, 3, 2, 4), (0, 3, 3, 4)), ((2, 5, 5, 0), (3, 3, 0, 4), (2, 3, 3, 4)),
    ((2, 5, 5, 2), (3, 3, 2, 0), (2, 3, 3, 0))])
def test_axes_without_entries(x, kernel, y):
    windows = windows_of(x[1:3], kernel[:2], (1, 1), (1, 1), ((0, 0), (0, 0)))
    settings = {"windows": windows, "groups": 1, "activation": "tanh"}
    x, kernel, bias = jnp.ones(x), jnp.ones(kernel), jnp.ones(kernel[-1])
    ours = jax.value_and_grad(lambda *arrays: convolution_forward(*arrays, **settings)[0].sum(), (0, 1, 2))
    theirs = jax.value_and_grad(lambda *arrays: convolution._forward(*arrays, **settings)[0].sum(), (0, 1, 2))
    assert convolution_forward(x, kernel, bias, **settings)[0].shape == y
    jax.tree.map(close, ours(x, kernel, bias), theirs(x, kernel, bias))


RIGHT = {"strides": (1, 1), "dilation": (1, 1), "padding": (0, 0), "groups": 1, "activation": 0}


@pytest.mark.parametrize("changed, shapes", [
    ({}, [(2, 5, 5, 2), (3, 3, 3, 4), (4,), (2, 3, 3, 4)]),
    ({}, [(2, 5, 5, 2), (3, 3, 2, 4), (5,), (2, 3, 3, 4)]),
    ({}, [(2, 5, 5, 2), (3, 3, 2, 4), (4,), (3, 3, 3, 4)]),
    ({}, [(2, 5, 5, 2), (3, 3, 2, 4), (4,), (2, 3, 3, 5)]),
    ({}, [(5, 5, 2), (3, 3, 2, 4), (4,), (2, 3, 3, 4)]),
    ({}, [(2, 5, 5, 2), (3, 2, 4), (4,), (2, 3, 3, 4)]),
    ({"strides": (0, 1)}, [(2, 5, 5, 2), (3, 3, 2, 4), (4,), (2, 3, 3, 4)]),
    ({"strides": (1,)}, [(2, 5, 5, 2), (3, 3, 2, 4), (4,), (2, 3, 3, 4)]),
    ({"dilation": (1, -1)}, [(2, 5, 5, 2), (3, 3, 2, 4), (4,), (2, 3, 3, 4)]),
    ({"padding": (2**40, 0)}, [(2, 5, 5, 2), (3, 3, 2, 4), (4,), (2, 3, 3, 4)]),
    ({"groups": 0}, [(2, 5, 5, 2), (3, 3, 2, 4), (4,), (2, 3, 3, 4)]),
    ({"groups": 3}, [(2, 5, 5, 6), (3, 3, 2, 4), (4,), (2, 3, 3, 4)]),
    ({"activation": 9}, [(2, 5, 5, 2), (3, 3, 2, 4), (4,), (2, 3, 3, 4)]),
], ids=str)
@pytest.mark.parametrize("suffix, dtype", [("", "float32"), pytest.param("_bf16", "bfloat16", marks=IN_BFLOAT16)])
def test_calls_with_wrong_shapes_are_refused(changed, shapes, suffix, dtype):
    x, kernel, bias, y = shapes
    calls = {"forward": ([x, kernel, bias], y)}
    if bias == (4,):
        calls |= {"input": ([y, kernel], x), "weights": ([x, y], kernel)}
    for name, (arrays, result) in calls.items():
        target = f"chainrule_convolution_{name}{suffix}"
        registry._register(target)
        settings = registry._plain(RIGHT | changed)
        result = jax.ShapeDtypeStruct(result, "float32" if name == "weights" else dtype)
        if name == "weights":
            settings, result = settings | {"with_bias": False, "with_entered": False}, [result]
        call = functools.partial(jax.ffi.ffi_call(target, result), **settings)
        arrays = [jnp.ones(shape, "float32" if shape is bias else dtype) for shape in arrays]
        with pytest.raises(jax.errors.JaxRuntimeError, match="chainrule: "):
            jax.block_until_ready(jax.jit(call)(*arrays))


def test_operations_take_the_kernel_for_sequences_and_images():
    def calls(x, kernel, function=ops.convolve, **settings):
        return "convolution" in str(jax.make_jaxpr(lambda x, kernel: function(x, kernel, **settings))(x, kernel))

    assert calls(np.ones((1, 5, 2), "float32"), np.ones((3, 2, 4), "float32"))
    assert calls(np.ones((1, 5, 5, 2), "float32"), np.ones((3, 3, 4, 2), "float32"), ops.convolve_transposed)
    assert not calls(np.ones((1, 5, 5, 5, 2), "float32"), np.ones((3, 3, 3, 2, 4), "float32"))
    assert not calls(jnp.ones((1, 5, 5, 2), "float16"), jnp.ones((3, 3, 2, 4), "float16"))
    assert calls(jnp.ones((1, 5, 5, 2), "bfloat16"), jnp.ones((3, 3, 2, 4), "bfloat16")) == kernels.active_in_bfloat16()
    with kernels.allowed(False):
        assert not calls(np.ones((1, 5, 5, 2), "float32"), np.ones((3, 3, 2, 4), "float32"))
