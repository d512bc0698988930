"""Arrays as users hand them in: every form that is taken, and the whole message for every one that is not."""
import datetime

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.utils.class_weight import compute_sample_weight

from chainrule.data import arrays
from chainrule.errors import DataError, SettingError, ShapeError

NAN, INF = float("nan"), float("inf")


def message(error, function, *arguments, **options):
    with pytest.raises(error) as raised:
        function(*arguments, **options)
    return str(raised.value)


# as_arrays


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16", "float32", "float64", "bfloat16"])
def test_numpy_is_handed_through(dtype):
    x = np.zeros((3, 2), jnp.dtype(dtype))
    assert arrays.as_arrays(x) is x


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "bool"])
def test_jax_is_not_copied(dtype):
    x = jnp.ones((3, 2), dtype)
    again = arrays.as_arrays(x)
    assert isinstance(again, np.ndarray) and again.dtype == x.dtype
    if jax.default_backend() == "cpu":
        assert again.ctypes.data == x.unsafe_buffer_pointer()


def test_lists_and_numbers():
    np.testing.assert_array_equal(arrays.as_arrays([[1, 2.5], [3, 4]]), [[1, 2.5], [3, 4]])
    assert arrays.as_arrays([True, False]).dtype == bool
    assert arrays.as_arrays((1, 2)).dtype.kind == "i"
    assert arrays.as_arrays(3.0).shape == ()


def test_a_dict_becomes_a_dict():
    made = arrays.as_arrays({"a": [1, 2], "b": pd.Series([0.5])})
    assert list(made) == ["a", "b"] and all(isinstance(array, np.ndarray) for array in made.values())
    assert message(DataError, arrays.as_arrays, {"a": [1j]}, "y") == (
        "y['a'] is complex128, and networks compute with real numbers. "
        "Give both parts: numpy.stack([x.real, x.imag], -1).")


@pytest.mark.parametrize("columns, dtype", [
    ({"a": np.array([1.5, 2], "float32"), "b": np.array([3, 4], "float32")}, "float32"),
    ({"a": np.array([1, 0], bool), "b": np.array([3, 4], "int16")}, "int16"),
    ({"a": np.array([1, 0], bool), "b": np.array([3, 4.5])}, "float64"),
    ({"a": pd.array([1, 2], "Int64"), "b": np.array([3, 4], "float32")}, "float64"),
    ({"a": pd.array([1, 2], "Int8"), "b": pd.array([True, False], "boolean")}, "int8"),
    ({"a": pd.arrays.SparseArray([0.0, 2.0])}, "float64"),
])
def test_frames(columns, dtype):
    made = arrays.as_arrays(pd.DataFrame(columns))
    assert made.dtype == dtype and made.shape == (2, len(columns))
    for index, column in enumerate(columns.values()):
        np.testing.assert_array_equal(made[:, index], np.asarray(column, "float64"))


def test_gaps_of_pandas_become_nan():
    frame = pd.DataFrame({"a": pd.array([1, None, 3], "Int16"), "b": pd.array([True, False, None], "boolean")})
    made = arrays.as_arrays(frame)
    np.testing.assert_array_equal(made, [[1, 1], [NAN, 0], [3, NAN]])
    assert made.dtype == "float32"
    np.testing.assert_array_equal(arrays.as_arrays(frame["a"]), [1, NAN, 3])
    assert arrays.as_arrays(pd.Series([1, 2], dtype="Int32")).dtype == "int32"


def test_columns_of_the_same_name():
    assert arrays.as_arrays(pd.DataFrame(np.eye(2), columns=["a", "a"])).shape == (2, 2)


def test_a_column_of_pandas_is_not_copied():
    values = np.arange(5.0)
    assert np.shares_memory(arrays.as_arrays(pd.Series(values, copy=False)), values)


DATES = np.array(["2020-01-01", "2020-01-02"], "datetime64[s]")


