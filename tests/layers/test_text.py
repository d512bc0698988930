"""Text and categories as numbers: vocabularies, and layers that work before the compiled program begins."""
import copy
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import chainrule as cr
from chainrule.data import Source
from chainrule.errors import DataError, FileFormatError, MissingDataError, NotReadyError, SettingError, ShapeError
from chainrule.layers import (
    Concatenate,
    Dense,
    Embedding,
    GlobalAveragePooling1D,
    Hashing,
    IntegerLookup,
    StringLookup,
    TextVectorization,
)
from chainrule.models import load_model
from tests.helpers import rewritten

TEXTS = ["The cat sat.", "the dog sat!", "A bird, a bird"]
TOKENS = [["the", "cat", "sat"], ["the", "dog", "sat"], ["a", "bird", "a", "bird"]]
VOCABULARY = ["", "[UNK]", "the", "sat", "bird", "a", "dog", "cat"]  # by frequency, then from z to a, as in Keras


def adapted(**settings) -> TextVectorization:
    layer = TextVectorization(**settings)
    layer.adapt(TEXTS)
    return layer


def network(*layers, shape=(), dtype="string", seed=3):
    """A model that is never trained: its weights are drawn from a seed."""
    model = cr.Sequential([cr.Input(shape, dtype=dtype), *layers])
    model.variables(seed)
    return model


# The examples of Keras's documentation, whose own layers need TensorFlow.

def test_the_examples_of_keras():
    layer = TextVectorization(max_tokens=5000, output_mode="int", output_sequence_length=4)
    layer.adapt(["foo bar", "bar baz", "baz bada boom"])
    assert layer([["foo qux bar"], ["qux baz"]]).tolist() == [[4, 1, 3, 0], [1, 2, 0, 0]]
    layer = TextVectorization(vocabulary=["earth", "wind", "and", "fire"])
    assert layer.get_vocabulary() == ["", "[UNK]", "earth", "wind", "and", "fire"]

    data = [["a", "c", "d"], ["d", "z", "b"]]
    assert StringLookup(vocabulary=["a", "b", "c", "d"])(data).tolist() == [[1, 3, 4], [4, 0, 2]]
    lookup = StringLookup()
    lookup.adapt(data)
    assert lookup.get_vocabulary() == ["[UNK]", "d", "z", "c", "b", "a"]
    assert lookup(data).tolist() == [[5, 3, 1], [1, 2, 4]]
    encoded = StringLookup(vocabulary=["a", "b", "c", "d"], output_mode="one_hot")(["a", "b", "c", "d", "z"])
    np.testing.assert_array_equal(encoded, np.eye(5)[[1, 2, 3, 4, 0]])
    twice = [["a", "c", "d", "d"], ["d", "z", "b", "z"]]
    mode = lambda mode: StringLookup(vocabulary=["a", "b", "c", "d"], output_mode=mode)(twice).tolist()
    assert mode("multi_hot") == [[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]]
    assert mode("count") == [[0, 1, 0, 1, 2], [2, 0, 1, 0, 1]]
    lookup = StringLookup(output_mode="tf_idf")
    lookup.set_vocabulary(["a", "b", "c", "d"], idf_weights=[0.25, 0.75, 0.6, 0.4])
    np.testing.assert_allclose(lookup(twice), [[0, 0.25, 0, 0.6, 0.8], [1.0, 0, 0.75, 0, 0.4]], rtol=1e-6)
    lookup.set_vocabulary(["[UNK]", "a", "b", "c", "d"], idf_weights=[0.9, 0.25, 0.75, 0.6, 0.4])
    np.testing.assert_allclose(lookup(twice)[1], [1.8, 0, 0.75, 0, 0.4], rtol=1e-6)
    back = StringLookup(vocabulary=["a", "b", "c", "d"], invert=True)
    assert back([[1, 3, 4], [4, 0, 2]]).tolist() == [["a", "c", "d"], ["d", "[UNK]", "b"]]

    numbers = [[12, 1138, 42], [42, 1000, 36]]
    assert IntegerLookup(vocabulary=[12, 36, 1138, 42])(numbers).tolist() == [[1, 3, 4], [4, 0, 2]]
    lookup = IntegerLookup()
    lookup.adapt(numbers)
    assert lookup.get_vocabulary() == [-1, 42, 1138, 1000, 36, 12]
    two = IntegerLookup(vocabulary=[12, 36, 1138, 42], num_oov_indices=2)
    assert two([[12, 1138, 42], [37, 1000, 36]]).tolist() == [[2, 4, 5], [1, 0, 3]]
    assert IntegerLookup(vocabulary=[12, 36], invert=True)([[1, 0, 2]]).tolist() == [[12, -1, 36]]


