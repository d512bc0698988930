"""Members' predictions made into one, against their equations written out."""
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import uncertainty
from chainrule.errors import ChainruleError

RANDOM = np.random.default_rng(0)
STACKED = RANDOM.dirichlet(np.ones(4), size=(7, 5)).astype("float32")  # 7 members, 5 rows, 4 classes


def test_mean_and_deviation():
    mean, deviation = uncertainty.reduce_members(STACKED, "mean_std")
    np.testing.assert_allclose(mean, sum(STACKED.astype(float)) / 7, rtol=1e-6)
    np.testing.assert_allclose(deviation ** 2, sum((STACKED - mean) ** 2) / 7, rtol=1e-4)
    np.testing.assert_allclose(mean.sum(-1), 1, rtol=1e-6)
    assert uncertainty.reduce_members(STACKED).tobytes() == mean.tobytes()
    assert mean.dtype == deviation.dtype == np.float32


def test_a_small_spread_beside_large_predictions_is_not_rounded_away():
    stacked = np.float32(4096) + np.array([-1, 1], "float32").reshape(2, 1).repeat(3, 1) / 1024
    np.testing.assert_allclose(uncertainty.reduce_members(stacked, "mean_std")[1], 1 / 1024)


def test_the_median_bears_a_member_that_is_far_off():
    stacked = np.array([[1.0, 2.0], [2.0, 4.0], [900.0, -900.0]])
    assert uncertainty.reduce_members(stacked, "median").tolist() == [2.0, 2.0]


def test_a_vote_counts_members():
    votes = uncertainty.reduce_members(STACKED, "vote")
    expected = [np.bincount(STACKED[:, row].argmax(-1), minlength=4) for row in range(5)]
    assert all(counts[vote] == counts.max() for vote, counts in zip(votes, expected, strict=True))
    two_to_one = [[[0.51, 0.49]], [[0.51, 0.49]], [[0.0, 1.0]]]
    assert uncertainty.reduce_members(two_to_one, "vote").tolist() == [0]
    assert uncertainty.reduce_members(two_to_one, "mean").argmax(-1).tolist() == [1]


def test_the_mean_decides_between_classes_with_as_many_votes():
    tied = [[[0.6, 0.4, 0.0]], [[0.1, 0.9, 0.0]]]
    assert uncertainty.reduce_members(tied, "vote").tolist() == [1]
    third = [[[0.4, 0.2, 0.39]], [[0.2, 0.4, 0.39]]]  # class 2 has the largest mean, and no vote
    assert uncertainty.reduce_members(third, "vote").tolist() == [0]


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1)])
def test_a_vote_of_probabilities_of_one_class(shape):
    stacked = np.array([[0.9, 0.2, 0.6, 0.5], [0.8, 0.9, 0.6, 0.5], [0.1, 0.3, 0.0, 0.5]]).reshape(shape)
    assert uncertainty.reduce_members(stacked, "vote").tolist() == [1, 0, 1, 0]


def test_a_vote_at_each_step_of_sequences():
    assert uncertainty.reduce_members(RANDOM.random((3, 2, 6, 4)), "vote").shape == (2, 6)


def test_an_interval_holds_its_share_of_the_members():
    stacked = RANDOM.normal(size=(1001, 2, 3))
    lower, upper = uncertainty.reduce_members(stacked, "interval", level=0.8)
    inside = (lower <= stacked) & (stacked <= upper)
    np.testing.assert_allclose(inside.mean(0), 0.8, atol=2e-3)
    np.testing.assert_allclose((stacked < lower).mean(0), 0.1, atol=2e-3)


def test_integers_and_booleans_become_floating_point():
    assert uncertainty.reduce_members(np.array([[1, 2], [2, 2]])).tolist() == [1.5, 2.0]
    assert uncertainty.reduce_members(np.array([[True], [False]]), "median").tolist() == [0.5]


def test_bfloat16_is_averaged_in_more_digits():
    assert uncertainty.reduce_members(jnp.array([[1.0], [1.0078125]], "bfloat16")).tolist() == [1.00390625]


