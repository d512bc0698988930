"""Writing: what is written is what running the model anew over the last tokens gives, whatever the model."""
import copy

import jax
import numpy as np
import pytest
from helpers import assert_same_bytes, compilations

import chainrule as cr
from chainrule import text
from chainrule.errors import DataError, NotFiniteError, NotReadyError, SettingError, ShapeError
from chainrule.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    Add,
    AdditiveAttention,
    BatchNormalization,
    Bidirectional,
    Concatenate,
    Conv1D,
    Dense,
    Dropout,
    EinsumDense,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GroupQueryAttention,
    GRUCell,
    Layer,
    LayerNormalization,
    LSTMCell,
    MultiHeadAttention,
    PositionEmbedding,
    Residual,
    SeparableConv1D,
    SimpleRNN,
    SinePositionEncoding,
    TimeDistributed,
    TokenAndPositionEmbedding,
    TransformerBlock,
)
from chainrule.layers.binding import seed_words
from chainrule.ops import random
from chainrule.text import CharacterVocabulary
from chainrule.text.sampling import Choice, choose

VOCABULARY = CharacterVocabulary("\n abcdefgh")
TOKENS = len(VOCABULARY)
CONTEXT = 6
drawn = jax.jit(choose)


def tokens(length=None, rows=None):
    return cr.Input(batch_shape=(rows, length), dtype="int32")


def sequential(*layers, length=None, rows=None):
    return cr.Sequential([tokens(length, rows), *layers])


def functional(connect, length=None):
    x = tokens(length)
    return cr.Model(x, connect(x))


def with_attention(x):
    """Self-attention as an own layer of the graph, with a shortcut, and positions that are added."""
    h = Embedding(TOKENS, 8)(x)
    h = h + PositionEmbedding(CONTEXT)(h)
    h = LayerNormalization()(Add()([h, MultiHeadAttention(2, 4)(h, use_causal_mask=True)]))
    h = h + GroupQueryAttention(4, 2, 1, rotary=True)(h, h, use_causal_mask=True)
    return Dense(TOKENS)(h)


def with_branches(x):
    h = Embedding(TOKENS, 6)(x)
    both = Concatenate()([GRU(5, return_sequences=True)(h), 0.5 * Conv1D(4, 3, padding="causal")(h)])
    return Dense(TOKENS)(Residual([Dense(9, "relu"), LSTM(9, return_sequences=True)])(both))


def with_a_last_output(x):
    """What follows the last output of a sequence is no sequence: a normalisation over its axis 1 is of features."""
    h = LSTM(7)(Embedding(TOKENS, 6)(x))
    return Dense(TOKENS)(Concatenate(axis=1)([LayerNormalization(axis=1)(h), Dense(3)(h)]))


class OwnCausal(Layer):
    """A layer of a user's own, which nothing is known of: means of what came so far."""

    def call(self, x):
        return x.cumsum(1) / np.arange(1, x.shape[1] + 1)[:, None]


class OwnModel(cr.Model):
    """A model with a call of its own."""

    def __init__(self):
        super().__init__()
        self.table, self.head = Embedding(TOKENS, 6), Dense(TOKENS)

    def call(self, x):
        h = self.table(x)
        return self.head(h.cumsum(1))


