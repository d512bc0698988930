"""Files of PyTorch: both layouts read, and everything refused that is more than tensors by name."""
import os
import random
import zipfile

import ml_dtypes
import numpy as np
import pytest
from torch_files import (
    MAGIC_NUMBER,
    STORAGES,
    VERSION,
    Built,
    Call,
    Name,
    Reference,
    code,
    pickled,
    storage,
    tensor,
    write_legacy,
    write_tensors,
    write_zip,
)

from chainrule.errors import FileFormatError
from chainrule.saving import read_pytorch

LAYOUTS = pytest.mark.parametrize("write", [write_zip, write_legacy])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pth"


def message(path) -> str:
    with pytest.raises(FileFormatError) as error:
        read_pytorch(path)
    start = f"{path} cannot be read as weights of PyTorch: "
    assert str(error.value).startswith(start)
    return str(error.value).removeprefix(start)


@LAYOUTS
def test_every_type_and_shape(path, write):
    rng = np.random.default_rng(0)
    arrays = {f"layer.{dtype}": (rng.normal(size=(3, 1, 5)) * 9).astype(dtype) for dtype in STORAGES
              if dtype != "bfloat16"}
    arrays |= {"half": rng.normal(size=7).astype(ml_dtypes.bfloat16), "scalar": np.array(3), "empty": np.zeros((0, 4))}
    write_tensors(path, arrays, write)
    found = read_pytorch(path)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


@LAYOUTS
def test_views_of_one_storage(path, write):
    numbers = np.arange(12, dtype="float32")
    view = lambda *place: Call("torch._utils _rebuild_tensor_v2", (storage("7", numbers), *place, False, {}))
    write(path, {"transposed": view(0, (4, 3), (1, 4)), "tail": view(10, (2,), (1,)), "every": view(1, (4,), (3,))},
          {"7": numbers})
    found = read_pytorch(path)
    np.testing.assert_array_equal(found["transposed"], numbers.reshape(3, 4).T)
    np.testing.assert_array_equal(found["tail"], [10, 11])
    np.testing.assert_array_equal(found["every"], [1, 4, 7, 10])


@LAYOUTS
def test_what_older_versions_wrote(path, write):
    array = np.ones((2, 3), "float32")
    old = Call("torch._utils _rebuild_tensor", (storage("0", array, None), 0, Call("torch Size", ((2, 3),)), (3, 1)))
    parameter = Built(Call("torch.nn.parameter Parameter", (old,)), (True, False, Call("collections OrderedDict", ())))
    ordered = Call("collections OrderedDict", ([["a", parameter], ["b", tensor("0", array, None)]],))
    kept = Call("torch._utils _rebuild_parameter", (old, True, Call("collections OrderedDict", ())))
    write(path, Built(ordered, {"_metadata": {"": {"version": 1}}}), {"0": array})
    assert list(read_pytorch(path)) == ["a", "b"]
    write(path, {"a": kept}, {"0": array})
    np.testing.assert_array_equal(read_pytorch(path)["a"], array)


@LAYOUTS
@pytest.mark.parametrize(("name", "told"), [
    ("os system", "os.system"), ("builtins eval", "builtins.eval"), ("torchvision.models.vgg VGG", None),
    ("collections OrderedDict.fromkeys", None), ("torch._utils _rebuild_sparse_tensor", None),
    ("x " + "y" * 500, None)])
def test_globals_are_names_only(path, write, name, told, tmp_path):
    described = name.replace(" ", ".")[:80]
    assert told in (None, described)
    for description in ({"a": Call(name, (f"touch {tmp_path}/executed",))}, Name(name), {"a": Built(Name(name), {})}):
        write(path, description, {})
        assert message(path) == (f"it asks for {described!r}, and nothing but tensors is read. Write the tensors "
                                 "alone, with torch.save(model.state_dict(), path).")
    assert os.listdir(tmp_path) == ["weights.pth"]


