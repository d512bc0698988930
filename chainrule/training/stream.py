"""Data that come in pieces: a source read chunk by chunk, the next one while this one is trained on."""
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

import jax
import numpy as np

from chainrule.data.iterables import IterableSource
from chainrule.data.recognition import as_source
from chainrule.data.source import Source
from chainrule.errors import DataError, SettingError
from chainrule.ops import random
from chainrule.precision import precision
from chainrule.training.batches import Batches
from chainrule.training.objective import Batch, Objective

# What a chunk should hold: enough that reading and training overlap, little enough that a few of them fit anywhere.
CHUNK_BYTES = 16 << 20
# Seconds until the next chunk is begun, in which the program starts on the present one: both need the interpreter, and
# the program lets go of it at once.
HEAD_START = 0.0005


class Stream:
    """The chunks of a source in the order of the run that asks for them.

    The order is that of a fit in memory, so both train on the same batches, unless the source has one of its own.

    Args:
        source: where rows are read from.
        objective: loss and metrics.
        batches: the division into batches and chunks; `batches.chunk` is not 0.
        make: turns what the source gives for some rows, and their numbers, into a checked `Batch`; a short last chunk
            is made up to a number of rows.
        epochs: after how many nothing more is read ahead; `None` where there is no end.
    """

    def __init__(self, source: Source, objective: Objective, batches: Batches,
                 make: Callable[[tuple, np.ndarray, int | None], Batch], epochs: int | None = None):
        self.source, self.objective, self.batches, self.make, self.epochs = source, objective, batches, make, epochs
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chainrule-stream")
        self._chunks: dict[tuple, Future] = {}  # the present one, and the one that follows
        self._order = jax.jit(Batches.order_of_chunk, static_argnums=0)  # which JAX keeps for the next stream
        self._device = jax.config.jax_default_device
        self._key: np.ndarray | None = None
        self._begun: int | None = None  # the epoch that the source was told of
        self._epochs_differ = batches.shuffle or not source.repeats

    def __enter__(self) -> tuple[Objective, Batches, "Stream"]:
        return self.objective, self.batches, self

    def __exit__(self, *_) -> None:
        self._reader.shutdown(wait=True, cancel_futures=True)
        self._chunks.clear()

    def at(self, key, epoch: int, step: int) -> Batch:
        """The chunk that the step of an epoch is in. That which follows is read in the meantime."""
        epoch = epoch if self._epochs_differ else 0  # every epoch is the same, and its first chunk follows its last
        place = epoch, step // self.batches.chunk
        wanted = [place]
        if self.batches.chunk_end(step) < self.batches.steps:
            wanted.append((epoch, place[1] + 1))
        elif self._epochs_differ and self.epochs is not None and epoch + 1 < self.epochs:
            wanted.append((epoch + 1, 0))
        elif not self._epochs_differ and self.epochs != 1:
            wanted.append((0, 0))
        if self._key is None:
            self._key = np.asarray(random.words(key))  # once: the key of a run stays the same
        self._chunks = {at: self._chunks.get(at) or self._reader.submit(self._read, *at) for at in wanted}
        return self._chunks[place].result()

    def _read(self, epoch: int, chunk: int) -> Batch:
        """A chunk at its full size; a short last one has its last row repeated."""
        time.sleep(HEAD_START)
        size = self.batches.chunk * self.batches.size
        start, stop = chunk * size, min((chunk + 1) * size, self.batches.count)
        with precision(self.objective.dtype), jax.default_device(self._device):  # which a thread does not inherit
            shuffled = self.batches.shuffle
            rows = self.source.order(self._key, epoch, start, stop) if shuffled else np.arange(start, stop)
            if rows is None:
                rows = self._order(self.batches, self._key, np.int32(epoch), np.int32(chunk))
                rows = np.asarray(rows)[: stop - start]
            if chunk == 0 or self._begun != epoch:
                self.source.begin(epoch)
                self._begun = epoch
            return self.make(self.source.rows(rows), rows, size if len(rows) < size else None)


