"""Categories as their place in a vocabulary: strings and integers of any kind, and back."""
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np

from chainrule.errors import DataError, MissingDataError, NotReadyError, SettingError, did_you_mean
from chainrule.layers.dense import check_count
from chainrule.layers.host import HostLayer, read_integers, read_texts

# How many rows of a `Source` are read at a time to learn a vocabulary.
ROWS_AT_A_TIME = 4096


class VocabularyLayer(HostLayer):
    """The parent of layers that look tokens up in a vocabulary, given or learned by `adapt`.

    The vocabulary is a setting: it is kept in a model's file with the layer.
    """

    modes = ("int", "one_hot", "multi_hot", "count", "tf_idf")

    def __init__(self, max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, output_mode,
                 pad_to_max_tokens, **kwargs):
        super().__init__(**kwargs)
        self.max_tokens, self.num_oov_indices = max_tokens, num_oov_indices
        self.mask_token, self.oov_token = mask_token, oov_token
        self.output_mode, self.pad_to_max_tokens = output_mode, pad_to_max_tokens
        self._check_settings()
        self._table = None
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)
        elif idf_weights is not None:
            self._fail("`idf_weights` go with a `vocabulary`, one for each token; it is missing")

    # What a subclass writes.

    def token(self, entry) -> Any:
        """An entry of a given vocabulary as a token; `None` where it cannot be one."""
        raise NotImplementedError

    def documents(self, array: np.ndarray) -> Iterator[list]:
        """The tokens of each row of an array that was read."""
        raise NotImplementedError

    def bucket(self, token) -> int:
        """Which of several indices for unknown tokens stands for that one."""
        raise NotImplementedError

    # The vocabulary.

    def adapt(self, data) -> None:
        """Learn the vocabulary of data: the most frequent tokens first, equally frequent ones in falling order.

        Args:
            data: all rows, or a generator of them batch by batch, or a `Source`, of whose rows the inputs are taken.
        """
        counts, document_counts, rows = Counter(), Counter(), 0
        for part in _parts(data):
            for tokens in self.documents(_with_rows(self.read(part, "data"))):
                counts.update(tokens)
                rows += 1
                if self.output_mode == "tf_idf":
                    document_counts.update(set(tokens))
        for special in (self.mask_token, self.oov_token):
            counts.pop(special, None)
        if not counts:
            raise DataError(f"{type(self).__name__}.adapt: the data hold no tokens, {rows} rows in all.")
        ordered = sorted(counts.items(), key=lambda item: (item[1], item[0]), reverse=True)
        tokens = [token for token, _ in ordered]
        if self.max_tokens is not None:
            tokens = tokens[: self.max_tokens - self._first]
        weights = None
        if self.output_mode == "tf_idf":
            weights = np.log(1 + rows / (1 + np.array([document_counts[token] for token in tokens])))
        self._take(tokens, weights)

    def set_vocabulary(self, vocabulary, idf_weights=None) -> None:
        """Take over a vocabulary.

        Args:
            vocabulary: the tokens in order, with or without the special ones at their start; or the path of a text
                file with one on each line.
            idf_weights: for `"tf_idf"`, the weight of each.
        """
        tokens = _read_lines(vocabulary) if isinstance(vocabulary, str) else _listed(vocabulary)
        given = [self.token(token) for token in tokens]
        if None in given:
            self._fail(f"a vocabulary holds {self.needs}; got {tokens[given.index(None)]!r} at place "
                       f"{given.index(None)}")
        special = self._special()
        has_special = bool(special) and given[: len(special)] == special
        tokens = given[len(special):] if has_special else given
        if not tokens:
            self._fail("the vocabulary has no tokens")
        repeated = [token for token, count in Counter(tokens).items() if count > 1]
        if repeated:
            self._fail(f"a vocabulary has every token once; {repeated[0]!r} comes {tokens.count(repeated[0])} times")
        if self.mask_token is not None and self.mask_token in tokens:
            self._fail(f"the vocabulary holds {self.mask_token!r}, which stands for no token. Leave it out, or begin "
                       f"the vocabulary with {special}")
        if self.max_tokens is not None and len(tokens) + self._first > self.max_tokens:
            self._fail(f"the vocabulary has {len(tokens) + self._first} tokens, {self._first} special ones included; "
                       f"max_tokens={self.max_tokens}")
        self._take(tokens, self._checked_weights(idf_weights, len(given)))

    def get_vocabulary(self, include_special_tokens: bool = True) -> list:
        """The tokens by index; without the special ones at the start, if asked."""
        table = self._known()
        return (self._special() if include_special_tokens else []) + table.tokens

    def vocabulary_size(self) -> int:
        """How many indices there are, special ones included."""
        return self._first + len(self._known().tokens)

    def _take(self, tokens: list, weights) -> None:
        front = self._first
        index = {token: place for place, token in enumerate(tokens, front)}
        if self.mask_token is not None:
            index[self.mask_token] = 0 if self.output_mode == "int" else -1
        if weights is not None:
            weights = np.asarray(weights, "float64")
            if len(weights) == len(tokens):  # what is unknown counts as an average token
                weights = np.concatenate([np.full(front, weights.mean()), weights])
        self._table = _Table(list(tokens), index, weights)

    def _checked_weights(self, weights, count: int):
        if self.output_mode != "tf_idf":
            if weights is not None:
                self._fail(f"`idf_weights` are for output_mode='tf_idf'; this one is {self.output_mode!r}")
            return None
        if weights is None:
            self._fail("for output_mode='tf_idf' a vocabulary comes with `idf_weights`, one for each token")
        array = np.asarray(weights, "float64")
        if array.shape != (count,) or not np.isfinite(array).all():
            self._fail(f"`idf_weights` are {count} finite numbers, one for each token of the vocabulary; got an array "
                       f"of shape {array.shape}")
        return array

    def _known(self) -> "_Table":
        if self._table is None:
            text = self.describe()
            raise NotReadyError(f"{text[0].upper()}{text[1:]} has no vocabulary yet: call adapt(data) on it before the "
                                f"model is used, or give it one: vocabulary=[...].")
        return self._table

    @property
    def _oov(self) -> int:
        """The first index for unknown tokens."""
        return int(self.mask_token is not None and self.output_mode == "int")

    @property
    def _first(self) -> int:
        """The index of the first token of the vocabulary."""
        return self._oov + self.num_oov_indices

    def _special(self) -> list:
        return [self.mask_token] * self._oov + [self.oov_token] * self.num_oov_indices

    # From tokens to numbers.

    def look_up(self, tokens: Iterable) -> list[int]:
        """The index of each token; -1 for those that count for nothing."""
        index = self._known().index
        if self.num_oov_indices == 1:
            return [index.get(token, self._oov) for token in tokens]
        return [index[token] if token in index else self._unknown(token) for token in tokens]

    def _unknown(self, token) -> int:
        if not self.num_oov_indices:
            raise DataError(f"{token!r} is not in the vocabulary of {self.describe()}, and num_oov_indices=0 leaves no "
                            f"index for what is unknown. Use num_oov_indices=1.")
        return self._oov + self.bucket(token)

    @property
    def depth(self) -> int:
        """How many numbers a row has in the modes that count tokens."""
        return self.max_tokens if self.pad_to_max_tokens else self.vocabulary_size()

    def counted(self, rows: np.ndarray, indices: np.ndarray, count: int) -> np.ndarray:
        """How often each token comes in each of `count` rows, weighted or cut to 1 as the mode says: `(count, depth)`.

        Args:
            rows, indices: the row and the index of every token.
        """
        return self._weighted(count_indices(rows, indices, count, self.depth, self.output_mode))

    def _weighted(self, counts: np.ndarray) -> np.ndarray:
        if self.output_mode == "tf_idf":
            weights = self._known().weights.astype("float32")
            counts[..., : len(weights)] *= weights
        return counts

    # Settings.

    def get_config(self) -> dict[str, Any]:
        config = dict(super().get_config())
        if self._table is not None:
            config["vocabulary"] = self.get_vocabulary()
            if self._table.weights is not None:
                config["idf_weights"] = self._table.weights.tolist()
        return config

    @classmethod
    def from_config(cls, config):
        if isinstance(config.get("vocabulary"), str):  # a model's file does not say which other files are read
            raise SettingError(f"{cls.__name__}: the settings name the file {config['vocabulary']!r}; a vocabulary "
                               f"stands in the settings itself.")
        return super().from_config(config)

    def __repr__(self) -> str:
        config = self.get_config()
        if self._table is not None:
            config["vocabulary"] = f"<{self.vocabulary_size():,} tokens>"
            config.pop("idf_weights", None)
        text = lambda name, value: value if name == "vocabulary" and value else repr(value)
        return f"{type(self).__name__}({', '.join(f'{name}={text(name, value)}' for name, value in config.items())})"

    def _check_settings(self) -> None:
        if self.output_mode not in self.modes:
            self._fail(f"there is no output mode {self.output_mode!r}. {did_you_mean(self.output_mode, self.modes)}",
                       end="")
        if isinstance(self.num_oov_indices, bool) or not isinstance(self.num_oov_indices, int) or (
                self.num_oov_indices < 0):
            self._fail(f"`num_oov_indices` is 0 or a positive integer; got {self.num_oov_indices!r}")
        if self.max_tokens is not None:
            check_count(self, "max_tokens", self.max_tokens)
            if self.max_tokens <= self._first:
                self._fail(f"`max_tokens` counts {self._first} special ones, so it is at least {self._first + 1}; got "
                           f"{self.max_tokens}")
        elif self.pad_to_max_tokens:
            self._fail("`pad_to_max_tokens` needs `max_tokens`")

    def _fail(self, problem: str, end: str = "."):
        raise SettingError(f"{type(self).__name__}: {problem}{end}")


