"""Vocabularies: text comes back as it was, unknown tokens are counted, byte pairs as a plain program finds them."""
import copy
import json
import pickle
import re
import sys
import unicodedata
from collections import Counter

import numpy as np
import pytest

import chainrule as cr
from chainrule.configuration import deserialize
from chainrule.data import registry
from chainrule.data.vocabulary import (
    JOIN,
    LONGEST_TOKEN,
    PIECE,
    UNKNOWN_WORD,
    BytePairVocabulary,
    CharacterVocabulary,
    Vocabulary,
    WordVocabulary,
)
from chainrule.errors import DataError, FileFormatError, MissingDataError, SettingError
from chainrule.layers import Dense, Embedding
from chainrule.models import load_model

POEM = """The fog comes
on little cat feet. It sits looking (over harbour and city) on silent haunches, and then moves on; the cat's little feet
don't wait -- "not for a well-known cat," it said, "nor the fog".
"""
STRANGE = [
    "", " ", "\n", "  a  b ", "\ttab\t\n\n  end ", "naïve café",
    "cafe\u0301 e\u0301\u0302", "हिन्दी में नमस्ते", "日本語のテキスト。",
    "👩‍👩‍👧‍👦 🇩🇪 👍🏽!", "a\x00b\x1c\x85c\u2028d\u3000e", "\r\nwin\r",
    "<unk> and <join>", "x--y ... 'tis “so” (it [is]) $5 5% 3.14",
    "\u0301alone", "\U0010ffff\ue000\ufeff\ufffd", "می‌خواهم", "_under_score_ don't- -a a- '", "don’t", "a" * 70_000,
    "ab " * 9_000 + "\n \n" * 5_000,
]


def random_texts(count=60):
    """Strings of any characters, most of them of a few that matter: spaces, marks, letters, accents."""
    rng = np.random.default_rng(7)
    common = list("  \n\t.,;:!?()[]\"'’-–abcABC019_$") + ["\u0301", "\u200d", "é", "👍", "語", "\x85", "\xa0"]
    for _ in range(count):
        letters = [common[rng.integers(len(common))] if rng.random() < 0.9 else _any_character(rng)
                   for _ in range(rng.integers(0, 80))]
        yield "".join(letters)


def _any_character(rng):
    while unicodedata.category(character := chr(rng.integers(sys.maxunicode + 1))) == "Cs":
        pass
    return character


TEXTS = [*STRANGE, *random_texts()]
EVERYTHING = "".join(TEXTS)


@pytest.fixture(scope="module")
def vocabularies():
    return {"characters": CharacterVocabulary.from_text(EVERYTHING),
            "words": WordVocabulary([*dict.fromkeys(
                word for text in TEXTS if text for word in WordVocabulary.from_text(text, size=10**6).words)]),
            "byte pairs": BytePairVocabulary.from_text("".join(text for text in TEXTS if len(text) < 1000), size=400),
            "bytes": BytePairVocabulary([])}


@pytest.mark.parametrize("kind", ["characters", "words", "byte pairs", "bytes"])
def test_text_comes_back_as_it_was(vocabularies, kind):
    vocabulary = vocabularies[kind]
    for text in TEXTS:
        ids = vocabulary.encode(text)
        assert ids.dtype == np.int32 and ids.ndim == 1
        assert vocabulary.decode(ids) == text
        assert "".join(vocabulary.decode_stream(iter(ids.tolist()))) == text
        assert vocabulary.unknown(text) == Counter()


def test_byte_pairs_of_texts_never_seen():
    vocabulary = BytePairVocabulary.from_text(POEM, size=300)
    for text in TEXTS:
        assert vocabulary.decode(vocabulary.encode(text)) == text