def test_the_vocabulary_of_data():
    layer = adapted()
    assert layer.get_vocabulary() == VOCABULARY and layer.vocabulary_size() == 8
    assert layer.get_vocabulary(include_special_tokens=False) == VOCABULARY[2:]
    assert adapted(max_tokens=4).get_vocabulary() == VOCABULARY[:4]
    assert adapted(output_mode="count").get_vocabulary() == VOCABULARY[1:]
    batches = TextVectorization()
    batches.adapt(iter([TEXTS[:1], TEXTS[1:]]))
    assert batches.get_vocabulary() == VOCABULARY
    layer.adapt(["one"])  # learned anew
    assert layer.get_vocabulary() == ["", "[UNK]", "one"]


def test_modes_by_hand():
    words = VOCABULARY[1:]
    counts = np.array([[tokens.count(word) for word in words] for tokens in TOKENS], "float32")
    new, expected = "a cat, a zebra", [1, 0, 0, 0, 2, 0, 1]
    layer = adapted(output_mode="count")
    np.testing.assert_array_equal(layer(TEXTS), counts)
    assert layer([new]).tolist() == [expected]
    np.testing.assert_array_equal(adapted(output_mode="multi_hot")(TEXTS), counts > 0)
    holding = [sum(word in tokens for tokens in TOKENS) for word in words[1:]]
    idf = [math.log(1 + 3 / (1 + count)) for count in holding]
    weights = np.array([np.mean(idf), *idf])
    layer = adapted(output_mode="tf_idf")
    np.testing.assert_allclose(layer(TEXTS), counts * weights, rtol=1e-6)
    np.testing.assert_allclose(layer([new]), [np.array(expected) * weights], rtol=1e-6)
    assert adapted(output_mode="count", max_tokens=9, pad_to_max_tokens=True)(TEXTS).shape == (3, 9)
    padded = adapted(output_mode="tf_idf", max_tokens=9, pad_to_max_tokens=True)(TEXTS)
    np.testing.assert_allclose(padded, np.pad(counts * weights, ((0, 0), (0, 2))), rtol=1e-6)


@pytest.mark.parametrize(("settings", "text", "tokens"), [
    ({}, "Don't  STOP,\tnow!", ["dont", "stop", "now"]),
    ({"standardize": "lower"}, "Don't stop", ["don't", "stop"]),
    ({"standardize": "strip_punctuation"}, "Don't stop", ["Dont", "stop"]),
    ({"standardize": None}, "Ärger, Öl", ["Ärger,", "Öl"]),
    ({}, "Ärger ÖL", ["ärger", "öl"]),
    ({"split": "character"}, "Ab c", ["a", "b", " ", "c"]),
    ({"split": None}, "New York", ["new york"]),
    ({"ngrams": 2}, "a b c", ["a", "b", "c", "a b", "b c"]),
    ({"ngrams": (2, 3)}, "a b c", ["a b", "b c", "a b c"]),
    ({"ngrams": (3,)}, "a b", []),
    ({"standardize": np.char.upper}, "a b", ["A", "B"]),
    ({"standardize": None, "split": lambda text: text.split("|")}, "a b|c", ["a b", "c"]),
])
def test_tokens(settings, text, tokens):
    layer = TextVectorization(vocabulary=["x", *dict.fromkeys(tokens)], **settings)
    assert layer([text]).tolist() == [list(range(3, 3 + len(tokens))) or [0]]


