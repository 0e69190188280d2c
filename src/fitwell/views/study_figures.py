"""Pictures of a study: its trials over their settings, what matters, and how the figures grow with size or data.

Lines go from grey to blue as the score improves, and the best is orange, so that it is seen on paper of any colour.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitwell.study import StudyRecord, TrialRecord
from fitwell.views.figures import (
    GOOD,
    GREY,
    INK,
    LINE,
    PARTS,
    TRAIN,
    VALIDATION,
    blank,
    number,
    save,
    shortened,
    shown,
    tidy,
    title,
)
from fitwell.views.seen import counted
from fitwell.views.study_settings import LEAST, Scale, coordinates, importance, is_number, scales
from fitwell.views.study_texts import Interval, interval, metric_words, state_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_AXES = 10
HEADROOM = 0.08  # of the height, for the names of regions
DASHED = (0, (3, 3))
POOR = "#b9c4cf"
REGIONS = {
    "underfitting": ("too little", TRAIN), "just-right": ("just right", GOOD), "overfitting": ("too much", VALIDATION),
}  # fmt: skip


def parallel_coordinates(study: StudyRecord) -> Figure:
    """A line a trial over its settings to its score, the better the bluer; dashed those that failed."""
    trials = [trial for trial in study.tried if trial.state != "running"]
    axes_of = scales(study, trials)[:MOST_AXES]
    figure = blank(max(6.0, 1.5 * (len(axes_of) + 1) + 1.0), 4.6)
    axes = figure.subplots()
    title(figure, f"the settings of {counted(len(trials), 'trial')}")
    scores = [trial.score for trial in trials if trial.score is not None]
    if not scores or not axes_of:
        _say(axes, state_text(study) or "no setting was varied")
        return figure
    score = Scale(metric_words(study), (min(scores), max(scores)))
    ranked = [trial.score or 0.0 for trial in study.ranked()] or scores
    done = Scale("done", (min(ranked), max(ranked)))
    placed, best = coordinates(study, axes_of), study.best
    for trial in sorted(trials, key=lambda each: _goodness(study, done, each)):
        places = [*placed[trial.number], score.place(trial.score)]
        first = best is not None and trial.number == best.number
        _trial_line(axes, trial, places, _goodness(study, done, trial), first)
    if best is not None:
        axes.set_title(f"best: trial {best.number}, {shown(_metric(study), best.score)}", loc="right", color=VALIDATION,
                       fontsize=9)  # fmt: skip
    _uprights(axes, [*axes_of, score], _metric(study))
    return figure


def _metric(study: StudyRecord) -> str:
    return study.metric.rpartition("/")[2]


def _say(axes: Axes, text: str) -> None:
    """A text in the place of a picture."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", color=GREY, transform=axes.transAxes, wrap=True, parse_math=False)


def _goodness(study: StudyRecord, done: Scale, trial: TrialRecord) -> float:
    """0 for the worst that is done, 1 for the best, less than 0 for the others: the order in which lines are drawn."""
    place = done.place(trial.score)
    if place is None or trial.state != "done":
        return -1.0
    return place if study.higher else 1 - place


def _trial_line(
    axes: Axes, trial: TrialRecord, places: Sequence[float | None], goodness: float, first: bool
) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    known = [(at, place) for at, place in enumerate(places) if place is not None]
    if trial.state == "failed":
        look: dict[str, Any] = {"color": GREY, "linewidth": 0.9, "linestyle": DASHED, "alpha": 0.7}
    elif trial.state == "stopped":
        look = {"color": POOR, "linewidth": 0.8, "alpha": 0.8}
    elif first:
        look = {"color": VALIDATION, "linewidth": 2.4, "zorder": 4}
    else:
        colours = LinearSegmentedColormap.from_list("score", [POOR, TRAIN])
        look = {"color": colours(max(goodness, 0.0)), "linewidth": 1.2, "alpha": 0.9}
    axes.plot(*zip(*known, strict=True), **look)


