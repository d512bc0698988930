"""Windows of text: the right tokens in the right rows, nothing over the border, files read as what they are."""
import codecs
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import text
from chainrule.errors import DataError, SettingError
from chainrule.layers import LSTM, Dense, Embedding
from chainrule.models import load_model

ABC = "abcdefghijklmnopqrstuvwxyz"
VERSE = "The cat sat on the mat.\nThe dog sat on the log, and the cat saw it.\n" * 20


def strings(source):
    """The windows of a source over `ABC` as strings: its inputs, and what follows."""
    x, y = source.load()
    return (["".join(ABC[number] for number in row) for row in part] for part in (x, y))


def test_windows_by_hand():
    x, y = strings(text.characters(ABC, length=5).train)
    assert x == ["abcde", "fghij", "klmno", "pqrst", "uvwxy"]
    assert y == ["bcdef", "ghijk", "lmnop", "qrstu", "vwxyz"]
    x, y = strings(text.characters(ABC, length=10, stride=7).train)
    assert (x, y) == (["abcdefghij", "hijklmnopq", "opqrstuvwx"], ["bcdefghijk", "ijklmnopqr", "pqrstuvwxy"])
    x, y = strings(text.characters(ABC[:4], length=3, stride=1).train)
    assert (x, y) == (["abc"], ["bcd"])


@pytest.mark.parametrize("count, length, stride", [(9, 3, 1), (9, 3, 2), (9, 8, 1), (30, 4, 6), (31, 5, 5), (2, 1, 1)])
def test_every_window_that_fits(count, length, stride):
    source = text.TextWindows(np.arange(count), length, stride)
    starts = [start for start in range(0, count, stride) if start + length + 1 <= count]
    x, y = source.load()
    assert x.dtype == y.dtype == np.int32 and x.flags.c_contiguous and y.flags.c_contiguous
    np.testing.assert_array_equal(x, [range(start, start + length) for start in starts])
    np.testing.assert_array_equal(y, x + 1)
    assert source.nbytes == x.nbytes + y.nbytes and len(source) == len(x)
    np.testing.assert_array_equal(source.rows(np.array([len(x) - 1, 0]))[0], x[[-1, 0]])


@pytest.mark.parametrize("streams, length, count", [(1, 3, 13), (2, 3, 13), (4, 5, 100), (3, 2, 7), (8, 4, 333)])
def test_streams_go_on_where_they_ended(streams, length, count):
    ids = np.random.default_rng(0).integers(0, 50, count)
    source = text.TextWindows(ids, length, streams=streams)
    x, y = source.load()
    steps = (count - 1) // (length * streams)
    assert len(source) == len(x) == steps * streams
    followed = x.reshape(steps, streams, length).swapaxes(0, 1).reshape(-1)  # each stream from its beginning to its end
    np.testing.assert_array_equal(followed, ids[: len(followed)])
    np.testing.assert_array_equal(y.reshape(steps, streams, length).swapaxes(0, 1).reshape(-1),
                                  ids[1 : len(followed) + 1])
    np.testing.assert_array_equal(x[streams:, 0], y[:-streams, -1])


def test_the_end_is_held_out():
    data = text.characters(ABC + ABC, length=3, validation=0.25)
    x, y = strings(data.train)
    held, held_next = strings(data.validation)
    assert "".join(x) + y[-1][-1] == (ABC + ABC)[:37] and len(x) == 12
    assert held == ["nop", "qrs", "tuv", "wxy"] and held_next[-1] == "xyz"
    assert text.characters(ABC, length=3).validation is None


