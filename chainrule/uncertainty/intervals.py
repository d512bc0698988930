"""Intervals that hold a new target with a given probability, and sets of classes that do."""
import math
from statistics import NormalDist

import numpy as np

from chainrule.errors import DataError, ShapeError, format_shape
from chainrule.uncertainty.checks import as_arrays, as_labels, as_pair, as_probabilities, check_level


def gaussian_interval(mean, std, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """The middle of normal distributions.

        lower, upper = mean - z * std, mean + z * std

    with z the quantile `(1 + level) / 2` of the standard normal distribution. They hold `level` of the targets where
    these are normally distributed with that deviation, which no network can promise: see `coverage_curve`.

    Args:
        mean, std: as `reduce_members(..., "mean_std")` and `mix_gaussians` give them.
        level: the share of targets that the intervals should hold.

    Example:
        >>> lower, upper = gaussian_interval(10.0, 1.0, level=0.95)
        >>> lower.round(2).item(), upper.round(2).item()
        (8.04, 11.96)
    """
    mean, std = as_arrays(mean, "mean"), as_arrays(std, "std")
    if mean.shape != std.shape:
        raise ShapeError(f"mean and std need the same shape; got {format_shape(mean.shape)} and "
                         f"{format_shape(std.shape)}.")
    if (std < 0).any():
        raise DataError(f"std holds deviations, which are not below 0; got {std.min():.4g}.")
    reach = NormalDist().inv_cdf((1 + check_level(level)) / 2) * std
    return mean - reach, mean + reach


def conformal_radius(y, prediction, level: float = 0.9, scale=None) -> np.ndarray:
    """How far around a prediction an interval must reach, measured on rows that were held out.

        radius = the k-th smallest of |y - prediction| / scale,   k = ceil((n + 1) * level)

    Around the prediction p of a new row, `p - radius * scale` to `p + radius * scale` holds its target with probability
    at least `level`, and where no two residuals are equal at most `level + 1 / (n + 1)`: whatever the network is and
    however the data are distributed, if the held-out rows and the new one are exchangeable (drawn alike, none of them
    trained on or used to stop the training). It holds on average over rows and over held-out sets, not for each kind of
    row by itself; a `scale` that follows the difficulty, such as the members' deviation, makes intervals narrow where
    prediction is easy.

    Shapes: `(rows, ...)` to `(...)`: a radius for each output.

    Args:
        y: the targets of `n` held-out rows.
        prediction: what was predicted for them.
        level: the share of new targets that intervals should hold.
        scale: above 0, of the prediction's shape; 1 by default.

    Raises:
        DataError: there are too few rows for that level, fewer than `level / (1 - level)`, or a scale is not above 0.

    Reference: Vovk, Gammerman and Shafer, Algorithmic learning in a random world, 2005; Lei, G'Sell, Rinaldo,
    Tibshirani and Wasserman, Distribution-free predictive inference for regression, 2018.

    Example:
        >>> y, prediction = [1.0, 2.0, 3.0, 4.0], [1.5, 2.0, 2.0, 6.0]
        >>> conformal_radius(y, prediction, level=0.8).item(), conformal_radius(y, prediction, level=0.5).item()
        (2.0, 1.0)
    """
    y, prediction = as_pair(y, prediction)
    scores = np.abs(y - prediction)
    if scale is not None:
        _, scale = as_pair(prediction, scale, "scale")
        if scale.min() <= 0:
            raise DataError(f"scale is what residuals are divided by, above 0; the smallest is {scale.min():.4g}. Add "
                            f"a small number to it, here and in the intervals.")
        scores = scores / scale
    return _conformal_quantile(scores, level)


def conformal_margin(y, lower, upper, level: float = 0.9) -> np.ndarray:
    """How much wider intervals must be to hold their share, measured on rows that were held out; negative for narrower.

        margin = the k-th smallest of max(lower - y, y - upper),   k = ceil((n + 1) * level)

    For a new row, `lower - margin` to `upper + margin` holds the target with probability at least `level`, under the
    conditions of `conformal_radius`. It is for predicted quantiles (`losses.Quantile`) and the intervals of members.

    Shapes: `(rows, ...)` to `(...)`: a margin for each output.

    Args:
        y: the targets of `n` held-out rows.
        lower, upper: the intervals that were predicted for them.
        level: the share of new targets that intervals should hold.

    Raises:
        DataError: there are too few rows for that level.

    Reference: Romano, Patterson and Candès, Conformalized quantile regression, 2019.

    Example:
        >>> conformal_margin([1.0, 2.0, 3.0], lower=[0.0, 0.0, 0.0], upper=[2.0, 2.5, 2.5], level=0.75).item()
        0.5
    """
    y, lower = as_pair(y, lower, "lower")
    _, upper = as_pair(y, upper, "upper")
    return _conformal_quantile(np.maximum(lower - y, y - upper), level)


def conformal_threshold(y, probabilities, level: float = 0.9) -> float:
    """The probability from which on a class belongs to the set that holds the true one, measured on held-out rows.

        threshold = the k-th largest of p[y],   k = ceil((n + 1) * level)

    For a new row, the classes with `p >= threshold` hold the true one with probability at least `level`, under the
    conditions of `conformal_radius`.

    Args:
        y: the classes of `n` held-out rows, `(rows,)` or one-hot.
        probabilities: what was predicted for them, `(rows, classes)`, or `(rows, 1)` for one class of two.
        level: the share of new rows whose sets should hold the true class.

    Raises:
        DataError: there are too few rows for that level.

    Reference: Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers with bounded error levels, 2019.

    Example:
        >>> threshold = conformal_threshold([0, 1, 1], [[0.7, 0.3], [0.4, 0.6], [0.1, 0.9]], level=0.7)
        >>> threshold, (np.array([[0.55, 0.45], [0.2, 0.8]]) >= threshold).tolist()
        (0.6, [[False, False], [False, True]])
    """
    p = as_probabilities(probabilities)
    if p.ndim != 2:
        raise ShapeError(f"probabilities has the shape {format_shape(p.shape)}; expected (rows, classes).")
    labels = as_labels(y, *p.shape)
    return -float(_conformal_quantile(-p[np.arange(len(p)), labels], level))


def _conformal_quantile(scores: np.ndarray, level: float) -> np.ndarray:
    """The smallest score that as many as `level` of `n + 1` exchangeable ones do not exceed."""
    level, count = check_level(level), len(scores)
    rank = math.ceil((count + 1) * level - 1e-9)  # 10 * 0.9 is 9, also where floating point makes it a little more
    if rank > count:
        needed = math.ceil(level / (1 - level) - 1e-9)
        raise DataError(f"Intervals of level {level:g} need at least {needed} held-out rows; got {count}.")
    return np.partition(scores, rank - 1, axis=0)[rank - 1]