@pytest.mark.parametrize("x, expected", [
    (np.zeros(2, "complex64"), "x is complex64, and networks compute with real numbers. "
                               "Give both parts: numpy.stack([x.real, x.imag], -1)."),
    (DATES, "x holds times (datetime64[s]). Turn them into numbers first, for instance days: "
            "(x - x.min()) / numpy.timedelta64(1, 'D')."),
    (DATES - DATES[0], "x holds times (timedelta64[s]). Turn them into numbers first, for instance days: "
                       "(x - x.min()) / numpy.timedelta64(1, 'D')."),
    (pd.DataFrame({"a": [1.0, 2.0], "when": DATES}),
     "Column 'when' of x holds times (datetime64[s]). Turn them into numbers first, for instance days: "
     "(x - x.min()) / numpy.timedelta64(1, 'D')."),
    (np.zeros(2, [("a", "f4"), ("b", "i4")]),
     "x is a structured array with the fields a, b. Turn it into a plain one: "
     "numpy.lib.recfunctions.structured_to_unstructured(x)."),
    (None, "x is None; expected an array, a list or a table of numbers."),
    ("table.csv", "x is 'table.csv'; expected an array, a list or a table of numbers."),
    (["cat", "dog"], "x holds text: 'cat' in row 0. For categories: names, x = numpy.unique(x, return_inverse=True)."),
    (np.array([[1, "b"]], object),
     "x holds text: 'b' in row 0, column 1. For categories: names, x = numpy.unique(x, return_inverse=True)."),
    ([["1.5", "2"]], "x holds text: '1.5' in row 0, column 0. For numbers written as text: .astype('float32')."),
    (np.array([1, 2.5], object), "x holds numbers, but as object. Make them plain ones: .astype('float32')."),
    (np.array([[[1, None]]], object), "x holds something other than numbers: None (NoneType) at (0, 0, 1)."),
    (np.array([datetime.date(2020, 1, 2)]),
     "x holds something other than numbers: datetime.date(2020, 1, 2) (date) in row 0."),
    (pd.DataFrame({"age": [30, 40], "city": ["Rome", "Oslo"]}),
     "Column 'city' of x holds text: 'Rome' in row 0. "
     "For categories: pandas.get_dummies(x, columns=['city'], dtype='float32')."),
    (pd.DataFrame({"city": pd.Categorical(["Rome", "Oslo"])}),
     "Column 'city' of x holds text: 'Rome' in row 0. "
     "For categories: pandas.get_dummies(x, columns=['city'], dtype='float32')."),
    (pd.DataFrame({"price": [1, "3.5"]}),
     "Column 'price' of x holds text: '3.5' in row 1. For numbers written as text: .astype('float32')."),
    (pd.Series(["cat", "dog"]),
     "x holds text: 'cat' in row 0. For categories: names, x = numpy.unique(x, return_inverse=True)."),
    (pd.Series([1, 2], dtype="category"),
     "x holds numbers, but as category. Make them plain ones: .astype('float32')."),
    ([[1, 2], [3]], "x is a list whose rows have different lengths. Make them equally long first, "
                    "for instance by padding."),
    (scipy.sparse.csr_matrix(np.eye(1000)),
     "x is sparse (csr_matrix), and networks are trained on dense arrays. Give x.toarray(), which takes 8.0 MB."),
    (scipy.sparse.coo_array(np.eye(10)),
     "x is sparse (coo_array), and networks are trained on dense arrays. Give x.toarray(), which takes 0.0 MB."),
    (np.ma.masked_equal([1, 2, 2], 2),
     "x is a masked array; 2 of its values are masked. Fill them first: x.filled(0)."),
])
def test_what_is_refused(x, expected):
    assert message(DataError, arrays.as_arrays, x) == expected


# check_lengths


def test_lengths():
    assert arrays.check_lengths({"x": np.zeros((4, 2)), "y": np.zeros(4), "sample_weight": None}) == 4
    assert arrays.check_lengths({"x": None}) == 0


@pytest.mark.parametrize("given, expected", [
    ({"x": np.zeros((10, 2)), "y": np.zeros(9), "sample_weight": np.zeros(10)},
     "All arrays need the same number of rows: x has 10, y has 9, sample_weight has 10."),
    ({"x": np.zeros((0, 3)), "y": np.zeros(0)}, "x has no rows; its shape is (0, 3)."),
    ({"x": np.zeros((2, 3)), "y": np.float32(1)},
     "y is a single number; expected an array with a row for each example. "
     "For one example give it that axis: numpy.reshape(y, (1, 1))."),
])
def test_wrong_lengths(given, expected):
    assert message(DataError, arrays.check_lengths, given) == expected


# check_finite


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(0,), (5,), (5, 3), (2, 0, 3)])
def test_finite_values_pass(dtype, shape):
    arrays.check_finite(np.ones(shape, jnp.dtype(dtype)))


def test_finite_values_whose_sum_is_not():
    arrays.check_finite(np.full(100, 3e38, "float32"))
    arrays.check_finite(np.full(100, 6e4, "float16"))


def broken(shape, dtype, *places, value=NAN):
    x = np.zeros(shape, jnp.dtype(dtype))
    for place in places:
        x[place] = value
    return x


MANY = "Training on them would spoil every weight: fill them or leave those rows out."
ONE = "Training on it would spoil every weight: fill it or leave that row out."


