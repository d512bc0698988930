"""Preparing images and reading answers."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule.applications import imagenet, resnet, vgg16, vgg19
from chainrule.errors import SettingError, ShapeError

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3))


def expected(images):
    return (images / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])


@pytest.mark.parametrize(("given", "returned"), [
    ("uint8", "float32"), ("int64", "float32"), ("float32", "float32"), ("float64", "float64")])
def test_preprocess_input(given, returned):
    for images in (IMAGES, IMAGES[0]):
        prepared = imagenet.preprocess_input(images.astype(given))
        assert prepared.dtype == returned and isinstance(prepared, np.ndarray)
        np.testing.assert_allclose(prepared, expected(images), rtol=1e-5, atol=1e-6)


def test_preprocess_input_is_the_same_everywhere():
    assert vgg16.preprocess_input is vgg19.preprocess_input is resnet.preprocess_input is imagenet.preprocess_input


def test_preprocess_input_in_a_compiled_program():
    prepared = jax.jit(imagenet.preprocess_input)(jnp.asarray(IMAGES, "float32"))
    assert prepared.dtype == "float32"
    np.testing.assert_allclose(prepared, expected(IMAGES), rtol=1e-5, atol=1e-6)
    assert imagenet.preprocess_input(jnp.asarray(IMAGES, "bfloat16")).dtype == "bfloat16"


def test_preprocess_input_leaves_its_argument_alone():
    images = IMAGES.astype("float32")
    imagenet.preprocess_input(images)
    np.testing.assert_array_equal(images, IMAGES)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1), (1, 3, 4, 4), (1, 1, 4, 4, 3)])
def test_preprocess_input_takes_images(shape):
    with pytest.raises(ShapeError) as error:
        imagenet.preprocess_input(np.zeros(shape))
    assert str(error.value) == ("preprocess_input takes images (height, width, 3) or (batch, height, width, 3) in red, "
                                f"green and blue; got an array of shape {shape}.")


def test_preprocess_input_warns_of_images_up_to_one():
    with pytest.warns(UserWarning) as found:
        imagenet.preprocess_input(np.full((2, 2, 3), 0.75, "float32"))
    assert [str(warning.message) for warning in found] == [
        "preprocess_input takes images of 0 to 255, and the largest value is 0.75. Multiply by 255 if they are of 0 to "
        "1."]
    imagenet.preprocess_input(np.zeros((2, 2, 3), "float32"))
    imagenet.preprocess_input(np.ones((2, 2, 3), "uint8"))


def test_classes():
    found = imagenet.classes()
    assert len(found) == len({name for _, name in found}) == 1000
    identifiers = [identifier for identifier, _ in found]
    assert identifiers == sorted(set(identifiers))  # the order of the data set's folders
    assert all(len(identifier) == 9 and identifier[0] == "n" and identifier[1:].isdigit() for identifier in identifiers)
    assert [found[index] for index in (0, 134, 281, 999)] == [
        ("n01440764", "tench"), ("n02012849", "crane bird"), ("n02123045", "tabby"), ("n15075141", "toilet tissue")]


def test_decode_predictions():
    predictions = np.zeros((2, 1000), "float32")
    predictions[0, [281, 282, 0]] = 0.5, 0.25, 0.125
    predictions[1, 999] = 1
    first, second = imagenet.decode_predictions(predictions, top=3)
    assert first == [("n02123045", "tabby", 0.5), ("n02123159", "tiger cat", 0.25), ("n01440764", "tench", 0.125)]
    assert second[0] == ("n15075141", "toilet tissue", 1.0) and len(second) == 3
    assert len(imagenet.decode_predictions(jnp.asarray(predictions))[0]) == 5


@pytest.mark.parametrize("shape", [(1000,), (2, 10), (1, 1, 1000)])
def test_decode_predictions_takes_a_thousand_classes(shape):
    with pytest.raises(ShapeError) as error:
        imagenet.decode_predictions(np.zeros(shape))
    shown = "(1000,)" if shape == (1000,) else str(shape)
    assert str(error.value) == ("decode_predictions takes the outputs for the 1,000 classes of ImageNet, (batch, "
                                f"1000); got an array of shape {shown}.")


@pytest.mark.parametrize("top", [0, 1001, 2.5, True, None])
def test_decode_predictions_top(top):
    with pytest.raises(SettingError) as error:
        imagenet.decode_predictions(np.zeros((1, 1000)), top)
    assert str(error.value) == f"decode_predictions: `top` is an integer from 1 to 1000; got {top!r}."
