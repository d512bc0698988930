"""Pooling layers: masks, open axes, short names, and what they refuse."""
import jax
import numpy as np
import pytest

from chainrule import layers
from chainrule.errors import SettingError, ShapeError
from chainrule.layers import (
    AveragePooling1D,
    AveragePooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from chainrule.models import Input, Model

X = np.random.default_rng(0).normal(size=(3, 5, 2)).astype("float32")
MASK = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool)


@pytest.mark.parametrize("keepdims", [False, True])
def test_masked_steps_neither_win_nor_count(keepdims):
    largest = np.asarray(GlobalMaxPooling1D(keepdims=keepdims)(X, mask=MASK)).reshape(3, 2)
    mean = np.asarray(GlobalAveragePooling1D(keepdims=keepdims)(X, mask=MASK)).reshape(3, 2)
    for row in (0, 1):
        np.testing.assert_array_equal(largest[row], X[row, MASK[row]].max(0))
        np.testing.assert_allclose(mean[row], X[row, MASK[row]].mean(0), rtol=1e-6)
    assert not largest[2].any() and not mean[2].any()  # a sequence without real steps
    poisoned = np.where(MASK[..., None], X, np.nan).astype("float32")
    for layer in (GlobalMaxPooling1D(), GlobalAveragePooling1D()):
        np.testing.assert_array_equal(layer(poisoned, mask=MASK), layer(X, mask=MASK))
        slope = np.asarray(jax.grad(lambda x, layer=layer: layer(x, mask=MASK).sum())(X))
        assert np.isfinite(slope).all() and not slope[~MASK].any()
        np.testing.assert_allclose(slope[:2].sum(1), 1, rtol=1e-6)


def test_masked_means_of_few_bits():
    x, mask = np.full((1, 1000, 1), 1.0).astype("bfloat16"), np.arange(1000)[None] < 777
    y = GlobalAveragePooling1D()(x, mask=mask)
    assert y.dtype == "bfloat16" and float(y[0, 0]) == 1


@pytest.mark.parametrize("layer, given, declared", [
    (MaxPooling2D(), (None, None, None, 3), (None, None, None, 3)),
    (MaxPooling2D(8, padding="same"), (None, None, 100, 3), (None, None, 13, 3)),
    (AveragePooling2D(2, strides=(3, 1)), (None, 7, None, 3), (None, 2, None, 3)),
    (AveragePooling1D(9, strides=4), (None, None, 3), (None, None, 3)),
    (MaxPooling3D(), (None, None, 4, None, 1), (None, None, 2, None, 1)),
    (GlobalAveragePooling2D(), (None, None, None, 3), (None, 3)),
    (GlobalMaxPooling1D(keepdims=True), (None, None, 3), (None, 1, 3)),
], ids=repr)
def test_open_axes_stay_open(layer, given, declared):
    assert layer.compute_output_shape(given) == declared


def test_images_of_any_size_through_one_network():
    inputs = Input((None, None, 3))
    hidden = AveragePooling2D(2, padding="same")(MaxPooling2D(3, strides=2)(inputs))
    model = Model(inputs, GlobalAveragePooling2D()(hidden))
    for size in ((7, 9), (12, 5), (3, 3)):
        assert model.predict(np.ones((2, *size, 3), "float32")).tolist() == [[1, 1, 1]] * 2


def test_short_names():
    for short, full in (("MaxPool2D", "MaxPooling2D"), ("AvgPool2D", "AveragePooling2D"),
                        ("GlobalMaxPool2D", "GlobalMaxPooling2D"), ("GlobalAvgPool2D", "GlobalAveragePooling2D")):
        assert getattr(layers, short) is getattr(layers, full) is layers.registry.lookup(short)


@pytest.mark.parametrize("make, error, message", [
    (lambda: MaxPooling2D(3)(Input((2, 9, 1))), ShapeError,
     "MaxPooling2D: the output would be empty. A window of (3, 3) does not fit into places of (2, 9). Use "
     "padding='same', a smaller window, or larger inputs."),
    (lambda: MaxPooling2D(3)(Input((None, 2, 1))), ShapeError,
     "MaxPooling2D: the output would be empty. A window of (3, 3) does not fit into places of (None, 2). Use "
     "padding='same', a smaller window, or larger inputs."),
    (lambda: MaxPooling2D()(Input((28, 28))), ShapeError,
     "MaxPooling2D takes 4 axes, (batch, height, width, channels); got (None, 28, 28). Add the axis of the channels: "
     "x[..., None]."),
    (lambda: GlobalMaxPooling1D()(Input((3, 4, 5))), ShapeError,
     "GlobalMaxPooling1D takes 3 axes, (batch, steps, channels); got (None, 3, 4, 5)."),
    (lambda: MaxPooling3D()(Input((3,))), ShapeError,
     "MaxPooling3D takes 5 axes, (batch, depth, height, width, channels); got (None, 3)."),
    (lambda: GlobalAveragePooling1D()(X[:, :0]), ShapeError,
     "GlobalAveragePooling1D needs at least one place; got (None, 0, 2)."),
    (lambda: MaxPooling1D((2, 2)), SettingError, "MaxPooling1D: `pool_size` must be a positive integer; got (2, 2)."),
    (lambda: AveragePooling2D(2, strides=0), SettingError,
     "AveragePooling2D: `strides` must be a positive integer or 2 of them; got 0."),
    (lambda: MaxPooling2D(padding="causal"), SettingError,
     "MaxPooling2D: `padding` must be 'valid' or 'same'; got 'causal'."),
    (lambda: GlobalAveragePooling2D("channels_first"), SettingError,
     "GlobalAveragePooling2D: `data_format` must be 'channels_last' or None; got 'channels_first'. chainrule keeps "
     "channels in the last axis: turn the data with Permute, or np.moveaxis(x, 1, -1)."),
])
def test_what_is_refused(make, error, message):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == message