@pytest.mark.parametrize(("stacked", "settings", "message"), [
    ([1.0, 2.0], {}, "ShapeError: stacked holds the predictions of several members, (members, rows, ...); got the "
                     "shape (2,). Predictions of one member alone are stacked[None]."),
    (np.zeros((0, 3)), {}, "ShapeError: stacked holds the predictions of 0 members, and at least 1 are needed; its "
                           "shape is (0, 3), members first."),
    (np.zeros((1, 3)), {"how": "interval"},
     "ShapeError: stacked holds the predictions of 1 members, and at least 2 are needed; its shape is (1, 3), members "
     "first."),
    ([[1.0], [np.nan]], {}, "DataError: stacked: member 1 predicts NaN or infinity. Leave out what has diverged: "
                            "numpy.delete(stacked, 1, axis=0)."),
    ([[np.inf], [1.0], [np.nan]], {"how": "vote"},
     "DataError: stacked: members 0, 2 predict NaN or infinity. Leave out what has diverged: "
     "numpy.delete(stacked, [0, 2], axis=0)."),
    (STACKED, {"how": "averge"},
     "UnknownNameError: There is no way 'averge' to reduce members. Known names: 'interval', 'mean', 'mean_std', "
     "'median', 'vote'."),
    (STACKED, {"how": "medain"}, "UnknownNameError: There is no way 'medain' to reduce members. Did you mean "
                                 "'median'?"),
    (STACKED, {"how": "interval", "level": 90},
     "SettingError: `level` is the share of cases that an interval should hold, a number between 0 and 1; got 90. 90 "
     "percent is 0.9."),
    (STACKED, {"level": True},
     "SettingError: `level` is the share of cases that an interval should hold, a number between 0 and 1; got True."),
])
def test_what_is_refused(stacked, settings, message):
    with pytest.raises(ChainruleError) as error:
        uncertainty.reduce_members(stacked, **settings)
    assert f"{type(error.value).__name__}: {error.value}" == message


def test_entropy():
    expected = -(STACKED.astype(float) * np.log(STACKED.astype(float))).sum(-1)
    np.testing.assert_allclose(uncertainty.entropy(STACKED), expected, rtol=1e-6)
    np.testing.assert_allclose(uncertainty.entropy(np.full((2, 5), 0.2)), np.log(5))
    np.testing.assert_allclose(uncertainty.entropy([[0.3], [1.0]]), uncertainty.entropy([[0.7, 0.3], [0.0, 1.0]]))


def test_mutual_information_is_what_the_mean_is_more_undecided_than_the_members():
    expected = uncertainty.entropy(STACKED.mean(0)) - uncertainty.entropy(STACKED).mean(0)
    np.testing.assert_allclose(uncertainty.mutual_information(STACKED), expected, rtol=1e-5)
    assert expected.min() > 0.01
    alike = uncertainty.mutual_information(STACKED[:1].repeat(3, 0))
    assert (alike >= 0).all() and alike.max() < 1e-12
    binary = RANDOM.random((6, 4))
    both = uncertainty.mutual_information(np.stack([1 - binary, binary], -1))
    for shape in ((6, 4), (6, 4, 1)):
        np.testing.assert_allclose(uncertainty.mutual_information(binary.reshape(shape)), both)


def test_the_variance_of_a_mixture_is_that_of_its_draws():
    means, logarithms = RANDOM.normal(size=(3, 1, 2)), RANDOM.normal(size=(3, 1, 2))
    mixture = uncertainty.mix_gaussians(np.concatenate([means, logarithms], -1))
    member = RANDOM.integers(0, 3, 400_000)
    draws = means[member] + np.exp(logarithms[member] / 2) * RANDOM.normal(size=(400_000, 1, 2))
    np.testing.assert_allclose(mixture.mean, draws.mean(0), atol=0.02)
    np.testing.assert_allclose(mixture.variance, draws.var(0), rtol=0.02)
    np.testing.assert_allclose(mixture.std ** 2, mixture.noise + mixture.disagreement)
    np.testing.assert_allclose(mixture.disagreement, means.var(0))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: uncertainty.entropy([[0.5, 1.5]]),
     "DataError: probabilities has values from 0.5 to 1.5; probabilities go from 0 to 1. Scores before the activation "
     "are made probabilities by softmax or sigmoid."),
    (lambda: uncertainty.entropy([[0.5, 0.5], [0.75, 0.5]]),
     "DataError: probabilities has a row that sums to 1.25; the probabilities of classes that exclude each other sum "
     "to 1. Give classes that do not exclude each other one by one: probabilities[:, :1]."),
    (lambda: uncertainty.entropy([[0.5, np.nan]]),
     "DataError: probabilities has 1 value that is NaN or infinite."),
    (lambda: uncertainty.entropy(np.zeros((0, 2))), "DataError: probabilities has no rows; its shape is (0, 2)."),
    (lambda: uncertainty.entropy(0.5),
     "ShapeError: probabilities holds a row of probabilities for each example, (rows, classes); got one number."),
    (lambda: uncertainty.mix_gaussians(np.zeros((2, 5, 3))),
     "ShapeError: stacked holds a mean and the logarithm of a variance for each number that is predicted, (members, "
     "rows, 2 * n); got (2, 5, 3)."),
])
def test_what_else_is_refused(call, message):
    with pytest.raises(ChainruleError) as error:
        call()
    assert f"{type(error.value).__name__}: {error.value}" == message
