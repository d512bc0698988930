"""The faces of a model: networks of layers, pure functions, the store of weights, what is shown."""
import copy
import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, classifier, two_moons

import chainrule as cr
from chainrule.errors import NotReadyError, SettingError, ShapeError
from chainrule.layers import Activation, BatchNormalization, Dense, Dropout, Flatten, Layer
from chainrule.optimizers import SGD

X, Y = two_moons(40)


def test_sequential_by_add_with_input_shape():
    model = cr.Sequential()
    model.add(Dense(3, input_shape=(2,)))
    model.add(Activation("relu"))
    model.add(Dense(1))
    assert model.built and model.count_params() == 2 * 3 + 3 + 3 + 1
    assert [layer.name for layer in model.layers] == ["dense", "activation", "dense_1"]
    model.pop()
    assert model.predict(X).shape == (40, 3)


def test_sequential_built_by_its_first_data():
    model = cr.Sequential([Dense(4, activation="relu"), Dense(2, activation="softmax")])
    assert not model.built
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, verbose=0)
    assert model.built and model.get_weights()[0].shape == (2, 4)


def test_sequential_is_built_by_a_call_too():
    model = cr.Sequential([Flatten(), Dense(2)])
    assert model(np.ones((3, 2, 2), "float32")).shape == (3, 2)
    assert model.count_params() == 10


def test_summary():
    lines = []
    model = cr.Sequential([cr.Input((4,)), Dense(8, activation="relu"), BatchNormalization(), Dense(1)], name="small")
    model.summary(print_fn=lines.append)
    assert "\n".join(lines) == """\
Sequential 'small'
───────────────────────────────────────────────────────────────
Layer                                     Output shape  Weights
───────────────────────────────────────────────────────────────
dense (Dense)                             (None, 8)          40
batch_normalization (BatchNormalization)  (None, 8)          32
dense_1 (Dense)                           (None, 1)           9
───────────────────────────────────────────────────────────────
Total weights: 81
Trainable: 65
Not trainable: 16"""
    assert "<table>" in model._repr_html_() and "Total weights: 81" in model._repr_html_()


def test_weights_come_in_the_order_of_keras():
    model = cr.Sequential([cr.Input((2,)), Dense(3), BatchNormalization(), Dense(1)])
    assert [w.shape for w in model.get_weights()] == [(2, 3), (3,), (3,), (3,), (3,), (3,), (3, 1), (1,)]
    norm = model.get_layer("batch_normalization")
    gamma, beta, mean, variance = norm.get_weights()
    assert gamma.tolist() == [1, 1, 1] and beta.tolist() == [0, 0, 0]
    assert mean.tolist() == [0, 0, 0] and variance.tolist() == [1, 1, 1]
    norm.set_weights([gamma * 2, beta, mean + 5, variance])
    assert model.get_weights()[2].tolist() == [2, 2, 2] and model.get_weights()[4].tolist() == [5, 5, 5]


def test_views_behave_as_their_layers():
    model = classifier()
    first = model.layers[0]
    assert isinstance(first, Dense) and first.units == 8 and first.name == "dense"
    assert first.kernel.shape == (2, 8) and first.output.shape == (None, 8) and first.input.shape == (None, 2)
    assert first.count_params() == 24
    first.trainable = False
    assert model.get_layer(index=0).trainable is False
    again = cr.Sequential(model.layers[:1])
    assert np.array_equal(again.predict(X), cr.Model(model.inputs, model.get_layer("dense").output).predict(X))


def test_pure_face():
    model = cr.Sequential([cr.Input((2,)), Dense(3), Dropout(0.5), BatchNormalization()])
    weights, state = model.init(jax.random.key(0))
    assert set(weights) == {"dense", "batch_normalization"} and set(weights["dense"]) == {"kernel", "bias"}
    assert set(state["batch_normalization"]) == {"moving_mean", "moving_variance"}
    y, same = model.apply(weights, state, X)
    assert_close(same, state)
    y, new = model.apply(weights, state, X, training=True, key=jax.random.key(1))
    assert not np.array_equal(new["batch_normalization"]["moving_mean"], state["batch_normalization"]["moving_mean"])
    assert_close(state["batch_normalization"]["moving_mean"], np.zeros(3))
    gradients = jax.jit(jax.grad(lambda w: model.apply(w, state, X)[0].sum()))(weights)
    assert jax.tree.structure(gradients) == jax.tree.structure(weights)
    outputs = jax.vmap(lambda key: model.apply(model.init(key)[0], state, X)[0])(jax.random.split(jax.random.key(0), 3))
    assert outputs.shape == (3, 40, 3) and not np.array_equal(outputs[0], outputs[1])


