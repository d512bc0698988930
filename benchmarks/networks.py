"""The layers of the jobs as plain descriptions, which every peer builds in its own way.

A description knows the weights that a layer starts from, in the layout of Keras, and the operations that it needs. All
peers start from these very weights, so that before the first step all have the same loss.
"""
from dataclasses import dataclass

import numpy as np

KEPT = 0.9  # of the moving statistics of batch normalisation, at each step
EPSILON = 1e-3  # added to the variance in batch normalisation


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, ...], inputs: int, outputs: int) -> np.ndarray:
    """Uniform between plus and minus sqrt(6 / (inputs + outputs))."""
    limit = (6 / (inputs + outputs)) ** 0.5
    return rng.uniform(-limit, limit, shape).astype("float32")


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Rows that are orthogonal to one another and have the length 1."""
    q, r = np.linalg.qr(rng.normal(size=(columns, rows)))
    return (q * np.sign(np.diag(r))).T.astype("float32")


@dataclass(frozen=True)
class Part:
    """What the layers without weights and without products have: nothing."""

    def initial(self, rng: np.random.Generator) -> list[np.ndarray]:
        """The weights before the first step."""
        return []

    @property
    def operations(self) -> int:
        """Multiplications and additions in products, for the forward pass of one example."""
        return 0


@dataclass(frozen=True)
class Dense(Part):
    """`x @ kernel + bias`, and ReLU where it is wanted; at each of several places (time steps) of an example."""

    inputs: int
    units: int
    relu: bool = False
    places: int = 1

    def initial(self, rng):
        return [glorot_uniform(rng, (self.inputs, self.units), self.inputs, self.units),
                np.zeros(self.units, "float32")]

    @property
    def operations(self):
        return 2 * self.inputs * self.units * self.places


@dataclass(frozen=True)
class Convolution(Part):
    """3 x 3 without padding, and ReLU: `size` is the height and the width of what comes out."""

    inputs: int
    filters: int
    size: int

    def initial(self, rng):
        return [glorot_uniform(rng, (3, 3, self.inputs, self.filters), 9 * self.inputs, 9 * self.filters),
                np.zeros(self.filters, "float32")]

    @property
    def operations(self):
        return 2 * 9 * self.inputs * self.filters * self.size**2


@dataclass(frozen=True)
class Pool(Part):
    """The largest of each 2 x 2 places."""


@dataclass(frozen=True)
class Flatten(Part):
    """All places and channels of an image in one row; `shape` is that of the image, channels last."""

    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Normalise(Part):
    """Batch normalisation."""

    units: int

    def initial(self, rng):
        zeros, ones = np.zeros(self.units, "float32"), np.ones(self.units, "float32")
        return [ones, zeros, zeros.copy(), ones.copy()]  # scale, shift, moving mean, moving variance


@dataclass(frozen=True)
class Relu(Part):
    """ReLU alone."""


@dataclass(frozen=True)
class Dropout(Part):
    """Zeroes this share of its inputs in training."""

    rate: float


@dataclass(frozen=True)
class Embed(Part):
    """A row of a table for each character; a lookup, so no products."""

    tokens: int
    units: int

    def initial(self, rng):
        return [rng.uniform(-0.05, 0.05, (self.tokens, self.units)).astype("float32")]


@dataclass(frozen=True)
class Recur(Part):
    """An LSTM over `steps` steps, from a state of zeros, that gives the hidden states of all steps."""

    inputs: int
    units: int
    steps: int

    def initial(self, rng):
        bias = np.zeros(4 * self.units, "float32")
        bias[self.units : 2 * self.units] = 1  # the forget gate, the second of input, forget, cell and output
        return [glorot_uniform(rng, (self.inputs, 4 * self.units), self.inputs, 4 * self.units),
                orthogonal(rng, self.units, 4 * self.units), bias]

    @property
    def operations(self):
        return 2 * (self.inputs + self.units) * 4 * self.units * self.steps


def training_operations(layers: tuple[Part, ...]) -> int:
    """For one example: forward, gradient of the weights, and gradient of the inputs, which the first layer needs not.

    Each of the three takes as many operations as the forward pass. What is done element by element (activations, loss,
    the optimiser) is not counted.
    """
    return sum(layer.operations * (3 if number else 2) for number, layer in enumerate(layers))


def forward_operations(layers: tuple[Part, ...]) -> int:
    """For one example, without gradients."""
    return sum(layer.operations for layer in layers)
