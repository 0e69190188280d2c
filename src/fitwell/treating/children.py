"""The trainings that the treatment of a run of fitwell's own takes: child runs, and what they are compared by."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fitwell.errors import DataError, DivergedError, PlanError, Preempted
from fitwell.plan import Plan
from fitwell.run import Run
from fitwell.training.observer import Observer
from fitwell.treatment import Outcome

ANY_NUMBER = 1000


class Fit(Protocol):
    """``fitwell.fit``, which lies above this package."""

    def __call__(
        self,
        plan: Plan,
        *,
        runs: str | Path | None = None,
        observer: Observer | None = None,
        parent: str | None = None,
        draw: bool = True,
    ) -> Run:
        """Train a plan and return its run."""


@dataclass
class Children:
    """Trains the child runs of a run.

    Args:
        run: that is treated.
        fit: trains a plan.
        folder: of the child runs.
        until: when no further training is to begin, on the monotonic clock.
        longest: seconds that one took.
        metric: that they are compared by; of a run that failed it is known when the first child has ended well.
    """

    run: Run
    fit: Fit
    folder: Path
    until: float = math.inf
    longest: float = 0.0
    metric: str = ""

    def __post_init__(self) -> None:
        self.metric = validation_metric(self.run)

    def outcome(self, plan: Plan) -> Outcome:
        """Train a plan; one that can't be trained, or diverges, has failed.

        Raises:
            DataError: the data is not what it was.
            Preempted: a signal came.
        """
        began = time.monotonic()
        try:
            child = self.fit(plan, runs=self.folder, parent=self.run.name, draw=False)
        except Preempted as stopped:
            raise self._stopped(stopped) from None
        except (PlanError, DivergedError, RuntimeError, MemoryError) as error:
            folder = error.run if isinstance(error, DivergedError) else ""
            if folder:
                self._check_same_data(Run(folder))
            why = getattr(error, "happened", None) or f"{type(error).__name__}: {error}"
            return Outcome(folder, plan.seed, {}, failed=why, seconds=time.monotonic() - began)
        self._check_same_data(child)
        seconds = time.monotonic() - began
        self.longest = max(self.longest, seconds)
        self.metric = self.metric or validation_metric(child)
        found = [one["name"] for one in child.result["findings"] if one["severity"] in ("error", "warning")]
        return Outcome(str(child.path), plan.seed, child.metrics, tuple(found), child.verdict, None, seconds)

    def _stopped(self, stopped: Preempted) -> Preempted:
        """To go on with a child run would be of no use."""
        told = Preempted(
            f"stopped by signal {stopped.signal} while run {self.run.name} was treated; it is as it was",
            "to treat it later",
            f"fitwell treat {self.run.name}",
        )
        told.signal = stopped.signal
        return told

    def _check_same_data(self, child: Run) -> None:
        """With the same seed it is divided, and so encoded, in the same way."""
        info, own = self.run.info, child.info
        if own["seed"] == info["seed"] and own["fingerprint"] != info.get("fingerprint"):
            raise DataError(
                f"the data of run {self.run.name} is not what it was when the run began",
                "the very same data, or the trainings could not be compared",
                "restore the data, or train anew with `fitwell train`",
            )

    @property
    def higher(self) -> bool:
        """Whether more of the metric is better: accuracy and R2, not a loss."""
        return not self.metric.endswith("/loss")

    @property
    def control(self) -> float | None:
        """The metric of the run that is treated; None if it failed, or it is not finite."""
        found = ((self.run.info.get("result") or {}).get("metrics") or {}).get(self.metric)
        return found if found is not None and math.isfinite(found) else None

    def affordable(self) -> int:
        """How many more there is time for."""
        left = max(0.0, self.until - time.monotonic())
        return ANY_NUMBER if math.isinf(left) else int(left / max(self.longest, 1e-3))


def validation_metric(run: Run) -> str:
    """The figure of the validation part that a run is judged by; empty if it has none."""
    name = f"val/{run.info.get('metric')}"
    return name if name in ((run.info.get("result") or {}).get("metrics") or {}) else ""
