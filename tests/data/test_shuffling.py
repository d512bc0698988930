"""Orders in windows: every row once, found again from key, epoch and place, and near one another by construction."""
import numpy as np
import pytest

from chainrule.data.shuffling import Windows

KEY = np.array([3, 4], np.uint32)
BLOCKS = np.array([0, 10, 25, 26, 90])


@pytest.mark.parametrize("window", [1, 7, 30, 103, 500])
@pytest.mark.parametrize("blocks", [BLOCKS, np.zeros(1, int)], ids=["runs", "one run"])
def test_an_epoch_has_each_row_once_however_it_is_cut(window, blocks):
    whole = Windows(103, blocks, window).rows(KEY, 2, 0, 103)
    assert sorted(whole.tolist()) == list(range(103))
    for size in (1, 8, 50):
        order = Windows(103, blocks, window)
        parts = [order.rows(KEY, 2, start, min(start + size, 103)) for start in range(0, 103, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(Windows(103, blocks, window).rows(KEY, 2, 60, 77), whole[60:77])


def test_it_depends_on_key_and_epoch():
    order = Windows(103, BLOCKS, 30)
    orders = [order.rows(key, epoch, 0, 103).tolist() for key in (KEY, KEY + 1) for epoch in (0, 1)]
    assert len({tuple(rows) for rows in orders}) == 4
    assert orders[0] == order.rows(KEY, 0, 0, 103).tolist()


def test_a_window_holds_whole_runs_but_at_its_ends():
    rows = Windows(100, np.arange(0, 100, 10), 40).rows(KEY, 0, 0, 40)
    assert sorted(rows // 10) == sorted(np.repeat(np.unique(rows // 10), 10))
    assert rows.tolist() != sorted(rows.tolist())


def test_without_runs_a_window_has_neighbours():
    rows = Windows(100, np.zeros(1, int), 40).rows(KEY, 0, 40, 80)
    assert sorted(rows.tolist()) == list(range(40, 80))