def test_init_draws_by_name():
    """Adding a layer moves no other layer's first weights."""
    short = cr.Sequential([cr.Input((2,)), Dense(3, name="first")])
    long = cr.Sequential([cr.Input((2,)), Dense(3, name="first"), Dense(5, name="second")])
    key = jax.random.key(7)
    np.testing.assert_array_equal(short.init(key)[0]["first"]["kernel"], long.init(key)[0]["first"]["kernel"])


def test_variables_are_the_bridge_between_the_faces():
    model = classifier()
    weights, state = model.variables()
    doubled = jax.tree.map(lambda w: 2 * w, weights)
    model.set_variables(doubled, state)
    assert_close(model.variables()[0], doubled)
    assert_close(model.predict(X), model.apply(doubled, state, X)[0], rtol=1e-6)
    with pytest.raises(SettingError, match="do not have the structure of this model's"):
        model.set_variables({}, state)


def test_weights_are_made_once_and_never_remade_by_fit():
    model = classifier(optimizer=SGD(0.0))
    before = model.get_weights()
    model.fit(X, Y, verbose=0, seed=5)
    assert_close(before, model.get_weights())


def test_calling_on_arrays_and_on_traced_ones():
    model = classifier()
    assert_close(model(X), model.predict(X), rtol=1e-6)
    assert_close(jax.jit(model)(X), model.predict(X), rtol=1e-6)
    slope = jax.grad(lambda x: model(x)[0, 0])(jnp.asarray(X))
    assert np.abs(slope[0]).sum() > 0 and np.abs(slope[1:]).sum() == 0


def test_functional_chain_and_nesting():
    inputs = cr.Input((2,), name="points")
    body = cr.Sequential([Dense(4, activation="tanh"), Dense(3)], name="body")
    model = cr.Model(inputs, Dense(1, name="head")(body(inputs)))
    model.compile("adam", "mse")
    model.fit({"points": X}, X[:, :1], verbose=0)
    assert set(model.variables()[0]) == {"body", "head"} and set(model.variables()[0]["body"]) == {"dense", "dense_1"}
    assert_close(body.predict(X), cr.Model(model.inputs, model.get_layer("body").output).predict(X))


