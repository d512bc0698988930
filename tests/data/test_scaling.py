"""Scaling: against scikit-learn, there and back, columns of several, and in a model's file."""
import numpy as np
import pytest
from sklearn import preprocessing

import chainrule as cr
from chainrule.data.scaling import Scaling
from chainrule.errors import ChainruleError, NotReadyError, SettingError
from chainrule.layers import Dense, Flatten
from chainrule.models import load_model

VALUES = np.random.default_rng(0).normal((1, -5, 300), (2, 0.1, 40), (50, 3))


@pytest.mark.parametrize(("method", "other"), [
    ("standard", preprocessing.StandardScaler()), ("minmax", preprocessing.MinMaxScaler()),
    ("robust", preprocessing.RobustScaler(unit_variance=True))])
def test_as_scikit_learn(method, other):
    scaling = Scaling(method).fit(VALUES)
    np.testing.assert_allclose(scaling.transform(VALUES), other.fit_transform(VALUES), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(scaling.inverse_transform(VALUES), other.inverse_transform(VALUES), rtol=1e-12)


@pytest.mark.parametrize("shape", [(50, 3), (5, 10, 3), (2, 5, 5, 3)])
def test_the_last_axis_holds_the_variables(shape):
    values = VALUES.reshape(shape)
    scaling = Scaling().fit(values)
    assert scaling.center == pytest.approx(VALUES.mean(0)) and scaling.scale == pytest.approx(VALUES.std(0))
    np.testing.assert_allclose(scaling.inverse_transform(scaling.transform(values)), values)


def test_one_variable_in_any_shape():
    scaling = Scaling().fit(VALUES[:, 0])
    for values in (VALUES[:, 0], VALUES[:, :1], VALUES, VALUES.reshape(5, 10, 3)):
        np.testing.assert_allclose(scaling.transform(values), (values - VALUES[:, 0].mean()) / VALUES[:, 0].std())


def test_some_of_the_columns():
    scaling = Scaling().fit({"a": VALUES[:, 0], "b": VALUES[:, 1], "c": VALUES[:, 2]})
    assert scaling.columns == ["a", "b", "c"]
    scaled = scaling.transform(VALUES)
    for columns in ("c", 2, -1):
        np.testing.assert_allclose(scaling.inverse_transform(scaled[:, 2].reshape(5, 10), columns),
                                   VALUES[:, 2].reshape(5, 10))
    np.testing.assert_allclose(scaling.inverse_transform(scaled[:, [2, 0]], ["c", "a"]), VALUES[:, [2, 0]])
    np.testing.assert_allclose(scaling.transform({"a": VALUES[:, 0], "b": VALUES[:, 1], "c": VALUES[:, 2]}), scaled)


def test_types_constants_and_missing_values():
    assert Scaling().fit(VALUES).transform(VALUES.astype("float32")).dtype == np.float32
    assert Scaling().fit([1, 2, 3]).transform([1, 2, 3]).dtype == np.float32
    constant = Scaling().fit([0.1] * 7)
    assert constant.scale == [1.0] and constant.transform([0.1, 2.1]) == pytest.approx([0, 2])
    holes = VALUES.copy()
    holes[3, 0] = np.nan
    scaling = Scaling().fit(holes)
    assert scaling.center[0] == pytest.approx(np.delete(VALUES[:, 0], 3).mean())
    assert np.isnan(scaling.transform(holes)).sum() == 1
    parts = Scaling().fit([VALUES[:20], VALUES[20:]])
    assert parts.center == pytest.approx(VALUES.mean(0))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Scaling("mean"), "SettingError: Scaling: method is one of 'standard', 'robust', 'minmax'; got 'mean'."),
    (lambda: Scaling(center=[1.0]), "SettingError: Scaling: give both center and scale, or neither and call fit."),
    (lambda: Scaling(center=[1.0], scale=[0.0]),
     "SettingError: Scaling: scale has one number above 0 for each of center; got [0.0] beside [1.0]."),
    (lambda: Scaling(center=["a"], scale=[1.0]),
     "SettingError: Scaling: center is a list of finite numbers, one for each variable; got ['a']."),
    (lambda: Scaling(center=[1.0], scale=[1.0], columns=["a", "b"]),
     "SettingError: Scaling: 1 variables have 2 names: ['a', 'b']."),
    (lambda: Scaling().transform(VALUES),
     "NotReadyError: This Scaling has not seen data yet: call fit(values) with the part to train on."),
    (lambda: Scaling().fit(VALUES).transform(VALUES[:, :2]),
     "ShapeError: values have the shape (50, 2), and the scaling has 3 variables, which the last axis holds. Where it "
     "holds some of them, say which: columns=[...]."),
    (lambda: Scaling().fit([1.0, np.inf]),
     "DataError: values is infinite in column 0; a scaling needs finite numbers."),
    (lambda: Scaling().fit([np.nan]), "DataError: values has no number in column 0, so its spread is not known."),
    (lambda: Scaling().fit({"a": [1.0, 2.0]}).inverse_transform([1.0], "b"),
     "UnknownNameError: There is no column 'b'. Known names: 'a'."),
])
def test_what_cannot_be_scaled_is_refused(call, message):
    with pytest.raises(ChainruleError) as error:
        call()
    assert f"{type(error.value).__name__}: {error.value}" == message


def test_errors_are_of_their_kind():
    with pytest.raises(NotReadyError):
        Scaling().inverse_transform([1.0])
    with pytest.raises(SettingError):
        Scaling("none")


def test_a_file_keeps_it(tmp_path):
    model = cr.Sequential([cr.Input((4, 2)), Flatten(), Dense(1)])
    scaling = model.preparation = Scaling("robust").fit({"load": VALUES[:, 0], "heat": VALUES[:, 1]})
    model.save(tmp_path / "model.chain")
    again = load_model(tmp_path / "model.chain").preparation
    assert again.get_config() == scaling.get_config() and again.columns == ["load", "heat"]
    np.testing.assert_array_equal(again.transform(VALUES[:, :2]), scaling.transform(VALUES[:, :2]))
