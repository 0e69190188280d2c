"""Windows: the mean loss of some steps in a row, however long a pass over the data is, if there is one at all."""

from __future__ import annotations

from dataclasses import dataclass

from fitwell.watching.losses import Number

SHORTEST = 10  # steps
FINENESS = 16  # a window is at most this part of the steps before it: 50 of them in 1,000 steps, 90 in 10,000


@dataclass
class Window:
    """Adds up the losses of a thread until the window ends.

    Args:
        ends: the step that is its last.
    """

    ends: int = SHORTEST
    total: Number = 0.0
    weight: float = 0.0

    def add(self, total: Number, weight: float) -> None:
        """Add losses, of so many samples together."""
        self.total, self.weight = self.total + total, self.weight + weight

    def close(self, steps: int) -> Number | None:
        """The mean loss if the window has ended by this step, and begin the next one; else None."""
        if steps < self.ends or not self.weight:
            return None
        mean = self.total / self.weight
        self.total, self.weight, self.ends = 0.0, 0.0, steps + max(SHORTEST, steps // FINENESS)
        return mean
