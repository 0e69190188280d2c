"""Other settings of optimizers during their steps, and only then."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fitwell.treating.changing.groups import Group, during_steps, multiply_rate, on_steps
from fitwell.treating.changing.live import Live


def made(rate: float = 1.0) -> torch.optim.SGD:
    weight = nn.Parameter(torch.zeros(()))
    weight.grad = torch.ones(())
    return torch.optim.SGD([weight], lr=rate)


def step(optimizer: torch.optim.Optimizer) -> float:
    """How far a step goes."""
    (weight,) = optimizer.param_groups[0]["params"]
    before = weight.item()
    optimizer.step()
    return before - weight.item()


def a_tenth(group: Group) -> Group:
    return {"lr": group["lr"] / 10}


def fails() -> float:
    raise ValueError


class Outer(torch.optim.Optimizer):
    """Holds the groups of another optimizer, and steps within its own step."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        super().__init__([nn.Parameter(torch.zeros(1))], {})
        self.param_groups, self.inner = inner.param_groups, inner

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        self.inner.step()


def test_settings_are_others_in_the_step_alone(live: Live) -> None:
    optimizer = made()
    during_steps(live, a_tenth)
    assert [step(optimizer) for _ in range(3)] == pytest.approx([0.1] * 3)
    assert optimizer.param_groups[0]["lr"] == 1.0


def test_each_group_is_changed_by_itself(live: Live) -> None:
    first, second = made(), made()
    optimizer = torch.optim.SGD(
        [{"params": each.param_groups[0]["params"]} for each in (first, second)], lr=1.0
    )
    optimizer.param_groups[1]["lr"] = 2.0
    during_steps(live, lambda group: a_tenth(group) if group["lr"] > 1 else {})
    optimizer.step()
    assert [group["params"][0].item() for group in optimizer.param_groups] == pytest.approx([-1.0, -0.2])


def test_changes_of_the_same_setting_add_up_and_are_put_back(live: Live) -> None:
    optimizer = made()
    during_steps(live, a_tenth)
    multiply_rate(live, lambda _: 0.5)
    assert [step(optimizer) for _ in range(3)] == pytest.approx([0.05] * 3)
    assert optimizer.param_groups[0]["lr"] == 1.0


def test_it_is_asked_once_for_each_step_of_each_optimizer(live: Live) -> None:
    asked: list[torch.optim.Optimizer] = []
    first, second = made(), made()
    on_steps(live, lambda optimizer: asked.append(optimizer) or a_tenth)
    for optimizer in (first, first, second):
        optimizer.step()
    assert asked == [first, first, second]


def test_rates_follow_the_steps_that_each_optimizer_made_since(live: Live) -> None:
    first, second = made(), made()
    first.step()
    multiply_rate(live, lambda done: 1.0 + done)
    assert [step(first), step(first), step(second)] == [1.0, 2.0, 1.0]


def test_a_step_within_a_step_is_changed_once(live: Live) -> None:
    inner = made()
    outer = Outer(inner)
    during_steps(live, a_tenth)
    assert [step(outer) for _ in range(2)] == pytest.approx([0.1, 0.1])
    assert inner.param_groups[0]["lr"] == 1.0


def test_a_step_that_failed_leaves_its_rate_to_the_next(live: Live) -> None:
    optimizer = made()
    during_steps(live, a_tenth)
    with pytest.raises(ValueError):  # noqa: PT011
        optimizer.step(fails)
    assert step(optimizer) == pytest.approx(0.1)
    assert optimizer.param_groups[0]["lr"] == 1.0


def test_what_a_failed_step_left_is_put_back_in_the_end(live: Live) -> None:
    optimizer = made()
    during_steps(live, a_tenth)
    with pytest.raises(ValueError):  # noqa: PT011
        optimizer.step(fails)
    live.undo()
    assert step(optimizer) == 1.0
