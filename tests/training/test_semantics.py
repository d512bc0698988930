"""What the numbers of a fit mean: weights, short batches, validation, resuming, best weights."""
import jax
import numpy as np
import optax
import pytest
from helpers import assert_close, assert_same_bytes, classifier, two_moons

import chainrule as cr
from chainrule.callbacks import Callback, EarlyStopping, LambdaCallback, LearningRateScheduler
from chainrule.errors import NotFiniteError, SettingError
from chainrule.layers import BatchNormalization, Dense, Dropout, Layer
from chainrule.optimizers import SGD, Adam
from chainrule.regularizers import L2
from chainrule.schedules import ExponentialDecay

X, Y = two_moons(60)


def step_once(x, y, sample_weight=None, **settings):
    model = classifier(optimizer=SGD(0.5), **settings)
    model.fit(x, y, batch_size=len(x), epochs=3, verbose=0, seed=0, shuffle=False, sample_weight=sample_weight)
    return model.variables(), model.history.history


def test_weight_two_equals_the_row_twice():
    weight = np.ones(60)
    weight[[3, 17]] = 2
    twice = np.concatenate([np.arange(60), [3, 17]])
    assert_close(step_once(X, Y, weight), step_once(X[twice], Y[twice]), rtol=2e-5, atol=1e-6)


def test_weight_zero_equals_the_row_absent():
    weight = np.ones(60)
    weight[[0, 5, 59]] = 0
    left = np.setdiff1d(np.arange(60), [0, 5, 59])
    assert_close(step_once(X, Y, weight), step_once(X[left], Y[left]), rtol=2e-5, atol=1e-6)


def test_the_scale_of_weights_does_not_matter():
    weight = np.random.default_rng(0).uniform(0.5, 2, 60)
    assert_close(step_once(X, Y, weight), step_once(X, Y, weight * 1000), rtol=1e-4, atol=1e-6)


def test_class_weight_counts_in_the_loss_alone():
    model, plain = classifier(optimizer=SGD(0.0)), classifier(optimizer=SGD(0.0))
    model.fit(X, Y, verbose=0, seed=0, class_weight={0: 1.0, 1: 9.0})
    plain.fit(X, Y, verbose=0, seed=0)
    assert model.history.history["accuracy"] == plain.history.history["accuracy"]
    assert model.history.history["loss"] != plain.history.history["loss"]


@pytest.mark.parametrize("batch_size", [7, 32, 60])
def test_fit_reports_what_evaluate_reports(batch_size):
    weight = np.random.default_rng(0).uniform(0.5, 2, 60)
    model = classifier(Dense(8, activation="relu", kernel_regularizer=L2(0.1)), optimizer=SGD(0.0))
    history = model.fit(X, Y, batch_size=batch_size, verbose=0, seed=0, sample_weight=weight,
                        validation_data=(X, Y, weight)).history
    report = model.evaluate(X, Y, verbose=0, sample_weight=weight, return_dict=True, batch_size=13)
    for name, value in report.items():
        assert history[name][0] == pytest.approx(value, rel=1e-5)
        assert history[f"val_{name}"][0] == pytest.approx(value, rel=1e-5)


class Centre(Layer):
    """A layer of a user's own that takes statistics over the batch and knows nothing of padding."""

    def call(self, x):
        return x - x.mean(axis=0)


@pytest.mark.parametrize("make", [BatchNormalization, Centre])
def test_a_short_last_batch_counts_as_what_it_is(make):
    """Normalising the last 5 rows is normalising those 5 rows: the same as steps on batches given one by one."""
    rows = 37  # 32 and 5

    def model():
        made = cr.Sequential([cr.Input((2,)), Dense(4, activation="tanh"), make(), Dense(1)])
        made.compile(optimizer=SGD(0.1), loss="mse")
        return made

    fitted, by_hand = model(), model()
    fitted.fit(X[:rows], Y[:rows], batch_size=32, shuffle=False, verbose=0)
    by_hand.train_on_batch(X[:32], Y[:32])
    by_hand.train_on_batch(X[32:rows], Y[32:rows])
    assert_close(fitted.variables(), by_hand.variables(), rtol=1e-5, atol=1e-6)


