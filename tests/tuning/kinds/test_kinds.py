"""Every kind of study holds the contract: it ends with a summary, and goes on where it was interrupted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from fitwell import tuned
from fitwell.discovery import members
from fitwell.plan import Plan
from fitwell.study import StudyRecord, is_study
from fitwell.tuned import Study
from fitwell.tuning import verifying
from fitwell.tuning.kinds import Kind, kind
from fitwell.views.study_texts import KINDS

FOUND: dict[str, Kind] = members("fitwell.tuning.kinds", "KIND")
# How a person begins a small one; a kind without a verb is of no use.
BEGIN: dict[str, Callable[..., Study]] = {
    "tune": partial(tuned.tune, space={"lr": [0.01, 0.03, 0.1]}, method="grid", halving=False),
    "cv": partial(tuned.cross_validate, folds=3),
    "capacity": partial(tuned.capacity, sizes=[4, 8], resamples=2),
    "samples": partial(tuned.learning_curve, sizes=[30, 60], repeats=2),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned, "_draw", lambda _study: None)  # see tests/views
    monkeypatch.setattr(verifying, "SEEDS", 2)
    monkeypatch.setattr(
        os, "fsync", lambda _handle: None
    )  # the operating system survives, so nothing is lost


def test_every_kind_can_be_begun_and_shown() -> None:
    assert FOUND.keys() == BEGIN.keys()
    assert KINDS.keys() == FOUND.keys()


@pytest.mark.parametrize("name", FOUND)
def test_it_says_what_it_tells(name: str) -> None:
    assert kind(name) is FOUND[name]
    assert FOUND[name].says[0].islower()
    assert not FOUND[name].says.endswith(".")


@pytest.mark.parametrize("name", FOUND)
def test_it_ends_with_what_any_study_has(name: str, plan: Plan, runs: Path) -> None:
    made = BEGIN[name](plan, runs=runs)
    assert is_study(made.path)
    study = StudyRecord(made.path)
    assert (study.state, study.kind, study.study) == ("done", name, name)
    assert study.summary
    assert json.loads(json.dumps(study.summary)) == study.summary
    assert study.metric.startswith("val/")
    assert [one.number for one in study.trials] == list(range(1, len(study.trials) + 1))
    assert {one.state for one in study.trials} <= {"done", "stopped"}
    for trial in study.trials:
        assert trial.run.info["parent"] == study.name
        assert not (trial.path / "checkpoints").exists()
    assert study.ranked()[0].score is not None
    assert {"run", "metrics", "verdict"} <= study.result.keys()
    assert study.result["run"] == str(study.path)
    assert 0 < study.info["spent"] == pytest.approx(study.result["seconds"], abs=0.1)
    assert Plan.from_json(study.plan.to_json()) == study.plan


@pytest.mark.parametrize("name", FOUND)
def test_after_an_interruption_it_ends_as_it_would_have(
    name: str, plan: Plan, runs: Path, tmp_path: Path, resumed, untouched
) -> None:
    whole = BEGIN[name](plan, runs=tmp_path / "whole")
    study, ended = resumed(partial(BEGIN[name], plan, runs=runs))
    assert untouched(study, ended)
    assert study.state == "done"
    assert study.summary.keys() == whole.summary.keys()
    scores = {one.number: one.score for one in study.trials if one.state == "done"}
    expected = {one.number: one.score for one in whole.trials if one.state == "done"}
    both = scores.keys() & expected.keys()
    assert len(both) >= 2
    assert {each: scores[each] for each in both} == pytest.approx(
        {each: expected[each] for each in both}, abs=1e-6
    )
    assert [one.values for one in study.trials] == [one.values for one in whole.trials]
