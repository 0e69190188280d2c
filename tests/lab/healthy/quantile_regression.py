"""Three quantiles of a noisy curve at once, with a pinball loss written by hand."""

import random

import numpy as np
import torch
from digest import digest
from torch import nn


class PinballLoss(nn.Module):
    """Mean over samples, sum over quantiles; predictions [N, Q], targets [N]."""

    def __init__(self, quantiles):
        super().__init__()
        self.register_buffer("quantiles", torch.tensor(quantiles))

    def forward(self, predicted, target):
        error = target[:, None] - predicted
        return torch.maximum(self.quantiles * error, (self.quantiles - 1) * error).sum(1).mean()


def data(n):
    x = torch.empty(n, 1).uniform_(-3, 3)
    spread = 0.2 + 0.3 * torch.sigmoid(2 * x)
    y = torch.sin(1.5 * x) + 0.3 * x + spread * torch.randn(n, 1)
    return x, y[:, 0]


def fit(model, criterion, train, validation, epochs=25):
    (x, y), (x_val, y_val) = train, validation
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        model.train()
        epoch_loss = torch.zeros(())
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            loss = criterion(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            epoch_loss += loss.detach() * len(rows)
        scheduler.step()
        model.eval()
        with torch.no_grad():
            val_loss = criterion(model(x_val), y_val)
        if epoch % 3 == 0:
            print(f"epoch {epoch:3d}  pinball {epoch_loss / len(x):.7f}  val {val_loss:.7f}")


random.seed(77)
np.random.seed(77)
torch.manual_seed(77)
quantiles = [0.1, 0.5, 0.9]
train, validation = data(1024), data(512)
model = nn.Sequential(nn.Linear(1, 32), nn.Softplus(), nn.Linear(32, 32), nn.Softplus(), nn.Linear(32, 3))
criterion = PinballLoss(quantiles)
fit(model, criterion, train, validation)

x_val, y_val = validation
with torch.no_grad():
    below = (y_val[:, None] < model(x_val)).float().mean(0)
for q, share in zip(quantiles, below.tolist(), strict=True):
    print(f"quantile {q:.1f}: {share:.5f} of the validation targets lie below")
print(digest(model, criterion, below))
