"""The host side of a population's fit: groups of members, calls of their program, and who stops when."""
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from chainrule.population.data import MemberData
from chainrule.population.history import PopulationHistory
from chainrule.population.program import PopulationProgram, chosen
from chainrule.population.stopping import MemberStopping
from chainrule.population.store import Store
from chainrule.training.events import Events
from chainrule.training.fit import Pace
from chainrule.training.interruption import Interruption
from chainrule.training.program import Numbers, RunState

FEWEST_PLACES = 2  # of a program: one for a single member would save less than it takes to compile


@dataclass
class Course:
    """What holds for all groups of a fit.

    Attributes:
        store: where members' arrays come from and go to.
        numbers: the hyperparameters of some members.
        keys: the keys of all members, two words each.
        order_key: what decides the order that all share; `None` where each member has its own.
        first, epochs: the number of the first epoch, and where to end.
        every: validate after every so many epochs.
        names: the figures of training; with `val_` before them those of validation.
        validates: whether there is something to validate on.
        history: what receives the figures.
        stopping: early stopping; `None` where there is none.
        pace: how many steps to take in a call, kept by program and number of members.
    """

    store: Store
    numbers: Callable[[np.ndarray], Numbers]
    keys: np.ndarray
    order_key: np.ndarray | None
    first: int
    epochs: int
    every: int
    names: list[str]
    validates: bool
    history: PopulationHistory
    stopping: MemberStopping | None
    pace: dict[Any, Pace]

    @property
    def restores(self) -> bool:
        """Whether members end with their best weights."""
        return self.stopping is not None and self.stopping.callback.restore_best_weights

    def figures_due(self, epoch: int) -> list[str]:
        """The names of the figures that an epoch has."""
        due = self.validates and (epoch + 1) % self.every == 0
        return self.names + [f"val_{name}" for name in self.names] * due


