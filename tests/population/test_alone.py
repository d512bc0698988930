"""A member is what its network is when it is trained alone, with the same numbers, seed and order of rows."""
import jax
import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import (
    LSTM,
    Activation,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
)
from tests.helpers import assert_close, assert_same_bytes

ROUNDING = {"rtol": 2e-4, "atol": 2e-6}


def dense():
    return cr.Sequential([cr.Input((6,)), Dense(8, activation="relu"), Dense(3, activation="softmax")])


def normalised():
    return cr.Sequential([cr.Input((6,)), Dense(8), BatchNormalization(), Activation("relu"), Dropout(0.3),
                          Dense(3, activation="softmax")])


def convolution():
    return cr.Sequential([cr.Input((6, 6, 2)), Conv2D(4, 3, activation="relu"), MaxPooling2D(), Flatten(),
                          Dense(3, activation="softmax")])


def recurrent():
    return cr.Sequential([cr.Input((5, 2)), LSTM(6), Dense(3, activation="softmax")])


def shared_layers():
    first, second, layer = cr.Input((4,)), cr.Input((4,)), Dense(5, activation="tanh")
    joined = Concatenate()([layer(first), layer(second)])
    return cr.Model([first, second], Dense(3, activation="softmax")(joined))


def two_heads():
    inputs = cr.Input((6,))
    body = Dense(8, activation="relu")(inputs)
    return cr.Model(inputs, {"kind": Dense(3, activation="softmax")(body), "size": Dense(1)(body)})


class Subclassed(cr.Model):
    def __init__(self):
        super().__init__()
        self.body, self.head = Dense(8, activation="relu"), Dense(3, activation="softmax")

    def call(self, x):
        return self.head(self.body(x) + self.body(2 * x))


def compiled(model, optimizer="adam"):
    several = isinstance(model.output_shape, dict) if model.built else False
    model.compile(optimizer=optimizer,
                  loss={"kind": "sparse_categorical_crossentropy", "size": "mse"} if several
                  else "sparse_categorical_crossentropy",
                  metrics={"kind": ["accuracy"]} if several else ["accuracy"])
    return model


def data_for(name, rows=70, seed=0):
    rng = np.random.default_rng(seed)
    number = lambda *shape: rng.normal(size=(rows, *shape)).astype("float32")
    labels = rng.integers(0, 3, rows).astype("int32")
    x = {"convolution": lambda: number(6, 6, 2), "recurrent": lambda: number(5, 2),
         "shared_layers": lambda: [number(4), number(4)]}.get(name, lambda: number(6))()
    return x, {"kind": labels, "size": number(1)} if name == "two_heads" else labels


NETWORKS = {network.__name__: network for network in (
    dense, normalised, convolution, recurrent, shared_layers, two_heads, Subclassed)}


def held(population, member):
    weights, state, _ = population._store.variables(member)
    return weights, state


@pytest.mark.parametrize("name", NETWORKS)
def test_a_member_is_what_it_is_alone(name):
    x, y = data_for(name)
    population = cr.Population(compiled(NETWORKS[name]()), 3, learning_rate=[0.01, 0.003, 0.001])
    settings = {"epochs": 3, "batch_size": 16, "validation_split": 0.2, "verbose": 0}
    history = population.fit(x, y, seed=5, **settings)
    for member, rate in enumerate([0.01, 0.003, 0.001]):
        alone = compiled(NETWORKS[name](), cr.optimizers.Adam(rate))
        expected = alone.fit(x, y, seed=5 + member, **settings)
        assert_close(jax.tree.leaves(held(population, member)), jax.tree.leaves(alone.variables()), **ROUNDING)
        assert list(history.of(member)) == list(expected.history)
        for figure, values in expected.history.items():
            np.testing.assert_allclose(history.of(member)[figure], values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["dense", "normalised", "convolution", "recurrent"])
def test_a_member_does_not_depend_on_its_company(name):
    x, y = data_for(name)
    several, four = (cr.Population(compiled(NETWORKS[name]()), size, seed=3) for size in (2, 4))
    for population in (several, four):
        population.fit(x, y, epochs=2, batch_size=16, verbose=0)
    for member in range(2):
        assert_same_bytes(held(several, member), held(four, member))