def test_validation_split_takes_the_tail_before_shuffling():
    seen = []

    class Look(Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((logs["val_loss"], self.model.evaluate(X[48:], Y[48:], verbose=0, return_dict=True)["loss"]))

    classifier().fit(X, Y, verbose=0, seed=0, validation_split=0.2, callbacks=[Look()])
    assert seen[0][0] == pytest.approx(seen[0][1], rel=1e-6)


def test_sorted_targets_are_warned_of():
    order = np.argsort(Y, kind="stable")
    with pytest.warns(UserWarning) as caught:
        classifier().fit(X[order], Y[order], verbose=0, validation_split=0.2)
    assert str(caught[0].message) == (
        "validation_split holds out the last rows, and the targets are sorted: training and validation would see "
        "different values. Shuffle the rows before, or give validation_data.")


def test_unsorted_unsigned_labels_are_not_called_sorted():
    classifier().fit(X, Y.astype("uint8"), verbose=0, validation_split=0.2)  # a warning would be an error here


def test_early_stopping_ends_with_the_best_weights_even_when_it_never_fired():
    model = classifier(Dense(64, activation="relu"), optimizer=Adam(0.05))
    stop = EarlyStopping(patience=1000, restore_best_weights=True)
    history = model.fit(X, Y, epochs=40, verbose=0, seed=0, validation_split=0.3, callbacks=[stop]).history
    assert stop.stopped_epoch == 0 and stop.best_epoch == int(np.argmin(history["val_loss"])) < 39
    held = model.evaluate(X[42:], Y[42:], verbose=0, return_dict=True)["loss"]
    assert held == pytest.approx(min(history["val_loss"]), rel=1e-6)


def test_early_stopping_stops_after_its_patience():
    model = classifier(optimizer=SGD(0.0))
    stop = EarlyStopping(monitor="loss", patience=3)
    history = model.fit(X, Y, epochs=50, verbose=0, shuffle=False, callbacks=[stop])
    assert len(history.epoch) == 4 and stop.stopped_epoch == 3


def test_a_learning_rate_set_in_a_callback_holds_from_the_next_step():
    model = classifier(optimizer=SGD(0.5))
    kept = []

    class Stop(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 0.0 if epoch else 0.5
            kept.append(self.model.get_weights()[0])

    model.fit(X, Y, epochs=3, verbose=0, callbacks=[Stop()])
    assert not np.array_equal(kept[0], kept[1]) and np.array_equal(kept[1], kept[2])


def test_weights_set_in_a_callback_are_trained_on():
    model = classifier(optimizer=SGD(0.0))

    class Reset(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.set_weights([np.full_like(w, 0.25) for w in self.model.get_weights()])

    model.fit(X, Y, epochs=2, verbose=0, callbacks=[Reset()])
    assert all((w == 0.25).all() for w in model.get_weights())


def test_scheduler_and_schedule_exclude_each_other():
    model = classifier(optimizer=SGD(ExponentialDecay(0.1, decay_steps=10, decay_rate=0.9)))
    with pytest.raises(SettingError) as error:
        model.fit(X, Y, verbose=0, callbacks=[LearningRateScheduler(lambda epoch: 0.1)])
    assert str(error.value) == (
        "LearningRateScheduler sets the learning rate, and so does the schedule ExponentialDecay("
        "initial_learning_rate=0.1, decay_steps=10, decay_rate=0.9) of the optimizer. Use one of them: give the "
        "optimizer a number, or leave the callback out.")


def test_scheduler_reports_the_rate():
    model = classifier()
    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[LearningRateScheduler(lambda epoch, rate: rate / 2)])
    np.testing.assert_allclose(history.history["learning_rate"], [0.0005, 0.00025, 0.000125])


def test_training_goes_on_where_the_optimiser_stood():
    model = classifier()
    model.fit(X, Y, verbose=0)
    model.fit(X, Y, verbose=0)
    assert int(model._compiled.optimizer_state["step"]) == 4


def test_a_loss_that_is_not_finite_stops_and_loses_nothing():
    class Explode(Layer):
        def build(self, input_shape):
            self.scale = self.add_weight((), initializer="ones")

        def call(self, x):
            return jax.numpy.exp(x * self.scale)

    model = cr.Sequential([cr.Input((2,)), Dense(4, name="body"), Explode(name="explode"), Dense(1)])
    model.compile(optimizer=SGD(20.0), loss="mse")
    with pytest.raises(NotFiniteError) as error:
        model.fit(X, Y, batch_size=20, epochs=30, verbose=0, seed=0)
    assert "The first layer whose output was not finite is 'explode' (Explode)." in str(error.value)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_not_finite_message():
    model = classifier(Dense(8), optimizer=SGD(1e38), metrics=())
    with pytest.raises(NotFiniteError) as error:
        model.fit(X * 1e3, Y, batch_size=60, epochs=9, verbose=0, seed=0)
    assert str(error.value) == (
        "The loss was not finite at epoch 2, step 1. The first layer whose output was not finite is 'dense' (Dense). "
        "Training stopped; the model keeps the weights from before that step. A smaller learning rate or gradient "
        "clipping (clipnorm=1.0) usually helps.")


def test_interrupted_training_keeps_what_was_reached():
    model = classifier()
    before = model.get_weights()

    def interrupt(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, epochs=10, verbose=0, callbacks=[LambdaCallback(on_epoch_end=interrupt)])
    assert not np.array_equal(before[0], model.get_weights()[0])
    assert int(model._compiled.optimizer_state["step"]) == 6


def test_frozen_layers_stay_as_they_are():
    layers = [Dense(4, name="body"), BatchNormalization(name="norm"), Dense(1, name="head")]
    model = cr.Sequential([cr.Input((2,)), *layers])
    model.compile(optimizer="adam", loss="mse")
    model.get_layer("body").trainable = False
    model.get_layer("norm").trainable = False
    before = model.get_weights()
    model.fit(X, Y, epochs=2, verbose=0)
    after = model.get_weights()
    assert [np.array_equal(*pair) for pair in zip(before, after, strict=True)] == [True] * 6 + [False] * 2


def test_float64_for_one_model_leaves_nothing_behind():
    model = classifier(dtype="float64")
    model.fit(X, Y, epochs=2, verbose=0)
    assert {w.dtype for w in model.get_weights()} == {np.dtype("float64")}
    assert model.predict(X[:2]).dtype == np.float64
    assert jax.numpy.zeros(()).dtype == np.float32
    single = classifier()
    single.fit(X, Y, epochs=2, verbose=0)
    np.testing.assert_allclose(model.predict(X).argmax(1), single.predict(X).argmax(1), atol=1)


def test_float32_models_work_where_64_bits_are_switched_on():
    with jax.enable_x64(True):
        model = classifier(Dense(4, activation="relu"), BatchNormalization(), Dropout(0.2))
        model.fit(X.astype("float64"), Y.astype("int64"), epochs=2, verbose=0, validation_split=0.2)
        assert model.predict(X).dtype == np.float32


def test_dropout_rates_can_be_replaced_by_traced_values():
    model = classifier(Dense(4), Dropout(0.5, name="drop"))
    weights, state = model.variables()
    from chainrule.layers.binding import apply

    run = jax.jit(lambda rate: apply(model, weights, state, (X,), key=jax.random.key(0), training=True,
                                     settings={"drop/rate": rate})[0])
    plain = jax.jit(lambda: model.apply(weights, state, X, key=jax.random.key(0), training=True)[0])
    assert_same_bytes(run(0.5), plain())
    assert not np.array_equal(run(0.0), run(0.5))


def test_layers_that_are_shared_share_their_weights():
    body = Dense(4, activation="tanh")
    inputs = cr.Input((2,))
    hidden = body(inputs)
    encoder, whole = cr.Model(inputs, hidden), cr.Model(inputs, Dense(1)(hidden))
    whole.compile(optimizer="adam", loss="mse")
    before = encoder.predict(X)
    whole.fit(X, Y, verbose=0)
    assert not np.array_equal(before, encoder.predict(X))
    assert np.array_equal(encoder.get_weights()[0], whole.get_weights()[0])
    assert whole.count_params() == 2 * 4 + 4 + 4 + 1


def test_an_average_of_the_weights_is_handed_over_at_the_end():
    averaged = classifier(optimizer=SGD(0.5, use_ema=True, ema_momentum=0.5))
    plain = classifier(optimizer=SGD(0.5))
    kept = []

    class Keep(Callback):
        def on_train_batch_end(self, batch, logs=None):
            kept.append(self.model.get_weights()[0])

    plain.fit(X, Y, batch_size=30, epochs=2, verbose=0, seed=0, callbacks=[Keep()])
    average = kept[0]  # as in Keras, the first update starts the average
    for weights in kept[1:]:
        average = 0.5 * average + 0.5 * weights
    averaged.fit(X, Y, batch_size=30, epochs=2, verbose=0, seed=0)
    np.testing.assert_allclose(averaged.get_weights()[0], average, rtol=1e-5, atol=1e-6)


def test_lbfgs_on_the_full_batch():
    model = cr.Sequential([cr.Input((2,)), Dense(8, activation="tanh"), Dense(1)])
    model.compile(optimizer=cr.optimizers.LBFGS(), loss="mse")
    history = model.fit(X, X[:, :1] * X[:, 1:], batch_size=60, epochs=60, verbose=0, seed=0).history["loss"]
    assert history[-1] < 0.05 * history[0]


def test_optax_transformations_are_taken_as_they_are():
    model, own = classifier(optimizer=optax.sgd(0.1)), classifier(optimizer=SGD(0.1))
    for made in (model, own):
        made.fit(X, Y, epochs=2, verbose=0, seed=0)
    assert_close(model.variables(), own.variables(), rtol=1e-5, atol=1e-7)
    with pytest.raises(SettingError) as error:
        model.fit(X, Y, verbose=0, callbacks=[LearningRateScheduler(lambda epoch: 0.1)])
    assert str(error.value) == (
        "LearningRateScheduler sets the learning rate, but an optax transformation keeps its own. Use an optimizer of "
        "chainrule, or leave the callback out.")


def test_rows_of_an_ignored_class_do_not_count():
    loss = cr.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    model = cr.Sequential([cr.Input((2,)), Dense(2, activation="softmax")])
    model.compile(optimizer=SGD(0.5), loss=loss)
    without = cr.Sequential([cr.Input((2,)), Dense(2, activation="softmax")])
    without.compile(optimizer=SGD(0.5), loss="sparse_categorical_crossentropy")
    labels = Y.copy()
    labels[[0, 7, 30]] = -1
    kept = labels >= 0
    settings = {"batch_size": 60, "epochs": 3, "verbose": 0, "seed": 0, "shuffle": False}
    first = model.fit(X, labels, **settings).history
    second = without.fit(X[kept], Y[kept], **settings).history
    assert_close(first, second, rtol=1e-5)
    assert_close(model.variables(), without.variables(), rtol=1e-5, atol=1e-6)


def scalar_error(y_true, y_pred):
    """A loss of a user's own that takes the mean over the batch by itself."""
    return jax.numpy.mean((y_true - y_pred) ** 2)


@pytest.mark.parametrize("batch_size", [4, 7, 10])
def test_a_scalar_loss_counts_real_rows_alone(batch_size):
    x, y = X[:10], X[:10, :1] ** 2
    model = cr.Sequential([cr.Input((2,)), Dense(1)])
    model.compile(SGD(0.0), scalar_error, metrics=[scalar_error])
    expected = float(np.mean((model.predict(x) - y) ** 2))
    report = model.evaluate(x, y, batch_size=batch_size, verbose=0)
    assert report == pytest.approx([expected, expected], rel=1e-5)
    history = model.fit(x, y, batch_size=batch_size, verbose=0, validation_data=(x, y)).history
    assert [history[name][0] for name in history] == pytest.approx([expected] * 4, rel=1e-5)


def test_a_metric_of_several_numbers_is_refused():
    model = classifier(metrics=[cr.metrics.F1Score(average=None)])
    with pytest.raises(SettingError) as error:
        model.evaluate(X, Y, verbose=0)
    assert str(error.value) == (
        "The metric 'f1_score' gives 2 numbers; a fit reports one for each metric. Choose how to join them "
        "(average='macro', one threshold), or call the metric by hand on predictions.")
