"""Batches that come one after another, from a generator or any other iterable, as a source of rows."""
import copy
from collections.abc import Iterator, Mapping

import numpy as np

from chainrule.data import arrays
from chainrule.data.files import check_window
from chainrule.data.shuffling import Windows
from chainrule.data.source import Source, leaves, map_leaves
from chainrule.errors import ChainruleError, DataError, SettingError, format_shape


class IterableSource(Source):
    """What an iterable yields, batch by batch, as rows: a source that is read from the front to the end.

    `fit`, `evaluate` and `predict` make one of what they are given, so it is needed for its settings alone. Batches are
    `(x, y)` or `(x, y, sample_weight)`, and `x` alone where nothing is trained; their rows are cut anew into batches of
    `batch_size`, by default the size of the first.

    An iterable is begun anew for every epoch, so are the iterators that a function makes. An iterator, such as a
    generator, can be read once: it goes on with each epoch from where it is, and the steps of an epoch have to be said
    (`steps_per_epoch`). So does everything else with `steps_per_epoch`, and begins again at its end.

    Args:
        batches: an iterable; a function without arguments that makes an iterator; or an iterator.
        window: how many rows are shuffled together, those that come next to one another. `None` keeps the order in
            which they come.
        rows: the number of rows, where it is known; else a pass counts them where it is needed.
        name: what messages call it.

    Raises:
        SettingError: it is none of these; or it can be read once and there is no `steps_per_epoch`.
        DataError: what it yields are no such batches, their shapes differ, or it ends early.

    Example:
        >>> def batches():
        ...     for start in range(0, 6, 2):
        ...         x = np.arange(start, start + 2.0)[:, None]
        ...         yield x, x**2
        >>> source = IterableSource(batches)
        >>> len(source), source.batch_size, source.rows(np.arange(3))[1].ravel().tolist()
        (6, 2, [0.0, 1.0, 4.0])
    """

    in_memory = False
    repeats = False

    def __init__(self, batches, window: int | None = None, rows: int | None = None, name: str | None = None):
        self.window, self._count = check_window(window), rows
        self.continuous = False
        if not isinstance(batches, Iterator) and not callable(batches) and not hasattr(batches, "__iter__"):
            raise SettingError(f"An IterableSource is made of an iterable of batches, a function that makes an "
                               f"iterator of them, or an iterator; got {type(batches).__name__}.")
        self._feed = Feed(batches, name or _name_of(batches))
        self._window: tuple[int, tuple] | None = None  # the number of the window that is held, and its rows
        self._epoch = 0
        self._base = 0  # the number of the epoch's first row among all rows that were drawn

    def __len__(self) -> int:
        if self._count is None:
            self._count = self._feed.counted()
        return self._count

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._feed.name}>"

    @property
    def read_once(self) -> bool:
        """Whether it cannot be begun anew."""
        return self._feed.read_once

    @property
    def batch_size(self) -> int:
        """The rows of the first batch that it yields."""
        return self._feed.first()[0]

    def kept(self) -> "IterableSource":
        """All that is still to come, held in memory, so that it can be counted and read again."""
        self.head()
        return IterableSource(list(self.batches()), self.window, name=self._feed.name)

    def with_rows(self, count: int) -> "IterableSource":
        """The same, an epoch of which has that many rows and goes on where the one before has ended."""
        other = copy.copy(self)
        other.__dict__.pop("_windows", None)
        other._count, other.continuous, other._window = count, True, None
        return other

    def head(self) -> tuple:
        _, batch = self._feed.first()
        return tuple(map_leaves(lambda leaf: leaf[:1], part) for part in batch)

    def begin(self, epoch: int) -> None:
        self._window, self._epoch = None, epoch
        self._base = epoch * len(self) if self.continuous else 0
        if not self.continuous or self._base < self._feed.place:
            self._feed.begin(0 if self.continuous else epoch, self._base)

    def order(self, key: np.ndarray, epoch: int, start: int, stop: int) -> np.ndarray:
        if self.window is None:
            return np.arange(start, stop)
        if "_windows" not in self.__dict__:
            self._windows = Windows(len(self), np.zeros(1, np.int64), self.window)
        return self._windows.rows(key, epoch, start, stop)

    def rows(self, indices: np.ndarray) -> tuple:
        if self.window is None:
            return _without_empty(self._drawn(int(indices[0]), int(indices[-1]) + 1))
        cuts = np.flatnonzero(np.diff(indices // self.window)) + 1
        parts = [map_leaves(lambda leaf, part=part: leaf[part % self.window], self._held(int(part[0]) // self.window))
                 for part in np.split(indices, cuts)]
        return _without_empty(parts[0] if len(parts) == 1 else map_leaves(
            lambda *pieces: np.concatenate(pieces), *parts))

    def _held(self, number: int):
        """The rows of a window, which is drawn where it is not the present one."""
        if self._window is None or self._window[0] != number:
            start = number * self.window
            self._window = None  # its memory is needed for the next
            self._window = number, self._drawn(start, min(start + self.window, len(self)))
        return self._window[1]

    def _drawn(self, start: int, stop: int) -> tuple:
        """Rows of the present epoch."""
        if self._base + start < self._feed.place:
            self.begin(self._epoch)
        return self._feed.draw(self._base + start, self._base + stop, self.continuous)

    def load(self) -> tuple:
        self.begin(0)
        return _without_empty(self._drawn(0, len(self)))

    def subset(self, indices) -> Source:
        raise SettingError(f"{_sentence(self._feed.name)} is read from the front to the end, and has no rows by "
                           f"number. Give the rows to validate on as validation_data.")

    def batches(self) -> Iterator[tuple]:
        """The batches as they come, checked, to the end; the second part is `None` where there are no targets."""
        if not self.read_once:
            self._feed.begin(0, 0)
        while (batch := self._feed.following()) is not None:
            yield batch


class Feed:
    """Rows drawn from batches, forward only.

    Args:
        batches: as for `IterableSource`.
        name: what messages call it.

    Attributes:
        place: how many rows were drawn, and taken or dropped, since it was begun.
        read_once: whether it cannot be begun anew.
    """

    def __init__(self, batches, name: str):
        self.name, self._given = name, batches
        self.read_once = isinstance(batches, Iterator)
        self.place = 0
        self._iterator: Iterator | None = batches if self.read_once else None
        self._pass = 0  # how often it was begun again at its end
        self._in_pass = 0  # batches that were drawn in this pass
        self._rest: tuple | None = None  # what is left of the last batch
        self._first: tuple | None = None  # rows of the first batch, and its first row
        self._fresh = False  # whether nothing but the first look has been taken since it was begun

    def first(self) -> tuple[int, tuple]:
        """The number of rows of the first batch, and its first row: it stays the next to be drawn."""
        if self._first is None:
            if self._iterator is None:
                self._start(0)
            batch = self._next_batch()
            if batch is None:
                raise DataError(f"{_sentence(self.name)} yielded no batches.")
            self._rest = batch
            self._fresh = True
            self._first = _count(batch), tuple(map_leaves(lambda leaf: leaf[:1].copy(), part) for part in batch)
        return self._first

    def counted(self) -> int:
        """The number of rows of one pass."""
        if self.read_once:
            raise SettingError(
                f"{_sentence(self.name)} can be read once, and its length is not known. Say how many batches make an "
                f"epoch: steps_per_epoch=..., and validation_steps=... where it is for validation; or give the "
                f"function that makes it, without calling it, so that each epoch begins anew.")
        self.first()
        if not self._fresh:
            self._start(0)
        count = 0
        while (batch := self.following()) is not None:
            count += _count(batch)
        self._iterator = None
        return count

    def begin(self, epoch: int, place: int) -> None:
        """Begin anew; what can be read once goes on, as if from that place."""
        if self.read_once:
            self.place = place
        else:
            if not (self._fresh and epoch == 0):
                self._start(epoch)
            self.place = self._pass = 0

    def skip_to(self, place: int) -> None:
        """Draw rows and drop them, up to a place."""
        while self.place < place:
            self._take(place - self.place, True, place)

    def draw(self, start: int, stop: int, continuous: bool) -> tuple:
        """The rows from `start` to `stop`, which is the present place or lies ahead."""
        self.skip_to(start)
        held, filled, size = None, 0, stop - start
        while filled < size:
            part = self._take(size - filled, continuous, stop)
            count = _count(part)
            if held is None:
                if count == size:
                    return part
                held = map_leaves(lambda leaf: np.empty((size, *leaf.shape[1:]), leaf.dtype), part)
            for room, leaf in zip(leaves(held), leaves(part), strict=True):
                room[filled : filled + count] = leaf
            filled += count
        return held

    def following(self) -> tuple | None:
        """The next batch, or what is left of one; `None` at the end."""
        if self._iterator is None:
            self._start(0)
        batch, self._rest = self._rest or self._next_batch(), None
        self._fresh = False
        return batch

    def _take(self, most: int, continuous: bool, wanted: int) -> tuple:
        """Some of the next rows, `most` at most."""
        batch = self.following()
        if batch is None and continuous and not self.read_once and self._in_pass:
            self._pass += 1
            self._start(self._pass)
            batch = self.following()
        if batch is None:
            more = ("Yield more, without end: while True; or ask for fewer steps." if continuous else
                    "It yielded more when its rows were counted: it has to yield as many each time.")
            raise DataError(f"{_sentence(self.name)} ended after {self.place} rows, and {wanted} are needed by here. "
                            f"{more}")
        count = _count(batch)
        if count > most:
            self._rest = tuple(map_leaves(lambda leaf: leaf[most:], part) for part in batch)
            batch = tuple(map_leaves(lambda leaf: leaf[:most], part) for part in batch)
        self.place += min(count, most)
        return batch

    def _start(self, epoch: int) -> None:
        """Make a new iterator."""
        if hasattr(self._given, "set_epoch"):
            self._given.set_epoch(epoch)
        made = self._given() if callable(self._given) and not hasattr(self._given, "__iter__") else self._given
        if not hasattr(made, "__iter__"):
            raise SettingError(f"{_sentence(self.name)} returned {type(made).__name__}; expected an iterator of "
                               f"batches. A function that yields them is one.")
        self._iterator, self._rest, self._in_pass, self._fresh = iter(made), None, 0, False

    def _next_batch(self) -> tuple | None:
        """The next batch, checked: `(x, y, sample_weight)`, `None` at the end."""
        try:
            given = next(self._iterator)
        except StopIteration:
            return None
        what = f"Batch {self._in_pass} of {self.name}"
        self._in_pass += 1
        batch = as_batch(given, what)
        if self._first is not None:
            _check_alike(batch, self._first[1], what)
        return batch


def as_batch(given, what: str) -> tuple:
    """What was yielded as `(x, y, sample_weight)`, of arrays with as many rows.

    Args:
        what: what messages call it.
    """
    try:
        if given is None or isinstance(given, (str, bytes)):
            raise DataError(f"expected (x, y) or (x, y, sample_weight); got {given!r}.")
        if isinstance(given, (tuple, list)) and not 1 <= len(given) <= 3:
            raise DataError(f"expected (x, y) or (x, y, sample_weight); got a {type(given).__name__} of {len(given)} "
                            f"parts. Several inputs are a dict, or a tuple within the tuple.")
        parts = (*given, None, None)[:3] if isinstance(given, (tuple, list)) else (given, None, None)
        named = list(zip(("x", "y", "sample_weight"), parts, strict=True))
        batch = tuple(_arrays(part, name) for name, part in named)
        arrays.check_lengths({f"{name}[{place}]" if place else name: leaf
                              for (name, _), part in zip(named, batch, strict=True)
                              for place, leaf in enumerate(leaves(part))})
    except ChainruleError as error:
        raise type(error)(f"{what}: {error}") from error
    return batch


def _arrays(part, name: str):
    """Arrays of numbers or text, in the structure in which they came."""
    if part is None:
        return None
    if isinstance(part, Mapping):
        return {key: _arrays(value, f"{name}[{key!r}]") for key, value in part.items()}
    if isinstance(part, (tuple, list)) and part and all(getattr(value, "ndim", 0) > isinstance(part, list)
                                                        for value in part):
        return tuple(_arrays(value, f"{name}[{place}]") for place, value in enumerate(part))
    if hasattr(part, "detach"):  # a tensor of PyTorch, which may hang on a graph or lie on another device
        part = part.detach().cpu().numpy()
    kind = getattr(getattr(part, "dtype", None), "kind", "")
    if kind in "UST" and kind or kind == "O" and all(isinstance(entry, str) for entry in np.ravel(part)):
        return np.asarray(part, object)
    return arrays.as_arrays(part, name)


def _check_alike(batch: tuple, first: tuple, what: str) -> None:
    """Raise where a batch has rows of another kind than the first had."""
    shape = lambda leaf: (leaf.shape[1:], leaf.dtype)
    for name, part, expected in zip(("x", "y", "sample_weight"), batch, first, strict=True):
        try:
            same = leaves(map_leaves(lambda one, two: shape(one) == shape(two), part, expected))
        except (KeyError, ValueError, TypeError, AttributeError):
            same = [False]
        if not all(same) or (part is None) != (expected is None):
            raise DataError(f"{what}: {name} has {_described(part)}, and in the first batch it had "
                            f"{_described(expected)}. All batches need rows of the same shape and type.")


def _described(part) -> str:
    found = [f"rows of {leaf.dtype} {format_shape(leaf.shape[1:])}" for leaf in leaves(part)]
    return " and ".join(found) if found else "nothing"


def _count(batch: tuple) -> int:
    return len(leaves(batch)[0])


def _without_empty(batch: tuple) -> tuple:
    """`(x, y)`, or with weights where there are some."""
    return batch if batch[2] is not None else batch[:2]


def _name_of(batches) -> str:
    kind = "generator" if hasattr(batches, "gi_frame") else "function" if callable(batches) and not hasattr(
        batches, "__iter__") else ""
    name = getattr(batches, "__name__", None) or type(batches).__name__
    return f"the {kind} {name!r}" if kind else f"the {name}"


def _sentence(name: str) -> str:
    """The name at the beginning of a sentence."""
    return name[0].upper() + name[1:]
