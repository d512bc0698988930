"""Padding, cropping, upsampling, resizing: forms of their settings, open axes, and what they refuse."""
import numpy as np
import pytest

from chainrule.errors import SettingError, ShapeError, UnknownNameError
from chainrule.layers import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Resizing,
    UpSampling1D,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from chainrule.models import Input, Model

X = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype("float32")


@pytest.mark.parametrize("given", [((1, 1), (2, 2)), (1, 2), [1, 2], [[1, 1], [2, 2]], (1, (2, 2)), np.int64([1, 2])])
def test_one_padding_in_several_forms(given):
    given = given.tolist() if isinstance(given, np.ndarray) else given
    padded = np.pad(X, ((0, 0), (1, 1), (2, 2), (0, 0)))
    np.testing.assert_array_equal(ZeroPadding2D(given)(X), padded)
    np.testing.assert_array_equal(Cropping2D(given)(padded), X)


def test_ends():
    line = X[:, :, 0]
    np.testing.assert_array_equal(ZeroPadding1D()(line), np.pad(line, ((0, 0), (1, 1), (0, 0))))
    np.testing.assert_array_equal(ZeroPadding1D((0, 3))(line), np.pad(line, ((0, 0), (0, 3), (0, 0))))
    np.testing.assert_array_equal(Cropping1D((0, 3))(line), line[:, :2])
    np.testing.assert_array_equal(Cropping1D(2)(line), line[:, 2:3])
    np.testing.assert_array_equal(Cropping2D()(X), X)
    volume = X[:, None]
    padded = ZeroPadding3D(((0, 1), (2, 0), (1, 3)))(volume)
    np.testing.assert_array_equal(padded, np.pad(volume, ((0, 0), (0, 1), (2, 0), (1, 3), (0, 0))))
    np.testing.assert_array_equal(Cropping3D(((0, 1), (2, 0), (1, 3)))(padded), volume)


@pytest.mark.parametrize("layer, given, declared", [
    (ZeroPadding2D(2), (None, None, 5, 3), (None, None, 9, 3)),
    (Cropping2D(2), (None, None, 5, 3), (None, None, 1, 3)),
    (UpSampling1D(3), (None, None, 3), (None, None, 3)),
    (UpSampling2D((2, 3), interpolation="bilinear"), (None, 4, None, 3), (None, 8, None, 3)),
    (Resizing(4, 5, crop_to_aspect_ratio=True), (None, None, None, 3), (None, 4, 5, 3)),
    (Resizing(4, 5, pad_to_aspect_ratio=True), (None, None, None, 3), (None, 4, 5, 3)),
], ids=repr)
def test_open_axes_stay_open(layer, given, declared):
    assert layer.compute_output_shape(given) == declared


def test_images_of_any_size_become_one_size():
    inputs = Input((None, None, 1))
    model = Model(inputs, Resizing(4, 6)(Cropping2D(1)(UpSampling2D()(ZeroPadding2D()(inputs)))))
    for size in ((7, 9), (12, 5), (3, 3)):
        assert model.predict(np.ones((2, *size, 1), "float32")).shape == (2, 4, 6, 1)


def test_proportions():
    x = np.zeros((1, 4, 8, 1), "float32")
    x[:, :, :2] = 1  # the left quarter of an image twice as wide as high
    assert np.asarray(Resizing(2, 2, "nearest")(x))[0, :, :, 0].tolist() == [[0, 0], [0, 0]]
    assert np.asarray(Resizing(2, 4, "nearest")(x))[0, :, :, 0].tolist() == [[1, 0, 0, 0]] * 2
    cropped = Resizing(4, 4, "nearest", crop_to_aspect_ratio=True)(x)
    np.testing.assert_array_equal(cropped, x[:, :, 2:6])
    padded = np.asarray(Resizing(8, 8, "nearest", pad_to_aspect_ratio=True, fill_value=7.0)(x))
    np.testing.assert_array_equal(padded[:, 2:6], x)
    assert (padded[:, [0, 1, 6, 7]] == 7).all()


@pytest.mark.parametrize("make, error, message", [
    (lambda: Cropping2D(((1, 2), (0, 1)))(Input((3, None, 2))), ShapeError,
     "Cropping2D: the output would be empty. Places of (3, None) are cropped by ((1, 2), (0, 1)), (before, after) for "
     "each axis. Crop less, or use larger inputs."),
    (lambda: Cropping1D(2)(X[:, :4, 0]), ShapeError,
     "Cropping1D: the output would be empty. Places of (4,) are cropped by ((2, 2),), (before, after) for each axis. "
     "Crop less, or use larger inputs."),
    (lambda: ZeroPadding2D()(Input((28, 28))), ShapeError,
     "ZeroPadding2D takes 4 axes, (batch, height, width, channels); got (None, 28, 28). Add the axis of the channels: "
     "x[..., None]."),
    (lambda: ZeroPadding2D(-1), SettingError,
     "ZeroPadding2D: `padding` must be a number of at least 0, 2 of them, or 2 pairs (before, after); got -1."),
    (lambda: Cropping1D((1, 2, 3)), SettingError,
     "Cropping1D: `cropping` must be a number of at least 0, or a pair (before, after); got (1, 2, 3)."),
    (lambda: UpSampling2D(1.5), SettingError,
     "UpSampling2D: `size` must be a positive integer or 2 of them; got 1.5."),
    (lambda: UpSampling2D(interpolation="cubic"), UnknownNameError,
     "UpSampling2D: there is no interpolation 'cubic'. Did you mean 'bicubic'?"),
    (lambda: Resizing(0, 4), SettingError, "Resizing: `height` must be a positive integer; got 0."),
    (lambda: Resizing(4, 4, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True), SettingError,
     "Resizing: `crop_to_aspect_ratio` and `pad_to_aspect_ratio` exclude each other. Set one of them."),
    (lambda: Resizing(4, 4, fill_mode="reflect"), SettingError,
     "Resizing: `fill_mode` must be 'constant'; got 'reflect'."),
    (lambda: UpSampling1D(data_format="channels_first"), SettingError,
     "UpSampling1D: `data_format` must be 'channels_last' or None; got 'channels_first'. chainrule keeps channels in "
     "the last axis: turn the data with Permute, or np.moveaxis(x, 1, -1)."),
])
def test_what_is_refused(make, error, message):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == message
