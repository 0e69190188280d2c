"""Capacity: every size on the same training sets, as it would be alone; the last weights count; bias and variance."""

import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fitwell import data as datasets
from fitwell.data.folds import resampled
from fitwell.errors import PlanError
from fitwell.plan import Plan
from fitwell.training.evaluation import measure
from fitwell.training.loop import Silent, train
from fitwell.training.prepare import make_job
from fitwell.tuned import capacity
from fitwell.tuning.kinds import capacity as kind


def test_each_size_is_what_it_is_alone_after_its_last_epoch(plan, runs):
    study = capacity(plan.change(epochs=12), [0, 4, 32], resamples=2, runs=runs)
    assert study.plan.model.dropout == 0
    assert study.plan.optimizer.weight_decay == 0
    assert study.plan.stopping.patience is None
    assert "without dropout, weight decay" in study.notes[0]
    data = datasets.load(study.plan.data, study.plan.seed)
    for one in study.trials:
        number, hidden = one.values["resample"], one.values["hidden"]
        drawn = resampled(data, None, study.plan.seed + number, replace=True)
        job = make_job(study.plan.change(hidden=tuple(hidden), seed=study.plan.seed + number), drawn)
        train(job, Silent())
        figures = measure(job.family, job.model, data.validation, data.shape.target)
        assert one.metrics["val/loss"] == pytest.approx(figures["loss"], rel=1e-3)
        assert one.metrics["val/accuracy"] == figures["accuracy"]
        assert one.run.result["best_epoch"] == 12


def test_a_point_tells_means_bias_and_variance(plan, runs):
    study = capacity(plan, [0, 4, 32], resamples=3, runs=runs)
    points = study.summary["points"]
    assert [point["hidden"] for point in points] == [[], [4], [32]]
    assert [point["parameters"] for point in points] == [7, 33, 257]
    by_number = {one.number: one for one in study.trials}
    for point in points:
        trials = [by_number[number] for number in point["trials"]]
        assert [one.values["resample"] for one in trials] == [1, 2, 3]
        assert point["val"]["mean"] == pytest.approx(np.mean([one.metrics["val/accuracy"] for one in trials]))
        assert point["train"]["count"] == 3
        assert point["bias"] > 0
        assert point["variance"] > 0
        assert not (trials[0].path / "model").exists()
    means = [point["val"]["mean"] for point in points]
    assert study.summary["best"] == means.index(max(means))
    assert study.summary["decomposed"] == {"loss": "log loss", "part": "test"}
    assert study.metrics["val/accuracy"] == max(means)
    assert (study.path / "capacity.png").exists()


def test_bias_and_variance_are_those_of_numbers(runs):
    # y = x²: a line errs in all training sets alike; with noise many units err in each differently.
    draw = np.random.default_rng(0)
    x = draw.uniform(-2, 2, 90)
    frame = pd.DataFrame({"x": x, "y": x**2 + 0.3 * draw.normal(size=90)})
    plan = Plan(data=frame).change(
        model="mlp", lr=0.02, epochs=60, batch_size=16, activation="tanh", threads=1, test=0.3, norm="none"
    )
    line, many = capacity(plan, [0, 64], resamples=4, runs=runs).summary["points"]
    assert line["verdict"] == "underfitting"
    assert many["verdict"] == "just-right"
    assert line["bias"] > 3 * many["bias"]
    assert line["bias"] > 5 * line["variance"]


def test_noise_is_memorised_by_what_is_too_large(runs):
    draw = np.random.default_rng(1)
    values = draw.normal(size=(160, 12))
    target = values[:, 0] + 1.5 * draw.normal(size=160)
    plan = Plan(data=(values, target)).change(
        model="mlp", lr=0.01, epochs=60, batch_size=16, threads=1, validation=0.4, test=0
    )
    study = capacity(plan, [0, 8, 128], resamples=4, runs=runs)
    assert [point["verdict"] for point in study.summary["points"]] == [
        "just-right",
        "overfitting",
        "overfitting",
    ]
    said = study.summary["said"]
    assert said.startswith(
        "13 parameters, the fewest that were tried, are enough; beyond 13 it only memorises"
    )
    assert study.summary["decomposed"]["part"] == "val"
    variances = [point["variance"] for point in study.summary["points"]]
    assert variances[0] < min(variances[1:])


