"""Norms of weights are those after each step."""

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD


def _norm(module: nn.Module) -> float:
    return torch.cat([p.detach().double().flatten() for p in module.parameters()]).norm().item()


class _Net(nn.Module):
    """Two dtypes, a frozen layer, and one whose weight is parametrized."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.full = nn.utils.parametrizations.weight_norm(nn.Linear(3, 8))
        self.narrow = nn.Linear(8, 2).bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        return self.narrow(self.full(self.frozen(x)).bfloat16())


def test_of_the_trainable_parameters_of_each_layer_after_the_step(watched) -> None:
    model = _Net()
    optimizer, full, half = SGD(model.parameters(), 0.1), [], []
    with watched() as record:
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(torch.randn(4, 3)), torch.randn(4, 2).bfloat16()).backward()
            optimizer.step()
            full.append(_norm(model.full))
            half.append(_norm(model.narrow))
    assert record.values("layer/full/weight_norm") == pytest.approx(full, rel=1e-5)
    assert record.values("layer/narrow/weight_norm") == pytest.approx(half, rel=1e-5)
    assert record.values("layer/frozen/weight_norm") == []
