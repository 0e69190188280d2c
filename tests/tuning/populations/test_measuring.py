"""What is measured of all members at once is what the loop measures of each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from fitwell.data.contract import Data, Split
from fitwell.training.evaluation import measure, outputs_of
from fitwell.tuning.objective import choose_objective
from fitwell.tuning.populations.measuring import AT_ONCE, figures_alone, measure_members, objective_of
from fitwell.tuning.populations.members import Member
from fitwell.tuning.populations.population import Population

Make = Callable[..., Member]


def expected(one: Member) -> dict[str, float]:
    """The figures by name, each computed by itself."""
    job, found = one.job, {}
    for part, split in (("train", job.train_sample), ("val", job.data.validation)):
        if split is None:
            continue
        own = measure(job.family, job.model, split, job.data.shape.target)
        y = split.fields["y"].index_select(0, split.index)
        chosen = objective_of(job.data)
        score = chosen.score(outputs_of(job.family, job.model, split), y, job.data.shape.target)
        found |= {f"{name}/{part}": value for name, value in own.items()} | {
            f"objective/{part}": score.item()
        }
    return found


CASES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "same samples": ("digits", [{"hidden": (8,)}, {"hidden": (16,), "label_smoothing": 0.1}]),
    "other training samples": ("digits", [{"seed": 0}, {"seed": 1, "class_weights": True}]),
    "statistics": ("digits", [{"norm": "batch", "dropout": 0.5}, {"norm": "batch", "dropout": 0.2}]),
    "binary": ("binary", [{"class_weights": True}, {"label_smoothing": 0.2}]),
    "numbers": ("numbers", [{"lr": 0.1}, {"lr": 0.2}]),
    "columns": ("table", [{"lr": 0.1}, {"lr": 0.2}]),
    "pictures": ("pictures", [{"model": "cnn", "hidden": (4, 6)}, {"model": "cnn", "hidden": (6, 9)}]),
}


@pytest.mark.parametrize("name", CASES)
def test_figures_are_those_of_each_member(name: str, make: Make, request: pytest.FixtureRequest) -> None:
    source, changes = CASES[name]
    data = request.getfixturevalue(source)
    members = [make(data, **one) for one in changes]
    population = Population(members)
    population.epoch()
    for one, figures in zip(population.members, measure_members(population), strict=True):
        assert figures == pytest.approx(expected(one), rel=1e-5)


def test_samples_are_measured_in_pieces_that_stay_in_the_cache(digits: Data, make: Make) -> None:
    """As many pieces as it takes, the last one smaller: their mean is that of all samples."""
    index = digits.train.index.repeat(20)[: 2 * AT_ONCE // 3 + 11]
    data = dataclasses.replace(digits, validation=Split(digits.train.fields, index))
    population = Population([make(data, hidden=(hidden,)) for hidden in (4, 5, 6)])
    for one, figures in zip(population.members, measure_members(population), strict=True):
        assert figures == pytest.approx(expected(one), rel=1e-5)


def test_without_a_validation_part_only_training_samples_are_measured(digits: Data, make: Make) -> None:
    data = dataclasses.replace(digits, validation=None)
    figures = measure_members(Population([make(data), make(data, lr=0.1)]))
    assert {name.partition("/")[2] for row in figures for name in row} == {"train"}
    assert figures_alone(make(data).job, None) == {}


def test_measuring_changes_nothing(digits: Data, make: Make) -> None:
    population = Population([make(digits, norm="batch", dropout=0.3, seed=seed) for seed in (0, 1)])
    population.epoch()
    before = [population.rows.weights_KP.clone(), *(v.clone() for v in population.rows.buffers.values())]
    states = [one.stream.get_state() for one in population.members]
    assert measure_members(population) == measure_members(population)
    after = [population.rows.weights_KP, *population.rows.buffers.values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(torch.equal(a, b.stream.get_state()) for a, b in zip(states, population.members, strict=True))


def test_outputs_that_are_not_finite_are_the_worst(digits: Data, make: Make) -> None:
    population = Population([make(digits, lr=lr) for lr in (0.01, 0.1)])
    population.rows.weights_KP[1] = math.nan
    well, ill = measure_members(population)
    assert ill["objective/val"] == math.inf
    assert math.isfinite(well["objective/val"])


def test_the_objective_is_that_of_as_many_validation_samples(digits: Data, make: Make) -> None:
    one = make(digits)
    assert objective_of(digits).metric == "log_loss"
    assert objective_of(dataclasses.replace(digits, validation=None)).metric == "log_loss"
    assert digits.validation is not None
    many = Split(digits.train.fields, digits.validation.index.repeat(5))
    assert objective_of(dataclasses.replace(digits, validation=many)).metric == "accuracy"
    job, split = one.job, digits.validation
    y = split.fields["y"].index_select(0, split.index)
    target = digits.shape.target
    score = choose_objective(target, len(y)).score(outputs_of(job.family, job.model, split), y, target)
    assert figures_alone(job, split)["objective"] == pytest.approx(score.item())


def test_the_same_places_of_other_data_are_other_samples(digits: Data, make: Make) -> None:
    """As of folds of a table, which standardise it each by their own training part."""
    fields = digits.train.fields | {"x": digits.train.fields["x"].flip(0)}
    parts = {
        name: Split(fields, split.index)
        for name, split in (("train", digits.train), ("validation", digits.validation))
        if split is not None
    }
    population = Population([make(digits), make(dataclasses.replace(digits, **parts))])
    found = measure_members(population)
    assert found[0]["loss/val"] != found[1]["loss/val"]
    for one, figures in zip(population.members, found, strict=True):
        assert figures == pytest.approx(expected(one), rel=1e-5)
