"""Friedman's function, a Huber-like loss, and a rate that falls when validation stands still."""

import random

import numpy as np
import torch
from digest import digest
from torch import nn

SEED = 17
random.seed(SEED)
np.random.seed(SEED)
torch.manual_seed(SEED)


def friedman(n, noise=0.5):
    X = np.random.uniform(size=(n, 6))
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]
    y = y + noise * np.random.randn(n)
    X = (X - 0.5) * np.sqrt(12)
    y = (y - 14.4) / 4.9
    return torch.tensor(X, dtype=torch.float), torch.tensor(y, dtype=torch.float)


X_train, y_train = friedman(1500)
X_valid, y_valid = friedman(500)

model = nn.Sequential(
    nn.Linear(6, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1), nn.Flatten(0)
)
loss_fn = nn.SmoothL1Loss()
optimizer = torch.optim.NAdam(model.parameters(), lr=1e-2)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=2, threshold=1e-2)

history = {"train": [], "valid": []}
for epoch in range(30):
    permutation = np.random.permutation(len(X_train))
    batch_losses = []
    for start in range(0, len(X_train), 100):
        rows = permutation[start : start + 100]
        optimizer.zero_grad()
        loss = loss_fn(model(X_train[rows]), y_train[rows])
        loss.backward()
        optimizer.step()
        batch_losses.append(loss.item())
    with torch.no_grad():
        valid_loss = loss_fn(model(X_valid), y_valid).item()
    scheduler.step(valid_loss)
    history["train"].append(float(np.mean(batch_losses)))
    history["valid"].append(valid_loss)
    lr = optimizer.param_groups[0]["lr"]
    print(f"epoch={epoch} train={history['train'][-1]:.6f} valid={valid_loss:.6f} lr={lr:g}")

residual = (model(X_valid) - y_valid).detach()
print("R2 %.5f" % (1 - residual.var() / y_valid.var()))
print(digest(model, residual))
