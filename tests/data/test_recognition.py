"""What becomes a source: stand-ins with the methods of PyTorch's and Hugging Face's data sets; what stays arrays."""
import types

import numpy as np
import pandas
import pytest

from chainrule.data import HuggingFaceDataset, IterableSource, TorchDataset
from chainrule.data.recognition import as_source
from chainrule.errors import DataError, UnknownNameError


def named(module: str, cls: type) -> type:
    """A class that says that it comes from a module."""
    cls.__module__ = module
    return cls


class Squares:
    """A data set of examples with numbers."""

    def __init__(self, count=10):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return np.full(2, index, "float32"), index**2


TorchSquares = named("torch.utils.data.dataset", type("TorchSquares", (Squares,), {}))


class Examples:
    """A data set that yields examples."""

    def __iter__(self):
        return iter([Squares()[index] for index in range(70)])


TorchExamples = named("torch.utils.data.dataset", type("TorchExamples", (Examples,), {}))


class Loader:
    """A loader of batches."""

    batch_size, drop_last, batch_sampler = 4, False, ()
    collate_fn = staticmethod(list)

    def __init__(self, dataset, epochs=None):
        self.dataset, self.sampler = dataset, types.SimpleNamespace(
            set_epoch=lambda epoch: epochs.append(epoch)) if epochs is not None else range(len(dataset))

    def __iter__(self):
        for start in range(0, len(self.dataset), 4):
            rows = [self.dataset[index] for index in range(start, min(start + 4, len(self.dataset)))]
            yield [np.stack([x for x, _ in rows]), np.array([y for _, y in rows])]


TorchLoader = named("torch.utils.data.dataloader", type("TorchLoader", (Loader,), {}))


class Table:
    """As `datasets.Dataset`: columns, rows by number, formats."""

    def __init__(self, columns, kind=None):
        self.columns, self.format = columns, {"type": kind}
        self.column_names = list(columns)
        self.shape = (len(self), len(columns))

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, rows):
        chosen = range(len(self))[rows] if isinstance(rows, slice) else rows
        return {name: np.asarray([self.columns[name][row] for row in chosen]) for name in self.column_names}

    def with_format(self, kind, columns=None):
        return type(self)({name: self.columns[name] for name in columns or self.columns}, kind)


HuggingTable = named("datasets.arrow_dataset", type("HuggingTable", (Table,), {}))


class Flow:
    """As `datasets.IterableDataset`."""

    def __init__(self, columns, known=True):
        self.table, self.epochs = Table(columns), []
        self.column_names = self.table.column_names if known else None

    def set_epoch(self, epoch):
        self.epochs.append(epoch)

    def __iter__(self):
        for row in range(len(self.table)):
            yield {name: values[0] for name, values in self.table[[row]].items()}

    def iter(self, batch_size):
        for start in range(0, len(self.table), batch_size):
            yield self.table[slice(start, start + batch_size)]


HuggingFlow = named("datasets.iterable_dataset", type("HuggingFlow", (Flow,), {}))


def columns(count=50):
    return {"a": np.arange(count), "b": np.arange(count) / 2, "label": np.arange(count) % 3}


@pytest.mark.parametrize("given", [
    None, np.zeros(3), [1, 2], (1, 2), {"a": 1}, range(4), "text", 3, 2.5, pandas.DataFrame({"a": [1]}), int,
    {1, 2}, memoryview(b"ab"),
], ids=lambda given: type(given).__name__)
def test_arrays_and_plain_values_stay(given):
    assert as_source(given) is given


def test_sources_stay():
    source = TorchDataset(Squares())
    assert as_source(source) is source


def test_jax_arrays_and_tensors_stay():
    import jax.numpy as jnp

    array = jnp.zeros(3)
    assert as_source(array) is array


@pytest.mark.parametrize("given", [iter([]), lambda: iter([]), (part for part in ()), map(str, ()), {"a": 1}.values()])
def test_iterables_become_sources(given):
    assert type(as_source(given)) is IterableSource


def test_a_data_set_of_pytorch():
    source = as_source(TorchSquares())
    x, y = source.rows(np.array([3, 1]))
    assert (type(source), len(source), source.fits_in_memory) == (TorchDataset, 10, False)
    assert (x.tolist(), y.tolist()) == ([[3, 3], [1, 1]], [9, 1])


