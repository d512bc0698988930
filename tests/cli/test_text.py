"""`chainrule fit` on a text: what it says, what it saves, and how it fails."""
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from chainrule import text
from chainrule.cli.main import app
from chainrule.models import Sequential, load_model

RUNNER = CliRunner()
BOOK = "It was the best of times, it was the worst of times.\n" * 60
QUICK = ("--hidden", "16", "--length", "16")


def run(*words):
    return RUNNER.invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    (folder / "book.txt").write_text(BOOK)
    done = run("fit", folder / "book.txt", *QUICK, "--epochs", 2, "--learning-rate", 0.02, "--output",
               folder / "book.chain")
    assert done.exit_code == 0, done.output
    return folder, done.output


def test_it_shows_a_sample_after_every_epoch(trained):
    _, output = trained
    assert output.startswith(
        "book.txt: 3,180 characters, 17 different characters, the last 10 % held out\n"
        "Network: LSTM of 16 units, 3,010 weights; windows of 16, states carried from each to the next\n")
    epochs = re.split(r"^Epoch +\d/2.*\n", output, flags=re.MULTILINE)[1:]
    assert len(epochs) == 2
    for part in epochs:
        nats, bits = map(float, re.search(r"([\d.]+) nats \(([\d.]+) bits\) a character on the held-out end",
                                          part).groups())
        assert bits == pytest.approx(nats / np.log(2), abs=2e-3)
        written = "\n".join(re.findall(r"^  \| (.*)$", part, re.MULTILINE))
        assert written.startswith("It") and len(written) > 100 and set(written) <= set(BOOK)


def test_the_file_holds_the_vocabulary_and_forgets_the_rows_of_training(trained):
    folder, _ = trained
    model = load_model(folder / "book.chain")
    assert model.preparation == text.CharacterVocabulary.from_text(BOOK)
    assert model.inputs[0].shape == (None, None)
    written = text.generate(model, prompt="It was", length=20, seed=1)
    assert written.startswith("It was") and len(written) == 26


def test_the_figure_is_that_of_the_model_in_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(BOOK)
    done = run("fit", "book.txt", *QUICK, "--network", "gru", "--epochs", 1, "--batch-size", 1, "--dropout", 0,
               "--quiet")
    assert done.exit_code == 0, done.output
    model = load_model("book.chain")
    held = BOOK[round(len(BOOK) * 0.9):]
    ids = model.preparation.encode(held)[None]
    steps = (ids.shape[1] - 1) // 16 * 16  # whole windows, states carried: the same as one long sequence
    found = model.evaluate(ids[:, :steps], ids[:, 1:steps + 1], verbose=0)
    # Validation begins with the states that training over the text before has left; here they are zeros.
    assert float(done.stdout) == pytest.approx(found, abs=0.05)


@pytest.mark.parametrize("words", [
    ("--network", "transformer", "--hidden", "32,32"), ("--tokens", "words"),
    ("--tokens", "byte_pairs", "--vocabulary", 270), ("--validation", 0)])
def test_every_kind(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(BOOK)
    done = run("fit", "book.txt", *QUICK, "--epochs", 1, *words)
    assert done.exit_code == 0, done.output
    assert len(text.generate(load_model("book.chain"), prompt="It was", length=5)) >= 6


@pytest.mark.parametrize(("content", "words"), [
    (b"", "is empty"), (b"caf\xe9 " * 50, "--encoding"), (b"\0\1" * 50, "NUL"),
    (b"short", "has 4 characters. A window of 16 and the one that follows need 17")])
def test_files_that_are_no_text_to_learn_from(content, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_bytes(content)
    done = run("fit", "book.txt", *QUICK)
    assert done.exit_code == 1 and "Traceback" not in done.output
    assert words.replace("--", "") in done.stderr.replace("--", ""), done.stderr


def test_another_encoding(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_bytes("Ein schöner Tag, ein grüner Wald.\n".encode("latin-1") * 60)
    done = run("fit", "book.txt", *QUICK, "--epochs", 1, "--encoding", "latin-1", "--quiet")
    assert done.exit_code == 0, done.output
    assert "ö" in load_model("book.chain").preparation.tokens


def test_a_text_of_blanks_is_learnt_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blank.txt").write_text(" \n" * 400)
    done = run("fit", "blank.txt", *QUICK, "--epochs", 1)
    assert done.exit_code == 0, done.output
    assert load_model("blank.chain").preparation.tokens == ["\n", " "]


@pytest.mark.parametrize(("words", "network", "why"), [
    ((), "transformer", "by attention"),
    (("--network", "transformer", "--hidden", "32,32"), "lstm", "by recurrence")])
def test_the_other_network_is_to_read_the_text_in_the_same_way(words, network, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a book.txt").write_bytes("Ein schöner Tag, ein grüner Wald.\n".encode("latin-1") * 60)
    done = run("fit", "a book.txt", "--length", 16, "--hidden", 16, "--epochs", 1, "--encoding", "latin-1", "--tokens",
               "words", "--vocabulary", 9, *words)
    assert done.exit_code == 0, done.output
    assert (f"chainrule fit 'a book.txt' --network {network} --output {network}.chain --tokens words --vocabulary 9 "
            f"--encoding latin-1 --length 16  {why}\n") in done.output


@pytest.mark.parametrize(("encoding", "message"), [
    ("latin-1", "byte 3 (line 1) has the value 0xe9 (invalid continuation byte). If it is text of an older program, "
                "give its encoding, such as latin-1."),
    ("utf-16-le", "it has NUL bytes, the first at byte 1. It looks like UTF-16: give the encoding utf-16-le.")])
def test_the_encoding_to_give_is_named_as_the_option_takes_it(encoding, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_bytes(("café " * 50).encode(encoding))
    done = run("fit", "book.txt", *QUICK)
    assert done.exit_code == 1
    assert done.stderr == f"Error: book.txt is no text in UTF-8: {message}\n"


def test_ctrl_c_behind_the_last_epoch_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(BOOK)
    save, interrupts = Sequential.save, [KeyboardInterrupt]

    def interrupted_once(model, *arguments, **options):
        if interrupts:
            raise interrupts.pop()
        save(model, *arguments, **options)

    monkeypatch.setattr(Sequential, "save", interrupted_once)
    done = run("fit", "book.txt", *QUICK, "--epochs", 1, "--quiet")
    assert done.exit_code == 130
    assert done.stderr == ("Stopped. The weights after epoch 1 are kept in book.chain. To go on: chainrule resume "
                           "runs/book\n")
    assert load_model("book.chain").preparation == text.CharacterVocabulary.from_text(BOOK)


def test_a_transformer_of_any_even_width(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(BOOK)
    transformer = ("fit", "book.txt", "--length", 16, "--network", "transformer", "--epochs", 1, "--quiet")
    done = run(*transformer, "--hidden", 100)  # three heads of about 32 would not divide it
    assert done.exit_code == 0, done.output
    done = run(*transformer, "--hidden", "33,33")
    assert done.exit_code == 1
    assert done.stderr == "Error: --hidden gives the width of each block of a Transformer, an even number; got 33.\n"
