"""The named data sets: MNIST and Fashion-MNIST from generated files (and from the real ones where they are), digits."""
import ast
import hashlib
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule.data
import chainrule.datasets
from chainrule.data.split import split_indices
from chainrule.datasets import digits, fashion_mnist, mnist, write_idx
from chainrule.datasets.sources import locate
from chainrule.errors import FileFormatError, MissingDataError

NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
BOTH = pytest.mark.parametrize("module", [mnist, fashion_mnist])


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    return [array.astype("uint8") for rows in (20, 7)
            for array in (random.integers(0, 256, (rows, 28, 28)), random.integers(0, 10, rows))]


@pytest.fixture
def folder(tmp_path, arrays):
    for name, array in zip(NAMES, arrays, strict=True):
        write_idx(tmp_path / f"{name}.gz", array)
    return tmp_path


@BOTH
def test_loads_from_a_folder(module, folder, arrays):
    (x_train, y_train), (x_test, y_test) = module.load_data(folder)
    for loaded, array in zip((x_train, y_train, x_test, y_test), arrays, strict=True):
        assert loaded.dtype == np.uint8
        np.testing.assert_array_equal(loaded, array)


@BOTH
def test_loads_from_chainrule_data_unpacked(module, tmp_path, arrays, monkeypatch):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    (tmp_path / module.source.folder).mkdir()
    for name, array in zip(NAMES, arrays, strict=True):
        write_idx(tmp_path / module.source.folder / name, array)
    (x_train, _), (_, y_test) = module.load_data()
    np.testing.assert_array_equal(x_train, arrays[0])
    np.testing.assert_array_equal(y_test, arrays[3])


@BOTH
def test_the_published_files(module):
    """Runs on the real files where `CHAINRULE_DATA` has them; elsewhere on what is known about them."""
    folder = os.path.join(os.environ.get("CHAINRULE_DATA", ""), module.source.folder)
    if not os.path.isdir(folder):
        assert [file.name for file in module.source.files] == [f"{name}.gz" for name in NAMES]
        assert all(re.fullmatch("[0-9a-f]{64}", file.digest) for file in module.source.files)
        return
    for path, file in zip(locate(module.source), module.source.files, strict=True):
        if path.suffix == ".gz":
            assert (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) == (file.size, file.digest)
    (x_train, y_train), (x_test, y_test) = module.load_data()
    assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
    assert y_train.shape == (60000,) and y_test.shape == (10000,)
    assert len(module.class_names) == len(np.unique(y_train)) == 10


def refused(folder, index, array, message):
    write_idx(folder / f"{NAMES[index]}.gz", array)
    with pytest.raises(FileFormatError) as error:
        mnist.load_data(folder)
    assert str(error.value) == message.replace("IMAGES", str(folder / f"{NAMES[0]}.gz")).replace(
        "LABELS", str(folder / f"{NAMES[1]}.gz"))


@pytest.mark.parametrize("array, found", [
    (np.zeros((20, 28, 27), "uint8"), "uint8 of the shape (20, 28, 27)"),
    (np.zeros((20, 784), "uint8"), "uint8 of the shape (20, 784)"),
    (np.zeros((20, 28, 28), "float32"), "float32 of the shape (20, 28, 28)"),
    (np.zeros((0, 28, 28), "uint8"), "uint8 of the shape (0, 28, 28)"),
])
def test_files_that_hold_no_images(folder, array, found):
    refused(folder, 0, array,
            f"IMAGES does not hold images: expected uint8 of the shape (rows, 28, 28), found {found}.")


@pytest.mark.parametrize("array, found", [
    (np.zeros((20, 1), "uint8"), "uint8 of the shape (20, 1)"),
    (np.zeros(20, "int32"), "int32 of the shape (20,)"),
])
def test_files_that_hold_no_labels(folder, array, found):
    refused(folder, 1, array, f"LABELS does not hold labels: expected uint8 of the shape (rows,), found {found}.")


def test_images_and_labels_of_different_length(folder):
    refused(folder, 1, np.zeros(19, "uint8"), "IMAGES and LABELS do not belong together: 20 images, 19 labels.")


def test_a_label_out_of_range(folder):
    labels = np.zeros(20, "uint8")
    labels[13] = 10
    refused(folder, 1, labels,
            "LABELS does not hold labels of ten classes: expected 0 to 9, found 10 in row 13.")


def test_names_of_classes():
    assert mnist.class_names == digits.class_names == tuple("0123456789")
    assert fashion_mnist.class_names[0] == "T-shirt/top" and fashion_mnist.class_names[9] == "Ankle boot"


def test_digits():
    from sklearn.datasets import load_digits

    (x_train, y_train), (x_test, y_test) = digits.load_data()
    assert [a.shape for a in (x_train, y_train, x_test, y_test)] == [(1438, 8, 8), (1438,), (359, 8, 8), (359,)]
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype("uint8")}
    assert x_train.max() == 16
    reference = load_digits()
    train, test = split_indices(1797, 0.2, seed=0, stratify=reference.target)
    np.testing.assert_array_equal(x_test, reference.images[test])
    np.testing.assert_array_equal(y_train, reference.target[train])
    assert np.abs(np.bincount(y_test) - 0.2 * np.bincount(reference.target)).max() < 1


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDataError) as error:
        digits.load_data()
    assert str(error.value) == ("The digits come with scikit-learn, which is not installed: "
                                "pip install 'chainrule[tables]'.")


@pytest.mark.parametrize("package", [chainrule.datasets, chainrule.data])
def test_numpy_is_all_that_is_imported_at_once(package):
    """No JAX at all; scikit-learn, rich and urllib only inside the functions that need them."""
    for path in Path(package.__file__).parent.glob("*.py"):
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in statement.names]
                modules = [statement.module] if isinstance(statement, ast.ImportFrom) else names
                for module in modules:
                    assert module.split(".")[0] in {*sys.stdlib_module_names, "numpy", "chainrule"} - {"urllib"}, path
