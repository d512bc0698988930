"""Epochs in JAX, for those who write their own: a `lax.scan` over batches of data that live on the device.

A short last batch is dropped. The convolutional job goes step by step instead, because XLA's convolutions are two to
three times slower inside a loop on CPUs.
"""
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

HELD_BATCH = 1000


class Epochs:
    """A training loop over a carry.

    Attributes:
        step: `(carry, key, x, y) -> (carry, figures)` for one batch.
        judge: `(carry, x, y) -> figures` for one batch that is held out.
        begin: what an epoch does to the carry before its first step.
    """

    def __init__(self, job, data, step, judge, begin=lambda carry: carry):
        self.job, self.data, self.epoch = job, jax.tree.map(jnp.asarray, data), 0
        self.step, self.judge, self.begin = step, judge, begin
        self.steps = job.rows // job.batch_size
        self.key = jax.random.key(0, impl="rbg")  # its random bits cost less than those of the default
        self.scanned = jax.jit(self._scanned, donate_argnums=0)
        self.one_step = jax.jit(self._step, donate_argnums=0)

    def train(self, carry, epochs: int):
        """The carry after so many more epochs."""
        if self.job.kind == "convolution":
            for epoch in range(self.epoch, self.epoch + epochs):
                order = np.random.default_rng(epoch).permutation(self.job.rows)
                for number in range(self.steps):
                    rows = order[number * self.job.batch_size : (number + 1) * self.job.batch_size]
                    carry, figures = self.one_step(carry, self.key, rows, self.data)
        else:
            carry, figures = self.scanned(carry, self.key, self.epoch, epochs, self.data)
        self.epoch += epochs
        jax.block_until_ready((carry, figures))
        return carry

    def _step(self, carry, key, rows, data):
        return self.step(carry, key, data.x[rows], data.y[rows])

    def _scanned(self, carry, key, first, count, data):
        def step(carry, step_and_rows):
            number, rows = step_and_rows
            carry, own = carry
            carry, figures = self._step(carry, jax.random.fold_in(own, number), rows, data)
            return (carry, own), figures

        def epoch(number, carry_and_figures):
            own = jax.random.fold_in(key, number)
            order = jax.random.permutation(own, self.job.rows)[: self.steps * self.job.batch_size]
            batches = jnp.arange(self.steps), order.reshape(self.steps, -1)
            (carry, _), figures = lax.scan(step, (self.begin(carry_and_figures[0]), own), batches)
            return carry, (jax.tree.map(lambda figure: figure.mean(0), figures), self._judged(carry, data))

        shapes = jax.eval_shape(lambda carry: epoch(0, (carry, None))[1], carry)
        figures = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        return lax.fori_loop(first, first + count, epoch, (carry, figures))

    def _judged(self, carry, data):
        """The figures of what is held out."""
        if not self.job.held:
            return None
        batches = [array.reshape(-1, HELD_BATCH, *array.shape[1:]) for array in (data.x_held, data.y_held)]
        figures = lax.map(lambda batch: self.judge(carry, *batch), tuple(batches))
        return jax.tree.map(lambda figure: figure.mean(0), figures)
