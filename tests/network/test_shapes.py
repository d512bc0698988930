"""Networks of any shape: several inputs and outputs, shared layers, nesting, subclasses; trained and kept in files."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr
from chainrule import optimizers
from chainrule.layers import Add, BatchNormalization, Concatenate, Dense, Dropout, Subtract
from chainrule.models import load_model

draw = np.random.default_rng(0)
X, Z = (draw.normal(size=(70, size)).astype("float32") for size in (6, 3))
Y = X[:, :1] + Z[:, :1]
KIND = (X[:, 0] > 0).astype("int32")


class Heads(cr.Model):
    """Layers in a list and in a dict."""

    def __init__(self, width=8, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.blocks = [Dense(width, activation="relu") for _ in range(2)]
        self.heads = {"a": Dense(1), "b": Dense(2)}
        self.drop = Dropout(0.1)

    def call(self, x, training=False):
        for block in self.blocks:
            x = block(x)
        x = self.drop(x, training=training)
        return {name: head(x) for name, head in self.heads.items()}


class Pair(cr.Model):
    """Two inputs, as a list."""

    def __init__(self):
        super().__init__()
        self.body, self.head = Dense(3), Dense(1)

    def call(self, inputs):
        first, second = inputs
        return self.head(jnp.concatenate([self.body(first), second], -1))


class ByName(Pair):
    """Two inputs, as a dict."""

    def call(self, inputs):
        return super().call([inputs["x"], inputs["z"]])


class BuildsItself(cr.Model):
    """Layers made in `build`."""

    def build(self, input_shape):
        self.body = Dense(input_shape[-1])
        super().build(input_shape)

    def call(self, x):
        return self.body(x)


CUSTOM = {cls.__name__: cls for cls in (Heads, Pair, ByName, BuildsItself)}


def trained(model, x=X, y=Y, loss="mse", **settings):
    model.compile("adam", loss)
    model.fit(x, y, epochs=1, verbose=0, **settings)
    return model


def assert_kept(model, x, folder):
    """The model in a file predicts the same, has as many weights, and goes on training."""
    model.save(folder / "model.chain")
    again = load_model(folder / "model.chain", custom_objects=CUSTOM)
    results = [jax.tree.leaves(one.predict(x)) for one in (model, again)]
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)
    assert again.count_params() == model.count_params()
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    return again


@pytest.mark.parametrize("by_name", [True, False])
def test_several_inputs_and_outputs(by_name, tmp_path):
    x, z = cr.Input((6,), name="x"), cr.Input((3,), name="z")
    amount, kind = Dense(1, name="amount")(Concatenate()([x, z])), Dense(2, activation="softmax", name="kind")(x)
    if by_name:
        model = cr.Model({"x": x, "z": z}, {"amount": amount, "kind": kind})
        data, targets = {"x": X, "z": Z}, {"amount": Y, "kind": KIND}
        choose = lambda amount, kind: {"amount": amount, "kind": kind}
    else:
        model = cr.Model([x, z], [amount, kind])
        data, targets, choose = [X, Z], [Y, KIND], lambda amount, kind: [amount, kind]
    model.compile("adam", choose("mse", "sparse_categorical_crossentropy"), loss_weights=choose(1.0, 0.5),
                  metrics=choose(["mae"], ["accuracy"]))
    history = model.fit(data, targets, epochs=2, verbose=0, validation_split=0.2, class_weight={"kind": {0: 1, 1: 2}},
                        sample_weight=choose(np.ones(70), None)).history
    assert list(history) == [f"{prefix}{name}" for prefix in ("", "val_") for name in (
        "loss", "amount_loss", "kind_loss", "amount_mae", "kind_accuracy")]
    figures = model.evaluate(data, targets, verbose=0, return_dict=True)
    assert figures["loss"] == pytest.approx(figures["amount_loss"] + 0.5 * figures["kind_loss"])
    predicted = model.predict(data)
    assert type(predicted) is (dict if by_name else list)
    np.testing.assert_allclose(model.apply(*model.variables(), data)[0]["amount" if by_name else 0],
                               predicted["amount" if by_name else 0], rtol=1e-5, atol=1e-6)
    assert_kept(model, data, tmp_path)


def two_and_two(by_name=True, **choice):
    """A network of two inputs and two outputs, by names whose order is not that of the alphabet."""
    z, b = cr.Input((1,), name="z"), cr.Input((1,), name="b")
    p, a = Dense(2, activation="softmax", name="p")(Concatenate()([z, b])), Dense(1, name="a")(z)
    model = cr.Model({"z": z, "b": b}, {"p": p, "a": a}) if by_name else cr.Model([z, b], [p, a])
    model.compile(**{"loss": {"p": "sparse_categorical_crossentropy", "a": "mse"}} | choice)
    return model


DATA, TARGETS = {"z": X[:, :1], "b": X[:, 1:2]}, {"p": KIND, "a": Y}


@pytest.mark.parametrize("use, message", [
    (lambda: two_and_two().predict(list(DATA.values())),
     "x is a list, and the network has its inputs by name. Give a dict with the keys 'b', 'z'."),
    (lambda: two_and_two()(tuple(DATA.values())),
     "x is a tuple, and the network has its inputs by name. Give a dict with the keys 'b', 'z'."),
    (lambda: two_and_two().apply({}, {}, list(DATA.values())),
     "x is a list, and the network has its inputs by name. Give a dict with the keys 'b', 'z'."),
    (lambda: two_and_two().fit(DATA, list(TARGETS.values()), verbose=0),
     "y is a list, and the network has its outputs by name. Give a dict with the keys 'a', 'p'."),
    (lambda: two_and_two().evaluate(DATA, TARGETS, sample_weight=[None, None], verbose=0),
     "sample_weight is a list, and the network has its outputs by name. Give a dict with the keys 'a', 'p'."),
    (lambda: two_and_two(loss=["mse", "mse"]).fit(DATA, TARGETS, verbose=0),
     "loss is a list, and the network has its outputs by name. Give a dict with the keys 'a', 'p'."),
    (lambda: two_and_two(loss_weights=[1, 2]).fit(DATA, TARGETS, verbose=0),
     "loss_weights is a list, and the network has its outputs by name. Give a dict with the keys 'a', 'p'."),
    (lambda: two_and_two(metrics=[["mse"], None]).fit(DATA, TARGETS, verbose=0),
     "metrics is a list, and the network has its outputs by name. Give a dict with the keys 'a', 'p'."),
    (lambda: two_and_two()({"z": X, "q": X}), "The network has no input 'q'. Known names: 'b', 'z'."),
    (lambda: two_and_two()({"z": X}), "The network takes the inputs ['b', 'z']; ['b'] are missing."),
])
def test_what_has_names_is_not_given_in_an_order(use, message):
    with pytest.raises(ValueError) as error:
        use()
    assert str(error.value) == message


@pytest.mark.parametrize("class_weight, message", [
    ({0: 1.0, 1: 2.0},
     f"class_weight needs integer labels; found {Y[0, 0]} in row 0. This is about the output 'a', since class_weight "
     "is given for all outputs. Give it by output for those of classes: class_weight={'p': {0: 1.0, 1: 2.0}}."),
    ({"p": {7: 1.0}},
     "class_weight names the class 7, which is none of the labels 0, 1. This is about the output 'p'."),
])
@pytest.mark.parametrize("by_name", [True, False])
def test_class_weights_name_the_output_that_they_do_not_fit(by_name, class_weight, message):
    model = two_and_two(by_name)
    data = DATA if by_name else list(DATA.values())
    with pytest.raises(ValueError) as error:
        model.fit(data, TARGETS, class_weight=class_weight, verbose=0)
    assert str(error.value) == message
    model.fit(data, TARGETS, class_weight={"p": {0: 1.0, 1: 2.0}}, verbose=0)


@pytest.mark.parametrize("with_shape", [True, False])
def test_a_sequential_inside_a_model(with_shape, tmp_path):
    body = cr.Sequential([*([cr.Input((6,))] * with_shape), Dense(8, activation="relu", name="hidden"), Dropout(0.2)],
                         name="body")
    inputs = cr.Input((6,))
    model = trained(cr.Model(inputs, Dense(1)(body(inputs))))
    assert model.count_params() == 56 + 9 and body.count_params() == 56
    again = assert_kept(model, X, tmp_path)
    np.testing.assert_array_equal(again.get_layer("body").get_layer("hidden").get_weights()[0],
                                  body.get_layer("hidden").get_weights()[0])


def test_sequentials_without_shapes_in_each_other(tmp_path):
    assert_kept(trained(cr.Sequential([cr.Sequential([Dense(4), Dense(3)]), Dense(1)])), X, tmp_path)


def test_a_model_used_twice_is_trained_once(tmp_path):
    inputs = cr.Input((6,))
    encoder = cr.Model(inputs, Dense(4, activation="tanh")(Dense(5)(inputs)), name="encoder")
    first, second = cr.Input((6,)), cr.Input((6,))
    model = trained(cr.Model([first, second], Dense(1)(Subtract()([encoder(first), encoder(second)]))), [X, X[::-1]])
    assert model.count_params() == 35 + 24 + 5
    assert_kept(model, [X, X], tmp_path)


@pytest.mark.parametrize("outer_first", [True, False])
def test_a_layer_shared_between_a_model_and_one_inside_it(outer_first, tmp_path):
    shared = Dense(6, name="shared")
    inner = cr.Sequential([cr.Input((6,)), shared, Dense(3)], name="inner")
    inputs = cr.Input((6,))
    branches = [shared, inner] if outer_first else [inner, shared]
    model = cr.Model(inputs, Dense(1)(Concatenate()([branch(inputs) for branch in branches])))
    assert model.count_params() == 42 + 21 + 10
    again = assert_kept(trained(model), X, tmp_path)
    assert again.get_layer("shared").layer is again.get_layer("inner").get_layer("shared").layer
    assert_kept(trained(again), X, tmp_path)


def test_models_of_inner_outputs_see_what_the_other_trained():
    base = cr.Sequential([cr.Input((6,)), Dense(8, activation="relu", name="hidden"), Dense(1, name="out")])
    features = cr.Model(base.inputs, base.get_layer("hidden").output)
    every = cr.Model(base.input, [layer.output for layer in base.layers])
    trained(base)
    kernel, bias = base.get_layer("out").get_weights()
    np.testing.assert_allclose(features.predict(X) @ kernel + bias, base.predict(X), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(every.predict(X)[1], base.predict(X))
    inputs = cr.Input((6,))
    outer = cr.Model(inputs, Dense(1)(base(inputs)))
    inner = outer.get_layer(index=1)
    assert cr.Model(inner.inputs, inner.get_layer("hidden").output).predict(X).shape == (70, 8)


def test_freezing_by_layer_and_by_name():
    model = cr.Sequential([cr.Input((6,)), Dense(8, name="hidden"), Dense(1, name="out")])
    model.compile("adam", "mse")
    model.get_layer("hidden").trainable = False
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    assert [np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True)] == 2 * [True] + 2 * [False]
    model.layers[0].trainable = True
    model.fit(X, Y, verbose=0)
    assert not any(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("how", ["afterwards", "as a setting"])
def test_a_frozen_model_inside_another_stays_as_it_is(how):
    base = cr.Sequential([cr.Input((6,)), Dense(8, kernel_regularizer="l2"), BatchNormalization(), Dense(2)],
                         trainable=how == "afterwards")
    if how == "afterwards":
        base.trainable = False
        assert not any(layer.trainable for layer in base.layers)
    inputs = cr.Input((6,))
    model = cr.Model(inputs, Dense(1)(base(inputs)))
    before, loss = base.get_weights(), model.compile("sgd", "mse") or model.evaluate(X, Y, verbose=0)
    assert loss == pytest.approx(np.mean((model.predict(X) - Y) ** 2), rel=1e-5)  # no penalty on frozen weights
    model.fit(X, Y, epochs=2, verbose=0)
    for first, second in zip(before, base.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)  # running statistics among them
    base.trainable = True
    assert all(layer.trainable for layer in base.layers)
    model.fit(X, Y, verbose=0)
    assert not any(np.array_equal(*pair) for pair in zip(before, base.get_weights(), strict=True))


def test_an_optimiser_for_the_weights_of_a_model_inside():
    body = cr.Sequential([cr.Input((6,)), Dense(8, activation="relu"), Dense(2)], name="body")
    inputs = cr.Input((6,))
    model = cr.Model(inputs, Dense(1)(body(inputs)))
    model.compile(optimizers.MultiOptimizer({"body": optimizers.SGD(0.0)}, default=optimizers.Adam(0.01)), "mse")
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    assert [np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True)] == 4 * [True] + 2 * [False]


def test_a_group_that_is_frozen_at_first(tmp_path):
    body = cr.Sequential([cr.Input((6,)), Dense(2)], name="body")
    inputs = cr.Input((6,))
    model = cr.Model(inputs, Dense(1)(body(inputs)))
    model.compile(optimizers.MultiOptimizer({"body": optimizers.Adam(0.01)}, default="sgd"), "mse")
    body.trainable = False
    before = body.get_weights()
    model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(body.get_weights()[0], before[0])
    model.save(tmp_path / "frozen.chain")
    cr.models.load_model(tmp_path / "frozen.chain").fit(X, Y, verbose=0)
    body.trainable = True
    model.fit(X, Y, verbose=0)
    assert not np.array_equal(body.get_weights()[0], before[0])


def test_a_subclass_with_layers_in_a_list_and_a_dict(tmp_path):
    model = Heads(5)
    model.compile("adam", {"a": "mse", "b": "mse"}, metrics={"a": "mae"})
    model.fit(X, {"a": Y, "b": Z[:, :2]}, epochs=1, verbose=0)
    model.predict(X)
    assert model.count_params() == 35 + 30 + 6 + 12
    assert [layer.name for layer in model.layers] == ["blocks_0", "blocks_1", "heads_a", "heads_b", "drop"]
    assert_kept(model, X, tmp_path)


@pytest.mark.parametrize("make, data", [(Pair, [X, Z]), (Pair, (X, Z)), (ByName, {"x": X, "z": Z})])
def test_a_subclass_of_several_inputs(make, data, tmp_path):
    model = trained(make(), data)
    np.testing.assert_allclose(model(data), model.predict(data), rtol=1e-4, atol=1e-5)
    assert_kept(model, data, tmp_path)


def test_a_subclass_inside_a_graph(tmp_path):
    inputs = cr.Input((6,))
    outputs = Heads(4)(inputs)
    assert_kept(trained(cr.Model(inputs, Add()([outputs["a"], Dense(1)(outputs["b"])]))), X, tmp_path)
    assert cr.Model(inputs, BuildsItself()(inputs)).count_params() == 42


@pytest.mark.parametrize("model, shape, weights", [
    (Heads(4), (None, 6), 28 + 20 + 5 + 10), (cr.Sequential([Dense(3), Dense(2)]), (None, 6), 21 + 8),
    (Pair(), [(None, 6), (None, 3)], 21 + 7), (ByName(), {"x": (None, 6), "z": (None, 3)}, 21 + 7),
    (BuildsItself(), (None, 6), 42),
], ids=["list and dict", "sequential", "pair", "by name", "builds itself"])
def test_building_before_there_is_data(model, shape, weights):
    model.build(shape)
    assert model.built and model.count_params() == weights


def test_a_first_attempt_with_other_data_leaves_nothing_behind():
    model = Pair()
    model.compile("adam", "mse")
    with pytest.raises(ValueError):
        model.fit(X, Y, verbose=0)
    assert not model.built
    model.fit([X, Z], Y, verbose=0)


def test_a_sequential_takes_its_one_input_in_a_list():
    model = trained(cr.Sequential([Dense(1)]), [X])
    assert model.count_params() == 7


def test_the_summary_of_a_model_with_a_call_of_its_own_knows_shapes_after_the_first_data():
    class Own(cr.Model):
        def __init__(self):
            super().__init__()
            self.body, self.head = Dense(3), Dense(1)

        def call(self, x):
            return self.head(self.body(x))

    model, lines = Own(), []
    model.predict(np.ones((4, 2), "float32"))
    model.summary(print_fn=lines.append)
    assert lines[0].splitlines()[4:6] == ["body (Dense)  (None, 3)           9", "head (Dense)  (None, 1)           4"]
