"""One suite for every loss: what a loss promises to training. A new loss gets a row in `CASES`."""
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from chainrule import losses
from chainrule.configuration import deserialize, serialize
from chainrule.errors import ShapeError
from chainrule.layers import Rescaling
from chainrule.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    FunctionLoss,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from chainrule.precision import precision
from chainrule.training.objective import Batch, Objective, Output
from tests.conformance.samples import REGISTRIES, ROWS, Comparison


def quartic(y_true, y_pred):
    return jnp.mean((y_true - y_pred) ** 4, axis=-1)


CASES = [
    Comparison(lambda: BinaryCrossentropy(), (1,)),
    Comparison(lambda: BinaryCrossentropy(label_smoothing=0.1), (4, 3)),
    Comparison(lambda: BinaryCrossentropy(from_logits=True), (3,)),
    Comparison(lambda: CategoricalCrossentropy(), (3,)),
    Comparison(lambda: CategoricalCrossentropy(label_smoothing=0.1, axis=1), (3, 4)),
    Comparison(lambda: CategoricalCrossentropy(from_logits=True), (4, 3)),
    Comparison(lambda: FunctionLoss(quartic), (2,)),
    Comparison(lambda: MeanAbsoluteError(), (1,)),
    Comparison(lambda: MeanAbsoluteError(), (4, 3)),
    Comparison(lambda: MeanSquaredError(), (3,)),
    Comparison(lambda: MeanSquaredError(), (1,)),
    Comparison(lambda: SparseCategoricalCrossentropy(), (3,)),
    Comparison(lambda: SparseCategoricalCrossentropy(axis=1), (3, 4)),
    Comparison(lambda: SparseCategoricalCrossentropy(from_logits=True), (4, 3)),
    Comparison(lambda: SparseCategoricalCrossentropy(from_logits=True, ignore_class=1), (3,)),
]


@pytest.fixture(params=CASES, ids=lambda case: f"{case.make()!r}-{case.shape}")
def case(request):
    return request.param


def test_every_loss_has_a_case():
    assert {type(case.make()) for case in CASES} == set(losses.registry.entries.values())


def test_a_value_for_every_row(case):
    y_true, y_pred = case.sample()
    for dtype, x64 in [("float32", "float32"), ("bfloat16", "float32"), ("float64", "float64")]:
        with precision(x64):
            values = case.make().values(y_true, jnp.asarray(y_pred, dtype))
        assert values.dtype == x64 and values.shape[0] == ROWS and values.ndim == y_pred.ndim - 1
        assert np.isfinite(values).all()


def test_gradient_equals_finite_differences(case):
    with precision("float64"):
        y_true, y_pred = case.sample(dtype="float64")
        check_grads(jax.jit(lambda y_pred: case.make().values(y_true, y_pred)), (jnp.asarray(y_pred),), order=1,
                    modes=("rev",), eps=1e-6, atol=1e-6, rtol=1e-6)


