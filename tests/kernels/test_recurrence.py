"""The recurrence kernels against their twins: float32 on every instruction set of the machine, and bfloat16."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import kernels
from chainrule.kernels.recurrence import (
    KINDS,
    recurrence_backward,
    recurrence_backward_bf16,
    recurrence_forward,
    recurrence_forward_bf16,
)
from chainrule.ops import gru, lstm, simple_recurrence

pytestmark = pytest.mark.skipif(not kernels.report().available, reason=kernels.report().reason)

FORWARD = {"float32": recurrence_forward, "bfloat16": recurrence_forward_bf16}
BACKWARD = {"float32": recurrence_backward, "bfloat16": recurrence_backward_bf16}
CLOSE = 0.015  # in bfloat16: a sum that is rounded to the other side moves a number by 1/256 of itself
GATES = {"simple": 1, "lstm": 4, "gru": 3}
FUNCTIONS = {"simple": simple_recurrence, "lstm": lstm, "gru": gru}
OPTIONS = ("with_bias", "with_mask", "with_scale")
# (batch, time, units): sizes of 1, primes, more than a panel, more rows than a tile, and one that is shared out by rows
# and one by columns.
SIZES = [(1, 1, 1), (7, 3, 5), (13, 2, 17), (5, 3, 33), (40, 6, 96), (3, 9, 256)]


@pytest.fixture(params=list(FORWARD))
def dtype(request):
    """One type of the numbers that enter products after another."""
    if request.param == "bfloat16" and not kernels.active_in_bfloat16():
        pytest.skip("no instructions for bfloat16")
    return request.param


def numbers(random, *shape, scale=1.0):
    return (scale * random.normal(size=shape)).astype("float32")


def recurrent_kernel(random, kind, units):
    return numbers(random, units, GATES[kind] * units, scale=max(units, 1) ** -0.5)


def given(kind, sizes, options, seed=0, dtype="float32"):
    """The arrays of a forward call, with the options that are on."""
    random = np.random.default_rng(seed)
    batch, time, units = sizes
    columns = GATES[kind] * units
    states = [numbers(random, batch, units) for _ in range(2 if kind == "lstm" else 1)]
    available = {"with_bias": numbers(random, columns),
                 "with_mask": (random.random((batch, time)) > 0.3).astype("float32"),
                 "with_scale": np.abs(numbers(random, batch, units))}
    entering, kernel = numbers(random, batch, time, columns), recurrent_kernel(random, kind, units)
    return [entering.astype(jnp.dtype(dtype)), kernel.astype(jnp.dtype(dtype)), *states,
            *[available[name] for name in OPTIONS if options[name]]]


def given_back(kind, sizes, options, seed=1, dtype="float32"):
    """The arrays of a backward call."""
    random = np.random.default_rng(seed)
    batch, time, units = sizes
    each = lambda columns=units: numbers(random, batch, time, columns).astype(jnp.dtype(dtype))
    one = lambda: numbers(random, batch, units)
    gates = np.tanh(numbers(random, batch, time, GATES[kind] * units))
    arrays = [array.astype(jnp.dtype(dtype)) for array in (gates, recurrent_kernel(random, kind, units))]
    if kind != "simple":
        arrays += [numbers(random, batch, time, units), one() if kind == "lstm" else each()]
    arrays += [each(), each(), *([one()] if kind == "lstm" else [])]
    arrays += [(random.random((batch, time)) > 0.3).astype("float32")] if options["with_mask"] else []
    return arrays + ([np.abs(one())] if options["with_scale"] else [])


def assert_close(found, expected, tolerance=2e-5):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        one, other = (np.asarray(array, "float32") for array in (one, other))
        size = np.abs(other).max(initial=1.0)
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * size)


def same_bytes(found, expected):
    return all(np.asarray(one).tobytes() == np.asarray(other).tobytes()
               for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True))


def chosen(index):
    """One of the ways through the code: every option is on and off, in all pairs."""
    return dict(zip((*OPTIONS, "reverse"), [(index >> bit) & 1 == 1 for bit in range(4)], strict=True))


CASES = [(kind, sizes, chosen(5 * index + shift)) for shift, kind in enumerate(KINDS) for index, sizes in
         enumerate(SIZES)]


@functools.cache
def expected(back, kind, sizes, dtype="float32", **settings):
    """Arrays, and what the twin makes of them."""
    arrays = (given_back if back else given)(kind, sizes, settings, dtype=dtype)
    twin = (BACKWARD if back else FORWARD)[dtype].twin
    return arrays, jax.jit(functools.partial(twin, kind=kind, **settings))(*arrays)


def test_forward_is_the_twin(instructions):
    for kind, sizes, options in CASES:
        arrays, results = expected(False, kind, sizes, saving=True, **options)
        found = recurrence_forward(*arrays, kind=kind, saving=True, **options)
        assert_close(found, results, 5e-6)
        alone = recurrence_forward(*arrays, kind=kind, saving=False, **options)
        assert same_bytes(alone, found[:len(alone)])


def test_backward_is_the_twin(instructions):
    for kind, sizes, options in CASES:
        arrays, results = expected(True, kind, sizes, **options)
        assert_close(recurrence_backward(*arrays, kind=kind, **options), results, 1e-5)


@pytest.mark.skipif(not kernels.active_in_bfloat16(), reason="no instructions for bfloat16, or no kernels")
def test_in_bfloat16_both_are_the_twin():
    for kind, sizes, options in CASES:
        arrays, results = expected(False, kind, sizes, "bfloat16", saving=True, **options)
        found = recurrence_forward_bf16(*arrays, kind=kind, saving=True, **options)
        assert_close(found, results, CLOSE)
        alone = recurrence_forward_bf16(*arrays, kind=kind, saving=False, **options)
        assert same_bytes(alone, found[:len(alone)])
        arrays, results = expected(True, kind, sizes, "bfloat16", **options)
        assert_close(recurrence_backward_bf16(*arrays, kind=kind, **options), results, CLOSE)


@pytest.mark.skipif(not kernels.active_in_bfloat16(), reason="no instructions for bfloat16, or no kernels")
@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_near_float32(kind):
    arrays = operands(kind, (16, 24, 48))
    gradients = jax.jit(jax.value_and_grad(functools.partial(value, kind), tuple(range(6))))
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), arrays)
    for one, other in zip(jax.tree.leaves(gradients(*narrow)[1]), jax.tree.leaves(gradients(*arrays)[1]), strict=True):
        one, other = np.asarray(one, "float32"), np.asarray(other)
        assert one.shape == other.shape and np.linalg.norm(one - other) < 0.02 * np.linalg.norm(other)


def operands(kind, sizes=(4, 5, 6), features=3, dtype="float32"):
    random = np.random.default_rng(3)
    batch, time, units = sizes
    columns = GATES[kind] * units
    bias = numbers(random, *((2, columns) if kind == "gru" else (columns,)))
    states = tuple(numbers(random, batch, units) for _ in range(2 if kind == "lstm" else 1))
    scale = np.abs(numbers(random, batch, units))
    arrays = [numbers(random, batch, time, features), numbers(random, features, columns),
              numbers(random, units, columns, scale=units**-0.5), bias, states, scale]
    return jax.tree.map(lambda leaf: leaf.astype(jnp.dtype(dtype)), arrays)


def value(kind, *given, mask=None, reverse=False):
    *given, scale = given
    outputs, last = FUNCTIONS[kind](*given, mask=mask, reverse=reverse, recurrent_scale=scale)
    flat = jnp.concatenate([leaf.ravel() for leaf in (outputs, *last)]).astype(jnp.float32)
    return jnp.sum(flat * jnp.cos(jnp.arange(flat.size)))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_operation(kind, masked, reverse, dtype):
    mask = np.random.default_rng(5).random((4, 5)) > 0.4 if masked else None
    gradients = jax.grad(functools.partial(value, kind, mask=mask, reverse=reverse), tuple(range(6)))
    arrays = operands(kind, dtype=dtype)
    found = jax.jit(gradients)(*arrays)
    with kernels.allowed(False):
        # In bfloat16 JAX rounds at more places than the kernels do.
        assert_close(found, jax.jit(gradients)(*arrays), 2e-5 if dtype == "float32" else 0.04)


@pytest.mark.parametrize("kind", KINDS)
def test_forward_mode_and_second_derivatives(kind):
    arrays = operands(kind, (2, 3, 2), 2)
    function = lambda kernel: value(kind, *arrays[:2], kernel, *arrays[3:])
    usual = {"activation": jnp.tanh}  # a function of one's own: JAX differentiates the steps

    def by_jax(kernel):
        outputs, last = FUNCTIONS[kind](*arrays[:2], kernel, *arrays[3:-1], recurrent_scale=arrays[-1], **usual)
        flat = jnp.concatenate([leaf.ravel() for leaf in (outputs, *last)])
        return jnp.sum(flat * jnp.cos(jnp.arange(flat.size)))

    reverse_twice = lambda f: jax.grad(lambda kernel: jnp.sum(jax.grad(f)(kernel) ** 3))
    for derivative in (jax.jacfwd, jax.hessian, reverse_twice):
        assert_close(jax.jit(derivative(function))(arrays[2]), jax.jit(derivative(by_jax))(arrays[2]), 1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_members_of_a_population(kind, dtype):
    arrays = operands(kind, dtype=dtype)
    several = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf, -leaf, leaf, 2 * leaf]), arrays)
    gradients = jax.value_and_grad(functools.partial(value, kind), tuple(range(6)))
    for axes in ([0] * 6, [None, 0, 0, 0, None, None], [0, None, None, None, None, None]):
        mixed = [every if axis == 0 else one for axis, every, one in zip(axes, several, arrays, strict=True)]
        found = jax.jit(jax.vmap(gradients, in_axes=axes))(*mixed)
        for index in range(5):
            member = jax.tree.map(lambda leaf, index=index: leaf[index], several)
            alone = [its if axis == 0 else one for axis, its, one in zip(axes, member, arrays, strict=True)]
            # JAX may take the product of all members' inputs at once, in another order.
            assert_close(jax.tree.map(lambda leaf, index=index: leaf[index], found), jax.jit(gradients)(*alone),
                         1e-6 if dtype == "float32" else CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_compiled_loop(kind, dtype):
    arrays = operands(kind, dtype=dtype)
    step = lambda kernel: kernel - 0.01 * jax.grad(lambda k: value(kind, *arrays[:2], k, *arrays[3:]))(kernel)
    found = jax.jit(lambda kernel: jax.lax.fori_loop(0, 4, lambda _, kernel: step(kernel), kernel))(arrays[2])
    alone = arrays[2]
    for _ in range(4):
        alone = jax.jit(step)(alone)
    assert_close(found, alone, 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_the_same_in_every_batch_and_every_time(kind, dtype):
    # Whatever tile, thread or block of columns a row falls to, its bytes are the same.
    options = chosen(6)
    for units, batch in ((16, 29), (256, 40)):
        arrays = given(kind, (batch, 6, units), options, dtype=dtype)
        run = lambda arrays: FORWARD[dtype](*arrays, kind=kind, saving=False, **options)
        every = run(arrays)
        assert all(same_bytes(run(arrays), every) for _ in range(3))
        for rows in (slice(0, 1), slice(3, 6), slice(5, 24)):
            part = [array if array.shape[0] == units else array[rows] for array in arrays]
            assert same_bytes(run(part), [result[rows] for result in every])


@pytest.mark.parametrize("kind", KINDS)
def test_not_a_number_stays_in_its_row(kind, dtype):
    arrays = given(kind, (14, 3, 21), chosen(0), dtype=dtype)  # an odd number of units: one of a pair is another row's
    arrays[0][5, 1, 2] = np.nan
    every, *_ = FORWARD[dtype](*arrays, kind=kind, saving=False, **chosen(0))
    every = np.asarray(every, "float32")
    assert np.isnan(every[5, 2]).all() and np.isfinite(every[5, 0]).all()
    assert np.isfinite(np.delete(every, 5, 0)).all()


@pytest.mark.parametrize("sizes", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
@pytest.mark.parametrize("kind", KINDS)
def test_empty_axes(kind, sizes, dtype):
    settings = {"kind": kind, **chosen(3)}
    arrays = given(kind, sizes, settings, dtype=dtype)
    assert_close(FORWARD[dtype](*arrays, saving=True, **settings),
                 FORWARD[dtype].twin(*map(jnp.asarray, arrays), saving=True, **settings))
    back = given_back(kind, sizes, settings, dtype=dtype)
    found = BACKWARD[dtype](*back, **settings)
    assert_close(found, BACKWARD[dtype].twin(*map(jnp.asarray, back), **settings))


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_shapes_are_refused(kind, forward, dtype):
    options = chosen(7)
    kernel = (FORWARD if forward else BACKWARD)[dtype]
    arrays = (given if forward else given_back)(kind, (3, 4, 5), options, dtype=dtype)
    settings = {"kind": kind, **options} | ({"saving": True} if forward else {})
    results = jax.eval_shape(functools.partial(kernel.twin, **settings), *arrays)
    attributes = {name: np.int64(setting) if name == "kind" else setting
                  for name, setting in (settings | {"kind": KINDS.index(kind)}).items()}

    def call(arrays, results, **changed):
        shapes = [jax.ShapeDtypeStruct(result.shape, result.dtype) for result in results]
        return jax.block_until_ready(jax.ffi.ffi_call(kernel.target, shapes)(*arrays, **attributes | changed))

    jax.block_until_ready(kernel(*arrays, **settings))  # the library makes its functions known at the first use
    call(arrays, results)
    for place, array in enumerate(arrays):
        for axis in range(array.ndim):
            wrong = [*arrays[:place], np.repeat(array, 2, axis), *arrays[place + 1:]]
            with pytest.raises(Exception, match="chainrule: the array '"):
                call(wrong, results)
    for place, result in enumerate(results):
        smaller = jax.ShapeDtypeStruct((*result.shape[:-1], result.shape[-1] - 1), result.dtype)
        with pytest.raises(Exception, match="chainrule: the array '"):
            call(arrays, [*results[:place], smaller, *results[place + 1:]])
    other = "float32" if dtype == "bfloat16" else "bfloat16"
    for wrong in ([*arrays, arrays[0]], arrays[:-1], arrays[:1], [arrays[0].astype(jnp.dtype(other)), *arrays[1:]]):
        with pytest.raises(Exception, match="chainrule: "):
            call(wrong, results)
    with pytest.raises(Exception, match="chainrule: "):
        call(arrays, results[:-1])
    for number in (-1, 3):
        with pytest.raises(Exception, match="chainrule: there is no such recurrence"):
            call(arrays, results, kind=np.int64(number))
