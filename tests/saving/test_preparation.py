"""What prepared the data of a model is kept in its file, and nothing else can come out of there."""
import numpy as np
import pytest
from helpers import rewritten

from chainrule import data
from chainrule.data import Preparation, Source
from chainrule.errors import FileFormatError, SettingError, UnknownLayerError
from chainrule.layers import Dense
from chainrule.models import Input, Sequential, load_model

EXPECTED = "A preparation is a vocabulary of chainrule.text, a scaling of chainrule.series, or None; got"


def network():
    return Sequential([Input((3,)), Dense(2, activation="softmax")])


class Shift(Preparation):
    """A user's own."""

    def __init__(self, by: float, names: list | None = None):
        self.by, self.names = by, names


class Shifted(Source):
    """Rows that know how they were prepared."""

    preparation = Shift(2.0)

    def __len__(self):
        return 6

    def rows(self, indices):
        return np.ones((len(indices), 3), "float32"), np.zeros(len(indices), "int32")


def test_it_is_kept(tmp_path):
    model = network()
    assert model.preparation is None
    model.preparation = Shift(1.5, names=["größe", "\U0001f415"])
    model.save(tmp_path / "model.chain")
    loaded = load_model(tmp_path / "model.chain", custom_objects={"Shift": Shift})
    assert type(loaded.preparation) is Shift
    assert loaded.preparation.get_config() == {"by": 1.5, "names": ["größe", "\U0001f415"]}
    loaded.preparation = None
    loaded.save(tmp_path / "again.chain")
    assert load_model(tmp_path / "again.chain").preparation is None


def test_fit_takes_it_from_a_source_and_keeps_one_that_was_set():
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(Shifted().subset([0, 1, 2]), verbose=0)
    assert model.preparation is Shifted.preparation
    model.preparation = own = Shift(5.0)
    model.fit(Shifted(), verbose=0)
    assert model.preparation is own


def test_what_is_none():
    with pytest.raises(SettingError) as error:
        network().preparation = "lower case"
    assert str(error.value) == f"{EXPECTED} 'lower case'."


@pytest.mark.parametrize(("entry", "kind", "message"), [
    ("text", FileFormatError, f"the preparation of its data is not valid (SettingError: {EXPECTED} 'text'.)."),
    ({"layer": "Dense", "settings": {"units": 2}}, FileFormatError,
     f"the preparation of its data is not valid (SettingError: {EXPECTED} Dense(units=2).)."),
    ({"preparation": "os.system", "settings": {}}, UnknownLayerError, None),
])
def test_files_that_say_something_else(tmp_path, entry, kind, message):
    path = tmp_path / "model.chain"
    network().save(path)
    rewritten(path, lambda description: description.update(preparation=entry))
    with pytest.raises(kind) as error:
        load_model(path)
    assert message is None or str(error.value).endswith(message)


def test_the_list_is_closed():
    assert all(issubclass(entry, Preparation) for entry in data.registry.entries.values())
