"""Images moved, turned, stretched, sheared, mirrored and cut: each its own way, within bounds, the same for a seed."""
import jax
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError, ShapeError, UnknownNameError
from chainrule.layers import (
    CenterCrop,
    CutMix,
    Dense,
    Flatten,
    MixUp,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomNoise,
    RandomRotation,
    RandomSaturation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)
from chainrule.layers.augmentation import ImageAugmentation
from chainrule.layers.binding import apply
from tests.helpers import assert_same_bytes

KEY = jax.random.key(0)
DRAW = np.random.default_rng(0)
EVERY = [
    RandomTranslation(0.2, 0.2), RandomRotation(0.1), RandomZoom(0.3), RandomShear(0.3, 0.2), RandomFlip(),
    RandomCrop(9, 8), RandomBrightness(0.2), RandomContrast(0.4), RandomSaturation((0.1, 0.9)), RandomNoise(0.1),
    RandomErasing((1, 1)), MixUp(alpha=1.0), CutMix((1, 1)),
]


def augmented(layer, x, key=KEY):
    """What a layer makes of images in training, compiled as it is there."""
    return jax.jit(lambda x: layer(x, training=True, key=key))(x)


def photos(count=4, height=12, width=11, dtype="float32"):
    return DRAW.uniform(0, 255, (count, height, width, 3)).astype(dtype)


