"""Predictions of several members, `(members, rows, ...)`, made into one."""
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from chainrule.errors import ShapeError, UnknownNameError, did_you_mean, format_shape
from chainrule.uncertainty.checks import as_members, as_probabilities, check_level


def reduce_members(stacked, how: str = "mean", *, level: float = 0.9):
    """The predictions of several members as one prediction, or as two arrays that say how sure it is.

    For `p[m]` the prediction of member m:

    - `"mean"`: the mean over m of `p[m]`; of probabilities, probabilities again.
    - `"mean_std"`: the mean and, as a second array, `std = sqrt(mean((p[m] - mean) ** 2))`.
    - `"median"`: the middle of `p[m]`, which one member that is far off hardly moves. Medians of the probabilities of
      several classes need not sum to 1.
    - `"vote"`: the class that most members choose, as an integer for each row; a probability in a last axis of size 1
      chooses 1 above a half. Where several classes have as many votes, the one with the largest mean.
    - `"interval"`: two arrays, the quantiles `(1 - level) / 2` and `(1 + level) / 2` of `p[m]`. They hold what the
      members disagree about, not the noise of the data: see `conformal_radius` for what a new target will hold.

    Shapes: `(members, rows, ...)` to `(rows, ...)`; a vote has no last axis.

    Args:
        stacked: the members' predictions: an array, or a list of one array for each.
        how: one of the names above.
        level: the share of the members that an interval holds.

    Returns:
        An array, or a tuple of two: `(mean, std)` or `(lower, upper)`. Floating-point numbers keep their type.

    Raises:
        ShapeError: there is no axis of members, or an interval is asked of one member.
        DataError: a member predicts NaN or infinity.
        UnknownNameError: `how` is none of the names.

    Example:
        >>> stacked = [[[0.9, 0.1]], [[0.6, 0.4]], [[0.3, 0.7]]]
        >>> reduce_members(stacked, "mean").round(2).tolist(), reduce_members(stacked, "vote").tolist()
        ([[0.6, 0.4]], [0])
        >>> lower, upper = reduce_members(stacked, "interval", level=0.5)
        >>> lower[0, 0].round(2).item(), upper[0, 0].round(2).item()
        (0.45, 0.75)
    """
    if not isinstance(how, str) or how not in REDUCTIONS:
        raise UnknownNameError(f"There is no way {how!r} to reduce members. {did_you_mean(how, REDUCTIONS)}")
    level = check_level(level)
    return REDUCTIONS[how](as_members(stacked, least=2 if how == "interval" else 1), level)


def entropy(probabilities) -> np.ndarray:
    """How undecided probabilities are: 0 for a class that is certain, `log(classes)` where all are alike.

        H(p) = -sum over k of p[k] * log(p[k])

    Shapes: `(..., classes)` to `(...)`, members too; a last axis of size 1, or `(rows,)`, holds the probability of one
    class of two.

    Args:
        probabilities: what a softmax or a sigmoid put out.

    Reference: Shannon, A mathematical theory of communication, 1948.

    Example:
        >>> entropy([[0.5, 0.5], [1.0, 0.0]]).round(4).tolist()
        [0.6931, 0.0]
    """
    p = as_probabilities(probabilities)
    return np.abs(np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1))  # no -0.0 where one is certain


def mutual_information(stacked) -> np.ndarray:
    """How much of the doubt about a class is that the members disagree, and could be cleared up by more data.

        I = H(mean over m of p[m]) - mean over m of H(p[m])

    The first term is all doubt, the second that of the members themselves, which comes of the data. It is 0 where all
    members predict alike.

    Shapes: `(members, rows, ..., classes)` to `(rows, ...)`.

    Args:
        stacked: the members' probabilities; of one class of two, `(members, rows)` or `(members, rows, 1)`.

    Reference: Houlsby, Huszár, Ghahramani and Lengyel, Bayesian active learning for classification and preference
    learning, 2011; Depeweg et al., Decomposition of uncertainty in Bayesian deep learning, 2018.

    Example:
        >>> mutual_information([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]).round(4).tolist()
        [0.6931, 0.0]
    """
    stacked = as_members(stacked)
    stacked = as_probabilities(stacked if stacked.ndim > 2 else stacked[..., None], "stacked")
    return np.maximum(entropy(stacked.mean(0)) - entropy(stacked).mean(0), 0)  # below 0 by rounding alone


