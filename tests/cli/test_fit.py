"""`chainrule fit` finds out what it was given, and refuses what means nothing for it."""
import pytest
from typer.testing import CliRunner

from chainrule.cli.main import app


def refused(*words) -> str:
    done = CliRunner().invoke(app, ["fit", *map(str, words)])
    assert done.exit_code == 1, done.output
    return " ".join(done.stderr.split())


def test_a_table_needs_to_know_what_to_forecast(tmp_path):
    table = tmp_path / "prices.csv"
    table.write_text("day,price\n1,2\n")
    assert refused(table) == (
        f"Error: {table} is a table. To forecast a column of it, name that column, the column of its times and how far "
        f"to look ahead: chainrule fit {table} --time Date --target Value --horizon 7.")


def test_a_file_of_no_known_kind(tmp_path):
    file = tmp_path / "book.pdf"
    file.write_text("%PDF")
    assert refused(file) == (
        f"Error: {file} is none of the files that chainrule fit reads: .txt for text, .csv for a series. If it holds "
        f"text, say --tokens characters.")


@pytest.mark.parametrize("words, message", [
    (("digits", "--horizon", 3), "--horizon is for a series, and digits is read as images. Leave it out."),
    (("digits", "--length", 3), "--length is for text and a series, and digits is read as images. Leave it out."),
    (("book.txt", "--size", 8), "--size is for images, and book.txt is read as text. Leave it out."),
    (("a.csv", "--time", "t", "--tokens", "words"),
     "--tokens is for text, and a.csv is read as a series. Leave it out."),
])
def test_options_of_another_kind_of_data(words, message):
    assert refused(*words) == f"Error: {message}"


def test_a_text_that_is_not_there():
    assert "nowhere.txt" in refused("nowhere.txt")


@pytest.mark.parametrize("words, message", [
    (("--tokens", "letters"), "There are no tokens 'letters'. Known names: 'byte_pairs', 'characters', 'words'."),
    (("--vocabulary", 50),
     "--vocabulary is for words and byte_pairs; of characters there are as many as the text has."),
    (("--network", "dense"), "There is no network 'dense' for text. Known names: 'gru', 'lstm', 'transformer'."),
    (("--hidden", 0), "--hidden needs at least one layer for text, such as 256."),
    (("--network", "transformer", "--hidden", "64,32"),
     "--hidden gives the width of each block of a Transformer, and all are the same, such as 128,128,128; got 64,32."),
])
def test_settings_for_a_text_that_cannot_be(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("All work and no play makes Jack a dull boy.\n" * 50)
    assert refused("book.txt", *words) == f"Error: {message}"
