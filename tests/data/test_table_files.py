"""Parquet and CSV files: the chosen columns, row groups and blocks, and what is said of columns that will not do."""
import gzip

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest

from chainrule.data import CSVFiles, ParquetFiles, csv_files
from chainrule.errors import DataError, FileFormatError, MissingDataError, SettingError, ShapeError, UnknownNameError

COUNT = 500


def table(**more) -> pyarrow.Table:
    draw = np.random.default_rng(0)
    return pyarrow.table({
        "a": draw.normal(size=COUNT).astype("float32"), "b": np.arange(COUNT), "c": draw.random(COUNT) < 0.5,
        "price": draw.normal(size=COUNT), "kind": draw.integers(0, 3, COUNT), **more})


def written(kind, folder, given=None, cuts=(0, 130, COUNT), **settings):
    """The rows in some files of a kind, as a source."""
    given = table() if given is None else given
    for number, (start, stop) in enumerate(zip(cuts[:-1], cuts[1:], strict=True)):
        part = given.slice(start, stop - start)
        if kind is ParquetFiles:
            pyarrow.parquet.write_table(part, folder / f"{number}.parquet", row_group_size=60)
        else:
            pyarrow.csv.write_csv(part, folder / f"{number}.csv")
    return kind(folder, **settings)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 3000)


both = pytest.mark.parametrize("kind", [ParquetFiles, CSVFiles])


@both
def test_columns_become_arrays(kind, tmp_path):
    x, y = written(kind, tmp_path, target="kind", columns=["b", "a", "c"]).load()
    columns = [table().column(name).to_numpy().astype("float32") for name in ("b", "a", "c")]
    assert (x.dtype, y.dtype, x.shape) == (np.float32, np.int64, (COUNT, 3))
    np.testing.assert_allclose(x, np.stack(columns, -1), rtol=1e-6)
    np.testing.assert_array_equal(y, table().column("kind").to_numpy())


@both
def test_all_others_are_inputs_and_weights_come_third(kind, tmp_path):
    x, y, weight = written(kind, tmp_path, target=["price", "kind"], sample_weight="b").load()
    assert x.shape == (COUNT, 2) and y.shape == (COUNT, 2) and y.dtype == np.float32
    np.testing.assert_array_equal(weight, np.arange(COUNT, dtype="float32"))


@both
def test_a_dict_is_several_inputs(kind, tmp_path):
    x, y = written(kind, tmp_path, target={"one": "price", "two": "kind"}, columns={"left": ["a", "b"], "right": "c"},
                   dtype="float64").load()
    assert {name: (part.shape, part.dtype.name) for name, part in x.items()} == {
        "left": ((COUNT, 2), "float64"), "right": ((COUNT, 1), "float64")}
    assert {name: (part.shape, part.dtype.name) for name, part in y.items()} == {
        "one": ((COUNT,), "float64"), "two": ((COUNT,), "int64")}


@both
def test_text_alone_stays_text(kind, tmp_path):
    words = [f"row {number}" for number in range(COUNT)]
    x, _ = written(kind, tmp_path, table(words=words), target="kind", columns="words").load()
    assert x.tolist() == words


def test_vectors_take_their_places(tmp_path):
    vectors = np.arange(2.0 * COUNT).reshape(COUNT, 2)
    column = pyarrow.FixedSizeListArray.from_arrays(vectors.ravel(), 2)
    x, _ = written(ParquetFiles, tmp_path, table(vector=column), target="kind", columns=["b", "vector"]).load()
    np.testing.assert_array_equal(x, np.column_stack([np.arange(COUNT), vectors]).astype("float32"))


@pytest.mark.parametrize("window", [None, 40, 130, 1000])
def test_parquet_gives_rows_by_number(tmp_path, window):
    source = written(ParquetFiles, tmp_path, target="b", columns=["a"], window=window)
    chosen = np.random.default_rng(1).permutation(COUNT)
    x, y = source.rows(chosen)
    np.testing.assert_array_equal(y, chosen)
    np.testing.assert_array_equal(x[:, 0], table().column("a").to_numpy()[chosen])


