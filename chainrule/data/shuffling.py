"""An order of rows that reads a long file in long runs: runs in random order, rows shuffled within windows."""
import numpy as np


class Windows:
    """The order of rows in each epoch: a function of a key and the epoch, made window by window.

    The runs of rows that the blocks say stand in random order, one after another. This sequence is cut into windows,
    and the rows of each are shuffled. So a place in an epoch is a number, from which an order is found again.

    Args:
        count: the number of rows.
        blocks: where each run begins, from 0 upwards.
        window: how many rows are shuffled together.

    Example:
        >>> order = Windows(6, np.array([0, 3]), 3).rows(np.zeros(2), 0, 0, 6)
        >>> sorted(map(sorted, order.reshape(2, 3).tolist()))
        [[0, 1, 2], [3, 4, 5]]
    """

    def __init__(self, count: int, blocks: np.ndarray, window: int):
        self.count, self.window = count, window
        self._blocks, self._sizes = blocks, np.diff(blocks, append=count)
        self._epoch: tuple | None = None  # of what is kept: the runs in their order, and where each ends
        self._chosen: tuple | None = None
        self._rows = np.empty(0, np.int64)

    def rows(self, key, epoch: int, start: int, stop: int) -> np.ndarray:
        """The numbers of the rows at the places from `start` to `stop`."""
        words = (*map(int, key), int(epoch))
        if words != self._epoch:
            runs = np.random.default_rng(words).permutation(len(self._blocks))
            self._runs, self._ends, self._epoch = runs, np.cumsum(self._sizes[runs]), words
        parts = []
        while start < stop:
            number = start // self.window
            first = number * self.window
            end = min(stop, first + self.window)
            parts.append(self._window(number)[start - first : end - first])
            start = end
        return np.concatenate(parts) if len(parts) != 1 else parts[0]

    def _window(self, number: int) -> np.ndarray:
        """The rows of a window; kept, because chunks may end within it."""
        if (self._epoch, number) != self._chosen:
            first = number * self.window
            size = min(self.window, self.count - first)
            run = int(np.searchsorted(self._ends, first, side="right"))
            pieces, stop = [], first + size
            while first < stop:
                end = min(stop, int(self._ends[run]))
                behind = int(self._blocks[self._runs[run]] + self._sizes[self._runs[run]] - self._ends[run])
                pieces.append(np.arange(first + behind, end + behind))
                first, run = end, run + 1
            self._rows = np.random.default_rng((*self._epoch, number)).permutation(np.concatenate(pieces))
            self._chosen = self._epoch, number
        return self._rows
