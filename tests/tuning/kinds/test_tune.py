"""A search as a whole: what it decides for, what it keeps, and what it tells."""

from __future__ import annotations

import dataclasses
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from fitwell import tuned
from fitwell.data.contract import Data
from fitwell.data.folds import folds
from fitwell.errors import PlanError, RunError
from fitwell.fitting import FittedRun, fit
from fitwell.plan import Plan
from fitwell.space import choice, integer, loguniform
from fitwell.study import StudyRecord, TrialRecord
from fitwell.training.artifact import load_model
from fitwell.training.prepare import load
from fitwell.tuned import Quiet, Study
from fitwell.tuning import objective, verifying
from fitwell.tuning.ensembles import outputs_on
from fitwell.tuning.kinds import Course
from fitwell.tuning.kinds.tune import _searched_until
from fitwell.tuning.populations import packing
from fitwell.tuning.setting import Setting

GRID: dict[str, Any] = {"lr": [0.003, 0.03]}
SEEDS: dict[str, Any] = {"seed": [1, 2, 3, 4]}  # models that are better together,
ANY_SETTING = Setting(
    Plan(data="iris").change(epochs=10), cast(Data, None), size=1, few=1, workers=1, pace=1.0, reasons={}
)
TRAINED: dict[str, Any] = {"epochs": 20, "lr": 0.02, "patience": None}  # for they have learned something


@dataclass
class Seen:
    metric: str = ""
    said: list[str] = field(default_factory=list)
    trials: list[int] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def trial(self, told: TrialRecord, best: float | None = None) -> None:
        self.trials.append(told.number)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned, "_draw", lambda _study: None)  # see tests/views
    monkeypatch.setattr(verifying, "SEEDS", 2)
    monkeypatch.setattr(
        os, "fsync", lambda _handle: None
    )  # the operating system survives, so nothing is lost


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def tune(plan: Plan, runs: Path, seen: Seen) -> Callable[..., Study]:
    """Tune the quick plan, with changes, through a grid without halving."""

    def tune(space: Any = GRID, changes: dict[str, Any] | None = None, **more: Any) -> Study:
        given = {"method": "grid", "halving": False, "runs": runs, "observer": seen} | more
        return tuned.tune(plan.change(**changes or {}), space, **given)

    return tune


def tried(study: Study) -> list[TrialRecord]:
    return [one for one in study.trials if one.stage not in ("default", "verification")]


def test_the_best_is_told_and_its_model_kept(tune, seen: Seen) -> None:
    study = tune()
    best = study.ranked()[0] if study.ranked()[0].stage != "verification" else study.best
    chosen = min((one for one in study.trials if one.stage != "verification"), key=lambda one: one.score)
    assert (study.summary["best"], study.best.number) == (chosen.number, chosen.number)
    assert best is not None
    assert study.summary["default"] == study.default.number == 1
    assert study.metric == seen.metric == "val/log_loss"
    mine, its = load_model(study.path / "model"), load_model(chosen.path / "model")
    for name, values in its.model.state_dict().items():
        assert (mine.model.state_dict()[name] == values).all()
    assert study.result["metrics"] == chosen.run.metrics
    assert study.evaluation["part"] == "test"


def test_it_predicts_as_any_run_does(tune, plan: Plan) -> None:
    study = tune()
    again = FittedRun(study.path)
    said = again.predict(plan.data.source)
    assert set(said) <= {"yes", "no"}
    chances = again.predict_proba(plan.data.source)
    assert np.allclose(chances.sum(1), 1)


def test_a_trial_is_what_fit_makes_of_its_plan(tune, tmp_path: Path) -> None:
    study = tune()
    for trial in tried(study):
        run = fit(trial.plan, runs=tmp_path / "alone", draw=False)
        for name in ("train/loss", "val/loss", "val/accuracy"):
            if (
                name != "train/loss"
            ):  # ``fit`` measures the whole training part at the end, a trial a sample of it
                assert trial.metrics[name] == pytest.approx(run.metrics[name], rel=1e-4), name


