"""What is said of a study, in the terminal and on its page: the sentences and the cells of the tables."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from fitwell.errors import FitwellError
from fitwell.study import StudyRecord, TrialRecord
from fitwell.views.figures import PARTS, duration, number, shortened, shown
from fitwell.views.report import value_text
from fitwell.views.seen import counted

KINDS = {
    "tune": "search for settings", "cv": "cross-validation", "capacity": "sizes of the model",
    "samples": "numbers of samples",
}  # fmt: skip
WIDEST_VALUE = 24
MOST_BEST = 5
MOST_SETTINGS = 6  # of a table
APART = 0.9  # share of pairs (failed, not failed) in order, from which a setting tells where trainings fail
MOST_TOLD = 2  # settings that tell it
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")


@dataclass(frozen=True)
class Interval:
    """A mean and its interval of confidence; without one where there was a single figure."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def known(self) -> bool:
        """Whether there are ends."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def text(self) -> str:
        """The figures.

        >>> Interval(0.9621, 0.951, 0.973, 5).text, Interval(0.5, -math.inf, math.inf, 1).text
        ('0.962 (95 % interval 0.951 to 0.973)', '0.5')
        """
        ends = f" (95 % interval {number(self.low, 3)} to {number(self.high, 3)})" if self.known else ""
        return number(self.mean, 3) + ends


def interval(plain: Any) -> Interval | None:
    """The interval that study.json holds; None if there is no finite mean."""
    mean = _finite(plain.get("mean")) if isinstance(plain, Mapping) else None
    if mean is None:
        return None
    low, high = _finite(plain.get("low")), _finite(plain.get("high"))
    ends = (-math.inf, math.inf) if low is None or high is None else (low, high)
    return Interval(mean, *ends, int(plain.get("count") or 1))


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def metric_words(study: StudyRecord) -> str:
    """What trials are compared by: ``accuracy, validation``."""
    part, _, name = study.metric.rpartition("/")
    return f"{name.replace('_', ' ')}, {PARTS.get(part, part)}" if part else name


def score_text(study: StudyRecord, score: float | None) -> str:
    """A value of the study's metric as people read it."""
    return shown(study.metric.rpartition("/")[2], score)


def best_text(folder: Path) -> str:
    """The best score of the study in a folder, or the mean of its folds, as a cell: ``accuracy 98.61 % (val)``."""
    try:
        study = StudyRecord(folder)
        best, mean, (part, _, name) = study.best, main_mean(study), study.metric.rpartition("/")
    except FitwellError:  # a list of runs is no place to complain of one of them
        return "-"
    score = mean.mean if mean is not None else best.score if best is not None else None
    return "-" if score is None else f"{name} {shown(name, score)}{f' ({part})' if part else ''}"


def setting_text(value: Any) -> str:
    """A setting in few letters.

    >>> setting_text(0.0123456), setting_text([64, 64]), setting_text(None), len(setting_text("a" * 99))
    ('0.0123', '64 64', 'none', 24)
    """
    text = number(value, 3) if isinstance(value, float) else value_text(value)
    return shortened(text, WIDEST_VALUE)


def values_text(values: Mapping[str, Any]) -> str:
    """The settings of a trial in a line: ``lr 0.01, hidden 64 64``."""
    return (
        ", ".join(f"{name} {setting_text(value)}" for name, value in values.items()) or "the plan as it was"
    )


def planned(study: StudyRecord) -> dict[str, Any]:
    """The values of the plan that is varied, by the name of the setting."""
    return {path.rpartition(".")[2]: value for path, value, _ in study.plan.settings()}


def applied(study: StudyRecord) -> dict[int, dict[str, Any]]:
    """The settings of each trial by its number: those that it changed, and else those of the plan that is varied.

    A setting whose condition does not hold is left out, such as the momentum of an optimizer without one.
    """
    space, names, base = study.space, study.settings(), planned(study)
    found = {}
    for trial in study.tried:
        values = {name: base[name] for name in names if name in base} | dict(trial.values)
        idle = [
            name
            for name in values
            if space is not None
            and name in space.dimensions
            and name not in trial.values
            and not space.active(name, values)
        ]
        found[trial.number] = {name: value for name, value in values.items() if name not in idle}
    return found


