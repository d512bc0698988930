"""Model files: what is saved comes back, to the bit, and whatever else a file holds is refused with its reason."""
import io
import json
import os
import re
import time
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import losses, metrics, optimizers, schedules
from chainrule.errors import (
    ChainruleError,
    FileAccessError,
    FileFormatError,
    NotReadyError,
    SettingError,
    UnknownLayerError,
)
from chainrule.initializers import Constant, Initializer
from chainrule.layers import Activation, BatchNormalization, Dense, Dropout, Layer
from chainrule.models import Input, Model, Sequential, load_model
from chainrule.saving import archive, tensors

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4)).astype("float32")
Y = (X[:, 0] * X[:, 1] > 0).astype("int32")


def assert_same(first, second):
    """Equal to the bit, structures, types and shapes included."""
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for one, two in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert one.dtype == two.dtype and one.shape == two.shape
        assert np.asarray(one).tobytes() == np.asarray(two).tobytes()


def classifier(dtype=None, optimizer=None):
    model = Sequential([Input((4,)), Dense(8, activation="relu", kernel_regularizer="l2"), BatchNormalization(),
                        Dropout(0.3), Dense(2, activation="softmax")], dtype=dtype)
    model.compile(optimizer or optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def through_file(model, tmp_path, custom_objects=None, **options):
    """The model loaded from its file; saving it again must give the same bytes."""
    first, second = tmp_path / "first.chain", tmp_path / "second.chain"
    model.save(first, **options)
    loaded = load_model(first, custom_objects)
    loaded.save(second, **options)
    assert first.read_bytes() == second.read_bytes()
    assert type(loaded) is type(model)
    return loaded


@pytest.mark.parametrize(("dtype", "optimizer"), [
    ("float32", optimizers.Adam(0.01)),
    ("float64", optimizers.SGD(schedules.ExponentialDecay(0.1, decay_steps=3, decay_rate=0.5), momentum=0.9))])
def test_training_goes_on_as_if_nothing_had_happened(tmp_path, dtype, optimizer):
    straight, stopped = classifier(dtype, optimizer), classifier(dtype, optimizer)
    straight.fit(X, Y, batch_size=16, epochs=4, seed=7, verbose=0)
    stopped.fit(X, Y, batch_size=16, epochs=2, seed=7, verbose=0)
    loaded = through_file(stopped, tmp_path)
    assert loaded.dtype == dtype and loaded.get_weights()[0].dtype == dtype
    assert_same(loaded.predict(X), stopped.predict(X))
    assert loaded.evaluate(X, Y, verbose=0) == stopped.evaluate(X, Y, verbose=0)
    loaded.fit(X, Y, batch_size=16, epochs=4, initial_epoch=2, seed=7, verbose=0)
    assert_same(loaded.variables(), straight.variables())
    straight.save(tmp_path / "straight.chain")
    loaded.save(tmp_path / "loaded.chain")
    assert (tmp_path / "straight.chain").read_bytes() == (tmp_path / "loaded.chain").read_bytes()


def test_shared_layers_nested_networks_and_dict_outputs(tmp_path):
    left, right = Input((4,)), Input((4,), name="right")
    shared, inside = Dense(5, activation="tanh"), Dense(3)
    body = Sequential([Input((5,)), inside, Dense(3)])
    model = Model({"left": left, "right": right},
                  {"b": Dense(1)(body(shared(left))), "a": Dense(2, activation="softmax")(inside(shared(right)))})
    loaded = through_file(model, tmp_path)
    assert_same(loaded.predict({"left": X, "right": X + 1}), model.predict({"left": X, "right": X + 1}))
    assert loaded.count_params() == model.count_params() == 25 + 18 + 12 + 4 + 8
    inner = loaded.get_layer("sequential").layer
    assert any(layer is inner.sublayers()["dense"] for layer in loaded.sublayers().values())
    assert loaded.output_names == model.output_names == ["a", "b"]


def test_an_open_axis_and_an_integer_input(tmp_path):
    inputs = Input((None, 3), dtype="int32")
    loaded = through_file(Model(inputs, Dense(2)(inputs)), tmp_path)
    assert loaded.inputs[0].shape == (None, None, 3) and loaded.inputs[0].dtype == "int32"


class Twice(Model):
    def __init__(self, units=3):
        super().__init__()
        self.body = Dense(units, activation="relu")
        self.head = Dense(2, activation="softmax")

    def call(self, x):
        return self.head(self.body(x) + self.body(2 * x))


class Tower(Model):
    """A graph made by a constructor of its own."""

    def __init__(self, units):
        inputs = Input((4,))
        super().__init__(inputs, Dense(units)(inputs))


class Stack(Sequential):
    """A stack made by a constructor of its own."""

    def __init__(self, units=2):
        super().__init__([Input((4,)), Dense(units)])


@pytest.mark.parametrize("build_by", ["fit", "call"])
def test_a_model_with_a_call_of_its_own(tmp_path, build_by):
    model = Twice(units=5)
    if build_by == "call":
        model(X)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=1, verbose=0)
    loaded = through_file(model, tmp_path, {"Twice": Twice})
    assert_same(loaded.predict(X), model.predict(X))
    for each in (model, loaded):
        each.fit(X, Y, epochs=1, verbose=0)
    assert_same(loaded.variables(), model.variables())
    with pytest.raises(UnknownLayerError) as error:
        load_model(tmp_path / "first.chain")
    assert str(error.value) == (
        "The file uses the layer 'Twice', which is not part of chainrule. Hand it in by name: "
        "load_model(path, custom_objects={'Twice': Twice}).")


