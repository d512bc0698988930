"""Vocabularies: text as the numbers of its tokens and back. Tokens are characters, words, or byte pairs."""
import codecs
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np

from chainrule.data.preparation import Preparation
from chainrule.errors import DataError, MissingDataError, SettingError, shortened

UNKNOWN_CHARACTER = "\N{REPLACEMENT CHARACTER}"
UNKNOWN_WORD, JOIN = "<unk>", "<join>"
CLOSING, OPENING = frozenset(".,;:!?)]}%…’”»"), frozenset("([{¿¡‘“«$£€#")

BYTES = 256
# A bound for what a damaged file can make of a few merges, each of which can double the length of a token.
LONGEST_TOKEN = 256
# Byte pairs are learnt and encoded in pieces of about so many characters, by several threads.
PIECE = 1 << 14


class Vocabulary(Preparation):
    """The tokens that a text is made of, by number: the parent of the three kinds.

    A vocabulary is settings alone: it is kept in the file of a model that was fitted on its windows, and
    `model.preparation` gives it back. Two are equal if they are of one kind and have the same settings.

    Attributes:
        tokens: the text of each token, by its id.

    Example:
        >>> vocabulary = CharacterVocabulary.from_text("hello")
        >>> len(vocabulary), vocabulary.tokens, vocabulary.encode("hole").tolist()
        (4, ['e', 'h', 'l', 'o'], [1, 3, 2, 0])
        >>> list(vocabulary.decode_stream([1, 3, 2, 0]))
        ['h', 'o', 'l', 'e']
    """

    def encode(self, text: str) -> np.ndarray:
        """The ids of the tokens of a text: `(tokens,)`, int32."""
        raise SettingError(f"{type(self).__name__} has no `encode`: write one that returns the ids of a text.")

    def unknown(self, text: str) -> Counter:
        """How often each token that the vocabulary does not have comes in a text, the most frequent first."""
        return Counter()

    def decode(self, ids) -> str:
        """The text of some ids, `(tokens,)`.

        Raises:
            DataError: they are not whole numbers from 0 to the size of the vocabulary less 1, or of more than one text.
        """
        return "".join(self._pieces(self._checked(ids), []))

    def decode_stream(self, ids: Iterable[int], after: Sequence[int] = ()) -> Iterator[str]:
        """The text of ids as they come: a piece for each, which may be empty; joined they are `decode(ids)`.

        A byte pair can end within a character, which is held back until it is whole; words need the one before to know
        about the space between them.

        Args:
            ids: from a list, or from a generator that makes them one by one.
            after: the ids of what stands before, whose text is not given again.

        Raises:
            DataError: as `decode`, when the id is reached.
        """
        return self._pieces(chain.from_iterable(map(self._checked, ids)), self._checked(after))

    def _pieces(self, ids: Iterable[int], before: list[int]) -> Iterator[str]:
        """The text of each id, all of which are valid."""
        return (self.tokens[number] for number in ids)

    def _checked(self, ids) -> list[int]:
        """Ids as a list of numbers; one id alone is a list of one."""
        ids = np.asarray(ids)
        if ids.ndim > 1:
            raise DataError(f"The ids of one text have one axis; got an array of shape {ids.shape}. For several texts: "
                            f"[vocabulary.decode(row) for row in ids].")
        ids = np.atleast_1d(ids)
        if ids.size and ids.dtype.kind not in "iu":
            raise DataError(f"The ids of tokens are whole numbers; got {ids.dtype}.")
        if ids.size and not 0 <= ids.min() <= ids.max() < len(self):
            first = int(np.flatnonzero((ids < 0) | (ids >= len(self)))[0])
            raise DataError(f"The {len(self):,} tokens of the vocabulary have ids from 0 to {len(self) - 1:,}; got "
                            f"{ids[first]} at position {first}.")
        return ids.tolist()

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other) -> bool:
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((type(self), *self.tokens))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self):,} tokens>"


