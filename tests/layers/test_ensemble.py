"""Ensembles inside one network: what each member is, how members start, and that each is trained by its own loss."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close

import chainrule as cr
from chainrule import initializers, losses
from chainrule.errors import ChainruleError
from chainrule.layers import (
    LSTM,
    BatchNormalization,
    Dense,
    DenseBatchEnsemble,
    DenseEnsemble,
    Dropout,
    EnsembleMean,
    EnsembleView,
    Masking,
    Rescaling,
)
from chainrule.layers.binding import apply, initialise

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(7, 4)).astype("float32")


def network(*head, body=(), members=3, **settings):
    """A small ensemble whose scalings are no round numbers."""
    body = body or [DenseBatchEnsemble(6, "tanh", output_scaling_initializer="random_normal")]
    return cr.Sequential([cr.Input((4,)), EnsembleView(members), *body, *head], **settings)


def test_a_member_is_a_network_of_its_own():
    model = network(DenseEnsemble(2, "softmax", bias_initializer="random_normal"), EnsembleMean())
    (weights, _), members = model.variables(), model.predict_members(X)
    for member, predicted in enumerate(members):
        view, shared, head = (weights[name] for name in ("ensemble_view", "dense_batch_ensemble", "dense_ensemble"))
        kernel = shared["input_scaling"][member][:, None] * shared["kernel"] * shared["output_scaling"][member]
        hidden = np.tanh(X * view["scaling"][member] @ kernel + shared["bias"][member])
        expected = jax.nn.softmax(hidden @ head["kernel"][member] + head["bias"][member])
        np.testing.assert_allclose(predicted, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.predict(X), members.mean(0), rtol=1e-5)
    assert members.std(0).min() > 0


def test_members_of_any_number_of_rows():
    model = network(DenseEnsemble(2), EnsembleMean())
    np.testing.assert_allclose(model.predict_members(X, batch_size=2), model.predict_members(X), rtol=1e-5)
    assert model.predict_members(X[:1]).shape == (3, 1, 2)


def test_what_is_predicted_by_members_follows_the_weights():
    model = network(DenseEnsemble(2), EnsembleMean())
    before = model.predict_members(X)
    model.set_weights([2 * array for array in model.get_weights()])
    assert np.abs(model.predict_members(X) - before).max() > 0.1


def test_several_outputs_have_members_each():
    x = cr.Input((4,))
    shared = DenseBatchEnsemble(5)(EnsembleView(3)(x))
    model = cr.Model(x, {"a": EnsembleMean()(DenseEnsemble(2)(shared)), "b": EnsembleMean()(DenseEnsemble(1)(shared))})
    assert {name: part.shape for name, part in model.predict_members(X).items()} == {"a": (3, 7, 2), "b": (3, 7, 1)}


def test_signs_and_ones_start_tabm():
    weights, _ = initialise(network(body=(DenseBatchEnsemble(6),), members=200), jax.random.key(1))
    scaling = np.asarray(weights["ensemble_view"]["scaling"])
    assert set(scaling.ravel()) == {-1, 1} and abs(scaling.mean()) < 0.15
    assert len(np.unique(scaling, axis=0)) == 16
    shared = weights["dense_batch_ensemble"]
    assert (shared["input_scaling"] == 1).all() and (shared["output_scaling"] == 1).all()


@pytest.mark.parametrize("start", ["glorot_uniform", "he_normal", "orthogonal", "identity",
                                   initializers.GlorotUniform(seed=5), initializers.Constant(3.0)])
def test_each_head_is_drawn_as_a_matrix_of_its_own(start):
    layer = DenseEnsemble(300, kernel_initializer=start)
    layer.ensure_built((None, 3, 200))
    kernel = np.asarray(jax.jit(lambda: initialise(layer, np.array([1, 2], "uint32"))[0]["kernel"])())
    drawn = initializers.draw(start, np.array([3, 4], "uint32"), kernel.shape[1:])
    np.testing.assert_allclose(kernel.std((1, 2)), np.std(drawn), rtol=0.05)
    if initializers.get(start).__class__ in (initializers.Constant, initializers.Identity):
        np.testing.assert_array_equal(kernel, np.stack([drawn] * 3))
    else:
        assert np.abs(np.corrcoef(kernel.reshape(3, -1)) - np.eye(3)).max() < 0.05


def test_equal_members_learn_what_one_network_learns():
    """Members that start alike and see the same stay alike, and the mean of equal losses is the loss of one."""
    y = RANDOM.normal(size=(7, 1)).astype("float32")
    plain = cr.Sequential([cr.Input((4,)), Dense(6, "tanh"), Dense(1)])
    together = cr.Sequential([
        cr.Input((4,)), EnsembleView(3, scaling_initializer=None), Dense(6, "tanh"), Dense(1), EnsembleMean()])
    for model in (plain, together):
        model.compile(cr.optimizers.SGD(0.1), "mse")
    together.set_weights(plain.get_weights())
    histories = [model.fit(X, y, epochs=5, batch_size=3, seed=0, verbose=0).history["loss"]
                 for model in (plain, together)]
    np.testing.assert_allclose(*histories, rtol=1e-5)
    assert_close(plain.get_weights(), together.get_weights(), rtol=1e-4, atol=1e-6)


def test_one_member_of_a_packed_ensemble_learns_as_it_would_alone():
    """With weights of their own, members do not know of one another: a gradient of the loss of the mean would tell."""
    y = RANDOM.integers(0, 2, 7)
    packed = network(DenseEnsemble(2, "softmax"), EnsembleMean(), body=(DenseEnsemble(6, "tanh"),))
    packed.compile(cr.optimizers.SGD(0.3), "sparse_categorical_crossentropy")
    start = packed.get_weights()
    packed.fit(X, y, epochs=4, batch_size=3, seed=0, verbose=0)
    for member in range(3):
        alone = cr.Sequential([cr.Input((4,)), EnsembleView(1), Dense(6, "tanh"), Dense(2, "softmax"), EnsembleMean()])
        alone.set_weights([start[0][member : member + 1], *(array[member] for array in start[1:])])
        alone.compile(cr.optimizers.SGD(0.1), "sparse_categorical_crossentropy")  # of its loss the mean takes a third
        alone.fit(X, y, epochs=4, batch_size=3, seed=0, verbose=0)
        ours = [packed.get_weights()[0][member : member + 1], *(array[member] for array in packed.get_weights()[1:])]
        assert_close(alone.get_weights(), ours, rtol=1e-4, atol=1e-6)


# For each loss: what it is compiled with, the target, the head's units and activation, the logits of EnsembleMean.
LABELS, ONES = RANDOM.integers(0, 3, 7), RANDOM.integers(0, 2, (7, 1)).astype("float32")
NUMBERS = RANDOM.normal(size=(7, 3)).astype("float32")
OBJECTIVES = {
    "labels": (losses.SparseCategoricalCrossentropy(), LABELS, 3, "softmax", None),
    "labels from logits": (losses.SparseCategoricalCrossentropy(from_logits=True), LABELS, 3, None, "softmax"),
    "one of the labels does not count": (losses.SparseCategoricalCrossentropy(ignore_class=1), LABELS, 3, "softmax",
                                         None),
    "one-hot": (losses.CategoricalCrossentropy(label_smoothing=0.1), np.eye(3)[LABELS], 3, "softmax", None),
    "binary": (losses.BinaryCrossentropy(), ONES[:, 0], 1, "sigmoid", None),
    "binary from logits": (losses.BinaryCrossentropy(from_logits=True), ONES, 1, None, "sigmoid"),
    "numbers": (losses.MeanSquaredError(), NUMBERS, 3, None, None),
    "sums": (losses.MeanAbsoluteError(reduction="sum"), NUMBERS, 3, None, None),
    "mean and variance": (losses.GaussianNegativeLogLikelihood(), NUMBERS[:, 0], 2, None, None),
    "a function": (lambda y_true, y_pred: jnp.mean(jnp.abs(y_true - y_pred) ** 3), NUMBERS, 3, None, None),
}
WEIGHTS = np.array([1.0, 2.0, 0.0, 0.5, 3.0, 1.0, 1.0])


@pytest.mark.parametrize("name, weighted", [*((name, True) for name in OBJECTIVES), ("labels", False), ("sums", False)])
def test_in_training_the_mean_of_the_losses_elsewhere_the_loss_of_the_mean(name, weighted):
    loss, y, units, activation, logits = OBJECTIVES[name]
    model = network(DenseEnsemble(units, activation, kernel_initializer="random_normal"), EnsembleMean(logits))
    model.compile(cr.optimizers.SGD(0.0), loss)
    members, weights = model.predict_members(X), WEIGHTS if weighted else None
    measured = losses.get(loss)

    def figure(prediction):
        values = np.asarray(measured.values(y, prediction), "float64")
        mask = measured.mask(*measured.align(y, prediction))
        counts = np.ones(values.shape) if mask is None else np.asarray(mask)
        factors = counts if weights is None else counts * weights.reshape(-1, *[1] * (values.ndim - 1))
        total = (values * factors).sum()
        return total if measured.reduction == "sum" else total / factors.sum()

    history = model.fit(X, y, batch_size=7, sample_weight=weights, verbose=0).history
    assert history["loss"] == [pytest.approx(np.mean([figure(member) for member in members]), rel=1e-5)]
    assert model.evaluate(X, y, sample_weight=weights, verbose=0) == pytest.approx(figure(model.predict(X)), rel=1e-5)


def test_gradients_of_the_members_losses_are_right():
    model = network(DenseEnsemble(3, "softmax", bias_initializer="random_normal"), EnsembleMean())
    model.compile("sgd", "sparse_categorical_crossentropy")
    report = cr.inspect.check_gradients(model, X, LABELS, training=True)
    assert report.max_relative_error < 1e-6 and len(report.weights) == 7
    losses_of_members = -np.log(model.predict_members(X)[:, np.arange(7), LABELS])
    assert report.loss == pytest.approx(losses_of_members.mean(), rel=1e-5)


def test_logits_are_those_of_the_mean_probability():
    members = RANDOM.normal(size=(5, 4, 3)) * 5
    softmax = EnsembleMean(logits="softmax")(members)
    np.testing.assert_allclose(jax.nn.softmax(softmax), jax.nn.softmax(members).mean(1), rtol=1e-5)
    sigmoid = EnsembleMean(logits="sigmoid")(members)
    np.testing.assert_allclose(jax.nn.sigmoid(sigmoid), jax.nn.sigmoid(members).mean(1), rtol=1e-5)
    assert np.isfinite(EnsembleMean(logits="sigmoid")(np.full((1, 2, 1), 900.0))).all()
    assert np.isfinite(EnsembleMean(logits="softmax")(np.array([[[900.0, -900.0]] * 2]))).all()


def test_a_member_that_is_sure_and_wrong_goes_on_learning():
    """Its cross-entropy is computed from what entered the softmax, as that of a single network is."""
    model = network(DenseEnsemble(2, "softmax"), EnsembleMean())
    model.compile(cr.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    weights = model.get_weights()
    weights[-1][1] = [60.0, -60.0]
    model.set_weights(weights)
    model.fit(X, np.ones(7, int), epochs=1, verbose=0)
    assert model.get_weights()[-1][1, 0] < 60


def test_metrics_see_the_mean_in_training_too():
    model = network(DenseEnsemble(3, "softmax", kernel_initializer="random_normal"), EnsembleMean())
    model.compile(cr.optimizers.SGD(0.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(X, LABELS, sample_weight=WEIGHTS, verbose=0).history
    right = model.predict(X).argmax(-1) == LABELS
    assert history["accuracy"] == [pytest.approx((right * WEIGHTS).sum() / WEIGHTS.sum())]


def test_class_weights_and_several_outputs():
    x = cr.Input((4,))
    shared = DenseBatchEnsemble(5, "relu")(EnsembleView(3)(x))
    model = cr.Model(x, {"a": EnsembleMean()(DenseEnsemble(3, "softmax")(shared)), "b": Dense(1)(x)})
    model.compile(cr.optimizers.SGD(0.0), {"a": "sparse_categorical_crossentropy", "b": "mse"},
                  loss_weights={"a": 2.0, "b": 1.0})
    class_weights = {0: 1.0, 1: 4.0, 2: 0.5}
    data = {"a": LABELS, "b": NUMBERS[:, :1]}
    history = model.fit(X, data, class_weight={"a": class_weights}, verbose=0).history
    each = np.array([class_weights[label] for label in LABELS])
    part = cr.Model(x, model.output["a"])
    values = -np.log(part.predict_members(X)[:, np.arange(7), LABELS]).mean(0)
    assert history["a_loss"] == [pytest.approx((values * each).sum() / each.sum(), rel=1e-5)]
    assert history["loss"][0] == pytest.approx(2 * history["a_loss"][0] + history["b_loss"][0], rel=1e-5)


def test_a_padded_last_batch_counts_exactly():
    model = network(DenseEnsemble(3, "softmax", kernel_initializer="random_normal"), EnsembleMean(),
                    body=(Dense(5), BatchNormalization(), DenseBatchEnsemble(4, "relu")))
    model.compile(cr.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    figures = [model.fit(X[:5], LABELS[:5], batch_size=size, shuffle=False, verbose=0).history["loss"][0]
               for size in (5, 8)]
    assert figures[0] == pytest.approx(figures[1], rel=1e-5)


def test_masked_steps_of_sequences_do_not_count():
    x = RANDOM.normal(size=(5, 6, 3)).astype("float32")
    y, x[1, 2:], x[3, 4:] = RANDOM.normal(size=(5, 6, 1)), 0, 0
    model = cr.Sequential([cr.Input((6, 3)), Masking(), LSTM(4, return_sequences=True), EnsembleView(3),
                           DenseBatchEnsemble(4, "relu"), DenseEnsemble(1), EnsembleMean()])
    model.compile(cr.optimizers.SGD(0.0), "mse")
    real = np.ones((5, 6, 1), bool)
    real[1, 2:], real[3, 4:] = False, False
    errors = (model.predict_members(x) - y) ** 2
    history = model.fit(x, y, batch_size=5, verbose=0).history
    assert history["loss"] == [pytest.approx(errors.mean(0)[real].mean(), rel=1e-5)]
    assert model.evaluate(x, y, verbose=0) == pytest.approx(((model.predict(x) - y) ** 2)[real].mean(), rel=1e-5)


def test_mixed_precision_takes_losses_and_mean_in_32_bits():
    members, head = 64, DenseEnsemble(3, "softmax", kernel_initializer="random_normal")
    exact = network(head, EnsembleMean(), members=members)
    mixed = network(DenseEnsemble(3, "softmax"), EnsembleMean(), members=members, dtype="mixed_bfloat16",
                    body=(DenseBatchEnsemble(6, "tanh"),))
    mixed.set_weights(exact.get_weights())
    found = mixed.predict(X), mixed.predict_members(X)
    assert found[0].dtype == found[1].dtype == np.float32
    np.testing.assert_allclose(found[0], found[1].mean(0), rtol=1e-6)  # rounded to 16 bits it would be off by 1e-3
    np.testing.assert_allclose(found[1].sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(found[1], exact.predict_members(X), atol=0.02)
    for model in (exact, mixed):
        model.compile(cr.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    expected = -np.log(found[1][:, np.arange(7), LABELS]).mean()
    assert mixed.fit(X, LABELS, verbose=0).history["loss"] == [pytest.approx(expected, rel=1e-4)]


def test_random_layers_draw_for_each_member():
    layer = Dropout(0.5)
    model = cr.Sequential([cr.Input((4,)), EnsembleView(3, scaling_initializer=None), layer])
    y = np.asarray(apply(model, {}, {}, (np.ones((50, 4), "float32"),), key=jax.random.key(0), training=True)[0])
    assert np.abs(np.corrcoef(y.transpose(1, 0, 2).reshape(3, -1)) - np.eye(3)).max() < 0.3


def test_what_stands_behind_the_mean_is_refused_in_training():
    model = network(DenseEnsemble(2), EnsembleMean(), Rescaling(2.0))
    model.compile("sgd", "mse")
    with pytest.raises(ChainruleError) as error:
        model.fit(X, NUMBERS[:, :2], verbose=0)
    assert str(error.value) == (
        "Behind an EnsembleMean stands another layer, so that the members would be trained by the loss of their mean, "
        "and not each by its own. Let EnsembleMean be the last layer before the output, activations included. For a "
        "mean in the midst of a network use Lambda(lambda x: x.mean(1)); an ensemble that is finished is frozen by "
        "trainable=False.")


def test_a_finished_ensemble_is_part_of_another_network():
    ensemble = network(DenseEnsemble(2), EnsembleMean())
    ensemble.trainable = False
    model = cr.Sequential([cr.Input((4,)), ensemble, Dense(1)])
    model.compile("sgd", "mse")
    before = ensemble.get_weights()
    assert np.isfinite(model.fit(X, NUMBERS[:, :1], verbose=0).history["loss"][0])
    assert_close(before, ensemble.get_weights())
    assert ensemble.predict_members(X).shape == (3, 7, 2)


def test_a_nested_ensemble_at_the_end_is_trained_by_members():
    ensemble = network(DenseEnsemble(2, "softmax"), EnsembleMean())
    model = cr.Sequential([cr.Input((4,)), Rescaling(2.0), ensemble])
    model.compile(cr.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    loss = model.fit(X, LABELS % 2, verbose=0).history["loss"][0]
    assert loss == pytest.approx(-np.log(model.predict_members(X)[:, np.arange(7), LABELS % 2]).mean(), rel=1e-5)


@pytest.mark.parametrize("call, message", [
    (lambda: EnsembleView(0), "SettingError: EnsembleView: `members` must be a positive integer; got 0."),
    (lambda: EnsembleMean(logits="tanh"),
     "SettingError: EnsembleMean: `logits` is 'softmax', 'sigmoid' or None; got 'tanh'."),
    (lambda: DenseBatchEnsemble(3)(cr.Input((4,))),
     "ShapeError: DenseBatchEnsemble takes rows of an ensemble's members, (batch, members, ..., features); got "
     "(None, 4). Put EnsembleView(members) in front of the layers that they share."),
    (lambda: EnsembleMean()(cr.Input((4,))),
     "ShapeError: EnsembleMean takes rows of an ensemble's members, (batch, members, ..., features); got (None, 4). "
     "Put EnsembleView(members) in front of the layers that they share."),
    (lambda: DenseEnsemble(3)(cr.Input((None, 4))),
     "ShapeError: DenseEnsemble takes rows of an ensemble's members, (batch, members, ..., features); got "
     "(None, None, 4). Put EnsembleView(members) in front of the layers that they share."),
    (lambda: EnsembleView(3)(cr.Input(())),
     "ShapeError: EnsembleView takes rows with at least one feature axis, (batch, ..., features); got (None,). Use "
     "x[:, None] to make single numbers into rows of one feature."),
    (lambda: cr.Sequential([cr.Input((4,)), Dense(2)]).predict_members(X),
     "SettingError: predict_members is for networks whose outputs come out of an EnsembleMean; this one's do not all. "
     "`predict` gives its outputs."),
])
def test_what_is_refused(call, message):
    with pytest.raises(ChainruleError) as error:
        call()
    assert f"{type(error.value).__name__}: {error.value}" == message
