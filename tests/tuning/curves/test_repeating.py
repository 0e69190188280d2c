"""Trainings that are known beforehand: figures within their bounds, the verdict of most, refusals."""

import math
from types import SimpleNamespace

import pytest

from fitwell.errors import PlanError
from fitwell.plan import Plan
from fitwell.tuning.curves import repeating
from fitwell.tuning.intervals import interval


def record(verdict="just-right", state="done", score=0.9):
    return SimpleNamespace(verdict=verdict, state=state, score=score)


@pytest.mark.parametrize(
    ("name", "values", "bounds"),
    [
        ("accuracy", [0.9, 1.0], (0, 1)), ("accuracy", [0.0, 0.1], (0, 1)), ("loss", [0.1, 3.0], (0, math.inf)),
        ("r2", [-3.0, 0.9], (-math.inf, 1)), ("mae", [5.0, 6.0], (0, math.inf)),
    ],
)  # fmt: skip
def test_an_interval_stays_within_what_the_figure_can_be(name, values, bounds):
    plain, found = interval(values, 0.25), repeating.known(name, values, 0.25)
    assert found == plain.plain() | {"low": max(plain.low, bounds[0]), "high": min(plain.high, bounds[1])}


def test_one_value_has_no_interval():
    assert repeating.known("accuracy", [0.5]) == {"mean": 0.5, "low": None, "high": None, "count": 1}


def test_the_verdict_is_that_of_most_and_of_equally_many_the_last():
    words = ["slow", "just-right", "slow"]
    assert repeating.majority([record(word) for word in words]) == "slow"
    assert repeating.majority([record("slow"), record("broken")]) == "broken"
    assert repeating.majority([record("")]) == ""
    assert repeating.majority([]) == ""


def test_only_what_came_to_its_end_with_a_figure_counts():
    found = [record(), record(state="stopped"), record(state="failed", score=None), record(score=None)]
    assert repeating.ended_well(found) == found[:1]


@pytest.mark.parametrize("name", ["auto", "mlp", "cnn"])
def test_families_with_a_target_are_taken(name):
    repeating.supervised(Plan(data="digits", model=name), "it")


@pytest.mark.parametrize("name", ["autoencoder", "rbm"])
def test_families_without_one_are_refused(name):
    with pytest.raises(PlanError, match=f"the curve of a model without a target \\({name}\\)"):
        repeating.supervised(Plan(data="digits", model=name), "the curve")