def test_the_vocabulary_is_that_of_the_training_part():
    corpus = "abab" * 10 + "abéz"
    message = ("The validation part has 2 characters that the training part lacks: 'é' (1), 'z' (1). They become "
               "'\ufffd', a token that no training window has.")
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$") as caught:
        data = text.characters(corpus, length=3, validation=0.1)
    assert caught[0].filename == __file__
    assert data.vocabulary.tokens == ["a", "b", "\ufffd"] and data.unknown == {"é": 1, "z": 1}
    assert data.validation.ids.tolist()[-4:] == [0, 1, 2, 2]
    asked = text.characters(corpus, length=3, validation=0.1, unknown_token="?")
    assert asked.vocabulary.tokens == ["a", "b", "?"] and asked.unknown == {"é": 1, "z": 1}
    known = text.characters("abab" * 10, length=3, validation=0.2)
    assert known.vocabulary.tokens == ["a", "b"] and not known.unknown
    assert text.words(VERSE + "A bird.\n" * 15, length=3, validation=0.1).unknown["bird"] == 15


@pytest.mark.parametrize("make", [text.words, text.byte_pairs])
@pytest.mark.parametrize("share", [0.1, 0.33, 0.5])
def test_the_border_is_between_words(make, share):
    data = make(VERSE, length=4, validation=share)
    left, right = (data.decode(part.ids) for part in (data.train, data.validation))
    assert VERSE in (left + right, left + " " + right)
    assert left[-1].strip() and not right[0].strip() or VERSE == left + " " + right
    assert abs(len(left) - (1 - share) * len(VERSE)) < 10


def test_words_and_byte_pairs():
    data = text.words(VERSE, length=6, size=8)
    assert len(data.vocabulary) == 8 and data.decode(data.train.load()[0][0]) == "The cat sat on the <unk>"
    assert data.unknown.total() == (data.train.ids == 0).sum() > 0
    assert text.words(VERSE, length=6, lowercase=True).vocabulary.words[0] == "the"
    data = text.byte_pairs(VERSE, length=6, size=280)
    assert len(data.vocabulary) == 280 and data.decode(data.train.ids) == VERSE and not data.unknown


def test_windows_by_a_vocabulary_that_there_is():
    first = text.byte_pairs(VERSE, length=4, size=270)
    again = text.windows(VERSE, first.vocabulary, length=4)
    np.testing.assert_array_equal(first.train.ids, again.train.ids)
    assert again.vocabulary is first.vocabulary is again.train.preparation


def test_ids_are_kept_small():
    assert text.characters(VERSE, length=4).train.ids.dtype == np.uint8
    assert text.byte_pairs(VERSE, length=4, size=270).train.ids.dtype == np.uint16


def test_short_in_print():
    data = text.words(VERSE, length=8, size=8, validation=0.2, streams=4)
    assert repr(data) == (f"<TextData: {len(data.train)} windows of 8, {len(data.validation)} to validate on, "
                          f"8 tokens, {data.unknown.total()} times an unknown one>")
    assert repr(data.train) == f"<TextWindows: {len(data.train)} windows of 8 tokens in 4 streams>"


# With a model


