"""Devices: the words for them, where arrays lie, what the compiler is told, and that importing wakes none."""
import copy
import json
import pickle
import subprocess
import sys

import jax
import numpy as np
import pytest

from chainrule import devices, initializers
from chainrule.errors import SettingError
from chainrule.layers import Dense, Dropout
from chainrule.models import Input, Sequential, load_model

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = X[:, :1] * 2 - 1
CPUS = jax.devices("cpu")


def small_model(**options):
    model = Sequential([Input((3,)), Dense(4, activation="tanh"), Dropout(0.2), Dense(1)])
    model.compile("adam", "mse", **options)
    return model


def run(code: str) -> str:
    """What Python prints that runs the code in a process of its own."""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.parametrize("word", ["cuda", "", 3, True])
def test_other_words(word):
    with pytest.raises(SettingError) as error:
        small_model(device=word)
    assert str(error.value) == f"device is 'cpu', 'gpu', 'tpu', or None for the best that there is; got {word!r}."


@pytest.mark.parametrize(("word", "install"), [
    ("gpu", 'pip install "jax[cuda13]" (or "jax[cuda12]" for an older driver)'), ("tpu", 'pip install "jax[tpu]"')])
def test_a_device_that_is_not_there(word, install, monkeypatch):
    def only_cpu(backend=None):
        if backend != "cpu":
            raise RuntimeError(f"Unknown backend {backend}")
        return CPUS

    monkeypatch.setattr(devices.jax, "local_devices", only_cpu)
    monkeypatch.setattr(devices.jax, "devices", lambda *_: CPUS)
    with pytest.raises(SettingError) as error:
        small_model(device=word.upper())
    assert str(error.value) == (
        f"device={word!r}, and JAX finds no {word.upper()} on this machine, only: cpu. If there is one, JAX needs the "
        f"package that drives it: {install}. Else leave device out.")


def test_deterministic_is_a_boolean():
    with pytest.raises(SettingError) as error:
        small_model(deterministic="yes")
    assert str(error.value) == "deterministic is True or False; got 'yes'."


def test_what_a_device_is_called(monkeypatch):
    monkeypatch.setattr(devices, "usable_cores", lambda: 1)
    assert devices.describe_device("cpu") == "cpu (1 core)"
    monkeypatch.setattr(devices, "usable_cores", lambda: 8)
    assert devices.describe_device("cpu") == "cpu (8 cores)"

    class Card:
        platform, device_kind = "gpu", "NVIDIA H200"

    monkeypatch.setattr(devices, "find_device", lambda device: Card)
    assert devices.describe_device() == "gpu (NVIDIA H200)"


def test_deterministic_options_reach_every_program(monkeypatch):
    """XLA refuses options that it does not know, so its error shows that it was given this one."""
    monkeypatch.setattr(devices, "compiler_options",
                        lambda platform, deterministic: {"xla_no_such_option": True} if deterministic else {})
    message = "No such compile option: 'xla_no_such_option'"
    model = small_model(deterministic=True)
    for use in (lambda: model.fit(X, Y, verbose=0), lambda: model.evaluate(X, Y, verbose=0), lambda: model.predict(X),
                lambda: model.train_on_batch(X, Y)):
        with pytest.raises(jax.errors.JaxRuntimeError) as error:
            use()
        assert message in str(error.value)
    small_model().fit(X, Y, verbose=0)


def test_xla_knows_the_deterministic_option():
    options = devices.compiler_options("gpu", deterministic=True)
    assert options == {"xla_gpu_deterministic_ops": True}
    assert float(jax.jit(lambda x: x + 1, compiler_options=options)(1.0)) == 2.0


def test_on_a_processor_deterministic_changes_nothing():
    one, two = small_model(), small_model(deterministic=True)
    for model in (one, two):
        model.fit(X, Y, epochs=3, batch_size=8, verbose=0, seed=1)
    assert [array.tobytes() for array in one.get_weights()] == [array.tobytes() for array in two.get_weights()]


def test_copies_keep_the_device_and_files_do_not(tmp_path):
    model = small_model(device="cpu", deterministic=True)
    model.fit(X, Y, verbose=0)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert (other._compiled.device, other._compiled.deterministic) == ("cpu", True)
        other.fit(X, Y, verbose=0)
    model.save(tmp_path / "model.chain")
    assert load_model(tmp_path / "model.chain")._compiled.device is None


