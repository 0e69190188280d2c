"""Is the best plan better than the default? Both on fresh seeds, judged by what chose nothing."""

from __future__ import annotations

import dataclasses
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fitwell.fitting import fit
from fitwell.plan import Plan
from fitwell.study import StudyRecord, TrialRecord, create_study
from fitwell.tuning import setting as settings
from fitwell.tuning import verifying
from fitwell.tuning.engine import Engine
from fitwell.tuning.intervals import paired
from fitwell.tuning.keeping import Keeper
from fitwell.tuning.kinds import Course
from fitwell.tuning.populations.population import Population
from fitwell.tuning.setting import settle
from fitwell.tuning.trials import DEFAULT, Trial
from fitwell.tuning.verifying import VERIFICATION, verify

PLAN = Plan(data="iris").change(epochs=3, hidden=(8,), threads=1, lr=0.001, device="cpu")


class Killed(BaseException):
    """SIGKILL."""


@dataclass
class Silent:
    metric: str = ""
    said: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def trial(self, told: TrialRecord, best: float | None = None) -> None:
        pass


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three seeds, nothing is measured, and no file is synced: the operating system survives."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    monkeypatch.setattr(verifying, "SEEDS", 3)
    monkeypatch.setattr(settings, "best_size", lambda *_: (4, {1: 2e-4, 4: 1e-4}))


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., tuple[Course, TrialRecord, TrialRecord]]:
    """A study with two trials, the default and a best one."""

    def made(
        plan: Plan = PLAN, seconds: float = math.inf, **best: Any
    ) -> tuple[Course, TrialRecord, TrialRecord]:
        setting = settle(plan, lambda _text: None)
        study = create_study(setting.plan, "tune", "iris", tmp_path, **setting.document)
        changes = [{}, best or {"lr": 0.03}]
        trials = [
            Trial(n, each, setting.plan.change(**each), [setting.data], stage)
            for n, (each, stage) in enumerate(zip(changes, (DEFAULT, "rate"), strict=True), start=1)
        ]
        waiting = [trials]
        Engine(4, 1, Keeper(study)).run(lambda _room: waiting.pop() if waiting else [], lambda _trial: None)
        default, chosen = study.trials
        return Course(study, setting, time.monotonic() + seconds, Silent()), chosen, default

    return made


def pairs(study: StudyRecord) -> list[TrialRecord]:
    return [one for one in study.trials if one.stage == VERIFICATION]


def test_both_are_trained_on_each_fresh_seed_and_judged_on_its_test_part(made) -> None:
    course, best, default = made()
    told = verify(course, best, default)
    study = course.study
    assert told["seeds"] == [1, 2, 3]
    assert 0 not in told["seeds"], "the seed that chose is not fresh"
    assert (told["metric"], told["higher"]) == ("log_loss", False)
    found = {(one.values["arm"], one.values["seed"]): one for one in pairs(study)}
    assert len(found) == len(pairs(study)) == 6
    assert [one.number for one in study.trials] == list(range(1, 9))
    for arm, record in (("best", best), ("default", default)):
        assert told[arm] == [found[arm, seed].metrics["test/log_loss"] for seed in (1, 2, 3)]
        for seed in (1, 2, 3):
            assert found[arm, seed].plan == record.plan.change(seed=seed)
    assert told["difference"] == paired(told["best"], told["default"]).plain()
    assert told["difference"]["mean"] == pytest.approx(
        statistics.fmean(a - b for a, b in zip(told["best"], told["default"], strict=True))
    )
    assert told["difference"]["low"] <= told["difference"]["mean"] <= told["difference"]["high"]


def test_the_figures_are_those_of_a_training_by_itself(made, tmp_path: Path) -> None:
    course, best, default = made(PLAN.change(epochs=8, patience=None), lr=1.0, shape="constant")
    told = verify(course, best, default)
    run = fit(best.plan.change(seed=2), runs=tmp_path / "alone", draw=False)
    assert run.result["best_epoch"] < 8, "else it does not matter which weights are measured"
    assert told["best"][1] == pytest.approx(
        run.metrics["test/loss"], rel=0.01
    )  # the log loss, without smoothing
    (one,) = [each for each in pairs(course.study) if each.values == {"arm": "best", "seed": 2}]
    assert one.metrics["test/loss"] == pytest.approx(run.metrics["test/loss"], rel=0.01)


