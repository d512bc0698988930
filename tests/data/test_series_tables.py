"""Series from CSV files: columns, order, duplicates, gaps and irregular steps."""
import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chainrule.data.series_tables import SeriesTable, read_csv
from chainrule.errors import ChainruleError, SettingError, UnknownNameError
from chainrule.series import Scaling, windows

FOUND = Path(os.environ.get("CHAINRULE_DATA", "nowhere")) / "timeseries"


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "series.csv"
        path.write_text(text)
        return path

    return write


def refused(write, text, **options):
    path = write(text)
    with pytest.raises(ChainruleError) as error:
        read_csv(path, **options)
    return f"{type(error.value).__name__}: {error.value}".replace(str(path), "FILE")


DAYS = "day,load,heat\n2020-01-03,3,30\n2020-01-01,1,10\n2020-01-02,2,20\n"


def test_rows_come_in_the_order_of_time(write):
    table = read_csv(write(DAYS))
    assert table.values.tolist() == [[1, 10], [2, 20], [3, 30]] and table.columns == ["load", "heat"]
    assert table.times.astype("M8[D]").astype(str).tolist() == ["2020-01-01", "2020-01-02", "2020-01-03"]
    assert read_csv(write(DAYS), columns="heat").values.tolist() == [[10], [20], [30]]
    assert read_csv(write(DAYS), columns=["heat", "load"]).columns == ["heat", "load"]


def test_as_pandas_reads_it(write):
    path = write('"t","a, b",c\r\n"2020-01-01 00:00",1.5,"2"\r\n2020-01-01T01:00:00,-1e3,4\r\n\r\n')
    table, frame = read_csv(path), pd.read_csv(path)
    np.testing.assert_array_equal(table.values, frame[["a, b", "c"]].to_numpy())
    np.testing.assert_array_equal(table.times, pd.to_datetime(frame["t"], format="ISO8601").to_numpy())


def test_without_times(write):
    table = read_csv(write("load,heat\n1,2\n3,4\n"))
    assert table.times is None and table.values.tolist() == [[1, 2], [3, 4]]
    assert read_csv(write("year;load\n1950;1\n1951;2\n"), "year", delimiter=";").times.astype("M8[Y]").astype(
        str).tolist() == ["1950", "1951"]


def test_times_in_other_words(write):
    text = "load,when\n1,31/01/2020\n2,01/02/2020\n"
    table = read_csv(write(text), time="when", time_format="%d/%m/%Y")
    assert table.times.astype("M8[D]").astype(str).tolist() == ["2020-01-31", "2020-02-01"]
    zoned = read_csv(write("t,a\n2020-01-01T01:00:00+01:00,1\n2020-01-01T01:00:00Z,2\n"))
    assert zoned.times.astype(str).tolist() == ["2020-01-01T00:00:00", "2020-01-01T01:00:00"]
    assert refused(write, text, time="when") == (
        "DataError: FILE, line 2: '31/01/2020' is not a time such as '2020-01-31 12:00'. Say how times are written, "
        "for instance time_format='%d/%m/%Y', or name their column: time=.")
    assert refused(write, text, time="when", time_format="%Y") == (
        "DataError: FILE, line 2: '31/01/2020' is not a time as '%Y' says. Check time_format.")
    assert refused(write, "t,a\n20200131,1\n", time="t")[:49] == "DataError: FILE, line 2: '20200131' is not a time"


