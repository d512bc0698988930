"""Padding, cropping, upsampling and resizing beside Keras's, interpolation beside PyTorch's: values and gradients."""
import functools
import itertools

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch

from chainrule import layers as ours
from chainrule import ops
from tests.parity.test_pooling import assert_same

# NumPy 2 asks torch tensors for a copy in a way that they do not know yet, wherever Keras hands one to it.
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]
DRAW = np.random.default_rng(0)
SIZES = list(itertools.product([(7, 5), (4, 9), (1, 3), (16, 33)], [(3, 11), (14, 10), (1, 1), (5, 4), (16, 33)]))


@pytest.mark.parametrize("interpolation, antialias", [
    ("nearest", False), ("bilinear", False), ("bilinear", True), ("bicubic", False), ("bicubic", True)])
def test_resize_is_interpolate_of_torch(interpolation, antialias):
    settings = {} if interpolation == "nearest" else {"align_corners": False, "antialias": antialias}
    mode = "nearest-exact" if interpolation == "nearest" else interpolation
    for old, new in SIZES:
        resize = functools.partial(ops.resize, size=new, interpolation=interpolation, antialias=antialias)
        x = DRAW.normal(size=(2, *old, 3)).astype("float32")
        tensor = torch.tensor(x, requires_grad=True)
        expected = torch.nn.functional.interpolate(tensor.movedim(-1, 1), new, mode=mode, **settings).movedim(1, -1)
        assert_same(resize, expected, tensor, x)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pictures_of_8_bits_are_resized_as_torch_does(interpolation):
    x = DRAW.integers(60, 196, (3, 40, 30, 3)).astype("uint8")  # so that nothing is cut off between the axes
    for new, antialias in (((17, 12), True), ((17, 12), False), ((55, 64), False)):
        expected = torch.nn.functional.interpolate(torch.tensor(x).movedim(-1, 1), new, mode=interpolation,
                                                   align_corners=False, antialias=antialias).movedim(1, -1)
        y = ops.resize(x, new, interpolation, antialias)
        assert y.dtype == "uint8"
        # With 8 bits torch rounds between the two axes too, which is one grey value off here and there.
        assert np.abs(np.asarray(y, int) - expected.numpy()).max() <= 1


CASES = [
    ("ZeroPadding1D", (4, 3), {}), ("ZeroPadding1D", (4, 3), {"padding": (0, 2)}), ("ZeroPadding2D", (4, 3, 2), {}),
    ("ZeroPadding2D", (4, 3, 2), {"padding": (2, 1)}), ("ZeroPadding2D", (4, 3, 2), {"padding": ((1, 0), (0, 3))}),
    ("ZeroPadding3D", (2, 3, 2, 2), {}), ("ZeroPadding3D", (2, 3, 2, 2), {"padding": ((1, 0), (0, 3), (2, 2))}),
    ("Cropping1D", (5, 3), {}), ("Cropping1D", (5, 3), {"cropping": (0, 3)}), ("Cropping2D", (4, 5, 2), {}),
    ("Cropping2D", (4, 5, 2), {"cropping": 1}), ("Cropping2D", (4, 5, 2), {"cropping": ((1, 0), (0, 3))}),
    ("Cropping3D", (4, 3, 5, 2), {}), ("Cropping3D", (4, 3, 5, 2), {"cropping": (0, 1, 2)}),
    ("UpSampling1D", (3, 2), {}), ("UpSampling1D", (3, 2), {"size": 3}), ("UpSampling2D", (3, 4, 2), {}),
    ("UpSampling2D", (3, 4, 2), {"size": (1, 3)}), ("UpSampling3D", (2, 3, 2, 2), {"size": (1, 2, 3)}),
    ("UpSampling2D", (3, 4, 2), {"size": 3, "interpolation": "bilinear"}),
    ("UpSampling2D", (3, 4, 2), {"size": (2, 1), "interpolation": "bicubic"}),
    *(("Resizing", (7, 10, 2), {"height": 5, "width": 4, "interpolation": interpolation, **more})
      for interpolation in ("nearest", "bilinear", "bicubic")
      for more in ({}, {"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True, "fill_value": 0.5})),
    ("Resizing", (7, 10, 2), {"height": 3, "width": 4, "antialias": True}),
    ("Resizing", (5, 3, 2), {"height": 8, "width": 8, "pad_to_aspect_ratio": True}),
    ("Resizing", (5, 3, 2), {"height": 8, "width": 9, "crop_to_aspect_ratio": True}),
    ("Resizing", (9, 4, 1), {"height": 2, "width": 7, "crop_to_aspect_ratio": True}),
]


@pytest.mark.parametrize("name, shape, settings", CASES, ids=str)
def test_layers_are_those_of_keras(name, shape, settings):
    x = DRAW.normal(size=(4, *shape)).astype("float32")
    tensor = torch.tensor(x, requires_grad=True)
    expected = getattr(keras.layers, name)(**settings)(tensor)
    layer = getattr(ours, name)(**settings)
    assert_same(layer, expected, tensor, x)
    assert layer.compute_output_shape((None, *shape)) == (None, *expected.shape[1:])


def test_antialiased_shrinking_is_that_of_jax():
    """A third opinion on the weights that both sides of this file compute alike."""
    x = DRAW.normal(size=(2, 21, 34, 3)).astype("float32")
    for interpolation in ("bilinear", "bicubic"):
        expected = jax.image.resize(jnp.asarray(x), (2, 9, 13, 3), interpolation, antialias=True)
        np.testing.assert_allclose(ops.resize(x, (9, 13), interpolation, antialias=True), expected, atol=1e-5)
