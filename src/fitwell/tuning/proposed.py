"""Proposals of a method on their way through training: what it is told of them, and when it is asked for more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fitwell.space import Space, identity
from fitwell.tuning.methods import Searcher
from fitwell.tuning.trials import Trial


class Proposed:
    """Proposals that are not known yet, as trials that train.

    Args:
        searcher: makes them.
        space: that they lie in.
        known: what was tried before.
        at_once: how many may train at the same time.
    """

    def __init__(self, searcher: Searcher, space: Space, known: set[str], at_once: float) -> None:
        self.searcher, self.space, self.known, self.at_once = searcher, space, known, at_once
        self.training: dict[int, Trial] = {}

    def ask(self, count: int) -> list[dict[str, Any]]:
        """So many new ones; fewer if there are no more. Of those that train it is told first how far they are."""
        for trial in self.training.values():
            if trial.epochs:
                self.searcher.tell(of_space(self.space, trial.values), trial.latest, after=trial.epochs)
        count = int(min(count, self.at_once - len(self.training)))
        new: list[dict[str, Any]] = []
        while len(new) < count and (asked := self.searcher.ask(count - len(new))):
            new += [values for values in asked if identity(values) not in self.known]
        return new

    def begun(self, trials: list[Trial]) -> list[Trial]:
        """The trials of what was asked for."""
        self.training |= {trial.number: trial for trial in trials}
        return trials

    def tell(self, trial: Trial) -> None:
        """What came of one."""
        self.training.pop(trial.number, None)
        score, after = (trial.latest, max(1, trial.epochs)) if trial.stopped else (trial.score, None)
        self.searcher.tell(of_space(self.space, trial.values), score, after=after)


def of_space(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that the space varies."""
    found: dict[str, Any] = {}
    for name in space.dimensions:  # what an earlier stage set may have no meaning beside the other values
        if name in values and space.active(name, found):
            found[name] = values[name]
    return found
