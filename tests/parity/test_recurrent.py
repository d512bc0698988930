"""Recurrent layers beside PyTorch and Keras: outputs, states and gradients, with random weights, masks and lengths."""
import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch

from chainrule import layers, ops
from chainrule.layers.binding import apply, held_variables, ordered_arrays
from chainrule.models import Input, Model, Sequential

# NumPy 2 asks torch tensors for a copy in a way that they do not know yet, wherever Keras hands one to it.
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

BATCH, TIME, FEATURES, UNITS = 5, 7, 3, 4
LENGTHS = np.array([7, 1, 4, 6, 3])
GATES = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def assert_close(ours, theirs, tolerance=2e-5):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=tolerance, atol=tolerance)


def prefix_mask(left=False):
    """The steps that are there, for sequences of `LENGTHS`."""
    mask = np.arange(TIME) < LENGTHS[:, None]
    return mask[:, ::-1].copy() if left else mask


# PyTorch's gates stand in rows, in an order of its own: LSTM i f g o as ours, GRU r z n where ours are z r n.


def torch_weights(name, kernel, recurrent_kernel, bias):
    """Our weights as PyTorch's `weight_ih, weight_hh, bias_ih, bias_hh`."""
    def permuted(columns):
        parts = np.split(columns, GATES[name], axis=-1)
        return np.concatenate([parts[1], parts[0], parts[2]] if name == "GRU" else parts, axis=-1).T

    first, second = (bias[0], bias[1]) if name == "GRU" else (bias, np.zeros_like(bias))
    return [permuted(part) for part in (kernel, recurrent_kernel, first, second)]


def from_torch(name, array):
    """An array of PyTorch's in our order."""
    parts = np.split(array.detach().numpy(), GATES[name], axis=0)
    return np.concatenate([parts[1], parts[0], parts[2]] if name == "GRU" else parts, axis=0).T


def our_weights(name, seed=1):
    columns = GATES[name] * UNITS
    bias = (2, columns) if name == "GRU" else (columns,)
    return [numbers(*shape, seed=seed + index) for index, shape in enumerate(
        [(FEATURES, columns), (UNITS, columns), bias])]


def torch_layer(name, weights, bidirectional=False, backward=None):
    kind = {"SimpleRNN": torch.nn.RNN, "LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}[name]
    theirs = kind(FEATURES, UNITS, batch_first=True, bidirectional=bidirectional)
    arrays = torch_weights(name, *weights) + (torch_weights(name, *backward) if bidirectional else [])
    for parameter, array in zip(theirs.parameters(), arrays, strict=True):
        parameter.data = torch.tensor(np.ascontiguousarray(array))
    return theirs


@pytest.mark.parametrize("name", list(GATES))
def test_sequences_states_and_gradients_are_those_of_torch(name):
    weights, x = our_weights(name), numbers(BATCH, TIME, FEATURES)
    states = [numbers(BATCH, UNITS, seed=7 + index) for index in range(2 if name == "LSTM" else 1)]
    theirs, tensor = torch_layer(name, weights), torch.tensor(x, requires_grad=True)
    tensors = [torch.tensor(state[None], requires_grad=True) for state in states]
    outputs, last = theirs(tensor, tuple(tensors) if name == "LSTM" else tensors[0])
    last = list(last) if name == "LSTM" else [last]
    function = {"SimpleRNN": ops.simple_recurrence, "LSTM": ops.lstm, "GRU": ops.gru}[name]
    ours = lambda x, states, *weights: function(x, *weights, states)
    (y, ends), pull = jax.vjp(ours, x, tuple(states), *weights)
    assert_close(y, outputs)
    for mine, other in zip(ends, last, strict=True):
        assert_close(mine, other[0])
    seeds = [numbers(*y.shape, seed=20), *[numbers(BATCH, UNITS, seed=30 + index) for index in range(len(states))]]
    torch.autograd.backward([outputs, *last], [torch.tensor(seeds[0]), *[torch.tensor(one[None]) for one in seeds[1:]]])
    seeds = jnp.asarray(seeds[0]), tuple(map(jnp.asarray, seeds[1:]))
    by_x, by_states, by_kernel, by_recurrent, by_bias = pull(seeds)
    assert_close(by_x, tensor.grad)
    for mine, other in zip(by_states, tensors, strict=True):
        assert_close(mine, other.grad[0])
    kernel, recurrent_kernel, first, second = [from_torch(name, part.grad) for part in theirs.parameters()]
    assert_close(by_kernel, kernel, 1e-4)
    assert_close(by_recurrent, recurrent_kernel, 1e-4)
    assert_close(by_bias, np.stack([first, second]) if name == "GRU" else first, 1e-4)


@pytest.mark.parametrize("name", list(GATES))
def test_lengths_and_both_directions_are_those_of_torch(name):
    forward, backward = our_weights(name, 1), our_weights(name, 11)
    x, mask = numbers(BATCH, TIME, FEATURES), prefix_mask()
    theirs = torch_layer(name, forward, True, backward)
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.tensor(x), LENGTHS, batch_first=True, enforce_sorted=False)
    outputs, last = theirs(packed)
    outputs = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)[0]
    last = last[0] if name == "LSTM" else last
    make = lambda **settings: layers.Bidirectional(getattr(layers, name)(UNITS, **settings))
    every, ends = make(return_sequences=True), make()
    for layer in (every, ends):
        layer(x)
        layer.set_weights([*forward, *backward])
    assert_close(every(x, mask=mask), outputs)
    assert_close(ends(x, mask=mask), torch.cat([last[0], last[1]], dim=-1))


