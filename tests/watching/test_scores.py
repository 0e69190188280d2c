"""Right answers are counted where an evaluation computes no loss, and only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


def run(
    watched: Any, evaluate: Callable[[nn.Module, Any], float], binary: bool = False
) -> tuple[Any, list[float]]:
    torch.manual_seed(1)
    model = nn.Linear(4, 1 if binary else 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    labels = torch.randint(0, 2 if binary else 3, (72,))
    data = TensorDataset(torch.randn(72, 4), labels)
    train, held_out = (
        DataLoader(torch.utils.data.Subset(data, part), 8) for part in (range(32), range(32, 72))
    )
    expected = []
    with watched() as record:
        for _ in range(3):
            for x, y in train:
                optimizer.zero_grad()
                loss(model(x), y).backward()
                optimizer.step()
            with torch.no_grad():
                expected.append(evaluate(model, held_out))
    return record, expected


def loss(output: Tensor, y: Tensor) -> Tensor:
    if output.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(output[:, 0], y.float())
    return F.cross_entropy(output, y)


def right(output: Tensor, y: Tensor) -> int:
    answers = output[:, 0] > 0 if output.shape[1] == 1 else output.argmax(1)
    return int((answers == y).sum())


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("with_loss", [False, True])
def test_the_accuracy_is_that_of_all_batches(watched: Any, binary: bool, with_loss: bool) -> None:
    def evaluate(model: nn.Module, batches: Any) -> float:
        found = 0
        for x, y in batches:
            output = model(x)
            found += right(output, y)
            if with_loss:
                loss(output, y)
        return found / 40

    record, expected = run(watched, evaluate, binary)
    assert record.values("accuracy/val") == pytest.approx(expected)


def test_a_model_that_is_called_twice_is_not_judged(watched: Any) -> None:
    def evaluate(model: nn.Module, batches: Any) -> float:
        return sum(right(model(x) + model(-x), y) for x, y in batches)

    assert not run(watched, evaluate)[0].curve("accuracy/val")


def test_labels_of_something_else_are_not_judged(watched: Any) -> None:
    def evaluate(model: nn.Module, batches: Any) -> float:
        features = nn.Linear(4, 5)
        return sum(float(features(x).sum()) for x, _ in batches)

    assert not run(watched, evaluate)[0].curve("accuracy/val")
