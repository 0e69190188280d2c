from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn


def step(model, optimizer, samples=8):
    optimizer.zero_grad()
    output = model(torch.randn(samples, 3))
    F.mse_loss(output, torch.zeros_like(output)).backward()
    optimizer.step()


def evaluate(model):
    output = model(torch.randn(8, 3) + 1)
    return F.mse_loss(output, torch.ones_like(output))


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 1))


def known(record):
    return record.facts["signals"]["running_statistics"]["model"]


def test_evaluation_in_training_mode_moves_what_batch_norm_learned(watched, model):
    with watched() as record:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        step(model, optimizer)
        with torch.no_grad():
            evaluate(model)
            before = model[1].running_mean.clone()
            evaluate(model)
            moved = (model[1].running_mean - before).abs().max().item()
        step(model, optimizer)
    norm = known(record)["1"]
    assert norm["training"] == {"train": 2, "val": 2}
    assert norm["evaluation"] == {}
    assert norm["held_out_losses_in_training_mode"] == 2
    assert norm["moved_by_evaluation"] == pytest.approx(moved, rel=1e-5)
    assert moved > 0
    assert known(record)["2"]["kind"] == "dropout"


def test_the_second_evaluation_is_looked_at_where_only_a_loss_tells_of_the_first(watched, model):
    with watched() as record:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for _ in range(4):
            for _ in range(20):
                step(model, optimizer)
            with torch.no_grad():
                evaluate(model)
    norm = known(record)["1"]
    assert norm["training"]["val"] >= 1
    assert norm["held_out_losses_in_training_mode"] >= 1


def test_evaluation_in_evaluation_mode_moves_nothing(watched, model):
    with watched() as record:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        step(model, optimizer)
        model.eval()
        with torch.no_grad():
            evaluate(model)
            evaluate(model)
        model.train()
        step(model, optimizer)
    norm = known(record)["1"]
    assert (norm["training"], norm["evaluation"]) == ({"train": 2}, {"val": 2})
    assert norm["moved_by_evaluation"] == 0
    assert "held_out_losses_in_training_mode" not in norm


def test_evaluation_with_a_graph_is_no_training_in_evaluation_mode(watched, model):
    with watched() as record:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for _ in range(3):
            model.train()
            step(model, optimizer)
            model.eval()
            evaluate(model)
    assert known(record)["1"]["evaluation"] == {}
    assert known(record)["1"]["training"] == {"train": 3}


def test_training_in_evaluation_mode_is_seen(watched, model):
    with watched() as record:
        optimizer = torch.optim.SGD(model.eval().parameters(), lr=0.01)
        for _ in range(3):
            step(model, optimizer)
    assert known(record)["1"]["evaluation"] == {"train": 3}


def test_the_samples_that_batch_norm_sees(watched, model):
    with watched() as record:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for samples in (8, 2, 16, 3):
            step(model, optimizer, samples)
    norm = known(record)["1"]
    assert (norm["fewest_samples"], norm["most_samples"], norm["tiny"]) == (2, 16, 2)