CASES = [
    ("SimpleRNN", {}),
    ("SimpleRNN", {"activation": "relu", "go_backwards": True, "return_sequences": True}),
    ("LSTM", {"return_sequences": True}),
    ("LSTM", {"go_backwards": True, "return_state": True}),
    ("LSTM", {"activation": "relu", "recurrent_activation": "hard_sigmoid", "use_bias": False}),
    ("LSTM", {"return_sequences": True, "zero_output_for_mask": True}),
    ("GRU", {"return_sequences": True, "return_state": True}),
    ("GRU", {"reset_after": False}),
    ("GRU", {"reset_after": False, "use_bias": False, "go_backwards": True, "return_sequences": True}),
    ("GRU", {"activation": "elu", "recurrent_activation": "softmax"}),
    ("GRU", {"use_bias": False}),
]


def assert_like_keras(ours, theirs, mask, tolerance=2e-5):
    """Outputs and gradients of a layer beside Keras's, for the same random weights."""
    x = numbers(BATCH, TIME, FEATURES)
    ours(x)
    theirs.build((BATCH, TIME, FEATURES))
    values = [numbers(*array.shape, seed=3 + index) * 0.7 for index, array in enumerate(ours.get_weights())]
    assert [value.shape for value in values] == [tuple(array.shape) for array in theirs.get_weights()]
    ours.set_weights(values)
    theirs.set_weights(values)
    tensor = torch.tensor(x, requires_grad=True)
    expected = theirs(tensor, mask=None if mask is None else torch.tensor(mask))
    expected = list(expected) if isinstance(expected, (list, tuple)) else [expected]
    weights, state = held_variables(ours)
    evaluate = lambda weights, x: apply(ours, weights, state, (x,), {} if mask is None else {"mask": mask})[0]
    y, pull = jax.vjp(evaluate, weights, x)
    seeds = [numbers(*leaf.shape, seed=40 + index) for index, leaf in enumerate(jax.tree.leaves(y))]
    for mine, other in zip(jax.tree.leaves(y), expected, strict=True):
        assert_close(mine, other, tolerance)
    torch.autograd.backward(expected, [torch.tensor(one) for one in seeds])
    by_weights, by_x = pull(jax.tree.unflatten(jax.tree.structure(y), list(map(jnp.asarray, seeds))))
    assert_close(by_x, tensor.grad, 10 * tolerance)
    gradients = [array for _, array in ordered_arrays(ours, by_weights, {})]
    for mine, other in zip(gradients, theirs.trainable_weights, strict=True):
        assert_close(mine, other.value.grad, 10 * tolerance)


