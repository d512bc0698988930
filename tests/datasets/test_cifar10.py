"""CIFAR-10 from generated files in every form they come in (and from the real ones where they are)."""
import gzip
import io
import lzma
import os
import tarfile
import tracemalloc

import numpy as np
import pytest

from chainrule.datasets import cifar10
from chainrule.errors import FileFormatError, MissingDataError

NAMES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
PACKED = pytest.mark.parametrize("suffix, pack", [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])


@pytest.fixture(scope="module")
def batches():
    """The six files as published, with other images: 10,000 records each."""
    random = np.random.default_rng(0)
    made = {}
    for name in NAMES:
        records = random.integers(0, 256, (10_000, 3073), np.uint8)
        records[:, 0] %= 10
        made[name] = records
    return made


@pytest.fixture
def short(batches):
    """A few records of each."""
    return {name: records[: 4 + place] for place, (name, records) in enumerate(batches.items())}


def write(folder, batches, suffix="", pack=bytes):
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in batches.items():
        (folder / f"{name}{suffix}").write_bytes(pack(records.tobytes()))


def write_archive(path, batches):
    with tarfile.open(path, "w:gz", compresslevel=0) as archive:
        for name, data in [*((name, records.tobytes()) for name, records in batches.items()), ("readme.html", b"<p>")]:
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def check(loaded, batches):
    train = np.concatenate([batches[name] for name in NAMES[:5] if name in batches])
    for (x, y), records in zip(loaded, (train, batches[NAMES[5]]), strict=True):
        assert x.dtype == y.dtype == np.uint8 and x.shape == (len(records), 32, 32, 3) and x.flags.c_contiguous
        np.testing.assert_array_equal(y, records[:, 0])
        for row, line, column, channel in [(0, 0, 0, 0), (3, 31, 7, 1), (2, 5, 31, 2), (1, 0, 1, 0)]:
            assert x[row, line, column, channel] == records[row, 1 + 1024 * channel + 32 * line + column]


def part_warning(place, train, test):
    text = (f"{place} holds a part of CIFAR-10: {train} of 50,000 images to train on, {test} of 10,000 to test on.")
    return pytest.warns(UserWarning, match=f"^{text.replace('.', '[.]')}$")


def test_the_whole_set_says_nothing(tmp_path, batches):
    write(tmp_path, batches)
    check(cifar10.load_data(tmp_path), batches)


def test_the_archive(tmp_path, batches, monkeypatch):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    (tmp_path / "cifar10").mkdir()
    write_archive(tmp_path / "cifar10" / "cifar-10-binary.tar.gz", batches)
    check(cifar10.load_data(), batches)
    check(cifar10.load_data(tmp_path / "cifar10"), batches)
    check(cifar10.load_data(tmp_path / "cifar10" / "cifar-10-binary.tar.gz"), batches)


@PACKED
def test_a_part_is_said_to_be_one(tmp_path, short, suffix, pack, monkeypatch):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    write(tmp_path / "cifar10", short, suffix, pack)
    with part_warning(tmp_path / "cifar10", 30, 9):
        check(cifar10.load_data(), short)


def test_names_that_say_how_much_they_hold(tmp_path, short):
    del short["data_batch_1.bin"], short["data_batch_3.bin"]
    for name, records in short.items():
        (tmp_path / f"{name[:-4]}_first{len(records)}.bin.xz").write_bytes(lzma.compress(records.tobytes()))
    with part_warning(tmp_path, 20, 9):
        check(cifar10.load_data(tmp_path), short)


def test_the_folder_of_the_archive_and_twins(tmp_path, short):
    """A file counts once, in the form that holds most."""
    write(tmp_path / "cifar-10-batches-bin", short)
    write(tmp_path / "cifar-10-batches-bin", short, ".xz", lzma.compress)
    write(tmp_path / "cifar-10-batches-bin", {"data_batch_1_first2.bin": short["data_batch_1.bin"][:2]})
    with part_warning(tmp_path, 30, 9):
        check(cifar10.load_data(tmp_path), short)


