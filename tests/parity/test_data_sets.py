"""Data sets and loaders of PyTorch and Hugging Face as they are: a fit over them is the fit over their arrays."""
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from chainrule.data import HuggingFaceDataset, TorchDataset
from chainrule.layers import Dense
from chainrule.models import Input, Sequential

pytestmark = pytest.mark.peers
COUNT = 203


def data():
    draw = np.random.default_rng(1)
    return draw.normal(size=(COUNT, 4)).astype("float32"), draw.integers(0, 3, COUNT)


def trained(*given, **settings):
    model = Sequential([Input((4,)), Dense(8, activation="relu"), Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(*given, **{"epochs": 3, "verbose": 0, "seed": 4} | settings)
    return [weight.tobytes() for weight in model.get_weights()], history.history, model


class Examples(Dataset):
    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        x, y = data()
        return torch.from_numpy(x[index]), int(y[index])


class Flowing(IterableDataset):
    def __iter__(self):
        return iter(zip(*data(), strict=True))


def tensors():
    return TensorDataset(*map(torch.from_numpy, data()))


@pytest.mark.parametrize("make", [tensors, Examples, lambda: TorchDataset(tensors(), in_memory=False)])
def test_data_sets_with_numbers_are_shuffled_as_arrays(make):
    assert trained(make(), batch_size=16, validation_data=make())[:2] == trained(
        *data(), batch_size=16, validation_data=data())[:2]


@pytest.mark.parametrize("make", [lambda: DataLoader(tensors(), batch_size=16), Flowing,
                                  lambda: DataLoader(Flowing(), batch_size=16),
                                  lambda: DataLoader(Examples(), batch_size=None)],
                         ids=["loader", "flow", "loader of a flow", "examples"])
def test_loaders_and_flows_keep_their_order(make):
    plain = trained(*data(), batch_size=16, shuffle=False)
    assert trained(make(), batch_size=16)[:2] == plain[:2]
    assert plain[2].evaluate(make(), batch_size=16, verbose=0) == plain[2].evaluate(*data(), batch_size=16, verbose=0)


def test_a_loader_that_shuffles_has_another_order_each_epoch():
    torch.manual_seed(0)
    loader = DataLoader(tensors(), batch_size=16, shuffle=True)
    assert trained(loader)[0] != trained(*data(), batch_size=16, shuffle=False)[0]
    assert len(trained(loader, epochs=2)[1]["loss"]) == 2


def hugging_face():
    datasets = pytest.importorskip("datasets")
    x, y = data()
    return datasets.Dataset.from_dict({"x": x.tolist(), "label": y.tolist()})


def test_data_sets_of_hugging_face():
    made = hugging_face()
    plain = trained(*data(), batch_size=16)
    assert trained(made, batch_size=16)[:2] == plain[:2]
    assert trained(HuggingFaceDataset(made, "label", in_memory=False), batch_size=16)[:2] == plain[:2]


def test_flows_of_hugging_face():
    plain = trained(*data(), batch_size=16, shuffle=False)
    assert trained(hugging_face().to_iterable_dataset(), batch_size=16)[:2] == plain[:2]
    made = hugging_face().to_iterable_dataset(num_shards=4)  # whose order depends on the epoch
    shuffled = [trained(made.shuffle(seed=3, buffer_size=50), batch_size=16) for _ in range(2)]
    assert shuffled[0][:2] == shuffled[1][:2] and shuffled[0][0] != plain[0]
