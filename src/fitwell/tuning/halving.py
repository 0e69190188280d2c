"""Successive halving: of the trials that reach a rung, the worse half is given up, and others take its place.

Jamieson and Talwalkar 2016 (arXiv 1502.07943), in the asynchronous form of Li et al. 2020 (ASHA, arXiv 1810.05934): a
trial is compared with all that have reached the same rung before or with it, so nobody waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fitwell.tuning.trials import DEFAULT, Trial

# Of a trial's epochs. Not later: where the rate falls towards the end (as with one cycle), trials with a high rate look
# worse half-way through than they will be.
RUNGS = (1 / 8, 1 / 4)
KEPT = 1 / 2  # of the trials at a rung go on


@dataclass
class Halving:
    """The scores at each rung so far: (epochs, all epochs) -> scores."""

    scores: dict[tuple[int, int], list[float]] = field(default_factory=dict)

    def give_up(self, trials: Iterable[Trial]) -> None:
        """Stop those trials that are at a rung now and worse than half of what reached it.

        Args:
            trials: that have just ended an epoch; each is seen once an epoch.
        """
        at = [(trial, rung) for trial in trials if (rung := self._rung(trial)) is not None]
        for trial, rung in at:
            self.scores.setdefault(rung, []).append(trial.latest)
        for trial, rung in at:
            scores = self.scores[rung]
            better = sum(score < trial.latest for score in scores)
            if better >= max(1, len(scores) * KEPT) and len(scores) > 1 and trial.active:
                trial.stopped = (
                    f"after {rung[0]} of {rung[1]} epochs: {better} of {len(scores) - 1} others were better"
                )

    def remember(self, epochs: int, curve: Iterable[tuple[float, float]]) -> None:
        """Count a trial that ended before: its whole epochs, and its objective as (epoch, value)."""
        at = rungs(epochs)
        for epoch, value in curve:
            if epoch in at:
                self.scores.setdefault((int(epoch), epochs), []).append(value)

    def _rung(self, trial: Trial) -> tuple[int, int] | None:
        if trial.stage == DEFAULT:  # what all others are compared with must be trained to its end
            return None
        whole = int(trial.plan.stopping.epochs)
        return (trial.epochs, whole) if trial.epochs in rungs(whole) else None


def rungs(epochs: int) -> Sequence[int]:
    """The epochs after which a trial of so many is compared.

    >>> rungs(30)
    [4, 8]
    >>> rungs(2)
    [1]
    """
    return sorted({max(1, round(epochs * share)) for share in RUNGS} - {epochs})
