"""Keras: `fit` with its step compiled, on JAX or on PyTorch; or, on JAX, its own `train_step` in a `lax.scan`.

The loop over steps that `steps_per_execution` asks for runs in Python in Keras 3.15. A scan over steps has been merged
since (keras-team/keras, PR 23527); `scan` writes the same with the documented stateless `train_step`.
"""
import keras
import numpy as np
from jobs import ADAM_EPSILON, LEARNING_RATE
from keras import layers
from networks import EPSILON, KEPT, Convolution, Dense, Dropout, Embed, Flatten, Normalise, Pool, Recur, Relu

HELD_BATCH = 1000

LAYERS = {
    Dense: lambda part: layers.Dense(part.units, activation="relu" if part.relu else None),
    Convolution: lambda part: layers.Conv2D(part.filters, 3, activation="relu"),
    Pool: lambda part: layers.MaxPooling2D(),
    Flatten: lambda part: layers.Flatten(),
    Normalise: lambda part: layers.BatchNormalization(momentum=KEPT, epsilon=EPSILON),
    Relu: lambda part: layers.ReLU(),
    Dropout: lambda part: layers.Dropout(part.rate),
    Embed: lambda part: layers.Embedding(part.tokens, part.units),
    Recur: lambda part: layers.LSTM(part.units, return_sequences=True),
}


class KerasRun:
    """A `Sequential` and its `fit`."""

    def __init__(self, job, data, weights, precision):
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
        on_jax = keras.backend.backend() == "jax"
        self.job = job
        self.data = data if on_jax else data._replace(**{
            name: keras.ops.convert_to_tensor(array) for name, array in data._asdict().items() if array is not None})
        loss = keras.losses.BinaryCrossentropy if job.outputs == 1 else keras.losses.SparseCategoricalCrossentropy
        self.model = keras.Sequential([keras.Input(job.input_shape, dtype=str(data.x.dtype)),
                                       *(LAYERS[type(part)](part) for part in job.layers)])
        self.model.set_weights([array for layer in weights for array in layer])
        # What PyTorch runs under Keras goes step by step, and its own choice is not to compile.
        speed = {"jit_compile": True, "steps_per_execution": job.steps} if on_jax else {}
        self.model.compile(keras.optimizers.Adam(LEARNING_RATE, epsilon=ADAM_EPSILON), loss(from_logits=True),
                           metrics=["accuracy"] if job.held else None, **speed)

    def train(self, epochs):
        held = (self.data.x_held, self.data.y_held) if self.job.held else None
        self.model.fit(self.data.x, self.data.y, batch_size=self.job.batch_size, epochs=epochs, verbose=0,
                       validation_data=held, validation_batch_size=HELD_BATCH)

    def logits(self, x):
        return self.model.predict(x, batch_size=250, verbose=0).astype("float32")

    def predictors(self):
        return {
            "predict": lambda x: self.model.predict(x, batch_size=len(x), verbose=0),
            "predict_on_batch": self.model.predict_on_batch,
            "model(x)": lambda x: keras.ops.convert_to_numpy(self.model(x, training=False)),
        }


class KerasScanRun(KerasRun):
    """The same model, its `train_step` scanned over the batches of data that live on the device."""

    def __init__(self, job, data, weights, precision):
        import jax.numpy as jnp

        from peers.jax_epochs import Epochs

        super().__init__(job, data, weights, precision)
        # One batch makes the variables of metrics, and the optimiser's are made by hand.
        self.model.test_on_batch(data.x[: job.batch_size], data.y[: job.batch_size])
        self.model.reset_metrics()
        self.model.optimizer.build(self.model.trainable_variables)
        self.state = tuple([jnp.array(variable.value) for variable in group] for group in self._variables())
        self.epochs = Epochs(job, data, self._step, self._judge, self._without_metrics)

    def _variables(self):
        model = self.model
        return (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables,
                model.metrics_variables)

    def _without_metrics(self, state):
        return (*state[:3], [0 * value for value in state[3]])

    def _step(self, state, key, x, y):
        return self.model.train_step(state, (x, y))[1], None

    def _judge(self, state, x, y):
        trained, kept, _, zeros = self._without_metrics(state)
        return self.model.test_step((trained, kept, zeros), (x, y))[0]

    def train(self, epochs):
        self.state = self.epochs.train(self.state, epochs)

    def logits(self, x):
        for variables, values in zip(self._variables(), self.state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(np.asarray(value))
        return super().logits(x)


def make(job, data, weights, precision, scan=False):
    return (KerasScanRun if scan else KerasRun)(job, data, weights, precision)