class _Lookup(VocabularyLayer):
    """What `StringLookup` and `IntegerLookup` share: every entry is a token."""

    def __init__(self, max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert,
                 output_mode, pad_to_max_tokens, **kwargs):
        self.invert = invert
        super().__init__(max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, output_mode,
                         pad_to_max_tokens, **kwargs)
        if invert and output_mode != "int":
            self._fail(f"`invert` goes back from indices, so output_mode is 'int'; got {output_mode!r}")

    def documents(self, array):
        return iter(array.reshape(len(array), math.prod(array.shape[1:])).tolist())

    def prepare(self, array):
        indices = np.array(self.look_up(array.ravel().tolist()), "int32").reshape(array.shape)
        if self.output_mode == "int":
            return indices
        return self._weighted(encode(indices, self.depth, self.output_mode))

    def prepared(self, shape):
        if self.output_mode == "int":
            return tuple(shape), "int32"
        return encoded_shape(shape, self.depth, self.output_mode), None

    def answer(self, array):
        return self._inverted(array) if self.invert else self.prepare(array)

    def _inverted(self, indices: np.ndarray) -> np.ndarray:
        """The tokens of indices; those that are none become `oov_token`."""
        vocabulary = self.get_vocabulary()
        known = lambda index: vocabulary[index] if 0 <= index < len(vocabulary) else self.oov_token
        return np.array([known(index) for index in indices.ravel().tolist()]).reshape(indices.shape)

    def _recorded(self, symbol):
        if self.invert:
            raise SettingError(f"{type(self).__name__}(invert=True) gives tokens, with which no network computes. Call "
                               f"it on what a model puts out: lookup(indices).")
        return super()._recorded(symbol)


