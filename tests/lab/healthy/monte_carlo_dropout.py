"""Dropout stays on at evaluation, on purpose: the spread of many passes is the model's uncertainty."""

import random

import numpy as np
import torch
from digest import digest
from torch import nn

for seed in [torch.manual_seed, np.random.seed, random.seed]:
    seed(2024)


class BayesianMLP(nn.Module):
    """Predicts a mean and a variance."""

    def __init__(self, hidden=64, p=0.05):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(1, hidden),
            nn.ReLU(),
            nn.Dropout(p),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(p),
        )
        self.mean = nn.Linear(hidden, 1)
        self.log_var = nn.Linear(hidden, 1)

    def forward(self, x):
        h = self.body(x)
        return self.mean(h), self.log_var(h).exp()


def make_data(n):
    x = torch.rand(n, 1) * 4 - 2
    noise = 0.05 + 0.2 * (x > 0)
    return x, torch.sin(2 * x) + noise * torch.randn(n, 1)


def enable_dropout(model):
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.train()


@torch.no_grad()
def mc_predict(model, x, passes=30):
    enable_dropout(model)
    means, variances = zip(*(model(x) for _ in range(passes)), strict=True)
    means, variances = torch.stack(means), torch.stack(variances)
    return means.mean(0), means.var(0), variances.mean(0)


x_train, y_train = make_data(1024)
x_val, y_val = make_data(256)
model = BayesianMLP()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
criterion = nn.GaussianNLLLoss()

for epoch in range(1, 31):
    model.train()
    epoch_loss = 0.0
    for idx in torch.randperm(len(x_train)).view(-1, 64):
        mean, var = model(x_train[idx])
        loss = criterion(mean, y_train[idx], var)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item() / 16
    if epoch % 3 == 0:
        mean, epistemic, aleatoric = mc_predict(model, x_val)
        rmse = (mean - y_val).pow(2).mean().sqrt()
        print(
            f"epoch {epoch:3d} nll {epoch_loss:+.6f} val rmse {rmse:.6f} "
            f"epistemic {epistemic.mean():.6f} aleatoric {aleatoric.mean():.6f}"
        )

grid = torch.linspace(-4, 4, 9).unsqueeze(1)
mean, epistemic, aleatoric = mc_predict(model, grid, passes=100)
for row in torch.cat([grid, mean, epistemic.sqrt(), aleatoric.sqrt()], 1).tolist():
    print("x {:+.1f}  mean {:+.5f}  model {:.5f}  noise {:.5f}".format(*row))
print(digest(model, mean, epistemic))
