"""Convolution: the equation, its gradients and transformations, plain images, and what is refused."""
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from chainrule import kernels, ops
from chainrule.errors import SettingError, ShapeError
from chainrule.kernels import convolution_twin
from chainrule.ops import convolution
from chainrule.precision import precision
from tests.conformance.samples import assert_gradient

draw = np.random.default_rng(0)


def numbers(*shape, dtype="float32"):
    return draw.normal(size=shape).astype(dtype)


def padded(x, pairs):
    return np.pad(x, [(0, 0), *pairs, (0, 0)])


def by_hand(x, kernel, strides, dilation, groups=1):
    """The equation, entry by entry, without padding."""
    window, inputs, filters = kernel.shape[:-2], *kernel.shape[-2:]
    counts = [(size - (length - 1) * step - 1) // stride + 1
              for size, length, stride, step in zip(x.shape[1:-1], window, strides, dilation, strict=True)]
    y = np.zeros((x.shape[0], *counts, filters))
    for place in itertools.product(*map(range, counts)):
        for f in range(filters):
            group = f // (filters // groups)
            for offset in itertools.product(*map(range, window)):
                at = tuple(p * s + o * d for p, s, o, d in zip(place, strides, offset, dilation, strict=True))
                channels = x[(slice(None), *at)][:, group * inputs : (group + 1) * inputs]
                y[(slice(None), *place, f)] += channels @ kernel[offset][:, f]
    return y


def transposed_by_hand(x, kernel, strides, dilation):
    """What each entry adds to the output, entry by entry, nothing cut off."""
    window, filters = kernel.shape[:-2], kernel.shape[-2]
    sizes = [(size - 1) * stride + (length - 1) * step + 1
             for size, length, stride, step in zip(x.shape[1:-1], window, strides, dilation, strict=True)]
    y = np.zeros((x.shape[0], *sizes, filters))
    for place in itertools.product(*map(range, x.shape[1:-1])):
        for offset in itertools.product(*map(range, window)):
            at = tuple(p * s + o * d for p, s, o, d in zip(place, strides, offset, dilation, strict=True))
            y[(slice(None), *at)] += x[(slice(None), *place)] @ kernel[offset].T
    return y


def close(ours, theirs, tolerance=1e-4):
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


CASES = [  # places, window, strides, dilation, groups
    ((7,), (3,), (1,), (1,), 1),
    ((9,), (2,), (5,), (3,), 2),
    ((6, 5), (3, 3), (1, 1), (1, 1), 1),
    ((7, 4), (1, 1), (3, 1), (1, 1), 1),
    ((8, 5), (2, 3), (1, 2), (3, 1), 1),
    ((9, 8), (2, 2), (3, 4), (1, 1), 2),
    ((5, 6), (3, 2), (1, 1), (1, 2), 4),
    ((4, 5, 3), (2, 1, 3), (1, 2, 1), (2, 1, 1), 1),
    ((3, 4, 3), (2, 2, 2), (2, 1, 1), (1, 1, 1), 4),
]