@pytest.mark.parametrize("better", [True, False])
def test_the_best_is_verified_unless_it_is_the_default(better: bool, tune) -> None:
    study = tune({"lr": [0.05] if better else [1e-6]})
    verified = study.summary["verified"]
    assert (verified is not None) == better
    if better:
        assert verified["seeds"] == [1, 2]
        assert verified["difference"]["count"] == 2
    else:
        assert study.best.number == study.default.number == 1


def test_it_tells_what_the_best_model_gains_on_the_test_part(tune) -> None:
    study = tune({"lr": [0.05]}, TRAINED | {"lr": 1e-6})
    data, over = load(study.plan), study.summary["gain_over_default"]
    y = data.test.fields["y"][data.test.index]
    models = (load_model(one.path / "model") for one in (study.default, study.best))
    losses = [float(objective.log_loss(outputs_on(one, data.test), y, data.shape.target)) for one in models]
    assert study.best.number != study.default.number
    assert over["count"] == len(y)
    assert over["mean"] == pytest.approx(losses[0] - losses[1])
    assert over["low"] < over["mean"] < over["high"]


@pytest.mark.parametrize(
    ("seconds", "trial_seconds", "searched"),
    [(math.inf, 1.0, math.inf), (110.0, 1.0, 70.0), (110.0, 5.4, 70.0), (110.0, 5.6, 100.0)],
)
def test_a_part_of_the_time_is_kept_to_verify_if_it_is_enough(
    seconds: float, trial_seconds: float, searched: float
) -> None:
    """Six trainings tell something; the trials that are nearly through have a tenth more than the search."""
    setting = dataclasses.replace(ANY_SETTING, pace=trial_seconds / 10)
    course = Course(cast(StudyRecord, None), setting, time.monotonic() + seconds, Quiet())
    assert _searched_until(course) - time.monotonic() == pytest.approx(searched, abs=0.1)


def test_a_study_of_one_trial_has_no_ensemble_and_more_have_one(tune) -> None:
    assert tune({"lr": [0.05]}, {"lr": 1e6, "optimizer": "sgd", "clip": None}).summary["ensemble"] is None
    study = tune(SEEDS, TRAINED)
    made = study.summary["ensemble"]
    assert len(set(made["members"])) > 1
    assert set(made["members"]) <= {one.number for one in study.trials if one.stage != "verification"}
    assert {"val/log_loss", "test/accuracy"} <= made["metrics"].keys()
    assert math.isfinite(made["gain"])


def test_given_a_test_part_of_its_own_its_labels_decide_nothing(
    tune, frame: pd.DataFrame, tmp_path: Path
) -> None:
    x, y = frame[list("abcdef")].to_numpy("float32"), (frame["y"] == "yes").to_numpy().astype(int)
    found = []
    for number, labels in enumerate((y[90:], 1 - y[90:])):
        np.savez(tmp_path / f"{number}.npz", x_train=x[:90], y_train=y[:90], x_test=x[90:], y_test=labels)
        found.append(tune(SEEDS, TRAINED | {"source": str(tmp_path / f"{number}.npz"), "target": "y"}))
    first, second = found
    for one, other in zip(tried(first), tried(second), strict=True):
        assert (one.values, one.score) == (other.values, other.score)
    assert first.best.number == second.best.number
    assert first.summary["ensemble"]["members"] == second.summary["ensemble"]["members"]
    assert first.summary["ensemble"]["metrics"] != second.summary["ensemble"]["metrics"], "they were measured"


