"""Regression under a cyclic learning rate that moves after every batch."""

import random

import numpy as np
import torch
from digest import digest
from sklearn.datasets import load_diabetes
from torch import nn, optim
from torch.optim.lr_scheduler import CyclicLR
from torch.utils.data import DataLoader, TensorDataset

random.seed(3)
np.random.seed(3)
torch.manual_seed(3)

data = load_diabetes()
X = torch.tensor(data.data, dtype=torch.float32)
y = torch.tensor(data.target, dtype=torch.float32).unsqueeze(1)
perm = torch.randperm(len(X))
train_idx, val_idx = perm[:352], perm[352:]
X = (X - X[train_idx].mean(0)) / X[train_idx].std(0)
y = (y - y[train_idx].mean()) / y[train_idx].std()

train_loader = DataLoader(TensorDataset(X[train_idx], y[train_idx]), batch_size=32, shuffle=True)
val_loader = DataLoader(TensorDataset(X[val_idx], y[val_idx]), batch_size=90)

model = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1))
loss_fn = nn.MSELoss()
optimizer = optim.SGD(model.parameters(), lr=0.005, momentum=0.9, weight_decay=1e-2)
scheduler = CyclicLR(optimizer, base_lr=0.0005, max_lr=0.01, step_size_up=22, mode="triangular2")

for epoch in range(12):
    model.train()
    train_loss = 0.0
    for xb, yb in train_loader:
        pred = model(xb)
        loss = loss_fn(pred, yb)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        train_loss += loss.item() * xb.size(0)
    train_loss /= len(train_loader.dataset)

    model.eval()
    with torch.no_grad():
        val_loss = sum(loss_fn(model(xb), yb).item() * len(xb) for xb, yb in val_loader) / len(val_idx)
    lr = scheduler.get_last_lr()[0]
    print(f"Epoch [{epoch + 1}/12] lr={lr:.6f} train={train_loss:.6f} val={val_loss:.6f}")

print(digest(model))
