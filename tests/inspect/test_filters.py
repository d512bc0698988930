import numpy as np
import pytest

from chainrule.errors import NotReadyError, SettingError, ShapeError, UnknownNameError
from chainrule.inspect import activations, feature_maps, filters
from chainrule.inspect.pictures import GAP
from chainrule.layers import (
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    MaxPooling2D,
    SeparableConv2D,
)
from chainrule.models import Input, Model, Sequential

draw = np.random.default_rng(0)


def one_layer(layer, shape):
    model = Sequential([Input(shape), layer])
    model.set_weights([draw.normal(size=array.shape) for array in model.get_weights()])
    return model


def shade(weights, largest=None):
    """Weights as grey or colour: 0 is the middle."""
    largest = abs(weights).max() if largest is None else largest
    return np.round(255 * (0.5 + 0.5 * weights / largest)).astype("uint8")


def tile(picture, row, column, height, width, scale=1):
    """One tile of a grid, drawn at a scale, as it was before."""
    top, left = row * (height * scale + 3), column * (width * scale + 3)
    return picture.image[top : top + height * scale : scale, left : left + width * scale : scale]


def test_colour_filters():
    model = one_layer(Conv2D(6, (5, 3), name="first"), (9, 9, 3))
    kernel = model.get_weights()[0]
    picture = filters(model, "first", columns=3, scale=2)
    assert picture.image.shape == (2 * 10 + 3, 3 * 6 + 6, 3)
    for unit in range(6):
        np.testing.assert_array_equal(tile(picture, unit // 3, unit % 3, 5, 3, 2), shade(kernel[..., unit]))
    together = filters(model, "first", columns=3, scale=2, together=True)
    np.testing.assert_array_equal(tile(together, 0, 1, 5, 3, 2), shade(kernel[..., 1], abs(kernel).max()))
    np.testing.assert_array_equal(tile(filters(model, "first", units=4, scale=1), 0, 0, 5, 3), shade(kernel[..., 4]))
    one = filters(model, "first", units=[4, 1], channels=2, columns=2, scale=1)
    np.testing.assert_array_equal(tile(one, 0, 1, 5, 3), shade(kernel[:, :, 2, 1])[..., None].repeat(3, 2))
    assert filters(model, "first").image.shape == (2 * 60 + 3, 3 * 36 + 6, 3)  # each tile about 64 pixels


def test_grey_and_deep_filters():
    grey = one_layer(Conv2D(4, 3), (9, 9, 1))
    kernel = grey.get_weights()[0]
    np.testing.assert_array_equal(tile(filters(grey, "conv2d", scale=1), 1, 0, 3, 3)[..., 0], shade(kernel[..., 0, 2]))
    deep = one_layer(Conv2D(20, 3), (9, 9, 18))
    kernel = deep.get_weights()[0]
    picture = filters(deep, "conv2d", scale=1)
    assert picture.image.shape == (16 * 6 - 3, 16 * 6 - 3, 3)  # a row for each filter, in it the channels
    np.testing.assert_array_equal(tile(picture, 3, 7, 3, 3)[..., 0], shade(kernel[..., 7, 3]))
    one = filters(deep, "conv2d", channels=17, scale=1)
    assert one.image.shape == (4 * 6 - 3, 5 * 6 - 3, 3)
    np.testing.assert_array_equal(tile(one, 1, 2, 3, 3)[..., 0], shade(kernel[..., 17, 7]))
    some = filters(deep, "conv2d", units=[19], channels=[0, 17], scale=1)
    assert some.image.shape == (3, 9, 3)
    np.testing.assert_array_equal(tile(some, 0, 1, 3, 3)[..., 0], shade(kernel[..., 17, 19]))


def test_other_convolutions():
    depthwise = one_layer(DepthwiseConv2D(3, depth_multiplier=2), (9, 9, 4))
    kernel = depthwise.get_weights()[0].reshape(3, 3, 8)
    picture = filters(depthwise, "depthwise_conv2d", columns=4, scale=1)
    np.testing.assert_array_equal(tile(picture, 1, 1, 3, 3)[..., 0], shade(kernel[..., 5]))
    separable = one_layer(SeparableConv2D(6, 3), (9, 9, 4))
    kernel = separable.get_weights()[0].reshape(3, 3, 4)
    picture = filters(separable, "separable_conv2d", scale=1)
    np.testing.assert_array_equal(tile(picture, 1, 1, 3, 3)[..., 0], shade(kernel[..., 3]))
    transposed = one_layer(Conv2DTranspose(5, 4), (9, 9, 3))
    kernel = transposed.get_weights()[0]  # (window, filters, channels)
    picture = filters(transposed, "conv2d_transpose", columns=5, scale=1)
    np.testing.assert_array_equal(tile(picture, 0, 4, 4, 4), shade(kernel[:, :, 4]))
    series = one_layer(Conv1D(3, 5), (20, 4))
    kernel = series.get_weights()[0]
    picture = filters(series, "conv1d", columns=3, scale=1)
    np.testing.assert_array_equal(tile(picture, 0, 2, 4, 5)[..., 0], shade(kernel[..., 2]).T)
    volume = one_layer(Conv3D(3, (2, 4, 3)), (5, 6, 7, 2))
    kernel = volume.get_weights()[0]
    picture = filters(volume, "conv3d", channels=1, columns=3, scale=1)
    np.testing.assert_array_equal(tile(picture, 0, 2, 4, 6)[..., 0],
                                  shade(np.concatenate([kernel[0, :, :, 1, 2], kernel[1, :, :, 1, 2]], 1)))


def test_dense_weights_in_the_shape_of_the_image():
    model = Sequential([Input((6, 5)), Flatten(), Dense(4)])
    kernel = model.get_weights()[0]
    picture = filters(model, "dense", scale=1)
    np.testing.assert_array_equal(tile(picture, 0, 1, 6, 5)[..., 0], shade(kernel[:, 1]).reshape(6, 5))
    flat = Sequential([Input((30,)), Dense(4)])
    flat.set_weights(model.get_weights())
    np.testing.assert_array_equal(filters(flat, "dense", input_shape=(6, 5), scale=1).image, picture.image)
    whole = filters(flat, "dense", scale=1).image
    np.testing.assert_array_equal(whole[..., 0], shade(kernel))
    colour = Sequential([Input((4, 5, 3)), Flatten(), Dense(4)])
    kernel = colour.get_weights()[0]
    np.testing.assert_array_equal(tile(filters(colour, "dense", scale=1), 1, 1, 4, 5),
                                  shade(kernel[:, 3]).reshape(4, 5, 3))
    red = filters(colour, "dense", units=3, channels=0, scale=1)
    np.testing.assert_array_equal(red.image[..., 0], shade(kernel[:, 3].reshape(4, 5, 3)[..., 0]))


def test_a_kernel_of_zeros_is_grey_and_tiles_stand_apart():
    model = one_layer(Conv2D(3, 3), (9, 9, 1))
    model.set_weights([np.zeros((3, 3, 1, 3)), np.zeros(3)])
    picture = filters(model, "conv2d", scale=1).image
    assert (picture[:3, :3] == 128).all() and (picture[3:6] == GAP).all() and (picture[6:, 6:] == GAP).all()


def test_feature_maps():
    model = Sequential([Input((8, 6, 3)), Conv2D(5, 3, activation="relu", name="maps"), MaxPooling2D(), Flatten(),
                        Dense(3)])
    photo = draw.random((8, 6, 3)).astype("float32")
    maps = activations(model, photo[None])["maps"][0]
    picture = feature_maps(model, photo, "maps", scale=1)
    for channel in range(5):
        values = maps[..., channel]
        low, high = values.min(), values.max()
        expected = np.round(255 * (values - low) / max(high - low, 1e-30)).astype("uint8")
        np.testing.assert_allclose(tile(picture, channel // 3, channel % 3, 6, 4)[..., 0], expected, atol=1)
    np.testing.assert_array_equal(feature_maps(model, photo[None], "maps", scale=1).image, picture.image)
    together = feature_maps(model, photo, "maps", channels=[2, 3], together=True, scale=1)
    two = maps[..., 2:4]
    np.testing.assert_allclose(tile(together, 0, 1, 6, 4)[..., 0],
                               255 * (two[..., 1] - two.min()) / (two.max() - two.min()), atol=1)
    assert feature_maps(model, photo, "maps").image.shape == (2 * 60 + 3, 3 * 40 + 6, 3)


def test_feature_maps_of_series_and_nested_layers():
    body = Sequential([Input((20, 2)), Conv1D(4, 5, name="maps")], name="body")
    inputs = Input((20, 2))
    model = Model(inputs, Flatten()(body(inputs)))
    series = draw.normal(size=(20, 2)).astype("float32")
    assert feature_maps(model, series, "body/maps", scale=1).image.shape == (4, 16, 3)
    assert filters(model, "body/maps", scale=1).image.shape == (7, 13, 3)


CONVOLUTION = Sequential([Input((8, 6, 3)), Conv2D(5, 3, name="maps"), Flatten(), Dense(3)])
IMAGE = np.ones((8, 6, 3), "float32")


@pytest.mark.parametrize(("make", "kind", "message"), [
    (lambda: filters(Dense(3), "dense"), SettingError,
     "filters takes a Model or a Sequential; got Dense(units=3) (Dense)."),
    (lambda: filters(Sequential([Dense(3)]), "dense"), NotReadyError,
     "filters needs the model's weights, and their shapes are not known yet. Give the first layer an input shape "
     "(Input(...) or input_shape=...), or fit or call the model on data first."),
    (lambda: filters(CONVOLUTION, "map"), UnknownNameError, "The model has no layer 'map'. Did you mean 'maps'?"),
    (lambda: filters(CONVOLUTION, "flatten"), SettingError,
     "The layer 'flatten' (Flatten) has no kernel to show. Layers with one: 'maps', 'dense'."),
    (lambda: filters(CONVOLUTION, "maps", units=5), SettingError,
     "The layer 'maps' has 5 units, numbered from 0 to 4; got units=5."),
    (lambda: filters(CONVOLUTION, "maps", channels=[0, 3]), SettingError,
     "The layer 'maps' has 3 channels, numbered from 0 to 2; got channels=[0, 3]."),
    (lambda: filters(CONVOLUTION, "maps", units=[]), SettingError,
     "`units` is empty: name at least one of the 5 units of the layer 'maps'."),
    (lambda: filters(CONVOLUTION, "maps", input_shape=(3, 3)), SettingError,
     "`input_shape` is for dense layers; layer 'maps' (Conv2D) has windows of shape (3, 3)."),
    (lambda: filters(CONVOLUTION, "maps", columns=0), SettingError, "columns must be an integer of at least 1; got 0."),
    (lambda: filters(CONVOLUTION, "dense", input_shape=(28, 28)), ShapeError,
     "`input_shape` is (height, width) or (height, width, channels) of images with 120 values, as many as the layer "
     "has inputs; got (28, 28)."),
    (lambda: filters(CONVOLUTION, "dense", input_shape=(6, 4, 5)), SettingError,
     "The weights of the layer 'dense' belong to images of 5 channels. Choose one to look at: channels=0."),
    (lambda: feature_maps(CONVOLUTION, IMAGE, "dense"), ShapeError,
     "feature_maps shows outputs of shape (batch, height, width, channels) or (batch, steps, channels); that of the "
     "layer 'dense' is (1, 3). Name a layer before the maps are flattened or averaged."),
    (lambda: feature_maps(CONVOLUTION, IMAGE[None].repeat(2, 0), "maps"), ShapeError,
     "feature_maps shows one image; got 2. Give one of them: x[:1]."),
    (lambda: feature_maps(CONVOLUTION, IMAGE, "maps", channels=5), SettingError,
     "The layer 'maps' has 5 channels, numbered from 0 to 4; got channels=5."),
])
def test_what_cannot_be_shown_is_said(make, kind, message):
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == message
