"""Intervals hold what they promise, counted over many draws."""
import math

import numpy as np
import pytest
from scipy import stats

from chainrule import uncertainty
from chainrule.errors import ChainruleError

RANDOM = np.random.default_rng(0)
TRIALS = 20_000  # each column is a held-out set of its own


def test_gaussian_intervals_are_those_of_scipy():
    mean, std = RANDOM.normal(size=(4, 1)), RANDOM.random((4, 1))
    found = uncertainty.gaussian_interval(mean, std, level=0.83)
    np.testing.assert_allclose(found, stats.norm(mean, std).interval(0.83))


@pytest.mark.parametrize(("count", "level"), [(19, 0.9), (9, 0.9), (20, 0.5), (50, 0.97)])
def test_conformal_intervals_hold_their_share_whatever_the_errors_are(count, level):
    """On average over held-out sets k / (n + 1), which is at least the level and at most 1 / (n + 1) more."""
    random = np.random.default_rng(count)
    draw = lambda rows: random.standard_t(2, (rows, TRIALS)) + 5  # heavy tails, and a prediction that is off
    radius = uncertainty.conformal_radius(draw(count), np.ones((count, TRIALS)), level)
    held = (np.abs(draw(1) - 1) <= radius).mean()
    assert level <= math.ceil((count + 1) * level - 1e-9) / (count + 1) <= level + 1 / (count + 1)
    assert held == pytest.approx(math.ceil((count + 1) * level - 1e-9) / (count + 1), abs=0.008)


def test_a_scale_makes_intervals_as_wide_as_rows_are_hard():
    hardness = RANDOM.uniform(0.1, 3, (200, TRIALS // 10))
    y = hardness * RANDOM.normal(size=hardness.shape)
    radius = uncertainty.conformal_radius(y[1:], np.zeros_like(y[1:]), 0.9, scale=hardness[1:])
    held = np.abs(y[0]) <= radius * hardness[0]
    easy = hardness[0] < 1
    assert held[easy].mean() == pytest.approx(0.9, abs=0.03) and held[~easy].mean() == pytest.approx(0.9, abs=0.03)
    plain = uncertainty.conformal_radius(y[1:], np.zeros_like(y[1:]), 0.9)
    assert (np.abs(y[0]) <= plain)[easy].mean() > 0.97  # where all have one radius, easy rows pay for hard ones


@pytest.mark.parametrize("width", [0.2, 5.0])
def test_a_margin_repairs_quantiles_that_are_too_near_or_too_far(width):
    y = RANDOM.normal(size=(40, TRIALS))
    lower, upper = np.full((39, TRIALS), -width), np.full((39, TRIALS), width / 2)
    margin = uncertainty.conformal_margin(y[1:], lower, upper, 0.8)
    held = (-width - margin <= y[0]) & (y[0] <= width / 2 + margin)
    assert held.mean() == pytest.approx(0.8, abs=0.01)
    assert (margin < 0).mean() == (width == 5.0)


def test_sets_of_classes_hold_the_true_one():
    thresholds, held = [], []
    for _ in range(1500):
        p = RANDOM.dirichlet(np.ones(4), 20).astype("float32")
        true = np.array([RANDOM.choice(4, p=row / row.sum()) for row in p.astype(float)])
        thresholds.append(uncertainty.conformal_threshold(true[1:], p[1:], 0.8))
        held.append(p[0, true[0]] >= thresholds[-1])
    assert np.mean(held) == pytest.approx(0.8, abs=0.04)
    one_hot = uncertainty.conformal_threshold(np.eye(4)[true[1:]], p[1:], 0.8)
    assert one_hot == thresholds[-1] and (p[1:][np.arange(19), true[1:]] >= one_hot).sum() == 16


def test_a_radius_for_each_output_and_targets_as_a_column():
    y, prediction = RANDOM.normal(size=(30, 2)), RANDOM.normal(size=(30, 2))
    both = uncertainty.conformal_radius(y, prediction)
    assert both.shape == (2,)
    alone = uncertainty.conformal_radius(y[:, 1], prediction[:, 1:])
    assert alone.shape == (1,) and alone[0] == both[1]


@pytest.mark.parametrize(("call", "message"), [
    (lambda: uncertainty.conformal_radius(np.zeros(8), np.zeros(8), 0.9),
     "DataError: Intervals of level 0.9 need at least 9 held-out rows; got 8."),
    (lambda: uncertainty.conformal_radius(np.zeros(8), np.zeros((8, 2))),
     "ShapeError: y and prediction need the same shape, (rows, ...); got (8,) and (8, 2)."),
    (lambda: uncertainty.conformal_radius(np.zeros(9), np.zeros(9), scale=np.zeros(9)),
     "DataError: scale is what residuals are divided by, above 0; the smallest is 0. Add a small number to it, here "
     "and in the intervals."),
    (lambda: uncertainty.conformal_radius([], []), "DataError: y has no rows; its shape is (0,)."),
    (lambda: uncertainty.conformal_margin([1.0, np.nan], [0.0, 0.0], [1.0, 1.0]),
     "DataError: y has 1 value that is NaN or infinite."),
    (lambda: uncertainty.conformal_margin([1.0, 2.0], [0.0, 0.0], [1.0]),
     "ShapeError: y and upper need the same shape, (rows, ...); got (2,) and (1,)."),
    (lambda: uncertainty.conformal_threshold([0, 1], np.ones((3, 2)) / 2),
     "ShapeError: y holds one class for each of 3 rows, (3,), or one-hot rows, (3, 2); got (2,)."),
    (lambda: uncertainty.conformal_threshold([0, 2], np.ones((2, 2)) / 2),
     "DataError: y has labels from 0 to 2; the network has 2 outputs, for labels from 0 to 1. The last layer needs 3 "
     "units."),
    (lambda: uncertainty.conformal_threshold([[0, 1]], np.ones((1, 2, 2)) / 2),
     "ShapeError: probabilities has the shape (1, 2, 2); expected (rows, classes)."),
    (lambda: uncertainty.gaussian_interval([1.0], [-1.0]),
     "DataError: std holds deviations, which are not below 0; got -1."),
    (lambda: uncertainty.gaussian_interval([1.0], [1.0, 2.0]),
     "ShapeError: mean and std need the same shape; got (1,) and (2,)."),
    (lambda: uncertainty.gaussian_interval([1.0], [1.0], level=1.0),
     "SettingError: `level` is the share of cases that an interval should hold, a number between 0 and 1; got 1.0."),
])
def test_what_is_refused(call, message):
    with pytest.raises(ChainruleError) as error:
        call()
    assert f"{type(error.value).__name__}: {error.value}" == message
