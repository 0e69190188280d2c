"""Capacity: accuracy against parameters, and for each size what is bias and what is variance.

Each size is trained on the same training sets, drawn with replacement from the training part, for the same epochs. The
weights of the last epoch count: choosing the best epoch would hide what a size memorises. What else would hide it
(dropout, weight decay, augmentation) is left out.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fitwell.data.contract import Split
from fitwell.data.folds import resampled
from fitwell.errors import PlanError
from fitwell.run import Run
from fitwell.run.files import sha256, write_atomic
from fitwell.study import TrialRecord
from fitwell.training import threads
from fitwell.training.checkpoint import read_tensors, to_bytes
from fitwell.training.evaluation import main_metric, outputs_of
from fitwell.tuning.curves import regions, sizes
from fitwell.tuning.curves.bias_variance import decompose
from fitwell.tuning.curves.repeating import (
    Repeat,
    ended_well,
    known,
    majority,
    measured,
    opened,
    train,
    validated,
)
from fitwell.tuning.keeping import Keeper
from fitwell.tuning.kinds import Course, Kind
from fitwell.tuning.setting import Setting
from fitwell.tuning.trials import Row, Trial

OUTPUTS = "outputs.safetensors"  # of a trial: what its model says of the validation and the test samples
FIRST = 0.5  # share of the time that all sizes may take once
USED = 0.9  # of the time that is left may be foreseen for more training sets


@dataclass
class Lasting(Repeat):
    """A training whose last weights count, not its best."""

    def add(self, rows: Sequence[Row]) -> None:
        """As ``Trial.add``; then any later epoch is better."""
        super().add(rows)
        for one in self.members:
            one.job.best_score = math.inf


class KeepOutputs(Keeper):
    """Keeps in place of a model what it says of the held-out samples."""

    def end(self, trial: Trial) -> Run:
        """As ``Keeper.end``; before that the outputs are written, so that no trial that is done lacks them."""
        if trial.members and not trial.failed and not trial.stopped:
            job = trial.members[0].job
            job.restore_best()
            parts = {name: part for name, part in job.data.parts.items() if name != "train"}
            found = {name: outputs_of(job.family, job.model, part).cpu() for name, part in parts.items()}
            content = to_bytes(found)
            write_atomic(self.runs[trial.number][0].path / OUTPUTS, content)
            trial.about = {**trial.about, "outputs": sha256(content)}
        return super().end(trial)


def prepared(setting: Setting) -> tuple[Setting, str]:
    """The ground with a plan that hides nothing, and what a person should know of it.

    Raises:
        PlanError: there is no validation part.
    """
    validated(setting, "the capacity curve")
    plan, taken = sizes.bare(setting.plan)
    without = (
        f"trained without {', '.join(taken)}, which would hide what a size can memorise; " if taken else ""
    )
    note = (
        f"{without}the weights of the last epoch count, not the best; each training set is drawn with replacement, and "
        "so holds about 63 % of the training samples"
    )
    return dataclasses.replace(setting, plan=plan), note


def chosen(setting: Setting, widths: Sequence[int] | None) -> list[int] | None:
    """The widths that were asked for, rising.

    Raises:
        PlanError: the family has no model of some width, or there are fewer than two.
    """
    if widths is None:
        return None
    found = sorted(set(widths))
    if len(found) < 2 or found[0] < 0:
        raise PlanError(f"sizes {list(widths)}", "two widths or more, from 0", "try --sizes 8,32,128")
    if found[0] == 0 and 0 not in sizes.widths(setting.plan, setting.data):
        raise PlanError(
            f"a {setting.plan.model.family} of width 0", "a width of 1 or more", "leave out 0 of --sizes"
        )
    return found


def conduct(course: Course) -> None:
    """Train every size on every training set; tell mean, verdict, bias and variance of each."""
    opened(course, course.request["note"])
    widths = _widths(course)
    trials = _trials(course, widths)
    keeper = KeepOutputs(course.study, models=False)
    if math.isinf(course.until):
        train(course, trials, keeper)
    else:
        first, rest = trials[: len(widths)], trials[len(widths) :]
        train(course, first, keeper)
        train(course, rest[: len(widths) * _more(course, len(rest) // len(widths))], keeper)
    _conclude(course, widths)


def _widths(course: Course) -> list[int]:
    """The widths of the first layer, decided once."""
    setting, request = course.setting, course.request
    if request.get("decided"):
        return list(request["decided"])
    found = request["sizes"] or sizes.widths(setting.plan, setting.data)
    left = None if math.isinf(course.until) else FIRST * setting.workers * (course.until - time.monotonic())
    with threads.threads(1):
        kept, seconds = sizes.affordable(setting.plan, setting.data, found, left)
    if request["sizes"]:
        kept = list(found)
    elif len(kept) < len(found):
        text = f"there was no time for widths beyond {kept[-1]}"
        course.study.write(notes=[*course.study.notes, text])
    total = seconds * request["resamples"] / setting.workers
    course.observer.say(
        f"{len(kept)} sizes on {request['resamples']} training sets: about {total:.0f} s alone, less together"
    )
    course.study.write(request=request | {"decided": kept})
    return kept


def _trials(course: Course, widths: Sequence[int]) -> list[Lasting]:
    """All trainings, one training set after the other."""
    setting = course.setting
    found: list[Lasting] = []
    for number in range(1, course.request["resamples"] + 1):
        seed = setting.plan.seed + number
        data = resampled(setting.data, None, seed, replace=True)
        for width in widths:
            hidden = sizes.scaled(setting.plan, width)
            plan = setting.plan.change(hidden=hidden, seed=seed)
            values = {"hidden": list(hidden), "resample": number}
            found.append(Lasting(len(found) + 1, values, plan, [data]))
    return found


def _more(course: Course, wanted: int) -> int:
    """For how many more training sets there is time, by what the first took."""
    took = max((one.seconds or 0.0 for one in course.study.trials), default=0.0)
    left = USED * (course.until - time.monotonic())
    count = wanted if took == 0 else max(0, min(wanted, int(left / took)))
    begun = max((one.values["resample"] for one in course.study.trials), default=1) - 1
    count = min(wanted, max(count, begun))  # those that had begun before an interruption are ended
    if count < wanted:
        text = f"there was time for {count + 1} of {wanted + 1} training sets"
        course.study.write(notes=[*course.study.notes, text])
        course.observer.say(text)
    return count


def _conclude(course: Course, widths: Sequence[int]) -> None:
    """Write the summary: a point for each size."""
    study, setting = course.study, course.setting
    metric = main_metric(setting.data.shape.target)
    every = _by_size(study.trials, [sizes.scaled(setting.plan, width) for width in widths])
    done = [ended_well(trials) for trials in every]
    ended = [trials for trials in done if trials]
    found = [_size(course, trials, metric) for trials in ended]
    words = iter(regions.verdicts(found))
    points = [
        _point(course, trials, next(words) if well else "broken", metric)
        for trials, well in zip(every, done, strict=True)
    ]
    if not found:
        text = "no size came to its end: give it more time, or see why with `fitwell show`"
        study.write(summary={"points": points, "best": None, "said": text, "metric": metric})
        measured(course, [], {})
        return
    best = ended[regions.best_of(found)]
    place = next(at for at, point in enumerate(points) if point["trials"][0] in {one.number for one in best})
    text = regions.said(found, [point["verdict"] for point in points if point["val"]], metric)
    decomposed = {"loss": "squared error" if metric == "r2" else "log loss", "part": _decomposed_on(course)}
    study.write(
        summary={"points": points, "best": place, "said": text, "metric": metric, "decomposed": decomposed}
    )
    means = {
        f"{part}/{metric}": fmean(one.metrics[f"{part}/{metric}"] for one in best)
        for part in ("train", "val")
    }
    measured(course, best, means)


def _by_size(records: Sequence[TrialRecord], found: Sequence[sizes.Hidden]) -> list[list[TrialRecord]]:
    """The trials of each size that was begun, from the fewest parameters."""
    every = [[one for one in records if tuple(one.values["hidden"]) == hidden] for hidden in found]
    return sorted(filter(None, every), key=lambda trials: max(one.parameters or 0 for one in trials))


def _size(course: Course, records: Sequence[TrialRecord], metric: str) -> regions.Size:
    part = course.setting.data.parts["val"]
    errors = [_errors(_outputs(one, "val"), part, metric) for one in records]
    return regions.Size(
        parameters=records[0].parameters or 0,
        train=[one.metrics[f"train/{metric}"] for one in records],
        val=[one.metrics[f"val/{metric}"] for one in records],
        errors=np.stack(errors),
        resamples=[one.values["resample"] for one in records],
        word=majority(records),
    )


def _outputs(record: TrialRecord, part: str) -> Tensor:
    return read_tensors(record.path / OUTPUTS, record.run.info["trial"]["outputs"])[part]


def _target(part: Split) -> Tensor:
    return part.fields["y"].index_select(0, part.index).cpu()


def _errors(outputs_NK: Tensor, part: Split, metric: str) -> np.ndarray:
    """(N,) 1 for a wrong class, or the squared error of a number."""
    y = _target(part)
    if metric == "r2":
        return np.asarray((outputs_NK.double() - y.double()).square().mean(1))
    predicted = outputs_NK.argmax(1) if outputs_NK.shape[1] > 1 else (outputs_NK[:, 0] > 0).long()
    return np.asarray((predicted != y.view(-1).long()).double())


def _point(course: Course, records: Sequence[TrialRecord], word: str, metric: str) -> dict[str, Any]:
    """What the summary tells of a size."""
    done = ended_well(records)
    bias, variance = _decomposed(course, done)
    found = {
        part: known(metric, [one.metrics[f"{part}/{metric}"] for one in done]) if done else None
        for part in ("train", "val")
    }
    return {
        "hidden": list(records[0].values["hidden"]), "parameters": records[0].parameters, **found, "verdict": word,
        "trials": [one.number for one in records], "bias": bias, "variance": variance,
    }  # fmt: skip


def _decomposed_on(course: Course) -> str:
    return "test" if course.setting.data.test is not None else "val"


def _decomposed(course: Course, done: Sequence[TrialRecord]) -> tuple[float | None, float | None]:
    """Bias and variance on the test part, else on the validation part; of one training there is none."""
    data, part = course.setting.data, _decomposed_on(course)
    if len(done) < 2:
        return None, None
    outputs = torch.stack([_outputs(one, part) for one in done])
    found = decompose(outputs, _target(data.parts[part]), data.shape.target)
    return found.bias, found.variance


KIND = Kind("what a model can learn with more parameters, and when it only memorises", conduct)
