"""An activation with a backward of its own: rounding to a few levels, passed straight through."""

import random

import numpy as np
import torch
from digest import digest
from sklearn.datasets import load_iris
from torch import nn


class RoundStraightThrough(torch.autograd.Function):
    """Bengio, Leonard and Courville (2013): round forward, identity backward inside the range."""

    @staticmethod
    def forward(ctx, x, levels):
        ctx.save_for_backward(x)
        return torch.round(x.clamp(0, 1) * levels) / levels

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        # A slight slope outside, so that no unit is lost for good.
        inside = (x >= 0) & (x <= 1)
        return torch.where(inside, grad_output, 0.1 * grad_output), None


class QuantReLU(nn.Module):
    def __init__(self, bits=2):
        super().__init__()
        self.levels = 2**bits - 1

    def forward(self, x):
        return RoundStraightThrough.apply(x, self.levels)


def nll(logits, target):
    """Cross entropy, spelled out."""
    return -logits.log_softmax(1).gather(1, target[:, None]).mean()


def main():
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    iris = load_iris()
    x, y = torch.tensor(iris.data).float(), torch.tensor(iris.target)
    shuffled = torch.randperm(150)
    x, y = x[shuffled], y[shuffled]
    x = (x - x[:110].mean(0)) / x[:110].std(0)

    net = nn.Sequential(
        nn.Linear(4, 24), QuantReLU(bits=2), nn.Linear(24, 24), QuantReLU(bits=2), nn.Linear(24, 3)
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for epoch in range(12):
        net.train()
        losses = []
        for i in torch.randperm(110).split(22):
            loss = nll(net(x[i]), y[i])
            net.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if epoch % 2 == 1:
            net.eval()
            with torch.no_grad():
                out = net(x[110:])
            val, acc = nll(out, y[110:]).item(), (out.argmax(1) == y[110:]).float().mean().item()
            print(f"epoch {epoch:3d} loss {sum(losses) / 5:.6f} val {val:.6f} acc {acc:.4f}")
    print(digest(net))


if __name__ == "__main__":
    main()
