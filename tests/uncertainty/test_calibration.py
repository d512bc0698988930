"""Calibration beside the metric and beside other ways to compute it; the figures that show it."""
import io
import sys

import numpy as np
import pytest
from PIL import Image
from scipy import optimize, special, stats

from chainrule import metrics, uncertainty
from chainrule.errors import ChainruleError

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(400, 3)) * 3
P = special.softmax(LOGITS, -1).astype("float32")
Y = np.array([RANDOM.choice(3, p=row) for row in special.softmax(LOGITS / 2, -1)])  # half as sure as P says
ONES = (RANDOM.random(400) < 0.3 + 0.4 * P[:, 0]).astype(int)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_the_error_is_that_of_the_metric(bins):
    for y, p in ((Y, P), (np.eye(3)[Y], P), (ONES[:, None], P[:, :1])):
        metric = metrics.ExpectedCalibrationError(bins=bins)
        assert uncertainty.calibration_curve(y, p, bins).error == pytest.approx(float(metric(y, p)), abs=1e-6)


def test_bins_of_equal_width():
    curve = uncertainty.calibration_curve(ONES, P[:, 0], bins=10, of=1)
    for lower, upper, probability, frequency, count in zip(
            curve.lower, curve.upper, curve.probability, curve.frequency, curve.count, strict=True):
        inside = (P[:, 0] > lower) & (P[:, 0] <= upper)
        assert count == inside.sum() and upper - lower == pytest.approx(0.1)
        assert (probability, frequency) == pytest.approx((P[inside, 0].mean(), ONES[inside].mean()))
    assert curve.count.sum() == 400
    assert curve.maximum_error == np.abs(curve.frequency - curve.probability).max() > curve.error


def test_bins_of_equal_counts():
    curve = uncertainty.calibration_curve(Y, P, bins=8, strategy="quantile", of=2)
    assert curve.count.tolist() == [50] * 8
    assert curve.lower[0] == 0 and curve.upper[-1] == 1 and (curve.upper[:-1] == curve.lower[1:]).all()
    np.testing.assert_allclose(curve.probability, np.sort(P[:, 2]).reshape(8, 50).mean(1), rtol=1e-6)
    order = np.argsort(P[:, 2])
    np.testing.assert_allclose(curve.frequency, (Y[order] == 2).reshape(8, 50).mean(1))


def test_equal_probabilities_stay_in_one_bin():
    curve = uncertainty.calibration_curve([0, 1, 1, 0, 1], [0.2, 0.2, 0.2, 0.2, 0.9], bins=4, strategy="quantile", of=1)
    assert curve.count.tolist() == [4, 1] and curve.frequency.tolist() == [0.5, 1.0]


def test_the_ends_belong_to_bins():
    curve = uncertainty.calibration_curve([0, 1, 1, 0], [0.0, 1.0, 1.0, 0.5], bins=2, of=1)
    assert curve.count.tolist() == [2, 2] and curve.frequency.tolist() == [0.0, 1.0]


def test_what_is_calibrated_has_no_error():
    p = RANDOM.random(200_000)
    curve = uncertainty.calibration_curve(RANDOM.random(200_000) < p, p, of=1)
    assert curve.error < 0.005


def test_coverage_of_normal_and_of_members_intervals():
    y, std = RANDOM.normal(size=(5000, 1)), np.full((5000, 1), 0.5)  # the deviation is half of what it should be
    curve = uncertainty.coverage_curve(y[:, 0], lambda level: uncertainty.gaussian_interval(0 * std, std, level))
    expected = 2 * stats.norm.cdf(stats.norm.ppf((1 + curve.level) / 2) / 2) - 1
    np.testing.assert_allclose(curve.coverage, expected, atol=0.02)
    np.testing.assert_allclose(curve.width, stats.norm.ppf((1 + curve.level) / 2), rtol=1e-6)
    assert curve.error == pytest.approx(np.abs(expected - curve.level).mean(), abs=0.02)
    stacked = RANDOM.normal(size=(400, 5000, 1))
    drawn = uncertainty.coverage_curve(y, lambda level: uncertainty.reduce_members(stacked, "interval", level=level),
                                       (0.5, 0.9))
    np.testing.assert_allclose(drawn.coverage, [0.5, 0.9], atol=0.02)


@pytest.mark.parametrize("factor", [0.1, 1.0, 30.0])
def test_the_temperature_is_where_the_loss_is_smallest(factor):
    loss = lambda logarithm: -special.log_softmax(factor * LOGITS / np.exp(logarithm), -1)[np.arange(400), Y].mean()
    best = np.exp(optimize.minimize_scalar(loss, bounds=(-5, 8), method="bounded", options={"xatol": 1e-8}).x)
    found = uncertainty.fit_temperature(Y, factor * LOGITS)
    assert found == pytest.approx(best, rel=1e-4)
    assert found == pytest.approx(2 * factor, rel=0.25)
    assert uncertainty.fit_temperature(np.eye(3)[Y], factor * LOGITS + 7) == pytest.approx(found)


