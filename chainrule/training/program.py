"""The compiled loop: one program advances the state of a run by any number of steps.

The number of steps, the learning rate and every other number that a callback may change are arguments, never constants,
so nothing is compiled twice. The program is a pure function and takes a leading axis under `vmap`: a population is
many states and one program.
"""
import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from chainrule.devices import compiled, compiled_once
from chainrule.layers.binding import Tree
from chainrule.ops import random
from chainrule.training.batches import Batches
from chainrule.training.objective import Batch, Objective, apply_constraints, merge, split_frozen
from chainrule.training.statistics import follow

# How many epochs one call can report. Calls are sized to a fraction of a second, so this binds for tiny networks only.
LOG_CAPACITY = 1024


class RunState(NamedTuple):
    """Everything that decides the future of a run.

    Attributes:
        weights, state: of the network.
        optimizer: the optimiser's state.
        key: two words; each step and each epoch folds its number into it.
        epoch: the number of finished epochs.
        step: the number of finished steps in this epoch.
        order: the order of the rows in this epoch.
        sums: the metric sums of this epoch so far.
        not_finite: epoch and step of the first loss that was not finite; -1 where all were.
    """

    weights: Tree
    state: Tree
    optimizer: Any
    key: Any
    epoch: Any
    step: Any
    order: Any
    sums: Tree
    not_finite: Any


class Numbers(NamedTuple):
    """The numbers that may change between two calls of the program.

    Attributes:
        optimizer: the optimiser's hyperparameters by name.
        loss_weights: by output name.
        settings: replacements for plain numbers among layers' settings, by path.
    """

    optimizer: dict[str, Any]
    loss_weights: dict[str, Any]
    settings: dict[str, Any]


class Progress(NamedTuple):
    """What a call of the program reports beside the new state.

    Attributes:
        epochs: how many epochs ended in it.
        logs: their figures by name, one row an epoch, room for `LOG_CAPACITY`.
        running: the figures of the epoch that is under way.
    """

    epochs: Any
    logs: dict[str, Any]
    running: dict[str, Any]


