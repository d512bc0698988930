"""Windows of series: which rows they hold, that none of the future reaches the inputs, splits, gaps, padding."""
import numpy as np
import pandas as pd
import pytest

import chainrule as cr
from chainrule.data.series import WindowSource, fill, is_several, pad, split, windows
from chainrule.data.series_tables import SeriesTable
from chainrule.errors import ChainruleError, DataError, SettingError, ShapeError, UnknownNameError
from chainrule.layers import Dense, Flatten
from chainrule.series import Scaling


def readings(rows=40, variables=3, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, variables))


def refusal(call, *arguments, **options):
    with pytest.raises(ChainruleError) as error:
        call(*arguments, **options)
    return f"{type(error.value).__name__}: {error.value}"


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("gap", [0, 2])
@pytest.mark.parametrize("target", [None, 1, [2, 0], -1])
def test_windows_hold_the_rows_that_the_equation_says(target, gap, stride):
    values = readings()
    x, y = windows(values, 5, 4, gap=gap, stride=stride, target=target)
    starts = [s for s in range(0, len(values), stride) if s + 5 + gap + 4 <= len(values)]
    columns = slice(None) if target is None else target
    np.testing.assert_array_equal(x, [values[s : s + 5] for s in starts])
    np.testing.assert_array_equal(y, [values[s + 5 + gap : s + 5 + gap + 4, columns] for s in starts])


def test_one_variable_has_its_axis_in_the_inputs_alone():
    x, y = windows(np.arange(10, dtype="float32"), length=4)
    assert x.shape == (6, 4, 1) and y.shape == (6, 1) and x.dtype == y.dtype == np.float32
    x, y = windows(np.arange(10.0)[:, None], 4, 2)
    assert x.shape == (5, 4, 1) and y.shape == (5, 2)
    assert windows(np.arange(10.0)[:, None], 4, 2, target=[0])[1].shape == (5, 2, 1)


@pytest.mark.parametrize("changed", range(40))
def test_nothing_of_the_future_is_in_the_inputs(changed):
    values, known = readings(), readings(variables=2, seed=1)
    altered = values.copy()
    altered[changed] += 1
    options = dict(length=6, horizon=3, gap=1, target=0, known=known)
    (x, y), (other, other_y) = windows(values, **options), windows(altered, **options)
    past = np.array([s + 6 <= changed for s in range(len(y))])
    assert (x["past"] == other["past"])[past].all()
    np.testing.assert_array_equal(x["known"], other["known"])
    sees = np.array([s <= changed < s + 6 for s in range(len(y))])
    assert (x["past"] != other["past"]).any((1, 2)).tolist() == sees.tolist()
    predicts = np.array([s + 7 <= changed < s + 10 for s in range(len(y))])
    assert (y != other_y).any(1).tolist() == predicts.tolist()


def test_known_rows_are_those_of_the_horizon():
    known = np.arange(20)
    x, y = windows(np.arange(20.0), 5, 3, gap=2, known=known)
    np.testing.assert_array_equal(x["known"][..., 0], y)
    assert x["known"].shape == (11, 3, 1) and x["past"].shape == (11, 5, 1)


def test_windows_of_one_series_are_views():
    values = readings()
    x, y = windows(values, 5, 2, target=0)
    assert np.shares_memory(x, values) and np.shares_memory(y, values)
    assert not x.flags.writeable


def test_no_window_crosses_from_one_series_to_the_next():
    first, second, short = np.arange(8.0), np.arange(100.0, 106.0), np.array([7.0, 8.0])
    x, y = windows([first, short, second], length=3, horizon=2)
    parts = [windows(part, 3, 2) for part in (first, second)]
    np.testing.assert_array_equal(x, np.concatenate([part[0] for part in parts]))
    np.testing.assert_array_equal(y, np.concatenate([part[1] for part in parts]))
    known = [part * 10 for part in (first, short, second)]
    np.testing.assert_array_equal(windows([first, short, second], 3, 2, known=known)[0]["known"][..., 0], y * 10)