@pytest.mark.parametrize("x, expected", [
    (broken((20, 4), "float32", (17, 2), (18, 0), (19, 3)),
     f"x has 3 values that are NaN or infinite, the first in row 17, column 2. {MANY}"),
    (broken((20,), "float64", 3, 4, value=INF), f"x has 2 values that are NaN or infinite, the first in row 3. {MANY}"),
    (broken((20, 5, 5), "float16", (1, 2, 3), value=-INF),
     f"x has 1 value that is NaN or infinite, at (1, 2, 3). {ONE}"),
    (broken((20, 5), "bfloat16", (1, 2)), f"x has 1 value that is NaN or infinite, in row 1, column 2. {ONE}"),
    (np.array([INF, -INF]), f"x has 2 values that are NaN or infinite, the first in row 0. {MANY}"),
])
def test_not_finite(x, expected):
    assert message(DataError, arrays.check_finite, x) == expected


def test_the_fast_path_takes_no_memory_of_the_size_of_the_data(monkeypatch):
    monkeypatch.setattr(np, "isfinite", lambda value: np.ndim(value) == 0 or pytest.fail("scanned"))
    arrays.check_finite(np.ones((1000, 100), "float32"))


# check_labels


@pytest.mark.parametrize("y, classes", [
    (np.array([0, 1, 2]), 3), (np.array([0.0, 2.0]), 3), (np.array([[0], [2]], "uint8"), 3),
    (np.array([True, False]), 2), (np.zeros((0,), "int32"), 3), (np.zeros((4, 5), "int64"), 1),
    (np.array([1, 2], ml_dtypes.bfloat16), 3),
])
def test_labels_in_range(y, classes):
    arrays.check_labels(y, classes)


def test_ignored_labels():
    arrays.check_labels(np.array([0, 255, 2, 255], "uint8"), 3, ignore_class=255)
    arrays.check_labels(np.array([-1, -1]), 3, ignore_class=-1)
    assert message(DataError, arrays.check_labels, np.array([-1, 3]), 3, ignore_class=-1) == (
        "y has labels from 3 to 3; the network has 3 outputs, for labels from 0 to 2. The last layer needs 4 units.")


THREE = "the network has 3 outputs, for labels from 0 to 2."


@pytest.mark.parametrize("y, classes, expected", [
    (np.array([1, 3, 2]), 3, f"y has labels from 1 to 3; {THREE} Labels that start at 1 need 1 taken off: give y - 1."),
    (np.array([0, 3, 2]), 3, f"y has labels from 0 to 3; {THREE} The last layer needs 4 units."),
    (np.array([0.0, 4.0]), 3, f"y has labels from 0 to 4; {THREE} The last layer needs 5 units."),
    (np.array([0, 1]), 1, "y has labels from 0 to 1; the network has 1 output, for the label 0. "
                          "The last layer needs 2 units."),
    (np.array([-1, 1, 1]), 2, "y has labels from -1 to 1; the network has 2 outputs, for labels from 0 to 1. "
                              "Labels -1 and 1 become 0 and 1 by (y + 1) // 2."),
    (np.array([-2, 1]), 3,
     f"y has labels from -2 to 1; {THREE} Number them from 0: names, y = numpy.unique(y, return_inverse=True)."),
    (np.array([10, 20, 30]), 3,
     f"y has labels from 10 to 30; {THREE} Number them from 0: names, y = numpy.unique(y, return_inverse=True)."),
    (np.array([0.0, 0.5]), 3,
     "y needs integer labels from 0 to 2; found 0.5 in row 1. For measured targets use a loss such as "
     "mean_squared_error, for a probability of each class categorical_crossentropy."),
    (np.array([0.0, NAN]), 3, f"y has 1 value that is NaN or infinite, in row 1. {ONE}"),
])
def test_wrong_labels(y, classes, expected):
    assert message(DataError, arrays.check_labels, y, classes) == expected


# check_binary


@pytest.mark.parametrize("y", [np.array([0, 1]), np.array([True]), np.array([0.0, 0.3, 1.0]), np.zeros((0, 1))])
def test_binary_targets(y):
    arrays.check_binary(y)


