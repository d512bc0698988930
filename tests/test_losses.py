import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from chainrule import losses
from chainrule.errors import DataError, SettingError, ShapeError, UnknownNameError

CLASSES = [entry for entry in dict.fromkeys(losses.registry.entries.values()) if entry is not losses.FunctionLoss]
IDS = [loss.__name__ for loss in CLASSES]


def data(loss, shape=(6, 4), seed=0):
    """A target and an output that the loss is for."""
    random = np.random.default_rng(seed)
    expected = loss.target_shape(shape)
    y_true = {
        "float": lambda: random.uniform(0.1, 2, expected), "binary": lambda: random.integers(0, 2, expected),
        "signs": lambda: random.integers(0, 2, expected) * 2 - 1,
        "labels": lambda: random.integers(0, shape[-1], expected),
        "one_hot": lambda: np.eye(shape[-1])[random.integers(0, shape[-1], shape[:-1])],
    }[loss.target_kind]()
    y_pred = random.uniform(0.05, 0.95, shape)
    return y_true, y_pred / y_pred.sum(-1, keepdims=True) if loss.target_kind == "one_hot" else y_pred


@pytest.mark.parametrize("made", CLASSES, ids=IDS)
@pytest.mark.parametrize("shape", [(6, 4), (3, 5, 4), (2, 3, 5, 4)])
def test_one_value_per_row_that_calling_averages(made, shape):
    loss = made()
    y_true, y_pred = data(loss, shape)
    values = loss.values(y_true, y_pred)
    assert values.dtype == jnp.float32
    assert values.shape == (shape[:-1] if values.ndim > 1 else shape[:1])
    np.testing.assert_allclose(loss(y_true, y_pred), np.mean(values), rtol=1e-6)
    rows = [loss.values(y_true[i : i + 1], y_pred[i : i + 1]) for i in range(shape[0])]
    np.testing.assert_allclose(values, np.concatenate(rows), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["mse", "mae", "mape", "msle", "bce", "kld"])
def test_short_names_in_either_case(name):
    assert type(losses.get(name)) is type(losses.get(name.upper()))


def test_a_function_has_no_name():
    with pytest.raises(SettingError) as error:
        losses.get("function_loss")
    assert str(error.value) == "'function_loss' alone names no loss: hand in the function, f(y_true, y_pred)."


@pytest.mark.parametrize("made", CLASSES, ids=IDS)
def test_compiled_and_under_vmap(made):
    loss = made()
    y_true, y_pred = data(loss)
    batches = np.stack([y_pred, y_pred[::-1]])
    together = jax.jit(jax.vmap(lambda p: loss(y_true, p)))(batches)
    np.testing.assert_allclose(together, [loss(y_true, p) for p in batches], rtol=1e-5)