def model_for(data):
    model = cr.Sequential([cr.Input((None,), dtype="int32"), Embedding(len(data.vocabulary), 4),
                           LSTM(6, return_sequences=True), Dense(len(data.vocabulary))])
    model.compile(optimizer="adam", loss=cr.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_a_fit_is_that_on_arrays(tmp_path):
    data = text.characters(VERSE, length=8, validation=0.2)
    on_windows, on_arrays = model_for(data), model_for(data)
    first = on_windows.fit(data.train, validation_data=data.validation, batch_size=16, epochs=2, seed=0, verbose=0)
    second = on_arrays.fit(*data.train.load(), validation_data=data.validation.load(), batch_size=16, epochs=2, seed=0,
                           verbose=0)
    assert first.history == second.history
    for mine, theirs in zip(on_windows.get_weights(), on_arrays.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert on_windows.preparation is data.vocabulary and on_arrays.preparation is None
    on_windows.save(tmp_path / "model.chain")
    assert load_model(tmp_path / "model.chain").preparation == data.vocabulary


# Bad input


@pytest.mark.parametrize("settings, message", [
    ({"length": 0}, "length must be an integer of at least 1; got 0."),
    ({"length": 2.0}, "length must be an integer of at least 1; got 2.0."),
    ({"length": 4, "stride": 0}, "stride must be an integer of at least 1; got 0."),
    ({"length": 4, "streams": 0}, "streams must be an integer of at least 1; got 0."),
    ({"length": 4, "validation": 1}, "validation is the share of the text to validate on, from 0 up to but without 1; "
                                     "got 1."),
    ({"length": 4, "validation": -0.1}, "validation is the share of the text to validate on, from 0 up to but without "
                                        "1; got -0.1."),
    ({"length": 4, "validation": "0.1"}, "validation is the share of the text to validate on, from 0 up to but without "
                                         "1; got '0.1'."),
    ({"length": 4, "stride": 2, "streams": 2},
     "With streams each window begins where the one before ended, so the stride is the length, 4; got stride=2. Leave "
     "one of the two out."),
])
@pytest.mark.parametrize("make", [text.characters, text.words, text.byte_pairs])
def test_bad_settings(make, settings, message):
    with pytest.raises(SettingError) as caught:
        make(VERSE, **settings)
    assert str(caught.value) == message


def test_bad_sizes_and_vocabularies():
    with pytest.raises(SettingError, match="^size must be an integer of at least 3; got 2.$"):
        text.words(VERSE, 4, size=2)
    with pytest.raises(SettingError, match="^size must be an integer of at least 256; got 100.$"):
        text.byte_pairs(VERSE, 4, size=100)
    message = "vocabulary is a Vocabulary, such as data.vocabulary or model.preparation; got TextData."
    with pytest.raises(SettingError, match=f"^{re.escape(message)}$"):
        text.windows(VERSE, text.characters(VERSE, 4), 4)


@pytest.mark.parametrize("act, message", [
    (lambda: text.characters("", 4), "corpus is empty: there is nothing to learn from."),
    (lambda: text.characters("abcd", 4),
     "The text has 4 characters. A window of 4 and the one that follows needs 5: take a longer text, or a smaller "
     "length."),
    (lambda: text.words("ab cd", 4),
     "The text has 2 tokens. A window of 4 and the one that follows needs 5: take a longer text, or a smaller length."),
    (lambda: text.characters(ABC, 4, validation=0.1),
     "The validation part of the text has 3 characters. A window of 4 and the one that follows needs 5: take a longer "
     "text, or a smaller length or another validation."),
    (lambda: text.characters(ABC, 4, validation=0.9),
     "The training part of the text has 2 characters. A window of 4 and the one that follows needs 5: take a longer "
     "text, or a smaller length or another validation."),
    (lambda: text.characters(ABC, 4, streams=8),
     "The text has 26 characters. 8 streams with a window of 4 each and the one that follows need 33: take a longer "
     "text, or a smaller length or fewer streams."),
    (lambda: text.characters("ab", 1, validation=0.9),
     "validation=0.9 of 2 characters leaves none to train on. Take a longer text or a smaller share."),
    (lambda: text.characters(b"abc", 1),
     "corpus is one string; got b'abc' (bytes). Decode it: corpus.decode('utf-8')."),
    (lambda: text.words(["a", "b"], 1),
     "corpus is one string; got ['a', 'b'] (list). Join the documents: '\\n\\n'.join(corpus)."),
    (lambda: text.byte_pairs(None, 1), "corpus is one string; got None (NoneType)."),
    (lambda: text.windows("abc", text.CharacterVocabulary("ab"), 1),
     "The text has 1 character that the vocabulary of 2 does not know: 'c' (1); the first at position 2. Replace it, "
     "or give the vocabulary a token for it: unknown_token='\ufffd'."),
    (lambda: text.TextWindows(np.zeros((2, 3), int), 1),
     "The tokens of a text are one axis of whole numbers; got int64 of shape (2, 3)."),
])
def test_bad_text(act, message):
    with pytest.raises(DataError) as caught:
        act()
    assert str(caught.value) == message


def test_a_path_is_no_text(tmp_path):
    with pytest.raises(DataError) as caught:
        text.characters(tmp_path / "a.txt", 4)
    assert str(caught.value).endswith("Read the file: text.read(corpus).")


# Files


@pytest.mark.parametrize("data, encoding", [
    ("Zwölf 👍\nx".encode(), None), (codecs.BOM_UTF8 + "Zwölf 👍\nx".encode(), None),
    (codecs.BOM_UTF8 + "Zwölf 👍\nx".encode(), "utf-8"), ("Zwölf 👍\r\nx".encode("utf-16"), None),
    (codecs.BOM_UTF16_BE + "Zwölf 👍\rx".encode("utf-16-be"), None), ("Zwölf 👍\nx".encode("utf-16-le"), "utf-16-le"),
    ("Zwölf 👍\r\nx".encode("utf-32"), None), ("\ufeffZwölf 👍\nx".encode("utf-16-le"), "utf-16-le"),
])
def test_read(tmp_path, data, encoding):
    (tmp_path / "a.txt").write_bytes(data)
    assert text.read(tmp_path / "a.txt", encoding) == "Zwölf 👍\nx"
    assert text.read(str(tmp_path / "a.txt"), encoding=encoding) == "Zwölf 👍\nx"


def test_read_other_encodings_and_newlines(tmp_path):
    (tmp_path / "a.txt").write_bytes("a\r\nb\rc\n\r\n\x85é".encode("latin-1"))
    assert text.read(tmp_path / "a.txt", encoding="latin-1") == "a\nb\nc\n\n\x85é"


@pytest.mark.parametrize("data, encoding, message", [
    ("one\ntwo\ncaf\xe9 ".encode("latin-1"), None,
     "{path} is no text in UTF-8: byte 11 (line 3) has the value 0xe9 (invalid continuation byte). If it is text of an "
     "older program, give its encoding, such as latin-1."),
    (b"one\n" * 500 + b"\xff", None,
     "{path} is no text in UTF-8: byte 2,000 (line 501) has the value 0xff (invalid start byte). If it is text of an "
     "older program, give its encoding, such as latin-1."),
    (b"caf\xe9", "ascii", "{path} is no text in ASCII: byte 3 (line 1) has the value 0xe9 (ordinal not in range(128)). "
                          "Give the encoding that it was written in."),
    (codecs.BOM_UTF16_LE + b"a\x00b", None,
     "{path} is no text in UTF-16: byte 4 has the value 0x62 (truncated data). Its end may be missing."),
    ("Hello there".encode("utf-16-le"), None,
     "{path} is no text in UTF-8: it has NUL bytes, the first at byte 1. It looks like UTF-16: give the encoding "
     "utf-16-le."),
    ("Hello there".encode("utf-16-be"), None,
     "{path} is no text in UTF-8: it has NUL bytes, the first at byte 0. It looks like UTF-16: give the encoding "
     "utf-16-be."),
    (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00", None,
     "{path} is no text in UTF-8: it has NUL bytes, the first at byte 8. It looks like a binary file."),
    (b"", None, "{path} is empty."), (codecs.BOM_UTF8, None, "{path} is empty."),
])
def test_files_that_are_no_text(tmp_path, data, encoding, message):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        text.read(path, encoding)
    assert str(caught.value) == message.format(path=path)


def test_files_that_are_not_there(tmp_path):
    for path, message in ((tmp_path / "b.txt", "There is no file {}."),
                          (tmp_path, "{} is a folder; expected a text file.")):
        with pytest.raises(DataError) as caught:
            text.read(path)
        assert str(caught.value) == message.format(path)


@pytest.mark.parametrize("encoding", ["klingon", "hex", 5, "a\0b"])
def test_bad_encodings(tmp_path, encoding):
    with pytest.raises(SettingError) as caught:
        text.read(tmp_path / "a.txt", encoding)
    assert str(caught.value) == (f"encoding is the name of one that Python knows, such as 'utf-8' or 'latin-1'; got "
                                 f"{encoding!r}.")