class CharacterVocabulary(Vocabulary):
    """Every character is a token: the code points of Unicode that a text has, and no others.

    Args:
        characters: all of them, by id.
        unknown_token: the character that stands for those that are not among them; it comes last, unless it is one of
            them. Without it an unknown character is an error.

    Raises:
        SettingError: there are no characters, one comes twice, or `unknown_token` is not one character.

    Example:
        >>> vocabulary = CharacterVocabulary("abc")
        >>> vocabulary.encode("cab").tolist(), vocabulary.decode([2, 0, 1])
        ([2, 0, 1], 'cab')
        >>> vocabulary = CharacterVocabulary("abc", unknown_token="?")
        >>> vocabulary.decode(vocabulary.encode("cabbage")), vocabulary.unknown("cabbage")
        ('cabba??', Counter({'g': 1, 'e': 1}))
    """

    def __init__(self, characters: str, unknown_token: str | None = None):
        if not isinstance(characters, str) or not characters:
            raise SettingError(f"characters is a string of all characters, by id; got {_with_type(characters)}.")
        if repeated := [character for character, count in Counter(characters).items() if count > 1]:
            raise SettingError(f"characters has every character once; {repeated[0]!r} comes "
                               f"{characters.count(repeated[0])} times.")
        if unknown_token is not None and (not isinstance(unknown_token, str) or len(unknown_token) != 1):
            raise SettingError(f"unknown_token is one character, such as {UNKNOWN_CHARACTER!r}, or None; got "
                               f"{_with_type(unknown_token)}.")
        self.characters, self.unknown_token = characters, unknown_token
        extra = unknown_token if unknown_token is not None and unknown_token not in characters else ""
        self.tokens = [*characters, *extra]
        codes = _codes(check_text("characters", characters + extra))
        self._ids = np.full(codes.max() + 2, -1, np.int32)  # by code point; the last stands for all above
        self._ids[codes] = np.arange(len(codes))

    def get_config(self) -> dict:
        return {"characters": self.characters, "unknown_token": self.unknown_token}

    @classmethod
    def from_text(cls, text: str, unknown_token: str | None = None) -> "CharacterVocabulary":
        """The vocabulary of a text: its characters, in the order of Unicode.

        Example:
            >>> CharacterVocabulary.from_text("hello").tokens
            ['e', 'h', 'l', 'o']
        """
        return cls("".join(sorted(set(check_corpus(text)))), unknown_token)

    def encode(self, text: str) -> np.ndarray:
        """The ids of the characters of a text: `(characters,)`, int32.

        Raises:
            DataError: a character is unknown, and there is no `unknown_token`.
        """
        ids = self._look_up(_codes(check_text("text", text)))
        missing = ids < 0
        if missing.any():
            if self.unknown_token is None:
                raise DataError(self._problem(text))
            ids[missing] = self.tokens.index(self.unknown_token)
        return ids

    def unknown(self, text: str) -> Counter:
        codes = _codes(check_text("text", text))
        counts = Counter(codes[self._look_up(codes) < 0].tolist())
        return Counter({chr(code): count for code, count in counts.most_common()})

    def _look_up(self, codes: np.ndarray) -> np.ndarray:
        """The id of each code point, -1 where it has none."""
        return self._ids[np.minimum(codes, len(self._ids) - 1)]

    def _problem(self, text: str) -> str:
        unknown = self.unknown(text)
        count = unknown.total()
        first = min(text.index(character) for character in unknown)
        them = "it" if count == 1 else "them"
        return (f"The text has {count:,} character{'s' * (count > 1)} that the vocabulary of {len(self):,} does not "
                f"know: {most_frequent(unknown)}; the first at position {first}. Replace {them}, or give the "
                f"vocabulary a token for {them}: unknown_token={UNKNOWN_CHARACTER!r}.")