def test_the_published_part():
    """Runs on the real files where `CHAINRULE_DATA` has them."""
    folder = os.path.join(os.environ.get("CHAINRULE_DATA", ""), "cifar10")
    assert cifar10.class_names[6] == "frog" and cifar10.source.files[0].size == 170_052_171
    if not os.path.isdir(folder):
        return
    with pytest.warns(UserWarning, match="holds a part of CIFAR-10"):
        (x_train, y_train), (x_test, y_test) = cifar10.load_data(folder)
    assert [cifar10.class_names[label] for label in y_train[:3]] == ["frog", "truck", "truck"]
    assert x_train[0, 0, 0].tolist() == [59, 62, 63] and len(x_test) == len(y_test)


def test_missing_files(tmp_path, short):
    with pytest.raises(MissingDataError) as error:
        cifar10.load_data(tmp_path)
    assert str(error.value) == (
        f"CIFAR-10 is not on this machine.\nFiles wanted: cifar-10-binary.tar.gz.\nFolders looked into: {tmp_path}.\n"
        f"Put the files into {tmp_path}, or leave out path to have them looked for elsewhere and downloaded.")
    write(tmp_path, {"data_batch_2.bin": short["data_batch_2.bin"]})
    with pytest.raises(MissingDataError) as error:
        cifar10.load_data(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} does not hold both parts of CIFAR-10, but 5 images to train on (data_batch_1.bin to "
        f"data_batch_5.bin) and 0 to test on (test_batch.bin). Put the files that are missing there too.")


def refused(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FileFormatError) as error:
        cifar10.load_data(tmp_path)
    assert str(error.value) == f"{tmp_path / name} {message}"


def test_damaged_files(tmp_path, short):
    write(tmp_path, short)
    name = "data_batch_2.bin"
    data = short[name].tobytes()
    not_images = "does not hold images of CIFAR-10: expected at most 10,000 records of 3,073 bytes, found "
    refused(tmp_path, name, data[:-1], f"{not_images}15,364 bytes.")
    refused(tmp_path, name, b"", f"{not_images}0 bytes.")
    refused(tmp_path, name, bytes(3073 * 10_001), f"{not_images}more than 30,730,000 bytes.")
    refused(tmp_path, name, data[:3073] + b"\x0a" + data[3074:],
            "does not hold labels of ten classes: expected 0 to 9, found 10 in row 1.")
    os.unlink(tmp_path / name)
    again = "Copy or download the file again."
    cut = f"is cut off: its packed data end before their end mark. {again}"
    refused(tmp_path, f"{name}.gz", gzip.compress(data)[:-20], cut)
    refused(tmp_path, f"{name}.gz", b"nothing", f"is damaged: Not a gzipped file (b'no'). {again}")
    os.unlink(tmp_path / f"{name}.gz")
    refused(tmp_path, f"{name}.xz", lzma.compress(data)[:-20], cut)
    refused(tmp_path, f"{name}.xz", b"nothing", f"is damaged: Input format not supported by decoder. {again}")


def test_a_bomb_is_not_unpacked(tmp_path, short):
    write(tmp_path, short)
    (tmp_path / "data_batch_1.bin").unlink()
    tracemalloc.start()
    try:
        refused(tmp_path, "data_batch_1.bin.xz", lzma.compress(bytes(10**8), preset=0),
                "does not hold images of CIFAR-10: expected at most 10,000 records of 3,073 bytes, found more than "
                "30,730,000 bytes.")
        assert tracemalloc.get_traced_memory()[1] < 2.5e8  # the bytes made here, and what may be read of them
    finally:
        tracemalloc.stop()


def test_damaged_archives(tmp_path, short):
    path = tmp_path / "cifar-10-binary.tar.gz"
    damaged = "is damaged, or not the archive of CIFAR-10. Copy or download the file again."
    refused(tmp_path, path.name, b"nothing", damaged)
    write_archive(path, short)
    refused(tmp_path, path.name, path.read_bytes()[:50_000], damaged)
    write_archive(path, {**short, "test_batch.bin": short["test_batch.bin"].ravel()[:-1]})
    with pytest.raises(FileFormatError) as error:
        cifar10.load_data(tmp_path)
    assert str(error.value) == (
        f"cifar-10-batches-bin/test_batch.bin in {path} does not hold images of CIFAR-10: expected at most 10,000 "
        f"records of 3,073 bytes, found 27,656 bytes.")


def test_no_file_is_written(tmp_path, short):
    write_archive(tmp_path / "cifar-10-binary.tar.gz", short)
    with part_warning(tmp_path / "cifar-10-binary.tar.gz", 30, 9):
        cifar10.load_data(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-binary.tar.gz"]
