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
        epoch_key = random.fold_in(random.fold_in(key, 0), epoch)
        rows = random.permutation(epoch_key, self.count) if self.shuffle else jnp.arange(self.count)
        return jnp.concatenate([rows.astype(jnp.int32), jnp.zeros(self.steps * self.size - self.count, jnp.int32)])

    def full(self, data: Batch, order, step) -> Batch:
        """The batch of a step at its full size, padded rows marked where there may be some."""
        batch = _gather(data, lax.dynamic_slice(order, (step * self.size,), (self.size,)))
        if not self.rest or self.tail == "own":
            return batch
        return batch._replace(rows=step * self.size + jnp.arange(self.size) < self.count)

    def last(self, data: Batch, order) -> Batch:
        """The short last batch, at its own size."""
        return _gather(data, order[(self.steps - 1) * self.size : self.count])

    def ordered(self, data: Batch, step) -> Batch:
        """The batch of a step with the rows in their own order; beyond the end the last row is repeated and marked."""
        position = step * self.size + jnp.arange(self.size)
        batch = _gather(data, jnp.minimum(position, self.count - 1))
        return batch if not self.rest else batch._replace(rows=position < self.count)


def _gather(data: Batch, rows) -> Batch:
    take = lambda array: array.at[rows].get(mode="promise_in_bounds", unique_indices=False)
    gathered = jax.tree.map(take, data._replace(mean_weights=()))
    return gathered._replace(mean_weights=data.mean_weights)
