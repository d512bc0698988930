"""What `fit` is given in the place of arrays: which source it becomes."""
from collections.abc import Iterator, Mapping, Sequence, Set

import numpy as np

from chainrule.data.hugging_face import HuggingFaceDataset, iterable_dataset, usual_target
from chainrule.data.iterables import IterableSource
from chainrule.data.source import Source
from chainrule.data.torch_data import TorchDataset, loader_source

# What says of itself that it is an array, a table or a structure of them, by having one of these.
_OF_ARRAYS = ("__array__", "__array_interface__", "shape", "ndim", "iloc", "nnz", "to_pylist")


def as_source(data):
    """Data as a source, where they are batches or rows that come one after another; everything else as it is.

    Example:
        >>> as_source(iter([]))
        <IterableSource of the list_iterator>
        >>> as_source([1, 2])
        [1, 2]
    """
    if data is None or isinstance(data, (np.ndarray, Source, Mapping, Sequence, Set, type)):
        return data
    origins = {parent.__module__.split(".")[0] for parent in type(data).__mro__}
    if "datasets" in origins and hasattr(data, "column_names"):
        if hasattr(data, "set_epoch"):
            return iterable_dataset(data)
        return HuggingFaceDataset(data, usual_target(data.column_names))
    if any(hasattr(data, name) for name in _OF_ARRAYS):
        return data
    if isinstance(data, Iterator):
        return IterableSource(data)
    if "torch" in origins and hasattr(data, "__iter__"):
        return loader_source(data)
    if "torch" in origins and hasattr(data, "__getitem__"):
        return TorchDataset(data)
    if hasattr(data, "__iter__") or callable(data):
        return IterableSource(data)
    return data
