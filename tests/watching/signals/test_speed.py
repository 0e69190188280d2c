from __future__ import annotations

import time
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


class Slow(Dataset[Tensor]):
    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> Tensor:
        time.sleep(0.005)
        return torch.randn(3)


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def test_time_and_throughput_are_those_of_a_step(watched: Any) -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(8):
            for _ in range(2):  # accumulated
                F.mse_loss(model(torch.randn(16, 3)), torch.zeros(16, 1)).backward()
            time.sleep(0.05)
            optimizer.step()
    assert 0.05 < median(record.values("time/step")) < 0.1
    for seconds, rate in zip(record.values("time/step"), record.values("throughput"), strict=True):
        assert rate == pytest.approx(32 / seconds)
    assert not record.values("time/data_share")


def test_two_losses_of_one_batch_are_one_batch(watched: Any) -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(4):
            out = model(torch.randn(16, 3))
            (F.mse_loss(out, torch.zeros(16, 1)) + F.l1_loss(out, torch.zeros(16, 1))).backward()
            optimizer.step()
    rates = [t * r for t, r in zip(record.values("time/step"), record.values("throughput"), strict=True)]
    assert rates == pytest.approx([16] * 3)


def test_share_of_waiting(watched: Any) -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for x in DataLoader(Slow(), batch_size=8):  # 40 ms to load, 20 to compute
            F.mse_loss(model(x), torch.zeros(8, 1)).backward()
            time.sleep(0.02)
            optimizer.step()
    assert len(record.values("time/data_share")) >= 4
    assert median(record.values("time/data_share")) == pytest.approx(0.64, abs=0.15)


def test_a_step_that_waited_for_an_evaluation_is_left_out(watched: Any) -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for number in range(5):
            F.mse_loss(model(torch.randn(8, 3)), torch.zeros(8, 1)).backward()
            optimizer.step()
            if number == 1:
                with torch.no_grad():
                    F.mse_loss(model(torch.randn(8, 3)), torch.zeros(8, 1))
                time.sleep(0.1)
    assert max(record.values("time/step")) < 0.1
    assert [step for step, _ in record.curve("time/step")] == [2, 4, 5]