@dataclass(eq=False)
class Group:
    """Members that one program trains.

    Attributes:
        course: what holds for all groups.
        program: what advances them.
        data, validation: of all members.
        members: the member in each place of the program. A place may be filled up by another's copy.
        alive: which places are to be trained on: not those that have stopped, nor those that fill up.
        run: the state that was reached; `None` before the first call.
        best: weights and state of the best epoch of each place, where they are to be restored.
    """

    course: Course
    program: PopulationProgram
    data: MemberData
    validation: MemberData | None
    members: np.ndarray
    alive: np.ndarray
    run: RunState | None = None
    best: Any = None
    _given: Any = field(default=None, repr=False)

    def begin(self) -> None:
        """Bring the members to the device."""
        course = self.course
        weights, state, optimizer = course.store.take(self.members)
        self.run = self.program.start(weights, state, optimizer, course.keys[self.members], np.int32(course.first))
        if course.restores:
            self.best = jax.tree.map(jax.numpy.copy, (self.run.weights, self.run.state))
        self._gather()

    def _gather(self) -> None:
        """The arguments of the program that belong to the members in it."""
        data, _ = self.data.of(self.members)
        validation = None if self.validation is None else self.validation.of(self.members)[0]
        self._given = self.course.numbers(self.members), data, validation

    def train(self, until: int, interruption: Interruption, told: Callable) -> None:
        """Train to the end of an epoch, or until all members have stopped or a signal came."""
        while self.alive.any() and int(self.run.epoch) < until and not interruption.asked:
            self._go_on(until)
            told(self)

    @property
    def epoch(self) -> int:
        """The number of epochs that are over."""
        return self.course.first if self.run is None else int(self.run.epoch)

    def _go_on(self, until: int) -> None:
        """One call of the program, and what follows from it."""
        course, run = self.course, self.run
        epoch, step, an_epoch = int(run.epoch), int(run.step), self.program.program.batches.steps
        left = (1 if course.stopping is not None else until - epoch) * an_epoch - step
        pace = course.pace.setdefault((id(self.program), len(self.members)), Pace())
        steps = max(1, min(pace.steps, left))
        start = time.perf_counter()
        after, progress = self._advance(run, steps)
        jax.block_until_ready(progress)
        pace.learn(steps, time.perf_counter() - start)
        failed_at = np.asarray(after.not_finite)
        failed = (failed_at[:, 0] >= 0) & self.alive
        if failed.any():
            self._keep_failed(run, failed_at, failed)
        self.run = after
        ended = int(progress.epochs)
        logs = {name: np.asarray(values) for name, values in progress.logs.items()} if ended else {}
        for line in range(ended):
            lived = self.alive | (failed & (failed_at[:, 0] > epoch + line))
            figures = {name: logs[name][lived, line] for name in course.figures_due(epoch + line)}
            course.history.add(epoch + line, figures, self.members[lived])
        if ended and course.stopping is not None:
            self._stop(epoch)
        self._close_ranks()

    def _advance(self, run: RunState, steps: int):
        numbers, data, validation = self._given
        return self.program.advance(run, numbers, data, validation, np.int32(steps), np.int32(self.course.every),
                                    self.course.order_key)

    def _keep_failed(self, run: RunState, failed_at: np.ndarray, failed: np.ndarray) -> None:
        """Give members whose loss was not finite the weights from before that step.

        The program is deterministic: its steps are taken again up to each of theirs, so that nothing has to be kept
        for this while all goes well.
        """
        an_epoch = self.program.program.batches.steps
        taken = lambda epoch, step: epoch * an_epoch + step
        for at in sorted({(int(epoch), int(step)) for epoch, step in failed_at[failed]}):
            steps = taken(*at) - taken(int(run.epoch), int(run.step))
            if steps:
                run, _ = self._advance(run, steps)
            places = np.flatnonzero(failed & (failed_at == at).all(axis=1))
            self._keep(places, run)
        self.course.history.failed[self.members[failed]] = True
        self.alive = self.alive & ~failed

    def _stop(self, epoch: int) -> None:
        """Let early stopping decide after an epoch."""
        course, places = self.course, np.flatnonzero(self.alive)
        line = course.history.line(epoch)
        figures = {name: line.get(name, np.full(course.history.size, np.nan))[self.members[places]]
                   for name in course.figures_due(epoch)}
        improved, stops = course.stopping.take(epoch, figures, self.members[places])
        if course.restores and improved.any():
            which = np.zeros(len(self.members), bool)
            which[places[improved]] = True
            self.best = chosen(which, (self.run.weights, self.run.state), self.best)
        if stops.any():
            self._keep(places[stops], self.program.finish(self.run))
            self.alive[places[stops]] = False

    def keep(self) -> None:
        """Put the arrays of the members that are still trained into the store."""
        if self.run is not None and self.alive.any():
            self._keep(np.flatnonzero(self.alive), self.program.finish(self.run))

    def _keep(self, places: np.ndarray, run: RunState) -> None:
        members, course = self.members[places], self.course
        course.store.put(members, run.weights, run.state, run.optimizer, places)
        if course.restores:
            known = course.stopping.best_epoch[members] >= 0
            course.store.put(members[known], *self.best, places=places[known])

    def _close_ranks(self) -> None:
        """Go on with half the places, or a quarter, as soon as those that are still trained fit there."""
        alive, size = np.flatnonzero(self.alive), len(self.members)
        while len(alive) <= (half := -(-size // 2)) and size > FEWEST_PLACES:
            size = half
        if not len(alive) or size == len(self.members):
            return
        places = np.resize(alive, size)
        order = self.program.run_axes.order
        move = lambda tree: jax.tree.map(lambda array: array[places], tree)
        run = self.run
        self.run = RunState(move(run.weights), move(run.state), move(run.optimizer), run.key[places], run.epoch,
                            run.step, run.order if order is None else run.order[places], move(run.sums),
                            run.not_finite[places])
        self.best = move(self.best)
        self.members, self.alive = self.members[places], np.arange(size) < len(alive)
        self._gather()


@dataclass
class PopulationFit:
    """One fit of a population under way.

    Attributes:
        course: what holds for all groups.
        groups: the members, divided.
        events: the callbacks, told of epochs.
        population: has `stop_training`.
        progress: what shows how far it is.
    """

    course: Course
    groups: list[Group]
    events: Events
    population: Any
    progress: Any

    def run(self) -> None:
        """Train to the end; on Ctrl-C too, members keep what they have reached."""
        self.progress.begin()
        self.events.on_train_begin()
        with Interruption() as interruption:
            try:
                if self.events.callbacks:
                    self._epoch_by_epoch(interruption)
                else:
                    for group in self.groups:
                        self._train(group, self.course.epochs, interruption)
            finally:
                self._end()
        interruption.raise_if_asked("Training was stopped; the members keep the weights that they had reached.")
        self.progress.end()
        self.events.on_train_end(logs=self._last())

    def _train(self, group: Group, until: int, interruption: Interruption) -> None:
        if interruption.asked:
            return
        group.begin()
        group.train(until, interruption, self._told)
        group.keep()
        group.run = group.best = None  # so that the next group finds the memory free

    def _epoch_by_epoch(self, interruption: Interruption) -> None:
        """All groups in step, because somebody wants to see each epoch of all members."""
        for group in self.groups:
            group.begin()
        for epoch in range(self.course.first, self.course.epochs):
            self.events.on_epoch_begin(epoch)
            for group in self.groups:
                group.train(epoch + 1, interruption, self._told)
            if interruption.asked or epoch not in self.course.history.epoch:
                return
            for group in self.groups:
                group.keep()
            self.events.on_epoch_end(epoch, logs=self.course.history.line(epoch))
            if self.population.stop_training or not any(group.alive.any() for group in self.groups):
                return

    def _told(self, group: Group) -> None:
        self.progress.advance(self.groups, self.groups.index(group))

    def _end(self) -> None:
        """Bring everything home, however the fit ended."""
        for group in self.groups:
            group.keep()
        self.progress.close()
        self.events.close()
        history, stopping = self.course.history, self.course.stopping
        if stopping is not None:
            history.best_epoch, history.stopped_epoch = stopping.best_epoch, stopping.stopped_epoch
        if history.failed.any():
            warnings.warn(_failure(history), UserWarning, stacklevel=5)

    def _last(self) -> dict[str, np.ndarray]:
        history = self.course.history
        return history.line(history.epoch[-1]) if history.epoch else {}


def _failure(history: PopulationHistory) -> str:
    """Who failed, and what helps."""
    numbers = np.flatnonzero(history.failed)
    names = ", ".join(map(str, numbers[:10])) + ", ..." * (len(numbers) > 10)
    one = len(numbers) == 1
    return (f"The loss of {len(numbers)} of {history.size} members was not finite (member{'s' * (not one)} {names}). "
            f"{'It keeps its' if one else 'They keep their'} weights from before that step, and the others were "
            f"trained on. A smaller learning rate or gradient clipping (clipnorm=1.0) usually helps.")
