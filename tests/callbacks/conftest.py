"""A small network that is compiled once, and put back to its beginning before each fit."""
import jax
import numpy as np
import pytest
from helpers import two_moons

import chainrule as cr
from chainrule.data.source import Source
from chainrule.layers import BatchNormalization, Dense, Dropout
from chainrule.optimizers import Adam

X, Y = two_moons()
HELD = two_moons(rows=60, seed=1)


class Rows(Source):
    """The same rows, read chunk by chunk."""

    fits_in_memory, nbytes = False, X.nbytes

    def __len__(self):
        return len(X)

    def rows(self, indices):
        return X[indices], Y[indices]


class Trainer:
    """Fits one network again and again from the same beginning, with the programs it has compiled."""

    def __init__(self):
        layers = [Dense(8, activation="relu"), BatchNormalization(), Dropout(0.3), Dense(2, activation="softmax")]
        self.model = cr.Sequential([cr.Input((2,)), *layers])
        self.model.compile(Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
        self.start = jax.tree.map(np.asarray, self.model.variables(seed=3))

    def fit(self, *callbacks, streamed=False, begin=None, **settings):
        """7 steps an epoch, 6 epochs."""
        weights, optimizer, rate = begin or (self.start, None, 0.02)
        self.model.set_variables(*weights)
        self.model._compiled.optimizer_state = optimizer
        self.model.optimizer.learning_rate = rate
        data = (Rows(),) if streamed else (X, Y)
        usual = {"batch_size": 32, "epochs": 6, "verbose": 0, "seed": 3, "validation_data": HELD}
        return self.model.fit(*data, callbacks=list(callbacks), **usual | settings)

    def now(self):
        """The weights, the optimiser's state and the rate as they are."""
        copied = jax.tree.map(np.asarray, (self.model.variables(), self.model._compiled.optimizer_state))
        return *copied, self.model.optimizer.learning_rate


@pytest.fixture(scope="session")
def trainer():
    return Trainer()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr("chainrule.training.stream.CHUNK_BYTES", 800)  # three batches