def test_a_window_of_parquet_reads_each_row_group_once(tmp_path, monkeypatch):
    source = written(ParquetFiles, tmp_path, target="b", window=120)
    read = []
    original = ParquetFiles._read
    monkeypatch.setattr(ParquetFiles, "_read", lambda self, number: read.append(number) or original(self, number))
    order = source.order(np.array([1, 2]), 0, 0, COUNT)
    for start in range(0, COUNT, 30):
        _, y = source.rows(order[start : start + 30])
        np.testing.assert_array_equal(y, order[start : start + 30])
        assert source._sizes_of(source._kept) <= 240
    # Windows cut runs, so that one may be needed in two of them, and no more often.
    assert sorted(set(read)) == list(range(10)) and len(read) <= 15


def test_csv_is_read_from_the_front(tmp_path):
    source = written(CSVFiles, tmp_path, target="b", columns=["a"], window=70)
    assert len(source) == COUNT
    order = source.order(np.array([1, 2]), 0, 0, COUNT)
    for _ in range(2):
        source.begin(0)
        for start in range(0, COUNT, 50):
            np.testing.assert_array_equal(source.rows(order[start : start + 50])[1], order[start : start + 50])


def test_compressed_csv(tmp_path):
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(b"a;b\n1;2\n3;4\n"))
    x, y = CSVFiles(tmp_path / "rows.csv.gz", target="b", delimiter=";").load()
    assert (x.tolist(), y.tolist()) == ([[1], [3]], [2, 4])


def message(error, make) -> str:
    with pytest.raises(error) as caught:
        make()
    return str(caught.value)