def _uprights(axes: Axes, all_scales: Sequence[Scale], metric: str) -> None:
    """An upright axis for each scale, with its values beside it."""
    last = len(all_scales) - 1
    for at, scale in enumerate(all_scales):
        axes.axvline(at, color=INK, linewidth=1, zorder=3)
        for place, text in scale.ticks():
            told = shown(metric, _value_at(scale, place)) if at == last else text
            axes.annotate(
                told, (at, place), xytext=(4, 0), textcoords="offset points", fontsize=8, color=INK, va="center",
                parse_math=False, zorder=5, bbox={"facecolor": LINE, "alpha": 0.8, "linewidth": 0, "pad": 0.8},
            )  # fmt: skip
    axes.set_xlim(-0.1, last + 0.45)
    axes.set_ylim(-0.04, 1.04)
    names = [f"{scale.name}{' (log)' if scale.log else ''}" for scale in all_scales]
    axes.set_xticks(range(len(names)), [shortened(name, 20) for name in names])
    axes.set_yticks([])
    axes.tick_params(colors=INK, labelsize=9, length=0)
    axes.spines[:].set_visible(False)


def _value_at(scale: Scale, place: float) -> float | None:
    low, high = scale.ends or (math.nan, math.nan)
    return low + place * (high - low)


def importances(study: StudyRecord) -> Figure:
    """A bar for each setting as long as ``importance`` says; a text where too few trials are done to tell."""
    shares = importance(study)
    figure = blank(7.5, 1.6 + 0.38 * max(len(shares), 3))
    axes = figure.subplots()
    title(figure, "which settings matter?")
    if not shares:
        done = len(study.ranked())
        few = f"{counted(done, 'trial')} done: at least {LEAST} are needed to tell"
        _say(axes, few if done < LEAST else "the trials that are done differ in nothing that can be told")
        return figure
    together = max(0.0, 1 - sum(shares.values()))
    bars = [*((name, share, TRAIN) for name, share in shares.items()), ("several together", together, GREY)]
    axes.barh(
        range(len(bars)), [share for _, share, _ in bars], color=[colour for *_, colour in bars], height=0.65
    )
    for at, (_, share, _) in enumerate(bars):
        beside: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(f"{100 * share:.0f} %", (share, at), fontsize=9, color=INK, **beside)
    tidy(axes, "share of the variance of the score (functional ANOVA)", "", grid="x")
    axes.set_yticks(range(len(bars)), [shortened(name, 24) for name, *_ in bars], color=INK)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlim(0, 1.12 * max(share for _, share, _ in bars) or 1)
    return figure


def history(study: StudyRecord) -> Figure:
    """The score of each trial in the order of their numbers, and the best so far."""
    trials = study.tried
    figure = blank(7.5, 4.2)
    axes = figure.subplots()
    title(figure, f"how the search went, {metric_words(study)}")
    points, stopped = _scored(trials, "done"), _scored(trials, "stopped")
    if not points:
        _say(axes, state_text(study) or "no trial is done")
        return figure
    looks = {"stopped early": (stopped, 16, POOR), "done": (points, 24, TRAIN)}
    for label, (some, size, colour) in looks.items():
        if some:
            axes.scatter(*_columns(some), size, color=colour, label=label)
    reached = _reached(study, points, trials[-1].number)
    axes.step(*_columns(reached), where="post", color=VALIDATION, linewidth=2, label="best so far")
    failed = [trial.number for trial in trials if trial.state == "failed"]
    if failed:
        low = axes.get_xaxis_transform()
        axes.plot(failed, [0.02] * len(failed), "x", color=GREY, transform=low, label="failed")
    tidy(axes, "", "trial")
    _percent(axes, _metric(study))
    _whole_numbers(axes)
    _legend(axes)
    return figure


def _scored(trials: Sequence[TrialRecord], state: str) -> list[tuple[int, float]]:
    return [
        (trial.number, trial.score) for trial in trials if trial.state == state and trial.score is not None
    ]


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [at for at, _ in points], [value for _, value in points]


def _legend(axes: Axes) -> None:
    axes.legend(loc="best", frameon=False, fontsize=8.5, labelcolor=INK)