def test_split_of_none_takes_columns_as_tokens():
    layer = TextVectorization(split=None, vocabulary=["a b", "c"])
    assert layer([["A b", "c"], ["c", "d"]]).tolist() == [[2, 3], [3, 1]]
    assert layer("a b").tolist() == [2]


def test_lengths():
    layer = adapted()
    assert layer(TEXTS).shape == (3, 4) and layer(["", " "]).tolist() == [[0], [0]]
    assert adapted(output_sequence_length=2)(TEXTS).tolist() == [[2, 7], [2, 6], [5, 4]]
    assert adapted(output_sequence_length=6)(TEXTS[:1]).tolist() == [[2, 7, 3, 0, 0, 0]]
    model = network(layer)
    lengths = {model.predict([" ".join(["cat"] * count)]).shape[1] for count in range(1, 129)}
    assert len(lengths) == 17 and max(lengths) == 128  # four a doubling, from 8 on


DATA = {
    "list": TEXTS, "column": [[text] for text in TEXTS], "str": np.array(TEXTS), "str column": np.array(TEXTS)[:, None],
    "object": np.array(TEXTS, object), "bytes": np.array([text.encode() for text in TEXTS]),
    "StringDType": np.array(TEXTS, np.dtypes.StringDType()), "tuple": tuple(TEXTS), "pandas": pd.Series(TEXTS),
    "pandas string": pd.Series(TEXTS, dtype="string"), "pandas categories": pd.Series(TEXTS, dtype="category"),
    "frame": pd.DataFrame({"text": TEXTS}), "pyarrow": pa.array(TEXTS),
    "chunked": pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
}


@pytest.mark.parametrize("shape", [(), (1,)])
def test_text_as_users_have_it(shape):
    layer = adapted(output_sequence_length=4)
    model, expected = network(layer, shape=shape), layer(TEXTS)
    for name, data in DATA.items():
        other = TextVectorization()
        other.adapt(data)
        assert other.get_vocabulary() == VOCABULARY, name
        np.testing.assert_array_equal(layer(data), expected, err_msg=name)
        np.testing.assert_array_equal(model.predict(data), expected, err_msg=name)
    np.testing.assert_array_equal(model(TEXTS), expected)
    np.testing.assert_array_equal(model.predict_on_batch(TEXTS), expected)
    assert model.output_shape == (None, 4) and layer(TEXTS[0]).tolist() == expected[0].tolist()


def test_the_model_begins_behind_the_layer():
    layer = adapted()
    model = network(layer, Embedding(8, 2), GlobalAveragePooling1D())
    weights, state = model.variables()
    outputs, _ = model.apply(weights, state, layer.prepare(np.array(TEXTS, object)))
    np.testing.assert_array_equal(outputs, model.predict(TEXTS))
    np.testing.assert_array_equal(copy.deepcopy(model).predict(TEXTS), outputs)
    assert model.get_layer("text_vectorization").get_vocabulary() == VOCABULARY


def test_padding_does_not_count():
    model = network(adapted(), Embedding(8, 3, mask_zero=True), GlobalAveragePooling1D())
    alone = model.predict(["the cat"])
    long = model.predict(["the cat", "a bird " * 40])
    np.testing.assert_allclose(long[:1], alone, rtol=1e-6)
    table = np.asarray(model.get_weights()[0])
    np.testing.assert_allclose(alone[0], table[[2, 7]].mean(0), rtol=1e-6)


