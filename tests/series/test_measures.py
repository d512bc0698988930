"""Figures of forecasts, against their equations written out."""
import numpy as np
import pytest

from chainrule import series
from chainrule.errors import ChainruleError

RANDOM = np.random.default_rng(0)
HISTORY, Y, P = RANDOM.normal(size=60), RANDOM.normal(size=(7, 4)), RANDOM.normal(size=(7, 4))


@pytest.mark.parametrize("season", [1, 12])
def test_mase(season):
    scale = np.mean([abs(HISTORY[t] - HISTORY[t - season]) for t in range(season, 60)])
    assert series.mase(Y, P, HISTORY, season) == pytest.approx(np.mean(abs(Y - P)) / scale)
    assert series.mase(10 * Y, 10 * P, 10 * HISTORY, season) == pytest.approx(series.mase(Y, P, HISTORY, season))


def test_mase_of_the_naive_forecast_of_the_history_is_one():
    assert series.mase(HISTORY[1:], HISTORY[:-1], HISTORY) == pytest.approx(1)


def test_smape():
    assert series.smape(Y, P) == pytest.approx(200 * np.mean(abs(Y - P) / (abs(Y) + abs(P))))
    assert series.smape([0.0, 1.0], [0.0, -1.0]) == 100  # nothing and the worst


def test_coverage():
    assert series.coverage([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 0.0, 0.0], [1.0, 5.0, 4.0, 3.0]) == 0.5


@pytest.mark.parametrize(("call", "message"), [
    (lambda: series.mase(Y, P[:, :1], HISTORY),
     "ShapeError: y_true and y_pred need the same shape, with at least one value; got (7, 4) and (7, 1)."),
    (lambda: series.coverage(Y, P, P[:2]),
     "ShapeError: y_true and upper need the same shape, with at least one value; got (7, 4) and (2, 4)."),
    (lambda: series.mase(Y, P, HISTORY[:12], 12),
     "DataError: history has 12 rows, and a season has 12. Give the whole training part."),
    (lambda: series.mase(Y, P, np.ones(9)),
     "DataError: history repeats itself without any change, so errors cannot be scaled by it."),
    (lambda: series.mase(Y, P, np.ones((9, 2))), "ShapeError: history has 2 variables; mase compares one at a time."),
    (lambda: series.smape([np.nan], [1.0]),
     "DataError: y_true has 1 value that is NaN or infinite, in row 0. Training on it would spoil every weight: fill "
     "it or leave that row out."),
])
def test_what_is_refused(call, message):
    with pytest.raises(ChainruleError) as error:
        call()
    assert f"{type(error.value).__name__}: {error.value}" == message
