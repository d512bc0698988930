"""Series from .ts files and plain text: what is read, and where a file is wrong."""
import gzip
import os
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.data.series_files import read_text, read_ts
from chainrule.errors import DataError, SettingError
from chainrule.layers import LSTM, Dense, Masking
from chainrule.series import Scaling, pad

HEAD = "@problemName Test\n@timeStamps false\n"
FOUND = Path(os.environ.get("CHAINRULE_DATA", "nowhere")) / "timeseries"


@pytest.fixture
def write(tmp_path):
    def write(text, name="series.ts"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def refused(write, text, **options):
    path = write(text)
    with pytest.raises(DataError) as error:
        read_ts(path, **options)
    return str(error.value).replace(str(path), "FILE")


def test_classes(write):
    x, y = read_ts(write("# made by hand\n" + HEAD + "@univariate true\n@equalLength true\n@seriesLength 3\n"
                         "@classLabel true a b\n\n@data\n1,2.5,-3e1:b\n\n# between\n 4 , 5 ,6: a\n"))
    assert x.dtype == np.float64 and x.tolist() == [[[1], [2.5], [-30]], [[4], [5], [6]]] and y.tolist() == ["b", "a"]


def test_names_of_the_header_in_any_case(write):
    x, y = read_ts(write("@PROBLEMNAME t\n@Univariate TRUE\n@classlabel True a\n@DATA\n1,2:a\n"))
    assert x.shape == (1, 2, 1) and y.tolist() == ["a"]


def test_targets_and_several_dimensions(write):
    x, y = read_ts(write(HEAD + "@univariate false\n@dimensions 2\n@targetLabel true\n@data\n1,2,3:4,5,6:0.5\n"
                         "7,8,9:10,11,12:-1\n"))
    np.testing.assert_array_equal(x[0], [[1, 4], [2, 5], [3, 6]])
    assert x.shape == (2, 3, 2) and y.dtype == np.float64 and y.tolist() == [0.5, -1]


def test_neither_classes_nor_targets(write):
    x, y = read_ts(write(HEAD + "@classLabel false\n@data\n1,2:3,4\n"))
    assert x.shape == (1, 2, 2) and y is None


def test_compressed(tmp_path):
    path = tmp_path / "series.ts.gz"
    path.write_bytes(gzip.compress(b"@classLabel true a\r\n@data\r\n1,2:a\r\n"))
    assert read_ts(path)[0].tolist() == [[[1], [2]]]
    path.write_bytes(gzip.compress(b"@data")[:-6])
    with pytest.raises(DataError, match="is compressed by gzip and damaged"):
        read_ts(path)


def test_missing_values(write):
    text = HEAD + "@missing true\n@classLabel true a\n@data\n1,?,3:a\n4,5,NaN:a\n"
    np.testing.assert_array_equal(read_ts(write(text))[0][..., 0], [[1, np.nan, 3], [4, 5, np.nan]])
    assert read_ts(write(text), missing="interpolate")[0][..., 0].tolist() == [[1, 2, 3], [4, 5, 5]]
    assert read_ts(write(text), missing="forward")[0][..., 0].tolist() == [[1, 1, 3], [4, 5, 5]]
    assert refused(write, text, missing="error") == (
        "FILE, line 6: value 1 of dimension 0 is missing. Fill such values: missing='interpolate'.")
    assert refused(write, HEAD + "@data\n?,1\n", missing="forward") == (
        "FILE, line 4: Values begins with a missing value, and 'forward' has nothing to repeat. Use 'interpolate', or "
        "begin at row 1.")


RAGGED = HEAD + "@equalLength false\n@classLabel true a b\n@data\n1,2,3:a\n4:b\n"


def test_series_of_different_lengths(write):
    x, y = read_ts(write(RAGGED))
    assert x[..., 0].tolist() == [[1, 2, 3], [4, 0, 0]] and y.tolist() == ["a", "b"]
    found, _ = read_ts(write(RAGGED), ragged="list")
    assert [part.tolist() for part in found] == [[[1], [2], [3]], [[4]]]
    assert refused(write, RAGGED, pad_value=2.0) == (
        "FILE has series of different lengths, and padding them with pad_value=2.0 does not do. values[0] is 2.0 in "
        "row 1, which Masking(2.0) would take for padding. Pad with a number that does not occur.")


def test_padded_series_are_classified_as_they_are_alone(tmp_path):
    """Reading, scaling, padding, a mask, training: the outputs do not depend on the padding."""
    random = np.random.default_rng(0)
    lines = []
    for case in range(24):
        values = random.normal(0, 1, random.integers(5, 12)) + 2 * (case % 2)
        lines.append(",".join(map(str, values)) + f":{'low high'.split()[case % 2]}")
    path = tmp_path / "ragged.ts"
    path.write_text(HEAD + "@equalLength false\n@classLabel true low high\n@data\n" + "\n".join(lines))
    series, labels = read_ts(path, ragged="list")
    scaling = Scaling().fit(series)
    series = [scaling.transform(part) for part in series]
    x, y = pad(series, value=-99.0), np.unique(labels, return_inverse=True)[1]
    model = cr.Sequential([cr.Input((None, 1)), Masking(-99.0), LSTM(8), Dense(2, activation="softmax")])
    model.compile(optimizer=cr.optimizers.Adam(0.02), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=8, epochs=30, verbose=0, seed=0)
    assert model.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] > 0.9
    alone = [model.predict(part[None])[0] for part in series]
    np.testing.assert_allclose(model.predict(x), alone, atol=1e-5)


