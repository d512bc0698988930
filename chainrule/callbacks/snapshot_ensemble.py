"""The weights at the end of each cycle of the learning rate, as an ensemble."""
import copy

import jax
import numpy as np

from chainrule.callbacks.checks import check_whole
from chainrule.errors import NotReadyError, SettingError
from chainrule.training.events import Callback
from chainrule.uncertainty import reduce_members


class SnapshotEnsemble(Callback):
    """Keeps the weights at the end of each cycle of the learning rate: an ensemble for the price of one training.

    With a `schedules.CosineRestarts` the rate falls to nearly nothing in each cycle, where the network settles, and
    starts high again, so that it leaves and settles elsewhere. What it was at the end of each cycle is a member; a
    cycle that the fit does not finish gives none. With `every_epochs` members are taken after so many epochs whatever
    the rate. The fit itself goes on as without, and the model ends with its last weights.

        p(x) = mean over m of p(x; w_m),   w_m the weights after cycle m

    Args:
        every_epochs: after how many epochs a member is taken; by default at the ends of the schedule's cycles.
        keep_last: how many members are kept, the latest; all by default. Those of the first cycles are often worse.

    Attributes:
        snapshots: the weights and state of each member, the oldest first: `model.apply(*snapshots[0], x)`.

    Raises:
        SettingError: in `fit`, where it ends before the first member, or the optimiser's rate has no cycles.

    Reference: Huang, Li, Pleiss, Liu, Hopcroft and Weinberger, Snapshot Ensembles: Train 1, Get M for Free (2017).

    Example:
        >>> from chainrule.models import Input, Sequential
        >>> from chainrule.layers import Dense
        >>> from chainrule.schedules import CosineRestarts
        >>> from chainrule.optimizers import Adam
        >>> model = Sequential([Input((2,)), Dense(1)])
        >>> model.compile(Adam(CosineRestarts(0.1, first_decay_steps=10, t_mul=1)), "mse")
        >>> ensemble = SnapshotEnsemble()
        >>> history = model.fit(np.ones((8, 2)), np.ones(8), batch_size=4, epochs=15, verbose=0, callbacks=[ensemble])
        >>> len(ensemble.snapshots), ensemble.predict(np.ones((5, 2))).shape
        (3, (5, 1))
    """

    def __init__(self, every_epochs: int | None = None, keep_last: int | None = None):
        self.every_epochs = every_epochs if every_epochs is None else check_whole(self, "every_epochs", every_epochs)
        self.keep_last = keep_last if keep_last is None else check_whole(self, "keep_last", keep_last)
        self.snapshots: list[tuple[dict, dict]] = []
        self.ahead: int | None = None  # by how many steps the fit's count is before the optimiser's
        if every_epochs is None:
            self.on_train_batch_end = self._end_cycle  # in the object: a class that has it stops at every step

    def on_train_begin(self, logs=None):
        self.snapshots, self.ahead = [], None
        if self.every_epochs is None and not hasattr(self.model.optimizer.learning_rate, "next_restart"):
            raise SettingError(
                f"SnapshotEnsemble takes members at the ends of the cycles of the learning rate, and it has none: "
                f"{self.model.optimizer.learning_rate!r}. Give the optimiser a schedules.CosineRestarts, or say "
                f"SnapshotEnsemble(every_epochs=...).")
        if self.every_epochs is not None and self.params["epochs"] < self.every_epochs:
            raise SettingError(f"SnapshotEnsemble: every_epochs={self.every_epochs} is never reached by a fit of "
                               f"epochs={self.params['epochs']}.")

    def on_epoch_begin(self, epoch, logs=None):
        if self.every_epochs is None and self.ahead is None:
            self.ahead = epoch * self.params["steps"] - self._step()
            self._wait()
            steps = self.params["epochs"] * self.params["steps"]
            if self.batch_interval > steps:
                raise SettingError(f"SnapshotEnsemble: the first cycle of the learning rate ends after "
                                   f"{self.batch_interval} steps, and the fit has {steps}. Train longer, or make "
                                   f"cycles shorter: first_decay_steps={max(steps // 5, 1)}, t_mul=1 for five members.")

    def on_epoch_end(self, epoch, logs=None):
        if self.every_epochs is not None and (epoch + 1) % self.every_epochs == 0:
            self._take()

    def _end_cycle(self, batch, logs=None):
        self._take()
        self._wait()

    def _step(self) -> int:
        """How many steps the optimiser has taken, in earlier fits too, as its schedule counts them."""
        return int(self.model._compiled.optimizer_state["step"])

    def _wait(self) -> None:
        """Be told next when the present cycle is over: of steps whose number is a multiple of `batch_interval`."""
        self.batch_interval = self.model.optimizer.learning_rate.next_restart(self._step()) + self.ahead

    def _take(self) -> None:
        """Keep a copy of what the model is now."""
        self.snapshots = [*self.snapshots, jax.tree.map(np.array, self.model.variables())][-(self.keep_last or 0):]

    def predict(self, x, reduce: str | None = "mean", *, level: float = 0.9, batch_size: int | None = None):
        """What the members predict together.

        Args:
            x: as for `Model.predict`.
            reduce: how members are made one, a name that `uncertainty.reduce_members` knows; `None` gives what each
                predicts, `(members, rows, ...)`.
            level: of the intervals, where these are asked for.
            batch_size: rows at a time.

        Raises:
            NotReadyError: there are no members yet.

        Example:
            >>> SnapshotEnsemble(every_epochs=10).predict(np.ones((5, 2)))
            Traceback (most recent call last):
            chainrule.errors.NotReadyError: SnapshotEnsemble has no members: give it to a fit as one of its callbacks.
        """
        self._require_members()
        each = [self.model.predict_with(*snapshot, x, batch_size) for snapshot in self.snapshots]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
        if reduce is None:
            return stacked
        return jax.tree.map(lambda leaf: reduce_members(leaf, reduce, level=level), stacked)

    def models(self) -> list:
        """The members as models of their own, which share nothing: to evaluate, save or train them further.

        Example:
            >>> SnapshotEnsemble(every_epochs=10).models()
            Traceback (most recent call last):
            chainrule.errors.NotReadyError: SnapshotEnsemble has no members: give it to a fit as one of its callbacks.
        """
        self._require_members()
        members = [copy.deepcopy(self.model) for _ in self.snapshots]
        for member, snapshot in zip(members, self.snapshots, strict=True):
            member.set_variables(*snapshot)
        return members

    def _require_members(self) -> None:
        if not self.snapshots:
            raise NotReadyError("SnapshotEnsemble has no members: give it to a fit as one of its callbacks.")
