"""A small convolutional network on MNIST and on Fashion-MNIST: test accuracy over three seeds, and the time it took.

    python benchmarks/accuracy.py mnist
    python benchmarks/accuracy.py fashion_mnist --seeds 1

The settings were chosen by the accuracy on the last 6,000 training images, which `--choose` holds out again.
Without it the network is trained on all 60,000, and the 10,000 test images are looked at once, at the end.
"""
import argparse
import time
from typing import NamedTuple

import numpy as np

import chainrule as cr
from chainrule import datasets, layers, schedules
from chainrule.optimizers import Adam

HELD_OUT = 6_000
BATCH = 128


class Settings(NamedTuple):
    """What differs between the two data sets.

    Attributes:
        filters: of the convolutions of each of three blocks, at 28 x 28, 14 x 14 and 7 x 7 places.
    """

    filters: tuple[tuple[int, ...], ...]
    epochs: int
    learning_rate: float
    augmentation: tuple


def settings(name: str) -> Settings:
    """Digits are moved, turned and stretched a little; clothes are mirrored."""
    if name == "mnist":
        return Settings(((32,), (64,), (128, 128)), 10, 2e-3, (
            layers.RandomTranslation(0.08, 0.08), layers.RandomRotation(0.03), layers.RandomZoom(0.08)))
    return Settings(((32,), (64,), (128,)), 15, 3e-3, (layers.RandomFlip("horizontal"),))


def network(chosen: Settings) -> cr.Sequential:
    """Blocks of 3 x 3 convolutions with batch normalisation, each block ending in pooling, then one dense layer."""
    model = cr.Sequential([cr.Input((28, 28, 1)), layers.Rescaling(1 / 255), *chosen.augmentation])
    for block in chosen.filters:
        for filters in block:
            model.add(layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal"))
            model.add(layers.BatchNormalization(momentum=0.9))
            model.add(layers.Activation("relu"))
        model.add(layers.MaxPooling2D())
    for layer in (layers.Flatten(), layers.Dropout(0.4), layers.Dense(10, activation="softmax")):
        model.add(layer)
    return model


def accuracy(name: str, seed: int, choose: bool) -> float:
    """Of one network, trained from a seed."""
    (x, y), (x_test, y_test) = getattr(datasets, name).load_data()
    x, x_test = x[..., None], x_test[..., None]
    if choose:
        x, x_test, y, y_test = x[:-HELD_OUT], x[-HELD_OUT:], y[:-HELD_OUT], y[-HELD_OUT:]
    chosen = settings(name)
    model = network(chosen)
    rate = schedules.CosineDecay(chosen.learning_rate, chosen.epochs * -(-len(x) // BATCH))
    model.compile(Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=BATCH, epochs=chosen.epochs, seed=seed)
    return model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("mnist", "fashion_mnist"))
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 (default: 3)")
    parser.add_argument("--choose", action="store_true", help="judge by held-out training images, not by the test set")
    given = parser.parse_args()
    found = []
    for seed in range(given.seeds):
        start = time.perf_counter()
        found.append(accuracy(given.data, seed, given.choose))
        print(f"{given.data}, seed {seed}: accuracy {found[-1]:.4f}, {time.perf_counter() - start:.0f} s", flush=True)
    print(f"{given.data}: mean {np.mean(found):.4f}, deviation {np.std(found):.4f} over {given.seeds} seeds")


if __name__ == "__main__":
    main()
