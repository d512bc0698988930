"""Layers that learn from data before training, and categories as numbers."""
import jax
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DataError, NotReadyError, SettingError, ShapeError
from chainrule.layers import CategoryEncoding, Dense, Discretization, Hashing, Normalization
from chainrule.models import load_model

draw = np.random.default_rng(0)
X = draw.normal(3.0, 2.0, size=(40, 3)).astype("float32")


def test_statistics_are_state_of_the_model(tmp_path):
    layer = Normalization()
    layer.adapt(X)
    model = cr.Sequential([cr.Input((3,)), layer, Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], epochs=2, verbose=0)
    mean, variance = model.get_layer("normalization").get_weights()
    np.testing.assert_allclose(mean, X.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, X.var(0), rtol=1e-4)
    model.save(tmp_path / "model.chain")
    again = load_model(tmp_path / "model.chain")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    for one in (model, again):
        _, state = one.init(jax.random.key(3))
        np.testing.assert_array_equal(state["normalization"]["mean"], mean)
    model.predict(X)
    model.get_layer("normalization").adapt(X + 1)  # a compiled prediction sees it too
    np.testing.assert_allclose(model.predict(X + 1), again.predict(X), rtol=1e-4, atol=1e-5)


def test_statistics_have_the_precision_of_the_network():
    layer = Normalization()
    layer.adapt(X)
    model = cr.Sequential([cr.Input((3,)), layer], dtype="float64")
    assert model.get_weights()[0].dtype == np.float64
    np.testing.assert_allclose(model.predict(X).mean(0), 0, atol=1e-12)


def test_inverse():
    there = Normalization()
    there.adapt(X)
    mean, variance = X.mean(0), X.var(0)
    np.testing.assert_allclose(Normalization(mean=mean, variance=variance, invert=True)(there(X)), X, rtol=1e-4)


def test_a_feature_that_never_changes():
    layer = Normalization()
    layer.adapt(np.ones((4, 1)))
    np.testing.assert_array_equal(layer(np.ones((2, 1), "float32")), 0)


def test_bins_hold_equally_many(tmp_path):
    layer = Discretization(num_bins=4)
    layer.adapt(X[:, 0])
    inputs = cr.Input((1,))
    model = cr.Model(inputs, CategoryEncoding(4, "one_hot")(layer(inputs)))
    np.testing.assert_array_equal(model.predict(X[:, :1]).sum(0), 10)
    model.save(tmp_path / "model.chain")
    np.testing.assert_array_equal(load_model(tmp_path / "model.chain").predict(X[:, :1]), model.predict(X[:, :1]))


def test_tokens_that_are_none_leave_zeros():
    np.testing.assert_array_equal(CategoryEncoding(3, "count")(np.array([[-1, 3, 2]])), [[0, 0, 1]])


def test_hashes_spread_and_do_not_depend_on_the_way():
    numbers = np.arange(10_000).reshape(-1, 1)
    bins = np.asarray(Hashing(10)(numbers))
    assert bins.dtype == np.int32
    counts = np.bincount(bins.ravel(), minlength=10)
    assert counts.min() > 900 and counts.max() < 1100
    inputs = cr.Input((1,), dtype="int32")
    np.testing.assert_array_equal(cr.Model(inputs, Hashing(10)(inputs)).predict(numbers), bins)
    assert not np.array_equal(Hashing(10, salt=1)(numbers), bins)
    assert Hashing(10)(np.array([[7], [-3]])).tolist() == [[9], [2]]  # the same on every machine


