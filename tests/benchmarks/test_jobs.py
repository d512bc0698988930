"""The jobs are what they say: operations, weights and data."""
import numpy as np
import pytest
from jobs import AT_BFLOAT16, JOBS, Job, loss, quick
from networks import Dense, Recur, forward_operations, orthogonal, training_operations

SIZES = {  # weights, counted from the layers' shapes
    "2-8-8-1": 2 * 8 + 8 + 8 * 8 + 8 + 8 + 1,
    "28-64-64-1": 28 * 64 + 64 + 64 * 64 + 64 + 64 + 1,
    "784-500-300-10": 784 * 500 + 500 + 500 * 300 + 300 + 300 * 10 + 10,
    "784-500-300-10 normalised": 784 * 500 + 500 + 500 * 300 + 300 + 300 * 10 + 10 + 4 * 800,
    "convolutional": 9 * 32 + 32 + 9 * 32 * 64 + 64 + 9216 * 128 + 128 + 128 * 10 + 10,
    "LSTM": 64 * 64 + (64 + 256 + 1) * 1024 + 256 * 64 + 64,
}


@pytest.mark.parametrize("name", JOBS)
def test_weights(name):
    arrays = [array for layer in JOBS[name].weights() for array in layer]
    assert sum(array.size for array in arrays) == SIZES[name]
    assert {array.dtype.name for array in arrays} == {"float32"}


def test_operations_of_an_epoch():
    forward = 784 * 500 + 500 * 300 + 300 * 10
    assert JOBS["784-500-300-10"].operations == 60_000 * 2 * (3 * forward - 784 * 500)
    assert JOBS["784-500-300-10 normalised"].operations == 50_000 * 2 * (3 * forward - 784 * 500) + 10_000 * 2 * forward
    first, second = 9 * 32 * 26 * 26, 9 * 32 * 64 * 24 * 24
    assert JOBS["convolutional"].operations == 12_800 * 2 * (2 * first + 3 * (second + 9216 * 128 + 1280))
    assert JOBS["LSTM"].operations == 6_400 * 64 * 2 * 3 * ((64 + 256) * 1024 + 256 * 64)


def test_the_first_layer_needs_no_gradient_of_its_inputs():
    layers = Dense(3, 4), Dense(4, 2)
    assert forward_operations(layers) == 2 * (12 + 8)
    assert training_operations(layers) == 2 * 2 * 12 + 3 * 2 * 8


@pytest.mark.parametrize("name", JOBS)
def test_data(name):
    job = quick(JOBS[name])
    data = job.data()
    assert data.x.shape == (job.rows, *job.input_shape)
    assert len(data.y) == job.rows
    assert 0 <= data.y.min() and data.y.max() == max(job.outputs, 2) - 1
    assert (data.x_held is None) == (job.held == 0)
    if job.held:
        assert data.x_held.shape == (job.held, *job.input_shape)
    again = job.data()
    np.testing.assert_array_equal(data.x, again.x)
    np.testing.assert_array_equal(data.y, again.y)


def test_targets_of_the_language_are_the_next_characters():
    data = quick(JOBS["LSTM"]).data()
    np.testing.assert_array_equal(data.x[:, 1:], data.y[:, :-1])
    followers = {(int(now), int(later)) for now, later in zip(data.x.ravel(), data.y.ravel(), strict=True)}
    assert len(followers) <= 4 * 64


def test_losses_are_those_of_the_textbook():
    two, three = Job("", (Dense(1, 1),), 2, 1), Job("", (Dense(1, 3),), 2, 1)
    logits = np.array([[0.5], [-2.0]])
    share = 1 / (1 + np.exp(-logits[:, 0]))
    assert loss(two, logits, np.array([1, 0])) == pytest.approx(-np.log([share[0], 1 - share[1]]).mean())
    logits = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 1000.0]])
    assert loss(three, logits, np.array([2, 2])) == pytest.approx(
        -np.log(np.exp(3) / np.exp([1, 2, 3]).sum()) / 2)


@pytest.mark.parametrize("outputs", [1, 3, 64])
def test_blind_loss_is_that_of_equal_logits(outputs):
    job = Job("", (Dense(1, outputs),), 2, 1)
    assert job.blind_loss == pytest.approx(loss(job, np.full((2, outputs), 0.0), np.array([0, 1])))


def test_starting_weights_of_a_recurrence():
    kernel, recurrent_kernel, bias = Recur(5, 8, 3).initial(np.random.default_rng(0))
    assert kernel.shape == (5, 32) and np.abs(kernel).max() <= (6 / 37) ** 0.5
    np.testing.assert_allclose(recurrent_kernel @ recurrent_kernel.T, np.eye(8), atol=1e-6)
    np.testing.assert_array_equal(bias.reshape(4, 8)[:, 0], [0, 1, 0, 0])
    assert orthogonal(np.random.default_rng(0), 2, 3).dtype == np.float32


def test_jobs_at_bfloat16_exist():
    assert set(AT_BFLOAT16) <= set(JOBS)
