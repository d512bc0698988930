"""Brightness, contrast, saturation, noise and holes: what is drawn, what it does to known values, what is refused."""
import colorsys

import jax
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError, ShapeError
from chainrule.layers import RandomBrightness, RandomContrast, RandomErasing, RandomNoise, RandomSaturation
from tests.layers.test_augmentation import assert_uniform, augmented

KEY = jax.random.key(0)
DRAW = np.random.default_rng(0)


def drawn(layer, shape=(400, 4, 5, 3)):
    return [np.asarray(part) for part in layer.draw(KEY, shape, "float32")]


def test_brightness_is_a_share_of_the_range():
    y = np.asarray(augmented(RandomBrightness((-0.2, 0.1), value_range=(-1, 1)), np.zeros((400, 2, 2, 1))))
    assert_uniform(y[:, 0, 0, 0], -0.4, 0.2)
    assert (y == y[:, :1, :1]).all()
    white = augmented(RandomBrightness((1, 1)), DRAW.uniform(0, 255, (2, 3, 3, 3)))
    np.testing.assert_array_equal(white, np.full((2, 3, 3, 3), 255))


@pytest.mark.parametrize("factor, bounds", [(0.3, (0.7, 1.3)), ((0.6, 0.1), (0.4, 1.1))])
def test_contrast_scales_about_the_mean_of_each_channel(factor, bounds):
    x = np.tile(np.array([[100, 50], [140, 70]], "float32"), (400, 1, 1, 1))
    y = np.asarray(augmented(RandomContrast(factor), x))
    np.testing.assert_allclose(y.mean((1, 2)), np.tile([120, 60], (400, 1)), rtol=1e-5)
    assert_uniform((y[:, 0, 1, 0] - y[:, 0, 0, 0]) / 40, *bounds)


@pytest.mark.parametrize("lowest, highest", [(0, 255), (0, 1), (-1, 1)])
def test_saturation_is_that_of_hsv(lowest, highest):
    x = DRAW.uniform(lowest, highest, (3, 4, 5, 3)).astype("float32")
    x[0, 0, 0] = highest  # white has no hue
    x[0, 0, 1] = lowest
    factor = np.array([0.2, 0.5, 0.9], "float32")
    y = RandomSaturation(0.5, value_range=(lowest, highest)).transform(x, factor)
    unit = (x - lowest) / (highest - lowest)
    expected = np.empty_like(x)
    for place in np.ndindex(x.shape[:3]):
        hue, saturation, value = colorsys.rgb_to_hsv(*unit[place].tolist())
        strength = factor[place[0]] / (1 - factor[place[0]])
        expected[place] = colorsys.hsv_to_rgb(hue, min(saturation * strength, 1), value)
    np.testing.assert_allclose(y, lowest + expected * (highest - lowest), rtol=1e-4, atol=1e-4 * highest)
    np.testing.assert_allclose(y[1], x[1], rtol=1e-5, atol=1e-5 * highest)


def test_strengths_of_saturation():
    assert_uniform(*drawn(RandomSaturation(0.4)), 0, 0.4)
    assert_uniform(*drawn(RandomSaturation((0.4, 0.6))), 0.4, 0.6)


def test_noise_has_its_strength_for_all_images_or_for_each():
    x = np.full((300, 20, 20, 1), 0.5, "float32")
    y = np.asarray(augmented(RandomNoise(0.05, value_range=(0, 1)), x))
    assert abs(y.std() - 0.05) < 1e-3 and abs(y.mean() - 0.5) < 1e-3
    y = np.asarray(augmented(RandomNoise((0.02, 0.1), value_range=(0, 1)), x))
    assert_uniform(*drawn(RandomNoise((0.02, 0.1)))[:1], 0.02, 0.1)
    assert 0.015 < y.std((1, 2, 3)).min() < 0.03 and 0.09 < y.std((1, 2, 3)).max() < 0.12