@pytest.mark.parametrize("made", CLASSES, ids=IDS)
def test_gradient_is_the_limit_of_differences(made):
    loss = made()
    y_true, y_pred = data(loss, (3, 4))
    with jax.enable_x64(True):
        value, gradient = jax.value_and_grad(lambda p: loss(y_true, p))(y_pred)
        assert value.dtype == gradient.dtype == jnp.float64
        steps = 1e-6 * np.eye(y_pred.size).reshape(-1, *y_pred.shape)
        differences = [(loss(y_true, y_pred + h) - loss(y_true, y_pred - h)) / 2e-6 for h in steps]
    np.testing.assert_allclose(np.ravel(gradient), differences, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("made", CLASSES, ids=IDS)
def test_targets_of_any_type_and_outputs_in_16_bits(made):
    loss = made()
    y_true, y_pred = data(loss)
    whole = np.asarray(y_true).round() if loss.target_kind == "float" else y_true
    expected = loss(whole, y_pred)
    types = ["float64", "float32", "int64"] + (["uint8", "bool"] if loss.target_kind in ("binary", "one_hot") else [])
    for dtype in types:
        np.testing.assert_allclose(loss(np.asarray(whole, dtype), y_pred), expected, rtol=1e-6)
    half = jnp.asarray(y_pred, "bfloat16")
    assert loss.values(whole, half).dtype == jnp.float32
    np.testing.assert_allclose(loss(whole, half), expected, rtol=0.05, atol=0.01)


def test_a_target_without_a_last_axis_is_a_column():
    y_pred = np.array([[0.2], [0.9], [0.4]])
    for loss in (losses.MeanSquaredError(), losses.BinaryCrossentropy()):
        np.testing.assert_array_equal(loss.values([1, 1, 0], y_pred), loss.values([[1], [1], [0]], y_pred))
    steps = np.random.default_rng(0).normal(size=(3, 5, 1))
    assert losses.MeanSquaredError().values(steps[..., 0], steps).shape == (3, 5)
    assert losses.MeanSquaredError().check_target((None,), (None, 1)) == (None, 1)


def test_labels_may_have_a_last_axis_of_one():
    loss = losses.SparseCategoricalCrossentropy()
    y_pred = np.full((2, 3), 1 / 3)
    np.testing.assert_array_equal(loss.values([[1], [0]], y_pred), loss.values([1, 0], y_pred))
    assert loss.check_target((None, 7, 1), (None, 7, 3)) == (None, 7)
    assert loss.check_target((None, 1), (None, 1, 3)) == (None, 1)
    assert losses.SparseCategoricalCrossentropy(axis=1).check_target((None, 1, 8), (None, 3, 8)) == (None, 8)


SHAPE_ERRORS = [
    ("mse", (None,), (None, 10),
     "MeanSquaredError: an output of shape (None, 10) needs a target of shape (None, 10); got (None,). "
     "Let the last layer have 1 unit instead of 10."),
    ("mse", (None, 3), (None, 1),
     "MeanSquaredError: an output of shape (None, 1) needs a target of shape (None, 1); got (None, 3). "
     "Let the last layer have 3 units instead of 1."),
    ("mse", (5, 2), (4, 2),
     "MeanSquaredError: an output of shape (4, 2) needs a target of shape (4, 2); got (5, 2). "
     "Hand in one target for each row."),
    ("mse", (5, 1), (5,),
     "MeanSquaredError: an output of shape (5,) needs a target of shape (5,); got (5, 1). "
     "Reshape the target, or let the last layer return that shape."),
    ("mse", (5,), (5, 7, 1),
     "MeanSquaredError: an output of shape (5, 7, 1) needs a target of shape (5, 7, 1); got (5,). "
     "Reshape the target, or let the last layer return that shape."),
    ("binary_crossentropy", (8,), (8, 3),
     "BinaryCrossentropy: an output of shape (8, 3) needs a target of shape (8, 3); got (8,). "
     "Let the last layer have 1 unit instead of 3. For labels of 3 classes use SparseCategoricalCrossentropy."),
    ("categorical_crossentropy", (8,), (8, 3),
     "CategoricalCrossentropy: an output of shape (8, 3) needs a target of shape (8, 3); got (8,). "
     "For integer labels use SparseCategoricalCrossentropy, or make them one-hot: to_categorical(y, 3)."),
    ("categorical_crossentropy", (8, 1), (8, 3),
     "CategoricalCrossentropy: an output of shape (8, 3) needs a target of shape (8, 3); got (8, 1). "
     "For integer labels use SparseCategoricalCrossentropy, or make them one-hot: to_categorical(y, 3)."),
    ("sparse_categorical_crossentropy", (8, 3), (8, 3),
     "SparseCategoricalCrossentropy: an output of shape (8, 3) needs a target of shape (8,); got (8, 3). "
     "For one-hot targets use CategoricalCrossentropy, or turn them into labels: y.argmax(axis=-1)."),
    ("sparse_categorical_crossentropy", (7,), (8, 3),
     "SparseCategoricalCrossentropy: an output of shape (8, 3) needs a target of shape (8,); got (7,). "
     "Hand in one target for each row."),
    ("sparse_categorical_crossentropy", (8, 5), (8, 3),
     "SparseCategoricalCrossentropy: an output of shape (8, 3) needs a target of shape (8,); got (8, 5). "
     "Reshape the target, or let the last layer return one score per class and target."),
    ("sparse_categorical_crossentropy", (8,), (),
     "SparseCategoricalCrossentropy: an output of shape () has no axis -1 of classes. "
     "Let the last layer return one score per class."),
]


@pytest.mark.parametrize("name, target, output, message", SHAPE_ERRORS)
def test_shapes_that_do_not_fit_say_so_also_when_traced(name, target, output, message):
    loss = losses.get(name)
    with pytest.raises(ShapeError) as error:
        loss.check_target(target, output)
    assert str(error.value) == message
    if None not in target + output:
        arrays = jax.ShapeDtypeStruct(target, "float32"), jax.ShapeDtypeStruct(output, "float32")
        with pytest.raises(ShapeError) as error:
            jax.eval_shape(loss, *arrays)
        assert str(error.value) == message


def test_a_function_needs_as_many_rows():
    def ratio(y_true, y_pred):
        return jnp.mean(y_true / y_pred)

    loss = losses.get(ratio)
    with pytest.raises(ShapeError) as error:
        loss(np.ones(3), np.ones((4, 2)))
    assert str(error.value) == ("ratio: an output of shape (4, 2) needs a target with as many rows; got (3,). "
                                "Hand in one target for each row.")
    with pytest.raises(ShapeError) as error:
        losses.get(lambda y_true, y_pred: jnp.ones(3))(np.ones(4), np.ones((4, 2)))
    assert str(error.value) == ("<lambda> gave values of shape (3,) for an output of shape (4, 2). Let it return a "
                                "scalar or one value per row, of shape (4,).")


def test_targets_that_are_no_numbers_say_so():
    with pytest.raises(DataError) as error:
        losses.MeanSquaredError()(np.array(["a", "b"]), np.ones((2, 1)))
    assert str(error.value) == ("MeanSquaredError compares numbers; the target has the type <U1. Encode classes as "
                                "integers from 0, other targets as floating-point numbers.")


def test_reductions():
    y_true, y_pred, weights = np.zeros((3, 1)), np.array([[1.0], [2.0], [3.0]]), [1.0, 0.5, 0.0]
    for reduction, plain, weighted in [
        ("sum_over_batch_size", 14 / 3, 1.0), ("mean", 14 / 3, 1.0), ("sum", 14.0, 3.0),
        ("mean_with_sample_weight", 14 / 3, 2.0), ("none", [1, 4, 9], [1, 2, 0]), (None, [1, 4, 9], [1, 2, 0]),
    ]:
        loss = losses.MeanSquaredError(reduction=reduction)
        np.testing.assert_allclose(loss(y_true, y_pred), plain, rtol=1e-6)
        for given in (weights, np.array(weights)[:, None]):
            np.testing.assert_allclose(loss(y_true, y_pred, sample_weight=given), weighted, rtol=1e-6)
    np.testing.assert_allclose(losses.MeanSquaredError()(y_true, y_pred, sample_weight=2), 28 / 3, rtol=1e-6)
    with pytest.raises(SettingError) as error:
        losses.MeanSquaredError(reduction="average")
    assert str(error.value) == (
        "MeanSquaredError: reduction is one of 'sum_over_batch_size', 'mean', 'mean_with_sample_weight', 'sum', "
        "'none', None; got 'average'.")


def test_weights_of_steps():
    values = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(losses.expand_weights([1, 2], values), [[1, 1, 1], [2, 2, 2]])
    np.testing.assert_array_equal(losses.expand_weights([[1], [2]], values), [[1, 1, 1], [2, 2, 2]])
    np.testing.assert_array_equal(losses.expand_weights(values, values), values)
    with pytest.raises(ShapeError) as error:
        losses.expand_weights(np.ones(3), values)
    assert str(error.value) == ("sample_weight has the shape (3,) beside values of shape (2, 3). Hand in one weight "
                                "per row, of shape (2,), or one for each value.")
    with pytest.raises(ShapeError) as error:
        losses.MeanSquaredError()(np.ones(3), np.ones(3), sample_weight=np.ones(3))
    assert str(error.value) == ("sample_weight has the shape (3,) beside a single value. For one value per row, give "
                                "target and output the shape (3, 1).")


def test_cross_entropies_stay_finite_far_out():
    z = jnp.array([[-1e4], [1e4], [0.0]])
    value, gradient = jax.value_and_grad(lambda z: losses.BinaryCrossentropy(from_logits=True, reduction="sum")(
        [0, 0, 1], z))(z)
    np.testing.assert_allclose(value, 1e4 + np.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0], [1], [-0.5]])
    sparse = losses.SparseCategoricalCrossentropy(from_logits=True)
    value, gradient = jax.value_and_grad(lambda z: sparse([0], z))(jnp.array([[-1e4, 1e4, 0.0]]))
    np.testing.assert_allclose(value, 2e4)
    np.testing.assert_allclose(gradient, [[-1, 1, 0]])
    for loss, y_true in ((losses.BinaryCrossentropy(), [[0.0, 1.0]]), (losses.CategoricalCrossentropy(), [[0.0, 1.0]]),
                         (losses.SparseCategoricalCrossentropy(), [1])):
        value, gradient = jax.value_and_grad(lambda p, loss=loss, y_true=y_true: loss(y_true, p))(
            jnp.array([[1.0, 0.0]]))
        np.testing.assert_allclose(value, -np.log(1e-7), rtol=1e-2)
        assert np.isfinite(gradient).all()


