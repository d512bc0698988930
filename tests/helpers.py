"""What several test files need: small data, small networks, and a counter of compilations."""
import contextlib
import json
import zipfile

import jax
import numpy as np

import chainrule as cr
from chainrule.layers import Dense


def two_moons(rows: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points in the plane and a class that no line separates."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2)).astype("float32")
    return x, (x[:, 0] * x[:, 1] > 0).astype("int32")


def classifier(*layers, inputs: int = 2, classes: int = 2, optimizer="adam", metrics=("accuracy",), **settings):
    """A small compiled network that ends in a softmax."""
    body = layers or (Dense(8, activation="relu"),)
    model = cr.Sequential([cr.Input((inputs,)), *body, Dense(classes, activation="softmax")], **settings)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=list(metrics))
    return model


@contextlib.contextmanager
def compilations():
    """Count the programs that XLA compiles inside the block: the list has one entry each."""
    found = []

    def listen(name, seconds, **_):
        if name == "/jax/core/compile/backend_compile_duration":
            found.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def assert_same_bytes(first, second) -> None:
    """Two structures of arrays are equal to the bit."""
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for one, two in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(two).tobytes()


def assert_close(first, second, **tolerance) -> None:
    """Two structures of arrays are equal to rounding."""
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for one, two in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(one, two, **tolerance)


def rewritten(path, change) -> None:
    """A model file with another description."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(members["model.json"])
    change(description)
    members["model.json"] = json.dumps(description).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