def test_networks_in_networks():
    inner = network(adapted(), Embedding(8, 3, mask_zero=True), GlobalAveragePooling1D())
    inputs = cr.Input((1,), dtype="string")
    outer = cr.Model(inputs, inner(inputs))
    np.testing.assert_array_equal(outer.predict(TEXTS), inner.predict(TEXTS))
    # As Keras's users export a model that was trained on indices.
    body = cr.Sequential([cr.Input((None,)), *(view.layer for view in inner.layers[1:])])
    exported = cr.Sequential([adapted(), body])
    np.testing.assert_allclose(exported.predict(TEXTS), inner.predict(TEXTS), rtol=1e-6)


def test_several_inputs(tmp_path):
    text, city, code = cr.Input((), "string", "text"), cr.Input((1,), "string", "city"), cr.Input((2,), "int64", "code")
    parts = [adapted(output_mode="count")(text), StringLookup(vocabulary=["Rome", "Oslo"], output_mode="one_hot")(city),
             IntegerLookup(vocabulary=[5, 1 << 40], output_mode="multi_hot")(code)]
    model = cr.Model([text, city, code], Concatenate()(parts))
    x = {"text": TEXTS, "city": ["Oslo", "Lima", "Rome"], "code": np.array([[5, 5], [1 << 40, 6], [7, 8]])}
    expected = np.concatenate([adapted(output_mode="count")(TEXTS), np.eye(3)[[2, 0, 1]],
                               [[0, 1, 0], [1, 0, 1], [1, 0, 0]]], axis=1)
    np.testing.assert_array_equal(model.predict(x), expected)
    np.testing.assert_array_equal(model.predict(list(x.values())), expected)
    model.save(tmp_path / "model.chain")
    np.testing.assert_array_equal(load_model(tmp_path / "model.chain").predict(x), expected)
    assert model.output_shape == (None, 7 + 3 + 3)


def test_hashing_of_text_in_a_network():
    cities = ["Rome", "Oslo", "Rome"]
    codes = Hashing(50)(np.array(cities))
    np.testing.assert_array_equal(network(Hashing(50)).predict(cities), codes)
    one_hot = network(Hashing(50, output_mode="one_hot"), shape=(1,))
    np.testing.assert_array_equal(one_hot.predict(cities), np.eye(50)[codes])
    np.testing.assert_array_equal(Hashing(50)(pa.array(cities)), codes)


def test_lookups():
    masked = StringLookup(vocabulary=["a", "b"], mask_token="")
    assert masked.get_vocabulary() == ["", "[UNK]", "a", "b"]
    assert masked([["a", ""], ["z", "b"]]).tolist() == [[2, 0], [1, 3]]
    counted = StringLookup(vocabulary=["a", "b"], mask_token="", output_mode="count")
    assert counted([["a", ""], ["z", "b"]]).tolist() == [[0, 1, 0], [1, 0, 1]]
    several = StringLookup(vocabulary=["a"], num_oov_indices=3)
    unknown = several([chr(letter) for letter in range(ord("b"), ord("z"))])
    assert set(unknown.tolist()) == {0, 1, 2} and several("a") == 3
    assert several(["x", "y"]).tolist() == StringLookup(vocabulary=["a"], num_oov_indices=3)(["x", "y"]).tolist()
    strict = StringLookup(vocabulary=["a", "b"], num_oov_indices=0)
    assert strict.get_vocabulary() == ["a", "b"] and strict(["b", "a"]).tolist() == [1, 0]


class Reviews(Source):
    """Texts that are read a few at a time."""

    in_memory = False

    def __len__(self):
        return 30

    def rows(self, indices):
        return np.array([TEXTS[index % 3] for index in indices], object), indices % 3


