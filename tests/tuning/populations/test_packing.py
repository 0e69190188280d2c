"""Which members form which populations, and what a population may take."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch

from fitwell.data.contract import Data
from fitwell.models import parameter_count
from fitwell.tuning.populations import packing
from fitwell.tuning.populations.members import Member, form
from fitwell.tuning.populations.packing import (
    PADDED,
    alike_in_size,
    arrange,
    best_size,
    free_memory,
    most_members,
    trainers,
)
from fitwell.tuning.populations.population import Population

Make = Callable[..., Member]


def said() -> tuple[list[str], Callable[[str], None]]:
    texts: list[str] = []
    return texts, texts.append


@pytest.mark.parametrize(("size", "workers"), list(itertools.product((1, 2, 4, 16), (1, 2, 3))))
def test_every_member_is_trained_once_and_no_population_is_too_large(
    size: int, workers: int, make: Make, digits: Data
) -> None:
    changes = [{"hidden": (width,), "batch_size": batch} for width in (8, 12, 60) for batch in (16, 32)] * 2
    members = [make(digits, **each) for each in changes]
    groups = arrange(members, size, workers)
    found = [member for group in groups for member in group]
    assert sorted(map(id, found)) == sorted(map(id, members))
    for group in groups:
        assert len(group) <= size
        assert len({form(one.job) for one in group}) == 1
        weights = [parameter_count(one.job.model) for one in group]
        assert max(weights) <= PADDED * min(weights)


def test_the_workers_share_alike_members_evenly(make: Make, digits: Data) -> None:
    groups = arrange([make(digits) for _ in range(7)], 8, 2)
    assert sorted(map(len, groups)) == [3, 4]


def test_the_longest_is_the_first(make: Make, digits: Data) -> None:
    groups = arrange([make(digits, hidden=(w,)) for w in (4, 200, 40)], 1, 1)
    works = [parameter_count(group[0].job.model) for group in groups]
    assert works == sorted(works, reverse=True)


def test_what_can_not_be_stacked_is_trained_alone_and_why_is_said(
    make: Make, digits: Data, unlabelled: Data
) -> None:
    texts, say = said()
    members = [
        make(digits, precision="bf16"),
        make(unlabelled, family="rbm", hidden=(8,)),
        make(unlabelled, family="autoencoder", hidden=(8,)),
        make(digits),
    ]
    made = [trainer for group in arrange(members, 8, 1) for trainer in trainers(group, say)]
    assert sorted(type(trainer).__name__ for trainer in made) == ["Population", "Solo", "Solo", "Solo"]
    assert sorted(texts) == [
        "trained alone: bf16 is rounded differently in a stack",
        "trained alone: the family autoencoder has a loss of its own",
        "trained alone: the family rbm has a loss of its own",
    ]


def test_no_members_no_groups() -> None:
    assert arrange([], 4, 2) == []


def test_groups_are_alike_and_the_largest_is_the_first(make: Make, digits: Data) -> None:
    members = [make(digits, hidden=(width,)) for width in (8, 100, 9, 60, 300, 10)]
    groups = alike_in_size(members)
    widths = [[one.job.plan.model.hidden[0] for one in group] for group in groups]
    assert widths == [[300], [100, 60], [10, 9, 8]]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], float]], list[int]]:
    """Let a step of a population of so many take so many seconds; the sizes that were tried."""
    tried: list[int] = []

    def take(seconds: Callable[[int], float]) -> list[int]:
        def step(population: Population) -> float:
            tried.append(len(population.members))
            return seconds(len(population.members))

        monkeypatch.setattr(Population, "step_seconds", step)
        return tried

    return take


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        (lambda count: 1.0 + 0.01 * count, 32),  # nearly nothing for each further one
        (lambda count: 1.0 * count, 1),  # no gain
        (lambda count: 1.0 if count <= 4 else 0.3 * count, 4),  # until the cache is full
    ],
)
def test_the_fastest_size_is_found(
    seconds: Callable[[int], float], best: int, steps, make: Make, digits: Data
) -> None:
    steps(seconds)
    size, measured = best_size(lambda: make(digits))
    assert size == best
    assert measured[size] == min(measured.values())


def test_no_more_are_tried_once_that_does_not_help(steps, make: Make, digits: Data) -> None:
    tried = steps(lambda count: 1.0 * count)
    best_size(lambda: make(digits))
    assert max(tried) == 4


@pytest.mark.parametrize(("workers", "best"), [(1, 8), (2, 4), (3, 2), (100, 1)])
def test_all_workers_together_stay_within_the_memory(
    workers: int, best: int, steps, make: Make, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "most_members", lambda _member: 9)
    tried = steps(lambda count: 1.0)
    assert best_size(lambda: make(digits), workers)[0] == best == max(tried)


def test_twice_the_memory_has_room_for_twice_as_many(
    make: Make, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = {}
    for gigabytes in (1, 2):
        monkeypatch.setattr(packing, "free_memory", lambda count=gigabytes: count * 2**30)
        room[gigabytes] = most_members(make(digits))
    assert room[2] == pytest.approx(2 * room[1], abs=1)
    weights = parameter_count(make(digits).job.model) * 4
    assert room[1] * weights * 4 < 2**29, (
        "weight, gradient and two moments of each fit into half of it at least"
    )
    monkeypatch.setattr(packing, "free_memory", lambda: 0)
    assert most_members(make(digits)) == 1


def test_what_can_not_be_stacked_has_size_one(make: Make, digits: Data) -> None:
    assert best_size(lambda: make(digits, precision="bf16")) == (1, {})


def test_trying_out_draws_nothing_and_changes_no_data(make: Make, digits: Data) -> None:
    stream = torch.get_rng_state()
    fields = {name: values.clone() for name, values in digits.train.fields.items()}
    best_size(lambda: make(digits, dropout=0.5))
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(values, fields[name]) for name, values in digits.train.fields.items())


def test_free_memory_is_a_number_of_bytes() -> None:
    assert 2**20 < free_memory() < 2**50