@pytest.mark.parametrize("model_class", [Tower, Stack])
def test_a_model_that_makes_its_own_graph(tmp_path, model_class):
    model = model_class(3)
    loaded = through_file(model, tmp_path, {model_class.__name__: model_class})
    assert_same(loaded.predict(X), model.predict(X))


class Scale(Layer):
    start: float = 1.0
    how: object = None

    def build(self, input_shape):
        self.factor = self.add_weight((input_shape[-1],), Constant(self.start), name="factor")
        self.calls = self.add_weight((), "zeros", "int32", trainable=False)

    def call(self, x, training=False):
        if training:
            self.calls = self.calls + 1
        return self.how(x) * self.factor if self.how else x * self.factor


class Fives(Initializer):
    def draw(self, key, shape, dtype):
        return jnp.full(shape, 5, dtype)


def cube(x):
    return x**3


def mean_cube(y_true, y_pred):
    return jnp.mean(jnp.abs(y_true - y_pred) ** 3, axis=-1)


class Doubled(losses.Loss):
    def call(self, y_true, y_pred):
        return 2 * jnp.square(y_true - y_pred).mean(-1)


class Spread(metrics.MeanSquaredError):
    pass


def test_custom_objects_of_every_kind(tmp_path):
    names = {"Scale": Scale, "Fives": Fives, "cube": cube, "mean_cube": mean_cube, "Doubled": Doubled, "Spread": Spread}
    model = Sequential([Input((4,)), Scale(2.0, how=cube), Dense(2, kernel_initializer=Fives()), Activation(cube)])
    model.compile(optimizers.SGD(1e-9), Doubled(), metrics=[mean_cube, Spread(name="spread")])
    model.fit(X / 9, X[:, :2], epochs=1, verbose=0)
    loaded = through_file(model, tmp_path, names)
    assert_same(loaded.variables(), model.variables())
    evaluate = lambda each: each.evaluate(X / 9, X[:, :2], verbose=0, return_dict=True)
    assert evaluate(loaded) == evaluate(model)
    for missing, kind in [("Scale", "layer"), ("Fives", "initializer"), ("cube", "function"), ("Doubled", "loss"),
                          ("Spread", "metric"), ("mean_cube", "function")]:
        with pytest.raises(UnknownLayerError) as error:
            load_model(tmp_path / "first.chain", {name: entry for name, entry in names.items() if name != missing})
        assert str(error.value) == (
            f"The file uses the {kind} {missing!r}, which is not part of chainrule. Hand it in by name: "
            f"load_model(path, custom_objects={{{missing!r}: {missing}}}).")