def test_several_examples_at_once_where_the_data_set_can():
    dataset = TorchSquares()
    dataset.__class__.__getitems__ = lambda self, rows: [self[row] for row in rows]
    try:
        assert TorchDataset(dataset).rows(np.array([2]))[1].tolist() == [4]
    finally:
        del dataset.__class__.__getitems__


def test_tensors_are_read_whole():
    dataset = types.SimpleNamespace(tensors=(np.zeros((5, 2)), np.arange(5)), __len__=lambda: 5)
    source = TorchDataset(dataset)
    assert source.in_memory is None and source.rows(np.array([4]))[1].tolist() == [4]


def test_examples_of_different_shapes():
    class Uneven(Squares):
        def __getitem__(self, index):
            return np.zeros(index), 0

    with pytest.raises(DataError) as error:
        TorchDataset(Uneven()).rows(np.array([1, 2]))
    assert str(error.value) == (
        "The examples of Uneven do not fit together: all input arrays must have the same shape. Each is (x, y), (x, y, "
        "sample_weight) or x, and all have the same shapes.")


def test_a_loader_of_pytorch():
    source = as_source(TorchLoader(Squares()))
    assert (type(source), len(source), source.batch_size) == (IterableSource, 10, 4)
    assert source.load()[1].tolist() == [number**2 for number in range(10)]


def test_a_loader_that_drops_the_last_batch_has_fewer_rows():
    loader = TorchLoader(Squares())
    loader.drop_last = True
    assert len(as_source(loader)) == 8


def test_the_sampler_of_a_loader_is_told_of_epochs():
    epochs = []
    source = as_source(TorchLoader(Squares(), epochs))
    assert len(source) == 10  # counted, since this sampler has no length
    del epochs[:]
    for epoch in (0, 1, 2):
        source.begin(epoch)
        source.rows(np.arange(10))
    assert epochs == [0, 1, 2]


def test_examples_that_are_yielded_are_put_together():
    source = as_source(TorchExamples())
    assert (len(source), source.batch_size) == (70, 32)
    assert source.load()[1].tolist() == [number**2 for number in range(70)]


def test_a_data_set_of_hugging_face():
    source = as_source(HuggingTable(columns()))
    x, y = source.rows(np.array([3, 1]))
    assert (type(source), len(source)) == (HuggingFaceDataset, 50)
    assert (x.tolist(), y.tolist()) == ([[3, 1.5], [1, 0.5]], [0, 1])
    np.testing.assert_array_equal(source.rows(np.arange(5, 9))[0][:, 0], [5, 6, 7, 8])


def test_columns_of_a_data_set_of_hugging_face():
    table = HuggingTable(columns() | {"image": np.zeros((50, 4, 4, 3), "uint8"), "words": ["one"] * 50})
    x, y = HuggingFaceDataset(table, target="a", columns={"left": "image", "right": ["b"], "text": "words"}).load()
    assert {name: (part.shape, part.dtype.name) for name, part in x.items()} == {
        "left": ((50, 4, 4, 3), "uint8"), "right": ((50, 1), "float32"), "text": ((50,), "object")}
    assert y.tolist() == list(range(50))
    with pytest.raises(UnknownNameError) as error:
        HuggingFaceDataset(table, target="lable")
    assert str(error.value) == "The data set has no column 'lable'. Did you mean 'label'?"


def test_a_column_with_gaps():
    table = HuggingTable({"a": np.array([1.0, None], object), "label": [0, 1]})
    with pytest.raises(DataError) as error:
        as_source(table).load()
    assert str(error.value) == (
        "The column 'a' has missing values near row 0; expected numbers, or text. Fill them, or leave the column out: "
        "columns=[...].")


def test_what_a_user_makes_of_rows_is_asked_for_anew():
    own = HuggingTable(columns(), "custom")
    source = HuggingFaceDataset(own, "label")
    assert (source.dataset, source.fits_in_memory, source.repeats) == (own, False, False)


@pytest.mark.parametrize("known", [True, False])
def test_a_flow_of_hugging_face(known):
    flow = HuggingFlow(columns(), known)
    source = as_source(flow)
    assert len(source) == 50
    x, y = source.load()
    assert (x[:, 0].tolist(), y[:4].tolist()) == (list(range(50)), [0, 1, 2, 0])
    source.begin(3)
    assert flow.epochs[-1] == 3