def test_sources_of_text():
    layer = TextVectorization(output_sequence_length=5)
    layer.adapt(Reviews())
    assert layer.get_vocabulary() == VOCABULARY
    histories = []
    for in_memory in (False, True):
        source = Reviews()
        source.in_memory = in_memory
        body = Embedding(8, 2, mask_zero=True), GlobalAveragePooling1D(), Dense(3, activation="softmax")
        model = network(layer, *body)
        model.compile("sgd", "sparse_categorical_crossentropy")
        histories.append(model.fit(source, batch_size=7, epochs=2, verbose=0, seed=1).history["loss"])
    assert histories[0] == histories[1]
    np.testing.assert_array_equal(model.predict(Reviews()), model.predict(Reviews().load()[0]))
    model = network(TextVectorization(vocabulary=["cat"], name="words"), Embedding(3, 1), GlobalAveragePooling1D())
    model.compile("sgd", "mse")
    with pytest.raises(SettingError) as error:
        model.fit(Reviews(), verbose=0)
    assert str(error.value) == (
        "Layer 'words' (TextVectorization) pads the texts to the longest of the data at hand, and the Reviews is read "
        "chunk by chunk, of which each has another. Give the layer a length: output_sequence_length=...; or load all "
        "rows: x, y = source.load().")


@pytest.mark.parametrize("mode", ["int", "count", "tf_idf"])
def test_files(mode, tmp_path):
    model = network(adapted(output_mode=mode, ngrams=(1, 2)))
    model.save(tmp_path / "model.chain")
    again = load_model(tmp_path / "model.chain")
    assert again.predict(TEXTS).tobytes() == model.predict(TEXTS).tobytes()
    assert again.get_layer(index=0).get_vocabulary() == model.get_layer(index=0).get_vocabulary()


def test_a_large_vocabulary(tmp_path):
    words = [f"word{index}" for index in range(20_000)]
    layer = TextVectorization(output_mode="tf_idf", vocabulary=words, idf_weights=np.linspace(1, 2, 20_000))
    assert len(repr(layer)) < 200
    model = network(layer)
    model.save(tmp_path / "model.chain")
    text = ["word19999 word5 word5 other"]
    np.testing.assert_array_equal(load_model(tmp_path / "model.chain").predict(text), model.predict(text))


