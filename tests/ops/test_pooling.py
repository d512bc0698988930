"""Pooling beside loops over windows in NumPy: values, gradients, ties, edges, and what it refuses."""
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import ops
from chainrule.errors import SettingError, ShapeError
from chainrule.precision import precision
from tests.conformance.samples import assert_gradient

DRAW = np.random.default_rng(0)


def windows_of(x, pool_size, strides, padding):
    """Each window of a batch of images: where it lies in the output, and the slices of the input that it covers."""
    along = []
    for size, window, stride in zip(x.shape[1:-1], pool_size, strides, strict=True):
        count = -(-size // stride) if padding == "same" else (size - window) // stride + 1
        before = max((count - 1) * stride + window - size, 0) // 2 if padding == "same" else 0
        starts = [place * stride - before for place in range(count)]
        along.append([slice(max(start, 0), min(start + window, size)) for start in starts])
    counts = [range(len(slices)) for slices in along]
    for place in itertools.product(*counts):
        yield place, tuple(slices[index] for index, slices in zip(place, along, strict=True))


def pooled(x, pool_size, strides, padding, reduce):
    """Pooling window by window."""
    found = list(windows_of(x, pool_size, strides, padding))
    shape = [1 + max(place[axis] for place, _ in found) for axis in range(x.ndim - 2)]
    y = np.zeros((x.shape[0], *shape, x.shape[-1]))
    for place, covered in found:
        y[(slice(None), *place)] = reduce(x[(slice(None), *covered)], axis=tuple(range(1, x.ndim - 1)))
    return y


CASES = [
    ((7,), (2,), (2,)), ((7,), (3,), (1,)), ((9,), (2,), (5,)), ((40,), (17,), (3,)), ((6,), (6,), (6,)),
    ((5, 6), (2, 2), (2, 2)), ((5, 7), (3, 2), (1, 3)), ((8, 5), (1, 4), (3, 1)), ((12, 13), (7, 9), (2, 1)),
    ((3, 1), (1, 1), (1, 1)), ((4, 5, 3), (2, 3, 1), (2, 1, 2)), ((3, 4, 5), (3, 2, 2), (1, 4, 2)),
]


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("places, pool_size, strides", CASES, ids=str)
def test_windows_one_by_one(places, pool_size, strides, padding):
    x = DRAW.normal(size=(2, *places, 3))
    with precision("float64"):
        for pool, reduce in ((ops.max_pool, np.max), (ops.average_pool, np.mean)):
            function = jax.jit(lambda x, pool=pool: pool(x, pool_size, strides, padding))
            np.testing.assert_allclose(function(x), pooled(x, pool_size, strides, padding, reduce), rtol=1e-12)
            assert_gradient(function, (x,))


def test_windows_follow_each_other_by_default():
    x = DRAW.normal(size=(2, 7, 8, 3)).astype("float32")
    for pool in (ops.max_pool, ops.average_pool):
        np.testing.assert_array_equal(pool(x, 3), pool(x, (3, 3), (3, 3), "valid"))
        np.testing.assert_array_equal(pool(x, (2, 4)), pool(x, [2, 4], [2, 4]))


@pytest.mark.parametrize("window, stride", [(2, 2), (3, 1), (3, 2), (4, 1), (12, 5)])
def test_among_equals_the_first_receives_the_gradient(window, stride):
    x = DRAW.integers(0, 3, (2, 13, 14, 2)).astype("float32")
    y, pull = jax.vjp(lambda x: ops.max_pool(x, window, stride), x)
    sent = DRAW.integers(1, 9, y.shape).astype("float32")
    expected = np.zeros_like(x)
    for place, covered in windows_of(x, (window,) * 2, (stride,) * 2, "valid"):
        for row, channel in np.ndindex(2, 2):
            inside = x[(row, *covered, channel)]
            first = np.unravel_index(inside.argmax(), inside.shape)
            expected[(row, *covered, channel)][first] += sent[(row, *place, channel)]
    np.testing.assert_array_equal(pull(sent)[0], expected)


def test_padding_never_wins_and_does_not_count():
    x = np.full((1, 5, 1), -3.0, "float32")
    assert ops.max_pool(x, 4, 2, "same").ravel().tolist() == [-3.0, -3.0, -3.0]
    assert ops.average_pool(x, 4, 2, "same").ravel().tolist() == [-3.0, -3.0, -3.0]
    lowest = np.full((1, 3, 1), -np.inf, "float32")
    assert ops.max_pool(lowest, 2, 2, "same").ravel().tolist() == [-np.inf, -np.inf]


def test_nan_is_passed_on():
    for place, window in itertools.product(range(4), (2, 4, 8)):
        x = np.arange(8, dtype="float32").reshape(1, 8, 1)
        x[0, place] = np.nan
        y = np.asarray(ops.max_pool(x, window)).ravel()
        assert np.isnan(y[place // window]) and np.isnan(y).sum() == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "int8", "uint8", "int32", "bool"])
def test_dtypes(dtype):
    x = jnp.asarray(DRAW.integers(0, 2, (2, 5, 5, 3)), dtype)
    largest = ops.max_pool(x, 2, padding="same")
    assert largest.dtype == dtype
    np.testing.assert_array_equal(largest.astype(int), ops.max_pool(x.astype("int32"), 2, padding="same"))
    assert ops.average_pool(x, 2).dtype == (dtype if "float" in dtype else "float32")


def test_means_in_16_bits_are_as_exact_as_16_bits_are():
    x = jnp.full((1, 4096, 1), 1.01, "bfloat16")
    assert ops.average_pool(x, 4096).ravel().tolist() == x[0, 0].tolist()


def test_many_at_once_and_forward_derivatives():
    x = DRAW.normal(size=(4, 2, 6, 6, 3)).astype("float32")
    for pool in (ops.max_pool, ops.average_pool):
        each = jnp.stack([pool(part, 3, 2, "same") for part in x])
        np.testing.assert_array_equal(jax.vmap(lambda x, pool=pool: pool(x, 3, 2, "same"))(x), each)
        y, change = jax.jvp(lambda x, pool=pool: pool(x, 2).sum(), (x[0],), (jnp.ones_like(x[0]),))
        assert change == pytest.approx(2 * 3 * 3 * 3)


def test_plain_images():
    x = DRAW.normal(size=(2, 5, 6, 3)).astype("float32")
    for plain, pool in ((ops.max_pool2d, ops.max_pool), (ops.average_pool2d, ops.average_pool)):
        expected = np.asarray(pool(x, (2, 3), 2, "same"))
        np.testing.assert_array_equal(plain(x, (2, 3), 2, "same"), expected)
        np.testing.assert_array_equal(plain(x[0], (2, 3), 2, "same"), expected[0])
        np.testing.assert_array_equal(plain(x[0, ..., 1], (2, 3), 2, "same"), expected[0, ..., 1])
    lists = [[12, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]]
    assert ops.max_pool2d(np.array(lists), 2).tolist() == [[20, 30], [112, 37]]
    assert ops.average_pool2d(np.array(lists), 2).tolist() == [[13, 8], [79, 19.5]]


X = np.zeros((2, 4, 5, 3), "float32")


@pytest.mark.parametrize("make, error, message", [
    (lambda: ops.max_pool(X, 5), ShapeError,
     "max_pool: the output would be empty. A window of (5, 5) does not fit into places of (4, 5). Use padding='same', "
     "a smaller window, or larger inputs."),
    (lambda: ops.average_pool(X, (2, 9), 1), ShapeError,
     "average_pool: the output would be empty. A window of (2, 9) does not fit into places of (4, 5). Use "
     "padding='same', a smaller window, or larger inputs."),
    (lambda: ops.max_pool(X[:, :0], 2, padding="same"), ShapeError,
     "max_pool: the output would be empty. A window of (2, 2) does not fit into places of (0, 5). Use larger inputs."),
    (lambda: ops.max_pool(X[0, 0], 2), ShapeError,
     "max_pool takes (batch, *places, channels) with 1, 2 or 3 axes of places; got (5, 3). For a plain image there is "
     "max_pool2d."),
    (lambda: ops.average_pool(X[None, None], 2), ShapeError,
     "average_pool takes (batch, *places, channels) with 1, 2 or 3 axes of places; got (1, 1, 2, 4, 5, 3). For a plain "
     "image there is average_pool2d."),
    (lambda: ops.max_pool2d(X[0, 0, 0], 2), ShapeError,
     "max_pool2d takes an image, (height, width) or (height, width, channels), or a batch of them, (batch, height, "
     "width, channels); got (3,)."),
    (lambda: ops.max_pool(X, 0), SettingError,
     "max_pool: `pool_size` must be a positive integer or 2 of them; got 0."),
    (lambda: ops.max_pool(X[0], 2.5), SettingError, "max_pool: `pool_size` must be a positive integer; got 2.5."),
    (lambda: ops.average_pool(X, 2, (1, 2, 3)), SettingError,
     "average_pool: `strides` must be a positive integer or 2 of them; got (1, 2, 3)."),
    (lambda: ops.max_pool2d(X, "2"), SettingError,
     "max_pool2d: `size` must be a positive integer or 2 of them; got '2'."),
    (lambda: ops.max_pool2d(X[0], 5), ShapeError,
     "max_pool2d: the output would be empty. A window of (5, 5) does not fit into places of (4, 5). Use "
     "padding='same', a smaller window, or larger inputs."),
    (lambda: ops.average_pool2d(X[0], 2, -1), SettingError,
     "average_pool2d: `strides` must be a positive integer or 2 of them; got -1."),
    (lambda: ops.max_pool(X, 2, padding="full"), SettingError,
     "max_pool: `padding` must be 'valid' or 'same'; got 'full'."),
])
def test_what_is_refused(make, error, message):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == message