def test_no_models_are_kept(made) -> None:
    course, best, default = made()
    verify(course, best, default)
    assert not [one for one in pairs(course.study) if (one.path / "model").exists()]


def test_large_data_is_divided_once(made, monkeypatch: pytest.MonkeyPatch) -> None:
    course, best, default = made()

    def load(_plan: Plan) -> None:
        raise AssertionError("loaded again")

    monkeypatch.setattr(verifying, "load", load)
    monkeypatch.setattr(verifying, "MANY", 10)
    assert verify(course, best, default)["seeds"] == [1, 2, 3]


def test_data_in_memory_is_divided_again(made) -> None:
    from sklearn.datasets import load_iris

    frame = load_iris(as_frame=True).frame
    course, best, default = made(PLAN.change(source=pd.DataFrame(frame), target="target", task="classes"))
    assert verify(course, best, default)["seeds"] == [1, 2, 3]


def test_a_seed_of_which_one_failed_does_not_count(made, monkeypatch: pytest.MonkeyPatch) -> None:
    course, best, default = made()
    begin = Trial.begin

    def failing(self: Trial) -> None:
        begin(self)
        if self.values == {"arm": "best", "seed": 2}:
            self.members, self.failed = [], "not enough memory"

    monkeypatch.setattr(Trial, "begin", failing)
    told = verify(course, best, default)
    assert (told["seeds"], told["difference"]["count"]) == ([1, 3], 2)


def test_without_two_pairs_nothing_is_said(made, monkeypatch: pytest.MonkeyPatch) -> None:
    course, best, default = made(seconds=-1.0)
    assert verify(course, best, default) is None
    assert pairs(course.study) == []
    course, best, default = made()
    monkeypatch.setattr(verifying, "SEEDS", 1)
    assert verify(course, best, default) is None


def test_what_was_stopped_for_the_time_does_not_count(made, monkeypatch: pytest.MonkeyPatch) -> None:
    course, best, default = made()
    epoch = Population.epoch

    def slow(self: Population) -> list[dict[str, float]]:
        time.sleep(0.4)
        return epoch(self)

    monkeypatch.setattr(Population, "epoch", slow)
    late = dataclasses.replace(course, until=time.monotonic() + 0.5)
    assert verify(late, best, default) is None
    assert {one.state for one in pairs(course.study)} == {"stopped"}


@pytest.mark.parametrize("killed_at", [1, 2, 4])
def test_after_a_kill_only_what_is_missing_is_trained(
    killed_at: int, made, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = verify(*made())
    course, best, default = made()
    end, ended = Keeper.end, []

    def dying(self: Keeper, trial: Trial) -> Any:
        found = end(self, trial)
        ended.append(trial.number)
        if len(ended) == killed_at:
            raise Killed
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "end", dying)
        with pytest.raises(Killed):
            verify(course, best, default)
    before = {
        one.number: (one.path / "run.json").read_bytes() for one in pairs(course.study) if one.state == "done"
    }
    assert len(before) == killed_at
    again = Course(StudyRecord(course.study.path), course.setting, math.inf, Silent())
    told = verify(again, best, default)
    assert told == whole
    after = {one.number: (one.path / "run.json").read_bytes() for one in pairs(again.study)}
    assert len(after) == 6
    assert before.items() <= after.items()


def test_without_a_test_part_the_validation_part_judges(made) -> None:
    course, best, default = made(PLAN.change(test=0))
    told = verify(course, best, default)
    found = {(one.values["arm"], one.values["seed"]): one.metrics for one in pairs(course.study)}
    assert told["best"] == [found["best", seed]["val/log_loss"] for seed in (1, 2, 3)]
    assert not any("test/log_loss" in metrics for metrics in found.values())


@pytest.mark.parametrize(
    ("data", "changes", "metric", "higher"),
    [
        ("diabetes", {"lr": 0.01}, "r2", True),
        ("digits", {"lr": 0.01, "family": "autoencoder", "hidden": (4,), "epochs": 1}, "loss", False),
    ],
)
def test_numbers_and_models_without_a_target_are_compared_too(
    data: str, changes: dict[str, Any], metric: str, higher: bool, made
) -> None:
    course, best, default = made(PLAN.change(source=data, **changes))
    told = verify(course, best, default)
    assert (told["metric"], told["higher"]) == (metric, higher)
    assert len(told["best"]) == 3