class WordVocabulary(Vocabulary):
    """Words, marks and newlines are tokens; spaces are understood.

    A word is a run of letters and digits, with apostrophes and hyphens inside it: `don't`, `well-known`. Every other
    mark is a token of its own, and so is a newline. Between two tokens stands a space, but not before a closing mark
    such as `,` or `)` and not after an opening one such as `(`. Where a text differs from that, a space is a token
    too, and `<join>` says that there is none; so `decode(encode(text)) == text` for known words. For text without
    spaces between words, such as Chinese, use characters or byte pairs.

    Args:
        words: all tokens but the first two, by id less 2. Id 0 is `<unk>`, which stands for every other word, id 1
            is `<join>`.
        lowercase: whether upper-case letters count as lower-case ones; `decode` then gives lower-case text.

    Raises:
        SettingError: a word is no text, is empty, or comes twice.

    Example:
        >>> vocabulary = WordVocabulary(["the", "cat", "sat", ",", "."], lowercase=True)
        >>> vocabulary.encode("The cat, the dog.").tolist()
        [2, 3, 5, 2, 0, 6]
        >>> vocabulary.decode([2, 3, 5, 2, 0, 6]), vocabulary.unknown("The cat, the dog.")
        ('the cat, the <unk>.', Counter({'dog': 1}))
    """

    def __init__(self, words: Sequence[str], lowercase: bool = False):
        if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) and word for word in words):
            raise SettingError(f"words is a list of words, none of them empty; got {_with_type(words)}.")
        if not isinstance(lowercase, bool):
            raise SettingError(f"lowercase is True or False; got {_with_type(lowercase)}.")
        check_text("words", "".join(words))
        self.words, self.lowercase = list(words), lowercase
        self.tokens = [UNKNOWN_WORD, JOIN, *words]
        self._ids = {token: number for number, token in enumerate(self.tokens)}
        if len(self._ids) < len(self.tokens):
            repeated = next(word for word, count in Counter(self.tokens).items() if count > 1)
            raise SettingError(f"words has every word once, without {UNKNOWN_WORD!r} and {JOIN!r}, which come by "
                               f"themselves; {repeated!r} is there twice.")

    def get_config(self) -> dict:
        return {"words": self.words, "lowercase": self.lowercase}

    @classmethod
    def from_text(cls, text: str, size: int = 10_000, lowercase: bool = False) -> "WordVocabulary":
        """The vocabulary of a text: its most frequent words, those that come equally often in their order.

        Args:
            text: what to learn from.
            size: the most tokens, `<unk>` and `<join>` among them.
            lowercase: as for `WordVocabulary`.

        Example:
            >>> WordVocabulary.from_text("a rose is a rose, is a rose", size=5).tokens
            ['<unk>', '<join>', 'a', 'rose', 'is']
        """
        check_count("size", size, minimum=3)
        counts = Counter(_split_words(check_corpus(text), lowercase))
        del counts[JOIN]
        return cls([word for word, _ in counts.most_common(size - 2)], lowercase)

    def encode(self, text: str) -> np.ndarray:
        """The ids of the words of a text: `(words,)`, int32; 0 for unknown ones."""
        words = _split_words(check_text("text", text), self.lowercase)
        return np.fromiter((self._ids.get(word, 0) for word in words), np.int32)

    def unknown(self, text: str) -> Counter:
        words = _split_words(check_text("text", text), self.lowercase)
        return Counter(dict(Counter(word for word in words if word not in self._ids).most_common()))

    def _pieces(self, ids: Iterable[int], before: list[int]) -> Iterator[str]:
        left = self.tokens[before[-1]] if before else ""
        for number in ids:
            right = self.tokens[number]
            yield " " * _spaced(left, right) + right * (right != JOIN)
            left = right