def test_arrays_among_the_settings_lie_with_the_weights(tmp_path):
    matrix = RNG.normal(size=(4, 3))
    model = Sequential([Input((4,)), Dense(3, kernel_initializer=Constant(matrix))])
    loaded = through_file(model, tmp_path)
    assert_same(loaded.layers[0].layer.kernel_initializer.value, matrix)
    with zipfile.ZipFile(tmp_path / "first.chain") as file:
        assert json.loads(file.read("model.json"))["model"]["settings"]["layers"][0]["settings"][
            "kernel_initializer"]["settings"] == {"value": {"array": 0}}


def test_settings_changed_later_are_saved(tmp_path):
    model = classifier()
    model.layers[0].trainable = False
    model.optimizer.learning_rate = 0.5
    model.fit(X, Y, epochs=1, verbose=0)
    loaded = through_file(model, tmp_path)
    assert not loaded.layers[0].trainable and loaded.optimizer.learning_rate == 0.5
    for each in (model, loaded):
        each.fit(X, Y, epochs=1, verbose=0)
    assert_same(loaded.variables(), model.variables())


def test_an_optimiser_state_of_other_frozen_layers_is_left_out(tmp_path):
    model = classifier()
    model.fit(X, Y, epochs=1, verbose=0)
    model.layers[0].trainable = False
    model.save(tmp_path / "model.chain")
    with zipfile.ZipFile(tmp_path / "model.chain") as file:
        assert not any(name.startswith("optimizer/") for name in tensors.unpack(file.read("weights.safetensors")))
    assert load_model(tmp_path / "model.chain")._compiled.optimizer_state is None


def test_without_the_optimiser(tmp_path):
    model = classifier()
    model.fit(X, Y, epochs=1, verbose=0)
    loaded = through_file(model, tmp_path, include_optimizer=False)
    assert_same(loaded.predict(X), model.predict(X))
    with pytest.raises(NotReadyError):
        loaded.fit(X, Y)


def test_a_model_that_is_not_built(tmp_path):
    model = Sequential([Dense(3), Dense(1)])
    model.compile("sgd", "mse")
    loaded = through_file(model, tmp_path)
    assert not loaded.built
    loaded.fit(X, X[:, :1], epochs=1, verbose=0)


def test_what_plain_data_cannot_say(tmp_path):
    model = Sequential([Input((2,)), Activation(lambda x: x)])
    with pytest.raises(SettingError) as error:
        model.save(tmp_path / "model.chain")
    assert re.sub("<function.*>", "<function>", str(error.value)) == (
        "The setting <function> cannot be kept in a file: files hold plain data. Use a name, a number, a list or an "
        "object of chainrule, or a named function that `custom_objects` hands back when the file is loaded.")
    assert not list(tmp_path.iterdir())


def test_functions_of_jax_are_refused_where_there_is_one_here(tmp_path):
    model = Sequential([Input((2,)), Dense(2, activation=jax.nn.relu, name="hidden")])
    with pytest.raises(SettingError) as error:
        model.save(tmp_path / "model.chain")
    assert str(error.value) == (
        "The layer Dense 'hidden' cannot be kept in a file: its activation is JAX's function relu. Use chainrule's of "
        "that name: activation='relu'.")
    through_file(Sequential([Input((2,)), Dense(2, activation=jnp.sin)]), tmp_path, {"sin": jnp.sin})


def test_nesting_that_could_not_be_read_back(tmp_path):
    network = Dense(2)
    for _ in range(34):
        network = Sequential([Input((2,)), network])
    with pytest.raises(SettingError) as error:
        network.save(tmp_path / "model.chain")
    assert str(error.value) == (
        "The model cannot be kept in a file: its description nests more than 100 levels.")


