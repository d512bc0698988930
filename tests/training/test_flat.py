"""Long runs stay flat: memory, live arrays and compiled programs do not grow; threads do not disturb each other."""
import gc
import subprocess
import sys
import threading
import weakref

import jax
import numpy as np
import pytest

from chainrule import Input, Sequential
from chainrule.layers import BatchNormalization, Dense, Dropout

X = np.random.default_rng(0).normal(size=(400, 20)).astype("float32")
Y = np.tanh(X[:, :1])

MEMORY = """
import numpy as np
from chainrule import Input, Sequential
from chainrule.layers import Dense, Dropout

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

x = np.random.default_rng(0).normal(size=(400, 20)).astype("float32")
model = Sequential([Input((20,)), Dense(32, activation="relu"), Dropout(0.1), Dense(1)])
model.compile("adam", "mse", metrics=["mae"])
fit = lambda index: model.fit(x, x[:, :1], epochs=2, batch_size=32, validation_split=0.1, verbose=0)
predict = lambda index: model.predict(x[: 1 + index % 40])
for work, count in ((fit, 200), (predict, 10_000)):
    for index in range(count):
        work(index)
        if index == count // 10:
            early = resident()
    print(resident() / early)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_over_200_fits_and_10000_predictions():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    growth = [float(line) for line in done.stdout.split()]
    assert len(growth) == 2 and all(ratio < 1.05 for ratio in growth), growth


def network(dtype=None):
    model = Sequential([Input((20,)), Dense(16, activation="relu"), BatchNormalization(), Dropout(0.2), Dense(1)],
                       dtype=dtype)
    model.compile("adam", "mse", metrics=["mae"])
    return model


def use(model):
    model.fit(X, Y, epochs=2, batch_size=64, validation_split=0.1, verbose=0, seed=0)
    model.evaluate(X, Y, verbose=0)
    return model.predict(X)


def counted():
    gc.collect()
    return len(jax.live_arrays()), len(jax.devices()[0].client.live_executables())


def test_neither_arrays_nor_programs_are_left_behind():
    model = network()
    use(model)
    arrays, programs = counted()
    for _ in range(5):
        use(model)
    again = counted()
    assert again[0] <= arrays and again[1] <= programs  # a model that is used again keeps what it had
    for _ in range(3):
        use(network())
    after = counted()
    assert after[0] <= arrays and after[1] <= programs  # one that is dropped leaves nothing


def test_models_that_are_dropped_leave_nothing_behind():
    """Not an object: a program, or a cache entry by model, would be thousands of them."""
    dropped = []

    def one():
        model = network()
        use(model)
        dropped.extend(weakref.ref(thing) for thing in (model, *model.layers, model.optimizer, model.history))

    for _ in range(2):
        one()
    before, objects = counted(), len(gc.get_objects()) - len(dropped)
    for _ in range(8):
        one()
    assert counted() == before
    assert all(reference() is None for reference in dropped)
    assert abs(len(gc.get_objects()) - len(dropped) - objects) < 100


def test_models_are_trained_in_threads_as_they_are_alone():
    expected = [use(network(dtype)) for dtype in ("float32", "float64", "float32")]
    found = [None] * 3

    def work(index, dtype):
        found[index] = use(network(dtype))

    threads = [threading.Thread(target=work, args=entry) for entry in enumerate(("float32", "float64", "float32"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, two in zip(expected, found, strict=True):
        assert one.dtype == two.dtype and (one == two).all()


def test_one_model_predicts_in_several_threads():
    model = network()
    expected = use(model)
    wrong, ends = [], threading.Event()

    def work(start):
        while not ends.is_set():
            rows = slice(start, start + 50)
            if not np.allclose(model.predict(X[rows]), expected[rows], rtol=1e-5, atol=1e-6):
                wrong.append(start)

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 100, 350)]
    for thread in threads:
        thread.start()
    other = use(network())  # a fit beside them
    ends.set()
    for thread in threads:
        thread.join()
    assert not wrong and (other == expected).all()


def test_a_model_predicts_while_it_is_trained():
    model, errors = network(), []
    model.predict(X)
    ends = threading.Event()

    def work():
        while not ends.is_set():
            try:
                if not np.isfinite(model.predict(X)).all():
                    errors.append("not finite")
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    model.fit(X, Y, epochs=30, batch_size=64, verbose=0, seed=0)
    ends.set()
    thread.join()
    alone = network()
    alone.predict(X)
    alone.fit(X, Y, epochs=30, batch_size=64, verbose=0, seed=0)
    assert not errors
    assert all((one == two).all() for one, two in zip(model.get_weights(), alone.get_weights(), strict=True))
