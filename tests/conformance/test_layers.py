"""One suite for every layer: what a layer promises to networks, training, files and populations.

A new layer gets a row in `CASES`, and a second one for settings that take another way through its code.
"""
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import activations, layers
from chainrule.configuration import deserialize, serialize
from chainrule.errors import NotReadyError
from chainrule.layers import Activation, BatchNormalization, Dense, Dropout, Flatten, Rescaling, Reshape
from chainrule.layers.base import Layer
from chainrule.layers.binding import apply, initialise, walk
from chainrule.models import Input, Model, load_model
from chainrule.precision import precision
from tests.conformance.samples import REGISTRIES, assert_gradient

ROWS = 5
KEY = np.array([1, 2], "uint32")


class Case(NamedTuple):
    """A layer and what it is tried on.

    Attributes:
        make: makes the layer.
        shape: of one row of its input; a list of shapes for several inputs.
        below: for a layer that takes integers, what they are below.
    """

    make: Callable[[], Layer]
    shape: Any
    below: int | None = None


CASES = [
    Case(lambda: Activation("tanh"), (4,)),
    Case(lambda: Activation("softmax"), (3, 4)),
    Case(lambda: BatchNormalization(), (4,)),
    Case(lambda: BatchNormalization(axis=1, momentum=0.8, epsilon=0.01, center=False), (3, 2, 4)),
    Case(lambda: BatchNormalization(scale=False, beta_initializer="random_normal"), (3, 4)),
    Case(lambda: Dense(3), (4,)),
    Case(lambda: Dense(3, activation="gelu", use_bias=False, kernel_initializer="he_normal"), (2, 4)),
    Case(lambda: Dense(2, activation="softplus", bias_initializer="random_normal", kernel_regularizer="l2",
                       activity_regularizer="l1", kernel_constraint="non_neg"), (3,)),
    Case(lambda: Dropout(0.5), (16,)),
    Case(lambda: Dropout(0.3, noise_shape=(None, 1, None)), (3, 8)),
    Case(lambda: Flatten(), (2, 3, 4)),
    Case(lambda: Rescaling(2.0, offset=-1.0), (3, 4)),
    Case(lambda: Rescaling([2.0, 3.0], offset=[0.5, 1.0]), (3, 2)),
    Case(lambda: Reshape((2, -1)), (3, 4)),
    Case(lambda: layers.ActivityRegularization(l1=0.1, l2=0.2), (3,)),
    Case(lambda: layers.Add(), [(3, 4), (3, 4), (1, 4)]),
    Case(lambda: layers.AlphaDropout(0.4), (16,)),
    Case(lambda: layers.AlphaDropout(0.4, noise_shape=(None, 1, None), seed=3), (3, 8)),
    Case(lambda: layers.Average(), [(4,), (4,), (4,)]),
    Case(lambda: layers.Bilinear(3), [(4,), (5,)]),
    Case(lambda: layers.Bilinear(2, activation="tanh", use_bias=False), [(3, 4), (3, 2)]),
    Case(lambda: layers.CategoryEncoding(4), (3,), below=5),
    Case(lambda: layers.CategoryEncoding(4, "one_hot"), (1,), below=4),
    Case(lambda: layers.CategoryEncoding(4, "count"), (2, 3), below=4),
    Case(lambda: layers.Concatenate(), [(3, 2), (3, 4)]),
    Case(lambda: layers.Concatenate(axis=1), [(3, 2), (1, 2), (2, 2)]),
    Case(lambda: layers.Discretization([-0.5, 0.5], output_mode="one_hot"), (3,)),
    Case(lambda: layers.Discretization([1.0, 2.5]), (3,), below=4),
    Case(lambda: layers.Dot(axes=(2, 1)), [(3, 4), (4, 2)]),
    Case(lambda: layers.Dot(axes=-1, normalize=True), [(4,), (4,)]),
    Case(lambda: layers.ELU(alpha=0.7), (4,)),
    Case(lambda: layers.EinsumDense("btd,dhk->bthk", (None, 2, 3), "elu", bias_axes="hk"), (3, 4)),
    Case(lambda: layers.EinsumDense("...x,xy->...y", 3, bias_axes="y"), (2, 4)),
    Case(lambda: layers.GELU(), (4,)),
    Case(lambda: layers.GELU(approximate=True), (2, 3)),
    Case(lambda: layers.GaussianDropout(0.3), (16,)),
    Case(lambda: layers.GaussianNoise(0.2), (3, 4)),
    Case(lambda: layers.GroupNormalization(2, gamma_initializer="random_normal"), (3, 4)),
    Case(lambda: layers.GroupNormalization(-1, axis=1, center=False), (3, 4, 2)),
    Case(lambda: layers.Hashing(5), (3,), below=100),
    Case(lambda: layers.Hashing(5, mask_value=0, salt=7, output_mode="multi_hot"), (3,), below=4),
    Case(lambda: layers.Identity(), (3, 4)),
    Case(lambda: layers.Lambda(activations.softplus), (4,)),
    Case(lambda: layers.LayerNormalization(), (4,)),
    Case(lambda: layers.LayerNormalization([1, -1], 0.01, scale=False, beta_initializer="random_normal"), (3, 4)),
    Case(lambda: layers.LeakyReLU(), (8,)),
    Case(lambda: layers.Maximum(), [(4,), (4,)]),
    Case(lambda: layers.Maxout(3), (4,)),
    Case(lambda: layers.Maxout(2, pieces=4, use_bias=False), (3, 4)),
    Case(lambda: layers.Minimum(), [(4,), (4,)]),
    Case(lambda: layers.Multiply(), [(4,), (4,), (1,)]),
    Case(lambda: layers.Normalization(), (4,)),
    Case(lambda: layers.Normalization(axis=(1, -1), mean=[1.0, 2.0], variance=[4.0, 9.0], invert=True), (3, 2)),
    Case(lambda: layers.Operation("divide"), [(3, 4), (3, 1)]),
    Case(lambda: layers.Operation("power", left=2.0), (4,)),
    Case(lambda: layers.Operation("matmul"), [(2, 3), (3, 4)]),
    Case(lambda: layers.Operation("multiply", right=np.arange(3.0)), (3,)),
    Case(lambda: layers.PReLU(alpha_initializer="random_normal"), (8,)),
    Case(lambda: layers.PReLU("random_uniform", shared_axes=[1]), (3, 4)),
    Case(lambda: layers.Permute((3, 1, 2)), (2, 3, 4)),
    Case(lambda: layers.RMSNormalization(), (4,)),
    Case(lambda: layers.RMSNormalization(axis=(1, 2), epsilon=0.1), (3, 2, 4)),
    Case(lambda: layers.RReLU(), (16,)),
    Case(lambda: layers.ReLU(), (8,)),
    Case(lambda: layers.ReLU(max_value=1.5, negative_slope=0.2, threshold=0.3), (8,)),
    Case(lambda: layers.RepeatVector(3), (4,)),
    Case(lambda: layers.Residual([Dense(5, activation="tanh"), Dense(4)]), (4,)),
    Case(lambda: layers.Residual(Dense(3), shortcut=Dense(3, use_bias=False)), (2, 4)),
    Case(lambda: layers.SELU(), (4,)),
    Case(lambda: layers.Softmax(), (4,)),
    Case(lambda: layers.Softmax(axis=[1, 2]), (3, 4)),
    Case(lambda: layers.SpatialDropout1D(0.4), (3, 8)),
    Case(lambda: layers.SpatialDropout2D(0.4), (3, 2, 8)),
    Case(lambda: layers.SpatialDropout3D(0.4, seed=5), (2, 1, 2, 8)),
    Case(lambda: layers.Subtract(), [(3, 4), (3, 4)]),
    Case(lambda: layers.UnitNormalization(), (4,)),
]


