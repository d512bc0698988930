"""What `compile` takes: none, some or all of the losses, functions and names, by output."""
import numpy as np
import pytest

from chainrule import losses
from chainrule.errors import NotReadyError, SettingError
from chainrule.layers import Dense, Dropout
from chainrule.models import Input, Model, Sequential, load_model

DRAW = np.random.default_rng(0)
X, Y = DRAW.normal(size=(50, 4)).astype("float32"), DRAW.normal(size=(50, 1)).astype("float32")


def two_outputs():
    x = Input((4,))
    return Model(x, {"p": Dense(1)(x), "q": Dense(2)(x)})


def test_functions_of_ours_are_saved_by_name(tmp_path):
    model = Sequential([Input((4,)), Dense(1)])
    model.compile("sgd", losses.mean_squared_error, metrics=[losses.mean_absolute_error])
    model.save(tmp_path / "model.chain")
    again = load_model(tmp_path / "model.chain")
    assert again.evaluate(X, Y, verbose=0, return_dict=True) == model.evaluate(X, Y, verbose=0, return_dict=True)


def test_a_penalty_alone_can_be_minimised():
    model = Sequential([Input((4,)), Dense(1, activity_regularizer="l2")])
    model.compile("sgd")
    loss = model.fit(X, epochs=3, verbose=0).history["loss"]
    assert loss[0] > loss[1] > loss[2]


def test_nothing_to_minimise():
    model = Sequential([Input((4,)), Dense(1)])
    model.compile("sgd")
    with pytest.raises(SettingError) as error:
        model.fit(X, verbose=0)
    assert str(error.value) == (
        "There is nothing to minimise: compile was given no loss, and no layer has a penalty or calls add_loss. Give "
        "one: model.compile(optimizer=..., loss='mse').")


@pytest.mark.parametrize("loss", [{"p": "mse", "q": None}, {"p": "mse"}])
def test_an_output_without_a_loss(loss):
    model = two_outputs()
    model.compile("sgd", loss)
    before = model.get_layer("dense_1").get_weights()[0]
    history = model.fit(X, {"p": Y}, verbose=0).history
    assert list(history) == ["loss", "p_loss"]
    np.testing.assert_array_equal(model.get_layer("dense_1").get_weights()[0], before)


def test_a_list_of_losses_with_none():
    x = Input((4,))
    model = Model(x, [Dense(1)(x), Dense(2)(x)])
    model.compile("sgd", ["mse", None])
    assert list(model.fit(X, [Y, None], verbose=0).history) == ["loss", "dense_loss"]


def test_metrics_and_weighted_metrics_by_output_are_joined():
    x = Input((4,))
    model = Model(x, [Dense(1)(x), Dense(1)(x)])
    model.compile("sgd", "mse", metrics=[["mse"], ["mae"]], weighted_metrics=[["mae"], ["mse"]])
    figures = model.evaluate(X, [Y, Y], verbose=0, return_dict=True)
    assert list(figures) == ["loss", "dense_loss", "dense_1_loss", "dense_mse", "dense_mae", "dense_1_mae",
                             "dense_1_mse"]


def test_lbfgs_sees_all_rows():
    model = Sequential([Input((4,)), Dense(1)])
    model.compile("lbfgs", "mse")
    history = model.fit(X, Y, epochs=8, verbose=0)
    assert history.params["steps"] == 1
    best = np.linalg.lstsq(np.c_[X, np.ones(50)], Y, rcond=None)[1][0] / 50
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(best, rel=1e-4)
    with pytest.raises(SettingError) as error:
        model.fit(X, Y, batch_size=10)
    assert str(error.value) == (
        "LBFGS searches along a line of the loss over all the data, and batch_size=10 shows it a part of the 50 rows. "
        "Leave batch_size out, or use an optimizer for batches: 'adam', 'sgd'.")


def test_lbfgs_and_random_layers():
    model = Sequential([Input((4,)), Dropout(0.5, name="drop"), Dense(1)])
    model.compile("lbfgs", "mse")
    with pytest.warns(UserWarning) as warned:
        model.fit(X, Y, verbose=0)
    assert str(warned[0].message) == (
        "LBFGS needs the same loss at every step, and layer 'drop' (Dropout) draws random numbers in training. Leave "
        "such layers out, or use another optimizer.")


@pytest.mark.parametrize("loss", [losses.CategoricalCrossentropy(axis=1),
                                  losses.CategoricalFocalCrossentropy(axis=1, alpha=(0.2, 0.3, 0.5))])
def test_classes_on_another_axis(loss):
    y, p = np.eye(3)[DRAW.integers(0, 3, (5, 4))], DRAW.dirichlet(np.ones(3), (5, 4))
    last = type(loss)(**loss.get_config() | {"axis": -1})
    moved = loss(np.moveaxis(y, -1, 1), np.moveaxis(p, -1, 1))
    assert float(moved) == pytest.approx(float(last(y, p)), rel=1e-6)


def test_names_of_figures_and_shapes_of_outputs():
    model = two_outputs()
    assert model.output_shape == {"p": (None, 1), "q": (None, 2)}
    model.compile("sgd", {"p": "mse"}, metrics={"p": ["mae"]})
    with pytest.raises(NotReadyError) as error:
        model.metrics_names  # noqa: B018
    assert str(error.value) == (
        "metrics_names are known after the first fit or evaluate, because the shape of the targets decides what "
        "'accuracy' means.")
    model.fit(X, {"p": Y}, verbose=0)
    assert model.metrics_names == ["loss", "p_loss", "p_mae"]
