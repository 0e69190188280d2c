from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn


def known(watched, model, steps=3):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(torch.randn(16, 25)), torch.randint(0, 3, (16,))).backward()
            optimizer.step()
    return {each["layer"]: each for each in record.facts["signals"]["initial_weights"]["threads"]["model"]}


def mlp():
    return nn.Sequential(nn.Linear(25, 8), nn.Tanh(), nn.Linear(8, 3))


def test_the_scale_of_the_weights(watched):
    model = mlp()
    nn.init.normal_(model[0].weight)
    found = known(watched, model)
    assert found["0"]["gain"] == pytest.approx(5, rel=0.2)
    assert (found["0"]["units"], found["0"]["alike"], found["0"]["looks"]) == (8, False, 3)


def test_units_that_begin_and_stay_alike(watched):
    model = mlp()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.5)
    found = known(watched, model)
    assert (found["0"]["alike"], found["0"]["zero"], found["0"]["alike_looks"]) == (True, False, 3)
    assert (found["2"]["alike"], found["2"]["alike_looks"]) == (True, 0)  # the classes tell them apart


def test_a_last_layer_of_zeros(watched):
    model = mlp()
    nn.init.zeros_(model[2].weight)
    found = known(watched, model)
    assert (found["2"]["zero"], found["2"]["alike_looks"], found["0"]["alike"]) == (True, 0, False)


def test_units_of_plain_tensors_are_their_columns(watched):
    w = torch.randn(25, 3, requires_grad=True)
    with torch.no_grad():
        w[:, 1:] = w[:, :1]
    optimizer = torch.optim.SGD([w], 0.1)
    with watched() as record:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(torch.randn(16, 25) @ w, torch.randint(0, 3, (16,))).backward()
            optimizer.step()
    ((found,),) = record.facts["signals"]["initial_weights"]["threads"].values()
    assert (found["units"], found["alike"], found["alike_looks"]) == (3, True, 0)
    assert found["gain"] == pytest.approx(5, rel=0.5)