def state_text(study: StudyRecord) -> str:
    """How it ended, if it did not end well; else nothing."""
    state, ended = study.state, sum(trial.state != "running" for trial in study.tried)
    so_far = f"after {counted(ended, 'trial')}" if ended else "before a trial had ended"
    if state == "preempted":
        return f"it was interrupted {so_far}: `fitwell resume {study.name}` goes on"
    if state == "running":
        return f"it goes on: {counted(ended, 'trial')} so far"
    if state == "failed":
        error = str(study.info.get("error") or "it is not known why").partition("\n")[0]
        return f"it failed {so_far}: {error}"
    return (
        "" if study.ranked() else f"none of {counted(len(study.tried), 'trial')} came to an end with a score"
    )


def title(study: StudyRecord) -> str:
    """What was studied on what, with the main count."""
    seconds = spent(study)
    time = f", {duration(seconds)}" if seconds is not None else ""
    what = KINDS.get(study.kind, study.kind)
    return f"{study.info.get('data', study.name)}: {what}, {counted(len(study.tried), 'trial')}{time}"


def spent(study: StudyRecord) -> float | None:
    """Seconds that it took, with all its trials."""
    return _finite(study.info.get("spent", (study.info.get("result") or {}).get("seconds")))


def best_trials(study: StudyRecord, most: int = MOST_BEST) -> list[TrialRecord]:
    """The trials to look at: the best one, those next to it, and the default wherever it stands."""
    ranked, best, default = study.ranked(), study.best, study.default
    first = [*([best] if best is not None else []), *(t for t in ranked if best and t.number != best.number)]
    some = first[:most]
    missing = default is not None and default.number not in {trial.number for trial in some}
    return [*some, default] if default is not None and missing else some


def trials_table(
    study: StudyRecord, trials: Iterable[TrialRecord], most: int = MOST_SETTINGS
) -> tuple[list[str], list[list[str]]]:
    """The head and a row for each of some trials: number, what it is, settings, score, epochs, verdict.

    Args:
        study: that they are of.
        trials: in the order of the rows.
        most: settings that are shown: those that vary, and of many the first of the space.
    """
    every = applied(study)
    best, default = study.best, study.default
    marks = {
        trial.number: mark for mark, trial in (("default", default), ("best", best)) if trial is not None
    }
    names = varied(study, every)[:most]
    head = ["trial", "", *names, metric_words(study), "epochs", "verdict"]
    rows = [
        [str(trial.number), marks.get(trial.number, "")]
        + [setting_text(every[trial.number][name]) if name in every[trial.number] else "-" for name in names]
        + [score_text(study, trial.score), number(trial.epochs), outcome(trial)]
        for trial in trials
    ]
    return head, rows