# By name: a function that makes the model, how many tokens it sees at most, whether its windows are always full.
MODELS = {
    "bigrams": (lambda: sequential(Embedding(TOKENS, TOKENS)), None, False),
    "LSTM, stacked and nested": (
        lambda: sequential(Embedding(TOKENS, 8), LSTM(8, return_sequences=True), Dropout(0.5), BatchNormalization(),
                           sequential_of_features(8), TimeDistributed(Dense(TOKENS))), None, False),
    "cells": (lambda: sequential(Embedding(TOKENS, 8), RNN([LSTMCell(5), GRUCell(6)], return_sequences=True),
                                 EinsumDense("btf,fg->btg", (None, TOKENS), bias_axes="g")), None, False),
    "causal convolutions": (
        lambda: sequential(Embedding(TOKENS, 8), Conv1D(8, 3, padding="causal", dilation_rate=2, activation="relu"),
                           SeparableConv1D(8, 2, padding="causal"), Dense(TOKENS)), None, False),
    "branches and shortcuts": (lambda: functional(with_branches), None, False),
    "one output": (lambda: functional(with_a_last_output), None, False),
    "Transformer with a table of positions": (
        lambda: sequential(TokenAndPositionEmbedding(TOKENS, CONTEXT, 8), TransformerBlock(2, causal=True),
                           TransformerBlock(2, causal=True, normalize_first=False), Dense(TOKENS)), CONTEXT, False),
    "Transformer with waves, of a length": (
        lambda: functional(lambda x: Dense(TOKENS)(TransformerBlock(2, causal=True)(
            (lambda h: h + SinePositionEncoding()(h))(Embedding(TOKENS, 8)(x)))), length=CONTEXT), CONTEXT, False),
    "Transformer that turns": (
        lambda: sequential(Embedding(TOKENS, 8), TransformerBlock(2, causal=True, rotary=True), Dense(TOKENS)),
        None, False),
    "attention by itself": (lambda: functional(with_attention), CONTEXT, False),
    "one output for a window": (
        lambda: sequential(Embedding(TOKENS, 8), LSTM(8), Dense(TOKENS, "softmax"), length=CONTEXT), CONTEXT, True),
    "words in a bag": (lambda: sequential(Embedding(TOKENS, 8), GlobalAveragePooling1D(), Dense(TOKENS),
                                          length=CONTEXT), CONTEXT, True),
    "both directions": (
        lambda: sequential(Embedding(TOKENS, 8), Bidirectional(GRU(5, return_sequences=True)), Dense(TOKENS),
                           length=CONTEXT), CONTEXT, True),
    "a block that sees all": (
        lambda: sequential(Embedding(TOKENS, 8), TransformerBlock(2), Dense(TOKENS), length=CONTEXT), CONTEXT, True),
    "a layer of one's own": (lambda: sequential(Embedding(TOKENS, 8), OwnCausal(), Dense(TOKENS)), None, False),
    "a layer of one's own, of a length": (
        lambda: sequential(Embedding(TOKENS, 8), OwnCausal(), Dense(TOKENS), length=CONTEXT), CONTEXT, False),
}


def sequential_of_features(size):
    return cr.Sequential([cr.Input((None, size)), LSTM(size, return_sequences=True), Activation("tanh")])


def randomised(model, seed=0):
    """The model with weights large enough that what it writes depends on all that it has read."""
    draw = np.random.default_rng(seed)
    weights, state = jax.eval_shape(model.init, jax.random.key(0))
    numbers = lambda leaf: draw.normal(0, 0.7, leaf.shape).astype("float32")
    model.set_variables(jax.tree.map(numbers, weights), jax.tree.map(lambda leaf: numbers(leaf) ** 2, state))
    return model


def run_anew(model, prompt, length, choice, seed=0, limit=None, is_full=False):
    """The same text by running the whole model over the last tokens for each that is added."""
    text = VOCABULARY.encode(prompt).tolist()
    for position in range(len(text), len(text) + length):
        seen = text[-limit:] if limit else text
        if is_full:
            seen = [0] * (limit - len(seen)) + seen
        last = len(seen) - 1
        if len(model.output_shape) == 3:  # later tokens do not count: one shape for all
            seen = seen + [0] * ((limit or 16) - len(seen))
        y = model.predict(np.array([seen]))
        logits = y[:, last] if y.ndim == 3 else y
        if logits.min() >= 0 and abs(logits.sum() - 1) < 1e-4:
            logits = np.log(logits)
        key = random.fold_in(seed_words(seed), position)
        text.append(int(drawn(logits, key, choice)[0]))
    return VOCABULARY.decode(text)


@pytest.mark.parametrize("name", MODELS)
def test_as_running_the_model_anew(name):
    make, limit, is_full = MODELS[name]
    model = randomised(make())
    length = 3 if name == "one output" else 10  # there each length is run by a program of its own
    greedy = text.generate(model, VOCABULARY, "abc", length=length, temperature=0)
    assert greedy == run_anew(model, "abc", length, Choice(0.0, TOKENS, 1.0), 0, limit, is_full)
    sampled = text.generate(model, VOCABULARY, "abc", length=length, temperature=1.5, top_k=7, top_p=0.9, seed=5)
    assert sampled == run_anew(model, "abc", length, Choice(1.5, 7, 0.9), 5, limit, is_full)
    if limit is not None:
        assert text.generate(model, VOCABULARY, "abcdefgh", length=2, seed=1) == run_anew(
            model, "abcdefgh", 2, Choice(1.0, TOKENS, 1.0), 1, limit, is_full)




def test_recurrent_layers_go_on_beyond_the_length_of_their_input():
    layers = lambda: [Embedding(TOKENS, 8), LSTM(8, return_sequences=True), Dense(TOKENS)]
    model, free = randomised(sequential(*layers(), length=CONTEXT)), sequential(*layers())
    free.set_variables(*model.variables())
    assert text.generate(model, VOCABULARY, "abc", length=20) == text.generate(free, VOCABULARY, "abc", length=20)


