"""Text as numbers: standardised, split into tokens, and looked up in a vocabulary."""
import math
import string
from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.errors import ShapeError, did_you_mean, format_shape
from chainrule.layers.dense import check_count
from chainrule.layers.host import read_texts
from chainrule.layers.lookup import VocabularyLayer

STANDARDS = ("lower_and_strip_punctuation", "lower", "strip_punctuation")
SPLITS = ("whitespace", "character")


class TextVectorization(VocabularyLayer):
    """Texts as the indices of their tokens, or as counts of them.

    Each text is standardised, split into tokens, these are joined to n-grams where asked, and looked up:

        int:       y[n, t] = index of token t of text n; 0 behind the end, 1 for tokens not in the vocabulary
        multi_hot: y[n, i] = 1 where text n has the token i
        count:     y[n, i] = how often text n has the token i
        tf_idf:    the count times idf[i], idf = log(1 + texts / (1 + texts with the token))

    Where tokens are counted, 0 is the index of unknown ones. `adapt` orders the vocabulary by frequency, equally
    frequent tokens in falling order. In a network the layer stands directly behind an `Input((), dtype="string")` (or
    `(1,)`) and works before the compiled program begins; `fit`, `evaluate` and `predict` take lists of strings, arrays,
    columns of pandas, arrays of pyarrow.

    Without `output_sequence_length`, texts are padded to the longest of the data at hand. In a model that is rounded
    up, to one of four lengths between a power of two and the next, so that predictions for other texts find a compiled
    program; layers that pass over padding, behind `Embedding(mask_zero=True)`, do not see it. A `Source` that is read
    chunk by chunk needs a length, so that all chunks have one.

    Shapes: `(batch,)` or `(batch, 1)` to `(batch, length)`, in `int32`, or to `(batch, tokens)` where they are counted.

    Args:
        max_tokens: how many indices there are at most, special ones included; the rarest tokens are left out.
        standardize: `"lower_and_strip_punctuation"`, `"lower"`, `"strip_punctuation"`, `None`, or a function from a
            text to a text. Punctuation is that of ASCII; letters of all scripts are lowered.
        split: `"whitespace"`, `"character"`, `None` for texts that are one token each, or a function from a text to a
            list of tokens.
        ngrams: `2` for single tokens and pairs, `(2, 3)` for pairs and triples alone, joined by spaces; or `None`.
        output_mode: `"int"`, `"multi_hot"`, `"count"` or `"tf_idf"`.
        output_sequence_length: the length of all rows in mode `"int"`: longer texts are cut, shorter ones padded.
        pad_to_max_tokens: whether rows of counts have `max_tokens` numbers also where the vocabulary is smaller.
        vocabulary: the tokens in order, where they are known, or the path of a text file with one on each line.
        idf_weights: for `"tf_idf"`, the weight of each token of the vocabulary.

    Raises:
        NotReadyError: there is no vocabulary yet.
        DataError: an entry is missing or is no text.

    Reference: Spärck Jones, A Statistical Interpretation of Term Specificity and its Application in Retrieval (1972).

    Example:
        >>> layer = TextVectorization(output_sequence_length=4)
        >>> layer.adapt(["foo bar", "bar baz", "baz bada boom"])
        >>> layer.get_vocabulary()
        ['', '[UNK]', 'baz', 'bar', 'foo', 'boom', 'bada']
        >>> layer(["Foo qux, bar!", "qux baz"]).tolist()
        [[4, 1, 3, 0], [1, 2, 0, 0]]
    """

    prepares, needs = ("string",), "text"
    modes = ("int", "multi_hot", "count", "tf_idf")

    def __init__(self, max_tokens: int | None = None, standardize: Any = "lower_and_strip_punctuation",
                 split: Any = "whitespace", ngrams: int | tuple[int, ...] | None = None, output_mode: str = "int",
                 output_sequence_length: int | None = None, pad_to_max_tokens: bool = False, vocabulary: Any = None,
                 idf_weights: Any = None, **kwargs):
        self.standardize, self.split, self.ngrams = standardize, split, ngrams
        self.output_sequence_length = output_sequence_length
        super().__init__(max_tokens, 1, "", "[UNK]", vocabulary, idf_weights, output_mode, pad_to_max_tokens, **kwargs)

    def _check_settings(self):
        super()._check_settings()
        for name, value, known in (("standardize", self.standardize, STANDARDS), ("split", self.split, SPLITS)):
            if value is not None and not callable(value) and value not in known:
                self._fail(f"`{name}` is a name, a function or None; got {value!r}. {did_you_mean(value, known)}", "")
        widths = self.ngrams if isinstance(self.ngrams, (tuple, list)) else (1 if self.ngrams is None else self.ngrams,)
        if not widths or not all(isinstance(width, int) and not isinstance(width, bool) and width > 0
                                 for width in widths):
            self._fail(f"`ngrams` is a positive integer, a tuple of them, or None; got {self.ngrams!r}")
        if self.output_sequence_length is not None:
            check_count(self, "output_sequence_length", self.output_sequence_length)
            if self.output_mode != "int":
                self._fail(f"`output_sequence_length` is for output_mode='int'; this one is {self.output_mode!r}")

    @property
    def pads_to_longest(self) -> bool:
        """Whether rows are as long as the longest of the data at hand."""
        return self.output_mode == "int" and self.output_sequence_length is None

    def read(self, data, name):
        return read_texts(data, name, self.describe())

    def token(self, entry):
        return str(entry) if isinstance(entry, str) else None

    def documents(self, array: np.ndarray) -> Iterator[list]:
        """The tokens of each text."""
        if array.ndim > 1 and self.split is not None and array.shape[1:] != (1,):
            raise ShapeError(f"TextVectorization takes one text a row, (batch,) or (batch, 1); got "
                             f"{format_shape(array.shape)}. Join the columns first, or give each an input of its own.")
        for row in array.reshape(len(array), math.prod(array.shape[1:])).tolist():
            yield self._joined([token for text in row for token in self._tokens(self._standard(text))])

    def prepare(self, array):
        y = self.answer(array)
        if not self.pads_to_longest:
            return y
        return np.pad(y, ((0, 0), (0, rounded_length(y.shape[1]) - y.shape[1])))

    def answer(self, array):
        lengths, indices = [], []
        for tokens in self.documents(array):
            found = self.look_up(tokens[: self.output_sequence_length])
            lengths.append(len(found))
            indices.append(np.array(found, "int32"))
        indices, lengths = np.concatenate([np.empty(0, "int32"), *indices]), np.array(lengths, "int64")
        if self.output_mode != "int":
            return self.counted(np.repeat(np.arange(len(array)), lengths), indices, len(array))
        width = self.output_sequence_length or max(lengths.max(initial=0), 1)
        y = np.zeros((len(array), width), "int32")
        y[np.arange(width) < lengths[:, None]] = indices
        return y

    def prepared(self, shape):
        if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1 and self.split is not None):
            raise ShapeError(f"TextVectorization takes one text a row, Input((), dtype='string') or Input((1,), "
                             f"dtype='string'); got rows of shape {format_shape(shape[1:])}.")
        if self.output_mode == "int":
            return (shape[0], self.output_sequence_length), "int32"
        return (shape[0], self.depth), None

    def _standard(self, text: str) -> str:
        if callable(self.standardize):
            return self._text_of(self.standardize(text))
        if self.standardize in ("lower", "lower_and_strip_punctuation"):
            text = text.lower()
        if self.standardize in ("strip_punctuation", "lower_and_strip_punctuation"):
            text = text.translate(_NO_PUNCTUATION)
        return text

    def _tokens(self, text: str) -> list[str]:
        if callable(self.split):
            return [self._text_of(token) for token in self.split(text)]
        return text.split() if self.split == "whitespace" else list(text) if self.split == "character" else [text]

    def _text_of(self, value) -> str:
        """What a function of the user's gave, as a string; NumPy's functions on strings give arrays of one."""
        if getattr(value, "ndim", None) == 0:
            value = value.item()
        if not isinstance(value, str):
            self._fail(f"the functions `standardize` and `split` take one text each, and give a text and a list of "
                       f"texts; got {value!r}")
        return value

    def _joined(self, tokens: list[str]) -> list[str]:
        """The n-grams of tokens: all of the first width, then all of the next."""
        if self.ngrams is None:
            return tokens
        widths = range(1, self.ngrams + 1) if isinstance(self.ngrams, int) else self.ngrams
        return [" ".join(tokens[start : start + width])
                for width in widths for start in range(len(tokens) - width + 1)]


def rounded_length(length: int) -> int:
    """The length that texts are padded to in a model, a power of two or 5/4, 3/2 or 7/4 of one; 8 at least.

    Example:
        >>> [rounded_length(length) for length in (3, 9, 17, 33, 100)]
        [8, 10, 20, 40, 112]
    """
    step = 1 << max((length - 1).bit_length() - 3, 1)
    return max(-(-length // step) * step, 8)


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
