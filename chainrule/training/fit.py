"""The host side of a fit: calls of the compiled program, and between them the callbacks."""
import time
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from chainrule.errors import NotFiniteError
from chainrule.layers.binding import Call
from chainrule.training.events import Events
from chainrule.training.interruption import Interruption
from chainrule.training.objective import Batch
from chainrule.training.predict import Evaluation
from chainrule.training.program import Numbers, Progress, RunState, TrainingProgram
from chainrule.training.statistics import averaged_statistics
from chainrule.training.stream import Stream

# How long one call of the program should take: short enough for Ctrl-C and progress, long enough to cost nothing.
SEGMENT_SECONDS = 0.5


@dataclass
class Pace:
    """How many steps the next call should take, learned from those before.

    The first call takes one step, because it includes the compilation; the second a few, to measure.

    Attributes:
        steps: of the next call.
        calls: made so far.
    """

    steps: int = 1
    calls: int = field(default=0)

    def learn(self, steps: int, seconds: float) -> None:
        """Take in how long a call took."""
        self.calls += 1
        if self.calls == 1:
            self.steps = 8
        else:
            wanted = steps * SEGMENT_SECONDS / max(seconds, 1e-6)
            self.steps = int(min(max(wanted, 1), 64 * self.steps, 2**30))


@dataclass
class Fit:
    """One fit under way.

    Attributes:
        model: told to hold the present arrays before callbacks see it.
        program: the compiled loop.
        data, validation: on the device, or streams.
        events: the callbacks.
        epochs: where to end.
        validation_every: validate after every so many epochs.
        pace: kept between fits of the same program.
        judge: the evaluation of validation data that are streamed.
        keeper: what keeps the run in a folder: `restore`, `between` and `at_end` of a `chainrule.runs.Keeper`.
        figures: of the last epoch that ended.
        reached: the state that was reached last; the model holds it when the fit ends, however it ends.
    """

    model: Any
    program: TrainingProgram
    data: Batch | Stream
    validation: Batch | Stream | None
    events: Events
    epochs: int
    validation_every: int
    pace: Pace
    judge: Evaluation | None = None
    keeper: Any = None
    figures: dict[str, float] = field(default_factory=dict)
    reached: RunState | None = None

    def run(self, run: RunState) -> RunState:
        """Train to the end, or until a callback or a signal stops it; the state that is reached."""
        run = self._told(run, self.events.on_train_begin)
        if self.keeper is not None:
            run = self.keeper.restore(self, run)
        self.reached = run
        with Interruption(terminates=self.keeper is not None) as interruption:
            try:
                while int(self.reached.epoch) < self.epochs and not self.model.stop_training and not interruption.asked:
                    self._go_on(self.reached)
                    if self.keeper is not None:
                        self.keeper.between(self, self.reached)
                if self.keeper is not None:
                    self.keeper.at_end(self, self.reached)
                interruption.raise_if_asked(self._interrupted())
                trained = self.reached
                self.reached = self.program.finish(trained)
            finally:
                self.events.close()
                self.model.hold_run(self.reached)
        run = self._told(self.reached, self.events.on_train_end, logs=self.figures)
        if self._has_average(trained, run) or any(callback.stale_statistics for callback in self.events.callbacks):
            run = run._replace(state=averaged_statistics(self.program, run, self.numbers(), self.data))
            self.model.hold_run(run)
        return run

    def _has_average(self, trained: RunState, run: RunState) -> bool:
        """Whether the run ends with the average that its optimiser kept, which no callback has replaced."""
        steps = self._taken(int(trained.epoch), int(trained.step))
        averaged = steps > 0 and not _are_same(trained.weights, self.reached.weights)
        return averaged and _are_same(self.reached.weights, run.weights)

    def _go_on(self, run: RunState) -> None:
        """One call of the program, the callbacks told of what happens before, in and after it."""
        events, epoch, step = self.events, int(run.epoch), int(run.step)
        if step == 0:
            self.reached = run = self._told(run, events.on_epoch_begin, epoch)
            if self.model.stop_training:
                return
        run = self._told_of_step(run, "on_train_batch_begin", self._taken(epoch, step), step)
        after, progress = self._advance(run, self._segment(epoch, step))
        if np.asarray(after.not_finite)[0] >= 0:
            steps = self._finite_steps(run, after)
            if not steps:
                self.reached = run
                self._end_not_finite(run)
                return
            after, progress = self._advance(run, steps)
        self.reached = run = after
        ended, step = int(progress.epochs), int(run.step)
        taken = self._taken(epoch + ended, step)
        if step == 0:
            run = self._told_of_step(run, "on_train_batch_end", taken, self.program.batches.steps - 1, progress)
        logs = jax.device_get(progress.logs) if ended else {}
        for row in range(ended):
            figures = {name: logs[name][row] for name in logs} | self._judged(run, epoch + row)
            self.figures = self._figures(epoch + row, figures)
            run = self._end_epoch(run, epoch + row, self.figures, goes_on=row < ended - 1 or step > 0)
        if step > 0:
            run = self._told_of_step(run, "on_train_batch_end", taken, step - 1, progress)
        self.reached = self._told_of_segment(run, epoch + ended, self.figures if step == 0 else self._running(progress))

    def _interrupted(self) -> str:
        """What the end by a signal says."""
        text = f"Training was stopped in epoch {int(self.reached.epoch) + 1} of {self.epochs}."
        if self.keeper is None:
            return text
        return f"{text} It is saved: fit(..., run={str(self.keeper.run.folder)!r}, resume=True) goes on."

    def _taken(self, epoch: int, step: int) -> int:
        """How many steps come before a step of an epoch."""
        return epoch * self.program.batches.steps + step

    def _segment(self, epoch: int, step: int) -> int:
        """The number of steps for the next call."""
        left = self._taken(self.epochs, 0) - self._taken(epoch, step)
        to_next = self.events.steps_to_next(self._taken(epoch, step))
        streams = isinstance(self.validation, Stream) or isinstance(self.data, Stream)
        if self.events.watched or streams:
            left = self.program.batches.chunk_end(step) - step
        return max(1, min(self.pace.steps, left, left if to_next is None else to_next))

    def _advance(self, run: RunState, steps: int) -> tuple[RunState, Progress]:
        data = self._data_at(run)
        validation = None if isinstance(self.validation, Stream) else self.validation
        start = time.perf_counter()
        run, progress = self.program.compiled(
            run, self.numbers(), data, validation, np.int32(steps), np.int32(self.validation_every))
        jax.block_until_ready(progress)
        self.pace.learn(steps, time.perf_counter() - start)
        return run, progress

    def _data_at(self, run: RunState) -> Batch:
        """The rows that the next step is taken from."""
        return self.data.at(run.key, int(run.epoch), int(run.step)) if isinstance(self.data, Stream) else self.data

    def _judged(self, run: RunState, epoch: int) -> dict[str, Any]:
        """The figures on validation data that are streamed; the program itself sees to those on the device."""
        if not isinstance(self.validation, Stream) or (epoch + 1) % self.validation_every:
            return {}
        loss_weights = self.numbers().loss_weights
        for _, part in self.judge.parts(run.weights, run.state, loss_weights, self.validation):
            _, figures = part()
        return {f"val_{name}": figure for name, figure in figures.items()}

    def numbers(self) -> Numbers:
        """The numbers as they stand now, callbacks' changes included."""
        dtype = self.program.objective.number
        optimizer = {name: np.asarray(value, dtype) for name, value in self.model.optimizer.hyperparameters().items()}
        loss_weights = {output.name: np.asarray(output.loss_weight, dtype) for output in self.program.objective.outputs}
        return Numbers(optimizer, loss_weights, {})

    def _figures(self, epoch: int, figures: dict[str, Any]) -> dict[str, float]:
        """The figures of an epoch; those of a validation that was not due are left out."""
        names = self.program.objective.names()
        if self.validation is not None and (epoch + 1) % self.validation_every == 0:
            names = names + [f"val_{name}" for name in names]
        return floats({name: figures[name] for name in names})

    def _running(self, progress: Progress) -> dict[str, float]:
        """The figures of the epoch so far."""
        return floats({name: progress.running[name] for name in self.program.objective.names()})

    def _end_epoch(self, run: RunState, epoch: int, figures: dict[str, float], goes_on: bool) -> RunState:
        events = self.events
        held_out = {name[4:]: value for name, value in figures.items() if name.startswith("val_")}
        if held_out:
            run = self._told(run, events.on_test_begin)
            run = self._told(run, events.on_test_end, logs=held_out)
        run = self._told(run, events.on_epoch_end, epoch, logs=figures)
        if goes_on and not self.model.stop_training:
            run = self._told(run, events.on_epoch_begin, epoch + 1)
        return run

    def _told(self, run: RunState, tell, *arguments, **logs) -> RunState:
        """Let callbacks see and change the model: what they set goes into the run."""
        if not self.events.watched:
            tell(*arguments, **logs)
            return run
        self.model.hold_run(run)
        before = self.model.variables()
        tell(*arguments, **logs)
        after = self.model.variables()
        if _are_same(before, after):
            return run
        return run._replace(weights=after[0], state=after[1])

    def _told_of_step(self, run: RunState, event: str, taken: int, step: int, progress=None) -> RunState:
        """Tell those callbacks whose turn it is when so many steps have been taken in all."""
        due = self.events.due(event, taken)
        if not due:
            return run
        return self._told(run, self.events.tell, due, event, step, logs=progress and self._running(progress))

    def _told_of_segment(self, run: RunState, epoch: int, figures: dict[str, float]) -> RunState:
        """Tell of the time that has passed. The model is brought up to date where a callback may look at it."""
        if all(callback.passive for callback in self.events.listeners("on_segment")):
            self.events.on_segment(epoch, int(run.step), logs=figures)
            return run
        return self._told(run, self.events.on_segment, epoch, int(run.step), logs=figures)

    def _finite_steps(self, run: RunState, after: RunState) -> int:
        """How many steps of a segment came before the one whose loss was not finite.

        The program is deterministic: they are taken again, so that nothing has to be kept for this while all goes well.
        """
        epoch, step = (int(number) for number in after.not_finite)
        return self._taken(epoch, step) - self._taken(int(run.epoch), int(run.step))

    def _end_not_finite(self, run: RunState) -> None:
        """Raise, because the loss of the next step is not finite, unless a callback ends the fit without an error."""
        error = self._not_finite(run)
        self.model.hold_run(run)
        if not self.events.on_not_finite(error):
            raise error
        self.model.stop_training = True

    def _not_finite(self, run: RunState) -> NotFiniteError:
        return NotFiniteError(
            f"The loss was not finite at epoch {int(run.epoch) + 1}, step {int(run.step) + 1}. "
            f"{self._first_not_finite(run)} Training stopped; the model keeps the weights from before that step. "
            f"A smaller learning rate or gradient clipping (clipnorm=1.0) usually helps.")

    def _first_not_finite(self, run: RunState) -> str:
        """Which layer first put out NaN or infinity in the step that follows."""
        batches, objective = self.program.batches, self.program.objective
        order = run.order if int(run.step) else batches.order(run.key, run.epoch)
        batch = batches.full(self._data_at(run), order, run.step)
        key = self.program.step_key(run)
        found = []

        def observe(path, layer, outputs):
            finite = all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(outputs)
                         if np.issubdtype(leaf.dtype, np.floating))
            if not finite:
                found.append((path, type(layer).__name__))

        call = Call(objective.network, run.weights, run.state, key=key, training=True, rows=batch.rows,
                    dtype=objective.dtype)
        call.observe = observe
        call.run(call.copy(objective.network), (batch.x,), {})
        inner = [(path, kind) for path, kind in found if path]
        if inner:
            return f"The first layer whose output was not finite is {inner[0][0]!r} ({inner[0][1]})."
        return "The outputs of all layers were finite: the loss itself overflowed, or its logarithm met a zero."


def _are_same(one, two) -> bool:
    """Whether two trees hold the same arrays, not only equal ones."""
    return all(first is second for first, second in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True))


def floats(figures: dict[str, Any]) -> dict[str, float]:
    """Figures as plain numbers, fetched together."""
    values = jax.device_get(list(figures.values()))  # as a list, because JAX would sort the names of a dict
    return {name: float(value) for name, value in zip(figures, values, strict=True)}