def test_compiled_and_mapped_equal_uncompiled(case):
    loss = case.make()
    function = jax.value_and_grad(lambda y_true, y_pred: loss(y_true, y_pred), argnums=1)
    batches = [case.sample(seed=seed) for seed in range(2)]
    together = jax.jit(jax.vmap(function))(*map(np.stack, zip(*batches, strict=True)))
    for index, batch in enumerate(batches):
        plain = function(*map(jnp.asarray, batch))
        for results in (jax.jit(function)(*batch), [leaf[index] for leaf in together]):
            for one, other in zip(results, plain, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_weight_two_is_twice_and_weight_zero_is_never(case):
    loss = case.make().from_config(case.make().get_config() | {"reduction": "sum"})
    y_true, y_pred = case.sample()
    weights = np.array([2, 0, 1, 0, 3, 1])
    repeated = np.repeat(np.arange(ROWS), weights)
    np.testing.assert_allclose(loss(y_true, y_pred, weights), loss(y_true[repeated], y_pred[repeated]), rtol=1e-5)


def objective(loss):
    """Training with this loss, of a network that only doubles its input."""
    return Objective(Rescaling(2.0), (Output("output", loss, 1.0, {}),))


def test_training_divides_by_the_rows_that_are_real(case):
    y_true, y_pred = case.sample()
    trained = objective(case.make())

    @jax.jit
    def value(x, rows=None, weight=None, mean=1.0):
        batch = Batch(x, (y_true[:len(x)],), (weight,), (None,), (mean,), rows)
        return trained.measure({}, {}, batch, trained.zeros())[0]

    x = y_pred / 2
    exact = jax.value_and_grad(value)(x[:4])
    np.testing.assert_allclose(exact[0], case.make()(y_true[:4], y_pred[:4]), rtol=1e-5)
    spoilt = x.copy()
    spoilt[4:] = np.nan
    padded = jax.value_and_grad(value)(spoilt, np.arange(ROWS) < 4)
    np.testing.assert_allclose(padded[0], exact[0], rtol=1e-5)
    np.testing.assert_allclose(padded[1][:4], exact[1], rtol=1e-4, atol=1e-7)


def test_shapes_that_do_not_fit_are_refused(case):
    loss = case.make()
    y_true, y_pred = case.sample()
    wrong = [(y_true[:-1], y_pred), (y_true, y_pred[:-1])]
    if loss.target_kind != "any":
        wrong += [(np.stack([y_true] * 2, -1), y_pred), (y_true, np.concatenate([y_pred] * 2)), (y_true[0], y_pred)]
    for one, other in wrong:
        with pytest.raises(ShapeError, match=f"^{loss.label}: an output of shape .* needs a target .*; got "):
            loss(one, other)
        with pytest.raises(ShapeError):
            jax.eval_shape(loss.values, one, other)
        with pytest.raises(ShapeError):
            loss.check_target((None, *one.shape[1:]) if len(one) == len(other) else one.shape, other.shape, one.dtype)


def test_targets_of_one_column(case):
    y_true, y_pred = case.sample()
    loss = case.make()
    if case.shape[-1:] == (1,):
        np.testing.assert_array_equal(loss(y_true[..., 0], y_pred), loss(y_true, y_pred))
    elif loss.target_kind == "labels":
        column = np.expand_dims(y_true, loss.class_axis)
        np.testing.assert_array_equal(loss(column, y_pred), loss(y_true, y_pred))


def test_extreme_outputs_have_finite_gradients(case):
    loss = case.make()
    y_true, y_pred = case.sample()
    low, high = (0.0, 1.0) if loss.expects == "probabilities" else (0.0, 1e3) if case.positive else (-1e3, 1e3)
    extreme = np.where(y_pred > np.median(y_pred), high, low).astype("float32")
    value, gradient = jax.value_and_grad(lambda y_pred: loss(y_true, y_pred))(extreme)
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_settings_make_an_equal_loss(case):
    text = json.dumps(serialize(case.make(), REGISTRIES))
    again = deserialize(json.loads(text), REGISTRIES, {"quartic": quartic})
    assert type(again) is type(case.make()) and json.dumps(serialize(again, REGISTRIES)) == text
    np.testing.assert_array_equal(again(*case.sample()), case.make()(*case.sample()))


@pytest.mark.parametrize("reduction", losses.REDUCTIONS)
def test_reductions(case, reduction):
    loss = case.make().from_config(case.make().get_config() | {"reduction": reduction})
    y_true, y_pred = case.sample()
    values = np.asarray(loss.values(y_true, y_pred))
    mask = loss.mask(*loss.align(y_true, y_pred))
    count = values.size if mask is None else np.sum(mask)
    expected = {"sum": values.sum(), "none": values, None: values}.get(reduction, values.sum() / count)
    np.testing.assert_allclose(loss(y_true, y_pred), expected, rtol=1e-5)
