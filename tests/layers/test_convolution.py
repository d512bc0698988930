"""Convolutional layers: sizes, open axes, weights as they start, training, and what is refused."""
import numpy as np
import pytest

import chainrule as cr
from chainrule import kernels, ops
from chainrule.errors import SettingError, ShapeError
from chainrule.initializers import fans
from chainrule.layers import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    Dense,
    DepthwiseConv1D,
    DepthwiseConv2D,
    Flatten,
    Residual,
    SeparableConv1D,
    SeparableConv2D,
)

draw = np.random.default_rng(0)


def numbers(*shape):
    return draw.normal(size=shape).astype("float32")


def randomised(layer, shape):
    """A layer as a network with random weights."""
    model = cr.Sequential([cr.Input(shape), layer])
    model.set_weights([numbers(*weight.shape) for weight in model.get_weights()])
    return model, model.get_weights()


@pytest.mark.parametrize("make, shape, weights", [
    (lambda: Conv1D(4, 3, groups=2), (9, 6), [(3, 3, 4), (4,)]),
    (lambda: Conv2D(4, (3, 2), use_bias=False), (9, 8, 6), [(3, 2, 6, 4)]),
    (lambda: Conv3D(4, 2), (4, 5, 6, 3), [(2, 2, 2, 3, 4), (4,)]),
    (lambda: Conv1DTranspose(4, 3), (9, 6), [(3, 4, 6), (4,)]),
    (lambda: Conv2DTranspose(4, (3, 2)), (9, 8, 6), [(3, 2, 4, 6), (4,)]),
    (lambda: Conv3DTranspose(4, 2), (4, 5, 6, 3), [(2, 2, 2, 4, 3), (4,)]),
    (lambda: DepthwiseConv1D(3, depth_multiplier=2), (9, 6), [(3, 6, 2), (12,)]),
    (lambda: DepthwiseConv2D((3, 2)), (9, 8, 6), [(3, 2, 6, 1), (6,)]),
    (lambda: SeparableConv1D(4, 3, depth_multiplier=2), (9, 6), [(3, 6, 2), (1, 12, 4), (4,)]),
    (lambda: SeparableConv2D(4, (3, 2)), (9, 8, 6), [(3, 2, 6, 1), (1, 1, 6, 4), (4,)]),
])
def test_weights_have_the_shapes_and_the_order_of_keras(make, shape, weights):
    model = cr.Sequential([cr.Input(shape), make()])
    assert [weight.shape for weight in model.get_weights()] == weights


def test_bias_and_activation_come_after_the_convolution():
    model, (kernel, bias) = randomised(Conv2D(4, 3, strides=2, padding="same", activation="relu"), (7, 6, 2))
    x = numbers(3, 7, 6, 2)
    expected = np.maximum(np.asarray(ops.convolve(x, kernel, 2, "same")) + bias, 0)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-5)


def test_a_separable_convolution_is_a_depthwise_and_a_pointwise_one():
    settings = {"kernel_size": 3, "strides": 2, "padding": "same", "depth_multiplier": 2}
    model, (depthwise, pointwise, bias) = randomised(SeparableConv2D(5, **settings), (7, 6, 3))
    parts = cr.Sequential([cr.Input((7, 6, 3)), DepthwiseConv2D(**settings, use_bias=False), Conv2D(5, 1)])
    parts.set_weights([depthwise, pointwise, bias])
    x = numbers(2, 7, 6, 3)
    np.testing.assert_allclose(model.predict(x), parts.predict(x), rtol=1e-5, atol=1e-5)


OPEN = [
    (lambda: Conv2D(4, 3), (None, None, 3)),
    (lambda: Conv2D(4, 3, strides=5, padding="same"), (None, 7, 3)),
    (lambda: Conv2D(4, 7, strides=32, padding="same"), (None, None, 3)),
    (lambda: Conv1D(4, 3, padding="causal", dilation_rate=2), (None, 3)),
    (lambda: Conv2DTranspose(4, 3, strides=2, padding="same"), (None, 5, 3)),
    (lambda: DepthwiseConv2D(3, strides=3), (8, None, 3)),
    (lambda: SeparableConv2D(4, 3), (None, None, 3)),
    (lambda: Residual([Conv2D(3, 3, strides=4, padding="same"), Conv2D(3, 3, strides=4, padding="same")],
                      shortcut=Conv2D(3, 1, strides=16, padding="same")), (None, None, 3)),
]


