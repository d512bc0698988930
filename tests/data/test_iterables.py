"""Batches that come one after another: any cut of them, passes and goings-on, windows, and what is said of bad ones."""
import numpy as np
import pytest

from chainrule.data import IterableSource
from chainrule.data.iterables import Feed
from chainrule.errors import DataError, SettingError

KEY = np.array([3, 4], np.uint32)


def batches(count=20, size=6, start=0):
    """Rows from `start` to `count` whose values are their numbers, some at a time."""
    for begin in range(start, count, size):
        x = np.arange(begin, min(begin + size, count), dtype="float32")[:, None]
        yield x, x[:, 0] * 2


def endless():
    number = 0
    while True:
        yield np.full((4, 1), number, "float32"), np.arange(4)
        number += 1


def numbers(source, size=5, count=None):
    count = len(source) if count is None else count
    parts = [source.rows(np.arange(start, min(start + size, count)))[0] for start in range(0, count, size)]
    return np.concatenate(parts)[:, 0].tolist()


@pytest.mark.parametrize("size", [1, 4, 6, 20])
@pytest.mark.parametrize("made", [batches, lambda: list(batches()), lambda: batches(size=1)])
def test_rows_are_cut_anew(made, size):
    source = IterableSource(made)
    source.begin(0)
    assert numbers(source, size) == list(range(20))


def test_an_iterable_is_counted_by_a_pass_and_begun_anew():
    source = IterableSource(list(batches()))
    assert (len(source), source.batch_size, source.read_once) == (20, 6, False)
    for epoch in range(3):
        source.begin(epoch)
        assert numbers(source) == list(range(20))


def test_the_first_look_draws_nothing_twice():
    made = []

    def counted():
        made.append(0)
        for batch in batches():
            made[-1] += 1
            yield batch

    source = IterableSource(counted, rows=20)
    assert source.head()[0].tolist() == [[0]] and source.batch_size == 6
    source.begin(0)
    assert numbers(source) == list(range(20))
    assert made == [4]


