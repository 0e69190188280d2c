"""Weights that are computed: weight norm, an orthogonal matrix and a spectral norm in one network."""

import random

import numpy as np
import torch
from digest import digest
from torch import nn
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm

random.seed(0)
np.random.seed(0)
torch.manual_seed(0)
rng = np.random.default_rng(0)


def two_spirals(n):
    turn = np.sqrt(rng.uniform(0.05, 1, n)) * 2.2 * np.pi
    side = rng.integers(0, 2, n)
    points = np.stack([turn * np.cos(turn + np.pi * side), turn * np.sin(turn + np.pi * side)], 1)
    points = points / 4 + rng.normal(0, 0.04, (n, 2))
    return torch.tensor(points, dtype=torch.float32), torch.tensor(side, dtype=torch.float32)


class Net(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.inp = weight_norm(nn.Linear(2, width))
        self.mix = orthogonal(nn.Linear(width, width))
        self.mid = spectral_norm(nn.Linear(width, width))
        self.out = weight_norm(nn.Linear(width, 1))

    def forward(self, x):
        h = torch.relu(self.inp(x))
        h = torch.relu(self.mix(h))
        h = torch.relu(self.mid(h) * 3)
        return self.out(h).squeeze(-1)


x, y = two_spirals(800)
x_val, y_val = two_spirals(200)
net = Net()
criterion = nn.BCEWithLogitsLoss()
opt = torch.optim.Adam(net.parameters(), lr=3e-3)

for epoch in range(20):
    net.train()
    running = []
    for idx in torch.randperm(len(x)).chunk(16):
        opt.zero_grad()
        loss = criterion(net(x[idx]), y[idx])
        loss.backward()
        opt.step()
        running.append(loss.item())
    net.eval()
    with torch.no_grad():
        logits = net(x_val)
        val = criterion(logits, y_val).item()
        acc = ((logits > 0) == (y_val > 0.5)).float().mean().item()
    print(f"[{epoch:02d}] loss={np.mean(running):.6f} val={val:.6f} acc={acc:.4f}")

gram = net.mix.weight @ net.mix.weight.T
print(f"off orthogonality {(gram - torch.eye(len(gram))).abs().max().item():.2e}")
print(f"largest singular value {torch.linalg.matrix_norm(net.mid.weight, 2).item():.6f}")
print(digest(net))