@pytest.mark.parametrize("window", [None, 4])
def test_stateful_layers_begin_with_zeros_and_keep_what_they_have(window):
    layers = lambda stateful: [Embedding(TOKENS, 8), GRU(8, return_sequences=True, stateful=stateful), Dense(TOKENS)]
    model, free = sequential(*layers(True), length=CONTEXT, rows=3), sequential(*layers(False), length=CONTEXT)
    before = randomised(model).variables()
    free.set_variables(before[0], {})
    settings = {"prompt": "abc", "length": 9, "window": window}
    assert text.generate(model, VOCABULARY, **settings) == text.generate(free, VOCABULARY, **settings)
    assert_same_bytes(model.variables(), before)


def test_a_shorter_window():
    model = randomised(sequential(Embedding(TOKENS, 8), SimpleRNN(8, return_sequences=True), Dense(TOKENS)))
    assert text.generate(model, VOCABULARY, "ab", length=8, window=4) == run_anew(
        model, "ab", 8, Choice(1.0, TOKENS, 1.0), limit=4)


def test_tokens_as_vectors():
    """As the oldest character networks take them: the same network with the embedding inside."""
    model = randomised(cr.Sequential([cr.Input((None, TOKENS)), LSTM(8), Dense(TOKENS, "softmax")]))
    x = tokens()
    same = cr.Model(x, model(Embedding(TOKENS, TOKENS, weights=np.eye(TOKENS), name="one_hot")(x)))
    assert text.generate(model, VOCABULARY, "abc", length=9) == text.generate(same, VOCABULARY, "abc", length=9)


def test_a_model_with_a_call_of_its_own():
    model = OwnModel()
    model.build((None, CONTEXT))
    randomised(model)
    written = "ab"
    for position in range(2, 12):
        seen = VOCABULARY.encode(written[-CONTEXT:]).tolist()
        logits = model(np.array([seen + [0] * (CONTEXT - len(seen))]))[:, len(seen) - 1]
        key = random.fold_in(seed_words(0), position)
        written += VOCABULARY.decode([int(drawn(logits, key, Choice(1.0, TOKENS, 1.0))[0])])
    assert text.generate(model, VOCABULARY, "ab", length=10) == written


def writer(seed=0):
    return randomised(sequential(Embedding(TOKENS, 8), GRU(12, return_sequences=True), Dense(TOKENS)), seed)


def test_new_prompts_and_numbers_compile_nothing():
    attends = randomised(sequential(TokenAndPositionEmbedding(TOKENS, 8, 8), TransformerBlock(2, causal=True),
                                    Dense(TOKENS)))
    for model in (writer(), attends):
        text.generate(model, VOCABULARY, "ab", length=10)
        with compilations() as found:
            text.generate(model, VOCABULARY, "hgfedcba", length=40, temperature=0.3, top_k=3, top_p=0.5, seed=9)
            text.generate(model, VOCABULARY, "", length=3, temperature=0)
            "".join(text.stream(model, VOCABULARY, "a", length=300))
        assert found == []


def test_the_seed_decides_and_samples_differ():
    model = writer()
    write = lambda **settings: text.generate(model, VOCABULARY, "ab", length=30, **settings)
    assert write() == write(seed=0) != write(seed=1)
    several = write(samples=3)
    assert len(set(several)) == 3 and several[0] == write() and {len(one) for one in several} == {32}
    assert write(samples=2, temperature=0) == [write(temperature=0)] * 2
    assert write(top_k=1) == write(top_p=1e-6) == write(temperature=0)


def test_a_stream_is_the_text_in_pieces():
    model = writer()
    for settings in ({}, {"stop": "a"}, {"stop": ["gh", "bc"]}):
        written = text.generate(model, VOCABULARY, "ab", length=60, **settings)
        pieces = list(text.stream(model, VOCABULARY, "ab", length=60, **settings))
        assert "ab" + "".join(pieces) == written and len(pieces) > 1 and "" not in pieces


def test_where_to_stop():
    model = writer()
    whole = text.generate(model, VOCABULARY, "ab", length=60)[2:]
    for stop in (whole[7:9], whole[20], ["not there", whole[11:14]], whole[-2:]):
        stops = [stop] if isinstance(stop, str) else stop
        expected = whole[: min(whole.find(each) for each in stops if each in whole)]
        assert text.generate(model, VOCABULARY, "ab", length=60, stop=stop) == "ab" + expected
    assert text.generate(model, VOCABULARY, "ab", length=60, stop="not there") == "ab" + whole


