"""Cross-validation: every fold of the data is validated on once, and all folds are trained as one population."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import torch

from fitwell import data as datasets
from fitwell.data.contract import Data
from fitwell.data.folds import folds
from fitwell.plan import Plan
from fitwell.study import TrialRecord
from fitwell.training.evaluation import main_metric, measure, outputs_of
from fitwell.training.held_out import further_figures
from fitwell.tuning.curves.repeating import Repeat, ended_well, known, measured, opened, train
from fitwell.tuning.keeping import Keeper
from fitwell.tuning.kinds import Course, Kind
from fitwell.tuning.objective import log_loss
from fitwell.tuning.setting import Setting
from fitwell.tuning.trials import Trial


def further(trial: Trial) -> dict[str, float]:
    """Every figure of a fold that suits the target, for the weights that are kept."""
    job = trial.members[0].job
    part, target = job.data.validation, job.data.shape.target
    if part is None:
        return {}
    job.restore_best()
    figures = measure(job.family, job.model, part, target)
    outputs = outputs_of(job.family, job.model, part).cpu()
    y = part.fields["y"].index_select(0, part.index).cpu()
    figures |= further_figures(outputs, y, target)
    if target.kind != "number":
        figures["log_loss"] = float(log_loss(outputs, y, target))
    return {f"val/{name}": value for name, value in figures.items()}


def divided(setting: Setting, count: int) -> list[Data]:
    """The data of each fold, on the device of the plan: see ``data.folds``.

    Raises:
        PlanError: fewer than two folds.
        DataError: there are fewer samples, groups or times than that takes.
    """
    plan, device = setting.plan, torch.device(setting.plan.device)
    return [datasets.to_device(one, device) for one in folds(plan.data, count, plan.seed)]


def conduct(course: Course) -> None:
    """Train the folds, and tell the mean of each figure with its interval.

    The plan is the same for all folds. What it leaves open was decided once, by a division of the data of its own; what
    is learned from data (means, categories, missing values) is learned from the training part of each fold alone.
    """
    study, plan = course.study, course.setting.plan
    opened(course)
    parts = divided(course.setting, course.request["folds"])
    trials = [Repeat(number, {"fold": number}, plan, [data]) for number, data in enumerate(parts, start=1)]
    train(course, trials, Keeper(study, models=False, further=further))
    done = ended_well(study.trials)
    told = [{"fold": one.values["fold"], "trial": one.number, "metrics": _figures(one, plan)} for one in done]
    means = _means([fold["metrics"] for fold in told], _share(parts), main_metric(parts[0].shape.target))
    study.write(summary={"folds": told, "metrics": means})
    measured(course, done, {f"val/{name}": found["mean"] for name, found in means.items()})
    if not done:
        course.observer.say(f"no fold ended well: see why with `fitwell show {study.name}`")


def _figures(record: TrialRecord, plan: Plan) -> dict[str, float]:
    """The figures of a fold, by their name alone; without the log loss where that is the loss."""
    weighted = plan.loss.class_weights or plan.loss.label_smoothing
    return {
        name.removeprefix("val/"): value
        for name, value in record.metrics.items()
        if name.startswith("val/") and (weighted or name != "val/log_loss")
    }


def _share(parts: Sequence[Data]) -> float:
    """Samples that are validated on for each that is trained on."""
    validated = fmean(len(one.validation) for one in parts if one.validation is not None)
    return validated / fmean(len(one.train) for one in parts)


def _means(found: Sequence[Mapping[str, float]], share: float, main: str) -> dict[str, Any]:
    """The mean of each figure that all folds have, with its corrected interval; the main one first."""
    names = (
        [name for name in found[0] if all(math.isfinite(one.get(name, math.nan)) for one in found)]
        if found
        else []
    )
    ordered = sorted(names, key=lambda name: (name != main, name != "loss"))
    return {name: known(name, [one[name] for one in found], share) for name in ordered}


KIND = Kind("how well a plan does on every fold of the data", conduct)
