"""Augmentation with forced draws, beside Keras and torchvision with the same parameters."""
import inspect

import keras
import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as vision

from chainrule import layers
from chainrule.layers.augmentation import centred_window

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

DRAW = np.random.default_rng(0)
IMAGES = DRAW.uniform(0, 255, (4, 9, 12, 3)).astype("float32")
HEIGHT, WIDTH = IMAGES.shape[1:3]
MODES = [("constant", 7.0), ("nearest", 0.0)]  # the two that Keras computes as documented on PyTorch


def numbers(lowest, highest):
    return DRAW.uniform(lowest, highest, len(IMAGES)).astype("float32")


def assert_close(ours, theirs, tolerance=2e-3):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-4, atol=tolerance)


def columns(*values):
    return torch.tensor(np.stack(values, -1))


def by_image(transform):
    """A function of torchvision (channels first) for each image with its own parameters."""
    images = torch.tensor(IMAGES).movedim(-1, 1)
    return torch.stack([transform(image, index) for index, image in enumerate(images)]).movedim(1, -1)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("fill_mode, fill_value", MODES)
def test_geometry_is_that_of_keras(fill_mode, fill_value, interpolation):
    options = {"fill_mode": fill_mode, "fill_value": fill_value, "interpolation": interpolation}

    def both(name, factors, ours, theirs):
        made = getattr(layers, name)(*factors, **options).transform(IMAGES, *ours)
        assert_close(made, getattr(keras.layers, name)(*factors, **options).transform_images(
            torch.tensor(IMAGES), theirs, training=True))

    first, second = numbers(-0.4, 0.4), numbers(-0.4, 0.4)
    both("RandomTranslation", (0.4, 0.4), (first, second),
         {"translations": columns(second * WIDTH, first * HEIGHT)})
    both("RandomZoom", (0.4, 0.4), (1 + first, 1 + second),
         {"height_zoom": columns(1 + first), "width_zoom": columns(1 + second)})
    both("RandomShear", (0.4, 0.4), (first, second), {"shear_factor": columns(first, second)})
    angles = torch.tensor(360 * first)
    zeros, ones = torch.zeros(len(IMAGES)), torch.ones(len(IMAGES))
    matrix = keras.layers.RandomRotation(0.4)._compute_affine_matrix(
        0.5, 0.5, angles, zeros, zeros, ones, zeros, zeros, HEIGHT, WIDTH)
    both("RandomRotation", (0.4,), (first,), {"rotation_matrix": matrix})


def test_rotations_translations_zooms_and_flips_are_those_of_torchvision():
    bilinear = {"interpolation": InterpolationMode.BILINEAR}
    turn, zoom = numbers(-0.5, 0.5), numbers(0.6, 1.6)
    ours = layers.RandomRotation(0.5, fill_mode="constant").transform(IMAGES, turn)
    assert_close(ours, by_image(lambda image, index: vision.rotate(image, 360 * float(turn[index]), **bilinear)), 0.05)
    pixels = DRAW.integers(-3, 4, (2, len(IMAGES)))
    ours = layers.RandomTranslation(0.5, 0.5, fill_mode="constant").transform(
        IMAGES, *(pixels / np.array([[HEIGHT], [WIDTH]])).astype("float32"))
    moved = lambda image, index: vision.affine(image, 0, pixels[::-1, index].tolist(), 1.0, [0.0, 0.0], **bilinear)
    assert_close(ours, by_image(moved), 0.05)
    ours = layers.RandomZoom(0.6, fill_mode="constant").transform(IMAGES, zoom, zoom)
    scaled = lambda image, index: vision.affine(image, 0, [0, 0], 1 / float(zoom[index]), [0.0, 0.0], **bilinear)
    assert_close(ours, by_image(scaled), 0.05)
    every, none = np.ones(len(IMAGES), bool), np.zeros(len(IMAGES), bool)
    assert_close(layers.RandomFlip().transform(IMAGES, every, none), by_image(lambda image, _: vision.hflip(image)))
    assert_close(layers.RandomFlip().transform(IMAGES, none, every), by_image(lambda image, _: vision.vflip(image)))


def test_shears_are_those_of_torchvision_about_the_corner():
    shear = numbers(-0.4, 0.4)
    ours = layers.RandomShear(0.4, fill_mode="constant").transform(IMAGES, shear, 0 * shear)

    def theirs(image, index):
        angle = np.degrees(np.arctan(shear[index])).item()
        # Its coordinates are 0.5 at the centre of the first pixel.
        return vision.affine(image, 0, [0, 0], 1.0, [angle, 0.0], InterpolationMode.BILINEAR, center=[0.5, 0.5])

    assert_close(ours, by_image(theirs), 0.05)