@pytest.mark.parametrize("wrap", [
    pd.DataFrame, lambda columns: columns, lambda columns: SeriesTable(np.stack(list(columns.values()), -1),
                                                                      list(columns))], ids=["pandas", "dict", "table"])
def test_columns_by_name(wrap):
    columns = {"load": np.arange(12.0), "heat": np.arange(12.0) ** 2}
    x, y = windows(wrap(columns), 4, 2, target="heat")
    np.testing.assert_array_equal(x[0], np.stack([columns["load"], columns["heat"]], -1)[:4])
    np.testing.assert_array_equal(y[0], columns["heat"][4:6])
    assert windows(wrap(columns), 4, 2, target=["heat"])[1].shape == (7, 2, 1)
    assert refusal(windows, wrap(columns), 4, target="haet") == (
        "UnknownNameError: There is no column 'haet'. Did you mean 'heat'?")


def test_forms_of_a_series():
    assert windows(pd.Series(np.arange(6.0)), 2)[0].shape == (4, 2, 1)
    assert windows([1, 2, 3, 4], 2)[1].tolist() == [[3], [4]]
    assert windows([[1, 2, 3], [4, 5, 6, 7]], 2)[1].tolist() == [[3], [6], [7]]
    assert not is_several(np.zeros((3, 2))) and is_several([np.zeros((3, 2))]) and is_several(({"a": [1]},))
    assert not is_several([]) and not is_several([1, [2]])


def test_missing_values_are_refused_or_left_out():
    values = readings(30, 2)
    values[10, 1] = values[20, 0] = np.nan
    assert refusal(windows, values, 4, 2) == (
        "DataError: values has 2 values that are NaN or infinite, the first in row 10, column 1. Fill them "
        "(series.fill(values)), or leave such windows out: missing='skip'.")
    assert refusal(windows, [readings(9, 2), values], 4)[:64] == (
        "DataError: values[1] has 2 values that are NaN or infinite, the ")
    assert refusal(windows, {"load": values[:, 0], "heat": values[:, 0] * 0}, 4) == (
        "DataError: values has 2 values that are NaN or infinite, the first in row 20, column 'load'. Fill them "
        "(series.fill(values)), or leave such windows out: missing='skip'.")
    x, y = windows(values, 4, 2, gap=1, target=0, missing="skip")
    starts = [s for s in range(30 - 6) if np.isfinite(values[s : s + 4]).all()
              and np.isfinite(values[s + 5 : s + 7, 0]).all()]
    np.testing.assert_array_equal(x, [values[s : s + 4] for s in starts])
    np.testing.assert_array_equal(y, [values[s + 5 : s + 7, 0] for s in starts])
    assert refusal(windows, np.full(9, np.nan), 4, missing="skip") == (
        "DataError: Every window of values touches a missing value. Fill them first: series.fill(values).")