def test_every_layer_has_a_case():
    assert {type(case.make()) for case in CASES} == set(layers.registry.entries.values())


class Trial:
    """A case as a network of one layer, its arrays, and what several tests compile together."""

    def __init__(self, case: Case):
        self.case = case
        self.layer = case.make()
        self.several = isinstance(case.shape, list)
        shapes = case.shape if self.several else [case.shape]
        inputs = [Input(shape, dtype=case.below and "int32") for shape in shapes]
        self.inputs = inputs if self.several else inputs[0]
        self.model = Model(self.inputs, self.layer(self.inputs))
        self.is_random = "key" in self.layer.accepted_options()
        self.start = jax.jit(lambda key: initialise(self.model, key))
        self.weights, self.state = self.start(KEY)
        self.x = self.data()
        self.compiled = jax.jit(self.evaluate, static_argnames=("training",))

    def data(self, rows: int = ROWS, seed: int = 0, dtype: str = "float32"):
        """Rows for the layer, in the structure that it takes."""
        draw = np.random.default_rng(seed)
        if self.case.below:
            one = lambda shape: draw.integers(0, self.case.below, (rows, *shape)).astype("int32")
        else:
            one = lambda shape: draw.normal(size=(rows, *shape)).astype(dtype)
        return [one(shape) for shape in self.case.shape] if self.several else one(self.case.shape)

    def evaluate(self, weights, state, x, key=None, rows=None, *, training=False):
        """Outputs and new state."""
        outputs, call = apply(self.model, weights, state, (x,), key=key, rows=rows, training=training)
        return outputs, call.new_state