@pytest.mark.parametrize("y, expected", [
    (np.array([[-1.0], [1.0]]), "y has values from -1.0 to 1.0; binary cross-entropy needs targets from 0 to 1. "
                                "Targets -1 and 1 become 0 and 1 by (y + 1) / 2."),
    (np.array([1, 2, 2]), "y has values from 1 to 2; binary cross-entropy needs targets from 0 to 1. "
                          "Two values become 0 and 1 by y == 2."),
    (np.array([0, 7, 255], "uint8"), "y has values from 0 to 255; binary cross-entropy needs targets from 0 to 1. "
                                     "Grey values become targets by y / 255."),
    (np.array([0, 2, 1]), "y has values from 0 to 2; binary cross-entropy needs targets from 0 to 1. "
                          "For more than two classes use sparse_categorical_crossentropy with an output for each."),
    (np.array([0.5, 1.7, 3.2]), "y has values from 0.5 to 3.2; binary cross-entropy needs targets from 0 to 1. "
                                "For measured targets use a loss such as mean_squared_error."),
    (np.array([0.0, INF]), f"y has 1 value that is NaN or infinite, in row 1. {ONE}"),
])
def test_targets_that_are_not_binary(y, expected):
    assert message(DataError, arrays.check_binary, y) == expected


# check_weights


@pytest.mark.parametrize("weight", [np.array([0, 1]), np.array([0.0, 2.5]), np.ones((3, 2)), np.array([True, False])])
def test_weights(weight):
    arrays.check_weights(weight)


@pytest.mark.parametrize("weight, expected", [
    (np.array([1, 1, -2.0, -3]), "sample_weight has negative values: 2, the first in row 2 (-2.0). "
                                 "A weight says how much a row counts: 0 or more."),
    (np.array([1, NAN]), f"sample_weight has 1 value that is NaN or infinite, in row 1. {ONE}"),
    (np.zeros(5), "sample_weight is 0 in every row, so no row counts and nothing can be learned."),
])
def test_wrong_weights(weight, expected):
    assert message(DataError, arrays.check_weights, weight) == expected


# class_weights_to_rows


@pytest.mark.parametrize("form", [
    lambda y: y, lambda y: y[:, None], lambda y: y.astype("float32"),
    lambda y: np.eye(4)[y], lambda y: 0.9 * np.eye(4)[y] + 0.025,
])
def test_class_weights(form):
    y = np.random.default_rng(0).choice(4, 200, p=[0.6, 0.2, 0.15, 0.05])
    rows = arrays.class_weights_to_rows({0: 0.5, np.int64(2): 3, 3.0: 0}, form(y))
    np.testing.assert_array_equal(rows, np.array([0.5, 1, 3, 0])[y])
    np.testing.assert_allclose(arrays.class_weights_to_rows("balanced", form(y)), compute_sample_weight("balanced", y))


def test_class_weights_of_other_labels():
    np.testing.assert_array_equal(arrays.class_weights_to_rows({-1: 2}, np.array([-1, 1])), [2, 1])
    np.testing.assert_array_equal(arrays.class_weights_to_rows({1: 2}, np.array([[True], [False]])), [2, 1])


def test_a_class_without_rows_may_be_named_if_the_number_is_known():
    np.testing.assert_array_equal(arrays.class_weights_to_rows({2: 9}, np.array([0, 1]), classes=3), [1, 1])


@pytest.mark.parametrize("weights, y, error, expected", [
    ({2: 9}, np.array([0, 1]), SettingError, "class_weight names the class 2, which is none of the labels 0, 1."),
    ({"1": 9}, np.arange(12), SettingError,
     "class_weight names the class '1', which is none of the labels 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and more."),
    ({1: -1}, np.array([0, 1]), SettingError,
     "class_weight gives the class 1 the weight -1; expected a number, 0 or more."),
    ({1: NAN}, np.array([0, 1]), SettingError,
     "class_weight gives the class 1 the weight nan; expected a number, 0 or more."),
    ({1: "2"}, np.array([0, 1]), SettingError,
     "class_weight gives the class 1 the weight '2'; expected a number, 0 or more."),
    ("even", np.array([0, 1]), SettingError,
     "class_weight is a dict of labels and weights, or 'balanced'; got 'even'."),
    ([1, 2], np.array([0, 1]), SettingError,
     "class_weight is a dict of labels and weights, or 'balanced'; got [1, 2]."),
    ({1: 2}, np.array([[1, 0], [1, 1]]), DataError,
     "class_weight needs one class a row; row 1 of the one-hot targets adds up to 2. "
     "Give sample_weight instead, a weight for each row."),
    ({1: 2}, np.zeros((2, 3, 4)), ShapeError,
     "class_weight needs one label a row, the shape (n,), (n, 1) or one-hot (n, classes); got (2, 3, 4). "
     "Give sample_weight instead, a weight for each row."),
    ({1: 2}, np.array([0, 0.5]), DataError, "class_weight needs integer labels; found 0.5 in row 1."),
    ({1: 2}, np.array([0, NAN]), DataError, f"y has 1 value that is NaN or infinite, in row 1. {ONE}"),
])
def test_wrong_class_weights(weights, y, error, expected):
    assert message(error, arrays.class_weights_to_rows, weights, y) == expected
