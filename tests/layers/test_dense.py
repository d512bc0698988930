"""Fully connected layers of several kinds: what they compute, and what they refuse."""
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError, ShapeError
from chainrule.layers import Bilinear, Dense, EinsumDense, Maxout

draw = np.random.default_rng(0)


def test_maxout_is_the_largest_of_its_linear_maps():
    x = draw.normal(size=(4, 2, 5)).astype("float32")
    model = cr.Sequential([cr.Input((2, 5)), Maxout(3, pieces=4, bias_initializer="random_normal")])
    kernel, bias = model.get_weights()
    maps = [x @ kernel[:, first : first + 3] + bias[first : first + 3] for first in range(0, 12, 3)]
    np.testing.assert_allclose(model.predict(x), np.max(maps, axis=0), rtol=1e-5, atol=1e-6)


def test_einsum_dense_is_dense():
    x = draw.normal(size=(4, 2, 5)).astype("float32")
    model = cr.Sequential([cr.Input((2, 5)), EinsumDense("...x,xy->...y", 3, bias_axes="y", activation="tanh")])
    twin = cr.Sequential([cr.Input((2, 5)), Dense(3, activation="tanh")])
    twin.set_weights(model.get_weights())
    np.testing.assert_allclose(model.predict(x), twin.predict(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("make, error, message", [
    (lambda: Maxout(3, pieces=0), SettingError, "Maxout: `pieces` must be a positive integer; got 0."),
    (lambda: Bilinear(3)(cr.Input((4,))), ShapeError,
     "Bilinear takes a list of two inputs: Bilinear(units)([x1, x2])."),
    (lambda: Bilinear(3)([cr.Input((4, 2)), cr.Input((2,))]), ShapeError,
     "Bilinear takes two inputs that agree on all axes but the last; got (None, 4, 2) and (None, 2)."),
    (lambda: EinsumDense("ab->ac", 3), SettingError,
     "EinsumDense: `equation` reads input,kernel->output, as in 'abc,cd->abd' or '...x,xy->...y'; got 'ab->ac'."),
    (lambda: EinsumDense("abc,cd->abd", (None, 3))(cr.Input((4, None))), ShapeError,
     "EinsumDense('abc,cd->abd') needs the sizes of c for its kernel; the input has the shape (None, 4, None) and "
     "`output_shape` is (None, 3)."),
    (lambda: EinsumDense("abc,cd->abd", 3)(cr.Input((4, 5))), ShapeError,
     "EinsumDense('abc,cd->abd') does not fit an input of shape (None, 4, 5) and output_shape=3: one size for each "
     "letter of the output 'abd' but the batch."),
    (lambda: EinsumDense("abc,cd->abd", (7, 3))(cr.Input((4, 5))), ShapeError,
     "EinsumDense('abc,cd->abd'): the axis b has size 4 in the input and 7 in `output_shape`."),
    (lambda: EinsumDense("abc,cd->abd", (None, 3), bias_axes="c")(cr.Input((4, 5))), SettingError,
     "EinsumDense: `bias_axes` are letters of the output 'abd'; got 'c'."),
])
def test_what_is_refused(make, error, message):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == message
