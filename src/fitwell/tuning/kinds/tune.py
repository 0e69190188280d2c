"""Tune: search for settings that train better, and say how sure it is that they do."""

from __future__ import annotations

import math
import shutil
import time
from typing import Any

import torch

from fitwell.data import to_device
from fitwell.data.contract import Data
from fitwell.data.folds import folds
from fitwell.run.files import write_json
from fitwell.space import Space
from fitwell.study import TrialRecord
from fitwell.training.artifact import Fitted, load_model
from fitwell.training.held_out import held_out
from fitwell.tuning.comparing import gain
from fitwell.tuning.engine import GRACE
from fitwell.tuning.ensembles import ensemble, outputs_on, summary
from fitwell.tuning.kinds import Course, Kind
from fitwell.tuning.populations.measuring import objective_of
from fitwell.tuning.searching import Search
from fitwell.tuning.verifying import least_seconds, verify

VERIFIED = 0.3  # share of the time that is kept to verify what was found, if it is enough for that


def conduct(course: Course) -> None:
    """Search, choose the best, keep its model as the study's, compare it with the default."""
    request = course.request
    parts = _parts(course)
    chosen = objective_of(parts[0])  # folds may have more samples to validate on than the plan's own part
    course.study.write(metric=f"val/{chosen.metric}", higher=chosen.higher)
    course.observer.metric = course.study.metric
    search = Search(course, parts, _searched_until(course), request["halving"])
    if course.study.document["space"]:
        search.whole(request["method"], Space.from_dict(course.study.document["space"]), request["trials"])
    else:
        search.staged(request["trials"] or math.inf)
    best, default = search.best(), course.study.default
    if best is None:
        course.study.update(result={"metrics": {}, "verdict": "broken", "findings": []})
        tried = f"no trial ended well: see why with `fitwell show {course.study.name}`"
        late = "the time was over before the first trial: to prepare took all of it, so give more"
        course.observer.say(tried if course.study.trials else late)
        return
    found: dict[str, Any] = {
        "best": best.number, "default": default.number if default else None, "verified": None, "ensemble": None,
        "gain_over_default": None,
    }  # fmt: skip
    course.study.write(summary=found)
    fitted = _keep_model(course, best)
    if fitted is not None:
        made, former = ensemble(course.study, course.setting.data), _model(default)
        found["ensemble"] = summary(made, fitted, former, course.setting.data) if made else None
        if former is not None and best.number != found["default"]:
            found["gain_over_default"] = _gain(fitted, former, course.setting.data)
    if default is not None and best.number != default.number:
        found["verified"] = verify(course, best, default)
    course.study.write(summary=found)
    course.study.update(result=best.run.result | {"run": str(course.study.path)})


def _searched_until(course: Course) -> float:
    """When the search is to be over, with the trials that it lets come to their end."""
    now = time.monotonic()
    left = course.until - now
    if math.isinf(left):
        return left
    kept = VERIFIED * left
    return now + (left - kept if kept >= least_seconds(course.setting) else left) / (1 + GRACE)


def _parts(course: Course) -> list[Data]:
    """The data that each trial is trained on: the plan's, or its folds."""
    setting, count = course.setting, course.request["cv"]
    if not count:
        return [setting.data]
    supervised = setting.data.shape.target.kind != "none"
    made = folds(setting.plan.data, count, setting.plan.seed, supervised)
    return [to_device(data, torch.device(setting.plan.device)) for data in made]


def _model(trial: TrialRecord | None) -> Fitted | None:
    """What a trial kept, if it did."""
    return load_model(trial.path / "model") if trial is not None and trial.has_model else None


def _gain(best: Fitted, default: Fitted, data: Data) -> dict[str, Any] | None:
    """What the best model gains over the default's on the test part, else on the validation part."""
    part = data.test or data.validation
    if part is None or data.shape.target.kind == "none":
        return None
    return gain(outputs_on(best, part), outputs_on(default, part), part, data).plain()


def _keep_model(course: Course, best: TrialRecord) -> Fitted | None:
    """The model of the best trial becomes the study's; with folds there is none."""
    study, fitted = course.study, _model(best)
    if fitted is None:
        return None
    shutil.copytree(best.path / "model", study.path / "model", dirs_exist_ok=True)
    write_json(study.path / "evaluation.json", held_out(fitted.family, fitted.model, course.setting.data))
    return fitted


KIND = Kind("settings that train better than those of the plan", conduct)
