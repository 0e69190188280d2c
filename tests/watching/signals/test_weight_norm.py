"""Norms of weights are those after each step."""

import pytest
import torch
from torch import nn
from torch.optim import SGD


def test_of_the_trainable_parameters_of_each_layer_after_the_step(watched) -> None:
    model = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 2))
    model[2].bfloat16()
    optimizer, expected = SGD(model.parameters(), 0.1), []
    with watched() as record:
        for _ in range(6):
            optimizer.zero_grad()
            output = model[2](model[1](model[0](torch.randn(4, 3))).bfloat16())
            nn.functional.mse_loss(output, torch.randn(4, 2).bfloat16()).backward()
            optimizer.step()
            parts = [p.detach().double().flatten() for p in model[2].parameters()]
            expected.append(torch.cat(parts).norm().item())
    layers = {name for event in record.events for name in event["signals"] if name.endswith("/weight_norm")}
    assert len(layers) == 2
    found = max(
        (record.values(name) for name in sorted(layers)), key=lambda v: v[0] == pytest.approx(expected[0])
    )
    assert len(found) >= 5
    assert found == pytest.approx(expected[: len(found)], rel=1e-5)