def test_subclass_with_a_call_of_its_own():
    class Twice(cr.Model):
        def __init__(self, units):
            super().__init__()
            self.body = Dense(units, activation="tanh")
            self.heads = [Dense(1), Dense(1)]

        def call(self, x):
            hidden = self.body(x)
            return self.heads[0](hidden) + self.heads[1](hidden)

    model = Twice(4)
    model.compile("adam", "mse")
    history = model.fit(X, X[:, :1], epochs=30, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert set(model.variables()[0]) == {"body", "heads_0", "heads_1"} and model.count_params() == 12 + 5 + 5


def test_train_on_batch_is_a_step_of_fit():
    stepped, fitted = classifier(optimizer=SGD(0.1)), classifier(optimizer=SGD(0.1))
    for _ in range(3):
        report = stepped.train_on_batch(X, Y, return_dict=True)
    history = fitted.fit(X, Y, batch_size=40, epochs=3, verbose=0, shuffle=False).history
    assert_close(stepped.variables(), fitted.variables(), rtol=1e-6)
    assert report["loss"] == pytest.approx(history["loss"][-1], rel=1e-6)


def test_test_on_batch_and_evaluate_agree():
    model = classifier()
    assert model.test_on_batch(X, Y) == pytest.approx(model.evaluate(X, Y, verbose=0, batch_size=7), rel=1e-6)
    assert isinstance(classifier(metrics=()).evaluate(X, Y, verbose=0), float)


def test_a_column_may_be_given_without_its_axis():
    model = cr.Sequential([cr.Input((2,)), Dense(1)])
    model.compile("sgd", "mse")
    flat = model.evaluate(X, X[:, 0], verbose=0)
    assert flat == model.evaluate(X, X[:, :1], verbose=0)
    assert flat == pytest.approx(float(np.mean((model.predict(X)[:, 0] - X[:, 0]) ** 2)), rel=1e-5)


@pytest.mark.parametrize(("layer", "loss", "message"), [
    (Dense(2), "sparse_categorical_crossentropy",
     "SparseCategoricalCrossentropy takes probabilities, but the output 'dense' ends in the activation 'linear'. End "
     "it in 'softmax', or use SparseCategoricalCrossentropy(from_logits=True)."),
    (Dense(1, activation="relu"), "binary_crossentropy",
     "BinaryCrossentropy takes probabilities, but the output 'dense' ends in the activation 'relu'. End it in "
     "'sigmoid', or use BinaryCrossentropy(from_logits=True)."),
    (Dense(2, activation="softmax"), cr.losses.SparseCategoricalCrossentropy(from_logits=True),
     "SparseCategoricalCrossentropy(from_logits=True) takes values before the activation, but the output 'dense' ends "
     "in 'softmax'. Drop from_logits=True, or end the network without an activation."),
    (Dense(1, activation="softmax"), "binary_crossentropy",
     "The output 'dense' is a softmax over one unit, which is always 1. Use 'sigmoid'."),
])
def test_a_loss_that_does_not_fit_the_last_activation_is_warned_of(layer, loss, message):
    model = cr.Sequential([cr.Input((2,)), layer])
    model.compile(SGD(1e-6), loss)
    with pytest.warns(UserWarning) as caught:
        model.fit(X, Y, verbose=0)
    assert [str(warning.message) for warning in caught] == [message]


def test_no_warning_where_loss_and_activation_fit():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier().fit(X, Y, verbose=0)


def test_a_sure_and_wrong_softmax_still_learns():
    """The loss is computed from what went into the softmax: there is a gradient where the probability rounds to 0."""
    model = cr.Sequential([cr.Input((1,)), Dense(2, activation="softmax")])
    model.compile(SGD(1.0), "sparse_categorical_crossentropy")
    model.set_weights([np.array([[200.0, 0.0]]), np.zeros(2)])
    x, y = np.ones((8, 1), "float32"), np.ones(8, "int32")
    assert model.evaluate(x, y, verbose=0) == pytest.approx(200)
    model.fit(x, y, epochs=250, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 1


def test_user_layer_with_state_of_its_own():
    class Count(Layer):
        def build(self, input_shape):
            self.seen = self.add_weight((), initializer="zeros", trainable=False)

        def call(self, x, training):
            if training:
                self.seen = self.seen + 1
            return x

    model = cr.Sequential([cr.Input((2,)), Count(), Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], batch_size=10, epochs=3, verbose=0)
    assert model.variables()[1]["count"]["seen"] == 12
    assert model.layers[0].get_weights() == [12]


def test_assigning_anything_else_in_call_is_an_error():
    class Leak(Layer):
        def call(self, x):
            self.last = x
            return x

    with pytest.raises(SettingError) as error:
        cr.Sequential([cr.Input((2,)), Leak(name="leak")])
    assert str(error.value) == (
        "`call` of layer 'leak' (Leak) assigns self.last. A layer computes without changing itself: only state may be "
        "assigned, declared in `build` by add_weight(..., trainable=False).")


def test_an_error_inside_call_names_the_layer():
    class Wrong(Layer):
        def call(self, x):
            return x @ jnp.ones((5, 5))

    with pytest.raises(TypeError) as error:
        Wrong(name="wrong")(np.ones((2, 3), "float32"))
    assert error.value.__notes__ == ["This happened in layer 'wrong' (Wrong), called on (7907, 3) float32."] or any(
        "layer 'wrong' (Wrong)" in note for note in error.value.__notes__)


def test_a_layer_does_not_fit_two_sizes():
    layer = Dense(3, name="shared")
    layer(cr.Input((4,)))
    with pytest.raises(ShapeError) as error:
        layer(cr.Input((5,)))
    assert str(error.value) == (
        "Layer 'shared' (Dense) was built for inputs of shape (None, 4); got (None, 5). Its weights fit only the "
        "first: the last axis must agree. Use a second Dense for the other input.")


def test_models_are_copied_and_pickled_with_their_training():
    model = classifier()
    model.fit(X, Y, verbose=0, seed=0)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        reference = copy.deepcopy(model)
        again.fit(X, Y, verbose=0, seed=1)
        reference.fit(X, Y, verbose=0, seed=1)
        assert_close(again.variables(), reference.variables())


def test_what_needs_data_first_says_so():
    with pytest.raises(NotReadyError) as error:
        cr.Sequential([Dense(3)]).count_params()
    assert str(error.value) == (
        "count_params needs the model's weights, and their shapes are not known yet. Give the first layer an input "
        "shape (Input(...) or input_shape=...), or fit or call the model on data first.")


def test_history_shows_itself():
    history = classifier().fit(X, Y, epochs=30, verbose=0)
    assert repr(history).startswith("<History of 30 epochs: loss ")
    assert history._repr_html_().count("<tr>") == 21 and history.epoch == list(range(30))
