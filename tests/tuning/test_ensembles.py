"""Ensembles of a study's trials."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fitwell.data.contract import Data
from fitwell.plan import Plan
from fitwell.study import StudyRecord, create_study
from fitwell.training.artifact import load_model
from fitwell.training.evaluation import outputs_of, probabilities
from fitwell.tuning.engine import Engine
from fitwell.tuning.ensembles import Ensemble, ensemble, summary
from fitwell.tuning.keeping import Keeper
from fitwell.tuning.populations.measuring import objective_of
from fitwell.tuning.trials import Trial

Make = Callable[..., StudyRecord]


@pytest.fixture(scope="module")
def make(plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A study of some trainings of some data."""

    def make(data: Data, *changes: dict[str, Any], **same: Any) -> StudyRecord:
        decided = plan(data, **({"epochs": 4} | same))
        chosen = objective_of(data)
        told = {"metric": f"val/{chosen.metric}", "higher": chosen.higher}
        study = create_study(decided, "tune", "data", tmp_path_factory.mktemp("runs"), **told)
        trials = [Trial(n, each, decided.change(**each), [data]) for n, each in enumerate(changes, start=1)]

        def more(room: int) -> list[Trial]:
            return [trials.pop(0) for _ in range(min(room, len(trials)))]

        Engine(8, 1, Keeper(study)).run(more, lambda _trial: None)
        return study

    return make


@pytest.fixture(scope="module")
def study(make: Make, digits: Data) -> StudyRecord:
    """Three that are fair, one that is poor, one that diverges and one that can't be."""
    fair = [{"seed": seed, "lr": 0.02} for seed in (1, 2, 3)]
    return make(digits, *fair, {"lr": 1e-6}, {"lr": 1e6, "algorithm": "sgd"}, {"algorithm": "nope"})


def chances(path: Path, data: Data, part: str) -> torch.Tensor:
    fitted = load_model(path / "model")
    return probabilities(outputs_of(fitted.family, fitted.model, data.parts[part]), data.shape.target)


def test_only_trials_that_ended_well_are_members(study: StudyRecord, digits: Data) -> None:
    assert [one.state for one in study.trials] == ["done"] * 4 + ["failed"] * 2
    made = ensemble(study, digits)
    assert made is not None
    assert 1 <= len(made.numbers) == len(made.members) <= 5
    assert set(made.numbers) <= {1, 2, 3, 4}
    assert 4 not in made.numbers
    assert len(set(made.numbers)) == len(made.numbers) > 1


def test_its_answer_is_the_mean_of_its_members_chances(study: StudyRecord, digits: Data) -> None:
    made = ensemble(study, digits, 3)
    paths = {one.number: one.path for one in study.trials}
    expected = torch.stack([chances(paths[number], digits, "test") for number in made.numbers]).mean(0)
    found = probabilities(made.outputs_on(digits.test), digits.shape.target)
    assert torch.allclose(found.double(), expected.double(), atol=1e-6)


def test_the_summary_tells_what_it_gains_over_the_best_and_over_the_default(
    study: StudyRecord, digits: Data
) -> None:
    made = ensemble(study, digits)
    best = load_model(study.ranked()[0].path / "model")
    default = load_model(study.trials[3].path / "model")
    told = summary(made, best, default, digits)
    assert told["members"] == list(made.numbers)
    y = digits.test.fields["y"][digits.test.index].long()

    def log_loss(found: torch.Tensor) -> float:
        return float(-found.double()[torch.arange(len(y)), y].log().mean())

    together = probabilities(made.outputs_on(digits.test), digits.shape.target)
    alone = chances(study.ranked()[0].path, digits, "test")
    assert told["metrics"]["test/log_loss"] == pytest.approx(log_loss(together), rel=1e-5)
    assert told["metrics"]["test/accuracy"] == pytest.approx(float((together.argmax(1) == y).double().mean()))
    assert told["gain"] == pytest.approx(log_loss(alone) - log_loss(together), rel=1e-4)
    poor = chances(study.trials[3].path, digits, "test")
    over = told["gain_over_default"]
    assert over["mean"] == pytest.approx(log_loss(poor) - log_loss(together), rel=1e-4)
    assert 0 < over["low"] < over["mean"] < over["high"]
    assert over["count"] == len(y)
    assert summary(made, best, None, digits)["gain_over_default"] is None


@pytest.mark.parametrize("data", ["numbers", "binary"])
def test_the_gain_is_positive_if_it_is_better_whatever_the_figure(
    data: str, make: Make, request: pytest.FixtureRequest
) -> None:
    loaded = request.getfixturevalue(data)
    study = make(loaded, {"seed": 1}, {"lr": 1e-7})
    good, bad = (load_model(one.path / "model") for one in study.trials)
    assert study.ranked()[0].number == 1
    assert summary(Ensemble((good,), (1,)), bad, None, loaded)["gain"] > 0
    assert summary(Ensemble((bad,), (2,)), good, None, loaded)["gain"] < 0
    assert summary(Ensemble((good,), (1,)), good, None, loaded)["gain"] == pytest.approx(0.0, abs=1e-9)


def test_numbers_are_averaged_in_their_own_units(make: Make, numbers: Data) -> None:
    study = make(numbers, {"seed": 1}, {"seed": 2})
    made = Ensemble(tuple(load_model(one.path / "model") for one in study.trials), (1, 2))
    with torch.inference_mode():
        single = [outputs_of(one.family, one.model, numbers.test) for one in made.members]
    assert torch.allclose(made.outputs_on(numbers.test), (single[0] + single[1]).double() / 2, atol=1e-6)


def test_without_two_models_there_is_none(study: StudyRecord, digits: Data, tmp_path: Path) -> None:
    copied = StudyRecord(shutil.copytree(study.path, tmp_path / "study"))
    for one in copied.ranked()[1:]:
        shutil.rmtree(one.path / "model")
    assert [one.has_model for one in copied.ranked()] == [True, False, False, False]
    assert ensemble(copied, digits) is None


def test_without_a_target_or_a_validation_part_there_is_none(
    make: Make, study: StudyRecord, digits: Data, unlabelled: Data
) -> None:
    import dataclasses

    rebuilt = make(unlabelled, {"seed": 1}, {"seed": 2}, family="autoencoder", hidden=(8,))
    assert len(rebuilt.ranked()) == 2
    assert ensemble(rebuilt, unlabelled) is None
    assert ensemble(study, dataclasses.replace(digits, validation=None)) is None
