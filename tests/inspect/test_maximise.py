import jax
import numpy as np
import pytest
from helpers import compilations

from chainrule.errors import NotReadyError, SettingError, ShapeError, UnknownNameError
from chainrule.inspect import activations, maximise
from chainrule.layers import Conv2D, Dense, Flatten, GlobalAveragePooling2D
from chainrule.models import Input, Model, Sequential

draw = np.random.default_rng(0)


def images(**settings):
    return Sequential([Input((12, 10, 3)), Conv2D(4, 3, activation="relu", name="first"),
                       Conv2D(5, 3, strides=2, activation="relu", name="second"), Flatten(),
                       Dense(3, activation="softmax", name="classes")], **settings)


def test_the_activation_rises():
    model = images()
    for layer, unit in (("first", 2), ("second", 4), ("classes", 0)):
        found = maximise(model, layer, unit, steps=5, jitter=0)
        assert found.image.shape == (12, 10, 3) and found.image.min() >= 0 and found.image.max() <= 1
        assert found.activation.shape == (6,) and (np.diff(found.activation) > 0).all()
        of = "preactivations" if layer == "classes" else "outputs"
        before = activations(model, found.input[None], of=of)[layer][..., unit].mean()
        np.testing.assert_allclose(found.activation[-1], before, rtol=1e-4)
        assert found.image.dtype == found.activation.dtype == "float32"
        assert (found.layer, found.unit) == (layer, unit)


def test_by_hand_of_a_linear_unit():
    """Without smoothing, every pixel goes to the end of the range that its weight says."""
    model = Sequential([Input((6, 5)), Flatten(), Dense(2)])
    kernel = model.get_weights()[0][:, 1].reshape(6, 5)
    plain = {"total_variation": 0, "blur": 0, "jitter": 0}
    found = maximise(model, "dense", 1, steps=300, learning_rate=0.1, **plain)
    clear = abs(kernel) > 0.05
    np.testing.assert_array_equal(found.image[clear], (kernel > 0)[clear])
    start = draw.random((6, 5)).astype("float32") / 2 + 0.25
    once = maximise(model, "dense", 1, steps=1, learning_rate=0.01, start=start, **plain)
    direction = kernel / np.sqrt((kernel**2).mean())
    np.testing.assert_allclose(once.image, start + 0.01 * direction, rtol=1e-5)
    np.testing.assert_allclose(once.activation[0], (start * kernel).sum(), rtol=1e-5)
    smooth = maximise(model, "dense", 1, steps=1, learning_rate=0.01, start=start, total_variation=0.5, blur=0,
                      jitter=0)
    padded = np.pad(start, 1, mode="edge")
    laplacian = padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2] - 4 * start
    np.testing.assert_allclose(smooth.image, start + 0.01 * (direction + 0.5 * laplacian), rtol=1e-5)
    near = lambda size: np.exp(-((np.arange(size)[:, None] - np.arange(size)) ** 2) / (2 * 1.5**2))
    blurred = near(6) @ kernel @ near(5)
    once = maximise(model, "dense", 1, steps=1, learning_rate=0.01, start=start, total_variation=0, blur=1.5, jitter=0)
    np.testing.assert_allclose(once.image, start + 0.01 * blurred / np.sqrt((blurred**2).mean()), rtol=1e-5)


def test_what_is_shown_is_a_line():
    """Not the arrays: a notebook shows what a call returned."""
    model = images()
    assert repr(maximise(model, "first", 2, steps=1)) == (
        "<Maximisation: 'first', unit 2, image (12, 10, 3), steps 1>")
    assert repr(maximise(model, "first", [2, 0], steps=1)) == (
        "<Maximisation: 'first', unit [2, 0], image (2, 12, 10, 3), steps 1>")


def dense():
    return Sequential([Input((6, 5)), Flatten(), Dense(4, activation="relu"), Dense(2)])


def test_the_seed_decides():
    model = dense()
    first, again, other = (maximise(model, "dense_1", 1, steps=4, seed=seed) for seed in (3, 3, 4))
    assert first.image.tobytes() == again.image.tobytes() and first.activation.tobytes() == again.activation.tobytes()
    assert not np.array_equal(first.image, other.image)
    fresh = lambda seed: maximise(dense(), "dense_1", 1, steps=1, seed=seed).activation[0]
    assert fresh(1) == fresh(1) != fresh(2)
    assert maximise(model, "dense_1", np.argmax([0, 1]), steps=0).unit == 1
    assert maximise(model, "dense_1", np.array([1, 0]), steps=0).unit == [1, 0]