def _reached(study: StudyRecord, points: Sequence[tuple[int, float]], last: int) -> list[tuple[int, float]]:
    """The best score so far at each trial, to the last one."""
    better = max if study.higher else min
    scores = [score for _, score in points]
    line = [(at, better(scores[: place + 1])) for place, (at, _) in enumerate(points)]
    return [*line, (last, line[-1][1])]


def _percent(axes: Axes, metric: str) -> None:
    """Write the values of the upright axis as people read the metric."""
    if shown(metric, 1.0).endswith("%"):
        axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.4g} %")


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))


Point = tuple[float, Mapping[str, Any]]


def capacity_curve(study: StudyRecord) -> Figure:
    """The metric on training and validation data over the parameters of the model; bias and variance if they are known.

    What is too little, just right and too much is shaded as the verdicts say.
    """
    points = _points(study, "parameters")
    spread = [
        point for point in points if is_number(point[1].get("bias")) and is_number(point[1].get("variance"))
    ]
    figure = blank(11.0 if spread else 7.5, 4.4)
    first, *others = figure.subplots(1, 2 if spread else 1, squeeze=False)[0]
    title(figure, "how large should the model be?")
    _growth(first, study, points, "parameters", REGIONS)
    if others:
        panel = others[0]
        for name, colour in (("bias", TRAIN), ("variance", VALIDATION)):
            line = [(at, float(point[name])) for at, point in spread]
            panel.plot(
                *zip(*line, strict=True), color=colour, linewidth=2, marker="o", markersize=4, label=name
            )
        _log_x(panel, _decomposed(study), "parameters", [at for at, _ in spread])
        _legend(panel)
    return figure


def _decomposed(study: StudyRecord) -> str:
    """What bias and variance are of."""
    of = study.summary.get("decomposed") or {}
    told = (
        f" of the {of['loss']}, {PARTS.get(of['part'], of['part'])}" if "loss" in of and "part" in of else ""
    )
    return f"bias and variance{told}"


def learning_curve(study: StudyRecord) -> Figure:
    """The metric on training and validation data over the number of samples that were trained on."""
    figure = blank(7.5, 4.4)
    axes = figure.subplots()
    title(figure, "would more data help?")
    _growth(axes, study, _points(study, "samples"), "samples", {})
    return figure


def _points(study: StudyRecord, by: str) -> list[Point]:
    found = study.summary.get("points") or []
    return sorted(
        ((float(point[by]), point) for point in found if is_number(point.get(by))), key=lambda each: each[0]
    )


def _growth(
    axes: Axes, study: StudyRecord, points: Sequence[Point], by: str, regions: Mapping[str, tuple[str, str]]
) -> None:
    """Both parts over the size, each with its band; the regions of the verdicts behind."""
    parts = {"train": ("train", TRAIN), "val": ("validation", VALIDATION)}
    drawn = 0
    for part, (label, colour) in parts.items():
        line = [(at, value) for at, point in points if (value := interval(point.get(part))) is not None]
        drawn += len(line)
        if line:
            _band(axes, line, label, colour)
    if not drawn:
        _say(axes, state_text(study) or "nothing is known yet")
        return
    _log_x(axes, _metric(study), by, [at for at, _ in points])
    _percent(axes, _metric(study))
    _regions(axes, points, regions)
    _legend(axes)


