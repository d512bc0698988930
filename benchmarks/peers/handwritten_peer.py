"""The jobs as somebody who knows JAX would write them by hand: the yardstick for the cost of the engine.

The loop is that of `jax_epochs`, optax's Adam makes the updates. There are no callbacks and no weights of rows.
"""
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jobs import ADAM_EPSILON, LEARNING_RATE
from networks import EPSILON, KEPT, Convolution, Dense, Dropout, Embed, Flatten, Normalise, Pool, Recur, Relu

from peers.jax_epochs import Epochs


def dense(part, weights, x):
    y = x @ weights[0] + weights[1]
    return jax.nn.relu(y) if part.relu else y


def convolve(part, weights, x):
    y = lax.conv_general_dilated(x, weights[0], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(y + weights[1])


def pool(part, weights, x):
    """By a reshape, whose gradient XLA makes faster than that of `reduce_window`."""
    rows, height, width, channels = x.shape
    return x.reshape(rows, height // 2, 2, width // 2, 2, channels).max((2, 4))


def recur(part, weights, x):
    """An LSTM; the inputs of all steps meet the kernel in one product."""
    kernel, recurrent_kernel, bias = weights

    def step(carry, inputs):
        h, c = carry
        i, f, g, o = jnp.split(inputs + h @ recurrent_kernel, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((len(x), part.units), x.dtype)
    return lax.scan(step, (zeros, zeros), (x @ kernel + bias).swapaxes(0, 1))[1].swapaxes(0, 1)


def normalise(weights, moving, x, training):
    """Batch normalisation, and the moving statistics after it."""
    scale, shift = weights
    mean, variance = (x.mean(0), x.var(0)) if training else moving
    if training:
        moving = tuple(KEPT * old + (1 - KEPT) * new for old, new in zip(moving, (mean, variance), strict=True))
    return (x - mean) * (lax.rsqrt(variance + EPSILON) * scale) + shift, moving


PLAIN = {
    Dense: dense, Convolution: convolve, Pool: pool, Recur: recur,
    Flatten: lambda part, weights, x: x.reshape(len(x), -1),
    Relu: lambda part, weights, x: jax.nn.relu(x),
    Embed: lambda part, weights, x: weights[0][x],
}


def forward(parts, weights, moving, x, key=None, dtype=jnp.float32):
    """The logits and the new moving statistics; `key` is given in training."""
    weights = jax.tree.map(lambda array: array.astype(dtype), weights)
    x = x if jnp.issubdtype(x.dtype, jnp.integer) else x.astype(dtype)
    kept = []
    for number, part in enumerate(parts):
        statistics = moving[number]
        if isinstance(part, Normalise):
            x, statistics = normalise(weights[number], statistics, x, key is not None)
        elif isinstance(part, Dropout):
            if key is not None:
                keep = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - part.rate, x.shape)
                x = jnp.where(keep, x / (1 - part.rate), 0)
        else:
            x = PLAIN[type(part)](part, weights[number], x)
        kept.append(statistics)
    return x.astype(jnp.float32), kept


def cross_entropy(logits, y):
    """The mean over all rows, and steps where there are any."""
    if logits.shape[-1] == 1:
        return optax.sigmoid_binary_cross_entropy(logits[:, 0], y).mean()
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def figures_of(job, logits, y):
    """The loss, and the accuracy where it is wanted."""
    return cross_entropy(logits, y), (logits.argmax(-1) == y).mean() if job.held else None


class HandwrittenRun:
    """Weights, the optimiser's state, and the compiled functions that change them."""

    def __init__(self, job, data, weights, precision):
        self.job, self.dtype = job, jnp.dtype(precision)
        moving = [tuple(arrays[2:]) if isinstance(part, Normalise) else ()
                  for part, arrays in zip(job.layers, weights, strict=True)]
        trained = [arrays[: len(arrays) - len(kept)] for arrays, kept in zip(weights, moving, strict=True)]
        trained, moving = jax.tree.map(jnp.asarray, (trained, moving))
        self.optimizer = optax.adam(LEARNING_RATE, eps=ADAM_EPSILON)
        self.carry = trained, moving, jax.jit(self.optimizer.init)(trained)
        self.epochs = Epochs(job, data, self._step, self._judge)
        self.predict = jax.jit(lambda trained, moving, x: forward(job.layers, trained, moving, x, dtype=self.dtype)[0])

    def _step(self, carry, key, x, y):
        trained, moving, state = carry

        def loss(trained):
            logits, kept = forward(self.job.layers, trained, moving, x, key, self.dtype)
            figures = figures_of(self.job, logits, y)
            return figures[0], (kept, figures)

        gradients, (moving, figures) = jax.grad(loss, has_aux=True)(trained)
        updates, state = self.optimizer.update(gradients, state)
        return (optax.apply_updates(trained, updates), moving, state), figures

    def _judge(self, carry, x, y):
        return figures_of(self.job, forward(self.job.layers, *carry[:2], x, dtype=self.dtype)[0], y)

    def train(self, epochs):
        self.carry = self.epochs.train(self.carry, epochs)

    def logits(self, x):
        return np.asarray(self.predict(*self.carry[:2], x))

    def predictors(self):
        return {"jitted function": self.logits}


def make(job, data, weights, precision):
    return HandwrittenRun(job, data, weights, precision)
