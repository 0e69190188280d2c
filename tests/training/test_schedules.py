"""Schedules against their closed forms."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fitwell.plan import SchedulePlan
from fitwell.training.schedules import ONE_CYCLE_END, ONE_CYCLE_START, SHAPES, Schedule, curve

PEAK = 0.02


def made(plan: SchedulePlan, steps: int) -> Schedule:
    optimizer = torch.optim.SGD(
        [{"params": [torch.zeros(1)]}, {"params": [torch.ones(1)], "lr": 0.5}], lr=PEAK
    )
    return Schedule(plan, optimizer, steps)


def rates(shape: str, steps: int = 100, warmup: float = 0.0, decay: float = 0.1) -> list[float]:
    """The rate of each step, and the one after the last."""
    schedule = made(SchedulePlan(shape=shape, warmup=warmup, decay=decay), steps)
    seen = [schedule.lr]
    for _ in range(steps):
        schedule.step()
        seen.append(schedule.lr)
    return seen


CLOSED = {
    "constant": lambda t: 1.0,
    "plateau": lambda t: 1.0,
    "cosine": lambda t: (1 + math.cos(math.pi * t)) / 2,
    "exponential": lambda t: 0.1 ** (3 * t),
    "one-cycle": lambda t: 1e-3 + (1 - 1e-3) * (1 + math.cos(math.pi * t)) / 2,
}


def test_every_shape_has_a_closed_form_here() -> None:
    assert {*CLOSED, "step"} == set(SHAPES)


@pytest.mark.parametrize("shape", CLOSED)
@pytest.mark.parametrize("warmup", [0.0, 0.2])
def test_closed_forms(shape: str, warmup: float) -> None:
    found, first = rates(shape, 100, warmup), round(100 * warmup)
    for number, rate in enumerate(found[first:]):
        assert rate == pytest.approx(PEAK * CLOSED[shape](number / (100 - first)), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("shape", SHAPES)
def test_warm_up_rises_evenly_to_the_peak(shape: str) -> None:
    found = rates(shape, 100, 0.25)
    rises = [b - a for a, b in pairwise(found[:26])]
    assert found[25] == pytest.approx(PEAK)
    assert max(found) == found[25]
    assert rises == pytest.approx([rises[0]] * 25)
    start = ONE_CYCLE_START if shape == "one-cycle" else 1 / 26
    assert found[0] == pytest.approx(PEAK * start)
    assert found[0] > 0


def test_step_falls_at_the_thirds() -> None:
    found = rates("step", 90, decay=0.5)
    assert found[:30] == pytest.approx([PEAK] * 30)
    assert found[30:60] == pytest.approx([PEAK / 2] * 30)
    assert found[60:] == pytest.approx([PEAK / 4] * 31)


def test_one_cycle_begins_low_peaks_at_the_plans_rate_and_ends_lowest() -> None:
    found = rates("one-cycle", 200, 0.25)
    assert found[0] == pytest.approx(PEAK / 25)
    assert max(found) == found[50] == PEAK
    assert found[-1] == pytest.approx(PEAK * ONE_CYCLE_END)
    assert found[-1] < found[0]


@pytest.mark.parametrize("shape", SHAPES)
@given(steps=st.integers(1, 3000), warmup=st.floats(0, 0.9), decay=st.floats(0.01, 0.99))
def test_up_in_the_warm_up_then_never_up_again(shape: str, steps: int, warmup: float, decay: float) -> None:
    plan = SchedulePlan(shape=shape, warmup=warmup, decay=decay)
    shares = [curve(plan, steps)(n) for n in range(0, steps + 1, max(1, steps // 40))]
    top = shares.index(max(shares))
    assert all(a <= b for a, b in pairwise(shares[: top + 1]))
    assert all(a >= b - 1e-12 for a, b in pairwise(shares[top:]))
    assert all(0 <= share <= 1 for share in shares)


def test_every_group_keeps_its_share() -> None:
    schedule = made(SchedulePlan(shape="cosine", warmup=0.0), 10)
    for _ in range(5):
        schedule.step()
    one, other = (group["lr"] for group in schedule.optimizer.param_groups)
    assert (one, other) == (pytest.approx(PEAK / 2), pytest.approx(0.25))


def test_plateau_lowers_the_rate_when_its_patience_is_over() -> None:
    schedule = made(SchedulePlan(shape="plateau", warmup=0.0, plateau_patience=2, decay=0.5), 1000)
    found = []
    for loss in (1.0, 0.9, 0.95, 0.9, 0.91, 0.92, 0.93, 0.93, 0.1, 0.2):
        schedule.step()
        schedule.end_epoch(loss)
        found.append(schedule.lr / PEAK)
    # torch's ReduceLROnPlateau: more than two epochs without improvement lower it, then it counts anew
    assert found == pytest.approx([1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25])


def test_plateau_agrees_with_torch() -> None:
    draw = torch.Generator().manual_seed(0)
    schedule = made(SchedulePlan(shape="plateau", warmup=0.0, plateau_patience=3, decay=0.3), 1000)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=PEAK)
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=3, eps=0.0)
    for epoch in range(60):
        loss = 1 / (epoch + 1) + float(torch.rand((), generator=draw)) / 10
        schedule.end_epoch(loss)
        peer.step(loss)
        assert schedule.lr == pytest.approx(optimizer.param_groups[0]["lr"])
    assert schedule.lr < 0.1 * PEAK


def test_only_plateau_looks_at_the_loss() -> None:
    for shape in SHAPES.keys() - {"plateau"}:
        schedule = made(SchedulePlan(shape=shape, warmup=0.0, plateau_patience=1), 100)
        before = schedule.lr
        for _ in range(10):
            schedule.end_epoch(1.0)
        assert schedule.lr == before


@pytest.mark.parametrize("shape", SHAPES)
def test_its_state_goes_on_where_it_was(shape: str) -> None:
    plan = SchedulePlan(shape=shape, warmup=0.1, plateau_patience=1, decay=0.5)

    def run(schedule: Schedule, epochs: range) -> list[float]:
        seen = []
        for _ in epochs:
            for _ in range(7):
                schedule.step()
            schedule.end_epoch(1.0)
            seen.append(schedule.lr)
        return seen

    whole = run(made(plan, 70), range(10))
    first = made(plan, 70)
    run(first, range(4))
    second = made(plan, 70)
    second.load_state_dict(first.state_dict())
    assert second.lr == first.lr
    assert run(second, range(4, 10)) == whole[4:]
