import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import layers
from chainrule.errors import NotReadyError, SettingError, ShapeError
from chainrule.layers import GRU, LSTM, RNN, Bidirectional, Dense, Masking, SimpleRNN, TimeDistributed
from chainrule.layers.base import Layer
from chainrule.layers.binding import Call, apply, held_variables
from chainrule.models import Input, Model, Sequential, load_model

BATCH, TIME, FEATURES, UNITS = 3, 5, 2, 4
LENGTHS = np.array([5, 2, 3])


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def assert_close(left, right, tolerance=2e-6):
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def said(call):
    """The whole text of the error that a call raises."""
    with pytest.raises((SettingError, ShapeError, NotReadyError)) as error:
        call()
    return str(error.value)


class Mean(Layer):
    """A running mean, as a user writes it."""

    rate: float = 0.5
    state_size = FEATURES

    def call(self, inputs, states):
        mean = states[0] + self.rate * (inputs - states[0])
        self.add_loss(mean.sum())
        return mean, mean


STACKS = {
    "SimpleRNN": lambda: [SimpleRNN(UNITS, return_sequences=True), SimpleRNN(3)],
    "LSTM": lambda: [LSTM(UNITS, return_sequences=True), LSTM(3)],
    "GRU": lambda: [GRU(UNITS, return_sequences=True), GRU(3, reset_after=False)],
    "backwards": lambda: [LSTM(UNITS, return_sequences=True, go_backwards=True), GRU(3)],
    "both": lambda: [Bidirectional(LSTM(UNITS, return_sequences=True)), Bidirectional(GRU(3))],
    "cells": lambda: [RNN([layers.LSTMCell(UNITS), layers.GRUCell(3)], return_sequences=True),
                      RNN(layers.SimpleRNNCell(3))],
    "every step": lambda: [TimeDistributed(Dense(3)), LSTM(3, return_sequences=True), Bidirectional(GRU(2), "ave")],
}


@pytest.mark.parametrize("left", [False, True], ids=["padded right", "padded left"])
@pytest.mark.parametrize("name", STACKS)
def test_a_padded_batch_gives_what_each_sequence_gives_alone(name, left):
    x = numbers(BATCH, TIME, FEATURES)
    real = np.arange(TIME) < LENGTHS[:, None]
    real = real[:, ::-1] if left else real
    model = Sequential([Input((None, FEATURES)), Masking(9.0), *STACKS[name]()])
    together = model(np.where(real[..., None], x, 9.0))
    for row, length in enumerate(LENGTHS):
        assert_close(together[row:row + 1], model(x[row:row + 1, real[row]]))
        assert real[row].sum() == length


def test_masked_steps_repeat_the_last_output_or_give_zeros():
    x, mask = numbers(1, 4, FEATURES), np.array([[False, True, False, True]])
    for make in (lambda **settings: LSTM(UNITS, return_sequences=True, **settings),
                 lambda **settings: RNN(layers.LSTMCell(UNITS), return_sequences=True, **settings)):
        layer = make()
        y, alone = layer(x, mask=mask), None
        alone = layer(x[:, mask[0]])
        assert_close(y[0, [0, 1, 2, 3]], jnp.stack([jnp.zeros(UNITS), alone[0, 0], alone[0, 0], alone[0, 1]]))
        zeroed = make(zero_output_for_mask=True)
        zeroed(x)
        zeroed.set_weights(layer.get_weights())
        assert_close(zeroed(x, mask=mask), jnp.where(mask[..., None], y, 0))
    assert said(lambda: layer(x, mask=mask[:, :2])) == "RNN: the mask has shape (1, 2); expected (1, 4), (batch, time)."


@pytest.mark.parametrize(("layer", "cell"), [
    (SimpleRNN(UNITS), layers.SimpleRNNCell(UNITS)),
    (LSTM(UNITS, activation="relu"), layers.LSTMCell(UNITS, activation="relu")),
    (GRU(UNITS), layers.GRUCell(UNITS)),
    (GRU(UNITS, reset_after=False, use_bias=False), layers.GRUCell(UNITS, reset_after=False, use_bias=False)),
], ids=repr)
def test_a_cell_that_is_run_is_the_layer(layer, cell):
    for settings in ({}, {"go_backwards": True, "return_state": True, "return_sequences": True}):
        whole = type(layer)(**(layer.get_config() | settings))
        stepwise = RNN(type(cell)(**cell.get_config()), **settings)
        x, mask = numbers(BATCH, TIME, FEATURES), np.arange(TIME) < LENGTHS[:, None]
        mask[:, 0] = True
        y = whole(x, mask=mask)
        stepwise(x)
        stepwise.set_weights(whole.get_weights())
        assert_close(stepwise(x, mask=mask), y)


