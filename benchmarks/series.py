"""Time series: accuracy on ItalyPowerDemand, and forecasts of temperatures beside those that cost nothing.

    python benchmarks/series.py italy
    python benchmarks/series.py temperatures
    python benchmarks/series.py etth1
    python benchmarks/series.py etth1 --choose

Each trains one network a seed, three by default, and prints every figure, their mean and their spread. The settings
were chosen with `--choose`, which compares the candidates on held-out training data and never looks at the test part:
by cross-validation of the 67 training series, where ties in accuracy are settled by the loss (italy), by the last 600
days of the training part (temperatures), by the usual validation months (etth1). The files are looked for in
`$CHAINRULE_DATA/timeseries`.
"""
import argparse
import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

import chainrule as cr
from chainrule import layers, schedules, series

DATA = Path(os.environ.get("CHAINRULE_DATA", ".")) / "timeseries"
FOLDS = 5


# Which half of the year it is, by a day of power demand


class Italy(NamedTuple):
    """The network that classifies 24 hours.

    Attributes:
        body: `"pooled"` for convolutions with batch normalisation, averaged over the hours; `"flat"` for the same where
            each hour has weights of its own at the end; `"gru"`; or `"dense"`.
        units: of the recurrent layer, or of each of two convolutions or dense layers.
        noise: the deviation of the noise that is added to the inputs in training; they have the deviation 1.
    """

    body: str
    units: int = 64
    noise: float = 0.1
    dropout: float = 0.3
    learning_rate: float = 3e-3
    epochs: int = 120


ITALY = {
    "pooled": Italy("pooled"),
    "flat": Italy("flat"),
    "flat, more noise": Italy("flat", noise=0.3),
    "gru": Italy("gru", 32),
    "gru, more noise": Italy("gru", 32, noise=0.3),
    "dense": Italy("dense"),
    "dense, more noise": Italy("dense", noise=0.3),
}
CHOSEN_ITALY = "flat, more noise"


