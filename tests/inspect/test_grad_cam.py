import numpy as np
import pytest

from chainrule.errors import SettingError, ShapeError, UnknownNameError
from chainrule.inspect import grad_cam
from chainrule.inspect.grad_cam import last_maps
from chainrule.inspect.scores import Subject
from chainrule.layers import (
    Activation,
    BatchNormalization,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    Rescaling,
)
from chainrule.models import Input, Model, Sequential

draw = np.random.default_rng(0)
IMAGES = draw.normal(size=(5, 8, 6, 3)).astype("float32")


def small(*head, activation="softmax", classes=3, **settings):
    """Maps of 4 channels, averaged, and a linear map to classes."""
    return Sequential([Input((8, 6, 3)), Conv2D(4, 3, padding="same", activation="relu", name="maps"),
                       *(head or (GlobalAveragePooling2D(),)), Dense(classes, activation=activation, name="classes")],
                      **settings)


def expected_heat(maps, importance):
    """From the definition: maps (N, H, W, C), importance (N, C)."""
    heat = np.maximum(np.einsum("nijk,nk->nij", maps, importance), 0)
    return heat / np.maximum(heat.max((1, 2), keepdims=True), 1e-30)


def test_by_hand_from_a_global_average():
    model = small()
    maps = Model(model.input, model.get_layer("maps").output).predict(IMAGES)
    kernel, _ = model.get_layer("classes").get_weights()
    predicted = model.predict(IMAGES).argmax(1)
    np.testing.assert_allclose(grad_cam(model, IMAGES), expected_heat(maps, kernel.T[predicted]), atol=1e-6)
    for target in (np.int64(1), [2, 0, 1, 1, 0]):
        heat = grad_cam(model, IMAGES, target)
        np.testing.assert_allclose(heat, expected_heat(maps, kernel.T[np.broadcast_to(target, 5)]), atol=1e-6)
        assert heat.dtype == "float32" and heat.shape == (5, 8, 6)


def test_the_score_is_what_goes_into_the_activation():
    """A sure softmax has no derivative left; its logits have."""
    sure, plain = small(), small(activation=None)
    sure.set_weights([1e3 * array for array in sure.get_weights()])
    plain.set_weights(sure.get_weights())
    heat = grad_cam(sure, IMAGES, 1)
    assert heat.max() == 1
    np.testing.assert_allclose(heat, grad_cam(plain, IMAGES, 1), atol=1e-6)
    behind = Sequential([Input((8, 6, 3)), *(view.layer for view in plain.layers), Activation("softmax")])
    np.testing.assert_allclose(heat, grad_cam(behind, IMAGES, 1), atol=1e-6)


def test_a_sigmoid_stands_for_two_classes():
    model = small(classes=1, activation="sigmoid")
    maps = Model(model.input, model.get_layer("maps").output).predict(IMAGES)
    kernel, _ = model.get_layer("classes").get_weights()
    for target, sign in ((1, 1), (0, -1)):
        np.testing.assert_allclose(grad_cam(model, IMAGES, target),
                                   expected_heat(maps, sign * kernel.T.repeat(5, 0)), atol=1e-6)
    sign = np.where(model.predict(IMAGES) > 0.5, 1, -1)
    np.testing.assert_allclose(grad_cam(model, IMAGES), expected_heat(maps, sign * kernel.T), atol=1e-6)
    linear = small(classes=1, activation=None)
    linear.set_weights(model.get_weights())
    np.testing.assert_allclose(grad_cam(linear, IMAGES), grad_cam(model, IMAGES, 1), atol=1e-6)


def test_heat_is_resized_and_between_0_and_1():
    model = small(MaxPooling2D(2, name="pooled"), Conv2D(5, 3, name="deep"), Flatten())
    heat = grad_cam(model, IMAGES, layer="deep")
    assert heat.shape == (5, 8, 6) and heat.min() >= 0 and heat.max() <= 1
    assert set(heat.max((1, 2)).round(6)) <= {0, 1}  # weights of neighbours sum to 1 but for a rounding error
    assert grad_cam(model, IMAGES, layer="pooled").shape == (5, 8, 6)
    # Two by one places over 8 rows: linear between their centres at rows 1.5 and 5.5.
    one = heat[heat.max((1, 2)) == 1][0]
    np.testing.assert_allclose(one[:2], one[:1].repeat(2, 0), atol=1e-6)
    np.testing.assert_allclose(np.diff(one[2:6, 0]), (one[7, 0] - one[0, 0]) / 4, atol=1e-6)


def test_nothing_that_speaks_for_the_class_is_all_zero():
    model = small()
    model.set_weights([np.zeros_like(array) for array in model.get_weights()])
    np.testing.assert_array_equal(grad_cam(model, IMAGES), np.zeros((5, 8, 6)))
    alone = small(activation=None)
    alone.get_layer("classes").set_weights([-np.ones((4, 3)), np.zeros(3)])
    np.testing.assert_array_equal(grad_cam(alone, IMAGES, 0), np.zeros((5, 8, 6)))


@pytest.mark.parametrize(("layers", "expected"), [
    ([Conv2D(4, 3), MaxPooling2D(), Flatten()], "conv2d"),
    ([Rescaling(0.1), Conv2D(4, 3), BatchNormalization(), Activation("relu"), MaxPooling2D(), Dropout(0.5), Flatten()],
     "activation"),
    ([Conv2D(4, 3, padding="same"), MaxPooling2D(), Conv2D(2, 1, activation="relu"), GlobalAveragePooling2D()],
     "conv2d_1"),
    ([Sequential([Input((8, 6, 3)), Conv2D(4, 3), Activation("relu")], name="body"), GlobalAveragePooling2D()],
     "body/activation"),
])
def test_the_default_is_the_last_convolution_and_what_follows_it(layers, expected):
    model = Sequential([Input((8, 6, 3)), *layers, Dense(3)])
    assert last_maps(Subject(model, IMAGES, None, "grad_cam").places) == expected


