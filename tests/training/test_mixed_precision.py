"""Networks of `mixed_bfloat16`: what is in which type, and that they learn."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import kernels
from chainrule.layers import LSTM, Activation, BatchNormalization, Dense, Dropout, Embedding, Lambda, Masking, Residual
from chainrule.layers.base import Layer
from chainrule.models import Input, Model, Sequential, load_model

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(256, 20)).astype("float32")
Y = (X[:, 0] * X[:, 1] > 0).astype("int32")


def classifier(dtype="mixed_bfloat16", **settings):
    model = Sequential([Input((20,)), Dense(32, activation="relu"), BatchNormalization(), Dropout(0.1),
                        Dense(32, activation="tanh", kernel_regularizer="l2", activity_regularizer="l2"),
                        Dense(2, activation="softmax")], dtype=dtype)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **settings)
    return model


def types_of(tree) -> set[str]:
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree)}


@pytest.mark.parametrize("by_kernels", [True, False])
def test_it_learns_as_in_float32(by_kernels):
    with kernels.allowed(by_kernels):
        losses = []
        for dtype in ("float32", "mixed_bfloat16"):
            model = classifier(dtype)
            history = model.fit(X, Y, epochs=8, batch_size=32, verbose=0, seed=3).history
            losses.append(history["loss"])
        assert losses[1][-1] < 0.9 * losses[1][0]
        np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
        assert losses[1] != losses[0]


def test_variables_and_predictions_are_float32():
    model = classifier()
    model.fit(X, Y, epochs=1, verbose=0)
    assert types_of(model.variables()) == types_of(model.get_weights()) == {"float32"}
    assert types_of([leaf for leaf in jax.tree.leaves(model._compiled.optimizer_state)
                     if jnp.issubdtype(leaf.dtype, jnp.floating)]) == {"float32"}
    assert types_of([model.predict(X), model(X), model.apply(*model.variables(), X)[0]]) == {"float32"}
    np.testing.assert_allclose(model.predict(X).sum(1), 1, atol=1e-6)  # the softmax is not rounded


def test_layers_compute_in_bfloat16():
    seen = []

    class Watched(Layer):
        def build(self, input_shape):
            self.factor = self.add_weight((input_shape[-1],), "ones")
            self.seen = self.add_weight((), "zeros", trainable=False)

        def call(self, x):
            seen.append([str(array.dtype) for array in (x, self.factor, self.seen)])
            self.seen = self.seen + 1
            return x * self.factor * np.float32(2)  # which is float32 again

    inputs = Input((4,))
    model = Model(inputs, Lambda(lambda x: seen.append(str(x.dtype)) or x)(Watched()(inputs)), dtype="mixed_bfloat16")
    seen.clear()
    assert model.predict(np.ones((2, 4))).dtype == "float32"
    assert seen == [["bfloat16", "bfloat16", "float32"], "bfloat16"]


def test_a_layer_of_float32():
    inputs = Input((20,))
    model = Model(inputs, Dense(1, dtype="float32", kernel_initializer="ones")(inputs), dtype="mixed_bfloat16")
    np.testing.assert_allclose(model.predict(X), X.sum(1, keepdims=True), rtol=1e-5, atol=1e-5)
    mixed = Model(inputs, Dense(1, kernel_initializer="ones")(inputs), dtype="mixed_bfloat16")
    assert np.abs(mixed.predict(X) - X.sum(1, keepdims=True)).max() > 1e-3


def test_indices_as_floats_stay_whole():
    model = Sequential([Input((2,)), Embedding(1000, 3)], dtype="mixed_bfloat16")
    table = model.get_weights()[0]
    np.testing.assert_allclose(model.predict(np.array([[999.0, 257.0]])), table[[[999, 257]]], rtol=2.0**-8)


def test_masks_go_through_casts():
    x = DRAW.normal(size=(3, 5, 2)).astype("float32")
    x[0, 3:] = 0.5
    outputs = []
    for dtype in ("float32", "mixed_bfloat16"):
        model = Sequential([Input((5, 2)), Masking(0.5), Residual([Dense(2, kernel_initializer="ones")]), LSTM(3)],
                           dtype=dtype)
        model.set_variables(*jax.tree.map(lambda leaf: leaf * 0 + 0.3, model.variables()))
        outputs.append([model.predict(x), model.predict(np.concatenate([x, np.full((3, 4, 2), 0.5)], 1)[:, :5])])
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=0.03)
    other = x.copy()
    other[0, 3:] = 0.4
    assert np.abs(model.predict(other)[0] - model.predict(x)[0]).max() > 0.02


def test_a_file_keeps_the_precision(tmp_path):
    model = classifier()
    model.fit(X, Y, epochs=1, verbose=0)
    model.save(tmp_path / "mixed.chain")
    again = load_model(tmp_path / "mixed.chain")
    assert again.dtype == "mixed_bfloat16"
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    for each in (model, again):
        each.train_on_batch(X[:32], Y[:32])
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_the_loss_of_a_separate_activation_is_that_of_its_logits():
    model = Sequential([Input((1,)), Dense(1, kernel_initializer="ones"), Activation("sigmoid")],
                       dtype="mixed_bfloat16")
    model.compile("sgd", "binary_crossentropy")
    assert model.evaluate(np.array([[-50.0]]), np.array([[1.0]]), verbose=0) == pytest.approx(50)


def test_a_network_inside_another():
    inner = Sequential([Input((20,)), Dense(8, activation="relu")])
    inputs = Input((20,))
    model = Model(inputs, Dense(1)(inner(inputs)), dtype="mixed_bfloat16")
    exact = Model(model.inputs, model.outputs)
    assert 0 < np.abs(model.predict(X) - exact.predict(X)).max() < 0.05
