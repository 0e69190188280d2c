from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def loader(samples: int) -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.randn(samples, 4), torch.randint(0, 3, (samples,))), 8)


def test_what_the_program_calls_accuracy_stands_beside_what_was_counted(watched: Any) -> None:
    train, held_out, model = loader(32), loader(40), nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    expected, wrong = [], []
    with watched() as record:
        for _ in range(3):
            for x, y in train:
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
            with torch.no_grad():
                right = sum(int((model(x).argmax(1) == y).sum()) for x, y in held_out)
            val_acc, train_acc = right / len(held_out), 1.0
            wrong.append(val_acc)
            expected.append(right / 40)
    assert train_acc
    rows = record.facts["signals"]["metrics"]["variables"]
    assert list(rows) == ["val_acc"]
    assert [row["value"] for row in rows["val_acc"]][:2] == wrong[:2]
    assert [row["counted"] for row in rows["val_acc"]][:2] == expected[:2]
    assert [(row["samples"], row["batches"]) for row in rows["val_acc"]][:2] == [(40, 5)] * 2


def test_whether_a_value_was_computed_anew(watched: Any) -> None:
    train, held_out, model = loader(32), loader(40), nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    old_acc = torch.tensor(0.25)
    with watched() as record:
        for _ in range(3):
            for x, y in train:
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
            with torch.no_grad():
                for x, y in held_out:
                    new_acc = (model(x).argmax(1) == y).float().mean() * 0
    assert old_acc > new_acc
    rows = record.facts["signals"]["metrics"]["variables"]
    assert [row["new"] for row in rows["old_acc"]][1:] == [False] * (len(rows["old_acc"]) - 1)
    assert all(row["new"] for row in rows["new_acc"])
