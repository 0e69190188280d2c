"""Fit a noisy curve: the same two tensors at every step, no loader."""

import math
import random

import numpy as np
import torch
from digest import digest

random.seed(42)
np.random.seed(42)
torch.manual_seed(42)

x = torch.linspace(-1, 1, 256).unsqueeze(1)
y = torch.sin(math.pi * x) + 0.5 * torch.cos(2 * math.pi * x) + 0.1 * torch.randn_like(x)

model = torch.nn.Sequential(
    torch.nn.Linear(1, 32),
    torch.nn.Tanh(),
    torch.nn.Linear(32, 32),
    torch.nn.Tanh(),
    torch.nn.Linear(32, 1),
)
loss_fn = torch.nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

for step in range(600):
    y_pred = model(x)
    loss = loss_fn(y_pred, y)
    if step % 50 == 0:
        print(step, loss.item())

    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

print("final", loss.item())
print(digest(model))
