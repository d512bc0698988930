"""scikit-learn's MLPClassifier: `partial_fit` of all rows is one epoch in a new order, by batches, Adam going on."""
import numpy as np
from jobs import ADAM_EPSILON, LEARNING_RATE
from networks import Dense
from sklearn.neural_network import MLPClassifier


class ScikitLearnRun:
    """One classifier; its weights are replaced before the first epoch."""

    def __init__(self, job, data, weights):
        self.job, self.data = job, data
        hidden = [part.units for part in job.layers[:-1] if isinstance(part, Dense)]
        self.model = MLPClassifier(hidden, alpha=0.0, batch_size=job.batch_size, learning_rate_init=LEARNING_RATE,
                                   epsilon=ADAM_EPSILON, random_state=0)
        classes = np.arange(max(job.outputs, 2))
        few = slice(job.batch_size)
        # Makes the arrays, and an optimiser to forget.
        self.model.partial_fit(data.x[few], data.y[few], classes=classes)
        del self.model._optimizer
        for number, (kernel, bias) in enumerate(weights):
            self.model.coefs_[number][...] = kernel
            self.model.intercepts_[number][...] = bias

    def train(self, epochs):
        for _ in range(epochs):
            self.model.partial_fit(self.data.x, self.data.y)

    def logits(self, x):
        share = np.log(np.maximum(self.model.predict_proba(x), 1e-30))
        return share[:, 1:] - share[:, :1] if self.job.outputs == 1 else share

    def predictors(self):
        return {"predict_proba": self.model.predict_proba}


def make(job, data, weights, precision):
    return ScikitLearnRun(job, data, weights)