@pytest.mark.parametrize("height, width", [(4, 6), (5, 5), (9, 12), (3, 12), (20, 11)])
def test_crops_are_those_of_keras_and_torchvision(height, width):
    if height <= HEIGHT and width <= WIDTH:
        top = DRAW.integers(0, HEIGHT - height + 1, len(IMAGES)).astype("int32")
        left = DRAW.integers(0, WIDTH - width + 1, len(IMAGES)).astype("int32")
        ours = layers.RandomCrop(height, width).transform(IMAGES, top, left)
        assert_close(ours, by_image(lambda image, index: vision.crop(image, top[index], left[index], height, width)))
    assert_close(layers.CenterCrop(height, width)(IMAGES), keras.layers.CenterCrop(height, width)(torch.tensor(IMAGES)))
    theirs = keras.preprocessing.image.smart_resize(IMAGES, (height, width))
    assert_close(centred_window(IMAGES, height, width), theirs)
    part = [max(min(size, other * wanted // across), 1) for size, other, wanted, across in
            ((HEIGHT, WIDTH, height, width), (WIDTH, HEIGHT, width, height))]
    corner = [(size - kept) // 2 for size, kept in zip((HEIGHT, WIDTH), part, strict=True)]
    resized = lambda image, _: vision.resized_crop(image, *corner, *part, [height, width], antialias=False)
    assert_close(layers.RandomCrop(height, width)(IMAGES), by_image(resized))


@pytest.mark.parametrize("value_range, images", [((0, 255), IMAGES), ((0, 1), IMAGES / 255)])
def test_colours_are_those_of_keras(value_range, images):
    images = images.astype("float32")

    def both(name, ours, theirs):
        settings = {"factor": 0.5, "value_range": value_range}
        made = getattr(layers, name)(**settings).transform(images, ours)
        assert_close(made, getattr(keras.layers, name)(**settings).transform_images(
            torch.tensor(images), theirs, training=True), 1e-3 * value_range[1])

    change = numbers(-0.6, 0.6)
    both("RandomBrightness", change, {"rgb_delta": torch.tensor(change * value_range[1])[:, None, None, None]})
    contrast = numbers(0.3, 1.7)
    both("RandomContrast", contrast, {"contrast_factor": torch.tensor(contrast)[:, None, None, None]})
    factor = numbers(0.0, 0.5)  # above, Keras lets colours leave the range
    both("RandomSaturation", factor, {"factor": torch.tensor(factor / (1 - factor))})


def test_erasing_and_mixtures_are_those_of_keras():
    box = np.zeros((len(IMAGES), HEIGHT, WIDTH, 1), bool)
    box[0, 2:5, 3:9] = box[1, :2] = box[3, :, 7:] = True
    theirs = {"apply_erasing": torch.ones(len(IMAGES), dtype=torch.bool), "batch_masks": torch.tensor(box),
              "fill_value": torch.tensor(9.0)}
    assert_close(layers.RandomErasing().transform(IMAGES, box, np.float32(9)),
                 keras.layers.RandomErasing().transform_images(torch.tensor(IMAGES), theirs))
    order, share = np.array([2, 0, 3, 1]), numbers(0, 1)
    theirs = {"mix_weight": torch.tensor(share), "permutation_order": torch.tensor(order)}
    mixed, own = layers.MixUp().transform(IMAGES, IMAGES[order], share)
    assert_close(mixed, keras.layers.MixUp().transform_images(torch.tensor(IMAGES), theirs))
    assert_close(own, share)
    rows, across = box.any((2, 3)), box.any((1, 3))
    theirs = {"batch_masks": torch.tensor(box), "permutation_order": torch.tensor(order)}
    mixed, own = layers.CutMix().transform(IMAGES, IMAGES[order], rows, across)
    assert_close(mixed, keras.layers.CutMix().transform_images(torch.tensor(IMAGES), theirs))
    assert_close(own, 1 - box.mean((1, 2, 3)))


NAMES = ["RandomTranslation", "RandomRotation", "RandomZoom", "RandomShear", "RandomFlip", "RandomCrop", "CenterCrop",
         "RandomBrightness", "RandomContrast", "RandomSaturation", "RandomErasing", "MixUp", "CutMix"]


@pytest.mark.parametrize("name", NAMES)
def test_settings_have_the_names_order_and_defaults_of_keras(name):
    def settings(cls, dropped):
        found = inspect.signature(cls.__init__).parameters.values()
        return [(one.name, one.default) for one in found if one.name not in dropped and one.kind is not one.VAR_KEYWORD]

    dropped = {"self", "name", "trainable", "input_shape", "dtype", "data_format", "activity_regularizer"}
    assert settings(getattr(layers, name), dropped) == settings(getattr(keras.layers, name), dropped)
