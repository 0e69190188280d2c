"""What holds for every intervention: it says what it does, trains any net, and leaves nothing behind."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch
from small_nets import INPUTS, train
from torch import nn
from torch.nn import functional
from torch.nn.modules import module as module_hooks
from torch.optim import optimizer as optimizer_hooks
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from fitwell.experiment import Change
from fitwell.treating.changing.live import Live, apply, described, interventions

CASES = [
    pytest.param(name, settings, id=f"{name}-{number}")
    for name, each in interventions().items()
    for number, settings in enumerate(each.examples)
]
TRAININGS = [  # all nets with the first settings, one net with the others
    pytest.param(name, settings, net, forked, id=f"{name}-{number}-{net}-{'fork' if forked else 'rerun'}")
    for name, each in interventions().items()
    for number, settings in enumerate(each.examples)
    for net in (INPUTS if number == 0 else ["mlp"])
    for forked in ([False, True] if each.forks else [False])
]
OWNERS = [
    functional,
    torch,
    torch.Tensor,
    torch.autograd,
    torch.optim,
    DataLoader,
    BatchSampler,
    SequentialSampler,
]
OWNERS += [each for each in vars(nn).values() if inspect.isclass(each)]
OWNERS += [each for each in vars(torch.optim).values() if inspect.isclass(each)]


for kind in (torch.optim.SGD, torch.optim.Adam):
    kind([nn.Parameter(torch.zeros(1))], lr=0.1)  # torch changes the class when the first one is made


def state() -> dict[Any, dict[str, Any]]:
    """Everything that an intervention may touch in torch."""
    found: dict[Any, dict[str, Any]] = {}
    for owner in OWNERS:
        found[owner] = {name: value for name, value in vars(owner).items() if callable(value)}
        codes = {
            f"code of {name}": value.__code__
            for name, value in found[owner].items()
            if inspect.isfunction(value)
        }
        found[owner] |= codes
    for hooks in (module_hooks, optimizer_hooks):
        kept = {name: value for name, value in vars(hooks).items() if name.startswith("_global_")}
        found[hooks] = {
            name: dict(value) if isinstance(value, dict) else value for name, value in kept.items()
        }
    return found


def settings_of(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups
    ]


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_its_settings_stand_in_what_it_says(name: str, settings: dict[str, Any]) -> None:
    words = described(Change(name, settings))
    assert words
    assert "{" not in words


@pytest.mark.parametrize(("name", "settings", "net", "forked"), TRAININGS)
def test_it_trains_and_leaves_nothing_behind(
    name: str, settings: dict[str, Any], net: str, forked: bool
) -> None:
    torch.manual_seed(0)
    make, draw = INPUTS[net]
    inputs = draw()
    targets = torch.arange(len(inputs)) % 3

    def begin() -> tuple[nn.Module, torch.optim.Optimizer]:
        model = make()
        return model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    if forked:
        model, optimizer = begin()
        train(model, inputs, targets, optimizer, epochs=1)
    before = state()
    live = Live(forked=forked)
    apply([Change(name, settings)], live)
    if not forked:
        model, optimizer = begin()
    groups = settings_of(optimizer)
    losses = train(model, inputs, targets, optimizer)
    live.undo()
    assert all(math.isfinite(loss) for loss in losses)
    assert state() == before
    assert settings_of(optimizer) == groups
    assert not any(name.startswith("_fitwell") for part in model.modules() for name in vars(part))
    train(model, inputs[:8], targets[:8], optimizer, epochs=1)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_its_signature_takes_its_settings(name: str, settings: dict[str, Any]) -> None:
    inspect.signature(interventions()[name].apply).bind(Live(), **settings)