@pytest.mark.parametrize(("text", "message"), [
    ("1,2,3\n", "FILE, line 1: expected a header line such as '@univariate true', or '@data' before the first series; "
                "got '1,2,3'."),
    ("@univariate true\n", "FILE has no line '@data', so it is no .ts file."),
    ("@data\n# nothing\n", "FILE has no series after '@data'."),
    ("@data\n1,2\n@missing true\n", "FILE, line 3: the header line '@missing true' comes after '@data'."),
    ("@univariate yes\n@data\n", "FILE, line 1: @univariate is true or false; got 'yes'."),
    ("@univariate\n@data\n", "FILE, line 1: @univariate is true or false; got ''."),
    ("@seriesLength long\n@data\n", "FILE, line 1: @serieslength is a whole number above 0; got 'long'."),
    ("@dimensions 0\n@data\n", "FILE, line 1: @dimensions is a whole number above 0; got '0'."),
    ("@timeStamps true\n@data\n", "FILE, line 1: the series have timestamps (@timeStamps true), which are not read. "
                                  "Write the values alone, at regular steps, and '@timeStamps false'."),
    ("@classLabel true a\n@targetLabel true\n", "FILE, line 2: a file has classes or targets; @classLabel and "
                                                "@targetLabel are both true."),
    ("@classLabel true a\n@data\n1,2\n", "FILE, line 3: expected the values, ':' and the class or target; there is no "
                                         "':'."),
    ("@classLabel true a b\n@data\n1,2:c\n", "FILE, line 3: the class 'c' is none of those that @classLabel lists: "
                                             "'a', 'b'."),
    ("@classLabel true\n@data\n1,2:\n", "FILE, line 3: there is no class after the last ':'."),
    ("@targetLabel true\n@data\n1,2:warm\n", "FILE, line 3: the target 'warm' is not a number."),
    ("@data\n1,2\n1,two\n", "FILE, line 3: value 1 of dimension 0 is 'two'; expected a number, or ? where it is "
                            "missing."),
    ("@data\n1,,3\n", "FILE, line 2: value 1 of dimension 0 is ''; expected a number, or ? where it is missing."),
    ("@data\n1,2:3\n", "FILE, line 2: the dimensions of a series are equally long; got the lengths [2, 1]."),
    ("@data\n1,2:3,4\n1,2\n", "FILE, line 3: found 1 dimension parted by ':'; line 2 has 2."),
    ("@univariate true\n@data\n1,2:3,4\n", "FILE, line 3: found 2 dimensions parted by ':'; the header says 1."),
    ("@dimensions 3\n@data\n1,2:3,4\n", "FILE, line 3: found 2 dimensions parted by ':'; the header says 3."),
    ("@equalLength true\n@data\n1,2\n1\n", "FILE, line 4: found 1 value; line 3 has 2."),
    ("@seriesLength 3\n@data\n1,2\n", "FILE, line 3: found 2 values; the header says 3."),
    ("@\n@data\n1:2,3\n", "FILE, line 3: the dimensions of a series are equally long; got the lengths [1, 2]."),
])
def test_what_is_no_ts_file_is_refused(write, text, message):
    assert refused(write, text) == message


def test_files_that_cannot_be_read(tmp_path):
    for path, message in (
            (tmp_path / "none.ts", f"There is no file {tmp_path / 'none.ts'}."),
            (tmp_path, f"{tmp_path} is a folder. Expected a file.")):
        with pytest.raises(DataError) as error:
            read_ts(path)
        assert str(error.value) == message
    (tmp_path / "latin.ts").write_bytes(b"@data\n\xe9")
    with pytest.raises(DataError) as error:
        read_ts(tmp_path / "latin.ts")
    assert str(error.value) == (f"{tmp_path / 'latin.ts'} is not text in UTF-8: byte 6 cannot be read. Save it as "
                                f"UTF-8.")


def test_settings_of_read_ts(write):
    with pytest.raises(SettingError) as error:
        read_ts(write("@data\n1\n"), missing="zero")
    assert str(error.value) == "missing is one of 'keep', 'error', 'interpolate', 'forward'; got 'zero'."
    with pytest.raises(SettingError) as error:
        read_ts(write("@data\n1\n"), ragged="cut")
    assert str(error.value) == "ragged is one of 'pad', 'list'; got 'cut'."


@pytest.mark.skipif(not FOUND.is_dir(), reason="needs the official files")
@pytest.mark.parametrize(("part", "cases"), [("TRAIN", 67), ("TEST", 1029)])
def test_official_files(part, cases):
    x, y = read_ts(FOUND / f"ItalyPowerDemand_{part}.ts")
    assert x.shape == (cases, 24, 1) and y.shape == (cases,) and set(y) == {"1", "2"}
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-4)  # as the archive normalised them


def test_text(write):
    path = write("# degrees\n\n20.5\n 17 \nnan\n", "numbers.txt")
    np.testing.assert_array_equal(read_text(path), [20.5, 17, np.nan])
    for text, message in (("1\ntwo\n", "FILE, line 2: 'two' is not a number. Expected one number a line; for several "
                                       "columns use series.read_csv."),
                          ("# nothing\n", "FILE has no numbers. Expected one a line.")):
        path = write(text, "numbers.txt")
        with pytest.raises(DataError) as error:
            read_text(path)
        assert str(error.value).replace(str(path), "FILE") == message