def test_strings_are_hashed_on_the_host():
    names = np.array([["Rome", "Oslo"], ["Rome", "Lima"]])
    codes = Hashing(50)(names)
    assert codes.shape == (2, 2) and codes[0, 0] == codes[1, 0] and len({*codes.ravel().tolist()}) == 3
    np.testing.assert_array_equal(Hashing(50)(names.astype(object)), codes)
    masked = Hashing(50, mask_value="Oslo")(names)
    assert masked[0, 1] == 0 and (masked.ravel()[[0, 2, 3]] > 0).all()
    assert Hashing(5, output_mode="one_hot")(names).shape == (2, 2, 5)
    assert Hashing(50)(np.array(["Rome", "Oslo"])).tolist() == [28, 22]  # the same on every machine


@pytest.mark.parametrize("make, error, message", [
    (lambda: Normalization(mean=1.0), SettingError,
     "Normalization: `mean` and `variance` go together, or are both learned by adapt(data); got mean=1.0, "
     "variance=None."),
    (lambda: Normalization(mean=[1.0], variance=1.0), SettingError,
     "Normalization: `mean` and `variance` have one shape; got (1,) and ()."),
    (lambda: Normalization(mean=0.0, variance=1.0).adapt(X), SettingError,
     "Normalization was given its mean and variance, so there is nothing to learn. Leave them out to adapt to data."),
    (lambda: Normalization(mean=[0.0, 1.0], variance=[1.0, 1.0])(X), ShapeError,
     "Normalization: mean and variance of shape (2,) do not fit the axes -1 of inputs of shape (None, 3), whose sizes "
     "are (3,)."),
    (lambda: Normalization()(cr.Input((None,))), ShapeError,
     "Normalization needs the sizes of the axes -1; got (None, None). Give them in Input(shape=...)."),
    (lambda: Normalization().adapt(np.array([[1.0], [np.nan]])), DataError,
     "Normalization.adapt: the data hold NaN or infinity. Drop or fill those rows first."),
    (lambda: Normalization().adapt(np.zeros((0, 2))), DataError,
     "Normalization.adapt takes rows of numbers, the batch axis first; got an array of shape (0, 2)."),
    (lambda: Discretization(), SettingError,
     "Discretization takes either `bin_boundaries`, or `num_bins` to learn them by adapt; got bin_boundaries=None, "
     "num_bins=None."),
    (lambda: Discretization([1.0, 0.0]), SettingError, "Discretization: `bin_boundaries` must rise; got [1.0, 0.0]."),
    (lambda: Discretization([0.0]).adapt(X), SettingError,
     "Discretization was given its boundaries, so there is nothing to learn. Give `num_bins` in their place to adapt "
     "to data."),
    (lambda: Discretization(num_bins=3)(X), NotReadyError,
     "Discretization(num_bins=...) has no boundaries yet: call adapt(data) on it before the model is used."),
    (lambda: CategoryEncoding(0), SettingError, "CategoryEncoding: `num_tokens` must be a positive integer; got 0."),
    (lambda: CategoryEncoding(3, "onehot"), SettingError,
     "CategoryEncoding: there is no output mode 'onehot'. Did you mean 'one_hot'?"),
    (lambda: Hashing(1, mask_value=0), SettingError,
     "Hashing: a `mask_value` has bin 0 for itself, so `num_bins` must be at least 2; got 1."),
    (lambda: Hashing(3)(np.array(["a", None], object)), DataError,
     "x has 1 missing entry: None in row 1. Leave such rows out, or fill them: x.fillna('') for text in a column of "
     "pandas."),
])
def test_what_is_refused(make, error, message):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == message


def test_data_of_another_shape():
    layer = Normalization()
    layer.adapt(X)
    message = ("Normalization(axis=-1) learned statistics of shape (3,) by adapt, and its input needs (2,). Adapt it "
               "to data of the input's shape.")
    with pytest.raises(ShapeError) as error:
        layer(cr.Input((2,)))
    assert str(error.value) == message
    layer(cr.Input((3,)))
    with pytest.raises(ShapeError) as error:
        layer.adapt(X[:, :2])
    assert str(error.value) == message.replace("(3,)", "(_,)").replace("(2,)", "(3,)").replace("(_,)", "(2,)")
