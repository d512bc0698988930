"""Names of classes: kept by models and their files, and nothing that cannot be printed comes out of a file."""
import json
import zipfile

import numpy as np
import pytest
from helpers import rewritten

from chainrule.errors import FileFormatError, SettingError
from chainrule.layers import Dense
from chainrule.models import Input, Model, Sequential, load_model

LIST = "class_names is a list of names, 1 to 100,000, or None; got "
NAME = "A name of a class is text of 1 to 200 characters; got "


def network():
    inputs = Input((3,))
    return Model(inputs, Dense(2, activation="softmax")(inputs))


@pytest.mark.parametrize("make", [network, lambda: Sequential([Input((3,)), Dense(2)]), lambda: Sequential([Dense(2)])])
def test_they_are_kept(tmp_path, make):
    model = make()
    assert model.class_names is None
    model.class_names = np.array(["Katze", "犬 \U0001f415"])
    model.class_names.append("not ours")
    assert model.class_names == ["Katze", "犬 \U0001f415"]
    model.save(tmp_path / "model.chain")
    loaded = load_model(tmp_path / "model.chain")
    assert loaded.class_names == model.class_names and all(type(name) is str for name in loaded.class_names)
    loaded.save(tmp_path / "again.chain")
    assert (tmp_path / "again.chain").read_bytes() == (tmp_path / "model.chain").read_bytes()
    loaded.class_names = None
    loaded.save(tmp_path / "again.chain")
    assert load_model(tmp_path / "again.chain").class_names is None


def test_files_without_them_are_as_they_were(tmp_path):
    network().save(tmp_path / "model.chain")
    with zipfile.ZipFile(tmp_path / "model.chain") as archive:
        assert "class_names" not in json.loads(archive.read("model.json"))


@pytest.mark.parametrize(("names", "message"), [
    ("cat", LIST + "'cat'."),
    ([], LIST + "[]."),
    ({"cat": 0}, LIST + "{'cat': 0}."),
    (5, LIST + "5."),
    (["x"] * 100_001, LIST + "[" + "'x', " * 11 + "'...."),
    (["cat", 5], NAME + "5."),
    (["cat", ""], NAME + "''."),
    (["cat", "x" * 201], NAME + "'" + "x" * 56 + "...."),
    (["cat", "\ud800"], NAME + "'\\ud800'."),
])
def test_what_are_no_names(tmp_path, names, message):
    model = network()
    with pytest.raises(SettingError) as error:
        model.class_names = names
    assert str(error.value) == message
    if names != ["cat", "\ud800"]:  # which is refused as text before it is looked at
        path = tmp_path / "model.chain"
        model.save(path)
        rewritten(path, lambda description: description.update(class_names=names))
        with pytest.raises(FileFormatError) as error:
            load_model(path)
        assert str(error.value) == (f"{path} cannot be read as a chainrule model: the names of the classes are not "
                                    f"valid (SettingError: {message}).")