def test_erasing_puts_one_rectangle_into_some_images():
    x = np.ones((600, 30, 20, 2), "float32")
    y = np.asarray(augmented(RandomErasing((0.6, 0.6), scale=(0.1, 0.4), fill_value=[0, 5]), x))
    hole = y[..., 0] == 0
    np.testing.assert_array_equal(hole, y[..., 1] == 5)
    erased = hole.any((1, 2))
    assert 0.54 < erased.mean() < 0.66
    rows, columns = hole.any(2)[erased], hole.any(1)[erased]
    np.testing.assert_array_equal(hole[erased], rows[:, :, None] & columns[:, None, :])  # a rectangle
    for side, size in [(rows, 30), (columns, 20)]:
        assert (np.abs(np.diff(side.astype(int), axis=1)).sum(1) <= 2).all()  # in one piece
        assert (side.sum(1) >= np.sqrt(0.1) * size - 1).all() and (side.sum(1) <= np.sqrt(0.4) * size + 1).all()
        often = side.mean(0)
        assert often.min() > 0.02 and abs(often[0] - often[-1]) < 0.05  # everywhere, at both ends alike
    assert abs(erased.mean() - 0.6) < 0.06


def test_a_single_probability_is_the_highest_one_as_in_keras():
    box, _ = drawn(RandomErasing(0.8, scale=(1, 1)), (1000, 4, 5, 3))
    assert abs(box.all((1, 2, 3)).mean() - 0.4) < 0.05


def test_noise_fills_holes_within_the_range():
    y = np.asarray(augmented(RandomErasing((1, 1), (1, 1), value_range=(-1, 1)), np.zeros((4, 20, 20, 3))))
    assert y.min() == -1 and y.max() == 1 and abs(y.mean()) < 0.05 and len(np.unique(y)) > 1000


RANGE = "`value_range` is the lowest and the highest value of pixels, such as (0, 255) or (0, 1); got "


@pytest.mark.parametrize("make, message", [
    (lambda: RandomBrightness(2),
     "RandomBrightness: `factor` is a number from -1 to 1, or a pair (lowest, highest) of them; got 2."),
    (lambda: RandomBrightness(0.1, value_range=(1, 0)), f"RandomBrightness: {RANGE}(1, 0)."),
    (lambda: RandomContrast(0.1, value_range=255), f"RandomContrast: {RANGE}255."),
    (lambda: RandomContrast((0.5, -0.5)),
     "RandomContrast: `factor` is a number from 0 to 1, or a pair (lowest, highest) of them; got (0.5, -0.5)."),
    (lambda: RandomSaturation(0.5)(cr.Input((8, 8, 1))),
     "RandomSaturation takes colour images, (batch, height, width, 3); got (None, 8, 8, 1). Grey images have no "
     "saturation: leave it out."),
    (lambda: RandomNoise((0.1, -0.1)), "RandomNoise: `stddev` must be a number of at least 0; got -0.1."),
    (lambda: RandomNoise((0.2, 0.1)),
     "RandomNoise: `stddev` is a pair (lowest, highest), the lower one first; got (0.2, 0.1)."),
    (lambda: RandomErasing(scale=(0.4, 0.1)),
     "RandomErasing: `scale` is a pair (lowest, highest), the lower one first; got (0.4, 0.1)."),
    (lambda: RandomErasing(fill_value="noise"),
     "RandomErasing: `fill_value` is a number, one a channel, or None for noise; got 'noise'."),
    (lambda: RandomErasing(fill_value=[0, None, 0]),
     "RandomErasing: `fill_value` is a number, one a channel, or None for noise; got [0, None, 0]."),
    (lambda: RandomErasing(fill_value=[0, 0])(cr.Input((8, 8, 3))),
     "RandomErasing: `fill_value` is a number or one a channel, 3 here; got [0, 0]."),
])
def test_what_is_refused(make, message):
    with pytest.raises((SettingError, ShapeError)) as error:
        make()
    assert str(error.value) == message


def test_a_pair_for_contrast_is_how_far_down_and_how_far_up():
    assert_uniform(*drawn(RandomContrast((0.5, 0.2))), 0.5, 1.2)
