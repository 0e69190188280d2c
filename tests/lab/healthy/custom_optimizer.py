"""An optimizer written by hand (Lion, Chen et al. 2023) fits a surface with a loss written by hand."""

import math
import random

import numpy as np
import torch
from digest import digest
from torch import nn
from torch.optim.optimizer import Optimizer


class Lion(Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["exp_avg"] = torch.zeros_like(p)
                exp_avg = state["exp_avg"]
                p.mul_(1 - group["lr"] * group["weight_decay"])
                update = exp_avg.lerp(p.grad, 1 - beta1).sign_()
                p.add_(update, alpha=-group["lr"])
                exp_avg.lerp_(p.grad, 1 - beta2)
        return loss


def surface(x):
    return (torch.sin(2 * x[:, 0]) * torch.cos(x[:, 1]) + 0.3 * x[:, 0] * x[:, 1]).unsqueeze(1)


random.seed(77)
np.random.seed(77)
torch.manual_seed(77)
inputs = 4 * torch.rand(2500, 2) - 2
targets = surface(inputs) + 0.05 * torch.randn(2500, 1)
x_train, t_train, x_val, t_val = inputs[:2000], targets[:2000], inputs[2000:], targets[2000:]

model = nn.Sequential(nn.Linear(2, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1))
decay = [p for p in model.parameters() if p.ndim > 1]
no_decay = [p for p in model.parameters() if p.ndim <= 1]
optimizer = Lion(
    [{"params": decay, "weight_decay": 0.01}, {"params": no_decay}],
    lr=1e-3,
)

epochs, batch = 15, 50
for epoch in range(epochs):
    # a cosine, by hand as well
    for group in optimizer.param_groups:
        group["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
    perm = torch.randperm(2000)
    total = 0.0
    for start in range(0, 2000, batch):
        index = perm[start : start + batch]
        residual = model(x_train[index]) - t_train[index]
        loss = (residual**2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    with torch.no_grad():
        rmse = (model(x_val) - t_val).pow(2).mean().sqrt().item()
    print(f"epoch {epoch:2d}  mse {total / (2000 // batch):.6f}  val rmse {rmse:.6f}")

print(digest({"model": model, "momenta": [optimizer.state[p]["exp_avg"] for p in model.parameters()]}))