def test_custom_objects_must_be_a_dict(tmp_path):
    with pytest.raises(SettingError) as error:
        load_model(tmp_path / "model.chain", [Twice])
    assert str(error.value) == (
        f"custom_objects is a dict of classes and functions by name, such as {{'MyLayer': MyLayer}}; got {[Twice]!r}.")


# Weights alone.

def test_weights_alone(tmp_path):
    model, other = classifier(), classifier()
    model.fit(X, Y, epochs=1, verbose=0)
    model.save_weights(tmp_path / "model.safetensors")
    other.load_weights(tmp_path / "model.safetensors")
    assert_same(other.variables(), model.variables())


def test_weights_of_another_model(tmp_path):
    path = tmp_path / "model.safetensors"
    Sequential([Input((4,)), Dense(3)]).save_weights(path)
    for layers, reason in [
        ([Dense(2)], "the array 'weights/dense/kernel' has the shape (4, 3); the model's has (4, 2)"),
        ([Dense(3), Dense(1)], "the array 'weights/dense_1/kernel' is missing"),
        ([Dense(3, use_bias=False)], "the array 'weights/dense/bias' belongs to nothing in the model"),
    ]:
        with pytest.raises(FileFormatError) as error:
            Sequential([Input((4,)), *layers]).load_weights(path)
        assert str(error.value) == f"{path} cannot be read as weights of this model: {reason}."
    with pytest.raises(FileFormatError) as error:
        Sequential([Input((4,)), Dense(3)], dtype="float64").load_weights(path)
    assert str(error.value) == (
        f"{path} cannot be read as weights of this model: the array 'weights/dense/kernel' has the type float32; the "
        f"model's has float64.")


@pytest.mark.parametrize("method", ["save_weights", "load_weights"])
def test_weights_of_a_model_that_is_not_built(tmp_path, method):
    with pytest.raises(NotReadyError) as error:
        getattr(Sequential([Dense(2)]), method)(tmp_path / "model.safetensors")
    assert str(error.value) == (
        f"{method} needs a model that is built. Give the first layer an input shape (Input(...) or input_shape=...), "
        f"or call the model on data first.")


# Where a file cannot be written.

def test_saving_in_the_wrong_place(tmp_path):
    model = Sequential([Input((4,)), Dense(1)])
    with pytest.raises(FileAccessError) as error:
        model.save(tmp_path)
    assert str(error.value) == f"{tmp_path} is a folder. Give the name of a file in it: {tmp_path / 'model.chain'}."
    with pytest.raises(FileAccessError) as error:
        model.save(tmp_path / "missing" / "model.chain")
    assert str(error.value) == (
        f"{tmp_path / 'missing' / 'model.chain'} cannot be written: there is no folder {tmp_path / 'missing'}. Make it "
        f"first.")
    model.save(tmp_path / "model.chain", overwrite=False)
    with pytest.raises(FileAccessError) as error:
        model.save(tmp_path / "model.chain", overwrite=False)
    assert str(error.value) == (
        f"{tmp_path / 'model.chain'} exists already, and overwrite=False. Give another name, or overwrite=True.")
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "missing.chain")


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path, model = tmp_path / "model.chain", Sequential([Input((4,)), Dense(1)])
    model.save(path)
    before = path.read_bytes()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    model.set_weights([weight + 1 for weight in model.get_weights()])
    with monkeypatch.context() as patch:
        patch.setattr(archive if call == "open" else archive.os, call, refuse, raising=False)
        with pytest.raises(FileAccessError) as error:
            model.save(path)
    assert str(error.value) == f"{path} cannot be written: Permission denied."
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.chain"]


# Files that are not what they should be.

@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """A good file, taken apart."""
    path = tmp_path_factory.mktemp("saving") / "good.chain"
    model = Sequential([Input((3,)), Dense(4, activation="relu"), BatchNormalization(), Dense(2)])
    model.compile(optimizers.Adam(0.01), "mse")
    model.fit(X[:8, :3], X[:8, :2], epochs=1, verbose=0)
    model.save(path)
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members if isinstance(members, list) else members.items():
            file.writestr(name, data)
    return path


