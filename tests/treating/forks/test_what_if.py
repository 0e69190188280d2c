"""What-if forks beside a watched training: asked where a rule suspects something, never else, and neutral."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fitwell.diagnosing import diagnose
from fitwell.experiment import Change, Experiment
from fitwell.run import Run
from fitwell.treating.forks import what_if
from fitwell.treating.forks.arms import Arms, Trace
from fitwell.treating.forks.what_if import NEW_WEIGHTS, Question, WhatIf, experiment
from fitwell.watching.session import Session

TENTH = Change("rate", {"factor": 0.1})
LOW = tuple(0.2 + 0.01 * (n % 3) for n in range(40))
HIGH = tuple(0.8 + 0.1 * (n % 3) for n in range(40))


def asked(*, fresh: bool = False, least: float = 0.3) -> Question:
    return Question("learning-rate-too-high", "model", 50, (TENTH,), 40, least, fresh)


def traces(*losses: tuple[float | None, ...]) -> Arms:
    control, *arms = (Trace(each, (), None) for each in losses)
    return Arms(control, tuple(arms), 0.2)


def test_it_is_confirmed_by_what_was_asked_for() -> None:
    found = experiment(asked(), traces(HIGH, LOW))
    assert found.answer == "confirmed"
    assert found.best is not None
    assert found.best.gain == pytest.approx(1 - 0.21 / 0.9, abs=0.01)
    assert "the learning rate times 0.1" in found.says
    assert "in 40 steps, as it is" in found.says
    assert found.says.endswith("from the same state")


def test_it_is_refuted_by_the_opposite_and_left_open_by_nothing() -> None:
    assert experiment(asked(), traces(LOW, HIGH)).answer == "refuted"
    assert experiment(asked(), traces(HIGH, HIGH)).answer == "inconclusive"
    assert experiment(asked(), traces(HIGH, tuple(0.9 * loss for loss in HIGH))).answer == "inconclusive"


def test_only_what_stays_finite_helps() -> None:
    lost = (*HIGH[:20], *[None] * 20)
    assert experiment(asked(), traces(lost, LOW)).answer == "confirmed"
    assert experiment(asked(), traces(LOW, lost)).answer != "confirmed"
    assert experiment(asked(), traces(lost, lost)).answer == "inconclusive"
    assert experiment(asked(), traces((), ())).answer == "inconclusive"


def test_with_new_weights_it_is_compared_with_new_weights() -> None:
    assert asked(fresh=True).arms == [(NEW_WEIGHTS,), (NEW_WEIGHTS, TENTH)]
    found = experiment(asked(fresh=True), traces(HIGH, LOW, LOW))
    assert found.answer == "inconclusive"
    assert found.says.endswith("from new weights")


def test_it_is_kept_as_json() -> None:
    found = experiment(asked(), traces((*HIGH[:20], *[None] * 20), LOW))
    assert Experiment.from_plain(found.plain()) == found
    assert not any(value == math.inf for value in found.plain()["arms"][0].values())


def train(rate: float, steps: int = 400) -> list[float]:
    """Four classes of noisy points, learned by a perceptron; gives its weights."""
    torch.manual_seed(0)
    labels = torch.arange(512) % 4
    inputs = torch.randn(512, 8)
    inputs[torch.arange(512), labels] += 3
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        chosen = torch.randint(512, (32,))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs[chosen]), labels[chosen]).backward()
        optimizer.step()
    return torch.nn.utils.parameters_to_vector(model.parameters()).tolist() + torch.rand(3).tolist()


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], tuple[Run, list[float]]]:
    """Trains with a learning rate, watched."""
    monkeypatch.setattr(what_if, "AT_END", 60.0)
    monkeypatch.setattr(what_if, "PATIENCE", 60.0)
    monkeypatch.setattr(what_if, "ALWAYS", 60.0)
    monkeypatch.setattr(what_if, "FIRST", 0.0)

    def run(rate: float) -> tuple[Run, list[float]]:
        session = Session("test", {}, tmp_path / f"{rate:g}", 1.0, WhatIf)
        session.start()
        weights = train(rate)
        session.stop()
        return Run(session.run.path), weights

    return run


@pytest.mark.skipif(what_if.refusal() is not None, reason="this process can't be forked")
def test_a_suspicion_is_tried_and_confirmed(watched: Callable[[float], tuple[Run, list[float]]]) -> None:
    run, weights = watched(1e-5)
    assert weights == train(1e-5), "the program has changed"
    (first, *_) = run.facts["what_if"]["experiments"]
    assert first["finding"] == "learning-rate-too-low"
    assert first["answer"] == "confirmed"
    assert run.facts["what_if"]["spent"] > 0
    found = diagnose(run).findings[0]
    assert (found.name, found.status, found.tested) == ("learning-rate-too-low", "confirmed", "confirmed")
    assert "as it is" in found.says
    assert any("the learning rate times" in line.measure and line.holds for line in found.proof.evidence)


def test_a_training_that_learns_is_never_forked(watched: Callable[[float], tuple[Run, list[float]]]) -> None:
    run, weights = watched(3e-3)
    assert weights == train(3e-3), "the program has changed"
    assert run.facts["what_if"] == {"experiments": [], "spent": 0.0, "refused": None}
    assert run.facts["unseen"] == {}


def test_it_says_why_it_can_not_be_asked(
    watched: Callable[[float], tuple[Run, list[float]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(what_if, "refusal", lambda: "a device is in use that a forked process can't share")
    run, _ = watched(1e-5)
    assert run.facts["what_if"]["refused"] == "a device is in use that a forked process can't share"
    found = diagnose(run).findings[0]
    assert (found.name, found.status, found.tested) == ("learning-rate-too-low", "suspected", None)
