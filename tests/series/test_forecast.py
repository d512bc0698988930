"""Forecasts: all at once and block by block, scaled, with what is known, as quantiles, refused."""
import numpy as np
import pytest

import chainrule as cr
from chainrule import series
from chainrule.errors import ChainruleError
from chainrule.layers import LSTM, Concatenate, Dense, Flatten, Reshape
from chainrule.models import load_model


def linear_map(length, variables, outputs, weights, shape=None):
    """A network whose outputs are given sums of its inputs."""
    model = cr.Sequential([cr.Input((length, variables)), Flatten(), Dense(outputs, use_bias=False)])
    if shape is not None:
        model.add(Reshape(shape))
    model.set_weights([np.asarray(weights, float).reshape(length * variables, outputs)])
    return model


def straight_on():
    """Goes on in a straight line: 2 * last - the one before."""
    return linear_map(2, 1, 1, [[-1], [2]])


def refusal(*arguments, **options):
    with pytest.raises(ChainruleError) as error:
        series.forecast(*arguments, **options)
    return f"{type(error.value).__name__}: {error.value}"


def test_all_at_once():
    model = linear_map(2, 1, 3, [[-1, -2, -3], [2, 3, 4]])
    assert series.forecast(model, [0.0, 5.0, 7.0]).tolist() == [9, 11, 13]
    assert series.forecast(model, [0.0, 5.0, 7.0], horizon=2).tolist() == [9, 11]
    np.testing.assert_array_equal(series.forecast(model, [[5.0, 7.0], [0.0, 1.0, 1.0]]), [[9, 11, 13], [1, 1, 1]])
    np.testing.assert_array_equal(series.forecast(model, np.array([[[5.0], [7.0]]])), [[9, 11, 13]])


@pytest.mark.parametrize("horizon", [1, 2, 3, 7])
def test_step_by_step_and_block_by_block(horizon):
    assert series.forecast(straight_on(), [5.0, 7.0], horizon).tolist() == [9 + 2 * h for h in range(horizon)]
    model = linear_map(2, 1, 2, [[-1, -2], [2, 3]])
    assert series.forecast(model, [5.0, 7.0], horizon).tolist() == [9 + 2 * h for h in range(horizon)]


def test_several_variables_that_are_all_predicted():
    # Each next value is the other's last one plus 1, in the order (heat, load).
    model = linear_map(1, 2, 2, [[1, 0], [0, 1]], (1, 2))
    history = {"load": [1.0, 10.0], "heat": [2.0, 20.0]}
    found = series.forecast(model, history, 3, target=["heat", "load"])
    np.testing.assert_array_equal(found, [[10, 20], [20, 10], [10, 20]])
    np.testing.assert_array_equal(series.forecast(model, history, 2), [[10, 20], [10, 20]])


def test_a_recurrent_network_sees_all_of_the_history():
    model = cr.Sequential([cr.Input((None, 1)), LSTM(3), Dense(1)])
    histories = [np.arange(4.0), np.arange(7.0)]
    found = series.forecast(model, histories, 2)
    for history, steps in zip(histories, found, strict=True):
        first = model.predict(history[None, :, None])[0, 0]
        second = model.predict(np.append(history, first)[None, :, None])[0, 0]
        np.testing.assert_allclose(steps, [first, second], rtol=1e-5)
    np.testing.assert_allclose(series.forecast(model, histories[0], 2), found[0], rtol=1e-5)


def test_scaled_and_in_plain_units():
    history = np.array([10.0, 14.0, 18.0, 22.0])
    scaling = series.Scaling().fit(history)
    np.testing.assert_allclose(series.forecast(straight_on(), history, 3, scaling=scaling), [26, 30, 34], rtol=1e-5)
    model = straight_on()
    model.preparation = series.Scaling(center=[1.0], scale=[2.0])
    shifted = linear_map(2, 1, 1, [[1], [0]])  # the one before, whatever the scaling
    shifted.preparation = model.preparation
    np.testing.assert_allclose(series.forecast(shifted, history), [18], rtol=1e-6)
    np.testing.assert_allclose(series.forecast(shifted, history, scaling=False), [18], rtol=1e-6)
    doubled = linear_map(2, 1, 1, [[0], [2]])
    doubled.preparation = model.preparation
    np.testing.assert_allclose(series.forecast(doubled, history), [1 + 2 * (2 * (22 - 1) / 2)], rtol=1e-6)
    np.testing.assert_allclose(series.forecast(doubled, history, scaling=False), [44], rtol=1e-6)


