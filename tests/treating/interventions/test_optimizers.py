"""Steps, rates and gradients."""

from __future__ import annotations

import math

import pytest
import torch
from small_nets import changed
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, StepLR

PLACES = pytest.mark.parametrize("forked", [False, True], ids=["rerun", "fork"])


def step(weight: nn.Parameter, optimizer: torch.optim.Optimizer, gradient: list[float]) -> list[float]:
    """How far a step goes."""
    before = weight.detach().clone()
    weight.grad = torch.tensor(gradient, dtype=torch.float)
    optimizer.step()
    return (before - weight.detach()).tolist()


def made(size: int = 2, **settings: float) -> tuple[nn.Parameter, torch.optim.SGD]:
    weight = nn.Parameter(torch.zeros(size))
    return weight, torch.optim.SGD([weight], **{"lr": 1.0, **settings})


@PLACES
def test_a_scheduler_goes_on_below_another_rate(forked: bool) -> None:
    weight, optimizer = made()
    scheduler = StepLR(optimizer, 1, 0.5)
    with changed("rate", forked=forked, factor=0.1):
        assert step(weight, optimizer, [1, 0]) == pytest.approx([0.1, 0])
        scheduler.step()
        assert optimizer.param_groups[0]["lr"] == 0.5
        assert step(weight, optimizer, [1, 0]) == pytest.approx([0.05, 0])


@PLACES
def test_momentum(forked: bool) -> None:
    weight, optimizer = made()
    with changed("momentum", forked=forked, value=0.5):
        assert step(weight, optimizer, [1, 0])[0] == pytest.approx(1)
        assert step(weight, optimizer, [1, 0])[0] == pytest.approx(1.5)


def test_weight_decay() -> None:
    weight, optimizer = made(weight_decay=0.1)
    weight.data.fill_(1.0)
    with changed("weight_decay", factor=0):
        assert step(weight, optimizer, [0, 0]) == [0, 0]
    with changed("weight_decay", factor=2):
        assert step(weight, optimizer, [0, 0]) == pytest.approx([0.2, 0.2])


def test_weights_decay_and_biases_in_a_group_of_their_own_do_not() -> None:
    layer = nn.Linear(2, 2)
    nn.init.ones_(layer.bias), nn.init.ones_(layer.weight)
    optimizer = torch.optim.SGD([{"params": [layer.weight]}, {"params": [layer.bias]}], lr=1.0)
    for each in layer.parameters():
        each.grad = torch.zeros_like(each)
    with changed("decay_weights", value=0.1):
        optimizer.step()
    assert layer.weight[0, 0].item() == pytest.approx(0.9)
    assert layer.bias[0].item() == 1


def test_warmup_and_decay() -> None:
    weight, optimizer = made()
    with changed("warmup", share=0.4, steps=10):
        steps = [step(weight, optimizer, [1, 0])[0] for _ in range(6)]
    assert steps == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])
    with changed("decay", steps=4):
        steps = [step(weight, optimizer, [1, 0])[0] for _ in range(5)]
    assert steps == pytest.approx([(1 + math.cos(math.pi * t / 4)) / 2 for t in range(5)], abs=1e-6)


@PLACES
def test_gradients_are_gone_after_the_step(forked: bool) -> None:
    weight, optimizer = made()
    with changed("clear_gradients", forked=forked):
        step(weight, optimizer, [1, 0])
        assert weight.grad is None


def test_clipped_at_a_norm() -> None:
    weight, optimizer = made()
    with changed("clip_norm", norm=1.0):
        assert step(weight, optimizer, [3, 4]) == pytest.approx([0.6, 0.8])
        assert step(weight, optimizer, [0.3, 0.4]) == pytest.approx([0.3, 0.4])


def test_clipped_at_a_percentile_of_the_norms_so_far() -> None:
    weight, optimizer = made()
    with changed("clip", percentile=90):
        for norm in range(1, 11):
            step(weight, optimizer, [float(norm), 0])
        assert step(weight, optimizer, [1000, 0])[0] == pytest.approx(9.1)


def test_another_optimizer_passes_for_the_one_that_was_asked_for() -> None:
    weight = nn.Parameter(torch.zeros(2))
    bias = nn.Parameter(torch.zeros(1))
    with changed("optimizer", name="Adam", lr=1e-3):
        groups = [{"params": [weight]}, {"params": [bias], "lr": 1.0}]
        optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.01)
    assert isinstance(optimizer, torch.optim.SGD)
    assert isinstance(optimizer, torch.optim.Adam)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-3, 1e-2])
    assert optimizer.param_groups[0]["weight_decay"] == 0.01
    scheduler = OneCycleLR(optimizer, 1e-3, total_steps=3)
    assert step(weight, optimizer, [5, 0]) == pytest.approx([optimizer.param_groups[0]["lr"], 0], rel=1e-3)
    scheduler.step()
    assert not isinstance(torch.optim.SGD([weight], lr=0.1), torch.optim.Adam)


@pytest.mark.parametrize("given", ["AdamW", "RMSprop", "Adagrad"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_each_optimizer_can_be_each_other(given: str, name: str) -> None:
    weight = nn.Parameter(torch.zeros(2))
    with changed("optimizer", name=name, lr=0.5):
        optimizer = getattr(torch.optim, given)([weight], lr=0.1)
        assert isinstance(optimizer, getattr(torch.optim, given))
        assert optimizer.param_groups[0]["lr"] == (0.1 if given == name else 0.5)
        assert step(weight, optimizer, [1, 0])[0] > 0