class Subclassed(Model):
    def __init__(self):
        super().__init__()
        self.body = Conv2D(4, 3, padding="same", activation="relu")
        self.pool = GlobalAveragePooling2D()
        self.head = Dense(3, activation="softmax")

    def call(self, x):
        return self.head(self.pool(self.body(x)))


class Block(Layer):
    """A layer with maps that has no weights itself, only its parts have."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.inner = Conv2D(4, 3, padding="same", activation="relu")

    def call(self, x):
        return self.inner(x)


def test_every_kind_of_model():
    reference = small()
    weights = reference.get_weights()
    subclassed = Subclassed()
    subclassed(IMAGES)
    body = Sequential([Input((8, 6, 3)), Conv2D(4, 3, padding="same", activation="relu", name="maps")], name="body")
    inputs = Input((8, 6, 3))
    nested = Model([inputs], Dense(3, activation="softmax")(GlobalAveragePooling2D()(body(inputs))))
    blocks = Sequential([Block(), GlobalAveragePooling2D(), Dense(3, activation="softmax")])
    blocks(IMAGES)
    expected = grad_cam(reference, IMAGES)
    for model, layer in ((subclassed, "body"), (nested, "body/maps"), (blocks, "block"), (blocks, None)):
        model.set_weights(weights)
        np.testing.assert_allclose(grad_cam(model, IMAGES, layer=layer), expected, atol=1e-6)


def test_series():
    model = Sequential([Input((20, 2)), Conv1D(4, 5, activation="relu", name="maps"), GlobalAveragePooling1D(),
                        Dense(3)])
    x = draw.normal(size=(4, 20, 2)).astype("float32")
    heat = grad_cam(model, x, 1)
    assert heat.shape == (4, 20) and heat.min() >= 0 and heat.max() <= 1


def test_batches_make_no_difference_and_precision_is_kept():
    model = small(dtype="float64")
    whole = grad_cam(model, IMAGES)
    assert whole.dtype == "float64"
    np.testing.assert_allclose(grad_cam(model, IMAGES, batch_size=2), whole, rtol=1e-12, atol=1e-14)
    classes = model.predict(IMAGES).argmax(1)
    np.testing.assert_allclose(grad_cam(model, IMAGES, classes, batch_size=2), whole, rtol=1e-12, atol=1e-14)


TABLE = Sequential([Input((4,)), Dense(3)])


@pytest.mark.parametrize(("make", "kind", "message"), [
    (lambda: grad_cam(Dense(3), IMAGES), SettingError,
     "grad_cam takes a Model or a Sequential; got Dense(units=3) (Dense)."),
    (lambda: grad_cam(small(), IMAGES, layer="map"), UnknownNameError,
     "The model has no layer 'map'. Did you mean 'maps'?"),
    (lambda: grad_cam(small(), IMAGES, layer=3), SettingError, "`layer` is the name of a layer; got 3 (int)."),
    (lambda: grad_cam(small(), IMAGES, layer="classes"), ShapeError,
     "grad_cam looks at maps that lie over the input, an output (batch, height, width, channels); that of the layer "
     "'classes' is (None, 3), for inputs (None, 8, 6, 3). Name a convolutional layer."),
    (lambda: grad_cam(TABLE, np.ones((2, 4))), SettingError,
     "grad_cam looks at the maps of a convolution, an output (batch, height, width, channels), and no layer with "
     "weights of this model has one."),
    (lambda: grad_cam(Sequential([Input((8, 6, 3)), Conv2D(2, 3)]), IMAGES), ShapeError,
     "grad_cam looks at the scores of classes, an output of shape (batch, classes); that of this model is of shape "
     "(None, 6, 4, 2). Make a Model that ends in such an output."),
    (lambda: grad_cam(small(), IMAGES, 3), SettingError,
     "`target` is 3, and the model has 3 classes, numbered from 0 to 2."),
    (lambda: grad_cam(small(), IMAGES, [0, 1]), SettingError,
     "`target` is a class, a whole number, or one for each of the 5 rows; got [0, 1]."),
    (lambda: grad_cam(small(), IMAGES, 1.0), SettingError,
     "`target` is a class, a whole number, or one for each of the 5 rows; got 1.0."),
    (lambda: grad_cam(small(classes=1, activation="sigmoid"), IMAGES, 2), SettingError,
     "`target` is 2, and the model has 2 classes, numbered from 0 to 1."),
    (lambda: grad_cam(small(), IMAGES[0]), ShapeError,
     "The input of the model has shape (8, 6, 3); expected (None, 8, 6, 3). This is one row without the batch axis: "
     "use x[None]."),
    (lambda: grad_cam(small(), IMAGES, batch_size=0), SettingError,
     "batch_size must be an integer of at least 1; got 0."),
])
def test_what_cannot_be_explained_is_said(make, kind, message):
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == message


def test_models_of_several_inputs_or_outputs():
    first, second = Input((8, 6, 3)), Input((8, 6, 3))
    with pytest.raises(SettingError) as error:
        grad_cam(Model([first, second], Dense(3)(Flatten()(first + second))), [IMAGES, IMAGES])
    assert str(error.value) == "grad_cam takes a model with one input; this one has 2."
    flat = Flatten()(first)
    with pytest.raises(ShapeError) as error:
        grad_cam(Model(first, {"a": Dense(3)(flat), "b": Dense(2)(flat)}), IMAGES)
    assert str(error.value) == (
        "grad_cam looks at the scores of classes, an output of shape (batch, classes); that of this model is several. "
        "Make a Model that ends in such an output.")
