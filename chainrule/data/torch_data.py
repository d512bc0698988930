"""Data sets and loaders of PyTorch as sources, known by what they can do: PyTorch itself is not imported."""
from collections.abc import Iterator, Mapping

import numpy as np

from chainrule.data.files import check_window
from chainrule.data.iterables import IterableSource, as_batch
from chainrule.data.source import Source
from chainrule.errors import DataError

# How many examples of a data set that yields them one by one are put together.
EXAMPLES = 32


class TorchDataset(Source):
    """A data set of PyTorch whose examples have numbers, with `__len__` and `__getitem__`, as a source.

    `fit`, `evaluate` and `predict` make one of such a data set. An example is `(x, y)`, `(x, y, sample_weight)` or `x`.
    Examples are asked for in every epoch anew, so that random transformations differ; a `TensorDataset` is read whole.

    Args:
        dataset: the data set; any object with those two methods.
        window: how many examples are shuffled together, long runs of neighbours in random order before; all by default.
        in_memory: whether to read all examples once, at first. By default only those of a `TensorDataset` are, where
            they fit.

    Raises:
        DataError: examples differ in shape, or have no such form.

    Example:
        >>> class Squares:
        ...     def __len__(self):
        ...         return 4
        ...
        ...     def __getitem__(self, index):
        ...         return np.array([index], "float32"), index**2
        >>> x, y = TorchDataset(Squares()).rows(np.array([3, 1]))
        >>> x.tolist(), y.tolist()
        ([[3.0], [1.0]], [9, 1])
    """

    def __init__(self, dataset, window: int | None = None, in_memory: bool | None = None):
        self.dataset, self.window = dataset, check_window(window)
        tensors = getattr(dataset, "tensors", None)
        self._tensors = as_batch(tuple(tensors), type(dataset).__name__) if tensors else None
        self.in_memory = False if in_memory is None and self._tensors is None else in_memory
        self.repeats = self._tensors is not None

    def __len__(self) -> int:
        return len(self.dataset)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {type(self.dataset).__name__}: {len(self)} rows>"

    def rows(self, indices: np.ndarray) -> tuple:
        if self._tensors is not None:
            x, y, weight = (None if part is None else part[indices] for part in self._tensors)
        elif hasattr(self.dataset, "__getitems__"):
            x, y, weight = stacked(self.dataset.__getitems__(indices.tolist()), type(self.dataset).__name__)
        else:
            x, y, weight = stacked([self.dataset[index] for index in indices.tolist()], type(self.dataset).__name__)
        return (x, y) if weight is None else (x, y, weight)


class LoaderBatches:
    """The batches of a `DataLoader`, or the examples of an `IterableDataset` some at a time, for an `IterableSource`.

    Args:
        loader: either.
    """

    def __init__(self, loader):
        self.loader = loader
        self._in_batches = hasattr(loader, "collate_fn") and getattr(loader, "batch_sampler", True) is not None

    def set_epoch(self, epoch: int) -> None:
        """Tell what the loader is made of, where it wants to know, which epoch comes."""
        for part in (self.loader, *(getattr(self.loader, name, None) for name in ("sampler", "batch_sampler",
                                                                                   "dataset"))):
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)

    def __iter__(self) -> Iterator:
        return iter(self.loader) if self._in_batches else self._examples()

    def _examples(self) -> Iterator:
        examples = []
        for example in self.loader:
            examples.append(example)
            if len(examples) == EXAMPLES:
                yield stacked(examples, type(self.loader).__name__)
                examples = []
        if examples:
            yield stacked(examples, type(self.loader).__name__)

    @property
    def rows(self) -> int | None:
        """The number of rows, where it can be known without reading them."""
        size, sampler = getattr(self.loader, "batch_size", None), getattr(self.loader, "sampler", None)
        if not self._in_batches or size is None or getattr(self.loader, "collate_fn", None) is None:
            return None
        try:
            count = len(sampler)
        except TypeError:  # of a data set without a length
            return None
        return count // size * size if getattr(self.loader, "drop_last", False) else count


def loader_source(loader, window: int | None = None) -> IterableSource:
    """The batches of a loader, or of an iterable data set, as a source."""
    batches = LoaderBatches(loader)
    return IterableSource(batches, window, batches.rows, f"the {type(loader).__name__}")


def stacked(examples: list, name: str) -> tuple:
    """Examples as one batch `(x, y, sample_weight)`."""
    try:
        together = _together(examples)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"The examples of {name} do not fit together: {error}. Each is (x, y), (x, y, sample_weight) "
                        f"or x, and all have the same shapes.") from error
    return as_batch(together, name)


def _together(examples: list):
    first = examples[0]
    if isinstance(first, Mapping):
        return {key: _together([example[key] for example in examples]) for key in first}
    if isinstance(first, tuple) or isinstance(first, list) and any(hasattr(part, "shape") for part in first):
        return tuple(_together(list(parts)) for parts in zip(*examples, strict=True))
    return np.stack([example.numpy() if hasattr(example, "numpy") else np.asarray(example) for example in examples])