def test_a_vocabulary_in_a_file_of_its_own(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("cat\ndog\n")
    model = network(TextVectorization(vocabulary=str(path)))
    model.save(tmp_path / "model.chain")
    path.unlink()
    assert load_model(tmp_path / "model.chain").get_layer(index=0).get_vocabulary() == ["", "[UNK]", "cat", "dog"]

    def point(description):  # a file that names another would be a way to read it
        settings = description["model"]["settings"]["layers"][0]["settings"]
        settings["vocabulary"] = str(path)

    rewritten(tmp_path / "model.chain", point)
    with pytest.raises(FileFormatError, match="a vocabulary stands in the settings itself"):
        load_model(tmp_path / "model.chain")


NAMED = {"name": "words"}


def fitted(x, **settings):
    return network(TextVectorization(vocabulary=["cat"], **NAMED, **settings)).predict(x)


@pytest.mark.parametrize(("make", "kind", "message"), [
    (lambda: network(TextVectorization(**NAMED)).predict(TEXTS), NotReadyError,
     "Layer 'words' (TextVectorization) has no vocabulary yet: call adapt(data) on it before the model is used, or "
     "give it one: vocabulary=[...]."),
    (lambda: network(StringLookup(output_mode="one_hot")), NotReadyError,
     "The layer StringLookup has no vocabulary yet: call adapt(data) on it before the model is used, or give it one: "
     "vocabulary=[...]."),
    (lambda: network(Dense(3), shape=(2,), dtype=None).predict(["a", "b"]), DataError,
     "x holds text: 'a' in row 0. A network takes text where it begins with Input((), dtype='string') and "
     "layers.TextVectorization, or layers.StringLookup for categories."),
    (lambda: cr.Sequential([Dense(3)]).predict(pd.Series(["a", "b"])), DataError,
     "x holds text: 'a' in row 0. A network takes text where it begins with Input((), dtype='string') and "
     "layers.TextVectorization, or layers.StringLookup for categories."),
    (lambda: Dense(3)(cr.Input((1,), dtype="string")), SettingError,
     "The layer Dense computes with numbers, and its input is text. Put a layer between that turns it into numbers: "
     "TextVectorization for sentences, StringLookup or Hashing for categories."),
    (lambda: network(Dense(3), shape=(1,), dtype=None)(cr.Input((1,), dtype="string")), SettingError,
     "The layer Sequential computes with numbers, and its input is text. Put a layer between that turns it into "
     "numbers: TextVectorization for sentences, StringLookup or Hashing for categories."),
    (lambda: network(TextVectorization(**NAMED), shape=(1,), dtype=None), SettingError,
     "Layer 'words' (TextVectorization) takes text, and its Input has the dtype of the network. It stands directly "
     "behind an Input((), dtype='string')."),
    (lambda: network(Dense(1, name="first"), IntegerLookup(vocabulary=[3], **NAMED), shape=(1,), dtype=None),
     SettingError,
     "Layer 'words' (IntegerLookup) works before the compiled program begins, so it stands directly behind an "
     "Input((1,), dtype='int64'); here it stands behind layer 'first' (Dense)."),
    (lambda: network(TextVectorization(), shape=(2,)), ShapeError,
     "TextVectorization takes one text a row, Input((), dtype='string') or Input((1,), dtype='string'); got rows of "
     "shape (2,)."),
    (lambda: network(StringLookup(vocabulary=["a"], invert=True)), SettingError,
     "StringLookup(invert=True) gives tokens, with which no network computes. Call it on what a model puts out: "
     "lookup(indices)."),
    (lambda: fitted([1, 2]), DataError,
     "x holds the number 1 in row 0, and layer 'words' (TextVectorization) takes text. Numbers that stand for "
     "categories become text by [str(value) for value in x]."),
    (lambda: fitted(np.array([[1.5]])), DataError,
     "x holds the number 1.5 in row 0, column 0, and layer 'words' (TextVectorization) takes text. Numbers that stand "
     "for categories become text by [str(value) for value in x]."),
    (lambda: fitted(pd.Series(["a", None, "b", np.nan], dtype=object)), DataError,
     "x has 2 missing entries, the first None in row 1. Leave such rows out, or fill them: x.fillna('') for text in a "
     "column of pandas."),
    (lambda: fitted(pd.Series(["a", pd.NA], dtype="string")), DataError,
     "x has 1 missing entry: <NA> in row 1. Leave such rows out, or fill them: x.fillna('') for text in a column of "
     "pandas."),
    (lambda: fitted("a cat"), DataError,
     "x is one entry, and a model takes rows: give a list of them, ['a cat']."),
    (lambda: fitted([["a"], ["b", "c"]]), DataError,
     "x holds something other than text: ['a'] (list) in row 0. Layer 'words' (TextVectorization) takes text: a list "
     "of strings, or an array or a column of them."),
    (lambda: fitted([["a", "b"]]), ShapeError, "The input of the model has shape (1, 2); expected (None,)."),
    (lambda: fitted([]), DataError, "x[0] has no rows; its shape is (0, 8)."),
    (lambda: fitted([b"\xff"]), DataError,
     "x holds bytes that are no UTF-8 text ('utf-8' codec can't decode byte 0xff in position 0: invalid start byte). "
     "Decode them first: [entry.decode('latin-1') for entry in x]."),
    (lambda: IntegerLookup(vocabulary=[1])([1.5]), DataError,
     "x holds 1.5 in row 0, and the layer IntegerLookup takes whole numbers of 64 bits. For text use StringLookup; "
     "floating-point numbers that are whole become integers by numpy.asarray(x).astype('int64')."),
    (lambda: StringLookup(vocabulary=["a"], num_oov_indices=0)(["b"]), DataError,
     "'b' is not in the vocabulary of the layer StringLookup, and num_oov_indices=0 leaves no index for what is "
     "unknown. Use num_oov_indices=1."),
    (lambda: TextVectorization().adapt(["", "..."]), DataError,
     "TextVectorization.adapt: the data hold no tokens, 2 rows in all."),
    (lambda: TextVectorization(vocabulary=["a", "a"]), SettingError,
     "TextVectorization: a vocabulary has every token once; 'a' comes 2 times."),
    (lambda: TextVectorization(vocabulary=[1]), SettingError,
     "TextVectorization: a vocabulary holds text; got 1 at place 0."),
    (lambda: TextVectorization(vocabulary=[]), SettingError, "TextVectorization: the vocabulary has no tokens."),
    (lambda: TextVectorization(vocabulary=["a", ""]), SettingError,
     "TextVectorization: the vocabulary holds '', which stands for no token. Leave it out, or begin the vocabulary "
     "with ['', '[UNK]']."),
    (lambda: TextVectorization(max_tokens=3, vocabulary=["a", "b"]), SettingError,
     "TextVectorization: the vocabulary has 4 tokens, 2 special ones included; max_tokens=3."),
    (lambda: TextVectorization(max_tokens=2), SettingError,
     "TextVectorization: `max_tokens` counts 2 special ones, so it is at least 3; got 2."),
    (lambda: TextVectorization(vocabulary="/nowhere/words.txt"), MissingDataError,
     "There is no vocabulary file '/nowhere/words.txt'. A vocabulary is a list of tokens, or the path of a text file "
     "with one on each line."),
    (lambda: TextVectorization(output_mode="tf_idf", vocabulary=["a"]), SettingError,
     "TextVectorization: for output_mode='tf_idf' a vocabulary comes with `idf_weights`, one for each token."),
    (lambda: TextVectorization(vocabulary=["a"], idf_weights=[1.0]), SettingError,
     "TextVectorization: `idf_weights` are for output_mode='tf_idf'; this one is 'int'."),
    (lambda: TextVectorization(output_mode="tf_idf", vocabulary=["a"], idf_weights=[1.0, 2.0]), SettingError,
     "TextVectorization: `idf_weights` are 1 finite numbers, one for each token of the vocabulary; got an array of "
     "shape (2,)."),
    (lambda: TextVectorization(output_mode="tfidf"), SettingError,
     "TextVectorization: there is no output mode 'tfidf'. Did you mean 'tf_idf'?"),
    (lambda: TextVectorization(standardize="lowercase"), SettingError,
     "TextVectorization: `standardize` is a name, a function or None; got 'lowercase'. Did you mean 'lower'?"),
    (lambda: TextVectorization(ngrams=0), SettingError,
     "TextVectorization: `ngrams` is a positive integer, a tuple of them, or None; got 0."),
    (lambda: TextVectorization(output_mode="count", output_sequence_length=3), SettingError,
     "TextVectorization: `output_sequence_length` is for output_mode='int'; this one is 'count'."),
    (lambda: TextVectorization(pad_to_max_tokens=True), SettingError,
     "TextVectorization: `pad_to_max_tokens` needs `max_tokens`."),
    (lambda: TextVectorization(split=lambda text: [1], vocabulary=["a"])(["a"]), SettingError,
     "TextVectorization: the functions `standardize` and `split` take one text each, and give a text and a list of "
     "texts; got 1."),
])
def test_what_is_refused(make, kind, message):
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == message


def test_an_input_for_two():
    inputs = cr.Input((), dtype="string")
    counts = TextVectorization(vocabulary=["a"], output_mode="count", name="counts")(inputs)
    with pytest.raises(SettingError) as error:
        cr.Model(inputs, [counts, Hashing(5, output_mode="one_hot")(inputs)])
    assert str(error.value) == (
        "The input of layer 'counts' (TextVectorization) goes into 2 layers. It is prepared before the compiled "
        "program begins, for that one alone: give each an Input of its own, and the data to both.")


def test_a_vocabulary_that_grew_after_the_model_was_made():
    layer = adapted(output_mode="count")
    model = network(layer)
    layer.adapt(["one more word"])
    with pytest.raises(ShapeError) as error:
        model.predict(TEXTS)
    assert str(error.value) == (
        "The input of what follows the layer TextVectorization has shape (3, 4); expected (None, 7). Axis 1 holds 4 "
        "instead of 7.")