@LAYOUTS
@pytest.mark.parametrize(("description", "text"), [
    ([1, 2], "it holds a list instead of tensors by name. Write it with torch.save(model.state_dict(), path)."),
    (tensor("0", np.ones(2)),
     "it holds a tensor instead of tensors by name. Write it with torch.save(model.state_dict(), path)."),
    ({"epoch": 3}, "its entry 'epoch' is not a tensor. Write the tensors alone, with "
                   "torch.save(model.state_dict(), path)."),
    ({"state_dict": {"a": 1}}, "its entry 'state_dict' is not a tensor. Write the tensors alone, with "
                               "torch.save(model.state_dict(), path)."),
    ({"a": Name("torch FloatStorage")}, "its entry 'a' is not a tensor. Write the tensors alone, with "
                                        "torch.save(model.state_dict(), path)."),
    ({1: tensor("0", np.ones(2))}, "its entry 1 is not a tensor. Write the tensors alone, with "
                                   "torch.save(model.state_dict(), path)."),
    ({(1, 2): 3}, "it has a dict whose keys are not names."),
    ({"a": Call("torch FloatStorage", (3,))}, "it calls something that cannot be called."),
    ({"a": Call("torch Size", (3,))}, "it has a shape that is no tuple."),
    ({"a": Call("collections OrderedDict", ((),))}, "it has a dict that is not made of pairs."),
    ({"a": Call("torch.nn.parameter Parameter", (3,))}, "it has a parameter that is no tensor."),
    ({"a": Reference("module")}, "it refers to numbers in an unknown way."),
    ({"a": storage("0", np.ones(2), ("1", 0, 2))}, "it refers to numbers in an unknown way."),
    ({"a": Reference(("storage", Name("torch Size"), "0", "cpu", 2))}, "it refers to numbers in an unknown way."),
    ({"a": Reference(("storage", Name("torch FloatStorage"), "0", "cpu", -2))},
     "it refers to numbers in an unknown way.")])
def test_other_things_than_tensors_by_name(path, write, description, text):
    write(path, description, {"0": np.ones(2)})
    assert message(path) == text


@LAYOUTS
@pytest.mark.parametrize(("place", "text"), [
    ((0, (5,), (1,)), "its tensor 'a' reaches beyond its numbers."),
    ((1, (4,), (1,)), "its tensor 'a' reaches beyond its numbers."),
    ((0, (2, 2), (3, 1)), "its tensor 'a' reaches beyond its numbers."),
    ((0, (10**6, 10**6), (0, 0)), "its tensor 'a' reaches beyond its numbers."),
    ((4, (), ()), "its tensor 'a' reaches beyond its numbers."),
    ((-1, (4,), (1,)), "it has a tensor that is not described by numbers, shape and strides."),
    ((0, (4,), (-1,)), "it has a tensor that is not described by numbers, shape and strides."),
    ((0, (4,), (1, 1)), "it has a tensor that is not described by numbers, shape and strides."),
    ((0, (2**63,), (1,)), "it has a tensor that is not described by numbers, shape and strides."),
    ((0, (1,) * 33, (1,) * 33), "it has a tensor that is not described by numbers, shape and strides."),
    ((0, ("4",), (1,)), "it has a tensor that is not described by numbers, shape and strides.")])
def test_tensors_stay_within_their_numbers(path, write, place, text):
    numbers = np.arange(4, dtype="float32")
    call = Call("torch._utils _rebuild_tensor_v2", (storage("0", numbers), *place, False, {}))
    write(path, {"a": call}, {"0": numbers})
    assert message(path) == text


@LAYOUTS
def test_storages_are_as_long_as_they_say(path, write):
    given = np.ones(4)
    write(path, {"a": tensor("0", np.ones(3))}, {"0": given})
    assert message(path) == "the numbers '0' are missing, or not as many as they should be."
    huge = Reference(("storage", Name("torch DoubleStorage"), "0", "cpu", 10**15))
    write(path, {"a": Call("torch._utils _rebuild_tensor_v2", (huge, 0, (1,), (1,), False, {}))}, {"0": given})
    assert message(path) == "the numbers '0' are missing, or not as many as they should be."
    both = {"a": tensor("0", np.ones(4)), "b": tensor("0", np.ones(8, "float32"))}
    write(path, both, {"0": given})
    assert message(path) == "its tensors do not agree on the numbers '0'."


