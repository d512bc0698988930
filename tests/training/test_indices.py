"""Indices of tables: one that is outside is an error that names it, before anything is compiled."""
import numpy as np
import pytest
from helpers import compilations

import chainrule as cr
from chainrule.data import Source
from chainrule.errors import DataError
from chainrule.layers import Dense, Embedding, Flatten, Rescaling, TokenAndPositionEmbedding

WORDS = np.random.default_rng(0).integers(0, 5, (40, 3))
Y = np.zeros((40, 1), "float32")
MESSAGE = ("x has the index {} in row {}, and layer 'embedding' (Embedding) has 5 vectors, for the indices 0 to 4. Set "
           "`input_dim` to the largest index + 1, or map unknown entries to an index of their own.")


def regressor(*first, length=3):
    model = cr.Sequential([cr.Input((length,), dtype="int32"), *(first or [Embedding(5, 2)]), Flatten(), Dense(1)])
    model.compile("sgd", "mse")
    return model


def spoilt(index=5, row=17):
    words = WORDS.copy()
    words[row, 1] = index
    return words


class Rows(Source):
    """Arrays as a source."""

    def __init__(self, x, y, in_memory):
        self.x, self.y, self.in_memory = x, y, in_memory

    def __len__(self):
        return len(self.x)

    def rows(self, indices):
        return self.x[indices], self.y[indices]


@pytest.mark.parametrize("index", [5, -1, 2**40])
def test_arrays(index):
    model, x = regressor(), spoilt(index)
    model.variables()
    for act in (lambda: model.fit(x, Y, verbose=0), lambda: model.evaluate(x, Y, verbose=0), lambda: model.predict(x),
                lambda: model.train_on_batch(x, Y),
                lambda: model.fit(WORDS, Y, validation_data=(x, Y), verbose=0)):
        with compilations() as found, pytest.raises(DataError) as error:
            act()
        assert str(error.value) == MESSAGE.format(index, 17) and found == []


@pytest.mark.parametrize("in_memory", [True, False])
def test_sources(in_memory, monkeypatch):
    """Rows have the numbers that they have in the source, also where they come in chunks and in another order."""
    monkeypatch.setattr("chainrule.training.stream.CHUNK_BYTES", 16 * WORDS[0].nbytes)
    model, source = regressor(), Rows(spoilt(row=33), Y, in_memory)
    for act in (lambda: model.fit(source, batch_size=4, verbose=0), lambda: model.evaluate(source, verbose=0),
                lambda: model.predict(source)):
        with pytest.raises(DataError) as error:
            act()
        assert str(error.value) == MESSAGE.format(5, 33)


def test_which_layer_of_which_input():
    first, second = cr.Input((3,), dtype="int32", name="left"), cr.Input((3,), dtype="int32", name="right")
    inner = cr.Sequential([cr.Input((3,), dtype="int32"), TokenAndPositionEmbedding(5, 3, 2, name="tokens")])
    model = cr.Model([first, second], Embedding(9, 2)(first) + inner(second))
    model.predict([WORDS + 4, WORDS])
    with pytest.raises(DataError) as error:
        model.predict([WORDS, spoilt(7)])
    assert str(error.value) == (
        "x['right'] has the index 7 in row 17, and layer 'tokens' (TokenAndPositionEmbedding) has 5 vectors, for the "
        "indices 0 to 4. Set `vocabulary_size` to the largest index + 1, or map unknown entries to an index of their "
        "own.")


def test_what_does_not_go_straight_into_a_table_is_not_looked_at():
    model = regressor(Rescaling(0.5), Embedding(5, 2))
    assert np.isfinite(model.predict(WORDS * 2)).all()
