"""HDF5 files of Keras: the layouts of its versions, and what is refused."""
import sys

import h5py
import numpy as np
import pytest

from chainrule.errors import FileFormatError, SettingError
from chainrule.saving import read_keras

KERNEL, BIAS = np.arange(6.0).reshape(2, 3), np.ones(3, "float32")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.h5"


def message(path) -> str:
    with pytest.raises(FileFormatError) as error:
        read_keras(path)
    return str(error.value).removeprefix(f"{path} cannot be read as weights of Keras: ")


def write_grouped(group, layers: dict[str, dict[str, np.ndarray]], kind=np.bytes_) -> None:
    group.attrs["layer_names"] = [kind(name) for name in layers]
    for layer, arrays in layers.items():
        group.create_group(layer).attrs["weight_names"] = [kind(name) for name in arrays] or np.zeros(0)
        for name, array in arrays.items():
            group[layer][name] = array


def check(found) -> None:
    assert list(found) == ["conv", "dense"]
    for first, second in zip(found["conv"] + found["dense"], [KERNEL, BIAS, BIAS], strict=True):
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)


LAYERS = {"input": {}, "conv": {"conv_W_1:0": KERNEL, "conv_b_1:0": BIAS}, "dense": {"deep/dense/kernel:0": BIAS}}


@pytest.mark.parametrize("kind", [np.bytes_, str])
def test_weights_of_keras_1_and_2(path, kind):
    with h5py.File(path, "w") as file:
        write_grouped(file, LAYERS, kind)
    check(read_keras(path))


def test_a_model_of_keras_2(path):
    with h5py.File(path, "w") as file:
        write_grouped(file.create_group("model_weights"), LAYERS)
        file["optimizer_weights/step"] = 3
    check(read_keras(path))


def test_long_lists_of_names_are_spread(path):
    with h5py.File(path, "w") as file:
        write_grouped(file, LAYERS)
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"conv"], [b"dense"]
    check(read_keras(path))


def test_weights_of_keras_3(path):
    with h5py.File(path, "w") as file:
        for place, name, arrays in (("conv2d", "conv", [KERNEL, BIAS]), ("dense_1", "dense", [BIAS])):
            group = file.create_group(f"layers/{place}/vars")
            group.attrs["name"] = name
            for index, array in enumerate(arrays):
                group[str(index)] = array
        file.create_group("layers/flatten/vars").attrs["name"] = "flatten"
        file["optimizer/vars/0"] = 3
    check(read_keras(path))


def test_keras_3_lists_arrays_by_number(path):
    with h5py.File(path, "w") as file:
        for index in range(12):
            file[f"layers/custom/vars/{index}"] = float(index)
    assert [float(array) for array in read_keras(path)["custom"]] == list(range(12))


def test_other_files(path):
    path.write_bytes(b"no such thing")
    assert message(path).startswith("it is not an HDF5 file of Keras, or a damaged one (")
    with h5py.File(path, "w") as file:
        file["x"] = 1
    assert message(path) == "it holds no arrays of layers."
    with h5py.File(path, "w") as file:
        write_grouped(file, {"conv": {"text": np.array([b"abc"])}})
    assert message(path) == "'/conv/text' in it is not an array of numbers."
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"conv"]
    assert message(path).startswith("it is not an HDF5 file of Keras, or a damaged one (")
    with h5py.File(path, "w") as file:
        for place in ("a", "b"):
            file.create_group(f"layers/{place}/vars").attrs["name"] = "same"
            file[f"layers/{place}/vars/0"] = 1.0
    assert message(path) == "it has two layers called 'same'."
    with pytest.raises(FileNotFoundError):
        read_keras(path.with_name("missing.h5"))


def test_nothing_outside_the_file_is_read(path, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = KERNEL
    KERNEL.tofile(tmp_path / "secret.bin")

    def named(file):
        file.attrs["layer_names"] = [b"conv"]
        file.create_group("conv").attrs["weight_names"] = [b"w"]

    with h5py.File(path, "w") as file:
        named(file)
        file["conv/w"] = h5py.ExternalLink("secret.h5", "/x")
    assert message(path) == "'conv/w' in it is a link to somewhere else."
    with h5py.File(path, "w") as file:
        named(file)
        file["conv/w"] = h5py.SoftLink("/conv")
    assert message(path) == "'conv/w' in it is a link to somewhere else."
    with h5py.File(path, "w") as file:
        named(file)
        file.create_dataset("conv/w", KERNEL.shape, "f8", external=[(str(tmp_path / "secret.bin"), 0, KERNEL.nbytes)])
    assert message(path) == "'/conv/w' in it is packed, or not in this file."
    with h5py.File(path, "w") as file:
        named(file)
        layout = h5py.VirtualLayout(KERNEL.shape, "f8")
        layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "x", KERNEL.shape)
        file.create_virtual_dataset("conv/w", layout)
    assert message(path) == "'/conv/w' in it is packed, or not in this file."


def test_small_files_do_not_grow(path):
    with h5py.File(path, "w") as file:
        write_grouped(file, {"conv": {}})
        file["conv"].attrs["weight_names"] = [b"w"]
        file.create_dataset("conv/w", (10**6, 10**6), "f8", chunks=(1000, 1000), compression="gzip")
    assert message(path) == "'/conv/w' in it is packed, or not in this file."
    with h5py.File(path, "w") as file:
        write_grouped(file, {"conv": {"w": np.zeros(1000)}})
        file["conv"].attrs["weight_names"] = [b"w"] * 1000
    assert message(path) == "its arrays are larger than the file."


def test_without_h5py(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(SettingError) as error:
        read_keras(path)
    assert str(error.value) == ("Files of Keras (.h5) are read by h5py, which is not installed: "
                                "pip install 'chainrule[hdf5]'.")