@pytest.fixture(scope="module", params=CASES, ids=lambda case: repr(case.make()))
def trial(request):
    return Trial(request.param)


@pytest.fixture(params=[False, True], ids=["inference", "training"])
def training(request):
    return request.param


def assert_close(left, right, tolerance=1e-6):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, strict=True)


def test_declared_shape_is_the_computed_one(trial):
    open_shape = lambda shape: (None, *shape)
    given = [open_shape(shape) for shape in trial.case.shape] if trial.several else open_shape(trial.case.shape)
    declared = trial.case.make().compute_output_shape(given)
    assert declared == jax.tree.map(lambda symbol: symbol.shape, trial.layer(trial.inputs))
    for rows in (ROWS, 3):
        outputs, _ = jax.eval_shape(trial.evaluate, trial.weights, trial.state, trial.data(rows))
        flat = [declared] if isinstance(declared, tuple) else declared
        assert [leaf.shape for leaf in jax.tree.leaves(outputs)] == [(rows, *shape[1:]) for shape in flat]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_dtype_is_kept(trial, training, dtype):
    with precision("float64" if dtype == "float64" else "float32"), jax.numpy_dtype_promotion("strict"):
        weights, state = jax.eval_shape(lambda key: initialise(trial.layer, key, dtype), KEY)
        given = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype if trial.case.below else dtype)
        x = jax.tree.map(given, trial.x)

        def evaluate(weights, state, x):
            outputs, call = apply(trial.layer, weights, state, (x,), key=KEY, training=training, dtype=dtype)
            return outputs, call.new_state

        outputs, new_state = jax.eval_shape(evaluate, weights, state, x)
        assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(outputs) if leaf.dtype.kind != "i")
        assert new_state == state


def test_compiled_equals_uncompiled(trial, training):
    arguments = trial.weights, trial.state, trial.x, KEY
    assert_close(trial.compiled(*arguments, training=training), trial.evaluate(*arguments, training=training))


def test_gradient_equals_finite_differences(trial, training):
    with precision("float64"):
        wide = lambda tree: jax.tree.map(lambda leaf: jnp.asarray(leaf, "float64"), tree)
        weights, state, x = wide(trial.weights), wide(trial.state), trial.data(dtype="float64")

        def outputs(weights, x):
            return apply(trial.model, weights, state, (x,), key=KEY, training=training, dtype="float64")[0]

        if trial.case.below is None:
            assert_gradient(outputs, (weights, x))
        else:
            assert_gradient(lambda weights: outputs(weights, x), (weights,))