@pytest.mark.parametrize("make, shape", OPEN)
def test_open_sizes_stay_open_and_any_size_may_come(make, shape):
    declared = make().compute_output_shape((None, *shape))
    assert [size is None for size in declared] == [size is None for size in (None, *shape)]
    model = cr.Sequential([cr.Input(shape), make()])
    assert model.compute_output_shape((None, *shape)) == declared
    for size in (40, 33):
        filled = tuple(size if known is None else known for known in shape)
        y = model.predict(numbers(2, *filled))
        assert y.shape == make().compute_output_shape((2, *filled))


def test_an_open_size_that_turns_out_too_small_names_the_layer():
    model = cr.Sequential([cr.Input((None, None, 1)), Conv2D(4, 5, name="edges")])
    with pytest.raises(ShapeError) as raised:
        model.predict(numbers(1, 4, 9, 1))
    assert str(raised.value) == (
        "convolve: the output would be empty. A kernel of size (5, 5) (strides (1, 1)) does not fit into an input of "
        "size (4, 9). Use padding='same', a smaller kernel or a larger input.")
    assert any("layer 'edges' (Conv2D)" in note for note in raised.value.__notes__)


@pytest.mark.parametrize("shape, expected", [
    ((3, 16, 32), (48, 96)),
    ((3, 3, 16, 32), (144, 288)),
    ((2, 3, 3, 16, 32), (288, 576)),
    ((3, 3, 16, 1), (144, 9)),  # depthwise, as Keras counts it
    ((1, 1, 16, 32), (16, 32)),
])
def test_fans_count_the_window(shape, expected):
    assert fans(shape) == expected


def test_weights_start_as_wide_as_their_window_asks():
    model = cr.Sequential([cr.Input((9, 9, 64)), Conv2D(128, 3, kernel_initializer="he_normal"),
                           Conv2D(32, 5, padding="same")])
    first, _, second, _ = model.get_weights()
    assert abs(first.std() / np.sqrt(2 / (9 * 64)) - 1) < 0.02
    limit = np.sqrt(6 / (25 * (128 + 32)))
    assert np.abs(second).max() <= limit and abs(second.std() / (limit / np.sqrt(3)) - 1) < 0.02


def test_an_autoencoder_comes_back_to_its_size_and_learns():
    x = numbers(20, 12, 8, 1)
    model = cr.Sequential([
        cr.Input((12, 8, 1)), Conv2D(8, 3, strides=2, padding="same", activation="relu"),
        SeparableConv2D(8, 3, strides=2, padding="same", activation="relu"),
        Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu"),
        Conv2DTranspose(1, 3, strides=2, padding="same")])
    assert model.compute_output_shape((None, 12, 8, 1)) == (None, 12, 8, 1)
    model.compile(optimizer=cr.optimizers.Adam(0.01), loss="mse")
    losses = model.fit(x, x, batch_size=8, epochs=30, verbose=0, seed=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


def test_a_small_network_tells_stripes_apart_and_comes_back_from_its_file(tmp_path):
    """Horizontal against vertical stripes anywhere in the image: nothing but their direction tells."""
    row = np.sin(np.arange(8) * 2 + draw.uniform(0, 6, (200, 1)))
    y = draw.integers(0, 2, 200)
    stripes = np.where(y[:, None, None], row[:, :, None], row[:, None, :])
    x = (stripes + 0.3 * draw.normal(size=(200, 8, 8)))[..., None].astype("float32")
    model = cr.Sequential([cr.Input((8, 8, 1)), Conv2D(8, 3, activation="relu"), Conv2D(8, 3, strides=2),
                           Flatten(), Dense(2, activation="softmax")])
    model.compile(optimizer=cr.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:150], y[:150], epochs=8, verbose=0, seed=0)
    assert model.evaluate(x[150:], y[150:], verbose=0, return_dict=True)["accuracy"] > 0.95
    model.save(tmp_path / "stripes.chain")
    assert np.array_equal(cr.models.load_model(tmp_path / "stripes.chain").predict(x), model.predict(x))


def test_data_format_may_be_said_where_it_is_the_only_one():
    assert Conv2D(3, 3, data_format="channels_last").compute_output_shape((None, 5, 5, 1)) == (None, 3, 3, 3)