def test_one_training_set_has_no_variance(plan, runs):
    points = capacity(plan, [2, 4], resamples=1, runs=runs).summary["points"]
    assert [(point["bias"], point["variance"], point["val"]["low"]) for point in points] == [
        (None, None, None)
    ] * 2


def test_an_interrupted_one_goes_on_and_ends_with_the_same(plan, runs, resumed, untouched, tmp_path):
    study, ended = resumed(
        lambda observer: capacity(plan, [2, 4, 8], resamples=2, runs=runs, observer=observer)
    )
    assert untouched(study, ended)
    assert len(study.trials) == 6
    assert len(study.notes) == 1
    whole = capacity(plan, [2, 4, 8], resamples=2, runs=tmp_path / "others")
    for one, other in zip(study.summary["points"], whole.summary["points"], strict=True):
        assert one["verdict"] == other["verdict"]
        assert one["bias"] == pytest.approx(other["bias"], rel=1e-3)
        assert one["val"] == pytest.approx(other["val"], nan_ok=True)


def test_too_little_time_is_told(plan, runs):
    study = capacity(plan.change(epochs=3000), [2, 4], seconds=0.5, runs=runs)
    assert study.state == "done"
    assert study.summary["best"] is None
    assert "give it more time" in study.summary["said"]
    assert {one.state for one in study.trials} <= {"stopped"}  # none, if deciding the plan took all the time


@pytest.mark.parametrize(
    ("left", "begun", "count"), [(100, 1, 4), (25, 1, 2), (5, 1, 0), (5, 3, 2), (-1, 1, 0), (1e9, 1, 4)]
)
def test_with_little_time_there_are_fewer_training_sets(left, begun, count):
    trials = [SimpleNamespace(seconds=10.0, values={"resample": number + 1}) for number in range(begun)]
    written = {"notes": ["before"]}
    study = SimpleNamespace(trials=trials, notes=["before"], write=written.update)
    observer = SimpleNamespace(say=lambda _text: None)
    course = SimpleNamespace(study=study, until=time.monotonic() + left, observer=observer)
    assert kind._more(course, 4) == count
    told = [] if count == 4 else [f"there was time for {count + 1} of 5 training sets"]
    assert written["notes"] == ["before", *told]


def test_a_time_that_is_enough_changes_nothing(plan, runs, tmp_path):
    timed = capacity(plan, [2, 4], resamples=2, seconds=600, runs=runs)
    free = capacity(plan, [2, 4], resamples=2, runs=tmp_path / "others")
    assert [one.values for one in timed.trials] == [one.values for one in free.trials]
    for one, other in zip(timed.trials, free.trials, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-4)


def test_a_size_that_fails_is_broken(plan, runs):
    study = capacity(plan.change(lr=1e30, optimizer="sgd"), [2, 4], resamples=2, runs=runs)
    assert [point["verdict"] for point in study.summary["points"]] == ["broken", "broken"]
    assert study.summary["best"] is None
    assert study.summary["points"][0]["val"] is None


@pytest.mark.parametrize(
    ("change", "asked", "said"),
    [
        ({}, {"resamples": 0}, "resamples is 0"),
        ({}, {"sizes": [4]}, "two widths or more"),
        ({}, {"sizes": [-1, 4]}, "two widths or more"),
        ({}, {"seconds": 0}, "seconds is 0"),
        ({"validation": 0}, {}, "without a validation part"),
        ({"model": "rbm"}, {}, "without a target"),
    ],
)
def test_what_is_impossible_leaves_nothing_behind(plan, runs, change, asked, said):
    with pytest.raises(PlanError, match=said):
        capacity(plan.change(**change), runs=runs, **asked)
    assert not runs.exists()


def test_a_cnn_has_channels(runs):
    draw = np.random.default_rng(0)
    labels = np.arange(90) % 3
    images = (draw.integers(0, 80, (90, 8, 8)) + 60 * labels[:, None, None]).astype(np.uint8)
    plan = Plan(data=(images, labels)).change(hidden=(2, 4), lr=0.01, epochs=1, batch_size=16, threads=1)
    study = capacity(plan, resamples=1, runs=runs)
    assert [point["hidden"] for point in study.summary["points"]] == [[1, 2], [2, 4], [4, 8], [8, 16]]
    assert study.plan.regularization.augment == ()
    with pytest.raises(PlanError, match="width 0"):
        capacity(plan, [0, 2], runs=runs)
