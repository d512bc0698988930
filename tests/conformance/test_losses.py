"""One suite for every loss: what a loss promises to training. A new loss gets a row in `CASES`."""
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import losses
from chainrule.configuration import deserialize, serialize
from chainrule.errors import ShapeError
from chainrule.layers import Rescaling
from chainrule.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    CategoricalHinge,
    CosineSimilarity,
    Dice,
    FunctionLoss,
    GaussianNegativeLogLikelihood,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Perceptron,
    Poisson,
    Quantile,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
)
from chainrule.precision import precision
from chainrule.training.objective import Batch, Objective, Output
from tests.conformance.samples import REGISTRIES, ROWS, Comparison, assert_gradient


def quartic(y_true, y_pred):
    return jnp.mean((y_true - y_pred) ** 4, axis=-1)


CASES = [
    Comparison(lambda: BinaryCrossentropy(), (1,)),
    Comparison(lambda: BinaryCrossentropy(label_smoothing=0.1), (4, 3)),
    Comparison(lambda: BinaryCrossentropy(from_logits=True), (3,)),
    Comparison(lambda: BinaryFocalCrossentropy(gamma=1.5), (3,)),
    Comparison(lambda: BinaryFocalCrossentropy(from_logits=True, apply_class_balancing=True), (1,)),
    Comparison(lambda: CategoricalCrossentropy(), (3,)),
    Comparison(lambda: CategoricalCrossentropy(label_smoothing=0.1, axis=1), (3, 4)),
    Comparison(lambda: CategoricalCrossentropy(from_logits=True), (4, 3)),
    Comparison(lambda: CategoricalFocalCrossentropy(alpha=(0.2, 0.3, 0.5)), (3,)),
    Comparison(lambda: CategoricalFocalCrossentropy(from_logits=True, label_smoothing=0.1), (4, 3)),
    Comparison(lambda: CategoricalGeneralizedCrossEntropy(), (3,)),
    Comparison(lambda: CategoricalHinge(), (3,)),
    Comparison(lambda: CosineSimilarity(), (3,)),
    Comparison(lambda: Dice(), (4,)),
    Comparison(lambda: FunctionLoss(quartic), (2,)),
    Comparison(lambda: GaussianNegativeLogLikelihood(), (4,)),
    Comparison(lambda: Hinge(), (1,)),
    Comparison(lambda: Huber(delta=0.7), (3,)),
    Comparison(lambda: KLDivergence(), (4, 3)),
    Comparison(lambda: LogCosh(), (3,)),
    Comparison(lambda: MeanAbsoluteError(), (1,)),
    Comparison(lambda: MeanAbsoluteError(), (4, 3)),
    Comparison(lambda: MeanAbsolutePercentageError(), (2,), positive=True),
    Comparison(lambda: MeanSquaredError(), (3,)),
    Comparison(lambda: MeanSquaredError(), (1,)),
    Comparison(lambda: MeanSquaredLogarithmicError(), (2,), positive=True),
    Comparison(lambda: Perceptron(), (1,)),
    Comparison(lambda: Poisson(), (2,), positive=True),
    Comparison(lambda: Quantile(0.9), (2,)),
    Comparison(lambda: Quantile((0.1, 0.5, 0.9)), (3,)),
    Comparison(lambda: SparseCategoricalCrossentropy(), (3,)),
    Comparison(lambda: SparseCategoricalCrossentropy(axis=1), (3, 4)),
    Comparison(lambda: SparseCategoricalCrossentropy(from_logits=True), (4, 3)),
    Comparison(lambda: SparseCategoricalCrossentropy(from_logits=True, ignore_class=1), (3,)),
    Comparison(lambda: SquaredHinge(), (2,)),
    Comparison(lambda: Tversky(alpha=0.3, beta=0.7), (2, 3)),
]
UNBOUNDED = (GaussianNegativeLogLikelihood,)  # it grows as the exponential of an output


@pytest.fixture(params=CASES, ids=lambda case: f"{case.make()!r}-{case.shape}")
def case(request):
    return request.param


def test_every_loss_has_a_case():
    assert {type(case.make()) for case in CASES} == set(losses.registry.entries.values())


