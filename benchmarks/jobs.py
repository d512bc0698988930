"""The jobs: networks, their data, their batches, and how each is measured."""
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from networks import (
    Convolution,
    Dense,
    Dropout,
    Embed,
    Flatten,
    Normalise,
    Part,
    Pool,
    Recur,
    Relu,
    forward_operations,
    training_operations,
)

LEARNING_RATE, ADAM_EPSILON = 0.001, 1e-7
JUDGED_ROWS = 1000  # the loss is taken over that many rows of the training data
CHARACTERS, WINDOW = 64, 64


class Data(NamedTuple):
    """What a job is trained on; `x_held` and `y_held` are `None` where nothing is held out."""

    x: np.ndarray
    y: np.ndarray
    x_held: np.ndarray | None = None
    y_held: np.ndarray | None = None


@dataclass(frozen=True)
class Job:
    """One network and its training: Adam with a rate of 0.001, the cross-entropy of the outputs.

    Attributes:
        layers: from the inputs to the logits; one logit means two classes.
        rows: of the training data.
        held: rows that are held out; where there are some, each epoch ends with loss and accuracy on them, and accuracy
            is also counted in training.
        compared_epochs: after how many epochs the losses are compared.
        block_epochs: the most epochs of one measurement.
        tolerance: how much more or less than the others a variant may have learned, as a share of what they have; where
            it is `None`, to have learned something will do.
    """

    name: str
    layers: tuple[Part, ...]
    rows: int
    batch_size: int
    held: int = 0
    compared_epochs: int = 1
    block_epochs: int = 1
    tolerance: float | None = 0.05

    @property
    def kind(self) -> str:
        """`"convolution"`, `"recurrence"` or `"dense"`."""
        kinds = {Convolution: "convolution", Embed: "recurrence"}
        return kinds.get(type(self.layers[0]), "dense")

    @property
    def outputs(self) -> int:
        return self.layers[-1].units

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example."""
        return {"convolution": (28, 28, 1), "recurrence": (WINDOW,)}.get(self.kind) or (self.layers[0].inputs,)

    @property
    def steps(self) -> int:
        """Batches of an epoch, a short last one included."""
        return -(-self.rows // self.batch_size)

    @property
    def operations(self) -> int:
        """Needed for an epoch, in products alone."""
        return self.rows * training_operations(self.layers) + self.held * forward_operations(self.layers)

    @property
    def blind_loss(self) -> float:
        """The loss of who has learned nothing and finds all classes equally likely."""
        return float(np.log(max(self.outputs, 2)))

    def weights(self) -> list[list[np.ndarray]]:
        """What every peer starts from, layer by layer."""
        rng = np.random.default_rng(1)
        return [layer.initial(rng) for layer in self.layers]

    def data(self) -> Data:
        """The same for every peer."""
        make = {"convolution": images, "recurrence": characters, "dense": vectors}[self.kind]
        x, y = make(self, np.random.default_rng(0))
        cut = self.rows
        return Data(x[:cut], y[:cut], x[cut:], y[cut:]) if self.held else Data(x, y)


def vectors(job: Job, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Normal numbers, and the class whose direction they lie in most."""
    x = rng.standard_normal((job.rows + job.held, job.layers[0].inputs), "float32")
    scores = x @ rng.standard_normal((x.shape[1], job.outputs), "float32")
    return x, (scores.argmax(1) if job.outputs > 1 else scores[:, 0] > 0).astype("int32")


