"""Resizing: places, weights, dtypes, and what it refuses. Beside PyTorch in tests/parity/test_resizing.py."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import ops
from chainrule.errors import SettingError, ShapeError, UnknownNameError
from chainrule.precision import precision
from tests.conformance.samples import assert_gradient

DRAW = np.random.default_rng(0)
EVERY = [(interpolation, antialias) for interpolation in ("nearest", "bilinear", "bicubic")
         for antialias in (False, True)]


def test_places_by_hand():
    row = np.array([[0.0, 4.0, 8.0]], "float32")
    assert ops.resize(row, (1, 6), "nearest").tolist() == [[0, 0, 4, 4, 8, 8]]
    assert ops.resize(row, (1, 6)).tolist() == [[0, 1, 3, 5, 7, 8]]
    assert ops.resize(row, (2, 1), "nearest").tolist() == [[4], [4]]
    assert ops.resize(row, (1, 1), antialias=True).tolist() == pytest.approx(np.array([[4.0]]))
    column = np.array([[0.0], [1.0], [2.0], [30.0]], "float32")
    assert ops.resize(column, (2, 1)).tolist() == [[0.5], [16]]
    # The cubic's weights half-way between two pixels: -3/32, 19/32, 19/32, -3/32.
    assert ops.resize(column.T, (1, 2), "bicubic")[0, 0] == pytest.approx((0 * 16 + 1 * 19 - 2 * 3) / 32)


@pytest.mark.parametrize("interpolation, antialias", EVERY)
def test_what_stays(interpolation, antialias):
    x = DRAW.normal(size=(2, 6, 7, 3)).astype("float32")
    resize = lambda x, size: ops.resize(x, size, interpolation, antialias)
    np.testing.assert_allclose(resize(x, (6, 7)), x, rtol=1e-6)
    for size in ((3, 11), (12, 5), (1, 1)):
        np.testing.assert_allclose(resize(np.full_like(x, 3.0), size), np.full((2, *size, 3), 3.0), rtol=1e-5)
        np.testing.assert_allclose(resize(x[:, :, ::-1], size)[:, :, ::-1], resize(x, size), atol=1e-5)
        turned = resize(x.transpose(0, 2, 1, 3), size[::-1]).transpose(0, 2, 1, 3)
        np.testing.assert_allclose(turned, resize(x, size), atol=1e-5)
        np.testing.assert_array_equal(resize(x[1], size), resize(x, size)[1])
        np.testing.assert_allclose(resize(x[1, ..., 2], size), resize(x, size)[1, ..., 2], atol=1e-6)


@pytest.mark.parametrize("interpolation, antialias", EVERY)
def test_gradient_is_that_of_finite_differences(interpolation, antialias):
    with precision("float64"):
        assert_gradient(lambda x: ops.resize(x, (3, 9), interpolation, antialias), (DRAW.normal(size=(2, 5, 4, 2)),))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "uint8", "int16", "int32"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_dtype_is_kept(dtype, interpolation):
    x = jnp.asarray(DRAW.integers(40, 60, (4, 5, 3)), dtype)
    y = jax.jit(lambda x: ops.resize(x, (7, 3), interpolation))(x)
    assert y.dtype == dtype
    exact = ops.resize(x.astype("float32"), (7, 3), interpolation)
    np.testing.assert_allclose(y.astype("float32"), exact, atol=0.5)
    with precision("float64"):
        assert ops.resize(np.ones((2, 2)), (3, 3), interpolation).dtype == "float64"


def test_integers_are_rounded_and_stay_in_range():
    steps = np.array([[0, 0, 0, 255, 255, 255]], "uint8")
    overshooting = ops.resize(steps.astype("float32"), (1, 18), "bicubic")
    assert overshooting.min() < 0 and overshooting.max() > 255
    np.testing.assert_array_equal(ops.resize(steps, (1, 18), "bicubic"), np.rint(overshooting).clip(0, 255))
    assert ops.resize(np.array([[0, 1]], "uint8"), (1, 4)).tolist() == [[0, 0, 1, 1]]


def test_antialiasing_counts_every_pixel():
    fine = (np.arange(64) % 2 * 1.0).astype("float32")[None]
    assert np.abs(ops.resize(fine, (1, 9), antialias=True) - 0.5).max() < 0.05
    assert np.abs(ops.resize(fine, (1, 9)) - 0.5).max() > 0.4


def test_many_at_once():
    x = DRAW.normal(size=(4, 2, 5, 6, 3)).astype("float32")
    each = jnp.stack([ops.resize(part, (3, 9)) for part in x])
    np.testing.assert_allclose(jax.vmap(lambda x: ops.resize(x, (3, 9)))(x), each, rtol=1e-6)


IMAGE = np.zeros((4, 5, 3), "float32")


@pytest.mark.parametrize("make, error, message", [
    (lambda: ops.resize(IMAGE, 32), SettingError,
     "resize: `size` is (height, width); got 32. Use (32, 32) for a square."),
    (lambda: ops.resize(IMAGE, (3, 0)), SettingError,
     "resize: `size` must be a positive integer or 2 of them; got (3, 0)."),
    (lambda: ops.resize(IMAGE, (3, 3), "bilinaer"), UnknownNameError,
     "resize: there is no interpolation 'bilinaer'. Did you mean 'bilinear'?"),
    (lambda: ops.resize(IMAGE, (3, 3), "lanczos3"), UnknownNameError,
     "resize: there is no interpolation 'lanczos3'. Known names: 'bicubic', 'bilinear', 'nearest'."),
    (lambda: ops.resize(IMAGE[None, None], (3, 3)), ShapeError,
     "resize takes an image, (height, width) or (height, width, channels), or a batch of them, (batch, height, width, "
     "channels); got (1, 1, 4, 5, 3)."),
    (lambda: ops.resize(IMAGE[:0], (3, 3)), ShapeError,
     "resize: an image of 0 x 5 pixels has none to resize."),
])
def test_what_is_refused(make, error, message):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == message
