"""Cross-validation: a fold is what it is alone, and the mean and its interval are those of the folds."""

import math
from statistics import fmean, stdev

import numpy as np
import pytest
from scipy import stats

from fitwell.data.folds import folds
from fitwell.errors import DataError, FitwellError, PlanError
from fitwell.fitting import fit
from fitwell.plan import Plan
from fitwell.training.loop import Silent, train
from fitwell.training.prepare import make_job
from fitwell.tuned import cross_validate


def test_each_fold_is_what_it_is_alone(plan, runs):
    study = cross_validate(plan.change(epochs=30, lr=0.03), 3, runs=runs)
    assert (
        min(one.run.result["best_epoch"] for one in study.trials) < 30
    )  # the best weights count, not the last
    for number, data in enumerate(folds(study.plan.data, 3, study.plan.seed), start=1):
        job = make_job(study.plan, data)
        train(job, Silent())
        told = study.summary["folds"][number - 1]
        assert (told["fold"], told["trial"]) == (number, number)
        assert told["metrics"]["loss"] == pytest.approx(job.best_score, rel=1e-4)
        assert study.trials[number - 1].score == told["metrics"]["accuracy"]


def test_the_interval_is_that_of_nadeau_and_bengio(plan, runs):
    study = cross_validate(plan, 4, runs=runs)
    values = [fold["metrics"]["loss"] for fold in study.summary["folds"]]
    found = study.summary["metrics"]["loss"]
    half = stats.t.ppf(0.975, 3) * stdev(values) * math.sqrt(1 / 4 + 30 / 90)
    assert found["mean"] == pytest.approx(fmean(values))
    assert found["high"] - found["mean"] == pytest.approx(half, rel=1e-3)
    assert found["count"] == 4
    assert next(iter(study.summary["metrics"])) == "accuracy"
    assert (
        0 <= study.summary["metrics"]["accuracy"]["low"] < study.summary["metrics"]["accuracy"]["high"] <= 1
    )
    assert study.metric == "val/accuracy"
    assert study.metrics["val/loss"] == pytest.approx(fmean(values))
    assert (study.path / "folds.png").exists()


def test_the_log_loss_is_told_where_the_loss_is_another(plan, runs):
    plain = cross_validate(plan, 2, runs=runs).summary["metrics"]
    smooth = cross_validate(plan.change(label_smoothing=0.2), 2, runs=runs).summary["metrics"]
    assert "log_loss" not in plain
    assert smooth["log_loss"]["mean"] != pytest.approx(smooth["loss"]["mean"], rel=1e-3)


def test_numbers_have_r2(frame, runs):
    plan = Plan(data=frame.drop(columns="y").assign(y=frame["a"] * 2)).change(model="mlp", lr=0.01, epochs=3)
    study = cross_validate(plan, 2, runs=runs)
    assert next(iter(study.summary["metrics"])) == "r2"
    assert study.summary["metrics"].keys() == {"r2", "loss", "mae", "rmse"}
    assert study.metric == "val/r2"


def test_groups_and_times_divide(frame, runs, tmp_path):
    frame.assign(who=np.arange(120) // 40, when=np.arange(120)).to_csv(tmp_path / "t.csv", index=False)
    plan = Plan(data=str(tmp_path / "t.csv")).change(model="mlp", lr=0.01, epochs=2, target="y")
    grouped = cross_validate(plan.change(group="who", validation=0.3, test=0), 3, runs=runs)
    assert len(grouped.summary["folds"]) == 3
    with pytest.raises(DataError, match="3 groups for 4 folds"):
        cross_validate(plan.change(group="who", validation=0.3, test=0), 4, runs=runs)
    timed = cross_validate(plan.change(time="when"), 4, runs=runs)
    steps = [one.run.result["steps"] for one in timed.trials]
    assert steps == sorted(steps)
    assert steps[0] < steps[-1]  # the past grows


def test_an_interrupted_one_goes_on_and_ends_with_the_same(plan, runs, resumed, untouched, tmp_path):
    study, ended = resumed(lambda observer: cross_validate(plan, 4, runs=runs, observer=observer))
    assert untouched(study, ended)
    whole = cross_validate(plan, 4, runs=tmp_path / "others")
    for one, other in zip(study.summary["folds"], whole.summary["folds"], strict=True):
        assert one["metrics"] == pytest.approx(other["metrics"], rel=1e-4)


def test_a_fold_that_fails_is_left_out(plan, runs):
    study = cross_validate(plan.change(lr=1e30, optimizer="sgd"), 2, runs=runs)
    assert study.summary == {"folds": [], "metrics": {}}
    assert {one.state for one in study.trials} == {"failed"}
    assert study.state == "done"


def test_a_study_does_not_change_the_process(plan, runs):
    alone = fit(plan, runs=runs).metrics
    cross_validate(plan, 2, runs=runs)
    assert fit(plan, runs=runs).metrics == alone


@pytest.mark.parametrize(
    ("change", "count", "error", "said"),
    [
        ({}, 1, PlanError, "folds is 1"),
        ({}, 121, DataError, "120 samples for 121 folds"),
        ({"model": "autoencoder"}, 3, PlanError, "without a target"),
        ({"model": "nothing"}, 3, FitwellError, "no model family"),
    ],
)
def test_what_is_impossible_leaves_nothing_behind(plan, runs, change, count, error, said):
    with pytest.raises(error, match=said):
        cross_validate(plan.change(**change), count, runs=runs)
    assert not runs.exists()