def images(job: Job, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A pattern for each class beneath noise."""
    patterns = rng.standard_normal((job.outputs, *job.input_shape), "float32")
    y = rng.integers(0, job.outputs, job.rows).astype("int32")
    return patterns[y] / 3 + rng.standard_normal((job.rows, *job.input_shape), "float32"), y


def characters(job: Job, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Windows of a text where each character is followed by one of four, and the same windows one character later."""
    followers = rng.integers(0, CHARACTERS, (CHARACTERS, 4))
    chosen = rng.choice(4, (job.rows, WINDOW), p=(0.55, 0.25, 0.15, 0.05))
    text = np.empty((job.rows, WINDOW + 1), "int32")
    text[:, 0] = rng.integers(0, CHARACTERS, job.rows)
    for step in range(WINDOW):
        text[:, step + 1] = followers[text[:, step], chosen[:, step]]
    return text[:, :-1].copy(), text[:, 1:].copy()


def loss(job: Job, logits: np.ndarray, y: np.ndarray) -> float:
    """The mean cross-entropy in nats, computed here for all peers."""
    logits = np.asarray(logits, "float64").reshape(*y.shape, job.outputs)
    if job.outputs == 1:
        signed = np.where(y > 0, -1.0, 1.0) * logits[..., 0]
        return float(np.logaddexp(0, signed).mean())
    shifted = logits - logits.max(-1, keepdims=True)
    chosen = np.take_along_axis(shifted, y[..., None], -1)[..., 0]
    return float((np.log(np.exp(shifted).sum(-1)) - chosen).mean())


def judged(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """The rows that the loss is taken over."""
    return data.x[:JUDGED_ROWS], data.y[:JUDGED_ROWS]


def perceptron(*widths: int) -> tuple[Part, ...]:
    """Dense layers with ReLU between them."""
    pairs = list(zip(widths, widths[1:], strict=False))
    return tuple(Dense(inputs, units, relu=number < len(pairs)) for number, (inputs, units) in enumerate(pairs, 1))


def normalised_perceptron(*widths: int, rate: float) -> tuple[Part, ...]:
    """The same with batch normalisation before each ReLU and dropout after it."""
    hidden = [part for inputs, units in zip(widths[:-2], widths[1:-1], strict=True)
              for part in (Dense(inputs, units), Normalise(units), Relu(), Dropout(rate))]
    return *hidden, Dense(widths[-2], widths[-1])


CONVOLUTIONAL = (Convolution(1, 32, 26), Convolution(32, 64, 24), Pool(), Flatten((12, 12, 64)),
                 Dense(9216, 128, relu=True), Dense(128, 10))
LANGUAGE = (Embed(CHARACTERS, 64), Recur(64, 256, WINDOW), Dense(256, CHARACTERS, places=WINDOW))
PREDICTED, FIRST = "784-500-300-10", "28-64-64-1"  # the jobs behind the figures of predict and of the first result

JOBS = {job.name: job for job in (
    Job("2-8-8-1", perceptron(2, 8, 8, 1), 500, 10, compared_epochs=20, block_epochs=400),
    Job(FIRST, perceptron(28, 64, 64, 1), 50_000, 256, compared_epochs=3, block_epochs=10),
    Job(PREDICTED, perceptron(784, 500, 300, 10), 60_000, 128, compared_epochs=2),
    Job("784-500-300-10 normalised", normalised_perceptron(784, 500, 300, 10, rate=0.3), 50_000, 128, held=10_000,
        compared_epochs=2),
    Job("convolutional", CONVOLUTIONAL, 12_800, 128),
    Job("LSTM", LANGUAGE, 6_400, 64),
)}
AT_BFLOAT16 = (PREDICTED, "convolutional", "LSTM")
_QUICK = {  # rows, and epochs after which something has been learned
    "2-8-8-1": (500, 10), FIRST: (5_000, 1), PREDICTED: (3_000, 1), "784-500-300-10 normalised": (3_000, 1),
    "convolutional": (256, 6), "LSTM": (128, 4)}


def quick(job: Job) -> Job:
    """The same with few rows, to see that all works; so few steps teach something, but not all the same."""
    rows, epochs = _QUICK[job.name]
    return replace(job, rows=rows, held=min(job.held, 1_000), compared_epochs=epochs,
                   block_epochs=min(job.block_epochs, 4), tolerance=None)
