"""Strings into a model, from the first fit to a file: is a sentence of praise or of blame?"""
import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import (
    GRU,
    Conv1D,
    Dense,
    Embedding,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    TextVectorization,
)
from chainrule.models import load_model

PRAISE, BLAME = ("lovely", "great", "moving", "clever", "fresh"), ("dull", "awful", "boring", "clumsy", "stale")
THINGS, STARTS = ("film", "plot", "cast", "ending", "music"), ("I found the", "Honestly, the", "The", "To me the")


def sentences(rows: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Sentences such as "The cast was not dull!", and whether they praise: half of them turn their word by "not"."""
    draw = np.random.default_rng(seed)
    x, y = [], []
    for _ in range(rows):
        praises, turned = draw.integers(0, 2, 2)
        word = draw.choice(PRAISE if praises else BLAME)
        end = draw.choice([".", "!", ""])
        x.append(f"{draw.choice(STARTS)} {draw.choice(THINGS)} was {'not ' * turned}{word}{end}")
        y.append(praises ^ turned)
    return x, np.array(y)


def classifier(*body, **settings) -> cr.Sequential:
    vectorize = TextVectorization(**settings)
    vectorize.adapt(sentences(300, seed=0)[0])
    size = vectorize.vocabulary_size()
    model = cr.Sequential([cr.Input((), dtype="string"), vectorize, Embedding(size, 8, mask_zero=True), *body,
                           Dense(1, activation="sigmoid")])
    model.compile(optimizer=cr.optimizers.Adam(0.02), loss="binary_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("make", [
    lambda: classifier(GlobalAveragePooling1D(), Dense(16, activation="relu"), ngrams=2),
    lambda: classifier(Conv1D(16, 2, activation="relu"), GlobalMaxPooling1D(), output_sequence_length=8),
    lambda: classifier(GRU(12)),
], ids=["average of word pairs", "convolution", "recurrent"])
def test_sentences_of_praise_and_blame(make, tmp_path):
    x, y = sentences(300, seed=0)
    model = make()
    model.fit(x, y, epochs=12, batch_size=30, verbose=0, seed=0)
    held_out, labels = sentences(200, seed=2)
    scores = model.predict(held_out)[:, 0]
    assert ((scores > 0.5) == labels).mean() > 0.9
    model.save(tmp_path / "model.chain")
    assert load_model(tmp_path / "model.chain").predict(held_out)[:, 0].tobytes() == scores.tobytes()


def test_every_way_in():
    x, y = sentences(8, seed=0)
    model = classifier(GlobalAveragePooling1D())
    history = model.fit(x, y, validation_data=(["a lovely film, and a moving one at that, honestly"], [1]), verbose=0)
    assert np.isfinite(history.history["val_loss"][0]) and model.predict(["a lovely film"]).shape == (1, 1)
    before = model.evaluate(x, y, verbose=0)[0]
    assert model.test_on_batch(x, y)[0] == pytest.approx(before, rel=1e-5)
    model.train_on_batch(x, y)
    assert model.test_on_batch(x, y)[0] < before
    np.testing.assert_array_equal(model.predict(x, batch_size=3), model.predict_on_batch(x))