@pytest.mark.parametrize("count", [2, 5])
def test_with_folds_a_score_is_their_mean(count: int, tune, tmp_path: Path) -> None:
    study = tune(GRID, None, cv=count)
    parts = folds(study.plan.data, count, study.plan.seed)
    from fitwell.tuning.populations.packing import trainers
    from fitwell.tuning.trials import Trial

    for trial in tried(study):
        scores = []
        for data in parts:
            single = Trial(1, {}, trial.plan, [data])
            single.begin()
            while single.active:
                (trainer,) = trainers(single.active, lambda _text: None)
                single.add(trainer.epoch())
            scores.append(single.score)
        assert trial.score == pytest.approx(statistics.fmean(scores), rel=1e-5)
        assert len(set(scores)) > 1
    assert not (study.path / "model").exists()
    assert study.summary["ensemble"] is None
    with pytest.raises(RunError, match="has no ensemble"):
        study.ensemble()
    assert study.summary["best"] == min((study.default, *tried(study)), key=lambda one: one.score).number


def test_the_figure_is_that_of_the_folds(tune, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    # A fold has more samples to validate on than the plan's own part, enough for the accuracy.
    monkeypatch.setattr(objective, "ENOUGH", 30)
    study = tune(GRID, None, cv=4)
    assert (study.metric, study.higher, seen.metric) == ("val/accuracy", True, "val/accuracy")
    for one in tried(study):
        assert one.score == pytest.approx(one.metrics["val/accuracy"])
    assert study.best.score == max(one.score for one in (study.default, *tried(study)))


def test_folds_need_no_validation_part_of_their_own_and_a_search_does(tune) -> None:
    with pytest.raises(PlanError, match="no validation part"):
        tune(GRID, {"validation": 0})
    study = tune(GRID, {"validation": 0}, cv=2)
    assert study.best is not None


def test_who_diverges_is_told_of_and_does_not_disturb(tune) -> None:
    rates = [0.01, 0.03]
    alone = tune({"lr": rates}, {"optimizer": "sgd", "clip": None})
    beside = tune({"lr": [*rates, 1e4, 1e6]}, {"optimizer": "sgd", "clip": None})
    bad = {one.values["lr"]: one for one in tried(beside) if one.values["lr"] > 1}
    good = [one for one in tried(beside) if one.values["lr"] < 1]
    for one, same in zip(good, tried(alone), strict=True):  # to the last bit in tests/tuning/test_engine.py
        assert (one.values, one.score) == (same.values, pytest.approx(same.score, abs=1e-6))
    assert bad[1e6].state == "failed"
    assert bad[1e6].reason.startswith("the loss became")
    assert "loss-not-finite" in [each["name"] for each in bad[1e6].run.result["findings"]]
    assert beside.best.values == alone.best.values
    from fitwell.views.study_texts import failures

    assert any("the loss became" in text for text in failures(beside))


def test_if_all_fail_that_is_said(tune, seen: Seen) -> None:
    study = tune({"lr": [1e6, 1e7]}, {"optimizer": "sgd", "clip": None, "lr": 1e6})
    assert study.state == "done"
    assert study.best is None
    assert study.summary == {}
    assert any("no trial ended well" in text for text in seen.said)
    assert study.result["verdict"] == "broken"


def test_if_the_time_is_over_before_it_began_that_is_said(tune, seen: Seen) -> None:
    study = tune(seconds=1e-3)
    assert (study.trials, study.state) == ([], "done")
    assert "the time was over before the first trial" in seen.said[-1]


def test_an_optimizer_that_does_not_exist_fails_and_the_rest_goes_on(tune) -> None:
    study = tune({"algorithm": ["adamw", "nope", "sgd"]})
    assert [one.state for one in tried(study)] == ["done", "failed", "done"]
    assert tried(study)[1].reason == "there is no optimizer 'nope'"


def test_conditions_and_whole_numbers(tune) -> None:
    space = {
        "algorithm": ["adamw", "sgd"],
        "momentum": choice(0.0, 0.9, when={"algorithm": "sgd"}),
        "epochs": integer(1, 3),
    }
    study = tune(space, None, trials=100)
    assert len(tried(study)) == 3 * 3
    for one in tried(study):
        assert ("momentum" in one.values) == (one.values["algorithm"] == "sgd")
        assert one.epochs == one.values["epochs"] == one.plan.stopping.epochs


def test_seeds_and_batches_larger_than_the_data(tune) -> None:
    study = tune({"batch_size": [16, 84, 5000], "seed": [0, 1]}, {"dropout": 0.0})
    found = {(one.values["batch_size"], one.values["seed"]): one for one in tried(study)}
    assert {one.state for one in found.values()} == {"done"}
    for seed in (0, 1):
        assert found[84, seed].score == pytest.approx(found[5000, seed].score, abs=1e-6)
        assert found[84, seed].run.result["steps"] == 4
    assert found[16, 0].score != found[16, 1].score


def test_a_family_that_does_not_suit_fails(tune) -> None:
    study = tune({"family": ["mlp", "cnn", "rbm"]})
    assert [one.state for one in tried(study)] == ["done", "failed", "failed"]
    assert "one image" in tried(study)[1].reason


@pytest.mark.parametrize(
    ("changes", "space", "said"),
    [
        ({"precision": "bf16"}, {"lr": [0.01, 0.03]}, "bf16 is rounded differently in a stack"),
        (
            {"source": "digits", "family": "rbm", "epochs": 1},
            {"lr": [0.01, 0.03]},
            "the family rbm has a loss",
        ),
        (
            {"source": "digits", "family": "autoencoder", "epochs": 1},
            {"lr": [0.01]},
            "the family autoencoder",
        ),
    ],
)
def test_what_can_not_be_stacked_is_trained_alone_and_that_is_said_once(
    changes: dict[str, Any], space: dict[str, Any], said: str, tune, seen: Seen
) -> None:
    study = tune(space, changes)
    assert {one.state for one in study.trials} == {"done"}
    alone = [text for text in seen.said if said in text]
    # Once for the search, and once if the best is verified, too.
    assert 1 <= len(alone) <= 2
    assert study.best is not None


def test_with_little_memory_they_come_in_waves(tune, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    epoch = packing.Population.epoch

    def counting(self: packing.Population) -> list[dict[str, float]]:
        counts.append(len(self.members))
        return epoch(self)

    monkeypatch.setattr(packing.Population, "epoch", counting)
    monkeypatch.setattr(packing, "free_memory", lambda: 1)
    study = tune({"lr": [0.01, 0.02, 0.03]})
    assert set(counts) == {1}
    assert [one.state for one in tried(study)] == ["done"] * 3


def test_numbers_are_tuned_by_r2(tune) -> None:
    study = tune({"lr": [0.02, 1e-6]}, {"source": "diabetes"})
    assert (study.metric, study.higher) == ("val/r2", True)
    assert study.best.values == {"lr": 0.02}
    assert study.best.score == max(one.score for one in study.trials if one.stage != "verification")
    assert study.summary["verified"]["metric"] == "r2"


def test_without_a_test_part_it_is_judged_by_the_validation_part(tune) -> None:
    study = tune(SEEDS, TRAINED | {"test": 0})
    assert study.best is not None
    assert study.evaluation["part"] == "val"
    assert not any(name.startswith("test/") for name in study.summary["ensemble"]["metrics"])


def test_a_time_is_kept_and_that_is_told(tune, seen: Seen) -> None:
    begin = time.monotonic()
    study = tune({"lr": loguniform(1e-3, 1e-1)}, {"epochs": 5}, method="random", seconds=2.0)
    assert time.monotonic() - begin < 6
    assert study.best is not None
    assert len(tried(study)) > 1
    assert study.state == "done"
    ended = [one.reason for one in study.trials if one.state == "stopped"]
    assert ended == [] or "the time" in str(ended), ended


def test_by_default_the_usual_guide_is_followed(tune) -> None:
    study = tune(None, trials=10, method="auto")
    assert study.stages[0]["name"] == "rate"
    assert study.method == "auto"
    assert sum(len(stage["trials"]) for stage in study.stages) == len(tried(study))