class StringLookup(_Lookup):
    """Strings as their index in a vocabulary: `y = place of x`, for categories such as names of cities.

    The indices begin with that of `mask_token`, where there is one, then come `num_oov_indices` for strings that the
    vocabulary does not have, then its own. In the modes that count, the mask has no index and counts for nothing:

        one_hot:   y[..., i] = 1 where x[...] has the index i
        multi_hot: y[..., i] = 1 where any of x[..., :] has the index i
        count:     y[..., i] = how many of x[..., :] have the index i
        tf_idf:    the count times idf[i], idf = log(1 + rows / (1 + rows with the token))

    `adapt` orders the vocabulary by frequency, equally frequent strings in falling order. In a network it stands
    directly behind an `Input(shape, dtype="string")` and works before the compiled program begins.

    Shapes: any to the same, in `int32`; for other output modes as `CategoryEncoding`.

    Args:
        max_tokens: how many indices there are at most, special ones included; the rarest strings are left out.
        num_oov_indices: how many indices unknown strings share, by a hash; with 0 they are an error.
        mask_token: the string that stands for none.
        oov_token: what `invert` gives for unknown strings.
        vocabulary: the strings in order, where they are known, or the path of a text file with one on each line.
        idf_weights: for `"tf_idf"`, the weight of each string of the vocabulary.
        invert: whether to give the strings of indices; not in a network, which has no strings.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"`, `"count"` or `"tf_idf"`.
        pad_to_max_tokens: whether rows have `max_tokens` numbers also where the vocabulary is smaller.

    Raises:
        NotReadyError: there is no vocabulary yet.
        DataError: an entry is missing or is no string, or unknown where `num_oov_indices=0`.

    Reference: Spärck Jones, A Statistical Interpretation of Term Specificity and its Application in Retrieval (1972).

    Example:
        >>> lookup = StringLookup()
        >>> lookup.adapt(["Rome", "Oslo", "Rome"])
        >>> lookup.get_vocabulary(), lookup(["Oslo", "Lima"]).tolist()
        (['[UNK]', 'Rome', 'Oslo'], [2, 0])
    """

    prepares, needs = ("string",), "text"

    def __init__(self, max_tokens: int | None = None, num_oov_indices: int = 1, mask_token: str | None = None,
                 oov_token: str = "[UNK]", vocabulary: Any = None, idf_weights: Any = None, invert: bool = False,
                 output_mode: str = "int", pad_to_max_tokens: bool = False, **kwargs):
        super().__init__(max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert,
                         output_mode, pad_to_max_tokens, **kwargs)

    def read(self, data, name):
        if self.invert:
            return read_integers(data, name, self.describe())
        return read_texts(data, name, self.describe())

    def token(self, entry):
        return str(entry) if isinstance(entry, str) else None

    def bucket(self, token):
        return int.from_bytes(hashlib.blake2b(token.encode(), digest_size=8).digest(), "little") % self.num_oov_indices