def test_a_perfect_prediction_has_no_gradient():
    for loss in CLASSES:
        flat = loss.__name__ not in ("Poisson", "CosineSimilarity", "GaussianNegativeLogLikelihood")
        if loss.target_kind == "float" and flat:
            np.testing.assert_array_equal(jax.grad(lambda p, loss=loss: loss()([[0.5]], p))(jnp.array([[0.5]])), 0)


def test_an_ignored_class_counts_for_nothing():
    y_pred = np.random.default_rng(0).dirichlet(np.ones(4), size=(3, 5))
    y_true = np.random.default_rng(1).integers(0, 4, (3, 5))
    kept = y_true != 2
    loss = losses.SparseCategoricalCrossentropy(ignore_class=2)
    plain = losses.SparseCategoricalCrossentropy().values(y_true, y_pred)
    np.testing.assert_allclose(loss.values(y_true, y_pred), np.where(kept, plain, 0))
    np.testing.assert_allclose(loss(y_true, y_pred), np.asarray(plain)[kept].mean(), rtol=1e-6)
    assert losses.SparseCategoricalCrossentropy(ignore_class=-1)([-1, -1], np.full((2, 2), 0.5)) == 0
    np.testing.assert_array_equal(loss.mask(y_true, y_pred), kept)


def test_what_a_loss_expects():
    assert losses.MeanSquaredError().expects == "any"
    assert losses.BinaryCrossentropy().expects == "probabilities"
    assert losses.SparseCategoricalCrossentropy(from_logits=True).expects == "logits"
    assert [losses.get(name).target_kind for name in (
        "mse", "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy")] == [
        "float", "binary", "one_hot", "labels"]