def varied(study: StudyRecord, every: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """The settings that differ between trials; all, where none does.

    Args:
        study: that they are of.
        every: as ``applied`` has it.
    """
    names = study.settings()
    differ = [
        name for name in names if len({setting_text(values.get(name)) for values in every.values()}) > 1
    ]
    return differ or names


def outcome(trial: TrialRecord) -> str:
    """The verdict on a trial, or why there is none."""
    if trial.state in ("failed", "stopped"):
        return f"{trial.state}: {trial.reason}"
    return trial.verdict.replace("-", " ") or trial.state


def stage_rows(study: StudyRecord) -> list[list[str]]:
    """A row for each stage: name, trials, best score, what it found or why it was gone through."""
    scores = {trial.number: trial.score for trial in study.tried}
    return [
        [
            str(stage.get("name", "")),
            str(len(stage.get("trials") or [])),
            score_text(study, scores.get(stage.get("best") or 0)),
            str(stage.get("found") or stage.get("why") or ""),
        ]
        for stage in study.stages
    ]


def sure_text(study: StudyRecord) -> str:
    """How sure it is that the best is better than the plan as it was; empty where nobody asked.

    ``verified`` in the summary: a figure on fresh seeds, of the test part if there is one, and the interval of the
    paired differences.
    """
    verified = study.summary.get("verified")
    if not verified:
        best, default = study.best, study.default
        if best is not None and default is not None and best.number == default.number:
            return "nothing that was tried is better than the plan as it was"
        if study.state == "running" or study.kind != "tune" or best is None or default is None:
            return ""
        over = interval(study.summary.get("gain_over_default"))
        found = (
            f"against the plan as it was this one model is {_gained(over)}"
            if over
            else "its score may be luck"
        )
        return f"the best was not tried on fresh seeds, for there was no time: {found}"
    seeds = len(verified.get("seeds") or [])
    means = f"{spread(verified.get('best') or [])} against {spread(verified.get('default') or [])}"
    metric = str(verified.get("metric") or study.metric.rpartition("/")[2]).replace("_", " ")
    told = f"{metric} on {counted(seeds, 'fresh seed')} {means}"
    higher = bool(verified.get("higher", study.higher))
    return f"{told}: {_compared(higher, interval(verified.get('difference')))}"


def _compared(higher: bool, difference: Interval | None) -> str:
    if difference is None:
        return "not clearly better, for there are no pairs to compare"
    sign = 1 if higher else -1
    ends = f"95 % interval {number(difference.low, 2)} to {number(difference.high, 2)}"
    if not difference.known:
        return f"not clearly better: the difference is {number(difference.mean, 2)}, of one pair"
    if difference.low <= 0 <= difference.high:
        return f"not clearly better: the difference is {number(difference.mean, 2)} ({ends})"
    word = "better" if sign * difference.mean > 0 else "worse"
    low, high = sorted((abs(difference.low), abs(difference.high)))
    ends = f"95 % interval {number(low, 2)} to {number(high, 2)}"
    return f"{word} by {number(abs(difference.mean), 2)} ({ends})"


def _gained(over: Interval) -> str:
    """What a model gains over another on the same held-out samples."""
    word = f"better by {number(over.mean, 2)}" if over.mean > 0 else f"worse by {number(-over.mean, 2)}"
    chance = ", which may be chance" if over.low <= 0 <= over.high else ""
    ends = f"95 % interval of the gain {number(over.low, 2)} to {number(over.high, 2)}"
    return f"{word if over.mean else 'as good'}{chance} ({ends})"


def spread(values: Sequence[Any]) -> str:
    """Mean and standard deviation, and how many are missing.

    >>> spread([0.98, 0.99]), spread([0.5, None]), spread([])
    ('0.985 ± 0.0071', '0.5 (1 failed)', 'no figure')
    """
    known = [value for value in map(_finite, values) if value is not None]
    failed = f" ({len(values) - len(known)} failed)" if len(known) < len(values) else ""
    if not known:
        return f"no figure{failed}"
    around = f" ± {number(stdev(known), 2)}" if len(known) > 1 else ""
    return f"{number(fmean(known), 3)}{around}{failed}"


def ensemble_text(study: StudyRecord) -> str:
    """What the best trials reach together; empty without an ensemble."""
    ensemble = study.summary.get("ensemble")
    if not ensemble:
        return ""
    members, metrics = ensemble.get("members") or [], ensemble.get("metrics") or {}
    name = study.metric.rpartition("/")[2]
    figures = [
        f"{shown(name, value)} on {PARTS[part]} data"
        for part in PARTS
        if part != "train" and (value := _finite(metrics.get(f"{part}/{name}"))) is not None
    ]
    gain = _finite(ensemble.get("gain"))
    than = "the best alone"
    if gain is None:
        compared = ""
    else:
        compared = f": better than {than} by {number(gain, 2)}" if gain > 0 else f": no better than {than}"
    if (over := interval(ensemble.get("gain_over_default"))) is not None:
        compared += f"; against the plan as it was {_gained(over)}"
    who = f"{counted(len(members), 'trial')} together ({', '.join(map(str, members))})"
    return f"{who} have {name} {', '.join(figures) or 'of no figure'}{compared}"


def folds_table(study: StudyRecord) -> tuple[list[str], list[list[str]]]:
    """The head and a row a fold: its metrics."""
    folds = study.summary.get("folds") or []
    names = list(dict.fromkeys(name for fold in folds for name in fold.get("metrics") or {}))
    rows = [
        [str(fold.get("fold", "")), str(fold.get("trial", ""))]
        + [shown(name.rpartition("/")[2], _finite((fold.get("metrics") or {}).get(name))) for name in names]
        for fold in folds
    ]
    return ["fold", "trial", *names], rows


def cv_texts(study: StudyRecord) -> list[str]:
    """The mean of each metric over the folds, with its interval."""
    found = {name: interval(plain) for name, plain in (study.summary.get("metrics") or {}).items()}
    return [
        f"{name} {value.text} over {counted(value.count, 'fold')}"
        for name, value in found.items()
        if value is not None
    ]


def main_mean(study: StudyRecord) -> Interval | None:
    """The mean over the folds of what the study is judged by; None if it has none."""
    metrics = study.summary.get("metrics") or {}
    return interval(metrics.get(study.metric, metrics.get(study.metric.rpartition("/")[2])))


def points_table(study: StudyRecord) -> tuple[list[str], list[list[str]]]:
    """The head and a row for each size of the model, or number of samples: train, validation, verdict."""
    sizes = study.kind == "capacity"
    name = study.metric.rpartition("/")[2]
    points = study.summary.get("points") or []
    rows = []
    for point in points:
        what = [setting_text(point.get("hidden"))] if sizes else []
        count = number(point.get("parameters" if sizes else "samples"))
        parts = [_point_text(name, interval(point.get(part))) for part in ("train", "val")]
        rows.append([*what, count, *parts, str(point.get("verdict") or "").replace("-", " ")])
    head = ["hidden", "parameters"] if sizes else ["samples"]
    return [*head, f"train {name}", "validation", "verdict"], rows


def _point_text(name: str, found: Interval | None) -> str:
    if found is None:
        return "-"
    half = f" ± {shown(name, (found.high - found.low) / 2)}" if found.known else ""
    return shown(name, found.mean) + half


def said(study: StudyRecord) -> str:
    """What the curve of sizes or samples says, in a sentence."""
    return str(study.summary.get("said") or "")


def failures(study: StudyRecord) -> list[str]:
    """What kept trials from their end, a line for each reason: ``3 failed: the loss became nan (lr 0.5 to 2.1)``."""
    trials = study.tried
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in trials:
        if trial.state in ("failed", "stopped"):
            groups.setdefault((trial.state, _NUMBER.sub("\0", trial.reason)), []).append(trial)
    lines = []
    for (state, _), group in sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1]))):
        others = [trial for trial in trials if trial.state not in (state, "running")]
        where = _where(group, others) if state == "failed" else ""
        lines.append(f"{len(group)} {state}: {_merged([trial.reason for trial in group])}{where}")
    return lines


