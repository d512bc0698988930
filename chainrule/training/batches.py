"""Which rows make which batch: the order of an epoch, and the gather of a batch, inside the compiled program."""
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from chainrule.ops import random
from chainrule.training.objective import Batch


@dataclass(frozen=True)
class Batches:
    """The division of `count` rows into batches of `size`.

    Attributes:
        shuffle: whether each epoch has an order of its own.
        tail: how a short last batch keeps its shape: `"mask"` pads it and says which rows are real, `"own"` gives it a
            step of its own shape. The first compiles one step, the second is exact for any layer.
    """

    count: int
    size: int
    shuffle: bool = False
    tail: Literal["mask", "own"] = "mask"

    @property
    def steps(self) -> int:
        """The number of batches in an epoch."""
        return -(-self.count // self.size)

    @property
    def rest(self) -> int:
        """The rows of the short last batch; 0 where the last is full."""
        return self.count % self.size

    def order(self, key, epoch) -> jax.Array:
        """The order of the rows in an epoch, padded to whole batches."""
        if not self.shuffle:
            return self.unshuffled()
        return self._padded(random.permutation(random.fold_in(random.fold_in(key, 0), epoch), self.count))

    def unshuffled(self) -> jax.Array:
        """The rows as they come, padded to whole batches."""
        return self._padded(jnp.arange(self.count, dtype=jnp.int32))

    def _padded(self, rows):
        return jnp.concatenate([rows, jnp.zeros(self.steps * self.size - self.count, jnp.int32)])

    def with_batch(self, step, rows, data: Batch, use):
        """Use the batch of a step: `use(batch)`, compiled for the short last batch too where that has its own shape.

        Args:
            step: the number of the batch.
            rows: all rows in their order, as `order` returns them.
            data: where the rows are taken from.
            use: a function of a batch.
        """
        if not self.rest or self.tail == "mask":
            return use(self.full(data, rows, step))
        last = lambda: use(_gather(data, rows[(self.steps - 1) * self.size : self.count]))
        if self.steps == 1:
            return last()
        return lax.cond(step == self.steps - 1, last, lambda: use(self.full(data, rows, step)))

    def full(self, data: Batch, rows, step) -> Batch:
        """The batch of a step at its full size, padded rows marked where there may be some."""
        batch = _gather(data, lax.dynamic_slice(rows, (step * self.size,), (self.size,)))
        if not self.rest or self.tail == "own":
            return batch
        return batch._replace(rows=step * self.size + jnp.arange(self.size) < self.count)


def _gather(data: Batch, rows) -> Batch:
    take = lambda array: array.at[rows].get(mode="promise_in_bounds", unique_indices=False)
    gathered = jax.tree.map(take, data._replace(mean_weights=()))
    return gathered._replace(mean_weights=data.mean_weights)
