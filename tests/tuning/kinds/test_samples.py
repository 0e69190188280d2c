"""Learning curve: nested parts, about equal steps, and what it says of more data."""

import numpy as np
import pytest

from fitwell import data as datasets
from fitwell.data.folds import resampled
from fitwell.errors import PlanError
from fitwell.plan import Plan
from fitwell.training.loop import Silent, train
from fitwell.training.prepare import make_job
from fitwell.tuned import learning_curve
from fitwell.tuning.kinds.samples import lengthened


@pytest.mark.parametrize(
    ("samples", "epochs", "patience"), [(80, 4, 3), (40, 7, 5), (16, 20, 15), (5, 20, 15)]
)
def test_all_take_about_the_same_steps(samples, epochs, patience):
    plan = Plan(data="digits").change(batch_size=16, epochs=4, patience=3)
    longer = lengthened(plan, samples, 80)
    assert (longer.stopping.epochs, longer.stopping.patience) == (epochs, patience)
    assert lengthened(plan.change(patience=None), samples, 80).stopping.patience is None


def test_each_part_is_what_it_is_alone(plan, runs):
    study = learning_curve(plan, [20, 84], repeats=2, runs=runs)
    data = datasets.load(study.plan.data, study.plan.seed)
    assert len(data.train) == 84
    for one in study.trials:
        count, seed = one.values["samples"], study.plan.seed + one.values["repeat"]
        part = resampled(data, count, seed, replace=False)
        assert len(part.train) == count
        job = make_job(lengthened(study.plan, count, 84).change(seed=seed), part)
        train(job, Silent())
        assert one.metrics["val/loss"] == pytest.approx(job.best_score, rel=1e-3)
    steps = {one.run.result["steps"] for one in study.trials}
    assert steps == {24}


def test_a_point_tells_the_mean_of_its_trials(plan, runs):
    study = learning_curve(plan, repeats=2, runs=runs)
    points = study.summary["points"]
    assert [point["samples"] for point in points] == [21, 42, 84]
    by_number = {one.number: one for one in study.trials}
    for point in points:
        trials = [by_number[number] for number in point["trials"]]
        assert point["val"]["mean"] == pytest.approx(np.mean([one.metrics["val/accuracy"] for one in trials]))
        assert point["verdict"] in {one.verdict for one in trials}
    assert study.metrics["val/accuracy"] == points[-1]["val"]["mean"]
    assert "more epochs" in study.notes[0]
    assert (study.path / "samples.png").exists()


def curve(errors, validated=200):
    """What is said of trials with these errors, by the number of samples."""
    from types import SimpleNamespace

    from fitwell.tuning.kinds import samples

    ended = {
        count: [
            SimpleNamespace(metrics={"val/accuracy": 1 - error}, values={"repeat": repeat})
            for repeat, error in enumerate(values)
        ]
        for count, values in errors.items()
    }
    data = SimpleNamespace(parts={"val": range(validated)})
    return samples._said(ended, "accuracy", data)


def law(floor, factor, exponent, noise=0.001):
    draw = np.random.default_rng(0)
    return {
        count: floor + factor * count**-exponent + noise * draw.normal(size=3)
        for count in (250, 500, 1000, 2000, 4000)
    }


def test_a_curve_that_falls_as_a_power_would_gain_by_more_data():
    said = curve(law(0.0, 8.0, 0.7), validated=100_000)
    assert said.startswith(
        "more data would help: twice the samples (8,000) would likely bring accuracy from 97.6 % to 98.5 %"
    )
    assert "power law" in said


def test_a_curve_that_is_flat_would_not():
    assert curve(law(0.05, 3000.0, 2.0), validated=100_000).startswith("more data would hardly help")


def test_few_samples_to_validate_on_make_it_less_sure():
    certain, doubtful = (curve(law(0.02, 1.5, 0.4), validated=count) for count in (1_000_000, 300))
    assert certain.startswith("more data would help")
    assert not doubtful.startswith("more data would help")


def test_what_can_not_be_told_is_not():
    assert curve({10: [0.5, 0.4], 20: [0.4, 0.5]}).startswith(
        "it can't be told whether more data would help: from 10 to 20"
    )
    assert curve({10: [0.5, 0.51], 20: [0.3, 0.31]}).startswith(
        "more data would likely help: from 10 to 20 samples accuracy rose by 20.0 %"
    )
    assert curve({10: [0.2], 20: [0.0]}).startswith("more data can't be seen to help")
    assert curve({10: [0.2]}).startswith("too few trainings")
    assert "rose by 10.0 %, of one repeat" in curve({10: [0.2], 20: [0.1]})


def test_an_interrupted_one_goes_on_and_ends_with_the_same(plan, runs, resumed, untouched, tmp_path):
    study, ended = resumed(
        lambda observer: learning_curve(plan, [20, 40, 80], repeats=2, runs=runs, observer=observer)
    )
    assert untouched(study, ended)
    assert len(study.trials) == 6
    whole = learning_curve(plan, [20, 40, 80], repeats=2, runs=tmp_path / "others")
    for one, other in zip(study.trials, whole.trials, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-3)
    assert study.summary["said"] == whole.summary["said"]


@pytest.mark.parametrize(
    ("change", "asked", "said"),
    [
        ({}, {"repeats": 0}, "repeats is 0"),
        ({}, {"sizes": [10]}, "two numbers or more"),
        ({}, {"sizes": [1, 10]}, "from 2 to 84"),
        ({}, {"sizes": [10, 85]}, "from 2 to 84"),
        ({"validation": 0}, {}, "without a validation part"),
        ({"validation": 80, "test": 20}, {}, "learning curve of 20 training samples"),
        ({"model": "autoencoder"}, {}, "without a target"),
    ],
)
def test_what_is_impossible_leaves_nothing_behind(plan, runs, change, asked, said):
    with pytest.raises(PlanError, match=said):
        learning_curve(plan.change(**change), runs=runs, **asked)
    assert not runs.exists()