@both
def test_columns_that_are_not_there(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    suffix = "parquet" if kind is ParquetFiles else "csv"
    written(kind, tmp_path, table(), target="price")
    for settings in ({"target": "prize"}, {"target": "price", "columns": ["a", "prize"]}, {"sample_weight": "prize"}):
        assert message(UnknownNameError, lambda settings=settings: kind(f"0.{suffix}", **settings)) == (
            f"'0.{suffix}' has no column 'prize'. Did you mean 'price'?")
    assert message(DataError, lambda: kind(f"0.{suffix}", target=["a", "b", "c", "price", "kind"])) == (
        f"'0.{suffix}' has no columns for the inputs beside 'a', 'b', 'c', 'price', 'kind'.")


@both
def test_text_where_numbers_are_needed(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    suffix = "parquet" if kind is ParquetFiles else "csv"
    written(kind, tmp_path, table(town=["Bonn"] * COUNT), cuts=(0, COUNT), columns=["a"])
    assert message(DataError, lambda: kind(f"0.{suffix}", target="price")) == (
        f"The column 'town' of '0.{suffix}' holds text, and numbers are needed. Number its categories first (pandas: "
        f"frame['town'].astype('category').cat.codes), leave the column out, or name it alone as an input of a network "
        f"that begins with a StringLookup or TextVectorization.")


@both
def test_missing_values(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    suffix = "parquet" if kind is ParquetFiles else "csv"
    gaps = [None if row in (7, 9) else float(row) for row in range(COUNT)]
    written(kind, tmp_path, table(gap=gaps), cuts=(0, COUNT))
    assert message(DataError, lambda: kind(f"0.{suffix}", target="price").load()) == (
        f"The column 'gap' of '0.{suffix}' has 2 missing values here, the first "
        f"in row 7. Fill them or leave those rows out.")


def test_values_that_are_not_finite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = table(odd=[np.inf if row == 300 else 1.0 for row in range(COUNT)])
    written(ParquetFiles, tmp_path, given, cuts=(0, COUNT))
    assert message(DataError, lambda: ParquetFiles("0.parquet", target="price").load()) == (
        "The column 'odd' of '0.parquet' has the value inf in row 300. Fill such values or leave those rows out.")


def test_csv_that_will_not_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {"empty": "", "head": "a,b\n", "word": "a,b\n" + "1,2\n" * 2000 + "one,2\n",
                       "long": "a,b\n1,2\n1,2,3\n"}.items():
        (tmp_path / f"{name}.csv").write_text(text)
    assert message(DataError, lambda: CSVFiles("empty.csv")) == "'empty.csv' is empty."
    assert message(DataError, lambda: CSVFiles("head.csv", target="b")) == "'head.csv' has no rows."
    assert message(DataError, lambda: CSVFiles("word.csv", target="b").load()).startswith(
        "'word.csv': In CSV column #0: ")
    assert message(DataError, lambda: CSVFiles("long.csv", target="b").load()) == (
        "'long.csv': CSV parse error: Row #3: Expected 2 columns, got 3: 1,2,3.")
    assert message(SettingError, lambda: CSVFiles("head.csv", delimiter="tab")) == (
        "delimiter is one character; got 'tab'.")


def test_parquet_that_will_not_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(ParquetFiles, tmp_path, cuts=(0, COUNT))
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "0.parquet").read_bytes()[:-30])
    pyarrow.parquet.write_table(table().slice(0, 0), tmp_path / "none.parquet")
    lists = table(lists=[[1.0] * (row % 3) for row in range(COUNT)], day=np.full(COUNT, np.datetime64("2020-01-01")))
    pyarrow.parquet.write_table(lists, tmp_path / "lists.parquet")
    assert message(FileFormatError, lambda: ParquetFiles("cut.parquet")).startswith(
        "'cut.parquet' is not a Parquet file, or is damaged: ")
    assert message(DataError, lambda: ParquetFiles("none.parquet")) == "'none.parquet' has no rows."
    assert message(DataError, lambda: ParquetFiles("lists.parquet", columns=["lists"])) == (
        "The column 'lists' of 'lists.parquet' holds lists (list<element: double>) that may differ in length. Make "
        "them a fixed_size_list, or pad them.")
    assert message(DataError, lambda: ParquetFiles("lists.parquet", columns=["day"])) == (
        "The column 'day' of 'lists.parquet' holds date32[day], and numbers are needed. Turn it into numbers first, or "
        "leave the column out.")


@pytest.mark.parametrize(("settings", "text"), [
    ({"columns": 3}, "columns is the name of a column, a list of names, or a dict of these; got 3."),
    ({"target": []}, "target is the name of a column, a list of names, or a dict of these; got []."),
    ({"columns": ["a", "a"]}, "columns names a column twice: ['a', 'a']."),
    ({"sample_weight": ["a"]}, "sample_weight is the name of one column; got ['a']."),
    ({"dtype": "int32"}, "dtype is 'float32', 'float16' or 'float64'; got 'int32'."),
])
def test_settings_that_will_not_do(tmp_path, settings, text):
    assert message(SettingError, lambda: written(ParquetFiles, tmp_path, **settings)) == text


def test_text_among_numbers_of_a_list(tmp_path):
    given = table(words=["one"] * COUNT)
    with pytest.raises(DataError, match="^The column 'words' of .* holds text"):
        written(ParquetFiles, tmp_path, given, columns=["a", "words"])


def test_images_among_numbers_of_a_list():
    from chainrule.data.columns import Selection

    chosen = Selection(["a", "image"], None, None)
    assert message(ShapeError, lambda: chosen.arrays({"a": np.zeros(2), "image": np.zeros((2, 3, 3))}.get)) == (
        "The column 'image' holds float64 of shape (2, 3, 3), and several columns make one array of numbers. Name it "
        "alone, or in a dict of inputs.")


@both
def test_without_arrow(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert message(MissingDataError, lambda: kind(tmp_path)) == (
        "Parquet and CSV files are read with pyarrow, which is not installed: pip install 'chainrule[tables]'.")
