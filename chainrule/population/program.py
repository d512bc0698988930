"""The training program with a leading axis: members are many states of a run, and one program advances them all."""
import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from chainrule.devices import compiled, compiled_once
from chainrule.layers.binding import Tree
from chainrule.training.objective import Batch
from chainrule.training.program import Progress, RunState, TrainingProgram


@dataclass(frozen=True, eq=False)
class PopulationProgram:
    """A training program over members.

    Attributes:
        program: of one network.
        axes, validation_axes: which arrays of the data have an axis of members.
        shares_order: whether all members see the rows in one order.
    """

    program: TrainingProgram
    axes: Batch
    validation_axes: Batch | None
    shares_order: bool

    @property
    def run_axes(self) -> RunState:
        """Everything but the place in the epoch has an axis of members, and the order where each has its own.

        The place has none, so that the conditions of the program's loops stay single numbers.
        """
        order = None if self.shares_order and self.axes.own is None else 0
        return RunState(weights=0, state=0, optimizer=0, key=0, epoch=None, step=None, order=order, sums=0,
                        not_finite=0)

    @functools.cached_property
    def advance(self):
        """`TrainingProgram.advance` of all members, compiled once for each number of them."""
        axes = (self.run_axes, 0, self.axes, self.validation_axes, None, None, None)
        many = jax.vmap(self.program.advance, in_axes=axes, out_axes=(self.run_axes, Progress(None, 0, 0)))
        return compiled(many, self.program.deterministic)

    @functools.cached_property
    def start(self):
        """The states before the first step."""
        return compiled_once(jax.vmap(self.program.start, in_axes=(0, 0, 0, 0, None), out_axes=self.run_axes))

    @functools.cached_property
    def finish(self):
        """`TrainingProgram.finish` of all members."""
        return compiled_once(jax.vmap(self.program.finish, in_axes=(self.run_axes,), out_axes=self.run_axes))


@functools.partial(jax.jit, donate_argnums=2)
def chosen(which, new: Tree, old: Tree) -> Tree:
    """The arrays of `new` for some members, of `old` for the others."""
    pick = lambda one, other: jnp.where(which.reshape(which.shape + (1,) * (one.ndim - 1)), one, other)
    return jax.tree.map(pick, new, old)