@pytest.mark.parametrize("make", [
    lambda: SimpleRNN(UNITS, return_sequences=True), lambda: LSTM(UNITS, dropout=0.5, return_sequences=True),
    lambda: GRU(UNITS, return_sequences=True), lambda: RNN([layers.GRUCell(3), Mean(0.3)], return_sequences=True),
], ids=["SimpleRNN", "LSTM", "GRU", "RNN"])
def test_one_step_after_another_gives_the_sequence(make):
    layer, x = make(), numbers(BATCH, TIME, 3)
    if isinstance(layer, RNN):
        layer.cell.cells[1].state_size = 3
    y = layer(x)
    weights, state = held_variables(layer)

    @jax.jit
    def step(weights, inputs, states):
        return Call(layer, weights, state).copy(layer).step(inputs, states)

    states, outputs = Call(layer, weights, state).copy(layer).initial_states(BATCH), []
    for t in range(TIME):
        output, states = step(weights, x[:, t], states)
        outputs.append(output)
    assert_close(np.stack(outputs, 1), y)


def test_a_layer_that_goes_backwards_has_no_single_step():
    layer = LSTM(UNITS, go_backwards=True, name="back")
    layer(numbers(1, 2, 2))
    bound = Call(layer, *held_variables(layer)).copy(layer)
    assert said(lambda: bound.step(numbers(1, 2), bound.initial_states(1))) == (
        "Layer 'back' (LSTM) goes backwards: it begins with the end of a sequence, and cannot take one step after "
        "another as they come.")


def test_states_of_another_layer_are_saved_with_the_model(tmp_path):
    source, target = Input((None, FEATURES)), Input((None, 3))
    _, *states = RNN([layers.LSTMCell(UNITS), layers.GRUCell(3)], return_state=True)(source)
    decoded = RNN([layers.LSTMCell(UNITS), layers.GRUCell(3)], return_sequences=True)(target, initial_state=states)
    forward = Bidirectional(GRU(2, return_state=True))(source)
    decoded = Bidirectional(GRU(2, return_sequences=True))(decoded, initial_state=forward[1:])
    model = Model([source, target], Dense(1)(decoded))
    x = [numbers(BATCH, TIME, FEATURES), numbers(BATCH, 6, 3)]
    y = model.predict(x)
    assert y.shape == (BATCH, 6, 1) and not np.allclose(y, model.predict([x[0] * 2, x[1]]))
    model.save(tmp_path / "model.chain")
    assert_close(load_model(tmp_path / "model.chain").predict(x), y, 0)


def test_two_halves_of_a_sequence_joined_by_the_state():
    for layer in (LSTM(UNITS, return_state=True), GRU(UNITS, return_state=True)):
        x = numbers(BATCH, TIME, FEATURES)
        y, *states = layer(x)
        _, *first = layer(x[:, :2])
        assert_close(layer(x[:, 2:], initial_state=first), [y, *states])
    assert said(lambda: layer(x, initial_state=[*first, *first])) == (
        "GRU has 1 state; initial_state holds 2. It is the list of what return_state=True gives behind the output.")
    assert said(lambda: layer(x, initial_state=first[0][:, :2])) == (
        "GRU: a state of shape (3, 2) came in initial_state; expected (3, 4), (batch, units).")


def test_dropout_is_the_same_at_all_steps():
    settings = {"activation": None, "use_bias": False, "return_sequences": True}
    x, key = np.ones((8, 6, 5), "float32"), jax.random.key(0)
    inputs = SimpleRNN(5, kernel_initializer="identity", recurrent_initializer="zeros", dropout=0.5, **settings)
    y = np.asarray(inputs(x, training=True, key=key))
    assert (y == y[:, :1]).all() and set(np.unique(y)) == {0, 2} and 0.2 < (y == 0).mean() < 0.8
    assert_close(inputs(x), x)
    state = SimpleRNN(5, kernel_initializer="zeros", recurrent_initializer="identity", recurrent_dropout=0.5,
                      **settings)
    for layer in (state, RNN(layers.SimpleRNNCell(5, None, use_bias=False, kernel_initializer="zeros",
                                                  recurrent_initializer="identity", recurrent_dropout=0.5),
                             return_sequences=True)):
        y = np.asarray(layer(x, initial_state=[jnp.ones((8, 5))], training=True, key=key))
        assert (y[:, 1:] == y[:, :-1] * y[:, :1]).all() and set(np.unique(y[:, 0])) == {0, 2}
    weights, held = held_variables(inputs)
    y, _ = apply(inputs, weights, held, (x,), training=True, key=key, settings={"dropout": jnp.float32(0.75)})
    assert set(np.unique(y)) == {0, 4}
    assert said(lambda: inputs(x, training=True)) == (
        "SimpleRNN draws random numbers in training and needs a key: "
        "model.apply(weights, state, x, training=True, key=jax.random.key(0)).")


