"""Whether predictions are as sure as they should be, and what makes them so."""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chainrule.errors import DataError, SettingError, ShapeError, format_shape
from chainrule.uncertainty.checks import (
    as_arrays,
    as_labels,
    as_pair,
    as_probabilities,
    check_level,
    check_values,
)

STRATEGIES = ("uniform", "quantile")
LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """How often predictions were right that had about the same probability, from `calibration_curve`.

    Attributes:
        probability: the mean predicted probability in each bin that has rows.
        frequency: how often it was true there.
        count: how many rows are in each of these bins.
        lower, upper: the ends of these bins, open below and closed above.
        of: what the probability is of: `"confidence"`, or a class.
    """

    probability: np.ndarray
    frequency: np.ndarray
    count: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    of: str | int

    @property
    def error(self) -> float:
        """The expected calibration error, `sum over bins of count / rows * |frequency - probability|`."""
        return float(np.sum(self.count * np.abs(self.frequency - self.probability)) / self.count.sum())

    @property
    def maximum_error(self) -> float:
        """The largest `|frequency - probability|` of a bin."""
        return float(np.abs(self.frequency - self.probability).max())

    def plot(self):
        """The reliability diagram, a figure of Matplotlib: frequency by probability, and how many rows each bin has.

        Raises:
            ImportError: Matplotlib is not installed.
        """
        return _plots().plot_calibration(self)


@dataclass(frozen=True, eq=False)
class CoverageCurve:
    """How many targets intervals held, by the share that they should hold, from `coverage_curve`.

    Attributes:
        level: the shares that were asked for.
        coverage: the shares that were held.
        width: the mean width of the intervals.
    """

    level: np.ndarray
    coverage: np.ndarray
    width: np.ndarray

    @property
    def error(self) -> float:
        """The mean of `|coverage - level|`."""
        return float(np.abs(self.coverage - self.level).mean())

    def plot(self):
        """A figure of Matplotlib: coverage by level.

        Raises:
            ImportError: Matplotlib is not installed.
        """
        return _plots().plot_coverage(self)


def calibration_curve(y, probabilities, bins: int = 15, strategy: str = "uniform", of="confidence") -> CalibrationCurve:
    """Rows put in bins by a predicted probability, and how often it came true in each.

    With `of="confidence"` the probability is that of the predicted class, and it comes true where the prediction is
    right; the curve's `error` then is that of `metrics.ExpectedCalibrationError`. With a class for `of` it is the
    probability of that class, as is usual where there are two: `of=1`.

    Args:
        y: the true classes, `(rows,)` or one-hot.
        probabilities: `(rows, classes)`; `(rows, 1)` or `(rows,)` for the probability of class 1 of two.
        bins: how many bins there are.
        strategy: `"uniform"` for bins of equal width from 0 to 1, `"quantile"` for bins of about as many rows each; in
            these, rows with the same probability stay together.
        of: `"confidence"`, or the number of a class.

    Raises:
        ShapeError, DataError: targets or probabilities are not what they should be.

    Reference: Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, 2017; Nguyen and O'Connor,
    Posterior calibration and exploratory analysis for natural language processing models, 2015, for bins of equal
    counts.

    Example:
        >>> curve = calibration_curve([1, 1, 0, 1], [0.9, 0.9, 0.9, 0.9], bins=10)
        >>> curve.probability.round(2).tolist(), curve.frequency.tolist(), round(curve.error, 2)
        ([0.9], [0.75], 0.15)
    """
    if isinstance(bins, bool) or not hasattr(bins, "__index__") or bins < 1:
        raise SettingError(f"`bins` must be a positive integer; got {bins!r}.")
    if strategy not in STRATEGIES:
        raise SettingError(f"`strategy` is 'uniform' or 'quantile'; got {strategy!r}.")
    p = as_probabilities(probabilities)
    if p.ndim != 2:
        raise ShapeError(f"probabilities has the shape {format_shape(p.shape)}; expected (rows, classes). Steps of "
                         f"sequences are rows too: probabilities.reshape(-1, {p.shape[-1]}).")
    labels = as_labels(y, *p.shape)
    if isinstance(of, str) and of == "confidence":
        predicted = p[:, 1] > 0.5 if p.shape[1] == 2 else p.argmax(-1)  # as metrics decide between two
        chosen, true = p.max(-1), predicted == labels
    elif not isinstance(of, (bool, str)) and hasattr(of, "__index__") and 0 <= of < p.shape[1]:
        chosen, true = p[:, of], labels == of
    else:
        raise SettingError(f"`of` is 'confidence' or one of the classes 0 to {p.shape[1] - 1}; got {of!r}.")
    if strategy == "uniform":  # in the words of the metric, so that rounding falls alike
        edges = np.linspace(0, 1, bins + 1)
        places = np.clip(np.ceil(chosen * bins) - 1, 0, bins - 1).astype(int)
    else:
        edges = np.unique([0, *np.quantile(chosen, np.arange(1, bins) / bins, method="inverted_cdf"), 1])
        places = np.clip(np.searchsorted(edges, chosen) - 1, 0, None)
    count, total, right = (np.bincount(places, weights, len(edges) - 1) for weights in (None, chosen, true))
    filled = count > 0
    count, total, right = count[filled], total[filled], right[filled]
    return CalibrationCurve(total / count, right / count, count, edges[:-1][filled], edges[1:][filled], of)