def test_a_generator_goes_on_with_each_epoch():
    source = IterableSource(endless()).with_rows(6)
    drawn = []
    for epoch in range(3):
        source.begin(epoch)
        drawn += numbers(source)
    assert drawn == [number // 4 for number in range(18)]


def test_later_epochs_draw_and_drop_what_comes_before():
    whole = [number // 4 for number in range(18)]
    for made in (endless(), endless):
        source = IterableSource(made).with_rows(6)
        source.begin(2)
        assert source.rows(np.arange(3, 6))[0][:, 0].tolist() == whole[15:]


def test_an_iterable_of_steps_begins_again_at_its_end():
    source = IterableSource(batches).with_rows(12)
    drawn = []
    for epoch in range(3):
        source.begin(epoch)
        drawn += numbers(source)
    assert drawn == [*range(20), *range(16)]
    source.begin(1)
    assert numbers(source) == [*range(12, 20), *range(4)]


def test_going_back_begins_the_epoch_anew():
    source = IterableSource(batches)
    source.begin(0)
    assert source.rows(np.arange(8, 12))[0][:, 0].tolist() == [8, 9, 10, 11]
    assert source.rows(np.arange(2, 4))[0][:, 0].tolist() == [2, 3]


@pytest.mark.parametrize("window", [1, 7, 20, 100])
@pytest.mark.parametrize("size", [3, 7, 20])
def test_windows_give_each_row_in_its_order(window, size):
    source = IterableSource(batches, window=window)
    for epoch in range(2):
        source.begin(epoch)
        order = source.order(KEY, epoch, 0, 20)
        drawn = np.concatenate([source.rows(order[start : start + size])[1] for start in range(0, 20, size)])
        assert drawn.tolist() == (order * 2).tolist()


def test_a_generator_may_fill_the_same_array_again():
    def reusing():
        room = np.empty((3, 1), "float32")
        for number in range(4):
            room[:] = number
            yield room, room[:, 0]

    source = IterableSource(reusing, window=5)
    source.begin(0)
    rows = np.arange(12)
    drawn = np.concatenate([source.rows(rows[start : start + 4])[0] for start in range(0, 12, 4)])
    assert drawn[:, 0].tolist() == (rows // 3).tolist()


def test_epochs_are_told():
    class Told(list):
        epochs = []

        def set_epoch(self, epoch):
            self.epochs.append(epoch)

    source = IterableSource(Told(batches()), rows=20)
    for epoch in (0, 1, 4):
        source.begin(epoch)
        numbers(source)
    assert Told.epochs == [0, 1, 4]


def test_structures_and_weights_come_through():
    made = [({"a": np.ones((2, 3)), "b": [[1], [2]]}, (np.zeros((2, 1)), np.ones(2)), [0.5, 2.0])] * 3
    source = IterableSource(made)
    x, y, weight = source.load()
    assert {name: part.shape for name, part in x.items()} == {"a": (6, 3), "b": (6, 1)}
    assert [part.shape for part in y] == [(6, 1), (6,)] and weight.tolist() == [0.5, 2.0] * 3


def test_text_comes_through_whatever_its_length():
    x, _ = IterableSource([(np.array(["a"]), [1]), (np.array(["longer"]), [2])]).load()
    assert x.tolist() == ["a", "longer"]


def message(error, make) -> str:
    with pytest.raises(error) as caught:
        make()
    return str(caught.value)


X = np.zeros((4, 2), "float32")


@pytest.mark.parametrize(("yielded", "text"), [
    ([(X, [0, 1, 2, 3]), (X[:, :1], [0, 1, 2, 3])],
     "Batch 1 of the list: x has rows of float32 (1,), and in the first batch it had rows of float32 (2,). All batches "
     "need rows of the same shape and type."),
    ([(X, [0, 1, 2, 3]), (X.astype("float64"), [0, 1, 2, 3])],
     "Batch 1 of the list: x has rows of float64 (2,), and in the first batch it had rows of float32 (2,). All batches "
     "need rows of the same shape and type."),
    ([(X, [0, 1, 2, 3]), (X,)],
     "Batch 1 of the list: y has nothing, and in the first batch it had rows of int64 (). All batches need rows of the "
     "same shape and type."),
    ([(X, [0, 1, 2])], "Batch 0 of the list: All arrays need the same number of rows: x has 4, y has 3."),
    ([(X[:0], [])], "Batch 0 of the list: x has no rows; its shape is (0, 2)."),
    ([(1.0, 2.0)], "Batch 0 of the list: x is a single number; expected an array with a row for each example. For one "
                   "example give it that axis: numpy.reshape(x, (1, 1))."),
    ([(X, X, X, X)], "Batch 0 of the list: expected (x, y) or (x, y, sample_weight); got a tuple of 4 parts. Several "
                     "inputs are a dict, or a tuple within the tuple."),
    ([None], "Batch 0 of the list: expected (x, y) or (x, y, sample_weight); got None."),
    (["word"], "Batch 0 of the list: expected (x, y) or (x, y, sample_weight); got 'word'."),
    ([], "The list yielded no batches."),
])
def test_batches_that_will_not_do(yielded, text):
    assert message(DataError, lambda: IterableSource(yielded).load()) == text


def test_ending_early():
    source = IterableSource(batches()).with_rows(30)
    source.begin(0)
    assert message(DataError, lambda: source.rows(np.arange(0, 25))) == (
        "The generator 'batches' ended after 20 rows, and 25 are needed by here. Yield more, without end: while True; "
        "or ask for fewer steps.")
    lengths = iter([20, 10])
    source = IterableSource(lambda: batches(next(lengths)))
    len(source)
    source.begin(1)
    assert message(DataError, lambda: source.rows(np.arange(0, 20))) == (
        "The function '<lambda>' ended after 10 rows, and 20 are needed by here. It yielded more when its rows were "
        "counted: it has to yield as many each time.")


def test_the_length_of_a_generator():
    assert message(SettingError, lambda: len(IterableSource(batches()))) == (
        "The generator 'batches' can be read once, and its length is not known. Say how many batches make an epoch: "
        "steps_per_epoch=..., and validation_steps=... where it is for validation; or give the function that makes it, "
        "without calling it, so that each epoch begins anew.")


def test_no_rows_by_number():
    assert message(SettingError, lambda: IterableSource(batches).split(0.2)) == (
        "The function 'batches' is read from the front to the end, and has no rows by number. Give the rows to "
        "validate on as validation_data.")


def test_what_is_no_iterable():
    assert message(SettingError, lambda: IterableSource(3)) == (
        "An IterableSource is made of an iterable of batches, a function that makes an iterator of them, or an "
        "iterator; got int.")
    assert message(SettingError, lambda: IterableSource(lambda: 3).load()) == (
        "The function '<lambda>' returned int; expected an iterator of batches. A function that yields them is one.")


def test_a_feed_counts_what_it_gave():
    feed = Feed(batches, "the batches")
    feed.draw(3, 8, continuous=False)
    assert feed.place == 8