def test_numbers_that_are_not_there(path):
    write_zip(path, {"a": tensor("0", np.ones(3))}, {})
    assert message(path) == "the numbers '0' are missing, or not as many as they should be."
    write_legacy(path, {"a": tensor("0", np.ones(3))}, {})
    assert message(path) == "the numbers that it holds are not those that its tensors need."


def test_archives_that_torch_does_not_write(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickled({}) + bytes(10_000))
    assert message(path) == "its member 'archive/data.pkl' is packed, which torch.save does not do."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", "{}")
    assert message(path) == "it is a zip archive without a member data.pkl."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(5 << 20))
    assert message(path) == "its description has 5,242,880 bytes; at most 4,194,304 are allowed."
    write_zip(path, {}, {}, byteorder=b"big")
    assert message(path) == "it was written on a machine of the other byte order."


def test_the_members_of_an_archive_do_not_share_their_bytes(path):
    array = np.ones(100_000)
    write_zip(path, {"a": tensor("0", array)}, {"0": array, "1": array[:1]})
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        first, second = (archive.getinfo(f"archive/data/{key}") for key in "01")
    end = content.rindex(b"archive/data/1") - 46  # its entry in the directory becomes the first one's
    entry = bytearray(content[end : end + 46])
    entry[16:28] = first.CRC.to_bytes(4, "little") + 2 * first.file_size.to_bytes(4, "little")
    entry[42:46] = first.header_offset.to_bytes(4, "little")
    assert second.file_size == 8
    path.write_bytes(content[:end] + entry + content[end + 46 :])
    assert message(path) == "its members are larger than the file."


def test_older_files_that_torch_does_not_write(path):
    array = np.ones(2)
    described = {"a": tensor("0", array)}
    write_legacy(path, described, {"0": array}, magic=7)
    assert message(path) == "it is not a file of torch.save."
    write_legacy(path, described, {"0": array}, version=1002)
    assert message(path) == "it has a version that there is none of."
    write_legacy(path, described, {"0": array}, machine={"little_endian": False})
    assert message(path) == "it was written on a machine of the other byte order."
    path.write_bytes(b"PNG")
    assert message(path) == "it is not a file of torch.save."
    path.write_bytes(b"")
    assert message(path) == "it is not a file of torch.save."


@pytest.mark.parametrize("instructions", [
    b"cos\nsystem\n(X\x02\x00\x00\x00idtR.", b"(ios\nsystem\n.", b"\x82\x01.", b"(cos\nsystem\no.", b"Pid\n.",
    b"}}\x86b0.", b"]\x85\x81.", b"h\x00.", b"t.", b"(((", b".", b"}NNs", b"NNa.", b"]N}s.", b"X\xff\xff\xff\x7f",
    b"\x8d" + b"\xff" * 8, b"I" + b"9" * 5000 + b"\n.", b"cno name", b"\x93.", b"NN\x93.", b"Q.", b"R."])
def test_instructions_that_no_dict_of_tensors_needs(path, instructions):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + instructions)
    assert message(path)
    path.write_bytes(b"".join(map(pickled, (MAGIC_NUMBER, VERSION, {"little_endian": True})))
                     + b"\x80\x02" + instructions)
    assert message(path)


def test_small_descriptions_do_not_grow(path):
    """A list that is copied again and again, and numbers of a megabyte each: refused or done at once."""
    pairs = code([(f"k{index}", None) for index in range(50_000)])
    again = b"ccollections\nOrderedDict\nh\x00\x85R"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + pairs + b"q\x00]" + (again + b"a") * 50_000 + b".")
    assert message(path) == ("it holds a list instead of tensors by name. Write it with torch.save(model.state_dict(), "
                             "path).")


@LAYOUTS
def test_damaged_files(path, write):
    write_tensors(path, {"a": np.arange(6.0), "b": np.ones((2, 2))}, write)
    whole, draw = path.read_bytes(), random.Random(0)
    for cut in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:cut])
        assert message(path)
    for _ in range(1000):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[draw.randrange(len(whole))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            found = read_pytorch(path)
        except FileFormatError:
            continue
        assert all(isinstance(array, np.ndarray) for array in found.values())


def test_a_missing_file_is_the_systems_error(path):
    with pytest.raises(FileNotFoundError):
        read_pytorch(path)