@dataclass(frozen=True, eq=False)
class TrainingProgram:
    """A network, an optimiser and the division of the data, as functions of a run's state.

    Attributes:
        objective: loss and metrics.
        optimizer: the rule of update.
        batches: of the training data.
        validation: of the validation data; `None` where there is none.
        frozen: the paths of layers that are not trained.
        deterministic: whether a run repeats to the bit on a GPU too.
    """

    objective: Objective
    optimizer: Any
    batches: Batches
    validation: Batches | None = None
    frozen: frozenset[str] = frozenset()
    deterministic: bool = False

    def start(self, weights: Tree, state: Tree, optimizer_state, key, epoch=0) -> RunState:
        """The state at the beginning of an epoch."""
        return RunState(weights, state, optimizer_state, random.words(key), jnp.asarray(epoch, jnp.int32),
                        jnp.zeros((), jnp.int32), jnp.zeros(self.batches.places, jnp.int32),
                        self.objective.zeros(self.batches, training=True), jnp.full(2, -1, jnp.int32))

    def initial_optimizer_state(self, weights: Tree):
        """The optimiser's state before the first step."""
        return self.optimizer.init_beside(*split_frozen(weights, self.frozen))

    def step_key(self, run: RunState):
        """The key of the next step: a stream of its own beside that of the epochs' orders."""
        return random.fold_in(random.fold_in(run.key, 1), run.epoch * self.batches.steps + run.step)

    def update(self, run: RunState, numbers: Numbers, batch: Batch) -> RunState:
        """One step: the gradient of the batch's loss, and the optimiser's answer to it."""
        trained, kept = split_frozen(run.weights, self.frozen)
        key = self.step_key(run)

        def loss(trained):
            return self.objective.measure(merge(trained, kept), run.state, batch, run.sums, key=key, training=True,
                                          loss_weights=numbers.loss_weights, settings=numbers.settings)

        (value, (state, sums)), gradients = jax.value_and_grad(loss, has_aux=True)(trained)
        extra = {"value": value, "value_fn": lambda trained: loss(trained)[0]} if self.optimizer.needs_value else {}
        trained, optimizer = self.optimizer.update(gradients, run.optimizer, trained, numbers.optimizer, **extra)
        trained = apply_constraints(self.objective.network, trained)
        place = jnp.stack([run.epoch, run.step])
        first = (run.not_finite[0] < 0) & ~jnp.isfinite(value)
        return run._replace(weights=merge(trained, kept), state=state, optimizer=optimizer, sums=sums,
                            step=run.step + 1, not_finite=jnp.where(first, place, run.not_finite))

    def finish(self, run: RunState) -> RunState:
        """The state after training: an optimiser that keeps an average of the weights hands it over."""
        trained, kept = split_frozen(run.weights, self.frozen)
        return run._replace(weights=merge(self.optimizer.final_weights(trained, run.optimizer), kept))

    def step(self, run: RunState, numbers: Numbers, data: Batch) -> RunState:
        """The next step of the epoch that is under way."""
        return self.batches.with_batch(run.step, run.order, data, lambda batch: self.update(run, numbers, batch))

    def evaluate(self, weights: Tree, state: Tree, numbers: Numbers, data: Batch, batches: Batches) -> Tree:
        """The metric sums over data in its own order, nothing trained."""
        return self.objective.evaluate(
            weights, state, data, batches, self.objective.zeros(batches), 0, batches.steps,
            loss_weights=numbers.loss_weights, settings=numbers.settings)[1]

    def advance(self, run: RunState, numbers: Numbers, data: Batch, validation: Batch | None, steps,
                every=1, order_key=None) -> tuple[RunState, Progress]:
        """Go on by `steps` steps, over the ends of epochs; validate after every `every`-th epoch.

        `order_key` decides the orders of the rows in the place of the run's own key.
        """
        order_key = run.key if order_key is None else order_key
        names = self.objective.names()
        all_names = names + [f"val_{name}" for name in names] * (self.validation is not None)
        logs = {name: jnp.zeros(LOG_CAPACITY, self.objective.number) for name in all_names}
        zeros = self.objective.zeros(self.batches, training=True)
        results = functools.partial(self.objective.results, loss_weights=numbers.loss_weights)

        def unfinished(carry):
            _, _, epochs, done = carry
            return (done < steps) & (epochs < LOG_CAPACITY)

        def part_of_epoch(carry):
            run, logs, epochs, done = carry
            order, sums = lax.cond(
                run.step == 0, lambda: (self.batches.order(order_key, run.epoch, data.own), zeros),
                lambda: (run.order, run.sums))
            todo = jnp.minimum(steps - done, self.batches.steps - run.step)
            run = run._replace(order=order, sums=sums)
            run = lax.fori_loop(0, todo, lambda _, run: self.step(run, numbers, data), run)
            ended = run.step == self.batches.steps
            logs = lax.cond(ended, lambda: report(run, logs, epochs), lambda: logs)
            run = run._replace(epoch=run.epoch + ended, step=jnp.where(ended, 0, run.step))
            return run, logs, epochs + ended, done + todo

        def report(run, logs, row):
            figures = results(run.sums)
            if self.validation is not None:
                judge = lambda: results(self.evaluate(run.weights, run.state, numbers, validation, self.validation))
                skip = lambda: jax.tree.map(lambda figure: jnp.full_like(figure, jnp.nan), figures)
                held_out = lax.cond((run.epoch + 1) % every == 0, judge, skip)
                figures = figures | {f"val_{name}": figure for name, figure in held_out.items()}
            return {name: logs[name].at[row].set(figures[name].astype(logs[name].dtype)) for name in logs}

        run, logs, epochs, _ = lax.while_loop(unfinished, part_of_epoch, (run, logs, jnp.int32(0), jnp.int32(0)))
        return run, Progress(epochs, logs, results(run.sums))

    @functools.cached_property
    def compiled(self):
        """`advance`, compiled: once for each shape of data."""
        return compiled(self.advance, self.deterministic)

    @functools.cached_property
    def compiled_statistics(self):
        """The running statistics of weights that were not trained on, taken anew."""
        return compiled(functools.partial(follow, self), self.deterministic)

    @functools.cached_property
    def compiled_start(self):
        """`start` with the state of an optimiser before its first step: one program for all that a run begins with."""
        return compiled_once(lambda weights, state, key, epoch: self.start(
            weights, state, self.initial_optimizer_state(weights), key, epoch))

    @functools.cached_property
    def compiled_order(self):
        """The order of an epoch's rows, for a run that goes on within the epoch."""
        return compiled_once(self.batches.order)
