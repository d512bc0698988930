"""Forecasts that cost nothing: against plain loops, and the linear network against its equation."""
import numpy as np
import pytest

import chainrule as cr
from chainrule import series
from chainrule.errors import ChainruleError
from chainrule.models import load_model

VALUES = np.random.default_rng(0).normal(size=(80, 3))


@pytest.mark.parametrize("gap", [0, 2])
@pytest.mark.parametrize(("length", "horizon", "season"), [(6, 3, 6), (6, 9, 4), (5, 2, 1), (7, 20, 7)])
@pytest.mark.parametrize("target", [None, 1, [2, 0]])
def test_seasonal_naive_is_the_value_a_whole_number_of_seasons_before(length, horizon, season, gap, target):
    x, y = series.windows(VALUES, length, horizon, gap=gap, target=target)
    found = series.seasonal_naive(x, horizon, season=season, gap=gap, target=target)
    assert found.shape == y.shape
    columns = slice(None) if target is None else target
    for start in (0, len(y) - 1):
        for step in range(horizon):
            row = start + length + gap + step
            while row >= start + length:
                row -= season
            np.testing.assert_array_equal(found[start, step], VALUES[row, columns])


def test_naive_repeats_the_last_value():
    x, _ = series.windows(VALUES[:, 0], 4, 3, known=VALUES[:, 1])
    np.testing.assert_array_equal(series.naive(x, 3), np.repeat(x["past"][:, -1], 3, axis=1))


def test_linear_is_its_equation():
    model = series.linear(8, 3, kernel_size=5)
    random = np.random.default_rng(1)
    weights = [random.normal(size=array.shape) for array in model.get_weights()]
    model.set_weights(weights)
    trend_map, trend_bias, rest_map, rest_bias = weights
    x = random.normal(size=(4, 8, 1))
    for window, found in zip(x[..., 0], model.predict(x), strict=True):
        moved = window - window[-1]
        trend = np.array([moved[max(t - 2, 0) : t + 3].mean() for t in range(8)])
        expected = window[-1] + trend @ trend_map + trend_bias + (moved - trend) @ rest_map + rest_bias
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_linear_of_several_variables():
    x, y = series.windows(VALUES, 8, 3)
    model = series.linear(8, 3, variables=3)
    np.testing.assert_allclose(model.predict(x), series.naive(x, 3), rtol=1e-6)  # where it starts
    assert model.predict(x).shape == y.shape
    one = series.linear(8, 3, variables=3, target=2)
    np.testing.assert_allclose(one.predict(x), series.naive(x, 3, target=2), rtol=1e-6)
    assert one.count_params() == 2 * (8 * 3 + 3)


def test_linear_learns_a_season_and_is_kept(tmp_path):
    values = np.sin(np.arange(400) * 2 * np.pi / 12) + np.arange(400) / 50
    x, y = series.windows(values, 24, 12)
    model = series.linear(24, 12, kernel_size=13)
    model.compile(cr.optimizers.Adam(0.01), "mae")
    model.fit(x[:300], y[:300], epochs=30, verbose=0, seed=0)
    error = np.abs(model.predict(x[300:]) - y[300:]).mean()
    assert error < 0.3 * np.abs(series.seasonal_naive(x[300:], 12, season=12) - y[300:]).mean()
    model.save(tmp_path / "linear.chain")
    np.testing.assert_array_equal(load_model(tmp_path / "linear.chain").predict(x), model.predict(x))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: series.seasonal_naive(np.zeros((2, 5, 1)), 3, season=7),
     "DataError: The windows have 5 rows, and a season has 7. Make longer windows."),
    (lambda: series.naive(np.zeros((2, 5)), 3),
     "ShapeError: x has the shape (2, 5); expected windows (n, length, variables), as series.windows makes them."),
    (lambda: series.naive(np.zeros((2, 5, 1)), 0), "SettingError: horizon is a whole number, 1 or more; got 0."),
    (lambda: series.linear(0), "SettingError: length is a whole number, 1 or more; got 0."),
    (lambda: series.linear(5, variables=2, target=2),
     "SettingError: target is the number of a variable, from 0 to 1, or None for all; got 2."),
])
def test_what_is_refused(call, message):
    with pytest.raises(ChainruleError) as error:
        call()
    assert f"{type(error.value).__name__}: {error.value}" == message
