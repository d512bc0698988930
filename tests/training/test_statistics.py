"""Running statistics of weights that were put together: taken anew, also in layers of one's own, or refused before."""
import jax
import numpy as np
import pytest
from helpers import assert_close, assert_same_bytes

import chainrule as cr
from chainrule.callbacks import Callback, EarlyStopping, ExponentialMovingAverage, StochasticWeightAveraging
from chainrule.errors import SettingError
from chainrule.layers import LSTM, BatchNormalization, Dense, Layer
from chainrule.optimizers import SGD, Adam, MultiOptimizer

X = np.random.default_rng(0).normal(1.0, size=(100, 6)).astype("float32")
Y = X[:, :1] * X[:, 1:2]


class Centre(Layer):
    """Keeps a running mean, and does not say how."""

    rate: float = 0.9

    def build(self, input_shape):
        self.moving = self.add_weight((input_shape[-1],), "zeros", trainable=False)

    def call(self, x, training):
        if not training:
            return x - self.moving
        mean = x.mean(0)
        self.moving = self.rate * self.moving + (1 - self.rate) * mean
        return x - mean


class Follows(Centre):
    statistics_momentum = "rate"


class Misnamed(Centre):
    statistics_momentum = "momentum"


class SomethingElse(Centre):
    statistics_momentum = ""


class Counts(Layer):
    def build(self, input_shape):
        self.count = self.add_weight((), "zeros", dtype="int32", trainable=False)

    def call(self, x, training):
        if training:
            self.count = self.count + 1
        return x


def network(*layers, optimizer="adam"):
    model = cr.Sequential([cr.Input((6,)), Dense(4, name="first"), *layers, Dense(1)])
    model.compile(optimizer, "mse")
    return model


def fit(model, *callbacks, data=(X, Y), **settings):
    return model.fit(*data, **{"epochs": 3, "batch_size": 32, "verbose": 0, "seed": 1} | settings,
                     callbacks=list(callbacks))


def hidden_mean(model):
    weights = model.variables()[0]["first"]
    return (X @ weights["kernel"] + weights["bias"]).mean(0)


AVERAGES = {
    "stochastic": ("adam", lambda: StochasticWeightAveraging(start_epoch=1)),
    "exponential": ("adam", lambda: ExponentialMovingAverage(0.5)),
    "optimiser": (Adam(use_ema=True), Callback),
    "optimisers": (MultiOptimizer({"^first/": SGD(0.01, use_ema=True)}, default="adam"), Callback)}


@pytest.mark.parametrize("optimizer, callback", AVERAGES.values(), ids=AVERAGES)
def test_statistics_belong_to_the_average(optimizer, callback):
    model = network(BatchNormalization(name="norm"), Follows(name="follows"), optimizer=optimizer)
    fit(model, callback())
    weights, state = model.variables()
    assert_close(state["norm"]["moving_mean"], hidden_mean(model), rtol=1e-5, atol=1e-6)
    # what leaves batch normalisation has the mean beta
    assert_close(state["follows"]["moving"], weights["norm"]["beta"], rtol=1e-4, atol=1e-6)


def test_what_is_no_statistic_stays_as_training_left_it():
    plain, averaged = network(SomethingElse(name="own"), Counts(name="count")), network(
        SomethingElse(name="own"), Counts(name="count"), optimizer=Adam(use_ema=True))
    fit(plain)
    fit(averaged)
    assert_same_bytes(plain.variables()[1], averaged.variables()[1])
    assert int(averaged.variables()[1]["count"]["count"]) == 12


def test_a_stateful_layer_stays_where_its_sequences_stand():
    def trained(*callbacks):
        model = cr.Sequential([cr.Input(batch_shape=(4, 3, 2)), LSTM(3, stateful=True), BatchNormalization(), Dense(1)])
        model.compile("sgd", "mse")
        x = np.random.default_rng(1).normal(size=(8, 3, 2)).astype("float32")
        model.fit(x, x[:, 0, :1], batch_size=4, epochs=3, verbose=0, seed=1, callbacks=list(callbacks))
        return model.variables()[1]["lstm"]

    assert_same_bytes(trained(), trained(StochasticWeightAveraging(start_epoch=1)))


def test_weights_that_replace_the_optimisers_average_keep_their_statistics():
    class Remember(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                self.kept = jax.tree.map(np.asarray, self.model.variables())

    def first_is_best(epoch, logs):
        logs["score"] = -epoch

    remember = Remember()
    model = network(BatchNormalization(), optimizer=Adam(use_ema=True))
    fit(model, cr.callbacks.LambdaCallback(on_epoch_end=first_is_best), remember,
        EarlyStopping("score", mode="max", patience=9, restore_best_weights=True))
    assert_same_bytes(model.variables(), remember.kept)


def test_a_fit_of_no_steps_changes_nothing():
    model = network(BatchNormalization(), optimizer=Adam(use_ema=True))
    before = model.variables(seed=1)
    fit(model, epochs=0)
    assert_same_bytes(before, model.variables())


def batches():
    while True:
        yield X[:32], Y[:32]


REFUSED = {
    "nothing said": (Centre(name="own"), (X, Y),
        "StochasticWeightAveraging ends with weights that were never trained on, and layer 'own' (Centre) assigns "
        "state in training (moving), which may not belong to them. Say in its class how running statistics follow the "
        "batches, so that they can be taken anew: statistics_momentum = 'momentum' for moving = momentum * moving + "
        "(1 - momentum) * batch; or statistics_momentum = '' where it keeps something else, which then stays as "
        "training left it."),
    "no setting": (Misnamed(name="own"), (X, Y),
        "statistics_momentum = 'momentum' of layer 'own' (Misnamed) must name a setting that is a number, by which its "
        "running statistics follow the batches; got None."),
    "read once": (BatchNormalization(name="norm"), "generator",
        "StochasticWeightAveraging ends with weights that were never trained on: the running statistics of 'norm' are "
        "then taken anew by one more pass over the training data, and <IterableSource of the generator 'batches'> can "
        "be read once. Give the function that makes the iterator, without calling it.")}


@pytest.mark.parametrize("layer, data, message", REFUSED.values(), ids=REFUSED)
def test_what_could_not_be_taken_anew_is_refused_before_anything_runs(layer, data, message, tmp_path):
    model = network(layer)
    before = model.variables(seed=1)
    settings = {"data": (batches(),), "steps_per_epoch": 3} if data == "generator" else {"data": data}
    with pytest.raises(SettingError) as error:
        fit(model, StochasticWeightAveraging(start_epoch=1), run=tmp_path / "run", **settings)
    assert str(error.value) == message
    assert_same_bytes(before, model.variables())
    assert not (tmp_path / "run").exists()


def test_the_optimiser_is_named_where_it_averages():
    with pytest.raises(SettingError, match="^Adam with use_ema=True ends with weights that were never trained on"):
        fit(network(Centre(), optimizer=Adam(use_ema=True)))


def test_what_can_be_read_once_serves_where_nothing_follows_it():
    assert len(fit(network(), StochasticWeightAveraging(1), data=(batches(),), steps_per_epoch=3).epoch) == 3


def test_a_function_that_makes_iterators_serves():
    model = network(BatchNormalization(name="norm"))
    fit(model, StochasticWeightAveraging(1), data=(batches,), steps_per_epoch=3)
    weights, state = model.variables()
    expected = (X[:32] @ weights["first"]["kernel"] + weights["first"]["bias"]).mean(0)
    assert_close(state["norm"]["moving_mean"], expected, rtol=1e-5, atol=1e-6)