def test_gaps_in_time(write):
    text = "t,a\n2020-01,1\n2020-02,2\n2020-05,5\n2020-06,6\n"
    assert refused(write, text) == (
        "DataError: FILE has rows every 1 month, and 2 are missing, the first 2020-03-01. Fill them: "
        "missing='interpolate' or 'forward'; or leave the rows as they are: missing='keep'.")
    table = read_csv(write(text), missing="interpolate")
    assert table.values[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert table.times.astype("M8[M]").astype(str).tolist() == [f"2020-0{month}" for month in range(1, 7)]
    assert read_csv(write(text), missing="forward").values[:, 0].tolist() == [1, 2, 2, 2, 5, 6]
    assert len(read_csv(write(text), missing="keep")) == 4


def test_months_keep_their_day(write):
    table = read_csv(write("t,a\n2020-01-15 06:00,1\n2020-02-15 06:00,2\n2020-04-15 06:00,4\n"), missing="interpolate")
    assert table.times.astype(str).tolist() == [f"2020-0{month}-15T06:00:00" for month in (1, 2, 3, 4)]


def test_empty_cells(write):
    text = "t,a,b\n2020-01-01,1,\n2020-01-02,?,5\n2020-01-03,3,NA\n"
    assert refused(write, text) == (
        "DataError: FILE: the column 'b' has 2 missing values, the first at 2020-01-01. Fill them: "
        "missing='interpolate' or 'forward'.")
    assert read_csv(write(text), missing="interpolate").values.tolist() == [[1, 5], [2, 5], [3, 5]]
    assert np.isnan(read_csv(write(text), missing="keep").values).sum() == 3
    assert refused(write, text, missing="forward") == (
        "DataError: FILE: Column 'b' begins with a missing value, and 'forward' has nothing to repeat. Use "
        "'interpolate', or begin at row 1.")
    assert refused(write, "a\n1\nnan\n") == (
        "DataError: FILE: the column 'a' has 1 missing value, the first in line 3. Fill them: missing='interpolate' or "
        "'forward'.")


@pytest.mark.parametrize(("text", "message"), [
    (DAYS + "2020-01-02,9,9\n", "DataError: FILE has the time 2020-01-02 twice. Leave one of the rows out, or bring "
                                "them together first."),
    ("t,a\n2020-01-01 00:00,1\n2020-01-01 01:00,1\n2020-01-01 02:00,1\n2020-01-01 02:30,1\n",
     "DataError: FILE has rows every 1 hour, and 2020-01-01 02:30:00 is off these steps, after 2020-01-01 02:00:00. "
     "Bring the rows to regular steps first, or leave them as they are: missing='keep'."),
    ("t,a\n2020-01-01,1,2\n", "DataError: FILE, line 2: found 3 cells; the first line names 2 columns. They are parted "
                              "by ','; others by delimiter=."),
    ("t,a\n2020-01-01,x\n", "DataError: FILE, line 2: the column 'a' holds 'x'; expected a number. Leave the column "
                            "out: columns=[...]."),
    ("t,a\n2020-01-01,inf\n", "DataError: FILE, line 2: the column 'a' is infinite."),
    ("t,a\n2020-01-01,1\nNaT,2\n", "DataError: FILE, line 3: the time is missing."),
    ("t,a,a\n2020-01-01,1,2\n", "DataError: FILE: two columns are named 'a'. Give each a name of its own."),
    ("t\n2020-01-01\n", "DataError: FILE has no columns of numbers beside the time."),
    ("t,a\n", "DataError: FILE has no rows. Expected a line with the names of the columns, and rows of numbers."),
])
def test_tables_that_are_refused(write, text, message):
    assert refused(write, text) == message


def test_settings_of_read_csv(write):
    assert refused(write, DAYS, time="date") == (
        "UnknownNameError: FILE has no column 'date'. Known names: 'day', 'heat', 'load'.")
    assert refused(write, DAYS, columns=["laod"]) == (
        "UnknownNameError: FILE has no column 'laod'. Did you mean 'load'?")
    assert refused(write, DAYS, missing="drop") == (
        "SettingError: missing is one of 'error', 'interpolate', 'forward', 'keep'; got 'drop'.")
    assert refused(write, DAYS, delimiter="||") == "SettingError: delimiter is one character; got '||'."


def test_a_table_is_cut_and_named():
    table = SeriesTable(np.arange(8.0).reshape(4, 2), ["a", "b"], np.arange("2020-01-01", "2020-01-05", dtype="M8[D]"))
    assert table[1:3].values.tolist() == [[2, 3], [4, 5]] and len(table[1:3].times) == 2
    assert table["b"].tolist() == [1, 3, 5, 7]
    with pytest.raises(UnknownNameError):
        table["c"]
    with pytest.raises(SettingError) as error:
        table[0]
    assert str(error.value) == "A table is cut by a slice of rows or the name of a column; got 0."
    assert Scaling().fit(table).columns == ["a", "b"]
    assert windows(table, 2, target="b")[1].tolist() == [[5], [7]]


@pytest.mark.skipif(not FOUND.is_dir(), reason="needs the files")
def test_files_of_the_wild():
    table = read_csv(FOUND / "ETTh1.csv.gz")
    frame = pd.read_csv(gzip.open(FOUND / "ETTh1.csv.gz"))
    np.testing.assert_array_equal(table.values, frame.iloc[:, 1:].to_numpy())
    assert table.columns == list(frame.columns[1:]) and len(np.unique(np.diff(table.times))) == 1
    assert read_csv(FOUND / "airline-passengers.csv").values.shape == (144, 1)
    assert len(read_csv(FOUND / "daily-min-temperatures.csv", missing="interpolate")) == 3652  # two New Year's Eves
