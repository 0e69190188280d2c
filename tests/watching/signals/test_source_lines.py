"""The lines that call models, and what the source of the program says."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def losses(model, n):
    return F.mse_loss(model(torch.randn(n, 3)), torch.zeros(n, 1))


def train(model, steps, kept):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = losses(model, 6)
        loss.backward()
        optimizer.step()
        kept.append(loss)


def evaluate(model):
    model.eval()
    with torch.no_grad():
        return losses(model, 4)


def lines(record, kind):
    return [line["text"] for line in record.facts["signals"]["source_lines"][kind]]


def test_calls_of_training_and_of_evaluation_through_the_same_function(watched):
    model = nn.Linear(3, 1)
    with watched() as record:
        train(model, 3, [])
        evaluate(model)
    calls = record.facts["signals"]["source_lines"]["calls"]
    assert [(call["part"], call["training"], call["text"]) for call in calls] == [
        ("train", True, "return F.mse_loss(model(torch.randn(n, 3)), torch.zeros(n, 1))"),
        ("held-out", False, "return losses(model, 4)"),
    ]


def test_the_source_of_the_files_that_ran_is_read(watched):
    with watched() as record:
        train(nn.Linear(3, 1), 2, [])
    assert lines(record, "keeps") == ["kept.append(loss)"]
    assert lines(record, "clears") == ["optimizer.zero_grad()"]