def refusal(path) -> str:
    """Why a file is refused."""
    with pytest.raises(FileFormatError) as error:
        load_model(path)
    start = f"{path} cannot be read as a chainrule model: "
    assert str(error.value).startswith(start) and str(error.value).endswith(".")
    return str(error.value)[len(start):-1]


def changed(members, change) -> dict:
    """The members with model.json changed."""
    description = json.loads(members["model.json"])
    change(description)
    return members | {"model.json": json.dumps(description).encode()}


def test_what_is_no_archive(tmp_path, members):
    path = tmp_path / "model.chain"
    for data in (b"", b"no zip", b"PK\x05\x06"):
        path.write_bytes(data)
        assert refusal(path) == "it is not a zip archive, or a damaged one (File is not a zip file)"
    whole = write_zip(path, members).read_bytes()
    path.write_bytes(whole[:-100])
    assert refusal(path) == "it is not a zip archive, or a damaged one (File is not a zip file)"
    damaged = bytearray(whole)
    damaged[200] ^= 255
    path.write_bytes(damaged)
    assert refusal(path).startswith("it is not a zip archive, or a damaged one (")


def test_members_that_should_not_be_there(tmp_path, members):
    path = tmp_path / "model.chain"
    assert refusal(write_zip(path, {"model.json": members["model.json"]})) == "it has no member 'weights.safetensors'"
    assert refusal(write_zip(path, members | {"../evil.py": b""})) == "it has an unexpected member '../evil.py'"
    with pytest.warns(UserWarning, match="Duplicate"):
        write_zip(path, [*members.items(), *members.items()])
    assert refusal(path) == "it has two members 'model.json'"


def test_sizes_are_checked_before_anything_is_unpacked(tmp_path, members):
    path = tmp_path / "model.chain"
    assert refusal(write_zip(path, members | {"model.json": b" " * (16 << 20) + b" "})) == (
        "its member 'model.json' has 16,777,217 bytes; at most 16,777,216 are allowed")
    reason = refusal(write_zip(path, members | {"weights.safetensors": bytes(5 << 20)}))
    assert re.sub(r"from [\d,]+", "from N", reason) == (
        "its member 'weights.safetensors' would grow from N to 5,242,880 bytes")
    data = bytearray(write_zip(path, members, zipfile.ZIP_STORED).read_bytes())
    place = data.rindex(b"PK\x01\x02") + 24  # the unpacked size in the directory
    data[place : place + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)
    assert refusal(path) == (
        "its member 'weights.safetensors' is said to have 2,147,483,648 bytes, more or less than it holds")


def test_packing_that_is_not_used(tmp_path, members):
    path = write_zip(tmp_path / "model.chain", members, zipfile.ZIP_LZMA)
    assert refusal(path) == "its member 'model.json' is encrypted, or packed in a way that is not used here"


