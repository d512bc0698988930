"""Which rows make which batch: the order of an epoch, and the gather of a batch, inside the compiled program."""
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from chainrule.ops import random
from chainrule.training.objective import Batch, OwnRows


@dataclass(frozen=True)
class Batches:
    """The division of `count` rows into batches of `size`.

    Attributes:
        count: the rows of the data, or of each network where networks have rows of their own: then the most of any.
        shuffle: whether each epoch has an order of its own.
        tail: how a short last batch keeps its shape: `"mask"` pads it and says which rows are real, `"own"` gives it a
            step of its own shape. The first compiles one step, the second is exact for any layer.
        chunk: for data that come in pieces, the number of batches in a piece; 0 where all data are there. The rows of
            a piece stand in the order of the epoch already.
    """

    count: int
    size: int
    shuffle: bool = False
    tail: Literal["mask", "own"] = "mask"
    chunk: int = 0

    @property
    def steps(self) -> int:
        """The number of batches in an epoch."""
        return -(-self.count // self.size)

    @property
    def rest(self) -> int:
        """The rows of the short last batch; 0 where the last is full."""
        return self.count % self.size

    def chunk_end(self, step: int) -> int:
        """The step after the last of the piece of data that a step is in."""
        return min((step // self.chunk + 1) * self.chunk, self.steps) if self.chunk else self.steps

    def order(self, key, epoch, own: OwnRows | None = None) -> jax.Array:
        """The order of the rows in an epoch, padded to whole batches; empty where pieces stand in it already."""
        if not self.shuffle or self.chunk:
            return self.unshuffled(own)
        key = self._key_of_order(key, epoch)
        if own is None:
            return self._padded(random.permutation(key, self.count))
        return self._padded(own.rows[random.permutation(key, self.count, real=own.count)])

    def order_of_chunk(self, key, epoch, chunk) -> jax.Array:
        """The part of a shuffled epoch's order that a piece holds; what it says beyond the last row has no meaning."""
        size = self.chunk * self.size
        return random.permutation(self._key_of_order(key, epoch), self.count, chunk * size, size)

    def _key_of_order(self, key, epoch):
        return random.fold_in(random.fold_in(key, 0), epoch)

    @property
    def places(self) -> int:
        """How many entries an order has."""
        return 0 if self.chunk else self.steps * self.size

    def unshuffled(self, own: OwnRows | None = None) -> jax.Array:
        """The rows as they come, padded to whole batches; empty where data come in pieces."""
        if own is not None:
            return self._padded(own.rows)
        return jnp.zeros(0, jnp.int32) if self.chunk else self._padded(jnp.arange(self.count, dtype=jnp.int32))

    def _padded(self, rows):
        return jnp.concatenate([rows, jnp.zeros(self.places - self.count, jnp.int32)])

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
        last = lambda: use(self._take(data, rows, self.steps - 1, self.rest))
        if self.steps == 1:
            return last()
        return lax.cond(step == self.steps - 1, last, lambda: use(self.full(data, rows, step)))

    def full(self, data: Batch, rows, step) -> Batch:
        """The batch of a step at its full size, padded rows marked where there may be some."""
        batch = self._take(data, rows, step, self.size)
        if data.own is not None and data.own.count is not None:
            return batch._replace(rows=jnp.arange(self.size) < data.own.count - step * self.size)
        if not self.rest or self.tail == "own":
            return batch
        real = jnp.where(step == self.steps - 1, self.rest, self.size)  # counted in the batch, since data may be long
        return batch._replace(rows=jnp.arange(self.size) < real)

    def _take(self, data: Batch, rows, step, count: int) -> Batch:
        """The first `count` rows of the batch of a step."""
        if self.chunk:
            start = (step % self.chunk) * self.size
            take = lambda array: lax.dynamic_slice_in_dim(array, start, count)
        else:
            chosen = lax.dynamic_slice(rows, (step * self.size,), (count,))
            take = lambda array: array.at[chosen].get(mode="promise_in_bounds", unique_indices=False)
        taken = jax.tree.map(take, data._replace(mean_weights=(), own=None))
        return taken._replace(mean_weights=data.mean_weights)
