"""One network beside ensembles on California housing: test error over several seeds, and the time each took.

    python benchmarks/ensembles.py --seeds 5

The file `tabular/california_housing.csv.gz` is looked for in the folder that `CHAINRULE_DATA` names. A fifth of the
rows is the test set and a fifth of the others tells when to stop, both the same for every seed. All networks have the
same hidden layers, optimiser, batches and largest number of epochs. Dropout, learning rate, decay and the number of
members are usual ones for TabM; nothing was tuned.
"""
import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

import chainrule as cr
from chainrule.callbacks import EarlyStopping
from chainrule.layers import Dense, DenseBatchEnsemble, DenseEnsemble, Dropout, EnsembleMean, EnsembleView
from chainrule.optimizers import AdamW

RATE, DECAY, PATIENCE, MEMBERS = 2e-3, 3e-4, 12, 32
DOLLARS = 100_000


def california():
    """Inputs and targets for training, for stopping and for the test, and what a unit of the target is."""
    table = pd.read_csv(Path(os.environ["CHAINRULE_DATA"]) / "tabular" / "california_housing.csv.gz")
    order = np.random.default_rng(0).permutation(len(table))
    test, held = order[: len(table) // 5], order[len(table) // 5 : len(table) // 5 + len(table) // 6]
    train = order[len(table) // 5 + len(table) // 6 :]
    places = pd.get_dummies(table.pop("ocean_proximity")).to_numpy("float32")
    prices = table.pop("median_house_value").to_numpy() / DOLLARS
    numbers = table.fillna(table.iloc[train].median()).to_numpy()
    scaled = np.stack([to_normal(column, column[train]) for column in numbers.T], 1)
    x = np.concatenate([scaled, places], 1).astype("float32")
    mean, deviation = prices[train].mean(), prices[train].std()
    y = ((prices - mean) / deviation).astype("float32")[:, None]
    return [(x[rows], y[rows]) for rows in (train, held, test)], deviation


def to_normal(column: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """A column bent so that what was seen of it is normally distributed."""
    values = np.quantile(seen, np.linspace(0, 1, 1000))
    return ndtri(np.clip(np.interp(column, values, np.linspace(0, 1, 1000)), 1e-3, 1 - 1e-3))


def hidden(layer, width: int) -> list:
    """Two hidden layers with dropout."""
    return [part for _ in range(2) for part in (layer(width, "relu"), Dropout(0.1))]


NETWORKS = {
    "one network": lambda width: [*hidden(Dense, width), Dense(1)],
    "TabM": lambda width: [EnsembleView(MEMBERS), *hidden(DenseBatchEnsemble, width), DenseEnsemble(1), EnsembleMean()],
    "TabM-mini": lambda width: [EnsembleView(MEMBERS), *hidden(Dense, width), DenseEnsemble(1), EnsembleMean()],
}


def trained(layers: list, parts, epochs: int, batch_size: int, seed: int):
    """A trained network, how many epochs it took, and how many seconds."""
    (x, y), held, _ = parts
    model = cr.Sequential([cr.Input(x.shape[1:]), *layers])
    model.compile(AdamW(RATE, weight_decay=DECAY), "mse")
    start = time.perf_counter()
    history = model.fit(x, y, batch_size=batch_size, epochs=epochs, validation_data=held, seed=seed, verbose=0,
                        callbacks=[EarlyStopping(patience=PATIENCE, restore_best_weights=True)])
    return model, len(history.history["loss"]), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    arguments = parser.parse_args()
    parts, unit = california()
    x, y = parts[2]
    error = lambda predicted: float(np.sqrt(np.mean((predicted - y) ** 2)) * unit)
    print(f"{len(parts[0][0]):,} rows to train on, {len(x):,} to test; test RMSE in {DOLLARS:,} dollars")
    for name in arguments.networks:
        errors, single, epochs, seconds, predictions = [], [], [], [], []
        for seed in range(arguments.seeds):
            model, count, took = trained(
                NETWORKS[name](arguments.width), parts, arguments.epochs, arguments.batch_size, seed)
            predictions.append(model.predict(x))
            errors.append(error(predictions[-1]))
            epochs.append(count)
            seconds.append(took)
            if name != "one network":
                single.append(np.mean([error(member) for member in model.predict_members(x)]))
        print(f"{name:12} {np.mean(errors):.4f} +- {np.std(errors, ddof=1):.4f} (best {min(errors):.4f}, worst "
              f"{max(errors):.4f}); {np.mean(epochs):.0f} epochs, {np.mean(seconds):.0f} s"
              + (f"; a member alone {np.mean(single):.4f}" if single else ""), flush=True)
        together = cr.uncertainty.reduce_members(predictions)
        print(f"{'':12} the mean of the {arguments.seeds}: {error(together):.4f}", flush=True)


if __name__ == "__main__":
    main()
