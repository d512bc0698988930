"""Arrays on disk: any rows, in any order, from any division into files; and what is said of files that will not do."""
import numpy as np
import pytest

from chainrule.data import ArrayFiles, array_files
from chainrule.errors import DataError, FileFormatError, MissingDataError, SettingError, ShapeError


def rows(count=500, columns=7):
    draw = np.random.default_rng(0)
    return draw.normal(size=(count, columns)).astype("float32"), np.arange(count)


ORDERS = {
    "all": lambda draw: np.arange(500),
    "shuffled": lambda draw: draw.permutation(500),
    "a few": lambda draw: draw.permutation(500)[:20],
    "over the files' ends": lambda draw: np.arange(90, 120),
    "sorted with gaps": lambda draw: np.sort(draw.permutation(500)[:200]),
    "one twice": lambda draw: np.array([3, 499, 3]),
    "none": lambda draw: np.arange(0),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("mapped", [1 << 20, 700, 10], ids=["whole", "parts", "row by row"])
@pytest.mark.parametrize("scattered", [1, 256])
def test_rows_are_those_of_the_array(tmp_path, monkeypatch, order, mapped, scattered):
    monkeypatch.setattr(array_files, "MAPPED_BYTES", mapped)
    monkeypatch.setattr(array_files, "SCATTERED_ROWS", scattered)
    x, y = rows()
    for number, (start, stop) in enumerate([(0, 100), (100, 101), (101, 101), (101, 500)]):
        np.save(tmp_path / f"x-{number}.npy", x[start:stop])
    np.save(tmp_path / "y.npy", y)
    chosen = ORDERS[order](np.random.default_rng(1))
    read_x, read_y = ArrayFiles(str(tmp_path / "x-*.npy"), tmp_path / "y.npy").rows(chosen)
    np.testing.assert_array_equal(read_x, x[chosen])
    np.testing.assert_array_equal(read_y, y[chosen])


def test_a_dict_of_files_is_several_inputs_and_weights_come_third(tmp_path):
    x, y = rows()
    for name, array in {"x": x, "z": x[:, :2], "y": y, "w": y / 10}.items():
        np.save(tmp_path / f"{name}.npy", array)
    inputs, targets, weights = ArrayFiles({"a": tmp_path / "x.npy", "b": tmp_path / "z.npy"}, tmp_path / "y.npy",
                                          tmp_path / "w.npy").rows(np.array([5, 2]))
    assert sorted(inputs) == ["a", "b"]
    np.testing.assert_array_equal(inputs["b"], x[[5, 2], :2])
    assert (targets.tolist(), weights.tolist()) == ([5, 2], [0.5, 0.2])


def write(folder, **arrays):
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def message(error, make) -> str:
    with pytest.raises(error) as caught:
        make()
    return str(caught.value)


def test_x_and_y_of_different_lengths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = rows()
    write(tmp_path, x=x, y=y[:-1])
    assert message(DataError, lambda: ArrayFiles("x.npy", "y.npy")) == (
        "All parts need the same number of rows: x has 500, y has 499.")


def test_files_that_will_not_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, _ = rows()
    write(tmp_path, x=x, wide=x[:, :3], none=x[:0], columns=np.asfortranarray(x), one=np.float32(3))
    np.save("objects.npy", np.array([{}, 1], object))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-4])
    (tmp_path / "text.npy").write_text("no array")
    np.savez("several.npz", x=x)
    (tmp_path / "folder").mkdir()
    assert message(MissingDataError, lambda: ArrayFiles("y.npy")) == (
        f"There is no file 'y.npy'. Paths that are not absolute begin at {str(tmp_path)!r}.")
    assert message(MissingDataError, lambda: ArrayFiles("y-*.npy")) == (
        f"No file fits the pattern 'y-*.npy'. Paths that are not absolute begin at {str(tmp_path)!r}.")
    assert message(MissingDataError, lambda: ArrayFiles("folder")) == (
        f"The folder 'folder' has no .npy files. Paths that are not absolute begin at {str(tmp_path)!r}.")
    assert message(ShapeError, lambda: ArrayFiles(["x.npy", "wide.npy"])) == (
        "The files of x do not fit together: x.npy has rows of float32 (7,), wide.npy of float32 (3,).")
    assert message(DataError, lambda: ArrayFiles("none.npy")) == "x has no rows."
    assert message(FileFormatError, lambda: ArrayFiles("columns.npy")) == (
        "'columns.npy' is stored column by column, so that a row is spread over all of the file. Save it by rows: "
        "numpy.save(path, numpy.ascontiguousarray(x)).")
    assert message(FileFormatError, lambda: ArrayFiles("one.npy")) == (
        "'one.npy' holds a single number; expected an array with a row for each example.")
    assert message(FileFormatError, lambda: ArrayFiles("objects.npy")) == (
        "'objects.npy' holds object, and rows are read as numbers. Save an array of numbers.")
    assert message(FileFormatError, lambda: ArrayFiles("cut.npy")) == (
        "'cut.npy' is cut off: its array (500, 7) of float32 needs 14128 bytes, and the file has 14124.")
    assert message(FileFormatError, lambda: ArrayFiles("text.npy")) == "'text.npy' is not a file of numpy.save."
    assert message(FileFormatError, lambda: ArrayFiles("several.npz")) == (
        "'several.npz' is not a file of numpy.save. It is an archive of arrays, which cannot be read in pieces: save "
        "each by numpy.save.")


@pytest.mark.parametrize("window", [0, -1, 2.5, True, "all"])
def test_windows_that_are_none(tmp_path, window):
    write(tmp_path, x=rows()[0])
    assert message(SettingError, lambda: ArrayFiles(tmp_path / "x.npy", window=window)) == (
        f"window is the number of rows that are shuffled together, at least 1, or None; got {window!r}.")


def test_paths_that_are_none():
    assert message(SettingError, lambda: ArrayFiles(np.zeros(3))) == (
        "Files are given as a path, a pattern such as 'part-*.npy', a folder, or a list of these; got "
        "array([0., 0., 0.]).")
    assert message(SettingError, lambda: ArrayFiles([3])) == "A path is text or a pathlib.Path; got 3."
