"""What is kept of a trial, and that it goes on from there, whenever it was killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fitwell.data.contract import Data
from fitwell.errors import DamagedError
from fitwell.plan import Plan
from fitwell.run import Run
from fitwell.study import StudyRecord, TrialRecord, create_study
from fitwell.training import checkpoint
from fitwell.training.artifact import load_model
from fitwell.training.evaluation import measure
from fitwell.tuning import keeping
from fitwell.tuning.keeping import Keeper, sweep
from fitwell.tuning.populations.packing import arrange
from fitwell.tuning.populations.team import Here
from fitwell.tuning.trials import Trial

EPOCHS = 4
Given = Callable[..., Trial]


@pytest.fixture
def study(plan: Callable[..., Plan], digits: Data, tmp_path: Path) -> StudyRecord:
    return create_study(plan(digits), "tune", "digits", tmp_path, metric="val/log_loss")


@pytest.fixture
def given(plan: Callable[..., Plan], digits: Data) -> Given:
    """A trial that has not begun; its rate is high, so that the best epoch is not the last one."""

    def given(*parts: Data, number: int = 1, **changes: Any) -> Trial:
        parts = parts or (digits,)
        settings = {"epochs": EPOCHS, "lr": 0.05, "dropout": 0.1} | changes
        return Trial(number, {"lr": settings["lr"]}, plan(parts[0]).change(**settings), parts, "rate")

    return given


def begun(keeper: Keeper, trial: Trial) -> Trial:
    trial.begin()
    keeper.begin(trial)
    return trial


def trained(keeper: Keeper, trial: Trial, epochs: int = EPOCHS, save: bool = False) -> Trial:
    """Train for so many epochs, as the engine does."""
    for _ in range(epochs):
        here = Here(arrange(trial.active, 8, 1), lambda _text: None)
        figures = {id(one): row for one, row in zip(here.members, here.epoch(), strict=True)}
        trial.add([figures[id(one)] for one in trial.members if id(one) in figures])
        keeper.epoch(trial)
        if save:
            keeper.save([trial])
    return trial


def only(study: StudyRecord) -> TrialRecord:
    (record,) = study.trials
    return record


def test_from_its_beginning_a_trial_is_a_run_of_the_study(study: StudyRecord, given: Given) -> None:
    begun(Keeper(study), given())
    record = only(study)
    assert (record.number, record.values, record.stage, record.state) == (1, {"lr": 0.05}, "rate", "running")
    assert record.score is None
    assert record.plan == given().plan
    assert record.run.info["parent"] == study.name


def test_a_finished_trial_is_told_as_any_run_is(study: StudyRecord, given: Given) -> None:
    keeper = Keeper(study)
    trial = trained(keeper, begun(keeper, given()))
    keeper.end(trial)
    record, run = only(study), only(study).run
    assert (record.state, run.state, record.epochs) == ("done", "done", EPOCHS)
    assert record.score == pytest.approx(trial.score)
    assert record.metrics["val/log_loss"] == record.score
    assert {"train/loss", "val/loss", "train/accuracy", "val/accuracy"} <= record.metrics.keys()
    assert run.result["steps"] == trial.members[0].job.step == EPOCHS * 10
    assert record.verdict
    assert run.result["best_epoch"] == trial.members[0].job.best_epoch
    assert run.info["finished"] >= run.info["started"]
    assert run.curve("loss/val") == [(e + 1.0, row["loss/val"]) for e, row in enumerate(trial.rows)]
    assert not (run.path / "checkpoints").exists()
    assert (run.path / "findings.json").exists()


def test_its_model_is_that_of_the_best_epoch(study: StudyRecord, given: Given, digits: Data) -> None:
    keeper = Keeper(study)
    trial = trained(keeper, begun(keeper, given(lr=0.3)))
    assert trial.members[0].job.best_epoch != EPOCHS, "else this shows nothing"
    keeper.end(trial)
    fitted = load_model(only(study).path / "model")
    figures = measure(fitted.family, fitted.model, digits.validation, digits.shape.target)
    assert figures["loss"] == pytest.approx(only(study).metrics["val/loss"], rel=1e-5)


def test_no_model_is_kept_of_what_was_stopped_or_failed_or_of_folds(
    study: StudyRecord, given: Given, digits: Data
) -> None:
    keeper = Keeper(study)
    stopped = trained(keeper, begun(keeper, given()), 1)
    stopped.stopped = "after 1 of 4 epochs: 3 of 3 others were better"
    failed = begun(keeper, given(number=2))
    failed.failed = "not enough memory"
    folds = trained(keeper, begun(keeper, given(digits, digits, number=3)), 1)
    unwanted = Keeper(study, models=False)
    none = trained(unwanted, begun(unwanted, given(number=4)), 1)
    for each, trial in ((keeper, stopped), (keeper, failed), (keeper, folds), (unwanted, none)):
        each.end(trial)
    assert [(one.state, one.reason) for one in study.trials] == [
        ("stopped", stopped.stopped), ("failed", "not enough memory"), ("done", ""), ("done", ""),
    ]  # fmt: skip
    assert [one.score is None for one in study.trials] == [False, True, False, False]
    assert not list(study.path.glob("trials/*/model"))


def test_who_diverged_is_diagnosed_but_who_failed_otherwise_is_not_said_to(
    study: StudyRecord, given: Given
) -> None:
    keeper = Keeper(study)
    diverged = trained(keeper, begun(keeper, given(lr=1e6, algorithm="sgd")), 1)
    other = begun(keeper, given(number=2))
    other.members[0].failed = "RuntimeError: not enough memory"
    other.add([{}])
    keeper.epoch(other)
    for trial in (diverged, other):
        keeper.end(trial)
    first, second = study.trials
    assert first.reason.startswith("the loss became")
    assert "loss-not-finite" in [each["name"] for each in first.run.result["findings"]]
    assert first.verdict == "broken"
    assert second.reason == "RuntimeError: not enough memory"
    assert "loss-not-finite" not in [each["name"] for each in second.run.result["findings"]]


def test_what_could_not_begin_has_a_reason_and_no_figures(study: StudyRecord, given: Given) -> None:
    keeper = Keeper(study)
    keeper.end(begun(keeper, given(algorithm="nope")))
    record = only(study)
    assert (record.state, record.epochs, record.metrics) == ("failed", 0, {})
    assert "nope" in record.reason


def test_further_figures_are_of_the_kept_weights_and_only_of_what_ended_well(
    study: StudyRecord, given: Given
) -> None:
    asked: list[int] = []

    def further(trial: Trial) -> dict[str, float]:
        asked.append(trial.number)
        return {"test/accuracy": 0.5}

    keeper = Keeper(study, further=further)
    good = trained(keeper, begun(keeper, given()), 1)
    bad = begun(keeper, given(number=2))
    bad.failed = "it can't"
    stopped = trained(keeper, begun(keeper, given(number=3)), 1)
    stopped.stopped = "the time was over"
    for trial in (good, bad, stopped):
        keeper.end(trial)
    assert asked == [1]
    assert ["test/accuracy" in one.metrics for one in study.trials] == [True, False, False]


def test_checkpoints_come_when_it_is_time(
    study: StudyRecord, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Keeper(study)
    assert not keeper.due
    monkeypatch.setattr(keeping, "SAVE_SECONDS", 0.0)
    soon = Keeper(study)
    assert soon.due
    trial = trained(soon, begun(soon, given()), 1)
    soon.save([trial])
    assert list(study.path.glob("trials/*/checkpoints/member-1/last/state.json"))
    assert not soon.due, "saving takes a small share of the time"
    monkeypatch.setattr(keeping, "SAVE_SHARE", 0)
    soon.save([trial])
    assert soon.due


class Killed(BaseException):
    """SIGKILL."""


def killed_at(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Die at so many of the writes that a save consists of."""
    left = [count]
    for owner, name in ((checkpoint, "_write"), (Run, "update")):
        real = getattr(owner, name)

        def dying(*args: Any, _real: Callable[..., Any] = real, **values: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return _real(*args, **values)

        monkeypatch.setattr(owner, name, dying)


@pytest.mark.parametrize("after", range(1, EPOCHS))
@pytest.mark.parametrize("lr", [0.05, 0.3])
def test_it_goes_on_from_a_checkpoint_to_the_very_same_end(
    after: int, lr: float, study: StudyRecord, given: Given, digits: Data
) -> None:
    keeper = Keeper(study)
    whole = trained(keeper, begun(keeper, given(lr=lr)))
    keeper.end(whole)
    (before,) = study.trials
    shutil.rmtree(before.path)
    trial = trained(keeper, begun(keeper, given(lr=lr)), after, save=True)
    trained(keeper, trial, 1)  # which is lost
    again = Keeper(study)
    resumed = again.take_up(only(study), [digits])
    assert resumed.epochs == len(resumed.rows) == len(resumed.members[0].scores) == after
    again.end(trained(again, resumed, EPOCHS - after))
    record = only(study)
    assert record.score == before.score
    assert record.metrics == before.metrics
    assert resumed.rows == whole.rows
    assert [epoch for epoch, _ in record.run.curve("loss/val")] == [1.0, 2.0, 3.0, 4.0]
    assert "progress" not in record.run.info["trial"]


@pytest.mark.parametrize("folds", [1, 2])
@pytest.mark.parametrize("count", range(9))
def test_a_kill_between_any_two_writes_loses_nothing(
    count: int, folds: int, study: StudyRecord, given: Given, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, parts = Keeper(study, models=False), [digits] * folds
    whole = trained(keeper, begun(keeper, given(*parts)))
    trial = trained(keeper, begun(keeper, given(*parts, number=2)), 1, save=True)
    with monkeypatch.context() as patch:
        killed_at(patch, count)
        with suppress(Killed):
            trained(keeper, trial, 2, save=True)
        again = Keeper(study, models=False)
    with monkeypatch.context() as patch:  # and once more, at the first write after it went on
        killed_at(patch, 1)
        resumed = again.take_up(study.trials[1], parts)
        with suppress(Killed):
            trained(again, resumed, 1, save=True)
    again = Keeper(study, models=False)
    resumed = again.take_up(study.trials[1], parts)
    assert resumed.epochs >= 1
    while resumed.active:
        trained(again, resumed, 1, save=True)
    assert resumed.score == whole.score
    assert resumed.figures == whole.figures


def test_without_a_checkpoint_it_begins_anew(study: StudyRecord, given: Given, digits: Data) -> None:
    keeper = Keeper(study)
    trained(keeper, begun(keeper, given()), 2)
    again = Keeper(study)
    resumed = again.take_up(only(study), [digits])
    assert (resumed.epochs, resumed.rows, resumed.number) == (0, [], 1)
    again.end(trained(again, resumed))
    assert len(only(study).run.curve("loss/val")) == EPOCHS


def test_a_changed_checkpoint_is_refused(study: StudyRecord, given: Given, digits: Data) -> None:
    keeper = Keeper(study)
    trained(keeper, begun(keeper, given()), 1, save=True)
    (weights,) = study.path.glob("trials/*/checkpoints/member-1/last/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedError, match="SHA-256"):
        Keeper(study).take_up(only(study), [digits])


def test_what_never_became_a_trial_is_swept_away(study: StudyRecord, given: Given) -> None:
    keeper = Keeper(study)
    ended = trained(keeper, begun(keeper, given()), 1, save=True)
    keeper.end(ended)
    (folder,) = (study.path / "trials").iterdir()
    (folder / "checkpoints" / "member-1").mkdir(parents=True)
    going_on = trained(keeper, begun(keeper, given(number=2)), 1, save=True)
    kept = json.dumps(study.trials[1].run.info)
    (study.path / "trials" / "empty").mkdir()
    unborn = study.path / "trials" / "unborn"
    shutil.copytree(study.trials[1].path, unborn)
    info = json.loads((unborn / "run.json").read_text())
    del info["trial"]
    (unborn / "run.json").write_text(json.dumps(info))
    sweep(study)
    assert [one.number for one in study.trials] == [1, 2]
    assert len(list((study.path / "trials").iterdir())) == 2
    assert not (folder / "checkpoints").exists()
    assert json.dumps(study.trials[1].run.info) == kept
    assert (study.trials[1].path / "checkpoints").exists()
    assert going_on.active


def test_regression_is_told_in_its_own_figure(
    given: Given, numbers: Data, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    study = create_study(plan(numbers), "tune", "diabetes", tmp_path, metric="val/r2", higher=True)
    keeper = Keeper(study)
    trial = trained(keeper, begun(keeper, given(numbers, lr=0.01)))
    keeper.end(trial)
    record = only(study)
    assert record.score == pytest.approx(1 - trial.score)
    assert record.score == pytest.approx(record.metrics["val/r2"])
    assert np.isfinite(record.metrics["val/loss"])
