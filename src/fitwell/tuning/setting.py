"""What every study begins with: the data, the plan decided throughout, and how many train together."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from fitwell import data as datasets
from fitwell.data.contract import Data
from fitwell.plan import Plan
from fitwell.training import threads
from fitwell.training.prepare import load, prepare
from fitwell.tuning.objective import Objective
from fitwell.tuning.populations.apart import possible
from fitwell.tuning.populations.measuring import objective_of
from fitwell.tuning.populations.members import Member, member
from fitwell.tuning.populations.packing import Say, best_size

MEASURED = 1.3  # times what the steps take
NEARLY = 1.5  # times the least seconds of a step are nearly as fast


@dataclass(frozen=True)
class Setting:
    """The ground of a study.

    Args:
        plan: decided throughout.
        data: of the plan, on its device.
        size: members of one population, measured.
        few: the fewest members of one that are nearly as fast: who learns from the ends of some has no more at work.
        workers: populations side by side, each in a process on one core; 1 for this process alone.
        pace: seconds that an epoch of a member takes, all workers at work.
        reasons: of what was decided.
    """

    plan: Plan
    data: Data
    size: int
    few: int
    workers: int
    pace: float
    reasons: dict[str, str]

    @property
    def objective(self) -> Objective:
        """What trials are compared by."""
        return objective_of(self.data)

    @property
    def trial_seconds(self) -> float:
        """What a whole training takes among others."""
        return self.pace * int(self.plan.stopping.epochs)

    @property
    def document(self) -> dict[str, Any]:
        """What study.json tells of it."""
        return {"metric": f"val/{self.objective.metric}", "higher": self.objective.higher}


def settle(plan: Plan, say: Say) -> Setting:
    """Load the data of a plan, decide what it leaves open, and measure how many trainings go together.

    Raises:
        PlanError: the plan does not suit the data.
        DataError: the data can't be read.
    """
    data = load(plan)
    job, reasons = prepare(plan, data, say)
    data = datasets.to_device(data, torch.device(job.plan.device))
    workers = threads.available() if job.plan.device == "cpu" and possible() else 1

    def fresh() -> Member:
        return member(job.plan, data)

    with threads.threads(1) if workers > 1 else nullcontext():
        size, seconds = best_size(fresh, workers)
    if size > 1:
        gain = seconds[1] / seconds[size]
        say(
            f"{size} trainings as one take {seconds[size] * 1e6:.0f} us a step each, {gain:.1f} times less than alone"
        )
    elif seconds:
        say("on this machine these trainings are as fast one by one as together")
    # The epoch is measured, too.
    pace = MEASURED * seconds.get(size, 0.0) * job.schedule.steps / job.epochs / workers
    few = min((each for each, taken in seconds.items() if taken <= NEARLY * seconds[size]), default=size)
    return Setting(job.plan, data, size, few, workers, pace, reasons)
