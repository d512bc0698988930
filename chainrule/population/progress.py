"""How a population's fit shows itself: the figures of the middle member, and of the best and the worst."""
import time

import numpy as np

from chainrule.callbacks.progress import TrainingProgress
from chainrule.population.history import PopulationHistory
from chainrule.training.figures import larger_is_better


class PopulationProgress:
    """Lines on how far a fit is, drawn as those of a single network are.

    Args:
        verbosity: 0 for nothing, 1 for a live line, 2 for plain lines.
        history: where the figures are.
        params: epochs, steps and rows of the fit.
    """

    def __init__(self, verbosity: int, history: PopulationHistory, params: dict):
        self.history, self.params = history, params
        self.line = TrainingProgress(verbosity)
        self.shown = 0

    def begin(self) -> None:
        self.started = time.perf_counter()
        self.line.set_params(self.params)
        self.line.on_train_begin()

    def advance(self, groups: list, index: int) -> None:
        """Show the epochs that all members have ended, and how far the group at work is."""
        if not self.line.verbosity:
            return
        epochs = [group.epoch if group.alive.any() else self.params["epochs"] for group in groups]
        over = min(*epochs, len(self.history.epoch) + self.params["first"]) if len(epochs) > 1 else groups[0].epoch
        for epoch in self.history.epoch[self.shown :]:
            if epoch >= over:
                break
            self.line.on_epoch_end(epoch, self.summary(epoch))
            self.shown += 1
        if over < self.params["epochs"] and self.history.epoch:
            self.line.on_segment(over, 0, self.summary(self.history.epoch[-1]))

    def end(self) -> None:
        """Show what is left to show: lines of the last epochs, and how many members stopped early."""
        for epoch in self.history.epoch[self.shown :] if self.line.verbosity else ():
            self.line.on_epoch_end(epoch, self.summary(epoch))
        self.line.on_train_end()
        stopped = int((self.history.stopped_epoch >= 0).sum())
        if self.line.verbosity and stopped:
            print(f"{stopped} of {self.history.size} members stopped early.", flush=True)

    def close(self) -> None:
        """Leave the terminal as it was found."""
        self.line.close()

    def summary(self, epoch: int) -> dict[str, float]:
        """The medians of an epoch's figures, and the best and the worst of the one to judge by."""
        line = self.history.line(epoch)
        figures = {name: float(np.nanmedian(values)) for name, values in line.items()}
        judged = "val_loss" if "val_loss" in line else "loss"
        if judged in line and self.history.size > 1:
            ends = [float(np.nanmin(line[judged])), float(np.nanmax(line[judged]))]
            best, worst = reversed(ends) if larger_is_better(judged, "auto") else ends
            figures |= {f"best {judged}": best, f"worst {judged}": worst}
        return figures
