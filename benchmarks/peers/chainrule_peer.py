"""chainrule, as its README says."""
from jobs import ADAM_EPSILON, LEARNING_RATE
from networks import EPSILON, KEPT, Convolution, Dense, Dropout, Embed, Flatten, Normalise, Pool, Recur, Relu

import chainrule as cr
from chainrule import layers

LAYERS = {
    Dense: lambda part: layers.Dense(part.units, activation="relu" if part.relu else None),
    Convolution: lambda part: layers.Conv2D(part.filters, 3, activation="relu"),
    Pool: lambda part: layers.MaxPooling2D(),
    Flatten: lambda part: layers.Flatten(),
    Normalise: lambda part: layers.BatchNormalization(momentum=KEPT, epsilon=EPSILON),
    Relu: lambda part: layers.Activation("relu"),
    Dropout: lambda part: layers.Dropout(part.rate),
    Embed: lambda part: layers.Embedding(part.tokens, part.units),
    Recur: lambda part: layers.LSTM(part.units, return_sequences=True),
}


class ChainruleRun:
    """A `Sequential` and its `fit`."""

    def __init__(self, job, data, weights, precision, **compile_options):
        losses = cr.losses
        loss = losses.BinaryCrossentropy if job.outputs == 1 else losses.SparseCategoricalCrossentropy
        self.job, self.data, self.calls = job, data, 0
        settings = {} if precision == "float32" else {"dtype": f"mixed_{precision}"}
        self.model = cr.Sequential(
            [cr.Input(job.input_shape, dtype=str(data.x.dtype)), *(LAYERS[type(part)](part) for part in job.layers)],
            **settings)
        self.model.compile(cr.optimizers.Adam(LEARNING_RATE, epsilon=ADAM_EPSILON), loss(from_logits=True),
                           metrics=["accuracy"] if job.held else None, **compile_options)
        self.model.set_weights([array for layer in weights for array in layer])

    def train(self, epochs):
        held = (self.data.x_held, self.data.y_held) if self.job.held else None
        self.model.fit(self.data.x, self.data.y, batch_size=self.job.batch_size, epochs=epochs, verbose=0,
                       validation_data=held, seed=self.calls)
        self.calls += 1

    def logits(self, x):
        return self.model.predict(x)

    def predictors(self):
        return {"predict": self.model.predict}


def make(job, data, weights, precision, **compile_options):
    return ChainruleRun(job, data, weights, precision, **compile_options)