def test_what_cannot_be_windows_is_refused():
    assert refusal(windows, np.arange(6.0), 5, 2) == (
        "DataError: values has 6 rows, and a window takes 7: length 5, gap 0, horizon 2. Give more rows or a smaller "
        "length.")
    assert refusal(windows, [np.arange(6.0), np.arange(3.0)], 6) == (
        "DataError: The longest of 2 series has 6 rows, and a window takes 7: length 6, gap 0, horizon 1. Give more "
        "rows or a smaller length.")
    assert refusal(windows, np.arange(6.0), 0) == "SettingError: length is a whole number, 1 or more; got 0."
    assert refusal(windows, np.arange(6.0), 2, 1.5) == "SettingError: horizon is a whole number, 1 or more; got 1.5."
    assert refusal(windows, np.arange(6.0), 2, gap=-1) == "SettingError: gap is a whole number, 0 or more; got -1."
    assert refusal(windows, np.arange(6.0), 2, missing="drop") == (
        "SettingError: missing is one of 'error', 'skip'; got 'drop'.")
    assert refusal(windows, np.zeros((9, 2)), 2, target=2) == (
        "UnknownNameError: There is no column 2. Columns are numbered from 0 to 1.")
    assert refusal(windows, np.zeros((9, 2)), 2, target="load") == (
        "UnknownNameError: target names the column 'load', and the columns have no names here. Give its number, from 0 "
        "to 1.")
    assert refusal(windows, np.zeros((9, 2)), 2, target=[]) == (
        "SettingError: target is an empty list: name the columns to predict.")
    assert refusal(windows, np.zeros((2, 9, 2)), 2) == (
        "ShapeError: values has the shape (2, 9, 2); a series is (rows,) or (rows, variables). For several series give "
        "a list of them.")
    assert refusal(windows, np.zeros((0, 2)), 2) == "DataError: values is empty; its shape is (0, 2)."
    assert refusal(windows, np.arange(9.0), 2, known=np.arange(8.0)) == (
        "DataError: known needs a row for each row of values: expected 9, got 8.")
    assert refusal(windows, np.arange(3.0), 2, known=[1.0, np.nan, 1.0]) == (
        "DataError: known has 1 value that is NaN or infinite, in row 1. What is known of the future is known for "
        "every row.")
    assert refusal(windows, [np.zeros((9, 2)), np.zeros((9, 1))], 2) == (
        "DataError: All series need the same variables: values[0] has 2 columns and values[1] has 1 column.")


@pytest.mark.parametrize("options", [{}, {"gap": 1, "stride": 2, "target": 1}, {"known": np.arange(60.0)}], ids=repr)
def test_a_source_has_the_rows_of_the_windows(options):
    values = readings(60, 2)
    x, y = windows(values, 7, 3, **options)
    source = WindowSource(values, 7, 3, **options)
    chosen = np.array([4, 0, len(source) - 1])
    found, targets = source.rows(chosen)
    assert len(source) == len(y)
    for part, other in zip(*(list(tree.values()) if isinstance(tree, dict) else [tree] for tree in (found, x)),
                           strict=True):
        np.testing.assert_array_equal(part, other[chosen])
    np.testing.assert_array_equal(targets, y[chosen])


def network(length=6, horizon=2):
    model = cr.Sequential([cr.Input((length, 1)), Flatten(), Dense(horizon)])
    model.compile(optimizer="adam", loss="mse")
    return model


def test_fit_streams_a_source_as_it_trains_on_its_windows():
    values = np.sin(np.arange(90) / 5)
    found = []
    for in_memory in (True, False, None):
        source = WindowSource(values, 6, 2)
        source.in_memory = in_memory
        data = windows(values, 6, 2) if in_memory is None else (source,)
        model = network()
        model.fit(*data, epochs=2, batch_size=16, verbose=0, seed=3)
        found.append(model.get_weights())
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_a_scaled_source_gives_the_model_its_scaling():
    values = 20 + 5 * readings(50, 1)[:, 0]
    scaling = Scaling().fit(values)
    source = WindowSource(values, 6, 2, scaling=scaling)
    x, y = source.rows(np.array([3]))
    np.testing.assert_allclose(x[0, :, 0], scaling.transform(values[3:9]))
    np.testing.assert_allclose(y[0], scaling.transform(values[9:11]))
    np.testing.assert_array_equal(source.load()[0][3], x[0])
    model = network()
    model.fit(source, epochs=1, verbose=0)
    assert model.preparation is scaling


def test_a_source_is_split_in_the_order_of_time():
    source = WindowSource([np.arange(30.0), np.arange(100.0, 120.0)], 4, 3)
    train, held = source.split(0.25)
    (_, y), (_, y_held) = train.load(), held.load()
    assert not set(y.ravel()) & set(y_held.ravel())
    for low, high in ((0, 30), (100, 120)):
        here, there = (part[(part >= low) & (part < high)] for part in (y, y_held))
        assert here.max() < there.min() and there.max() == high - 1
    assert len(held) == round(24 * 0.25) + round(14 * 0.25)
    assert refusal(WindowSource(np.arange(9.0), 4, 3).split, 0.9)[:48] == (
        "DataError: Holding out 0.9 of 3 windows leaves o")