def coverage_curve(y, interval: Callable, levels=LEVELS) -> CoverageCurve:
    """How many targets lie in intervals of several levels: the calibration of a regression.

    Args:
        y: the targets.
        interval: a function of a level that gives `(lower, upper)` for all rows, such as
            `lambda level: gaussian_interval(mean, std, level)` or
            `lambda level: reduce_members(stacked, "interval", level=level)`.
        levels: the levels, between 0 and 1.

    Reference: Kuleshov, Fenner and Ermon, Accurate uncertainties for deep learning using calibrated regression, 2018.

    Example:
        >>> y = np.random.default_rng(0).normal(size=10_000)
        >>> from chainrule.uncertainty import gaussian_interval
        >>> curve = coverage_curve(y, lambda level: gaussian_interval(np.zeros(10_000), np.ones(10_000), level), [0.5])
        >>> curve.coverage.round(2).tolist(), curve.width.round(2).tolist()
        ([0.5], [1.35])
    """
    levels = [check_level(level) for level in levels]
    if not levels:
        raise SettingError("`levels` is empty; give numbers between 0 and 1, such as (0.5, 0.9).")
    shares, widths = [], []
    for level in levels:
        lower, upper = interval(level)
        targets, lower = as_pair(y, lower, "lower")
        _, upper = as_pair(y, upper, "upper")
        shares.append(((lower <= targets) & (targets <= upper)).mean())
        widths.append((upper - lower).mean())
    return CoverageCurve(np.array(levels), np.array(shares), np.array(widths))


def fit_temperature(y, logits) -> float:
    """The number by which logits are divided so that their probabilities fit held-out rows best.

        T = argmin over T > 0 of the mean of -log(softmax(logits / T)[y])

    Above 1 the network was too sure of itself, below 1 not sure enough. Which class is predicted does not change. In a
    network it is a layer, `Rescaling(1 / T)`, in front of the softmax or sigmoid. The logarithms of a softmax's
    probabilities serve as logits as well.

    Args:
        y: the true classes of rows that were not trained on, `(rows,)` or one-hot.
        logits: what enters the softmax, `(rows, classes)`; for two classes also what enters the sigmoid, `(rows, 1)` or
            `(rows,)`.

    Raises:
        DataError: no temperature is best: every row is right, so that the lower the better, or the logits tell nothing
            of the classes, so that the higher the better.

    Reference: Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, 2017.

    Example:
        >>> round(fit_temperature([1, 1, 1, 0], [4.0, 4.0, 4.0, 4.0]), 2)  # 4 / T is the logit of 3 / 4
        3.64
    """
    z = as_arrays(logits, "logits")
    check_values(z, "logits")
    z = z.astype(np.float64)
    z = z[:, None] if z.ndim == 1 else z
    if z.ndim != 2:
        raise ShapeError(f"logits has the shape {format_shape(z.shape)}; expected (rows, classes).")
    z = np.concatenate([np.zeros_like(z), z], 1) if z.shape[1] == 1 else z
    labels = as_labels(y, *z.shape)
    z = z - z[np.arange(len(z)), labels][:, None]  # the loss is the mean of log(sum of exp(z / T))

    def slope(sharpness: float) -> float:
        """The derivative of the loss by 1 / T, which rises with it: the loss is convex."""
        scaled = sharpness * z
        weights = np.exp(scaled - scaled.max(1, keepdims=True))
        return float(np.mean((weights * z).sum(1) / weights.sum(1)))

    if z.max() <= 0:
        raise DataError("Every row is predicted right, so that the loss falls with the temperature without an end. "
                        "Measure it on held-out rows, and enough of them that some are predicted wrong.")
    if slope(0) >= 0:
        raise DataError("The logits tell nothing of the classes: the loss would be smallest for a temperature without "
                        "an end. See that `y` belongs to these rows.")
    low, high = 0.0, 1.0 / np.abs(z).max()
    while slope(high) < 0:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(2 / (low + high))


def _plots():
    """The module that draws, which needs Matplotlib."""
    try:
        from chainrule.uncertainty import plots
    except ImportError as error:
        raise ImportError("Plots are drawn with Matplotlib, which is not installed: "
                          "pip install 'chainrule[plots]'.") from error
    return plots