@pytest.mark.parametrize("make, error, message", [
    (lambda: Conv2D(8, 3, data_format="channels_first"), SettingError,
     "Conv2D: `data_format` must be 'channels_last' or None; got 'channels_first'. chainrule keeps channels in the "
     "last axis: turn the data with Permute, or np.moveaxis(x, 1, -1)."),
    (lambda: Conv2D(0, 3), SettingError, "Conv2D: `filters` must be a positive integer; got 0."),
    (lambda: Conv2D(8, (3, 0)), SettingError,
     "Conv2D: `kernel_size` must be a positive integer or 2 of them; got (3, 0)."),
    (lambda: Conv1D(8, (3, 3)), SettingError, "Conv1D: `kernel_size` must be a positive integer; got (3, 3)."),
    (lambda: Conv2D(8, 3, strides=1.5), SettingError,
     "Conv2D: `strides` must be a positive integer or 2 of them; got 1.5."),
    (lambda: Conv2D(8, 3, dilation_rate=0), SettingError,
     "Conv2D: `dilation_rate` must be a positive integer or 2 of them; got 0."),
    (lambda: Conv2D(8, 3, padding="Same"), SettingError,
     "Conv2D: `padding` must be 'valid', 'same' or 2 pairs of numbers, the zeros at both ends of each axis; got "
     "'Same'."),
    (lambda: Conv2D(8, 3, groups=3), SettingError,
     "Conv2D: `filters` must be a multiple of `groups`; got 8 filters in 3 groups."),
    (lambda: Conv2D(8, 3, activation="rleu"), ValueError, "There is no activation 'rleu'. Did you mean 'relu'?"),
    (lambda: Conv2D(8, 3, groups=4)(cr.Input((9, 9, 6))), ShapeError,
     "Conv2D cannot divide 6 channels into 4 equal groups; got an input of shape (None, 9, 9, 6). Set `groups` to a "
     "divisor of 6."),
    (lambda: Conv2D(8, 3)(cr.Input((28, 28))), ShapeError,
     "Conv2D takes inputs (batch, height, width, channels); got (None, 28, 28). Give each place one channel: "
     "Reshape((28, 28, 1)), or x[..., None]."),
    (lambda: Conv2D(8, 3)(cr.Input((784,))), ShapeError,
     "Conv2D takes inputs (batch, height, width, channels); got (None, 784)."),
    (lambda: Conv1D(8, 3)(cr.Input((None,))), ShapeError,
     "Conv1D takes inputs (batch, steps, channels); got (None, None)."),
    (lambda: Conv2D(8, 3)(cr.Input((28, 28, None))), ShapeError,
     "Conv2D needs the size of the last axis; got (None, 28, 28, None). Give the size in Input(shape=...) or in the "
     "layer before."),
    (lambda: Conv2D(8, 5, strides=2)(cr.Input((4, None, 1))), ShapeError,
     "Conv2D: the output would be empty. A kernel of size (5, 5) (strides (2, 2)) does not fit into an input of size "
     "(4, None). Use padding='same', a smaller kernel or a larger input."),
    (lambda: DepthwiseConv2D(3, depth_multiplier=0), SettingError,
     "DepthwiseConv2D: `depth_multiplier` must be a positive integer; got 0."),
    (lambda: Conv2DTranspose(8, 3, padding="causal"), SettingError,
     "Conv2DTranspose: `padding` must be 'valid' or 'same'; got 'causal'."),
    (lambda: Conv2DTranspose(8, 3, strides=2, output_padding=(1, 2)), SettingError,
     "Conv2DTranspose: `output_padding` must be a number from 0 to below the strides (2, 2), or one for each axis; got "
     "(1, 2)."),
])
def test_what_is_refused(make, error, message):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == message


@pytest.mark.parametrize("activation", [None, "relu", "elu", "sigmoid"])
@pytest.mark.parametrize("make, shape", [
    (lambda **settings: Conv2D(5, 3, padding="same", **settings), (6, 7, 3)),
    (lambda **settings: Conv1D(5, 3, padding="causal", use_bias=False, **settings), (6, 3)),
    (lambda **settings: Conv2DTranspose(5, 3, 2, **settings), (6, 7, 3)),
    (lambda **settings: DepthwiseConv2D(3, depth_multiplier=2, **settings), (6, 7, 3)),
    (lambda **settings: SeparableConv2D(5, 3, **settings), (6, 7, 3))])
def test_with_kernels_a_layer_computes_the_same_as_without(make, shape, activation):
    model, _ = randomised(make(activation=activation), shape)
    x = numbers(2, *shape)
    with kernels.allowed(False):
        without = np.asarray(model(x))
    np.testing.assert_allclose(model(x), without, rtol=1e-4, atol=1e-5)
