"""MixUp and CutMix: what is mixed with what, by how much, and that the loss is mixed alike."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import chainrule as cr
from chainrule.errors import SettingError, ShapeError
from chainrule.layers import CutMix, Dense, Flatten, MixUp
from chainrule.layers.binding import apply

KEY = jax.random.key(0)


def mixer(layer):
    """A compiled function that makes what a call makes, and which rows it mixed by which shares."""

    @jax.jit
    def mixed(x, rows=None, key=KEY):
        y, call = apply(layer, {}, {}, (x,), key=key, rows=rows, training=True)
        [(partner, share)] = call.mixings
        return y, partner, share

    return lambda *arguments: [np.asarray(part) for part in mixed(*arguments)]


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 3.0])
def test_shares_are_from_the_beta_distribution(alpha):
    _, _, share = mixer(MixUp(alpha=alpha))(np.zeros((20_000, 1), "float32"))
    assert 0 <= share.min() and share.max() <= 1 and np.isfinite(share).all()
    body = share[(share > 1e-3) & (share < 1 - 1e-3)]  # nearer to the ends, floating-point numbers lie too far apart
    inner = stats.beta(alpha, alpha)
    low, high = inner.cdf(1e-3), inner.cdf(1 - 1e-3)
    assert abs(len(body) / len(share) - (high - low)) < 0.02
    assert stats.kstest(body, lambda x: (inner.cdf(x) - low) / (high - low)).pvalue > 1e-3


@pytest.mark.parametrize("layer", [MixUp(alpha=1.0), CutMix((1, 1))], ids=repr)
def test_partners_are_other_real_rows(layer):
    x = np.arange(8, dtype="float32").reshape(8, 1, 1, 1) + np.zeros((1, 10, 10, 1), "float32")
    compiled = mixer(layer)
    for real in (8, 5, 2, 1):
        met = set()
        for seed in range(40):
            rows = np.arange(8) < real
            y, partner, share = (part[:real] for part in compiled(x, rows, np.array([0, seed], "uint32")))
            assert sorted(partner) == list(range(real)) and ((partner != np.arange(real)).all() or real == 1)
            np.testing.assert_allclose(y.mean((1, 2, 3)), share * np.arange(real) + (1 - share) * partner, atol=1e-5)
            met.add(int(partner[0]))
        assert met == set(range(1, real)) or real == 1


def test_boxes_are_of_the_drawn_area_anywhere_in_the_image():
    x = np.stack([np.zeros((40, 30, 1)), np.ones((40, 30, 1))] * 500).astype("float32")
    y, partner, share = mixer(CutMix((1, 1)))(x)
    other = (y != x[:, :1, :1])[..., 0]
    different = x[partner][:, 0, 0, 0] != x[:, 0, 0, 0]
    np.testing.assert_allclose(1 - other.mean((1, 2))[different], share[different], atol=1e-6)
    rows, columns = other.any(2), other.any(1)
    np.testing.assert_array_equal(other, rows[:, :, None] & columns[:, None, :])
    sides = np.stack([rows.mean(1), columns.mean(1)])[:, different]
    assert np.abs(sides[0] - sides[1]).max() <= 1 / 30 + 1 / 40 + 1e-6
    assert rows[different].mean(0).min() > 0.04 and columns[different].mean(0).min() > 0.04
    _, _, share = mixer(CutMix((1, 1)))(np.zeros((5000, 64, 64, 1), "uint8"))
    assert abs(share.mean() - 0.5) < 0.02 and abs(share.var() - 1 / 12) < 0.01  # Beta(1, 1) is uniform


class HalfCut(CutMix):
    """A fifth of each image: the upper half of the first two columns of five."""

    def draw(self, key, shape, dtype):
        inside = lambda axis, count: jnp.tile(jnp.arange(shape[axis]) < count, (shape[0], 1))
        return inside(1, 2), inside(2, 2)


class OneShare(MixUp):
    """Every share is alpha."""

    def draw(self, key, shape, dtype):
        return (jnp.full(shape[0], self.alpha, dtype),)


LOSSES = {
    "sparse_categorical_crossentropy": (lambda y: y, lambda p, y: -np.log(p[np.arange(len(p)), y])),
    "categorical_crossentropy": (lambda y: np.eye(3)[y], lambda p, y: -np.log(p[np.arange(len(p)), y])),
    "mse": (lambda y: np.eye(3)[y], lambda p, y: ((p - np.eye(3)[y]) ** 2).mean(1)),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("make, share", [(lambda: OneShare(0.3), 0.3), (lambda: HalfCut(), 0.8)], ids=["mix", "cut"])
def test_the_loss_is_mixed_as_the_images_are(make, share, loss):
    """Two rows a batch, so that each is the other's partner; the fifth row is alone in the last one."""
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(5, 4, 5, 2)).astype("float32"), np.array([0, 2, 2, 1, 1])
    targets, values = LOSSES[loss]
    model = cr.Sequential([cr.Input((4, 5, 2)), layer := make(), Flatten(), Dense(3, activation="softmax")])
    model.compile(cr.optimizers.SGD(0.0), loss, metrics=["accuracy"])
    history = model.fit(x, targets(y), batch_size=2, shuffle=False, verbose=0).history
    partner = np.array([1, 0, 3, 2, 4])
    images, _ = layer.transform(jnp.asarray(x), jnp.asarray(x[partner]), *layer.draw(None, x.shape, "float32"))
    p = model.predict(np.asarray(images))
    expected = share * values(p, y) + (1 - share) * values(p, y[partner])
    np.testing.assert_allclose(history["loss"], [expected.mean()], rtol=1e-5)
    right = share * (p.argmax(1) == y) + (1 - share) * (p.argmax(1) == y[partner])
    np.testing.assert_allclose(history["accuracy"], [right.mean()], rtol=1e-5)
    plain = model.evaluate(x, targets(y), batch_size=2, verbose=0)  # outside training nothing is mixed
    np.testing.assert_allclose(plain[0], values(model.predict(x), y).mean(), rtol=1e-5)


def test_both_together():
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(2, 4, 5, 1)).astype("float32"), np.array([0, 2])
    model = cr.Sequential([cr.Input((4, 5, 1)), OneShare(0.3), HalfCut(), Flatten(), Dense(3, activation="softmax")])
    model.compile(cr.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    history = model.fit(x, y, batch_size=2, shuffle=False, verbose=0).history
    images = 0.3 * x + 0.7 * x[::-1]
    images[:, :2, :2] = images[::-1][:, :2, :2].copy()
    p = model.predict(images)
    own = 0.8 * 0.3 + 0.2 * 0.7  # each image's own target
    values = lambda y: -np.log(p[np.arange(2), y])
    np.testing.assert_allclose(history["loss"], [(own * values(y) + (1 - own) * values(y[::-1])).mean()], rtol=1e-5)


@pytest.mark.parametrize("make, message", [
    (lambda: MixUp(alpha=0), "MixUp: `alpha` must be a number above 0; got 0."),
    (lambda: CutMix(1.5), "CutMix: `factor` is a number from 0 to 1, or a pair (lowest, highest) of them; got 1.5."),
    (lambda: CutMix()(cr.Input((28,))),
     "CutMix takes images, (batch, height, width, channels); got (None, 28). Give grey images a channel: "
     "Reshape((height, width, 1))."),
])
def test_what_is_refused(make, message):
    with pytest.raises((SettingError, ShapeError)) as error:
        make()
    assert str(error.value) == message
