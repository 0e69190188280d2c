"""What a study begins with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from fitwell.errors import DataError, PlanError
from fitwell.plan import Plan
from fitwell.training import threads
from fitwell.training.prepare import load
from fitwell.tuning import setting
from fitwell.tuning.populations import packing
from fitwell.tuning.populations.members import member
from fitwell.tuning.populations.population import Population
from fitwell.tuning.setting import settle

PLAN = Plan(data="iris").change(epochs=2, hidden=(8,), threads=1, lr=0.01, device="cpu")


def said() -> tuple[list[str], Callable[[str], None]]:
    texts: list[str] = []
    return texts, texts.append


def test_everything_is_decided_and_the_reasons_are_known() -> None:
    asked = Plan(data="iris").change(epochs=2)
    found = settle(asked, lambda _text: None)
    assert found.plan.stopping.epochs == 2
    assert not [
        path for path, value, _ in found.plan.settings() if value == "auto" and not path.startswith("data.")
    ]
    assert {"optimizer.lr", "model.hidden", "batch_size"} <= found.reasons.keys()
    assert found.data.fingerprint == load(asked).fingerprint
    member(found.plan, found.data)  # a plan that can be trained


def test_what_is_decided_already_is_left_as_it_is() -> None:
    first = settle(PLAN, lambda _text: None)
    again = settle(first.plan, lambda _text: None)
    assert again.plan == first.plan


@pytest.mark.parametrize(("cores", "forks"), [(1, True), (2, True), (2, False)])
def test_a_core_is_a_population_whose_size_fits_into_the_memory(
    cores: int, forks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setting, "possible", lambda: forks)
    monkeypatch.setattr(threads, "available", lambda: cores)
    monkeypatch.setattr(packing, "most_members", lambda _member: 4)
    monkeypatch.setattr(Population, "step_seconds", lambda *_: 1e-3)
    texts, say = said()
    found = settle(PLAN, say)
    workers = cores if forks else 1
    assert (found.workers, found.size) == (workers, 4 // workers)
    assert texts[-1].startswith(f"{4 // workers} trainings as one take")
    assert texts[-1].endswith(f"us a step each, {4 // workers}.0 times less than alone")


@pytest.mark.parametrize(
    ("seconds", "few"),
    [
        ({1: 4.8, 2: 3.1, 4: 2.7, 8: 2.4, 16: 2.2}, 2),
        ({1: 8.0, 2: 4.0, 4: 2.0, 8: 1.0}, 8),
        ({}, 1),
        ({1: 1.0}, 1),
    ],
)
def test_few_are_those_that_are_nearly_as_fast_as_many(
    seconds: dict[int, float], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setting, "best_size", lambda *_: (max(seconds, default=1), seconds))
    assert settle(PLAN, lambda _text: None).few == few


def test_where_that_is_no_faster_or_impossible_they_are_trained_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Population, "step_seconds", lambda population: float(len(population.members)))
    texts, say = said()
    assert settle(PLAN, say).size == 1
    assert texts[-1] == "on this machine these trainings are as fast one by one as together"
    assert settle(PLAN.change(precision="bf16"), say).size == 1


def test_measuring_trains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def epoch(_self: Population) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(Population, "epoch", epoch)
    settle(PLAN, lambda _text: None)


@pytest.mark.parametrize(
    ("plan", "metric", "higher"),
    [
        (PLAN, "val/log_loss", False),
        (Plan(data="digits").change(validation=500, hidden=(8,), threads=1, lr=0.01), "val/accuracy", True),
        (Plan(data="diabetes").change(hidden=(8,), threads=1, lr=0.01), "val/r2", True),
        (
            Plan(data="digits").change(family="autoencoder", hidden=(8,), threads=1, lr=0.01),
            "val/loss",
            False,
        ),
    ],
)
def test_trials_are_compared_by_what_suits_the_target(
    plan: Plan, metric: str, higher: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setting, "best_size", lambda *_: (1, {}))
    assert settle(plan, lambda _text: None).document == {"metric": metric, "higher": higher}


def test_impossible_plans_and_data_are_refused() -> None:
    with pytest.raises(PlanError, match="cnn can't learn from this data"):
        settle(PLAN.change(family="cnn"), lambda _text: None)
    with pytest.raises(DataError):
        settle(Plan(data="no/such/file.csv"), lambda _text: None)


def test_data_in_memory_can_be_divided_again() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(80, 3)), columns=["a", "b", "c"]).assign(y=draw.integers(0, 2, 80))
    found = settle(PLAN.change(source=frame, target="y"), lambda _text: None)
    assert load(found.plan).fingerprint == found.data.fingerprint, (
        "the plan can be loaded again, as with other seeds"
    )
