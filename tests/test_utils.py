"""One-hot labels and normalised vectors: values, shapes, types, messages."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule.errors import DataError, SettingError
from chainrule.utils import normalize, to_categorical

NUMBER_THEM = "Number them from 0: names, labels = numpy.unique(y, return_inverse=True)."


@pytest.mark.parametrize("shape, expected", [
    ((7,), (7, 4)), ((7, 1), (7, 4)), ((3, 5), (3, 5, 4)), ((3, 5, 1), (3, 5, 4)),
    ((), (4,)), ((1,), (1, 4)), ((0,), (0, 4)), ((2, 3, 2), (2, 3, 2, 4)),
])
def test_to_categorical_shapes(shape, expected):
    labels = np.random.default_rng(0).integers(0, 4, shape)
    result = to_categorical(labels, 4)
    assert result.shape == expected and result.dtype == np.float32
    np.testing.assert_array_equal(result.argmax(-1), labels.reshape(expected[:-1]))
    np.testing.assert_array_equal(result.sum(-1), 1)


@pytest.mark.parametrize("labels", [[0, 2, 1], (0.0, 2.0, 1.0), np.array([0, 2, 1], "uint8"), jnp.array([0, 2, 1])])
def test_to_categorical_types(labels):
    np.testing.assert_array_equal(to_categorical(labels), np.eye(3)[[0, 2, 1]])


def test_to_categorical_of_booleans():
    np.testing.assert_array_equal(to_categorical([True, False]), [[0, 1], [1, 0]])


@pytest.mark.parametrize("labels, classes, error, message", [
    ([0, -1, 1], None, DataError, f"to_categorical needs labels from 0 on; the smallest is -1. {NUMBER_THEM}"),
    ([1, 2, 3], 3, DataError, "to_categorical needs labels from 0 to 2 for 3 classes; the largest is 3. "
                              "Give num_classes=4, or subtract 1 if the labels start at 1."),
    ([0, 1.5], None, DataError, "to_categorical needs integer labels; found 1.5."),
    ([0, float("nan")], None, DataError, "to_categorical needs integer labels; found nan."),
    ([0, float("inf")], None, DataError, "to_categorical needs integer labels; found inf."),
    (["cat", "dog"], None, DataError, "to_categorical needs integer labels; got <U3. "
                                      "Number them first: names, labels = numpy.unique(y, return_inverse=True)."),
    ([], None, DataError, "to_categorical got no labels to count the classes of. Give num_classes."),
    ([0], 0, SettingError, "num_classes is a positive integer or None; got 0."),
    ([0], 2.5, SettingError, "num_classes is a positive integer or None; got 2.5."),
    ([0], "3", SettingError, "num_classes is a positive integer or None; got '3'."),
])
def test_to_categorical_messages(labels, classes, error, message):
    with pytest.raises(error) as raised:
        to_categorical(labels, classes)
    assert str(raised.value) == message


@pytest.mark.parametrize("order", [1, 2, 3, np.inf])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_normalize(order, axis):
    x = np.random.default_rng(0).normal(size=(4, 3, 5)).astype("float32")
    lengths = {np.inf: np.abs(x).max(axis)}.get(order, (np.abs(x) ** order).sum(axis) ** (1 / order))
    expected = x / np.expand_dims(lengths, axis)
    result = normalize(x, axis, order)
    assert isinstance(result, np.ndarray) and result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    compiled = jax.jit(lambda x: normalize(x, axis, order))(x)
    assert isinstance(compiled, jax.Array) and compiled.dtype == jnp.float32
    np.testing.assert_allclose(compiled, expected, rtol=1e-5)


def test_normalize_leaves_zeros_and_takes_lists():
    np.testing.assert_array_equal(normalize([[0, 0], [3, 4]]), [[0, 0], [0.6, 0.8]])