@pytest.mark.parametrize("places, window, strides, dilation, groups", CASES, ids=str)
def test_the_equation(places, window, strides, dilation, groups):
    x, kernel = numbers(2, *places, 4), numbers(*window, 4 // groups, 8)
    y = ops.convolve(x, kernel, strides, "valid", dilation, groups)
    assert y.dtype == "float32"
    close(y, by_hand(x, kernel, strides, dilation, groups))
    pairs = [(1, 0), (2, 3), (0, 1)][: len(places)]
    y = ops.convolve(x, kernel, strides, pairs, dilation, groups)
    close(y, by_hand(padded(x, pairs), kernel, strides, dilation, groups))


@pytest.mark.parametrize("size, length, stride, step", [*itertools.product((4, 7), (1, 2, 3), (1, 2, 5), (1, 2))])
def test_same_and_causal_padding(size, length, stride, step):
    x, kernel, reach = numbers(1, size, 2), numbers(length, 2, 1), (length - 1) * step + 1
    count = -(-size // stride)
    missing = max((count - 1) * stride + reach - size, 0)
    y = ops.convolve(x, kernel, stride, "same", step)
    assert y.shape == (1, count, 1)
    pairs = [(missing // 2, missing - missing // 2)]
    close(y, by_hand(padded(x, pairs), kernel, (stride,), (step,))[:, :count])
    y = ops.convolve(x, kernel, stride, "causal", step)
    assert y.shape == (1, count, 1)
    close(y, by_hand(padded(x, [(reach - 1, 0)]), kernel, (stride,), (step,)))


def test_causal_outputs_see_no_later_step():
    kernel = numbers(3, 2, 4)
    seen = jax.jacobian(lambda x: ops.convolve(x, kernel, padding="causal", dilation=2)[0].sum(-1))(numbers(1, 9, 2))
    seen = np.abs(seen[:, 0]).sum(-1) > 0
    steps = np.arange(9)
    assert np.array_equal(seen, np.isin(steps[:, None] - steps[None], (0, 2, 4)))


@pytest.mark.parametrize("places, window, strides, dilation, groups", CASES, ids=str)
def test_transposed_convolution(places, window, strides, dilation, groups):
    x, kernel = numbers(2, *places, 4), numbers(*window, 3, 4)
    whole = transposed_by_hand(x, kernel, strides, dilation)
    reaches = [(length - 1) * step + 1 for length, step in zip(window, dilation, strict=True)]
    more = [max(stride - reach, 0) for stride, reach in zip(strides, reaches, strict=True)]
    close(ops.convolve_transposed(x, kernel, strides, "valid", None, dilation), padded(whole, [(0, m) for m in more]))
    extra = [stride - 1 for stride in strides]
    y = ops.convolve_transposed(x, kernel, strides, "valid", extra, dilation)
    close(y, padded(whole, [(0, m) for m in extra]))
    y = ops.convolve_transposed(x, kernel, strides, "same", None, dilation)
    assert y.shape == (2, *(size * stride for size, stride in zip(places, strides, strict=True)), 3)
    starts = [max((reach - stride) // 2, 0) for reach, stride in zip(reaches, strides, strict=True)]
    wide = padded(whole, [(0, stride) for stride in strides])
    cut = tuple(slice(start, start + size) for start, size in zip(starts, y.shape[1:-1], strict=True))
    close(y, wide[(slice(None), *cut)])


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_transposed_convolution_is_the_transpose(padding):
    image, kernel = numbers(2, 9, 7, 3), numbers(3, 3, 3, 5)
    y = ops.convolve(image, kernel, 2, padding)
    back = numbers(*y.shape)
    again = ops.convolve_transposed(back, kernel, 2, padding, None if padding == "valid" else 0)
    assert again.shape == image.shape
    np.testing.assert_allclose(jnp.vdot(y, back), jnp.vdot(image, again), rtol=1e-4)


def test_depthwise_convolution():
    x, kernel = numbers(2, 6, 5, 3), numbers(3, 2, 3, 2)
    y = ops.convolve_depthwise(x, kernel, (1, 2), "valid", (2, 1))
    alone = [by_hand(x[..., c : c + 1], kernel[:, :, c : c + 1], (1, 2), (2, 1)) for c in range(3)]
    close(y, np.concatenate(alone, -1))
    one = ops.convolve_depthwise(x[..., :1], kernel[:, :, :1])
    close(one, by_hand(x[..., :1], kernel[:, :, :1], (1, 1), (1, 1)))


FUNCTIONS = {
    "plain": (lambda x, kernel: ops.convolve(x, kernel, (2, 1), "same"), (2, 5, 4, 4), (3, 2, 4, 6)),
    "one place": (lambda x, kernel: ops.convolve(x, kernel), (2, 5, 4, 4), (1, 1, 4, 6)),
    "strides over": (lambda x, kernel: ops.convolve(x, kernel, 3), (2, 8, 7, 2), (2, 1, 2, 3)),
    "groups": (lambda x, kernel: ops.convolve(x, kernel, 1, "valid", (2, 1), 2), (2, 6, 4, 4), (3, 2, 2, 6)),
    "depthwise": (lambda x, kernel: ops.convolve_depthwise(x, kernel, 2, "same"), (2, 5, 4, 3), (3, 2, 3, 2)),
    "transposed": (lambda x, kernel: ops.convolve_transposed(x, kernel, (2, 3), "same"), (2, 3, 2, 4), (3, 2, 5, 4)),
    "sequence": (lambda x, kernel: ops.convolve(x, kernel, 1, "causal", 2), (2, 7, 3), (3, 3, 4)),
    "volume": (lambda x, kernel: ops.convolve(x, kernel, 2, "same"), (1, 3, 4, 3, 2), (2, 2, 3, 2, 3)),
}


@pytest.fixture(params=FUNCTIONS)
def case(request):
    function, x, kernel = FUNCTIONS[request.param]
    return function, numbers(*x), numbers(*kernel)


def test_gradients_are_those_of_finite_differences(case):
    function, x, kernel = case
    with precision("float64"):
        assert_gradient(function, (x.astype("float64"), kernel.astype("float64")))


def test_it_keeps_the_dtype(case):
    function, x, kernel = case
    y = function(x, kernel)
    rough = function(jnp.asarray(x, "bfloat16"), jnp.asarray(kernel, "bfloat16"))
    assert rough.dtype == "bfloat16"
    np.testing.assert_allclose(rough.astype("float32"), y, atol=0.3)
    with precision("float64"):
        assert function(x.astype("float64"), kernel.astype("float64")).dtype == "float64"


@pytest.mark.parametrize("name", ["plain", "groups", "depthwise", "transposed"])
def test_it_works_under_every_transformation(name):
    function, x, kernel = FUNCTIONS[name]
    x, kernel = numbers(*x), numbers(*kernel)
    energy = lambda x, kernel: jnp.square(function(x, kernel)).sum()
    gradient = jax.grad(energy, (0, 1))(x, kernel)
    close(jax.jit(function)(x, kernel), function(x, kernel))
    kernels, inputs = np.stack([kernel, 2 * kernel, -kernel]), np.stack([x, x + 1, 3 * x])
    for axes, arguments in (((None, 0), (x, kernels)), ((0, 0), (inputs, kernels))):
        together = jax.jit(jax.vmap(jax.value_and_grad(energy, 1), axes))(*arguments)
        for member in range(3):
            mine = [argument if axis is None else argument[member]
                    for axis, argument in zip(axes, arguments, strict=True)]
            alone = jax.value_and_grad(energy, 1)(*mine)
            jax.tree.map(lambda all_of_them, one, member=member: np.testing.assert_allclose(
                all_of_them[member], one, rtol=1e-3, atol=1e-3), together, alone)
    # In a loop, as training is: three steps are the same as three steps outside of one.
    step = lambda kernel: kernel - 1e-3 * jax.grad(energy, 1)(x, kernel)
    looped = jax.jit(lambda kernel: lax.scan(lambda carry, _: (step(carry), None), kernel, None, length=3)[0])(kernel)
    close(looped, step(step(step(kernel))))
    # Forward, and forward over backward: the energy is quadratic in x and in the kernel.
    _, slope = jax.jvp(energy, (x, kernel), (x, kernel))
    np.testing.assert_allclose(slope, 4 * energy(x, kernel), rtol=1e-4)
    _, bend = jax.jvp(lambda kernel: jax.grad(energy, 1)(x, kernel), (kernel,), (kernel,))
    close(bend, gradient[1], 1e-3)


def test_on_a_cpu_there_are_only_products_and_elsewhere_the_convolutions_of_the_device(case):
    function, x, kernel = case
    both = jax.jit(jax.value_and_grad(lambda x, kernel: jnp.square(function(x, kernel)).sum(), (0, 1)))
    text = lambda platform: both.trace(x, kernel).lower(lowering_platforms=(platform,)).as_text()
    assert "stablehlo.convolution" not in text("cpu")
    for platform in ("cuda", "tpu"):
        assert text(platform).count("stablehlo.convolution") == 3
        assert "dot_general" not in text(platform)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("places, window, strides, dilation", [
    ((9,), (3,), (2,), (2,)), ((6, 7), (3, 2), (1, 3), (2, 1)), ((3, 4, 5), (2, 2, 3), (1, 1, 2), (1, 1, 1))])
def test_the_device_would_compute_the_same(places, window, strides, dilation, groups):
    x, kernel = numbers(2, *places, 4), numbers(*window, 4 // groups, 8)
    windows = convolution.find_windows(places, window, strides, "valid", dilation, "")
    theirs = convolution_twin._by_device(x, kernel, windows, groups)
    close(ops.convolve(x, kernel, strides, "valid", dilation, groups), theirs)


@pytest.mark.parametrize("groups", [1, 2])
def test_in_parts_it_is_the_same(monkeypatch, groups):
    x, kernel = numbers(3, 7, 8, 4), numbers(3, 3, 4 // groups, 2)
    windows = convolution.find_windows((7, 8), (3, 3), 1, "valid", 1, "")
    product = lambda x, kernel: convolution_twin._by_products(x, kernel, windows, groups)
    jaxpr = lambda: str(jax.make_jaxpr(lambda *arrays: product(*arrays))(x, kernel))
    at_once, row = product(x, kernel), 3 * 5 * 6 * 4 * 4  # the bytes of the entries at one place of all windows
    assert "scan" not in jaxpr()
    for most, parts in ((9 * row, 1), (9 * row - 1, 2), (2 * row, 5), (1, 9)):
        monkeypatch.setattr(convolution_twin, "_MOST_BYTES", most)
        close(product(x, kernel), at_once)
        assert jaxpr().count("dot_general") == parts


@pytest.mark.parametrize("images", [1, 5, 8])
@pytest.mark.parametrize("at_once", [1, 3])
def test_some_images_at_a_time_it_is_the_same(monkeypatch, images, at_once):
    x, kernel = numbers(images, 7, 8, 4), numbers(3, 3, 4, 2)
    windows = convolution.find_windows((7, 8), (3, 3), 1, "valid", 1, "")
    energy = lambda x, kernel: jnp.square(convolution_twin._by_products(x, kernel, windows, 1)).sum()
    whole = jax.value_and_grad(energy, (0, 1))(x, kernel)
    monkeypatch.setattr(convolution_twin, "_CACHED_BYTES", at_once * 9 * 5 * 6 * 4 * 4)
    assert ("scan" in str(jax.make_jaxpr(lambda *arrays: energy(*arrays))(x, kernel))) == (images > at_once)
    jax.tree.map(lambda ours, theirs: close(ours, theirs, 1e-3),
                 jax.jit(jax.value_and_grad(lambda *arrays: energy(*arrays), (0, 1)))(x, kernel), whole)


@pytest.mark.parametrize("name", ["plain", "depthwise", "sequence", "transposed", "volume"])
@pytest.mark.parametrize("activation", ["linear", "relu", "elu"])
def test_bias_and_activation_are_those_applied_afterwards(name, activation):
    function = {"depthwise": ops.convolve_depthwise, "transposed": ops.convolve_transposed}.get(name, ops.convolve)
    x, kernel = (numbers(*shape) for shape in FUNCTIONS[name][1:])
    plain = function(x, kernel, 2)
    bias = numbers(plain.shape[-1])
    afterwards = {"linear": lambda z: z, "relu": jax.nn.relu, "elu": jax.nn.elu}[activation](plain + bias)
    close(function(x, kernel, 2, bias=bias, activation=activation), afterwards, 1e-5)
    with kernels.allowed(False):
        close(function(x, kernel, 2, bias=bias, activation=activation), afterwards, 1e-5)


def test_an_unknown_activation_is_refused():
    with pytest.raises(SettingError) as caught:
        ops.convolve(numbers(1, 5, 2), numbers(3, 2, 4), activation="softmax")
    assert str(caught.value) == (
        "convolve: `activation` must be one of 'linear', 'relu', 'tanh', 'sigmoid', 'elu'; got 'softmax'.")


def test_an_empty_batch_gives_an_empty_batch():
    assert ops.convolve(numbers(0, 5, 5, 2), numbers(3, 3, 2, 4)).shape == (0, 3, 3, 4)
    assert ops.convolve_transposed(numbers(0, 5, 5, 2), numbers(3, 3, 4, 2), 2).shape == (0, 11, 11, 4)


IMAGE = np.array([[2, 3, 4, 4, 3, 3], [1, 3, 3, 4, 3, 2], [0, 1, 2, 3, 4, 4],
                  [0, 0, 1, 1, 2, 2], [1, 1, 2, 2, 3, 2], [1, 2, 3, 3, 2, 1]])
HORIZONTAL = np.array([[-1, -1, -1], [2, 2, 2], [-1, -1, -1]])


def test_the_worked_example_of_a_plain_image():
    y = ops.convolve2d(IMAGE, HORIZONTAL)
    assert y.dtype == "float32"
    assert np.array_equal(y, [[2, 3, 0, -3], [-2, 0, 4, 8], [-5, -7, -8, -8], [1, 0, 2, 3]])
    assert np.array_equal(ops.convolve2d(IMAGE, HORIZONTAL, padding="same")[1:-1, 1:-1], y)
    assert np.array_equal(ops.convolve2d(IMAGE, HORIZONTAL, strides=(2, 3)), y[::2, ::3])
    assert np.array_equal(ops.convolve2d(IMAGE, HORIZONTAL, padding=[(1, 1), (0, 0)])[1:-1], y)


def test_plain_images_and_kernels_in_every_combination():
    photo = numbers(6, 5, 3)
    one, over_all, bank = numbers(3, 2), numbers(3, 2, 3), numbers(3, 2, 3, 4)
    plane = lambda image, kernel: by_hand(image[None, ..., None], kernel[..., None, None], (1, 1), (1, 1))[0, ..., 0]
    close(ops.convolve2d(photo[..., 0], one), plane(photo[..., 0], one))
    close(ops.convolve2d(photo, one), np.stack([plane(photo[..., c], one) for c in range(3)], -1))
    close(ops.convolve2d(photo, over_all), sum(plane(photo[..., c], over_all[..., c]) for c in range(3)))
    close(ops.convolve2d(photo, bank), by_hand(photo[None], bank, (1, 1), (1, 1))[0])
    photos = np.stack([photo, photo[::-1]])
    for kernel in (one, over_all, bank):
        together = ops.convolve2d(photos, kernel, padding="same")
        for index in range(2):
            close(together[index], ops.convolve2d(photos[index], kernel, padding="same"))
    grey = ops.convolve2d(photos[..., :1], one)
    assert grey.shape == (2, 4, 4, 1)


def test_the_direction_of_the_kernel_is_that_of_a_cross_correlation():
    impulse = np.zeros((5, 5))
    impulse[2, 2] = 1
    kernel = np.arange(9.0).reshape(3, 3)
    assert np.array_equal(ops.convolve2d(impulse, kernel), kernel[::-1, ::-1])


zeros = lambda *shape: np.zeros(shape, "float32")


@pytest.mark.parametrize("make, error, message", [
    (lambda: ops.convolve(zeros(2, 4, 6, 1), zeros(5, 5, 1, 2)), ShapeError,
     "convolve: the output would be empty. A kernel of size (5, 5) (strides (1, 1)) does not fit into an input of size "
     "(4, 6). Use padding='same', a smaller kernel or a larger input."),
    (lambda: ops.convolve(zeros(2, 6, 1), zeros(3, 1, 2), 2, "valid", 3), ShapeError,
     "convolve: the output would be empty. A kernel of size (3,) (strides (2,), dilation (3,)) does not fit into an "
     "input of size (6,). Use padding='same', a smaller kernel or a larger input."),
    (lambda: ops.convolve(zeros(2, 3, 1), zeros(6, 1, 2), padding=[(1, 1)]), ShapeError,
     "convolve: the output would be empty. A kernel of size (6,) (strides (1,)) does not fit into an input of size "
     "(3,), padded by [(1, 1)]. Use padding='same', a smaller kernel or a larger input."),
    (lambda: ops.convolve(zeros(2, 0, 4, 1), zeros(3, 3, 1, 2), padding="same"), ShapeError,
     "convolve: the output would be empty. A kernel of size (3, 3) (strides (1, 1)) does not fit into an input of size "
     "(0, 4). Use a larger input."),
    (lambda: ops.convolve(zeros(28, 28), zeros(3, 3)), ShapeError,
     "convolve takes (batch, *places, channels) with 1, 2 or 3 axes of places; got (28, 28). For a plain image there "
     "is convolve2d."),
    (lambda: ops.convolve(zeros(2, 28, 28, 1), zeros(3, 3)), ShapeError,
     "convolve: an input of shape (2, 28, 28, 1) takes a kernel of 4 axes, 2 for the window and two for channels; got "
     "(3, 3)."),
    (lambda: ops.convolve(zeros(2, 8, 8, 3), zeros(3, 3, 2, 4)), ShapeError,
     "convolve: a kernel of shape (3, 3, 2, 4) is for 2 channels; the input of shape (2, 8, 8, 3) has 3."),
    (lambda: ops.convolve(zeros(2, 8, 8, 3), zeros(3, 3, 2, 4), groups=2), ShapeError,
     "convolve: a kernel of shape (3, 3, 2, 4) is for 4 channels in 2 groups; the input of shape (2, 8, 8, 3) has 3."),
    (lambda: ops.convolve(zeros(2, 8, 8, 3), zeros(3, 3, 1, 4), groups=3), SettingError,
     "convolve: `groups` must be a positive integer that divides the 4 filters of the kernel (3, 3, 1, 4); got 3."),
    (lambda: ops.convolve(zeros(2, 8, 3), zeros(3, 3, 4), padding="full"), SettingError,
     "convolve: `padding` must be 'valid', 'same', 'causal' or 1 pair of numbers, the zeros at both ends of each axis; "
     "got 'full'."),
    (lambda: ops.convolve(zeros(2, 8, 8, 3), zeros(3, 3, 3, 4), padding="causal"), SettingError,
     "convolve: `padding` must be 'valid', 'same' or 2 pairs of numbers, the zeros at both ends of each axis; got "
     "'causal'."),
    (lambda: ops.convolve(zeros(2, 8, 8, 3), zeros(3, 3, 3, 4), padding=[(1, 1)]), SettingError,
     "convolve: `padding` must be 'valid', 'same' or 2 pairs of numbers, the zeros at both ends of each axis; got "
     "[(1, 1)]."),
    (lambda: ops.convolve(zeros(2, 8, 8, 3), zeros(3, 3, 3, 4), padding=1), SettingError,
     "convolve: `padding` must be 'valid', 'same' or 2 pairs of numbers, the zeros at both ends of each axis; got 1."),
    (lambda: ops.convolve(zeros(2, 8, 8, 3), zeros(3, 3, 3, 4), strides=(1, 0)), SettingError,
     "convolve: `strides` must be a positive integer or 2 of them; got (1, 0)."),
    (lambda: ops.convolve_transposed(zeros(2, 8, 8, 3), zeros(3, 3, 3, 4)), ShapeError,
     "convolve_transposed: a kernel of shape (3, 3, 3, 4) (window, filters, channels) is for 4 channels; the input of "
     "shape (2, 8, 8, 3) has 3."),
    (lambda: ops.convolve_transposed(zeros(2, 1, 3), zeros(2, 4, 3), 2, "same", 0), ShapeError,
     "convolve_transposed: the output would be empty. An input of size (1,), with a kernel of size (2,) and strides "
     "(2,), gives one of size (0,). Use a larger input or a larger `output_padding`."),
    (lambda: ops.convolve_transposed(zeros(2, 4, 3), zeros(2, 4, 3), 2, output_padding=2), SettingError,
     "convolve_transposed: `output_padding` must be a number from 0 to below the strides (2,), or one for each axis; "
     "got 2."),
    (lambda: ops.convolve_transposed(zeros(2, 4, 3), zeros(2, 4, 3), 2, "causal"), SettingError,
     "convolve_transposed: `padding` must be 'valid' or 'same'; got 'causal'."),
    (lambda: ops.convolve_depthwise(zeros(2, 8, 8, 3), zeros(3, 3, 4, 1)), ShapeError,
     "convolve_depthwise: a kernel of shape (3, 3, 4, 1) (window, channels, multiplier) is for 4 channels; the input "
     "of shape (2, 8, 8, 3) has 3."),
    (lambda: ops.convolve2d(zeros(8, 8), zeros(0, 3)), ShapeError,
     "convolve2d: a kernel of size (0, 3) has no entries. Expected at least one along each axis."),
    (lambda: ops.convolve(zeros(1, 8, 1), zeros(0, 1, 1)), ShapeError,
     "convolve: a kernel of size (0,) has no entries. Expected at least one along each axis."),
    (lambda: ops.convolve2d(zeros(8, 8, 0), zeros(3, 3)), ShapeError,
     "convolve2d: an image of shape (8, 8, 0) has no channels."),
    (lambda: ops.convolve2d(zeros(8), zeros(3, 3)), ShapeError,
     "convolve2d takes an image, (height, width) or (height, width, channels), or a batch of them, (batch, height, "
     "width, channels); got (8,)."),
    (lambda: ops.convolve2d(zeros(8, 8), zeros(3, 3, 1)), ShapeError,
     "convolve2d: an image of shape (8, 8) takes a kernel (height, width); got (3, 3, 1)."),
    (lambda: ops.convolve2d(zeros(8, 8, 3), zeros(3, 3, 2)), ShapeError,
     "convolve2d: an image of shape (8, 8, 3) takes a kernel (height, width), (height, width, 3) for all channels "
     "together, or (height, width, 3, filters); got (3, 3, 2)."),
    (lambda: ops.convolve2d(zeros(2, 8), zeros(3, 3)), ShapeError,
     "convolve2d: the output would be empty. A kernel of size (3, 3) (strides (1, 1)) does not fit into an input of "
     "size (2, 8). Use padding='same', a smaller kernel or a larger input."),
])
def test_what_is_refused(make, error, message):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == message
