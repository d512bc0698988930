"""Small data and networks for populations."""
import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import Dense, Dropout


@pytest.fixture
def rows():
    """Sixty rows of two classes that a small network can tell apart."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype("float32")
    return x, (x[:, 0] + x[:, 1] > 0).astype("int32")


@pytest.fixture
def network():
    """Makes equal compiled networks."""
    def make(optimizer="adam", rate=0.2, l2=0.01, **settings):
        model = cr.Sequential([cr.Input((4,)), Dense(6, activation="relu", kernel_regularizer=cr.regularizers.L2(l2)),
                               Dropout(rate), Dense(2, activation="softmax")])
        model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"], **settings)
        return model

    return make