def test_several_units_are_found_together_as_alone():
    model = images(dtype="float64")
    together = maximise(model, "second", [3, 0, 3], steps=4)
    assert together.image.shape == together.input.shape == (3, 12, 10, 3) and together.activation.shape == (3, 5)
    assert together.unit == [3, 0, 3]
    np.testing.assert_array_equal(together.image[0], together.image[2])
    alone = maximise(model, "second", 0, steps=4)
    np.testing.assert_allclose(alone.image, together.image[1], atol=1e-9)
    np.testing.assert_allclose(alone.activation, together.activation[1], atol=1e-9)
    assert alone.image.dtype == "float64"
    assert together.picture.image.shape == (2 * 60 + 3, 2 * 50 + 3, 3)


def test_no_steps_is_the_start():
    start = draw.random((12, 10, 3)).astype("float32")
    found = maximise(images(), "second", 1, steps=0, start=start)
    np.testing.assert_allclose(found.image, start, rtol=1e-6)
    assert found.activation.shape == (1,)


def test_the_range_of_the_pixels_and_preprocessing():
    model = images()
    start = draw.integers(0, 256, (12, 10, 3)).astype("uint8")
    preprocess = lambda x: x[..., ::-1] - 100.0
    found = maximise(model, "second", 1, steps=0, start=start, value_range=(0, 255), preprocess=preprocess)
    np.testing.assert_allclose(found.image, start / 255, rtol=1e-5)
    np.testing.assert_allclose(found.input, preprocess(start.astype("float32")), atol=1e-4)
    expected = activations(model, preprocess(start.astype("float32"))[None])["second"]
    np.testing.assert_allclose(found.activation, [expected[..., 1].mean()], rtol=1e-4)
    risen = maximise(model, "second", 1, steps=5, value_range=(-1, 1), preprocess=preprocess)
    assert risen.activation[-1] > risen.activation[0]
    np.testing.assert_allclose(risen.input, preprocess(2 * risen.image - 1), atol=1e-4)


def test_what_is_maximised():
    model = images()
    start = draw.random((12, 10, 3)).astype("float32")
    at_start = lambda layer, **options: maximise(model, layer, 1, steps=0, start=start, **options).activation[0]
    outputs, before = activations(model, start[None]), activations(model, start[None], of="preactivations")
    mean = lambda values, layer: pytest.approx(values[layer][..., 1].mean(), rel=1e-5)
    assert at_start("first") == mean(outputs, "first") != mean(before, "first")
    assert at_start("first", of="preactivations") == mean(before, "first")
    assert at_start("classes") == mean(before, "classes")
    found = maximise(model, "classes", 1, steps=10, start=start, of="outputs")
    assert found.activation[0] == pytest.approx(model.predict(start[None])[0, 1], rel=1e-5)
    assert found.activation[-1] > found.activation[0]


def test_a_silent_unit_is_woken():
    model = images()
    kernel, bias = model.get_layer("first").get_weights()
    model.get_layer("first").set_weights([kernel, bias - 0.3 - 0.5 * abs(kernel.sum((0, 1, 2)))])
    grey = np.full((12, 10, 3), 0.5, "float32")
    assert activations(model, grey[None])["first"][..., 2].max() == 0
    found = maximise(model, "first", 2, steps=60, start=grey)
    assert found.activation[0] < 0 < found.activation[-1]
    np.testing.assert_array_equal(maximise(model, "first", 2, steps=9, start=grey, of="outputs", total_variation=0)
                                  .activation, np.zeros(10))


def test_open_sizes():
    model = Sequential([Input((None, None, 3)), Conv2D(4, 3, activation="relu", name="maps"),
                        GlobalAveragePooling2D(), Dense(2)])
    assert maximise(model, "maps", 1, steps=1, size=(9, 7)).image.shape == (9, 7, 3)
    assert maximise(model, "maps", 1, steps=0, start=np.zeros((6, 8, 3))).image.shape == (6, 8, 3)


def test_every_kind_of_model():
    class Subclassed(Model):
        def __init__(self):
            super().__init__()
            self.body = Conv2D(4, 3, activation="relu")

        def call(self, x):
            return self.body(x)

    subclassed = Subclassed()
    subclassed(np.zeros((1, 12, 10, 3), "float32"))
    body = Sequential([Input((12, 10, 3)), Conv2D(4, 3, activation="relu", name="maps")], name="body")
    inputs = Input((12, 10, 3))
    nested = Model({"photo": inputs}, Flatten()(body(inputs)))
    nested.set_weights(subclassed.get_weights())
    first, second = maximise(subclassed, "body", 1, steps=3), maximise(nested, "body/maps", 1, steps=3)
    np.testing.assert_allclose(first.image, second.image, atol=1e-5)