class IntegerLookup(_Lookup):
    """Integers of any size as their index in a vocabulary: `y = place of x`, for numbers that are names, as codes are.

    Indices, output modes and the order of the vocabulary are those of `StringLookup`; several indices for unknown
    integers are shared by their remainder. In a network it stands directly behind an `Input(shape, dtype="int64")` and
    works before the compiled program begins, so all 64 bits count.

    Shapes: any to the same, in `int32`; for other output modes as `CategoryEncoding`.

    Args:
        max_tokens: how many indices there are at most, special ones included; the rarest integers are left out.
        num_oov_indices: how many indices unknown integers share; with 0 they are an error.
        mask_token: the integer that stands for none.
        oov_token: what `invert` gives for unknown integers.
        vocabulary: the integers in order, where they are known, or the path of a text file with one on each line.
        idf_weights: for `"tf_idf"`, the weight of each integer of the vocabulary.
        invert: whether to give the integers of indices; not in a network.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"`, `"count"` or `"tf_idf"`.
        pad_to_max_tokens: whether rows have `max_tokens` numbers also where the vocabulary is smaller.

    Raises:
        NotReadyError: there is no vocabulary yet.
        DataError: an entry is missing or is no integer, or unknown where `num_oov_indices=0`.

    Reference: Spärck Jones, A Statistical Interpretation of Term Specificity and its Application in Retrieval (1972).

    Example:
        >>> lookup = IntegerLookup(vocabulary=[12, 1138, 42])
        >>> lookup([[12, 42], [42, 1000]]).tolist()
        [[1, 3], [3, 0]]
    """

    prepares, needs = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "int64"), "whole numbers"

    def __init__(self, max_tokens: int | None = None, num_oov_indices: int = 1, mask_token: int | None = None,
                 oov_token: int = -1, vocabulary: Any = None, idf_weights: Any = None, invert: bool = False,
                 output_mode: str = "int", pad_to_max_tokens: bool = False, **kwargs):
        super().__init__(max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert,
                         output_mode, pad_to_max_tokens, **kwargs)

    def read(self, data, name):
        return read_integers(data, name, self.describe())

    def token(self, entry):
        if isinstance(entry, str):  # a line of a file
            return int(entry) if entry.strip().removeprefix("-").isdecimal() else None
        return int(entry) if isinstance(entry, (int, np.integer)) and not isinstance(entry, bool) else None

    def bucket(self, token):
        return token % self.num_oov_indices