def test_programs_compiled_for_one_run_round_as_others():
    key = np.array([3, 7], np.uint32)
    for name in ("glorot_uniform", "he_normal", "truncated_normal", "orthogonal"):
        draw = lambda key, name=name: initializers.get(name)((37, 19), "float32", key)
        once, often = (np.asarray(compiled(draw)(key)) for compiled in (devices.compiled_once, jax.jit))
        assert once.tobytes() == often.tobytes()


TWO_DEVICES = """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
import json
import jax
import numpy as np
from chainrule import data
from chainrule.layers import Dense
from chainrule.models import Input, Sequential

first, second = jax.devices("cpu")
x = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
y = x[:, :1] * 2 - 1

class Rows(data.Source):
    fits_in_memory = False
    nbytes = x.nbytes
    def __len__(self):
        return len(x)
    def rows(self, indices):
        return x[indices], y[indices]

def places(model):
    arrays = jax.tree.leaves((model.variables(), model._compiled.optimizer_state))
    return sorted({str(device.id) for array in arrays for device in array.devices()})

def made(device, source=False):
    model = Sequential([Input((3,)), Dense(4, activation="tanh"), Dense(1)])
    model.compile("adam", "mse", device=device)
    initial = places(model)
    model.fit(*(Rows(),) if source else (x, y), epochs=3, batch_size=8, verbose=2 if device else 0, seed=1)
    return model, initial

found, bytes_of = {}, lambda model: b"".join(array.tobytes() for array in model.get_weights()).hex()
plain, _ = made(None)
found["default"] = places(plain)
with jax.default_device(second):
    free, initial = made(None)
    found["second"] = [initial, places(free), bytes_of(free) == bytes_of(plain)]
    told, initial = made("cpu")
    found["told"] = [initial, places(told), bytes_of(told) == bytes_of(plain)]
    streamed, initial = made("cpu", source=True)
    found["streamed"] = [initial, places(streamed), bytes_of(streamed) == bytes_of(plain)]
    found["outputs"] = [str(device.id) for model in (free, told) for device in model(x).devices()]
    found["predicted"] = bool((told.predict(x) == free.predict(x)).all())
    found["evaluated"] = told.evaluate(x, y, verbose=0) == plain.evaluate(x, y, verbose=0)
    before = bytes_of(free)
    free.compile("adam", "mse", device="cpu")
    found["moved"] = [places(free), bytes_of(free) == before]
    free.fit(x, y, verbose=0)
    found["trained"] = places(free)
print(json.dumps(found))
"""


def test_where_arrays_lie_with_two_devices():
    *lines, found = run(TWO_DEVICES).splitlines()
    assert [line for line in lines if line.startswith("Training")] == [f"Training on {devices.describe_device()}"] * 2
    assert json.loads(found) == {
        "default": ["0"], "second": [["1"], ["1"], True], "told": [["0"], ["0"], True],
        "streamed": [["0"], ["0"], True], "outputs": ["1", "0"], "predicted": True, "evaluated": True,
        "moved": [["0"], True], "trained": ["0"]}


def test_importing_touches_no_device():
    code = """
import importlib, pkgutil
import chainrule
for module in pkgutil.walk_packages(chainrule.__path__, "chainrule."):
    if not module.name.endswith((".__main__", "._native")):
        importlib.import_module(module.name)
from jax._src import xla_bridge
print(xla_bridge.backends_are_initialized())
"""
    assert run(code) == "False\n"


def test_importing_chainrule_imports_nothing_heavy():
    code = "import sys, chainrule; print([name for name in ('jax', 'numpy', 'optax', 'rich') if name in sys.modules])"
    assert run(code) == "[]\n"


def test_names_are_there_before_they_are_imported():
    code = """
import chainrule
assert set(chainrule.__all__) <= set(dir(chainrule))
names = {}
exec("from chainrule import *", names)
print(sorted(set(chainrule.__all__) - set(names)), names["Model"] is chainrule.Model, chainrule.layers.__name__)
try:
    chainrule.layer
except AttributeError as error:
    print(error)
"""
    assert run(code) == "[] True chainrule.layers\nmodule 'chainrule' has no attribute 'layer'\n"