def places(height=41, width=31, count=400):
    """Images whose two channels say which row and column a pixel is."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return np.tile(np.stack([rows, columns], -1).astype("float32"), (count, 1, 1, 1))


def assert_uniform(values, lowest, highest):
    """Within bounds, near both of them, and in the middle on the average."""
    assert values.min() >= lowest - 1e-4 and values.max() <= highest + 1e-4
    edge = 0.05 * (highest - lowest)
    assert values.min() < lowest + edge and values.max() > highest - edge
    assert abs(values.mean() - (lowest + highest) / 2) < edge * 1.5


@pytest.mark.parametrize("layer", EVERY, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "uint8", "bfloat16"])
def test_only_in_training_and_in_the_dtype_of_the_images(layer, dtype):
    x = photos(dtype=dtype)
    still, changed = layer(x), augmented(layer, x)
    assert still.dtype == changed.dtype == dtype and still.shape == changed.shape
    if not isinstance(layer, RandomCrop):
        np.testing.assert_array_equal(still, x)
    assert not np.array_equal(still, changed)


@pytest.mark.parametrize("layer", EVERY, ids=repr)
def test_each_image_has_its_own_draw_whatever_stands_beside_it(layer):
    x = photos(1).repeat(6, 0)
    if isinstance(layer, (MixUp, CutMix)):
        x = np.arange(6, dtype="float32").reshape(6, 1, 1, 1) + np.zeros((1, 12, 11, 1), "float32")
    y = np.asarray(augmented(layer, x))
    distinct = 2 if isinstance(layer, RandomFlip) else 5
    assert len({image.tobytes() for image in y}) >= distinct
    np.testing.assert_array_equal(y, augmented(layer, x))
    assert not np.array_equal(y, augmented(layer, x, jax.random.key(1)))
    if not isinstance(layer, (MixUp, CutMix)):
        np.testing.assert_allclose(y[:2], augmented(layer, x[:2]), rtol=1e-5)


@pytest.mark.parametrize("layer", EVERY, ids=repr)
def test_no_draw_is_out_of_what_images_can_hold(layer):
    for x in (np.zeros((4, 12, 11, 3), "float32"), np.full((4, 12, 11, 3), 255, "float32")):
        y = np.asarray(augmented(layer, x))
        assert y.min() >= -1e-3 and y.max() <= 255 + 1e-3


def test_translations_are_shares_of_the_size_down_and_to_the_right():
    x = places()
    y = np.asarray(augmented(RandomTranslation((-0.1, 0.3), 0.2), x))
    down, right = 20 - y[:, 20, 15, 0], 15 - y[:, 20, 15, 1]  # where the centre was read
    assert_uniform(down, -0.1 * 41, 0.3 * 41)
    assert_uniform(right, -0.2 * 31, 0.2 * 31)
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.2


def test_rotations_are_shares_of_a_turn_counter_clockwise():
    y = np.asarray(augmented(RandomRotation((-0.1, 0.2)), places()))
    np.testing.assert_allclose(y[:, 20, 15], np.tile([20, 15], (400, 1)), atol=1e-3)  # the centre stays
    down, right = y[:, 20, 25, 0] - 20, y[:, 20, 25, 1] - 15  # what is to the right came from below
    assert_uniform(np.arctan2(down, right) / (2 * np.pi), -0.1, 0.2)
    np.testing.assert_allclose(down**2 + right**2, 100, rtol=1e-3)


@pytest.mark.parametrize("width_factor, bounds", [(None, (0.7, 1.3)), ((-0.5, -0.2), (0.5, 0.8))])
def test_zooms_keep_the_centre_and_proportions_where_asked(width_factor, bounds):
    y = np.asarray(augmented(RandomZoom(0.3, width_factor), places()))
    np.testing.assert_allclose(y[:, 20, 15], np.tile([20, 15], (400, 1)), atol=1e-3)
    height_zoom, width_zoom = (y[:, 25, 20, 0] - 20) / 5, (y[:, 25, 20, 1] - 15) / 5
    assert_uniform(height_zoom, 0.7, 1.3)
    assert_uniform(width_zoom, *bounds)
    if width_factor is None:
        np.testing.assert_allclose(height_zoom, width_zoom, atol=1e-5)


def test_shears_go_both_ways_from_the_top_left():
    y = np.asarray(augmented(RandomShear((0.1, 0.3), 0.2), places()))
    np.testing.assert_allclose(y[:, 0, 0], 0, atol=1e-6)
    x_shear, y_shear = (y[:, 10, 10, 1] - 10) / 10, (y[:, 10, 10, 0] - 10) / 10
    assert_uniform(np.abs(x_shear), 0.1, 0.3)
    assert_uniform(np.abs(y_shear), 0, 0.2)
    assert (np.sign(x_shear) == np.sign(y_shear)).all() and 0.4 < (x_shear > 0).mean() < 0.6


@pytest.mark.parametrize("mode, outcomes", [("horizontal", 2), ("vertical", 2), ("horizontal_and_vertical", 4)])
def test_flips(mode, outcomes):
    x = photos(1)
    y = np.asarray(augmented(RandomFlip(mode), x.repeat(400, 0)))
    ways = {"horizontal": [x, x[:, :, ::-1]], "vertical": [x, x[:, ::-1]],
            "horizontal_and_vertical": [x, x[:, :, ::-1], x[:, ::-1], x[:, ::-1, ::-1]]}[mode]
    counts = [(y == way).all((1, 2, 3)).sum() for way in ways]
    assert len(counts) == outcomes and sum(counts) == 400 and min(counts) > 0.8 * 400 / outcomes


def test_crops_are_windows_at_all_places():
    x = places(6, 5, count=300)
    y = np.asarray(augmented(RandomCrop(4, 3), x))
    top, left = y[:, 0, 0, 0].astype(int), y[:, 0, 0, 1].astype(int)
    assert {*zip(top.tolist(), left.tolist(), strict=True)} == {(i, j) for i in range(3) for j in range(3)}
    for image, i, j in zip(y, top, left, strict=True):
        np.testing.assert_array_equal(image, x[0, i : i + 4, j : j + 3])


def test_crops_outside_training_are_the_largest_window_resized():
    x = photos(2, 8, 12)
    # Of 8 x 12 pixels the largest square is 8 x 8, from column 2 on; half its size: means of two by two.
    middle = x[:, :, 2:10].reshape(2, 4, 2, 4, 2, 3).mean((2, 4))
    np.testing.assert_allclose(RandomCrop(4, 4)(x), middle, rtol=1e-5)
    assert RandomCrop(20, 30)(x, training=True).shape == (2, 20, 30, 3)  # smaller than the window: nothing to draw
    np.testing.assert_array_equal(augmented(RandomCrop(8, 12), x), x)


def test_the_middle_of_an_image():
    x = photos(2, 8, 12, dtype="uint8")
    np.testing.assert_array_equal(CenterCrop(4, 5)(x), x[:, 2:6, 3:8])
    assert CenterCrop(16, 8)(x).shape == (2, 16, 8, 3)
    np.testing.assert_array_equal(CenterCrop(16, 24)(x, training=True), CenterCrop(16, 24)(x))


def test_a_drawn_change_can_be_made_again_by_hand():
    layer, x = RandomRotation(0.2), photos()
    drawn = layer.draw(KEY, x.shape, "float32")
    np.testing.assert_array_equal(layer.transform(x, *drawn), layer.transform(x, *drawn))
    np.testing.assert_allclose(layer.transform(x, np.zeros(4, "float32")), x, rtol=1e-5)


@pytest.mark.parametrize("layer, path", [(RandomRotation(0.1), "factor"), (RandomBrightness(0.1), "factor"),
                                         (RandomContrast(0.1), "factor"), (MixUp(alpha=0.1), "alpha"),
                                         (RandomNoise(0.1), "stddev"), (CutMix(), "factor")], ids=repr)
def test_strengths_may_differ_from_member_to_member_of_a_population(layer, path):
    x = photos()
    evaluate = lambda strength: apply(layer, {}, {}, (x,), key=KEY, training=True, settings={path: strength})[0]
    each = jax.jit(jax.vmap(evaluate))(np.array([0.2, 0.7], "float32"))
    for strength, images in zip((0.2, 0.7), each, strict=True):
        np.testing.assert_allclose(images, augmented(type(layer)(strength), x), atol=1e-2)


def test_layers_one_after_another_do_not_read_through_each_other():
    """Merged by XLA, each of n layers would be worked out for every place that the next one reads, 4 ** n times."""
    model = cr.Sequential([cr.Input((9, 8, 3)), RandomFlip(), RandomTranslation(0.1, 0.1), RandomRotation(0.1),
                           RandomCrop(8, 8), RandomZoom(0.2), MixUp(), CutMix()])
    program = jax.jit(lambda x, key: model.apply({}, {}, x, key=key, training=True)[0]).lower(photos(4, 9, 8), KEY)
    parts = program.compile().as_text().split("\n\n")
    counts = [part.count(" gather(") for part in parts if " gather(" in part]
    assert len(counts) >= 3 and max(counts) <= 4  # the four pixels about a place


def test_a_layer_of_ones_own():
    with pytest.raises(SettingError) as error:
        ImageAugmentation()(photos(), training=True, key=KEY)
    assert str(error.value).startswith("ImageAugmentation has no `draw`: write `def draw(self, key, shape, dtype)`")
    with pytest.raises(SettingError) as error:
        ImageAugmentation().transform(photos())
    assert str(error.value) == ("ImageAugmentation has no `transform`: write `def transform(self, images, *drawn)` "
                                "that returns the changed images.")


def trained(seed=0, callbacks=()):
    """Weights after two epochs with augmentation, the last batch a short one."""
    draw = np.random.default_rng(3)
    x, y = draw.uniform(0, 255, (22, 6, 6, 3)).astype("uint8"), draw.integers(0, 3, 22)
    model = cr.Sequential([
        cr.Input((6, 6, 3), dtype="uint8"), RandomTranslation(0.2, 0.2), RandomErasing(fill_value=0), MixUp(),
        cr.layers.Rescaling(1 / 255), Flatten(), Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=2, batch_size=5, seed=seed, callbacks=list(callbacks), verbose=0)
    return model.variables()


def test_the_seed_alone_decides_about_the_images():
    first = trained()
    assert_same_bytes(first, trained())
    every_batch = cr.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    assert_same_bytes(first, trained(callbacks=[every_batch]))
    other = trained(seed=1)
    assert not np.array_equal(first[0]["dense"]["kernel"], other[0]["dense"]["kernel"])


@pytest.mark.parametrize("make, message", [
    (lambda: RandomTranslation(1.5, 0),
     "RandomTranslation: `height_factor` is a number from -1 to 1, or a pair (lowest, highest) of them; got 1.5."),
    (lambda: RandomTranslation(0, (0.1, 0.2, 0.3)),
     "RandomTranslation: `width_factor` is a number from -1 to 1, or a pair (lowest, highest) of them; got "
     "(0.1, 0.2, 0.3)."),
    (lambda: RandomRotation("0.1"),
     "RandomRotation: `factor` is a number from -1 to 1, or a pair (lowest, highest) of them; got '0.1'."),
    (lambda: RandomRotation(0.1, fill_mode="reflekt"), "There is no fill mode 'reflekt'. Did you mean 'reflect'?"),
    (lambda: RandomZoom(0.1, True),
     "RandomZoom: `width_factor` is a number from -1 to 1, or a pair (lowest, highest) of them; got True."),
    (lambda: RandomShear(-0.1),
     "RandomShear: `x_factor` is a number from 0 to 1, or a pair (lowest, highest) of them; got -0.1."),
    (lambda: RandomRotation((0.2, -0.2)),
     "RandomRotation: `factor` is a pair (lowest, highest), the lower one first; got (0.2, -0.2)."),
    (lambda: RandomZoom(0.1, fill_mode="constant", fill_value="white"),
     "RandomZoom: `fill_value` must be a number; got 'white'."),
    (lambda: RandomFlip("sideways"),
     "RandomFlip: `mode` is one of 'horizontal', 'vertical', 'horizontal_and_vertical'; got 'sideways'."),
    (lambda: RandomCrop(0, 3), "RandomCrop: `height` must be a positive integer; got 0."),
    (lambda: CenterCrop(3, 2.5), "CenterCrop: `width` must be a positive integer; got 2.5."),
    (lambda: RandomFlip()(cr.Input((28, 28))),
     "RandomFlip takes images, (batch, height, width, channels); got (None, 28, 28). Give grey images a channel: "
     "Reshape((height, width, 1))."),
])
def test_what_is_refused(make, message):
    with pytest.raises((SettingError, ShapeError, UnknownNameError)) as error:
        make()
    assert str(error.value) == message
