"""Predictions of several members, `(members, rows, ...)`, made into one."""
from types import MappingProxyType

import numpy as np

from chainrule.errors import UnknownNameError, did_you_mean
from chainrule.uncertainty.checks import as_members, check_level


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