def test_one_column_of_several_is_brought_back_by_its_own_scaling():
    history = {"load": [1.0, 2.0, 3.0], "heat": [100.0, 200.0, 400.0]}
    scaling = series.Scaling().fit(history)
    last_heat = linear_map(1, 2, 2, [[0, 0], [1, 1]])
    for name in ("heat", 1):
        np.testing.assert_allclose(series.forecast(last_heat, history, target=name, scaling=scaling), [400, 400],
                                   rtol=1e-6)
    array = np.stack([history["load"], history["heat"]], -1)  # names known to the scaling alone
    np.testing.assert_allclose(series.forecast(last_heat, array, target="heat", scaling=scaling), [400, 400], rtol=1e-6)


def with_known(horizon=2):
    """Last value plus what is known of each step."""
    past, known = cr.Input((3, 1), name="past"), cr.Input((horizon, 1), name="known")
    joined = Concatenate()([Flatten()(past), Flatten()(known)])
    model = cr.Model([past, known], Dense(horizon, use_bias=False)(joined))
    weights = np.zeros((3 + horizon, horizon))
    weights[2] = 1
    weights[3:] = np.eye(horizon)
    model.set_weights([weights])
    return model


def test_what_is_known_of_the_future():
    model = with_known()
    assert series.forecast(model, [1.0, 2.0, 3.0], known=[10.0, 20.0]).tolist() == [13, 23]
    found = series.forecast(model, [1.0, 2.0, 3.0], 4, known=np.array([[10.0], [20], [30], [40]]))
    assert found.tolist() == [13, 23, 53, 63]
    assert refusal(model, [1.0, 2.0, 3.0]) == (
        "DataError: The network has an input 'known': give 2 rows of 1 columns, known=...")
    assert refusal(model, [1.0, 2.0, 3.0], 3, known=[1.0, 2.0, 3.0]) == (
        "DataError: known needs the shape (4, 1), a row for each step that the network predicts; got (3, 1).")
    assert refusal(straight_on(), [1.0, 2.0], known=[1.0]) == (
        "DataError: known is given, and the network has no input 'known'. Leave it out.")


def test_windows_with_known_are_what_fit_takes():
    values = np.sin(np.arange(60))
    x, y = series.windows(values, 3, 2, known=np.cos(np.arange(60)))
    source = series.WindowSource(values, 3, 2, known=np.cos(np.arange(60)))
    weights = []
    for data in ((x, y), (source,)):
        model = with_known()
        model.compile("adam", "mae")
        model.fit(*data, epochs=1, verbose=0, seed=0)
        weights.append(model.get_weights()[0])
    np.testing.assert_array_equal(*weights)


def test_quantiles_are_learned_kept_in_order_and_fed_back(tmp_path):
    random = np.random.default_rng(0)
    values = random.normal(5, 1, 3000)
    scaling = series.Scaling().fit(values)
    levels = (0.1, 0.5, 0.9)
    model = cr.Sequential([cr.Input((4, 1)), Flatten(), Dense(2 * 3), Reshape((2, 3))])
    model.compile(cr.optimizers.Adam(0.01), cr.losses.Quantile(levels))
    x, y = series.windows(scaling.transform(values), 4, 2)
    model.fit(x, y, batch_size=128, epochs=25, verbose=0, seed=0)
    outputs = model.predict(x)
    assert outputs.shape == (len(y), 2, 3)
    for index, level in enumerate(levels):
        assert series.coverage(y, np.full_like(y, -99), outputs[..., index]) == pytest.approx(level, abs=0.03)
    model.preparation = scaling
    found = series.forecast(model, values, 5)
    assert found.shape == (5, 3) and (np.diff(found, axis=-1) >= 0).all()
    assert np.abs(found - (5 + np.array([-1.2816, 0, 1.2816]))).max() < 0.35
    model.save(tmp_path / "model.chain")
    np.testing.assert_array_equal(series.forecast(load_model(tmp_path / "model.chain"), values, 5), found)
    crossed = linear_map(1, 1, 3, [[3, 2, 1]])
    assert series.forecast(crossed, [1.0], quantiles=levels).tolist() == [[1, 2, 3]]
    assert series.forecast(crossed, [1.0], 2, quantiles=levels).tolist() == [[1, 2, 3], [2, 4, 6]]


