from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def train(model, steps):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(model(torch.randn(6, 3)), torch.zeros(6, 1)).backward()
        optimizer.step()


def test_training_that_goes_on_in_evaluation_mode(watched):
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 1))
    with watched() as record:
        train(model, 2)
        model.eval()
        train(model, 3)
    known = record.facts["signals"]["modes"]["threads"]["model"]
    assert (known["looks"], known["in_evaluation_mode"], known["latest_in_evaluation_mode"]) == (5, 3, 3)
    assert known["where"]["text"] == "model.eval()"


def test_batch_norm_alone_may_be_frozen(watched):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    model[1].eval()
    with watched() as record:
        train(model, 4)
    assert record.facts["signals"]["modes"]["threads"]["model"]["in_evaluation_mode"] == 0


def test_a_model_that_has_no_modes(watched):
    with watched() as record:
        train(nn.Linear(3, 1).eval(), 3)
    assert record.facts["signals"]["modes"] == {"threads": {}}
