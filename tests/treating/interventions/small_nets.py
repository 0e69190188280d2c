"""Small trainings that interventions are applied to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fitwell.experiment import Change
from fitwell.treating.changing.live import Live, apply


@contextmanager
def changed(intervention: str, *, forked: bool = False, **settings: Any) -> Iterator[Live]:
    """With one change in place."""
    live = Live(forked=forked)
    apply([Change(intervention, settings)], live)
    try:
        yield live
    finally:
        live.undo()


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 3)
    )


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.head = nn.Linear(32 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.conv1(x))), 2)
        return self.head(F.adaptive_avg_pool2d(torch.relu(self.conv2(x)), 2).flatten(1))


class Gru(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 16, batch_first=True)
        self.head = nn.Sequential(
            nn.Linear(16, 16), nn.LayerNorm(16), nn.ReLU(inplace=True), nn.Linear(16, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 16)
        self.hidden = nn.Linear(16, 32)
        self.head = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.gelu(self.hidden(self.embed(x).mean(1))).sigmoid())


INPUTS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "mlp": (mlp, lambda: torch.randn(16, 6)),
    "cnn": (Cnn, lambda: torch.randn(16, 1, 8, 8)),
    "gru": (Gru, lambda: torch.randn(16, 5, 4)),
    "words": (Words, lambda: torch.randint(10, (16, 5))),
}


def train(
    model: nn.Module, inputs: Tensor, targets: Tensor, optimizer: torch.optim.Optimizer, epochs: int = 2
) -> list[float]:
    """The loss of each step; an evaluation without gradients ends each epoch."""
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=8)
    losses = []
    for _ in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            F.cross_entropy(model(inputs), targets)
    return losses