class BytePairVocabulary(Vocabulary):
    """Frequent pieces of words are tokens, made of bytes, so that any text has ids and nothing is unknown.

    A text is its bytes in UTF-8, cut into words with the space before them; then, in the order of `merges`, each pair
    of neighbours that is one of them becomes one token. Encoding needs `pip install 'chainrule[text]'`.

    Args:
        merges: pairs of ids. The first 256 ids are the bytes; each merge adds a token of its two, unless one of the
            same bytes is there already.

    Attributes:
        tokens: the text of each token; `<0xE2 0x80>` for bytes that are no whole characters.

    Raises:
        SettingError: a merge is not a pair of ids that are there before it, comes twice, or makes a token of more than
            256 bytes.

    Example:
        >>> vocabulary = BytePairVocabulary([(ord("t"), ord("h")), (256, ord("e"))])
        >>> vocabulary.tokens[256:], vocabulary.encode("the path").tolist()
        (['th', 'the'], [257, 32, 112, 97, 256])
        >>> vocabulary.decode([257, 32, 112, 97, 256])
        'the path'

    Reference:
        Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units", 2016; by bytes:
        Radford et al., "Language models are unsupervised multitask learners", 2019.
    """

    def __init__(self, merges: Sequence[tuple[int, int]]):
        if not isinstance(merges, (list, tuple)):
            raise SettingError(f"merges is a list of pairs of ids; got {_with_type(merges)}.")
        self._bytes = [bytes([number]) for number in range(BYTES)]
        self.merges: list[list[int]] = []
        known, met = set(self._bytes), set()
        for pair in merges:
            if not self._is_merge(pair):
                raise SettingError(f"Merge {len(met)} is a pair of ids from 0 to {len(self._bytes) - 1}, those that "
                                   f"are there before it; got {_with_type(pair)}.")
            merged = self._bytes[pair[0]] + self._bytes[pair[1]]
            if tuple(pair) in met or len(merged) > LONGEST_TOKEN:
                problem = "comes twice" if tuple(pair) in met else f"makes a token of {len(merged)} bytes"
                raise SettingError(f"Merge {len(met)}, {_with_type(pair)}, {problem}; expected pairs of which each "
                                   f"comes once, and tokens of at most {LONGEST_TOKEN} bytes.")
            if merged not in known:
                self._bytes.append(merged)
                known.add(merged)
            met.add(tuple(pair))
            self.merges.append([*pair])
        self.tokens = [_readable(piece) for piece in self._bytes]
        self._tokenizer = None  # of the library, made when it is needed

    def get_config(self) -> dict:
        return {"merges": self.merges}

    def _is_merge(self, pair) -> bool:
        return isinstance(pair, (list, tuple)) and len(pair) == 2 and all(
            isinstance(part, int) and not isinstance(part, bool) and 0 <= part < len(self._bytes) for part in pair)

    @classmethod
    def from_text(cls, text: str, size: int = 1_000) -> "BytePairVocabulary":
        """The vocabulary of a text: again and again the most frequent pair becomes a token.

        It has fewer tokens than `size` where no pair that is left comes twice.

        Args:
            text: what to learn from.
            size: the most tokens, the 256 bytes among them.

        Raises:
            MissingDataError: the library `tokenizers` is not installed.

        Example:
            >>> BytePairVocabulary.from_text("so much of so much, so much", size=262).tokens[256:]
            ['ch', 'mu', 'so', ' mu', ' much', ' so']
        """
        check_count("size", size, minimum=BYTES)
        library = _tokenizers()
        letters = _byte_letters()
        trainer = library.trainers.BpeTrainer(
            vocab_size=size, initial_alphabet=letters, min_frequency=2, max_token_length=LONGEST_TOKEN,
            show_progress=False)
        learner = _word_cutter(library, library.models.BPE())
        learner.train_from_iterator(_cut(check_corpus(text)), trainer)
        ids = {letter: number for number, letter in enumerate(letters)}
        merges = {}  # by order; a pair that the library learns a second time keeps its first place
        for left, right in json.loads(learner.to_str())["model"]["merges"]:
            merges[ids[left], ids[right]] = None
            ids.setdefault(left + right, len(ids))
        return cls([[*pair] for pair in merges])

    def encode(self, text: str) -> np.ndarray:
        """The ids of the tokens of a text: `(tokens,)`, int32.

        Raises:
            MissingDataError: the library `tokenizers` is not installed.
        """
        check_text("text", text)
        if self._tokenizer is None:
            library, letters = _tokenizers(), _byte_letters()
            names = ["".join(letters[byte] for byte in piece) for piece in self._bytes]
            merges = [(names[left], names[right]) for left, right in self.merges]
            ids = {name: number for number, name in enumerate(names)}
            self._tokenizer = _word_cutter(library, library.models.BPE(ids, merges))
        found = self._tokenizer.encode_batch_fast(list(_cut(text)), add_special_tokens=False)
        return np.concatenate([np.zeros(0, np.int32), *(np.array(piece.ids, np.int32) for piece in found)])

    def _pieces(self, ids: Iterable[int], before: list[int]) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for number in ids:
            yield decoder.decode(self._bytes[number])
        if end := decoder.decode(b"", final=True):
            yield end


