"""Copies of data on the device: where their memory comes from, and when it is given back."""
import gc

import numpy as np
import pytest

import chainrule as cr
from chainrule import devices
from chainrule.devices import Staging, to_device

ROWS = devices._FEWEST_KEPT_BYTES // 4  # of one float32


def address(array) -> int:
    return array.unsafe_buffer_pointer()


@pytest.fixture
def array():
    return np.arange(ROWS, dtype="float32")


def test_a_second_copy_lies_where_the_first_lay(array):
    staging = Staging()
    first = to_device(array, staging=staging)
    place = address(first)
    del first
    array[0] = 7
    second = to_device(array, staging=staging)
    assert address(second) == place
    assert np.array_equal(second, array)


def test_a_copy_that_is_in_use_keeps_its_memory(array):
    staging = Staging()
    first = to_device(array, staging=staging)
    array[0] = 7
    second = to_device(array, staging=staging)
    assert (float(first[0]), float(second[0])) == (0, 7)
    assert address(first) != address(second)


def test_views_of_one_array_share_memory_by_what_they_show():
    staging = Staging()
    whole = np.zeros((2, ROWS), "float32")
    first = to_device(whole[1:], staging=staging)
    place = address(first)
    del first
    assert address(to_device(whole[1:], staging=staging)) == place
    assert address(to_device(whole[:1], staging=staging)) != place


def test_memory_is_given_back_with_the_array():
    staging, array = Staging(), np.zeros(ROWS, "float32")
    to_device(array, staging=staging)
    to_device(np.zeros(ROWS, "float32"), staging=staging)
    assert [len(room) for _, room in staging._kept.values()] == [4 * ROWS + 64]
    del array
    gc.collect()
    assert not staging._kept


def test_little_data_and_data_of_others_are_not_kept():
    staging = Staging()
    to_device(np.zeros(8, "float32"), staging=staging)
    to_device(np.frombuffer(bytes(4 * ROWS), "float32"), staging=staging)
    assert not staging._kept


def test_a_fit_sees_what_an_array_holds_now():
    x = np.ones((ROWS, 1), "float32")
    model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(cr.optimizers.SGD(0.5), "mse")
    fit = dict(batch_size=ROWS, verbose=0, shuffle=False)
    assert model.fit(x, np.full((ROWS, 1), 1.0, "float32"), **fit).history["loss"] == [1.0]
    x[:] = 2
    weights = model.get_weights()[0].item()
    loss = model.fit(x, np.full((ROWS, 1), 1.0, "float32"), **fit).history["loss"][0]
    assert loss == pytest.approx((2 * weights - 1) ** 2)