def _merged(reasons: Sequence[str]) -> str:
    """One text for texts that differ in their numbers alone.

    >>> _merged(["nan in epoch 3 of 9", "nan in epoch 1 of 9"])
    'nan in epoch 1 to 3 of 9'
    """
    columns = zip(*(_NUMBER.findall(reason) for reason in reasons), strict=True)
    ranges = iter([_range([float(text) for text in column]) for column in columns])
    return _NUMBER.sub(lambda _: next(ranges), reasons[0])


def _range(values: Sequence[float]) -> str:
    low, high = number(min(values), 3), number(max(values), 3)
    return low if low == high else f"{low} to {high}"


def _where(failed: Sequence[TrialRecord], others: Sequence[TrialRecord]) -> str:
    """The settings that tell the failed ones from the others, with their values there."""
    names = dict.fromkeys(name for trial in failed for name in trial.values)
    found = []
    for name in names:
        inside = [trial.values[name] for trial in failed if name in trial.values]
        outside = [trial.values[name] for trial in others if name in trial.values]
        text, apart = _told(inside, outside)
        found.append((apart, f"{name} {text}"))
    clear = sorted((pair for pair in found if pair[0] >= APART), key=lambda pair: -pair[0])[:MOST_TOLD]
    return f" ({', '.join(text for _, text in clear)})" if clear else ""


def _told(inside: Sequence[Any], outside: Sequence[Any]) -> tuple[str, float]:
    """The values of one setting as text, and how far they lie apart from the others: 1 is wholly.

    Of numbers the share of pairs that are in order (Mann and Whitney's U), of others the share with another value.
    """
    if all(_finite(value) is not None and not isinstance(value, bool) for value in (*inside, *outside)):
        pairs = [(a > b) + (a == b) / 2 for a in inside for b in outside]
        above = fmean(pairs) if pairs else 1.0
        return _range(inside), max(above, 1 - above)
    texts = {setting_text(value) for value in inside}
    if len(texts) > 1:
        return "", 0.0
    other = [setting_text(value) not in texts for value in outside]
    return next(iter(texts)), fmean(other) if other else 1.0


def next_commands(study: StudyRecord, name: str) -> list[str]:
    """The commands that make use of the study."""
    going_on = [f"fitwell resume {name}"] if study.state == "preempted" else []
    together = " --ensemble" if study.summary.get("ensemble") else ""
    predict = f"fitwell predict {name} NEW_DATA{together} --out predictions.csv"
    able = [predict] if (study.path / "model").is_dir() else []
    return [*going_on, *able, f"fitwell report {name}"]