def test_the_forget_gate_starts_open():
    for forgets, expected in ((True, [0, 1, 0, 0]), (False, [0, 0, 0, 0])):
        layer = LSTM(2, unit_forget_bias=forgets)
        layer(numbers(1, 2, 3))
        assert layer.get_weights()[2].tolist() == np.repeat(expected, 2).tolist()


def test_penalties_are_on_every_output():
    layer = LSTM(UNITS, return_state=True, activity_regularizer="l2", kernel_regularizer="l2")
    x = numbers(BATCH, TIME, FEATURES)
    outputs = layer(x)
    _, call = apply(layer, *held_variables(layer), (x,))
    assert_close(sum(call.losses), 0.01 * sum((output ** 2).sum() for output in outputs) / BATCH)


def test_a_cell_of_ones_own(tmp_path):
    model = Sequential([Input((None, FEATURES)), RNN(Mean(rate=0.25), return_sequences=True)])
    x = numbers(BATCH, TIME, FEATURES)
    expected, mean = [], np.zeros((BATCH, FEATURES))
    for t in range(TIME):
        mean = mean + 0.25 * (x[:, t] - mean)
        expected.append(mean)
    assert_close(model.predict(x), np.stack(expected, 1))
    model.save(tmp_path / "model.chain")
    assert_close(load_model(tmp_path / "model.chain", custom_objects={"Mean": Mean}).predict(x), np.stack(expected, 1))
    _, call = apply(model, *model.variables(), (x,))
    assert_close(sum(call.losses), np.sum(expected))


def test_cells_that_are_none():
    class Wrong(Layer):
        what: str = "one"
        state_size = 2

        def build(self, input_shape):
            self.count = self.add_weight((), trainable=False)

        def call(self, inputs, states):
            if self.what == "state":
                self.count = self.count + 1
            return {"one": inputs, "many": (inputs, [inputs, inputs]), "shape": (inputs, [inputs[:, :1]]),
                    "output": (inputs[:, :1], states), "state": (inputs, states)}[self.what]

    x = numbers(1, 3, 2)
    assert said(lambda: RNN(Wrong("one"))(x)) == (
        "`call` of the layer Wrong must return the output and the new states: return output, [state].")
    assert said(lambda: RNN(Wrong("many"))(x)) == (
        "`call` of the layer Wrong returns 2 states; its state_size says 1.")
    assert said(lambda: RNN(Wrong("shape"))(x)).endswith(
        "returns a state of shape (7907, 1) for one of (7907, 2). A state keeps its shape, (batch, state_size).")
    assert said(lambda: RNN(Wrong("output"))(x)).endswith(
        "by its output_size, or its state_size where it has none.")
    assert said(lambda: RNN(Wrong("state"))(x)) == (
        "The cell the layer Wrong assigns state inside of a loop over steps, where it cannot be kept. What it carries "
        "from step to step is in the states that `call` takes and returns.")
    assert said(lambda: RNN(Dense(2))) == (
        "RNN: a cell is a layer with a `state_size` and a `call(inputs, states)` that returns the output and the new "
        "states; got Dense(units=2).")
    assert said(lambda: RNN([layers.LSTMCell])).endswith(" Write it with parentheses: LSTMCell(10).")
    assert said(lambda: layers.StackedRNNCells([])) == "StackedRNNCells is made of a list of cells; got []."


def test_stateful_layers_go_on_from_batch_to_batch(tmp_path):
    x = numbers(3, 8, FEATURES)
    make = lambda first, **settings: Sequential([
        first, LSTM(UNITS, return_sequences=True, **settings), RNN([layers.GRUCell(2), layers.GRUCell(2)], **settings)])
    model, whole = make(Input(batch_shape=(3, 4, FEATURES)), stateful=True), make(Input((None, FEATURES)))
    whole.set_weights([array for array in model.get_weights() if array.shape not in ((3, UNITS), (3, 2))])
    expected = [whole.predict(x[:, :4]), whole.predict(x)]
    assert_close([model.predict(x[:, :4]), model.predict(x[:, 4:])], expected)
    model.save(tmp_path / "model.chain")
    again = load_model(tmp_path / "model.chain")
    assert_close(again.variables(), model.variables(), 0)
    for layer in model.layers:
        layer.reset_states()
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(model.variables()[1]))
    rows = np.concatenate([x[:, :4], x[:, 4:]])
    assert_close(model.predict(rows, batch_size=3), np.concatenate(expected))
    model.compile(loss="mse")
    model.fit(rows[:5], np.ones((5, 2)), batch_size=3, shuffle=False, verbose=0)
    assert all((np.abs(leaf) > 0).all() for leaf in jax.tree.leaves(model.variables()[1]))


