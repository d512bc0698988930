"""Fits, evaluations and predictions over files and iterables: the bytes of arrays in memory, in little memory."""
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from chainrule.data import ArrayFiles, CSVFiles, IterableSource, ParquetFiles
from chainrule.data.source import Source
from chainrule.errors import DataError, SettingError
from chainrule.layers import Dense, Dropout
from chainrule.models import Input, Sequential
from chainrule.training import stream

COUNT, SIZE = 203, 16


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(stream, "CHUNK_BYTES", 1500)  # four batches


def data(count=COUNT):
    draw = np.random.default_rng(1)
    return draw.normal(size=(count, 4)).astype("float32"), draw.integers(0, 3, count)


def make():
    model = Sequential([Input((4,)), Dense(8, activation="relu"), Dropout(0.2), Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def trained(*given, **settings):
    model = make()
    history = model.fit(*given, **{"epochs": 3, "verbose": 0, "seed": 4} | settings)
    return [weight.tobytes() for weight in model.get_weights()], history.history, model


def batches(rows=None, size=SIZE):
    x, y = rows or data()
    for start in range(0, len(x), size):
        yield x[start : start + size], y[start : start + size]


def endless():
    while True:
        yield from batches(tuple(part[:192] for part in data()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The rows as files of each kind."""
    folder = tmp_path_factory.mktemp("rows")
    x, y = data()
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    table = pyarrow.table({**{f"x{place}": x[:, place] for place in range(4)}, "y": y})
    pyarrow.parquet.write_table(table, folder / "rows.parquet", row_group_size=30)
    lines = ["x0,x1,x2,x3,y"] + [",".join(map(repr, [*row.tolist(), int(label)])) for row, label in zip(
        x.astype(float), y, strict=True)]
    (folder / "rows.csv").write_text("\n".join(lines))
    return folder


SOURCES = {
    "npy": lambda folder, **settings: ArrayFiles(folder / "x.npy", folder / "y.npy", **settings),
    "parquet": lambda folder, **settings: ParquetFiles(folder / "rows.parquet", target="y", **settings),
    "csv": lambda folder, **settings: CSVFiles(folder / "rows.csv", target="y", **settings),
    "list": lambda folder, in_memory=False, **settings: IterableSource(list(batches()), **settings),
}


@pytest.fixture(scope="module")
def loaded():
    """Fits of arrays in memory, in shuffled order and as they come."""
    return {shuffle: trained(*data(), shuffle=shuffle, batch_size=SIZE, validation_data=data(50))
            for shuffle in (True, False)}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("shuffle", [True, False])
def test_without_a_window_the_bytes_are_those_of_arrays_in_memory(folder, loaded, kind, shuffle):
    source = SOURCES[kind](folder, window=None, in_memory=False)
    held = IterableSource([data(50)])
    weights, history, _ = trained(source, shuffle=shuffle, batch_size=SIZE, validation_data=held)
    expected = loaded[shuffle and kind in ("npy", "parquet")]  # the others keep the order in which they come
    assert (weights, history) == expected[:2]


@pytest.mark.parametrize("kind", ["npy", "parquet", "csv"])
def test_files_that_fit_into_memory_are_loaded_and_shuffled_as_a_whole(folder, loaded, kind):
    assert trained(SOURCES[kind](folder), batch_size=SIZE, validation_data=data(50))[:2] == loaded[True][:2]


@pytest.mark.parametrize("kind", SOURCES)
def test_with_a_window_each_epoch_has_every_row_and_runs_repeat(folder, loaded, kind, monkeypatch):
    seen = []
    original = Source.order if kind in ("npy", "parquet") else IterableSource.order
    cls = Source if kind in ("npy", "parquet") else IterableSource
    monkeypatch.setattr(cls, "order", lambda self, key, epoch, start, stop: seen.append(
        (start, original(self, key, epoch, start, stop))) or seen[-1][1])
    runs = [trained(SOURCES[kind](folder, window=50, in_memory=False), batch_size=SIZE) for _ in range(2)]
    assert runs[0][:2] == runs[1][:2]
    assert runs[0][0] not in (loaded[True][0], loaded[False][0])
    cuts = [place for place, (start, _) in enumerate(seen) if start == 0][1:]
    epochs = [np.concatenate([rows for _, rows in seen[start:stop]]).tolist()
              for start, stop in zip([0, *cuts], [*cuts, None], strict=True)]
    assert all(sorted(rows) == list(range(COUNT)) for rows in epochs)
    assert epochs[0] != epochs[1] and epochs[:3] == epochs[3:]


@pytest.mark.parametrize("window", [None, 50])
def test_going_on_after_an_epoch_ends_with_the_same_bytes(folder, window):
    for kind in SOURCES:
        source = SOURCES[kind](folder, window=window, in_memory=False)
        whole = trained(source, batch_size=SIZE)
        model = make()
        for start, stop in ((0, 1), (1, 3)):
            source = SOURCES[kind](folder, window=window, in_memory=False)
            model.fit(source, epochs=stop, initial_epoch=start, batch_size=SIZE, verbose=0, seed=4)
        assert [weight.tobytes() for weight in model.get_weights()] == whole[0], kind


@pytest.mark.parametrize("kind", SOURCES)
def test_evaluate_and_predict(folder, loaded, kind):
    model, (x, y) = loaded[True][2], data()
    source = SOURCES[kind](folder, in_memory=False)
    assert model.evaluate(source, batch_size=SIZE, verbose=0) == model.evaluate(x, y, batch_size=SIZE, verbose=0)
    np.testing.assert_allclose(model.predict(source), model.predict(x), rtol=1e-5)


# Iterables as they are given.

def test_generators_functions_and_lists_of_batches():
    plain = trained(*data(), shuffle=False, batch_size=SIZE)
    for given in (batches, IterableSource(list(batches()))):
        assert trained(given)[:2] == plain[:2]


def test_an_epoch_of_steps_goes_on_where_the_last_ended():
    runs = [trained(given, steps_per_epoch=6, epochs=4) for given in (
        endless(), endless, lambda: batches(tuple(part[:192] for part in data())))]
    assert runs[0][:2] == runs[1][:2] == runs[2][:2]
    twice = trained(*(part[:192] for part in data()), shuffle=False, batch_size=SIZE, epochs=2)
    assert runs[0][0] == twice[0]
    assert len(runs[0][1]["loss"]) == 4


def test_a_generator_resumes_by_drawing_and_dropping():
    whole = trained(endless(), steps_per_epoch=5)
    model = make()
    for start, stop in ((0, 2), (2, 3)):
        model.fit(endless(), steps_per_epoch=5, epochs=stop, initial_epoch=start, verbose=0, seed=4)
    assert [weight.tobytes() for weight in model.get_weights()] == whole[0]


def test_validation_steps_take_the_same_rows_each_time():
    x, y = data()
    held = x[: 2 * SIZE], y[: 2 * SIZE]
    expected = trained(x, y, batch_size=SIZE, validation_data=held)
    for given in (endless(), endless, batches):
        assert trained(x, y, batch_size=SIZE, validation_data=given, validation_steps=2)[:2] == expected[:2]


def test_evaluate_and_predict_take_what_is_yielded(loaded):
    model, (x, y) = loaded[True][2], data()
    whole, part = (model.evaluate(x[:count], y[:count], batch_size=SIZE, verbose=0) for count in (COUNT, 5 * SIZE))
    for given in (batches, IterableSource(list(batches()))):
        assert model.evaluate(given, verbose=0) == whole
        assert model.evaluate(given, steps=5, verbose=0) == part
    assert model.evaluate(batches(), verbose=0) == whole
    assert model.evaluate(endless(), steps=5, verbose=0) == part
    outputs = model.predict(x, batch_size=SIZE)
    for given in (batches, batches(), (inputs for inputs, _ in batches())):
        np.testing.assert_array_equal(model.predict(given), outputs)
    np.testing.assert_array_equal(model.predict(endless(), steps=5), outputs[: 5 * SIZE])


def test_rows_are_cut_into_batches_of_the_size_that_is_asked_for():
    plain = trained(*data(), shuffle=False, batch_size=40)
    assert trained(lambda: batches(size=7), batch_size=40)[:2] == plain[:2]
    assert trained(lambda: batches(size=40))[:2] == plain[:2]


class Weighted(Source):
    """Rows with weights."""

    def __init__(self, in_memory):
        self.in_memory = in_memory

    def __len__(self):
        return COUNT

    def rows(self, indices):
        x, y = data()
        return x[indices], y[indices], np.linspace(0, 4, COUNT)[indices]


def test_weights_divide_by_rows_whether_streamed_or_not():
    def weighted():
        x, y = data()
        weights = np.linspace(0, 4, COUNT)
        for start in range(0, COUNT, SIZE):
            rows = slice(start, start + SIZE)
            yield x[rows], y[rows], weights[rows]

    runs = [trained(given, shuffle=False, batch_size=SIZE, class_weight={1: 3.0})
            for given in (weighted, Weighted(True), Weighted(False))]
    assert runs[0][:2] == runs[1][:2] == runs[2][:2]
    assert runs[0][0] != trained(batches, shuffle=False, batch_size=SIZE, class_weight={1: 3.0})[0]
    x, y = data()
    weights = []
    for fit in (lambda model: model.fit(weighted, batch_size=COUNT, verbose=0),
                lambda model: model.train_on_batch(x, y, sample_weight=np.linspace(0, 4, COUNT))):
        model = Sequential([Input((4,)), Dense(3, activation="softmax", kernel_initializer="ones")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        fit(model)
        weights.append(model.get_weights()[0])
    np.testing.assert_allclose(*weights, rtol=1e-5)


# Errors.

def message(error, make) -> str:
    with pytest.raises(error) as caught:
        make()
    return str(caught.value)


def test_steps_of_what_has_an_end_of_its_own(folder):
    x, y = data()
    for given, kind in (((x, y), "ndarray"), ((SOURCES["npy"](folder),), "ArrayFiles")):
        assert message(SettingError, lambda given=given: make().fit(*given, steps_per_epoch=3)) == (
            f"steps_per_epoch says how long an epoch is where batches come one after another, from a generator or "
            f"another iterable. x is a {kind}, all of whose rows are taken: leave steps_per_epoch out.")
    assert message(SettingError, lambda: make().fit(batches, validation_data=(x, y), validation_steps=3)).startswith(
        "validation_steps says how long")
    assert message(SettingError, lambda: make().predict(x, steps=3)).startswith("steps says how long")


@pytest.mark.parametrize("setting", ["steps_per_epoch", "validation_steps"])
@pytest.mark.parametrize("value", [0, 2.5, True])
def test_steps_that_are_none(setting, value):
    assert message(SettingError, lambda: make().fit(batches, **{setting: value})) == (
        f"{setting} must be an integer of at least 1; got {value!r}.")


def test_a_generator_without_steps():
    assert message(SettingError, lambda: make().fit(batches())).startswith(
        "The generator 'batches' can be read once, and its length is not known.")
    assert message(SettingError, lambda: make().fit(batches, validation_data=batches())).startswith(
        "The generator 'batches' can be read once, and its length is not known.")


def test_a_generator_that_ends_early():
    assert message(DataError, lambda: make().fit(batches(), steps_per_epoch=10, epochs=2, verbose=0)) == (
        "The generator 'batches' ended after 203 rows, and 208 are needed by here. Yield more, without end: while "
        "True; or ask for fewer steps.")


def test_no_targets():
    assert message(DataError, lambda: make().fit(lambda: (x for x, _ in batches()))) == (
        "y is missing: the model was compiled with a loss, which compares its output with targets.")


def test_targets_given_beside():
    assert message(DataError, lambda: make().fit(batches, np.zeros(3))) == (
        "x is a IterableSource, which gives x and y itself: leave y out.")


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_value_that_is_not_finite_is_named_by_its_row(tmp_path, shuffle):
    x, y = data()
    x[150, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    source = ArrayFiles(tmp_path / "x.npy", tmp_path / "y.npy", in_memory=False)
    assert message(DataError, lambda: make().fit(source, batch_size=SIZE, shuffle=shuffle, verbose=0)) == (
        "x has 1 value that is NaN or infinite, in row 150, column 2. Training on it would spoil every weight: fill it "
        "or leave that row out.")


# Memory.

def test_memory_is_bounded_by_chunks_not_by_the_file(tmp_path):
    """A file of 400 MB takes less than the share of 1.5 GiB for 4 GiB, beyond what a process of training takes."""
    script = """
import re, sys
import numpy as np
import chainrule as cr
from chainrule import layers
from chainrule.data import ArrayFiles

peak = lambda: int(re.search(r"VmHWM:\\\\s+(\\\\d+) kB", open("/proc/self/status").read())[1]) * 1024
model = cr.Sequential([cr.Input((100,)), layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(np.zeros((4096, 100), "float32"), np.zeros(4096), batch_size=1024, verbose=0)
before = peak()
window = None if sys.argv[2] == "None" else int(sys.argv[2])
source = ArrayFiles(f"{sys.argv[1]}/x.npy", f"{sys.argv[1]}/y.npy", window=window, in_memory=False)
model.fit(source, batch_size=1024, verbose=0)
print(peak() - before)
""".replace("\\\\", "\\")
    if not Path("/proc/self/status").exists():
        pytest.skip("the system does not say what a process takes")
    count = 400_000_000 // 400
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", "float32", (count, 100))  # zeros, which take no disk
    np.save(tmp_path / "y.npy", np.zeros(count, "float32"))
    for window in (None, 50_000):
        found = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(window)], capture_output=True,
                               text=True)
        assert re.fullmatch(r"\d+\n", found.stdout), found.stderr[-2000:]
        assert int(found.stdout) < 400_000_000 * 1.5 / 4
