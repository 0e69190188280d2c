from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def facts(watched: Any, batches: list[Tensor], loss: Any) -> list[dict[str, Any]]:
    model = nn.Linear(4, batches[0].shape[1])
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    with watched() as record:
        for y in batches:
            loss(model(torch.randn(len(y), 4)), y).backward()
            optimizer.step()
        with torch.no_grad():
            loss(model(torch.randn(10, 4)), torch.ones(10, batches[0].shape[1]))
    return record.facts["signals"]["targets"]["places"]  # type: ignore[no-any-return]


def test_a_constant_answer_loses_the_variance(watched: Any) -> None:
    batches = [torch.randn(32, 2) * torch.tensor([1.0, 3.0]) + 1000 for _ in range(4)]
    train, held_out = facts(watched, batches, F.mse_loss)
    every = torch.cat(batches)
    assert train["constant"] == pytest.approx(every.var(0, correction=0).mean().item(), rel=1e-3)
    assert train["mean"] == pytest.approx(every.mean().item(), rel=1e-4)
    assert (train["function"], train["part"], train["samples"]) == ("mse_loss", "train", 128)
    assert (held_out["part"], held_out["constant"]) == ("val", 0.0)


def test_of_an_absolute_loss_the_mean_distance(watched: Any) -> None:
    batches = [torch.randn(200, 1) for _ in range(4)]
    train, _ = facts(watched, batches, F.l1_loss)
    assert train["constant"] == pytest.approx(0.8, rel=0.15)


def test_labels_are_no_numbers(watched: Any) -> None:
    model = nn.Linear(4, 3)
    with watched() as record:
        F.cross_entropy(model(torch.randn(8, 4)), torch.randint(3, (8,))).backward()
        torch.optim.SGD(model.parameters(), 0.1).step()
    assert record.facts["signals"]["targets"]["places"] == []
