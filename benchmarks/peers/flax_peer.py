"""Flax (NNX): modules divided into their parts once, the loop of `jax_epochs`, optax's Adam."""
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jobs import ADAM_EPSILON, LEARNING_RATE
from networks import EPSILON, KEPT, Convolution, Dense, Dropout, Embed, Flatten, Normalise, Pool, Recur, Relu

from peers.jax_epochs import Epochs


class Sequences(nnx.Module):
    """An LSTM that starts from zeros; left to itself, RNN asks for random numbers there."""

    def __init__(self, part: Recur, **options):
        self.rnn = nnx.RNN(nnx.OptimizedLSTMCell(part.inputs, part.units, **options), rngs=False)

    def __call__(self, x):
        zeros = jnp.zeros((len(x), self.rnn.cell.hidden_features), x.dtype)
        return self.rnn(x, initial_carry=(zeros, zeros))


LAYERS = {
    Dense: lambda part, **options: [nnx.Linear(part.inputs, part.units, **options), *[nnx.relu] * part.relu],
    Convolution: lambda part, **options: [
        nnx.Conv(part.inputs, part.filters, (3, 3), padding="VALID", **options), nnx.relu],
    Pool: lambda part, **options: [lambda x: nnx.max_pool(x, (2, 2), (2, 2))],
    Flatten: lambda part, **options: [lambda x: x.reshape(len(x), -1)],
    Normalise: lambda part, **options: [nnx.BatchNorm(part.units, momentum=KEPT, epsilon=EPSILON, **options)],
    Relu: lambda part, **options: [nnx.relu],
    Dropout: lambda part, rngs, **options: [nnx.Dropout(part.rate, rngs=rngs)],
    Embed: lambda part, **options: [nnx.Embed(part.tokens, part.units, **options)],
    Recur: lambda part, **options: [Sequences(part, **options)],
}


def variables_of(layer) -> list:
    """In the order of Keras."""
    if isinstance(layer, Sequences):
        cell = layer.rnn.cell
        return [cell.dense_i.kernel, cell.dense_h.kernel, cell.dense_h.bias]
    if isinstance(layer, nnx.BatchNorm):
        return [layer.scale, layer.bias, layer.mean, layer.var]
    if isinstance(layer, nnx.Embed):
        return [layer.embedding]
    return [layer.kernel, layer.bias] if isinstance(layer, (nnx.Linear, nnx.Conv)) else []


class FlaxRun:
    """A module's definition, its parameters, and whatever else it holds."""

    def __init__(self, job, data, weights, precision):
        self.job = job
        rngs = nnx.Rngs(0)
        layers = [layer for part in job.layers
                  for layer in LAYERS[type(part)](part, rngs=rngs, dtype=jnp.dtype(precision))]
        model = nnx.Sequential(*layers)
        variables = [variable for layer in layers for variable in variables_of(layer)]
        for variable, array in zip(variables, [array for own in weights for array in own], strict=True):
            variable[...] = jnp.asarray(array)
        model.eval()
        self.judged = nnx.graphdef(model)
        model.train()
        self.trained, parameters, rest = nnx.split(model, nnx.Param, ...)
        self.optimizer = optax.adam(LEARNING_RATE, eps=ADAM_EPSILON)
        self.carry = parameters, rest, jax.jit(self.optimizer.init)(parameters)
        self.epochs = Epochs(job, data, self._step, self._judge)
        self.predict = jax.jit(self._predict)

    def _figures(self, logits, y):
        """The loss, and the accuracy where it is wanted."""
        logits = logits.astype(jnp.float32)
        if self.job.outputs == 1:
            return optax.sigmoid_binary_cross_entropy(logits[:, 0], y).mean(), None
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return loss, (logits.argmax(-1) == y).mean() if self.job.held else None

    def _predict(self, parameters, rest, x):
        return nnx.merge(self.judged, parameters, rest)(x)

    def _step(self, carry, key, x, y):
        parameters, rest, state = carry

        def loss(parameters):
            model = nnx.merge(self.trained, parameters, rest, copy=True)  # the copy may be changed here
            figures = self._figures(model(x), y)
            return figures[0], (nnx.split(model, nnx.Param, ...)[2], figures)

        gradients, (rest, figures) = jax.grad(loss, has_aux=True)(parameters)
        updates, state = self.optimizer.update(gradients, state)
        return (optax.apply_updates(parameters, updates), rest, state), figures

    def _judge(self, carry, x, y):
        return self._figures(self._predict(*carry[:2], x), y)

    def train(self, epochs):
        self.carry = self.epochs.train(self.carry, epochs)

    def logits(self, x):
        return np.asarray(self.predict(*self.carry[:2], x), "float32")

    def predictors(self):
        return {"jitted module": self.logits}


def make(job, data, weights, precision):
    return FlaxRun(job, data, weights, precision)