def test_a_row_that_pads_a_batch_keeps_its_state():
    model = Sequential([Input(batch_shape=(3, 4, FEATURES)), GRU(UNITS, stateful=True)])
    weights, state = model.variables()
    rows = np.array([True, True, False])
    _, call = apply(model, weights, state, (numbers(3, 4, FEATURES),), rows=rows)
    assert (np.abs(call.new_state["gru"]["state_0"]) > 0).all(1).tolist() == rows.tolist()


def test_what_stateful_layers_need():
    assert said(lambda: Sequential([Input((4, 2)), LSTM(3, stateful=True)])) == (
        "LSTM(stateful=True) keeps a state for each row of a batch and needs the size of the batch: "
        "Input(batch_shape=(rows, 4, 2)).")
    model = Sequential([Input((4, 2), batch_size=3, name="x"), LSTM(3, stateful=True)])
    assert said(lambda: model.predict(numbers(2, 4, 2))) == (
        "The input of layer 'x' (InputLayer) has shape (2, 4, 2); expected (3, 4, 2). The network was made for batches "
        "of 3 rows: give batch_size=3, and whole batches.")
    assert said(lambda: LSTM(3).reset_state()) == "LSTM: there is no state to reset without stateful=True."
    assert said(lambda: LSTM(3, stateful=True).reset_state()) == (
        "LSTM has no states yet: it is built by the first input it meets.")
    assert said(lambda: Input((2,), batch_shape=(3, 2))) == (
        "Input takes either batch_shape=(3, 2) or shape and batch_size, not both.")
    assert said(lambda: Input((2,), batch_size=0)) == (
        "Input: `batch_size` is a positive integer, or None where it is open; got 0.")
    assert said(Input) == "Input takes the shape of one row: Input((28, 28, 1))."


def test_both_directions_that_do_not_fit():
    assert said(lambda: Bidirectional(Dense(2))) == (
        "Bidirectional takes a recurrent layer (LSTM, GRU, SimpleRNN, RNN); got Dense(units=2).")
    assert said(lambda: Bidirectional(LSTM(2), merge_mode="max")) == (
        "Bidirectional: `merge_mode` is 'concat', 'sum', 'mul', 'ave' or None; got 'max'.")
    assert said(lambda: Bidirectional(LSTM(2), backward_layer=LSTM(2))) == (
        "Bidirectional: one of the layers walks backwards; give one of them go_backwards=True.")
    assert said(lambda: Bidirectional(LSTM(2), backward_layer=GRU(2, go_backwards=True, return_state=True))) == (
        "Bidirectional: both layers have the same `return_state`; got False forward and True backward.")
    assert said(lambda: Bidirectional(LSTM(2), weights=[])) == (
        "Bidirectional: `weights` is not taken here; use set_weights once the layer is built.")
    used = LSTM(2)
    used(numbers(1, 2, 2))
    assert said(lambda: Bidirectional(used)) == (
        "Bidirectional makes two layers of the one it is given, with weights of their own; the layer LSTM has weights "
        "already. Give it a new one.")


def test_what_recurrent_layers_are_given():
    assert said(lambda: LSTM(2)(numbers(3, 4))) == (
        "LSTM takes sequences, (batch, time, features); got (None, 4). Use x[..., None] where each step is one number, "
        "or return_sequences=True in the recurrent layer before.")
    assert said(lambda: GRU(0)) == "GRU: `units` must be a positive integer; got 0."
    assert said(lambda: GRU(2, dropout=1.0)) == "GRU: `dropout` is a share to drop, at least 0 and below 1; got 1.0."
    assert said(lambda: TimeDistributed(Dense)) == (
        "TimeDistributed applies a layer; got <class 'chainrule.layers.dense.Dense'>. Write it with parentheses: "
        "Dense(10).")
    assert said(lambda: TimeDistributed(Dense(2))(numbers(3, 4))) == (
        "TimeDistributed takes sequences, (batch, time, ...) with at least one more axis; got (None, 4). Use "
        "x[..., None] where each step is one number.")
