"""Learning curve: accuracy against the number of training samples, and whether more of them would help.

The smaller training parts are contained in the larger ones. Each is trained for about as many optimizer steps as the
whole: for more epochs, so that a small part is not worse because it was trained for less.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from fitwell.data.contract import Data
from fitwell.data.folds import resampled
from fitwell.errors import PlanError
from fitwell.plan import Plan
from fitwell.study import TrialRecord
from fitwell.training.evaluation import main_metric
from fitwell.training.forecast import Iterations
from fitwell.tuning.curves.power_law import Outlook, outlook
from fitwell.tuning.curves.regions import figure
from fitwell.tuning.curves.repeating import Repeat, ended_well, known, majority, measured, opened, train
from fitwell.tuning.intervals import Interval, paired
from fitwell.tuning.keeping import Keeper
from fitwell.tuning.kinds import Course, Kind

MOST = 6  # sizes that are tried where none are given, each half of the next
FEWEST = 16  # samples, also two of each class
WORTH = 0.1  # share of the error by which twice the samples must lower it to be worth while
NOTHING = 0.05  # share of the error that is as good as nothing
NOTE = "smaller training parts are trained for more epochs, so that all take about as many optimizer steps"


def numbers(data: Data, asked: Sequence[int] | None) -> list[int]:
    """The numbers of samples that are trained on: those asked for, or halves of all.

    Raises:
        PlanError: fewer than two numbers, or one that the training part does not have.
    """
    whole = len(data.train)
    if asked is not None:
        found = sorted(set(asked))
        if len(found) < 2 or found[0] < 2 or found[-1] > whole:
            raise PlanError(
                f"sizes {list(asked)} of a training part of {whole:,} samples",
                f"two numbers or more from 2 to {whole:,}",
                f"try --sizes {max(2, whole // 4)},{whole}",
            )
        return found
    least = max(FEWEST, 2 * len(data.shape.target.names) if data.shape.target.kind != "number" else 0)
    found = [whole]
    while len(found) < MOST and found[0] // 2 >= least:
        found.insert(0, found[0] // 2)
    if len(found) < 2:
        raise PlanError(
            f"a learning curve of {whole:,} training samples",
            f"{2 * least:,} or more, for its half is tried, too",
            "add data, or give --sizes",
        )
    return found


def lengthened(plan: Plan, samples: int, whole: int) -> Plan:
    """The plan with as many epochs as give the steps of the whole training part, and as much patience."""
    of_all, of_some = (
        Iterations.of(count, int(plan.batch_size), 1, plan.accumulate).steps for count in (whole, samples)
    )
    patience = plan.stopping.patience
    return plan.change(
        epochs=max(1, round(int(plan.stopping.epochs) * of_all / of_some)),
        patience=patience if patience is None else max(1, round(int(patience) * of_all / of_some)),
    )


def conduct(course: Course) -> None:
    """Train on each number of samples with several seeds; tell mean and verdict of each, and where the curve goes."""
    study, setting = course.study, course.setting
    metric = main_metric(setting.data.shape.target)
    opened(course, NOTE)
    counts = numbers(setting.data, course.request["sizes"])
    train(course, _trials(course, counts), Keeper(study, models=False))
    every = {count: [one for one in study.trials if one.values["samples"] == count] for count in counts}
    done = {count: ended_well(trials) for count, trials in every.items()}
    points = [_point(count, every[count], done[count], metric) for count in counts if every[count]]
    ended = {count: trials for count, trials in done.items() if trials}
    study.write(summary={"points": points, "said": _said(ended, metric, setting.data), "metric": metric})
    largest = ended[max(ended)] if ended else []
    means = {
        f"{part}/{metric}": fmean(one.metrics[f"{part}/{metric}"] for one in largest)
        for part in ("train", "val") if largest
    }  # fmt: skip
    measured(course, largest, means)


def _trials(course: Course, counts: Sequence[int]) -> list[Repeat]:
    setting = course.setting
    found: list[Repeat] = []
    for repeat in range(1, course.request["repeats"] + 1):
        seed = setting.plan.seed + repeat
        for count in counts:
            data = resampled(setting.data, count, seed, replace=False)
            plan = lengthened(setting.plan, count, len(setting.data.train)).change(seed=seed)
            values = {"samples": count, "repeat": repeat}
            found.append(Repeat(len(found) + 1, values, plan, [data]))
    return found


def _point(
    count: int, every: Sequence[TrialRecord], done: Sequence[TrialRecord], metric: str
) -> dict[str, Any]:
    """What the summary tells of a number of samples."""
    found = {
        part: known(metric, [one.metrics[f"{part}/{metric}"] for one in done]) if done else None
        for part in ("train", "val")
    }
    word = majority(done) if done else "broken"
    return {"samples": count, **found, "verdict": word, "trials": [one.number for one in every]}


def _said(ended: dict[int, list[TrialRecord]], metric: str, data: Data) -> str:
    """Whether more data would help, in a sentence or two."""
    if len(ended) < 2:
        return "too few trainings came to their end to tell whether more data would help"
    figures = {count: [one.metrics[f"val/{metric}"] for one in trials] for count, trials in ended.items()}
    *_, last = figures.values()
    if metric == "accuracy" and min(last) == 1:
        return "more data can't be seen to help: there is no error left on validation data"
    errors = [[1 - value for value in values] for values in figures.values()]
    validated = len(data.parts["val"]) if metric == "accuracy" else 0
    ahead = outlook(list(figures), errors, validated)
    if ahead is None:
        return _risen(ended, metric)
    return _foreseen(ahead, metric, max(figures))


def _foreseen(ahead: Outlook, metric: str, samples: int) -> str:
    """The law in words."""
    low, high = ahead.gain
    if low > NOTHING * ahead.now and ahead.now - ahead.then > WORTH * ahead.now:
        verdict = "more data would help"
    elif high < WORTH * ahead.now:
        verdict = "more data would hardly help"
    else:
        verdict = "more data may help"
    return (
        f"{verdict}: twice the samples ({2 * samples:,}) would likely bring {metric} from "
        f"{figure(metric, 1 - ahead.now)} to {figure(metric, 1 - ahead.then)} (95 % interval of the gain "
        f"{figure(metric, low)} to {figure(metric, high)}), if the curve goes on as the power law that fits it, "
        f"error falling with samples^-{ahead.exponent:.2g}"
    )


def _risen(ended: dict[int, list[TrialRecord]], metric: str) -> str:
    """What the last step of the curve gave, where no law can be fitted."""
    before, last = list(ended)[-2:]
    found = {
        count: {one.values["repeat"]: one.metrics[f"val/{metric}"] for one in ended[count]}
        for count in (before, last)
    }
    both = sorted(found[before].keys() & found[last].keys())
    if not both:
        return "no repeat ended with both of the largest numbers of samples: nothing can be told"
    rise = paired([found[last][one] for one in both], [found[before][one] for one in both])
    from_to = f"from {before:,} to {last:,} samples {metric}"
    return f"{_tendency(rise)}: {from_to} {_change(rise, metric)}; the curve is too short or too noisy to be extended"


def _tendency(rise: Interval) -> str:
    if rise.low is None or rise.high is None or rise.low <= 0 <= rise.high:
        return "it can't be told whether more data would help"
    return "more data would likely help" if rise.mean > 0 else "more data did not help"


def _change(rise: Interval, metric: str) -> str:
    word = "rose" if rise.mean >= 0 else "fell"
    if rise.low is None or rise.high is None:
        return f"{word} by {figure(metric, abs(rise.mean))}, of one repeat"
    ends = sorted((abs(rise.low), abs(rise.high))) if rise.low * rise.high > 0 else [rise.low, rise.high]
    between = " to ".join(figure(metric, end) for end in ends)
    return f"{word} by {figure(metric, abs(rise.mean))} (95 % interval {between})"


KIND = Kind("what a plan does with more samples, and whether more of them would help", conduct)