def test_the_temperature_of_a_sigmoid_is_that_of_a_softmax_of_two():
    z = RANDOM.normal(size=400) * 2
    y = (RANDOM.random(400) < special.expit(z)).astype(int)
    pair = uncertainty.fit_temperature(y, np.stack([0 * z, z], -1))
    assert uncertainty.fit_temperature(y, z) == uncertainty.fit_temperature(y[:, None], z[:, None]) == pair


def test_a_temperature_lowers_the_calibration_error():
    temperature = uncertainty.fit_temperature(Y[:200], np.log(P[:200]))
    cooled = special.softmax(np.log(P[200:]) / temperature, -1)
    errors = [uncertainty.calibration_curve(Y[200:], p, bins=5).error for p in (P[200:], cooled)]
    assert errors[1] < errors[0] / 2


def test_figures(monkeypatch):
    curve = uncertainty.calibration_curve(Y, P)
    figure = curve.plot()
    panel, counts = figure.axes
    diagonal, line = panel.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    np.testing.assert_array_equal(line.get_xydata(), np.stack([curve.probability, curve.frequency], 1))
    assert [bar.get_height() for bar in counts.patches] == curve.count.tolist()
    assert panel.get_title(loc="left") == f"calibration: expected error {curve.error:.4f}"
    assert (counts.get_xlabel(), panel.get_ylabel()) == ("confidence", "share that is right")
    other = uncertainty.calibration_curve(Y, P, of=2).plot().axes
    assert (other[1].get_xlabel(), other[0].get_ylabel()) == ("probability of class 2", "share of class 2")
    image = np.asarray(Image.open(io.BytesIO(figure._repr_png_())).convert("RGBA"))
    assert image[..., 3].min() == 0 and image[..., 3].max() == 255

    coverage = uncertainty.coverage_curve(np.zeros(3), lambda level: (-np.ones(3), np.ones(3)), [0.25, 0.75])
    panel, = coverage.plot().axes
    assert panel.lines[1].get_xydata().tolist() == [[0.25, 1.0], [0.75, 1.0]]
    assert panel.get_title(loc="left") == "coverage: mean error 0.5000"

    monkeypatch.delitem(sys.modules, "chainrule.uncertainty.plots", raising=False)
    monkeypatch.delattr(uncertainty, "plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(ImportError) as error:
        curve.plot()
    assert str(error.value) == (
        "Plots are drawn with Matplotlib, which is not installed: pip install 'chainrule[plots]'.")


@pytest.mark.parametrize(("call", "message"), [
    (lambda: uncertainty.calibration_curve(Y, P, bins=0), "SettingError: `bins` must be a positive integer; got 0."),
    (lambda: uncertainty.calibration_curve(Y, P, strategy="width"),
     "SettingError: `strategy` is 'uniform' or 'quantile'; got 'width'."),
    (lambda: uncertainty.calibration_curve(Y, P, of=3),
     "SettingError: `of` is 'confidence' or one of the classes 0 to 2; got 3."),
    (lambda: uncertainty.calibration_curve(Y, P, of=True),
     "SettingError: `of` is 'confidence' or one of the classes 0 to 2; got True."),
    (lambda: uncertainty.calibration_curve(Y, LOGITS),
     f"DataError: probabilities has values from {LOGITS.min():.4g} to {LOGITS.max():.4g}; probabilities go from 0 to "
     "1. Scores before the activation are made probabilities by softmax or sigmoid."),
    (lambda: uncertainty.calibration_curve(Y, P[None]),
     "ShapeError: probabilities has the shape (1, 400, 3); expected (rows, classes). Steps of sequences are rows too: "
     "probabilities.reshape(-1, 3)."),
    (lambda: uncertainty.coverage_curve([1.0], lambda level: ([0.0], [2.0]), []),
     "SettingError: `levels` is empty; give numbers between 0 and 1, such as (0.5, 0.9)."),
    (lambda: uncertainty.coverage_curve([1.0], lambda level: ([0.0], [2.0, 1.0])),
     "ShapeError: y and upper need the same shape, (rows, ...); got (1,) and (2,)."),
    (lambda: uncertainty.fit_temperature([0, 1], [[2.0, 1.0], [0.0, 1.0]]),
     "DataError: Every row is predicted right, so that the loss falls with the temperature without an end. Measure it "
     "on held-out rows, and enough of them that some are predicted wrong."),
    (lambda: uncertainty.fit_temperature([1, 0], [[2.0, 1.0], [0.0, 1.0]]),
     "DataError: The logits tell nothing of the classes: the loss would be smallest for a temperature without an end. "
     "See that `y` belongs to these rows."),
    (lambda: uncertainty.fit_temperature([1, 0], np.zeros((2, 1, 2))),
     "ShapeError: logits has the shape (2, 1, 2); expected (rows, classes)."),
])
def test_what_is_refused(call, message):
    with pytest.raises(ChainruleError) as error:
        call()
    assert f"{type(error.value).__name__}: {error.value}" == message
