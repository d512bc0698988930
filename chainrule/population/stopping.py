"""Early stopping, member by member: what `EarlyStopping` decides for one network, for many at once."""
import numpy as np

from chainrule.callbacks import EarlyStopping
from chainrule.callbacks.monitor import monitored


class MemberStopping:
    """When each member stops, by the settings of an `EarlyStopping`.

    Args:
        callback: the settings.
        names: the figures that the fit reports.
        size: how many members there are.

    Attributes:
        best, best_epoch: the best value of each member and its epoch; NaN and -1 before there is one.
        stopped_epoch: where each stopped; -1 where it did not.
    """

    def __init__(self, callback: EarlyStopping, names: list[str], size: int):
        monitored(callback, callback.monitor, dict.fromkeys(names, 0.0))  # one that is not reported is an error
        self.callback = callback
        self.best = np.full(size, np.nan)
        self.best_epoch = np.full(size, -1)
        self.stopped_epoch = np.full(size, -1)
        self._wait = np.zeros(size, int)

    def take(self, epoch: int, figures: dict[str, np.ndarray], members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of some members, which improved in an epoch, and which stop after it.

        `figures` are theirs, those of a validation that was not due left out.
        """
        nobody = np.zeros(len(members), bool)
        values = figures.get(self.callback.monitor)
        if values is None or epoch < self.callback.start_from_epoch:
            return nobody, nobody
        improved = self._beats(values, self.best[members])
        self.best[members] = np.where(improved, values, self.best[members])
        self.best_epoch[members] = np.where(improved, epoch, self.best_epoch[members])
        baseline = self.callback.baseline
        good = improved if baseline is None else improved & self._beats(values, np.full(len(values), baseline))
        self._wait[members] = np.where(good, 0, self._wait[members] + 1)
        stops = ~good & (self._wait[members] >= max(self.callback.patience, 1)) & (epoch > 0)
        self.stopped_epoch[members[stops]] = epoch
        return improved, stops

    def _beats(self, values, best) -> np.ndarray:
        """Whether values are better by more than `min_delta`; any is better than none, and NaN never is."""
        margin = self.callback.min_delta
        better = values > best + margin if self.callback.larger else values < best - margin
        return ~np.isnan(values) & (np.isnan(best) | better)
