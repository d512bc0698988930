"""Text to train on: files as strings, strings as windows of tokens, each with the tokens that follow."""
import codecs
import re
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from chainrule.data.source import Source
from chainrule.data.vocabulary import (
    UNKNOWN_CHARACTER,
    BytePairVocabulary,
    CharacterVocabulary,
    Vocabulary,
    WordVocabulary,
    check_corpus,
    check_count,
    most_frequent,
)
from chainrule.errors import DataError, SettingError

# The longer ones first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
          (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class TextWindows(Source):
    """Windows of a text: a source for `fit` whose rows are made when they are asked for.

    Row `i` holds `x`, the `length` tokens from `i * stride` on, and `y`, the token that follows each of them:

        x[i, t] = ids[i * stride + t]
        y[i, t] = ids[i * stride + t + 1]

    With `streams` the text is cut into so many equally long parts, and row `k * streams + j` is window `k` of part
    `j`: fitted with `batch_size=streams, shuffle=False`, row `j` of each batch goes on where row `j` of the batch
    before ended, which is what stateful recurrent layers need. Tokens that do not fill a window are left out.

    Args:
        ids: the tokens of the text, `(tokens,)`.
        length: how many tokens a window has.
        stride: how many tokens lie between the beginnings of two windows; by default `length`, so that every token is
            predicted once.
        streams: how many parts are read beside each other; excludes another `stride`.
        vocabulary: what made the ids; becomes `model.preparation`.
        name: what messages call the text.

    Attributes:
        preparation: the vocabulary.

    Raises:
        DataError: the text is too short for one window, or for one of each stream.

    Shapes:
        x `(rows, length)` int32, y `(rows, length)` int32.

    Example:
        >>> x, y = TextWindows(np.arange(8), length=3).load()
        >>> x.tolist(), y.tolist()
        ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
        >>> TextWindows(np.arange(13), length=3, streams=2).load()[0].tolist()
        [[0, 1, 2], [6, 7, 8], [3, 4, 5], [9, 10, 11]]
    """

    def __init__(self, ids: np.ndarray, length: int, stride: int | None = None, streams: int | None = None,
                 vocabulary: Vocabulary | None = None, name: str = "The text"):
        self.ids = np.asarray(ids)
        self.length, self.stride, self.streams = _check_sizes(length, stride, streams)
        self.preparation = vocabulary
        if self.ids.ndim != 1 or self.ids.dtype.kind not in "iu":
            raise DataError(f"The tokens of a text are one axis of whole numbers; got {self.ids.dtype} of shape "
                            f"{self.ids.shape}.")
        needed = self.length * (self.streams or 1) + 1
        if len(self.ids) < needed:
            raise DataError(self._too_short(name, needed))
        self._steps = (len(self.ids) - 1) // (self.length * self.streams) if self.streams else 0

    def _too_short(self, name: str, needed: int) -> str:
        token = "character" if isinstance(self.preparation, CharacterVocabulary) else "token"
        several = (self.streams or 1) > 1
        windows = (f"{self.streams} streams with a window of {self.length:,} each" if several else
                   f"A window of {self.length:,}")
        others = " or fewer streams" * several + " or another validation" * (" part " in name)
        return (f"{name} has {len(self.ids):,} {token}{'s' * (len(self.ids) != 1)}. {windows} and the one that follows "
                f"need{'s' * (not self.streams)} {needed:,}: take a longer text, or a smaller length{others}.")

    def __len__(self) -> int:
        if self.streams:
            return self._steps * self.streams
        return (len(self.ids) - 1 - self.length) // self.stride + 1

    def __repr__(self) -> str:
        streams = f" in {self.streams:,} streams" if self.streams else ""
        return f"<{type(self).__name__}: {len(self):,} windows of {self.length:,} tokens{streams}>"

    @property
    def nbytes(self) -> int:
        """The memory that all windows take."""
        return 2 * len(self) * self.length * np.dtype(np.int32).itemsize

    def rows(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Windows and the tokens that follow, `(rows, length)` each."""
        starts = np.asarray(indices)
        if self.streams:
            step, stream = np.divmod(starts, self.streams)
            starts = stream * self._steps + step
        windows = self.ids[(starts * self.stride)[:, None] + np.arange(self.length + 1)].astype(np.int32)
        return np.ascontiguousarray(windows[:, :-1]), np.ascontiguousarray(windows[:, 1:])


class TextData:
    """A text as windows to train on and to validate on, and the vocabulary that made them.

    Attributes:
        vocabulary: the tokens.
        train: windows of the training part, a `TextWindows`.
        validation: windows of the end of the text; `None` where none is held out.
        unknown: how often each token of the text that the vocabulary does not have comes in it.

    Example:
        >>> data = characters("to be or not to be", length=5, validation=0.4)
        >>> len(data.train), len(data.validation), len(data.vocabulary)
        (1, 1, 7)
        >>> data.decode(data.encode("be"))
        'be'
    """

    def __init__(self, vocabulary: Vocabulary, train: TextWindows, validation: TextWindows | None, unknown: Counter):
        self.vocabulary, self.train, self.validation, self.unknown = vocabulary, train, validation, unknown

    def encode(self, text: str) -> np.ndarray:
        """The ids of the tokens of a text: `(tokens,)`, int32."""
        return self.vocabulary.encode(text)

    def decode(self, ids) -> str:
        """The text of some ids, `(tokens,)`."""
        return self.vocabulary.decode(ids)

    def __repr__(self) -> str:
        parts = [f"{len(self.train):,} windows of {self.train.length:,}"]
        parts += [f"{len(self.validation):,} to validate on"] if self.validation is not None else []
        parts += [f"{len(self.vocabulary):,} tokens"]
        parts += [f"{self.unknown.total():,} times an unknown one"] if self.unknown else []
        return f"<{type(self).__name__}: {', '.join(parts)}>"


def characters(corpus: str, length: int, stride: int | None = None, validation: float = 0.0,
               streams: int | None = None, unknown_token: str | None = None) -> TextData:
    """A text as windows of characters, each with its next characters.

    The vocabulary is that of the training part. Where the validation part has other characters too, they become one
    more token, `"\N{REPLACEMENT CHARACTER}"`; a warning counts them, and `data.unknown` says which they are. What is
    encoded later, such as a prompt, must have known characters only, unless the vocabulary has that token.

    Args:
        corpus: the text.
        length: how many characters a window has.
        stride: how many lie between the beginnings of two windows; by default `length`.
        validation: the share of the text, its end, to validate on; no window reaches over the border.
        streams: cut both parts into so many streams for stateful layers; see `TextWindows`.
        unknown_token: a character that stands for unknown ones, whether or not there are any.

    Raises:
        DataError: the corpus is no string, or too short.
        SettingError: a setting has a value it cannot have.

    Example:
        >>> data = characters("to be or not to be", length=5, validation=0.4)
        >>> data
        <TextData: 1 windows of 5, 1 to validate on, 7 tokens>
        >>> data.vocabulary.tokens
        [' ', 'b', 'e', 'n', 'o', 'r', 't']
    """

    def learn(learnt: str, held: str) -> Vocabulary:
        vocabulary = CharacterVocabulary.from_text(learnt, unknown_token)
        if unknown_token is None and vocabulary.unknown(held):
            return CharacterVocabulary(vocabulary.characters, UNKNOWN_CHARACTER)
        return vocabulary

    data = _data(corpus, length, learn, stride, validation, streams, between_words=False)
    if unknown_token is None and (count := data.unknown.total()):
        warnings.warn(
            f"The validation part has {count:,} character{'s' * (count > 1)} that the training part lacks: "
            f"{most_frequent(data.unknown)}. They become {UNKNOWN_CHARACTER!r}, a token that no training window has.",
            UserWarning, stacklevel=2)
    return data


def words(corpus: str, length: int, stride: int | None = None, validation: float = 0.0, streams: int | None = None,
          size: int = 10_000, lowercase: bool = False) -> TextData:
    """A text as windows of words, marks and newlines, each with its next ones; `WordVocabulary` says what they are.

    Args:
        corpus, stride, validation, streams: as for `characters`.
        length: how many tokens a window has.
        size: the most tokens of the vocabulary, which has the most frequent ones of the training part. All others are
            `<unk>`; `data.unknown` counts them, in both parts.
        lowercase: whether upper-case letters count as lower-case ones.

    Raises:
        DataError: the corpus is no string, or too short.
        SettingError: a setting has a value it cannot have.

    Example:
        >>> data = words("To be, or not to be: that is the question.", length=4, lowercase=True)
        >>> x, y = data.train.load()
        >>> data.decode(x[0]), data.decode(y[0])
        ('to be, or', 'be, or not')
    """
    check_count("size", size, minimum=3)
    learn = lambda learnt, _: WordVocabulary.from_text(learnt, size, lowercase)
    return _data(corpus, length, learn, stride, validation, streams)


def byte_pairs(corpus: str, length: int, stride: int | None = None, validation: float = 0.0,
               streams: int | None = None, size: int = 1_000) -> TextData:
    """A text as windows of byte pairs, each with its next ones; `BytePairVocabulary` says what they are.

    Args:
        corpus, stride, validation, streams: as for `characters`.
        length: how many tokens a window has.
        size: the most tokens of the vocabulary, 256 or more; they are learnt from the training part.

    Raises:
        DataError: the corpus is no string, or too short.
        SettingError: a setting has a value it cannot have.
        MissingDataError: the library `tokenizers` is not installed: `pip install 'chainrule[text]'`.

    Example:
        >>> data = byte_pairs("so much of so much, so much", length=4, size=262)
        >>> [data.decode(token) for token in data.train.load()[0][0]]
        ['so', ' much', ' ', 'o']
    """
    check_count("size", size, minimum=256)
    learn = lambda learnt, _: BytePairVocabulary.from_text(learnt, size)
    return _data(corpus, length, learn, stride, validation, streams)


def windows(corpus: str, vocabulary: Vocabulary, length: int, stride: int | None = None, validation: float = 0.0,
            streams: int | None = None) -> TextData:
    """A text as windows by a vocabulary that there is: to train a model further, or to judge it on another text.

    Args:
        corpus, stride, validation, streams: as for `characters`.
        vocabulary: the tokens, such as `model.preparation`.
        length: how many tokens a window has.

    Raises:
        DataError: the corpus is no string, is too short, or has a character that the vocabulary does not know.
        SettingError: a setting has a value it cannot have.

    Example:
        >>> windows("abba", CharacterVocabulary("abc"), length=3).train.load()[0].tolist()
        [[0, 1, 1]]
    """
    if not isinstance(vocabulary, Vocabulary):
        raise SettingError(f"vocabulary is a Vocabulary, such as data.vocabulary or model.preparation; got "
                           f"{type(vocabulary).__name__}.")
    return _data(corpus, length, lambda *_: vocabulary, stride, validation, streams,
                 between_words=not isinstance(vocabulary, CharacterVocabulary))


def read(path, encoding: str | None = None) -> str:
    """The text in a file, newlines as `"\\n"`.

    Args:
        path: the file.
        encoding: how its characters are written as bytes; by default as the mark at its beginning says (UTF-8, UTF-16
            or UTF-32), and UTF-8 where there is none.

    Raises:
        DataError: the file is not there, cannot be read, is empty, is binary, or is in another encoding.
        SettingError: Python knows no such encoding.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "a.txt"
        ...     _ = path.write_bytes("Zwölf\\r\\n".encode("latin-1"))
        ...     read(path, encoding="latin-1")
        'Zwölf\\n'
    """
    if encoding is not None:
        _check_encoding(encoding)
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder; expected a text file.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    text = _decoded(path, data, encoding)
    if not text:
        raise DataError(f"{path} is empty.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decoded(path, data: bytes, encoding: str | None) -> str:
    """The characters of a file."""
    used = encoding or next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if used == "utf-8" and encoding is None and 0 in data:
        raise DataError(f"{path} is no text in UTF-8: it has NUL bytes, the first at byte {data.index(0):,}."
                        f"{_utf16_hint(data)}")
    try:
        return data.decode(used).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        place = f"byte {error.start:,}"
        if not used.startswith(("utf-16", "utf-32")):
            line = data.count(b"\n", 0, error.start) + 1
            place += f" (line {line:,})"
        if error.end == len(data) and ("truncated" in error.reason or "unexpected end" in error.reason):
            fix = "Its end may be missing."
        elif encoding is None:
            fix = "If it is text of an older program, give its encoding, such as latin-1."
        else:
            fix = "Give the encoding that it was written in."
        raise DataError(f"{path} is no text in {used.upper()}: {place} has the value "
                        f"0x{data[error.start]:02x} ({error.reason}). {fix}") from error


def _utf16_hint(data: bytes) -> str:
    """What a file with NULs is: in UTF-16 every other byte of Latin text is one."""
    sample = data[:4096]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) > len(sample) // 5 and not min(even, odd):
        return f" It looks like UTF-16: give the encoding utf-16-{'le' if odd > even else 'be'}."
    return " It looks like a binary file."


def _check_encoding(encoding: str) -> None:
    try:
        " ".encode(encoding)
    except (LookupError, TypeError, ValueError) as error:
        raise SettingError(f"encoding is the name of one that Python knows, such as 'utf-8' or 'latin-1'; got "
                           f"{encoding!r}.") from error


def _data(corpus: str, length: int, learn: Callable[[str, str], Vocabulary], stride, validation, streams,
          between_words: bool = True) -> TextData:
    """What all kinds of tokens have in common: checks, the border, encoding, windows."""
    _check_sizes(length, stride, streams)
    learnt, held = _divide(check_corpus(corpus), validation, between_words)
    vocabulary = learn(learnt, held)
    make = lambda text, name: TextWindows(_compact(vocabulary, text), length, stride, streams, vocabulary, name)
    train = make(learnt, "The training part of the text" if held else "The text")
    return TextData(vocabulary, train, make(held, "The validation part of the text") if validation else None,
                    vocabulary.unknown(learnt) + vocabulary.unknown(held))


def _check_sizes(length, stride, streams) -> tuple[int, int, int | None]:
    """The settings of windows, `stride` with its default."""
    length = check_count("length", length, minimum=1)
    stride = length if stride is None else check_count("stride", stride, minimum=1)
    streams = None if streams is None else check_count("streams", streams, minimum=1)
    if streams and stride != length:
        raise SettingError(f"With streams each window begins where the one before ended, so the stride is the length, "
                           f"{length}; got stride={stride}. Leave one of the two out.")
    return length, stride, streams


def _divide(corpus: str, validation: float, between_words: bool) -> tuple[str, str]:
    """The training part of a text, and its end; the border is moved on to a space or newline where words must stay."""
    number = isinstance(validation, (int, float)) and not isinstance(validation, bool)
    if not number or not 0 <= validation < 1:
        raise SettingError(f"validation is the share of the text to validate on, from 0 up to but without 1; got "
                           f"{validation!r}.")
    border = int(len(corpus) * (1 - validation))
    if between_words and validation:
        found = re.compile(r"(?<=\S)(?=\s)").search(corpus, border)
        border = found.start() if found else border
    if not border:
        raise DataError(f"validation={validation} of {len(corpus):,} characters leaves none to train on. Take a longer "
                        f"text or a smaller share.")
    held = corpus[border:]
    return corpus[:border], held.lstrip(" ") if between_words else held


def _compact(vocabulary: Vocabulary, text: str) -> np.ndarray:
    """The ids of a text in the smallest type that holds them."""
    return vocabulary.encode(text).astype(np.min_scalar_type(len(vocabulary) - 1))
