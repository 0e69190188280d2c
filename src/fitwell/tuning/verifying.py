"""How sure is it that the best plan is better than the one it began with? Both are trained on fresh seeds.

The search chose among many, so the score of its winner is too good: it is luck in part. Seeds that chose nothing, each
with a division of the data of its own, tell what remains; the figure is that of the test part.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from fitwell import data as datasets
from fitwell.data.contract import Data
from fitwell.study import VERIFICATION, StudyRecord, TrialRecord
from fitwell.training.evaluation import measure
from fitwell.training.prepare import load
from fitwell.tuning.intervals import paired
from fitwell.tuning.keeping import Keeper
from fitwell.tuning.kinds import Course
from fitwell.tuning.objective import Objective
from fitwell.tuning.populations.measuring import OBJECTIVE, figures_alone, objective_of
from fitwell.tuning.setting import Setting
from fitwell.tuning.trials import Trial

SEEDS = 5
MANY = 20_000  # training samples from which all seeds share one division: its chance matters little
ARMS = ("best", "default")
LEAST_PAIRS = 2  # one difference has no interval
WORTH_PAIRS = 3  # that of two is a dozen deviations wide


def verify(course: Course, best: TrialRecord, default: TrialRecord) -> dict[str, Any] | None:
    """Train the best plan and the default on fresh seeds.

    Returns:
        ``seeds``, the test figures of both (``best``, ``default``), and their paired ``difference`` with its interval;
        None if there was no time for two pairs, or nothing to compare.
    """
    study, setting = course.study, course.setting
    if time.monotonic() + LEAST_PAIRS * len(ARMS) * setting.trial_seconds > course.until:
        return None
    seeds = [setting.plan.seed + 1 + number for number in range(SEEDS)]
    course.observer.say(f"verifying: the best plan and the default on fresh seeds, {SEEDS} at most")
    arms = dict(zip(ARMS, (best, default), strict=True))
    data = _Divided(setting)
    known = {(one.values["arm"], one.values["seed"]) for one in _recorded(study)}
    missing = [(seed, arm) for seed in seeds for arm in ARMS if (arm, seed) not in known]
    numbers = itertools.count(max((one.number for one in study.trials), default=0) + 1)
    trials = (
        Trial(
            next(numbers), {"arm": arm, "seed": seed}, arms[arm].plan.change(seed=seed), [data.of(seed)],
            VERIFICATION,
        )
        for seed, arm in missing
    )  # fmt: skip
    _train(course, trials, data)
    return _compared(study, seeds, setting.objective)


def least_seconds(setting: Setting) -> float:
    """What a verification takes that can tell something."""
    return WORTH_PAIRS * len(ARMS) * setting.trial_seconds


class _Divided:
    """The data divided by seeds, each time once for both arms."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.by_seed: dict[int, Data] = {}

    def of(self, seed: int) -> Data:
        """The data as a training with this seed divides it."""
        if len(self.setting.data.train) >= MANY:
            return self.setting.data
        if seed not in self.by_seed:
            plan = self.setting.plan.change(seed=seed)
            self.by_seed[seed] = datasets.to_device(load(plan), torch.device(plan.device))
        return self.by_seed[seed]


def _train(course: Course, trials: Iterator[Trial], data: _Divided) -> None:
    setting, keeper = course.setting, Keeper(course.study, models=False, further=_held_out)
    interrupted = [
        keeper.take_up(one, [data.of(one.values["seed"])])
        for one in _recorded(course.study)
        if one.state == "running"
    ]
    engine = course.engine(
        setting.size,
        setting.workers,
        keeper,
        None,
        course.until,
        course.observer.say,
        pace=setting.pace,
    )  # fmt: skip
    engine.run(lambda room: list(itertools.islice(trials, room)), lambda _trial: None, interrupted)


def _held_out(trial: Trial) -> dict[str, float]:
    """The figures of the test part, else of the validation part."""
    job = trial.members[0].job
    job.restore_best()
    part = job.data.test or job.data.validation or job.data.train
    name = "test" if job.data.test else "val" if job.data.validation else "train"
    figures = measure(job.family, job.model, part, job.data.shape.target)
    chosen = objective_of(job.data)
    if chosen.metric not in figures:
        figures[chosen.metric] = chosen.shown(figures_alone(job, part)[OBJECTIVE])
    return {f"{name}/{key}": value for key, value in figures.items()}


def _recorded(study: StudyRecord) -> list[TrialRecord]:
    """The trainings so far; not those that were stopped, for there was no time."""
    return [one for one in study.trials if one.stage == VERIFICATION and one.state != "stopped"]


def _compared(study: StudyRecord, seeds: Sequence[int], chosen: Objective) -> dict[str, Any] | None:
    """The pairs of which both ended well."""
    found: dict[str, dict[int, float]] = {arm: {} for arm in ARMS}
    for one in _recorded(study):
        figure = _figure(one.metrics, chosen.metric)
        if figure is not None:
            found[one.values["arm"]][one.values["seed"]] = figure
    both = [seed for seed in seeds if all(seed in found[arm] for arm in ARMS)]
    if len(both) < LEAST_PAIRS:
        return None
    best, default = ([found[arm][seed] for seed in both] for arm in ARMS)
    return {
        "metric": chosen.metric, "higher": chosen.higher, "seeds": both, "best": best, "default": default,
        "difference": paired(best, default).plain(),
    }  # fmt: skip


def _figure(metrics: Mapping[str, float], metric: str) -> float | None:
    return next(
        (metrics[f"{part}/{metric}"] for part in ("test", "val", "train") if f"{part}/{metric}" in metrics),
        None,
    )