@pytest.mark.parametrize("masked", [None, "right", "left"])
@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_outputs_and_gradients_are_those_of_keras(name, settings, masked):
    mask = None if masked is None else prefix_mask(masked == "left")
    assert_like_keras(getattr(layers, name)(UNITS, **settings), getattr(keras.layers, name)(UNITS, **settings), mask)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("settings", [
    {"merge_mode": "concat"}, {"merge_mode": "sum"}, {"merge_mode": "ave"}, {"merge_mode": "mul"}, {"merge_mode": None},
], ids=str)
@pytest.mark.parametrize("inner", [{"return_sequences": True}, {"return_state": True}], ids=str)
def test_both_directions_are_those_of_keras(settings, inner, masked):
    make = lambda kind: kind.Bidirectional(kind.GRU(UNITS, **inner), **settings)
    assert_like_keras(make(layers), make(keras.layers), prefix_mask() if masked else None)


def test_stacked_cells_are_those_of_keras():
    make = lambda kind: kind.RNN([kind.LSTMCell(4), kind.GRUCell(3), kind.SimpleRNNCell(2)], return_sequences=True)
    assert_like_keras(make(layers), make(keras.layers), None)


def test_a_layer_at_every_step_is_that_of_keras():
    make = lambda kind: kind.TimeDistributed(kind.Dense(4, activation="tanh"))
    assert_like_keras(make(layers), make(keras.layers), None)


def test_an_encoder_and_a_decoder_are_those_of_keras():
    values, x = None, [numbers(BATCH, TIME, FEATURES), numbers(BATCH, TIME + 2, 2, seed=1)]
    outputs = []
    for kind, make, network in ((layers, Input, Model), (keras.layers, keras.Input, keras.Model)):
        source, target = make((None, FEATURES)), make((None, 2))
        masked = kind.Masking()(source)
        _, h, c = kind.LSTM(UNITS, return_state=True)(masked)
        decoded = kind.LSTM(UNITS, return_sequences=True)(target, initial_state=[h, c])
        model = network([source, target], kind.Dense(3)(decoded))
        values = values or [numbers(*array.shape, seed=3 + index) for index, array in enumerate(model.get_weights())]
        model.set_weights(values)
        x[0] = x[0] * prefix_mask()[..., None]
        outputs.append(model.predict(x, verbose=0))
    assert_close(outputs[0], outputs[1])


def test_first_weights_are_drawn_as_those_of_keras():
    for name in GATES:
        ours, theirs = getattr(layers, name)(8), getattr(keras.layers, name)(8)
        ours(numbers(2, 3, 5))
        theirs.build((2, 3, 5))
        kernel, recurrent_kernel, bias = ours.get_weights()
        assert_close(bias, theirs.get_weights()[2], 0)
        assert_close(recurrent_kernel @ recurrent_kernel.T, np.eye(8), 1e-5)
        limit = np.sqrt(6 / sum(kernel.shape))
        assert 0.8 * limit < np.abs(kernel).max() < limit


def test_a_stateful_model_goes_on_as_that_of_keras():
    x, outputs = numbers(3, 8, FEATURES), []
    ours = Sequential([Input(batch_shape=(3, 4, FEATURES)), layers.GRU(UNITS, stateful=True)])
    theirs = keras.Sequential([keras.Input(batch_shape=(3, 4, FEATURES)), keras.layers.GRU(UNITS, stateful=True)])
    values = [numbers(*array.shape, seed=index) for index, array in enumerate(ours.layers[0].get_weights()[:3])]
    theirs.layers[0].set_weights(values)  # Keras does not count the state among the weights
    ours.layers[0].set_weights([*values, np.zeros((3, UNITS), "float32")])
    for model in (ours, theirs):
        parts = [model.predict(x[:, start:start + 4], batch_size=3, verbose=0) for start in (0, 4)]
        model.layers[0].reset_state()
        outputs.append([*parts, model.predict(x[:, :4], batch_size=3, verbose=0)])
    for mine, other in zip(*outputs, strict=True):
        assert_close(mine, other)