class _Table:
    """A vocabulary: its own tokens in order, the index of each token, and its weights; an object, so that the search
    for layers in attributes does not go through thousands of entries."""

    def __init__(self, tokens: list, index: dict, weights: np.ndarray | None):
        self.tokens, self.index, self.weights = tokens, index, weights


def encode(indices: np.ndarray, depth: int, mode: str) -> np.ndarray:
    """Indices as rows of zeros and ones, or of counts: what `CategoryEncoding` makes of them, by NumPy.

    Example:
        >>> encode(np.array([[0, 3, 3]]), 4, "count").tolist()
        [[1.0, 0.0, 0.0, 2.0]]
    """
    shape = encoded_shape(indices.shape, depth, mode)
    each = mode == "one_hot" or indices.ndim == 1
    rows = np.arange(indices.size) // (1 if each else max(indices.shape[-1], 1))
    return count_indices(rows, indices.ravel(), int(np.prod(shape[:-1])), depth, mode).reshape(shape)


def encoded_shape(shape, depth: int, mode: str) -> tuple:
    """The shape of what `encode` makes of indices of a shape."""
    keeps_all = len(shape) == 1 or (mode == "one_hot" and shape[-1] != 1)
    return (*(shape if keeps_all else shape[:-1]), depth)


def count_indices(rows: np.ndarray, indices: np.ndarray, count: int, depth: int, mode: str) -> np.ndarray:
    """How often each index comes in each of `count` rows: `(count, depth)`, cut to 1 where the mode says so.

    Args:
        rows, indices: the row and the index of every token; negative indices count for nothing.
    """
    real = indices >= 0
    places, times = np.unique(rows[real] * np.int64(depth) + indices[real], return_counts=True)
    counts = np.zeros((count, depth), "float32")
    counts.reshape(-1)[places] = 1 if mode in ("one_hot", "multi_hot") else times
    return counts


def _parts(data) -> Iterator:
    """Data to learn from, batch by batch."""
    if hasattr(data, "rows") and hasattr(data, "subset"):  # a `Source`, which is defined below the layers
        for start in range(0, len(data), ROWS_AT_A_TIME):
            yield data.rows(np.arange(start, min(start + ROWS_AT_A_TIME, len(data))))[0]
    elif hasattr(data, "__next__"):
        yield from data
    else:
        yield data


def _with_rows(array: np.ndarray) -> np.ndarray:
    return array if array.ndim else array[None]


def _read_lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except FileNotFoundError as error:
        raise MissingDataError(f"There is no vocabulary file {path!r}. A vocabulary is a list of tokens, or the path "
                               f"of a text file with one on each line.") from error


def _listed(vocabulary) -> list:
    """A vocabulary in any of the forms of a list."""
    if hasattr(vocabulary, "to_pylist"):
        return vocabulary.to_pylist()
    if isinstance(vocabulary, (list, tuple)):
        return list(vocabulary)
    return list(chain(np.asarray(vocabulary, object).ravel().tolist()))
