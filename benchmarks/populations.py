"""Many networks as one program beside one after another.

    python benchmarks/populations.py
    python benchmarks/populations.py --quick

- `2-8-8-1`: 128 networks for 20 epochs over 500 rows in batches of 10; beside chainrule alone, scikit-learn's
  MLPClassifier and PyTorch, one network after another.
- `28-64-64-1`: 32 networks over 50,000 rows in batches of 256; beside chainrule alone.
- `105-64-64-1`: cross-validation with five folds over 32,561 rows in batches of 256; beside five fits.

Each way is measured in turn with the others, several times, and the best counts. Ratios are the seconds a network of
the others over those of the population. Losses are compared, so that all did the same work.
"""
import argparse
import json
import time
import warnings
from collections.abc import Callable

import numpy as np


def rows_of(count: int, columns: int, seed: int = 0):
    """Normal numbers, and on which side of a curved line they lie."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((count, columns), "float32")
    return x, (x[:, 0] * x[:, 1] + 0.5 * x[:, 0] > 0).astype("int32")


def network(columns: int, hidden: tuple[int, ...]):
    """Dense layers with ReLU, and a sigmoid at the end, compiled."""
    import chainrule as cr
    from chainrule import layers

    model = cr.Sequential([cr.Input((columns,)), *(layers.Dense(units, activation="relu") for units in hidden),
                           layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    return model


def restart(model, seed: int) -> None:
    """Fresh weights, and an optimiser before its first step; what was compiled stays."""
    model.set_variables(*model.init(np.array([0, seed], np.uint32)))
    model._compiled.optimizer_state = None


def scikit_learn(x, y, hidden, epochs: int, batch_size: int) -> Callable[[int], float]:
    """Trains one network by its seed; the loss that it ends with."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    def fit(seed: int) -> float:
        network = MLPClassifier(hidden, batch_size=batch_size, max_iter=epochs, random_state=seed, alpha=0.0,
                                n_iter_no_change=epochs + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return network.fit(x, y).loss_

    return fit


def pytorch(x, y, hidden, epochs: int, batch_size: int) -> Callable[[int], float]:
    """The same in PyTorch, the data as tensors in memory, Adam fused."""
    import torch

    torch.set_num_threads(1)  # faster than two for networks as small as this
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y.astype("float32"))[:, None]

    def fit(seed: int) -> float:
        torch.manual_seed(seed)
        sizes = [x.shape[1], *hidden]
        body = [part for before, after in zip(sizes, sizes[1:], strict=False)
                for part in (torch.nn.Linear(before, after), torch.nn.ReLU())]
        model = torch.nn.Sequential(*body, torch.nn.Linear(sizes[-1], 1))
        loss_of = torch.nn.BCEWithLogitsLoss()
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        for _ in range(epochs):
            order, total = torch.randperm(len(inputs)), 0.0
            for start in range(0, len(inputs), batch_size):
                rows = order[start : start + batch_size]
                loss = loss_of(model(inputs[rows]), targets[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(rows)
        return total / len(inputs)

    return fit


def in_turn(ways: dict[str, Callable[[], tuple[float, int]]], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds a network of each way, the best of several rounds, and the loss that its networks end with.

    A way trains some networks and returns the mean of their losses, and how many there were.
    """
    best, losses = dict.fromkeys(ways, float("inf")), {}
    for number in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            loss, count = way()
            losses.setdefault(name, float(loss))  # of the first time, when all begin with fresh weights
            if number:  # the first compiles
                best[name] = min(best[name], (time.perf_counter() - start) / count)
    return {name: {"seconds": best[name], "loss": losses[name]} for name in ways}


def tell(title: str, found: dict[str, dict[str, float]], epochs: int) -> None:
    """A table of one job."""
    first = found["population"]["seconds"]
    print(f"\n{title}\n{'':28}{'ms a network and epoch':>24}{'ratio':>8}{'loss':>9}")
    for name, result in found.items():
        print(f"{name:28}{1e3 * result['seconds'] / epochs:24.3f}{result['seconds'] / first:8.2f}{result['loss']:9.4f}")


def many_tiny(rounds: int, size: int, epochs: int, few: int) -> dict:
    """128 networks 2-8-8-1, and the peers."""
    import chainrule as cr

    x, y = rows_of(500, 2)
    hidden, batch = (8, 8), 10
    population, alone = cr.Population(network(2, hidden), size), network(2, hidden)
    fit = {"epochs": epochs, "batch_size": batch, "verbose": 0}
    peers = {name: make(x, y, hidden, epochs, batch) for name, make in (
        ("scikit-learn, one by one", scikit_learn), ("PyTorch, one by one", pytorch))}

    def together():
        return population.fit(x, y, seed=0, **fit).history["loss"][-1].mean(), size

    def one_by_one():
        losses = []
        for seed in range(few):
            restart(alone, seed)
            losses.append(alone.fit(x, y, seed=seed, **fit).history["loss"][-1])
        return np.mean(losses), few

    ways = {"population": together, "chainrule, one by one": one_by_one}
    for name, peer in peers.items():
        ways[name] = lambda peer=peer: (np.mean([peer(seed) for seed in range(2)]), 2)
    found = in_turn(ways, rounds)
    tell(f"{size} networks 2-8-8-1, 500 rows, batches of {batch}, {epochs} epochs", found, epochs)
    return found


def many_small(rounds: int, size: int, rows: int, epochs: int, order: str) -> dict:
    """32 networks 28-64-64-1."""
    import chainrule as cr

    x, y = rows_of(rows, 28)
    population, alone = cr.Population(network(28, (64, 64)), size, order=order), network(28, (64, 64))
    fit = {"epochs": epochs, "batch_size": 256, "verbose": 0}

    def one_by_one():
        losses = []
        for seed in range(4):
            restart(alone, seed)
            losses.append(alone.fit(x, y, seed=seed, **fit).history["loss"][-1])
        return np.mean(losses), 4

    found = in_turn({"population": lambda: (population.fit(x, y, seed=0, **fit).history["loss"][-1].mean(), size),
                     "chainrule, one by one": one_by_one}, rounds)
    tell(f"{size} networks 28-64-64-1, {rows:,} rows, batches of 256, {order} order", found, epochs)
    return found


def five_folds(rounds: int, rows: int, epochs: int) -> dict:
    """Five folds as one program, and as five fits on parts of the data."""
    import chainrule as cr

    x, y = rows_of(rows, 105)
    population, alone = cr.Population(network(105, (64, 64)), folds=5), network(105, (64, 64))
    fit = {"epochs": epochs, "batch_size": 256, "verbose": 0}
    population.fit(x, y, seed=0, epochs=0, verbose=0)  # makes the folds
    parts = [(x[population.folds != fold], y[population.folds != fold], x[population.folds == fold],
              y[population.folds == fold]) for fold in range(5)]

    def one_by_one():
        losses = []
        for seed, (x_train, y_train, x_held, y_held) in enumerate(parts):
            restart(alone, seed)
            history = alone.fit(x_train, y_train, validation_data=(x_held, y_held), seed=seed, **fit)
            losses.append(history.history["val_loss"][-1])
        return np.mean(losses), 5

    found = in_turn({"population": lambda: (
        population.fit(x, y, seed=0, **fit).history["val_loss"][-1].mean(), 5), "five fits": one_by_one}, rounds)
    tell(f"Five folds of 105-64-64-1, {rows:,} rows, batches of 256", found, epochs)
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rows and networks, to see that all works")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="a file for the figures")
    chosen = parser.parse_args()
    quick, rounds = chosen.quick, 1 if chosen.quick else chosen.rounds
    found = {"2-8-8-1": many_tiny(rounds, 8 if quick else 128, 2 if quick else 20, 2 if quick else 8)}
    for order in ("own", "shared"):
        found[f"28-64-64-1, {order} order"] = many_small(
            rounds, 4 if quick else 32, 1000 if quick else 50_000, 1 if quick else 2, order)
    found["105-64-64-1, five folds"] = five_folds(rounds, 1000 if quick else 32_561, 1 if quick else 5)
    if chosen.json:
        with open(chosen.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
