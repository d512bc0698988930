"""Images read at other places: beside map_coordinates, beyond every edge, in every dtype."""
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.ndimage import map_coordinates

from chainrule.errors import ShapeError, UnknownNameError
from chainrule.ops.warping import FILL_MODES, INTERPOLATIONS, affine_transform, sample

IMAGES = np.random.default_rng(0).normal(size=(3, 5, 4, 2)).astype("float32")
DRAW = np.random.default_rng(1)
ROWS, COLUMNS = (DRAW.uniform(-13, 17, size=(3, 6, 7)).astype("float32") for _ in range(2))


def reference(images, rows, columns, fill_mode, interpolation, fill_value=0.0):
    one = lambda image, rows, columns: jnp.stack([
        map_coordinates(image[..., channel], [rows, columns], INTERPOLATIONS[::-1].index(interpolation),
                        mode=fill_mode, cval=fill_value) for channel in range(image.shape[-1])], -1)
    return jax.vmap(one)(images, rows, columns)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_values_and_gradients_are_those_of_map_coordinates(fill_mode, interpolation):
    options = {"fill_mode": fill_mode, "interpolation": interpolation, "fill_value": 0.7}
    pull = lambda function: jax.vjp(lambda x: function(x, ROWS, COLUMNS, **options), IMAGES)
    (ours, by_ours), (theirs, by_theirs) = pull(sample), pull(reference)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    weight = DRAW.normal(size=ours.shape).astype("float32")
    np.testing.assert_allclose(by_ours(weight)[0], by_theirs(weight)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fill_mode, interpolation", list(itertools.product(FILL_MODES, INTERPOLATIONS)))
def test_an_image_of_one_pixel_has_edges_too(fill_mode, interpolation):
    y = sample(np.full((1, 1, 1, 1), 3.0, "float32"), np.array([[[-0.4, 0.0, 0.3]]]), np.zeros((1, 1, 3)),
               fill_mode=fill_mode, interpolation=interpolation, fill_value=3.0)
    np.testing.assert_allclose(y.ravel(), [3.0, 3.0, 3.0], rtol=1e-6)


def test_pixels_are_read_exactly():
    every = np.arange(5.0)[None, :, None], np.arange(4.0)[None, None]
    for interpolation in INTERPOLATIONS:
        np.testing.assert_array_equal(sample(IMAGES, *every, interpolation=interpolation), IMAGES)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bfloat16", "float32", "float64"])
def test_the_dtype_is_kept_and_integers_are_rounded(dtype):
    with jax.enable_x64(dtype == "float64"):
        images = (100 * np.abs(IMAGES)).astype(jnp.dtype(dtype))
        y = sample(images, ROWS, COLUMNS)
        exact = sample(images.astype("float32"), ROWS, COLUMNS)
    assert y.dtype == dtype
    tolerance = {"uint8": 0.5001, "int32": 0.5001, "bfloat16": 1.0}.get(dtype, 1e-3)
    np.testing.assert_allclose(np.asarray(y, "float64"), exact, atol=tolerance)


def test_an_affine_map_reads_where_it_sends_the_place_to():
    matrices = DRAW.normal(size=(3, 2, 3)).astype("float32")
    x, y = np.arange(4, dtype="float32"), np.arange(5, dtype="float32")[:, None]
    columns, rows = (np.stack([m[line, 0] * x + m[line, 1] * y + m[line, 2] for m in matrices]) for line in (0, 1))
    np.testing.assert_allclose(affine_transform(IMAGES, matrices), sample(IMAGES, rows, columns), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make, message", [
    (lambda: sample(IMAGES, ROWS, COLUMNS, fill_mode="mirror"),
     "There is no fill mode 'mirror'. Known names: 'constant', 'nearest', 'reflect', 'wrap'."),
    (lambda: sample(IMAGES, ROWS, COLUMNS, interpolation="bilinaer"),
     "There is no interpolation 'bilinaer'. Did you mean 'bilinear'?"),
    (lambda: sample(IMAGES[0], ROWS, COLUMNS),
     "Images have 4 axes, (batch, height, width, channels); got (5, 4, 2). Give grey ones a channel, and a single one "
     "a batch of 1."),
    (lambda: affine_transform(IMAGES, np.eye(3)),
     "affine_transform takes one (2, 3) matrix an image, (3, 2, 3); got (3, 3)."),
])
def test_what_is_refused(make, message):
    with pytest.raises((ShapeError, UnknownNameError)) as error:
        make()
    assert str(error.value) == message
