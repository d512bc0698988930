"""Small data and builders for searches."""
import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import Dense, Dropout


@pytest.fixture
def rows():
    """A hundred rows of two classes that a small network can tell apart."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 4)).astype("float32")
    return x, (x[:, 0] * x[:, 1] > 0).astype("int32")


@pytest.fixture
def build():
    """Builds networks whose width and activation decide shapes."""
    def build(units=6, activation="tanh", dropout=0.1, rate=0.01):
        model = cr.Sequential([cr.Input((4,)), Dense(units, activation=activation), Dropout(dropout),
                               Dense(2, activation="softmax")])
        model.compile(cr.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    return build
