"""A trial: some settings that are tried, with the training (or one for each fold of the data) that tries them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fitwell.data.contract import Data
from fitwell.errors import FitwellError, PlanError
from fitwell.models import family
from fitwell.plan import Plan
from fitwell.tuning.populations.measuring import OBJECTIVE
from fitwell.tuning.populations.members import Member, member

Row = Mapping[str, float]
DEFAULT = "default"  # the stage of the plan as it is
# What settings can do to a training by itself: torch refuses some of their values in its own words.
FAILURES = (FitwellError, RuntimeError, MemoryError, ValueError, TypeError)
DIVERGED = "the loss became"  # what Member.failed begins with, if its loss was not finite


@dataclass
class Trial:
    """Settings that are tried, and how far that is.

    Args:
        number: from 1, in the order of their beginning.
        values: the settings that were changed.
        plan: with these settings, decided throughout.
        parts: the data; several for folds, on each of which a member is trained.
        stage: of the search.
        about: what else is kept of it, as JSON.
        members: the trainings, once they have begun.
        rows: the figures after each epoch; with folds their means.
        stopped: why it was ended before its last epoch, if it was.
        late: whether it was stopped because the time was over, not because others were better.
        failed: why it can't be trained, if it can't.
        began: on the monotonic clock, less what it took before it was interrupted.
    """

    number: int
    values: Mapping[str, Any]
    plan: Plan
    parts: Sequence[Data]
    stage: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    stopped: str | None = None
    late: bool = False
    failed: str | None = None
    began: float = 0.0
    ended: float = 0.0

    def begin(self) -> None:
        """Make its members; if that is impossible, it has failed."""
        self.began = time.monotonic()
        try:
            self.members = [self._member(data) for data in self.parts]
        except FAILURES as error:
            self.members, self.failed = [], reason(error)

    def _member(self, data: Data) -> Member:
        chosen = family(self.plan.model.family)
        needed = chosen.suits(data.shape)
        if chosen.supervised != (data.shape.target.kind != "none"):
            needed = "data with a target" if chosen.supervised else "data without a target"
        if needed:
            raise PlanError(
                f"{self.plan.model.family} can't learn from this data: {needed}", needed, "drop the family"
            )
        return member(self.plan, data)

    @property
    def active(self) -> list[Member]:
        """The members that train on."""
        return [] if self.stopped or self.failed else [one for one in self.members if not one.finished]

    @property
    def epochs(self) -> int:
        """Epochs of the member that has come furthest."""
        return max((one.job.epoch for one in self.members), default=0)

    def add(self, rows: Sequence[Row]) -> None:
        """Keep the figures of an epoch, of all members that trained; a member that failed fails the trial."""
        self.failed = next((one.failed for one in self.members if one.failed), None)
        names = set.intersection(*(set(row) for row in rows))
        self.rows.append({name: statistics.fmean(row[name] for row in rows) for name in sorted(names)})

    @property
    def score(self) -> float | None:
        """The objective of the weights that are kept, lower is better; the mean of all members; None if it failed."""
        scores = [one.best for one in self.members]
        if self.failed or not scores or any(score is None or not math.isfinite(score) for score in scores):
            return None
        return statistics.fmean(score for score in scores if score is not None)

    @property
    def latest(self) -> float:
        """The objective after the last epoch; infinite if it failed."""
        latest = [one.scores[-1] if one.scores else math.inf for one in self.members]
        return statistics.fmean(latest) if latest and not self.failed else math.inf

    @property
    def figures(self) -> dict[str, float]:
        """Metrics by part, of the weights that are kept: ``val/accuracy``, ``train/loss``; with folds their means."""
        kept = [one.kept_row for one in self.members if one.kept_row]
        names = set.intersection(*(set(row) for row in kept)) if kept else set()
        found = {}
        for name in sorted(names):
            metric, _, part = name.rpartition("/")
            if part in ("train", "val") and metric != OBJECTIVE:
                found[f"{part}/{metric}"] = statistics.fmean(row[name] for row in kept)
        return found


def reason(error: Exception) -> str:
    """Why a training ended, in a line."""
    if isinstance(error, FitwellError):
        return error.happened
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