def chunk_steps(source: Source, size: int, prepared: int = 0) -> int:
    """How many batches of `size` rows a chunk holds; `prepared` is the memory of a row that is made of one read."""
    row = max(source.row_bytes, prepared)
    return max(1, min(CHUNK_BYTES // max(row * size, 1), -(-len(source) // size)))


def inputs_ahead(source: Source, prepared: int = 0) -> Iterator:
    """The numbers and inputs of all rows in order, chunk by chunk, the next read while this one is used."""
    size = chunk_steps(source, 1, prepared)
    starts = range(0, len(source), size)
    rows_of = lambda start: np.arange(start, min(start + size, len(source)))
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="chainrule-stream") as reader:
        source.begin(0)
        coming = reader.submit(source.rows, rows_of(0))
        for start in starts:
            present = coming.result()
            if start + size < len(source):
                coming = reader.submit(source.rows, rows_of(start + size))
            yield rows_of(start), present[0]


def batches_in_turn(source: IterableSource, steps: int | None) -> Iterator:
    """The inputs of an iterable batch by batch, to its end or for some steps."""
    source.head()  # which raises where there is nothing
    for _, batch in zip(count() if steps is None else range(steps), source.batches(), strict=False):
        yield None, batch[0]


def check_source(source: Source, y, sample_weight) -> None:
    """Raise where a source is given together with what it brings itself, or holds nothing."""
    if y is not None:
        raise DataError(f"x is a {type(source).__name__}, which gives x and y itself: leave y out.")
    if sample_weight is not None:
        raise DataError(f"x is a {type(source).__name__}, and rows of a source have no sample_weight: weigh classes by "
                        f"class_weight, or load the rows and give arrays: x, y = source.load().")
    if not len(source):
        raise DataError(f"The {type(source).__name__} has no rows.")


def known_class_weight(source: Source, class_weight):
    """Class weights that do not depend on which rows are looked at: `"balanced"` by the labels of all rows."""
    if class_weight is None or isinstance(class_weight, Mapping):
        return class_weight
    if source.labels is None:
        raise DataError(f"class_weight={class_weight!r} needs the labels of all rows, and the {type(source).__name__} "
                        f"does not know them. Give a dict of labels and weights.")
    known, counts = np.unique(source.labels, return_counts=True)
    return {int(label): len(source) / (len(known) * count) for label, count in zip(known, counts, strict=True)}


def taken(x, y, sample_weight, steps: int | None = None, size: int = 1, setting: str = "steps_per_epoch",
          keep: bool = False) -> tuple:
    """What `fit` is given, as arrays or as a source that is streamed: `(x, y, sample_weight)`.

    Args:
        steps: how many batches an epoch has, for what comes batch after batch.
        size: the rows of a batch.
        setting: what messages call `steps`.
        keep: whether what can be read once is kept, because it is needed again.
    """
    x = as_source(x)
    if steps is not None:
        x = _of_steps(x, steps * (size or 1), setting)
    if isinstance(x, Source):
        check_source(x, y, sample_weight)
        if x.fits_in_memory or keep and getattr(x, "read_once", False):
            x, y, *weight = x.load()
            sample_weight = weight[0] if weight else None
    return x, y, sample_weight


def taken_validation(data, steps: int | None, size: int) -> tuple | None:
    """The `validation_data` that `fit` is given, as `taken` returns them; `None` where there are none."""
    data = as_source(data)
    if data is None:
        return None
    if isinstance(data, Source):
        data = data, None
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise SettingError(
            f"validation_data is (x, y), (x, y, sample_weight) or a source; got {type(data).__name__}.")
    x, y, weight = (*data, None)[:3]
    return taken(x, y, weight, steps, size, "validation_steps", keep=True)


def _of_steps(x, rows: int, setting: str) -> IterableSource:
    """An iterable with epochs of some rows."""
    if isinstance(x, IterableSource):
        return x.with_rows(rows)
    kind = type(x).__name__
    raise SettingError(f"{setting} says how long an epoch is where batches come one after another, from a generator or "
                       f"another iterable. x is a {kind}, all of whose rows are taken: leave {setting} out.")