def test_names_classes_objects_and_functions_are_found():
    loss = losses.MeanSquaredError(reduction="sum")
    assert losses.get(loss) is loss
    for identifier in ("mse", "MSE", "mean_squared_error", "MeanSquaredError", losses.MeanSquaredError,
                       losses.mean_squared_error):
        assert type(losses.get(identifier)) is losses.MeanSquaredError
    with pytest.raises(UnknownNameError) as error:
        losses.get("binary_cross_entropy")
    assert str(error.value) == "There is no loss 'binary_cross_entropy'. Did you mean 'binary_crossentropy'?"


@pytest.mark.parametrize("made", CLASSES, ids=IDS)
def test_the_functional_form_gives_the_values(made):
    function = getattr(losses, made.__name__[:0] + next(
        name for name, entry in losses.registry.entries.items() if entry is made and name.islower()))
    y_true, y_pred = data(made())
    np.testing.assert_array_equal(function(y_true, y_pred), made().values(y_true, y_pred))
    assert type(losses.get(function)) is made
    assert made.__name__ in function.__doc__


def test_a_function_may_return_values_or_a_scalar():
    y_true, y_pred = np.zeros((3, 2)), np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    rows = losses.get(lambda y, p: jnp.mean((y - p) ** 2, axis=-1))
    np.testing.assert_allclose(rows.values(y_true, y_pred), [1, 4, 9])
    scalar = losses.get(lambda y, p: jnp.mean((y - p) ** 2))
    np.testing.assert_allclose(scalar.values(y_true, y_pred), np.full(3, 14 / 3), rtol=1e-6)
    np.testing.assert_allclose(scalar(y_true, y_pred), rows(y_true, y_pred), rtol=1e-6)


def test_integer_labels_reach_a_function_as_integers():
    logits = np.random.default_rng(0).normal(size=(5, 3))
    labels = np.array([0, 2, 1, 1, 0], "uint8")
    loss = losses.get(lambda y, p: optax.softmax_cross_entropy_with_integer_labels(p, y))
    np.testing.assert_allclose(loss(labels, logits),
                               losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits), rtol=1e-6)