def test_inputs_that_are_no_images():
    model = Sequential([Input((7,)), Dense(4, activation="relu"), Dense(2)])
    found = maximise(model, "dense_1", 1, steps=20)
    assert found.image.shape == (7,) and found.activation[-1] > found.activation[0]
    with pytest.raises(ShapeError) as error:
        found.picture  # noqa: B018 (the property is what raises)
    assert str(error.value) == ("Inputs of shape (7,) are no images, so there is no picture of them; their values are "
                                "in `image`.")


def test_one_compiled_loop():
    model, counts = dense(), []
    model.variables()
    for steps in (1, 20):
        jax.clear_caches()
        with compilations() as found:
            maximise(model, "dense_1", 1, steps=steps)
        counts.append(len(found))
    assert counts[0] == counts[1]


OPEN = Sequential([Input((None, None, 3)), Conv2D(4, 3, name="maps")])


@pytest.mark.parametrize(("make", "kind", "message"), [
    (lambda: maximise(Dense(3), "dense", 0), SettingError,
     "maximise takes a Model or a Sequential; got Dense(units=3) (Dense)."),
    (lambda: maximise(Sequential([Dense(3)]), "dense", 0), NotReadyError,
     "maximise needs to know the shape of the model's input, and the model has met no data yet. Give the first layer "
     "an input shape: Input(...)."),
    (lambda: maximise(images(), "frist", 0), UnknownNameError,
     "The model has no layer 'frist'. Did you mean 'first'?"),
    (lambda: maximise(images(), "first", 4), SettingError,
     "The layer 'first' has 4 units, numbered from 0 to 3; got unit=4."),
    (lambda: maximise(images(), "first", [0, -1]), SettingError,
     "The layer 'first' has 4 units, numbered from 0 to 3; got unit=[0, -1]."),
    (lambda: maximise(images(), "first", np.array(1.5)), SettingError,
     "The layer 'first' has 4 units, numbered from 0 to 3; got unit=array(1.5)."),
    (lambda: maximise(images(), "first", True), SettingError,
     "The layer 'first' has 4 units, numbered from 0 to 3; got unit=True."),
    (lambda: maximise(images(), "first", []), SettingError,
     "`unit` is empty: name at least one of the 4 units of the layer 'first'."),
    (lambda: maximise(images(), "first", 0, steps=-1), SettingError, "steps must be an integer of at least 0; got -1."),
    (lambda: maximise(images(), "first", 0, jitter=1.5), SettingError,
     "jitter must be an integer of at least 0; got 1.5."),
    (lambda: maximise(images(), "first", 0, learning_rate=-1), SettingError,
     "`learning_rate` is a number, 0 or more; got -1."),
    (lambda: maximise(images(), "first", 0, blur="much"), SettingError, "`blur` is a number, 0 or more; got 'much'."),
    (lambda: maximise(images(), "first", 0, of="output"), UnknownNameError,
     "There are no activations of 'output'. Did you mean 'outputs'?"),
    (lambda: maximise(images(), "first", 0, value_range=255), SettingError,
     "`value_range` is the lowest and the highest value of a pixel, such as (0, 255); got 255."),
    (lambda: maximise(images(), "first", 0, start=np.full((12, 10, 3), 200)), SettingError,
     "`start` has values from 200 to 200, and `value_range` is (0, 1). Give the range of the image: "
     "value_range=(0, 255)."),
    (lambda: maximise(images(), "first", 0, start=np.zeros((1, 12, 10, 3))), ShapeError,
     "The model takes inputs of shape (12, 10, 3); `start` has the shape (1, 12, 10, 3)."),
    (lambda: maximise(images(), "first", 0, size=(24, 20)), ShapeError,
     "The model takes inputs of shape (12, 10, 3); `size` is (24, 20)."),
    (lambda: maximise(OPEN, "maps", 0, size=(24, 20), start=np.zeros((9, 9, 3))), ShapeError,
     "The model takes inputs of shape (None, None, 3); `start` has the shape (9, 9, 3) and `size` is (24, 20)."),
    (lambda: maximise(OPEN, "maps", 0), SettingError,
     "The model takes inputs of any height and width, (None, None, 3): say which, size=(224, 224)."),
    (lambda: maximise(OPEN, "maps", 0, size=224), SettingError, "`size` is a height and a width; got 224."),
    (lambda: maximise(images(), "first", 0, preprocess=lambda x: np.asarray(x) / 255), SettingError,
     "`preprocess` runs inside the compiled loop and is differentiated, so it must be written with jax.numpy or plain "
     "arithmetic; this one makes a NumPy array of its input."),
    (lambda: maximise(Sequential([Input((4,), dtype="int32"), Dense(3)]), "dense", 0), SettingError,
     "maximise changes the input little by little, and the input of this model is int32, whole numbers. Build a Model "
     "that begins behind it."),
])
def test_what_cannot_be_maximised_is_said(make, kind, message):
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == message