def _band(axes: Axes, line: Sequence[tuple[float, Interval]], label: str, colour: str) -> None:
    places = [at for at, _ in line]
    low = [value.low if value.known else value.mean for _, value in line]
    high = [value.high if value.known else value.mean for _, value in line]
    axes.fill_between(places, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(
        places,
        [value.mean for _, value in line],
        color=colour,
        linewidth=2,
        marker="o",
        markersize=4,
        label=label,
    )


def _log_x(axes: Axes, name: str, by: str, places: Sequence[float]) -> None:
    tidy(axes, name, by)
    axes.set_xscale("log")
    axes.minorticks_off()
    few = places if len(places) <= 8 else places[:: math.ceil(len(places) / 8)]
    axes.set_xticks(few, [number(place, 3) for place in few], rotation=30 if len(few) > 5 else 0)


def _regions(axes: Axes, points: Sequence[Point], regions: Mapping[str, tuple[str, str]]) -> None:
    """Shade the sizes of each verdict, to the middle between neighbours, and write what it means above."""
    edges = [math.sqrt(a[0] * b[0]) for a, b in itertools.pairwise(points)]
    low, high = axes.get_xlim()
    named: set[str] = set()
    if regions:
        bottom, top = axes.get_ylim()
        axes.set_ylim(bottom, top + HEADROOM * (top - bottom))
    for left, right, (_, point) in zip([low, *edges], [*edges, high], points, strict=True):
        verdict = str(point.get("verdict"))
        if verdict not in regions:
            continue
        text, colour = regions[verdict]
        axes.axvspan(left, right, color=colour, alpha=0.08, linewidth=0)
        if verdict not in named:
            axes.annotate(text, (left, 1.0), xycoords=axes.get_xaxis_transform(), xytext=(4, -4),
                          textcoords="offset points", va="top", color=colour, fontsize=8.5)  # fmt: skip
            named.add(verdict)
    axes.set_xlim(low, high)


def cross_validation(study: StudyRecord) -> Figure:
    """The folds as points, with their mean and its interval, a row for each metric."""
    folds, means = study.summary.get("folds") or [], study.summary.get("metrics") or {}
    found = {name: value for name, plain in means.items() if (value := interval(plain)) is not None}
    figure = blank(7.5, 1.2 + 1.1 * max(len(found), 2))
    title(figure, f"cross-validation over {counted(len(folds), 'fold')}")
    if not found:
        _say(figure.subplots(), state_text(study) or "no fold is done")
        return figure
    rows = figure.subplots(len(found), 1, squeeze=False)[:, 0]
    for axes, (name, value) in zip(rows, found.items(), strict=True):
        _fold_row(axes, name, value, [fold.get("metrics") or {} for fold in folds])
    return figure


def _fold_row(axes: Axes, name: str, value: Interval, folds: Sequence[Mapping[str, Any]]) -> None:
    figures = [fold.get(name, fold.get(f"val/{name}")) for fold in folds]
    known = [each for each in figures if is_number(each)]
    if value.known:
        axes.axvspan(value.low, value.high, color=VALIDATION, alpha=0.15, linewidth=0)
    axes.axvline(value.mean, color=VALIDATION, linewidth=2)
    axes.scatter(known, [0.0] * len(known), s=36, color=TRAIN, zorder=3, alpha=0.8, linewidths=0)
    tidy(axes, f"{name}: {value.text}", "", grid="x")
    if shown(name.rpartition("/")[2], 1.0).endswith("%"):
        axes.xaxis.set_major_formatter(lambda value, _: f"{value * 100:.4g} %")
    axes.set_yticks([])
    axes.set_ylim(-1, 1)


Draw = Callable[[StudyRecord], "Figure"]
FITTING: dict[str, dict[str, Draw]] = {
    "tune": {"trials": parallel_coordinates, "importance": importances, "search": history},
    "cv": {"folds": cross_validation},
    "capacity": {"capacity": capacity_curve},
    "samples": {"samples": learning_curve},
}
ALTERNATIVES = {
    "trials": "A line for each trial over its settings to its score", "importance": "How much each setting matters",
    "search": "Score by trial, and the best so far", "folds": "The metrics of each fold, and their means",
    "capacity": "Metric on training and validation data by parameters", "samples": "The same by samples",
}  # fmt: skip


def study_figures(study: StudyRecord) -> dict[str, Figure]:
    """Every picture that suits the kind of the study, by its name."""
    return {name: draw(study) for name, draw in FITTING.get(study.kind, FITTING["tune"]).items()}


def write_study_figures(study: StudyRecord) -> list[Path]:
    """Write every picture that suits the study into its folder, atomically; return their paths.

    Raises:
        StorageError: the folder can't be written.
    """
    return [save(figure, study.path / f"{name}.png") for name, figure in study_figures(study).items()]