def check_text(name: str, text) -> str:
    """Raise where something is no text; half a surrogate pair is none."""
    if not isinstance(text, str):
        raise DataError(f"{name} is one string; got {_with_type(text)}.{_hint(name, text)}")
    if not text.isascii() and (half := re.search("[\ud800-\udfff]", text)):
        raise DataError(f"{name} has {half[0]!r} at position {half.start()}: half of a surrogate pair, which is no "
                        f"character. Read the file in its right encoding: text.read(path, encoding=...).")
    return text


def check_corpus(text) -> str:
    """Raise where there is no text to learn from."""
    if not check_text("corpus", text):
        raise DataError("corpus is empty: there is nothing to learn from.")
    return text


def check_count(name: str, value, minimum: int) -> int:
    """Raise where a count is not a whole number of at least `minimum`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < minimum:
        raise SettingError(f"{name} must be an integer of at least {minimum}; got {value!r}.")
    return int(value)


def most_frequent(counts: Counter, most: int = 5) -> str:
    """The first of some counts in words: `'é' (2), 'x' (1) and 3 others`."""
    named = ", ".join(f"{token!r} ({count:,})" for token, count in counts.most_common(most))
    others = len(counts) - most
    return named + (f" and {others:,} other{'s' * (others > 1)}" if others > 0 else "")


def _hint(name: str, text) -> str:
    """What to do with something that is text in another form."""
    if isinstance(text, (bytes, bytearray)):
        return f" Decode it: {name}.decode('utf-8')."
    if hasattr(text, "__fspath__"):
        return f" Read the file: text.read({name})."
    if isinstance(text, (list, tuple)):
        return (f" Join the documents: '\\n\\n'.join({name})." if name == "corpus" else
                f" For several texts: [vocabulary.encode({name}) for {name} in texts].")
    return ""


def _with_type(value) -> str:
    return f"{shortened(value)} ({type(value).__name__})"


def _codes(text: str) -> np.ndarray:
    """The code points of a text."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def _split_words(text: str, lowercase: bool) -> Iterator[str]:
    """The tokens of a text: words, marks, newlines, and where spaces are not as expected, spaces and `<join>`."""
    text = text.lower() if lowercase else text
    # Accents of their own, vowel signs, joiners: `re` does not count them as parts of words.
    marks = "".join(re.escape(character) for character in set(text)
                    if unicodedata.category(character)[0] == "M" or character in "\u200c\u200d")
    letters = rf"\w[\w{marks}]*"
    others = rf"[^\w\s][{marks}]*" if marks else r"[^\w\s]"
    left = ""
    for match in re.finditer(rf"([^\S\n]*)(\n|{letters}(?:['’-]{letters})*|{others}|\Z)", text):
        gap, right = match.groups()
        if gap != " " * _spaced(left, right):
            yield from gap or [JOIN]
        if right:
            yield right
        left = right


def _spaced(left: str, right: str) -> bool:
    """Whether a space is understood between two tokens."""
    if not left or not right or JOIN in (left, right):
        return False
    return not (left.isspace() or right.isspace() or left[0] in OPENING or right[0] in CLOSING)


def _readable(piece: bytes) -> str:
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return f"<{' '.join(f'0x{byte:02X}' for byte in piece)}>"


def _cut(text: str) -> Iterator[str]:
    """A text in pieces, each of which ends before a space: there a token ends in any case."""
    start, border = 0, re.compile(r"(?<=\S)(?=[ \n])")
    while start < len(text):
        found = border.search(text, start + PIECE)
        end = found.start() if found else len(text)
        yield text[start:end]
        start = end


def _byte_letters() -> list[str]:
    """The letter by which the library names each byte: itself where it can be seen, else one from 256 upward."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    unseen = [byte for byte in range(BYTES) if byte not in seen]
    letters = {byte: chr(byte) for byte in seen} | {byte: chr(BYTES + place) for place, byte in enumerate(unseen)}
    return [letters[byte] for byte in range(BYTES)]


def _word_cutter(library, model):
    """A tokenizer of the library that cuts text into words as GPT-2 does, and these into tokens by `model`."""
    tokenizer = library.Tokenizer(model)
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def _tokenizers():
    try:
        import tokenizers
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as error:
        raise MissingDataError("Byte pairs are learnt and found by the library tokenizers, which is not installed: "
                               "pip install 'chainrule[text]'.") from error
    return tokenizers
