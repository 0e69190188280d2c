from __future__ import annotations

from typing import Any

import torch
from torch import nn

from fitwell.watching.signals.memory import resident


def test_records_what_the_process_holds(watched: Any) -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    held = []
    with watched() as record:
        for number in range(4):
            model(torch.randn(4, 2)).square().mean().backward()
            optimizer.step()
            if number == 1:
                held.append(torch.ones(30_000_000))  # 120 MB
    before, after = record.values("memory/process")[1], record.values("memory/process")[2]
    assert 100 < after - before < 140
    assert not record.values("memory/cuda")


def test_is_in_megabytes() -> None:
    held = resident()
    assert held is not None
    with open("/proc/self/status") as file:
        kilobytes = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    assert abs(held - kilobytes * 1024 / 1e6) < 20
