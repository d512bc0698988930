"""Splits: no row lost or doubled, the part that was asked for, classes and groups kept; every error whole."""
import re

import numpy as np
import pandas as pd
import pytest

from chainrule.data.split import split, split_indices
from chainrule.errors import DataError, SettingError, ShapeError


def parts(count, fraction, **options):
    train, held = split_indices(count, fraction, **options)
    assert train.dtype.kind == held.dtype.kind == "i"
    assert len(train) and len(held)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(count))
    assert (np.diff(train) > 0).all() and (np.diff(held) > 0).all()
    return train, held


@pytest.mark.parametrize("count, fraction, held", [(10, 0.2, 2), (10, 0.25, 2), (2, 0.01, 1), (2, 0.99, 1), (7, 0.5, 4),
                                                   (1797, 0.1, 180)])
def test_how_many_rows(count, fraction, held):
    assert len(parts(count, fraction)[1]) == held
    assert len(parts(count, fraction, time=True)[1]) == held


def test_the_seed_decides():
    same = [parts(1000, 0.3, seed=5)[1] for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert not np.array_equal(same[0], parts(1000, 0.3, seed=6)[1])
    labels = np.arange(1000) % 3
    for options in ({"stratify": labels}, {"groups": np.arange(1000) // 4}):
        assert np.array_equal(parts(1000, 0.3, seed=5, **options)[1], parts(1000, 0.3, seed=5, **options)[1])
        assert not np.array_equal(parts(1000, 0.3, seed=5, **options)[1], parts(1000, 0.3, seed=6, **options)[1])


def test_every_row_is_held_out_equally_often():
    counts, labels = np.zeros((3, 20)), np.arange(20) % 2
    for seed in range(600):
        for row, options in enumerate(({}, {"stratify": labels}, {"groups": np.arange(20) // 2})):
            counts[row, parts(20, 0.2, seed=seed, **options)[1]] += 1
    assert np.abs(counts / 600 - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 600)


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_stratified(fraction, seed):
    labels = np.random.default_rng(seed).choice(6, 997, p=[0.5, 0.3, 0.1, 0.05, 0.04, 0.01])
    held = np.bincount(labels[parts(997, fraction, seed=seed, stratify=labels)[1]], minlength=6)
    sizes = np.bincount(labels)
    assert ((held >= 1) & (held <= sizes - 1)).all()
    exact = sizes * fraction
    assert (np.abs(held - exact) < 1)[(exact >= 1) & (sizes - exact >= 1)].all()
    assert abs(held.sum() - 997 * fraction) <= 2


def test_the_whole_part_is_right_where_every_class_is_large():
    labels = np.arange(1000) % 7
    for fraction in np.linspace(0.05, 0.95, 19):
        assert len(parts(1000, fraction, stratify=labels)[1]) == round(1000 * fraction)


def test_every_class_is_on_both_sides():
    labels = np.repeat(["rare", "common", "pair"], [3, 200, 2])
    for fraction in (0.01, 0.99):
        for seed in range(5):
            train, held = parts(205, fraction, seed=seed, stratify=labels)
            assert set(labels[train]) == set(labels[held]) == {"rare", "common", "pair"}


def test_a_class_of_one_row_is_trained_on():
    labels = np.array([0, 0, 0, 0, 7, 1, 1, 1])
    for seed in range(10):
        train, held = parts(8, 0.5, seed=seed, stratify=labels)
        assert 4 in train


def test_stratify_takes_any_type():
    labels = np.arange(30) % 3
    expected = parts(30, 0.3, stratify=labels)[1]
    for same in (labels.tolist(), labels[:, None], labels * 2.5, np.array(["a", "b", "c"])[labels],
                 pd.Series(labels).astype(str), np.array(["a", "b", "c"], object)[labels]):
        np.testing.assert_array_equal(parts(30, 0.3, stratify=same)[1], expected)


def test_a_group_is_never_on_both_sides():
    for seed in range(20):
        groups = np.random.default_rng(seed).integers(0, 40, 300)
        train, held = parts(300, 0.25, seed=seed, groups=groups)
        assert not set(groups[train]) & set(groups[held])
        assert 75 - np.bincount(groups).max() < len(held) <= 75


def test_a_huge_group_is_trained_on():
    groups = np.repeat(["hospital", "a", "b"], [90, 5, 5])
    for seed in range(10):
        train, _ = parts(100, 0.2, seed=seed, groups=groups)
        assert set(groups[train]) == {"hospital"}


def test_the_smallest_group_if_none_fits():
    groups = np.repeat([1, 2], [60, 40])
    np.testing.assert_array_equal(parts(100, 0.1, groups=groups)[1], np.arange(60, 100))


def test_by_time():
    train, held = parts(10, 0.3, time=True)
    np.testing.assert_array_equal(held, [7, 8, 9])


def test_split_takes_arrays_lists_and_tables():
    frame = pd.DataFrame({"a": np.arange(50)}, index=np.arange(50)[::-1])
    series = pd.Series(np.arange(50), index=list(range(25)) * 2)
    x = np.arange(100).reshape(50, 2)
    train, held = split((x, frame, series, list(range(50))), 0.3, seed=3, groups=np.arange(50) // 5)
    for part, rows in zip((train, held), split_indices(50, 0.3, seed=3, groups=np.arange(50) // 5), strict=True):
        np.testing.assert_array_equal(part[0], x[rows])
        np.testing.assert_array_equal(part[1]["a"], rows)
        np.testing.assert_array_equal(part[2].to_numpy(), rows)
        np.testing.assert_array_equal(part[3], rows)


@pytest.mark.parametrize("error, message, call", [
    (SettingError, "The fraction to hold out lies between 0 and 1, both excluded; got 0.", lambda: split_indices(9, 0)),
    (SettingError, "The fraction to hold out lies between 0 and 1, both excluded; got 1.0.",
     lambda: split_indices(9, 1.0)),
    (SettingError, "The fraction to hold out lies between 0 and 1, both excluded; got nan.",
     lambda: split_indices(9, float("nan"))),
    (DataError, "A split needs at least 2 rows, one for each side; got 1.", lambda: split_indices(1, 0.5)),
    (SettingError, "Rows are split by one of stratify, groups and time; got stratify and time.",
     lambda: split_indices(4, 0.5, stratify=[0, 0, 1, 1], time=True)),
    (ShapeError, "stratify needs one value a row, the shape (4,); got the shape (3,).",
     lambda: split_indices(4, 0.5, stratify=[0, 1, 1])),
    (ShapeError, "stratify needs one value a row, the shape (4,); got the shape (4, 2). "
                 "For one-hot rows give their argmax(1).",
     lambda: split_indices(4, 0.5, stratify=np.eye(2)[[0, 1, 0, 1]])),
    (ShapeError, "groups needs one value a row, the shape (4,); got the shape ().",
     lambda: split_indices(4, 0.5, groups="site")),
    (DataError, "No class of stratify has two rows, so none can be on both sides. "
                "Targets that are measured, not counted, cannot be stratified: leave stratify out.",
     lambda: split_indices(4, 0.5, stratify=[0.1, 0.2, 0.3, 0.4])),
    (DataError, "groups has the same value in every row. A split needs at least 2 groups, one for each side.",
     lambda: split_indices(4, 0.5, groups=[1, 1, 1, 1])),
    (DataError, "stratify mixes types that cannot be compared (NoneType, str). "
                "Make them all text: stratify.astype(str).",
     lambda: split_indices(4, 0.5, stratify=np.array(["a", None, "a", "b"], object))),
    (DataError, "split needs at least one array, and arrays of equal length; got the lengths [3, 4].",
     lambda: split((np.zeros(3), np.zeros(4)), 0.5)),
    (DataError, "split needs at least one array, and arrays of equal length; got the lengths [].",
     lambda: split((), 0.5)),
])
def test_messages(error, message, call):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()