@pytest.mark.parametrize("form", [
    np.array, list, pd.Series, lambda v: {"a": v, "b": v}, lambda v: pd.DataFrame({"a": v}),
    lambda v: SeriesTable(v[:, None], ["a"], None)], ids=["array", "list", "column", "dict", "frame", "table"])
def test_split_keeps_the_form(form):
    values = np.arange(20.0)
    parts = split(form(values), validation=0.2, test=3)
    found = []
    for part in parts:
        assert type(part) is type(form(values)) or isinstance(part, np.ndarray)
        column = part["a"] if isinstance(part, (dict, pd.DataFrame, SeriesTable)) else part
        found.append(np.asarray(column).tolist())
    assert found == [list(range(13)), list(range(13, 17)), list(range(17, 20))]


def test_split_with_length_predicts_every_row_after_a_cut_once():
    values = np.arange(50.0)
    parts = split(values, validation=10, test=0.2, length=8)
    targets = [windows(part, 8)[1][:, 0].tolist() for part in parts]
    assert targets == [list(range(8, 30)), list(range(30, 40)), list(range(40, 50))]
    one, two = split([values, values[:20]], test=5)
    assert [len(part) for part in (*one, *two)] == [45, 15, 5, 5]
    assert len(split(values, validation=0.1)) == 2


def test_split_refuses_parts_that_leave_nothing():
    assert refusal(split, np.arange(9)) == (
        "SettingError: split needs the size of a part to hold out: validation=0.1, test=0.2, or numbers of rows.")
    assert refusal(split, np.arange(9), test=1.5) == (
        "SettingError: test is a share of the rows between 0 and 1, or a number of rows; got 1.5.")
    assert refusal(split, np.arange(9), True)[:31] == "SettingError: validation is a s"
    assert refusal(split, np.arange(9), 4, 5) == (
        "DataError: values has 9 rows, and validation and test take 9: nothing is left to train on.")
    assert refusal(split, np.arange(9), 4, length=6) == (
        "DataError: length=6 rows before the first cut are asked for; there are 5.")


def test_fill():
    nan = np.nan
    values = np.array([[nan, 1.0], [2.0, nan], [nan, nan], [8.0, 4.0], [nan, nan]])
    np.testing.assert_array_equal(fill(values), [[2, 1], [2, 2], [5, 3], [8, 4], [8, 4]])
    np.testing.assert_array_equal(fill(values[1:, 0], "forward"), [2, 2, 8, 8])
    assert np.isnan(values).sum() == 6  # what was given is not changed
    assert refusal(fill, values, "forward") == (
        "DataError: Column 0 begins with a missing value, and 'forward' has nothing to repeat. Use 'interpolate', or "
        "begin at row 1.")
    assert refusal(fill, {"load": [nan, nan]}) == (
        "DataError: Column 'load' has no value at all, so its gaps cannot be filled. Leave it out.")
    assert refusal(fill, [1.0], "back") == "SettingError: Gaps are filled by 'interpolate' or 'forward'; got 'back'."


def test_pad():
    padded = pad([readings(3, 2), readings(5, 2)], value=-9.0)
    assert padded.shape == (2, 5, 2) and (padded[0, 3:] == -9).all()
    np.testing.assert_array_equal(padded[0, :3], readings(3, 2))
    assert refusal(pad, [[1.0, 0.0], [1.0]]) == (
        "DataError: values[0] is 0.0 in row 1, which Masking(0.0) would take for padding. Pad with a number that does "
        "not occur.")
    with pytest.raises(DataError):
        pad([readings(3, 2), readings(3, 1)])


def test_errors_are_of_their_kind():
    for kind, call in ((SettingError, lambda: windows([1.0], 0)), (ShapeError, lambda: windows(np.zeros((1, 2, 3)), 1)),
                       (UnknownNameError, lambda: windows([1.0, 2.0], 1, target=3))):
        with pytest.raises(kind):
            call()
