"""The same small net trained at several learning rates; the best on validation data is kept."""

import argparse
import random
from dataclasses import dataclass

import numpy as np
import torch
from digest import digest
from torch import nn


@dataclass
class Result:
    lr: float
    val_loss: float
    model: nn.Module


def make_data(n=1200):
    """Friedman's first function: ten inputs, of which five matter."""
    x = torch.rand(n, 10)
    y = 10 * torch.sin(torch.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y = y + 0.5 * torch.randn(n)
    x = (x - 0.5) / 12**-0.5
    return x, ((y - y.mean()) / y.std()).unsqueeze(1)


def train(lr, data, epochs, seed):
    torch.manual_seed(seed)
    (x, y), (x_val, y_val) = data
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    criterion = nn.HuberLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=epochs // 2, gamma=0.3)
    for epoch in range(1, epochs + 1):
        model.train()
        losses = []
        for idx in torch.randperm(len(x)).split(40):
            optimizer.zero_grad()
            loss = criterion(model(x[idx]), y[idx])
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        scheduler.step()
        model.eval()
        with torch.no_grad():
            val_loss = criterion(model(x_val), y_val).item()
        if epoch % 4 == 0:
            print(f"    epoch {epoch:2d}  train {torch.stack(losses).mean().item():.6f}  val {val_loss:.6f}")
    return Result(lr, val_loss, model)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lrs", type=float, nargs="+", default=[0.01, 0.03, 0.1])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    x, y = make_data()
    data = (x[:900], y[:900]), (x[900:], y[900:])
    results = []
    for lr in args.lrs:
        print(f"lr = {lr:g}")
        results.append(train(lr, data, args.epochs, args.seed + 1))
    best = min(results, key=lambda result: result.val_loss)
    print(f"best lr {best.lr:g} with val {best.val_loss:.6f}")
    print(digest([result.model for result in results]))


if __name__ == "__main__":
    main()