def test_many_networks_at_once(trial):
    keys = np.arange(6, dtype="uint32").reshape(3, 2)
    members = [trial.start(key) for key in keys]
    weights, state = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    every = jax.vmap(lambda *arguments: trial.evaluate(*arguments, training=True), in_axes=(0, 0, None, 0))
    together = jax.jit(every)(weights, state, trial.x, keys)
    for index, member in enumerate(members):
        alone = trial.compiled(*member, trial.x, keys[index], training=True)
        assert_close(jax.tree.map(lambda leaf, index=index: leaf[index], together), alone, 1e-5)


def test_rows_that_pad_a_batch_count_for_nothing(trial):
    real = 3
    rows = np.arange(ROWS) < real
    head = lambda tree: jax.tree.map(lambda leaf: leaf[:real], tree)
    padded, its_state = trial.compiled(trial.weights, trial.state, trial.x, KEY, rows, training=True)
    exact, state = trial.compiled(trial.weights, trial.state, head(trial.x), KEY, training=True)
    assert_close((head(padded), its_state), (exact, state), 1e-5)


def test_keys(trial):
    draws = lambda key, training=True: trial.compiled(trial.weights, trial.state, trial.x, key, training=training)[0]
    other = np.array([1, 3], "uint32")
    assert_close(draws(KEY), draws(KEY), 0)
    assert_close(draws(KEY, False), draws(other, False), 0)
    same = all(np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (draws(KEY), draws(other))), strict=True))
    assert same != trial.is_random
    if trial.is_random:
        with pytest.raises(NotReadyError, match=f"^{type(trial.layer).__name__} draws random numbers in training and "):
            trial.evaluate(trial.weights, trial.state, trial.x, training=True)


def test_inference_leaves_state_alone(trial):
    assert_close(trial.compiled(trial.weights, trial.state, trial.x, KEY)[1], trial.state, 0)


def test_settings_make_an_equal_layer(trial):
    text = json.dumps(serialize(trial.layer, REGISTRIES))
    again = deserialize(json.loads(text), REGISTRIES, {})
    assert type(again) is type(trial.layer)
    assert json.dumps(serialize(again, REGISTRIES)) == text
    model = Model(trial.inputs, again(trial.inputs))
    assert [path for path, _ in walk(model)] == [path for path, _ in walk(trial.model)]
    outputs = lambda network: apply(network, trial.weights, trial.state, (trial.x,), key=KEY, training=True)[0]
    assert_close(outputs(model), outputs(trial.model), 0)
    assert jax.eval_shape(lambda: initialise(model, KEY)) == jax.eval_shape(lambda: initialise(trial.model, KEY))


def test_a_saved_layer_is_itself(trial, tmp_path):
    trial.model.set_variables(trial.weights, trial.state)
    trial.model.save(tmp_path / "layer.chain")
    again = load_model(tmp_path / "layer.chain")
    assert_close(again.variables(), (trial.weights, trial.state), 0)
    outputs, _ = trial.compiled(trial.weights, trial.state, trial.x, KEY)
    assert_close(again.predict(trial.x), outputs)


def test_a_step_against_the_gradient_lowers_the_loss(trial):
    target = np.random.default_rng(5).normal(size=1)

    def loss(weights):
        outputs, _ = trial.evaluate(weights, trial.state, trial.x, KEY, training=True)
        return sum(jnp.mean((leaf - target) ** 2 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape))
                   for leaf in jax.tree.leaves(outputs))

    @jax.jit
    def step(weights):
        before, gradient = jax.value_and_grad(loss)(weights)
        return before, gradient, loss(jax.tree.map(lambda weight, slope: weight - 0.01 * slope, weights, gradient))

    if trial.weights:
        before, gradient, after = step(trial.weights)
        assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient)) and after < before