def test_no_prompt_goes_on_from_the_end_of_a_line():
    model = writer()
    assert "\n" + text.generate(model, VOCABULARY, length=10) == text.generate(model, VOCABULARY, "\n", length=10)
    assert text.generate(model, VOCABULARY, length=0) == "" and text.generate(
        model, VOCABULARY, "ab", length=0, samples=2) == ["ab", "ab"]


def test_the_vocabulary_of_the_model_and_other_kinds():
    words = text.WordVocabulary(["the", "cat", "sat", ",", "."])
    model = randomised(sequential(Embedding(7, 8), GRU(8, return_sequences=True), Dense(7)))
    model.preparation = words
    pieces = list(text.stream(model, prompt="the", length=12, seed=3))
    assert "the" + "".join(pieces) == text.generate(model, prompt="the", length=12, seed=3)
    assert words.encode("the" + "".join(pieces))[0] == 2


def test_files_and_copies_leave_the_programs_behind(tmp_path):
    model = writer()
    model.preparation = VOCABULARY
    written = text.generate(model, prompt="ab", length=10)
    assert text.generate(copy.deepcopy(model), prompt="ab", length=10) == written
    model.save(tmp_path / "model.chain")
    assert text.generate(cr.models.load_model(tmp_path / "model.chain"), prompt="ab", length=10) == written


@pytest.mark.parametrize(("activation", "loss", "are_logits"), [
    (None, None, True), ("softmax", None, False), ("softmax", "mse", False),
    ("softmax", "sparse_categorical_crossentropy", False), ("linear", "sparse_categorical_crossentropy", False),
    (None, cr.losses.SparseCategoricalCrossentropy(from_logits=True), True),
    (None, [cr.losses.SparseCategoricalCrossentropy(from_logits=True)], True),
])
def test_logits_or_probabilities(activation, loss, are_logits):
    from chainrule.text.generation import _gives_logits

    model = sequential(Embedding(TOKENS, 4), TimeDistributed(Dense(TOKENS, activation)))
    if loss is not None:
        model.compile("sgd", loss)
    assert _gives_logits(model) is are_logits


def test_choices_follow_the_probabilities():
    """Frequencies of 20,000 draws against the softmax over the tokens that are left, worked out by hand."""
    probabilities = np.array([0.4, 0.1, 0.3, 0.2])
    logits = jax.numpy.log(np.tile(probabilities.astype("float32"), (20_000, 1)))
    for choice, expected in [
            (Choice(1.0, 4, 1.0), [0.4, 0.1, 0.3, 0.2]),
            (Choice(0.5, 4, 1.0), np.array([0.16, 0.01, 0.09, 0.04]) / 0.3),
            (Choice(1.0, 2, 1.0), [4 / 7, 0, 3 / 7, 0]),
            (Choice(1.0, 4, 0.75), [4 / 9, 0, 3 / 9, 2 / 9]),
            (Choice(1.0, 3, 0.5), [4 / 7, 0, 3 / 7, 0]),
            (Choice(0.0, 4, 1.0), [1, 0, 0, 0])]:
        tokens_drawn = np.asarray(drawn(logits, seed_words(1), choice))
        np.testing.assert_allclose(np.bincount(tokens_drawn, minlength=4) / 20_000, expected, atol=0.015)
    equal = np.asarray(drawn(np.zeros((1_000, 5), "float32"), seed_words(1), Choice(1.0, 2, 1.0)))
    assert set(equal.tolist()) == {0, 1}


def test_a_model_that_gives_no_numbers():
    model = writer()
    model.set_weights([np.full_like(array, np.nan) for array in model.get_weights()])
    with pytest.raises(NotFiniteError) as error:
        text.generate(model, VOCABULARY, "ab")
    assert str(error.value) == (
        "The model gives NaN instead of a number for each token. Its weights are no numbers, or a token is outside of "
        "a table of it: see model.get_weights().")


def bigrams(size=TOKENS, length=None):
    return sequential(Embedding(size, size), length=length)


def of_two_inputs(first, second):
    return cr.Model([first, second], Embedding(4, TOKENS)(first) + Embedding(4, TOKENS)(second))


