"""Embeddings and positions: what they look up, what they pass on, what they refuse."""
import jax
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DataError, ShapeError
from chainrule.layers import (
    Dense,
    Embedding,
    GlobalAveragePooling1D,
    PositionEmbedding,
    SinePositionEncoding,
    TokenAndPositionEmbedding,
)
from chainrule.models import load_model

TABLE = np.arange(12, dtype="float32").reshape(4, 3)
WORDS = np.array([[1, 3, 0], [2, 2, 2]])


def test_rows_of_the_table():
    for words in (WORDS, WORDS.astype("uint8"), WORDS.astype("float32"), WORDS[0], WORDS[:, :, None]):
        np.testing.assert_array_equal(Embedding(4, 3, weights=[TABLE])(words), TABLE[words.astype(int)])


def test_the_gradient_adds_up_over_the_uses_of_a_row():
    model = cr.Sequential([cr.Input((3,), dtype="int32"), Embedding(4, 3)])
    weights, state = model.variables()
    slopes = np.random.default_rng(0).normal(size=(2, 3, 3)).astype("float32")
    gradient = jax.grad(lambda weights: (model.apply(weights, state, WORDS)[0] * slopes).sum())(weights)
    expected = np.zeros((4, 3))
    for index, word in np.ndenumerate(WORDS):
        expected[word] += slopes[index]
    np.testing.assert_allclose(gradient["embedding"]["embeddings"], expected, rtol=1e-5)


def test_given_vectors_are_kept_in_files_as_training_left_them(tmp_path):
    model = cr.Sequential([cr.Input((3,), dtype="int32"), Embedding(4, 3, weights=TABLE), GlobalAveragePooling1D()])
    np.testing.assert_allclose(model.predict(WORDS), TABLE[WORDS].mean(1), rtol=1e-6)
    model.compile("sgd", "mse")
    model.fit(WORDS, np.zeros((2, 3)), epochs=1, verbose=0)
    assert np.abs(model.get_weights()[0] - TABLE).max() > 0.01
    model.save(tmp_path / "model.chain")
    again = load_model(tmp_path / "model.chain")
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])
    assert "weights" not in again.layers[0].get_config()


def test_padding_is_passed_over():
    model = cr.Sequential([cr.Input((None,), dtype="int32"), Embedding(4, 3, mask_zero=True), Dense(2),
                           GlobalAveragePooling1D()])
    padded = model.predict(np.array([[1, 3, 0, 0], [2, 1, 2, 1]]))
    np.testing.assert_allclose(padded[:1], model.predict(np.array([[1, 3]])), rtol=1e-5)
    assert Embedding(4, 3, mask_zero=True).compute_mask(WORDS).tolist() == [[True, True, False], [True] * 3]
    assert Embedding(4, 3).compute_mask(WORDS) is None


@pytest.mark.parametrize(("index", "text"), [(4, "4"), (-1, "-1")])
def test_an_index_outside_of_the_table(index, text):
    with pytest.raises(DataError) as error:
        Embedding(4, 3)(np.array([[0, index]]))
    assert str(error.value) == (
        f"Embedding has 4 vectors, for the indices 0 to 3; got {text}. Set `input_dim` to the largest index + 1, or "
        f"map unknown entries to an index of their own.")
    model = cr.Sequential([cr.Input((2,), dtype="int32"), Embedding(4, 3)])
    compiled = jax.jit(lambda weights, x: model.apply(weights, {}, x)[0])
    y = compiled(model.variables()[0], np.array([[0, index]]))
    assert np.isnan(y).tolist() == [[[False] * 3, [True] * 3]]


def test_a_table_of_another_shape():
    with pytest.raises(ShapeError) as error:
        Embedding(4, 2, weights=TABLE)
    assert str(error.value) == "Embedding(4, 2): `weights` has shape (4, 2); got (4, 3)."


def test_the_length_of_a_row_as_keras_2_said_it():
    assert Embedding(4, 3, input_length=5).input_shape == (5,)


def test_positions_go_on_from_where_they_are_told():
    x = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")
    for layer in (PositionEmbedding(6), SinePositionEncoding()):
        whole = layer(x)
        np.testing.assert_allclose(layer(x[:, :2], start_index=3), whole[:, 3:5], rtol=1e-5, atol=1e-6)
        y = layer(x[:, :2], positions=np.array([[5, 0], [1, 2]]))
        np.testing.assert_allclose(y[0], whole[0, [5, 0]], atol=1e-6)
    words = np.array([[3, 1, 2, 0]])
    layer = TokenAndPositionEmbedding(4, 6, 5)
    tokens, positions = layer(words) * 0, layer.get_weights()
    np.testing.assert_allclose(layer(words, start_index=2), tokens + positions[0][words] + positions[1][2:6], rtol=1e-6)


def test_tokens_and_positions_pass_their_padding_on():
    model = cr.Sequential([cr.Input((None,), dtype="int32"), TokenAndPositionEmbedding(4, 6, 5, mask_zero=True),
                           GlobalAveragePooling1D()])
    np.testing.assert_allclose(model.predict(np.array([[1, 3, 0, 0]])), model.predict(np.array([[1, 3]])), rtol=1e-5)


def test_a_sequence_that_is_too_long():
    message = ("PositionEmbedding has 4 positions; got a sequence of {}. Set `sequence_length` to the length of the "
               "longest sequence, or cut the input.")
    with pytest.raises(ShapeError) as error:
        PositionEmbedding(4)(cr.Input((5, 3)))
    assert str(error.value) == message.format("5")
    with pytest.raises(ShapeError) as error:
        PositionEmbedding(4)(np.zeros((1, 2, 3), "float32"), start_index=3)
    assert str(error.value) == message.format("2, from 3 on")
    model = cr.Sequential([cr.Input((None, 3)), PositionEmbedding(4)])
    assert model.predict(np.zeros((1, 4, 3), "float32")).shape == (1, 4, 3)
    with pytest.raises(ShapeError) as error:
        model.predict(np.zeros((1, 9, 3), "float32"))
    assert str(error.value) == message.format("9")


def test_what_is_no_sequence():
    with pytest.raises(ShapeError) as error:
        SinePositionEncoding()(np.zeros((2, 3), "float32"))
    assert str(error.value) == "SinePositionEncoding takes sequences, (batch, times, ..., features); got (None, 3)."
