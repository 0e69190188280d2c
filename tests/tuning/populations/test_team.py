"""A team: the work is shared out, and wherever it is done the figures are the same."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitwell.data.contract import Data
from fitwell.tuning.populations import team as team_module
from fitwell.tuning.populations.apart import possible
from fitwell.tuning.populations.members import Member
from fitwell.tuning.populations.team import Apart, Here, shares, team

Make = Callable[..., Member]
forks = pytest.mark.skipif(not possible(), reason="this system does not fork what has torch in it")
WIDTHS = (8, 12, 60, 8, 10)


def figures(members: list[Member], size: int, workers: int, epochs: int = 2) -> list[list[Any]]:
    """Of each member the rows of some epochs."""
    made, rows = team(members, size, workers, lambda _text: None), []
    for _ in range(epochs):
        found = dict(zip(map(id, made.members), made.epoch(), strict=True))
        rows.append([found[id(one)] for one in members])
    made.bring()
    made.dismiss()
    return rows


@forks
@pytest.mark.parametrize(("size", "workers"), [(1, 2), (2, 2), (8, 2), (2, 4)])
def test_the_figures_are_the_same_wherever_they_train(
    size: int, workers: int, make: Make, digits: Data
) -> None:
    here = figures([make(digits, hidden=(width,)) for width in WIDTHS], 8, 1)
    members = [make(digits, hidden=(width,)) for width in WIDTHS]
    for mine, theirs in zip(here, figures(members, size, workers), strict=True):
        assert theirs == [pytest.approx(row, rel=1e-5) for row in mine]
    assert [one.job.epoch for one in members] == [2] * len(WIDTHS)
    assert multiprocessing.active_children() == []


@forks
def test_no_more_processes_than_there_is_work_for(make: Make, digits: Data) -> None:
    made = team([make(digits), make(digits)], 8, 4, lambda _text: None)
    assert isinstance(made, Apart)
    assert len(made.workers) == len(multiprocessing.active_children()) == 2
    made.dismiss()
    assert team([], 8, 4, lambda _text: None).members == []


def test_with_one_worker_it_is_this_process(make: Make, digits: Data) -> None:
    assert isinstance(team([make(digits)], 8, 1, lambda _text: None), Here)


@forks
def test_without_another_process_it_trains_here(
    make: Make, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    worker = team_module.Worker

    def one_only(*given: Any) -> Any:
        if begun:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        begun.append(worker(*given))
        return begun[-1]

    monkeypatch.setattr(team_module, "Worker", one_only)
    said: list[str] = []
    made = team([make(digits), make(digits)], 1, 2, said.append)
    assert isinstance(made, Here)
    assert len(made.epoch()) == 2
    assert "Resource temporarily unavailable" in said[0]
    assert multiprocessing.active_children() == [], "the one that was begun is ended"


@given(st.lists(st.integers(1, 100), max_size=12), st.integers(1, 4))
def test_the_work_is_shared_out_evenly(loads: list[int], workers: int) -> None:
    groups = [[load] for load in sorted(loads, reverse=True)]
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(team_module, "work", lambda group: group[0])
        made = shares(groups, workers)  # type: ignore[arg-type]
    assert len(made) == min(workers, len(groups))
    assert sorted(group for share in made for group in share) == sorted(groups)
    sums = [sum(group[0] for group in share) for share in made]
    if sums:  # Graham 1966: whoever has most was least busy before its last group
        assert max(sums) <= sum(loads) / len(sums) + (1 - 1 / len(sums)) * max(loads) + 1e-9
