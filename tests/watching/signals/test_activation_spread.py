from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn


def test_mean_and_spread_are_those_before_the_activation(watched):
    with watched() as record:
        net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(inplace=True), nn.Linear(5, 2))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        expected = []
        for _ in range(4):
            x = torch.randn(20, 3)
            hidden = torch.nn.functional.linear(x, net[0].weight, net[0].bias).detach()
            expected.append((hidden.mean().item(), hidden.std(correction=0).item()))
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
    means, deviations = record.curve("layer/0/activation_mean"), record.curve("layer/0/activation_std")
    assert len(means) >= 3
    assert [m for _, m in means] == pytest.approx([expected[step - 1][0] for step, _ in means], abs=1e-6)
    assert [s for _, s in deviations] == pytest.approx([expected[step - 1][1] for step, _ in means], rel=1e-5)
    assert record.values("layer/2/activation_std")
    assert not record.values("layer/1/activation_std")


def only(record: Any, signal: str) -> float:
    """The first value for the only layer, whatever it is called."""
    (name,) = {name for event in record.events for name in event["signals"] if name.endswith(signal)}
    return float(record.values(name)[0])


def test_large_outputs_are_sampled_and_half_precision_is_read(watched):
    with watched() as record:
        net = nn.Conv2d(1, 32, 3)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
        x = torch.randn(16, 1, 34, 34)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            net(x).square().mean().backward()
        optimizer.step()
    found = net(x).detach()
    assert only(record, "activation_std") == pytest.approx(found.std().item(), rel=0.03)


def test_evaluation_is_left_out(watched):
    with watched() as record:
        net = nn.Linear(3, 5)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
        with torch.no_grad():
            net(torch.full((4, 3), 1e6))
        net(torch.zeros(4, 3)).mean().backward()
        with torch.no_grad():
            net(torch.full((4, 3), 1e6))
        optimizer.step()
    assert abs(only(record, "activation_mean")) < 1
