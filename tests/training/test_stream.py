"""A source that is streamed trains on the same batches as one that is loaded, and to the same bytes."""
import numpy as np
import pytest

from chainrule.callbacks import EarlyStopping, LambdaCallback
from chainrule.data.source import Source
from chainrule.errors import DataError, NotFiniteError, SettingError
from chainrule.layers import BatchNormalization, Dense, Dropout
from chainrule.layers.base import Layer
from chainrule.models import Input, Sequential
from chainrule.training import stream


class Rows(Source):
    """Rows of arrays, and a note of which were read."""

    def __init__(self, x, y, in_memory=False, labelled=True):
        self.x, self.y, self.in_memory, self.read = x, y, in_memory, []
        self.labels = y if labelled else None

    def __len__(self):
        return len(self.x)

    def rows(self, indices):
        self.read.append(np.asarray(indices))
        return self.x[indices], self.y[indices]


class Centred(Layer):
    """A layer of a user's own: its batch gets a step of its own shape at the end."""

    def call(self, x):
        return x - x.mean(0)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(stream, "CHUNK_BYTES", 1500)  # a few batches


def data(count=103):
    draw = np.random.default_rng(1)
    return draw.normal(size=(count, 4)).astype("float32"), draw.integers(0, 3, count)


def make(*layers):
    model = Sequential([Input((4,)), Dense(8, activation="relu"), *layers, Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def trained(x, y=None, layers=(), held_out=None, **settings):
    model = make(*(layer() for layer in layers))
    settings = {"epochs": 3, "batch_size": 16, "verbose": 0, "seed": 4} | settings
    history = model.fit(x, y, validation_data=held_out, **settings)
    return [weight.tobytes() for weight in model.get_weights()], history.history, model


@pytest.mark.parametrize("layers", [(BatchNormalization, lambda: Dropout(0.3)), (Centred,)], ids=["masked", "own"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_streamed_and_loaded_give_the_same_bytes(layers, shuffle):
    x, y = data()
    runs = [trained(source, layers=layers, shuffle=shuffle, held_out=Rows(x[:50], y[:50], in_memory))
            for source, in_memory in [(Rows(x, y, in_memory=True), True), (Rows(x, y), False), (Rows(x, y), True)]]
    loaded = trained(x, y, layers=layers, shuffle=shuffle, held_out=(x[:50], y[:50]))
    for weights, history, _ in runs:
        assert weights == loaded[0]
        assert history == loaded[1]


def test_it_was_read_in_chunks_and_each_row_once_an_epoch():
    x, y = data()
    source = Rows(x, y)
    trained(source, epochs=2)
    chunks = [rows for rows in source.read if len(rows) > 1]
    assert max(map(len, chunks)) == 48
    assert len(chunks) == 6
    for epoch in (chunks[:3], chunks[3:]):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(103))


def test_one_program_serves_all_chunks():
    x, y = data()
    _, _, model = trained(Rows(x, y))
    (program, _), = [value for key, value in model._compiled.programs.items() if key[0] == "train"]
    assert program.compiled._cache_size() == 1


def test_evaluate_and_predict_take_a_source():
    x, y = data()
    _, _, model = trained(x, y)
    streamed, whole = (model.evaluate(*rows, batch_size=16, verbose=0) for rows in [(Rows(x, y),), (x, y)])
    assert streamed == whole
    np.testing.assert_array_equal(model.predict(Rows(x, y), batch_size=16), model.predict(x, batch_size=16))
    np.testing.assert_array_equal(model.predict(Rows(x, y, in_memory=True)).argmax(1), model.predict(x).argmax(1))


def test_class_weights_are_those_of_all_rows():
    x, y = data()
    y[:60] = 0
    known, counts = np.unique(y, return_counts=True)
    weights = {int(label): len(y) / (3 * count) for label, count in zip(known, counts, strict=True)}
    balanced, named = (trained(Rows(x, y), class_weight=given)[0] for given in ("balanced", weights))
    assert balanced == named
    assert balanced != trained(Rows(x, y))[0]


def test_callbacks_stop_and_look_as_in_memory():
    x, y = data()
    seen = {}
    for name, rows in {"streamed": (Rows(x, y),), "loaded": (x, y)}.items():
        batches = []
        look = LambdaCallback(on_train_batch_end=lambda batch, logs, batches=batches: batches.append(
            (batch, logs["loss"])))
        trained(*rows, callbacks=[look, EarlyStopping("loss", patience=1)])
        seen[name] = batches
    assert seen["streamed"] == seen["loaded"]
    assert [batch for batch, _ in seen["streamed"]] == [0, 1, 2, 3, 4, 5, 6] * 3


def test_validation_split_of_a_source_takes_its_tail():
    x, y = data()
    streamed, loaded = (trained(*rows, validation_split=0.2) for rows in [(Rows(x, y),), (x, y)])
    assert streamed[:2] == loaded[:2]


def test_the_step_that_is_not_finite_is_found_in_its_chunk():
    x, y = data()
    messages = []
    for rows in [(Rows(x, y),), (x, y)]:
        model = make()
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.optimizer.learning_rate = 1e38
        with pytest.raises(NotFiniteError) as error:
            model.fit(*rows, epochs=3, batch_size=16, verbose=0, seed=0)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_an_error_of_the_source_reaches_the_user():
    x, y = data()

    class Broken(Rows):
        def rows(self, indices):
            if len(indices) > 1:
                raise DataError("photo 7 cannot be read")
            return super().rows(indices)

    with pytest.raises(DataError, match="^photo 7 cannot be read$"):
        trained(Broken(x, y))


@pytest.mark.parametrize(("settings", "message"), [
    (dict(y=np.zeros(103)), "x is a Rows, which gives x and y itself: leave y out."),
    (dict(sample_weight=np.ones(103)),
     "x is a Rows, and rows of a source have no sample_weight: weigh classes by class_weight, or load the rows and "
     "give arrays: x, y = source.load()."),
])
def test_what_a_source_brings_is_not_given_twice(settings, message):
    x, y = data()
    with pytest.raises(DataError) as error:
        make().fit(Rows(x, y), **settings)
    assert str(error.value) == message


def test_balanced_weights_need_labels():
    x, y = data()
    with pytest.raises(DataError) as error:
        make().fit(Rows(x, y, labelled=False), class_weight="balanced")
    assert str(error.value) == (
        "class_weight='balanced' needs the labels of all rows, and the Rows does not know them. Give a dict of labels "
        "and weights.")


def test_a_source_without_rows():
    x, y = data()
    with pytest.raises(DataError) as error:
        make().fit(Rows(x[:0], y[:0]))
    assert str(error.value) == "The Rows has no rows."


def test_validation_data_of_another_kind():
    x, y = data()
    with pytest.raises(SettingError) as error:
        make().fit(x, y, validation_data=3)
    assert str(error.value) == "validation_data is (x, y), (x, y, sample_weight) or a source; got int."


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_names_of_the_classes_go_to_the_model(in_memory):
    x, y = data()
    source = Rows(x, y, in_memory)
    source.class_names = ["a", "b", "c"]
    assert trained(source.split(0.2)[0])[2].class_names == ["a", "b", "c"]
