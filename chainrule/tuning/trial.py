"""A trial: one setting of a search, and what became of it."""
import math
from dataclasses import dataclass, field
from typing import Any

STATES = ("finished", "stopped", "failed", "interrupted", "running")


@dataclass
class Trial:
    """One setting that a search tried.

    Attributes:
        number: counted from 0.
        values: by name.
        seed: what `fit(seed=...)` of a model with these values takes to train the same network.
        state: `"finished"` after all its epochs; `"stopped"` where it fell behind the others and its place was given
            to another; `"failed"` where its loss was not finite; `"interrupted"` where the search ended before it did.
        epochs: how many it was trained for.
        best_epoch: after how many of them it was at its best, by which it is judged.
        figures: loss and metrics by name, as they were then.
        rungs: by number of epochs the figure that it is judged by, as it was then.
        group: what of its values decides shapes: trials with equal ones share a compiled program.
    """

    number: int
    values: dict[str, Any]
    seed: int
    state: str = "running"
    epochs: int = 0
    best_epoch: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    rungs: dict[int, float] = field(default_factory=dict)
    group: dict[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing more will become of it."""
        return self.state in ("finished", "stopped", "failed")

    def figure(self, monitor: str) -> float:
        """One of its figures; NaN where it has none."""
        return self.figures.get(monitor, math.nan)
