"""Pictures are drawn for every study that there can be, and say what the study says."""

import math
import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from studies import SPACE, TUNED, capacity_summary, cv_summary, make_study, samples_summary, search

from fitwell.views import study_figures
from fitwell.views.figures import VALIDATION
from fitwell.views.study_settings import importance

SUMMARIES = {"cv": cv_summary(), "capacity": capacity_summary(), "samples": samples_summary(), "tune": None}


def texts(figure):
    return " ".join(
        text.get_text()
        for axes in figure.axes
        for text in [
            *axes.texts,
            axes._left_title,
            axes._right_title,
            *axes.get_xticklabels(),
            *axes.get_yticklabels(),
        ]
    )


def count(study, state):
    return sum(trial.state == state for trial in study.trials)


@pytest.fixture
def tuned(tmp_path):
    return make_study(tmp_path, trials=search(), **TUNED)


def test_a_line_a_trial_with_a_score_or_dashed_without(tuned):
    figure = study_figures.parallel_coordinates(tuned)
    (axes,) = figure.axes
    lines = [line for line in axes.lines if len(line.get_xdata()) > 2]
    dashed = [line for line in lines if line.get_linestyle() == "--"]
    assert len(lines) == 24
    assert len(dashed) == count(tuned, "failed") > 0
    assert {max(line.get_xdata()) for line in dashed} == {2}
    assert {max(line.get_xdata()) for line in lines if line not in dashed} == {3}


def test_the_best_line_is_orange_and_ends_at_the_top(tuned):
    (axes,) = study_figures.parallel_coordinates(tuned).axes
    (best,) = [line for line in axes.lines if line.get_color() == VALIDATION]
    assert best.get_ydata()[-1] == 1.0
    assert f"best: trial {tuned.best.number}" in texts(axes.figure)
    assert "lr (log)" in texts(axes.figure)
    assert "128 64" in texts(axes.figure)


def test_better_lines_are_darker_and_drawn_later(tmp_path):
    trials = [
        {"values": {"lr": 10.0**-i}, "score": score} for i, score in enumerate([0.5, 0.9, 0.7, 0.6], start=1)
    ]
    for higher in (True, False):
        (axes,) = study_figures.parallel_coordinates(make_study(tmp_path, trials=trials, higher=higher)).axes
        lines = [
            line
            for line in axes.lines
            if len(line.get_xdata()) == 2 and line.get_xdata()[0] != line.get_xdata()[1]
        ]
        ends = [line.get_ydata()[-1] for line in lines]
        assert ends == sorted(ends, reverse=not higher)
        reds = [line.get_color()[0] for line in lines[:-1]]
        assert reds == sorted(reds, reverse=True)


def test_bars_are_as_long_as_the_importance(tuned):
    (axes,) = study_figures.importances(tuned).axes
    shares = importance(tuned)
    assert [bar.get_width() for bar in axes.patches][:-1] == list(shares.values())
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(1, abs=0.05)
    assert axes.get_yticklabels()[0].get_text() == "lr"


def test_too_few_trials_are_said_in_the_picture(tmp_path):
    few = make_study(tmp_path, trials=search(6))
    assert f"{len(few.ranked())} trials done: at least 8 are needed" in texts(study_figures.importances(few))
    same = make_study(tmp_path, trials=[{"values": {"lr": 0.1}, "score": 0.5}] * 9)
    assert "differ in nothing" in texts(study_figures.importances(same))


@pytest.mark.parametrize("higher", [True, False])
def test_the_best_so_far_never_gets_worse_and_ends_at_the_best(tmp_path, higher):
    study = make_study(tmp_path, trials=search(), higher=higher)
    (axes,) = study_figures.history(study).axes
    (line,) = [line for line in axes.lines if line.get_label() == "best so far"]
    values = list(line.get_ydata())
    assert values == sorted(values, reverse=not higher)
    assert values[-1] == study.best.score
    assert list(line.get_xdata())[-1] == 24
    (crosses,) = [line for line in axes.lines if line.get_label() == "failed"]
    assert len(crosses.get_xdata()) == count(study, "failed")