def classifier(chosen: Italy, rows: int) -> cr.Sequential:
    model = cr.Sequential([cr.Input((24, 1)), layers.GaussianNoise(chosen.noise)])
    if chosen.body == "gru":
        model.add(layers.GRU(chosen.units))
    elif chosen.body == "dense":
        for layer in (layers.Flatten(), *[layers.Dense(chosen.units, activation="relu") for _ in range(2)]):
            model.add(layer)
    else:
        for _ in range(2):
            model.add(layers.Conv1D(chosen.units, 5, padding="same", use_bias=False))
            model.add(layers.BatchNormalization(momentum=0.9))
            model.add(layers.Activation("relu"))
        model.add(layers.GlobalAveragePooling1D() if chosen.body == "pooled" else layers.Flatten())
    model.add(layers.Dropout(chosen.dropout))
    model.add(layers.Dense(2, activation="softmax"))
    rate = schedules.CosineDecay(chosen.learning_rate, chosen.epochs * -(-rows // 16))
    model.compile(cr.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def italy_figures(chosen: Italy, train, held, seed: int) -> dict[str, float]:
    """Loss and accuracy of one network on series that it was not trained on."""
    model = classifier(chosen, len(train[0]))
    model.fit(*train, batch_size=16, epochs=chosen.epochs, verbose=0, seed=seed)
    return model.evaluate(*held, verbose=0, return_dict=True)


def cross_validated(chosen: Italy, x: np.ndarray, y: np.ndarray, seed: int) -> dict[str, float]:
    """Loss and accuracy of series that the network was not trained on, each held out once."""
    order = np.random.default_rng(seed).permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]  # by class, so that every fold has its part of each
    found = []
    for fold in range(FOLDS):
        held = order[fold::FOLDS]
        train = np.setdiff1d(order, held)
        figures = italy_figures(chosen, (x[train], y[train]), (x[held], y[held]), seed)
        found.append({name: figure * len(held) / len(y) for name, figure in figures.items()})
    return {name: sum(figures[name] for figures in found) for name in found[0]}


def italy(seeds: int, choose: bool) -> None:
    x, y = series.read_ts(DATA / "ItalyPowerDemand_TRAIN.ts")
    classes, y = np.unique(y, return_inverse=True)
    if choose:
        for name, chosen in ITALY.items():
            found = [cross_validated(chosen, x, y, seed) for seed in range(seeds)]
            for figure in ("accuracy", "loss"):  # so few series often tie in accuracy
                report(f"{name}: {figure} of held-out training series", [figures[figure] for figures in found])
        return
    x_test, y_test = series.read_ts(DATA / "ItalyPowerDemand_TEST.ts")
    y_test = np.searchsorted(classes, y_test)
    report("test accuracy", [
        timed(seed, lambda seed: italy_figures(ITALY[CHOSEN_ITALY], (x, y), (x_test, y_test), seed)["accuracy"])
        for seed in range(seeds)])


# Forecasts


class Forecaster(NamedTuple):
    """A network that adds what it predicts to the last value: a linear map of the target's past, and a hidden layer.

    Attributes:
        length: how many rows the linear map sees, each less the last.
        recent: how many of them the hidden layer sees, of all variables.
        level: whether the hidden layer is also told the last row itself.
        hidden: units of the hidden layer.
        periods: of the calendar of the rows that are predicted.
    """

    length: int
    recent: int
    hidden: int
    level: bool
    periods: tuple[str, ...]
    dropout: float = 0.2
    decay: float = 1e-3
    learning_rate: float = 1e-3
    epochs: int = 10
    batch: int = 64


def forecaster(chosen: Forecaster, horizon: int, variables: int, target: int, steps: int) -> cr.Model:
    past = cr.Input((chosen.length, variables), name="past")
    known = cr.Input((horizon, 2 * len(chosen.periods)), name="known")
    last = past[:, -1, :]
    moved = past - past[:, -1:, :]
    recent = layers.Flatten()(moved[:, -chosen.recent :, :])
    seen = layers.Concatenate()([recent, layers.Flatten()(known), *[last] * chosen.level])
    hidden = layers.Dropout(chosen.dropout)(layers.Dense(chosen.hidden, activation="relu")(seen))
    change = (layers.Dense(horizon, kernel_initializer="zeros")(layers.Flatten()(moved[:, :, target : target + 1]))
              + layers.Dense(horizon, kernel_initializer="zeros")(hidden))
    model = cr.Model([past, known], change + last[:, target : target + 1])
    rate = schedules.CosineDecay(chosen.learning_rate, steps)
    model.compile(cr.optimizers.AdamW(rate, weight_decay=chosen.decay), "mae")
    return model


class Parts(NamedTuple):
    """The rows to train on and those to judge by, with as many rows before them as a window sees."""

    train: series.SeriesTable
    held: series.SeriesTable
    scaling: series.Scaling
    target: int


def predicted(chosen: Forecaster, parts: Parts, horizon: int, seed: int) -> np.ndarray:
    """Forecasts of one network for all windows of the held rows, in their unit."""
    source = lambda table: series.WindowSource(
        table, chosen.length, horizon, target=parts.target, scaling=parts.scaling,
        known=series.calendar(table.times, chosen.periods))
    train, held = source(parts.train), source(parts.held)
    model = forecaster(chosen, horizon, parts.train.values.shape[1], parts.target,
                       chosen.epochs * -(-len(train) // chosen.batch))
    model.fit(train, batch_size=chosen.batch, epochs=chosen.epochs, verbose=0, seed=seed)
    return parts.scaling.inverse_transform(model.predict(held), parts.target)


def parts_of(table: series.SeriesTable, length: int, cut: int, end: int, target: int = 0) -> Parts:
    """Rows before `cut` to train on, those from there to `end` to judge by."""
    train, held = series.split(table[:end], test=end - cut, length=length)
    return Parts(train, held, series.Scaling().fit(train), target)


def error(y: np.ndarray, forecast: np.ndarray) -> float:
    return float(np.abs(y - forecast).mean())


# Tomorrow's minimum temperature

TRAIN_DAYS, CHOOSING_DAYS = 2900, 600
TEMPERATURES = {
    "15 days": Forecaster(15, 15, 64, True, ("year",), 0.4, learning_rate=3e-3, epochs=20),
    "15 days, faster": Forecaster(15, 15, 64, True, ("year",), 0.4, learning_rate=1e-2, epochs=20),
    "15 days, longer": Forecaster(15, 15, 64, True, ("year",), 0.4, learning_rate=3e-3, epochs=50),
    "15 days, faster and longer": Forecaster(15, 15, 64, True, ("year",), 0.4, learning_rate=1e-2, epochs=50),
    "15 days, wider": Forecaster(15, 15, 128, True, ("year",), 0.5, learning_rate=1e-2, epochs=30),
    "30 days": Forecaster(30, 30, 64, True, ("year",), 0.4, learning_rate=3e-3, epochs=20),
}
CHOSEN_TEMPERATURES = "15 days, faster"


def temperatures(seeds: int, choose: bool) -> None:
    table = series.read_csv(DATA / "daily-min-temperatures.csv", missing="keep")  # two New Year's Eves are not there
    if choose:
        for name, chosen in TEMPERATURES.items():
            gains = []
            for seed in range(seeds):
                parts = parts_of(table, chosen.length, TRAIN_DAYS - CHOOSING_DAYS, TRAIN_DAYS)
                x, y = series.windows(parts.held, chosen.length)
                gains.append(1 - error(y, predicted(chosen, parts, 1, seed)) / error(y, series.naive(x)))
            report(f"{name}: gain over yesterday's temperature, last training days", gains)
        return
    chosen = TEMPERATURES[CHOSEN_TEMPERATURES]
    parts = parts_of(table, chosen.length, TRAIN_DAYS, len(table))
    x, y = series.windows(parts.held, chosen.length)
    naive = error(y, series.naive(x))
    found = [timed(seed, lambda seed: error(y, predicted(chosen, parts, 1, seed))) for seed in range(seeds)]
    print(f"{len(y)} test days; yesterday's temperature: {naive:.3f} degrees, last week's: "
          f"{error(y, series.seasonal_naive(x, season=7)):.3f}")
    report("mean absolute error in degrees", found)
    report("gain over yesterday's temperature", [1 - figure / naive for figure in found])


# The oil temperature of a transformer, 24 hours ahead

CUTS = 8640, 11520, 14400  # 12 months to train on, 4 to choose by, 4 to test on, of 30 days each
HORIZON, DAY = 24, 24
ETTH1 = {
    "14 days": Forecaster(336, 24, 32, False, ("day",), 0.5, 1e-2, epochs=4),
    "14 days, 6 hours for the hidden layer": Forecaster(336, 6, 32, False, ("day",), 0.5, 1e-2, epochs=4),
    "7 days": Forecaster(168, 24, 32, False, ("day",), 0.5, 1e-2, epochs=4),
}
CHOSEN_ETTH1 = "14 days, 6 hours for the hidden layer"


def linear_forecast(parts: Parts, length: int, seed: int) -> np.ndarray:
    """Of the linear network over the target alone."""
    source = lambda table: series.WindowSource(table, length, HORIZON, target=parts.target, scaling=parts.scaling)
    train = source(parts.train)
    model = series.linear(length, HORIZON, variables=parts.train.values.shape[1], target=parts.target)
    model.compile(cr.optimizers.Adam(schedules.CosineDecay(1e-3, 6 * -(-len(train) // 64))), "mae")
    model.fit(train, batch_size=64, epochs=6, verbose=0, seed=seed)
    return parts.scaling.inverse_transform(model.predict(source(parts.held)), parts.target)


def etth1(seeds: int, choose: bool) -> None:
    table = series.read_csv(DATA / "ETTh1.csv.gz")
    target = table.columns.index("OT")
    train_rows, choosing_end, test_end = CUTS
    for name, chosen in ETTH1.items():
        if not choose and name != CHOSEN_ETTH1:
            continue
        # The scaling and the weights come from the first 12 months alone, as is usual; the months between are passed.
        before = train_rows if choose else choosing_end
        parts = Parts(table[:train_rows], table[before - chosen.length : choosing_end if choose else test_end],
                      series.Scaling().fit(table[:train_rows]), target)
        x, y = series.windows(parts.held, chosen.length, HORIZON, target=target)
        found = {
            "the last value": [series.naive(x, HORIZON, target)],
            "the day before": [series.seasonal_naive(x, HORIZON, season=DAY, target=target)],
            "linear": [linear_forecast(parts, chosen.length, seed) for seed in range(seeds)],
            "network": [predicted(chosen, parts, HORIZON, seed) for seed in range(seeds)],
        }
        print(f"{name}: {len(y)} windows of the {'validation' if choose else 'test'} months")
        scale = parts.scaling.scale[target]
        for label, forecasts in found.items():
            errors = [error(y, forecast) for forecast in forecasts]
            report(f"  {label}: mean absolute error, scaled", [figure / scale for figure in errors])
            report(f"  {label}: mean absolute error in degrees", errors)


# What all print


def timed(seed: int, run) -> float:
    """The figure that `run(seed)` gives, with the time it took as a line of its own."""
    start = time.perf_counter()
    found = run(seed)
    print(f"seed {seed}: {found:.4f}, {time.perf_counter() - start:.0f} s", flush=True)
    return found


def report(name: str, figures: list[float]) -> None:
    spread = f", deviation {np.std(figures):.4f} over {len(figures)} seeds" if len(figures) > 1 else ""
    print(f"{name}: mean {np.mean(figures):.4f}{spread}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("italy", "temperatures", "etth1"))
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 (default: 3)")
    parser.add_argument("--choose", action="store_true", help="compare settings on held-out training data")
    given = parser.parse_args()
    if not DATA.is_dir():
        parser.error(f"there is no folder {DATA}: set CHAINRULE_DATA to the one that holds timeseries/")
    {"italy": italy, "temperatures": temperatures, "etth1": etth1}[given.data](given.seeds, given.choose)


if __name__ == "__main__":
    main()
