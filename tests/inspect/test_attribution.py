import numpy as np
import pytest

from chainrule.errors import SettingError, ShapeError
from chainrule.inspect import integrated_gradients, occlusion, saliency
from chainrule.layers import Dense, Flatten, Rescaling
from chainrule.models import Input, Sequential

draw = np.random.default_rng(0)
X = draw.normal(size=(7, 4)).astype("float32")
IMAGES = draw.random((3, 6, 5, 2)).astype("float32")


def curved(**settings):
    return Sequential([Input((4,)), Dense(8, activation="tanh"), Dense(3, activation="softmax")], **settings)


def logits(model, x):
    kernel, bias, last, shift = (array.astype("float64") for array in model.get_weights())
    return np.tanh(x @ kernel + bias) @ last + shift


def test_saliency_is_the_derivative_of_the_logit():
    model = curved()
    kernel, bias, last, _ = model.get_weights()
    inner = 1 - np.tanh(X @ kernel + bias) ** 2
    predicted = model.predict(X).argmax(1)
    by_hand = lambda target: (inner * last.T[np.broadcast_to(target, 7)]) @ kernel.T
    for target, classes in ((None, predicted), (2, 2), ([0, 1, 2, 0, 1, 2, 0], [0, 1, 2, 0, 1, 2, 0])):
        found = saliency(model, X, target)
        np.testing.assert_allclose(found, by_hand(classes), rtol=1e-4, atol=1e-6)
        assert found.shape == X.shape and found.dtype == "float32"
    np.testing.assert_allclose(saliency(model, X, batch_size=3), saliency(model, X), rtol=1e-5, atol=1e-7)


def test_saliency_agrees_with_differences():
    model = curved(dtype="float64")
    x, step = X.astype("float64"), 1e-6
    found = saliency(model, x, 1)
    for column in range(4):
        moved = step * np.eye(4)[column]
        difference = (logits(model, x + moved) - logits(model, x - moved))[:, 1] / (2 * step)
        np.testing.assert_allclose(found[:, column], difference, rtol=1e-6)


@pytest.mark.parametrize("baseline", [0.0, [1.0, -1.0, 0.5, 0.0], X[::-1]])
def test_integrated_gradients_add_up_to_what_the_score_gained(baseline):
    model = curved(dtype="float64")
    start = np.broadcast_to(np.asarray(baseline, "float64"), X.shape)
    shares = integrated_gradients(model, X, 2, baseline=baseline, steps=200, batch_size=3)
    np.testing.assert_allclose(shares.sum(1), (logits(model, X) - logits(model, start))[:, 2], atol=1e-4)


def test_integrated_gradients_by_hand():
    model = curved(dtype="float64")
    predicted = logits(model, X).argmax(1)
    steps = 5
    total = sum(saliency(model, X.astype("float64") * (k + 0.5) / steps, predicted) for k in range(steps))
    np.testing.assert_allclose(integrated_gradients(model, X, steps=steps), X * total / steps, rtol=1e-10)


def test_occlusion_by_hand():
    """Of a linear network the score falls by what stood in the window."""
    model = Sequential([Input((6, 5, 2)), Flatten(), Dense(2)], dtype="float64")
    kernel = model.get_weights()[0].reshape(6, 5, 2, 2)
    contributions = np.einsum("nijc,ijct->nijt", IMAGES, kernel)
    for target in (0, 1):
        np.testing.assert_allclose(occlusion(model, IMAGES, target, window=1), contributions[..., target], atol=1e-12)
    found = occlusion(model, IMAGES, 1, window=(2, 3), stride=1)
    expected, count = np.zeros((3, 6, 5)), np.zeros((6, 5))
    for top in range(5):
        for left in range(3):
            window = np.s_[:, top : top + 2, left : left + 3]
            expected[window] += contributions[window][..., 1].sum((1, 2), keepdims=True)
            count[window[1:]] += 1
    np.testing.assert_allclose(found, expected / count, atol=1e-12)
    by_ones = occlusion(model, IMAGES, 1, window=1, value=1.0)
    np.testing.assert_allclose(by_ones, contributions[..., 1] - kernel.sum(2)[..., 1], atol=1e-12)
    by_channel = occlusion(model, IMAGES, 1, window=1, value=[1.0, 0.0])
    np.testing.assert_allclose(by_channel, contributions[..., 1] - kernel[..., 0, 1], atol=1e-12)


def test_occlusion_covers_every_pixel():
    model = Sequential([Input((6, 5)), Flatten(), Dense(2)])
    for window, stride in ((4, 3), (None, None)):
        found = occlusion(model, IMAGES[..., 0], 0, window=window, stride=stride)
        assert found.shape == (3, 6, 5) and np.isfinite(found).all() and (found != 0).all()
    np.testing.assert_allclose(occlusion(model, IMAGES[..., 0], window=2, batch_size=2),
                               occlusion(model, IMAGES[..., 0], window=2), atol=1e-6)


LINEAR = Sequential([Input((6, 5, 2)), Flatten(), Dense(2)])


@pytest.mark.parametrize(("make", "kind", "message"), [
    (lambda: saliency(Dense(3), X), SettingError,
     "saliency takes a Model or a Sequential; got Dense(units=3) (Dense)."),
    (lambda: saliency(Sequential([Input((4,), dtype="int32"), Rescaling(0.5), Dense(2)]), np.ones((2, 4))),
     SettingError, "saliency takes the derivative by the input, which of this model is int32: whole numbers have none. "
     "Explain a Model that begins behind it."),
    (lambda: integrated_gradients(curved(), X, baseline=np.zeros(3)), ShapeError,
     "`baseline` is a number, a row (4,) or one for each row (7, 4); got (3,)."),
    (lambda: integrated_gradients(curved(), X, steps=0), SettingError,
     "steps must be an integer of at least 1; got 0."),
    (lambda: occlusion(curved(), X), ShapeError,
     "occlusion covers windows of images (batch, height, width, channels); got inputs of shape (7, 4)."),
    (lambda: occlusion(LINEAR, IMAGES, window=7), SettingError,
     "`window` is a size, or a height and a width, of at most (6, 5); got (7, 7)."),
    (lambda: occlusion(LINEAR, IMAGES, window="large"), SettingError,
     "`window` is a size, or a height and a width, of at most (6, 5); got 'large'."),
    (lambda: occlusion(LINEAR, IMAGES, window=2, stride=3), SettingError,
     "`stride` 3 is larger than the window (2, 2): pixels between two windows would never be covered."),
    (lambda: occlusion(LINEAR, IMAGES, value=[1, 2, 3]), ShapeError,
     "`value` is a number or one for each of the 2 channels; got (3,)."),
])
def test_what_cannot_be_explained_is_said(make, kind, message):
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == message