@pytest.mark.parametrize(("text", "reason"), [
    (b"{",
     "model.json is not valid JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
    (b"\xff", "model.json is not valid JSON ('utf-8' codec can't decode byte 0xff in position 0: invalid start byte)"),
    (b'{"a": 1, "a": 2}', "model.json has the key 'a' twice in one object"),
    (b'{"a": NaN}', "model.json holds the number NaN, which is not finite"),
    (b'{"a": 1e999}', "model.json holds the number 1e999, which is not finite"),
    (b"[" * 101 + b"]" * 101, "model.json nests more than 100 levels"),
    (b"[" * 20_000 + b"]" * 20_000, "model.json nests more than 100 levels"),
    (b'{"a": "\\ud800"}', "model.json holds text that is not valid Unicode"),
    (b"[]", "model.json does not say that it describes a chainrule model"),
    (b'{"format": "chainrule model", "version": true}',
     "model.json names the format version True, which there is none of"),
    (b'{"format": "chainrule model", "version": 1}',
     "model.json has missing or unexpected entries: 'chainrule', 'compile', 'inputs', 'model'"),
    (b'{"format": "chainrule model", "version": 2, "chainrule": "9.0"}',
     "it was written by a newer chainrule (9.0, format version 2; this one reads up to 1). Upgrade with pip install "
     "--upgrade chainrule"),
])
def test_descriptions_that_are_refused(tmp_path, members, text, reason):
    assert refusal(write_zip(tmp_path / "model.chain", members | {"model.json": text})) == reason


def settings_of(description):
    return description["model"]["settings"]


@pytest.mark.parametrize(("change", "reason"), [
    (lambda d: d.update(model={"activation": "relu"}), "model.json does not describe a model"),
    (lambda d: d.update(model={"layer": "Dense", "settings": {"units": 1}}), "model.json does not describe a model"),
    (lambda d: d.update(model={"activation": "relu", "settings": {}}),
     "the activation 'relu' is a function and takes no settings"),
    (lambda d: d.update(model={"layer": 3}), "an entry with the keys ['layer'] is not one that chainrule writes"),
    (lambda d: d.update(model={"shared": 0}), "it shares the object 0, which is not defined before"),
    (lambda d: d.update(model={"tuple": 3}), "the entry 'tuple' holds 3"),
    (lambda d: d.update(model={"symbol": -1}), "the entry 'symbol' holds -1"),
    (lambda d: d.update(model={"number": "1e5"}), "'1e5' is not a number"),
    (lambda d: d.update(model={"items": [1]}), "the items of a dict are not pairs"),
    (lambda d: d.update(model={"items": [[[], 1]]}), "a key of a dict is neither text nor a number"),
    (lambda d: d.update(model={"array": 7}), "there is no array 7 among the settings"),
    (lambda d: d.update(model={"array": [1], "shape": [2], "dtype": "O"}),
     "an array of the settings is not valid (TypeError: it does not hold numbers)"),
    (lambda d: settings_of(d)["layers"][0]["settings"].update(units=-4),
     "the layer Dense refuses its settings (SettingError: Dense: `units` must be a positive integer; got -4.)"),
    (lambda d: settings_of(d)["layers"][0]["settings"].update(name="first", depth=1),
     "the layer Dense 'first' refuses its settings (TypeError: Dense.__init__() got an unexpected keyword argument "
     "'depth')"),
    (lambda d: settings_of(d)["layers"][0]["settings"].update(units=10**12),
     "the array 'weights/dense/kernel' has the shape (3, 4); the model's has (3, 1000000000000)"),
    (lambda d: settings_of(d)["layers"][0]["settings"].update(
        activation={"layer": "Dense", "settings": {"units": 10**12}}),
     "the array 'weights/dense/activation/kernel' is missing"),
    (lambda d: settings_of(d)["layers"].pop(), "the array 'weights/dense_1/bias' belongs to nothing in the model"),
    (lambda d: settings_of(d).update(input=None), "the array 'state/batch_normalization/moving_mean' belongs to no "
     "layer: the model is not built"),
    (lambda d: d.update(compile=None), "the array 'optimizer/first_moment/batch_normalization/beta' belongs to an "
     "optimiser, and the file has none"),
    (lambda d: d["compile"]["items"].update(loss="no_loss"),
     "the arguments of compile are not valid (UnknownNameError: There is no loss 'no_loss'. Did you mean 'poisson'?)"),
    (lambda d: d["compile"]["items"]["optimizer"].update(optimizer="SGD"),
     "the array 'optimizer/first_moment/batch_normalization/beta' belongs to nothing in the model"),
])
def test_settings_that_are_refused(tmp_path, members, change, reason):
    found = refusal(write_zip(tmp_path / "model.chain", changed(members, change)))
    if "Did you mean" in reason:
        found, reason = found.partition("Did you mean")[0], reason.partition("Did you mean")[0]
    assert found == reason


def test_an_unknown_layer(tmp_path, members):
    damaged = changed(members, lambda d: settings_of(d)["layers"][0].update(layer="os.system"))
    path = write_zip(tmp_path / "model.chain", damaged)
    with pytest.raises(UnknownLayerError) as error:
        load_model(path)
    assert str(error.value) == (
        "The file uses the layer 'os.system', which is not part of chainrule. Hand it in by name: "
        "load_model(path, custom_objects={'os.system': os.system}).")


def test_weights_are_held_against_the_layers(tmp_path, members):
    path, found = tmp_path / "model.chain", tensors.unpack(members["weights.safetensors"])
    name = "weights/dense/kernel"

    def reason(arrays):
        return refusal(write_zip(path, members | {"weights.safetensors": tensors.pack(arrays)}))

    assert reason({key: value for key, value in found.items() if key != name}) == f"the array {name!r} is missing"
    assert reason(found | {name: found[name].T}) == (
        f"the array {name!r} has the shape (4, 3); the model's has (3, 4)")
    assert reason(found | {name: found[name].astype("float64")}) == (
        f"the array {name!r} has the type float64; the model's has float32")
    assert reason(found | {"weights/more": found[name]}) == "the array 'weights/more' belongs to nothing in the model"
    assert reason(found | {"setting/1": found[name]}) == "the arrays among the settings are not numbered from 0 to 0"
    assert reason({key: value for key, value in found.items() if key != "optimizer/step"}) == (
        "the array 'optimizer/step' is missing")


def test_weights_need_not_be_finite(tmp_path):
    model = Sequential([Input((2,)), Dense(1)])
    model.set_weights([np.array([[np.nan], [np.inf]], "float32"), np.array([-np.inf], "float32")])
    assert_same(through_file(model, tmp_path).variables(), model.variables())


def test_damaged_files_load_or_are_refused_in_time(tmp_path, members):
    """2,000 files with random damage: to the archive, or to its members under a checksum that is right."""
    rng, path = np.random.default_rng(1), tmp_path / "model.chain"
    whole = write_zip(path, members).read_bytes()
    for number in range(2000):
        path.write_bytes(damaged_archive(rng, whole) if number % 2 else damaged_member(rng, members))
        start = time.process_time()
        try:
            load_model(path)
        except ChainruleError:
            pass
        assert time.process_time() - start < 1


def damaged_archive(rng, whole: bytes) -> bytes:
    return whole[: rng.integers(len(whole))] if rng.random() < 0.2 else flipped(rng, whole)


def damaged_member(rng, members) -> bytes:
    names = list(members)
    choice = rng.random()
    if choice < 0.02:
        damaged = dict(zip(names, reversed(members.values()), strict=True))
    elif choice < 0.1:
        name = names[rng.integers(len(names))]
        damaged = members | {name: members[name][: rng.integers(len(members[name]))]}
    elif choice < 0.4:
        header = 8 + int.from_bytes(members["weights.safetensors"][:8], "little")
        data = members["weights.safetensors"]
        damaged = members | {"weights.safetensors": data[:8] + flipped(rng, data[8:header], 128) + data[header:]}
    elif choice < 0.7:
        damaged = members | {"model.json": flipped(rng, members["model.json"], 128)}
    else:
        damaged = changed(members, lambda description: replace_one(rng, description))
    buffer = io.BytesIO()
    write_zip(buffer, damaged, zipfile.ZIP_STORED)
    return buffer.getvalue()


def flipped(rng, data: bytes, values: int = 256) -> bytes:
    """The data with one to four bytes replaced."""
    changed = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 5)):
        changed[place] = rng.integers(values)
    return bytes(changed)


def replace_one(rng, description) -> None:
    """Put something else into a random place of a description."""
    places = []

    def visit(node):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            places.append((node, key))
            if isinstance(value, (dict, list)):
                visit(value)

    visit(description)
    node, key = places[rng.integers(len(places))]
    node[key] = [None, True, -1, 10**18, 0.5, "", "relu", "Dense", [], {}, [[1]], {"shared": 0},
                 {"layer": "Sequential"}, {"layer": "Dense", "settings": {"units": 10**9}}, {"symbol": 0}, {"array": 0},
                 {"number": "nan"}, description][rng.integers(17)]