class GaussianMixture(NamedTuple):
    """What members that predict means and variances say together.

    Attributes:
        mean: the mean of their means.
        noise: the mean of their variances: what the data scatter.
        disagreement: the variance of their means: what the members do not know.
    """

    mean: np.ndarray
    noise: np.ndarray
    disagreement: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """That of a new target, `noise + disagreement`."""
        return self.noise + self.disagreement

    @property
    def std(self) -> np.ndarray:
        """The standard deviation of a new target."""
        return np.sqrt(self.variance)


def mix_gaussians(stacked) -> GaussianMixture:
    """The means and variances that members predict, made into one mean and one variance.

    Members are trained with `GaussianNegativeLogLikelihood`: the first half of their outputs are means `m`, the second
    logarithms of variances `v`. By the law of total variance,

        mean = mean over members of m,   variance = mean over members of v + mean over members of (m - mean) ** 2

    Shapes: `(members, rows, ..., 2 * n)` to `(rows, ..., n)`.

    Args:
        stacked: the members' outputs.

    Reference: Lakshminarayanan, Pritzel and Blundell, Simple and scalable predictive uncertainty estimation using deep
    ensembles, 2017.

    Example:
        >>> both = mix_gaussians([[[1.0, 0.0]], [[5.0, 0.0]]])
        >>> both.mean.tolist(), both.noise.tolist(), both.disagreement.tolist(), both.variance.tolist()
        ([[3.0]], [[1.0]], [[4.0]], [[5.0]])
    """
    stacked = as_members(stacked)
    if stacked.ndim < 3 or stacked.shape[-1] % 2:
        raise ShapeError(f"stacked holds a mean and the logarithm of a variance for each number that is predicted, "
                         f"(members, rows, 2 * n); got {format_shape(stacked.shape)}.")
    means, logarithms = np.split(stacked.astype(np.float64), 2, axis=-1)
    return GaussianMixture(means.mean(0), np.exp(logarithms).mean(0), means.var(0))


def _mean(stacked: np.ndarray, level: float) -> np.ndarray:
    return stacked.mean(0, dtype=np.float64).astype(_floating(stacked))


def _mean_std(stacked: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    return _mean(stacked, level), stacked.std(0, dtype=np.float64).astype(_floating(stacked))


def _median(stacked: np.ndarray, level: float) -> np.ndarray:
    return np.median(stacked, axis=0).astype(_floating(stacked))


def _vote(stacked: np.ndarray, level: float) -> np.ndarray:
    """The classes with the most votes; among those that have as many, the one with the largest mean."""
    if stacked.shape[-1] == 1 or stacked.ndim == 2:
        probability = stacked[..., 0] if stacked.ndim > 2 else stacked
        stacked = np.stack([1 - probability, probability], -1)
    chosen = stacked.argmax(-1)
    votes = np.stack([(chosen == number).sum(0) for number in range(stacked.shape[-1])], -1)
    most = votes == votes.max(-1, keepdims=True)
    return np.where(most, stacked.mean(0, dtype=np.float64), -np.inf).argmax(-1)


def _interval(stacked: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    lower, upper = np.quantile(stacked.astype(np.float64), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return lower.astype(_floating(stacked)), upper.astype(_floating(stacked))


def _floating(stacked: np.ndarray) -> np.dtype:
    """The type of results: the members' own, or 64 bits for integers."""
    return stacked.dtype if stacked.dtype.kind == "f" else np.dtype(np.float64)


# Each way to reduce members, by name.
REDUCTIONS = MappingProxyType({
    "mean": _mean, "mean_std": _mean_std, "median": _median, "vote": _vote, "interval": _interval})
