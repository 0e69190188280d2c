"""How much of the time watching takes, by a clock that is set by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from fitwell.watching import budget as module
from fitwell.watching.budget import FINEST, HEAVY_EVERY, LONGEST, Budget


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def simulate(
    clock: Clock, share: float, step: float, cost: Callable[[bool], float], seconds: float
) -> tuple[Budget, int, list[int]]:
    """A training whose steps and looks take so long; the steps at which it was looked."""
    budget, steps, looked, countdown = Budget(share), 0, [], 0
    while clock.now < 1000.0 + seconds:
        clock.now += step
        steps, countdown = steps + 1, countdown - 1
        if countdown > 0:
            continue
        if budget.allows_look(steps, steps - (looked[-1] if looked else 0)):
            heavy = budget.heavy_is_due
            clock.now += cost(heavy)
            budget.spent += cost(heavy)
            budget.looked(heavy, cost(heavy))
            looked.append(steps)
        else:
            countdown = budget.steps_until_next(step)
    return budget, steps, looked


@pytest.mark.parametrize("share", [0.01, 0.03, 0.2])
@pytest.mark.parametrize("step", [1e-3, 0.05, 2.0])
@pytest.mark.parametrize("look", [1e-4, 3e-3, 0.5])
def test_looks_keep_to_the_share(clock: Clock, share: float, step: float, look: float) -> None:
    budget, steps, looked = simulate(clock, share, step, lambda heavy: look * (4 if heavy else 1), 300.0)
    assert budget.spent <= share * budget.elapsed + 4 * look
    assert budget.looks == len(looked)
    affordable = share * 300.0 / (look * (1 + 3 / HEAVY_EVERY))
    if share * 300.0 > 12 * look and steps > 10:  # the first look is heavy, and all are taken to be like it
        assert len(looked) >= min(0.5 * affordable, 0.5 * FINEST, 0.3 * steps)


def test_a_long_training_is_looked_at_ever_more_seldom_but_every_few_seconds(clock: Clock) -> None:
    _, steps, looked = simulate(clock, 0.03, 1e-3, lambda heavy: 1e-5, 600.0)
    gaps = [later - earlier for earlier, later in itertools.pairwise(looked)]
    assert max(gaps) <= max(steps / FINEST, LONGEST / 1e-3) * 1.1
    assert len(looked) < 2500


def test_nothing_is_looked_at_without_a_budget(clock: Clock) -> None:
    budget = Budget(0.03)
    budget.spent = 1.0
    budget.looked(True, 0.1)
    clock.now += 10
    assert not budget.allows_look(100, 50)
    assert 1 < budget.steps_until_next(0.01) <= 10_000
    clock.now += 100
    assert budget.allows_look(100, 50)
    assert budget.steps_until_next(0.01) == 1


def test_the_cost_of_a_kind_that_was_not_seen_yet_is_that_of_the_dearest(clock: Clock) -> None:
    budget = Budget(0.1)
    budget.looked(True, 1.0)
    assert not budget.heavy_is_due
    clock.now += 5
    assert not budget.allows(full=False)
    clock.now += 6
    assert budget.allows(full=False)


def test_one_dear_look_is_not_the_last_one(clock: Clock) -> None:
    """The first one imports and compiles; that it cost a second is forgotten."""
    costs = iter([1.0])
    budget, _, looked = simulate(clock, 0.03, 0.01, lambda heavy: next(costs, 1e-4) if heavy else 1e-4, 600.0)
    assert len(looked) > 100
    assert budget.spent <= 0.03 * budget.elapsed


def test_steps_until_next_is_sane_where_nothing_is_known(clock: Clock) -> None:
    assert Budget(0.03).steps_until_next(0.0) == 1
    assert Budget(1e-9).steps_until_next(1e-3) == 1
    budget = Budget(1e-9)
    budget.looked(True, 1.0)
    budget.spent = 1.0
    assert budget.steps_until_next(1e-9) == 10_000