@pytest.mark.parametrize("kind", ["characters", "words", "byte pairs"])
def test_a_stream_that_goes_on(vocabularies, kind):
    vocabulary = vocabularies[kind]
    for text in TEXTS[:30]:
        ids = vocabulary.encode(text)
        before, after = ids[: len(ids) // 2], ids[len(ids) // 2 :]
        if kind == "byte pairs":  # which may be cut within a character
            before = vocabulary.encode(text[: len(text) // 2])
            after = vocabulary.encode(text[len(text) // 2 :])
        assert vocabulary.decode(before) + "".join(vocabulary.decode_stream(after, after=before)) == text


def test_a_stream_holds_back_what_is_no_character_yet():
    vocabulary = BytePairVocabulary([])
    assert list(vocabulary.decode_stream("aé👍".encode())) == ["a", "", "é", "", "", "", "👍"]
    assert list(vocabulary.decode_stream(b"a" + "👍".encode()[:2])) == ["a", "", "", "\ufffd"]
    assert vocabulary.decode([0xFF, ord("a")]) == "\ufffda"


def test_a_stream_takes_ids_one_by_one():
    taken = []

    def ids():
        for number in (0, 1, 2):
            taken.append(number)
            yield number

    stream = CharacterVocabulary("abc").decode_stream(ids())
    assert next(stream) == "a" and taken == [0]


# Characters


def test_characters():
    vocabulary = CharacterVocabulary.from_text("to be or not to be")
    assert vocabulary.characters == " benort" and vocabulary.tokens == list(" benort") and len(vocabulary) == 7
    assert vocabulary.encode("bet").tolist() == [1, 2, 6]
    assert vocabulary.encode("").tolist() == []
    assert CharacterVocabulary("zya").encode("azy").tolist() == [2, 0, 1]
    assert vocabulary.decode(np.array([1, 2], np.uint8)) == "be" and vocabulary.decode(6) == "t"


def test_unknown_characters():
    vocabulary = CharacterVocabulary("abc", unknown_token="?")
    assert len(vocabulary) == 4 and vocabulary.encode("aéz😀c").tolist() == [0, 3, 3, 3, 2]
    assert vocabulary.decode(vocabulary.encode("aézc")) == "a??c"
    assert list(vocabulary.unknown("xyzzya").items()) == [("y", 2), ("z", 2), ("x", 1)]
    inside = CharacterVocabulary("a?c", unknown_token="?")
    assert len(inside) == 3 and inside.encode("ab?").tolist() == [0, 1, 1] and inside.unknown("ab?") == {"b": 1}


# Words


def test_words_marks_and_newlines():
    vocabulary = WordVocabulary.from_text(POEM, size=100)
    tokens = [vocabulary.tokens[number] for number in vocabulary.encode('It\'s (well-known),\nthe "cat".')]
    assert tokens == [UNKNOWN_WORD, "(", "well-known", ")", ",", "\n", "the", '"', JOIN, "cat", JOIN, '"', "."]
    assert vocabulary.decode(vocabulary.encode(POEM)) == POEM


def test_what_is_split_by_hand():
    plain = WordVocabulary(["a", "b", " ", ".", "("])
    known = {"a b": "a b".split(), "a.b": ["a", ".", JOIN, "b"], "a .": ["a", " ", "."], "(a": ["(", "a"],
             "( a": ["(", " ", "a"], "a  b": ["a", " ", " ", "b"], "a ": ["a", " "], " a": [" ", "a"],
             "a. b": ["a", ".", "b"], "a(b": ["a", JOIN, "(", "b"]}
    for text, tokens in known.items():
        assert [plain.tokens[number] for number in plain.encode(text)] == tokens
        assert plain.decode(plain.encode(text)) == text


def test_accents_and_vowel_signs_belong_to_their_word():
    for word in ("cafe\u0301s", "हिन्दी", "می‌خواهم", "🏽\u200d"):
        assert WordVocabulary.from_text(word, size=10).words == [word]


def test_the_most_frequent_words_and_the_first_of_equals():
    text = "d c b a a b c c"
    assert WordVocabulary.from_text(text, size=5).words == ["c", "b", "a"]
    assert WordVocabulary.from_text(text).words == ["c", "b", "a", "d"]
    assert WordVocabulary.from_text(text, size=3).unknown(text) == {"a": 2, "b": 2, "d": 1}


def test_lower_case():
    vocabulary = WordVocabulary.from_text("The THE the Cat", lowercase=True)
    assert vocabulary.words == ["the", "cat"]
    assert vocabulary.decode(vocabulary.encode("The Cat DOG")) == "the cat <unk>"
    assert vocabulary.unknown("DOG Dog cat") == {"dog": 2}


def test_join_holds_where_a_model_writes_it():
    vocabulary = WordVocabulary(["a", "."])
    assert vocabulary.decode([1, 1, 2, 1, 2, 3, 0, 2]) == "aa. <unk> a"


# Byte pairs


def cut_plainly(text):
    """The words of a text in lower-case English, with the space before each, as lists of bytes."""
    return [[bytes([byte]) for byte in word.encode()] for word in re.findall(r" ?[a-z]+| ?[^a-z\s]+|\s+", text)]


def merged(tokens, pair):
    result, place = [], 0
    while place < len(tokens):
        step = 2 if tuple(tokens[place : place + 2]) == pair else 1
        result.append(b"".join(tokens[place : place + step]))
        place += step
    return result


def test_byte_pairs_as_the_definition_has_them():
    """Each merge is of a most frequent pair of its time; the words that are left are what `encode` finds."""
    text = "low, lower, lowest; newest, widest, new! wide the theme of them, then and there " * 2
    vocabulary = BytePairVocabulary.from_text(text, size=300)
    pieces = [bytes([number]) for number in range(256)]
    words = cut_plainly(text)
    pairs_of = lambda words: Counter(pair for word in words for pair in zip(word, word[1:], strict=False))
    for left, right in vocabulary.merges:
        pairs, pair = pairs_of(words), (pieces[left], pieces[right])
        assert pairs[pair] == max(pairs.values()) >= 2
        words = [merged(word, pair) for word in words]
        pieces.append(b"".join(pair))
    assert len(vocabulary) == len(pieces) == 286 and not any(pairs_of(words).values())  # all words are whole
    assert [pieces[number] for number in vocabulary.encode(text)] == [piece for word in words for piece in word]


def test_nothing_is_merged_that_comes_once():
    assert BytePairVocabulary.from_text("ab cd").merges == []
    assert BytePairVocabulary.from_text("ab ab").merges == [[97, 98]]


def test_byte_pairs_are_merged_in_order():
    letters = [ord(letter) for letter in "abc"]
    first = BytePairVocabulary([(letters[0], letters[1]), (letters[1], letters[2])])
    second = BytePairVocabulary([(letters[1], letters[2]), (letters[0], letters[1])])
    assert first.encode("abc").tolist() == [256, letters[2]]
    assert second.encode("abc").tolist() == [letters[0], 256]


def test_two_merges_of_the_same_bytes_are_one_token():
    a, b, c = b"abc"
    vocabulary = BytePairVocabulary([(a, b), (b, c), (256, c), (a, 257)])
    assert vocabulary.tokens[256:] == ["ab", "bc", "abc"]
    assert vocabulary.encode("abc").tolist() == [258]


def test_tokens_that_are_no_whole_characters_are_shown_as_bytes():
    first, second = "é".encode()
    vocabulary = BytePairVocabulary([(first, second), (second, ord("a"))])
    assert vocabulary.tokens[first] == "<0xC3>" and vocabulary.tokens[256:] == ["é", "<0xA9 0x61>"]


def test_pieces_do_not_change_the_tokens():
    rng = np.random.default_rng(0)
    words = ["the", "cat", "sat,", "(on", "it)", "\n", "\n\n", "  ", " \n", "don't", "\t", "5,000"]
    text = " ".join(words[number] for number in rng.integers(len(words), size=20_000))
    assert len(text) > 4 * PIECE
    vocabulary = BytePairVocabulary.from_text(text, size=300)
    ids = vocabulary.encode(text)
    whole = vocabulary._tokenizer.encode(text, add_special_tokens=False).ids
    assert ids.tolist() == whole


def test_the_same_text_gives_the_same_byte_pairs():
    assert BytePairVocabulary.from_text(POEM * 3, size=320) == BytePairVocabulary.from_text(POEM * 3, size=320)


def test_long_runs_stay_bounded():
    vocabulary = BytePairVocabulary.from_text(("=" * 3_000 + " ") * 3, size=400)
    assert max(len(token) for token in vocabulary.tokens[256:]) <= LONGEST_TOKEN


def test_without_the_library(monkeypatch):
    vocabulary = BytePairVocabulary([])
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    message = ("Byte pairs are learnt and found by the library tokenizers, which is not installed: "
               "pip install 'chainrule[text]'.")
    with pytest.raises(MissingDataError, match=f"^{re.escape(message)}$"):
        vocabulary.encode("text")
    assert vocabulary.decode(list(b"text")) == "text"


# As settings


KINDS = [CharacterVocabulary("abc"), CharacterVocabulary("abc", "?"), WordVocabulary(["a", "b"], lowercase=True),
         BytePairVocabulary([(97, 98), (256, 99)])]


@pytest.mark.parametrize("vocabulary", KINDS, ids=repr)
def test_equal_by_settings(vocabulary):
    config = json.loads(json.dumps(vocabulary.get_config()))
    for other in (type(vocabulary)(**config), copy.deepcopy(vocabulary), pickle.loads(pickle.dumps(vocabulary))):
        assert other == vocabulary and hash(other) == hash(vocabulary) and other.tokens == vocabulary.tokens
        assert other.encode("abc").tolist() == vocabulary.encode("abc").tolist()
    assert [other == vocabulary for other in KINDS].count(True) == 1
    assert type(vocabulary) in registry


def test_short_in_print():
    assert repr(CharacterVocabulary("abc")) == "<CharacterVocabulary: 3 tokens>"
    assert repr(WordVocabulary([f"w{number}" for number in range(9_998)])) == "<WordVocabulary: 10,000 tokens>"


@pytest.mark.parametrize("kind", [CharacterVocabulary, WordVocabulary, BytePairVocabulary])
def test_a_models_file_keeps_its_vocabulary(kind, tmp_path):
    vocabulary = kind.from_text(POEM + "".join(text for text in STRANGE if len(text) < 1000))
    model = cr.Sequential([cr.Input((None,), dtype="int32"), Embedding(len(vocabulary), 2), Dense(1)])
    model.preparation = vocabulary
    model.save(tmp_path / "model.chain")
    found = load_model(tmp_path / "model.chain").preparation
    assert found == vocabulary and found.tokens == vocabulary.tokens
    assert found.encode(POEM).tolist() == vocabulary.encode(POEM).tolist()


@pytest.mark.parametrize("kind, settings, problem", [
    ("CharacterVocabulary", {"characters": 5}, "characters is a string of all characters, by id; got 5 (int)."),
    ("CharacterVocabulary", {"characters": "aa"}, "characters has every character once; 'a' comes 2 times."),
    ("WordVocabulary", {"words": ["a", 5]}, "words is a list of words, none of them empty; got ['a', 5] (list)."),
    ("WordVocabulary", {"words": ["a"], "size": 5},
     "WordVocabulary.__init__() got an unexpected keyword argument 'size'"),
    ("BytePairVocabulary", {"merges": "ab"}, "merges is a list of pairs of ids; got 'ab' (str)."),
    ("BytePairVocabulary", {"merges": [[97, 97], [256, 5_000_000_000]]},
     "Merge 1 is a pair of ids from 0 to 256, those that are there before it; got [256, 5000000000] (list)."),
    ("BytePairVocabulary", {"merges": [[97, 97], *([number, number] for number in range(256, 300))]},
     "Merge 8, [263, 263] (list), makes a token of 512 bytes; expected pairs of which each comes once, and tokens of "
     "at most 256 bytes."),
])
def test_hostile_files(kind, settings, problem):
    with pytest.raises(FileFormatError) as caught:
        deserialize({"preparation": kind, "settings": settings}, {"preparation": registry}, {})
    error = "TypeError" if "unexpected" in problem else "SettingError"
    assert str(caught.value) == f"the preparation {kind} refuses its settings ({error}: {problem})"


# Bad input


@pytest.mark.parametrize("make, message", [
    (lambda: CharacterVocabulary(""), "characters is a string of all characters, by id; got '' (str)."),
    (lambda: CharacterVocabulary(["a"]), "characters is a string of all characters, by id; got ['a'] (list)."),
    (lambda: CharacterVocabulary("ab", "xy"),
     "unknown_token is one character, such as '\ufffd', or None; got 'xy' (str)."),
    (lambda: WordVocabulary("ab"), "words is a list of words, none of them empty; got 'ab' (str)."),
    (lambda: WordVocabulary(["a", ""]), "words is a list of words, none of them empty; got ['a', ''] (list)."),
    (lambda: WordVocabulary(["a", "b", "a"]), "words has every word once, without '<unk>' and '<join>', which come by "
                                              "themselves; 'a' is there twice."),
    (lambda: WordVocabulary(["a"], lowercase="yes"), "lowercase is True or False; got 'yes' (str)."),
    (lambda: WordVocabulary.from_text("a", size=2), "size must be an integer of at least 3; got 2."),
    (lambda: BytePairVocabulary([(97, 97), (97, 97)]),
     "Merge 1, (97, 97) (tuple), comes twice; expected pairs of which each comes once, and tokens of at most 256 "
     "bytes."),
    (lambda: BytePairVocabulary([(97, True)]),
     "Merge 0 is a pair of ids from 0 to 255, those that are there before it; got (97, True) (tuple)."),
    (lambda: BytePairVocabulary.from_text("a", size=255), "size must be an integer of at least 256; got 255."),
    (lambda: Vocabulary().encode("a"), "Vocabulary has no `encode`: write one that returns the ids of a text."),
])
def test_bad_settings(make, message):
    with pytest.raises(SettingError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize("act, message", [
    (lambda: CharacterVocabulary("abc").encode("xaéé"),
     "The text has 3 characters that the vocabulary of 3 does not know: 'é' (2), 'x' (1); the first at position 0. "
     "Replace them, or give the vocabulary a token for them: unknown_token='\ufffd'."),
    (lambda: CharacterVocabulary("abc").encode("abcd"),
     "The text has 1 character that the vocabulary of 3 does not know: 'd' (1); the first at position 3. "
     "Replace it, or give the vocabulary a token for it: unknown_token='\ufffd'."),
    (lambda: CharacterVocabulary("a").encode("bcdefgh"),
     "The text has 7 characters that the vocabulary of 1 does not know: 'b' (1), 'c' (1), 'd' (1), 'e' (1), 'f' (1) "
     "and 2 others; the first at position 0. Replace them, or give the vocabulary a token for them: "
     "unknown_token='\ufffd'."),
    (lambda: CharacterVocabulary("abc").encode(["a", "b"]),
     "text is one string; got ['a', 'b'] (list). For several texts: [vocabulary.encode(text) for text in texts]."),
    (lambda: WordVocabulary(["a"]).encode(b"a"),
     "text is one string; got b'a' (bytes). Decode it: text.decode('utf-8')."),
    (lambda: BytePairVocabulary([]).encode(5), "text is one string; got 5 (int)."),
    (lambda: BytePairVocabulary([]).encode("a\ud800"),
     "text has '\\ud800' at position 1: half of a surrogate pair, which is no character. Read the file in its right "
     "encoding: text.read(path, encoding=...)."),
    (lambda: CharacterVocabulary.from_text(""), "corpus is empty: there is nothing to learn from."),
    (lambda: CharacterVocabulary("abc").decode([0, 3, 1]),
     "The 3 tokens of the vocabulary have ids from 0 to 2; got 3 at position 1."),
    (lambda: BytePairVocabulary([]).decode([-1]),
     "The 256 tokens of the vocabulary have ids from 0 to 255; got -1 at position 0."),
    (lambda: list(WordVocabulary(["a"]).decode_stream([2, 3])),
     "The 3 tokens of the vocabulary have ids from 0 to 2; got 3 at position 0."),
    (lambda: CharacterVocabulary("abc").decode([0.0]), "The ids of tokens are whole numbers; got float64."),
    (lambda: CharacterVocabulary("abc").decode([[0, 1]]),
     "The ids of one text have one axis; got an array of shape (1, 2). For several texts: "
     "[vocabulary.decode(row) for row in ids]."),
])
def test_bad_text_and_ids(act, message):
    with pytest.raises(DataError) as caught:
        act()
    assert str(caught.value) == message