def test_a_value_for_every_row(case):
    y_true, y_pred = case.sample()
    for dtype, wide in [("float32", "float32"), ("bfloat16", "float32"), ("float64", "float64")]:
        with precision(wide):
            values = jax.eval_shape(case.make().values, y_true, jax.ShapeDtypeStruct(y_pred.shape, dtype))
        assert values.dtype == wide and values.shape[0] == ROWS and len(values.shape) < y_pred.ndim


def test_gradient_equals_finite_differences(case):
    with precision("float64"):
        y_true, y_pred = case.sample(dtype="float64")
        assert_gradient(lambda y_pred: case.make().values(y_true, y_pred), (y_pred,))


def test_compiled_and_mapped_equal_uncompiled(case):
    batches = [case.sample(seed=seed) for seed in range(2)]
    together = jax.jit(jax.vmap(case.make()))(*map(np.stack, zip(*batches, strict=True)))
    np.testing.assert_allclose(together, [case.make()(*batch) for batch in batches], rtol=1e-5)


def test_weight_two_is_twice_and_weight_zero_is_never(case):
    loss = case.make().from_config(case.make().get_config() | {"reduction": "sum"})
    y_true, y_pred = case.sample()
    weights = np.array([2, 0, 1, 0, 3, 1])
    repeated = np.repeat(np.arange(ROWS), weights)
    np.testing.assert_allclose(loss(y_true, y_pred, weights), np.sum(loss.values(y_true, y_pred)[repeated]), rtol=1e-5)


def objective(loss):
    """Training with this loss, of a network that only doubles its input."""
    return Objective(Rescaling(2.0), (Output("output", loss, 1.0, {}),))


def test_training_counts_the_rows_that_are_real(case):
    y_true, y_pred = case.sample()
    trained, real = objective(case.make()), np.arange(ROWS) < 4

    @jax.jit
    @jax.value_and_grad
    def value(x):
        batch = Batch(x, (y_true,), (None,), (None,), (1.0,), real)
        return trained.measure({}, {}, batch, trained.zeros())[0]

    x = y_pred / 2
    x[~real] = x[0]  # as padding does
    result, gradient = value(x)
    mask = case.make().mask(*case.make().align(y_true, y_pred))
    counted = real.reshape(-1, *[1] * (np.ndim(mask) - 1)) & (True if mask is None else mask)
    values = np.asarray(case.make().values(y_true, y_pred))
    np.testing.assert_allclose(result, values[counted].mean(), rtol=1e-5)
    assert np.isfinite(gradient).all() and np.any(gradient[real]) and not np.any(gradient[~real])


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
            loss.check_target(np.shape(one), np.shape(other), one.dtype)


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
    if loss.expects != "probabilities":
        low, high = (0, 1e3) if case.positive else (-40, 40) if isinstance(loss, UNBOUNDED) else (-1e3, 1e3)
        extreme = np.where(y_pred > 0.5, high, low)
    elif loss.target_kind == "binary":
        extreme = y_pred > 0.5
    else:
        extreme = y_pred == y_pred.max(case.axis, keepdims=True)
    value, gradient = jax.jit(jax.value_and_grad(lambda y_pred: loss(y_true, y_pred)))(extreme.astype("float32"))
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_settings_make_an_equal_loss(case):
    text = json.dumps(serialize(case.make(), REGISTRIES))
    again = deserialize(json.loads(text), REGISTRIES, {"quartic": quartic})
    assert type(again) is type(case.make()) and json.dumps(serialize(again, REGISTRIES)) == text
    np.testing.assert_array_equal(again(*case.sample()), case.make()(*case.sample()))


def test_reductions(case):
    y_true, y_pred = case.sample()
    values = np.asarray(case.make().values(y_true, y_pred))
    mask = case.make().mask(*case.make().align(y_true, y_pred))
    count = values.size if mask is None else np.sum(mask)
    for reduction in losses.REDUCTIONS:
        loss = case.make().from_config(case.make().get_config() | {"reduction": reduction})
        expected = {"sum": values.sum(), "none": values, None: values}.get(reduction, values.sum() / count)
        np.testing.assert_allclose(loss(y_true, y_pred), expected, rtol=1e-5)