BAD = {
    "no model": (lambda: text.generate("model.chain", VOCABULARY), SettingError,
                 "A text is written by a model, chainrule.Sequential or chainrule.Model; got str."),
    "not built": (lambda: text.generate(cr.Sequential([Embedding(TOKENS, TOKENS)]), VOCABULARY), NotReadyError,
                  "Writing a text needs the model's weights, and their shapes are not known yet. Give the first layer "
                  "an input shape (Input(...) or input_shape=...), or fit or call the model on data first."),
    "no vocabulary": (lambda: text.generate(bigrams()), NotReadyError,
                      "The model has no vocabulary, which says what its tokens mean. `fit` puts that of "
                      "text.characters(...).train into the model; else give one: generate(model, vocabulary)."),
    "data for a vocabulary": (
        lambda: text.generate(bigrams(), text.characters("abc" * 30, 4)), SettingError,
        "vocabulary is one of chainrule.text; got TextData. Give data.vocabulary."),
    "another vocabulary": (
        lambda: text.generate(bigrams(7), VOCABULARY), ShapeError,
        "The vocabulary has 10 tokens, and the model gives 7 numbers, (None, None, 7): one for each token is needed. "
        "Use the vocabulary that the model was trained with, or end it in Dense(10)."),
    "unknown characters": (
        lambda: text.generate(bigrams(), VOCABULARY, "ax"), DataError,
        "The text has 1 character that the vocabulary of 10 does not know: 'x' (1); the first at position 1. Replace "
        "it, or give the vocabulary a token for it: unknown_token='\ufffd'."),
    "prompt": (lambda: text.generate(bigrams(), VOCABULARY, 3), DataError, "prompt is a text; got int."),
    "length": (lambda: text.generate(bigrams(), VOCABULARY, length=-1), SettingError,
               "length must be an integer of at least 0; got -1."),
    "temperature": (lambda: text.generate(bigrams(), VOCABULARY, temperature=-0.5), SettingError,
                    "temperature is a number of at least 0, which takes the likeliest token; got -0.5."),
    "top_k": (lambda: text.generate(bigrams(), VOCABULARY, top_k=0), SettingError,
              "top_k must be an integer of at least 1; got 0."),
    "top_p": (lambda: text.generate(bigrams(), VOCABULARY, top_p=1.5), SettingError,
              "top_p is a probability above 0 and up to 1, or None for all tokens; got 1.5."),
    "samples": (lambda: text.generate(bigrams(), VOCABULARY, samples=0), SettingError,
                "samples must be an integer of at least 1; got 0."),
    "seed": (lambda: text.stream(bigrams(), VOCABULARY, seed="a"), SettingError,
             "seed must be an integer of at least 0; got 'a'."),
    "stop": (lambda: text.generate(bigrams(), VOCABULARY, stop=["a", ""]), SettingError,
             "stop is a text that ends the writing, or several, none of them empty; got ['a', '']."),
    "window": (lambda: text.generate(sequential(TokenAndPositionEmbedding(TOKENS, 8, TOKENS)), VOCABULARY, window=9),
               SettingError, "The model sees at most 8 tokens; got window=9. Leave window out, or give less."),
    "a window of another length": (
        lambda: text.generate(sequential(Embedding(TOKENS, 4), Flatten(), Dense(TOKENS), length=8), VOCABULARY,
                              window=5), SettingError,
        "The model takes 8 tokens at a time, no less; got window=5. Leave window out."),
    "windows of any length": (
        lambda: text.generate(sequential(Embedding(TOKENS, 4), GlobalAveragePooling1D(), Dense(TOKENS)), VOCABULARY),
        SettingError,
        "The model sees whole windows, and may have been trained on any length of them. Give the length of its "
        "training windows: window=64."),
    "several inputs": (
        lambda: text.generate(of_two_inputs(tokens(), tokens()), VOCABULARY), ShapeError,
        "A model that writes takes the numbers of tokens, (batch, time), or a vector of 10 for each, (batch, time, "
        "10); this one takes (None, None), (None, None)."),
    "several outputs": (
        lambda: text.generate(functional(lambda x: [Embedding(TOKENS, TOKENS)(x), Embedding(4, 3)(x)]), VOCABULARY),
        ShapeError,
        "A model that writes gives one number for each of the 10 tokens, (batch, time, 10) or (batch, 10); this one "
        "gives (None, None, 10), (None, None, 3)."),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_written(name):
    act, kind, message = BAD[name]
    with pytest.raises(kind) as error:
        act()
    assert str(error.value) == message


def test_attention_between_lists_needs_the_whole_window():
    """A layer that neither steps nor says so: outputs depend on later tokens, so windows are full."""
    model = randomised(functional(lambda x: Dense(TOKENS)(
        (lambda h: AdditiveAttention()([h, h]))(Embedding(TOKENS, 8)(x))), length=CONTEXT))
    assert text.generate(model, VOCABULARY, "ab", length=8) == run_anew(
        model, "ab", 8, Choice(1.0, TOKENS, 1.0), limit=CONTEXT, is_full=True)
