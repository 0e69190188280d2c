"""Repeat: trainings that are known beforehand, such as folds or sizes, as populations; none is trained twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import multimode

from fitwell.errors import PlanError
from fitwell.models import family, parameter_count
from fitwell.plan import Plan
from fitwell.study import TrialRecord
from fitwell.training.evaluation import main_metric
from fitwell.tuning.engine import Engine
from fitwell.tuning.intervals import interval
from fitwell.tuning.keeping import Keeper
from fitwell.tuning.kinds import Course
from fitwell.tuning.populations.members import member
from fitwell.tuning.populations.packing import most_members
from fitwell.tuning.setting import Setting
from fitwell.tuning.trials import Row, Trial

SHARES = ("accuracy", "balanced_accuracy", "auc")  # figures between 0 and 1


@dataclass
class Repeat(Trial):
    """A trial whose score is the figure that people look at first: it is measured, not chosen."""

    def add(self, rows: Sequence[Row]) -> None:
        """As ``Trial.add``."""
        super().add(rows)
        name = main_metric(self.parts[0].shape.target)
        score = None if self.failed else self.members[0].kept_row.get(f"{name}/val")
        self.about = {**self.about, "score": score}


def train(course: Course, trials: Sequence[Trial], keeper: Keeper) -> None:
    """Train those of the trials that have not ended yet, all side by side as far as the memory allows.

    Args:
        course: of the study.
        trials: numbered in the same way whenever the study goes on, each with one part of data.
        keeper: records them.
    """
    recorded = {one.number: one for one in course.study.trials}
    waiting = [trial for trial in trials if trial.number not in recorded]
    interrupted = [trial for trial in trials if _unfinished(recorded.get(trial.number))]
    for trial in interrupted:
        left = keeper.take_up(recorded[trial.number], trial.parts)
        trial.members, trial.rows, trial.began, trial.failed = (
            left.members,
            left.rows,
            left.began,
            left.failed,
        )
    if not waiting and not interrupted:
        return

    def more(room: int) -> list[Trial]:
        new = waiting[:room]
        del waiting[:room]
        return new

    def ended(trial: Trial) -> None:
        record = next(one for one in course.study.trials if one.number == trial.number)
        best = course.study.best
        course.observer.trial(record, best.score if best else None)

    setting = course.setting
    size = _population([*waiting, *interrupted], setting)
    engine = Engine(size, setting.workers, keeper, None, course.until, course.observer.say)
    engine.run(more, ended, interrupted)


def _unfinished(record: TrialRecord | None) -> bool:
    return record is not None and record.state == "running"


def _population(trials: Sequence[Trial], setting: Setting) -> int:
    """Members of a population, so that all trials train at once, unless the largest would not fit so often."""
    made = [member(trial.plan, trial.parts[0]) for trial in _one_a_model(trials)]
    largest = max(made, key=lambda one: parameter_count(one.job.model))
    at_once = -(-len(trials) // setting.workers)
    return max(1, min(at_once, most_members(largest) // setting.workers))


def _one_a_model(trials: Sequence[Trial]) -> list[Trial]:
    return list({repr(trial.plan.model): trial for trial in trials}.values())


def opened(course: Course, *notes: str) -> None:
    """Write what the study is judged by, the figure that people look at first, and what they should know of it."""
    study = course.study
    name = main_metric(course.setting.data.shape.target)
    new = [note for note in notes if note not in study.notes]
    study.write(metric=f"val/{name}", higher=name != "loss", notes=[*study.notes, *new])


def known(
    name: str, values: Sequence[float], test_share: float | None = None
) -> dict[str, float | int | None]:
    """The interval of a figure as JSON, within what the figure can be.

    Args:
        name: of the figure.
        values: one for each training.
        test_share: as for ``interval``.
    """
    least, most = (-math.inf, 1.0) if name == "r2" else (0.0, 1.0 if name in SHARES else math.inf)
    found = interval(values, test_share)
    if found.low is None or found.high is None:
        return found.plain()
    return found.plain() | {"low": max(found.low, least), "high": min(found.high, most)}


def supervised(plan: Plan, what: str) -> None:
    """Refuse a family that learns without a target: what these studies measure is how well one is predicted.

    Raises:
        PlanError: the plan's family is such a one, or there is none of its name.
    """
    if plan.model.family != "auto" and not family(plan.model.family).supervised:
        raise PlanError(
            f"{what} of a model without a target ({plan.model.family})",
            "a family that predicts a target",
            "choose --model mlp or cnn, or compare settings with `fitwell tune`",
        )


def validated(setting: Setting, what: str) -> None:
    """Refuse data without a validation part.

    Raises:
        PlanError: there is none.
    """
    if setting.data.validation is None:
        raise PlanError(
            f"{what} without a validation part",
            "samples that are never trained on",
            "give --validation, such as 0.15, or more data",
        )


def ended_well(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Those that came to their end with a figure."""
    return [one for one in records if one.state == "done" and one.score is not None]


def majority(records: Sequence[TrialRecord]) -> str:
    """The verdict of most of the trials; of equally many that of the last."""
    words = [one.verdict for one in records if one.verdict]
    return multimode(reversed(words))[0] if words else ""


def measured(course: Course, records: Sequence[TrialRecord], metrics: dict[str, float]) -> None:
    """Write the result of the study, as of any run.

    Args:
        course: of the study.
        records: the trials that ended well.
        metrics: by part and name.
    """
    word = majority(records)
    reason = next((one.run.result.get("verdict_reason", "") for one in records if one.verdict == word), "")
    course.study.update(
        metric=main_metric(course.setting.data.shape.target),
        result={
            "run": str(course.study.path), "metrics": metrics, "verdict": word or "broken",
            "verdict_reason": reason or "no training came to its end", "findings": [],
        },
    )  # fmt: skip