def test_what_cannot_be_forecast_is_refused():
    model = straight_on()
    assert refusal(model, [1.0]) == (
        "DataError: history has 1 row, and the network sees 2 before it predicts. Give more of the past.")
    assert refusal(model, [[1.0, 2.0], [1.0]]) == (
        "DataError: history[1] has 1 row, and the network sees 2 before it predicts. Give more of the past.")
    assert refusal(model, np.zeros((3, 2))) == "DataError: history has 2 variables, and the network sees 1."
    assert refusal(model, [1.0, np.nan]) == (
        "DataError: The end of history (2 rows) has 1 value that is NaN or infinite, in row 1. Fill them first: "
        "series.fill(history).")
    assert series.forecast(model, [np.nan, 1.0, 2.0]).tolist() == [3]  # a gap that the network does not see
    assert refusal(model, [1.0, 2.0], 0) == "SettingError: horizon is a whole number, 1 or more; got 0."
    assert refusal(model, [1.0, 2.0], scaling="standard") == (
        "SettingError: scaling is a Scaling, None for the model's own, or False for none; got 'standard'.")
    assert refusal(model, [1.0, 2.0], scaling=series.Scaling(center=[0.0, 0.0], scale=[1.0, 1.0])) == (
        "SettingError: The scaling is for 2 variables, and the network sees 1. Give the one its data were scaled by.")
    assert refusal(model, [1.0, 2.0], quantiles=(0.5, 2)) == (
        "SettingError: quantiles are levels between 0 and 1, such as (0.1, 0.5, 0.9); got (0.5, 2).")
    assert refusal(model, [1.0, 2.0], quantiles=(0.1, 0.9)) == (
        "ShapeError: 2 quantiles need an output with as many columns; that of the network is (None, 1).")


def test_variables_that_are_not_said_or_not_predicted():
    model = linear_map(1, 2, 1, [[1], [0]])
    history = np.array([[1.0, 2.0]])
    assert series.forecast(model, history).tolist() == [1]
    scaling = series.Scaling(center=[0.0, 0.0], scale=[1.0, 2.0])
    assert refusal(model, history, scaling=scaling) == (
        "SettingError: The network sees 2 variables and predicts 1: say which, target=... as for series.windows.")
    assert refusal(model, history, 2, target=0) == (
        "SettingError: The network predicts 1 step of 1 variable and sees 2: 2 steps need the future of the others "
        "too. Ask for at most 1, or train on a longer horizon.")
    assert refusal(model, history, target=[0, 1]) == (
        "SettingError: target names 2 variables, and the network predicts 1.")


def test_networks_of_other_shapes():
    two = cr.Input((2, 1)), cr.Input((2, 1))
    assert refusal(cr.Model(list(two), Flatten()(Concatenate()(list(two)))), [1.0, 2.0]) == (
        "SettingError: A forecast needs a network with one input, or with the two inputs 'past' and 'known'; this one "
        "has 2: ['input_layer', 'input_layer_1'].")
    assert refusal(cr.Sequential([cr.Input((2,)), Dense(1)]), [1.0, 2.0]) == (
        "ShapeError: A forecast needs an input (batch, length, variables); that of the network is (None, 2).")
    assert refusal(cr.Sequential([cr.Input((2, 1)), Dense(4), Reshape((2, 2, 2))]), [1.0, 2.0]) == (
        "ShapeError: A forecast needs an output (batch, horizon), (batch, horizon, targets) or, of one target, (batch, "
        "horizon, quantiles); that of the network is (None, 2, 2, 2).")