def test_subclasses_in_both_styles():
    class Powered(losses.Loss):
        power: float = 2.0

        def call(self, y_true, y_pred):
            return jnp.mean(jnp.abs(y_true - y_pred) ** self.power, axis=-1)

    class KerasStyle(losses.Loss):
        def __init__(self, power=2.0, name="powered", **kwargs):
            super().__init__(name=name, **kwargs)
            self.power = power

        call = Powered.call

    for loss in (Powered(3.0, reduction="sum"), KerasStyle(power=3.0, reduction="sum")):
        np.testing.assert_allclose(loss(np.zeros(2), np.array([[1.0], [2.0]])), 9.0)
        again = type(loss).from_config(loss.get_config())
        assert (again.power, again.reduction) == (3.0, "sum")
    assert KerasStyle().name == "powered"


def test_several_quantiles():
    random = np.random.default_rng(0)
    y_true, y_pred = random.normal(size=5), random.normal(size=(5, 3))
    several = losses.Quantile((0.1, 0.5, 0.9)).values(y_true, y_pred)
    each = [losses.Quantile(q).values(y_true, y_pred[:, [i]]) for i, q in enumerate((0.1, 0.5, 0.9))]
    np.testing.assert_allclose(several, np.mean(each, axis=0), rtol=1e-6)
    with pytest.raises(ShapeError) as error:
        losses.Quantile((0.1, 0.9))(y_true, y_pred)
    assert str(error.value) == ("Quantile: 2 quantiles need an output with as many columns; got the shape (5, 3). "
                                "Let the last layer have 2 units.")


def test_the_mean_and_the_variance_of_a_normal_distribution():
    random = np.random.default_rng(0)
    y_true, y_pred = random.normal(size=(6, 2)), random.normal(size=(6, 4))
    variance = np.exp(y_pred[:, 2:])
    expected = 0.5 * (np.log(variance) + (y_true - y_pred[:, :2]) ** 2 / variance).mean(axis=-1)
    loss = losses.GaussianNegativeLogLikelihood()
    np.testing.assert_allclose(loss.values(y_true, y_pred), expected, rtol=1e-5)
    assert loss.values(y_true[:, 0], y_pred[:, :2]).shape == (6,)
    with pytest.raises(ShapeError) as error:
        loss(y_true, y_pred[:, :3])
    assert str(error.value) == (
        "GaussianNegativeLogLikelihood: an output has two columns for each of the target's, means and logarithms of "
        "variances; got the shape (6, 3). Let the last layer have 2 units for each number to be predicted.")


def test_signs_may_be_written_as_zero_and_one():
    scores = np.random.default_rng(0).normal(size=(8, 1))
    signs = np.array([-1, 1] * 4)
    for loss in (losses.Hinge(), losses.SquaredHinge(), losses.Perceptron()):
        np.testing.assert_array_equal(loss.values(signs, scores), loss.values(signs > 0, scores))


def test_the_perceptron_starts_from_weights_of_zero():
    gradient = jax.grad(lambda score: losses.Perceptron()([[1.0]], score))(jnp.zeros((1, 1)))
    assert gradient == -1


def test_vectors_of_zero_have_no_direction():
    value, gradient = jax.value_and_grad(lambda p: losses.CosineSimilarity()([[1.0, 0.0]], p))(jnp.zeros((1, 2)))
    assert value == 0
    assert np.isfinite(gradient).all()


def test_weights_of_classes_in_the_focal_loss():
    y_pred = np.random.default_rng(0).dirichlet(np.ones(3), 4)
    one_hot = np.eye(3)[[0, 1, 2, 1]]
    each = losses.CategoricalFocalCrossentropy(alpha=1.0).values(one_hot, y_pred)
    weighted = losses.CategoricalFocalCrossentropy(alpha=(0.5, 1.0, 2.0)).values(one_hot, y_pred)
    np.testing.assert_allclose(weighted, np.array([0.5, 1, 2, 1]) * each, rtol=1e-6)


def test_wrong_settings_say_so():
    with pytest.raises(SettingError) as error:
        losses.Huber(delta=0)
    assert str(error.value) == "Huber: delta is a number above 0; got 0."
    with pytest.raises(SettingError) as error:
        losses.Quantile((0.5, 1.0))
    assert str(error.value) == "Quantile: a quantile is a number between 0 and 1; got (0.5, 1.0)."
    with pytest.raises(SettingError) as error:
        losses.CategoricalGeneralizedCrossEntropy(q=0)
    assert str(error.value) == "CategoricalGeneralizedCrossEntropy: q is above 0 and at most 1; got 0."
    with pytest.raises(SettingError) as error:
        losses.BinaryCrossentropy(label_smoothing=1.5)
    assert str(error.value) == "BinaryCrossentropy: label_smoothing is a number from 0 to 1; got 1.5."