def test_capacity_has_both_parts_over_a_log_axis_with_its_regions(tmp_path):
    figure = study_figures.capacity_curve(make_study(tmp_path, "capacity", summary=capacity_summary()))
    curves, both = figure.axes
    assert curves.get_xscale() == both.get_xscale() == "log"
    assert [list(line.get_ydata()) for line in curves.lines] == [[0.71, 0.97, 1.0], [0.70, 0.95, 0.90]]
    assert [line.get_label() for line in both.lines] == ["bias", "variance"]
    for text in ("too little", "just right", "too much"):
        assert text in texts(figure)
    edges = sorted(patch.get_x() for patch in curves.patches)
    assert edges[1] == pytest.approx(math.sqrt(310 * 4810))
    assert edges[2] == pytest.approx(math.sqrt(4810 * 300_000))


def test_without_bias_there_is_one_panel_and_points_without_figures_are_left_out(tmp_path):
    summary = capacity_summary()
    for point in summary["points"]:
        point |= {"bias": None, "variance": None, "verdict": "slow"}
    summary["points"][1]["val"] = None
    figure = study_figures.capacity_curve(make_study(tmp_path, "capacity", summary=summary))
    assert len(figure.axes) == 1
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [3, 2]
    assert "too" not in texts(figure)


def test_the_learning_curve_is_over_samples(tmp_path):
    (axes,) = study_figures.learning_curve(make_study(tmp_path, "samples", summary=samples_summary())).axes
    assert list(axes.lines[0].get_xdata()) == [100, 500, 1000]
    assert axes.get_xlabel() == "samples"
    assert "100 %" in texts(axes.figure)


def test_folds_are_points_around_their_mean(tmp_path):
    accuracy, loss = study_figures.cross_validation(make_study(tmp_path, "cv", summary=cv_summary())).axes
    assert list(accuracy.collections[0].get_offsets()[:, 0]) == pytest.approx([0.95, 0.96, 0.97])
    assert list(accuracy.lines[0].get_xdata()) == [0.96, 0.96]
    (band,) = loss.patches
    assert (band.get_x(), band.get_width()) == pytest.approx((0.02, 0.2))


@pytest.mark.parametrize("kind", SUMMARIES)
@pytest.mark.parametrize(
    "trials",
    [
        [], [{"state": "running"}], [{"state": "failed", "values": {"lr": 0.1}}], [{"score": math.nan}],
        [{"score": 0.5, "values": {"lr": 0.1, "data": "a" * 200}}],
        [{"score": 0.5, "values": {"activation": "$x" + "y" * 99}}, {"score": 0.5}],
        [{"score": 0.5, "state": "stopped", "values": {"lr": 0.1}}, {"state": "failed", "values": {"lr": 0.2}}],
    ],
)  # fmt: skip
def test_every_study_has_its_pictures_however_far_it_came(tmp_path, monkeypatch, kind, trials):
    # A plan refuses such settings, but what other programs or later versions write must be no obstacle.
    monkeypatch.setattr("studies.Space.apply", lambda self, plan, values: plan)
    made = make_study(tmp_path, kind, trials, "preempted")
    paths = study_figures.write_study_figures(made)
    assert [path.name for path in paths] == [f"{name}.png" for name in study_figures.FITTING[kind]]
    for path in paths:
        with Image.open(path) as picture:
            assert picture.size[0] > 500
    if not trials:
        assert "`fitwell resume" in texts(next(iter(study_figures.study_figures(made).values())))


@pytest.mark.parametrize("kind", SUMMARIES)
def test_pictures_of_finished_studies_are_written(tmp_path, kind):
    made = make_study(tmp_path, kind, search(), summary=SUMMARIES[kind], space=SPACE)
    for path in study_figures.write_study_figures(made):
        with Image.open(path) as picture:
            assert len(picture.convert("L").getcolors(256) or []) > 20
