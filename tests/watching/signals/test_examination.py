from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from fitwell.watching import fork

pytestmark = pytest.mark.skipif(fork.refusal() is not None, reason="no forks here")


class Net(nn.Module):
    def __init__(self, batch_first):
        super().__init__()
        self.rnn, self.out = nn.GRU(3, 8, batch_first=batch_first), nn.Linear(8, 2)

    def forward(self, x):
        return self.out(F.dropout(self.rnn(x)[0][:, -1], 0.5))


def train(model, loader=True):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = torch.randn(32, 5, 3), torch.randint(0, 2, (32,))
    batches = DataLoader(TensorDataset(x, y), 8) if loader else [(x[:8], y[:8])] * 4
    for inputs, labels in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    model.eval()


@pytest.mark.parametrize("loader", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_model_is_examined_once_and_not_changed(watched, batch_first, loader):
    weights = []
    for watch in (False, True):
        torch.manual_seed(0)
        model = Net(batch_first)
        if watch:
            with watched() as record:
                train(model, loader)
        else:
            train(model, loader)
        weights.append([p.clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    (found,) = record.facts["signals"]["examination"]["threads"]["model"].values()
    assert (found["mixed"] == 0) == batch_first
    assert "F.dropout" in found["random"]["dropout"]["text"]
    assert found["calls"] == {"train": 4, "held_out": 0}
    assert found["evals"] == 1
    assert found["where"]["function"] == "Net.forward"


def test_rows_that_may_be_nodes_are_not_taken_for_samples(watched):
    model, x, y = nn.Linear(3, 2), torch.randn(8, 3), torch.randint(0, 2, (8,))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    (found,) = record.facts["signals"]["examination"]["threads"]["model"].values()
    assert found["mixed"] is None
    assert found["ignored"] == "no"
